"""CSV and TSV with a header line; the types are what the values look like."""

from __future__ import annotations

import io
import re
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from sodalake.tap.errors import UploadError

from .arrowtables import columns_of_arrow
from .columns import Read, check_rows

__all__ = ["read_csv", "read_tsv"]

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|")
_DIGITS: Final = "^[+-]?[0-9]{16,}$"  # more digits than a double keeps
_NULLS: Final = ["", "NULL", "null", "NaN", "nan"]


def read_csv(content: bytes, rows: int) -> Read:
    """Read CSV (RFC 4180); quoted empty texts are texts, empty cells nulls.

    Raises
    ------
    UploadError
        No text, no header line, rows of other lengths than the header, or too many of them.
    """
    return _read(content, rows, ",")


def read_tsv(content: bytes, rows: int) -> Read:
    """Read tab-separated values, which have no quotes.

    Raises
    ------
    UploadError
        As `read_csv`.
    """
    return _read(content, rows, "\t")


def _read(content: bytes, rows: int, separator: str) -> Read:
    content = content.removeprefix(b"\xef\xbb\xbf")
    if content.startswith(b"# %ECSV"):
        raise UploadError(
            "It is ECSV, which is not taken.", "Send it as VOTable, which keeps units and types too."
        )
    if b"\0" in content:
        raise UploadError(
            "It is no table that is known here.",
            "Send a VOTable, FITS, Parquet, Arrow, CSV or TSV file.",
        )
    try:
        content.decode()
    except UnicodeDecodeError as error:
        raise UploadError(
            f"It is not UTF-8: byte {error.start} is {content[error.start]:#x}.", "Save it so."
        ) from error
    if separator == "," and content.count(b'"') % 2:
        # What follows an open quote, rows and all, would become one text
        raise UploadError(
            "A quote is opened in it and never closed.", 'Write a quote inside a quoted text as "".'
        )
    table = _table(content, separator, {})
    if all(_NUMBER.fullmatch(name.strip()) for name in table.column_names):
        raise UploadError("Its first line has numbers, not names.", "Put the names of the columns there.")
    check_rows(table.num_rows, rows)
    names = table.column_names
    if len({name.lower() for name in names}) == len(names):
        # Ids of many digits that no 64-bit integer holds were read as doubles: they stay what they are, as texts. So do
        # times of a day: 12:30:00 may be an angle as well
        read = {
            field.name: pa.string()
            for field in table.schema
            if pa.types.is_floating(field.type) or pa.types.is_time(field.type)
        }
        exact = _table(content, separator, read) if read else table
        for at, field in enumerate(table.schema):
            if pa.types.is_time(field.type) or (
                field.name in read and pc.any(pc.match_substring_regex(exact[at], _DIGITS)).as_py()
            ):
                table = table.set_column(at, field.name, exact[at])
    columns, arrays = columns_of_arrow(table.rename_columns([name.strip() for name in names]))
    return Read(columns, arrays)


def _table(content: bytes, separator: str, types: dict[str, pa.DataType]) -> pa.Table:
    quoted = separator == ","
    problems: list[str] = []

    def wrong(row: pyarrow.csv.InvalidRow) -> str:
        problems.append(f"A row has {row.actual_columns} cells, and there are {row.expected_columns} columns")
        return "error"

    try:
        return pyarrow.csv.read_csv(
            io.BytesIO(content),
            pyarrow.csv.ReadOptions(use_threads=False),
            pyarrow.csv.ParseOptions(
                delimiter=separator,
                quote_char='"' if quoted else False,
                newlines_in_values=quoted,
                invalid_row_handler=wrong,
            ),
            pyarrow.csv.ConvertOptions(
                column_types=types,
                null_values=_NULLS,
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
    except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
        reason = problems[0] if problems else str(error).partition("\n")[0][:200]
        raise UploadError(
            f"It is no {'CSV' if quoted else 'TSV'} that can be read: {reason}.",
            "The first line names the columns; the others have a cell for each.",
        ) from error
