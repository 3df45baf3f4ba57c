"""Lists as users send them: CSV, JSON or VOTable in, named columns of text out.

Everything stays the text it was. A 64-bit id that went through a floating point number has lost its last digits, so
no parser here makes numbers: whoever knows what a column means turns it into one.

A list that cannot be read raises `BadTargets`, which says where; a row with too few or too many cells is kept, with
what is wrong with it, so that the others are served.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sodalake.sodacut.errors import BadTargets
from sodalake.sodacut.jobs.votables import read_votable

__all__ = ["Format", "TextTable", "format_of", "read_list"]

Format = Literal["csv", "tsv", "json", "votable"]

_BY_TYPE: Mapping[str, Format] = {
    "text/csv": "csv",
    "application/csv": "csv",
    "text/tab-separated-values": "tsv",
    "application/json": "json",
    "application/x-votable+xml": "votable",
    "text/xml": "votable",
    "application/xml": "votable",
}
_BY_EXTENSION: Mapping[str, Format] = {
    "csv": "csv",
    "tsv": "tsv",
    "json": "json",
    "vot": "votable",
    "votable": "votable",
    "xml": "votable",
}
_MOST_COLUMNS = 1000
_NUMBER = re.compile(r"[+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?")


@dataclass(frozen=True, slots=True)
class TextTable:
    """A list, read.

    Attributes
    ----------
    columns
        Name in lower case → a value a row: text without blanks around it, None where there is nothing.
    problems
        Row (from 0) → what is wrong with it; such a row has None in every column.
    places
        Where each row stands, for messages: ``line 7``. Empty: it is ``row 7``, counted from 1.
    """

    columns: dict[str, list[str | None]]
    problems: dict[int, str] = field(default_factory=dict)
    places: Sequence[int] = ()

    @property
    def rows(self) -> int:
        """How many there are."""
        return len(next(iter(self.columns.values()), []))

    def place(self, row: int) -> str:
        """Say where a row stands."""
        return f"line {self.places[row]}" if self.places else f"row {row + 1}"


def format_of(body: bytes, content_type: str = "", filename: str = "") -> Format:
    """Say what a list is: by its Content-Type, else by the extension of its name, else by how it begins."""
    declared = _BY_TYPE.get(content_type.partition(";")[0].strip().lower())
    if declared is not None:
        return declared
    extension = _BY_EXTENSION.get(filename.rpartition(".")[2].lower()) if "." in filename else None
    if extension is not None:
        return extension
    start = body[:1000].removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if start == b"<":
        return "votable"
    return "json" if start in (b"[", b"{") else "csv"


def read_list(body: bytes, content_type: str = "", filename: str = "", *, most: int = 0) -> TextTable:
    """Read a list.

    Parameters
    ----------
    most
        How many rows it may have; 0: any number.

    Raises
    ------
    BadTargets
        It cannot be read, has no rows or too many, or names a column twice. The sentence says line and column.
    """
    if not body.strip():
        raise BadTargets("The list of targets is empty.", "Send a line of column names and a line a target.")
    form = format_of(body, content_type, filename)
    if form == "votable":
        table = TextTable(_named(*read_votable(body)))
    else:
        text = _decoded(body)
        table = _json(text) if form == "json" else _csv(text, form)
    if not table.rows:
        raise BadTargets("The list of targets has column names, but no rows.", "Add a row a target.")
    if most and table.rows > most:
        raise BadTargets(
            f"The list has {table.rows} targets; a job takes {most}.", "Cut it into several lists."
        )
    return table


def _decoded(body: bytes) -> str:
    encoding = "utf-16" if body[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return body.decode(encoding)
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        column = error.start - body.rfind(b"\n", 0, error.start)
        raise BadTargets(
            f"The list is not UTF-8: byte 0x{body[error.start]:02x} at line {line}, column {column}.",
            "Save it as UTF-8 and send it again.",
        ) from None


def _named(names: Sequence[str], columns: Sequence[list[str | None]]) -> dict[str, list[str | None]]:
    """Return the columns by their names in lower case; those without a name are left out."""
    named: dict[str, list[str | None]] = {}
    for number, (name, column) in enumerate(zip(names, columns, strict=True), 1):
        key = name.strip().lower()
        if key in named:
            raise BadTargets(
                f"The list has two columns named {_short(name.strip())} (the second is column {number}; "
                "upper and lower case are the same).",
                "Rename or leave out one of them.",
            )
        if key:
            named[key] = column
    if not named:
        raise BadTargets("The list names no column.", "Its first line must name the columns.")
    return named


# ---------------------------------------------------------------------- CSV


def _csv(text: str, form: Format) -> TextTable:
    head = text.lstrip("\r\n").partition("\n")[0]
    delimiter = "\t" if form == "tsv" or ("\t" in head and "," not in head) else ","
    if delimiter == "," and "," not in head and ";" in head:
        delimiter = ";"  # what spreadsheets write where the comma is in the numbers
    # The standard library's reader: 100 000 rows of four cells in 0.08 s, and it knows the lines.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[list[str]] = []
    lines: list[int] = []
    names: list[str] | None = None
    line = 1
    try:
        for row in reader:
            if row and (row[0].strip() or any(map(str.strip, row))):
                if names is None:
                    names = row
                    _check_head(names, line)
                else:
                    rows.append(row)
                    lines.append(line)
            line = reader.line_num + 1
    except csv.Error as error:
        raise BadTargets(
            f"The list cannot be read as CSV at line {reader.line_num}: {error}.",
            "Put values with commas, quotes or line breaks in double quotes, and double the quotes inside.",
        ) from None
    if names is None:
        raise BadTargets("The list names no column.", "Its first line must name the columns.")
    problems = {
        at: f"It has {len(row)} cells where the first line names {len(names)} columns."
        for at, row in enumerate(rows)
        if len(row) != len(names)
    }
    empty = [""] * len(names)
    for at in problems:
        rows[at] = empty
    columns = [[cell.strip() or None for cell in column] for column in zip(*rows, strict=True)]
    return TextTable(_named(names, columns or [[] for _ in names]), problems, lines)


def _check_head(names: Sequence[str], line: int) -> None:
    if len(names) > _MOST_COLUMNS:
        raise BadTargets(f"Line {line} names {len(names)} columns; {_MOST_COLUMNS} are possible.")
    for number, name in enumerate(names, 1):
        if _NUMBER.fullmatch(name.strip()) or name.strip().lower().startswith("ivo://"):
            raise BadTargets(
                f"There is {_short(name)} at line {line}, column {number}, where the name of a column belongs.",
                "Begin the list with a line of column names, such as: id,ra,dec",
            )


# ---------------------------------------------------------------------- JSON


class _Members(list[tuple[str, Any]]):
    """The members of a JSON object, those that stand twice among them."""


def _json(text: str) -> TextTable:
    form = 'Send [{"id": …, "ra": …, "dec": …}, …] or {"columns": ["id", …], "rows": [[…], …]}.'
    try:
        # Numbers stay the text they were.
        content = json.loads(
            text, parse_float=str, parse_int=str, parse_constant=str, object_pairs_hook=_Members
        )
    except json.JSONDecodeError as error:
        raise BadTargets(
            f"The list is not JSON: {error.msg} at line {error.lineno}, column {error.colno}.", form
        ) from None
    except RecursionError:
        raise BadTargets("The list is nested too deeply.", form) from None
    if isinstance(content, _Members):
        return _json_columns(content, form)
    if not isinstance(content, list):
        raise BadTargets("The list is JSON, but no list.", form)
    return _json_objects(content)


def _json_columns(content: _Members, form: str) -> TextTable:
    members = {name.lower(): value for name, value in content}
    names, rows = members.get("columns"), members.get("rows")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise BadTargets('The JSON object has no "columns" that is a list of names.', form)
    if not isinstance(rows, list):
        raise BadTargets('The JSON object has no "rows" that is a list of lists.', form)
    problems: dict[int, str] = {}
    empty = [None] * len(names)
    for at, row in enumerate(rows):
        if not isinstance(row, list) or isinstance(row, _Members):
            problems[at] = "It is not a list of values."
        elif len(row) != len(names):
            problems[at] = f"It has {len(row)} values where {len(names)} columns are named."
    whole = [empty if at in problems else row for at, row in enumerate(rows)]
    columns: list[list[str | None]] = []
    for name, values in zip(names, zip(*whole, strict=True) if whole else [()] * len(names), strict=True):
        columns.append([_json_text(value, name, at, problems) for at, value in enumerate(values)])
    return TextTable(_named(names, columns), problems)


def _json_objects(content: list[Any]) -> TextTable:
    columns: dict[str, list[str | None]] = {}
    problems: dict[int, str] = {}
    for at, row in enumerate(content):
        if not isinstance(row, _Members):
            problems[at] = "It is not an object."
            continue
        for name, value in row:
            name = name.strip().lower()
            column = columns.get(name)
            if column is None:
                column = columns[name] = [None] * len(content)
                if len(columns) > _MOST_COLUMNS:
                    raise BadTargets(f"The objects have more than {_MOST_COLUMNS} different names.")
            if column[at] is not None:
                problems[at] = f"It names {_short(name)} twice."
            column[at] = _json_text(value, name, at, problems)
    if content and not columns:
        raise BadTargets(
            "The list holds no object with a name in it.", 'Send [{"id": …, "ra": …, "dec": …}, …].'
        )
    return TextTable(_named(list(columns), list(columns.values())), problems)


def _json_text(value: Any, name: str, at: int, problems: dict[int, str]) -> str | None:
    """Return a value as text: a list of numbers (a CIRCLE, say) is its numbers with blanks between them."""
    if isinstance(value, str):
        return value.strip() or None
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list) and not isinstance(value, _Members) and all(isinstance(v, str) for v in value):
        return " ".join(value) or None
    problems.setdefault(at, f"The value of {_short(name)} is no text or number.")
    return None


def _short(word: str) -> str:
    return repr(word if len(word) <= 40 else f"{word[:37]}...")
