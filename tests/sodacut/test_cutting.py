"""Cutting by a region: the pixels astropy would take, and a header that still tells the truth."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import Cutout2D
from astropy.wcs import WCS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sodalake.lake.alerts import AlertStamps
from sodalake.lake.errors import Damaged
from sodalake.sodacut.cards import Header
from sodalake.sodacut.coordinates import pixel_box, sky_frame
from sodalake.sodacut.cutting import cut, cut_pixels
from sodalake.sodacut.errors import NoCoordinates, NoOverlap
from sodalake.sodacut.regions import parse_circle, parse_polygon, parse_pos
from sodalake.sodacut.shapes import Circle, Polygon, Range, Region, directions
from sodalake.sodacut.stampfits import unpacked

Maker = Callable[..., bytes]
Opener = Callable[[bytes], fits.HDUList]

SCALE = 0.2 / 3600


def _astropy_wcs(header: fits.Header) -> WCS:
    """astropy's reading of a Rubin header, told what it does not say: the tangent plane."""
    header = header.copy()
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    return WCS(header)


def _sky(wcs: WCS, x: float, y: float) -> tuple[float, float]:
    lon, lat = wcs.wcs_pix2world(x, y, 0)
    return float(lon), float(lat)


@pytest.mark.parametrize("dec", [0.0, 3.25, -60.0, 89.0, 89.9999, -90.0])
@pytest.mark.parametrize("ra", [0.0, 149.8, 359.9999])
@pytest.mark.parametrize("pixels", [1, 6, 11, 30])
def test_a_circle_is_astropys_cutout(
    rubin_stamp: Maker, opened: Opener, ra: float, dec: float, pixels: int
) -> None:
    data = rubin_stamp(41, 47, ra=ra, dec=dec)
    (image, variance, psf) = opened(data)
    wcs = _astropy_wcs(image.header)
    lon, lat = _sky(wcs, 20.3, 17.7)
    # Cutout2D takes n pixels around a position; a circle of n - 1 pixels' diameter touches n.
    theirs = Cutout2D(image.data, (20.3, 17.7), pixels, wcs=wcs)
    radius = max(0.1, (pixels - 1) / 2) * SCALE
    smaller = opened(cut(data, Circle(lon, lat, radius)))
    np.testing.assert_array_equal(smaller[0].data, theirs.data)
    np.testing.assert_array_equal(smaller[1].data, Cutout2D(variance.data, (20.3, 17.7), pixels).data)
    np.testing.assert_array_equal(smaller[2].data, psf.data)
    ours = _astropy_wcs(smaller[0].header)
    np.testing.assert_allclose(ours.wcs.crpix, theirs.wcs.wcs.crpix, rtol=0, atol=1e-9)
    there = _sky(ours, *theirs.to_cutout_position((20.3, 17.7)))
    assert SkyCoord(*there, unit="deg").separation(SkyCoord(lon, lat, unit="deg")).arcsec < 1e-6


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    ra=st.floats(0, 360), dec=st.floats(-90, 90), turn=st.floats(0, 360),
    x=st.floats(-6, 46), y=st.floats(-6, 46), size=st.floats(0.01, 40), shape=st.sampled_from("CPR"),
)  # fmt: skip
def test_the_box_is_that_of_a_dense_outline(
    rubin_stamp: Maker,
    opened: Opener,
    ra: float,
    dec: float,
    turn: float,
    x: float,
    y: float,
    size: float,
    shape: str,
) -> None:
    """Against the plainest method: 20 000 points a side of the region's outline, projected one and all."""
    data = rubin_stamp(41, 41, ra=ra, dec=dec, turn=turn)
    wcs = _astropy_wcs(opened(data)[0].header)
    lon, lat = _sky(wcs, x, y)
    degrees = size * SCALE
    region: Region
    if shape == "C":
        region = Circle(lon % 360, lat, degrees)
    elif shape == "P":
        corners = [_sky(wcs, x + a * size, y + b * size) for a, b in ((0, 0), (1, 0.3), (0.2, 1))]
        region = Polygon(tuple(corners))
    else:
        south = max(-90.0, lat - degrees)
        width = min(359.0, degrees / max(1e-9, np.cos(np.radians(lat))))
        region = Range(lon % 360, lon % 360 + width, south, min(90.0, south + 2 * degrees))
    t = np.linspace(0, 1, 20_000)
    points = np.concatenate([arc(t) for arc in region.arcs()])
    lons = np.degrees(np.arctan2(points[:, 1], points[:, 0]))
    lats = np.degrees(np.arctan2(points[:, 2], np.hypot(points[:, 0], points[:, 1])))
    xs, ys = wcs.wcs_world2pix(lons, lats, 0)
    limits = np.array([xs.min(), xs.max(), ys.min(), ys.max()]) + 0.5
    if np.abs(limits - np.rint(limits)).min() < 1e-4:  # on the line between two pixels: either is right
        return
    x0, x1, y0, y1 = np.floor(limits).astype(int)
    expected = (max(0, x0), min(41, x1 + 1), max(0, y0), min(41, y1 + 1))
    frame = sky_frame(Header.from_bytes(data[:2880]))
    try:
        box = pixel_box(region, frame, (41, 41))
    except NoOverlap:
        inside = (xs > -0.5) & (xs < 40.5) & (ys > -0.5) & (ys < 40.5)
        assert not inside.any()
        grid_x, grid_y = np.meshgrid(np.linspace(0, 40, 9), np.linspace(0, 40, 9))
        assert not region.holds(frame.to_sky(grid_x.ravel(), grid_y.ravel())).any()
        return
    assert (box.x0, box.x1, box.y0, box.y1) == expected


