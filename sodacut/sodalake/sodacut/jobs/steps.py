"""The steps of a job, whatever its targets are: what a kind of target says of how its work is done.

::

    resolved = [steps.resolve(readers, question) for question in work.chunks()]    # on workers
    todo = steps.units(work, resolved, 250)
    reports = [steps.run(readers, unit, results, part, cancelled) for …]           # on workers

A `Steps` is a value without a state that travels with every call. `StampSteps` are those of alerts; those of images are
in `sodalake.sodacut.images.jobs`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sodalake.lake.results import ResultFolder
from sodalake.sodacut.jobs.readers import Readers
from sodalake.sodacut.jobs.reports import UnitReport
from sodalake.sodacut.jobs.running import run_unit
from sodalake.sodacut.jobs.units import resolve, units

__all__ = ["StampSteps", "Steps", "WorkOf"]

_FEW = 64


class WorkOf(Protocol):
    """All that a job is to make; picklable."""

    @property
    def shape(self) -> str:
        """What it is like, for estimates."""

    def chunks(self, size: int = ...) -> Sequence[Any]:
        """Return the questions for the index, of at most `size` targets each."""

    def __len__(self) -> int:
        """How many targets there are."""


class Steps(Protocol):
    """How work is done; picklable."""

    @property
    def name(self) -> str:
        """What results are called: ``NAME.zip``."""

    def resolve(self, readers: Readers, question: Any) -> Any:
        """Ask the index where the pixels of a chunk's targets are; blocking, on a worker.

        Raises
        ------
        NotInLake, Unavailable
            No such survey; the row store does not answer.
        """

    def units(self, work: Any, resolved: Sequence[Any], targets_per_unit: int) -> Sequence[Any]:
        """Cut the work into units of neighbours: every target is in exactly one."""

    def whole(self, work: Any, resolved: Sequence[Any]) -> Any:
        """Return all of a work as one unit."""

    def least(self, work: Any) -> int:
        """Return how many targets of this work are so little that cutting them up is not worth it."""

    def several(self, todo: Any) -> bool:
        """Say whether a unit (or a work that is to be one) holds the pixels of several images at a time."""

    def run(
        self,
        readers: Readers,
        unit: Any,
        results: ResultFolder,
        part: str,
        cancelled: Callable[[], bool],
    ) -> UnitReport:
        """Do a unit and write its part; blocking, on a worker. Raises as `running.run_unit`."""


@dataclass(frozen=True, slots=True)
class StampSteps:
    """How the work on alerts is done."""

    @property
    def name(self) -> str:
        """Stamps."""
        return "stamps"

    def resolve(self, readers: Readers, question: Any) -> Any:
        """See `units.resolve`."""
        return resolve(readers.stamps, question)

    def units(self, work: Any, resolved: Sequence[Any], targets_per_unit: int) -> Sequence[Any]:
        """See `units.units`."""
        return units(work, resolved, targets_per_unit)

    def whole(self, work: Any, resolved: Sequence[Any]) -> Any:
        """See `units.units`."""
        (unit,) = units(work, resolved, max(1, len(work)))
        return unit

    def least(self, work: Any) -> int:
        """Return the same for all: a stamp takes a millisecond, and a unit some ten besides."""
        return _FEW

    def several(self, todo: Any) -> bool:
        """Never: a stamp is one image."""
        return False

    def run(
        self,
        readers: Readers,
        unit: Any,
        results: ResultFolder,
        part: str,
        cancelled: Callable[[], bool],
    ) -> UnitReport:
        """See `running.run_unit`."""
        return run_unit(readers.stamps, unit, results, part, cancelled)
