"""Results: which bytes a request wants, how segments are read, and what a client sees when the store fails."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import resource
import socket
import threading
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from job_server import PATIENCE, JobServer
from tornado.httputil import HTTPHeaders

from sodalake.lake.errors import Damaged, FileGone, Unavailable
from sodalake.lake.results import ResultFolder
from sodalake.server.jobs.ranges import Unsatisfiable, wanted
from sodalake.server.jobs.segments import PIECE, SegmentReader
from sodalake.server.sections import Deadlines
from sodalake.uws.jobs import NewJob, Result, Segment
from sodalake.uws.phases import Event

ETAG = '"abc"'
LINES = b"[0\n|1\n|2\n|"

# ---------------------------------------------------------------------- which bytes


def of(size: int = 1000, **headers: str) -> tuple[int, int, bool]:
    found = wanted(
        HTTPHeaders({name.replace("_", "-"): value for name, value in headers.items()}), size, ETAG
    )
    assert not found.unchanged
    return found.start, found.end, found.partial


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", (0, 1, True)),
        ("bytes=10-19", (10, 20, True)),
        ("bytes=990-", (990, 1000, True)),
        ("bytes=990-99999", (990, 1000, True)),
        ("bytes=-10", (990, 1000, True)),
        ("bytes=-9999", (0, 1000, True)),
        ("BYTES = 10 - 19 ", (10, 20, True)),
        ("bytes=0-9,20-29", (0, 1000, False)),
        ("bytes=20-10", (0, 1000, False)),
        ("bytes=", (0, 1000, False)),
        ("bytes=-", (0, 1000, False)),
        ("bytes=a-b", (0, 1000, False)),
        ("rows=0-9", (0, 1000, False)),
        ("bytes=1" + "0" * 30 + "-", (0, 1000, False)),
    ],
)
def test_ranges(header: str, expected: tuple[int, int, bool]) -> None:
    assert of(Range=header) == expected


@pytest.mark.parametrize(
    ("size", "header"), [(1000, "bytes=1000-"), (1000, "bytes=-0"), (0, "bytes=0-0"), (0, "bytes=-5")]
)
def test_ranges_that_have_no_byte(size: int, header: str) -> None:
    with pytest.raises(Unsatisfiable):
        of(size, Range=header)


@pytest.mark.parametrize("condition", ['"other"', 'W/"abc"', "Sun, 17 May 2026 20:00:00 GMT", ""])
def test_a_range_of_another_file_is_the_whole_of_this(condition: str) -> None:
    assert of(Range="bytes=0-9", If_Range=condition) == (0, 1000, False)
    assert of(Range="bytes=0-9", If_Range=ETAG) == (0, 10, True)


@pytest.mark.parametrize("header", ['"abc"', 'W/"abc"', '"x", "abc"', "*", '"a,b" , "abc"'])
def test_who_has_it_is_told_so(header: str) -> None:
    assert wanted(HTTPHeaders({"If-None-Match": header, "Range": "bytes=0-9"}), 1000, ETAG).unchanged
    assert of(If_None_Match='"abcd"', Range="bytes=0-9") == (0, 10, True)


@given(header=st.text(alphabet="bytes=-0123456789, ", max_size=30), size=st.integers(0, 50))
def test_no_range_is_outside_the_file(header: str, size: int) -> None:
    try:
        start, end, partial = of(size, Range=header)
    except Unsatisfiable:
        return
    assert 0 <= start <= end <= size
    assert (start, end) == (0, size) or partial


# ---------------------------------------------------------------------- segments


class Counting:
    """Objects in memory, whose reads are counted."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        self.objects = objects
        self.reads: list[tuple[str, int, int]] = []
        self.open_now = 0

    def open(self, name: str) -> Any:
        store, content = self, self.objects[name]
        self.open_now += 1

        class Stored:
            size = len(content)

            def read_at(self, offset: int, length: int) -> bytes:
                store.reads.append((name, offset, length))
                return content[offset : offset + length]

            def close(self) -> None:
                store.open_now -= 1

        return Stored()


