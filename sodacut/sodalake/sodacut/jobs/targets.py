"""Targets in the user's order: whose each is, which alert or position it means, and its own parameters.

`reading` makes them of an uploaded list, `work` makes work of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sodalake.lake.errors import LakeError

__all__ = ["NEAR", "REGIONS", "TargetList", "overridden"]

NEAR = 1 / 3600
"""Degrees: how near to a row's position its alert has to be, where nothing else is said."""

REGIONS = ("CIRCLE", "POLYGON", "POS", "MOC")
"""Parameters that name the part of a stamp or an image to cut out: one of them is meant at a time."""


@dataclass(frozen=True, slots=True)
class TargetList:
    """Targets in the user's order, as columns.

    Attributes
    ----------
    ids
        The user's ids.
    surveys, alerts
        Survey and alert id; no alert where the position decides, neither where `problems` has the row.
    ra, dec, radius
        Degrees (N float64), NaN where not given; `radius` is that of the search for an alert, never NaN.
    parameters
        Name in upper case → the rows' own values of a parameter of the request, None where the common one holds.
    problems
        Row (from 0) → the error that its result is.
    """

    ids: list[str]
    surveys: list[str | None]
    alerts: list[str | None]
    ra: NDArray[np.float64]
    dec: NDArray[np.float64]
    radius: NDArray[np.float64]
    parameters: dict[str, list[str | None]] = field(default_factory=dict)
    problems: dict[int, LakeError] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def own(self, row: int) -> dict[str, str]:
        """Return the parameters that a row has of its own."""
        return {name: value for name, column in self.parameters.items() if (value := column[row]) is not None}


def overridden(common: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """Return a row's parameters: the common ones, its own in place of them; a region in place of any region."""
    kept = dict(common)
    if any(name in own for name in REGIONS):
        for name in REGIONS:
            kept.pop(name, None)
    return {**kept, **own}
