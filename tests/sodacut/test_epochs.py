"""All epochs of an object: parts made apart that make one whole."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import pickle
import zipfile
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pytest
from astropy.io import fits

from sodalake.lake.alerts import AlertStamps
from sodalake.lake.errors import Damaged
from sodalake.lake.survey import Survey
from sodalake.sodacut import ArrowEpochs, EpochWriter, FitsEpochs, JsonEpochs, ZipEpochs, manifest, read_image
from sodalake.sodacut.products import JSON

KINDS = ("science", "template", "difference")
Maker = Callable[..., bytes]
Opener = Callable[[bytes], fits.HDUList]


@pytest.fixture(scope="module")
def alerts(ztf_stamp: Maker) -> list[AlertStamps]:
    return [
        AlertStamps(
            "ztf", str(1786104593715015000 + number), "ZTF18abadigg", 2459541.6 - number, f"night-{number}.parquet",
            {
                "science": ztf_stamp(63 - number, 63, number),
                "template": None if number == 2 else ztf_stamp(seed=10 + number),
                "difference": ztf_stamp(seed=20 + number),
            },
        )
        for number in range(5)
    ]  # fmt: skip


def _whole(writer: EpochWriter, alerts: Sequence[AlertStamps], survey: Survey, size: int) -> bytes:
    """As a server does it: parts of some alerts each, made by a writer that has travelled."""
    there = pickle.loads(pickle.dumps(writer))
    parts = [there(alerts[start : start + size], survey) for start in range(0, len(alerts), size)]
    return writer.head() + writer.separator.join(parts) + writer.tail()


@pytest.mark.parametrize("size", [1, 2, 5])
def test_json(alerts: list[AlertStamps], ztf: Survey, size: int) -> None:
    writer = JsonEpochs(KINDS)
    assert writer.content_type == JSON
    answer = json.loads(_whole(writer, alerts, ztf, size))
    assert [one["alertId"] for one in answer] == [alert.alert_id for alert in alerts]
    assert [one["time"] for one in answer] == [alert.time for alert in alerts]
    assert answer[0]["objectId"] == "ZTF18abadigg"
    assert answer[0]["file"] == "night-0.parquet"
    assert answer[2]["b:cutoutTemplate_stampData"] is None
    for one, alert in zip(answer, alerts, strict=True):
        stored = alert.stamps["science"]
        assert stored is not None
        np.testing.assert_array_equal(np.array(one["b:cutoutScience_stampData"], float), read_image(stored))


@pytest.mark.parametrize("size", [1, 2, 5])
def test_fits(alerts: list[AlertStamps], ztf: Survey, size: int, opened: Opener) -> None:
    hdus = opened(_whole(FitsEpochs(KINDS), alerts, ztf, size))
    assert [hdu.name for hdu in hdus] == ["PRIMARY", *("SCIENCE", "TEMPLATE", "DIFFERENCE") * 5, "END"]
    assert hdus[0].header["KINDS"] == "SCIENCE,TEMPLATE,DIFFERENCE"
    for number, alert in enumerate(alerts):
        for place, kind in enumerate(KINDS):
            hdu = hdus[1 + 3 * number + place]
            assert hdu.header["ALERTID"] == alert.alert_id
            stored = alert.stamps[kind]
            if stored is None:
                assert hdu.header["ABSENT"] is True
                assert hdu.data is None
            else:
                np.testing.assert_array_equal(hdu.data, read_image(stored))


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize("with_fits", [False, True])
def test_arrow(alerts: list[AlertStamps], ztf: Survey, size: int, with_fits: bool) -> None:
    stream = _whole(ArrowEpochs(KINDS, with_fits), alerts, ztf, size)
    table = pa.ipc.open_stream(stream).read_all()
    table.validate(full=True)
    assert table.num_rows == 15
    assert table["alert_id"].to_pylist() == [alert.alert_id for alert in alerts for _ in KINDS]
    assert table["height"].to_pylist()[:7] == [63, 63, 63, 62, 63, 63, 61]
    assert table["pixels"].null_count == 1
    if with_fits:
        assert table["fits"].to_pylist() == [alert.stamps[kind] for alert in alerts for kind in KINDS]


def test_arrow_that_stops_early_is_an_error(alerts: list[AlertStamps], ztf: Survey) -> None:
    writer = ArrowEpochs(KINDS)
    cut = (writer.head() + writer(alerts, ztf))[:-10]
    with pytest.raises((OSError, pa.ArrowInvalid)):
        pa.ipc.open_stream(cut).read_all()


def test_no_epoch_is_whole_too(ztf: Survey, opened: Opener) -> None:
    assert json.loads(_whole(JsonEpochs(KINDS), [], ztf, 1)) == []
    assert [hdu.name for hdu in opened(_whole(FitsEpochs(KINDS), [], ztf, 1))] == ["PRIMARY", "END"]
    assert pa.ipc.open_stream(_whole(ArrowEpochs(KINDS), [], ztf, 1)).read_all().num_rows == 0


def test_zip(alerts: list[AlertStamps], ztf: Survey, rubin_stamp: Maker) -> None:
    rubin = AlertStamps("lsst", "7", "8", 61000.0, "r.parquet", {"science": rubin_stamp()})
    writer = pickle.loads(pickle.dumps(ZipEpochs(KINDS)))
    parts = [writer(alerts[:2], ztf), writer(alerts[2:], ztf), writer([rubin], ztf)]
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for part in parts:
            for name, data in part.entries:
                archive.writestr(name, data)
        archive.writestr("manifest.csv", manifest(row for part in parts for row in part.rows))
    archive = zipfile.ZipFile(out)
    rows = list(csv.DictReader(io.TextIOWrapper(archive.open("manifest.csv"), "utf-8")))
    assert len(rows) == 18
    assert len(archive.namelist()) == len(set(archive.namelist())) == 14 + 1 + 1
    for row in rows:
        if not row["name"]:
            assert (row["length"], row["sha256"]) == ("0", "")
            continue
        data = archive.read(row["name"])
        assert (len(data), hashlib.sha256(data).hexdigest()) == (int(row["length"]), row["sha256"])
    first = rows[0]
    assert first["name"] == "ZTF18abadigg_1786104593715015000.science.fits.gz"
    assert archive.read(first["name"]) == alerts[0].stamps["science"]
    assert (first["kind"], first["time"], first["file"]) == ("science", "2459541.6", "night-0.parquet")
    assert rows[7]["kind"] == "template"
    assert rows[7]["name"] == ""
    assert rows[15]["name"] == "8_7.science.fits"


@pytest.mark.parametrize(
    "writer", [JsonEpochs(KINDS), FitsEpochs(KINDS), ArrowEpochs(KINDS), ZipEpochs(KINDS)], ids=repr
)
def test_a_damaged_stamp_ends_it(
    writer: Callable[..., object], alerts: list[AlertStamps], ztf: Survey
) -> None:
    stored = alerts[1].stamps["difference"]
    assert stored is not None
    broken = gzip.compress(gzip.decompress(stored)[:9000])
    damaged = AlertStamps("ztf", "5", "o", 1.0, "d.parquet", {**alerts[1].stamps, "difference": broken})
    with pytest.raises(
        Damaged, match=r"The difference stamp of alert 5 cannot be read: HDU 0 says .*d\.parquet"
    ):
        writer([alerts[0], damaged], ztf)