OBJECTS = {name: hashlib.shake_128(name.encode()).digest(2_000_000) for name in "abc"}
segments = st.lists(
    st.one_of(
        st.builds(
            Segment,
            object=st.sampled_from("abc"),
            offset=st.integers(0, 1_000_000),
            length=st.one_of(st.integers(0, 5_000), st.integers(0, 1_000_000)),
        ),
        st.builds(Segment, data=st.binary(max_size=50)),
    ),
    max_size=8,
)


def content_of(given_: Sequence[Segment]) -> bytes:
    return b"".join(OBJECTS[s.object][s.offset : s.offset + s.length] if s.object else s.data for s in given_)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(given_=segments, share=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_any_part_of_any_segments(given_: list[Segment], share: tuple[float, float]) -> None:
    whole = content_of(given_)
    start, end = sorted(int(one * len(whole)) for one in share)
    store = Counting(OBJECTS)
    reader = SegmentReader(store, given_, start, end)  # type: ignore[arg-type]
    pieces = list(iter(reader.next, b""))
    assert b"".join(pieces) == whole[start:end]
    assert all(len(piece) == PIECE for piece in pieces[:-1])
    reader.close()
    assert store.open_now == 0


def test_a_container_costs_a_read_a_piece_and_not_a_read_a_file() -> None:
    given_: list[Segment] = []
    for number in range(1000):
        given_ += [Segment(data=b"head of %d" % number), Segment("a", number * 2000, 1900)]
    store = Counting(OBJECTS)
    reader = SegmentReader(store, given_, 0, sum(one.size for one in given_))  # type: ignore[arg-type]
    assert b"".join(iter(reader.next, b"")) == content_of(given_)
    assert len(store.reads) == 4
    assert sum(length for _, _, length in store.reads) < 2_100_000
    reader.close()


def test_what_is_far_apart_is_not_read_together() -> None:
    given_ = [
        Segment("a", 0, 10),
        Segment("a", 1_000_000, 10),
        Segment("a", 500_000, 10),
        Segment("b", 20, 10),
    ]
    store = Counting(OBJECTS)
    reader = SegmentReader(store, given_, 5, 40)  # type: ignore[arg-type]
    assert reader.next() == content_of(given_)[5:]
    assert store.reads == [("a", 5, 5), ("a", 1_000_000, 10), ("a", 500_000, 10), ("b", 20, 10)]
    reader.close()
    assert store.open_now == 0


def test_an_object_that_is_too_short_is_damaged() -> None:
    reader = SegmentReader(Counting({"a": b"short"}), [Segment("a", 0, 10)], 0, 10)  # type: ignore[arg-type]
    with pytest.raises(Damaged):
        reader.next()
    reader.close()


# ---------------------------------------------------------------------- over HTTP

embedded = pytest.mark.embedded


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JobServer]:
    server = JobServer(tmp_path_factory.mktemp("jobs"), deadlines=Deadlines(write=2))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def done(jobs: JobServer) -> str:
    path = jobs.create({"UNITS": 1, "PHASE": "RUN"})
    jobs.until(path, "COMPLETED")
    return path


def job_with(jobs: JobServer, *results: Result, content: bytes = b"") -> str:
    """Make a job that has these results; PART in their segments is an object with `content`."""

    async def make() -> str:
        job = await jobs.store.create(NewJob("gated"))
        name = f"{job.id}/part-0"
        await asyncio.to_thread(jobs.results.write, name, content)
        named = [
            Result(
                one.id, one.mime_type,
                tuple(Segment(name if s.object else "", s.offset, s.length, s.data) for s in one.segments),
                one.filename, one.etag,
            )
            for one in results
        ]  # fmt: skip
        await jobs.store.edit(job.id, results=named)
        await jobs.store.move(job.id, Event.ABORT)
        return f"/{job.id}"

    return str(jobs.call(make()))


