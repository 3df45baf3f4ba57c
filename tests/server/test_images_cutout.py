"""Cuts by position: one image or several, one band or several, and what is told of them."""

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
from image_lake import ImageLake
from PIL import Image
from reproject import reproject_interp

PATH = "/api/v1/images/cutout"
ESTIMATE = "/api/v1/images/estimate"


class Server(Protocol):
    """The server of these tests."""

    def ask(self, path: str, parameters: Any = (), **how: Any) -> Any:
        """Ask it."""


def cut(server: Server, **given: object) -> Any:
    return server.ask(PATH, {"survey": "skytiles", **given})


def opened(answer: Any) -> fits.HDUList:
    assert answer.status == 200, answer.body[:600]
    return fits.open(io.BytesIO(answer.body))


def place(images: ImageLake, image_id: str, x: float, y: float) -> tuple[float, float]:
    ra, dec = images.wcs(image_id).all_pix2world(x, y, 0)
    return float(ra), float(dec)


def edge(images: ImageLake) -> tuple[float, float]:
    """A place where tiles 2 and 5 overlap, far from all others."""
    return place(images, "tile2_g", 512, 1000)


# ---------------------------------------------------------------------- one image


@pytest.mark.parametrize("band", ["g", "r"])
@pytest.mark.parametrize(
    ("x", "y", "side"), [(512, 400, 100), (511.3, 400.8, 101), (3, 500, 64), (500, 2, 9)]
)
def test_single_is_the_cutout_of_astropy(
    image_server: Server, images: ImageLake, band: str, x: float, y: float, side: int
) -> None:
    image_id = f"tile2_{band}"
    ra, dec = place(images, image_id, x, y)
    answer = cut(image_server, ra=repr(ra), dec=repr(dec), size=f"{side}px", bands=band)
    with opened(answer) as hdus:
        header = hdus[0].header
        found = hdus[0].data
        used = str(header["IMAGEID"])
        expected = Cutout2D(
            images.pixels(used),
            SkyCoord(ra, dec, unit="deg"),
            side,
            images.wcs(used),
            mode="partial",
            fill_value=np.nan,
        )
        np.testing.assert_array_equal(found, expected.data)
        there = WCS(header).all_world2pix(ra, dec, 0)
        np.testing.assert_allclose(there, expected.wcs.all_world2pix(ra, dec, 0), atol=1e-6)
        assert float(answer.headers["X-Sodalake-Covered"]) == pytest.approx(header["COVERED"], abs=1e-3)
        assert header["COVERED"] == pytest.approx(np.isfinite(found).mean(), abs=1e-3)


def test_what_is_outside_is_told(image_server: Server, images: ImageLake) -> None:
    """Never silently less: NaN in the pixels, a card in the header, a header of HTTP."""
    ra, dec = place(images, "tile1_g", 0, 0)
    answer = cut(image_server, ra=ra, dec=dec, size="100px", bands="g")
    with opened(answer) as hdus:
        missing = float(np.isnan(hdus[0].data).mean())
        assert hdus[0].data.shape == (100, 100)
    assert 0.2 < missing < 0.8
    assert float(answer.headers["X-Sodalake-Covered"]) == pytest.approx(1 - missing, abs=1e-3)
    assert answer.headers["X-Sodalake-Inputs"] == "1"


@pytest.mark.parametrize(
    ("size", "shape"),
    [
        ({"size": "0.01"}, (90, 90)),
        ({"size": "36arcsec"}, (90, 90)),
        ({"size": '36"'}, (90, 90)),
        ({"size": "0.6'"}, (90, 90)),
        ({"size": "0.6arcmin"}, (90, 90)),
        ({"size": "0.01deg"}, (90, 90)),
        ({"size": "40px"}, (40, 40)),
        ({"size": "40px,20px"}, (20, 40)),
        ({"width": "40px", "height": "30px"}, (30, 40)),
        ({"width": "36 arcsec"}, (90, 90)),
        ({"size": "1px"}, (1, 1)),
    ],
)
def test_sizes(image_server: Server, images: ImageLake, size: dict[str, str], shape: tuple[int, int]) -> None:
    ra, dec = place(images, "tile2_g", 512, 512)
    with opened(cut(image_server, ra=ra, dec=dec, bands="g", **size)) as hdus:
        assert hdus[0].data.shape == shape