def test_real_stamps_are_cut_as_astropy_cuts_them(lsst_alerts: list[AlertStamps], opened: Opener) -> None:
    same_shape = 0
    for alert in lsst_alerts[:40]:
        data = alert.stamps["science"]
        assert data is not None
        image, variance, psf = opened(data)
        same_shape += image.shape == psf.shape
        wcs = _astropy_wcs(image.header)
        x, y = image.header["CRPIX1"] - 1, image.header["CRPIX2"] - 1
        scale = float(np.sqrt(abs(np.linalg.det(wcs.pixel_scale_matrix))))
        region = parse_circle(f"{image.header['CRVAL1']} {image.header['CRVAL2']} {6 * scale}")
        smaller = opened(cut(data, region))
        theirs = Cutout2D(image.data, (x, y), smaller[0].data.shape, wcs=wcs)
        assert max(smaller[0].data.shape) in (12, 13, 14)
        np.testing.assert_array_equal(smaller[0].data, theirs.data)
        np.testing.assert_array_equal(
            smaller[1].data, Cutout2D(variance.data, (x, y), smaller[0].data.shape).data
        )
        np.testing.assert_array_equal(smaller[2].data, psf.data)
        left, bottom = theirs.origin_original
        for card in image.header.cards:
            now = smaller[0].header[card.keyword]
            moved = {"CRPIX1": -left, "CRPIX2": -bottom, "CUTMINX": left, "CUTMINY": bottom}.get(
                card.keyword, 0
            )
            if card.keyword in ("NAXIS1", "NAXIS2"):
                continue
            assert now == pytest.approx(card.value + moved, abs=1e-12) if moved else now == card.value
            assert smaller[0].header.comments[card.keyword] == card.comment
    assert same_shape, "a stamp as large as its PSF is among them"


def test_the_position_of_an_alert_is_in_its_stamp(lsst_alerts: list[AlertStamps]) -> None:
    """The peak of a difference image lies on the reference position of its header, which says the WCS is FITS's."""
    near = 0
    for alert in lsst_alerts:
        data = alert.stamps["difference"]
        assert data is not None
        header = Header.from_bytes(data)
        pixels = np.abs(cut_pixels(data))
        row, column = np.unravel_index(np.nanargmax(pixels), pixels.shape)
        away = np.hypot(
            column + 1 - float(header.number("CRPIX1") or 0), row + 1 - float(header.number("CRPIX2") or 0)
        )
        near += away < 3
    assert near > 0.5 * len(lsst_alerts)


def test_degrees_of_right_ascension_are_shorter_at_high_declination(rubin_stamp: Maker) -> None:
    # 10 pixels of 0.2 arcsec eastwards are 4 arcsec of right ascension at declination 60, not 2.
    data = rubin_stamp(41, 41, ra=100.0, dec=60.0, turn=0.0)
    width = 20 * SCALE / np.cos(np.radians(60))
    box = cut_pixels(data, parse_pos(f"RANGE {100 - width / 2} {100 + width / 2} -Inf +Inf"))
    assert box.shape == (41, 21)


