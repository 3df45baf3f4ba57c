import asyncio
import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sodalake.benchmarks.download import download
from sodalake.benchmarks.load import Answer, Outcome, Phase, drive

CSV = b"a\n1\n2\n"


def reply(body: bytes, status: bytes = b"200 OK", extra: bytes = b"") -> bytes:
    return b"HTTP/1.1 %b\r\n%bContent-Length: %d\r\n\r\n%b" % (status, extra, len(body), body)


async def against(replies: list[bytes], phase: dict[str, object]) -> tuple[Outcome, Counter[bytes]]:
    """Run a phase against a server that gives these answers in turn, then the last again and again."""
    asked: Counter[bytes] = Counter()
    left = iter(replies)
    last = replies[-1]

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                asked[head.split()[1]] += 1
                writer.write(next(left, last))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
        address = server.sockets[0].getsockname()[:2]
        return await drive(Phase([address], **phase)), asked  # type: ignore[arg-type]


def test_an_answer_with_other_rows_is_an_error() -> None:
    outcome, _ = asyncio.run(against([reply(CSV)], {"paths": ["/2", "/3"], "rows": [2, 3], "count": 10}))
    assert len(outcome.latencies) == 5
    assert outcome.errors == {"2 rows instead of 3": 5}
    assert outcome.bytes == 5 * len(CSV)


def test_what_a_service_says_is_wrong_is_told() -> None:
    said = b'<INFO name="QUERY_STATUS" value="ERROR">No.</INFO>'
    outcome, _ = asyncio.run(against([reply(said, b"400 Bad")], {"paths": ["/"], "rows": [2], "count": 2}))
    assert outcome.errors == {"HTTP 400: No.": 2}


def test_who_is_patient_asks_again_and_the_wait_counts() -> None:
    busy = reply(b"busy", b"503 Busy", b"Retry-After: 0.1\r\n")
    given = {"paths": ["/a", "/b"], "rows": [2, 2], "count": 2}
    outcome, asked = asyncio.run(against([busy, busy, reply(CSV)], given | {"patient": True}))
    assert (outcome.errors, outcome.waits, len(outcome.latencies)) == ({}, 2, 2)
    assert asked == {b"/a": 3, b"/b": 1}
    assert max(outcome.latencies) >= 0.2
    outcome, _ = asyncio.run(against([busy, reply(CSV)], given))
    assert (outcome.errors, outcome.waits, len(outcome.latencies)) == ({"HTTP 503": 1}, 0, 1)


def test_a_refusal_that_says_not_when_to_come_back_is_an_error() -> None:
    given = {"paths": ["/"], "rows": [2], "count": 1, "patient": True}
    outcome, _ = asyncio.run(against([reply(b"busy", b"503 Busy")], given))
    assert outcome.errors == {"HTTP 503": 1}


def test_each_path_has_its_rows() -> None:
    with pytest.raises(ValueError, match="2 paths, and rows for 1"):
        asyncio.run(drive(Phase([("127.0.0.1", 1)], ["/a", "/b"], count=1, rows=[1])))


@given(st.lists(st.binary(max_size=40), max_size=5), st.lists(st.integers(0, 300), max_size=8))
def test_a_body_is_kept_however_it_is_chunked_and_cut(chunks: list[bytes], places: list[int]) -> None:
    chunks = [chunk for chunk in chunks if chunk]
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body
    answer = Answer(keep=True)
    cuts = sorted({0, len(data), *(place % len(data) for place in places)})
    for begin, end in itertools.pairwise(cuts):
        answer.feed(data[begin:end])
    assert answer.whole
    assert bytes(answer.content) == b"".join(chunks)
    assert answer.body == len(answer.content)


def test_a_download_has_its_first_byte_before_its_last() -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1]
        writer.write(reply(b"a" * 10, b"400 Bad" if path == b"/bad" else b"200 OK")[:-5])
        await writer.drain()
        await asyncio.sleep(0.05)
        if path != b"/cut":
            writer.write(b"a" * 5)
        writer.close()

    async def asked(path: str) -> object:
        async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
            return await asyncio.to_thread(download, server.sockets[0].getsockname()[:2], path)

    got = asyncio.run(asked("/good"))
    assert got.content == b"a" * 10  # type: ignore[attr-defined]
    assert got.last - got.first > 0.04  # type: ignore[attr-defined]
    for path, said in (("/bad", "answered 400"), ("/cut", "cut off")):
        with pytest.raises(RuntimeError, match=said):
            asyncio.run(asked(path))
