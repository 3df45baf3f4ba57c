"""Polygons on the sphere, one at a time, as numbers: longitude, latitude, longitude, … in degrees."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from . import sphere

__all__ = ["area", "around", "centroid", "pole"]

_MARGIN: Final = 1e-9  # degrees: what rounding may move a place that is on the edge


def pole(values: Sequence[float]) -> tuple[float, float, float] | None:
    """Return a direction within 90 degrees of all corners, as a unit vector; None where there is none."""
    poles, there = sphere.poles(sphere.corners(np.asarray([values], dtype=np.float64)))
    return tuple(poles[0].tolist()) if there[0] else None


def area(values: Sequence[float]) -> float:
    """Return the area of a point, circle or polygon in square degrees."""
    return float(sphere.areas(np.asarray([values], dtype=np.float64))[0])


def centroid(values: Sequence[float]) -> tuple[float, float]:
    """Return the longitude and latitude of the centre of a point, circle or polygon."""
    lon, lat = sphere.centroids(np.asarray([values], dtype=np.float64))[0].tolist()
    return lon, lat


def around(values: Sequence[float]) -> tuple[float, float, float]:
    """Return longitude, latitude and radius of a circle that holds a polygon."""
    points = sphere.corners(np.asarray([values], dtype=np.float64))
    x, y, z = sphere.poles(points)[0][0].tolist()
    lon, lat = math.degrees(math.atan2(y, x)) % 360, math.degrees(math.atan2(z, math.hypot(x, y)))
    reach = float(sphere.separation(points, np.array([x, y, z])).max())
    return lon, lat, math.degrees(reach) + _MARGIN
