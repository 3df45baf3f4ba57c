"""A tree of jobs served for real in this process: store, results, executor, gate, and a kind that tests hold open.

`Gated` executes until the test opens the job's gate (parameter GATE), so that nothing here waits for time to pass.
Units run in threads of this process.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import threading
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from lxml import etree
from tiny_kinds import Counting, Streaming, value_of
from tornado.netutil import bind_sockets
from tornado.web import Application

from sodalake.lake.lake import Lake
from sodalake.lake.results import ResultFolder
from sodalake.server.config import Settings
from sodalake.server.gate import GateServer
from sodalake.server.handlers import Handler, NotFound
from sodalake.server.identity import Identities
from sodalake.server.jobs import JobLimits, JobRoom, routes
from sodalake.server.portal.pages import StaticFile
from sodalake.server.sections import Identity
from sodalake.server.service import Service
from sodalake.server.tokens import Claims
from sodalake.uws.errors import BadJob
from sodalake.uws.executor import Executor
from sodalake.uws.jobs import Job, Result, Segment, UnitRecord
from sodalake.uws.kinds import Cancelled, Document, Plan, Planning, ResultStore, Unit, UnitContext
from sodalake.uws.limits import ExecutorLimits
from sodalake.uws.store import open_store

PATIENCE = 60.0
UWS = "{http://www.ivoa.net/xml/UWS/v1.0}"
HREF = "{http://www.w3.org/1999/xlink}href"
NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"


LAST = " and be done at once"
"""End of the name of a gate whose units are done at the very moment their job is over."""


class Gates:
    """Gates by name: a unit waits at its own until it is opened, or its job is over."""

    def __init__(self) -> None:
        self._open: defaultdict[str, threading.Event] = defaultdict(threading.Event)
        self._reached: defaultdict[str, threading.Event] = defaultdict(threading.Event)

    def open(self, name: str) -> None:
        self._open[name].set()

    def wait(self, name: str, context: UnitContext) -> None:
        self._reached[name].set()
        while not self._open[name].wait(0.01):
            if context.cancelled():
                if name.endswith(LAST):
                    return
                raise Cancelled

    def reached(self, name: str) -> None:
        """Wait until a unit stands at the gate."""
        assert self._reached[name].wait(PATIENCE)


GATES = Gates()


def pass_gate(spec: tuple[str, bytes], context: UnitContext) -> UnitRecord:
    name, content = spec
    if name:
        GATES.wait(name, context)
    size = context.results.write(context.part, content)
    return UnitRecord(context.number, context.part, targets=1, bytes=size)


@dataclass(frozen=True)
class GatedWork:
    """Unit N writes ``N\\n``; from the second on they wait at the gate. FAIL is what `plan` says against it."""

    gate: str
    units: int
    fail: str
    content: bytes
    shape: str = "gated"

    @property
    def targets(self) -> int:
        return self.units

    @property
    def run(self) -> Any:
        return pass_gate

    def plan(self, planning: Planning) -> Plan:
        if self.fail:
            raise BadJob(self.fail, "Ask for something else.")
        first = [Unit(("" if self.units > 1 else self.gate, self.content or b"0\n"))]
        return Plan([*first, *(Unit((self.gate, b"%d\n" % number)) for number in range(1, self.units))])

    def lost(self, unit: Unit, number: int, message: str) -> UnitRecord:
        return UnitRecord(number, "", message.encode(), targets=1, failed=1)

    def finish(
        self, planning: Planning, plan: Plan, records: Iterator[UnitRecord], whole: bool
    ) -> Sequence[Result]:
        known = list(records)
        framed = [Segment(data=b"[")]
        for record in known:
            framed += [Segment(record.part, 0, record.bytes), Segment(data=b"|")]
        return [
            Result("lines", "text/plain; charset=utf-8", tuple(framed), "lines.txt"),
            *(
                Result(f"line-{record.number}", "text/plain", (Segment(record.part, 0, record.bytes),))
                for record in known
            ),
        ]


@dataclass(frozen=True)
class Gated:
    """The kind. Parameters: GATE, UNITS, FAIL, and DATA, a file that is the first line."""

    name: str = "gated"

    def check(self, job: Job, results: ResultStore) -> GatedWork:
        content = b""
        for upload in job.uploads:
            stored = results.open(upload.object)
            content = stored.read_at(0, stored.size)
            stored.close()
        return GatedWork(
            value_of(job, "GATE"), int(value_of(job, "UNITS", "1")), value_of(job, "FAIL"), content
        )

    def error_document(self, error: Exception) -> Document | None:
        told = getattr(error, "message", "")
        if "document" not in told:
            return None
        return Document("application/x-votable+xml", f"<VOTABLE>{told}</VOTABLE>".encode())


class ThreadPool:
    """Runs units in threads of this process."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(8, thread_name_prefix="unit")

    async def submit(self, function: Callable[..., Any], *args: Any, priority: int = 0) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *args)

    async def tell(self, function: Callable[..., Any], *args: Any) -> None:
        function(*args)

    async def width(self) -> int:
        return 8

    def close(self) -> None:
        self._threads.shutdown()


