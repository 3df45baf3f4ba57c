"""Points, circles and polygons on the sphere, many at once, in numpy.

Shapes come as rows of numbers in degrees: 2 are a point, 3 a circle, 2n a polygon of n corners. Edges are great
circles; what is on a boundary is inside. A polygon must fit into half the sky; which of its two sides is meant is then
clear, whichever way its corners go round.

Differences of unit vectors are taken before they are multiplied: so a polygon of an arcsecond is as exact as one of ten
degrees (the plain cross product of its corners loses five digits).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = [
    "areas",
    "centroids",
    "contained",
    "corners",
    "intersecting",
    "poles",
    "separation",
    "unit",
    "valid",
]

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

_NEAR: Final = 4e-15  # radians, a nanoarcsecond: what rounding moves a place that is on an edge
_SMALL: Final = 1e-3  # radians: below it the plane is as good as the sphere, and keeps more digits
_PAIRS: Final = 64  # corners up to which every pair of them is looked at for a pole


def unit(lon: Floats, lat: Floats) -> Floats:
    """Return unit vectors (…, 3) of places in degrees."""
    a, d = np.radians(lon), np.radians(lat)
    return np.stack([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)], axis=-1)


def corners(polygons: Floats) -> Floats:
    """Return the corners (N, m, 3) of polygons (N, 2m)."""
    return unit(polygons[:, ::2], polygons[:, 1::2])


def separation(one: Floats, other: Floats) -> Floats:
    """Return angles between unit vectors in radians: exact for small ones, and near 180 degrees."""
    made: Floats = 2 * np.arctan2(np.linalg.norm(one - other, axis=-1), np.linalg.norm(one + other, axis=-1))
    return made


def valid(shapes: Floats) -> Flags:
    """Say which shapes (N, k) are any: finite, latitudes and radii in range, polygons within half the sky."""
    count = shapes.shape[1]
    good: Flags = np.logical_and.reduce(np.isfinite(shapes), axis=1)
    with np.errstate(invalid="ignore"):
        if count == 3:
            return good & (np.abs(shapes[:, 1]) <= 90) & (shapes[:, 2] >= 0) & (shapes[:, 2] <= 180)
        good &= (np.abs(shapes[:, 1::2]) <= 90).all(axis=1)
    if count < 6:
        return good
    good[good] = poles(corners(shapes[good]))[1]
    return good


def poles(polygons: Floats) -> tuple[Floats, Flags]:
    """Return directions within 90 degrees of all corners (N, m, 3), and which polygons have one."""
    middle = polygons.sum(axis=1)
    there = _all_before(middle, polygons)
    if there.all():
        return _normalised(middle), there
    found = middle.copy()
    if polygons.shape[1] <= _PAIRS:
        for row in np.flatnonzero(~there):
            # A cone of such directions has edges that are at right angles to two corners each.
            points = polygons[row]
            normals = np.cross(points[:, None], points[None]).reshape(-1, 3)
            normals = np.concatenate([normals, -normals])
            normals = normals[np.linalg.norm(normals, axis=1) > _NEAR]
            edges = normals[(normals @ points.T >= -_NEAR).all(axis=1)]
            found[row] = _normalised(edges).sum(axis=0) if len(edges) else 0
        there = _all_before(found, polygons)
    return _normalised(found), there


def _all_before(directions: Floats, polygons: Floats) -> Flags:
    made: Flags = (np.einsum("nk,nmk->nm", directions, polygons) > _NEAR).all(axis=1)
    return made


def _normalised(vectors: Floats) -> Floats:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(length > 0, length, 1)


def _edges(polygons: Floats) -> tuple[Floats, Floats, Floats]:
    """Return each edge's ends, and its normal as a unit vector (0 where the edge is a point): (N, m, 3)."""
    after = np.roll(polygons, -1, axis=1)
    return polygons, after, _normalised(np.cross(polygons + after, after - polygons))


def _dot(one: Floats, other: Floats) -> Floats:
    made: Floats = np.einsum("...k,...k->...", one, other)
    return made


