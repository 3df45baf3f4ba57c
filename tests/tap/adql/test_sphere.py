"""Shapes on the sphere, against astropy, brute force, and what must be so."""

from __future__ import annotations

import math

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from hypothesis import given, settings
from hypothesis import strategies as st

from sodalake.tap.adql import sphere

_random = np.random.default_rng(42)


def _around(lon: float, lat: float, distance: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Return places at distances (degrees) and position angles from another: (N, 2)."""
    made = SkyCoord(lon * u.deg, lat * u.deg).directional_offset_by(angle * u.deg, distance * u.deg)
    return np.stack([made.ra.deg, made.dec.deg], axis=1)


def _polygon(lon: float, lat: float, radius: float, count: int) -> np.ndarray:
    """Return a polygon that may be anything but self-crossing: a star about a place, and its radii."""
    angles = np.sort(_random.uniform(0, 360, count)) if count > 4 else np.arange(count) * 360 / count
    if np.diff(angles, append=angles[0] + 360).max() > 170:
        angles = np.arange(count) * 360 / count
    return _around(lon, lat, radius * _random.uniform(0.3, 1, count), angles)


def _in_gnomonic(points: np.ndarray, polygon: np.ndarray, lon: float, lat: float) -> np.ndarray:
    """Say which points are in a polygon by crossings in the gnomonic plane, where great circles are straight."""
    pole = sphere.unit(np.array(lon), np.array(lat))
    east = np.array([-math.sin(math.radians(lon)), math.cos(math.radians(lon)), 0.0])
    north = np.cross(pole, east)
    flat = []
    for places in (points, polygon):
        vectors = sphere.unit(places[:, 0], places[:, 1])
        flat.append(np.stack([vectors @ east, vectors @ north], axis=1) / (vectors @ pole)[:, None])
    (x, y), corners = flat[0].T, flat[1]
    inside = np.zeros(len(points), bool)
    for (x1, y1), (x2, y2) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        crosses = (y1 > y) != (y2 > y)
        inside ^= crosses & (x < (x2 - x1) * (y - y1) / np.where(y2 == y1, 1, y2 - y1) + x1)
    return inside


@pytest.mark.parametrize("radius", [1 / 3600, 0.1, 5, 60])
@pytest.mark.parametrize(
    ("lon", "lat"), [(10.0, 20.0), (0.0, 0.0), (359.999, -45.0), (123.0, 89.99), (77.0, -90.0)]
)
def test_points_in_polygons_against_the_plane(radius: float, lon: float, lat: float) -> None:
    for count in (3, 4, 7, 12):
        polygon = _polygon(lon, lat, radius, count)
        points = _around(lon, lat, _random.uniform(0, 1.2, 400) * radius, _random.uniform(0, 360, 400))
        shapes = np.tile(polygon.ravel(), (400, 1))
        inside = sphere.contained(points, shapes)
        expected = _in_gnomonic(points, polygon, lon, lat)
        assert 20 < expected.sum() < 380
        assert (inside == expected).all()
        backwards = np.tile(polygon[::-1].ravel(), (400, 1))
        assert (sphere.contained(points, backwards) == expected).all()
        opposite = np.stack([points[:, 0] + 180, -points[:, 1]], axis=1)
        assert not sphere.contained(opposite, shapes).any()


def test_boundaries_are_inside() -> None:
    square = np.array([[10.0, 10, 12, 10, 12, 12, 10, 12]])
    for corner in square.reshape(-1, 2):
        assert sphere.contained(corner[None], square).all()
    meridian = np.stack([np.full(50, 10.0), np.linspace(10, 12, 50)], axis=1)
    assert sphere.contained(meridian, np.tile(square, (50, 1))).all()
    equator = np.array([[0.0, 0, 10, 0, 5, 5]])
    on_it = np.stack([np.linspace(0, 10, 50), np.zeros(50)], axis=1)
    assert sphere.contained(on_it, np.tile(equator, (50, 1))).all()
    beside = on_it - [0, 1e-9]
    assert not sphere.contained(beside, np.tile(equator, (50, 1))).any()
    assert sphere.contained(square, square).all()
    assert sphere.contained(np.array([[10.0, 10.5, 11, 11, 10, 11]]), square).all()
    assert sphere.contained(np.array([[10.0, 20, 1]]), np.array([[10.0, 20, 1]])).all()


@pytest.mark.parametrize("scale", [1e-4, 1.0, 20.0])
def test_polygons_and_polygons_against_points(scale: float) -> None:
    """What contains a shape contains all its points; what misses it, none."""
    found = {(one, other): 0 for one in (True, False) for other in (True, False)}
    for _ in range(70):
        centre = _around(200.0, 40.0, _random.uniform(0, 1.3, 1) * scale, _random.uniform(0, 360, 1))[0]
        small = _polygon(*centre, scale * _random.choice([0.2, 0.8]), int(_random.integers(3, 9)))
        large = _polygon(200.0, 40.0, scale, int(_random.integers(3, 9)))
        one, other = small.ravel()[None], large.ravel()[None]
        contained, intersecting = sphere.contained(one, other)[0], sphere.intersecting(one, other)[0]
        found[bool(contained), bool(intersecting)] += 1
        points = _around(*centre, np.sqrt(_random.uniform(0, 1, 600)) * scale, _random.uniform(0, 360, 600))
        of_small = sphere.contained(points, np.tile(one, (600, 1)))
        of_large = sphere.contained(points, np.tile(other, (600, 1)))
        if contained:
            assert not (of_small & ~of_large).any()
        if (of_small & of_large).any():
            assert intersecting
        if not intersecting:
            assert not (of_small & of_large).any()
        if not contained and intersecting:
            edge = np.concatenate(
                [_along(a, b) for a, b in zip(small, np.roll(small, -1, axis=0), strict=True)]
            )
            assert not sphere.contained(edge, np.tile(other, (len(edge), 1))).all()
        assert sphere.intersecting(other, one)[0] == intersecting
    assert found[True, True] > 2
    assert found[False, True] > 2
    assert found[False, False] > 2
    assert found[True, False] == 0


def _along(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return places along a great circle."""
    first, second = sphere.unit(*one), sphere.unit(*other)
    share = np.linspace(0, 1, 200)[:, None]
    made = first * (1 - share) + second * share
    lat = np.degrees(np.arctan2(made[:, 2], np.hypot(made[:, 0], made[:, 1])))
    return np.stack([np.degrees(np.arctan2(made[:, 1], made[:, 0])), lat], axis=1)


@pytest.mark.parametrize("radius", [0.5, 30.0, 89.0, 100.0, 170.0])
def test_circles_and_polygons_against_points(radius: float) -> None:
    seen = set()
    for _ in range(60):
        polygon = _polygon(50.0, -20.0, 20, int(_random.integers(3, 8)))
        lon, lat = _around(50.0, -20.0, _random.uniform(0, 180, 1), _random.uniform(0, 360, 1))[0]
        circle, shape = np.array([[lon, lat, radius]]), polygon.ravel()[None]
        in_circle, touching = sphere.contained(shape, circle)[0], sphere.intersecting(shape, circle)[0]
        around = sphere.contained(circle, shape)[0]
        edge = np.concatenate(
            [_along(a, b) for a, b in zip(polygon, np.roll(polygon, -1, axis=0), strict=True)]
        )
        inner = _around(50.0, -20.0, _random.uniform(0, 20, 300), _random.uniform(0, 360, 300))
        inner = inner[sphere.contained(inner, np.tile(shape, (300, 1)))]
        points = np.concatenate([edge, inner])
        apart = SkyCoord(points * u.deg).separation(SkyCoord(lon * u.deg, lat * u.deg)).deg
        if in_circle:
            assert (apart <= radius + 1e-9).all()
        else:
            assert apart.max() > radius - 1.5
        if touching:
            assert apart.min() <= radius + 1.5
        else:
            assert (apart > radius - 1e-9).all()
        if around:
            rim = _around(lon, lat, np.full(360, radius), np.arange(360.0))
            assert sphere.contained(rim, np.tile(shape, (360, 1))).all()
        seen.add((bool(in_circle), bool(touching)))
    assert len(seen) >= 2


@settings(max_examples=200, deadline=None)
@given(st.tuples(*[st.floats(0, 360), st.floats(-90, 90)] * 2), st.floats(0, 180), st.floats(0, 180))
def test_circles_against_astropy(
    places: tuple[float, float, float, float], first: float, second: float
) -> None:
    one, other = SkyCoord(*places[:2], unit="deg"), SkyCoord(*places[2:], unit="deg")
    apart = one.separation(other).deg
    circle, around = np.array([[*places[:2], first]]), np.array([[*places[2:], second]])
    if abs(apart - first - second) > 1e-9:
        assert sphere.intersecting(circle, around)[0] == (apart < first + second)
    if abs(min(apart + first, 180) - second) > 1e-9:
        assert sphere.contained(circle, around)[0] == (min(apart + first, 180) < second)


def test_areas() -> None:
    octant = np.array([[0.0, 0, 90, 0, 0, 90]])
    assert sphere.areas(octant)[0] == pytest.approx(360**2 / np.pi / 8, rel=1e-12)
    assert sphere.areas(np.array([[1.0, 2, 180]]))[0] == pytest.approx(360**2 / np.pi, rel=1e-12)
    assert sphere.areas(np.array([[1.0, 2, 1e-6]]))[0] == pytest.approx(np.pi * 1e-12, rel=1e-9)
    side = 1 / 3600
    small = np.array([[10.0, 0, 10 + side, 0, 10 + side, side, 10, side]])
    assert sphere.areas(small)[0] == pytest.approx(side**2, rel=1e-8)
    assert sphere.areas(np.array([[1.0, 2]]))[0] == 0
    # A polygon that is not convex: a square with a notch.
    notched = np.array([[0.0, 0, 2, 0, 2, 2, 1, 1, 0, 2]])
    parts = np.array([[0.0, 0, 2, 0, 1, 1], [0.0, 0, 1, 1, 0, 2], [2.0, 0, 2, 2, 1, 1]])
    assert sphere.areas(notched)[0] == pytest.approx(sphere.areas(parts).sum(), rel=1e-9)


def test_centroids() -> None:
    assert sphere.centroids(np.array([[370.0, 20, 1]]))[0] == pytest.approx([10, 20])
    assert sphere.centroids(np.array([[0.0, 0, 90, 0, 0, 90]]))[0] == pytest.approx(
        [45, np.degrees(np.arctan(1 / np.sqrt(2)))]
    )
    for radius in (1 / 3600, 0.05, 0.06, 10.0):
        regular = _around(350.0, 75.0, np.full(6, radius), np.arange(6) * 60.0).ravel()[None]
        assert sphere.centroids(regular)[0] == pytest.approx([350, 75], abs=1e-9 + radius * 1e-6)
    # By points: the mean direction of what is inside.
    polygon = _polygon(120.0, 10.0, 25.0, 7)
    points = sphere.unit(*_sphere_points(200_000).T)
    near = points[points @ sphere.unit(np.array(120.0), np.array(10.0)) > np.cos(np.radians(26))]
    lonlat = np.stack(
        [np.degrees(np.arctan2(near[:, 1], near[:, 0])), np.degrees(np.arcsin(near[:, 2]))], axis=1
    )
    inside = near[sphere.contained(lonlat, np.tile(polygon.ravel(), (len(near), 1)))].mean(axis=0)
    lon, lat = sphere.centroids(polygon.ravel()[None])[0]
    assert np.degrees(np.arccos(inside @ sphere.unit(lon, lat) / np.linalg.norm(inside))) < 0.5


def _sphere_points(count: int) -> np.ndarray:
    return np.stack(
        [_random.uniform(0, 360, count), np.degrees(np.arcsin(_random.uniform(-1, 1, count)))], axis=1
    )


def test_what_is_no_shape() -> None:
    assert sphere.valid(np.array([[1.0, 91], [1, 90], [np.nan, 0], [np.inf, 0]])).tolist() == [
        False,
        True,
        False,
        False,
    ]
    assert sphere.valid(np.array([[1.0, 2, -1], [1, 2, 181], [1, 2, 180]])).tolist() == [False, False, True]
    around = np.array([[0.0, 0, 120, 0, 240, 0], [0.0, 10, 120, 10, 240, 10], [0.0, 0, 100, 0, 0, 50]])
    assert sphere.valid(around).tolist() == [False, True, True]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 360), st.floats(-1, 89.9)), min_size=3, max_size=6))
def test_poles_are_within_90_degrees(places: list[tuple[float, float]]) -> None:
    polygon = np.array([[number for place in places for number in place]])
    poles, there = sphere.poles(sphere.corners(polygon))
    north = polygon[0, 1::2].min() > 1e-6 and sphere.areas(polygon)[0] > 1e-6
    assert there[0] or not north
    if there[0]:
        assert (sphere.corners(polygon)[0] @ poles[0] > 0).all()
