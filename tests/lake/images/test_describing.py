"""Describing: headers become records that agree with astropy, for images of every kind; and what is wrong is told."""

from __future__ import annotations

import json
import random
import re
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from image_files import SURVEY, coordinates, sky, write_survey, write_tile

from sodalake.lake.errors import ConfigurationError, Damaged, FileGone, UsageError
from sodalake.lake.files import as_url
from sodalake.lake.images import describing
from sodalake.lake.images.describing import describe, described, image_ids
from sodalake.lake.images.imagepacking import VERSION, pack_image, unpack_image
from sodalake.lake.images.imagesurvey import ImageSurvey, load_image_survey, parse_image_survey
from sodalake.lake.images.records import Image, Plain, Tiled
from sodalake.lake.survey import load_survey

TILES = Path(__file__).parents[3].parent / "shared" / "data" / "tiles"

# Whatever is called so, with all its two-dimensional HDUs.
ANY = """
name = "any"
title = "Any"
description = "Any image."
facility = "Test"
instrument = "Camera"
[images]
"""


@pytest.fixture(autouse=True)
def _astropy_complains() -> Iterator[None]:
    """What astropy thinks of real headers is not what is tested."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.fixture
def survey() -> ImageSurvey:
    return parse_image_survey(SURVEY)


@pytest.fixture
def anything() -> ImageSurvey:
    return parse_image_survey(ANY)


def one(path: Path, survey: ImageSurvey) -> Image:
    (image,) = describe(as_url(str(path)), survey, 7)
    return image


def real_tiles() -> list[Path]:
    if not TILES.is_dir():
        return []
    return sorted(
        path for path in TILES.rglob("*.fits") if "_oow_" not in path.name and "_ood_" not in path.name
    )


def same_place(image: Image, header: fits.Header) -> None:
    """Check that an image's header, place and outline are those of a header as astropy has it."""
    theirs, ours = WCS(header, naxis=2), WCS(image.header.decode(), naxis=2)
    height, width = image.shape
    pixels = np.array([(0, 0), (width - 1, 0), (width / 3, height / 2), (width - 1, height - 1)], float)
    assert ours.all_pix2world(pixels, 0) == pytest.approx(theirs.all_pix2world(pixels, 0), abs=1e-12)
    corners = theirs.all_pix2world(
        [(-0.5, -0.5), (width - 0.5, -0.5), (width - 0.5, height - 0.5), (-0.5, height - 0.5)], 0
    )
    step = len(image.outline) // 4
    assert image.outline[::step] == pytest.approx(corners, abs=1e-9)
    centre = theirs.all_pix2world([((width - 1) / 2, (height - 1) / 2)], 0)[0]
    assert (image.ra, image.dec) == pytest.approx(tuple(centre), abs=1e-9)


# ---------------------------------------------------------------------- real files


@pytest.mark.skipif(not TILES.is_dir(), reason="needs shared/data/tiles")
def test_real_exposures_are_described_as_their_files_are() -> None:
    decam = load_image_survey("decam")
    found = 0
    for path in real_tiles():
        images = describe(as_url(str(path)), decam, 3)
        if "_ooi_" not in path.name:
            assert images == []
            continue
        found += 1
        (image,) = images
        with fits.open(path) as hdus, fits.open(path, disable_image_compression=True) as raw:
            hdu, primary = hdus[1], hdus[0].header
            assert image.shape == hdu.shape
            assert image.image_id.endswith(f".{hdu.name}")
            assert image.band == primary["FILTER"][0]
            assert image.t_min == primary["MJD-OBS"]
            assert image.t_max == pytest.approx(primary["MJD-OBS"] + primary["EXPTIME"] / 86400)
            assert image.zero_point == primary.get("MAGZERO")
            assert image.seeing == pytest.approx(hdu.header["FWHM"] * image.pixel_scale)
            assert 0.25 < image.pixel_scale < 0.28
            same_place(image, hdu.header)
            assert set(image.planes) == {"weight", "mask"}
            assert "_oow_" in image.planes["weight"].url
            if isinstance(image.pixels.place, Plain):
                assert image.pixels.place.offset == hdu.fileinfo()["datLoc"]
            else:
                same_tiles(path, image.pixels.place, raw[1])
        assert unpacked(image)
    assert found == 22


@pytest.mark.skipif(not TILES.is_dir(), reason="needs shared/data/tiles")
def test_real_images_of_doubles_in_the_primary_hdu(anything: ImageSurvey) -> None:
    for path in sorted((TILES / "decam_sfft_multiepoch").glob("*.fits")):
        image = one(path, anything)
        with fits.open(path) as hdus:
            assert image.image_id == path.name.removesuffix(".fits")
            assert image.hdu == 0
            assert image.pixels.place == Plain(hdus[0].fileinfo()["datLoc"], -64)
            same_place(image, hdus[0].header)


# ---------------------------------------------------------------------- every kind


def same_tiles(path: Path, place: Tiled, raw: Any) -> None:
    """Check the places of tiles by the bytes that stand there."""
    content = path.read_bytes()
    names = raw.columns.names
    columns = {0: "COMPRESSED_DATA", 1: "GZIP_COMPRESSED_DATA", 2: "UNCOMPRESSED_DATA"}
    for tile, row in enumerate(raw.data):
        kind = 0 if place.raw is None else int(place.raw[tile])
        expected = np.asarray(row[columns[kind]])
        big = expected.astype(expected.dtype.newbyteorder(">")).tobytes()
        start = int(place.offsets[tile])
        assert content[start : start + int(place.lengths[tile])] == big
    if "ZSCALE" in names and place.quantized is not None:
        assert place.quantized.scale.tolist() == raw.data["ZSCALE"].tolist()
        assert place.quantized.zero.tolist() == raw.data["ZZERO"].tolist()


