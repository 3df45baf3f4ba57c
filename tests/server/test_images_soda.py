"""SODA of survey images, as clients ask it: every filter, every format, and what is wrong."""

from __future__ import annotations

import io
import json
from typing import Any, Protocol

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import Cutout2D
from astropy.wcs import WCS
from image_lake import REAL, ImageLake
from lxml import etree
from PIL import Image

TILE, RICE = "tile2_g", "tile2_r"


class Server(Protocol):
    """The server of these tests."""

    def ask(self, path: str, parameters: Any = (), **how: Any) -> Any:
        """Ask it."""


def did(image_id: str, survey: str = "skytiles") -> str:
    return f"ivo://sodalake/{survey}?{image_id}"


def soda(
    server: Server, image_id: str, *more: tuple[str, object], survey: str = "skytiles", **given: object
) -> Any:
    return server.ask("/soda/sync", [("ID", did(image_id, survey)), *given.items(), *more])


def opened(answer: Any) -> fits.HDUList:
    assert answer.status == 200, answer.body[:400]
    return fits.open(io.BytesIO(answer.body))


def place(images: ImageLake, image_id: str, x: float, y: float) -> tuple[float, float]:
    ra, dec = images.wcs(image_id).all_pix2world(x, y, 0)
    return float(ra), float(dec)


# ---------------------------------------------------------------------- what is cut


@pytest.mark.parametrize("image_id", [TILE, RICE])
def test_a_circle_is_the_box_around_it_pixel_for_pixel(
    image_server: Server, images: ImageLake, image_id: str
) -> None:
    ra, dec = place(images, image_id, 400, 300)
    radius = 30.25 * 0.4 / 3600
    answer = soda(image_server, image_id, CIRCLE=f"{ra!r} {dec!r} {radius!r}")
    assert answer.headers["Content-Type"] == "application/fits"
    with opened(answer) as hdus:
        cut, header = hdus[0].data, hdus[0].header
        expected = images.pixels(image_id)[270:331, 370:431]
        np.testing.assert_array_equal(cut, expected)
        sky = WCS(header).pixel_to_world(0, 0)
        there = images.wcs(image_id).world_to_pixel(sky)
        np.testing.assert_allclose(there, (370, 270), atol=1e-6)
        assert header["IMAGEID"] == image_id
        assert header["SURVEY"] == "skytiles"
        assert header["BUNIT"] == "nJy"


@pytest.mark.parametrize(
    "region",
    [
        ("POS", "CIRCLE {ra} {dec} 0.002"),
        ("POS", "RANGE {west} {east} {south} {north}"),
        ("POS", "RANGE {west} {east} -Inf +Inf"),
        ("POLYGON", "{west} {south} {east} {south} {ra} {north}"),
        ("POS", "POLYGON {west} {south} {east} {south} {ra} {north}"),
    ],
)
def test_every_shape(image_server: Server, images: ImageLake, region: tuple[str, str]) -> None:
    ra, dec = place(images, TILE, 500, 500)
    ends = {"west": ra - 0.004, "east": ra + 0.004, "south": dec - 0.003, "north": dec + 0.003}
    name, form = region
    answer = soda(image_server, TILE, **{name: form.format(ra=ra, dec=dec, **ends)})
    with opened(answer) as hdus:
        height, width = hdus[0].data.shape
        frame = WCS(hdus[0].header)
        assert frame.footprint_contains(SkyCoord(ra, dec, unit="deg"))
        assert width < 90
        assert height == 1024 if "Inf" in form else height < 70


def test_a_coverage_map_is_a_region(image_server: Server, images: ImageLake) -> None:
    from astropy import units
    from mocpy import MOC

    ra, dec = place(images, TILE, 500, 500)
    moc = MOC.from_lonlat([ra] * units.deg, [dec] * units.deg, max_norder=15).to_string()
    with opened(soda(image_server, TILE, MOC=moc)) as hdus:
        height, width = hdus[0].data.shape
        assert WCS(hdus[0].header).footprint_contains(SkyCoord(ra, dec, unit="deg"))
        assert 16 <= width <= 30  # a cell of 6.4″, which stands on its corner
        assert 16 <= height <= 30
    assert soda(image_server, TILE, MOC="3/1").status == 204


def test_a_cut_is_clipped_to_the_image(image_server: Server, images: ImageLake) -> None:
    ra, dec = place(images, TILE, 0, 0)
    answer = soda(image_server, TILE, CIRCLE=f"{ra} {dec} 0.003")
    with opened(answer) as hdus:
        np.testing.assert_array_equal(hdus[0].data, images.pixels(TILE)[:28, :28])
    assert answer.headers["X-Sodalake-Covered"] == "1"


