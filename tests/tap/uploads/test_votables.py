"""Uploaded VOTables: what astropy and we write comes back as it was; what is broken is told so."""

from __future__ import annotations

import base64
import gzip
import io
import math
import string
import time

import numpy as np
import pyarrow as pa
import pytest
from astropy.io.votable import from_table
from astropy.table import MaskedColumn, Table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sodalake.tap.answers import Answer
from sodalake.tap.errors import UploadError
from sodalake.tap.formats import output_format, write
from sodalake.tap.metadata import Column, arrow_schema
from sodalake.tap.uploads import read_upload

NAMESPACE = "http://www.ivoa.net/xml/VOTable/v1.3"


def document(fields: str, data: str, opening: str = f'<VOTABLE version="1.4" xmlns="{NAMESPACE}">') -> bytes:
    text = f"{opening}<RESOURCE><TABLE>{fields}<DATA>{data}</DATA></TABLE></RESOURCE></VOTABLE>"
    return text.encode()


def cells(datatype: str, texts: list[str], **more: str) -> list[object]:
    """Read one column of TABLEDATA."""
    null = more.pop("null", None)
    inside = f'<VALUES null="{null}"/>' if null is not None else ""
    attributes = "".join(f' {key}="{value}"' for key, value in more.items())
    rows = "".join(f"<TR><TD>{text}</TD></TR>" for text in texts)
    field = f'<FIELD name="c" datatype="{datatype}"{attributes}>{inside}</FIELD>'
    _, table = read_upload("t", document(field, f"<TABLEDATA>{rows}</TABLEDATA>"), rows=100)
    return table["c"].to_pylist()


_INTEGERS = {"unsignedByte": (0, 254), "short": (-(1 << 15) + 1, (1 << 15) - 1)} | {
    name: (-(1 << bits) + 1, (1 << bits) - 1) for name, bits in (("int", 31), ("long", 63))
}
# What XML can say; a text in BINARY ends at NUL anyway
_LETTERS = st.characters(
    exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff", max_codepoint=0x1F600
)


def _values(column: Column) -> st.SearchStrategy[object]:
    if column.xtype == "timestamp":
        return st.integers(-60_000_000_000_000_000, 250_000_000_000_000_000)
    if column.datatype in _INTEGERS:
        low, high = _INTEGERS[column.datatype]
        base: st.SearchStrategy[object] = st.integers(low, high)
    elif column.datatype in ("float", "double"):
        base = st.floats(allow_nan=False, width=32 if column.datatype == "float" else 64)
    elif column.datatype == "boolean":
        base = st.booleans()
    else:
        letters = st.sampled_from(string.printable.strip()) if column.datatype == "char" else _LETTERS
        return st.text(letters, min_size=1, max_size=3)
    if column.arraysize == "":
        return base
    if column.arraysize == "*":
        return st.lists(base, min_size=1, max_size=3)
    size = math.prod(map(int, column.arraysize.split("x")))
    return st.lists(base, min_size=size, max_size=size)


_COLUMNS = [
    ("unsignedByte", "", ""), ("short", "", ""), ("int", "", ""), ("long", "", ""), ("float", "", ""),
    ("double", "", ""), ("boolean", "", ""), ("char", "*", ""), ("unicodeChar", "*", ""), ("char", "5", ""),
    ("unicodeChar", "6", ""), ("char", "*", "timestamp"), ("double", "2", "point"), ("double", "*", ""),
    ("float", "2x2", ""), ("int", "*", ""), ("boolean", "3", ""), ("unsignedByte", "*", ""),
]  # fmt: skip


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[Column], pa.Table]:
    kinds = draw(st.lists(st.sampled_from(_COLUMNS), min_size=1, max_size=10))
    rows = draw(st.integers(0, 6))
    names = [f"c {at}" if at % 3 == 0 else f"c{at}" for at in range(len(kinds))]
    columns = [
        Column(name, *kind, unit=draw(st.sampled_from(["", "deg"])), ucd="meta.id", description="a <b> & c")
        for name, kind in zip(names, kinds, strict=True)
    ]
    arrays = [
        pa.array(draw(st.lists(st.none() | _values(column), min_size=rows, max_size=rows)), field.type)
        for column, field in zip(columns, arrow_schema(columns), strict=True)
    ]
    return columns, pa.table(arrays, schema=arrow_schema(columns))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tables(), st.sampled_from(["votable/td", "votable/b2"]), st.integers(1, 4))
