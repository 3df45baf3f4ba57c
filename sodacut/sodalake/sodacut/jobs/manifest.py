"""The manifest: which result belongs to which target, for programs.

One line a target, in the user's order, every target exactly once, whatever became of it. Ids are text in every
format. Three formats, all made column by column: 10 000 lines take some 30 ms each.

========== ==========================================================================================
csv        RFC 4180, UTF-8, CRLF; nothing where a value is not known
json       a list of objects; null where a value is not known
votable    VOTable 1.4 TABLEDATA; FIELD ID is its name; QUERY_STATUS OK before the table (DALI 1.1, 4.4)
========== ==========================================================================================
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sodalake.sodacut.jobs.reports import ENTRIES, IMAGE_ENTRIES, UnitReport

__all__ = [
    "COLUMNS", "IMAGE_COLUMNS", "MANIFEST_TYPES", "manifest_csv", "manifest_json", "manifest_table",
    "manifest_votable", "manifests",
]  # fmt: skip


_NOT_PLAIN = '[\\x00-\\x1f"\\\\]'
_NOT_XML = "[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x{fffe}\\x{ffff}]"  # characters that XML 1.0 does not have


_MANY: Final = 1000  # rows from which threads are worth their start


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the manifest; `datatype` is VOTable's."""

    name: str
    datatype: str
    ucd: str
    description: str
    unit: str = ""


def _columns(own: Sequence[Column]) -> tuple[Column, ...]:
    return (
        Column("row", "long", "meta.record", "Number of the target in the list, from 1."),
        Column(
            "id", "char", "meta.id;meta.main", "The user's own id; the row's number where there was none."
        ),
        Column("ra", "double", "pos.eq.ra", "Right ascension that was asked for (ICRS).", "deg"),
        Column("dec", "double", "pos.eq.dec", "Declination that was asked for (ICRS).", "deg"),
        Column("survey", "char", "meta.dataset", "Survey of the target."),
        *own,
        Column("file", "char", "meta.id;meta.file", "Name of the result in its container."),
        Column("url", "char", "meta.ref.url", "Where the result is."),
        Column(
            "bytes",
            "long",
            "phys.size;meta.file",
            "Length of the result (of its pixels, in a table).",
            "byte",
        ),
        Column("sha256", "char", "meta.checksum", "SHA-256 of the result, hexadecimal."),
        Column("status", "char", "meta.code.status", "OK, NO_OVERLAP, NOT_FOUND or ERROR."),
        Column("message", "char", "meta.note", "What went wrong, and what to do about it."),
        Column("seconds", "double", "time.duration", "Time the result took to make.", "s"),
        Column("archive_file", "char", "meta.ref.uri", "Where in the archive its pixels were read from."),
    )


COLUMNS: Final = _columns(
    (
        Column("alert", "char", "meta.id;obs", "Id of the alert."),
        Column("object", "char", "meta.id;src", "Id of the alert's object."),
    )
)
"""Of a job on alerts."""

IMAGE_COLUMNS: Final = _columns(
    (
        Column("image", "char", "meta.id;obs", "Id of the image that was asked for by its id."),
        Column(
            "images", "char", "meta.id;obs", "Ids of the images that went into the result, percent-escaped."
        ),
        Column("covered", "double", "stat.filling", "Share of the result's pixels that its images reach."),
    )
)
"""Of a job on images."""

MANIFEST_TYPES: Final[Mapping[str, str]] = {
    "manifest.csv": "text/csv; charset=utf-8; header=present",
    "manifest.json": "application/json",
    "manifest.vot": "application/x-votable+xml",
}
"""Names of the manifests, and their content types."""


def manifest_table(
    reports: Iterable[UnitReport], targets: int, *, urls: str = "", container: str = ""
) -> Any:
    """Return the manifest as a pyarrow.Table.

    Parameters
    ----------
    reports
        Of all units, in any order; `reports.lost` makes those of units that failed for good.
    targets
        How many there are.
    urls
        What stands before a file's name in its URL; empty: results have none.
    container
        Name of the table that holds the results, where they have no files of their own.

    Raises
    ------
    ValueError
        A target is missing, or comes twice: no manifest is better than a wrong one.
    """
    batches = [report.entries for report in reports]
    schema = batches[0].schema if batches else ENTRIES
    columns = IMAGE_COLUMNS if schema.equals(IMAGE_ENTRIES) else COLUMNS
    whole = pa.Table.from_batches(batches, schema)
    rows = whole["row"].to_numpy()
    order = np.argsort(rows, kind="stable")
    if not np.array_equal(rows[order], np.arange(1, targets + 1)):
        raise ValueError(f"the manifest has {len(rows)} lines for {targets} targets, or not one of each")
    whole = whole.take(pa.array(order))
    if container:
        there = pc.equal(whole["status"], "OK")
        names = pc.if_else(there, container, whole["file"])
        whole = whole.set_column(whole.schema.get_field_index("file"), "file", names)
    nothing = pa.nulls(targets, pa.string())
    url = pc.binary_join_element_wise(urls, whole["file"], "") if urls else nothing
    return pa.table({one.name: url if one.name == "url" else whole[one.name] for one in columns})


