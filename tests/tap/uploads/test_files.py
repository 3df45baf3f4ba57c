"""Uploads that are no VOTable: FITS, Parquet, Arrow, CSV and TSV."""

from __future__ import annotations

import gzip
import io
import math
import warnings
from datetime import date, datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sodalake.tap.answers import Answer
from sodalake.tap.errors import UploadError
from sodalake.tap.formats import output_format, write
from sodalake.tap.metadata import Column, arrow_schema
from sodalake.tap.uploads import read_upload

COLUMNS = (
    Column("id", "long", unit="", ucd="meta.id", description="An id"),
    Column("s", "short"),
    Column("byte", "unsignedByte"),
    Column("f", "float", unit="mag", utype="x:y"),
    Column("d", "double", unit="deg", ucd="pos.eq.ra"),
    Column("b", "boolean"),
    Column("t", "char", "*"),
    Column("when", "char", "*", "timestamp"),
    Column("where", "double", "2", "point"),
    Column("many", "int", "*"),
)
VALUES: list[list[object]] = [
    [(1 << 60) + 1, None, -5],
    [None, -32768, 1],
    [0, 255, 3],
    [0.5, None, math.inf],
    [1 / 3, -math.inf, None],
    [True, None, False],
    ["a, \"b\"", None, "c"],
    [datetime(2020, 1, 2, 3, 4, 5), None, datetime(1999, 12, 31, 23, 59, 59, 123456)],
    [[1.5, -2.5], None, [0.0, 90.0]],
    [[1, 2, 3], [4], [5, 6]],
]  # fmt: skip


def written(name: str) -> bytes:
    schema = arrow_schema(COLUMNS)
    rows = pa.record_batch([pa.array(v, f.type) for v, f in zip(VALUES, schema, strict=True)], schema=schema)
    return b"".join(write(output_format(name)[0], Answer(COLUMNS, [rows], description="All of it")))


def parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


@pytest.mark.parametrize("name", ["fits", "parquet", "arrow"])
def test_what_is_written_is_read_again(name: str) -> None:
    known, rows = read_upload("t", written(name), rows=3)
    assert {
        column: each.to_pylist() for column, each in zip(rows.column_names, rows.columns, strict=True)
    } == {column.name: values for column, values in zip(COLUMNS, VALUES, strict=True)}
    for found, column in zip(known.columns, COLUMNS, strict=True):
        if name == "fits" and found.datatype == "char":
            assert found.arraysize.endswith("*")
            continue
        assert found == column
    with pytest.raises(UploadError, match="more than 2 rows"):
        read_upload("t", written(name), rows=2)


def test_csv_is_read_again() -> None:
    known, rows = read_upload("t", written("csv"), "text/csv", rows=3)
    assert [column.datatype for column in known.columns] == [
        "long", "long", "long", "double", "double", "boolean", "char", "char", "char", "char",
    ]  # fmt: skip
    for at in range(8):
        assert rows[COLUMNS[at].name].to_pylist() == VALUES[at]


def test_ids_stay_what_they_are() -> None:
    text = b"id,big,mixed,when\n9007199254740993,18446744073709551615,1e30,2020-01-02\n-1,,2,\n"
    table, rows = read_upload("t", text, rows=9)
    assert [column.datatype for column in table.columns] == ["long", "char", "double", "char"]
    assert rows["id"].to_pylist() == [9007199254740993, -1]
    assert rows["big"].to_pylist() == ["18446744073709551615", None]
    assert rows["mixed"].to_pylist() == [1e30, 2.0]
    assert rows["when"].to_pylist() == [datetime(2020, 1, 2), None]


def test_times_of_a_day_are_texts() -> None:
    table, rows = read_upload("t", b"ra,dec,n\n12:30:00,-5:30:00,1\n,,2\n", rows=9)
    assert [column.datatype for column in table.columns] == ["char", "char", "long"]
    assert rows["ra"].to_pylist() == ["12:30:00", None]