def unpacked(image: Image) -> bool:
    """Check that a record survives its cell."""
    again = unpack_image(pack_image(image))
    assert repr(again) == repr(image)
    place, other = image.pixels.place, again.pixels.place
    if isinstance(place, Tiled):
        assert isinstance(other, Tiled)
        assert np.array_equal(place.offsets, other.offsets)
        assert np.array_equal(place.lengths, other.lengths)
        if place.quantized is not None:
            assert other.quantized is not None
            assert np.array_equal(place.quantized.scale, other.quantized.scale)
            assert np.array_equal(place.quantized.zero, other.quantized.zero)
    assert np.array_equal(image.outline, again.outline)
    return again.header == image.header


KINDS = [
    ("RICE_1", "f4", {"quantize_method": 1}),
    ("RICE_1", "f8", {"quantize_method": 2}),
    ("RICE_1", "i2", {}),
    ("RICE_1", "i4", {"tile_shape": (7, 32)}),
    ("GZIP_1", "f4", {"quantize_level": 0}),
    ("GZIP_1", "f4", {"quantize_method": -1}),
    ("GZIP_2", "f8", {"quantize_level": 0}),
    ("GZIP_2", "i2", {"tile_shape": (60, 80)}),
    ("HCOMPRESS_1", "f4", {"tile_shape": (16, 16), "hcomp_scale": 0}),
    ("HCOMPRESS_1", "i2", {"tile_shape": (20, 80), "hcomp_scale": 2, "hcomp_smooth": 1}),
    ("PLIO_1", "i2", {}),
    ("NOCOMPRESS", "i4", {}),
]  # fmt: skip


@pytest.mark.parametrize(("codec", "kind", "more"), KINDS)
def test_tiles_are_where_the_table_says(
    tmp_path: Path, anything: ImageSurvey, codec: str, kind: str, more: dict[str, Any]
) -> None:
    path, shape = tmp_path / "a.fits.fz", (60, 80)
    pixels = np.abs(sky(shape)).astype(kind)
    header = coordinates(10, -20, shape, BUNIT="adu", OBJECT="a thing")
    hdu = fits.CompImageHDU(pixels, header, compression_type=codec, dither_seed=4, **more)
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path)
    image = one(path, anything)
    place = image.pixels.place
    assert isinstance(place, Tiled)
    assert (place.codec, image.shape, image.unit, image.pixels.file) == (codec, shape, "adu", 7)
    with fits.open(path, disable_image_compression=True) as raw, fits.open(path) as hdus:
        assert place.bitpix == raw[1].header["ZBITPIX"]
        assert place.tile == (raw[1].header["ZTILE2"], raw[1].header["ZTILE1"])
        same_tiles(path, place, raw[1])
        restored = fits.Header.fromstring(image.header)
        for keyword in hdus[1].header:
            if keyword not in ("CHECKSUM", "DATASUM", "EXTNAME"):
                assert restored[keyword] == hdus[1].header[keyword], keyword
        assert not [keyword for keyword in restored if keyword.startswith(("Z", "TTYPE", "TFORM"))]
        is_quantized = raw[1].header.get("ZQUANTIZ") != "NONE" and "ZSCALE" in raw[1].columns.names
        assert (place.quantized is not None) == is_quantized
        if place.quantized is not None:
            assert place.quantized.dither == raw[1].header.get("ZQUANTIZ", "NO_DITHER")
            assert place.quantized.seed == raw[1].header.get("ZDITHER0", 0)
        names = {
            raw[1].header[f"ZNAME{at}"]: raw[1].header[f"ZVAL{at}"]
            for at in (1, 2, 3)
            if f"ZNAME{at}" in raw[1].header
        }
        assert place.parameters == names
        same_place(image, hdus[1].header)
    assert unpacked(image)


def test_tiles_that_are_no_integers_are_gzip(tmp_path: Path, anything: ImageSurvey) -> None:
    pixels = sky((40, 40))
    pixels[5] = np.nan  # a row of nothing, and one that is the same all over: neither is quantized
    pixels[9] = 3.0
    path = tmp_path / "a.fits"
    hdu = fits.CompImageHDU(pixels, coordinates(1, 1, (40, 40)), compression_type="RICE_1")
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path)
    place = one(path, anything).pixels.place
    assert isinstance(place, Tiled)
    assert place.raw is not None
    assert set(place.raw.tolist()) == {0, 1}
    with fits.open(path, disable_image_compression=True) as raw:
        same_tiles(path, place, raw[1])
    assert unpacked(one(path, anything))


def made_table(path: Path, columns: list[fits.Column], **header: Any) -> None:
    """Write a compressed image as a table, by hand."""
    table = fits.BinTableHDU.from_columns(columns)
    table.header.update({
        "ZIMAGE": True, "ZCMPTYPE": "NOCOMPRESS", "ZBITPIX": -32, "ZNAXIS": 2, "ZNAXIS1": 6, "ZNAXIS2": 2,
        **coordinates(5, 5, (2, 6)), **header,
    })  # fmt: skip
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(path, overwrite=True)


