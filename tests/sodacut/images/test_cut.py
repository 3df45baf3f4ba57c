"""Boxes, and the FITS of a piece: pixel for pixel Cutout2D's, and the image's own coordinates."""

from __future__ import annotations

import io
import math
import threading
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import Cutout2D
from astropy.wcs import WCS
from fits_images import noise, record, tangent, written

from sodalake.lake.images.describing import describe
from sodalake.lake.images.imagesurvey import ImageSurvey
from sodalake.lake.images.records import Image
from sodalake.sodacut.coordinates import Box, pixel_box
from sodalake.sodacut.errors import Damaged, NoCoordinates, NoOverlap
from sodalake.sodacut.images import frames
from sodalake.sodacut.images.binning import binned
from sodalake.sodacut.images.cut import box_at, box_by_region, fits_of, padded
from sodalake.sodacut.images.frames import frame_of, wcs_of
from sodalake.sodacut.images.pixelfiles import PixelFiles, Wanted
from sodalake.sodacut.regions import parse_circle, parse_pos

SHAPE = (240, 330)
TILES = Path(__file__).parents[4] / "shared" / "data" / "tiles"
REAL = sorted(TILES.glob("decam_legacypipe/*_ooi_*.fits")) + sorted(
    TILES.glob("decam_sfft_multiepoch/*.fits")
)
ANY = ImageSurvey.model_validate({
    "name": "real", "title": "Real", "description": "Real.", "facility": "F", "instrument": "I",
    "images": {"files": ".*", "id": "{stem}"},
})  # fmt: skip