@embedded
def test_a_result_has_what_a_download_needs(jobs: JobServer, done: str) -> None:
    answer = jobs.ask(f"{done}/results/lines")
    assert (answer.status, answer.body) == (200, b"[0\n|")
    assert answer.headers["Content-Length"] == "4"
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="lines.txt"'
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["Last-Modified"].endswith("GMT")
    etag = answer.headers["ETag"]
    assert etag.startswith('"')
    same = jobs.ask(f"{done}/results/lines", headers={"If-None-Match": etag})
    assert (same.status, same.body, same.headers["ETag"]) == (304, b"", etag)
    other = jobs.ask(f"{done}/results/line-0")
    assert other.headers["ETag"] != etag
    for header, expected in (("bytes=1-2", b"0\n"), ("bytes=-1", b"|"), ("bytes=2-", b"\n|")):
        part = jobs.ask(f"{done}/results/lines", headers={"Range": header, "If-Range": etag})
        assert (part.status, part.body) == (206, expected)
        assert part.headers["Content-Length"] == str(len(expected))
    assert (
        jobs.ask(f"{done}/results/lines", headers={"Range": "bytes=1-2"}).headers["Content-Range"]
        == "bytes 1-2/4"
    )
    head = jobs.ask(f"{done}/results/lines", method="HEAD", headers={"Range": "bytes=1-2"})
    assert (head.status, head.headers["Content-Length"], head.body) == (206, "2", b"")
    none = jobs.ask(f"{done}/results/lines", headers={"Range": "bytes=4-"})
    assert (none.status, none.headers["Content-Range"], none.label) == (416, "bytes */4", "UsageError")
    stale = jobs.ask(f"{done}/results/lines", headers={"Range": "bytes=1-2", "If-Range": '"x"'})
    assert (stale.status, stale.body) == (200, b"[0\n|")


@embedded
def test_single_files_of_a_job(jobs: JobServer, done: str) -> None:
    assert jobs.ask(f"{done}/files/0").body == b"0\n"
    assert jobs.ask(f"{done}/files/0", headers={"Range": "bytes=1-"}).status == 206


@embedded
@pytest.mark.parametrize(
    "what", ["results/none", "results/%2e%2e", "files/7", "results/lines%00", "parameters/NO"]
)
def test_what_a_job_does_not_have(jobs: JobServer, done: str, what: str) -> None:
    answer = jobs.ask(f"{done}/{what}")
    assert (answer.status, answer.label) == (404, "UsageError")


@embedded
@pytest.mark.parametrize(
    "name", ['a"b.txt', "ö.fits", "a\r\nSet-Cookie: x", "x" * 500, "../../etc/passwd", ""]
)
def test_names_and_types_are_safe_in_headers(jobs: JobServer, name: str) -> None:
    path = job_with(jobs, Result("r", "text/x\r\nX-Evil: 1", (Segment(data=b"1"),), name))
    answer = jobs.ask(f"{path}/results/r")
    assert (answer.status, answer.body) == (200, b"1")
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["X-Evil"] is answer.headers["Set-Cookie"] is None
    assert answer.headers["Content-Disposition"].isascii()


@embedded
def test_an_empty_result(jobs: JobServer) -> None:
    path = job_with(jobs, Result("r", "text/plain", ()))
    answer = jobs.ask(f"{path}/results/r")
    assert (answer.status, answer.headers["Content-Length"], answer.body) == (200, "0", b"")
    assert jobs.ask(f"{path}/results/r", headers={"Range": "bytes=0-"}).status == 416


BIG = 24_000_000


@pytest.fixture(scope="module")
def big(jobs: JobServer) -> tuple[str, bytes]:
    content = hashlib.shake_128(b"big").digest(BIG)
    segments_ = tuple(Segment("PART", at, 100_000) for at in range(0, BIG, 100_000))
    return job_with(jobs, Result("big", "application/zip", segments_, etag="big-1"), content=content), content


@embedded
def test_a_large_result_comes_whole_and_in_parts(jobs: JobServer, big: tuple[str, bytes]) -> None:
    path, content = big
    answer = jobs.ask(f"{path}/results/big")
    assert answer.headers["ETag"] == '"big-1"'
    assert hashlib.sha256(answer.body).digest() == hashlib.sha256(content).digest()
    part = jobs.ask(f"{path}/results/big", headers={"Range": "bytes=1234567-9999999"})
    assert part.body == content[1_234_567:10_000_000]


