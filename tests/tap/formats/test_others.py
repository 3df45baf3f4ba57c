"""CSV, TSV, JSON, FITS, Parquet, Arrow and HTML as others read them."""

from __future__ import annotations

import csv
import io
import json
import math
import warnings
from collections.abc import Iterable
from html.parser import HTMLParser

import astropy.io.votable
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st

from sodalake.tap.answers import Answer, Ending, Info
from sodalake.tap.errors import FormatError
from sodalake.tap.formats import FORMATS, output_format, write
from sodalake.tap.metadata import Column, arrow_schema

COLUMNS = (
    Column("id", "long", ucd="meta.id", description="A long description: " + "of many words " * 12),
    Column("n", "short"),
    Column("byte", "unsignedByte"),
    Column("mag", "float", unit="mag", ucd="phot.mag", utype="x:y"),
    Column("ra", "double", unit="deg", ucd="pos.eq.ra"),
    Column("good", "boolean"),
    Column("name", "char", "*"),
    Column("when", "char", "*", "timestamp"),
    Column("where", "double", "2", "point"),
    Column("outline", "double", "*", "polygon"),
)
VALUES: dict[str, list[object]] = {
    "id": [1, None, -(1 << 62)],
    "n": [-32768, 7, None],
    "byte": [0, 255, 3],
    "mag": [0.1, None, math.nan],
    "ra": [1 / 3, math.inf, None],
    "good": [True, False, None],
    "name": ['a "b", c\\\x01\tü', None, ""],
    "when": [0, None, 1_700_000_000_123_000],
    "where": [[1.5, -2.5], None, [360.0, 90.0]],
    "outline": [[1.0, 2.0, 3.0], [], None],
}
INFOS = (Info("QUERY", "SELECT *\nFROM t"), Info("citation", "10.1/x", "Cite & this"))


def table() -> pa.Table:
    schema = arrow_schema(COLUMNS)
    return pa.table([pa.array(VALUES[field.name], field.type) for field in schema], schema=schema)


def written(name: str, size: int = 10, ending: Ending = Ending()) -> bytes:  # noqa: B008
    answer = Answer(COLUMNS, table().to_batches(max_chunksize=size), lambda: ending, INFOS, (), "All of it")
    return b"".join(write(output_format(name)[0], answer))


def of(columns: list[Column], *values: list[object], name: str) -> bytes:
    schema = arrow_schema(columns)
    arrays = [pa.array(each, field.type) for each, field in zip(values, schema, strict=True)]
    return b"".join(write(output_format(name)[0], Answer(columns, [pa.record_batch(arrays, schema=schema)])))


@pytest.mark.parametrize("size", [1, 2, 10])
def test_csv(size: int) -> None:
    rows = list(csv.reader(io.StringIO(written("csv", size).decode(), newline="")))
    assert rows == [
        ["id", "n", "byte", "mag", "ra", "good", "name", "when", "where", "outline"],
        ["1", "-32768", "0", "0.1", "0.3333333333333333", "true", 'a "b", c\\\x01\tü', "1970-01-01T00:00:00",
         "1.5 -2.5", "1 2 3"],
        ["", "7", "255", "", "Infinity", "false", "", "", "", ""],
        ["-4611686018427387904", "", "3", "NaN", "", "", "", "2023-11-14T22:13:20.123", "360 90", ""],
    ]  # fmt: skip
    assert b',"",2023' in written("csv", size)  # an empty text is one, and no null


def test_csv_lets_guess_its_types() -> None:
    columns = [Column("d", "double"), Column("f", "float"), Column("i", "long")]
    values = ([1.0, -2.0, 1e300], [3.0, 4.5, -0.0], [1, 2, None])
    data = of(columns, *values, name="csv")
    assert data == b"d,f,i\r\n1.0,3.0,1\r\n-2.0,4.5,2\r\n1e+300,-0.0,\r\n"
    read = pyarrow.csv.read_csv(io.BytesIO(data))
    assert [str(kind) for kind in read.schema.types] == ["double", "double", "int64"]
    assert list(Table.read(data.decode(), format="ascii.csv")["d"]) == values[0]


def test_csv_of_one_column_keeps_its_nulls() -> None:
    assert of([Column("a,b", "int")], [None, 1], name="csv") == b'"a,b"\r\n""\r\n1\r\n'


