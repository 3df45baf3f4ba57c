"""Pairs of rows near each other, against looking at every pair."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sodalake.lake.sky import separations
from sodalake.tap.errors import TooLarge
from sodalake.tap.planning.plan import Joined
from sodalake.tap.running.pairs import pairs_of

LON = st.floats(-400, 800) | st.sampled_from([0.0, 359.9999999, 360.0, 45.0]) | st.just(float("nan"))
LAT = st.floats(-90, 90) | st.sampled_from([-90.0, 90.0, 41.8103148957, 0.0, 89.99999, float("nan"), 91.0])
PLACES = st.lists(st.tuples(LON, LAT), max_size=40)


def table(places: list[tuple[float, float]]) -> pa.Table:
    values = np.array(places, np.float64).reshape(-1, 2)
    return pa.table(
        {"x": pa.array(values[:, 0], from_pandas=True), "y": pa.array(values[:, 1], from_pandas=True)}
    )


def joined(radius: float | str) -> Joined:
    return Joined("s0", "near", place=("x", "y"), other_place=("x", "y"), radius=radius)


@given(PLACES, PLACES, st.sampled_from([0.0, 1e-4, 0.3, 20.0, 120.0, 180.0]))
def test_pairs_are_those_that_are_near(
    left: list[tuple[float, float]], right: list[tuple[float, float]], radius: float
) -> None:
    right = right + left[::3]
    found = pairs_of(table(left), table(right), joined(radius), 10_000)
    pairs = set(zip(found["l"].to_pylist(), found["r"].to_pylist(), strict=True))
    assert len(pairs) == found.num_rows
    for i, one in enumerate(left):
        for j, two in enumerate(right):
            apart = separations(*(np.array([value]) for value in (*one, *two)))[0]
            usable = all(np.isfinite(place).all() and abs(place[1]) <= 90 for place in (one, two))
            if not usable or apart > radius + 2e-9:
                assert (i, j) not in pairs
            elif apart <= radius:
                assert (i, j) in pairs


def test_a_radius_of_each_row() -> None:
    left = pa.table({"x": [10.0, 10.0, 10.0, None], "y": [0.0, 0.0, 0.0, 0.0], "r": [0.1, 2.0, None, 9.0]})
    right = pa.table({"x": [11.0], "y": [0.0]})
    found = pairs_of(left, right, joined("r"), 100)
    assert found["l"].to_pylist() == [1]


def test_too_many_pairs_are_told() -> None:
    many = pa.table({"x": np.zeros(200), "y": np.zeros(200)})
    with pytest.raises(TooLarge, match="More than 1000 pairs"):
        pairs_of(many, many, joined(1.0), 1000)