def test_what_is_written_is_read_again(given: tuple[list[Column], pa.Table], name: str, size: int) -> None:
    columns, table = given
    answer = Answer(columns, table.to_batches(max_chunksize=size))
    known, again = read_upload("t", b"".join(write(output_format(name)[0], answer)), rows=10)
    assert list(known.columns) == columns
    assert again.schema == arrow_schema(columns)
    assert again.to_pylist() == table.to_pylist()


@pytest.mark.parametrize(
    ("version", "serialization"),
    [
        (version, serialization)
        for version in ("1.1", "1.2", "1.3", "1.4", "1.5")
        for serialization in ("tabledata", "binary", "binary2")
        if serialization != "binary2" or version >= "1.3"  # it began there
    ],
)
def test_astropys_tables_of_every_version(version: str, serialization: str) -> None:
    mask = [False, False, True]
    table = Table(
        {
            "s": MaskedColumn(np.array([1, -2, 3], "i2"), mask=mask),
            "i": MaskedColumn(np.array([1, -2, 3], "i4"), mask=mask),
            "l": MaskedColumn(np.array([1 << 60, -2, 3], "i8"), mask=mask),
            "f": np.array([0.1, np.nan, np.inf], "f4"),
            "d": np.array([0.1, np.nan, -np.inf]),
            "t": np.array(["a", "bc & d", "e"]),
            "b": np.array([True, False, True]),
            "p": np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]),
        }
    )
    file = from_table(table)
    file.version = version
    for field in file.get_first_table().fields[:3]:
        field.values.null = -99
    buffer = io.BytesIO()
    file.to_xml(buffer, tabledata_format=serialization)
    _, again = read_upload("t", buffer.getvalue(), rows=3)
    found = again.to_pydict()
    assert (found["s"], found["i"], found["l"]) == ([1, -2, None], [1, -2, None], [1 << 60, -2, None])
    assert found["f"] == [float(np.float32(0.1)), None, math.inf]
    assert found["d"] == [0.1, None, -math.inf]
    assert (found["t"], found["b"]) == (["a", "bc & d", "e"], [True, False, True])
    assert found["p"] == [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]