def test_what_separates() -> None:
    for content, kind, name in (
        (b"a\tb\n1\tx,y\n", "", ""),
        (b"a\tb\r\n1\tx,y\r\n", "text/tab-separated-values", ""),
        (b"a\tb\n1\tx,y\n", "application/octet-stream", "x.TSV"),
        (b'\xef\xbb\xbfa,b\n1,"x,y"\n', "", ""),
        (gzip.compress(b'a,b\n1,"x,y"\n', mtime=0), "application/gzip", "x.csv.gz"),
    ):
        assert read_upload("t", content, kind, name, rows=5)[1].to_pydict() == {"a": [1], "b": ["x,y"]}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"1,2\n3,4\n", "numbers, not names"),
        (b"a,b\n1,2,3\n", "3 cells, and there are 2 columns"),
        (b"a,a\n1,2\n", "two columns|Two columns"),
        (b"a,\n1,2\n", "no name"),
        (b"# %ECSV 1.0\n# ---\na\n1\n", "ECSV"),
        (b"a,b\n" + b"1,2\n" * 6, "more than 5 rows"),
        (b'a,b\n1,"2\n', "never closed"),
        (b"PAR1 and no more", "cannot be read"),
        (b"\xff\xff\xff\xff\x10\0\0\0", "cannot be read"),
        (b"ARROW1\0\0", "cannot be read"),
        (b"a,\xe9\n1,2\n", "not UTF-8: byte 2 is 0xe9"),
        (b"SIMPLE  =                    T" + b" " * 50, "FITS"),
    ],
)
def test_what_is_broken_is_told_so(content: bytes, said: str) -> None:
    with pytest.raises(UploadError, match=said):
        read_upload("t", content, rows=5)


