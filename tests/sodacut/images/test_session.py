"""Requests answered in one process: which images are chosen, how they are read, and what is refused."""

from __future__ import annotations

import io
import json
import tracemalloc
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from image_files import write_survey, write_tile
from image_lake import ImageLake, exposure, image_lake

from sodalake.lake.errors import LakeError, NotInLake
from sodalake.lake.images.finding import ImageFinder
from sodalake.lake.images.ingesting import ingest_images
from sodalake.lake.lake import Lake
from sodalake.sodacut import NoOverlap, parse_circle
from sodalake.sodacut.coordinates import Box
from sodalake.sodacut.images.asking import Order, begin_estimate, begin_image
from sodalake.sodacut.images.binning import binned, binned_box, source_of, step
from sodalake.sodacut.images.choosing import chosen
from sodalake.sodacut.images.colour import Colours
from sodalake.sodacut.images.costs import Rates, TooExpensive
from sodalake.sodacut.images.frames import frame_of
from sodalake.sodacut.images.preparing import prepared
from sodalake.sodacut.images.products import listed
from sodalake.sodacut.images.requests import AtPosition, ByImage, Limits, Output, Size
from sodalake.sodacut.images.session import ImageSession


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> ImageLake:
    return image_lake(tmp_path_factory.mktemp("session"))


@pytest.fixture(scope="module")
def session(made: ImageLake) -> ImageSession:
    return ImageSession(Lake.open(made.lake))


def at(ra: float = 150.1, dec: float = 2.2, size: Size = Size(100, 100, "px"), **more: Any) -> AtPosition:  # noqa: B008
    return AtPosition("skytiles", ra, dec, size, **more)


def test_many_are_found_at_once(session: ImageSession) -> None:
    """What bulk work does in steps is what one answer is."""
    requests = [
        at(bands=("g",)),
        at(150.2, 2.15, bands=("r",)),
        at(10.0, 0.0),
        ByImage("skytiles", "tile1_g", parse_circle("150.2 2.15 0.002")),
        ByImage("skytiles", "nothing"),
    ]
    survey = session.lake.image_survey("skytiles")
    found = session.candidates(requests)
    assert isinstance(found[4], NotInLake)
    assert not isinstance(found[2], LakeError)
    with pytest.raises(NotInLake):
        chosen(requests[2], survey, found[2])
    for number in (0, 1, 3):
        candidates = found[number]
        assert not isinstance(candidates, LakeError)
        choice = chosen(requests[number], survey, candidates)
        again = prepared(survey, chosen(requests[number], survey, choice.images))
        product = again.finish(session.files.read(again.wanted))
        assert product == session.answer(requests[number])
        assert product.covered == pytest.approx(0.76 if number == 0 else 1)
        assert [name for name, _ in product.inputs] == [image.image_id for image in choice.images]


def test_the_best_has_most_of_the_box_then_is_newest(session: ImageSession) -> None:
    request = AtPosition("exposures", 40.0, -10.0, Size(40, 40, "px"), ("g",))
    assert [image.image_id for image in session.found(request).images] == ["new g"]
    of_tiles = session.found(at(150.1, 2.2, bands=("g",)))
    survey = session.lake.image_survey("skytiles")
    all_of_them = session.candidates([at(bands=("g",))])[0]
    assert not isinstance(all_of_them, LakeError)
    best = max(chosen(at(bands=("g",)), survey, [image]).layers[0].placed[0].covered for image in all_of_them)
    assert of_tiles.layers[0].placed[0].covered == pytest.approx(best, abs=1e-3)


def test_a_size_in_pixels_reaches_as_far_as_the_images_pixels(session: ImageSession) -> None:
    several = session.found(at(size=Size(1200, 1200, "px"), bands=("g",), algorithm="coadd"))
    assert len(several.images) == 6


