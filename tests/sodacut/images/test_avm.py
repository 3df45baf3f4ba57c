"""Where a picture is on the sky, read back by others."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS, Sip
from lxml import etree
from PIL import Image
from pyavm import AVM

from sodalake.sodacut.errors import BadPicture
from sodalake.sodacut.images.avm import Sky, fits_text, sky_of, xmp_packet
from sodalake.sodacut.images.drawing import Drawing, draw
from sodalake.sodacut.images.grids import tangent_grid
from sodalake.sodacut.picture import Look


def _turned(degrees: float, mirrored: bool = False, shear: float = 0.0) -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix = [110.25, 23.9], [-1200.0, 900.5]
    c, s = np.cos(np.radians(degrees)) * 7e-5, np.sin(np.radians(degrees)) * 7e-5
    wcs.wcs.cd = [[-c, s + shear * c], [s, c]]
    if mirrored:
        wcs.wcs.cd = [[c, s], [-s, c]]
    wcs.wcs.radesys = "ICRS"
    wcs.wcs.set()
    return wcs


def _sip() -> WCS:
    wcs = _turned(12)
    wcs.wcs.ctype = ["RA---TAN-SIP", "DEC--TAN-SIP"]
    a, b = np.zeros((3, 3)), np.zeros((3, 3))
    a[2, 0], b[1, 1] = 1e-5, 3e-5
    wcs.sip = Sip(a, b, None, None, wcs.wcs.crpix)
    return wcs


def _galactic() -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["GLON-TAN", "GLAT-TAN"]
    wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cdelt = [200.0, 30.0], [50.0, 40.0], [-1e-4, 1e-4]
    wcs.wcs.set()
    return wcs


def _sphere() -> WCS:
    wcs = tangent_grid(30, 60, 100, 80, 100.0).wcs()
    wcs.wcs.ctype = ["RA---SIN", "DEC--SIN"]
    wcs.wcs.set()
    return wcs


SHAPE = (80, 100)


def _sky(wcs: WCS, picture: tuple[int, int] | None = None) -> Sky:
    sky = sky_of(wcs, SHAPE, picture)
    assert sky is not None
    return sky


def _corners(wcs: WCS, shape: tuple[int, int]) -> SkyCoord:
    """Of an image's outer edges, on the sky."""
    height, width = shape
    x, y = (
        np.array([-0.5, width - 0.5, -0.5, width - 0.5]),
        np.array([-0.5, -0.5, height - 0.5, height - 0.5]),
    )
    there: Any = wcs.pixel_to_world(x, y)
    return there.icrs


def _away(tagged: WCS, picture: tuple[int, int], wcs: WCS) -> float:
    """How far the picture's corners are from the image's, in pixels of the picture."""
    there = _corners(wcs, SHAPE)
    x, y = tagged.wcs_world2pix(there.ra.deg, there.dec.deg, 0)
    height, width = picture
    expected_x = np.array([-0.5, width - 0.5, -0.5, width - 0.5])
    expected_y = np.array([-0.5, -0.5, height - 0.5, height - 0.5])
    return float(np.hypot(x - expected_x, y - expected_y).max())


@pytest.mark.parametrize("form", ["png", "jpeg"])
@pytest.mark.parametrize("scale", [1.0, 3.0, 0.37, 2.6])
@pytest.mark.parametrize(
    "wcs",
    [
        tangent_grid(0.001, -75, 100, 80, 0.263).wcs(),
        _turned(0),
        _turned(31),
        _turned(-170),
        _turned(90, mirrored=True),
        _turned(20, shear=0.05),
    ],
)
def test_corners_of_a_tangent_plane_are_where_pyavm_finds_them(
    form: Any, scale: float, wcs: WCS, tmp_path: Path
) -> None:
    pixels = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    path = tmp_path / f"picture.{form}"
    path.write_bytes(draw(pixels, Look(), Drawing(form, scale=scale), wcs))
    avm = AVM.from_image(str(path))
    with Image.open(path) as image:
        width, height = image.size
    assert avm.Spatial.ReferenceDimension == [width, height]
    assert (avm.Spatial.Quality, avm.Spatial.CoordinateFrame, avm.MetadataVersion) == ("Full", "ICRS", 1.1)
    assert _away(avm.to_wcs(), (height, width), wcs) < 1e-6
    assert _away(avm.to_wcs(use_full_header=True), (height, width), wcs) < 1e-6


@pytest.mark.parametrize("degrees", [0, 31, -170, 90])
def test_scale_and_rotation_say_the_same_as_the_matrix(degrees: float) -> None:
    packet = xmp_packet(_sky(_turned(degrees))).split(b"?>\n")[1].split(b"\n<?")[0]
    matrix = slice(packet.index(b"<avm:Spatial.CDMatrix>"), packet.index(b"</avm:Spatial.CDMatrix>") + 23)
    avm = AVM.from_xml(packet.replace(packet[matrix], b""))
    assert avm.Spatial.CDMatrix is None
    assert avm.Spatial.Scale == pytest.approx([-7e-5, 7e-5])
    assert avm.Spatial.Rotation == pytest.approx(-degrees)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of CROTA
        assert _away(avm.to_wcs(), SHAPE, _turned(degrees)) < 1e-6


