import asyncio
import itertools
import math
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sodalake.benchmarks.load import Answer, Outcome, Phase, drive, run_phases

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n\r\n\r\n\r\n\r\n0\r\n\r\n"
)
NOT_MODIFIED = b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n"


def cut(data: bytes, places: list[int]) -> list[bytes]:
    at = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:stop] for start, stop in itertools.pairwise(at)]


@given(
    st.sampled_from([(OK, 200, 5), (CHUNKED, 200, 11), (NOT_MODIFIED, 304, 0)]), st.lists(st.integers(0, 200))
)
def test_an_answers_end_is_found_however_it_is_cut(case: tuple[bytes, int, int], places: list[int]) -> None:
    data, status, size = case
    answer = Answer()
    ends = [answer.feed(part) for part in cut(data, places) if part]
    assert ends == [False] * (len(ends) - 1) + [True]
    assert (answer.status, answer.body, answer.whole) == (status, size, True)


@given(st.sampled_from([OK, CHUNKED]), st.integers(0, 200))
def test_an_answer_that_is_cut_short_is_not_whole(data: bytes, place: int) -> None:
    answer = Answer()
    part = data[: place % len(data)]
    assert not (part and answer.feed(part))
    assert not answer.end()


def test_without_a_length_the_connections_end_is_the_answers() -> None:
    answer = Answer()
    assert not answer.feed(b"HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nsome")
    assert answer.end()
    assert (answer.body, answer.closes) == (4, True)


@pytest.mark.parametrize(
    "data", [b"SSH-2.0-x", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabc", b"HTTP/1.1 x\r\n\r\n"]
)
def test_what_is_no_answer_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        Answer().feed(data)


# ---------------------------------------------------------------------- against a server

Serve = Callable[[bytes, asyncio.StreamWriter], Awaitable[bool]]


async def against(serve: Serve, phase: Callable[[tuple[str, int]], Phase]) -> tuple[Outcome, int]:
    """Run a phase against a server that answers each head by `serve` (False: hang up); count its connections."""
    connections = 0

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        try:
            while await serve(await reader.readuntil(b"\r\n\r\n"), writer):
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()[:2]
        return await drive(phase((host, port))), connections


async def _reply(head: bytes, writer: asyncio.StreamWriter) -> bool:
    """Answer as the request's path says."""
    path = head.split()[1]
    if path == b"/lost":
        writer.write(OK[:-2])
        return False
    if path == b"/late":
        return True
    replies = {
        b"/good": OK,
        b"/chunks": CHUNKED,
        b"/bad": b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno",
        b"/empty": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"/garbage": b"garbage garbage\r\n\r\n",
        b"/last": b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nlast",
    }
    writer.write(replies[path])
    return path != b"/last"


def test_good_answers_are_timed_on_one_connection_a_client() -> None:
    outcome, connections = asyncio.run(
        against(_reply, lambda address: Phase([address], ["/good", "/chunks"], clients=3, count=20))
    )
    assert outcome.errors == {}
    assert len(outcome.latencies) == 20
    assert outcome.bytes == 10 * 5 + 10 * 11
    assert connections == 3
    assert 0 < outcome.quantile(0.5) <= outcome.quantile(0.99) <= outcome.seconds


def test_every_kind_of_failure_is_counted_and_the_run_goes_on() -> None:
    paths = ["/good", "/bad", "/empty", "/lost", "/garbage", "/late", "/last", "/good"]
    outcome, connections = asyncio.run(
        against(_reply, lambda address: Phase([address], paths, count=16, timeout=0.2))
    )
    assert outcome.errors == {
        "HTTP 500": 2,
        "empty answer": 2,
        "connection lost": 2,
        "not HTTP: no HTTP head": 2,
        "timeout": 2,
    }
    assert len(outcome.latencies) == 6
    assert connections == 9  # the first, and one anew behind each of the 8 that could not be used again


def test_headers_are_sent() -> None:
    heads: list[bytes] = []

    async def serve(head: bytes, writer: asyncio.StreamWriter) -> bool:
        heads.append(head)
        return await _reply(head, writer)

    asyncio.run(
        against(serve, lambda address: Phase([address], ["/good"], count=1, headers={"Accept": "x/y"}))
    )
    assert heads == [b"GET /good HTTP/1.1\r\nHost: bench\r\nAccept: x/y\r\n\r\n"]


def test_a_phase_ends_with_its_time() -> None:
    outcome, _ = asyncio.run(
        against(_reply, lambda address: Phase([address], ["/good"], clients=2, seconds=0.05))
    )
    assert outcome.errors == {}
    assert outcome.latencies
    assert outcome.seconds >= 0.05


def test_a_server_that_is_not_there_is_an_error_and_no_crash() -> None:
    outcome = asyncio.run(drive(Phase([("127.0.0.1", 1)], ["/"], clients=2, count=4)))
    assert outcome.errors == {"no connection": 4}
    assert math.isnan(outcome.quantile(0.5))


@pytest.mark.parametrize(
    "phase",
    [
        Phase([("127.0.0.1", 1)], ["/"]),
        Phase([("127.0.0.1", 1)], ["/"], count=1, seconds=1),
        Phase([], ["/"], count=1),
        Phase([("127.0.0.1", 1)], [], count=1),
    ],
)
def test_a_phase_without_end_or_aim_is_refused(phase: Phase) -> None:
    with pytest.raises(ValueError, match="A phase has"):
        asyncio.run(drive(phase))


def test_phases_run_in_a_process_of_their_own() -> None:
    async def both() -> list[Outcome]:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with_head = True
            while with_head:
                try:
                    with_head = await _reply(await reader.readuntil(b"\r\n\r\n"), writer)
                except asyncio.IncompleteReadError:
                    break
            writer.close()

        async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
            address = server.sockets[0].getsockname()[:2]
            phases = [Phase([address], ["/good"], count=3), Phase([address], ["/bad"], count=2)]
            return await asyncio.to_thread(run_phases, phases)

    good, bad = asyncio.run(both())
    assert (len(good.latencies), good.errors, good.bytes) == (3, {}, 15)
    assert bad.errors == {"HTTP 500": 2}


def test_what_the_process_says_when_it_fails_is_told() -> None:
    with pytest.raises(RuntimeError, match="A phase has"):
        run_phases([Phase([], ["/"], count=1)])


def test_outcomes_are_joined() -> None:
    joined = Outcome.joined(
        [Outcome([0.1, 0.3], {"timeout": 1}, 5, 1.0), Outcome([0.2], {"timeout": 2}, 6, 2.0)]
    )
    assert joined == Outcome([0.1, 0.3, 0.2], {"timeout": 3}, 11, 3.0)
    assert joined.quantile(0.5) == 0.2
    assert joined.quantile(1.0) == 0.3
    assert joined.rate == 1.0