def test_a_size_in_pixels_reaches_coarse_images_too(
    tmp_path: Path, session: ImageSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """5 pixels outside of pixels of 10 arcseconds; beside them fine ones, and what an older sodalake did not note."""
    write_tile(tmp_path / "tiles/coarse_r.fits", 10.0, 0.0, scale=10.0)
    write_tile(tmp_path / "tiles/fine_r.fits", 50.0, 0.0, scale=0.25)
    survey_file = write_survey(tmp_path / "tiles.toml")
    report = ingest_images(str(tmp_path / "lake"), str(survey_file), [str(tmp_path / "tiles")], workers=1)
    assert not report.failed
    mixed = ImageSession(Lake.open(str(tmp_path / "lake")))
    outside = AtPosition("tiles", 10.0 + 45 * 10 / 3600, 0.0, Size(20, 20, "px"))
    for request in (outside, replace(outside, algorithm="coadd")):
        assert [image.image_id for image in mixed.found(request).images] == ["coarse_r"]
    of_fine = AtPosition("tiles", 50.0 + 45 * 0.25 / 3600, 0.0, Size(20, 20, "px"))
    beyond = replace(outside, ra=10.0 + 60 * 10 / 3600)
    assert mixed.candidates([outside, of_fine, beyond]) == [
        [mixed.finder.by_id(mixed.lake.image_survey("tiles"), name)] if name else []
        for name in ("coarse_r", "fine_r", None)
    ]
    # Pixels of 10 arcseconds are looked for far away only at the order of the images that have them.
    assert mixed.found(replace(of_fine, algorithm="coadd")).images[0].image_id == "fine_r"
    looks: list[object] = []
    look = ImageFinder.outlines_near_many

    def counted(*given: Any, **more: Any) -> Any:
        looks.append(given)
        return look(*given, **more)

    monkeypatch.setattr(ImageFinder, "outlines_near_many", counted)
    session.found(at(bands=("g",)))
    session.found(at(bands=("g",), algorithm="coadd"))
    assert len(looks) == 2  # of fine pixels one look is enough
    view = mixed.lake.catalogue("tiles").view(fresh=True)
    for number, one in view.records.items():
        view.records[number] = replace(one, scales=())
    assert set(ImageFinder(mixed.lake).scales(mixed.lake.image_survey("tiles")).values()) == {1.0}
    mixed.lake.close()


@pytest.mark.parametrize("factor", [2, 3, 8, 13])
@pytest.mark.parametrize("image_id", ["tile1_g", "tile1_r"])
def test_a_smaller_image_is_where_the_image_is(session: ImageSession, image_id: str, factor: int) -> None:
    image = session.finder.by_id(session.lake.image_survey("skytiles"), image_id)
    small = binned(image, factor)
    assert small.shape == (-(-1024 // factor),) * 2
    x, y = np.array([0.0, 10.0, 70.0]), np.array([5.0, 20.0, 3.0])
    sky = frame_of(small).to_sky(x, y)
    there = frame_of(image).to_pixels(sky)
    np.testing.assert_allclose(there, ((x + 0.5) * factor - 0.5, (y + 0.5) * factor - 0.5), atol=1e-7)


def test_a_smaller_image_with_distortions_is_where_the_image_is(session: ImageSession) -> None:
    """SIP's polynomials are of pixels, and follow; TPV's are of degrees, and stay."""
    image = session.finder.by_id(session.lake.image_survey("exposures"), "new g")
    header = fits.Header.fromstring(image.header.decode())
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN-SIP", "DEC--TAN-SIP"
    header.update({"A_ORDER": 2, "B_ORDER": 2, "A_2_0": 3e-6, "A_1_1": -2e-6, "B_0_2": 1e-6})
    sip = replace(image, header=header.tostring(endcard=False, padding=False).encode())
    header["CTYPE1"], header["CTYPE2"] = "RA---TPV", "DEC--TPV"
    for keyword in ("A_ORDER", "B_ORDER", "A_2_0", "A_1_1", "B_0_2"):
        del header[keyword]
    header.update({"PV1_1": 1.001, "PV2_1": 0.999, "PV1_4": 0.002, "PV2_4": 0.001})
    tpv = replace(image, header=header.tostring(endcard=False, padding=False).encode())
    for one in (sip, tpv):
        small = binned(one, 4)
        x, y = np.array([0.0, 50.0, 99.0]), np.array([70.0, 20.0, 3.0])
        there = frame_of(one).to_pixels(frame_of(small).to_sky(x, y))
        np.testing.assert_allclose(there, ((x + 0.5) * 4 - 0.5, (y + 0.5) * 4 - 0.5), atol=1e-5)


_PV = {
    "CTYPE1": "RA---TPV",
    "CTYPE2": "DEC--TPV",
    "PV1_1": 1.001,
    "PV1_4": 1.0,
    "PV2_1": 0.999,
    "PV2_4": -0.7,
}
_OF_PIXELS = {"PV1_4": 1e-4, "PV2_4": -7e-5}  # where all of the scale is in CDELT
_SIP = {
    "CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "A_ORDER": 3, "B_ORDER": 3, "A_2_0": 3e-6, "A_1_1": -2e-6,
    "B_0_2": 4e-6, "B_2_1": 1e-8,
}  # fmt: skip
_CD = {"CD1_1": -6e-4, "CD1_2": 1e-5, "CD2_1": 2e-5, "CD2_2": 6e-4}
_PC = {keyword.replace("CD", "PC"): value for keyword, value in _CD.items()}
_FINE = {keyword: value / 4 for keyword, value in _CD.items()}


@pytest.mark.parametrize(
    "cards",
    [
        pytest.param({**_PV, **_CD}, id="TPV by CD"),
        pytest.param({**_PV, **_PC, "CDELT1": 1.0, "CDELT2": 1.0}, id="TPV by PC"),
        pytest.param({**_PV, **_OF_PIXELS, "PC1_2": 0.1, "CDELT1": -6e-4, "CDELT2": 5e-4}, id="TPV by a part of PC"),
        pytest.param({**_PV, **_OF_PIXELS, "CDELT1": -6e-4, "CDELT2": 5e-4}, id="TPV by CDELT"),
        pytest.param({**_PV, **_OF_PIXELS, "CDELT1": -6e-4, "CDELT2": 5e-4, "CROTA2": 20.0}, id="TPV by CROTA2"),
        pytest.param({**_SIP, **_FINE}, id="SIP by CD"),
        pytest.param({**_SIP, "CDELT1": -1e-4, "CDELT2": 2e-4, "CROTA2": -35.0}, id="SIP by CROTA2"),
        pytest.param({"CDELT1": -1e-4, "CDELT2": 2e-4}, id="CDELT"),
        pytest.param({"CDELT1": -1e-4, "CDELT2": 2e-4, "CROTA1": 0.0, "CROTA2": 110.0}, id="CROTA2"),
        pytest.param({**_FINE, "CDELT1": 1.0, "CDELT2": 1.0}, id="CD beside CDELT"),
    ],
)  # fmt: skip
def test_a_smaller_image_is_where_the_image_is_however_it_is_written(
    session: ImageSession, cards: dict[str, Any]
) -> None:
    """Held against astropy's own reading of both headers."""
    image = session.finder.by_id(session.lake.image_survey("exposures"), "new g")
    header = fits.Header.fromstring(image.header.decode())
    for keyword in _CD:
        del header[keyword]
    header.update(cards)
    one = replace(image, header=header.tostring(endcard=False, padding=False).encode())
    for factor in (3, 8):
        small = binned(one, factor)
        x, y = (
            axis.ravel()
            for axis in np.meshgrid(np.linspace(0, 399 / factor, 5), np.linspace(0, 299 / factor, 5))
        )
        sky = WCS(fits.Header.fromstring(small.header.decode()), fix=False).all_pix2world(x, y, 0)
        there = WCS(header, fix=False).all_world2pix(*sky, 0, tolerance=1e-9)
        np.testing.assert_allclose(
            there, ((x + 0.5) * factor - 0.5, (y + 0.5) * factor - 0.5), rtol=0, atol=1e-6
        )


@pytest.mark.parametrize(
    "cards",
    [
        pytest.param({"CRPIX1B": 7.0, "CRPIX2B": -3.5, "CDELT1B": 0.25, "CDELT2B": 0.5}, id="CDELT"),
        pytest.param({"CRPIX1B": 7.0, "CRPIX2B": -3.5, "CD1_1B": 2.0, "CD2_2B": -2.0}, id="CD"),
        pytest.param({"CRPIX1B": 7.0, "CRPIX2B": -3.5, "PC1_2B": 0.1}, id="PC"),
        pytest.param({"CRVAL1B": 100.0, "CRVAL2B": 50.0}, id="what there is not"),
    ],
)
def test_other_coordinates_of_a_smaller_image_are_theirs(
    session: ImageSession, cards: dict[str, float]
) -> None:
    image = session.finder.by_id(session.lake.image_survey("exposures"), "new g")
    header = fits.Header.fromstring(image.header.decode())
    header.update({"WCSNAMEB": "DETECTOR", "CTYPE1B": "DETX", "CTYPE2B": "DETY", **cards})
    small = binned(replace(image, header=header.tostring(endcard=False, padding=False).encode()), 4)
    x, y = np.array([0.0, 30.5, 99.0]), np.array([70.0, 20.25, 3.0])
    found = WCS(fits.Header.fromstring(small.header.decode()), key="B", fix=False).all_pix2world(x, y, 0)
    expected = WCS(header, key="B", fix=False).all_pix2world((x + 0.5) * 4 - 0.5, (y + 0.5) * 4 - 0.5, 0)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def test_where_the_pixels_of_a_smaller_image_come_from(session: ImageSession) -> None:
    image = session.finder.by_id(session.lake.image_survey("skytiles"), "tile1_g")
    assert image.overview is not None
    whole = binned_box(Box(0, 1024, 0, 1024), 16)
    of_overview = source_of(image, image.pixels, whole, 16)
    assert (of_overview.plane, of_overview.factor, of_overview.shape) == (image.overview, 2, (128, 128))
    of_pixels = source_of(image, image.pixels, binned_box(Box(0, 1024, 0, 1024), 12), 12)
    assert (of_pixels.plane, of_pixels.factor, of_pixels.box) == (image.pixels, 12, Box(0, 1024, 0, 1024))
    assert step(0.4, image, exact=False) == 3
    assert step(0.5, image, exact=False) == 2
    assert step(1 / 13, image, exact=True) == 8  # and the picture is resampled from there
    assert step(1 / 13, image, exact=False) == 16
    assert step(2.0, image, exact=True) == 1


def test_an_overview_gives_what_the_pixels_give(session: ImageSession) -> None:
    request = ByImage("skytiles", "tile1_r", output=Output(scale=1 / 16))
    survey = session.lake.image_survey("skytiles")
    image = session.finder.by_id(survey, "tile1_r")
    plain = replace(image, overview=None, overview_bin=0)
    found = [
        fits.getdata(io.BytesIO(prepared(survey, chosen(request, survey, [one])).answer(session.files).body))
        for one in (image, plain)
    ]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-4, atol=1e-3)


def test_without_an_overview_memory_is_that_of_the_picture(session: ImageSession) -> None:
    """Row blocks are averaged as they come: of a made plane of 200 megapixels no more than a block is held."""

    class Rows:
        most = 0

        def cost(self, wanted: Sequence[Any]) -> tuple[int, int]:
            return 0, 0

        def read(self, wanted: Sequence[Any]) -> list[Any]:
            self.most = max(self.most, *(one.box.shape[0] * one.box.shape[1] for one in wanted))
            return [
                np.broadcast_to(np.arange(one.box.y0, one.box.y1, dtype=np.float32)[:, None], one.box.shape)
                for one in wanted
            ]

    survey = session.lake.image_survey("skytiles")
    image = session.finder.by_id(survey, "tile1_g")
    wide = replace(image, shape=(20_000, 10_000), overview=None, overview_bin=0)
    request = ByImage("skytiles", "tile1_g", output=Output(scale=0.02))
    ready = prepared(survey, chosen(request, survey, [wide]))
    rows = Rows()
    tracemalloc.start()
    product = ready.answer(rows)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    small = fits.getdata(io.BytesIO(product.body))
    assert small.shape == (400, 200)
    np.testing.assert_allclose(small[:, 0], np.arange(400) * 50 + 24.5, rtol=1e-5)
    assert rows.most <= 8_000_000
    assert peak < 200e6  # all of it would be 800 MB
    assert ready.cost(rows).held < 10_000_000


@pytest.mark.parametrize("kind", ["float32", "float64", "scaled", "int16"])
def test_masks_of_all_types_flag_what_they_flag(tmp_path: Path, kind: str) -> None:
    """0 is good, whatever the numbers; of a square that has a flag the one pixel is flagged."""
    made = masked_lake(tmp_path, kind)
    session = ImageSession(Lake.open(made.lake))
    by_id = ByImage("small", "one r", planes=("mask",), output=Output(scale=0.25))
    with fits.open(io.BytesIO(session.answer(by_id).body)) as hdus:
        assert hdus["MASK"].data.shape == (10, 15)
        good = hdus["MASK"].data == 0
        expected = np.ones((10, 15), bool)
        expected[2, 1] = expected[5, 7] = False
        np.testing.assert_array_equal(good, expected)
    around = AtPosition("small", 40.0, -10.0, Size(60, 40, "px"), masked=True)
    for request, flagged in (
        (around, 2),
        (replace(around, algorithm="coadd", grid="image"), 2),
        (replace(around, output=Output(scale=0.25)), 2),
    ):
        found = fits.getdata(io.BytesIO(session.answer(request).body))
        assert np.isnan(found).sum() == flagged
    assert session.answer(replace(around, output=Output("png", longest=10))).body.startswith(b"\x89PNG")


def masked_lake(root: Path, kind: str) -> ImageLake:
    """One image, two pixels of which are flagged by a mask of numbers of a type."""
    root.joinpath("files").mkdir()
    exposure(root / "files/one_r.fits", ra=40.0, dec=-10.0, mjd=60_000.0, level=10.0, shape=(40, 60))
    with fits.open(root / "files/one_r.fits", mode="update") as hdus:
        hdus[0].data[10, 10] = 10.0
    mask = np.zeros((40, 60), np.int16 if kind == "scaled" else kind)
    mask[9, 6], mask[23, 30] = 4, -4
    hdu = fits.PrimaryHDU(mask)
    if kind == "scaled":
        hdu.scale("int16", bscale=0.5)
    hdu.writeto(root / "files/one_r.mask.fits", overwrite=True)
    return small_lake(root)


def small_lake(root: Path) -> ImageLake:
    """A lake of the exposures in a folder's `files`."""
    survey = root / "small.toml"
    survey.write_text(
        'name = "small"\ntitle = "Small"\ndescription = "Made."\nfacility = "T"\ninstrument = "T"\n'
        "[images]\nfiles = '(?P<name>[a-z0-9]+)_(?P<band>r)\\.fits'\nid = \"{name} {band}\"\noverview = 0\n"
        '[images.planes.mask]\nmeaning = "mask"\nfile = "{name}_{band}.mask.fits"\n'
        '[band]\nname = "{band}"\n[bands]\nr = [5.5e-7, 7.0e-7]\n'
    )
    made = ImageLake(str(root / "lake"))
    report = ingest_images(made.lake, str(survey), [str(root / "files")], workers=1)
    assert not report.failed, report.failed
    return made


def test_integers_stay_what_they_are(tmp_path: Path) -> None:
    """To the last digit and of their type, as astropy reads them and as the files have them."""
    tmp_path.joinpath("files").mkdir()
    whole, dec = {}, iter(range(0, 40, 2))
    for kind in ("u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "tiled"):
        path = tmp_path / f"files/{kind}_r.fits"
        exposure(path, ra=40.0, dec=next(dec), mjd=60_000.0, level=10.0, shape=(40, 60))
        header = fits.getheader(path)
        dtype = np.dtype("u2" if kind == "tiled" else kind)
        about = np.iinfo(dtype)
        random = np.random.default_rng(5)
        pixels = random.integers(about.min, about.max, (40, 60), dtype, endpoint=True)
        header["BLANK"] = pixels[12, 14] = int(about.max // 2)
        if "u" in dtype.str and dtype.itemsize > 1:  # the stored number is another
            header["BLANK"] = int(about.max // 2) - (1 << (8 * dtype.itemsize - 1))
        elif kind == "i1":
            header["BLANK"] = int(about.max // 2) + 128
        if kind == "tiled":
            hdus = [fits.PrimaryHDU(), fits.CompImageHDU(pixels, header, compression_type="RICE_1")]
        else:
            hdus = [fits.PrimaryHDU(pixels, header)]
        fits.HDUList(hdus).writeto(path, overwrite=True)
        whole[kind] = pixels
    session = ImageSession(Lake.open(small_lake(tmp_path).lake))
    for number, (kind, pixels) in enumerate(whole.items()):
        by_id = ByImage("small", f"{kind} r")
        around = AtPosition("small", 40.0, 2.0 * number, Size(30, 20, "px"))
        for request, box in ((by_id, np.s_[:, :]), (around, np.s_[10:30, 15:45])):
            body = session.answer(request).body
            found = fits.getdata(io.BytesIO(body), ignore_blank=True)
            assert found.dtype.newbyteorder("=") == pixels.dtype
            np.testing.assert_array_equal(found, pixels[box])
            assert "BLANK" in fits.getheader(io.BytesIO(body))
        told = json.loads(session.answer(replace(by_id, output=Output("json"))).body)
        assert told[12][14] is None
        told[12][14] = int(pixels[12, 14])
        assert [value for row in told for value in row] == [
            None if value == pixels[12, 14] and (row, column) != (12, 14) else value
            for row, values in enumerate(pixels.tolist())
            for column, value in enumerate(values)
        ]
        for more in (
            replace(around, size=Size(100, 100, "px")),
            replace(around, algorithm="coadd"),
            replace(by_id, output=Output(scale=0.5)),
        ):
            assert fits.getdata(io.BytesIO(session.answer(more).body)).dtype.kind == "f"


def test_a_band_that_is_not_there_is_told(session: ImageSession) -> None:
    request = AtPosition("exposures", 80.0, 60.0, Size(40, 40, "px"), ("g", "r"))
    with pytest.raises(NotInLake, match="no image in r"):
        session.found(request)


def test_what_costs_too_much_is_refused_before_it_is_read(session: ImageSession) -> None:
    reads = session.files.reads
    with pytest.raises(TooExpensive) as raised:
        session.answer(at(size=Size(1.0, 1.0), bands=("g",)), Limits(pixels=1e6))
    assert session.files.reads == reads
    fits_size = str(raised.value.details["fits"]["size"])  # type: ignore[index]
    assert fits_size in raised.value.advice
    degrees = float(fits_size.removesuffix("arcmin")) / 60
    smaller = at(size=Size(degrees, degrees), bands=("g",))
    session.check(session.prepared(smaller), Limits(pixels=1e6), Rates())
    larger = at(size=Size(degrees * 1.1, degrees * 1.1), bands=("g",))
    with pytest.raises(TooExpensive):
        session.check(session.prepared(larger), Limits(pixels=1e6), Rates())


def test_what_takes_long_is_for_others(session: ImageSession) -> None:
    request = at(size=Size(0.1, 0.1), output=Output("png", colours=Colours()))
    stream = begin_image(session.lake, Order(request, quick=0.001), 10)
    assert stream.head.is_elsewhere  # type: ignore[union-attr]
    assert b"".join(stream) == b""
    whole = begin_image(session.lake, Order(request), 10)
    body = b"".join(whole)
    assert len(body) == whole.head.length  # type: ignore[union-attr]
    assert body.startswith(b"\x89PNG")


def test_a_large_answer_comes_in_pieces(session: ImageSession) -> None:
    stream = begin_image(session.lake, Order(ByImage("skytiles", "tile1_g")), 10)
    pieces = list(stream)
    assert len(pieces) == 5
    with fits.open(io.BytesIO(b"".join(pieces))) as hdus:
        assert hdus[0].data.shape == (1024, 1024)


def test_an_estimate_reads_nothing(session: ImageSession) -> None:
    reads = session.files.reads
    found: Any = begin_estimate(session.lake, Order(at(bands=("g",), algorithm="coadd")), 10).head
    assert session.files.reads == reads
    assert found.cost.pixels == 10_000
    assert found.cost.images == len(found.images[0][1]) == 2
    assert found.seconds > 0
    assert found.covered is None


def test_filters_of_an_image_without_times_leave_nothing_out(session: ImageSession) -> None:
    survey = session.lake.image_survey("skytiles")
    image = session.finder.by_id(survey, "tile1_g")
    timeless = replace(image, t_min=None, t_max=None, band=None)
    request = ByImage("skytiles", "tile1_g", band=(1.0, 2.0), time=(1.0, 2.0))
    assert chosen(request, survey, [timeless]).images == (timeless,)
    with pytest.raises(NoOverlap):
        chosen(request, survey, [image])


def test_a_colour_picture_of_images_that_do_not_share_their_pixels(session: ImageSession) -> None:
    """Of exposures each band has its own pixels: all go onto those of the one that has most."""
    request = AtPosition(
        "exposures",
        40.005,
        -10.0,
        Size(50, 50, "px"),
        ("r", "g", "g"),
        output=Output("png", colours=Colours()),
    )
    survey = session.lake.image_survey("exposures")
    candidates = session.candidates([request])[0]
    assert not isinstance(candidates, LakeError)
    choice = chosen(replace(request, bands=("r", "g")), survey, candidates)
    grids = [layer.grid for layer in choice.layers]
    assert sum(grid is None for grid in grids) == 1
    other = next(grid for grid in grids if grid is not None)
    first = next(layer.placed[0] for layer in choice.layers if layer.grid is None)
    sky = WCS(fits.Header.fromstring(first.image.header.decode()), fix=False).pixel_to_world(
        first.wanted.x0, first.wanted.y0
    )
    np.testing.assert_allclose(other.wcs().world_to_pixel(sky), (0, 0), atol=1e-6)


def test_headers_of_http_are_not_longer_than_proxies_let_through() -> None:
    short = listed(["one", "two"])
    assert short == "one, two"
    long = listed([f"image{number}" for number in range(10_000)])
    assert len(long) <= 1510
    assert long.startswith("image0, image1, ")
    assert long.endswith(", ...")