def test_the_newest_of_two_exposures(image_server: Server) -> None:
    def asked(**given: object) -> Any:
        return image_server.ask(PATH, {"survey": "exposures", "ra": 40, "dec": -10, "size": "20px", **given})

    with opened(asked(bands="g")) as hdus:
        assert hdus[0].header["IMAGEID"] == "new g"
    with opened(asked(bands="g", time="59999 60001")) as hdus:
        assert hdus[0].header["IMAGEID"] == "old g"
    assert asked(bands="g", time="50000").status == 404


def test_bands_are_extensions(image_server: Server, images: ImageLake) -> None:
    ra, dec = place(images, "tile2_g", 512, 512)
    for bands in ("gri", "g,r,i", "g r i", "GRI"):
        with opened(cut(image_server, ra=ra, dec=dec, size="30px", bands=bands)) as hdus:
            assert [hdu.name for hdu in hdus[1:]] == ["G", "R", "I"]
            assert hdus[0].data is None
            for hdu in hdus[1:]:
                assert hdu.data.shape == (30, 30)
                assert hdu.header["IMAGEID"] == f"tile2_{hdu.name.lower()}"
    with opened(cut(image_server, ra=ra, dec=dec, size="30px")) as hdus:
        assert [hdu.name for hdu in hdus[1:]] == ["G", "R", "I"]


def test_by_post_as_a_form_and_as_json_and_below_the_survey(image_server: Server, images: ImageLake) -> None:
    ra, dec = place(images, "tile2_g", 512, 512)
    first = cut(image_server, ra=ra, dec=dec, size="30px", bands="g")
    form = image_server.ask(
        PATH,
        method="POST",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
        body=f"SURVEY=skytiles&Ra={ra}&DEC={dec}&Size=30px&bands=g".encode(),
    )
    document = {"survey": "skytiles", "ra": ra, "dec": dec, "size": "30px", "bands": "g", "match": False}
    as_json = image_server.ask(
        PATH, method="POST", headers={"Content-Type": "application/json"}, body=json.dumps(document).encode()
    )
    below = image_server.ask("/skytiles" + PATH, {"ra": ra, "dec": dec, "size": "30px", "bands": "g"})
    assert first.status == form.status == as_json.status == below.status == 200
    assert first.body == form.body == as_json.body == below.body


# ---------------------------------------------------------------------- several images


def test_coadd_is_what_reproject_gives(image_server: Server, images: ImageLake) -> None:
    ra, dec = edge(images)
    answer = cut(image_server, ra=ra, dec=dec, size="120px", bands="g", algorithm="coadd")
    with opened(answer) as hdus:
        found, header = hdus[0].data, hdus[0].header
        frame = WCS(header)
        assert frame.wcs.ctype[0] == "RA---TAN"
        np.testing.assert_allclose(frame.all_world2pix(ra, dec, 0), (59.5, 59.5), atol=1e-6)
    used = answer.headers["X-Sodalake-Images"].split(", ")
    assert used == ["tile2_g", "tile5_g"]
    assert header["NINPUTS"] == 2
    assert {header["IMAGE001"], header["IMAGE002"]} == set(used)
    weights = [images.pixels_of_weight(one) for one in used]
    total = np.zeros((120, 120))
    weight = np.zeros((120, 120))
    for one, its in zip(used, weights, strict=True):
        values, _ = reproject_interp((images.pixels(one), images.wcs(one)), frame, (120, 120))
        importance, _ = reproject_interp((its, images.wcs(one)), frame, (120, 120))
        there = np.isfinite(values) & (np.nan_to_num(importance) > 0)
        total += np.where(there, values * np.nan_to_num(importance), 0)
        weight += np.where(there, np.nan_to_num(importance), 0)
    inner = (weight > 0) & np.isfinite(found)
    assert inner.mean() > 0.95
    flux = float(found[inner].sum(dtype=float))
    assert flux == pytest.approx(float((total[inner] / weight[inner]).sum()), rel=1e-4)