def manifests(table: Any) -> dict[str, bytes]:
    """Return all three manifests by their names (`MANIFEST_TYPES`)."""
    writers = {"manifest.csv": manifest_csv, "manifest.json": manifest_json, "manifest.vot": manifest_votable}
    if table.num_rows < _MANY:
        return {name: write(table) for name, write in writers.items()}
    # Most of the time is Arrow's, outside of the interpreter.
    with ThreadPoolExecutor(len(writers)) as pool:
        return dict(zip(writers, pool.map(lambda write: write(table), writers.values()), strict=True))


def manifest_csv(table: Any) -> bytes:
    """The manifest as CSV (RFC 4180)."""
    columns = []
    for column in table.columns:
        text = _texts(column)
        if pa.types.is_string(column.type):
            quoted = pc.binary_join_element_wise('"', pc.replace_substring(text, '"', '""'), '"', "")
            text = pc.if_else(pc.match_substring_regex(text, '[",\\r\\n]'), quoted, text)
        columns.append(text)
    lines = pc.binary_join_element_wise(*columns, ",").to_pylist()
    return "\r\n".join([",".join(table.column_names), *lines, ""]).encode()


def manifest_json(table: Any) -> bytes:
    """The manifest as a JSON list of objects."""
    members: list[Any] = []
    for name, column in zip(table.column_names, table.columns, strict=True):
        members += [f'{", " if members else "{"}"{name}": ', _json_values(column)]
    lines = pc.binary_join_element_wise(*members, "}", "").to_pylist() if table.num_rows else []
    return ("[\n" + ",\n".join(lines) + "\n]\n").encode()


def _json_values(column: Any) -> Any:
    """Return a column as JSON, null where there is no value or none that JSON has."""
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_finite(column), column, None)
    if not pa.types.is_string(column.type):
        return pc.fill_null(pc.cast(column, pa.string()), "null")
    if pc.any(pc.match_substring_regex(column, _NOT_PLAIN)).as_py():
        # Escaped one by one: the few columns that hold such characters are the users' own.
        texts = [
            None if text is None else json.dumps(text, ensure_ascii=False) for text in column.to_pylist()
        ]
        return pc.fill_null(pa.array(texts, pa.string()), "null")
    return pc.fill_null(pc.binary_join_element_wise('"', column, '"', ""), "null")


def manifest_votable(table: Any) -> bytes:
    """The manifest as VOTable 1.4."""
    columns = IMAGE_COLUMNS if "images" in table.column_names else COLUMNS
    fields = "\n".join(_field(column) for column in columns)
    head = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">\n'
        '<RESOURCE type="results">\n<INFO name="QUERY_STATUS" value="OK"/>\n'
        f'<TABLE name="manifest" nrows="{table.num_rows}">\n{fields}\n<DATA><TABLEDATA>\n'
    )
    cells = [_cells(table[column.name]) for column in columns]
    lines = pc.binary_join_element_wise(*cells, "</TD><TD>").to_pylist()
    body = "".join(f"<TR><TD>{line}</TD></TR>\n" for line in lines)
    return (head + body + "</TABLEDATA></DATA>\n</TABLE>\n</RESOURCE>\n</VOTABLE>\n").encode()


def _field(column: Column) -> str:
    array = ' arraysize="*"' if column.datatype == "char" else ""
    unit = f' unit="{column.unit}"' if column.unit else ""
    # VOTable's char is ASCII by its letter; users' ids and messages may have more.
    datatype = "unicodeChar" if column.name in ("id", "message") else column.datatype
    return (
        f'<FIELD ID="{column.name}" name="{column.name}" datatype="{datatype}"{array}{unit} ucd="{column.ucd}">'
        f"<DESCRIPTION>{column.description}</DESCRIPTION></FIELD>"
    )


def _texts(column: Any) -> Any:
    """Return a column as text, empty where it is null."""
    return pc.fill_null(pc.cast(column, pa.string()), "")


def _cells(column: Any) -> Any:
    """Return a column as text for XML, empty where it is null."""
    text = _texts(column)
    if not pa.types.is_string(column.type):
        return text
    for mark, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\r", "&#13;")):
        text = pc.replace_substring(text, mark, entity)
    return pc.replace_substring_regex(text, _NOT_XML, "\ufffd")
