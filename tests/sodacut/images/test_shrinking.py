"""Fewer pixels for the same sky."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sodalake.sodacut.images.shrinking import shrunk, shrunk_to


@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 12), st.booleans(), st.integers(0, 99))
def test_squares_are_means_of_what_is_there(
    height: int, width: int, factor: int, holes: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    pixels = rng.normal(100, 10, (height, width)).astype(np.float32)
    if holes:
        pixels[rng.random(pixels.shape) < 0.4] = np.nan
    found = shrunk(pixels, factor)
    assert found.shape == (-(-height // factor), -(-width // factor))
    for row, column in np.ndindex(found.shape):
        square = pixels[row * factor : (row + 1) * factor, column * factor : (column + 1) * factor]
        good = square[np.isfinite(square)]
        if 2 * good.size < square.size:
            assert np.isnan(found[row, column])
        else:
            assert found[row, column] == pytest.approx(good.astype(np.float64).mean(), rel=1e-5)


@given(st.integers(1, 40), st.integers(1, 40), st.data())
def test_any_size_keeps_the_sum(height: int, width: int, data: st.DataObject) -> None:
    shape = data.draw(st.integers(1, height)), data.draw(st.integers(1, width))
    pixels = np.random.default_rng(height * 41 + width).normal(5, 1, (height, width)).astype(np.float32)
    found = shrunk_to(pixels, shape)
    assert found.shape == shape
    assert found.mean(dtype=np.float64) == pytest.approx(pixels.mean(dtype=np.float64), rel=1e-5)
    np.testing.assert_allclose(shrunk_to(np.full((height, width), 3.5), shape), 3.5, rtol=1e-6)


def test_areas_count_exactly() -> None:
    np.testing.assert_allclose(shrunk_to(np.array([[1.0, 2.0, 4.0]]), (1, 2)), [[4 / 3, 10 / 3]], rtol=1e-6)


def test_what_is_missing_gets_into_nothing() -> None:
    pixels = np.full((64, 64), 7.0, np.float32)
    pixels[10:30, 10:30] = np.nan
    pixels[40, 40] = np.inf
    found = shrunk(pixels, 4)
    assert set(found[np.isfinite(found)].tolist()) == {7.0}
    assert np.isnan(found[3:7, 3:7]).all()
    assert np.isfinite(found[10, 10])


def test_what_does_not_shrink() -> None:
    with pytest.raises(ValueError, match="do not shrink to"):
        shrunk_to(np.zeros((4, 4)), (8, 4))
    with pytest.raises(ValueError, match="at least one pixel"):
        shrunk(np.zeros((4, 4)), 0)


def test_beside_a_large_image_there_is_no_second_one() -> None:
    pixels = np.ones((4096, 4096), np.float32)
    pixels[100, 100] = np.nan
    tracemalloc.start()
    shrunk(pixels, 8)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < pixels.nbytes
