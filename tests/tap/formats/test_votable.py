"""VOTables as others read them: astropy, and by way of it pyvo."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable

import astropy.io.votable
import numpy as np
import pyarrow as pa
import pytest
from astropy.table import MaskedColumn, Table

from sodalake.lake.errors import Unavailable
from sodalake.tap.answers import Answer, Ending, Info
from sodalake.tap.errors import FormatError
from sodalake.tap.formats import error_document, output_format, write
from sodalake.tap.metadata import Column, arrow_schema

SERIALIZATIONS = ["votable/td", "votable/b2", "votable/b"]

COLUMNS = (
    Column("id", "long", ucd="meta.id;meta.main", description='Number & "name" <of it>'),
    Column("short one", "short"),
    Column("n", "int", unit="ct"),
    Column("byte", "unsignedByte"),
    Column("mag", "float", unit="mag", ucd="phot.mag"),
    Column("ra", "double", unit="deg", ucd="pos.eq.ra", utype="stc:ra"),
    Column("good", "boolean"),
    Column("name", "char", "*"),
    Column("when", "char", "*", "timestamp"),
    Column("where", "double", "2", "point"),
    Column("outline", "double", "*", "polygon"),
)
VALUES: dict[str, list[object]] = {
    "id": [1, None, -(1 << 62), 4],
    "short one": [None, 7, -32767, 0],
    "n": [1, 2, None, 2147483647],
    "byte": [0, 1, 2, None],
    "mag": [0.1, None, float("nan"), float("-inf")],
    "ra": [1 / 3, 5e-324, float("inf"), None],
    "good": [True, False, None, True],
    "name": ["a<b>&\"'", None, "", "]]>\ttab\nline"],
    "when": [0, None, 1_700_000_000_123_456, 1_700_000_000_120_000],
    "where": [[1.5, -2.5], [0.1, 0.2], None, [360.0, 90.0]],
    "outline": [[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [], None, [0.1]],
}


def batch() -> pa.RecordBatch:
    schema = arrow_schema(COLUMNS)
    return pa.RecordBatch.from_arrays(
        [pa.array(VALUES[field.name], field.type) for field in schema], schema=schema
    )


def written(name: str, answer: Answer) -> bytes:
    return b"".join(write(output_format(name)[0], answer))


def read(data: bytes) -> astropy.io.votable.tree.VOTableFile:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return astropy.io.votable.parse(io.BytesIO(data), verify="exception")


def one_table(data: bytes) -> Table:
    return read(data).get_first_table().to_table(use_names_over_ids=True)


def values(column: MaskedColumn) -> list[object]:
    mask = np.ma.getmaskarray(column)
    return [
        None if np.all(hidden) else value
        for value, hidden in zip(column.filled().tolist(), mask, strict=True)
    ]


def sliced(batches: Iterable[int]) -> list[pa.RecordBatch]:
    rows, start, found = batch(), 0, []
    for size in batches:
        found.append(rows.slice(start, size))
        start += size
    assert start == rows.num_rows
    return found


@pytest.mark.parametrize("cut", [(4,), (0, 1, 0, 3), (1, 1, 1, 1), (3, 1, 0)])
@pytest.mark.parametrize("name", SERIALIZATIONS)
def test_astropy_reads_every_type(name: str, cut: tuple[int, ...]) -> None:
    table = one_table(written(name, Answer(COLUMNS, sliced(cut))))
    assert table.colnames == [column.name for column in COLUMNS]
    for column in ("id", "short one", "n", "byte", "good"):
        assert values(table[column]) == VALUES[column], column
    for column in ("mag", "ra"):
        kind = np.float32 if column == "mag" else np.float64
        wanted = np.array([np.nan if value is None else value for value in VALUES[column]], kind)
        np.testing.assert_array_equal(np.asarray(table[column].filled(np.nan)), wanted)
    assert [str(text) if text is not None else "" for text in table["name"].filled("")] == [
        "a<b>&\"'",
        "",
        "",
        "]]>\ttab\nline",
    ]
    assert list(table["when"].filled("")) == [
        "1970-01-01T00:00:00",
        "",
        "2023-11-14T22:13:20.123456",
        "2023-11-14T22:13:20.120",
    ]
    places = np.asarray(table["where"].filled(np.nan))
    np.testing.assert_array_equal(places[[0, 1, 3]], [[1.5, -2.5], [0.1, 0.2], [360, 90]])
    assert np.isnan(places[2]).all()
    assert [list(outline) for outline in table["outline"]] == [VALUES["outline"][0], [], [], [0.1]]


@pytest.mark.parametrize("name", SERIALIZATIONS)
def test_columns_are_described(name: str) -> None:
    fields = read(written(name, Answer(COLUMNS, [batch()]))).get_first_table().fields
    for field, column in zip(fields, COLUMNS, strict=True):
        assert (field.name, field.datatype, field.arraysize or "") == (
            column.name,
            column.datatype,
            column.arraysize,
        )
        assert (str(field.unit or ""), field.ucd or "", field.utype or "", field.xtype or "") == (
            column.unit,
            column.ucd,
            column.utype,
            column.xtype,
        )
        assert (field.description or "") == column.description
    assert [field.ID for field in fields][:3] == ["id", "short_one", "n"]


def test_ids_are_names_where_they_can_be() -> None:
    names = ["a b", "a_b", "1st", "É", "x", "X", "a-b.c"]
    columns = [Column(name, "int") for name in names]
    fields = read(written("votable", Answer(columns, []))).get_first_table().fields
    assert [field.name for field in fields] == names
    assert [field.ID for field in fields] == ["a_b_2", "a_b", "_1st", "_", "x", "X", "a-b.c"]


@pytest.mark.parametrize("name", SERIALIZATIONS)
def test_no_rows(name: str) -> None:
    table = one_table(written(name, Answer(COLUMNS, [])))
    assert len(table) == 0
    assert len(table.columns) == len(COLUMNS)


@pytest.mark.parametrize("name", SERIALIZATIONS)
def test_infos_and_endings(name: str) -> None:
    answer = Answer(
        COLUMNS,
        [batch()],
        lambda: Ending("OVERFLOW", "Cut at 4."),
        (Info("QUERY", 'SELECT "x" < 3 &\nmore\x01'), Info("citation", "10.1/x", "Cite & this")),
        ('<RESOURCE type="meta" utype="adhoc:service" ID="links"/>',),
        "All <of> it",
    )
    document = read(written(name, answer))
    resource = document.resources[0]
    told = [(info.name, info.value, info.content) for info in resource.infos]
    assert told[0] == ("QUERY_STATUS", "OK", None)
    assert told[1][1] == 'SELECT "x" < 3 &\nmore�'
    assert told[2] == ("citation", "10.1/x", "Cite & this")
    behind = [(info.name, info.value, info.content) for info in resource.tables[0].infos]
    assert told[3:] + behind == [("QUERY_STATUS", "OVERFLOW", "Cut at 4.")]
    assert document.resources[1].ID == "links"
    assert resource.tables[0].description == "All <of> it"


@pytest.mark.parametrize("name", SERIALIZATIONS)
def test_an_error_after_rows_stands_behind_them(name: str) -> None:
    def fails() -> Iterable[pa.RecordBatch]:
        yield batch()
        yield batch()
        raise Unavailable("The store went away.")

    text = written(name, Answer(COLUMNS, fails()))
    assert len(one_table(text)) >= 4
    assert b'</TABLE>\n<INFO name="QUERY_STATUS" value="ERROR">The store went away.</INFO>' in text
    said = written(name, Answer(COLUMNS, [batch()], lambda: Ending("ERROR", "Out of memory.")))
    assert b'value="ERROR">Out of memory.<' in said


@pytest.mark.parametrize("name", [*SERIALIZATIONS, "csv", "tsv"])
def test_an_error_before_rows_is_raised(name: str) -> None:
    def fails() -> Iterable[pa.RecordBatch]:
        raise Unavailable("The store went away.")
        yield batch()

    with pytest.raises(Unavailable):
        written(name, Answer(COLUMNS, fails()))


def test_error_document() -> None:
    document = error_document("No <such> table\x00", [Info("QUERY", "SELECT 1")])
    infos = read(document).resources[0].infos
    assert [(info.name, info.value, info.content) for info in infos] == [
        ("QUERY_STATUS", "ERROR", "No <such> table�"),
        ("QUERY", "SELECT 1", None),
    ]
    assert b"<TABLE" not in document


@pytest.mark.parametrize("name", SERIALIZATIONS)
def test_letters_that_are_not_ascii(name: str) -> None:
    columns = [Column("a", "char", "*"), Column("u", "unicodeChar", "*"), Column("k", "int")]
    texts = ["β Lyr", None, "", "𝄞x", "plain"]
    rows = pa.record_batch(
        [pa.array(texts), pa.array(texts), pa.array(range(5), pa.int32())], ["a", "u", "k"]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # astropy warns of letters in a char, and reads them
        table = astropy.io.votable.parse(io.BytesIO(written(name, Answer(columns, [rows])))).get_first_table()
    assert [str(text) for text in table.array["a"]] == ["β Lyr", "", "", "𝄞x", "plain"]
    assert [str(text) for text in table.array["u"]] == ["β Lyr", "", "", "𝄞x", "plain"]
    assert list(table.array["k"]) == [0, 1, 2, 3, 4]


def test_letters_that_come_late_are_told_of() -> None:
    columns = [Column("a", "char", "*")]
    rows = [pa.record_batch([pa.array([text])], ["a"]) for text in ("plain", "β Lyr")]
    document = read(written("votable", Answer(columns, rows)))
    assert [str(text) for text in document.get_first_table().array["a"]] == ["plain", "? Lyr"]
    assert b'name="warning" value="Column a has letters' in written("votable", Answer(columns, rows))


def test_fixed_texts() -> None:
    columns = [Column("one", "char", "1"), Column("five", "char", "5"), Column("wide", "unicodeChar", "3")]
    rows = pa.record_batch([["a", "", None], ["12345", "1", None], ["äöü", "ß", ""]], ["one", "five", "wide"])
    table = one_table(written("votable/b2", Answer(columns, [rows])))
    assert [str(x) for x in table["five"].filled("")] == ["12345", "1", ""]
    assert [str(x) for x in table["wide"].filled("")] == ["äöü", "ß", ""]
    assert [str(x) for x in table["one"].filled("")] == ["a", "", ""]
    long = pa.record_batch([["ab"]], ["one"])
    with pytest.raises(FormatError, match="Column one has room for 1 characters"):
        written("votable/b2", Answer(columns[:1], [long]))


def test_what_no_votable_can_hold() -> None:
    with pytest.raises(FormatError, match="no columns"):
        written("votable", Answer([], []))
    with pytest.raises(FormatError, match="arraysize"):
        written("votable", Answer([Column("a", "char", "3x4")], []))
    years = pa.record_batch([pa.array([300_000_000_000_000_000], pa.timestamp("us"))], ["t"])
    with pytest.raises(FormatError, match="four digits"):
        written("votable/td", Answer([Column("t", "char", "*", "timestamp")], [years]))
    lowest = pa.record_batch([pa.array([-32768], pa.int16())], ["s"])
    with pytest.raises(FormatError, match="means null in BINARY"):
        written("votable/b", Answer([Column("s", "short")], [lowest]))
