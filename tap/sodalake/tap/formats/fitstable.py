"""FITS: one binary table (FITS 4.0, 7.3). Its header says how many rows there are, and how wide texts are.

Both are known at the end alone, so the answer goes to a temporary file first, as Arrow, and is read from there again:
what is held in memory is one batch. Texts that differ much in length, and arrays of any length, stand in the heap.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO, Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc

from sodalake.lake.importing import IMPORTS
from sodalake.tap.answers import Answer, Ending
from sodalake.tap.errors import FormatError
from sodalake.tap.metadata import Column

from .endings import whole
from .shapes import BIG_ENDIAN, NULLS, Shape, shapes_of
from .slices import rows_at_once, slices
from .texts import bytes_of, is_ascii, lengths_of, timestamps

__all__ = ["fits_table"]

_BLOCK: Final = 2880
_LETTERS: Final = {
    "boolean": "L",
    "unsignedByte": "B",
    "short": "I",
    "int": "J",
    "long": "K",
    "float": "E",
    "double": "D",
    "char": "A",
    "unicodeChar": "A",
}
_WIDE_TEXT: Final = 64  # bytes; wider columns that are mostly empty go to the heap

Bytes = npt.NDArray[np.uint8]


@dataclass(slots=True)
class _Known:
    """What is learnt of a column while its values go by.

    Attributes
    ----------
    longest
        Most numbers or bytes of a cell.
    total
        Numbers or bytes of all cells.
    nulls, low, high
        Whether there are nulls, and between which numbers the others are: for TNULL.
    replaced
        Whether letters became ``?``.
    """

    column: Column
    shape: Shape
    longest: int = 0
    total: int = 0
    nulls: bool = False
    low: int = 0
    high: int = 0
    replaced: bool = False
    kind: Any = field(init=False)

    def __post_init__(self) -> None:
        self.kind = np.dtype("u1" if self.shape.text else BIG_ENDIAN[self.column.datatype])

    def see(self, array: pa.Array) -> None:
        """Learn from a batch's values."""
        self.nulls = self.nulls or bool(array.null_count)
        if self.shape.text or self.shape.array:
            lengths = lengths_of(array) if self.shape.text else _list_lengths(array)
            self.longest = max(self.longest, int(lengths.max(initial=0)))
            self.total += int(lengths.sum())
        elif self.column.datatype in NULLS and array.null_count < len(array):
            ends = pc.min_max(array)
            self.low, self.high = min(self.low, ends["min"].as_py()), max(self.high, ends["max"].as_py())

    def in_heap(self, rows: int) -> bool:
        """Say whether cells stand in the heap."""
        if self.shape.array:
            return self.shape.length is None
        return (
            self.shape.text and self.longest > _WIDE_TEXT and self.longest * rows > 2 * self.total + 16 * rows
        )

    def null(self) -> int | None:
        """Return a number that stands for null, which no value is.

        Raises
        ------
        FormatError
            Values reach from the lowest number to the highest.
        """
        if not self.nulls or self.shape.text or self.shape.array or self.column.datatype not in NULLS:
            return None
        usual = NULLS[self.column.datatype]
        highest = int(np.iinfo(self.kind).max)
        for candidate, free in (
            (usual, self.high < usual if self.kind.kind == "u" else self.low > usual),
            (highest, self.high < highest),
        ):
            if free:
                return candidate
        raise FormatError(
            f"Column {self.column.name} has nulls, and no number is left that could say so in FITS.",
            "Ask for VOTable or Parquet.",
        )


def fits_table(answer: Answer) -> Iterator[bytes]:
    """Write an answer as FITS.

    Raises
    ------
    FormatError
        A column that FITS cannot hold; or the answer ended with an error.
    """
    columns = tuple(answer.columns)
    known = [_Known(column, shape) for column, shape in zip(columns, shapes_of(columns), strict=True)]
    if len(known) > 999:
        raise FormatError("FITS tables have at most 999 columns.", "Select fewer, or ask for VOTable.")
    with tempfile.TemporaryFile(prefix="sodalake-fits-") as spool:
        rows = _spooled(columns, known, answer.batches, spool)
        ending = whole(answer)
        heap = [each.in_heap(rows) for each in known]
        row = _row(known, heap)
        size = sum(each.total * each.kind.itemsize for each, far in zip(known, heap, strict=True) if far)
        yield _header(answer, ending, known, heap, row, rows, size)
        at = 0
        for batch in _again(spool):
            part, at = _packed(known, heap, row, batch, at)
            yield part
        if size:
            for batch in _again(spool):
                for each, far, array in zip(known, heap, batch.columns, strict=True):
                    if far:
                        yield _cells(each, array)[0].tobytes()
        yield bytes(-(rows * row.itemsize + size) % _BLOCK)