@given(st.lists(st.tuples(st.text(max_size=5), st.none() | st.floats(width=64)), max_size=5))
@settings(max_examples=50, deadline=None)
def test_csv_of_any_text(rows: list[tuple[str, float | None]]) -> None:
    columns = [Column("t", "char", "*"), Column("d", "double")]
    data = of(columns, [t for t, _ in rows], [d for _, d in rows], name="csv")
    again = list(csv.reader(io.StringIO(data.decode(), newline="")))[1:]
    assert [t for t, _ in again] == [t for t, _ in rows]
    for (_, text), (_, value) in zip(again, rows, strict=True):
        assert text == "" if value is None else repr(float(text)) == repr(value)


def test_tsv_has_no_tabs_in_it() -> None:
    lines = written("tsv").decode().split("\n")
    assert [len(line.split("\t")) for line in lines[:4]] == [10, 10, 10, 10]
    assert lines[1].split("\t")[6] == 'a "b", c\\\x01 ü'
    assert len(lines) == 5


@pytest.mark.parametrize("size", [1, 2, 10])
def test_json(size: int) -> None:
    answer = json.loads(written("json", size, Ending("OVERFLOW")))
    assert [each["name"] for each in answer["metadata"]] == [column.name for column in COLUMNS]
    assert answer["metadata"][3] == {
        "name": "mag", "datatype": "float", "xtype": None, "arraysize": None, "description": None,
        "unit": "mag", "ucd": "phot.mag", "utype": "x:y",
    }  # fmt: skip
    assert answer["data"] == [
        [1, -32768, 0, 0.1, 1 / 3, True, 'a "b", c\\\x01\tü', "1970-01-01T00:00:00", [1.5, -2.5], [1, 2, 3]],
        [None, 7, 255, None, None, False, None, None, None, []],
        [-(1 << 62), None, 3, None, None, None, "", "2023-11-14T22:13:20.123", [360, 90], None],
    ]
    assert answer["query_status"] == "OVERFLOW"
    assert answer["infos"][1] == {"name": "citation", "value": "10.1/x", "content": "Cite & this"}


@given(st.lists(st.none() | st.text(max_size=6), max_size=6))
@settings(max_examples=60, deadline=None)
def test_json_of_any_text(texts: list[str | None]) -> None:
    assert json.loads(of([Column("t", "char", "*")], texts, name="json"))["data"] == [
        [text] for text in texts
    ]


@pytest.mark.parametrize("size", [1, 2, 10])
def test_fits(size: int) -> None:
    data = written("fits", size, Ending("OVERFLOW", "Cut."))
    assert len(data) % 2880 == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "Column 'good' contains NULL")
        with fits.open(io.BytesIO(data)) as files:
            files.verify("exception")
            header, rows = files[1].header, files[1].data
            assert rows["id"].tolist() == [1, header["TNULL1"], -(1 << 62)]
            assert rows["n"].tolist()[:2] == [-32768, 7]
            assert rows["n"][2] == header["TNULL2"] == 32767
            assert rows["byte"].tolist() == [0, 255, 3]
            assert "TNULL3" not in header
            np.testing.assert_array_equal(rows["mag"], np.array([0.1, np.nan, np.nan], "f4"))
            np.testing.assert_array_equal(rows["ra"], [1 / 3, np.inf, np.nan])
            assert rows["good"].tolist() == [True, False, False]
            assert rows["name"].tolist() == ['a "b", c\\  ?', "", ""]
            assert rows["when"].tolist() == ["1970-01-01T00:00:00", "", "2023-11-14T22:13:20.123"]
            np.testing.assert_array_equal(rows["where"], [[1.5, -2.5], [np.nan] * 2, [360, 90]])
            assert [list(each) for each in rows["outline"]] == [[1, 2, 3], [], []]
            history = "".join(header["HISTORY"])
            assert (header["TUNIT4"], header["TUCD5"], header["QSTATUS"]) == ("mag", "pos.eq.ra", "OVERFLOW")
            assert header["TCOMM1"] == COLUMNS[0].description.strip()
            assert "SELECT * FROM t" in history
            assert "not ASCII" in history


def test_fits_without_rows() -> None:
    data = b"".join(write(output_format("fits")[0], Answer(COLUMNS, [])))
    assert len(data) % 2880 == 0
    assert len(fits.open(io.BytesIO(data))[1].data) == 0


