import numpy as np
import pytest
from astropy.coordinates import ICRS
from astropy.wcs import WCS
from astropy_healpix import HEALPix
from hypothesis import given
from hypothesis import strategies as st
from reproject.hips._utils import tile_header

from sodalake.sodacut.hips.grids import WIDTH, order_for, tile_centre, tile_grid, tile_radius

CELLS = st.integers(0, 9).flatmap(lambda order: st.tuples(st.just(order), st.integers(0, 12 * 4**order - 1)))


def pixel_numbers(order: int, width: int) -> np.ndarray:
    """Which cell of HEALPix each pixel of a tile is: bits of column and row in turn."""
    y, x = np.mgrid[0:width, 0:width]
    # From the upper left corner, which is the cell's southern one: x of HEALPix downwards, y to the right.
    north_east, north_west = width - 1 - y, x
    number = np.zeros((width, width), np.int64)
    for bit in range(width.bit_length()):
        number |= (north_east >> bit & 1) << (2 * bit) | (north_west >> bit & 1) << (2 * bit + 1)
    return number


@given(CELLS)
def test_pixels_of_a_tile_are_cells_of_healpix(cell: tuple[int, int]) -> None:
    order, number = cell
    width = 16
    wcs = tile_grid(order, number, width).wcs()
    y, x = np.mgrid[0:width, 0:width]
    lon, lat = wcs.all_pix2world(x.ravel(), y.ravel(), 0)
    grid = HEALPix(nside=2**order * width, order="nested", frame=ICRS())
    cells = number * width * width + pixel_numbers(order, width).ravel()
    wanted = grid.healpix_to_skycoord(cells)
    apart = wanted.separation(wcs.pixel_to_world(x.ravel(), y.ravel())).arcsec
    assert np.isfinite(lon).all()
    assert np.isfinite(lat).all()
    assert apart.max() < 1e-6


@pytest.mark.parametrize(("order", "number"), [(3, 5), (5, 7000), (9, 2_345_678)])
def test_a_tile_has_the_coordinates_that_reproject_gives_it(order: int, number: int) -> None:
    header = tile_header(level=order, index=number, frame=ICRS(), tile_dims=WIDTH)
    assert not isinstance(header, tuple)  # not one of those on the cut at 180°
    theirs, ours = WCS(header), tile_grid(order, number).wcs()
    x, y = np.array([0.0, 511.0, 0.0, 100.5]), np.array([0.0, 0.0, 511.0, 300.25])
    assert theirs.pixel_to_world(x, y).separation(ours.pixel_to_world(x, y)).arcsec.max() < 1e-6


@given(CELLS)
def test_a_tile_is_within_its_radius(cell: tuple[int, int]) -> None:
    order, number = cell
    grid = HEALPix(nside=2**order, order="nested", frame=ICRS())
    lon, lat = tile_centre(order, number)
    middle = grid.healpix_to_skycoord(number)
    assert (middle.ra.deg, middle.dec.deg) == pytest.approx((lon, lat), abs=1e-9)
    corners = grid.boundaries_skycoord(number, step=4)
    assert middle.separation(corners).deg.max() <= tile_radius(order)


def test_the_order_is_that_of_the_nearest_pixels() -> None:
    assert order_for(0.263) == 11
    assert order_for(0.4) == 10
    assert order_for(1e6) == 0
    assert order_for(1e-9) == 20
