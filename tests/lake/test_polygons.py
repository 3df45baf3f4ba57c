"""Polygons as ranges of cells: no place in one is missed, and not much beyond it is read."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sodalake.lake.errors import UsageError
from sodalake.lake.sky import CELLS, Ranges, polygon_ranges, sky_cells

Floats = npt.NDArray[np.float64]


def degrees(vectors: Floats) -> tuple[Floats, Floats]:
    """Longitudes and latitudes of unit vectors (N x 3)."""
    return (
        np.degrees(np.arctan2(vectors[:, 1], vectors[:, 0])),
        np.degrees(np.arctan2(vectors[:, 2], np.hypot(vectors[:, 0], vectors[:, 1]))),
    )


def placed(plane: Floats, ra: float, dec: float, turn: float) -> tuple[Floats, Floats]:
    """Points of the plane that touches the sky at a place, as seen from the sky's centre: lines are great circles."""
    vectors = np.concatenate([plane, np.ones((len(plane), 1))], axis=1)
    vectors /= np.linalg.norm(vectors, axis=1)[:, None]
    a, b, c = math.radians(ra), math.radians(90 - dec), math.radians(turn)
    about_z = np.array([[math.cos(c), -math.sin(c), 0], [math.sin(c), math.cos(c), 0], [0, 0, 1]])
    tilt = np.array([[math.cos(b), 0, math.sin(b)], [0, 1, 0], [-math.sin(b), 0, math.cos(b)]])
    round_ = np.array([[math.cos(a), -math.sin(a), 0], [math.sin(a), math.cos(a), 0], [0, 0, 1]])
    return degrees(vectors @ (round_ @ tilt @ about_z).T)


def gone_around(points: Floats, corners: Floats) -> npt.NDArray[np.bool_]:
    """Which points of a plane a polygon goes around, by the sum of angles."""
    turned = np.zeros(len(points))
    for one, other in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        a, b = one - points, other - points
        turned += np.arctan2(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0], (a * b).sum(axis=1))
    return np.abs(turned) > math.pi


def missed(ranges: Ranges, lon: Floats, lat: Floats) -> int:
    """How many places are in none of the ranges."""
    cells = sky_cells(lon, lat)[0].astype(np.int64)
    at = np.searchsorted(ranges.first, cells, "right") - 1
    return int(np.sum((at < 0) | (cells >= ranges.after[at])))


turns = st.floats(0, 360)
corners = st.lists(st.tuples(turns, st.floats(0.05, 1)), min_size=3, max_size=12)
sizes = st.floats(math.log(1e-5), math.log(80)).map(math.exp)


@given(
    corners,
    sizes,
    st.sampled_from([1.0, 1e-3, 1e-6]),
    st.booleans(),
    turns,
    st.one_of(st.floats(-90, 90), st.sampled_from([-90.0, 0.0, 90.0])),
    turns,
    st.integers(0, 2**32 - 1),
)
@example([(0, 1), (120, 1), (240, 1)], 10.0, 1.0, True, 0.0, 90.0, 0.0, 1)
@example([(0, 1), (90, 1), (180, 1), (270, 1)], 5.0, 1.0, False, 359.99, 0.0, 45.0, 1)
def test_no_place_in_a_polygon_is_missed(
    shape: list[tuple[float, float]], size: float, squashed: float, sort: bool, ra: float, dec: float, turn: float,
    seed: int,
) -> None:  # fmt: skip
    polar = np.array(sorted(shape) if sort else shape)
    angle, radius = np.radians(polar[:, 0]), math.tan(math.radians(size)) * polar[:, 1]
    plane = np.stack([radius * np.cos(angle), squashed * radius * np.sin(angle)], axis=-1)
    lon, lat = placed(plane, ra, dec, turn)
    ranges = polygon_ranges(lon + 360 * (seed % 3 - 1), lat)
    assert np.all(ranges.first[1:] > ranges.after[:-1])
    assert ranges.first[0] >= 0
    assert ranges.after[-1] <= CELLS
    assert len(ranges) <= 400
    rng = np.random.default_rng(seed)
    points = rng.uniform(plane.min(axis=0), plane.max(axis=0), (2000, 2))
    inside = placed(points[gone_around(points, plane)], ra, dec, turn)
    # and along the edges, which belong to it
    share = rng.random((50, len(plane), 1))
    edges = (share * plane + (1 - share) * np.roll(plane, -1, axis=0)).reshape(-1, 2)
    for places in (inside, placed(edges, ra, dec, turn), (lon, lat)):
        assert missed(ranges, *places) == 0
    assert list(polygon_ranges(lon[::-1], lat[::-1])) == list(polygon_ranges(lon, lat))


def test_a_polygon_is_covered_without_much_beyond_it() -> None:
    for size in (0.01, 1.0, 20.0):
        tip = math.tan(math.radians(size))
        square = np.array([[-tip, -tip], [tip, -tip], [tip, tip], [-tip, tip]])
        ranges = polygon_ranges(*placed(square, 200.0, 40.0, 30.0))
        area = sum(after - first for first, after in ranges) / CELLS
        true = 4 * math.asin(math.sin(math.atan(tip)) ** 2) / (4 * math.pi)
        assert 1 <= area / true < 2


def test_what_is_nearly_no_polygon_has_ranges_that_hold_it() -> None:
    point = polygon_ranges(np.full(3, 10.0), np.full(3, 20.0))
    assert missed(point, np.array([10.0]), np.array([20.0])) == 0
    assert sum(after - first for first, after in point) / CELLS < 1e-9
    line = polygon_ranges(np.array([0.0, 10.0, 5.0]), np.zeros(3))
    assert missed(line, np.linspace(0, 10, 1000), np.zeros(1000)) == 0
    assert missed(line, np.array([5.0, 5.0]), np.array([3.0, -3.0])) == 2
    wide = polygon_ranges(np.array([0.0, 90.0, 180.0, 270.0]), np.zeros(4))
    assert list(wide) == [(0, CELLS)]
    # The smaller side: a cap of 80 degrees, not what is around it.
    cap = polygon_ranges(np.arange(0, 360, 10.0), np.full(36, 10.0))
    assert missed(cap, np.array([0.0, 77.0]), np.array([90.0, 30.0])) == 0
    assert missed(cap, np.array([0.0, 77.0]), np.array([-90.0, -30.0])) == 2


def test_what_is_no_polygon_is_refused() -> None:
    with pytest.raises(UsageError, match="no vertices"):
        polygon_ranges(np.empty(0), np.empty(0))
    for wrong in (math.nan, 91.0, -math.inf):
        with pytest.raises(UsageError, match=r"Vertex 2 .* no place"):
            polygon_ranges(np.zeros(3), np.array([1.0, wrong, 2.0]))
