from __future__ import annotations

import asyncio
import json
import math
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from sodalake.benchmarks import COMMANDS
from sodalake.benchmarks.jobmeasures import quantile
from sodalake.benchmarks.jobs import BENCH
from sodalake.benchmarks.jobstage import JobScale
from sodalake.benchmarks.stampstage import StampScale
from sodalake.benchmarks.supervised import Piece
from sodalake.benchmarks.uwsclient import Connection, JobClient, Seen, form, multipart
from sodalake.lake.cluster import Cluster
from sodalake.server.jobs.forms import read_form

TINY = JobScale(
    archive=StampScale(files=2, rows=140, rounds=1, requests=8, bulk_files=2, bulk_stamps=200),
    trivial=3,
    waiters=20,
    changes=6,
    submit_clients=2,
    submit_seconds=0.5,
    lists=(5,),
    list_requests=5,
    targets=280,
    rounds=1,
    aborts=1,
    units=60,
    kills=4,
    learn=2,
    foretell=1,
    largest=20,
)
# What comes from the machine's speed is no mark here; what has to be right is.
RIGHT = ("not in the list", "not COMPLETED", "not exactly once")


@pytest.mark.embedded
@pytest.mark.parametrize(
    "rows", [("trivial", "waking", "submissions", "lists", "beside", "bulk"), ("abort",)]
)
def test_rows_are_measured_embedded(rows: tuple[str, ...], tmp_path: Path) -> None:
    report = BENCH.run(TINY, rows=rows, where=("embedded",), cache=tmp_path)
    assert {figure.row for figure in report.figures} == set(rows)
    assert all(figure.reached >= 0 for figure in report.figures)
    assert all(figure.met for figure in report.figures if any(word in figure.measure for word in RIGHT))
    assert json.loads(json.dumps(report.to_dict()))["name"] == "jobs"


@pytest.mark.embedded
def test_a_job_outlives_every_process_of_the_service(tmp_path: Path) -> None:
    report = BENCH.run(TINY, rows=("kills",), where=("embedded",), cache=tmp_path)
    assert [(figure.measure, figure.reached) for figure in report.figures] == [
        ("kill -9 at 4 random moments of a 60-unit job: jobs not COMPLETED", 0),
        ("kill -9 at 4 random moments of a 60-unit job: units not exactly once in the manifest", 0),
    ]
    note = report.figures[0].note
    assert all(name in note for name in ("server 1×", "scheduler 1×", "worker 1 1×", "worker 2 1×"))


@pytest.mark.cluster
def test_rows_are_measured_on_a_cluster(cluster: Cluster, tmp_path: Path) -> None:
    rows = ("trivial", "bulk")
    report = BENCH.run(TINY, rows=rows, where=("cluster",), cluster_folder=cluster.folder, cache=tmp_path)
    assert {(figure.row, figure.place) for figure in report.figures} == {(row, "cluster") for row in rows}


def test_rows_that_can_be_asked_for_are_the_rows_there_are() -> None:
    (only,) = (option for option in COMMANDS["jobs"].params if option.name == "only")
    assert tuple(only.type.choices) == tuple(BENCH.rows)  # type: ignore[attr-defined]


def test_help_is_quick_to_read() -> None:
    text = CliRunner().invoke(COMMANDS["jobs"], ["--help"]).output
    for option in ("--json", "--quick", "--only", "--where", "--lake-cluster"):
        assert option in text


def test_quantiles_are_values_that_were_measured() -> None:
    assert quantile([3, 1, 2], 0.5) == 2
    assert quantile(range(1, 101), 0.99) == 99
    assert quantile([5], 0.99) == 5
    assert math.isnan(quantile([], 0.5))


# ---------------------------------------------------------------------- the client


