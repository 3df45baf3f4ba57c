"""Centres of cells, as cdshealpix has them."""

from __future__ import annotations

import numpy as np
import pytest
from cdshealpix import nested

from sodalake.lake.cells import centres
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
