"""The steps of a job as they are called on a batch worker: with the URL of the lake, and readers that stay open."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from sodalake.lake.results import ResultFolder
from sodalake.sodacut.jobs.delivery import deliver
from sodalake.sodacut.jobs.readers import readers_of
from sodalake.sodacut.jobs.stamptables import write_parquet
from sodalake.sodacut.jobs.steps import Steps

__all__ = ["Context", "Whole", "resolve_here", "run_here", "write_parquet_here"]


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


@dataclass(frozen=True, slots=True)
class Whole:
    """Work that is one unit, and has not been looked up: asking the index in the same call saves a small job a third of
    its time.
    """

    work: Any

    def __len__(self) -> int:
        return len(self.work)


def resolve_here(steps: Steps, lake_url: str, question: Any) -> Any:
    """Ask the index; see `Steps.resolve`."""
    return steps.resolve(readers_of(lake_url), question)


def run_here(steps: Steps, lake_url: str, folder: ResultFolder | None, todo: Any, context: Context) -> Any:
    """Do a unit, or `Whole` work; see `Steps.run`. With `folder`, its files are written there too."""
    readers = readers_of(lake_url)
    if isinstance(todo, Whole):
        todo = steps.whole(todo.work, [steps.resolve(readers, one) for one in todo.work.chunks()])
    report = steps.run(readers, todo, context.results, context.part, context.cancelled)
    if folder is not None:
        deliver(context.results, report, folder, context.cancelled)
    return context.record(
        report.part, report.pack(), targets=report.targets, failed=report.failed, bytes=report.length
    )


def write_parquet_here(results: ResultFolder, name: str, fits: bool, parts: list[str]) -> int:
    """Write one Parquet file of a job's parts; see `stamptables.write_parquet`."""
    return write_parquet(results, parts, name, fits=fits)