@pytest.mark.parametrize("algorithm", ["coadd", "nearest", "median"])
@pytest.mark.parametrize("method", ["interp", "adaptive", "exact"])
def test_mosaics_fill_what_one_image_has_not(
    image_server: Server, images: ImageLake, algorithm: str, method: str
) -> None:
    ra, dec = place(images, "tile2_g", 512, 1023)
    alone = cut(image_server, ra=ra, dec=dec, size="160px", bands="g")
    answer = cut(image_server, ra=ra, dec=dec, size="160px", bands="g", algorithm=algorithm, method=method)
    with opened(answer) as hdus:
        assert hdus[0].header["COMBINE"] == algorithm
        assert hdus[0].header["METHOD"] == f"reproject_{method}"
        covered = float(np.isfinite(hdus[0].data).mean())
    assert float(alone.headers["X-Sodalake-Covered"]) < 0.9
    assert covered > 0.95
    assert float(answer.headers["X-Sodalake-Covered"]) == pytest.approx(covered, abs=1e-3)


def test_a_mosaic_on_the_pixels_of_an_image_keeps_them(image_server: Server, images: ImageLake) -> None:
    ra, dec = place(images, "tile2_g", 512, 512)
    with (
        opened(
            cut(image_server, ra=ra, dec=dec, size="50px", bands="g", algorithm="nearest", grid="image")
        ) as one,
        opened(cut(image_server, ra=ra, dec=dec, size="50px", bands="g")) as other,
    ):
        np.testing.assert_allclose(one[0].data, other[0].data, rtol=1e-6)


def test_backgrounds_are_matched(image_server: Server) -> None:
    def spread(**given: object) -> float:
        answer = image_server.ask(
            PATH,
            {
                "survey": "exposures",
                "ra": 40,
                "dec": -10,
                "size": "60px",
                "bands": "g",
                "algorithm": "coadd",
                **given,
            },
        )
        with opened(answer) as hdus:
            assert hdus[0].header["MATCHED"] is ("match" in given)
            return float(np.nanmean(hdus[0].data))

    assert spread() == pytest.approx(15, abs=0.2)
    matched = spread(match="true")
    assert min(abs(matched - 10), abs(matched - 20)) < 0.2


@pytest.mark.parametrize("algorithm", ["single", "coadd"])
def test_flagged_pixels_may_be_left_out(image_server: Server, images: ImageLake, algorithm: str) -> None:
    ra, dec = place(images, "new r", 10, 10)
    given = {"survey": "exposures", "ra": ra, "dec": dec, "size": "9px", "bands": "r", "algorithm": algorithm}
    holes = []
    for masked in ("false", "true"):
        answer = image_server.ask(PATH, {**given, "masked": masked, "grid": "image"})
        assert answer.headers.get("X-Sodalake-Masked") == {"false": None, "true": "1"}[masked]
        with opened(answer) as hdus:
            assert len(hdus) == 1
            assert hdus[0].header.get("MASKED") is {"false": None, "true": True}[masked]
            holes.append(int(np.isnan(hdus[0].data).sum()))
    assert holes == [1, 9], "one pixel is missing, nine are flagged"


