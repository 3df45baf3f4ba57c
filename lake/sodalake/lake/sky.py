"""Places in the sky as numbers that sort: HEALPix cells, and a cone as a short list of their ranges.

In HEALPix's NESTED numbering a cell of order *k* is four cells of order *k* + 1 with neighbouring numbers. So each
cell of any order is one range of cells of order `ORDER`, the finest (0.4 milliarcsec), and one table sorted by these
serves cones of every size: those of 1″ and those of half the sky.

Everything here is degrees, ICRS; longitudes may be any number of turns.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from .errors import UsageError

__all__ = [
    "CELLS",
    "GAP",
    "ORDER",
    "Ranges",
    "check_cone",
    "cone_ranges",
    "joined",
    "separations",
    "sky_cells",
]

ORDER: Final = 29
"""The finest order there is: 62 bits a cell."""

CELLS: Final = 12 << (2 * ORDER)
"""Number of cells of order `ORDER`."""

GAP: Final = 1 << (2 * (ORDER - 13))
"""Cells between two ranges that are read rather than left out: 664 square arcseconds.

A scan costs as much as a hundred rows (1.3 ms on HBase), and this area holds few alerts of any survey. So a cone of 1″
is one range or two.
"""

_SIDE: Final = math.degrees(math.sqrt(math.pi / 3))  # of a cell of order 0, as if cells were squares
# A cell's corners are at most 1.045 sides from its centre (in orders 0 to 7 all were looked at; later ones are alike).
_REACH: Final = 1.06
# A cone of a quarter of a cell's side is in that cell and those around it: opposite edges are 0.69 sides apart or more.
_WIDE: Final = 4
_FINENESS: Final = 16  # cells along twice a radius: what is read beyond a cone is a third of it, half at most
_FINEST: Final = 17  # 1.6″: `GAP` joins what would be finer
_MARGIN: Final = 1e-9  # degrees: what rounding may move a place that is on a cell's edge

_Floats = npt.NDArray[np.float64]
_Integers = npt.NDArray[np.int64]


def sky_cells(ra: _Floats, dec: _Floats) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.bool_]]:
    """Return the cells of order `ORDER` of N places, and which rows are places at all.

    Parameters
    ----------
    ra, dec
        Degrees (N). What is not finite, or beyond a pole, is no place.

    Returns
    -------
    cells
        M cells (uint64), of the rows that are places.
    there
        Which rows these are (bool, N).
    """
    with np.errstate(invalid="ignore"):
        there = np.isfinite(ra) & (np.abs(dec) <= 90)
    # Imported when used: it brings astropy's coordinates along, a second that a server of stamps has no use for.
    import astropy.units as u
    from astropy.coordinates import Latitude, Longitude
    from cdshealpix.nested import lonlat_to_healpix

    if not there.any():
        return np.empty(0, np.uint64), there
    cells: npt.NDArray[np.uint64] = lonlat_to_healpix(
        Longitude(ra[there], u.deg), Latitude(dec[there], u.deg), ORDER, num_threads=1
    )
    return cells, there


def check_cone(ra: float, dec: float, radius: float) -> None:
    """Refuse what is no cone: degrees, finite, `dec` within ±90, `radius` from 0 to 180.

    Raises
    ------
    UsageError
        With the value that is wrong.
    """
    if not math.isfinite(ra):
        raise UsageError(f"The right ascension {ra} is not a number of degrees.")
    if not -90 <= dec <= 90:
        raise UsageError(f"The declination {dec} is not between -90 and 90 degrees.")
    if not 0 <= radius <= 180:
        raise UsageError(f"The radius {radius} is not between 0 and 180 degrees.")


@dataclass(frozen=True, slots=True)
class Ranges:
    """Ranges of cells of order `ORDER` (M).

    Attributes
    ----------
    first, after
        The first cell of each, and the first after it (int64).
    owner
        Which of the cones each belongs to.
    """

    first: _Integers
    after: _Integers
    owner: _Integers

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(zip(self.first.tolist(), self.after.tolist(), strict=True))

    def __len__(self) -> int:
        return len(self.first)


def cone_ranges(ra: _Floats, dec: _Floats, radius: _Floats, gap: int = GAP) -> Ranges:
    """Return ranges that hold every place within a radius of each of N centres, and some beyond.

    Parameters
    ----------
    ra, dec, radius
        Degrees (N); `radius` from 0 to 180.
    gap
        Cells between two ranges of a cone that make them one.

    Returns
    -------
    Ranges
        Sorted by cone, then by cell, those of a cone apart: 1 or 2 for arcseconds, 10 to 60 for degrees.

    Raises
    ------
    UsageError
        As `check_cone`; the message has the number of the cone.

    Notes
    -----
    From the cell of the centre and those around it (of a size that they must hold the cone) down: cells of which no
    corner can be in the cone are left out, the others are quartered. cdshealpix's own `cone_search` is not used: of
    random cones it left out places at the rim of one in 5000, and most of the sky of those beyond 120° (0.9.0).
    """
    for at, cone in enumerate(zip(ra.tolist(), dec.tolist(), radius.tolist(), strict=True)):
        try:
            check_cone(*cone)
        except UsageError as error:
            raise UsageError(f"Position {at + 1}: {error.message}", error.advice) from error
    padded = radius + _MARGIN
    wanted = np.floor(np.log2(_SIDE * _FINENESS / padded)).astype(np.int64)
    parts = [
        _covered(ra, dec, padded, np.flatnonzero(wanted == order), order) for order in set(wanted.tolist())
    ]
    empty = np.empty(0, np.int64)
    first, after, owner = (np.concatenate([empty, *arrays]) for arrays in zip(*parts, strict=True)) if parts else (
        empty, empty, empty,
    )  # fmt: skip
    order_ = np.lexsort((first, owner))
    first, after, owner = first[order_], after[order_], owner[order_]
    new = np.ones(len(first), np.bool_)
    new[1:] = (owner[1:] != owner[:-1]) | (first[1:] - after[:-1] > gap)
    last = np.roll(new, -1)
    return Ranges(first[new], after[last], owner[new])


def _covered(
    ra: _Floats, dec: _Floats, radius: _Floats, which: _Integers, wanted: int
) -> tuple[_Integers, _Integers, _Integers]:
    """Return the cells (first and after, in order `ORDER`, and the cone) of cones whose cells shall be of one order."""
    from astropy import units as u
    from astropy.coordinates import Latitude, Longitude
    from cdshealpix import nested

    final = min(max(wanted, 0), _FINEST)
    order = min(wanted - (_FINENESS * _WIDE).bit_length() + 1, final)
    if order < 0:
        order = 0
        cells, owner = np.tile(np.arange(12), len(which)), np.repeat(which, 12)
    else:
        lon, lat = Longitude(ra[which], u.deg), Latitude(dec[which], u.deg)
        around = nested.neighbours(
            nested.lonlat_to_healpix(lon, lat, order, num_threads=1), order, num_threads=1
        )
        owner = np.repeat(which, around.shape[1])[around.ravel() >= 0]
        cells = around.ravel()[around.ravel() >= 0]
    while True:
        lon, lat = nested.healpix_to_lonlat(cells.astype(np.uint64), order, num_threads=1)
        distance = separations(ra[owner], dec[owner], lon.deg, lat.deg)
        near = distance <= radius[owner] + _REACH * _SIDE / (1 << order)
        cells, owner = cells[near], owner[near]
        if order == final:
            shift = 2 * (ORDER - order)
            return cells << shift, (cells + 1) << shift, owner
        cells, owner = (4 * cells[:, None] + np.arange(4)).ravel(), np.repeat(owner, 4)
        order += 1


def joined(ranges: Ranges, gap: int = GAP) -> list[tuple[int, int]]:
    """Return ranges sorted, whosever they are; those that overlap or are at most `gap` cells apart are made one."""
    order = np.argsort(ranges.first, kind="stable")
    first, after = ranges.first[order], np.maximum.accumulate(ranges.after[order])
    new = np.ones(len(first), np.bool_)
    new[1:] = first[1:] - after[:-1] > gap
    return list(zip(first[new].tolist(), after[np.roll(new, -1)].tolist(), strict=True))


def separations(ra: _Floats, dec: _Floats, other_ra: _Floats, other_dec: _Floats) -> _Floats:
    """Return great-circle distances in degrees, pair by pair.

    By Vincenty's formula, which is exact to rounding for neighbours and antipodes alike, where the law of cosines and
    the haversine lose digits.
    """
    turn = np.radians(other_ra - ra)
    one, two = np.radians(dec), np.radians(other_dec)
    sin_one, cos_one, sin_two, cos_two = np.sin(one), np.cos(one), np.sin(two), np.cos(two)
    cos_turn = np.cos(turn)
    across = np.hypot(cos_two * np.sin(turn), cos_one * sin_two - sin_one * cos_two * cos_turn)
    apart: _Floats = np.degrees(np.arctan2(across, sin_one * sin_two + cos_one * cos_two * cos_turn))
    return apart
