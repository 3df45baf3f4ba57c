"""A load generator that costs little: HTTP/1.1 keep-alive on asyncio, and a parser that only finds ends.

Client and server share the machine's cores, so every microsecond spent here is taken from what is measured:
a client library takes about a millisecond a request, this takes about 50 µs. It runs in a process of its
own (`run_phases`), is bounded in requests or in time, and counts what is not a whole 200 as an error by its
reason.

An answer's latency is from the first byte sent to the last byte received, on a connection that is already
open.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import json
import math
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from .answer import Answer
from .rowcounts import told_error, wrong_rows

__all__ = ["Answer", "Outcome", "Phase", "drive", "middle", "run_phases", "run_whole"]


@dataclass(frozen=True, slots=True)
class Phase:
    """One measurement: who asks what, how many at a time, and until when.

    Attributes
    ----------
    addresses
        Host and port of the servers; clients are spread over them in turn.
    paths
        Paths with queries, asked in turn by whichever client is free, over and over.
    clients
        Connections, each with one request under way.
    count, seconds
        Requests in all, or seconds after which no request is begun; one of the two.
    timeout
        Seconds for one answer.
    headers
        Further request headers.
    rows
        Rows that the answer to each path has (`sodalake.benchmarks.rowcounts`), as many as there are paths; empty:
        answers are not looked at.
    patient
        Whether who is answered 503 waits as long as Retry-After says and asks again: the answer's latency is from the
        first time it was asked for. A 503 without Retry-After is an error.
    """

    addresses: Sequence[tuple[str, int]]
    paths: Sequence[str]
    clients: int = 1
    count: int | None = None
    seconds: float | None = None
    timeout: float = 60.0
    headers: Mapping[str, str] = field(default_factory=dict)
    rows: Sequence[int] = ()
    patient: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a phase.

    Attributes
    ----------
    latencies
        Seconds of each good answer.
    errors
        Reason → number.
    bytes
        Of the good answers' bodies.
    seconds
        Wall time.
    waits
        Times somebody patient was answered 503.
    """

    latencies: list[float]
    errors: dict[str, int]
    bytes: int
    seconds: float
    waits: int = 0

    def quantile(self, fraction: float) -> float:
        """Return the latency in seconds that `fraction` of the answers kept (nearest rank; NaN if none)."""
        if not self.latencies:
            return math.nan
        ordered = sorted(self.latencies)
        return ordered[max(0, math.ceil(fraction * len(ordered)) - 1)]

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return len(self.latencies) / self.seconds if self.seconds else 0.0

    @staticmethod
    def joined(outcomes: Sequence[Outcome]) -> Outcome:
        """Return several outcomes as one."""
        errors: Counter[str] = Counter()
        for one in outcomes:
            errors.update(one.errors)
        return Outcome(
            list(itertools.chain.from_iterable(one.latencies for one in outcomes)),
            dict(errors),
            sum(one.bytes for one in outcomes),
            sum(one.seconds for one in outcomes),
            sum(one.waits for one in outcomes),
        )


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self._transport: Any = None
        self._answer: Answer | None = None
        self._waiter: asyncio.Future[Answer] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def ask(self, request: bytes, waiter: asyncio.Future[Answer], keep: bool) -> None:
        self._answer, self._waiter = Answer(keep), waiter
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._waiter is None or self._waiter.done():
            return
        try:
            if self._answer.feed(data):
                self._waiter.set_result(self._answer)
        except ValueError as error:
            self._waiter.set_exception(error)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiter is not None and self._answer is not None and not self._waiter.done():
            if exc is None and self._answer.end():
                self._waiter.set_result(self._answer)
            else:
                self._waiter.set_exception(ConnectionResetError("connection lost"))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    @property
    def usable(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()


async def drive(phase: Phase) -> Outcome:
    """Run one phase in this event loop.

    Raises
    ------
    ValueError
        The phase has no end, or nothing to ask.
    """
    if (phase.count is None) == (phase.seconds is None) or not phase.paths or not phase.addresses:
        raise ValueError("A phase has addresses, paths, and either a count or seconds.")
    if phase.rows and len(phase.rows) != len(phase.paths):
        raise ValueError(f"A phase has {len(phase.paths)} paths, and rows for {len(phase.rows)}.")
    extra = "".join(f"{name}: {value}\r\n" for name, value in phase.headers.items())
    tail = f" HTTP/1.1\r\nHost: bench\r\n{extra}\r\n"
    requests = [f"GET {path}{tail}".encode("ascii") for path in phase.paths]
    rows: Sequence[int | None] = phase.rows or [None] * len(requests)
    turns = itertools.cycle(zip(requests, rows, strict=True))
    bounded: Iterator[int] = itertools.count() if phase.count is None else iter(range(phase.count))
    run = _Run(phase, turns, bounded)
    connections = [await run.connect(number) for number in range(phase.clients)]
    began = time.perf_counter()
    run.until = math.inf if phase.seconds is None else began + phase.seconds
    await asyncio.gather(*(run.client(number, held) for number, held in enumerate(connections)))
    return Outcome(run.latencies, dict(run.errors), run.bytes, time.perf_counter() - began, run.waits)


class _Run:
    def __init__(
        self, phase: Phase, turns: Iterator[tuple[bytes, int | None]], bounded: Iterator[int]
    ) -> None:
        self._phase, self._turns, self._bounded = phase, turns, bounded
        self._loop = asyncio.get_running_loop()
        self.latencies: list[float] = []
        self.errors: Counter[str] = Counter()
        self.bytes = 0
        self.waits = 0
        self.until = math.inf

    async def connect(self, number: int) -> _Connection | None:
        host, port = self._phase.addresses[number % len(self._phase.addresses)]
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(self._phase.timeout):
                _, connection = await self._loop.create_connection(_Connection, host, port)
                return connection
        return None

    async def client(self, number: int, held: _Connection | None) -> None:
        while time.perf_counter() < self.until and next(self._bounded, None) is not None:
            if held is None or not held.usable:
                held = await self.connect(number)
                if held is None:
                    self.errors["no connection"] += 1
                    await asyncio.sleep(
                        0.01
                    )  # a server that is gone is not asked ten thousand times a second
                    continue
            if not await self._one(held):
                held.close()
        if held is not None:
            held.close()

    async def _one(self, connection: _Connection) -> bool:
        """Ask once and note what came; say whether the connection may be used again."""
        request, rows = next(self._turns)
        began = time.perf_counter()
        try:
            answer = await self._answer(connection, request, keep=rows is not None)
            while self._phase.patient and answer.status == 503 and b"retry-after" in answer.headers:
                self.waits += 1
                await asyncio.sleep(float(answer.headers[b"retry-after"]))
                answer = await self._answer(connection, request, keep=rows is not None)
        except TimeoutError:
            self.errors["timeout"] += 1
            return False
        except ConnectionResetError:
            self.errors["connection lost"] += 1
            return False
        except ValueError as error:
            self.errors[f"not HTTP: {error}"] += 1
            return False
        taken = time.perf_counter() - began
        if answer.status != 200:
            said = told_error(answer.content)
            self.errors[f"HTTP {answer.status}{': ' if said else ''}{said}"] += 1
        elif not answer.body:
            self.errors["empty answer"] += 1
        elif rows is not None and (wrong := wrong_rows(answer.content, rows)):
            self.errors[wrong] += 1
        else:
            self.latencies.append(taken)
            self.bytes += answer.body
        return not answer.closes

    async def _answer(self, connection: _Connection, request: bytes, keep: bool) -> Answer:
        waiter: asyncio.Future[Answer] = self._loop.create_future()
        late = self._loop.call_later(self._phase.timeout, _expire, waiter)
        connection.ask(request, waiter, keep)
        try:
            return await waiter
        finally:
            late.cancel()


def _expire(waiter: asyncio.Future[Answer]) -> None:
    if not waiter.done():
        waiter.set_exception(TimeoutError())


def run_phases(phases: Sequence[Phase]) -> list[Outcome]:
    """Run phases one after another in a process of their own, and return what came of each.

    Raises
    ------
    RuntimeError
        The process failed; its last words are in the message.
    """
    work = json.dumps([asdict(phase) for phase in phases])
    done = subprocess.run(
        [sys.executable, "-m", __name__], input=work, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"The load generator failed: {done.stderr[-2000:]}")
    return [Outcome(**one) for one in json.loads(done.stdout)]


def run_whole(phases: Sequence[Phase]) -> list[Outcome]:
    """Run phases as `run_phases`, all of whose answers have to be good.

    Raises
    ------
    RuntimeError
        An answer was an error, or had other rows than it must have: there is nothing to compare then.
    """
    outcomes = run_phases(phases)
    for outcome in outcomes:
        if outcome.errors or not outcome.latencies:
            raise RuntimeError(f"Requests failed while measuring: {outcome.errors or 'no answers at all'}")
    return outcomes


def middle(rounds: Sequence[Outcome], fraction: float = 0.5) -> float:
    """Return the median over the rounds of a quantile, in milliseconds."""
    return 1e3 * median(outcome.quantile(fraction) for outcome in rounds)


def main() -> None:
    """Read phases as JSON from standard input, write their outcomes to standard output."""
    phases = [Phase(**one) for one in json.load(sys.stdin)]
    gc.disable()  # a collection in the client would be counted as the server's

    async def everything() -> list[dict[str, Any]]:
        return [asdict(await drive(phase)) for phase in phases]

    json.dump(asyncio.run(everything()), sys.stdout)


if __name__ == "__main__":
    main()
