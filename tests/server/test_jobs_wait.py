"""WAIT: who is let go when, what a wait costs, and how waits end."""

from __future__ import annotations

import asyncio
import select
import socket
import time
import uuid
from collections.abc import Callable, Iterator

import pytest
from job_server import GATES, PATIENCE, UWS, JobServer
from lxml import etree

from sodalake.server.jobs import JobLimits
from sodalake.server.jobs.prepared import CROWD
from sodalake.uws.jobs import Progress

pytestmark = pytest.mark.embedded
LONGEST = 2.0  # seconds that WAIT blocks at most here
SOON = (
    20.0  # seconds that an answer at once may take on a busy machine; a wait that is none would be 60 or 300
)


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JobServer]:
    server = JobServer(tmp_path_factory.mktemp("jobs"), limits=JobLimits(wait=LONGEST))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JobServer]:
    """A server where a wait takes longer than a test has time."""
    server = JobServer(tmp_path_factory.mktemp("patient"), limits=JobLimits(wait=300))
    yield server
    server.stop()


@pytest.fixture
def gate() -> Iterator[str]:
    name = uuid.uuid4().hex
    yield name
    GATES.open(name)


def timed(jobs: JobServer, path: str) -> tuple[str | None, float]:
    began = time.monotonic()
    phase = jobs.job(path).value("phase")
    return phase, time.monotonic() - began


# ---------------------------------------------------------------------- how long


@pytest.mark.parametrize("wait", ["-1", "3600", "999999999999999"])
def test_a_wait_ends_at_the_servers_limit(jobs: JobServer, wait: str) -> None:
    path = jobs.create()
    phase, seconds = timed(jobs, f"{path}?WAIT={wait}")
    assert phase == "PENDING"
    assert LONGEST - 0.05 <= seconds < LONGEST + SOON


def test_a_wait_ends_when_its_time_is_up(patient: JobServer, gate: str) -> None:
    path = patient.create({"GATE": gate, "PHASE": "RUN"})
    patient.until(path, "EXECUTING")
    phase, seconds = timed(patient, f"{path}?wait=1&phase=EXECUTING")
    assert phase == "EXECUTING"
    assert 0.95 <= seconds < 1 + SOON


@pytest.mark.parametrize(
    "query", ["WAIT=0", "", "PHASE=PENDING", "WAIT=-1&PHASE=QUEUED", "WAIT=60&PHASE=COMPLETED"]
)
def test_what_does_not_wait(patient: JobServer, query: str) -> None:
    phase, seconds = timed(patient, f"{patient.create()}?{query}")
    assert (phase, seconds < SOON) == ("PENDING", True)


@pytest.mark.parametrize("phase", ["COMPLETED", "ERROR", "ABORTED"])
def test_no_wait_in_a_phase_that_does_not_change(patient: JobServer, phase: str) -> None:
    path = patient.create({"FAIL": "Bad luck."} if phase == "ERROR" else {})
    patient.post(f"{path}/phase", {"PHASE": "ABORT" if phase == "ABORTED" else "RUN"})
    patient.until(path, phase)
    for query in ("WAIT=-1", "WAIT=60", f"WAIT=60&PHASE={phase}"):
        found, seconds = timed(patient, f"{path}?{query}")
        assert (found, seconds < SOON) == (phase, True)


@pytest.mark.parametrize(
    "query",
    [
        "WAIT=", "WAIT=-2", "WAIT=1.5", "WAIT=soon", "WAIT=%2B1", "WAIT=1e2", "WAIT=1&WAIT=2", "WAIT=0x10", "WAIT=--1",
        "WAIT=9999999999999999999", "WAIT=%00", "WAIT=1&PHASE=", "WAIT=1&PHASE=done",
        "WAIT=1&PHASE=PENDING&PHASE=QUEUED", "PHASE=RUN", "WAIT=-",
    ],
)  # fmt: skip
def test_waits_that_are_wrong(patient: JobServer, query: str) -> None:
    answer = patient.ask(f"{patient.create()}?{query}")
    assert (answer.status, answer.label) in ((400, "UsageError"), (400, "MultiValuedParamNotSupported"))