def _on_edges(points: Floats, polygons: Floats) -> Floats:
    """Return distances in radians of points (N, p, 3) from each edge of polygons (N, m, 3): (N, p, m)."""
    start, end, normal = (part[:, None] for part in _edges(polygons))
    point = points[:, :, None]
    away = np.abs(np.arcsin(np.clip(_dot(point - start, normal), -1, 1)))
    beside = (_dot(np.cross(normal, start), point) >= 0) & (_dot(np.cross(end, normal), point) >= 0)
    ends = np.minimum(separation(point, start), separation(point, end))
    return np.where(beside & (_dot(point, start + end) > 0), np.minimum(away, ends), ends)


def _inside(points: Floats, polygons: Floats) -> Flags:
    """Say which points (N, p, 3) are in polygons (N, m, 3), or on their edges: (N, p).

    By how far the corners turn about a point: once round if it, or the point opposite, is inside.
    """
    point = points[:, :, None]
    first = polygons[:, None] - point
    second = np.roll(first, -1, axis=2)
    across = _dot(point, np.cross(first, second))
    along = _dot(first, second) - _dot(point, first) * _dot(point, second)
    turns = np.abs(np.arctan2(across, along).sum(axis=2)) > np.pi
    before = np.einsum("npk,nk->np", points, poles(polygons)[0]) > 0
    made: Flags = (turns & before) | (_on_edges(points, polygons) <= _NEAR).any(axis=2)
    return made


def _crossing(one: Floats, other: Floats) -> Flags:
    """Say which pairs of polygons (N, m, 3) have edges that cross; edges that only touch do not."""
    a, b, ab = (part[:, :, None] for part in _edges(one))
    c, d, cd = (part[:, None] for part in _edges(other))
    sides = [-_dot(ab, c - a), -_dot(cd, b - c), _dot(ab, d - b), _dot(cd, a - d)]
    left = np.logical_and.reduce([side > _NEAR for side in sides])
    right = np.logical_and.reduce([side < -_NEAR for side in sides])
    return np.asarray(np.logical_or.reduce(left | right, axis=(1, 2)))


def contained(one: Floats, other: Floats) -> Flags:
    """Say which shapes (N, k) lie wholly in the other (N, l); shapes must be valid."""
    kinds = min(one.shape[1], 4), min(other.shape[1], 4)
    if kinds[1] == 2:
        if kinds[0] == 4:
            return np.zeros(len(one), np.bool_)
        same = separation(unit(one[:, 0], one[:, 1]), unit(other[:, 0], other[:, 1])) <= _NEAR
        return same & (one[:, 2] == 0) if kinds[0] == 3 else same
    if kinds[1] == 3:
        return _in_circle(one, other)
    polygons = corners(other)
    if kinds[0] == 4:
        return _polygon_in_polygon(corners(one), polygons)
    centres = unit(one[:, 0], one[:, 1])[:, None]
    inside = _inside(centres, polygons)[:, 0]
    if kinds[0] == 3:
        inside &= _on_edges(centres, polygons).min(axis=(1, 2)) >= np.radians(one[:, 2]) - _NEAR
    return inside


def _in_circle(one: Floats, circle: Floats) -> Flags:
    centre, radius = unit(circle[:, 0], circle[:, 1]), np.radians(circle[:, 2])
    if one.shape[1] < 4:
        reach = separation(unit(one[:, 0], one[:, 1]), centre)
        if one.shape[1] == 3:
            reach = np.minimum(reach + np.radians(one[:, 2]), np.pi)
        return np.asarray(reach <= radius + _NEAR)
    polygons = corners(one)
    near: Flags = np.logical_and.reduce(
        separation(polygons, centre[:, None]) <= radius[:, None] + _NEAR, axis=1
    )
    # A circle of more than 90 degrees is no convex shape: what is left of the sky must miss the polygon.
    wide = radius > np.pi / 2
    if wide.any():
        rest = -centre[wide][:, None]
        clear = _on_edges(rest, polygons[wide]).min(axis=(1, 2)) >= np.pi - radius[wide] - _NEAR
        near[wide] &= (clear & ~_inside(rest, polygons[wide])[:, 0]) | (radius[wide] >= np.pi)
    return near