def _spooled(
    columns: tuple[Column, ...], known: Sequence[_Known], batches: Iterable[pa.RecordBatch], spool: IO[bytes]
) -> int:
    """Write all rows to a file, with times as texts and texts in ASCII, and return how many there are."""
    rows = 0
    writer: pa.RecordBatchStreamWriter | None = None
    for batch in slices(columns, batches, rows_at_once(columns)):
        arrays = [_plain(each, array) for each, array in zip(known, batch.columns, strict=True)]
        for each, array in zip(known, arrays, strict=True):
            each.see(array)
        plain = pa.RecordBatch.from_arrays(arrays, [f"c{at}" for at in range(len(arrays))])
        writer = writer or pa.ipc.new_stream(spool, plain.schema)
        writer.write_batch(plain)
        rows += batch.num_rows
    if writer is not None:
        writer.close()
    return rows


def _again(spool: IO[bytes]) -> Iterator[pa.RecordBatch]:
    if not spool.tell():
        return
    spool.seek(0)
    yield from pa.ipc.open_stream(spool)


def _plain(known: _Known, array: pa.Array) -> pa.Array:
    if pa.types.is_timestamp(array.type):
        return timestamps(known.column.name, array)
    if not known.shape.text:
        return array
    if not is_ascii(array):
        known.replaced = True
        array = pc.replace_substring_regex(array, "[^\x00-\x7f]", "?")
    # FITS has no room for what a printer would not print (FITS 4.0, 3.3.1)
    return pc.replace_substring_regex(array, "[\x00-\x1f\x7f]", " ") if _has_controls(array) else array


def _has_controls(array: pa.Array) -> bool:
    data = bytes_of(array)
    return bool(((data < 0x20) | (data == 0x7F)).any())


def _row(known: Sequence[_Known], heap: Sequence[bool]) -> Any:
    fields: list[tuple[Any, ...]] = []
    for at, (each, far) in enumerate(zip(known, heap, strict=True)):
        if far:
            fields.append((f"c{at}", ">i8", (2,)))
        elif each.shape.text:
            fields.append((f"c{at}", "u1", (max(each.longest, 1),)))
        elif each.shape.array:
            fields.append((f"c{at}", each.kind, (each.shape.length,)))
        else:
            fields.append((f"c{at}", each.kind))
    return np.dtype(fields)


def _packed(
    known: Sequence[_Known], heap: Sequence[bool], row: Any, batch: pa.RecordBatch, at: int
) -> tuple[bytes, int]:
    """Return a batch's rows, and where the heap stands behind it. The heap holds a batch's columns one by one."""
    part = np.zeros(batch.num_rows, row)
    for number, (each, far, array) in enumerate(zip(known, heap, batch.columns, strict=True)):
        cell = part[f"c{number}"]
        if not each.shape.text and not each.shape.array:
            cell[:] = _numbers(each, array)
            continue
        data, lengths = _cells(each, array)
        if far:
            sizes = lengths.astype(np.int64) * each.kind.itemsize
            cell[:, 0] = lengths
            cell[:, 1] = at + np.cumsum(sizes) - sizes
            at += int(sizes.sum())
        elif each.shape.text:
            rows = np.repeat(np.arange(len(lengths)), lengths)
            cell[rows, np.arange(len(data)) - np.repeat(np.cumsum(lengths) - lengths, lengths)] = data
        else:
            _fixed(each, data, lengths, array, cell)
    return part.tobytes(), at