@pytest.mark.parametrize("algorithm", ["single", "coadd"])
def test_images_without_a_mask_are_told(image_server: Server, images: ImageLake, algorithm: str) -> None:
    """The tiles have weights only."""
    ra, dec = edge(images)
    answer = cut(image_server, ra=ra, dec=dec, size="20px", bands="g", algorithm=algorithm, masked="true")
    assert answer.headers["X-Sodalake-Masked"] == "0"
    with opened(answer) as hdus:
        assert hdus[0].header["MASKED"] is False
        assert [hdus[0].header.get(f"MASK{n:03d}") for n in (1, 2)] == [
            None if algorithm == "single" else False
        ] * 2


def test_a_mask_is_padded_as_an_image_is(image_server: Server, images: ImageLake) -> None:
    ra, dec = place(images, "new r", 2, 2)
    answer = image_server.ask(
        PATH, {"survey": "exposures", "ra": ra, "dec": dec, "size": "20px", "bands": "r", "planes": "mask"}
    )
    with opened(answer) as hdus:
        assert hdus["MASK"].data.shape == (20, 20)
        assert hdus["MASK"].data[18, 18] == 5


def test_the_weight_of_a_mosaic(image_server: Server, images: ImageLake) -> None:
    ra, dec = edge(images)
    answer = cut(image_server, ra=ra, dec=dec, size="60px", bands="r", algorithm="coadd", planes="weight")
    with opened(answer) as hdus:
        assert hdus["WEIGHT"].data.shape == (60, 60)
        assert ((hdus["WEIGHT"].data > 0) == np.isfinite(hdus[0].data)).all()


# ---------------------------------------------------------------------- pictures


def picture(answer: Any) -> Any:
    assert answer.status == 200, answer.body[:600]
    with Image.open(io.BytesIO(answer.body)) as made:
        return np.asarray(made.convert("RGBA")), made.format, made.size


@pytest.mark.parametrize("form", ["png", "JPEG", "jpg"])
def test_colour_pictures(image_server: Server, images: ImageLake, form: str) -> None:
    ra, dec = place(images, "tile2_g", 512, 512)
    answer = cut(image_server, ra=ra, dec=dec, size="80px", bands="gri", format=form)
    pixels, name, size = picture(answer)
    assert name == ("PNG" if form == "png" else "JPEG")
    assert size == (80, 80)
    assert np.abs(pixels[..., 0].astype(int) - pixels[..., 2]).max() > 20, "it has colours"
    assert answer.headers["X-Sodalake-Inputs"] == "3"


def test_the_reddest_band_is_red_whatever_the_order(image_server: Server, images: ImageLake) -> None:
    ra, dec = place(images, "tile2_g", 512, 512)
    given = {"ra": ra, "dec": dec, "size": "40px", "format": "png"}
    one = cut(image_server, bands="gri", weights="1,2,3", **given)
    other = cut(image_server, bands="irg", weights="3,2,1", **given)
    assert one.body == other.body
    assert cut(image_server, bands="irg", weights="1,2,3", **given).body != one.body


def test_a_colour_picture_over_an_edge(image_server: Server, images: ImageLake) -> None:
    ra, dec = edge(images)
    answer = cut(
        image_server, ra=ra, dec=dec, size="200px", bands="gri", format="png", algorithm="coadd", marker="true",
        scalebar="true",
    )  # fmt: skip
    pixels, _, size = picture(answer)
    assert size == (200, 200)
    assert (pixels[..., 3] == 255).mean() > 0.99
    assert answer.headers["X-Sodalake-Inputs"] == "6"


def test_a_wide_field_is_one_friendly_picture(image_server: Server, images: ImageLake) -> None:
    answer = cut(
        image_server,
        ra=150.1,
        dec=2.2,
        size="0.3deg,0.2deg",
        bands="gri",
        format="png",
        algorithm="coadd",
        pixels=300,
    )
    _, _, size = picture(answer)
    assert size == (300, 200)
    assert answer.headers["X-Sodalake-Inputs"] == "18"
    one = cut(image_server, ra=150.2, dec=2.146, size="0.1", bands="g", format="jpeg", pixels=200)
    assert picture(one)[2] == (200, 200)


