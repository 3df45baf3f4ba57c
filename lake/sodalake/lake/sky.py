"""Places in the sky as numbers that sort: HEALPix cells, and a cone or a polygon as a short list of their ranges.

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

from .cells import around, cells_of, centres
from .errors import UsageError
from .importing import IMPORTS

__all__ = [
    "CELLS",
    "GAP",
    "ORDER",
    "Ranges",
    "check_cone",
    "cone_ranges",
    "joined",
    "polygon_ranges",
    "separations",
    "sky_cells",
    "unit_vectors",
    "warm_up",
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
_FEW: Final = 200  # cells: to look at so many takes as long as to look at one
_MARGIN: Final = 1e-9  # degrees: what rounding may move a place that is on a cell's edge
# The plane of an edge is known to 1e-16 rad over its length: of edges down to `_POINT`, to 6e-6 degrees or better.
_POINT: Final = 1e-9  # rad: shorter edges are points
_EDGE: Final = 1e-5  # degrees
_HEMISPHERE: Final = (
    89.0  # degrees: polygons that reach farther from their middle are looked for in all the sky
)

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
    with IMPORTS:
        import astropy.units as u
        from astropy.coordinates import Latitude, Longitude
        from cdshealpix.nested import lonlat_to_healpix

    if not there.any():
        return np.empty(0, np.uint64), there
    cells: npt.NDArray[np.uint64] = lonlat_to_healpix(
        Longitude(ra[there], u.deg), Latitude(dec[there], u.deg), ORDER, num_threads=1
    )
    return cells, there


def warm_up() -> None:
    """Import what cells are computed with, a second that the first cone of a process would have to wait."""
    cone_ranges(np.zeros(1), np.zeros(1), np.ones(1))


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
    final = min(max(wanted, 0), _FINEST)
    cells, owner, order = _around(ra, dec, which, wanted)
    while True:
        distance = separations(ra[owner], dec[owner], *centres(cells, order))
        near = distance <= radius[owner] + _REACH * _SIDE / (1 << order)
        cells, owner = cells[near], owner[near]
        if order == final:
            shift = 2 * (ORDER - order)
            return cells << shift, (cells + 1) << shift, owner
        # Of few cells a step costs the same however many they are, so two are made at once.
        steps = min(2 if len(cells) < _FEW else 1, final - order)
        parts = 1 << (2 * steps)
        cells, owner = (parts * cells[:, None] + np.arange(parts)).ravel(), np.repeat(owner, parts)
        order += steps


def _around(ra: _Floats, dec: _Floats, which: _Integers, wanted: int) -> tuple[_Integers, _Integers, int]:
    """Return the cells that hold cones whose cells shall be of one order, their cones, and the order of these cells."""
    order = min(wanted - (_FINENESS * _WIDE).bit_length() + 1, _FINEST)
    if order < 0:
        return np.tile(np.arange(12), len(which)), np.repeat(which, 12), 0
    cells, owner = around(cells_of(ra[which], dec[which], order), order)
    return cells, which[owner], order


def polygon_ranges(lon: _Floats, lat: _Floats, gap: int = GAP) -> Ranges:
    """Return ranges that hold every place in a polygon, its edge included, and some beyond.

    Parameters
    ----------
    lon, lat
        Its vertices (degrees, ICRS; V of them, any winding, convex or not). Edges are great circles. Of the two sides,
        the smaller is meant; where edges cross, every part that they go around.
    gap
        As in `cone_ranges`.

    Returns
    -------
    Ranges
        Sorted, apart, of owner 0: a few dozens, some hundreds at most. Of a polygon that is not within a hemisphere,
        or nearly not, all of the sky.

    Raises
    ------
    UsageError
        No vertices, or one that is no place.

    Notes
    -----
    As `cone_ranges`, downwards from cells around the polygon's middle: cells that no edge can cross and whose centre is
    outside are left out, those whose centre is inside are taken whole, and the others are quartered.
    """
    for at, (one, other) in enumerate(zip(lon.tolist(), lat.tolist(), strict=True)):
        if not math.isfinite(one) or not -90 <= other <= 90:
            raise UsageError(f"Vertex {at + 1} of the polygon, ({one}, {other}), is no place in the sky.")
    if not len(lon):
        raise UsageError("A polygon has no vertices.", "Give three or more.")
    corners = unit_vectors(lon, lat)
    middle = corners.sum(axis=0)
    length = float(np.linalg.norm(middle))
    everything = Ranges(np.zeros(1, np.int64), np.full(1, CELLS), np.zeros(1, np.int64))
    if length < _POINT:
        return everything
    middle /= length
    reach = math.degrees(float(np.max(np.arctan2(
        np.linalg.norm(np.cross(corners, middle), axis=1), corners @ middle
    ))))  # fmt: skip
    if reach >= _HEMISPHERE:
        return everything
    wanted = int(np.floor(np.log2(_SIDE * _FINENESS / (reach + _EDGE))))
    first, after = _covered_polygon(corners, middle, wanted)
    order = np.argsort(first)
    both = joined(Ranges(first[order], after[order], np.zeros(len(first), np.int64)), gap)
    starts, stops = np.array(both, np.int64).T
    return Ranges(starts, stops, np.zeros(len(both), np.int64))


def _covered_polygon(corners: _Floats, middle: _Floats, wanted: int) -> tuple[_Integers, _Integers]:
    """Return cells (first and after, in order `ORDER`) that hold a polygon within a hemisphere about its middle."""
    final = min(max(wanted, 0), _FINEST)
    ra = np.degrees(np.arctan2(middle[1:2], middle[:1]))
    dec = np.degrees(np.arctan2(middle[2:], np.hypot(middle[:1], middle[1:2])))
    cells, _, order = _around(ra, dec, np.zeros(1, np.int64), wanted)
    done: list[tuple[_Integers, _Integers]] = []
    while True:
        places = unit_vectors(*centres(cells, order))
        crossed = _from_edges(places, corners) <= _REACH * _SIDE / (1 << order) + _EDGE
        shift = 2 * (ORDER - order)
        taken = ~crossed & _inside(places, corners, middle)
        whole = cells[taken | crossed if order == final else taken]
        done.append((whole << shift, (whole + 1) << shift))
        if order == final:
            first, after = (np.concatenate(ends) for ends in zip(*done, strict=True))
            return first, after
        cells = (4 * cells[crossed][:, None] + np.arange(4)).ravel()
        order += 1


def unit_vectors(lon: _Floats, lat: _Floats) -> _Floats:
    """Return unit vectors (N x 3) of places in degrees."""
    turn, height = np.radians(lon), np.radians(lat)
    flat = np.cos(height)
    return np.stack([flat * np.cos(turn), flat * np.sin(turn), np.sin(height)], axis=-1)


def _from_edges(places: _Floats, corners: _Floats) -> _Floats:
    """Return the distances (degrees) of N places from a polygon's edge."""
    nearest = np.full(len(places), np.inf)
    for one, other in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        across = np.cross(one, other)
        long = float(np.linalg.norm(across))
        chord = np.minimum(np.linalg.norm(places - one, axis=1), np.linalg.norm(places - other, axis=1))
        apart = 2 * np.arcsin(np.minimum(1.0, chord / 2))
        if long >= _POINT:
            across /= long
            beside = (places @ np.cross(across, one) >= 0) & (places @ np.cross(other, across) >= 0)
            straight = np.arcsin(np.minimum(1.0, np.abs(places @ across)))
            apart = np.where(beside, np.minimum(apart, straight), apart)
        nearest = np.minimum(nearest, apart)
    return np.asarray(np.degrees(nearest), np.float64)


def _inside(places: _Floats, corners: _Floats, middle: _Floats) -> npt.NDArray[np.bool_]:
    """Return which of N places a polygon within a hemisphere goes around.

    In the gnomonic projection about its middle great circles are straight lines, and places have winding numbers.
    """
    axis = np.eye(3)[int(np.argmin(np.abs(middle)))]
    right = np.cross(axis, middle)
    right /= np.linalg.norm(right)
    up = np.cross(middle, right)
    before = places @ middle > 0
    there = places[before]
    x, y = (there @ right) / (there @ middle), (there @ up) / (there @ middle)
    vertices = np.stack([corners @ right, corners @ up], axis=-1) / (corners @ middle)[:, None]
    winding = np.zeros(len(there), np.int64)
    for (x_one, y_one), (x_two, y_two) in zip(vertices, np.roll(vertices, -1, axis=0), strict=True):
        left = (x_two - x_one) * (y - y_one) - (x - x_one) * (y_two - y_one)
        winding += (y_one <= y) & (y < y_two) & (left > 0)
        winding -= (y_two <= y) & (y < y_one) & (left < 0)
    inside = np.zeros(len(places), np.bool_)
    inside[before] = winding != 0
    return inside


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
