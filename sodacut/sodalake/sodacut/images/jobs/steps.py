"""The steps of a job on images; see `sodalake.sodacut.jobs.steps`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sodalake.lake.results import ResultFolder
from sodalake.sodacut.images.jobs.running import run_unit
from sodalake.sodacut.images.jobs.units import ImageUnit, Resolved, resolve, units, whole
from sodalake.sodacut.images.jobs.work import ImageWork
from sodalake.sodacut.images.requests import Limits
from sodalake.sodacut.jobs.readers import Readers
from sodalake.sodacut.jobs.reports import UnitReport

__all__ = ["ImageSteps"]

_FEW: Final = 64  # targets
_LITTLE: Final = 4 * 1024 * 1024  # pixels


@dataclass(frozen=True, slots=True)
class ImageSteps:
    """How the work on images is done.

    Attributes
    ----------
    limits
        What one target may cost.
    """

    limits: Limits = field(default_factory=Limits)

    @property
    def name(self) -> str:
        """Cutouts."""
        return "cutouts"

    def resolve(self, readers: Readers, question: Any) -> Resolved:
        """See `units.resolve`."""
        return resolve(readers.images, question)

    def units(self, work: ImageWork, resolved: Sequence[Any], targets_per_unit: int) -> list[ImageUnit]:
        """See `units.units`."""
        return units(work, resolved, targets_per_unit)

    def whole(self, work: ImageWork, resolved: Sequence[Any]) -> ImageUnit:
        """Return all of a work as one unit, of several images where any target may be."""
        return whole(work, resolved)

    def least(self, work: ImageWork) -> int:
        """Return how many targets take no more pixels than are read and drawn in a second."""
        return max(1, min(_FEW, _LITTLE // max(1, work.side**2)))

    def several(self, todo: ImageWork | ImageUnit) -> bool:
        """Say whether some target holds several images at a time, or may."""
        if isinstance(todo, ImageUnit):
            return todo.several
        return any(order.is_several for order in todo.orders)

    def run(
        self,
        readers: Readers,
        unit: ImageUnit,
        results: ResultFolder,
        part: str,
        cancelled: Callable[[], bool],
    ) -> UnitReport:
        """See `running.run_unit`."""
        return run_unit(readers.images, unit, results, part, cancelled, self.limits)