def against(answer: Callable[[bytes], bytes], ask: Callable[[tuple[str, int]], Awaitable[None]]) -> None:
    """Run `ask` against a server that answers each head of a request with these bytes, and then hangs up."""

    async def main() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while True:
                    head = await reader.readuntil(b"\r\n\r\n")
                    writer.write(answer(head))
                    await writer.drain()
            except asyncio.IncompleteReadError:
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            await ask(server.sockets[0].getsockname()[:2])

    asyncio.run(main())


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, b"hello"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=1\r\nlo\r\n0\r\n\r\n",
            200,
            b"hello",
        ),
        (b"HTTP/1.1 303 See Other\r\nLOCATION: /a\r\nContent-Length: 0\r\n\r\n", 303, b""),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
    ],
)
def test_answers_are_read_whole_on_one_connection(answer: bytes, status: int, body: bytes) -> None:
    async def ask(address: tuple[str, int]) -> None:
        async with Connection(address, {"X-Mark": "1"}) as connection:
            for _ in range(3):
                reply = await connection.ask("GET", "/")
                assert (reply.status, reply.body) == (status, body)
                assert 0 < reply.seconds < 60
        if status == 303:
            assert reply.headers["location"] == "/a"

    def answered(head: bytes) -> bytes:
        assert b"X-Mark: 1\r\n" in head
        return answer

    against(answered, ask)


@pytest.mark.parametrize(
    "cut", [b"", b"HTTP/1.1 200 OK\r\nContent-", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel"]
)
def test_a_broken_connection_is_said(cut: bytes) -> None:
    async def ask(address: tuple[str, int]) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(cut)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            with pytest.raises(ConnectionError):
                await Connection(server.sockets[0].getsockname()[:2]).ask("GET", "/")

    against(lambda head: b"", ask)


def test_a_refusal_is_no_job() -> None:
    async def ask(address: tuple[str, int]) -> None:
        async with JobClient(address) as client:
            with pytest.raises(RuntimeError, match=r"429 .*too many"):
                await client.submit([("ID", "x")])
            with pytest.raises(RuntimeError, match="429"):
                await client.look("/soda/async/1")

    against(lambda head: b"HTTP/1.1 429 No\r\nContent-Length: 8\r\n\r\ntoo many", ask)


def test_a_document_is_understood() -> None:
    document = (
        b'<uws:job xmlns:uws="x"><uws:phase>EXECUTING</uws:phase><uws:jobInfo><progress xmlns="y">'
        b"<total>9</total><done>4</done><failed>1</failed></progress></uws:jobInfo></uws:job>"
    )

    async def ask(address: tuple[str, int]) -> None:
        async with JobClient(address) as client:
            seen = await client.look("/soda/async/1")
            assert seen == Seen("EXECUTING", 9, 4, 1, seen.received)

    against(lambda head: b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(document) + document, ask)


def test_bodies_are_what_the_service_reads() -> None:
    from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine, parse_body_arguments

    targets = b"candid\n1\n2\n"
    for body, content_type, files in (
        (*form([("ID", "ivo://a/b?1"), ("ID", "2"), ("PHASE", "RUN")]), 0),
        (*multipart([("ID", "ivo://a/b?1"), ("ID", "2"), ("PHASE", "RUN")], targets), 1),
    ):
        request = HTTPServerRequest(
            start_line=RequestStartLine("POST", "/soda/async", "HTTP/1.1"),
            body=body,
            headers=HTTPHeaders({"Host": "bench"}),
        )
        parse_body_arguments(content_type, body, request.body_arguments, request.files)
        request.arguments = {**request.body_arguments}
        read = read_form(request)
        assert [p.value for p in read.parameters if p.id == "ID"] == ["ivo://a/b?1", "2"]
        assert read.ours.one("PHASE") == "RUN"
        assert [part.content for part in read.parts] == [targets] * files


# ---------------------------------------------------------------------- pieces


def test_a_piece_that_dies_is_started_again() -> None:
    async def main() -> None:
        code = "import sys, time; print('ready', flush=True); sys.stdin.close(); time.sleep(600)"
        piece = Piece("sleeper", [sys.executable, "-c", code], {}, ready="ready")
        piece.begin()
        try:
            async with asyncio.timeout(60):
                for life in (1, 2, 3):
                    await piece.ready.wait()
                    assert piece.starts == life
                    piece.ready.clear()
                    await piece.kill()
        finally:
            await piece.end()

    asyncio.run(main())