def test_long_descriptors_keywords_for_columns_and_default_tiles(
    tmp_path: Path, anything: ImageSurvey
) -> None:
    rows = np.empty(2, object)
    rows[:] = [np.arange(6, dtype="i4"), np.arange(9, dtype="i4")]
    made_table(
        tmp_path / "a.fits",
        [fits.Column("UNCOMPRESSED_DATA", "1QJ(9)", array=rows)],
        ZSCALE=0.5, ZZERO=10.0, ZBLANK=-7, ZQUANTIZ="SUBTRACTIVE_DITHER_2", ZDITHER0=99,
    )  # fmt: skip
    place = one(tmp_path / "a.fits", anything).pixels.place
    assert isinstance(place, Tiled)
    assert place.tile == (1, 6)
    assert place.lengths.tolist() == [24, 36]
    assert place.raw is not None
    assert place.raw.tolist() == [2, 2]
    quantized = place.quantized
    assert quantized is not None
    assert (quantized.scale.tolist(), quantized.zero.tolist(), quantized.blank) == ([0.5, 0.5], [10, 10], -7)
    assert (quantized.dither, quantized.seed) == ("SUBTRACTIVE_DITHER_2", 99)


def test_blanks_of_each_tile(tmp_path: Path, anything: ImageSurvey) -> None:
    rows = np.empty(2, object)
    rows[:] = [np.arange(24, dtype="u1"), np.arange(20, dtype="u1")]
    made_table(
        tmp_path / "a.fits",
        [
            fits.Column("COMPRESSED_DATA", "1PB(24)", array=rows),
            fits.Column("ZSCALE", "1E", array=[1.5, 2.5]),
            fits.Column("ZZERO", "1D", array=[0.0, 1.0]),
            fits.Column("ZBLANK", "1J", array=[-1, -2]),
        ],
        ZCMPTYPE="RICE_1",
    )
    place = one(tmp_path / "a.fits", anything).pixels.place
    assert isinstance(place, Tiled)
    assert place.quantized is not None
    assert np.asarray(place.quantized.blank).tolist() == [-1, -2]
    assert place.quantized.scale.tolist() == [1.5, 2.5]
    assert place.quantized.dither == "NO_DITHER"


_LETTER = {8: "u", 16: "i", 32: "i", 64: "i", -32: "f", -64: "f"}


@pytest.mark.parametrize("kind", ["u1", "i2", "u2", "i4", "f4", "f8"])
def test_plain_pixels_are_where_astropy_finds_them(tmp_path: Path, anything: ImageSurvey, kind: str) -> None:
    path, shape = tmp_path / "a.fits", (30, 41)
    pixels = np.abs(sky(shape, kind="f8")).astype(kind)
    fits.PrimaryHDU(pixels, coordinates(180, 89, shape)).writeto(path)
    image = one(path, anything)
    place = image.pixels.place
    assert isinstance(place, Plain)
    width = abs(place.bitpix) // 8
    stored = np.frombuffer(path.read_bytes(), f">{_LETTER[place.bitpix]}{width}", 30 * 41, place.offset)
    assert np.array_equal(stored.reshape(shape) * place.scale + place.zero, pixels)
    assert unpacked(image)


def test_distorted_images_have_outlines_with_more_points(tmp_path: Path, anything: ImageSurvey) -> None:
    shape = (2000, 2000)
    sip = {
        "CTYPE1": "RA---TAN-SIP",
        "CTYPE2": "DEC--TAN-SIP",
        "A_ORDER": 2,
        "B_ORDER": 2,
        "A_0_2": 2e-5,
        "B_2_0": -2e-5,
    }
    path = tmp_path / "a.fits"
    fits.PrimaryHDU(np.zeros(shape, "i2"), coordinates(10, 40, shape, **sip)).writeto(path)
    image = one(path, anything)
    assert len(image.outline) > 4
    with fits.open(path) as hdus:
        same_place(image, hdus[0].header)
        wcs = WCS(hdus[0].header)
        # Every point of the true edge is within a quarter of a pixel of the outline, which is straight in between.
        x, y = wcs.all_world2pix(image.outline, 0).T
        edge = np.max(np.abs(np.stack([x, y]) - (shape[0] - 1) / 2), axis=0)
        assert edge == pytest.approx(shape[0] / 2, abs=1e-4)


def test_galactic_and_older_coordinates_are_turned(tmp_path: Path, anything: ImageSurvey) -> None:
    path = tmp_path / "a.fits"
    galactic = coordinates(0, 0, (11, 11), CTYPE1="GLON-TAN", CTYPE2="GLAT-TAN")
    del galactic["RADESYS"]
    fits.PrimaryHDU(np.zeros((11, 11), "f4"), galactic).writeto(path)
    image = one(path, anything)
    assert (image.ra, image.dec) == pytest.approx((266.40499, -28.93617), abs=1e-5)  # the Galaxy's middle
    fk5 = coordinates(83.6, 22.0, (11, 11), RADESYS="FK5", EQUINOX=1950.0)
    fits.PrimaryHDU(np.zeros((11, 11), "f4"), fk5).writeto(path, overwrite=True)
    assert abs(one(path, anything).ra - 83.6) > 0.7  # half a century of precession


# ---------------------------------------------------------------------- what the survey's file says


def test_a_tile_as_its_survey_describes_it(tmp_path: Path, survey: ImageSurvey) -> None:
    path = write_tile(tmp_path / "t1_r.fits", 150.0, 2.0, FWHM=2.0, scale=0.5)
    image = one(path, survey)
    assert (image.image_id, image.band, image.collection, image.hdu, image.row) == (
        "t1_r",
        "r",
        "tiles",
        1,
        0,
    )
    assert (image.t_min, image.exposure) == (59000.25, 90.0)
    assert image.t_max == pytest.approx(59000.25 + 90 / 86400)
    assert (image.zero_point, image.unit) == (31.4, "nJy")
    assert image.seeing == pytest.approx(1.0)
    assert (image.ra, image.dec, image.pixel_scale) == pytest.approx((150.0, 2.0, 0.5))
    assert image.radius == pytest.approx(np.hypot(30, 40) * 0.5 / 3600, rel=1e-6)
    assert image.planes["weight"].url == as_url(str(path))
    assert image.planes["mask"].url.endswith("t1_r_mask.fits")
    mask = image.planes["mask"].place
    assert isinstance(mask, Plain)
    assert mask.bitpix == 16