@pytest.mark.parametrize("name", ["fits", "parquet", "arrow", "votable", "csv"])
def test_cut_files_are_never_half_a_table(name: str) -> None:
    data = written(name)
    for end in range(1, len(data), max(1, len(data) // 40)):
        try:
            _, rows = read_upload("t", data[:end], "text/csv" if name == "csv" else "", rows=5)
        except UploadError:
            continue
        # Text may be cut at a line's end, FITS in the blanks behind its rows, Arrow behind a batch
        assert name in ("csv", "fits", "arrow")
        if name == "fits":
            assert rows.num_rows == 3


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(["fits", "parquet", "arrow", "votable", "votable/td"]), st.data())
def test_broken_bytes_are_read_or_refused(name: str, data: st.DataObject) -> None:
    content = bytearray(written(name))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            _, rows = read_upload("t", bytes(content), rows=50)
        except UploadError:
            return
    rows.validate()
    assert rows.num_rows <= 50


def test_astropys_fits() -> None:
    table = Table({"i": np.array([1, 2], "u2"), "j": np.array([1, 4_000_000_000], "u4"), "c": ["a", "bc"]})
    table["x"] = [[1.0, 2.0], [3.0, 4.0]]
    table["x"].unit = "deg"
    sink = io.BytesIO()
    table.write(sink, format="fits")
    known, rows = read_upload("t", sink.getvalue(), rows=5)
    assert [(each.datatype, each.arraysize) for each in known.columns] == [
        ("int", ""), ("long", ""), ("char", "2*"), ("double", "2"),
    ]  # fmt: skip
    assert known.columns[3].unit == "deg"
    assert rows.to_pydict() == {
        "i": [1, 2], "j": [1, 4_000_000_000], "c": ["a", "bc"], "x": [[1.0, 2.0], [3.0, 4.0]],
    }  # fmt: skip


def test_fits_integers_of_64_bits_without_a_sign() -> None:
    ids = [1, 2, 12345678901234567890]
    table = Table({"id": np.array(ids, "u8"), "small": np.array([0, 1, 2**63 - 1], "u8")})
    table["pair"] = np.array([[1, 2], [3, 4], [5, 2**63 - 1]], "u8")
    table["id"].unit, table["id"].description = "s", "Which."
    sink = io.BytesIO()
    table.write(sink, format="fits")
    known, rows = read_upload("t", sink.getvalue(), rows=5)
    assert [(one.datatype, one.arraysize) for one in known.columns] == [
        ("char", "*"),
        ("long", ""),
        ("long", "2"),
    ]
    assert known.columns[0].unit == "s"
    assert rows.to_pydict() == {
        "id": [str(one) for one in ids],
        "small": [0, 1, 2**63 - 1],
        "pair": [[1, 2], [3, 4], [5, 2**63 - 1]],
    }
    sink = io.BytesIO()
    Table({"pair": np.array([[1, 2**63]], "u8")}).write(sink, format="fits")
    with pytest.raises(UploadError, match="Column pair has arrays with numbers that no BIGINT holds"):
        read_upload("t", sink.getvalue(), rows=5)


def test_scaled_fits_and_what_none_can_query() -> None:
    scaled = fits.Column("a", "I", array=np.array([1, 2, -1], "i2"), bscale=0.5, bzero=10, null=-1)
    sink = io.BytesIO()
    hdu = fits.BinTableHDU.from_columns([fits.Column("a", "I", array=np.array([1, 2, -1], "i2"), null=-1)])
    hdu.header["TSCAL1"], hdu.header["TZERO1"] = 0.5, 10.0
    fits.HDUList([fits.PrimaryHDU(np.zeros((5, 7))), fits.ImageHDU(np.zeros(3)), hdu]).writeto(sink)
    assert scaled.name == "a"
    assert read_upload("t", sink.getvalue(), rows=5)[1].to_pydict() == {"a": [10.5, 11.0, None]}
    for form, array in (("M", np.array([1j])), ("8X", np.zeros((1, 8), bool))):
        sink = io.BytesIO()
        fits.BinTableHDU.from_columns([fits.Column("bad", form, array=array)]).writeto(sink)
        with pytest.raises(UploadError, match="Column bad has the TFORM"):
            read_upload("t", sink.getvalue(), rows=5)
    sink = io.BytesIO()
    fits.PrimaryHDU(np.zeros(5000)).writeto(sink)
    with pytest.raises(UploadError, match="without a binary table"):
        read_upload("t", sink.getvalue(), rows=5)


def test_arrows_types() -> None:
    table = pa.table(
        {
            "i1": pa.array([-1, None], pa.int8()),
            "u4": pa.array([1 << 31, None], pa.uint32()),
            "u8": pa.array([1, None], pa.uint64()),
            "big": pa.array([(1 << 64) - 1, None], pa.uint64()),
            "f2": pa.array([0.5, None], pa.float16()),
            "large": pa.array(["a", None], pa.large_string()),
            "dict": pa.array(["x", None]).dictionary_encode(),
            "date": pa.array([date(2020, 1, 2), None]),
            "ns": pa.array([1_500_000_000_123_456_789, None], pa.timestamp("ns", "UTC")),
            "dec": pa.array([Decimal("1.50"), None]),
            "null": pa.nulls(2),
            "fixed": pa.array([[1.0, 2.0], None], pa.list_(pa.float32(), 2)),
            "nan": pa.array([math.nan, 1.0]),
        }
    )
    known, rows = read_upload("t", parquet(table), rows=2)
    assert {each.name: (each.datatype, each.arraysize, each.xtype) for each in known.columns} == {
        "i1": ("short", "", ""), "u4": ("long", "", ""), "u8": ("long", "", ""), "big": ("char", "*", ""),
        "f2": ("float", "", ""), "large": ("char", "*", ""), "dict": ("char", "*", ""),
        "date": ("char", "*", "timestamp"), "ns": ("char", "*", "timestamp"), "dec": ("double", "", ""),
        "null": ("char", "*", ""), "fixed": ("float", "2", ""), "nan": ("double", "", ""),
    }  # fmt: skip
    assert rows.schema == arrow_schema(known.columns)
    found = {name: values[0] for name, values in rows.to_pydict().items()}
    assert (found["i1"], found["u4"], found["u8"], found["big"]) == (-1, 1 << 31, 1, "18446744073709551615")
    assert (found["large"], found["dict"], found["dec"], found["fixed"]) == ("a", "x", 1.5, [1.0, 2.0])
    assert str(found["ns"]) == "2017-07-14 02:40:00.123456"
    assert rows["nan"].to_pylist() == [None, 1.0]
    sink = io.BytesIO()
    pyarrow.feather.write_feather(table.drop_columns(["f2"]), sink)
    assert read_upload("t", sink.getvalue(), rows=2)[1].num_rows == 2
    with pytest.raises(UploadError, match="Column s is struct"):
        read_upload("t", parquet(pa.table({"s": [{"a": 1}]})), rows=5)


def test_a_small_file_that_says_a_lot() -> None:
    long = pa.DictionaryArray.from_arrays(pa.array([0] * 400, pa.int32()), pa.array(["x" * (1 << 20)]))
    with pytest.raises(UploadError, match="inflates to more than"):
        read_upload("t", parquet(pa.table({"t": long})), rows=1000)


def test_arrows_last_batch_may_say_anything() -> None:
    """It has no rows, so that its offsets are not validated: a look at them ended the process."""
    data = written("arrow")
    for at in range(len(data) - len(data) % 4 - 1024, len(data) - 4, 4):
        broken = data[:at] + (6_321_602).to_bytes(4, "little") + data[at + 4 :]
        try:
            _, rows = read_upload("t", broken, rows=5)
        except UploadError:
            continue
        assert rows.num_rows <= 5
