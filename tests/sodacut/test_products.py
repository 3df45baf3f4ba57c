"""What travels to a worker, and what comes back."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import subprocess
import sys
import zlib
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from astropy.io import fits
from PIL import Image

from sodalake.lake.alerts import AlertStamps
from sodalake.lake.errors import Damaged, NotInLake
from sodalake.lake.survey import Survey
from sodalake.sodacut import (
    ArrowStamps,
    BadPicture,
    FitsStamp,
    JsonArrays,
    NoCoordinates,
    NoOverlap,
    Picture,
    parse_circle,
    read_image,
)

KINDS = ("science", "template", "difference")
Maker = Callable[..., bytes]
Opener = Callable[[bytes], fits.HDUList]


@pytest.fixture(scope="module")
def ztf_alert(ztf_stamp: Maker) -> AlertStamps:
    stamps = {"science": ztf_stamp(), "template": ztf_stamp(58, 63, 2), "difference": ztf_stamp(seed=3)}
    return AlertStamps("ztf", "1786104593715015000", "ZTF18abadigg", 2459541.6045949, "f.parquet", stamps)


@pytest.fixture(scope="module")
def rubin_alert(rubin_stamp: Maker) -> AlertStamps:
    stamps = {kind: rubin_stamp(psf=psf, seed=psf) for kind, psf in zip(KINDS, (41, 55, 51), strict=True)}
    return AlertStamps("lsst", "170112044704464914", "313875416793743402", 61109.1, "g.parquet", stamps)


def _without(alert: AlertStamps, *kinds: str) -> AlertStamps:
    stamps = {kind: None if kind in kinds else stamp for kind, stamp in alert.stamps.items()}
    return AlertStamps(alert.survey, alert.alert_id, alert.object_id, alert.time, alert.file, stamps)


CIRCLE = parse_circle("149.8 3.25 0.0004")
PRODUCTS = [
    FitsStamp("science"), FitsStamp(None), FitsStamp("science", CIRCLE, True), Picture("science"), Picture(None),
    Picture("science", "asinh", 1, 99, "viridis", 4, "gauss", CIRCLE), JsonArrays(KINDS), ArrowStamps(KINDS),
    JsonArrays(("science",), "list", CIRCLE), ArrowStamps(KINDS, fits=True, region=CIRCLE),
]  # fmt: skip


@pytest.mark.parametrize("product", PRODUCTS, ids=repr)
def test_products_travel_and_do_the_same_there(
    product: Callable[..., object], rubin_alert: AlertStamps, lsst: Survey
) -> None:
    there = pickle.loads(pickle.dumps(product))
    assert there == product
    assert there([rubin_alert], lsst) == product([rubin_alert], lsst)
    assert pickle.loads(pickle.dumps(product([rubin_alert], lsst))) == product([rubin_alert], lsst)


def test_the_stored_fits_goes_out_unchanged(
    ztf_alert: AlertStamps, rubin_alert: AlertStamps, ztf: Survey, lsst: Survey
) -> None:
    stored = ztf_alert.stamps["science"]
    assert stored is not None
    plain = FitsStamp("science")([ztf_alert], ztf)
    assert (plain.body, plain.content_type, plain.content_encoding) == (
        zlib.decompress(stored, 31),
        "application/fits",
        None,
    )
    assert plain.filename == "ZTF18abadigg_Science.fits"
    packed = FitsStamp("science", accept_gzip=True)([ztf_alert], ztf)
    assert (packed.body, packed.content_encoding) == (stored, "gzip")
    for accept in (True, False):
        rubin = FitsStamp("template", accept_gzip=accept)([rubin_alert], lsst)
        assert (rubin.body, rubin.content_encoding) == (rubin_alert.stamps["template"], None)


def test_every_real_stamp_goes_out_unchanged(
    ztf_alerts: list[AlertStamps], lsst_alerts: list[AlertStamps], ztf: Survey, lsst: Survey
) -> None:
    for alerts, survey in ((ztf_alerts, ztf), (lsst_alerts, lsst)):
        for alert in alerts:
            for kind, stored in alert.stamps.items():
                assert stored is not None
                original = gzip.decompress(stored) if survey is ztf else stored
                assert FitsStamp(kind)([alert], survey).body == original
                packed = FitsStamp(kind, accept_gzip=True)([alert], survey)
                assert packed.body == stored
                assert packed.content_encoding == ("gzip" if survey is ztf else None)


def test_gzip_that_is_not_one_sound_member_is_not_passed_on(ztf_alert: AlertStamps, ztf: Survey) -> None:
    stored = ztf_alert.stamps["science"]
    assert stored is not None
    odd = AlertStamps("ztf", "1", "o", 1.0, "f", {"science": stored + b"rubbish"})
    product = FitsStamp("science", accept_gzip=True)([odd], ztf)
    assert (product.body, product.content_encoding) == (zlib.decompress(stored, 31), None)


def test_ztf_as_one_file(ztf_alert: AlertStamps, ztf: Survey, opened: Opener) -> None:
    product = FitsStamp(None)([ztf_alert], ztf)
    assert product.filename == "ZTF18abadigg_1786104593715015000.fits"
    hdus = opened(product.body)
    assert [hdu.name for hdu in hdus] == ["PRIMARY", "SCIENCE", "TEMPLATE", "DIFFERENCE"]
    assert hdus[0].header["ALERTID"] == "1786104593715015000"
    assert (hdus[0].header["SURVEY"], hdus[0].header["OBJECTID"]) == ("ztf", "ZTF18abadigg")
    assert "ABSENT" not in hdus[0].header
    for kind in KINDS:
        stored = ztf_alert.stamps[kind]
        assert stored is not None
        hdu = hdus[kind.upper()]
        np.testing.assert_array_equal(hdu.data, read_image(stored))
        assert hdu.header["BUNIT"] == "DN"
        assert (hdu.header["KIND"], hdu.header["ALERTID"]) == (kind.upper(), "1786104593715015000")
        assert hdu.header["ALERTTIM"] == 2459541.6045949


def test_rubin_as_one_file(rubin_alert: AlertStamps, lsst: Survey, opened: Opener) -> None:
    hdus = opened(FitsStamp(None)([rubin_alert], lsst).body)
    names = [
        f"{kind}{role}"
        for kind in ("SCIENCE", "TEMPLATE", "DIFFERENCE")
        for role in ("", "_VARIANCE", "_PSF")
    ]
    assert [hdu.name for hdu in hdus] == ["PRIMARY", *names]
    for kind in KINDS:
        stored = rubin_alert.stamps[kind]
        assert stored is not None
        for role, original in zip(("", "_VARIANCE", "_PSF"), opened(stored), strict=True):
            hdu = hdus[kind.upper() + role]
            np.testing.assert_array_equal(hdu.data, original.data)
            for card in original.header.cards:
                if card.keyword not in ("SIMPLE", "XTENSION", "EXTEND", "EXTNAME"):
                    assert hdu.header[card.keyword] == card.value


def test_a_missing_stamp_is_left_out_and_told(rubin_alert: AlertStamps, lsst: Survey, opened: Opener) -> None:
    hdus = opened(FitsStamp(None)([_without(rubin_alert, "template", "difference")], lsst).body)
    assert [hdu.name for hdu in hdus] == ["PRIMARY", "SCIENCE", "SCIENCE_VARIANCE", "SCIENCE_PSF"]
    assert hdus[0].header["ABSENT"] == "TEMPLATE,DIFFERENCE"


def test_a_stamp_that_is_not_there_is_not_in_the_lake(rubin_alert: AlertStamps, lsst: Survey) -> None:
    alert = _without(rubin_alert, "template")
    for product in (FitsStamp("template"), Picture("template"), JsonArrays(("template",))):
        with pytest.raises(NotInLake, match="Alert 170112044704464914 of survey lsst has no template stamp"):
            product([alert], lsst)
    for product in (FitsStamp(None), Picture(None), JsonArrays(KINDS)):
        with pytest.raises(NotInLake, match="has no science or template or difference stamp"):
            product([_without(rubin_alert, *KINDS)], lsst)
        with pytest.raises(NotInLake):
            product([], lsst)
    with pytest.raises(NotInLake, match="It has science and difference"):
        FitsStamp("template")([alert], lsst)


@pytest.mark.parametrize(
    "product",
    [FitsStamp("science"), FitsStamp(None), Picture("science"), Picture(None), JsonArrays(KINDS)],
    ids=repr,
)
@pytest.mark.parametrize("broken", [b"", b"not FITS at all", "cut"])
def test_a_damaged_stamp_is_named(
    product: Callable[..., object], broken: bytes | str, ztf_alert: AlertStamps, ztf: Survey
) -> None:
    stored = ztf_alert.stamps["science"]
    assert stored is not None
    damaged = stored[:-50] if isinstance(broken, str) else broken
    alert = AlertStamps("ztf", "77", "o", 1.0, "night.parquet", {**ztf_alert.stamps, "science": damaged})
    with pytest.raises(Damaged, match=r"The science stamp of alert 77 cannot be read: .*night\.parquet"):
        product([alert], ztf)


def test_regions_cut_every_product(rubin_alert: AlertStamps, lsst: Survey, opened: Opener) -> None:
    single = opened(FitsStamp("science", CIRCLE)([rubin_alert], lsst).body)
    shape = single[0].data.shape
    assert shape == (15, 16)
    several = opened(FitsStamp(None, CIRCLE)([rubin_alert], lsst).body)
    assert several["SCIENCE"].data.shape == several["DIFFERENCE_VARIANCE"].data.shape == shape
    assert several["TEMPLATE_PSF"].data.shape == (55, 55)
    picture = Picture("science", region=CIRCLE, scale=3)([rubin_alert], lsst)
    assert Image.open(io.BytesIO(picture.body)).size == (48, 45)
    arrays = json.loads(JsonArrays(("science",), "list", CIRCLE)([rubin_alert], lsst).body)
    np.testing.assert_array_equal(np.array(arrays[0]), single[0].data)
    table = pa.ipc.open_stream(ArrowStamps(("science",), True, CIRCLE)([rubin_alert], lsst).body).read_all()
    np.testing.assert_array_equal(table["pixels"][0].values.to_numpy(), single[0].data.ravel())
    assert table["fits"][0].as_py() == FitsStamp("science", CIRCLE)([rubin_alert], lsst).body


@pytest.mark.parametrize(
    "product",
    [
        FitsStamp("science", CIRCLE),
        FitsStamp(None, CIRCLE),
        Picture("science", region=CIRCLE),
        JsonArrays(KINDS, region=CIRCLE),
        ArrowStamps(KINDS, region=CIRCLE),
    ],
    ids=repr,
)
def test_regions_need_coordinates(
    product: Callable[..., object], ztf_alert: AlertStamps, ztf: Survey
) -> None:
    with pytest.raises(NoCoordinates, match="no sky coordinates"):
        product([ztf_alert], ztf)


def test_a_region_beside_the_stamp(rubin_alert: AlertStamps, lsst: Survey) -> None:
    for kind in ("science", None):
        with pytest.raises(NoOverlap):
            FitsStamp(kind, parse_circle("10 10 1"))([rubin_alert], lsst)


def test_pictures(ztf_alert: AlertStamps, ztf: Survey) -> None:
    product = Picture("template", "asinh", scale=2)([ztf_alert], ztf)
    assert (product.content_type, product.filename) == ("image/png", "ZTF18abadigg_Template.png")
    assert Image.open(io.BytesIO(product.body)).size == (126, 116)
    triplet = Picture(None)([_without(ztf_alert, "difference")], ztf)
    assert Image.open(io.BytesIO(triplet.body)).size == (63 * 3 + 8, 63)
    with pytest.raises(BadPicture, match="no stretch"):
        Picture("science", "cubic")
    with pytest.raises(BadPicture, match="viridis"):
        Picture("science", colormap="virids")([ztf_alert], ztf)


def test_json_in_both_layouts(ztf_alert: AlertStamps, ztf: Survey) -> None:
    named = JsonArrays(KINDS)([ztf_alert], ztf)
    assert named.content_type == "application/json"
    answer = json.loads(named.body)
    assert list(answer) == [
        "b:cutoutScience_stampData",
        "b:cutoutTemplate_stampData",
        "b:cutoutDifference_stampData",
    ]
    stored = ztf_alert.stamps["template"]
    assert stored is not None
    back = np.array(answer["b:cutoutTemplate_stampData"], dtype=float)
    np.testing.assert_array_equal(back, read_image(stored))
    plain = json.loads(JsonArrays(KINDS, "list")([ztf_alert], ztf).body)
    assert plain == list(answer.values())
    partly = json.loads(JsonArrays(KINDS)([_without(ztf_alert, "template")], ztf).body)
    assert partly["b:cutoutTemplate_stampData"] is None


def test_warming_up_imports_what_first_requests_would_wait_for() -> None:
    code = (
        "import sys, sodalake.sodacut as room\n"
        "slow = ['astropy.wcs', 'astropy.convolution', 'matplotlib']\n"
        "assert not any(name in sys.modules for name in slow)\n"
        "room.warm_up()\n"
        "assert all(name in sys.modules for name in slow)\n"
        "assert 'tornado' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_file_names_are_safe(ztf_alert: AlertStamps, ztf: Survey) -> None:
    stored = ztf_alert.stamps["science"]
    alert = AlertStamps("ztf", 'a"/..\\b\r\n', "../é x", 1.0, "f", {"science": stored})
    name = FitsStamp(None)([alert], ztf).filename
    assert name == "..-x_a-..-b-.fits"