def test_planes_that_are_not_there_are_left_out(tmp_path: Path, survey: ImageSurvey) -> None:
    image = one(write_tile(tmp_path / "t1_r.fits", 1, 2, weight=False, mask=False), survey)
    assert image.planes == {}


def test_a_plane_of_which_neither_name_nor_number_fits(tmp_path: Path) -> None:
    """A plain image is HDU 0, its compressed weight HDU 1: the only image of its file."""
    survey = parse_image_survey(
        ANY + "planes = { weight = { meaning = 'weight', file = '{stem}.w.fits.fz' } }"
    )
    header = coordinates(1, 2, (60, 80))
    fits.PrimaryHDU(sky((60, 80)), header).writeto(tmp_path / "a.fits")
    weight = fits.CompImageHDU(np.ones((60, 80), "f4"), header, name="W")
    fits.HDUList([fits.PrimaryHDU(), weight]).writeto(tmp_path / "a.w.fits.fz")
    place = one(tmp_path / "a.fits", survey).planes["weight"].place
    assert isinstance(place, Tiled)
    # Of two images nobody can tell which is meant.
    fits.HDUList([fits.PrimaryHDU(), weight, weight.copy()]).writeto(tmp_path / "a.w.fits.fz", overwrite=True)
    by_name = fits.ImageHDU(sky((60, 80)), header, name="N1")
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(), fits.ImageHDU(), by_name]).writeto(
        tmp_path / "a.fits", overwrite=True
    )
    assert one(tmp_path / "a.fits", survey).planes == {}


def test_a_plane_of_another_size_is_refused(tmp_path: Path, survey: ImageSurvey) -> None:
    path = write_tile(tmp_path / "t1_r.fits", 1, 2)
    write_tile(tmp_path / "x" / "t1_r.fits", 1, 2, (5, 6))
    (tmp_path / "x" / "t1_r_mask.fits").rename(tmp_path / "t1_r_mask.fits")
    with pytest.raises(Damaged, match="mask of HDU 1 has 6 x 5 pixels, the image 80 x 60"):
        describe(as_url(str(path)), survey)


def test_what_an_hdu_inherits(tmp_path: Path, survey: ImageSurvey) -> None:
    primary = {
        "TELESCOP": "Big",
        "RADESYS": "FK5",
        "EQUINOX": 1950.0,
        "OBJECT": "primary",
        "HIERARCH some thing": 5,
    }
    given = {"OBJECT": "own", "INHERIT": True}
    image = one(write_tile(tmp_path / "t1_r.fits", 1, 2, primary=primary, **given), survey)
    header = fits.Header.fromstring(image.header)
    assert (header["TELESCOP"], header["OBJECT"], header["EXPTIME"], header["some thing"]) == (
        "Big",
        "own",
        90.0,
        5,
    )
    assert header["RADESYS"] == "ICRS"  # coordinates are an HDU's own
    assert "EQUINOX" not in header
    # Without INHERIT, only what the survey's file names.
    image = one(write_tile(tmp_path / "t2_r.fits", 1, 2, primary=primary), survey)
    header = fits.Header.fromstring(image.header)
    assert "TELESCOP" not in header
    assert header["EXPTIME"] == 90.0
    image = one(write_tile(tmp_path / "t3_r.fits", 1, 2, primary=primary, INHERIT=False), survey)
    assert "EXPTIME" not in fits.Header.fromstring(image.header)
    assert image.exposure == 90.0  # it is known all the same


def mosaic(path: Path, names: list[str], **more: Any) -> Path:
    """Write a file with an image an HDU, a compressed one first."""
    shape = (20, 30)
    hdus: list[Any] = [fits.PrimaryHDU()]
    for at, name in enumerate(names):
        header = coordinates(10 + at / 100, 5, shape, **more)
        make = fits.ImageHDU if at else fits.CompImageHDU
        hdus.append(make(sky(shape), header, name=name))
    fits.HDUList(hdus).writeto(path)
    return path


def test_files_with_several_images(tmp_path: Path, anything: ImageSurvey) -> None:
    path = mosaic(tmp_path / "m.fits.fz", ["N1", "N2", "S3"])
    images = describe(as_url(str(path)), anything)
    assert [(i.image_id, i.hdu, i.row) for i in images] == [("m.N1", 1, 0), ("m.N2", 2, 1), ("m.S3", 3, 2)]


def test_planes_named_by_their_image(tmp_path: Path) -> None:
    path = mosaic(tmp_path / "m.fits", ["N1", "N1_WT", "N2", "N2_WT"])
    survey = parse_image_survey(ANY + "planes = { weight = { meaning = 'weight', hdu = '{hdu}_WT' } }")
    images = describe(as_url(str(path)), survey)
    assert [i.image_id for i in images] == ["m.N1", "m.N2"]
    with fits.open(path) as hdus:
        for image, hdu in zip(images, (hdus[2], hdus[4]), strict=True):
            place = image.planes["weight"].place
            assert isinstance(place, Plain)
            assert place.offset == hdu.fileinfo()["datLoc"]