def _polygon_in_polygon(one: Floats, other: Floats) -> Flags:
    within = _inside(one, other).all(axis=1) & ~_crossing(one, other)
    rows = np.flatnonzero(within)
    if not len(rows):
        return within
    # Where an edge touches a corner of the other it may go on outside: look between such places.
    start, end, _ = _edges(one[rows])
    touching = _on_edges(other[rows], one[rows]) <= _NEAR  # (N, corners of other, edges of one)
    width = separation(start, end)
    along = separation(start[:, None], other[rows][:, :, None])
    share = np.where(touching, along / np.where(width > 0, width, 1)[:, None], 0).swapaxes(1, 2)
    ends = np.zeros((*share.shape[:2], 1))
    cuts = np.sort(np.concatenate([ends, np.clip(share, 0, 1), ends + 1], axis=2), axis=2)
    middle = ((cuts[..., 1:] + cuts[..., :-1]) / 2)[..., None]
    between = _normalised(start[:, :, None] * (1 - middle) + end[:, :, None] * middle)
    within[rows] = _inside(between.reshape(len(rows), -1, 3), other[rows]).all(axis=1)
    return within


def intersecting(one: Floats, other: Floats) -> Flags:
    """Say which shapes (N, k) have a place in common with the other (N, l); shapes must be valid."""
    if one.shape[1] == 2:
        return contained(one, other)
    if other.shape[1] == 2:
        return contained(other, one)
    if one.shape[1] == 3 and other.shape[1] == 3:
        apart = separation(unit(one[:, 0], one[:, 1]), unit(other[:, 0], other[:, 1]))
        return np.asarray(apart <= np.radians(one[:, 2]) + np.radians(other[:, 2]) + _NEAR)
    if one.shape[1] == 3:
        one, other = other, one
    polygons = corners(one)
    if other.shape[1] == 3:
        centre = unit(other[:, 0], other[:, 1])[:, None]
        near = _on_edges(centre, polygons).min(axis=(1, 2)) <= np.radians(other[:, 2]) + _NEAR
        return np.asarray(near | _inside(centre, polygons)[:, 0])
    others = corners(other)
    return (
        _inside(polygons, others).any(axis=1)
        | _inside(others, polygons).any(axis=1)
        | _crossing(polygons, others)
    )


def areas(shapes: Floats) -> Floats:
    """Return the areas of shapes (N, k) in square degrees."""
    if shapes.shape[1] == 2:
        return np.zeros(len(shapes))
    if shapes.shape[1] == 3:
        return np.asarray(4 * np.pi * np.sin(np.radians(shapes[:, 2]) / 2) ** 2 * np.degrees(1) ** 2)
    points = corners(shapes)
    first, second, third = points[:, :1], points[:, 1:-1], points[:, 2:]
    one, other = second - first, third - first
    twice = np.arctan2(
        _dot(first, np.cross(one, other)), 1 + _dot(first, second) + _dot(second, third) + _dot(third, first)
    )
    return np.asarray(np.abs(2 * twice.sum(axis=1)) * np.degrees(1) ** 2)


def centroids(shapes: Floats) -> Floats:
    """Return the longitudes and latitudes (N, 2) of the centres of shapes (N, k)."""
    if shapes.shape[1] < 4:
        return np.stack([shapes[:, 0] % 360, shapes[:, 1]], axis=1)
    points = corners(shapes)
    start, end, normal = _edges(points)
    pole = poles(points)[0]
    middle = (separation(start, end)[..., None] * normal).sum(axis=1)
    middle *= np.where(_dot(middle, pole) < 0, -1, 1)[:, None]
    flat = separation(points, pole[:, None]).max(axis=1) < _SMALL
    if flat.any():
        middle[flat] = _flat_centroids(points[flat], pole[flat])
    middle = _normalised(np.where(np.linalg.norm(middle, axis=1, keepdims=True) > 0, middle, pole))
    lon = np.degrees(np.arctan2(middle[:, 1], middle[:, 0])) % 360
    lat = np.degrees(np.arctan2(middle[:, 2], np.hypot(middle[:, 0], middle[:, 1])))
    return np.stack([lon, lat], axis=1)


def _flat_centroids(points: Floats, pole: Floats) -> Floats:
    """Return the centres of small polygons, as in the plane that touches them."""
    first = points[:, :1]
    second, third = points[:, 1:-1] - first, points[:, 2:] - first
    weight = _dot(pole[:, None], np.cross(second, third))[..., None]
    total = weight.sum(axis=1)
    shift = (weight * (second + third) / 3).sum(axis=1) / np.where(total != 0, total, 1)
    return np.asarray(np.where(total != 0, first[:, 0] + shift, points.mean(axis=1)))