def test_a_star_stands_where_the_tags_say(tmp_path: Path) -> None:
    wcs = _turned(31)
    pixels = np.zeros(SHAPE, np.float32)
    pixels[10, 70] = 1
    path = tmp_path / "picture.png"
    path.write_bytes(draw(pixels, Look("linear", 0, 100), Drawing(scale=3), wcs))
    with Image.open(path) as image:
        row, column = np.argwhere(np.asarray(image.convert("L")) > 100).mean(axis=0)
    tagged = AVM.from_image(str(path)).to_wcs()
    # AVM counts rows from the bottom, as FITS does.
    ra, dec = tagged.wcs_pix2world(column, 3 * SHAPE[0] - 1 - row, 0)
    np.testing.assert_allclose([ra, dec], wcs.all_pix2world(70, 10, 0), atol=1e-9)


@pytest.mark.parametrize("picture", [SHAPE, (40, 50), (160, 200)])
@pytest.mark.parametrize(("wcs", "quality"), [(_sip(), "Full"), (_galactic(), "Full"), (_sphere(), "Full")])
def test_other_coordinates_are_a_tangent_plane_nearly(
    wcs: WCS, quality: str, picture: tuple[int, int]
) -> None:
    sky = _sky(wcs, picture)
    avm = AVM.from_xml(xmp_packet(sky).split(b"?>\n")[1].split(b"\n<?")[0])
    away = _away(avm.to_wcs(), picture, wcs)
    assert away <= sky.error + 1e-6
    assert away < 0.5
    assert avm.Spatial.Quality == sky.quality == quality


def test_what_is_too_far_from_a_plane_is_said_to_be() -> None:
    wcs = _sip()
    wcs.sip = Sip(wcs.sip.a * 100, wcs.sip.b * 100, None, None, wcs.wcs.crpix)
    sky = _sky(wcs)
    assert sky.quality == "Position"
    assert sky.error > 1
    avm = AVM.from_xml(xmp_packet(sky).split(b"?>\n")[1].split(b"\n<?")[0])
    assert avm.Spatial.Quality == "Position"
    assert "off by up to" in avm.Spatial.Notes
    # The middle is right, and the full header is right everywhere.
    middle = wcs.all_pix2world(49.5, 39.5, 0)
    x, y = avm.to_wcs().wcs_world2pix(*middle, 0)
    assert np.hypot(x - 49.5, y - 39.5) < sky.error
    full = avm.to_wcs(use_full_header=True)
    np.testing.assert_allclose(
        full.all_pix2world([[0, 0], [99, 79]], 0), wcs.all_pix2world([[0, 0], [99, 79]], 0)
    )


def test_a_png_has_the_cards_as_text(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(draw(np.ones(SHAPE), Look(), Drawing(scale=0.5), _sip()))
    with Image.open(path) as image:
        text = image.text["FITS"]
    header = fits.Header.fromstring(text, sep="\n")
    assert (header["NAXIS1"], header["NAXIS2"], header["CTYPE1"]) == (50, 40, "RA---TAN-SIP")
    x, y = np.array([0.0, 99.0]), np.array([0.0, 79.0])
    np.testing.assert_allclose(
        WCS(header).all_pix2world((x + 0.5) / 2 - 0.5, (y + 0.5) / 2 - 0.5, 0), _sip().all_pix2world(x, y, 0)
    )


def test_lookup_tables_have_a_plane_for_cards() -> None:
    from astropy.wcs import DistortionLookupTable

    wcs = _turned(5)
    table = np.linspace(0, 2, 80 * 100, dtype=np.float32).reshape(SHAPE)
    wcs.cpdis1 = DistortionLookupTable(table, (1, 1), (1, 1), (1, 1))
    sky = _sky(wcs)
    header = fits.Header.fromstring(fits_text(sky))
    assert header["CTYPE1"] == "RA---TAN"
    assert _away(WCS(header), SHAPE, wcs) <= sky.error + 1e-6


def test_the_packet_is_xmp() -> None:
    packet = xmp_packet(_sky(_turned(3)))
    assert packet.startswith(b'<?xpacket begin="\xef\xbb\xbf"')
    assert packet.endswith(b'<?xpacket end="w"?>')
    root = etree.fromstring(packet)
    description = root.find(".//{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description")
    assert description is not None
    assert description.get("{http://www.w3.org/1999/02/22-rdf-syntax-ns#}about") == ""
    assert len(packet) < 65000, "what a JPEG segment holds"


def test_pictures_beyond_their_sky_say_nothing_of_it() -> None:
    allsky = WCS(naxis=2)
    allsky.wcs.ctype = ["RA---AIT", "DEC--AIT"]
    allsky.wcs.crpix, allsky.wcs.cdelt = [50.5, 40.5], [-4.0, 4.0]
    assert sky_of(allsky, SHAPE) is None
    with Image.open(io.BytesIO(draw(np.ones(SHAPE), Look(), Drawing(), allsky))) as image:
        assert image.size == SHAPE[::-1]
        assert not image.info
    with pytest.raises(BadPicture, match="scale bar"):
        draw(np.ones(SHAPE), Look(), Drawing(scalebar=True), allsky)


@pytest.mark.parametrize("dec", [90, -90, 89.99999])
def test_a_picture_of_the_pole_knows_its_place(dec: float, tmp_path: Path) -> None:
    wcs = tangent_grid(10, dec, 100, 80, 0.263).wcs()
    assert _sky(wcs).quality == "Full"
    path = tmp_path / "picture.png"
    path.write_bytes(draw(np.ones(SHAPE), Look(), Drawing(scale=2), wcs))
    assert _away(AVM.from_image(str(path)).to_wcs(), (160, 200), wcs) < 1e-3
