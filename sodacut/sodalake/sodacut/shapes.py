"""Shapes on the sky: circles, ranges and polygons, in ICRS degrees.

Every shape knows three things about itself, enough to find its pixels in any image: its outline as smooth
arcs, a cap that covers it, and whether it holds a given direction. A polygon is the smaller of the two parts
its edges (arcs of great circles) cut the sphere into, whichever way its vertices turn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sodalake.lake.sky import unit_vectors
from sodalake.sodacut.mocs import Cells

__all__ = ["Arc", "Circle", "Directions", "Polygon", "Range", "Region", "directions", "reduced"]

Directions = NDArray[np.float64]
"""Unit vectors on the sky, (n, 3)."""

Arc = Callable[[NDArray[np.float64]], Directions]
"""A smooth piece of an outline: parameters from 0 to 1 become directions."""

_FLAT = 1e-9  # width over length: a sliver 1″ long is 1 nano-arcsecond thin


@dataclass(frozen=True, slots=True)
class Circle:
    """A cap of the sphere: centre in [0, 360) and [-90, 90] degrees, radius in (0, 180] degrees."""

    lon: float
    lat: float
    radius: float

    def arcs(self) -> list[Arc]:
        """The outline as one closed arc."""
        centre = directions(self.lon, self.lat)[0]
        east, north = _axes_at(self.lon, self.lat)
        radius = math.radians(self.radius)

        def around(t: NDArray[np.float64]) -> Directions:
            turn = 2 * np.pi * t[:, None]
            aside = np.cos(turn) * east + np.sin(turn) * north
            points: Directions = math.cos(radius) * centre + math.sin(radius) * aside
            return points

        return [around]

    def cap(self) -> tuple[Directions, float]:
        """Centre (1, 3) and radius in degrees of a cap that covers the region."""
        return directions(self.lon, self.lat), self.radius

    def holds(self, points: Directions) -> NDArray[np.bool_]:
        """Whether each direction lies in the region."""
        # Chords keep their digits for small caps, where cosines lose them; a large cap is all but a small one.
        small = self.radius <= 90
        centre = directions(self.lon, self.lat) * (1 if small else -1)
        chords = ((points - centre) ** 2).sum(axis=1)
        limit = 4 * math.sin(math.radians(self.radius if small else 180 - self.radius) / 2) ** 2
        inside: NDArray[np.bool_] = chords <= limit if small else chords >= limit
        return inside


@dataclass(frozen=True, slots=True)
class Range:
    """Between two meridians and two parallels, in degrees.

    Attributes
    ----------
    west, east
        `west` in [0, 360), `east` in (west, west + 360]: eastwards from one to the other, through 0 where
        need be.
    south, north
        In [-90, 90].
    """

    west: float
    east: float
    south: float
    north: float

    def arcs(self) -> list[Arc]:
        """Parallels, and meridians unless the range goes all around."""
        west, east, south, north = self.west, self.east, self.south, self.north
        sides = [(west, east, lat, lat) for lat in (south, north) if abs(lat) < 90]
        if east - west < 360:
            sides += [(lon, lon, south, north) for lon in (west, east)]

        def side(lon1: float, lon2: float, lat1: float, lat2: float) -> Arc:
            return lambda t: directions(lon1 + (lon2 - lon1) * t, lat1 + (lat2 - lat1) * t)

        return [side(*one) for one in sides]

    def cap(self) -> tuple[Directions, float]:
        """A cap that covers the region; the whole sphere where it is wider than 90 degrees."""
        centre = directions((self.west + self.east) / 2, (self.south + self.north) / 2)
        if self.east - self.west > 90 or self.north - self.south > 90:
            return centre, 180.0
        return centre, _cover(centre, self.arcs())

    def near(self, lon: float, lat: float, radius: float) -> Range | None:
        """The part of the range about a cap (degrees), for images of a range that goes around the sky.

        Returns
        -------
        Range or None
            A range that holds whatever of this one the cap holds; None where that is nothing.
        """
        south, north = max(self.south, lat - radius), min(self.north, lat + radius)
        if south >= north:
            return None
        if abs(lat) + radius >= 90:  # a pole is in the cap: it has all longitudes
            return Range(self.west, self.east, south, north)
        aside = math.degrees(
            math.asin(min(1.0, math.sin(math.radians(radius)) / math.cos(math.radians(lat))))
        )
        if self.east - self.west == 360:
            west = reduced(lon - aside)
            return Range(west, west + 2 * aside, south, north)
        start = (lon - aside - self.west) % 360.0
        pieces = [
            (max(0.0, begin), min(self.east - self.west, begin + 2 * aside))
            for begin in (start - 360.0, start)
        ]
        pieces = [(begin, end) for begin, end in pieces if begin < end]
        if not pieces:
            return None
        begin, end = pieces[0] if len(pieces) == 1 else (0.0, self.east - self.west)
        west = reduced(self.west + begin)
        return Range(west, west + end - begin, south, north)

    def holds(self, points: Directions) -> NDArray[np.bool_]:
        """Whether each direction lies in the region."""
        lon = np.degrees(np.arctan2(points[:, 1], points[:, 0]))
        lat = np.degrees(np.arctan2(points[:, 2], np.hypot(points[:, 0], points[:, 1])))
        between: NDArray[np.bool_] = (lat >= self.south) & (lat <= self.north)
        return between & ((lon - self.west) % 360 <= self.east - self.west)


@dataclass(frozen=True, slots=True)
class Polygon:
    """Vertices joined by arcs of great circles, the last to the first; (lon, lat) in degrees."""

    vertices: tuple[tuple[float, float], ...]

    def arcs(self) -> list[Arc]:
        """One arc an edge."""
        corners = self._corners()

        def edge(start: Directions, end: Directions) -> Arc:
            def along(t: NDArray[np.float64]) -> Directions:
                straight = start + (end - start) * t[:, None]
                unit: Directions = straight / np.linalg.norm(straight, axis=1, keepdims=True)
                return unit

            return along

        return [edge(start, end) for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True)]

    def cap(self) -> tuple[Directions, float]:
        """A cap that covers the region."""
        corners = self._corners()
        centre = _middle(corners)
        return centre, float(np.degrees(np.max(_angles(corners, centre[0]))))

    def holds(self, points: Directions) -> NDArray[np.bool_]:
        """Whether each direction lies in the region.

        The edges wind around it, and it is on their side of the sky.
        """
        corners = self._corners()
        near: NDArray[np.bool_] = points @ _middle(corners)[0] > 0
        winding = np.zeros(len(points))
        for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            triple = points @ np.cross(start, end)
            along = (end @ start) - (points @ start) * (points @ end)
            winding += np.arctan2(triple, along)
        return near & (np.abs(winding) > np.pi)

    def is_flat(self) -> bool:
        """Whether it encloses nothing: fewer than three vertices that differ, or all on one great circle.

        (Meant for polygons within one half of the sky. Not by its area: that of a bow tie is none, too.)
        """
        corners = self._corners()
        centre = _middle(corners)[0]
        if len(np.unique(corners, axis=0)) < 3:
            return True
        east, north = _axes_of(centre)
        plane = np.stack([corners @ east, corners @ north], axis=1) / (corners @ centre)[:, None]
        long, short = np.linalg.svd(plane - plane.mean(axis=0), compute_uv=False)
        return bool(short <= _FLAT * long)

    def _corners(self) -> Directions:
        return directions(*np.array(self.vertices).T)


Region = Circle | Range | Polygon | Cells
"""What a cut follows; a coverage map (`Cells`) has no outline, and finds its pixels itself."""


def directions(lon: float | NDArray[np.float64], lat: float | NDArray[np.float64]) -> Directions:
    """Unit vectors (n, 3) of longitudes and latitudes in degrees."""
    return unit_vectors(*np.broadcast_arrays(np.atleast_1d(lon), np.atleast_1d(lat)))


def reduced(lon: float) -> float:
    """A longitude in [0, 360)."""
    rest = lon % 360.0
    return 0.0 if rest == 360.0 else rest  # -1e-20 % 360 is 360.0


def _middle(corners: Directions) -> Directions:
    total = corners.sum(axis=0, keepdims=True)
    length = np.linalg.norm(total)
    # Vertices that balance each other around the sphere have no middle; the pole then stands for "larger than
    # half".
    middle: Directions = total / length if length > 1e-9 else np.array([[0.0, 0.0, 1.0]])
    return middle


def _cover(centre: Directions, arcs: Sequence[Arc]) -> float:
    t = np.linspace(0, 1, 33)
    return float(np.degrees(max(np.max(_angles(arc(t), centre[0])) for arc in arcs))) * 1.001


def _angles(points: Directions, centre: Directions) -> NDArray[np.float64]:
    chords = np.linalg.norm(points - centre, axis=1)
    angles: NDArray[np.float64] = 2 * np.arcsin(np.minimum(chords / 2, 1.0))
    return angles


def _axes_at(lon: float, lat: float) -> tuple[Directions, Directions]:
    """East and north at a point (well defined at the poles too, where the longitude says which way)."""
    a, d = math.radians(lon), math.radians(lat)
    east = np.array([-math.sin(a), math.cos(a), 0.0])
    north = np.array([-math.sin(d) * math.cos(a), -math.sin(d) * math.sin(a), math.cos(d)])
    return east, north


def _axes_of(centre: Directions) -> tuple[Directions, Directions]:
    return _axes_at(
        math.degrees(math.atan2(centre[1], centre[0])),
        math.degrees(math.atan2(centre[2], math.hypot(centre[0], centre[1]))),
    )
