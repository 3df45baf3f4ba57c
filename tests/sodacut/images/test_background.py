"""Backgrounds brought to one level."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from astropy.wcs import WCS

from sodalake.sodacut.images.background import levels, solved
from sodalake.sodacut.images.grids import tangent_grid
from sodalake.sodacut.images.mosaic import Part, mosaic
from sodalake.sodacut.images.placing import Projection
from sodalake.sodacut.images.resampling import Source


def _wcs(x: float, y: float, side: int) -> WCS:
    """Pixels whose lower left one is (x, y) of the grid."""
    wcs = tangent_grid(10, -30, side, side, 0.25).wcs()
    wcs.wcs.crpix = [50.5 - x, 50.5 - y]
    wcs.wcs.set()
    return wcs


def _part(name: str, x: float, y: float, level: float, side: int = 60, **more: float) -> Part:
    sky = np.random.default_rng(7).normal(0, 2, (300, 300))[100 + int(y) :, 100 + int(x) :][:side, :side]
    return Part(name, (sky + level).astype(np.float32), _wcs(x, y, side), **more)  # type: ignore[arg-type]


GRID = tangent_grid(10, -30, 100, 100, 0.25)


def test_overlaps_say_how_far_apart_images_are() -> None:
    parts = [_part("a", 0, 0, 5), _part("b", 40, 0, 8), _part("c", 0, 40, -3), _part("d", 40, 40, 0)]
    found = mosaic(parts, GRID, match=True)
    np.testing.assert_allclose(found.offsets, [0, -3, 8, 5], atol=1e-4)  # type: ignore[arg-type]
    assert found.groups == 1
    # The same sky everywhere, at the level of the first.
    expected = np.random.default_rng(7).normal(0, 2, (300, 300))[100:200, 100:200] + 5
    np.testing.assert_allclose(found.pixels, expected, atol=1e-4)
    assert ("MATCHED", True) in [card[:2] for card in found.cards()]
    assert ("BACKG002", -3.0) in [
        (card[0], round(float(card[1]), 3)) for card in found.cards() if card[0] == "BACKG002"
    ]


def test_a_chain_of_overlaps_is_followed() -> None:
    parts = [_part(str(n), 30 * n, 0, 10 * n, side=40) for n in range(3)]
    found = mosaic(parts, GRID, match=True)
    np.testing.assert_allclose(found.offsets, [0, -10, -20], atol=1e-4)  # type: ignore[arg-type]


def test_what_does_not_touch_keeps_its_level() -> None:
    parts = [_part("a", 0, 0, 5, side=30), _part("b", 60, 60, 50, side=30), _part("c", 70, 70, 80, side=30)]
    found = mosaic(parts, GRID, match=True)
    np.testing.assert_allclose(found.offsets, [0, 0, -30], atol=1e-4)  # type: ignore[arg-type]
    assert found.groups == 2
    assert ("MATCHGRP", 2) in [card[:2] for card in found.cards()]


def test_levels_are_those_of_the_common_zero_point() -> None:
    parts = [_part("a", 0, 0, 5, zero_point=25.0), _part("b", 20, 0, 0, zero_point=27.5)]
    parts[1].pixels[:] = (parts[1].pixels + 9) * 10  # ten times as sensitive, 9 units brighter
    found = mosaic(parts, GRID, match=True)
    np.testing.assert_allclose(found.offsets, [0, -4], atol=1e-3)  # type: ignore[arg-type]


def test_bad_pixels_and_sources_that_move_do_not_count() -> None:
    one, other = _part("a", 0, 0, 5), _part("b", 20, 0, 8)
    other.pixels[10:20, 10:20] += 1e5
    other.pixels[30:40] = np.nan
    found = mosaic([one, other], GRID, match=True)
    np.testing.assert_allclose(found.offsets, [0, -3], atol=1e-4)  # type: ignore[arg-type]


def test_least_squares_share_what_does_not_fit() -> None:
    offsets, groups = solved(3, {(0, 1): (1.0, 100), (1, 2): (1.0, 100), (0, 2): (2.3, 100)})
    np.testing.assert_allclose(offsets, [0, 1.1, 2.2])
    assert set(groups.tolist()) == {0}
    # Ten thousand pixels say more than one hundred.
    weighted, _ = solved(3, {(0, 1): (1.0, 10000), (1, 2): (1.0, 10000), (0, 2): (2.3, 1)})
    np.testing.assert_allclose(weighted, [0, 1, 2], atol=1e-3)
    assert solved(0, {})[0].shape == (0,)


def test_a_large_grid_is_looked_at_here_and_there() -> None:
    grid = tangent_grid(10, -30, 4000, 4000, 0.25)
    layers = [np.full((2500, 2500), 3.0, np.float32), np.full((2500, 2500), 4.5, np.float32)]
    wcs = [_wcs(x, x, 2500) for x in (-1950 + 51, -1950 + 1450)]
    sources = [Source(layer, one) for layer, one in zip(layers, wcs, strict=True)]
    projections = [Projection(grid.wcs(), one, (2500, 2500)) for one in wcs]
    tracemalloc.start()
    offsets, _ = levels(sources, projections, grid.shape, [1, 1])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_allclose(offsets, [0, -1.5], atol=1e-5)
    assert peak < 60e6


@pytest.mark.parametrize("turn", [0.0, 13.0])
def test_turned_images_are_matched_too(turn: float) -> None:
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    turned = _wcs(20, 10, 60)
    turned.wcs.cd = turned.wcs.cd @ np.array([[c, -s], [s, c]])
    turned.wcs.set()
    flat = Part("b", np.full((60, 60), 12.0, np.float32), turned)
    found = mosaic([Part("a", np.full((60, 60), 10.0, np.float32), _wcs(0, 0, 60)), flat], GRID, match=True)
    np.testing.assert_allclose(found.offsets, [0, -2], atol=1e-4)  # type: ignore[arg-type]