def opened(data: bytes) -> fits.HDUList:
    """A FITS file that keeps to every rule, which astropy's verification says with errors and warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        file = fits.open(io.BytesIO(data), memmap=False)
        for hdu in file:
            hdu.verify("exception")
            hdu.data  # noqa: B018  # is read now
    assert len(data) % 2880 == 0
    return file


def read(image: Image, box: Box, *, integers: bool = False) -> np.ndarray[Any, Any]:
    return PixelFiles().read([Wanted(image.pixels, image.shape, box, integers)])[0]


def sip(shape: tuple[int, int]) -> WCS:
    wcs = tangent(shape)
    wcs.wcs.ctype = ["RA---TAN-SIP", "DEC--TAN-SIP"]
    header = wcs.to_header(relax=True)
    for name, value in {"A_2_0": 3e-6, "A_1_1": -2e-6, "B_0_2": 4e-6, "B_2_1": 1e-8}.items():
        header[name] = value
    header["A_ORDER"], header["B_ORDER"] = 3, 3
    return WCS(header)


def tpv(shape: tuple[int, int]) -> WCS:
    wcs = tangent(shape)
    wcs.wcs.ctype = ["RA---TPV", "DEC--TPV"]
    wcs.wcs.set_pv(
        [(1, 0, 1e-4), (1, 1, 1.003), (1, 4, 0.02), (1, 7, -0.3), (2, 0, -2e-4), (2, 1, 0.998), (2, 5, 0.03)]
    )
    return wcs


MADE = {"TAN": tangent, "SIP": sip, "TPV": tpv}


def same_sky(cut: WCS, whole: WCS, box: Box) -> None:
    """The cut's coordinates are the image's, to a millionth of a pixel."""
    height, width = box.shape
    x, y = (one.ravel() for one in np.meshgrid(np.linspace(0, width - 1, 5), np.linspace(0, height - 1, 5)))
    lon, lat = cut.all_pix2world(x, y, 0)
    back = whole.all_world2pix(lon, lat, 0, tolerance=1e-9)
    np.testing.assert_allclose(back, (x + box.x0, y + box.y0), atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", MADE)
@pytest.mark.parametrize("compression", [{}, {"compression_type": "RICE_1"}])
def test_positions_as_cutout2d(tmp_path: Path, kind: str, compression: dict[str, Any]) -> None:
    path = tmp_path / "image.fits"
    wcs = MADE[kind](SHAPE)
    header = wcs.to_header(relax=True)
    header["BUNIT"] = "nJy"
    image = written(path, noise(SHAPE), header, **compression)
    whole = np.asarray(fits.getdata(path))
    random = np.random.default_rng(2)
    sizes = [(1, 1), (2, 2), (31, 20), (64, 64), (101, 7), (500, 400)]
    places = [*random.uniform((-10, -10), (340, 250), (20, 2)).tolist(), [100.0, 100.0], [99.5, 99.5]]
    seen = 0
    for number, (x, y) in enumerate(places):
        width, height = sizes[number % len(sizes)]
        lon, lat = (float(one) for one in wcs.all_pix2world(x, y, 0))
        position = SkyCoord(lon, lat, unit=u.deg)
        try:
            wanted, inside = box_at(image, lon, lat, width, height)
        except NoOverlap:
            with pytest.raises(Exception, match="do not overlap"):
                Cutout2D(whole, position, (height, width), wcs=wcs, mode="partial", fill_value=np.nan)
            continue
        expected = Cutout2D(whole, position, (height, width), wcs=wcs, mode="partial", fill_value=np.nan)
        seen += 1
        file = opened(fits_of(image, wanted, padded(read(image, inside), wanted, inside)))
        assert file[0].data.dtype == ">f4"
        assert file[0].data.tobytes() == expected.data.astype(">f4").tobytes()
        same_sky(WCS(file[0].header), wcs, wanted)
        assert file[0].header["BUNIT"] == "nJy"
        assert file[0].header["CUTBOX"] == f"[{wanted.x0 + 1}:{wanted.x1},{wanted.y0 + 1}:{wanted.y1}]"
    assert seen > 15


@pytest.mark.parametrize("kind", MADE)
def test_regions_as_pixel_box(tmp_path: Path, kind: str) -> None:
    image = written(tmp_path / "image.fits", noise(SHAPE), MADE[kind](SHAPE).to_header(relax=True))
    for text in (
        f"CIRCLE {image.ra} {image.dec} 0.002",
        f"CIRCLE {image.outline[0, 0]} {image.outline[0, 1]} 0.004",
        f"RANGE {image.ra - 0.003} {image.ra + 0.003} -90 90",
        f"POLYGON {image.ra} {image.dec} {image.ra + 0.004} {image.dec} {image.ra} {image.dec + 0.003}",
    ):
        region = parse_pos(text)
        box = box_by_region(image, region)
        assert box == pixel_box(region, frame_of(image), image.shape)
        assert 0 <= box.x0 < box.x1 <= SHAPE[1]
        assert 0 <= box.y0 < box.y1 <= SHAPE[0]
    with pytest.raises(NoOverlap, match="no pixel of sky image"):
        box_by_region(image, parse_circle(f"{image.ra + 1} {image.dec} 0.01"))


def test_the_other_side_of_the_sky(tmp_path: Path) -> None:
    """There a tangent plane, or a polynomial, may have a place that means nothing."""
    for kind, make in MADE.items():
        image = written(tmp_path / f"{kind}.fits", noise(SHAPE), make(SHAPE).to_header(relax=True))
        for ra, dec in (
            (image.ra + 180, -image.dec),
            (image.ra + 90, image.dec),
            (0.0, 90.0),
            (image.ra + 0.5, image.dec),
        ):
            with pytest.raises(NoOverlap, match="has no pixel"):
                box_at(image, ra % 360, dec, 10, 10)


def test_what_is_not_to_be_cut_is_left_as_it_was(tmp_path: Path) -> None:
    header = fits.Header()
    header["OBSERVER"] = (
        "O'Neill, the one whose name is so long that it goes on and on and on in the next card",
        "who",
    )
    header["HIERARCH ESO INS FILT NAME"] = "r"
    header["COMMENT"] = "as it was"
    header["HISTORY"] = "flat"
    header["LTV1"], header["LTV2"], header["LTM1_1"] = 10.0, -3.5, 0.5
    header["CRPIX1A"], header["CRVAL1A"], header["CTYPE1A"] = 7.25, 3.0, "DETX"
    header["DATAMAX"] = 1e9
    header["IMAGEID"] = "of another archive"
    for keyword in ("DATASEC", "CCDSEC", "TRIMSEC", "DETSEC", "BIASSEC", "AMPSEC", "DATASECA", "CCDSECB"):
        header[keyword] = "[1:330,1:240]"
    path = tmp_path / "image.fits"
    image = written(path, noise(SHAPE), header, compression_type="RICE_1")
    box = Box(30, 60, 20, 44)
    file = opened(
        fits_of(image, box, read(image, box), more=[("COVERED", np.float64(0.5), "share"), ("N", 3, "")])
    )
    got, was = file[0].header, fits.getheader(path, 1)
    assert list(got)[:5] == ["SIMPLE", "BITPIX", "NAXIS", "NAXIS1", "NAXIS2"]
    for keyword in (
        "OBSERVER",
        "ESO INS FILT NAME",
        "COMMENT",
        "HISTORY",
        "LTM1_1",
        "CRVAL1",
        "RADESYS",
        "CRVAL1A",
    ):
        assert str(got[keyword]) == str(was[keyword])
        assert got.comments[keyword] == was.comments[keyword]
    assert (got["LTV1"], got["LTV2"], got["CRPIX1A"]) == (-20.0, -23.5, -22.75)
    assert (got["IMAGEID"], got["ORIGFILE"], got["ORIGHDU"]) == ("image", "image.fits", 1)
    assert (got["COVERED"], got["N"]) == (0.5, 3)
    for gone in (
        "DATAMAX",
        "ZIMAGE",
        "ZCMPTYPE",
        "BSCALE",
        "BZERO",
        "CHECKSUM",
        "XTENSION",
        "PCOUNT",
        "EXTEND",
        "DATASEC",
        "CCDSEC",
        "TRIMSEC",
        "DETSEC",
        "BIASSEC",
        "AMPSEC",
        "DATASECA",
        "CCDSECB",
    ):
        assert gone not in got
    assert str(tmp_path) not in str(got)
    small, part = binned(image, 4), Box(5, 10, 4, 9)
    assert not [
        keyword for keyword in opened(fits_of(small, part, np.ones((5, 5))))[0].header if "SEC" in keyword
    ]


def test_a_cut_of_a_cut_says_what_it_is_once(tmp_path: Path) -> None:
    first = written(tmp_path / "first.fits", noise(SHAPE))
    asked = [("CUTRA", 30.0, ""), ("CUTDEC", -20.0, ""), ("CUTWIDTH", 0.1, ""), ("CUTHEIGH", 0.1, "")]
    outer, inner = Box(30, 90, 20, 84), Box(5, 15, 6, 26)
    path = tmp_path / "second.fits"
    path.write_bytes(fits_of(first, outer, read(first, outer), more=[*asked, ("COVERED", 0.25, "")]))
    second = record(path)
    anew = [(keyword, value + 1, comment) for keyword, value, comment in asked]
    got = opened(fits_of(second, inner, read(second, inner), more=[*anew, ("COVERED", 1.0, "")]))[0].header
    for keyword, value, _ in anew:
        assert got.count(keyword) == 1
        assert got[keyword] == value
    assert got.count("CUTBOX") == got.count("COVERED") == 1
    assert (got["CUTBOX"], got["COVERED"]) == ("[6:15,7:26]", 1.0)


def test_the_same_cut_is_the_same_bytes(tmp_path: Path) -> None:
    image = written(tmp_path / "image.fits", noise(SHAPE))
    box = Box(3, 50, 4, 60)
    assert fits_of(image, box, read(image, box)) == fits_of(
        record(tmp_path / "image.fits"), box, read(image, box)
    )


@pytest.mark.parametrize("kind", ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8"])
def test_integers_stay_integers(tmp_path: Path, kind: str) -> None:
    pixels = noise(SHAPE).astype(kind)
    path = tmp_path / "image.fits"
    image = written(path, pixels)
    box = Box(100, 140, 50, 61)
    file = opened(fits_of(image, box, read(image, box, integers=True)))
    np.testing.assert_array_equal(file[0].data, pixels[50:61, 100:140])
    assert file[0].data.dtype.newbyteorder("=") == np.dtype(kind)
    # Beside the image there is nothing, which no integer says.
    wanted = Box(-5, 20, -2, 20)
    inside = Box(0, 20, 0, 20)
    file = opened(fits_of(image, wanted, padded(read(image, inside, integers=True), wanted, inside)))
    assert file[0].header["BITPIX"] == (-32 if np.dtype(kind).itemsize <= 2 else -64)
    assert np.isnan(file[0].data[:2]).all()
    assert np.isnan(file[0].data[:, :5]).all()
    np.testing.assert_array_equal(file[0].data[2:, 5:], pixels[:20, :20])


def test_blank_integers(tmp_path: Path) -> None:
    pixels = noise(SHAPE).astype(np.int16)
    pixels[10:12, 20:30] = -99
    image = written(tmp_path / "image.fits", pixels, fits.Header({"BLANK": -99}))
    box = Box(15, 40, 5, 20)
    file = opened(fits_of(image, box, read(image, box, integers=True)))
    assert file[0].header["BLANK"] == -99
    assert np.isnan(file[0].data).sum() == 20
    file = opened(fits_of(image, box, read(image, box)))
    assert "BLANK" not in file[0].header
    assert np.isnan(file[0].data).sum() == 20


def test_planes_are_extensions(tmp_path: Path) -> None:
    image = written(tmp_path / "image.fits", noise(SHAPE), tpv(SHAPE).to_header(relax=True))
    box = Box(20, 60, 30, 50)
    pixels = read(image, box)
    planes = {"weight": pixels * 2, "mask": (pixels > 100).astype(np.uint16), "bad": pixels > 120}
    file = opened(fits_of(image, box, pixels, planes))
    assert [hdu.name for hdu in file[1:]] == ["WEIGHT", "MASK", "BAD"]
    assert file[0].header["EXTEND"] is True
    for hdu, plane in zip(file[1:], planes.values(), strict=True):
        np.testing.assert_array_equal(hdu.data, plane)
        same_sky(WCS(hdu.header), wcs_of(image), box)
    assert file["MASK"].data.dtype == np.uint16
    with pytest.raises(ValueError, match="mask"):
        fits_of(image, box, pixels, {"mask": planes["mask"][1:]})


@pytest.mark.skipif(not REAL, reason="the shared tiles are not here")
@pytest.mark.parametrize("path", REAL[::7], ids=lambda path: path.name[-30:])
def test_real_tiles(path: Path) -> None:
    """DECam's own headers: TPV, reference pixels with fourteen digits, cards out of order."""
    (image,) = describe(f"file://{path}", ANY)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with fits.open(path) as file:
            hdu = next(hdu for hdu in file if hdu.data is not None)
            whole, wcs = np.asarray(hdu.data), WCS(hdu.header)
            for size in (30, 64):
                position = SkyCoord(*wcs.all_pix2world(whole.shape[1] - 12, 40, 0), unit=u.deg)
                expected = Cutout2D(whole, position, size, wcs=wcs, mode="partial", fill_value=np.nan)
                wanted, inside = box_at(image, position.ra.deg, position.dec.deg, size, size)
                got = opened(fits_of(image, wanted, padded(read(image, inside), wanted, inside)))
                np.testing.assert_array_equal(got[0].data, expected.data)
                same_sky(WCS(got[0].header), wcs, wanted)
                assert got[0].header["EXPTIME" if "EXPTIME" in hdu.header else "DETECTOR"]