@pytest.mark.parametrize(
    "text",
    [
        "CIRCLE 149.8 3.25 180",
        "CIRCLE 149.8 3.25 60",
        "CIRCLE 329.8 -3.25 180",
        "CIRCLE 329.8 -3.25 179.999",
        "RANGE -Inf +Inf -Inf +Inf",
        "RANGE 149 150 3 4",
        "RANGE 200 150 -Inf 5",
        "POLYGON 100 -40 200 -40 200 50 100 50",
        "POLYGON 149 3 150 3 150 4 149 4",
    ],
)
def test_a_region_that_covers_the_stamp_leaves_it_unchanged(rubin_stamp: Maker, text: str) -> None:
    data = rubin_stamp()
    assert cut(data, parse_pos(text)) is data
    np.testing.assert_array_equal(cut_pixels(data, parse_pos(text)), cut_pixels(data))


@pytest.mark.parametrize(
    "text",
    [
        "CIRCLE 149.8 3.26 0.001",
        "CIRCLE 329.8 -3.25 0.1",
        "CIRCLE 329.8 -3.25 179.9",
        "RANGE 150 149 -Inf +Inf",
        "RANGE -Inf +Inf 4 5",
        "RANGE -Inf +Inf -90 0",
        "POLYGON 151 3 152 3 152 4 151 4",
        "POLYGON 200 -40 300 -40 300 50 200 50",
    ],
)
def test_a_region_beside_the_stamp_has_no_overlap(rubin_stamp: Maker, text: str) -> None:
    with pytest.raises(NoOverlap):
        cut(rubin_stamp(), parse_pos(text))


def test_a_region_whose_box_but_not_itself_meets_the_stamp_has_no_overlap(
    rubin_stamp: Maker, opened: Opener
) -> None:
    data = rubin_stamp()
    wcs = _astropy_wcs(opened(data)[0].header)
    # A circle beyond the corner: its box reaches (38, 38), the circle itself does not reach (40.5, 40.5).
    lon, lat = _sky(wcs, 50, 50)
    with pytest.raises(NoOverlap):
        cut(data, Circle(lon, lat, 12 * SCALE))
    assert cut_pixels(data, Circle(lon, lat, 14 * SCALE)).shape == (5, 5)
    # A triangle around the corner, with the stamp on the far side of its long edge.
    corners = [_sky(wcs, *place) for place in ((85, -2), (85, 85), (-2, 85))]
    with pytest.raises(NoOverlap):
        cut(data, Polygon(tuple(corners)))


def test_a_region_smaller_than_a_pixel_gives_that_pixel(rubin_stamp: Maker, opened: Opener) -> None:
    data = rubin_stamp()
    wcs = _astropy_wcs(opened(data)[0].header)
    lon, lat = _sky(wcs, 7.2, 30.4)
    np.testing.assert_array_equal(cut_pixels(data, Circle(lon, lat, 1e-8)), cut_pixels(data)[30:31, 7:8])


def test_a_region_over_the_edge_is_clipped(rubin_stamp: Maker, opened: Opener) -> None:
    data = rubin_stamp()
    wcs = _astropy_wcs(opened(data)[0].header)
    lon, lat = _sky(wcs, 0.1, 39.8)
    np.testing.assert_array_equal(cut_pixels(data, Circle(lon, lat, 3 * SCALE)), cut_pixels(data)[37:41, 0:4])


def test_a_polygon_through_the_zero_of_right_ascension(rubin_stamp: Maker) -> None:
    data = rubin_stamp(41, 41, ra=359.99999, dec=0.0, turn=0.0)
    region = parse_polygon("359.9995 -0.0002 0.0005 -0.0002 0.0005 0.0002 359.9995 0.0002")
    assert cut_pixels(data, region).shape == (9, 19)
    assert cut_pixels(data, parse_pos("RANGE 359.9995 0.0005 -0.0002 0.0002")).shape == (9, 19)


def test_a_stamp_on_the_pole(rubin_stamp: Maker) -> None:
    data = rubin_stamp(41, 41, ra=0.0, dec=90.0, turn=0.0)
    cap = cut_pixels(data, parse_pos(f"RANGE -Inf +Inf {90 - 5 * SCALE} 90"))
    assert cap.shape in ((11, 11), (12, 11), (11, 12), (12, 12))
    np.testing.assert_array_equal(cap, cut_pixels(data, parse_circle(f"123 90 {5 * SCALE}")))
    half = cut_pixels(data, parse_pos("RANGE 0 180 -Inf +Inf"))
    assert half.size < 41 * 41