@pytest.mark.parametrize(
    ("scale", "begin", "expected"),
    [
        ("mjd_utc", 59000.5, 59000.5),
        ("jd_utc", 2459001.0, 59000.5),
        ("mjd_tai", 59000.5, 59000.5 - 37 / 86400),
        ("iso_utc", "2020-05-31T12:00:00", 59000.5),
        ("iso_utc", "2020-05-31", 59000.0),
        ("mjd_utc", "NaN", None),
        ("iso_utc", "", None),
    ],
)
def test_times(tmp_path: Path, scale: str, begin: Any, expected: float | None) -> None:
    text = f"{ANY}\n[time]\nkeyword = 'BEGIN'\nscale = '{scale}'\nexposure = 'EXPTIME'"
    fits.PrimaryHDU(np.zeros((3, 3)), coordinates(1, 1, (3, 3), BEGIN=begin, EXPTIME=60)).writeto(
        tmp_path / "a.fits"
    )
    image = one(tmp_path / "a.fits", parse_image_survey(text))
    assert image.t_min == (None if expected is None else pytest.approx(expected, abs=1e-8))
    assert image.t_max == (None if expected is None else pytest.approx(expected + 60 / 86400, abs=1e-8))


@pytest.mark.parametrize(
    ("band", "expected"),
    [
        ('keyword = "FILTER"', "r DECam SDSS c0002"),
        ('keyword = "FILTER"\npattern = "^\\\\S+"', "r"),
        ('keyword = "FILTER"\npattern = "c(\\\\d+)"\nvalues = { 0002 = "red" }', "red"),
        ('keyword = "NOSUCH"', None),
        ('keyword = "FILTER"\npattern = "^Z"', None),
        ('name = "{INSTRUME}-{FILTER}"', "DECam-r DECam SDSS c0002"),
    ],
)
def test_bands(tmp_path: Path, band: str, expected: str | None) -> None:
    header = coordinates(1, 1, (3, 3), FILTER="r DECam SDSS c0002", INSTRUME="DECam")
    fits.PrimaryHDU(np.zeros((3, 3)), header).writeto(tmp_path / "a.fits")
    text = f"{ANY}\n[band]\n{band}\n[bands]\nred = [6e-7, 7e-7]"
    assert one(tmp_path / "a.fits", parse_image_survey(text)).band == expected


def test_ids_of_which_a_files_name_says_enough_are_not_read(tmp_path: Path, survey: ImageSurvey) -> None:
    assert image_ids(as_url(str(tmp_path / "none_r.fits")), survey) == {"none_r"}
    by_header = parse_image_survey(SURVEY.replace('id = "{tile}_{band}"', 'id = "{OBJECT}"'))
    path = write_tile(tmp_path / "t1_r.fits", 1, 2, OBJECT="thing")
    assert image_ids(as_url(str(path)), by_header) == {"thing"}


# ---------------------------------------------------------------------- what is read


class Counting:
    """A file that counts what is read of it."""

    def __init__(self, source: Any) -> None:
        self.size, self._source = source.size, source
        self.reads: list[int] = []

    def read_at(self, offset: int, length: int) -> bytes:
        content: bytes = self._source.read_at(offset, length)
        self.reads.append(len(content))
        return content

    def modified(self) -> float:
        return float(self._source.modified())

    def close(self) -> None:
        self._source.close()


def test_headers_are_read_and_no_pixels(
    tmp_path: Path, anything: ImageSurvey, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = (600, 600)
    hdus: list[Any] = [fits.PrimaryHDU()]
    for at in range(8):
        make = fits.CompImageHDU if at % 2 else fits.ImageHDU
        hdus.append(make(sky(shape, at), coordinates(at, 0, shape), name=f"C{at}"))
    fits.HDUList(hdus).writeto(tmp_path / "a.fits")
    opened: list[Counting] = []

    def counted(url: str) -> Counting:
        opened.append(Counting(original(url)))
        return opened[-1]

    original = describing.open_source
    monkeypatch.setattr(describing, "open_source", counted)
    assert len(describe(as_url(str(tmp_path / "a.fits")), anything)) == 8
    (file,) = opened
    assert len(file.reads) <= 9
    assert sum(file.reads) < 9 * (128 << 10) < file.size


# ---------------------------------------------------------------------- what is wrong


def test_files_that_are_none(tmp_path: Path, anything: ImageSurvey) -> None:
    for name, content, said in [
        ("empty.fits", b"", "empty"),
        ("text.fits", b"hello" * 1000, "does not begin with SIMPLE"),
        ("packed.fits", b"\x1f\x8b" + bytes(9000), "let its name end in .gz"),
        ("short.fits", b"SIMPLE  =                    T".ljust(2000), "no END"),
        ("endless.fits", b"SIMPLE  =                    T".ljust(28800), "no END"),
    ]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(Damaged, match=said):
            describe(as_url(str(tmp_path / name)), anything)
    with pytest.raises(FileGone):
        describe(as_url(str(tmp_path / "none.fits")), anything)


@pytest.mark.parametrize("cut", [1, 5000, 12_000])
def test_a_truncated_file(tmp_path: Path, survey: ImageSurvey, cut: int) -> None:
    path = write_tile(tmp_path / "t1_r.fits", 1, 2)
    content = path.read_bytes()
    data = 60 * 80 * 4
    path.write_bytes(content[: len(content) - 2880 + data % 2880 - cut])
    with pytest.raises(Damaged, match=r"truncated|no END"):
        describe(as_url(str(path)), survey)


def test_a_missing_end_of_padding_is_forgiven(tmp_path: Path, survey: ImageSurvey) -> None:
    path = write_tile(tmp_path / "t1_r.fits", 1, 2)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) - (-(60 * 80 * 4) % 2880)])
    assert one(path, survey).planes.keys() == {"weight", "mask"}
    path.write_bytes(content + b"and a note behind the last HDU")
    assert one(path, survey).planes.keys() == {"weight", "mask"}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"CD1_1": 0.0, "CD1_2": 0.0}, "coordinates are wrong"),
        ({"CTYPE1": "RA---XYZ", "CTYPE2": "DEC--XYZ"}, "coordinates are wrong"),
        ({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--SIN"}, "coordinates are wrong"),
        ({"CTYPE1": "LINEAR", "CTYPE2": "LINEAR"}, "no celestial coordinates"),
        ({"CRVAL2": 1e9}, "coordinates are wrong|off the sky"),
        ({"CTYPE1": "ELON-TAN", "CTYPE2": "ELAT-TAN"}, "ELON, ELAT, neither equatorial nor galactic"),
        ({"CTYPE1": "RA---AIT", "CTYPE2": "DEC--AIT", "CD1_1": -6.0, "CD2_2": 6.0}, "off the sky"),
        ({"CTYPE1": "RA---CAR", "CTYPE2": "DEC--CAR", "CD1_1": -4.5, "CD2_2": 3.0}, "farther than 80 degrees from"),
        ({"CTYPE1": "RA---CAR", "CTYPE2": "DEC--CAR", "CD1_1": -4.5, "CD2_2": 0.1}, "farther than 80 degrees from"),
    ],
)  # fmt: skip
def test_coordinates_that_are_none(
    tmp_path: Path, anything: ImageSurvey, more: dict[str, Any], said: str
) -> None:
    header = coordinates(10, 0, (60, 80), **more)
    fits.PrimaryHDU(np.zeros((60, 80), "f4"), header).writeto(tmp_path / "a.fits")
    with pytest.raises(Damaged, match=said) as problem:
        describe(as_url(str(tmp_path / "a.fits")), anything)
    assert "a.fits" in str(problem.value)