def test_without_a_region_all_of_it_comes(image_server: Server, images: ImageLake) -> None:
    with opened(soda(image_server, TILE)) as hdus:
        np.testing.assert_array_equal(hdus[0].data, images.pixels(TILE))


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"CIRCLE": "10 10 0.1"}, 204),
        ({"BAND": "4e-7 5e-7"}, 200),
        ({"BAND": "5e-7"}, 200),
        ({"BAND": "-Inf 4.1e-7"}, 200),
        ({"BAND": "5.51e-7 +Inf"}, 204),
        ({"BAND": "500 600"}, 204),  # nanometres are none: BAND is in metres
        ({"TIME": "61099 +Inf"}, 200),
        ({"TIME": "-Inf 61000"}, 204),
        ({"TIME": "70000"}, 204),
        ({"POL": "I"}, 204),
    ],
)
def test_filters_leave_the_image_or_nothing(
    image_server: Server, images: ImageLake, given: dict[str, str], status: int
) -> None:
    ra, dec = place(images, TILE, 500, 500)
    answer = soda(image_server, TILE, **{"CIRCLE": f"{ra} {dec} 0.001", **given})
    assert answer.status == status
    assert status != 204 or answer.body == b""


def test_values_of_pol_are_one_filter(image_server: Server) -> None:
    assert soda(image_server, TILE, ("POL", "Q"), POL="I").status == 204


def test_names_in_any_case_and_by_post(image_server: Server, images: ImageLake) -> None:
    ra, dec = place(images, TILE, 500, 500)
    by_get = image_server.ask("/soda/sync", {"id": did(TILE), "Circle": f"{ra} {dec} 0.001"})
    by_post = image_server.ask(
        "/soda/sync",
        method="POST",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
        body=f"ID={did(TILE)}&cIRCLE={ra}+{dec}+0.001".encode(),
    )
    assert by_get.status == by_post.status == 200
    assert by_get.body == by_post.body


# ---------------------------------------------------------------------- what is made


def test_planes_are_extensions(image_server: Server, images: ImageLake) -> None:
    ra, dec = place(images, RICE, 500, 500)
    with opened(soda(image_server, RICE, CIRCLE=f"{ra} {dec} 0.001", PLANES="weight")) as hdus:
        assert hdus[1].name == "WEIGHT"
        assert hdus[1].data.shape == hdus[0].data.shape
        assert (hdus[1].data > 0).any()
    with opened(soda(image_server, "new g", survey="exposures", PLANES="mask")) as hdus:
        assert hdus["MASK"].data.dtype.kind in "iu"
        assert hdus["MASK"].data[10, 10] == 5
        assert np.isnan(hdus[0].data[10, 10])


@pytest.mark.parametrize(
    ("form", "kind"), [("png", "image/png"), ("jpeg", "image/jpeg"), ("image/jpeg", "image/jpeg")]
)
def test_pictures(image_server: Server, images: ImageLake, form: str, kind: str) -> None:
    ra, dec = place(images, TILE, 500, 500)
    answer = soda(
        image_server, TILE, CIRCLE=f"{ra!r} {dec!r} {20.25 * 0.4 / 3600!r}", RESPONSEFORMAT=form, STRETCH="log",
        COLORMAP="viridis", SCALE=2,
    )  # fmt: skip
    assert answer.headers["Content-Type"] == kind
    with Image.open(io.BytesIO(answer.body)) as picture:
        assert picture.size == (82, 82)


def test_an_image_is_made_smaller(image_server: Server, images: ImageLake) -> None:
    answer = soda(image_server, TILE, RESPONSEFORMAT="png", SCALE=0.25)
    with Image.open(io.BytesIO(answer.body)) as picture:
        assert picture.size == (256, 256)
    with opened(soda(image_server, TILE, SCALE=0.25)) as hdus:
        expected = images.pixels(TILE).reshape(256, 4, 256, 4).mean(axis=(1, 3))
        np.testing.assert_allclose(hdus[0].data, expected, rtol=1e-3, atol=1e-2)
        sky = WCS(hdus[0].header).pixel_to_world(10, 20)
        there = images.wcs(TILE).world_to_pixel(sky)
        np.testing.assert_allclose(there, (10 * 4 + 1.5, 20 * 4 + 1.5), atol=1e-6)


@pytest.mark.parametrize("form", ["fits", "png"])
def test_the_least_scale_makes_one_pixel(image_server: Server, images: ImageLake, form: str) -> None:
    ra, dec = place(images, TILE, 500, 500)
    by_place = {"survey": "skytiles", "ra": ra, "dec": dec, "size": "100px", "bands": "g"}
    for answer in (
        soda(image_server, TILE, SCALE="1e-5", RESPONSEFORMAT=form),
        image_server.ask("/api/v1/images/cutout", {**by_place, "scale": "1e-5", "format": form}),
    ):
        assert answer.status == 200, answer.body[:400]
        if form == "fits":
            with opened(answer) as hdus:
                assert hdus[0].data.shape == (1, 1)
        else:
            with Image.open(io.BytesIO(answer.body)) as picture:
                assert picture.size == (1, 1)