def test_texts_of_tabledata() -> None:
    assert cells("int", [" 7\n", "+8", "0x1F", "", "-99"], null="-99") == [7, 8, 31, None, None]
    assert cells("double", ["1e3", "+Inf", "-Inf", "NaN", "", ".5", "Infinity"]) == [
        1000, math.inf, -math.inf, None, None, 0.5, math.inf,
    ]  # fmt: skip
    assert cells("boolean", ["T", "f", "1", "0", "?", "", "TRUE"]) == [
        True, False, True, False, None, None, True,
    ]  # fmt: skip
    assert cells("char", ["a &amp; b", "<![CDATA[<x>]]>", " c ", "", "n/a"], arraysize="*", null="n/a") == [
        "a & b", "<x>", " c ", None, None,
    ]  # fmt: skip
    assert cells("double", [" 1  2 ", "", "NaN NaN"], arraysize="2", xtype="point") == [[1, 2], None, None]
    assert cells("short", ["1 2 3", "", "4"], arraysize="*") == [[1, 2, 3], None, [4]]
    times = cells("char", ["2020-01-02", "2020-01-02T03:04:05.6Z", "2020-01-02 03:04:05.123456789", ""],
                  arraysize="*", xtype="timestamp")  # fmt: skip
    assert [str(each) for each in times] == [
        "2020-01-02 00:00:00", "2020-01-02 03:04:05.600000", "2020-01-02 03:04:05.123456", "None",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("datatype", "text", "more", "said"),
    [
        ("int", "1.5", {}, "'1.5' in row 2, which is not a whole number"),
        ("short", "40000", {}, "out of range"),
        ("double", "abc", {}, "'abc' in row 2"),
        ("double", "1 2 3", {"arraysize": "2"}, "should have 2 numbers in each cell, and has 3 in row 2"),
        ("boolean", "maybe", {}, "'maybe' in row 2"),
        ("char", "yesterday", {"arraysize": "*", "xtype": "timestamp"}, "'yesterday' in row 2"),
        ("bit", "1", {"arraysize": "8"}, r"bit\[8\], which cannot be queried"),
        ("doubleComplex", "1 2", {}, "doubleComplex, which cannot be queried"),
        ("char", "ab", {"arraysize": "2x3"}, r"char\[2x3\]"),
        ("wide", "1", {}, "wide"),
    ],
)
def test_values_that_are_none(datatype: str, text: str, more: dict[str, str], said: str) -> None:
    first = {"double": "1 2" if more else "1", "char": "2020-01-01"}.get(datatype, "1")
    with pytest.raises(UploadError, match=said):
        cells(datatype, [first, text], **more)


ROW = "<TABLEDATA><TR><TD>1</TD></TR></TABLEDATA>"
INT = '<FIELD name="a" datatype="int"/>'
LAUGHS = b"""<!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;">]><VOTABLE>&lol2;</VOTABLE>"""


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (LAUGHS, "document type"),
        (b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><VOTABLE/>', "document type"),
        (b"<VOTABLE>&what;</VOTABLE>", "not well-formed"),
        (b"<VOTABLE>" + b"<RESOURCE>" * 100_000, "nested deeper"),
        (b"<html><body/></html>", "root is html"),
        (b"<VOTABLE><RESOURCE/></VOTABLE>", "without a TABLE"),
        (document(INT, ROW)[:-30], "not well-formed"),
        (b"", "empty"),
        (b" \n", "empty"),
        (document("", ""), "no columns"),
        (document(INT + INT, "<TABLEDATA/>"), "named a and a"),
        (document(INT + INT.replace('"a"', '"A"'), "<TABLEDATA/>"), "named a and A"),
        (document('<FIELD datatype="int"/>', "<TABLEDATA/>"), "has no name"),
        (document('<FIELD name="a"/>', "<TABLEDATA/>"), "no datatype"),
        (document(INT, "<TABLEDATA><TR><TD>1</TD><TD>2</TD></TR></TABLEDATA>"), "Row 1 has 2 cells"),
        (document(INT, "<TABLEDATA><TR/></TABLEDATA>"), "Row 1 has 0 cells"),
        (document(INT, '<FITS><STREAM encoding="base64"/></FITS>'), "FITS"),
        (document(INT, '<BINARY><STREAM href="http://x/y"/></BINARY>'), "not base64"),
        (document(INT, '<BINARY><STREAM encoding="base64">AAAAA</STREAM></BINARY>'), "not base64"),
        (document(INT, '<BINARY><STREAM encoding="base64">A*==</STREAM></BINARY>'), "not base64"),
        (document(INT, '<BINARY><STREAM encoding="base64">AAAA</STREAM></BINARY>'), "middle of a row"),
        (document(INT, "<TABLEDATA>" + "<TR><TD>1</TD></TR>" * 6 + "</TABLEDATA>"), "more than 5 rows"),
        (document(INT, '<BINARY><STREAM encoding="base64">' + "AAAA" * 8 + "</STREAM></BINARY>"), "more than 5 rows"),
        (gzip.compress(document(INT, ROW), mtime=0)[:-12], "gzipped"),
        (gzip.compress(bytes(300 << 20), 1, mtime=0), "inflates to more than"),
        (b"\x89PNG\r\n\x1a\n\0\0", "no table that is known"),
    ],
)  # fmt: skip
def test_what_is_broken_is_told_so(content: bytes, said: str) -> None:
    begun = time.thread_time()  # seconds of work, whatever else the machine does
    with pytest.raises(UploadError, match=said) as caught:
        read_upload("t", content, rows=5)
    assert str(caught.value).startswith("Upload t: ")
    assert time.thread_time() - begun < 5