class FilesRoom(JobRoom):
    """A room whose jobs have single files: the lines of the list."""

    async def file(self, job: Job, name: str) -> Result | None:
        return next((r for r in job.results if r.id == f"line-{name}"), None)


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def label(self) -> str:
        return self.text.partition(":")[0]

    @property
    def xml(self) -> etree._Element:
        assert self.headers["Content-Type"] == "text/xml; charset=utf-8", self.text
        return etree.fromstring(self.body)

    def value(self, name: str) -> str | None:
        """The text of an element of UWS."""
        return self.xml.findtext(UWS + name)


class JobServer:
    """The tree at ``/soda/async``, on a thread of its own; a second one, of another kind, at ``/tap/async``.

    Attributes
    ----------
    failures
        What ended the thread.
    """

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder = folder
        self.results = ResultFolder(str(folder / "results"))
        self.limits = options.pop("limits", JobLimits())
        if "sizes" in options:
            options["limits"] = options.pop("sizes")
        self.settings = Settings(
            lake=str(folder / "lake"),
            identity=Identity.model_validate({"key": "k" * 40}),
            **{"port": 0, **options},
        )
        self.failures: list[BaseException] = []
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="jobs", daemon=True)
        self._thread.start()
        assert self._ready.wait(PATIENCE)
        if self.failures:
            raise self.failures[0]
        self.url = f"http://127.0.0.1:{self.port}{self.settings.prefix}"
        self.path = f"{self.settings.prefix}/soda/async"
        self.host = urlsplit(self.url).netloc

    # -- the thread

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self.failures.append(error)
            self._ready.set()

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self.store = await open_store(str(self.folder / "jobs.db"))
        pool = ThreadPool()
        kinds = {kind.name: kind for kind in (Gated(), Streaming(), Counting(str(self.folder)))}
        self.executor = Executor(
            self.store, kinds, self.results, pool, ExecutorLimits(niceness=0, jobs=64, per_owner=64)
        )
        lake = await asyncio.to_thread(Lake.create, self.settings.lake)
        self.service = service = Service(self.settings, lake)
        service.since = datetime.now(UTC)
        service.identities = Identities.open(self.settings)
        self.room = FilesRoom(
            self.store, self.results, self.executor, "gated", "/soda/async", "Cutout jobs", self.limits
        )
        other = JobRoom(
            self.store, self.results, self.executor, "streaming", "/tap/async", "Queries", self.limits
        )
        self.app = Application(
            [
                *routes(service, self.room),
                *routes(service, other),
                (self.settings.prefix + r"/portal/([a-z]+\.[a-z]+)", StaticFile, {"service": service}),
            ],
            default_handler_class=NotFound,
            default_handler_args={"service": service},
            log_function=lambda handler: handler.log_finished() if isinstance(handler, Handler) else None,
        )
        server = GateServer(
            self.app,
            limits=self.settings.limits,
            idle=self.settings.deadlines.idle,
            uploads=(self.settings.prefix + "/soda/async",),
        )
        sockets = bind_sockets(0, "127.0.0.1")
        server.add_sockets(sockets)
        self.port = service.port = sockets[0].getsockname()[1]
        await self.executor.start()
        self._ready.set()
        await self._stop.wait()
        service.draining = True
        await self.room.close()
        await other.close()
        server.stop()
        await server.close_all_connections()
        await self.executor.stop()
        await self.store.close()
        pool.close()
        lake.close()

    def call(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Do something in the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE)

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        assert not self.failures

    # -- a client

    def token(self, name: str, *groups: str) -> dict[str, str]:
        """The header that makes a request `name`'s."""
        token = self.service.identities.tokens.make(Claims(name, frozenset(groups)))
        return {"Authorization": f"Bearer {token}"}

    def ask(
        self,
        path: str = "",
        *,
        method: str = "GET",
        data: Mapping[str, object] | Sequence[tuple[str, object]] | bytes | None = None,
        headers: Mapping[str, str] | None = None,
        user: str = "",
    ) -> Answer:
        """Send one request below the tree (or to a path of the host, where it begins with //)."""
        target = path.removeprefix("/") if path.startswith("//") else self.path + path
        sent = dict(headers or {})
        if user:
            sent |= self.token(user)
        body = data if isinstance(data, bytes) or data is None else urlencode(data).encode()
        if body is not None and not isinstance(data, bytes):
            sent.setdefault("Content-Type", "application/x-www-form-urlencoded")
        connection = http.client.HTTPConnection(self.host, timeout=PATIENCE)
        try:
            connection.request(method, target, body, sent)
            got = connection.getresponse()
            return Answer(got.status, got.headers, got.read())
        finally:
            connection.close()

    def post(self, path: str, data: Any = (), **options: Any) -> Answer:
        return self.ask(path, method="POST", data=data, **options)

    def create(self, data: Any = (), **options: Any) -> str:
        """Create a job and return its path below the tree."""
        answer = self.post("", data, **options)
        assert answer.status == 303, answer.text
        location = answer.headers["Location"]
        assert location.startswith(f"{self.url}/soda/async/")
        return location.removeprefix(f"{self.url}/soda/async")

    def job(self, path: str, **options: Any) -> Answer:
        """Return a job's document, checked."""
        answer = self.ask(path, **options)
        assert answer.status == 200, answer.text
        assert answer.xml.tag == f"{UWS}job"
        return answer

    def until(self, path: str, *phases: str, **options: Any) -> Answer:
        """Wait for a job to be in one of these phases, by WAIT; return its document."""
        for _ in range(20):
            found = self.job(path, **options)
            phase = found.value("phase")
            if phase in phases:
                return found
            query = f"?WAIT=20&PHASE={phase}"
            self.job(path + query, **options)
        raise AssertionError(f"{path} is {phase}")

    def until_stored(self, path: str, phase: str) -> None:
        """Wait for a job to be in a phase that WAIT does not wait for."""

        async def look() -> None:
            async with asyncio.timeout(PATIENCE):
                while True:
                    changed = self.store.events.subscribe(path[1:])
                    if (await self.store.get(path[1:])).phase == phase:
                        changed.cancel()
                        return
                    await changed

        self.call(look())

    def until_done(self, path: str, targets: int) -> None:
        """Wait until so many targets of a job that executes are done."""

        async def look() -> None:
            async with asyncio.timeout(PATIENCE):
                while not any(
                    job.id == path[1:] and progress.done >= targets
                    for job, progress in self.executor.executing()
                ):
                    await asyncio.sleep(0.005)

        self.call(look())

    def objects(self) -> list[str]:
        """What is in the result store."""
        return self.results.names()

    @contextlib.contextmanager
    def asking(self, path: str, **options: Any) -> Iterator[Callable[[], Answer]]:
        """Send a request from another thread; the value returns the answer when it is there."""
        with ThreadPoolExecutor(1) as threads:
            future = threads.submit(self.ask, path, **options)
            yield lambda: future.result(PATIENCE)

    def parked(self, count: int) -> None:
        """Wait until so many wait in the tree."""

        async def look() -> None:
            async with asyncio.timeout(PATIENCE):
                while self.room.waiting.parked != count:
                    await asyncio.sleep(0.005)

        self.call(look())


def multipart(
    *fields: tuple[str, str] | tuple[str, bytes, str, str], boundary: str = "b0und4ry"
) -> tuple[bytes, dict[str, str]]:
    """Return a multipart body and its header; a field with four entries is name, content, file name, type."""
    pieces = []
    for field in fields:
        if len(field) == 2:
            name, value = field
            pieces.append(
                f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
            )
        else:
            name, content, filename, kind = field
            head = (
                f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{filename}"\r\n'
                f"Content-Type: {kind}\r\n\r\n"
            )
            pieces.append(head.encode() + content + b"\r\n")
    body = b"".join(pieces) + f"--{boundary}--\r\n".encode()
    return body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}


def as_json(answer: Answer) -> Any:
    return json.loads(answer.body)
