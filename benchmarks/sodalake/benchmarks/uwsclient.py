"""A client of UWS 1.1 for the bench: HTTP/1.1 on asyncio streams, and the half dozen things one does with a job.

It keeps what the load generator throws away: heads (where a 303 leads), bodies (documents), and the moments at which
a request was sent and its answer was whole. A request costs about 0.1 ms of the bench's own process.
"""

from __future__ import annotations

import asyncio
import csv
import io
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final
from urllib.parse import urlencode, urlsplit

__all__ = ["FINAL", "Connection", "JobClient", "Reply", "Seen", "form", "multipart"]

FINAL: Final = frozenset({"COMPLETED", "ERROR", "ABORTED", "ARCHIVED"})
"""Phases that a job does not leave."""

_WAIT = 50  # seconds: what the service clamps a WAIT to
_LIMIT = 1 << 26  # bytes of a head's line or of a chunk
_BOUNDARY = "sodalake-bench-7f2a90c1"
_PHASE = re.compile(rb"<uws:phase>(\w+)</uws:phase>")
_NUMBER = re.compile(rb"<(?:\w+:)?(total|done|failed)>(\d+)<")


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, whole.

    Attributes
    ----------
    status, headers, body
        Of the answer; names of headers in lower case.
    sent, received
        When its request's first byte was sent and its last byte was there (`time.perf_counter`).
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    sent: float
    received: float

    @property
    def seconds(self) -> float:
        """From sent to received."""
        return self.received - self.sent


@dataclass(frozen=True, slots=True)
class Seen:
    """What a job's document said: its phase, how far it was (targets), and when this was read."""

    phase: str
    total: int
    done: int
    failed: int
    received: float


class Connection:
    """One kept-alive connection; a request at a time. An asynchronous context manager."""

    def __init__(self, address: tuple[str, int], headers: Mapping[str, str] | None = None) -> None:
        self._address = address
        self._extra = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def __aenter__(self) -> Connection:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def open(self) -> None:
        """Connect, where it is not."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._address, limit=_LIMIT)

    def close(self) -> None:
        """Let go of the connection; the next request makes another."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def ask(self, method: str, path: str, body: bytes = b"", content_type: str = "") -> Reply:
        """Send a request and return its answer.

        Raises
        ------
        OSError
            No connection, or it broke.
        """
        await self.open()
        assert self._streams is not None
        reader, writer = self._streams
        head = f"{method} {path} HTTP/1.1\r\nHost: bench\r\n{self._extra}"
        if body or method == "POST":
            head += f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
        sent = time.perf_counter()
        try:
            writer.write(head.encode("ascii") + b"\r\n" + body)
            await writer.drain()
            status, headers = _head(await reader.readuntil(b"\r\n\r\n"))
            content = await _body(reader, status, headers)
        except (asyncio.IncompleteReadError, OSError) as error:
            self.close()
            raise ConnectionError(f"{method} {path}: the connection broke") from error
        except BaseException:
            self.close()  # half an answer may be on it
            raise
        received = time.perf_counter()
        if headers.get("connection", "").lower() == "close":
            self.close()
        return Reply(status, headers, content, sent, received)


def _head(raw: bytes) -> tuple[int, dict[str, str]]:
    first, *lines = raw.decode("latin-1").split("\r\n")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return int(first.split()[1]), headers


