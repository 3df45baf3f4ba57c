"""The steps of a job as they are called on a batch worker: with the URL of the lake, and a reader that stays open.

A worker process keeps one reader a lake, with its connections and open files, from one unit to the next: opening
them costs more than reading a stamp.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Protocol

from sodalake.lake.lake import Lake
from sodalake.lake.memory import keep_freed_memory
from sodalake.lake.reader import Reader
from sodalake.lake.results import ResultFolder
from sodalake.sodacut.jobs.delivery import deliver
from sodalake.sodacut.jobs.running import run_unit
from sodalake.sodacut.jobs.stamptables import write_parquet
from sodalake.sodacut.jobs.units import Resolved, StampUnit, resolve, units
from sodalake.sodacut.jobs.work import Question, StampWork

__all__ = ["Context", "only_unit", "resolve_here", "run_here", "write_parquet_here"]


class Context(Protocol):
    """What a unit is given by whoever runs it."""

    @property
    def part(self) -> str:
        """The name its part is to have."""

    @property
    def results(self) -> Any:
        """Where it is written."""

    @property
    def cancelled(self) -> Callable[[], bool]:
        """Whether the job is over."""

    def record(self, part: str, entries: bytes, *, targets: int, failed: int, bytes: int) -> Any:
        """Make the record that is given back."""


@lru_cache(maxsize=4)
def _reader(lake_url: str) -> Reader:
    keep_freed_memory()
    return Reader(Lake.open(lake_url))


def resolve_here(lake_url: str, question: Question) -> Resolved:
    """Ask the index; see `units.resolve`."""
    return resolve(_reader(lake_url), question)


def run_here(
    lake_url: str, folder: ResultFolder | None, todo: StampUnit | StampWork, context: Context
) -> Any:
    """Do a unit; see `running.run_unit`. With `folder`, its files are written there too.

    Work that is a single unit anyway comes as it is: asking the index in the same call saves a job of one stamp a
    third of its time.
    """
    reader = _reader(lake_url)
    unit = (
        only_unit(todo, [resolve(reader, one) for one in todo.chunks()])
        if isinstance(todo, StampWork)
        else todo
    )
    report = run_unit(reader, unit, context.results, context.part, context.cancelled)
    if folder is not None:
        deliver(context.results, report, folder, context.cancelled)
    return context.record(
        report.part, report.pack(), targets=report.targets, failed=report.failed, bytes=report.length
    )


def only_unit(work: StampWork, resolved: Sequence[Resolved] = ()) -> StampUnit:
    """Return all of a work as one unit."""
    (unit,) = units(work, resolved, max(1, len(work)))
    return unit


def write_parquet_here(results: ResultFolder, name: str, fits: bool, parts: list[str]) -> int:
    """Write one Parquet file of a job's parts; see `stamptables.write_parquet`."""
    return write_parquet(results, parts, name, fits=fits)