def test_fits_puts_long_texts_into_the_heap() -> None:
    texts: list[object] = ["x" * 500, *["ab"] * 20, None, ""]
    data = of([Column("t", "char", "*"), Column("i", "int")], texts, list(range(23)), name="fits")
    with fits.open(io.BytesIO(data)) as files:
        assert files[1].header["TFORM1"] == "1QA(500)"
        assert ["".join(each) for each in files[1].data["t"]] == [text or "" for text in texts]
        assert files[1].data["i"].tolist() == list(range(23))


def test_fits_has_no_number_left_for_null() -> None:
    with pytest.raises(FormatError, match="no number is left"):
        of([Column("s", "short")], [-32768, 32767, None], name="fits")


@pytest.mark.parametrize("size", [1, 10])
def test_parquet(size: int) -> None:
    data = written("parquet", size, Ending("OVERFLOW", "Cut."))
    read = pq.read_table(io.BytesIO(data))
    assert read.equals(table(), check_metadata=False) or read.drop_columns(["mag"]).equals(
        table().drop_columns(["mag"])
    )
    metadata = pq.read_metadata(io.BytesIO(data)).metadata
    assert metadata[b"IVOA.VOTable-Parquet.version"] == b"1.0"
    content = metadata[b"IVOA.VOTable-Parquet.content"]
    assert content.count(b"QUERY_STATUS") == 1
    assert b'value="OVERFLOW">Cut.' in content


def test_astropy_reads_units_from_parquets_votable() -> None:
    columns = [Column("ra", "double", unit="deg", ucd="pos.eq.ra"), Column("name", "char", "*")]
    data = of(columns, [1.0, 2.0], ["a", "b"], name="parquet")
    content = pq.read_metadata(io.BytesIO(data)).metadata[b"IVOA.VOTable-Parquet.content"]
    read = Table.read(astropy.io.votable.parse(io.BytesIO(content), verify="exception"))
    assert read.colnames == ["ra", "name"]
    assert len(read) == 0
    assert str(read["ra"].unit) == "deg"
    assert read["ra"].meta["ucd"] == "pos.eq.ra"


@pytest.mark.parametrize("size", [1, 10])
def test_arrow(size: int) -> None:
    reader = pa.ipc.open_stream(written("arrow", size, Ending("OVERFLOW", "Cut.")))
    told = [(batch, extra) for batch, extra in reader.iter_batches_with_custom_metadata()]
    read = pa.Table.from_batches([batch for batch, _ in told])
    assert read.drop_columns(["mag"]).equals(table().drop_columns(["mag"]))
    assert told[-1][1][b"QUERY_STATUS"] == b"OVERFLOW"
    assert reader.schema.field("ra").metadata == {
        b"datatype": b"double", b"unit": b"deg", b"ucd": b"pos.eq.ra",
    }  # fmt: skip


class _Cells(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.cells: list[str] = []

    def handle_starttag(self, tag: str, _: object) -> None:
        if tag == "td":
            self.cells.append("")

    def handle_data(self, data: str) -> None:
        if self.cells:
            self.cells[-1] += data


def test_html() -> None:
    parser = _Cells()
    parser.feed(
        of(
            [Column("a<b>", "char", "*"), Column("i", "int")], ["<script>&", None], [1, 2], name="html"
        ).decode()
    )
    assert [cell.strip() for cell in parser.cells] == ["<script>&", "1", "", "2"]


@pytest.mark.parametrize("name", [form.name for form in FORMATS if "votable" not in form.name])
def test_what_fails_after_its_first_rows_never_looks_whole(name: str) -> None:
    pieces = write(
        output_format(name)[0], Answer(COLUMNS, table().to_batches(), lambda: Ending("ERROR", "It broke."))
    )
    with pytest.raises(FormatError, match="It broke"):
        list(pieces)


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_any_format_takes_no_rows_and_refuses_no_columns(form: object) -> None:
    assert b"".join(write(form, Answer(COLUMNS, [])))  # type: ignore[arg-type]
    with pytest.raises(FormatError, match="no columns"):
        list(write(form, Answer([], [])))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [form.name for form in FORMATS if form.name != "fits"])
def test_the_first_piece_comes_with_the_first_batch(name: str) -> None:
    columns = [Column("i", "int")]
    taken = []

    def batches() -> Iterable[pa.RecordBatch]:
        for number in range(3):
            taken.append(number)
            yield pa.record_batch([pa.array(range(100_000), pa.int32())], ["i"])

    next(iter(write(output_format(name)[0], Answer(columns, batches()))))
    assert taken == [0]