@pytest.mark.parametrize("name", ["1a", "a b", "", "a.b", "é", "a\n"])
def test_names_of_uploads(name: str) -> None:
    with pytest.raises(UploadError, match="cannot be named"):
        read_upload(name, document(INT, ROW), rows=5)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60), st.booleans())
def test_any_bytes_in_a_stream_are_read_or_refused(data: bytes, flags: bool) -> None:
    kind = "BINARY2" if flags else "BINARY"
    fields = INT + (
        '<FIELD name="t" datatype="char" arraysize="*"/><FIELD name="u" datatype="unicodeChar" arraysize="*"/>'
        '<FIELD name="d" datatype="double" arraysize="*"/>'
    )
    stream = f'<{kind}><STREAM encoding="base64">{base64.b64encode(data).decode()}</STREAM></{kind}>'
    try:
        _, table = read_upload("t", document(fields, stream), rows=10)
    except UploadError:
        return
    table.validate(full=True)
    assert table.num_rows <= 10


def test_prefixes_comments_groups_and_a_second_table() -> None:
    text = f"""<?xml version="1.0" encoding="ISO-8859-1"?>
    <v:VOTABLE xmlns:v="{NAMESPACE}" version="1.4"><v:RESOURCE><v:TABLE><v:DESCRIPTION> All \xe4
    of it</v:DESCRIPTION><v:PARAM name="p" datatype="int" value="3"><v:DESCRIPTION>no</v:DESCRIPTION></v:PARAM>
    <v:FIELD name='a "b"' datatype="int" unit="m" ucd="x" utype="y"><v:DESCRIPTION>yes</v:DESCRIPTION></v:FIELD>
    <v:DATA><v:TABLEDATA><!-- one --><v:TR><v:TD>1<!-- two -->2</v:TD></v:TR></v:TABLEDATA></v:DATA></v:TABLE>
    <v:TABLE><v:FIELD name="z" datatype="bit"/></v:TABLE></v:RESOURCE></v:VOTABLE>"""
    table, rows = read_upload("t", text.encode("latin-1"), rows=5)
    assert table.columns == (Column('a "b"', "int", "", "", "m", "x", "y", "yes"),)
    assert (table.qualified, table.description, table.rows) == ("TAP_UPLOAD.t", "All ä of it", 1)
    assert rows.to_pydict() == {'a "b"': [12]}


def test_long_streams_and_many_rows() -> None:
    numbers = np.arange(2_000_000, dtype=">f8")  # 21 MB of base64 in one text
    stream = f'<BINARY><STREAM encoding="base64">{base64.encodebytes(numbers.tobytes()).decode()}</STREAM></BINARY>'
    content = gzip.compress(document('<FIELD name="d" datatype="double"/>', stream), 1)
    _, table = read_upload("t", content, rows=2_000_000)
    assert table["d"][-1].as_py() == 1_999_999.0


def test_texts_that_do_not_fit_their_size() -> None:
    rows = "<TABLEDATA><TR><TD>a</TD></TR><TR><TD>abc</TD></TR></TABLEDATA>"
    for size, kept in (("", "*"), ("2", "*"), ("3", "3"), ("9*", "9*")):
        sized = f' arraysize="{size}"' if size else ""
        table, _ = read_upload("t", document(f'<FIELD name="a" datatype="char"{sized}/>', rows), rows=5)
        assert table.columns[0].arraysize == kept