# ---------------------------------------------------------------------- what it costs


def test_an_estimate_says_what_a_cut_takes(image_server: Server, images: ImageLake) -> None:
    ra, dec = place(images, "tile2_g", 512, 512)
    given = {"survey": "skytiles", "ra": ra, "dec": dec, "size": "100px", "bands": "g"}
    found = json.loads(image_server.ask(ESTIMATE, given).body)
    assert found["answered"] is True
    assert found["pixels"] == 10_000
    assert found["side"] == 100
    assert 40_000 <= found["bytes"] <= 100 * 1024 * 4
    assert found["images"] == [{"band": "g", "images": ["tile2_g"]}]
    assert found["covered"] == 1
    assert 0 < found["seconds"] < 10
    assert image_server.ask(ESTIMATE, {**given, "ra": 10}).status == 404


def test_too_much_is_refused_with_what_would_fit(image_server: Server, images: ImageLake) -> None:
    """The limit of this server's pixels is eight million."""
    given = {"ra": 150.1, "dec": 2.2, "size": "2deg", "bands": "gri"}
    answer = cut(image_server, **given)
    assert answer.status == 413
    told = json.loads(answer.body)
    assert told["label"] == "UsageError"
    assert "million pixels (at most 8)" in told["text"]
    assert told["cost"]["pixels"] == 3 * 18000**2
    assert told["limits"]["pixels"] == 8_000_000
    smaller = image_server.ask(told["fits"]["url"].partition(image_server.url)[2])  # type: ignore[attr-defined]
    assert smaller.status == 200
    small = image_server.ask(told["fits"]["picture"]["url"].partition(image_server.url)[2])  # type: ignore[attr-defined]
    assert picture(small)[2] == (1024, 1024)
    assert told["fits"]["job"].endswith("/soda/async")
    large = cut(image_server, **given, format="png")
    assert large.status == 413
    assert json.loads(large.body)["fits"]["picture"]["url"] == told["fits"]["picture"]["url"]
    estimate = json.loads(image_server.ask(ESTIMATE, {"survey": "skytiles", **given}).body)
    assert estimate["answered"] is False
    assert estimate["beyond"]
    assert estimate["fits"]["size"] == told["fits"]["size"]


# ---------------------------------------------------------------------- what is wrong