def open_download(jobs: JobServer, path: str, receive: int = 65_536) -> socket.socket:
    host, port = jobs.host.split(":")
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
    connection.settimeout(PATIENCE)
    connection.connect((host, int(port)))
    connection.sendall(f"GET /soda/async{path}/results/big HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    return connection


@embedded
def test_clients_that_do_not_read_cost_little_and_are_cut_off(
    jobs: JobServer, big: tuple[str, bytes]
) -> None:
    path, _ = big
    jobs.ask(f"{path}/results/big")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    slow = [open_download(jobs, path) for _ in range(20)]
    for one in slow:
        assert one.recv(100).startswith(b"HTTP/1.1 200")
    assert jobs.ask(f"{path}/phase").status == 200, "the others are served meanwhile"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20 * 5 * PIECE / 1024
    jobs.call(jobs.service._idle.wait())  # deadlines.write has passed for all of them
    for one in slow:
        with pytest.raises(ConnectionResetError):
            read_on(one)
        one.close()


def read_on(one: socket.socket) -> None:
    while one.recv(65_536):
        pass


class Flaky(ResultFolder):
    """A folder that fails after some reads, or from the start."""

    reads = 3
    error: Exception = Unavailable("The DataNodes do not answer.", "Try again later.")

    def open(self, name: str) -> Any:
        if self.reads == 0:
            raise self.error
        real, folder = super().open(name), self
        left = [self.reads]

        class Stored:
            size = real.size

            def read_at(self, offset: int, length: int) -> bytes:
                if not left[0]:
                    raise folder.error
                left[0] -= 1
                return real.read_at(offset, length)

            def close(self) -> None:
                real.close()

        return Stored()


@embedded
@pytest.mark.parametrize(
    ("error", "status", "label"),
    [
        (FileGone("It is gone."), 410, "Error"),
        (Unavailable("Not now."), 503, "ServiceUnavailable"),
        (Damaged("It is short."), 502, "Error"),
    ],
)
def test_a_result_that_cannot_be_read_at_all(
    jobs: JobServer,
    big: tuple[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    status: int,
    label: str,
) -> None:
    monkeypatch.setattr(Flaky, "reads", 0)
    monkeypatch.setattr(Flaky, "error", error)
    monkeypatch.setattr(jobs.room, "results", Flaky(jobs.results.url))
    answer = jobs.ask(f"{big[0]}/results/big")
    assert (answer.status, answer.label) == (status, label)
    assert answer.headers["Content-Disposition"] is answer.headers["ETag"] is None


@embedded
@pytest.mark.parametrize(
    "error", [Unavailable("Not now."), FileGone("Gone."), OSError("disk"), ValueError("a bug")]
)
@pytest.mark.parametrize("headers", [{}, {"Range": "bytes=100-20000000"}])
def test_a_store_that_fails_in_the_middle_cuts_the_connection(
    jobs: JobServer,
    big: tuple[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    headers: dict[str, str],
) -> None:
    monkeypatch.setattr(Flaky, "error", error)
    monkeypatch.setattr(jobs.room, "results", Flaky(jobs.results.url))
    connection = http.client.HTTPConnection(jobs.host, timeout=PATIENCE)
    connection.request("GET", f"/soda/async{big[0]}/results/big", headers=headers)
    answer = connection.getresponse()
    assert answer.status == (206 if headers else 200)
    with pytest.raises((ConnectionResetError, http.client.IncompleteRead)):
        answer.read()
    connection.close()


@embedded
def test_a_client_that_leaves_leaves_nothing_open(
    jobs: JobServer, big: tuple[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = threading.Event()

    class Watched(ResultFolder):
        def open(self, name: str) -> Any:
            real = super().open(name)

            class Stored:
                size = real.size
                read_at = staticmethod(real.read_at)

                def close(self) -> None:
                    real.close()
                    closed.set()

            return Stored()

    monkeypatch.setattr(jobs.room, "results", Watched(jobs.results.url))
    connection = open_download(jobs, big[0])
    assert connection.recv(100).startswith(b"HTTP/1.1 200")
    connection.close()
    assert closed.wait(PATIENCE)


@embedded
def test_a_result_may_have_any_name(jobs: JobServer) -> None:
    name = f"ivo://sodalake/ztf?{uuid.uuid4()}/science CIRCLE 1 2 3"
    path = job_with(jobs, Result(name, "text/plain", (Segment(data=b"found"),)))
    href = next(jobs.job(path).xml.iter("{*}result")).get("{http://www.w3.org/1999/xlink}href")
    assert href is not None
    assert jobs.ask("/" + href.removeprefix(f"http://{jobs.host}")).body == b"found"
