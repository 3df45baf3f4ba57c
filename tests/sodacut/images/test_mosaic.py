"""Several images as one, beside reproject itself."""

from __future__ import annotations

import pickle
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS, Sip
from astropy.wcs.utils import proj_plane_pixel_area
from reproject import reproject_adaptive, reproject_exact, reproject_interp
from reproject.mosaicking import reproject_and_coadd

from sodalake.sodacut.coordinates import Box
from sodalake.sodacut.images.grids import Grid, grid_of, tangent_grid
from sodalake.sodacut.images.mosaic import ALGORITHMS, Algorithm, Mosaic, Part, mosaic
from sodalake.sodacut.images.placing import Projection
from sodalake.sodacut.images.resampling import METHODS, Method, Source, resampled

TILES = Path(__file__).parents[4] / "shared" / "data" / "tiles"
SCALE = 0.263
RA, DEC = 10.0, -30.0


@pytest.fixture(autouse=True)
def _no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def _wcs(
    right: float = 0, up: float = 0, side: int = 100, turn: float = 0, scale: float = SCALE, kind: str = "TAN"
) -> WCS:
    """Pixels whose middle is so many grid pixels from (RA, DEC), turned by so many degrees."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = [f"RA---{kind}", f"DEC--{kind}"]
    wcs.wcs.crval = [RA, DEC]
    c, s = np.cos(np.radians(turn)) * scale / 3600, np.sin(np.radians(turn)) * scale / 3600
    wcs.wcs.cd = [[-c, s], [s, c]]
    x, y = np.linalg.solve(wcs.wcs.cd, [-right * SCALE / 3600, up * SCALE / 3600])
    wcs.wcs.crpix = [(side + 1) / 2 - x, (side + 1) / 2 - y]
    wcs.wcs.radesys = "ICRS"
    wcs.wcs.set()
    return wcs


def _tpv(side: int) -> WCS:
    header = _wcs(side=side, turn=7).to_header()
    header["CTYPE1"], header["CTYPE2"] = "RA---TPV", "DEC--TPV"
    header.update(PV1_0=1e-4, PV1_1=1.003, PV1_4=-0.2, PV1_7=-5.0, PV2_1=1.002, PV2_4=0.3, PV2_7=-6.0)
    return WCS(header)


def _sip(side: int) -> WCS:
    wcs = _wcs(side=side, turn=-4)
    wcs.wcs.ctype = ["RA---TAN-SIP", "DEC--TAN-SIP"]
    a, b = np.zeros((3, 3)), np.zeros((3, 3))
    a[2, 0], b[0, 2] = 2e-5, -1e-5
    wcs.sip = Sip(a, b, None, None, wcs.wcs.crpix)
    return wcs


def _sky(wcs: WCS, side: int) -> np.ndarray:
    """Some smooth sources that are the same on the sky for every image."""
    y, x = np.mgrid[:side, :side].astype(float)
    lon, lat = wcs.all_pix2world(x.ravel(), y.ravel(), 0)
    xi = (lon - RA) * np.cos(np.radians(DEC)) * 3600
    eta = (lat - DEC) * 3600
    sources = [(0, 0, 3.0, 100), (5, -3, 2.0, 60), (-8, 6, 2.5, 40), (7, 9, 2.0, 30), (-9, -9, 3.0, 50)]
    value = sum(
        peak * np.exp(-((xi - x0) ** 2 + (eta - y0) ** 2) / 2 / width**2) for x0, y0, width, peak in sources
    )
    return np.asarray(value).reshape(side, side).astype(np.float32)


def _part(name: str, wcs: WCS, side: int = 100, **more: Any) -> Part:
    return Part(name, _sky(wcs, side), wcs, **more)


def _noise(side: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(10, 3, (side, side)).astype(np.float32)


GRID = tangent_grid(RA, DEC, 100, 100, SCALE)
FOUR = [(-40, -40, 1.0), (40, -40, -2.0), (-40, 40, 0.5), (40, 40, 3.0)]


def _four(**more: Any) -> list[Part]:
    return [_part(f"t{number}", _wcs(x, y, turn=turn), **more) for number, (x, y, turn) in enumerate(FOUR)]


# ---------------------------------------------------------------------- one image


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("wcs", [_wcs(), _tpv(100), _sip(100), _wcs(turn=31)])
def test_an_image_on_its_own_pixels_is_unchanged(algorithm: Algorithm, wcs: WCS) -> None:
    pixels = _noise(100)
    pixels[20:25, 30] = np.nan
    found = mosaic([Part("a", pixels, wcs)], grid_of(wcs, pixels.shape), algorithm=algorithm)
    np.testing.assert_array_equal(found.pixels, pixels)
    np.testing.assert_array_equal(found.weight, np.isfinite(pixels).astype(np.float32))
    assert found.inputs == (("a", 0.9995),)
    assert found.covered == 0.9995


@pytest.mark.parametrize("method", ["adaptive", "exact"])
def test_other_methods_keep_an_image_on_its_own_pixels_too(method: Method) -> None:
    pixels = _sky(_wcs(), 100)
    found = mosaic([Part("a", pixels, _wcs())], GRID, method=method)
    expected = pixels if method == "exact" else reproject_adaptive((pixels, _wcs()), _wcs(), pixels.shape)[0]
    inner = slice(4, -4)
    # On pixels that fall on pixels the last digit decides which samples adaptive takes at the rim of its kernel.
    rtol = 1e-5 if method == "exact" else 5e-3
    np.testing.assert_allclose(found.pixels[inner, inner], expected[inner, inner], rtol=rtol, atol=1e-5)


@pytest.mark.parametrize(
    "wcs", [_wcs(3.3, -7.1, turn=12), _tpv(100), _wcs(kind="SIN", turn=3), _wcs(scale=0.5)]
)
def test_interp_is_reprojects(wcs: WCS) -> None:
    pixels = _noise(100)
    found = mosaic([Part("a", pixels, wcs)], GRID, per_pixel=False)
    expected = reproject_interp((pixels, wcs), GRID.wcs(), GRID.shape, return_footprint=False)
    np.testing.assert_allclose(found.pixels, expected, rtol=1e-6, atol=1e-6)


def test_interp_of_sip_is_reprojects_as_far_as_that_inverts_it() -> None:
    pixels = _sky(_sip(100), 100)
    found = mosaic([Part("a", pixels, _sip(100))], GRID, per_pixel=False)
    expected = reproject_interp((pixels, _sip(100)), GRID.wcs(), GRID.shape, return_footprint=False)
    np.testing.assert_allclose(found.pixels[2:-2, 2:-2], expected[2:-2, 2:-2], atol=1e-3)  # 1e-4 of a pixel


def test_other_frames_are_turned_to() -> None:
    galactic = WCS(naxis=2)
    galactic.wcs.ctype = ["GLON-TAN", "GLAT-TAN"]
    galactic.wcs.crval = [240.62, -86.6]  # not far from the position
    galactic.wcs.cdelt = [-SCALE / 3600, SCALE / 3600]
    there = Projection(galactic, _wcs(), (100, 100)).to_grid(np.array([49.5]), np.array([49.5]))
    galactic.wcs.crpix = [50.5 - float(there[0][0]), 50.5 - float(there[1][0])]
    galactic.wcs.crpix = [50.5 - float(there[0][0]), 50.5 - float(there[1][0])]
    grid = grid_of(galactic, (100, 100))
    pixels = _noise(100)
    found = mosaic([Part("a", pixels, _wcs())], grid, per_pixel=False)
    expected = reproject_interp((pixels, _wcs()), grid.wcs(), grid.shape, return_footprint=False)
    assert found.covered > 0.5
    np.testing.assert_allclose(found.pixels, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("method", "theirs"), [("exact", reproject_exact), ("adaptive", reproject_adaptive)])
def test_the_other_methods_are_reprojects(method: Method, theirs: Callable[..., Any]) -> None:
    pixels, wcs = _noise(60), _wcs(3, 2, side=60, turn=20, scale=0.3)
    grid = tangent_grid(RA, DEC, 50, 50, SCALE)
    found = mosaic([Part("a", pixels, wcs)], grid, method=method, per_pixel=False, block=17)
    expected = theirs((pixels, wcs), grid.wcs(), grid.shape, return_footprint=False)
    both = np.isfinite(found.pixels) & np.isfinite(expected)
    np.testing.assert_allclose(found.pixels[both], expected[both], rtol=2e-6)
    # At an image's edge theirs differ among themselves: adaptive has nothing, exact what is but touched. Ours: half.
    more, less = (np.count_nonzero(np.isfinite(one) & ~both) for one in (found.pixels, expected))
    assert (more, less) == ((more, 0) if method == "adaptive" else (0, less))
    assert both.sum() > 1900


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_blocks_leave_no_trace(method: Method, algorithm: Algorithm) -> None:
    rng = np.random.default_rng(3)
    parts = []
    for number, (x, y, turn) in enumerate(FOUR):
        pixels = _noise(48, number)
        pixels[rng.random(pixels.shape) < 0.02] = np.nan
        wcs = _wcs(x / 3, y / 3, side=48, turn=turn, scale=SCALE * 1.3)
        parts.append(Part(str(number), pixels, wcs, rng.uniform(0.5, 2, pixels.shape).astype(np.float32)))
    grid = tangent_grid(RA, DEC, 61, 47, SCALE)
    whole = mosaic(parts, grid, method=method, algorithm=algorithm)
    blocks = mosaic(parts, grid, method=method, algorithm=algorithm, block=13)
    np.testing.assert_allclose(blocks.pixels, whole.pixels, rtol=1e-5)
    np.testing.assert_allclose(blocks.weight, whole.weight, rtol=1e-5)
    assert blocks.inputs == whole.inputs


# ---------------------------------------------------------------------- flux


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("scale", [SCALE, 0.2, 0.35])
def test_flux_is_conserved(method: Method, scale: float) -> None:
    side = round(160 * SCALE / scale)
    wcs = _wcs(1.3, 2.1, side=side, turn=17, scale=scale)
    pixels = _sky(wcs, side)
    grid = tangent_grid(RA, DEC, 220, 220, SCALE)
    found = mosaic([Part("a", pixels, wcs)], grid, method=method)
    assert np.nansum(found.pixels, dtype=float) == pytest.approx(pixels.sum(dtype=float), rel=1e-4)


def test_flux_is_conserved_where_pixels_differ_in_size() -> None:
    wcs = _tpv(160)
    pixels = np.pad(_sky(_wcs(side=100), 100), 30)
    found = mosaic([Part("a", pixels, wcs)], tangent_grid(RA, DEC, 180, 180, SCALE))
    assert np.nansum(found.pixels, dtype=float) == pytest.approx(pixels.sum(dtype=float), rel=1e-4)


def test_a_coadd_is_reprojects_to_a_ten_thousandth() -> None:
    parts = _four()
    found = mosaic(parts, GRID, per_pixel=False)
    expected, footprint = reproject_and_coadd(
        [(part.pixels, part.wcs) for part in parts],
        GRID.wcs(),
        GRID.shape,
        reproject_function=reproject_interp,
        combine_function="mean",
    )
    assert (footprint > 0).all()
    assert found.pixels.sum(dtype=float) == pytest.approx(expected.sum(), rel=1e-4)
    np.testing.assert_allclose(found.pixels, expected, rtol=1e-4, atol=1e-4)


def test_values_of_an_area_stay() -> None:
    coarse = _wcs(scale=2 * SCALE, side=60)
    flat = Part("a", np.full((60, 60), 8.0, np.float32), coarse)
    assert mosaic([flat], GRID, per_pixel=False).pixels.max() == pytest.approx(8)
    ratio = proj_plane_pixel_area(GRID.wcs()) / proj_plane_pixel_area(coarse)
    np.testing.assert_allclose(mosaic([flat], GRID).pixels, 8 * ratio, rtol=1e-6)


def test_zero_points_become_one() -> None:
    parts = [
        Part("a", np.full((100, 100), 10.0, np.float32), _wcs(), np.full((100, 100), 4.0), zero_point=25.0),
        Part("b", np.full((100, 100), 100.0, np.float32), _wcs(), np.full((100, 100), 0.04), zero_point=27.5),
    ]
    found = mosaic(parts, GRID)
    assert found.zero_point == 25
    np.testing.assert_allclose(found.pixels, 10, rtol=1e-6)
    np.testing.assert_allclose(found.weight, 8, rtol=1e-6)  # 0.04 of values ten times as large
    other = mosaic(parts, GRID, zero_point=22.5)
    np.testing.assert_allclose(other.pixels, 1, rtol=1e-6)
    assert ("MAGZERO", 22.5) in [card[:2] for card in other.cards()]
    without = mosaic([*parts, Part("c", np.full((100, 100), 5.0, np.float32), _wcs())], GRID)
    assert without.zero_point is None
    np.testing.assert_allclose(without.pixels, 115 / 3, rtol=1e-6)
    assert "MAGZERO" not in [keyword for keyword, _, _ in without.cards()]


# ---------------------------------------------------------------------- weights, masks, holes


def test_a_coadd_is_the_weighted_mean() -> None:
    rng = np.random.default_rng(1)
    layers = [_noise(100, seed) for seed in range(3)]
    weights = [rng.uniform(0.1, 5, (100, 100)) for _ in layers]
    parts = [
        Part(str(n), *pair[:1], _wcs(), pair[1]) for n, pair in enumerate(zip(layers, weights, strict=True))
    ]
    found = mosaic(parts, GRID)
    np.testing.assert_allclose(found.pixels, np.average(layers, axis=0, weights=weights), rtol=1e-5)
    np.testing.assert_allclose(found.weight, np.sum(weights, axis=0), rtol=1e-5)
    # If one has no weights, all count alike, and those of the others still say what is good.
    weights[0][:50] = 0
    weights[0][60, 60] = np.nan
    mixed = mosaic([Part("a", layers[0], _wcs(), weights[0]), Part("b", layers[1], _wcs())], GRID)
    expected = np.where((weights[0] > 0), (layers[0] + layers[1]) / 2, layers[1])
    np.testing.assert_allclose(mixed.pixels, expected, rtol=1e-6)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("how", ["nan", "mask", "weight", "nan weight", "negative weight"])
def test_what_is_bad_gets_nowhere(algorithm: Algorithm, method: Method, how: str) -> None:
    wcs = _wcs(0.4, 0.3, side=60, turn=5)
    pixels = np.full((60, 60), 7.0, np.float32)
    bad = np.zeros((60, 60), bool)
    bad[20:40, 25:35] = bad[50, 10] = True
    pixels[bad] = np.nan if how == "nan" else 1e30
    weight = mask = None
    if how == "mask":
        mask = np.where(bad, 4, 0).astype(np.int16)
    elif how != "nan":
        value = {"weight": 0.0, "nan weight": np.nan, "negative weight": -1.0}[how]
        weight = np.where(bad, value, 2.0).astype(np.float32)
    grid = tangent_grid(RA, DEC, 50, 50, SCALE)
    found = mosaic([Part("a", pixels, wcs, weight, mask)], grid, algorithm=algorithm, method=method)
    there = np.isfinite(found.pixels)
    np.testing.assert_allclose(found.pixels[there], 7, rtol=1e-5)
    np.testing.assert_array_equal(there, found.weight > 0)
    # The hole keeps its size: 200 pixels, and the lonely one at most.
    assert 190 <= np.count_nonzero(~there) <= 210
    assert np.isnan(found.pixels[20:30, 22:28]).any()


def test_infinities_are_no_pixels() -> None:
    pixels = np.ones((100, 100), np.float32)
    pixels[10, 10], pixels[20, 20] = np.inf, -np.inf
    found = mosaic([Part("a", pixels, _wcs(0.2))], GRID)
    assert np.nanmax(np.abs(found.pixels)) == pytest.approx(1)


def test_a_plane_of_another_shape_is_a_mistake() -> None:
    with pytest.raises(ValueError, match=r"the mask has shape \(3, 3\), the image \(100, 100\)"):
        mosaic([Part("a", _noise(100), _wcs(), mask=np.zeros((3, 3)))], GRID)
    with pytest.raises(ValueError, match="at least one pixel"):
        mosaic([], GRID, block=0)


# ---------------------------------------------------------------------- which image


def test_nearest_takes_each_pixel_from_one_image() -> None:
    parts = [
        Part(str(n), np.full((100, 100), float(n), np.float32), _wcs(x, y))
        for n, (x, y, _) in enumerate(FOUR, 1)
    ]
    found = mosaic(parts, GRID, algorithm="nearest")
    y, x = np.mgrid[:100, :100] - 49.5
    distance = np.stack([np.hypot(x - right, y - up) for right, up, _ in FOUR])
    np.testing.assert_array_equal(found.pixels, distance.argmin(axis=0) + 1)
    assert sum(share for _, share in found.inputs) == pytest.approx(1)
    # An image that was cut is as near as it is whole; where the nearest has nothing, the next one is taken.
    parts[3].pixels[0, :] = np.nan
    sky = _wcs().all_pix2world([[9.5, 49.5]], 0)[0]
    moved = [*parts[1:], Part("1", parts[0].pixels, parts[0].wcs, centre=(float(sky[0]), float(sky[1])))]
    near_corner = mosaic(moved, GRID, algorithm="nearest").pixels
    assert (near_corner[:, 0] == 1).sum() > (found.pixels[:, 0] == 1).sum()
    assert np.isfinite(near_corner).all()
    far = Part("far", np.full((100, 100), 9.0, np.float32), _wcs(), centre=(RA + 180, -DEC))
    alone = mosaic([far], GRID, algorithm="nearest")
    assert (alone.pixels == 9).all()
    assert (mosaic([far, parts[0]], GRID, algorithm="nearest").pixels[:50, :50] == 1).all()


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_the_median_is_numpys(count: int) -> None:
    rng = np.random.default_rng(count)
    layers = [_noise(100, seed) for seed in range(count)]
    for layer in layers:
        layer[rng.random(layer.shape) < 0.3] = np.nan
    found = mosaic([Part(str(n), layer, _wcs()) for n, layer in enumerate(layers)], GRID, algorithm="median")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = np.nanmedian(layers, axis=0)
    np.testing.assert_allclose(found.pixels, expected, rtol=1e-6)


def test_a_median_takes_no_notice_of_one_bad_image() -> None:
    layers = [np.full((100, 100), 5.0, np.float32) for _ in range(5)]
    layers[2][40:60, 40:60] = 1e6  # a satellite
    found = mosaic([Part(str(n), layer, _wcs()) for n, layer in enumerate(layers)], GRID, algorithm="median")
    assert (found.pixels == 5).all()


# ---------------------------------------------------------------------- what is said of it


def test_provenance() -> None:
    parts = [*_four(seeing=1.0), _part("elsewhere", _wcs(5000, 0), seeing=9.0)]
    found = mosaic(parts, tangent_grid(RA, DEC, 300, 100, SCALE))
    assert 0.5 < found.covered < 0.65
    assert [name for name, _ in found.inputs] == ["t0", "t1", "t2", "t3", "elsewhere"]
    assert found.inputs[-1][1] == 0
    assert found.covered == np.isfinite(found.pixels).mean()
    header = fits.Header()
    for keyword, value, comment in found.cards():
        header[keyword] = (value, comment)
    assert (header["NINPUTS"], header["METHOD"], header["COMBINE"]) == (4, "reproject_interp", "coadd")
    assert [header[f"IMAGE00{n}"] for n in range(1, 5)] == ["t0", "t1", "t2", "t3"]
    assert header["COVERED"] == pytest.approx(found.covered, abs=1e-6)
    assert (header["MATCHED"], header["SEEING"]) == (False, 1)
    assert "IMAGE005" not in header
    again = pickle.loads(pickle.dumps(found))
    assert again.cards() == found.cards()
    assert all(len(keyword) <= 8 for keyword in header)


def test_nothing_makes_nothing() -> None:
    for parts in ([], [_part("far", _wcs(1e5, 0))], [Part("blank", np.full((9, 9), np.nan), _wcs(side=9))]):
        for algorithm in ALGORITHMS:
            found = mosaic(parts, GRID, algorithm=algorithm, match=True)
            assert np.isnan(found.pixels).all()
            assert not found.weight.any()
            assert (found.covered, found.seeing) == (0, None)
            assert ("NINPUTS", 0) in [card[:2] for card in found.cards()]


def test_the_other_side_of_the_sky_is_not_in_it() -> None:
    behind = _wcs()
    behind.wcs.crval = [RA + 180, -DEC]
    behind.wcs.set()
    assert mosaic([Part("a", _noise(100), behind)], GRID).covered == 0


def test_poles_and_the_meridian_are_places_like_others() -> None:
    for ra, dec in ((0.0, 5.0), (359.9999, 5.0), (77.0, 90.0), (10.0, -89.999)):
        grid = tangent_grid(ra, dec, 60, 60, SCALE)
        image = tangent_grid(ra + 0.001, max(-90, min(90, dec - 0.001)), 120, 120, SCALE).wcs()
        pixels = _noise(120)
        found = mosaic([Part("a", pixels, image)], grid, per_pixel=False)
        expected = reproject_interp((pixels, image), grid.wcs(), grid.shape, return_footprint=False)
        np.testing.assert_allclose(found.pixels, expected, rtol=1e-5, atol=1e-5)


def test_places_that_no_polynomial_holds_are_looked_up_one_by_one() -> None:
    # All of a sky in one image, and a plane whose corners are near its horizon: nothing is smooth.
    allsky = WCS(naxis=2)
    allsky.wcs.ctype = ["RA---CAR", "DEC--CAR"]
    allsky.wcs.crval, allsky.wcs.crpix, allsky.wcs.cdelt = [180.0, 0.0], [90.5, 45.5], [-2.0, 2.0]
    allsky.wcs.radesys = "ICRS"
    y, x = np.mgrid[:90, :180]
    pixels = (x + 200 * y).astype(np.float32)
    grid = tangent_grid(179, 3, 60, 60, 3600)
    found = mosaic([Part("a", pixels, allsky)], grid, per_pixel=False)
    expected = reproject_interp((pixels, allsky), grid.wcs(), grid.shape, return_footprint=False)
    np.testing.assert_allclose(found.pixels, expected, rtol=1e-5)
    with_areas = mosaic([Part("a", np.ones((90, 180), np.float32), allsky)], grid)
    assert with_areas.pixels[30, 30] == pytest.approx(0.25, rel=0.01)


# ---------------------------------------------------------------------- cost


def test_memory_is_that_of_the_answer() -> None:
    grid = tangent_grid(RA, DEC, 4096, 4096, SCALE)
    parts = [Part(str(n), _noise(512, n), _wcs(1000 * n - 1500, 0, side=512, turn=n)) for n in range(4)]
    for algorithm in ALGORITHMS:
        mosaic(parts, tangent_grid(RA, DEC, 8, 8, SCALE), algorithm=algorithm)  # imports
        tracemalloc.start()
        found = mosaic(parts, grid, algorithm=algorithm, block=256)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert found.covered > 0.05
        # Values and weights, and a mask of which are finite; 40 MB for the block.
        assert peak < found.pixels.nbytes + found.weight.nbytes + found.pixels.size + 40e6
        del found


def test_places_are_found_by_polynomials(monkeypatch: pytest.MonkeyPatch) -> None:
    # 1024 × 1024 pixels of a distorted image: wcslib is asked some hundred times, not a million.
    asked = 0
    original = Projection.to_image

    def counted(self: Projection, x: Any, y: Any) -> Any:
        nonlocal asked
        asked += x.size
        return original(self, x, y)

    monkeypatch.setattr(Projection, "to_image", counted)
    wcs = _tpv(1024)
    source = Source(np.zeros((1024, 1024), np.float32), wcs)
    grid = tangent_grid(RA, DEC, 1024, 1024, SCALE).wcs()
    projection = Projection(grid, wcs, (1024, 1024))
    found = resampled(source, projection, Box(0, 1024, 0, 1024))
    assert found is not None
    assert 0 < asked < 1000


# ---------------------------------------------------------------------- real tiles


def _real(pattern: str) -> list[Part]:
    folder = TILES / "decam_legacypipe"
    if not folder.is_dir():
        pytest.skip(f"REAL TILES NOT TESTED: {folder} is absent")
    parts = []
    for path in sorted(folder.glob(pattern)):
        planes = []
        for letters in ("_ooi_", "_oow_", "_ood_"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with fits.open(str(path).replace("_ooi_", letters)) as hdus:
                    planes.append(hdus[1].data.astype(hdus[1].data.dtype.newbyteorder("=")))
                    header = hdus[1].header
                    wcs = WCS(header)
        parts.append(Part(path.name, planes[0].astype(np.float32), wcs, planes[1], planes[2]))
    assert parts
    return parts


@pytest.mark.parametrize("band", ["g", "r", "z"])
def test_real_exposures_become_one(band: str) -> None:
    parts = _real(f"*testcase3__*_ooi_{band}_*")
    assert len(parts) >= 2
    grid = tangent_grid(244.7797, 12.0724, 60, 60, 0.262)
    found: Mosaic = mosaic(parts, grid, match=True)
    singles = [
        reproject_interp((part.pixels, part.wcs), grid.wcs(), grid.shape, return_footprint=False)
        for part in parts
    ]
    alone = mosaic(parts[:1], Grid(grid.shape, grid.cards), per_pixel=False)
    both = np.isfinite(singles[0]) & np.isfinite(alone.pixels)
    assert both.sum() > 1500
    np.testing.assert_allclose(alone.pixels[both], singles[0][both], rtol=1e-6)
    assert found.offsets is not None
    assert found.offsets[0] == 0
    assert found.groups == 1
    assert max(abs(offset) for offset in found.offsets) > 1, "nights differ in their sky"