def test_coordinates_are_kept_a_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = written(tmp_path / "image.fits", noise(SHAPE))
    assert frame_of(image) is frame_of(record(tmp_path / "image.fits"))
    others = []
    thread = threading.Thread(target=lambda: others.append(frame_of(image)))
    thread.start()
    thread.join()
    assert others[0] is not frame_of(image)
    assert wcs_of(image) is frame_of(image).wcs
    monkeypatch.setattr(frames, "_KEPT", 2)
    for number in range(4):
        frame_of(
            replace(
                image,
                header=image.header.replace(b"CRVAL1", b"CRVAL1", 1) + f"N = {number}".ljust(80).encode(),
            )
        )
    assert len(frames._KEPT_FRAMES.frames) == 2
    x, y = frame_of(image).to_pixels(frame_of(image).to_sky(np.array([3.0]), np.array([4.0])))
    assert math.isclose(x[0], 3.0, abs_tol=1e-8)
    assert math.isclose(y[0], 4.0, abs_tol=1e-8)


@pytest.mark.parametrize(
    ("cards", "middle"),
    [
        ({"CTYPE1": "GLON-TAN", "CTYPE2": "GLAT-TAN"}, (120.0, 40.0)),
        ({"CTYPE1": "GLON-CAR", "CTYPE2": "GLAT-CAR"}, (3.0, 0.01)),
        ({"RADESYS": "FK5", "EQUINOX": 1975.0}, (200.0, -70.0)),
        ({"RADESYS": "FK4", "EQUINOX": 1950.0}, (150.0, 20.0)),
        ({"EPOCH": 1950.0}, (150.0, 20.0)),
        ({"CTYPE1": "DEC--TAN", "CTYPE2": "RA---TAN"}, (-20.0, 150.0)),
        ({"CTYPE1": "GLAT-TAN", "CTYPE2": "GLON-TAN"}, (-20.0, 150.0)),
        ({"CUNIT1": "arcmin", "CUNIT2": "arcmin"}, (300.0, 60.0)),
        ({"CUNIT1": "arcsec", "CUNIT2": "arcsec"}, (7200.0, -3600.0)),
    ],
)
def test_other_systems_units_and_orders(
    tmp_path: Path, cards: dict[str, Any], middle: tuple[float, float]
) -> None:
    header = tangent(SHAPE).to_header()
    header.update({"CRVAL1": middle[0], "CRVAL2": middle[1], **cards})
    for keyword in ("LONPOLE", "LATPOLE"):
        del header[keyword]
    if "RADESYS" not in cards:
        del header["RADESYS"]
    if unit := cards.get("CUNIT1"):
        for axis in (1, 2):
            header[f"CDELT{axis}"] *= {"arcmin": 60, "arcsec": 3600}[unit]
    path = tmp_path / "image.fits"
    fits.PrimaryHDU(noise(SHAPE), header).writeto(path)
    image, wcs, whole = record(path), WCS(header), np.asarray(fits.getdata(path))
    x, y = np.array([0.0, 100.5]), np.array([3.0, 200.5])
    np.testing.assert_allclose(frame_of(image).to_pixels(frame_of(image).to_sky(x, y)), (x, y), atol=1e-6)
    for x, y in ((50.2, 60.4), (200.3, 100.7), (325.1, 3.6)):
        position = wcs.pixel_to_world(x, y).icrs
        wanted, inside = box_at(image, position.ra.deg, position.dec.deg, 20, 20)
        # (By its pixel: astropy's skycoord_to_pixel turns the two over where latitude is first.)
        expected = Cutout2D(whole, (x, y), 20, mode="partial", fill_value=np.nan)
        file = opened(fits_of(image, wanted, padded(read(image, inside), wanted, inside)))
        np.testing.assert_array_equal(file[0].data, expected.data)
        same_sky(WCS(file[0].header), wcs, wanted)
        box = box_by_region(
            image, parse_circle(f"{position.ra.deg} {position.dec.deg} {image.pixel_scale * 2 / 3600}")
        )
        assert box.x0 <= x <= box.x1
        assert box.y0 <= y <= box.y1
        assert max(box.shape) <= 8


def test_coordinates_that_cannot_be(tmp_path: Path) -> None:
    image = written(tmp_path / "image.fits", noise(SHAPE))
    cards = [image.header[at : at + 80] for at in range(0, len(image.header), 80)]
    without = b"".join(card for card in cards if not card.startswith((b"CRVAL", b"CTYPE")))
    with pytest.raises(NoCoordinates, match=r"sky image: The image has no sky coordinates.*another"):
        frame_of(replace(image, header=without))
    singular = b"".join(
        (card[:10] + b"0.0".rjust(20)).ljust(80) if card.startswith(b"CDELT1") else card for card in cards
    )
    with pytest.raises(Damaged, match=r"sky image: .*the image's header cannot be used"):
        box_at(replace(image, header=singular), image.ra, image.dec, 10, 10)