def test_an_image_made_smaller_than_its_overview(image_server: Server, images: ImageLake) -> None:
    with opened(soda(image_server, TILE, SCALE=1 / 16)) as hdus:
        expected = images.pixels(TILE).reshape(64, 16, 64, 16).mean(axis=(1, 3))
        np.testing.assert_allclose(hdus[0].data, expected, rtol=1e-3, atol=1e-2)


def test_arrays(image_server: Server, images: ImageLake) -> None:
    ra, dec = place(images, TILE, 500, 500)
    answer = soda(image_server, TILE, CIRCLE=f"{ra!r} {dec!r} {4.25 * 0.4 / 3600!r}", RESPONSEFORMAT="json")
    found = np.array(json.loads(answer.body), np.float32)
    np.testing.assert_array_equal(found, images.pixels(TILE)[496:505, 496:505])


def test_an_image_that_was_asked_for_again_is_not_sent(image_server: Server, images: ImageLake) -> None:
    ra, dec = place(images, TILE, 500, 500)
    first = soda(image_server, TILE, CIRCLE=f"{ra} {dec} 0.001")
    again = image_server.ask(
        "/soda/sync",
        {"ID": did(TILE), "CIRCLE": f"{ra} {dec} 0.001"},
        headers={"If-None-Match": first.headers["Etag"]},
    )
    assert again.status == 304


@pytest.mark.skipif(not REAL.is_dir(), reason="the real exposures are not here")
def test_real_exposures_are_cut_as_astropy_cuts_them(image_server: Server) -> None:
    """DECam's TPV; the cut by position is Cutout2D's, pixel for pixel."""
    for path in sorted(REAL.glob("*_ooi_*.fits"))[:6]:
        with fits.open(path) as hdus:
            number = next(n for n, hdu in enumerate(hdus) if hdu.data is not None and hdu.data.ndim == 2)
            whole, frame = hdus[number].data.astype(np.float32), WCS(hdus[number].header, fix=False)
            height, width = whole.shape
            ra, dec = (float(axis) for axis in frame.all_pix2world(width / 3, height / 4, 0))
        answer = image_server.ask(
            "/api/v1/images/cutout", {"survey": "decam", "ra": repr(ra), "dec": repr(dec), "size": "41px"}
        )
        with opened(answer) as made:
            cuts = [hdu for hdu in made if hdu.data is not None and hdu.header["ORIGFILE"] == path.name]
            expected = Cutout2D(
                whole, SkyCoord(ra, dec, unit="deg"), 41, frame, mode="partial", fill_value=np.nan
            )
            if cuts:  # (a newer exposure may have the place as well)
                np.testing.assert_array_equal(cuts[0].data, expected.data)
                there = WCS(cuts[0].header, fix=False).all_world2pix(ra, dec, 0)
                np.testing.assert_allclose(there, expected.wcs.all_world2pix(ra, dec, 0), atol=1e-6)


# ---------------------------------------------------------------------- what is wrong


@pytest.mark.parametrize(
    ("given", "status", "words"),
    [
        ({"CIRCLE": "1 2"}, 400, ["UsageError", "CIRCLE"]),
        ({"CIRCLE": "nan 2 1"}, 400, ["UsageError", "'nan'"]),
        ({"MOC": "abc"}, 400, ["UsageError", "'abc'", "NESTED"]),
        ({"CIRCLE": "1 2 3", "MOC": "1/1"}, 400, ["MultiValuedParamNotSupported", "CIRCLE and MOC"]),
        ({"BAND": "g"}, 400, ["UsageError", "BAND", "metres"]),
        ({"BAND": "5e-7 4e-7"}, 400, ["UsageError", "lower end first"]),
        ({"BAND": "NaN 1"}, 400, ["UsageError", "BAND"]),
        ({"BAND": "1 2 3"}, 400, ["UsageError", "no interval"]),
        ({"BAND": "+Inf"}, 400, ["UsageError", "BAND"]),
        ({"TIME": "yesterday"}, 400, ["UsageError", "TIME", "MJD"]),
        ({"POL": "1"}, 400, ["UsageError", "POL"]),
        ({"RESPONSEFORMAT": "arrow"}, 400, ["UsageError", "image/jpeg"]),
        ({"RESPONSEFORMAT": "png", "STRETCH": "wild"}, 400, ["UsageError", "stretch"]),
        ({"RESPONSEFORMAT": "png", "STRETCH": "3"}, 400, ["UsageError", "STRETCH"]),
        ({"RESPONSEFORMAT": "png", "COLORMAP": "nix"}, 400, ["UsageError", "nix"]),
        ({"RESPONSEFORMAT": "png", "PMIN": "99", "PMAX": "1"}, 400, ["UsageError", "percentiles"]),
        (
            {"RESPONSEFORMAT": "png", "SCALE": "100"},
            413,
            ["UsageError", "102400 pixels on a side (at most 4096)", "picture of 1024"],
        ),
        ({"SCALE": "0"}, 400, ["UsageError", "SCALE=0 is less than 1e-05"]),
        ({"SCALE": "1e-300"}, 400, ["UsageError", "SCALE=1e-300 is less than 1e-05"]),
        ({"SCALE": "5e-324", "RESPONSEFORMAT": "png"}, 400, ["UsageError", "is less than 1e-05"]),
        ({"SCALE": "-1"}, 400, ["UsageError", "SCALE"]),
        ({"SCALE": "2"}, 400, ["UsageError", "Only pictures"]),
        ({"SCALE": "1e999"}, 400, ["UsageError", "SCALE"]),
        ({"PLANES": "noise"}, 400, ["UsageError", "weight"]),
        ({"PLANES": "weight", "RESPONSEFORMAT": "png"}, 400, ["UsageError", "FITS"]),
        ({"KIND": "science"}, 400, ["UsageError", "KIND"]),
    ],
)
def test_what_cannot_be_asked_is_told(
    image_server: Server, given: dict[str, str], status: int, words: list[str]
) -> None:
    answer = soda(image_server, TILE, **given)
    assert answer.status == status
    assert answer.headers["Content-Type"].startswith("text/plain")
    text = answer.body.decode()
    for word in words:
        assert word in text, text


