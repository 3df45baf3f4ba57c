"""Two small kinds of job for tests: one of many units, and one like TAP.

`Counting` has UNITS units; each writes its number as a line of its part, and the result `numbers` is the parts
one behind the other. Units can be told to take their time (SECONDS), to fail for good (FAIL=3,5), to fail once
(FLAKY=4), or to kill their worker once (KILL=2). `Streaming` has one unit that streams one result, and writes an
error document of its own.
"""

from __future__ import annotations

import itertools
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sodalake.uws.errors import BadJob
from sodalake.uws.jobs import Job, Result, Segment, UnitRecord
from sodalake.uws.kinds import (
    ONE,
    Cancelled,
    Document,
    Plan,
    Planning,
    ResultStore,
    Unit,
    UnitContext,
)

__all__ = ["Counting", "Streaming"]


def value_of(job: Job, name: str, default: str = "") -> str:
    return next((parameter.value for parameter in job.parameters if parameter.id.upper() == name), default)


def numbers_of(text: str) -> frozenset[int]:
    return frozenset(int(part) for part in text.split(",") if part)


def pause(seconds: float, context: UnitContext) -> None:
    """Take time, looking at the flag as real units do between their targets."""
    gate = threading.Event()
    for _ in range(max(1, int(seconds / 0.02))):
        if context.cancelled():
            raise Cancelled
        gate.wait(min(seconds, 0.02))


@dataclass(frozen=True)
class Counted:
    """The spec of one unit of `Counting`."""

    number: int
    seconds: float
    fails: bool
    mark: str
    kills: bool


def count(spec: Counted, context: UnitContext) -> UnitRecord:
    mark = Path(spec.mark) if spec.mark else None
    if mark is not None and not mark.exists():
        mark.touch()
        if spec.kills:
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError("the disk did not answer, once")
    if spec.fails:
        raise OSError("the disk does not answer")
    if spec.seconds:
        pause(spec.seconds, context)
    size = context.results.write(context.part, b"%d\n" % spec.number)
    return UnitRecord(spec.number, context.part, b"", targets=1, bytes=size)


@dataclass(frozen=True)
class CountingWork:
    """The work of one `Counting` job."""

    units: int
    seconds: float
    fail: frozenset[int]
    flaky: frozenset[int]
    kill: frozenset[int]
    marks: str
    job: str
    pool: str
    shape: str = "counting"

    @property
    def targets(self) -> int:
        return self.units

    @property
    def run(self) -> Any:
        return count

    def plan(self, planning: Planning) -> Plan:
        if planning.job.id != self.job:
            raise AssertionError("another job's planning")
        units = []
        halves = [range(self.units // 2), range(self.units // 2, self.units)]
        for number in itertools.chain.from_iterable(planning.map(list, halves)):
            once = number in self.flaky | self.kill
            mark = f"{self.marks}/{self.job}-{number}" if once else ""
            spec = Counted(number, self.seconds, number in self.fail, mark, number in self.kill)
            units.append(Unit(spec, 1, self.pool))
        return Plan(units, note={"units": self.units})

    def lost(self, unit: Unit, number: int, message: str) -> UnitRecord:
        return UnitRecord(number, "", message.encode(), targets=1, failed=1)

    def finish(
        self, planning: Planning, plan: Plan, records: Iterator[UnitRecord], whole: bool
    ) -> Sequence[Result]:
        known = list(records)
        parts = tuple(Segment(record.part, 0, record.bytes) for record in known if record.part)
        failed = "".join(
            f"{record.number}: {record.entries.decode()}\n" for record in known if not record.part
        )
        results = [Result("numbers", "text/plain", parts, "numbers.txt")]
        if failed:
            results.append(Result("failed", "text/plain", (Segment(data=failed.encode()),)))
        assert not whole or len(known) == plan.note["units"]
        return results


@dataclass(frozen=True)
class Counting:
    """The kind; `marks` is a folder for what happened once."""

    marks: str
    name: str = "counting"

    def check(self, job: Job, results: ResultStore) -> CountingWork:
        try:
            units = int(value_of(job, "UNITS", "3"))
            seconds = float(value_of(job, "SECONDS", "0"))
        except ValueError as error:
            raise BadJob(f"UNITS and SECONDS are numbers: {error}.", "Send UNITS=3.") from error
        fail, flaky, kill = (numbers_of(value_of(job, name)) for name in ("FAIL", "FLAKY", "KILL"))
        return CountingWork(units, seconds, fail, flaky, kill, self.marks, job.id, value_of(job, "POOL", ONE))

    def error_document(self, error: Exception) -> Document | None:
        return None


def stream(spec: str, context: UnitContext) -> UnitRecord:
    def lines() -> Iterator[bytes]:
        for row in range(int(spec)):
            if context.cancelled():
                raise Cancelled
            yield b"%d,%d\n" % (row, row * row)

    size = context.results.write(context.part, lines())
    return UnitRecord(0, context.part, b"", targets=1, bytes=size)


@dataclass(frozen=True)
class StreamingWork:
    """The work of one `Streaming` job."""

    query: str
    shape: str = "streaming"
    targets: int = 1

    @property
    def run(self) -> Any:
        return stream

    def plan(self, planning: Planning) -> Plan:
        if not self.query.startswith("SELECT "):
            raise BadJob(f"{self.query!r} is no query.", "Begin with SELECT.")
        return Plan([Unit(self.query.removeprefix("SELECT "))])

    def lost(self, unit: Unit, number: int, message: str) -> UnitRecord:
        raise BadJob(message)

    def finish(
        self, planning: Planning, plan: Plan, records: Iterator[UnitRecord], whole: bool
    ) -> Sequence[Result]:
        return [
            Result("result", "text/csv", (Segment(record.part, 0, record.bytes),), "result.csv")
            for record in records
        ]


@dataclass(frozen=True)
class Streaming:
    """The kind."""

    name: str = "streaming"

    def check(self, job: Job, results: ResultStore) -> StreamingWork:
        return StreamingWork(value_of(job, "QUERY"))

    def error_document(self, error: Exception) -> Document | None:
        body = f'<VOTABLE><INFO name="QUERY_STATUS" value="ERROR">{error}</INFO></VOTABLE>'
        return Document("application/x-votable+xml", body.encode())