def _fixed(
    known: _Known, data: npt.NDArray[Any], lengths: npt.NDArray[Any], array: pa.Array, cell: npt.NDArray[Any]
) -> None:
    there = array.is_valid().to_numpy(zero_copy_only=False)
    if (lengths[there] != known.shape.length).any():
        raise FormatError(
            f"Column {known.column.name} has room for {known.shape.length} numbers, and holds another number of them."
        )
    if known.kind.kind == "f":
        cell[:] = np.nan
    cell[there] = data.reshape(len(data) // (known.shape.length or 1), known.shape.length or 1)


def _numbers(known: _Known, array: pa.Array) -> npt.NDArray[Any]:
    if known.column.datatype == "boolean":
        array = pc.fill_null(pc.if_else(array, ord("T"), ord("F")), 0)
    elif known.column.datatype in NULLS and array.null_count:
        array = pc.fill_null(array, pa.scalar(known.null(), array.type))
    return np.asarray(array.to_numpy(zero_copy_only=False))


def _cells(known: _Known, array: pa.Array) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return what cells of any length hold, one after the other, and how many numbers or bytes each has."""
    if known.shape.text:
        lengths = lengths_of(array)
        return bytes_of(array), lengths
    values = array.flatten()
    if values.null_count and pa.types.is_integer(values.type):
        raise FormatError(
            f"Column {known.column.name} holds an array of integers with a null, which FITS has not."
        )
    return _numbers(known, values).astype(known.kind), _list_lengths(array)


def _list_lengths(array: pa.Array) -> npt.NDArray[Any]:
    return np.asarray(pc.fill_null(pc.list_value_length(array), 0))


def _header(
    answer: Answer,
    ending: Ending,
    known: Sequence[_Known],
    heap: Sequence[bool],
    row: Any,
    rows: int,
    size: int,
) -> bytes:
    with IMPORTS:
        from astropy.io import fits  # 0.3 s that other formats need not wait for

    table = fits.Header()
    table["XTENSION"] = "BINTABLE"
    for key, value in (
        ("BITPIX", 8),
        ("NAXIS", 2),
        ("NAXIS1", row.itemsize),
        ("NAXIS2", rows),
        ("PCOUNT", size),
    ):
        table[key] = value
    table["GCOUNT"], table["TFIELDS"] = 1, len(known)
    for number, (each, far) in enumerate(zip(known, heap, strict=True), 1):
        table[f"TTYPE{number}"] = _said(each.column.name)
        table[f"TFORM{number}"] = _form(each, far)
        if (null := each.null()) is not None:
            table[f"TNULL{number}"] = null
        for key, text in (
            ("TUNIT", each.column.unit),
            ("TUCD", each.column.ucd),
            ("TUTYP", each.column.utype),
            ("TXTYP", each.column.xtype),
            ("TCOMM", each.column.description),
        ):
            if text:
                table[f"{key}{number}"] = _said(text)
    if ending.status != "OK":
        table["QSTATUS"] = (ending.status, "there are more rows than these")
    for line in _history(answer, ending, known):
        table.add_history(_said(line))
    primary = fits.Header([("SIMPLE", True), ("BITPIX", 8), ("NAXIS", 0), ("EXTEND", True)])
    return bytes(f"{primary.tostring()}{table.tostring()}".encode("ascii"))


def _form(known: _Known, far: bool) -> str:
    letter = _LETTERS[known.column.datatype]
    if far:
        return f"1Q{letter}({known.longest})"
    if known.shape.text:
        return f"{max(known.longest, 1)}{letter}"
    return f"{known.shape.length}{letter}" if known.shape.array else letter


def _history(answer: Answer, ending: Ending, known: Sequence[_Known]) -> Iterator[str]:
    if answer.description:
        yield answer.description
    for info in answer.infos:
        yield f"{info.name}: {info.value} {info.content}".strip()
    if ending.status != "OK":
        yield f"QUERY_STATUS: {ending.status} {ending.message}".strip()
    for each in known:
        if each.replaced:
            yield f"Letters of column {each.column.name} that are not ASCII are written as ?"


def _said(text: str) -> str:
    """Return what a header can say of a text: ASCII in one line."""
    plain = " ".join(text.split()).encode("ascii", "replace").decode()
    return "".join(letter if letter.isprintable() else "?" for letter in plain)
