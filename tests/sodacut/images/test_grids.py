"""Pixels of a mosaic."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS, Sip
from hypothesis import given
from hypothesis import strategies as st

from sodalake.sodacut.errors import BadRegion
from sodalake.sodacut.images.grids import grid_of, tangent_grid


def _sip() -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN-SIP", "DEC--TAN-SIP"]
    wcs.wcs.crval, wcs.wcs.crpix = [150.0, 2.0], [500.5, 400.25]
    wcs.wcs.cd = [[-7e-5, 1e-6], [1e-6, 7e-5]]
    a, b = np.zeros((3, 3)), np.zeros((3, 3))
    a[2, 0], a[1, 1], b[0, 2] = 1e-5, -2e-6, 1.5e-5
    wcs.sip = Sip(a, b, None, None, wcs.wcs.crpix)
    return wcs


def _tpv() -> WCS:
    header = fits.Header(
        [
            ("CTYPE1", "RA---TPV"), ("CTYPE2", "DEC--TPV"), ("CRVAL1", 110.2234353763), ("CRVAL2", 23.78450024292),
            ("CRPIX1", 1899.2), ("CRPIX2", -1051.0), ("CD1_1", -1.1117e-08), ("CD1_2", 7.2871072e-05),
            ("CD2_1", -7.289425e-05), ("CD2_2", 2.56e-08), ("PV1_0", 2.48e-4), ("PV1_1", 1.00563), ("PV1_4", -1.29e-4),
            ("PV1_7", -4.2e-3), ("PV2_0", -9.27e-5), ("PV2_1", 1.00568), ("PV2_4", 4.2e-4), ("PV2_7", -6.4e-3),
        ]
    )  # fmt: skip
    return WCS(header)


@given(
    st.floats(0, 360, exclude_max=True),
    st.floats(-89.9, 89.9),
    st.integers(1, 400),
    st.integers(1, 400),
)
def test_the_position_is_in_the_middle_and_north_is_up(
    ra: float, dec: float, width: int, height: int
) -> None:
    grid = tangent_grid(ra, dec, width, height, 0.25)
    wcs = grid.wcs()
    assert grid.shape == wcs.array_shape == (height, width)
    x, y = (width - 1) / 2, (height - 1) / 2
    there = np.array(wcs.all_pix2world([x, x], [y, y + 1], 0))
    np.testing.assert_allclose(there[1], [dec, dec + 0.25 / 3600], rtol=0, atol=1e-9)
    assert abs((there[0] - ra + 180) % 360 - 180).max() < 1e-9
    assert wcs.all_pix2world(x + 1, y, 0)[0] - ra < 0 or ra < 1e-3, "east is left"
    assert (wcs.wcs.radesys, list(wcs.wcs.ctype)) == ("ICRS", ["RA---TAN", "DEC--TAN"])


@pytest.mark.parametrize("dec", [90.0, -90.0])
def test_at_the_pole_the_picture_stands_as_next_to_it(dec: float) -> None:
    corners = [[-0.5, -0.5], [99.5, -0.5], [99.5, 99.5], [30.0, 80.0]]
    there, beside = (
        tangent_grid(10, one, 100, 100, 1.0).wcs().all_pix2world(corners, 0)
        for one in (dec, dec * (1 - 1e-9))
    )
    np.testing.assert_allclose(there, beside, atol=1e-3)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((float("nan"), 0, 10, 10, 0.2), "RA nan, Dec 0 is no position. Both are degrees"),
        ((0, 90.5, 10, 10, 0.2), "Dec 90.5 is no position"),
        ((0, float("inf"), 10, 10, 0.2), "no position"),
        ((0, 0, 0, 10, 0.2), "0 × 10 pixels has none. Take at least"),
        ((0, 0, 10, -1, 0.2), "has none"),
        ((0, 0, 10, 10, 0), "pixel scale is 0. It is a positive number"),
        ((0, 0, 10, 10, float("nan")), "pixel scale is nan"),
        ((0, 0, 10, 10, float("inf")), "pixel scale is inf"),
        ((0, 0, 1_000_000_000, 10, 0.2), "55556° from corner to corner. A tangent plane shows 90°"),
    ],
)
def test_what_is_no_grid(arguments: tuple[float, float, int, int, float], sentence: str) -> None:
    with pytest.raises(BadRegion, match=sentence):
        tangent_grid(*arguments)


@pytest.mark.parametrize("wcs", [_sip(), _tpv(), tangent_grid(10, -30, 1000, 800, 0.263).wcs()])
@pytest.mark.parametrize("picture", [(800, 1000), (200, 250), (57, 1000), (1600, 2000)])
def test_an_images_pixels_make_a_grid_and_scale(wcs: WCS, picture: tuple[int, int]) -> None:
    shape = (800, 1000)
    grid = grid_of(wcs, shape).scaled_to(picture)
    assert grid.shape == picture
    x, y = (axis.ravel() for axis in np.meshgrid(np.linspace(-0.5, 999.5, 9), np.linspace(-0.5, 799.5, 9)))
    there = wcs.all_pix2world(x, y, 0)
    across, up = picture[1] / shape[1], picture[0] / shape[0]
    ours = grid.wcs().all_pix2world((x + 0.5) * across - 0.5, (y + 0.5) * up - 0.5, 0)
    # 1e-6 of a pixel of 0.26″
    np.testing.assert_allclose(ours, there, rtol=0, atol=7e-5 * 1e-6)


def test_cards_go_into_a_header_and_come_back() -> None:
    grid = grid_of(_tpv(), (800, 1000))
    header = fits.Header()
    for keyword, value in grid.cards:
        header[keyword] = value
    again = WCS(fits.Header.fromstring(header.tostring()))
    np.testing.assert_allclose(
        again.all_pix2world([[0, 0], [999, 799]], 0),
        _tpv().all_pix2world([[0, 0], [999, 799]], 0),
        atol=1e-11,
    )
