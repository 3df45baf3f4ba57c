import gzip
import io

import numpy as np
import pyarrow as pa
import pytest
from astropy.io import fits

from sodalake.benchmarks.renewal import renewed_stamp, renewed_table, replaced
from sodalake.benchmarks.sources import real_rows
from sodalake.lake.errors import Damaged
from sodalake.sodacut import read_image


def stamp(pixels: np.ndarray, *, packed: bool) -> bytes:  # type: ignore[type-arg]
    out = io.BytesIO()
    fits.PrimaryHDU(pixels.astype(np.float32)).writeto(out)
    return gzip.compress(out.getvalue()) if packed else out.getvalue()


@pytest.mark.parametrize("packed", [True, False])
def test_noise_changes_pixels_and_nothing_else(packed: bool) -> None:
    pixels = np.random.default_rng(1).normal(100, 5, (31, 63))
    pixels[:, -3:] = np.nan
    old = stamp(pixels, packed=packed)
    new = renewed_stamp(old, np.random.default_rng(2))
    before, after = read_image(old), read_image(new)
    assert (np.isnan(before) == np.isnan(after)).all()
    seen = np.isfinite(before)
    assert (before[seen] != after[seen]).mean() > 0.99
    assert np.abs(after[seen] - before[seen]).std() < 1
    plain_old, plain_new = (gzip.decompress(old), gzip.decompress(new)) if packed else (old, new)
    assert plain_new[:2880] == plain_old[:2880]
    assert len(plain_new) == len(plain_old)


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_a_stamp_without_spread_is_renewed_too(value: float) -> None:
    new = read_image(renewed_stamp(stamp(np.full((4, 4), value), packed=True), np.random.default_rng(1)))
    assert new.shape == (4, 4)
    assert np.isnan(new).all() == np.isnan(value)


def test_a_rubin_stamp_keeps_its_psf() -> None:
    old = real_rows("lsst")["cutoutScience"][0].as_py()
    new = renewed_stamp(old, np.random.default_rng(1))
    with fits.open(io.BytesIO(old)) as before, fits.open(io.BytesIO(new)) as after:
        assert (before[0].data != after[0].data).any()
        assert (before["PSFIMAGE"].data == after["PSFIMAGE"].data).all()


def test_what_is_no_stamp_is_refused() -> None:
    with pytest.raises(Damaged):
        renewed_stamp(b"nothing", np.random.default_rng(1))


def test_fields_of_structs_are_replaced_and_nulls_stay() -> None:
    column = pa.array([{"a": {"b": 1}, "c": "x"}, None, {"a": None, "c": "y"}])
    new = replaced(column, "a.b", lambda old: pa.array([7, 8, 9], old.type))
    assert new.to_pylist() == [{"a": {"b": 7}, "c": "x"}, None, {"a": None, "c": "y"}]
    assert replaced(column, "a.z", lambda old: old.fill_null(0)).to_pylist() == column.to_pylist()


def test_columns_that_a_table_lacks_are_passed_over() -> None:
    table = pa.table({"id": pa.array([1, 2], pa.int64())})
    new = renewed_table(
        table, (), {"id": pa.array([3, 4], pa.int32()), "other.id": pa.array([5, 6])}, np.random.default_rng()
    )
    assert new.schema == table.schema
    assert new["id"].to_pylist() == [3, 4]