@pytest.mark.parametrize("name", ["CIRCLE", "BAND", "TIME", "MOC", "RESPONSEFORMAT", "SCALE"])
def test_several_values_are_for_jobs(image_server: Server, name: str) -> None:
    answer = soda(image_server, TILE, (name, "1"), **{name: "1"})
    assert answer.status == 400
    assert answer.body.startswith(b"MultiValuedParamNotSupported: ")
    assert b"/soda/async" in answer.body


@pytest.mark.parametrize(
    ("identifier", "status", "word"),
    [
        ("ivo://sodalake/skytiles?nothing", 404, "no image nothing"),
        ("ivo://sodalake/skytiles?" + "x" * 2000, 400, "no id"),
        ("ivo://sodalake/skytiles?tile2_g/science", 400, "KIND"),
        ("ivo://sodalake/nowhere?tile2_g", 404, "skytiles"),
        ("ivo://elsewhere/skytiles?tile2_g", 404, "elsewhere"),
        ("tile2_g", 400, "SURVEY?IMAGEID"),
        ("ivo://sodalake/skytiles?%FF", 400, "UTF-8"),
    ],
)
def test_identifiers_that_are_none(image_server: Server, identifier: str, status: int, word: str) -> None:
    answer = image_server.ask("/soda/sync", {"ID": identifier})
    assert answer.status == status
    assert word in answer.body.decode()


def test_files_that_are_gone_or_cut_off(image_server: Server) -> None:
    gone = soda(image_server, "gone g", survey="exposures")
    assert gone.status == 410
    assert b"gone_g.fits" in gone.body
    short = soda(image_server, "cut g", survey="exposures")
    assert short.status == 502
    assert b"Ingest it again" in short.body


def test_a_survey_name_is_escaped_in_nothing(image_server: Server) -> None:
    """Ids may have spaces; they are escaped in identifiers and in headers."""
    answer = soda(image_server, "new%20g", survey="exposures")
    assert answer.status == 200
    assert answer.headers["X-Sodalake-Images"] == "new%20g"
    assert 'filename="new-g.fits"' in answer.headers["Content-Disposition"]


# ---------------------------------------------------------------------- what is declared


def test_capabilities_declare_the_parameters_as_the_standard_has_them(image_server: Server) -> None:
    root = etree.fromstring(image_server.ask("/soda/capabilities").body)
    sync = next(one for one in root if one.get("standardID") == "ivo://ivoa.net/std/SODA#sync-1.0")
    found = {
        one.findtext("name"): (one.findtext("ucd"), one.findtext("unit"), dict(one.find("dataType").attrib))
        for one in sync.iter("param")
    }
    expected = {
        "BAND": ("em.wl;stat.interval", "m", "2", "interval"),
        "TIME": ("time.interval;obs.exposure", "d", "2", "interval"),
        "POL": ("meta.code;phys.polarization", None, "*", None),
        "MOC": (None, None, "*", "moc"),
    }
    for name, (ucd, unit, arraysize, xtype) in expected.items():
        has = found[name]
        assert has[0] == ucd
        assert has[1] == unit
        assert has[2].get("arraysize") == arraysize
        assert has[2].get("extendedType") == xtype
