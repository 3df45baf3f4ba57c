import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io.votable import from_table, writeto
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st

from sodalake.benchmarks.rowcounts import WrongAnswer, rows_of, told_error, wrong_rows

OK = b'<INFO name="QUERY_STATUS" value="OK"></INFO>'
OVERFLOW = b'<INFO name="QUERY_STATUS" value="OVERFLOW"/>'


def votable(table: Table, form: str, status: bytes = OK) -> bytes:
    file = io.BytesIO()
    writeto(from_table(table), file, tabledata_format=form)
    return file.getvalue().replace(b"<TABLE", status + b"<TABLE", 1)


def some(rows: int, texts: list[str], columns: int) -> Table:
    """Columns of all kinds, as many as fill more than one byte of the mask of nulls."""
    table = Table()
    for number in range(columns):
        table[f"i{number}"] = np.arange(rows, dtype=(np.int16, np.int32, np.int64)[number % 3])
        table[f"f{number}"] = np.linspace(0, 1, rows, dtype=(np.float32, np.float64)[number % 2])
        table[f"b{number}"] = np.arange(rows, dtype=np.uint8)
    table["t"] = np.array([texts[number % len(texts)] for number in range(rows)], dtype=object)
    table["last"] = np.zeros(rows)
    return table


@given(
    st.integers(1, 40),
    st.lists(st.text("abc <&é", max_size=9), min_size=1, max_size=5),
    st.integers(0, 5),
    st.sampled_from(["tabledata", "binary2"]),
)
@settings(max_examples=40, deadline=None)
def test_rows_are_as_many_as_astropy_has_written(
    rows: int, texts: list[str], columns: int, form: str
) -> None:
    content = votable(some(rows, texts, columns), form)
    assert rows_of(content) == rows
    assert wrong_rows(bytearray(content), rows) == ""
    assert wrong_rows(content, rows + 1) == f"{rows} rows instead of {rows + 1}"


@pytest.mark.parametrize("form", ["tabledata", "binary2"])
def test_an_answer_that_is_not_whole_has_no_rows(form: str) -> None:
    table = some(5, ["a"], 1)
    whole = votable(table, form)
    for content in (whole[:-40], votable(table, form, OVERFLOW), votable(table, form, b"")):
        with pytest.raises(WrongAnswer):
            rows_of(content)
    late = whole.replace(b"</TABLE>", b'</TABLE><INFO name="QUERY_STATUS" value="ERROR">It broke.</INFO>')
    assert wrong_rows(late, 5) == "a VOTable that is not OK: It broke."


def test_a_binary_stream_that_breaks_off_is_noticed() -> None:
    whole = votable(some(5, ["abc"], 1), "binary2")
    begin = whole.index(b">", whole.index(b"<STREAM")) + 1
    begin += whole[begin : begin + 1].isspace()
    for kept in (23, 24):
        with pytest.raises(WrongAnswer, match="breaks off"):
            rows_of(whole[: begin + kept] + whole[whole.index(b"</STREAM>") :])


def test_parquet_and_csv_are_counted() -> None:
    file = io.BytesIO()
    pq.write_table(pa.table({"a": range(7)}), file)
    assert rows_of(file.getvalue()) == 7
    with pytest.raises(WrongAnswer):
        rows_of(file.getvalue()[:-20])
    assert rows_of(b"a,b\r\n1,2\r\n3,4\r\n") == 2


def test_what_an_error_says_is_found() -> None:
    said = b'<VOTABLE><RESOURCE><INFO name="QUERY_STATUS" value="ERROR">No such table.</INFO></RESOURCE></VOTABLE>'
    assert told_error(said) == "No such table."
    assert told_error(b"") == ""
