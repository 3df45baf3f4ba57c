"""FITS binary tables (FITS 4.0, 7.3): the first of a file. Astropy reads the headers; columns are read from the bytes.

Astropy's own columns lose what tells nulls from values: the zero byte of a logical, the TNULL of a scaled integer.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sodalake.lake.importing import IMPORTS
from sodalake.tap.errors import UploadError
from sodalake.tap.metadata import Column, arrow_type

from .arrowtables import columns_of_arrow
from .cells import timestamps_of
from .columns import Read, check_rows, listed, masked, shape
from .letters import cut_at_nul, texts_of_bytes
from .streams import booleans

__all__ = ["read_fits"]

_TFORM = re.compile(r"(\d*)([PQ]?)([LXBIJKAEDCM])(.*)")
_TYPES: Final[dict[str, tuple[str, npt.DTypeLike]]] = {
    "L": ("boolean", "u1"),
    "B": ("unsignedByte", "u1"),
    "I": ("short", ">i2"),
    "J": ("int", ">i4"),
    "K": ("long", ">i8"),
    "E": ("float", ">f4"),
    "D": ("double", ">f8"),
    "A": ("char", "u1"),
}
# Integers moved by half their range are those of the other sign (FITS 4.0, table 19)
_MOVED: Final[dict[tuple[str, float], tuple[str, npt.DTypeLike]]] = {
    ("unsignedByte", -128.0): ("short", "i2"),
    ("short", 32768.0): ("int", "i4"),
    ("int", 2147483648.0): ("long", "i8"),
    ("long", 2.0**63): ("long", "u8"),
}
_BLOCK: Final = 2880
_END: Final = b"END" + b" " * 77
_WHOLE: Final = "Check that it arrived whole."

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class _Form:
    """A column as the header describes it: where it lies in a row, and what its numbers mean."""

    column: Column
    at: int
    width: int
    kind: Any
    heap: Any
    scale: float
    zero: float
    null: int | None


def read_fits(content: bytes, rows: int) -> Read:
    """Read the first binary table of a FITS file.

    Raises
    ------
    UploadError
        No binary table, one that is cut or compressed, too many rows, or a column that no query knows.
    """
    with IMPORTS:
        from astropy.io.fits import VerifyError

    try:
        header, start = _header(content)
        return _table(content, header, start, rows)
    except (ValueError, KeyError, TypeError, VerifyError) as error:
        raise UploadError(f"It is FITS that cannot be read: {str(error)[:200]}.", _WHOLE) from error


def _table(content: bytes, header: Any, start: int, rows: int) -> Read:
    count, width = int(header["NAXIS2"]), int(header["NAXIS1"])
    check_rows(count, rows)
    behind = start + int(header.get("THEAP", count * width))
    end = start + count * width + int(header.get("PCOUNT", 0))  # rows, and gap and heap behind them
    if count < 0 or width < 0 or behind < start or end > len(content):
        raise UploadError(f"It has {len(content)} bytes, and its header promises more.", _WHOLE)
    if "ZTABLE" in header:
        raise UploadError("Its table is compressed in tiles.", "Send it uncompressed, or gzipped.")
    matrix = np.frombuffer(content, np.uint8, count * width, start).reshape(count, width)
    heap = np.frombuffer(content, np.uint8)[behind:]
    forms, at = [], 0
    for number in range(1, int(header["TFIELDS"]) + 1):
        forms.append(_form(header, number, at))
        at += forms[-1].width
        if at > width:
            raise UploadError("Its columns are wider than its rows.", _WHOLE)
    columns, arrays = [], []
    for form in forms:
        array = _array(form, matrix[:, form.at : form.at + form.width], heap)
        # Integers of 64 bits without a sign are text where no BIGINT holds them.
        text = pa.types.is_string(array.type) and form.column.datatype == "long"
        columns.append(
            replace(form.column, datatype="char", arraysize="*", xtype="") if text else form.column
        )
        arrays.append(array)
    return Read(columns, arrays)


def _header(content: bytes) -> tuple[Any, int]:
    """Return the first binary table's header, and where its rows begin."""
    with IMPORTS:
        from astropy.io import fits  # 0.3 s, and few uploads are FITS

    at = 0
    while at < len(content):
        end = content.find(_END, at)
        while end >= 0 and (end - at) % 80:
            end = content.find(_END, end + 1)
        if end < 0:
            raise UploadError("It is FITS, and a header in it has no end.", _WHOLE)
        header = fits.Header.fromstring(content[at:end])
        at += -(-(end + 80 - at) // _BLOCK) * _BLOCK
        if str(header.get("XTENSION", "")).strip() == "BINTABLE":
            return header, at
        axes = [int(header[f"NAXIS{axis}"]) for axis in range(1, int(header["NAXIS"]) + 1)]
        size = abs(int(header["BITPIX"])) // 8 * int(header.get("GCOUNT", 1))
        size *= int(header.get("PCOUNT", 0)) + math.prod(axes) if axes else 0
        if size < 0:
            break
        at += -(-size // _BLOCK) * _BLOCK
    raise UploadError("It is FITS without a binary table.", "Send a BINTABLE extension.")


def _form(header: Any, number: int, at: int) -> _Form:
    def text(key: str) -> str:
        return str(header.get(f"{key}{number}", "")).strip()

    name = text("TTYPE")
    form = _TFORM.fullmatch(text("TFORM").upper())
    if form is None or form[3] not in _TYPES:
        raise UploadError(
            f"Column {name or number} has the TFORM {text('TFORM')[:20]!r}, which cannot be queried.",
            "Leave it out, or send numbers, arrays of numbers, logicals or texts.",
        )
    repeat, heap = int(form[1] or "1"), form[2]
    datatype, kind = _TYPES[form[3]]
    kind = np.dtype(kind)
    width = repeat * (kind.itemsize if not heap else 8 if heap == "P" else 16)
    arraysize = "*" if heap else str(repeat) if repeat != 1 or datatype == "char" else ""
    scale, zero = float(header.get(f"TSCAL{number}", 1.0)), float(header.get(f"TZERO{number}", 0.0))
    if kind.kind in "iu" and datatype not in ("boolean", "char") and (scale, zero) != (1.0, 0.0):
        moved = _MOVED.get((datatype, zero)) if scale == 1.0 else None
        datatype = moved[0] if moved else "double"
    null = header.get(f"TNULL{number}")
    if datatype == "char" and not heap:
        arraysize = f"{repeat}*"
        shaped = re.fullmatch(r"\((\d+),.*\)", text("TDIM").replace(" ", ""))
        if shaped and int(shaped[1]) != repeat:
            raise UploadError(
                f"Column {name} is an array of texts, which cannot be queried.", "Leave it out."
            )
    column = Column(
        name,
        datatype,
        arraysize,
        text("TXTYP"),
        text("TUNIT"),
        text("TUCD"),
        text("TUTYP"),
        text("TCOMM"),
    )
    shape(column)
    wide = np.dtype(">i4" if heap == "P" else ">i8") if heap else None
    return _Form(column, at, width, kind, wide, scale, zero, None if null is None else int(null))


def _array(form: _Form, cells: Bytes, heap: Bytes) -> pa.Array:
    cells = np.ascontiguousarray(cells)
    column, kind = form.column, form.kind
    if form.heap is None:
        data, lengths = cells.reshape(-1), np.full(len(cells), form.width // kind.itemsize)
    else:
        data, lengths = _from_heap(form, cells, heap)
    if column.datatype == "char":
        return _texts(form, cells, data, lengths)
    values, nulls = _numbers(form, data.view(kind))
    if not pa.types.is_list(arrow_type(column)):
        if column.datatype == "boolean":
            return booleans(values, None)
        if values.dtype == np.uint64:
            _, (array,) = columns_of_arrow(pa.table({column.name: masked(values, nulls, pa.uint64())}))
            return array.combine_chunks()
        return masked(values, nulls, arrow_type(column))
    if column.datatype == "boolean":
        return listed(column, booleans(values, None), lengths, None)
    if nulls is not None:
        raise UploadError(f"Column {column.name} has arrays with nulls in them.", "Give all numbers a value.")
    if values.dtype == np.uint64 and (values >= 1 << 63).any():
        raise UploadError(
            f"Column {column.name} has arrays with numbers that no BIGINT holds.",
            "Leave it out, or send them as DOUBLE PRECISION.",
        )
    kind = arrow_type(column).value_type if values.dtype == np.uint64 else None
    flat = pa.array(np.ascontiguousarray(values.astype(values.dtype.newbyteorder("="))), kind)
    return listed(column, flat, lengths, None)


def _numbers(form: _Form, values: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_] | None]:
    """Return numbers as they are meant, scaled and moved, and which of them are TNULL."""
    nulls: npt.NDArray[np.bool_] | None = None
    if form.null is not None and values.dtype.kind in "iu":
        nulls = values == form.null
        nulls = nulls if nulls.any() else None
    if (form.scale, form.zero) == (1.0, 0.0) or form.column.datatype == "boolean":
        return values, nulls
    if values.dtype.kind in "iu" and form.column.datatype != "double":
        kind = next(kind for (_, zero), (_, kind) in _MOVED.items() if zero == form.zero)
        return np.asarray(values.astype(kind)) + int(form.zero), nulls
    return (values * form.scale + form.zero).astype(form.kind if values.dtype.kind == "f" else "f8"), nulls


def _from_heap(form: _Form, cells: Bytes, heap: Bytes) -> tuple[Bytes, npt.NDArray[np.int64]]:
    """Return the bytes of cells of varying length, one after the other, and how many numbers each has."""
    places = cells.view(form.heap).reshape(-1, 2).astype(np.int64)
    lengths, starts = places[:, 0], places[:, 1]
    sizes = lengths * form.kind.itemsize
    ends = starts + sizes
    if len(places) and ((lengths < 0) | (starts < 0) | (ends > len(heap)))[lengths != 0].any():
        raise UploadError(f"Column {form.column.name} points beyond the file.", _WHOLE)
    starts = np.where(lengths > 0, starts, 0)
    before = np.cumsum(sizes) - sizes
    return heap[np.repeat(starts - before, sizes) + np.arange(int(sizes.sum()))], lengths


def _texts(form: _Form, cells: Bytes, data: Bytes, lengths: npt.NDArray[Any]) -> pa.Array:
    """Blanks at the end mean nothing (FITS 4.0, 7.3.3.1); a text of nothing else is a null."""
    if form.heap is None:
        data, lengths = cut_at_nul(cells, wide=False)
    column = form.column
    texts = pc.utf8_rtrim(texts_of_bytes(column, data, lengths, None), " ")
    texts = pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)
    return timestamps_of(column, texts) if column.xtype == "timestamp" else texts