@pytest.mark.parametrize(
    ("given", "status", "words"),
    [
        ({"size": "0"}, 400, ["size", "above 0"]),
        ({"size": "-1"}, 400, ["size", "above 0"]),
        ({"size": "nan"}, 400, ["no size"]),
        ({"size": "inf"}, 400, ["no size"]),
        ({"size": "1e9"}, 400, ["half of the sky"]),
        ({"size": "1e9px"}, 400, ["larger than any image"]),
        ({"size": "1e999"}, 400, ["no size"]),
        ({"size": "5 parsec"}, 400, ["no size", "3arcmin"]),
        ({"size": "1,2,3"}, 400, ["3 sides"]),
        ({"size": "1.5px"}, 400, ["number of pixels"]),
        ({"size": "1px,1arcmin"}, 400, ["different units"]),
        ({"size": "1", "width": "1"}, 400, ["same thing"]),
        ({"size": ""}, 400, ["SIZE is required"]),
        ({"ra": ""}, 400, ["RA is required"]),
        ({"ra": "nan"}, 400, ["RA='nan'"]),
        ({"ra": "10:00:00"}, 400, ["RA=", "degrees"]),
        ({"ra": "inf"}, 400, ["RA="]),
        ({"dec": "91"}, 400, ["DEC='91'", "-90 to 90"]),
        ({"dec": "١"}, 400, ["DEC="]),
        ({"bands": "q"}, 400, ["no band 'q'", "g, r, i"]),
        ({"bands": "gq"}, 400, ["no band 'gq'"]),
        ({"bands": "gr", "format": "png"}, 400, ["one band", "two"]),
        ({"survey": "nowhere"}, 404, ["nowhere", "skytiles"]),
        ({"survey": ""}, 400, ["survey is required", "exposures"]),
        ({"collection": "nix"}, 404, ["no collection", "skytiles"]),
        ({"format": "tiff"}, 400, ["tiff", "JPEG"]),
        ({"algorithm": "sum"}, 400, ["sum", "coadd"]),
        ({"method": "drizzle"}, 400, ["adaptive"]),
        ({"match": "maybe"}, 400, ["true nor false"]),
        ({"grid": "south"}, 400, ["north"]),
        ({"planes": "weights"}, 400, ["weight"]),
        ({"planes": "weight", "format": "png"}, 400, ["FITS"]),
        ({"pixels": "0", "format": "png"}, 400, ["PIXELS"]),
        ({"pixels": "100", "scale": "1", "format": "png"}, 400, ["same thing"]),
        ({"pixels": "9999", "format": "png"}, 400, ["4096"]),
        ({"scale": "2"}, 400, ["Only pictures"]),
        ({"scale": "1e-300"}, 400, ["SCALE=1e-300", "less than 1e-05"]),
        ({"scale": "1e-308", "format": "png"}, 400, ["SCALE=1e-308", "less than 1e-05"]),
        ({"format": "png", "colour": "hsv", "bands": "gri"}, 400, ["hsv", "lupton"]),
        ({"format": "png", "weights": "1,x,2", "bands": "gri"}, 400, ["no numbers"]),
        ({"format": "png", "weights": "1,2", "bands": "gri"}, 400, ["2 weights for 3 bands"]),
        ({"format": "png", "stretch": "wild", "bands": "g"}, 400, ["wild"]),
        ({"time": "tomorrow"}, 400, ["no interval"]),
        ({"ra": "10"}, 404, ["no image at RA 10", "within 4 degrees"]),
        ({"ra": "150.9"}, 404, ["nearest image", "away", "/moc/"]),
    ],
)
def test_what_cannot_be_asked_is_told(
    image_server: Server, given: dict[str, str], status: int, words: list[str]
) -> None:
    answer = cut(image_server, **{"ra": 150.1, "dec": 2.2, "size": "20px", **given})
    assert answer.status == status, answer.body[:400]
    told = json.loads(answer.body)
    for word in words:
        assert word in told["text"] + told["advice"], told
    assert told["advice"]


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'{"ra": [1]}', b'{"ra": 1, "RA": 2}', b'{"ra": NaN, "dec": 1, "size": 1}', b"\xff"]
)
def test_bodies_that_are_none(image_server: Server, body: bytes) -> None:
    answer = image_server.ask(PATH, method="POST", headers={"Content-Type": "application/json"}, body=body)
    assert answer.status == 400
    assert json.loads(answer.body)["advice"]


def test_a_value_that_comes_twice(image_server: Server) -> None:
    answer = image_server.ask(PATH, [("survey", "skytiles"), ("ra", 1), ("ra", 2), ("dec", 1), ("size", 1)])
    assert answer.status == 400
    assert json.loads(answer.body)["label"] == "MultiValuedParamNotSupported"


def test_without_parameters_they_are_described(image_server: Server) -> None:
    found = json.loads(image_server.ask(PATH).body)
    assert found["surveys"]["skytiles"]["bands"] == ["g", "r", "i"]
    assert {"ra", "dec", "size", "bands", "algorithm", "match"} <= {one["name"] for one in found["args"]}


def test_a_file_that_is_gone(image_server: Server) -> None:
    answer = image_server.ask(PATH, {"survey": "exposures", "ra": 80, "dec": 60, "size": "10px"})
    assert answer.status == 410
    assert "gone_g.fits" in json.loads(answer.body)["text"]