def test_an_image_of_nearly_half_the_sky(tmp_path: Path, anything: ImageSurvey) -> None:
    header = coordinates(10, 0, (60, 80), CTYPE1="RA---CAR", CTYPE2="DEC--CAR", CD1_1=-1.5, CD2_2=1.5)
    fits.PrimaryHDU(np.zeros((60, 80), "f4"), header).writeto(tmp_path / "a.fits")
    assert 60 < one(tmp_path / "a.fits", anything).radius < 80


def test_images_without_coordinates_beside_others_are_skipped(tmp_path: Path, anything: ImageSurvey) -> None:
    hdus = [
        fits.PrimaryHDU(),
        fits.ImageHDU(np.zeros((5, 5)), name="GUIDE"),
        fits.ImageHDU(np.zeros((5, 5)), coordinates(1, 1, (5, 5)), name="N1"),
        fits.ImageHDU(np.zeros((2, 5, 5)), name="CUBE"),
    ]
    fits.HDUList(hdus).writeto(tmp_path / "a.fits")
    found = described(as_url(str(tmp_path / "a.fits")), anything)
    assert [image.image_id for image in found.images] == ["a.N1"]
    assert dict(found.skipped) == {"It has no celestial coordinates": 1}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ZCMPTYPE": "LOSSY_9"}, "ZCMPTYPE is 'LOSSY_9'"),
        ({"ZNAXIS2": 3}, "3 tiles, and the table 2 rows"),
        ({"ZTILE1": 0}, "tiles are 0 x 1"),
        ({"ZQUANTIZ": "SOMEHOW"}, "ZQUANTIZ is 'SOMEHOW'"),
        ({"ZBITPIX": 7}, "ZBITPIX is 7"),
        ({"THEAP": 10**6}, "tile 1 is not in the file"),
        ({"TTYPE1": "OTHER"}, "no column COMPRESSED_DATA"),
        ({"ZCMPTYPE": "RICE_1", "TTYPE2": "OTHER"}, "there is no ZSCALE"),
    ],
)
def test_tables_that_stand_for_no_image(
    tmp_path: Path, anything: ImageSurvey, changes: dict[str, Any], said: str
) -> None:
    rows = np.empty(2, object)
    rows[:] = [np.arange(24, dtype="u1")] * 2
    path = tmp_path / "a.fits"
    columns = [
        fits.Column("COMPRESSED_DATA", "1PB(24)", array=rows),
        fits.Column("ZSCALE", "1D", array=[1.0, 1.0]),
    ]
    made_table(path, columns, ZTILE1=6, ZTILE2=1, ZQUANTIZ="NO_DITHER")
    with fits.open(path, mode="update", disable_image_compression=True) as hdus:
        hdus[1].header.update(changes)
    with pytest.raises(Damaged, match=said):
        describe(as_url(str(path)), anything)


