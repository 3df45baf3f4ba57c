"""JSON that parsers accept and Arrow that holds the very pixels."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp

from sodalake.lake.alerts import AlertStamps
from sodalake.lake.errors import Damaged
from sodalake.sodacut.stampfits import read_image
from sodalake.sodacut.tables import STAMP_SCHEMA, json_array, stamp_batch, stamp_schema

KINDS = ("science", "template", "difference")
Maker = Callable[..., bytes]


def _strict(text: bytes) -> list[list[float | None]]:
    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_json_gives_the_very_pixels_back(dtype: type[np.floating]) -> None:
    @given(hnp.arrays(dtype, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=6)))
    def check(pixels: np.ndarray) -> None:
        rows = _strict(json_array(pixels))
        back = np.array([[np.nan if value is None else value for value in row] for row in rows])
        expected = np.where(np.isfinite(pixels), pixels, np.nan).astype(np.float64)
        np.testing.assert_array_equal(back, expected)
        assert back.shape == pixels.shape

    check()


def _alert(number: int, **stamps: bytes | None) -> AlertStamps:
    return AlertStamps(
        "ztf", str(10**17 + number), f"ZTF{number}", 2459000.5 + number, f"file-{number}.parquet", stamps
    )


def test_a_row_a_stamp_whatever_their_sizes_and_formats(ztf_stamp: Maker, rubin_stamp: Maker) -> None:
    alerts = [
        _alert(1, science=ztf_stamp(), template=ztf_stamp(58, 63, 2), difference=None),
        _alert(2, science=rubin_stamp(), template=ztf_stamp(seed=3) + b"rubbish", difference=None),
        _alert(3, science=rubin_stamp(200, 300), difference=gzip.compress(rubin_stamp(500, 400))),
    ]
    batch = stamp_batch(alerts, KINDS)
    batch.validate(full=True)
    assert batch.schema == STAMP_SCHEMA
    assert batch.num_rows == 9
    assert batch.column("alert_id").to_pylist()[::3] == [
        "100000000000000001",
        "100000000000000002",
        "100000000000000003",
    ]
    assert batch.column("kind").to_pylist() == list(KINDS) * 3
    for row, (alert, kind) in enumerate((alert, kind) for alert in alerts for kind in KINDS):
        stored = alert.stamps.get(kind)
        one = {name: batch.column(name)[row] for name in ("height", "width", "pixels")}
        if stored is None:
            assert not any(value.is_valid for value in one.values())
            continue
        expected = read_image(stored)
        assert (one["height"].as_py(), one["width"].as_py()) == expected.shape
        assert one["pixels"].values.to_numpy(zero_copy_only=True).tobytes() == expected.tobytes()


def test_real_stamps_keep_every_bit(ztf_alerts: list[AlertStamps], lsst_alerts: list[AlertStamps]) -> None:
    for alerts in (ztf_alerts, lsst_alerts):
        batch = stamp_batch(alerts, KINDS)
        batch.validate(full=True)
        stored = [alert.stamps[kind] for alert in alerts for kind in KINDS]
        pixels = b"".join(read_image(stamp).tobytes() for stamp in stored if stamp is not None)
        assert batch.column("pixels").flatten().to_numpy().tobytes() == pixels
        assert batch.column("time")[0].as_py() == alerts[0].time


def test_the_stored_bytes_can_come_along(ztf_stamp: Maker) -> None:
    stamp = ztf_stamp()
    batch = stamp_batch([_alert(1, science=stamp)], KINDS, fits=True)
    assert batch.schema == stamp_schema(fits=True)
    assert batch.column("fits").to_pylist() == [stamp, None, None]


def test_no_alert_is_a_table_without_rows() -> None:
    batch = stamp_batch([], KINDS)
    assert batch.num_rows == 0
    assert batch.schema == STAMP_SCHEMA


def test_float64_stamps_become_float32(ztf_stamp: Maker) -> None:
    data = gzip.decompress(ztf_stamp(63, 63))
    pixels = np.linspace(-1e300, 1e300, 63 * 31).astype(">f8").tobytes()
    header = data[:2880].replace(b"                 -32", b"                 -64", 1)
    header = header.replace(b"NAXIS2  =                   63", b"NAXIS2  =                   31")
    batch = stamp_batch([_alert(1, science=gzip.compress(header + pixels))], ["science"])
    assert np.isinf(batch.column("pixels").flatten().to_numpy()).any()
    assert batch.column("height").to_pylist() == [31]


def test_a_damaged_stamp_is_named(ztf_stamp: Maker) -> None:
    alerts = [_alert(1, science=ztf_stamp()), _alert(2, science=ztf_stamp(), template=ztf_stamp()[:-30])]
    with pytest.raises(
        Damaged, match=r"The template stamp of alert 100000000000000002 cannot be read: .*file-2\.parquet"
    ):
        stamp_batch(alerts, KINDS)


def test_the_batch_streams(ztf_stamp: Maker) -> None:
    batch = stamp_batch([_alert(1, science=ztf_stamp())], KINDS)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    (read,) = pa.ipc.open_stream(sink.getvalue()).read_all().to_batches()
    assert read.drop_columns(["pixels"]).equals(batch.drop_columns(["pixels"]))
    assert read["pixels"].flatten().to_numpy().tobytes() == batch["pixels"].flatten().to_numpy().tobytes()