async def _body(reader: asyncio.StreamReader, status: int, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        chunks = []
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            chunks.append(await reader.readexactly(size))
            await reader.readexactly(2)
        await reader.readexactly(2)
        return b"".join(chunks)
    if status in (204, 304):
        return b""
    return await reader.readexactly(int(headers.get("content-length", "0")))


def form(parameters: Sequence[tuple[str, str]]) -> tuple[bytes, str]:
    """Return parameters as a body, and its Content-Type."""
    return urlencode(parameters).encode("ascii"), "application/x-www-form-urlencoded"


def multipart(parameters: Sequence[tuple[str, str]], targets: bytes) -> tuple[bytes, str]:
    """Return parameters and a CSV of targets (``UPLOAD=targets,param:list``) as a body, and its Content-Type."""
    named = [*parameters, ("UPLOAD", "targets,param:list")]
    parts = [
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in named
    ]
    parts.append(
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="list"; filename="list.csv"\r\n'
        "Content-Type: text/csv\r\n\r\n".encode()
        + targets
        + f"\r\n--{_BOUNDARY}--\r\n".encode()
    )
    return b"".join(parts), f"multipart/form-data; boundary={_BOUNDARY}"


class JobClient:
    """One user's jobs. An asynchronous context manager.

    Parameters
    ----------
    address
        Host and port of the service.
    headers
        Of every request: the user's token.
    jobs
        Path of the list of jobs.
    """

    def __init__(
        self, address: tuple[str, int], headers: Mapping[str, str] | None = None, jobs: str = "/soda/async"
    ) -> None:
        self.connection = Connection(address, headers)
        self._jobs = jobs

    async def __aenter__(self) -> JobClient:
        await self.connection.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.connection.close()

    async def submit(
        self, parameters: Sequence[tuple[str, str]], targets: bytes | None = None, *, run: bool = True
    ) -> tuple[str, Reply]:
        """Create a job, with a list of targets where one is given; return its path and the answer.

        Raises
        ------
        RuntimeError
            The answer is no 303.
        """
        given = [*parameters, *([("PHASE", "RUN")] if run else [])]
        body, content_type = form(given) if targets is None else multipart(given, targets)
        reply = await self.connection.ask("POST", self._jobs, body, content_type)
        if reply.status != 303:
            raise RuntimeError(f"No job was made: {reply.status} {reply.body[:300]!r}")
        return urlsplit(reply.headers["location"]).path, reply

    async def tell(self, job: str, phase: str) -> Reply:
        """Post a PHASE to a job.

        Raises
        ------
        RuntimeError
            The answer is no 303.
        """
        reply = await self.connection.ask("POST", f"{job}/phase", *form([("PHASE", phase)]))
        if reply.status != 303:
            raise RuntimeError(f"{job} was not told {phase}: {reply.status} {reply.body[:300]!r}")
        return reply

    async def look(self, job: str, query: str = "") -> Seen:
        """Read a job's document; `query` is ``?WAIT=…`` or empty.

        Raises
        ------
        RuntimeError
            There is no such document.
        """
        reply = await self.connection.ask("GET", job + query)
        phase = _PHASE.search(reply.body)
        if reply.status != 200 or phase is None:
            raise RuntimeError(f"{job} cannot be read: {reply.status} {reply.body[:300]!r}")
        numbers = {name.decode(): int(value) for name, value in _NUMBER.findall(reply.body)}
        return Seen(
            phase[1].decode(),
            numbers.get("total", 0),
            numbers.get("done", 0),
            numbers.get("failed", 0),
            reply.received,
        )

    async def ended(self, job: str) -> Seen:
        """Wait (by WAIT) until a job is in a final phase."""
        while True:
            seen = await self.look(job, f"?WAIT={_WAIT}")
            if seen.phase in FINAL:
                return seen

    async def completed(self, job: str) -> Seen:
        """Wait until a job is COMPLETED.

        Raises
        ------
        RuntimeError
            It ended otherwise.
        """
        seen = await self.ended(job)
        if seen.phase != "COMPLETED":
            reply = await self.connection.ask("GET", f"{job}/error")
            raise RuntimeError(f"{job} ended {seen.phase}: {reply.body[:500]!r}")
        return seen

    async def manifest(self, job: str) -> list[dict[str, str]]:
        """Return the lines of a job's manifest."""
        reply = await self.connection.ask("GET", f"{job}/results/manifest.csv")
        if reply.status != 200:
            raise RuntimeError(f"{job} has no manifest: {reply.status} {reply.body[:300]!r}")
        return list(csv.DictReader(io.StringIO(reply.body.decode())))

    async def forget(self, job: str) -> None:
        """Delete a job."""
        await self.connection.ask("DELETE", job)