def test_headers_with_any_bytes_are_refused_or_read(tmp_path: Path) -> None:
    """Whatever a header says: a record, or an error that names the file."""
    survey = parse_image_survey(
        f"{ANY}\n[time]\nkeyword = 'DATE-OBS'\nscale = 'iso_utc'\nexposure = 'EXPTIME'"
    )
    header = coordinates(10, 20, (20, 30), EXPTIME=3.0)
    header["DATE-OBS"] = "2020-01-01T00:00:00"
    hdus = [
        fits.PrimaryHDU(),
        fits.CompImageHDU(sky((20, 30)), header, name="A"),
        fits.ImageHDU(sky((20, 30)), header, name="B"),
    ]
    path = tmp_path / "a.fits"
    fits.HDUList(hdus).writeto(path)
    good = path.read_bytes()
    with fits.open(path, disable_image_compression=True) as there:
        places = [(hdu.fileinfo()["hdrLoc"], hdu.fileinfo()["datLoc"]) for hdu in there]
    chance = random.Random(20)
    values = [
        b"-1",
        b"0",
        b"99999999999999999999",
        b"1E400",
        b"''",
        b"'x'",
        b"NaN",
        b"T",
        b"2.5",
        b"1_6",
        b"",
    ]
    refused: list[str] = []
    for _ in range(150):
        content = bytearray(good)
        for _ in range(chance.choice([1, 1, 3])):
            start, stop = chance.choice(places)
            at = chance.randrange(start, stop)
            card = at // 80 * 80
            if chance.random() < 0.5:
                content[at] = chance.randrange(256)
            else:
                content[card + 10 : card + 30] = chance.choice(values).rjust(20)
        path.write_bytes(content)
        try:
            for image in describe(as_url(str(path)), survey):
                assert unpacked(image)
        except (Damaged, UsageError) as problem:
            refused.append(str(problem))
    assert 10 < len(refused) < 120
    assert all("a.fits" in said for said in refused)


def test_a_survey_that_does_not_fit(tmp_path: Path, survey: ImageSurvey) -> None:
    path = mosaic(tmp_path / "t1_r.fits", ["SCI", "SCI"])
    with pytest.raises(UsageError, match="1 ids stand for several images"):
        describe(as_url(str(path)), survey)
    other = parse_image_survey(SURVEY.replace('id = "{tile}_{band}"', 'id = "{tile}_{NOSUCH}"'))
    good = write_tile(tmp_path / "t2_r.fits", 1, 2)
    with pytest.raises(UsageError, match=r"asks for \{NOSUCH\}"):
        describe(as_url(str(good)), other)
    with pytest.raises(UsageError, match="has no image of tiles"):
        describe(as_url(str(mosaic(tmp_path / "t3_r.fits", ["A", "B"]))), survey)
    assert describe(as_url(str(tmp_path / "unlike.fits")), survey) == []


@pytest.mark.parametrize("kind", ["CPDIS", "D2IMDIS"])
def test_tables_of_distortion_are_not_read(tmp_path: Path, anything: ImageSurvey, kind: str) -> None:
    """As the Hubble telescope's files have them: an image says so, and the tables are no images."""
    of = {"CPDIS": "DP", "D2IMDIS": "D2IM"}[kind]
    looked_up = coordinates(1, 1, (5, 5))
    for axis in (1, 2):
        looked_up[f"{kind}{axis}"] = "Lookup"
        looked_up[f"{of}{axis}.EXTVER"], looked_up[f"{of}{axis}.AXIS.{axis}"] = axis, axis
    name = {"CPDIS": "WCSDVARR", "D2IMDIS": "D2IMARR"}[kind]
    tables = [
        fits.ImageHDU(np.zeros((4, 4), "f4"), coordinates(1, 1, (4, 4)), name=name, ver=ver) for ver in (1, 2)
    ]
    images = [
        fits.ImageHDU(np.zeros((5, 5)), looked_up, name="SCI", ver=1),
        fits.ImageHDU(np.zeros((5, 5)), coordinates(1, 1, (5, 5)), name="SCI", ver=2),
    ]
    fits.HDUList([fits.PrimaryHDU(), *images, *tables]).writeto(tmp_path / "two.fits")
    found = described(as_url(str(tmp_path / "two.fits")), anything)
    assert [image.hdu for image in found.images] == [2]
    assert list(found.skipped.values()) == [1]
    fits.HDUList([fits.PrimaryHDU(), images[0], *tables]).writeto(tmp_path / "one.fits")
    with pytest.raises(Damaged, match=rf"HDU 1: Its distortion stands in tables .*\({kind}1 is 'Lookup'\)"):
        describe(as_url(str(tmp_path / "one.fits")), anything)


def test_a_file_whose_images_have_three_axes(tmp_path: Path, anything: ImageSurvey) -> None:
    table = fits.BinTableHDU.from_columns([fits.Column("a", "J", array=[1])], name="CAT")
    fits.HDUList([fits.PrimaryHDU(np.zeros((1, 30, 40), "f4")), table]).writeto(tmp_path / "a.fits")
    told = r"Its HDUs are 0 \(3 axes: 40 x 30 x 1\), CAT \(no image\)\. An image has two axes; `images.hdus`"
    with pytest.raises(UsageError, match=told):
        describe(as_url(str(tmp_path / "a.fits")), anything)


@pytest.mark.parametrize(
    ("template", "names", "versions", "said"),
    [
        ("{stem}", ["A", "B", "C"], [None] * 3, "apart, such as {hdu}."),
        ("{stem}.{hdu}", ["SCI"] * 3, [1, 2, 3], "apart, such as {EXTVER}."),
        ("{stem}.{hdu}", ["SCI", "SCI", "ERR"], [1, 2, 1], "apart, such as {EXTVER}."),
        ("{stem}.{hdu}", ["SCI"] * 3, [1, 2, 2], "apart: a keyword of their headers."),
        ("{stem}.{hdu}", ["SCI"] * 3, [None] * 3, "apart: a keyword of their headers."),
    ],
)
def test_a_word_that_tells_images_apart(
    tmp_path: Path, template: str, names: list[str], versions: list[int | None], said: str
) -> None:
    path = mosaic(tmp_path / "a.fits", names)
    with fits.open(path, mode="update", disable_image_compression=True) as hdus:
        for hdu, version in zip(hdus[1:], versions, strict=True):
            hdu.header.update({} if version is None else {"EXTVER": version})
    with pytest.raises(UsageError) as problem:
        describe(as_url(str(path)), parse_image_survey(f"{ANY}id = '{template}'\n"))
    assert said in str(problem.value)