@pytest.mark.parametrize("ra", [0.0, 149.8, 359.99999])
@pytest.mark.parametrize("place", [3.3, 20.0, 37.1])
def test_a_band_around_the_sky_may_be_thinner_than_a_pixel(
    rubin_stamp: Maker, ra: float, place: float
) -> None:
    data = rubin_stamp(41, 41, ra=ra, dec=-0.0001, turn=0.0)
    frame = sky_frame(Header.from_bytes(data[:2880]))
    along, lat = np.degrees(np.arcsin(frame.to_sky(np.array([20.0]), np.array([place]))[0, 2])), 1e-9
    band = cut_pixels(data, parse_pos(f"RANGE -Inf +Inf {along - lat:.15f} {along + lat:.15f}"))
    row = round(place)
    np.testing.assert_array_equal(band, cut_pixels(data)[row : row + 1])
    across = float(np.degrees(np.arctan2(*frame.to_sky(np.array([place]), np.array([20.0]))[0, 1::-1])))
    line = cut_pixels(data, parse_pos(f"RANGE {across - lat:.15f} {across + lat:.15f} -Inf +Inf"))
    np.testing.assert_array_equal(line, cut_pixels(data)[:, row : row + 1])
    every = cut_pixels(data, parse_pos(f"RANGE {across + lat:.15f} {across - lat:.15f} -Inf +Inf"))
    assert every.shape == (41, 41), "all but that meridian"


def test_ztf_stamps_have_no_coordinates(ztf_stamp: Maker) -> None:
    with pytest.raises(NoCoordinates, match=r"no sky coordinates.*Ask without a region"):
        cut(unpacked(ztf_stamp()), parse_circle("1 2 3"))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"CTYPE1": "GLON-TAN", "CTYPE2": "GLAT-TAN"}, "GLON-TAN"),
        ({"CTYPE1": "LINEAR", "CTYPE2": "LINEAR"}, "LINEAR"),
        ({"RADESYS": "FK4"}, "FK4: regions are ICRS"),
        ({"EQUINOX": 1950.0}, "equinox 1950"),
    ],
)
def test_other_coordinates_are_refused(
    rubin_stamp: Maker, opened: Opener, changes: dict[str, object], sentence: str
) -> None:
    hdus = opened(rubin_stamp())
    hdus[0].header.update(changes)
    with pytest.raises(NoCoordinates, match=sentence):
        sky_frame(Header.from_bytes(hdus[0].header.tostring().encode()))


