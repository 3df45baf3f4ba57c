"""VOTable 1.4 around the rows: what stands before and behind them (DALI 1.1, section 4; TAP 1.1, section 3).

Local validators know versions up to 1.4, and all since 1.3 share one namespace.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import pyarrow as pa

from sodalake.lake.errors import LakeError
from sodalake.tap.answers import Answer, Ending, Info
from sodalake.tap.metadata import Column

from .binary import Base64, Layout, wide_columns
from .idents import idents_of
from .markup import attribute, content
from .shapes import NULLS, shapes_of
from .slices import rows_at_once, slices
from .tabledata import tabledata

__all__ = ["error_document", "metadata_document", "votable"]

_OPEN: Final = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">\n'
    '<RESOURCE type="results">\n'
)


def votable(answer: Answer, serialization: str) -> Iterator[bytes]:
    """Write an answer as VOTable, in the serialization ``TABLEDATA``, ``BINARY2`` or ``BINARY``.

    What fails before the first rows are written is raised; what fails later stands behind the table, as QUERY_STATUS
    ERROR (DALI 1.1, 4.4.1).

    Raises
    ------
    FormatError
        No column, or one that no VOTable can hold.
    LakeError
        What the batches raise before the first of them is there.
    """
    columns = tuple(answer.columns)
    shapes_of(columns)
    batches = slices(columns, answer.batches, rows_at_once(columns))
    first = next(batches, None)
    if serialization != "TABLEDATA":
        columns = wide_columns(columns, first)
    before = _before(columns, serialization, answer.infos, answer.description)
    notes: list[Info] = []
    rows = _rows(columns, serialization, notes)
    ending: Ending
    if first is None:
        yield before
        ending = answer.ending()
    else:
        yield before + rows.put(first)
        try:
            for batch in batches:
                yield rows.put(batch)
            ending = answer.ending()
        except LakeError as error:
            ending = Ending("ERROR", str(error))
    yield rows.end() + _behind(serialization, ending, notes, answer.descriptors)


def error_document(message: str, infos: Iterable[Info] = ()) -> bytes:
    """Return the VOTable that tells of an error (TAP 1.1, 3.3): QUERY_STATUS with the message, and no table."""
    told = Info("QUERY_STATUS", "ERROR", message or "The request failed, and no reason is known.")
    return f"{_OPEN}{_infos((told, *infos))}</RESOURCE>\n</VOTABLE>\n".encode()


def metadata_document(columns: Sequence[Column], infos: Sequence[Info] = (), description: str = "") -> bytes:
    """Return a VOTable of columns without data: what VOParquet 1.0 keeps beside the rows."""
    return (
        f"{_OPEN}{_infos(infos)}<TABLE>\n{_described(description)}".encode()
        + _fields(tuple(columns), "TABLEDATA")
        + b"</TABLE>\n</RESOURCE>\n</VOTABLE>\n"
    )


class _Tabledata:
    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns

    def put(self, batch: pa.RecordBatch) -> bytes:
        return tabledata(self._columns, batch)

    def end(self) -> bytes:
        return b""


class _Binary:
    def __init__(self, columns: tuple[Column, ...], flags: bool, notes: list[Info]) -> None:
        self._layout = Layout.of(columns, flags)
        self._stream = Base64()
        self._notes = notes
        self._replaced: set[str] = set()

    def put(self, batch: pa.RecordBatch) -> bytes:
        packed, replaced = self._layout.pack(batch)
        for name in sorted(replaced - self._replaced):
            text = f"Column {name} has letters that are not ASCII, which BINARY cannot say; each is a ? here."
            self._notes.append(Info("warning", text, "Ask for votable/td to see them."))
        self._replaced |= replaced
        return self._stream.put(packed)

    def end(self) -> bytes:
        return self._stream.end()


def _rows(columns: tuple[Column, ...], serialization: str, notes: list[Info]) -> _Tabledata | _Binary:
    if serialization == "TABLEDATA":
        return _Tabledata(columns)
    return _Binary(columns, serialization == "BINARY2", notes)


def _before(
    columns: tuple[Column, ...], serialization: str, infos: Sequence[Info], description: str
) -> bytes:
    status = Info("QUERY_STATUS", "OK")
    stream = "" if serialization == "TABLEDATA" else '<STREAM encoding="base64">'
    return b"".join(
        (
            f"{_OPEN}{_infos((status, *infos))}<TABLE>\n{_described(description)}".encode(),
            _fields(columns, serialization),
            f"<DATA>\n<{serialization}>\n{stream}".encode(),
        )
    )


def _behind(serialization: str, ending: Ending, notes: Sequence[Info], descriptors: Sequence[str]) -> bytes:
    stream = "" if serialization == "TABLEDATA" else "</STREAM>\n"
    told = list(notes)
    if ending.status != "OK":
        told.append(Info("QUERY_STATUS", ending.status, ending.message or _ENDINGS[ending.status]))
    text = (
        f"{stream}</{serialization}>\n</DATA>\n</TABLE>\n{_infos(told)}</RESOURCE>\n"
        f"{''.join(each.strip() + chr(10) for each in descriptors)}</VOTABLE>\n"
    )
    return text.encode()


_ENDINGS: Final = {
    "OVERFLOW": "There are more rows than MAXREC allows.",
    "ERROR": "The query failed after its first rows.",
}


@functools.lru_cache(maxsize=256)
def _fields(columns: tuple[Column, ...], serialization: str) -> bytes:
    """Return the FIELD elements; the same columns are asked for again and again, and take 0.1 ms to describe."""
    return "".join(
        _field(column, ident, serialization)
        for column, ident in zip(columns, idents_of([column.name for column in columns]), strict=True)
    ).encode()


def _field(column: Column, ident: str, serialization: str) -> str:
    inside = _described(column.description)
    if serialization == "BINARY" and column.datatype in NULLS:
        inside += f'<VALUES null="{NULLS[column.datatype]}"/>\n'
    attributes = "".join(
        attribute(key, value)
        for key, value in (
            ("ID", ident),
            ("name", column.name),
            ("datatype", column.datatype),
            ("arraysize", column.arraysize),
            ("unit", column.unit),
            ("ucd", column.ucd),
            ("utype", column.utype),
            ("xtype", column.xtype),
        )
    )
    return f"<FIELD{attributes}>\n{inside}</FIELD>\n" if inside else f"<FIELD{attributes}/>\n"


def _infos(infos: Iterable[Info]) -> str:
    return "".join(
        f"<INFO{attribute('name', info.name)} value={_quoted(info.value)}"
        + (f">{content(info.content)}</INFO>\n" if info.content else "/>\n")
        for info in infos
    )


def _quoted(value: str) -> str:
    return attribute("value", value).removeprefix(" value=") or '""'


def _described(text: str) -> str:
    return f"<DESCRIPTION>{content(text)}</DESCRIPTION>\n" if text else ""