@pytest.mark.parametrize(
    ("keyword", "value"), [("EXPTIME", "long"), ("MJD-OBS", "yesterday"), ("FWHM", "1.2 px")]
)
def test_values_that_are_no_numbers(tmp_path: Path, survey: ImageSurvey, keyword: str, value: str) -> None:
    path = write_tile(tmp_path / "t1_r.fits", 1, 2, **{keyword: value})
    with pytest.raises(Damaged, match=f"{keyword} is '{value}', which is no number"):
        describe(as_url(str(path)), survey)


def test_records_without_the_times_of_files(
    tmp_path: Path, survey: ImageSurvey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an older sodalake wrote is read until it is indexed anew."""
    image = one(write_tile(tmp_path / "t1_r.fits", 1, 2), survey)
    assert unpack_image(pack_image(image)).pixels.mtime == image.pixels.mtime > 0
    dumps = json.dumps
    monkeypatch.setattr(
        json, "dumps", lambda words, **how: re.sub(r'"mtime":[^,]*,', "", dumps(words, **how))
    )
    older = unpack_image(pack_image(image))
    assert [plane.mtime for plane in (older.pixels, *older.planes.values())] == [0.0] * 3
    assert older.pixels == replace(image.pixels, mtime=0.0)


def test_records_of_another_version_and_damaged_ones(tmp_path: Path, survey: ImageSurvey) -> None:
    cell = pack_image(one(write_tile(tmp_path / "t1_r.fits", 1, 2), survey))
    with pytest.raises(Damaged, match=f"version {VERSION + 1}"):
        unpack_image(bytes([VERSION + 1]) + cell[1:])
    for broken in (cell[:3], cell[:60], cell[:-20], b""):
        with pytest.raises(Damaged, match="cannot be read"):
            unpack_image(broken)


def test_the_survey_of_the_documentation(tmp_path: Path) -> None:
    text = (Path(__file__).parents[3] / "docs" / "surveys.md").read_text()
    (example,) = [block for block in re.findall(r"```toml\n(.*?)```", text, re.S) if "[images]" in block]
    survey = parse_image_survey(example)
    hdus = [
        fits.PrimaryHDU(),
        fits.CompImageHDU(sky((60, 80)), coordinates(1, 2, (60, 80)), name="SCI"),
        fits.CompImageHDU(sky((60, 80)), name="WGT"),
    ]
    fits.HDUList(hdus).writeto(tmp_path / "tile7_z.fits.fz")
    fits.PrimaryHDU(np.zeros((60, 80), "u1")).writeto(tmp_path / "tile7_z_mask.fits")
    image = one(tmp_path / "tile7_z.fits.fz", survey)
    assert (image.image_id, image.band, image.unit, image.zero_point) == ("tile7_z", "z", "nmgy", 22.5)
    assert list(image.planes) == ["weight", "mask"]


def test_the_shipped_survey_of_des_tiles(tmp_path: Path) -> None:
    des = load_image_survey("des")
    planes = [fits.CompImageHDU(np.zeros((60, 80), "i4"), name=name) for name in ("MSK", "WGT")]
    header = coordinates(6.0, -55.6, (60, 80), 0.263, BAND="g", MAGZERO=30.0)
    tile = fits.CompImageHDU(sky((60, 80)), header, name="SCI")
    path = tmp_path / "DES0024-5540_r4910p01_g.fits.fz"
    fits.HDUList([fits.PrimaryHDU(), tile, *planes]).writeto(path)
    image = one(path, des)
    assert (image.image_id, image.band, image.zero_point) == ("DES0024-5540_r4910p01_g", "g", 30.0)
    assert (image.hdu, set(image.planes), image.t_min) == (1, {"mask", "weight"}, None)
    path.rename(tmp_path / "DES0024-5540_r4910p01_g_nobkg.fits.fz")
    image = one(tmp_path / "DES0024-5540_r4910p01_g_nobkg.fits.fz", des)
    assert image.image_id == "DES0024-5540_r4910p01_g_nobkg"


def test_a_survey_file_with_mistakes_is_told(tmp_path: Path) -> None:
    for changes, said in [
        (
            [("calib_level = 3", "calib_levle = 3")],
            "images.calib_levle is unknown \\(did you mean calib_level\\?\\)",
        ),
        ([('meaning = "weight"', 'meaning = "heavy"')], "images.planes.weight.meaning"),
        ([("[gri])", "[gri")], "is no pattern"),
        ([('name = "{band}"', "")], "one of `keyword` and `name`"),
        ([('hdu = "WGT"', "")], "a plane is in another HDU"),
    ]:
        path = write_survey(tmp_path / "s.toml", changes=changes)
        with pytest.raises(ConfigurationError, match=said):
            load_image_survey(str(path))
    with pytest.raises(
        ConfigurationError, match=r"ztf describes a survey of alerts: it has no table \[images\]"
    ):
        load_image_survey("ztf")
    with pytest.raises(ConfigurationError, match="decam describes a survey of images"):
        load_survey("decam")
    (tmp_path / "s.toml").write_text("name = ")
    with pytest.raises(ConfigurationError, match="is not TOML"):
        load_image_survey(str(tmp_path / "s.toml"))