# ---------------------------------------------------------------------- what ends a wait


@pytest.mark.parametrize("query", ["WAIT=-1", "WAIT=250", "WAIT=-1&PHASE={phase}"])
def test_every_change_of_phase_wakes(patient: JobServer, gate: str, query: str) -> None:
    path = patient.create({"GATE": gate})
    with patient.asking(f"{path}?{query.format(phase='PENDING')}") as answer:
        patient.parked(1)
        patient.post(f"{path}/phase", {"PHASE": "RUN"})
        assert answer().value("phase") in ("QUEUED", "EXECUTING")
    patient.until(path, "EXECUTING")
    with patient.asking(f"{path}?{query.format(phase='EXECUTING')}") as answer:
        patient.parked(1)
        GATES.open(gate)
        document = answer()
        assert document.value("phase") == "COMPLETED"
        assert len(list(document.xml.iter(f"{UWS}result"))) == 2, "the document is of after the change"
    assert patient.call(parked_at_store(patient)) == 0


async def parked_at_store(server: JobServer) -> int:
    await asyncio.sleep(0)
    return sum(not key.startswith(":") and ":" not in key for key in server.store.events._waiters)


def test_progress_wakes_nobody(patient: JobServer, gate: str) -> None:
    path = patient.create({"GATE": gate, "PHASE": "RUN"})
    patient.until(path, "EXECUTING")
    with patient.asking(f"{path}?WAIT=-1") as answer:
        patient.parked(1)
        patient.call(patient.store.set_plan(path[1:], b"x", "gated", Progress(total=7)))

        async def wake() -> int:
            for _ in range(3):
                patient.store.events.changed(path[1:])
                await patient.store.get(path[1:])
                await asyncio.sleep(0.02)
            return patient.room.waiting.parked

        assert patient.call(wake()) == 1
        GATES.open(gate)
        assert answer().value("phase") == "COMPLETED"


def test_a_wait_that_times_out_tells_the_progress_of_then(jobs: JobServer, gate: str) -> None:
    path = jobs.create({"GATE": gate, "PHASE": "RUN"})
    jobs.until(path, "EXECUTING")
    with jobs.asking(f"{path}?WAIT=1") as answer:
        jobs.parked(1)
        jobs.call(jobs.store.set_plan(path[1:], b"x", "gated", Progress(total=7)))
        assert b"<total>7</total>" in answer().body


def test_a_job_that_is_deleted_ends_the_waits_for_it(patient: JobServer) -> None:
    path = patient.create()
    with patient.asking(f"{path}?WAIT=-1") as answer:
        patient.parked(1)
        patient.ask(path, method="DELETE")
        assert (answer().status, answer().label) == (404, "UsageError")