@pytest.mark.parametrize(
    "changes",
    [
        {"PC1_1": 0.0, "PC2_1": 0.0},
        {"CDELT1": 0.0},
        {"CRPIX1": "x"},
        {"CRVAL2": "pole"},
        {"CTYPE1": "RA---XXX"},
        {"WCSAXES": 10**9, "A_ORDER": 2},
        {"A_ORDER": 10**6, "B_ORDER": 10**6},
        {"A_ORDER": "inf", "B_ORDER": 2},
    ],
)
def test_coordinates_that_cannot_be_are_damage(
    rubin_stamp: Maker, opened: Opener, changes: dict[str, object]
) -> None:
    hdus = opened(rubin_stamp())
    hdus[0].header.update({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN"} | changes)
    with pytest.raises((Damaged, NoCoordinates)):
        pixel_box(
            parse_circle("149.8 3.25 0.001"),
            sky_frame(Header.from_bytes(hdus[0].header.tostring().encode())),
            (41, 41),
        )


def test_distortions_and_cd_matrices_go_through_astropy(rubin_stamp: Maker, opened: Opener) -> None:
    hdus = opened(rubin_stamp())
    header = hdus[0].header
    for i in (1, 2):
        for j in (1, 2):
            header[f"CD{i}_{j}"] = header.pop(f"PC{i}_{j}")
        del header[f"CDELT{i}"]
    header.update({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "RADESYS": "ICRS"})
    region = parse_circle(f"149.8 3.25 {8 * SCALE}")
    plain = pixel_box(region, sky_frame(Header.from_bytes(header.tostring().encode())), (41, 41))
    assert plain == pixel_box(region, sky_frame(Header.from_bytes(rubin_stamp()[:2880])), (41, 41))
    header.update(
        {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "A_ORDER": 2, "B_ORDER": 2, "A_2_0": 0.02}
    )
    bent = pixel_box(region, sky_frame(Header.from_bytes(header.tostring().encode())), (41, 41))
    expected = WCS(header)
    t = np.linspace(0, 1, 20_000)
    points = region.arcs()[0](t)
    xs, ys = expected.all_world2pix(
        np.degrees(np.arctan2(points[:, 1], points[:, 0])), np.degrees(np.arcsin(points[:, 2])), 0
    )
    assert (bent.x0, bent.x1) == (round(xs.min()), round(xs.max()) + 1)
    assert (bent.y0, bent.y1) == (round(ys.min()), round(ys.max()) + 1)
    assert bent != plain


def test_alternates_ltv_and_checksums(rubin_stamp: Maker, opened: Opener) -> None:
    hdus = opened(rubin_stamp())
    wcs = _astropy_wcs(hdus[0].header)
    hdus[0].header.update({"CRPIX1A": 1.0, "CRPIX2A": "x", "LTV1": -100.0, "LTV2": -7})
    hdus[0].add_checksum()
    hdus[2].add_checksum()
    data = b"".join(hdu.header.tostring().encode() + _data_bytes(hdu) for hdu in hdus)
    region = Circle(*_sky(wcs, 20, 25), 3.2 * SCALE)
    smaller = opened(cut(data, region))
    header = smaller[0].header
    assert (header["NAXIS1"], header["NAXIS2"]) == (7, 7)
    assert (header["CRPIX1A"], header["CRPIX2A"]) == (-16.0, "x")
    assert (header["LTV1"], header["LTV2"]) == (-117.0, -29)
    assert (header["CUTMINX"], header["CUTMINY"]) == (3733, 615)
    assert "CHECKSUM" not in header
    assert smaller[2].header["CHECKSUM"] == hdus[2].header["CHECKSUM"]
    before, after = (
        Header.from_bytes(data).number("CRPIX1"),
        Header.from_bytes(cut(data, region)).number("CRPIX1"),
    )
    assert before is not None
    assert after == before - 17, "exact to the digits that were written"


def _data_bytes(hdu: fits.ImageHDU) -> bytes:
    raw = hdu.data.astype(hdu.data.dtype.newbyteorder(">")).tobytes()
    return raw.ljust(-(-len(raw) // 2880) * 2880, b"\0")


def test_not_a_bit_of_a_pixel_changes(rubin_stamp: Maker, opened: Opener) -> None:
    data = bytearray(rubin_stamp())
    odd = bytes.fromhex("7fa00001 ffc12345 80000000 7f800000")  # signalling and quiet NaN, -0, +Inf
    start = 2880 + (20 * 41 + 18) * 4
    data[start : start + 16] = odd
    wcs = _astropy_wcs(opened(bytes(data))[0].header)
    assert odd in cut(bytes(data), Circle(*_sky(wcs, 20, 20), 4 * SCALE))


def test_directions_of_the_frame_come_back(rubin_stamp: Maker) -> None:
    frame = sky_frame(Header.from_bytes(rubin_stamp()[:2880]))
    x, y = np.array([0.0, 20.5, 40]), np.array([3.0, 7, 40])
    back = frame.to_pixels(frame.to_sky(x, y))
    np.testing.assert_allclose(back, (x, y), atol=1e-6)
    assert np.isnan(frame.to_pixels(-directions(149.8, 3.25))).all()


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    keyword=st.sampled_from(
        ["CRPIX1", "CRVAL1", "CRVAL2", "PC1_1", "PC2_2", "CDELT1", "WCSAXES", "CUTMINX", "BUNIT"]
    ),
    other=st.sampled_from(
        ["", "CTYPE1", "CUNIT1", "LONPOLE", "LATPOLE", "PV2_1", "A_ORDER", "CROTA2", "RADESYS", "CD1_1"]
    ),
    value=st.one_of(st.floats().map(str), st.text(" '/=.-+E0123456789abTRA", max_size=40)),
    size=st.floats(0.1, 30),
)
def test_a_changed_header_is_cut_or_refused(
    rubin_stamp: Maker, keyword: str, other: str, value: str, size: float
) -> None:
    data = rubin_stamp()
    place = data.index(keyword.ljust(8).encode())
    card = f"{other or keyword:<8}= {value}".encode().ljust(80)[:80]
    changed = data[:place] + card + data[place + 80 :]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # astropy's, about what it reads in the header
        try:
            smaller = cut(changed, Circle(149.8, 3.25, size * SCALE))
        except (Damaged, NoCoordinates, NoOverlap):
            return
    assert 1 <= cut_pixels(smaller).size <= 41 * 41
