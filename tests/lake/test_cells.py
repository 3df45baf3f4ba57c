"""Cells of places, their centres and neighbours, as cdshealpix has them."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import Latitude, Longitude
from cdshealpix import nested

from sodalake.lake.cells import around, cells_of, centres
from sodalake.lake.sky import separations


@pytest.mark.parametrize("order", [0, 1, 2, 5, 10, 17, 24, 29])
def test_centres_are_those_of_cdshealpix(order: int) -> None:
    count = 12 << (2 * order)
    rng = np.random.default_rng(order)
    ends = [0, count - 1, *(face * (count // 12) + at for face in range(12) for at in (0, count // 12 - 1))]
    cells = np.unique(np.concatenate([np.array(ends), rng.integers(0, count, 20_000)]))
    lon, lat = centres(cells, order)
    expected_lon, expected_lat = nested.healpix_to_lonlat(cells.astype(np.uint64), order)
    assert separations(lon, lat, expected_lon.deg, expected_lat.deg).max() < 1e-12
    assert ((lon >= 0) & (lon < 360)).all()


@pytest.mark.parametrize("order", [0, 1, 2, 6, 13, 17])
def test_cells_are_those_of_cdshealpix(order: int) -> None:
    rng = np.random.default_rng(order)
    lon = np.concatenate([rng.uniform(-360, 720, 30_000), rng.choice([0, 45, 90, 180, 270, 360], 300)])
    lat = np.concatenate([np.degrees(np.arcsin(rng.uniform(-1, 1, 30_000))), 90 - rng.exponential(1e-3, 300)])
    lat[::7] *= -1
    cells = cells_of(lon, lat, order)
    expected = nested.lonlat_to_healpix(Longitude(lon, u.deg), Latitude(lat, u.deg), order).astype(np.int64)
    other = np.flatnonzero(cells != expected)
    assert len(other) < 200
    # On an edge either of two cells is right: they touch.
    for at in other.tolist():
        assert cells[at] in nested.neighbours(expected[at : at + 1].astype(np.uint64), order)


@pytest.mark.parametrize("order", [0, 1, 2, 5, 12])
def test_neighbours_are_those_of_cdshealpix(order: int) -> None:
    rng = np.random.default_rng(order)
    count = 12 << (2 * order)
    cells = np.unique(np.concatenate([np.arange(min(count, 800)), rng.integers(0, count, 3000)]))
    found, owner = around(cells, order)
    expected = nested.neighbours(cells.astype(np.uint64), order)
    for at in range(len(cells)):
        assert set(found[owner == at].tolist()) == set(expected[at][expected[at] >= 0].tolist())


@pytest.mark.parametrize("lon", [0.0, 44.9, 90.0, 359.999999])
@pytest.mark.parametrize("lat", [90.0, -90.0, 41.8103148957, -41.8103148957, 0.0])
def test_the_poles_and_the_tropics_are_somewhere(lon: float, lat: float) -> None:
    (cell,) = cells_of(np.array([lon]), np.array([lat]), 8)
    centre = centres(np.array([cell]), 8)
    assert separations(np.array([lon]), np.array([lat]), *centre)[0] < 0.3