def test_a_client_that_goes_away_waits_no_more(patient: JobServer) -> None:
    path = patient.create()
    host, port = patient.host.split(":")
    with socket.create_connection((host, int(port)), PATIENCE) as connection:
        connection.sendall(f"GET /soda/async{path}?WAIT=-1 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        patient.parked(1)
    patient.parked(0)
    assert patient.call(parked_at_store(patient)) == 0


def test_a_server_that_drains_lets_everybody_go(tmp_path_factory: pytest.TempPathFactory) -> None:
    server = JobServer(tmp_path_factory.mktemp("drain"), limits=JobLimits(wait=300))
    path = server.create()
    with server.asking(f"{path}?WAIT=-1") as first, server.asking(f"{path}?WAIT=-1") as second:
        server.parked(2)
        server.service.on_drain.append(server.room.waiting.release)
        began = time.monotonic()
        server.call(server.service.drain())
        assert time.monotonic() - began < SOON
        assert [one().value("phase") for one in (first, second)] == ["PENDING", "PENDING"]
    server.stop()


def test_waits_need_the_owner(patient: JobServer) -> None:
    path = patient.create(user="ada")
    assert patient.ask(f"{path}?WAIT=-1", user="eve").status == 403
    assert patient.ask(f"{path}?WAIT=-1").status == 403


# ---------------------------------------------------------------------- a thousand of them


def parked_sockets(server: JobServer, paths: list[str]) -> list[socket.socket]:
    host, port = server.host.split(":")
    sockets = []
    for path in paths:
        one = socket.create_connection((host, int(port)), PATIENCE)
        one.sendall(f"GET /soda/async{path}?WAIT=-1 HTTP/1.1\r\nHost: {server.host}\r\n\r\n".encode())
        sockets.append(one)
    server.parked(len(paths))
    return sockets


def read_answer(one: socket.socket) -> tuple[bytes, bytes]:
    got = b""
    while b"</uws:job>" not in got:
        piece = one.recv(65_536)
        assert piece, got
        got += piece
    head, _, body = got.partition(b"\r\n\r\n")
    return head, body


@pytest.mark.parametrize("together", [True, False])
def test_a_thousand_wait_and_all_are_told(
    patient: JobServer, gate: str, together: bool, record_property: Callable[[str, object], None]
) -> None:
    path = patient.create({"GATE": gate, "PHASE": "RUN"})
    patient.until(path, "EXECUTING")
    # Either all wait for the job that changes, or each for one of its own, and one for the job that changes.
    paths = [path] * 1000 if together else [*(patient.create() for _ in range(999)), path]
    reads = 0
    get = patient.store.get

    async def counted(job_id: str) -> object:
        nonlocal reads
        reads += 1
        return await get(job_id)

    sockets = parked_sockets(patient, paths)
    try:
        patient.store.get = counted  # type: ignore[method-assign]
        waking = sockets if together else sockets[-1:]
        poll = select.epoll()
        for one in waking:
            poll.register(one.fileno(), select.EPOLLIN | select.EPOLLONESHOT)
        began = time.perf_counter()
        GATES.open(gate)
        times: list[float] = []
        while len(times) < len(waking):
            ready = poll.poll(PATIENCE)
            assert ready
            times += [time.perf_counter() - began] * len(ready)
        poll.close()
        record_property("ms to the last", round(1000 * times[-1]))
        assert reads < 10, "nobody's wake reads the store for himself"
        bodies = set()
        for one in waking:
            head, body = read_answer(one)
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            assert f"Content-Length: {len(body)}".encode() in head
            for line in (
                b"Content-Type: text/xml; charset=utf-8",
                b"Cache-Control: no-store",
                b"Date: ",
                b"Server: ",
            ):
                assert line in head
            bodies.add(body)
        assert len(bodies) == 1
        assert etree.fromstring(bodies.pop()).findtext(f"{UWS}phase") == "COMPLETED"
    finally:
        del patient.store.get  # type: ignore[method-assign]
        for one in sockets:
            one.close()
    patient.parked(0)


def test_a_crowd_of_several_owners_and_addresses_gets_each_its_own(patient: JobServer, gate: str) -> None:
    path = patient.create({"GATE": gate, "PHASE": "RUN"})
    patient.until(path, "EXECUTING")
    sockets = []
    host, port = patient.host.split(":")
    expected = []
    for number in range(2 * CROWD):
        one = socket.create_connection((host, int(port)), PATIENCE)
        name = f"host-{number % 3}"
        user = ("ada", "eve", "")[number % 2 + (number % 5 == 0)]
        head = "".join(f"{key}: {value}\r\n" for key, value in (patient.token(user).items() if user else ()))
        one.sendall(f"GET /soda/async{path}?WAIT=-1 HTTP/1.1\r\nHost: {name}\r\n{head}\r\n".encode())
        sockets.append(one)
        expected.append((name, user))
    patient.parked(len(sockets))
    GATES.open(gate)
    for one, (name, user) in zip(sockets, expected, strict=True):
        head_, body = read_answer(one)
        assert f"http://{name}/soda/async{path}/results/lines".encode() in body
        named = [line for line in head_.decode().lower().split("\r\n") if line.startswith("x-vo-auth")]
        assert named == ([f"x-vo-authenticated: {user}"] if user else [])
        assert one.recv(1) == b"", "the connection is closed, as the head says"
        one.close()
