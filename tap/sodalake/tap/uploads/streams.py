"""BINARY and BINARY2 (VOTable 1.4, 5.2 to 5.4) become columns.

Rows of fixed width are one structured array. Where a cell has a length of its own, where the next one begins is known
only when that length was read: one loop finds where all begin (0.5 µs a cell), and all else is done a column at once.
"""

from __future__ import annotations

import binascii
import math
import struct
from collections.abc import Collection, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sodalake.tap.errors import UploadError
from sodalake.tap.formats.binary import Layout
from sodalake.tap.formats.shapes import BIG_ENDIAN
from sodalake.tap.metadata import Column, arrow_type

from .cells import timestamps_of
from .columns import check_rows, listed, masked
from .letters import cut_at_nul, texts_of_bytes

__all__ = ["booleans", "decoded"]

_CUT: Final = "Its data end in the middle of a row."
_WHOLE: Final = (
    "Check that it arrived whole, and that each FIELD has the datatype and arraysize that was written."
)

Bytes = npt.NDArray[np.uint8]


def decoded(
    columns: Sequence[Column],
    nulls: Sequence[str | None],
    bits: Collection[int],
    stream: str,
    flags: bool,
    rows: int,
) -> list[pa.Array]:
    """Return the columns of a base64 stream, with null flags (BINARY2) or without; `bits` are numbers of columns.

    Raises
    ------
    UploadError
        No base64; data that end in the middle of a row; too many rows; texts that are neither ASCII nor UTF-8.
    """
    if not columns:
        return []
    try:
        data = binascii.a2b_base64(
            stream.encode("ascii", "replace").translate(None, b" \t\r\n"), strict_mode=True
        )
    except binascii.Error as error:
        raise UploadError(f"Its STREAM is not base64: {error}.", "Check that it arrived whole.") from error
    layout = Layout.of(tuple(columns), flags)
    parts, moving = _parts(layout, np.frombuffer(data, np.uint8), rows)
    count = len(parts[0])
    missing = (
        np.unpackbits(parts[0]["flags"].reshape(count, layout.flags), axis=1)[:, : len(columns)].astype(
            np.bool_
        )
        if flags
        else np.zeros((count, len(columns)), np.bool_)
    )
    for at in bits:
        # A bit of its own is a byte of which writers set this or that bit
        part = parts[layout.places[at]][f"c{at}"]
        parts[layout.places[at]] = parts[layout.places[at]].copy()
        parts[layout.places[at]][f"c{at}"] = np.where(part != 0, ord("T"), ord("F"))
    return [
        _column(
            column,
            null,
            parts[layout.places[at]][f"c{at}"],
            moving.get(at),
            missing[:, at] if flags and missing[:, at].any() else None,
            flags,
        )
        for at, (column, null) in enumerate(zip(columns, nulls, strict=True))
    ]


def booleans(letters: Bytes, nulls: npt.NDArray[np.bool_] | None) -> pa.Array:
    """Return the booleans that letters stand for: T, t, 1 and F, f, 0; any other is a null."""
    true = np.isin(letters, np.frombuffer(b"Tt1", np.uint8))
    known = true | np.isin(letters, np.frombuffer(b"Ff0", np.uint8))
    missing = ~known if nulls is None else ~known | nulls
    return pa.array(true, mask=missing if missing.any() else None)


def _parts(
    layout: Layout, data: Bytes, rows: int
) -> tuple[list[npt.NDArray[Any]], dict[int, tuple[Bytes, npt.NDArray[Any]]]]:
    """Return the fixed parts of the rows, and the bytes and lengths of each column of varying length."""
    widths = [segment.itemsize for segment in layout.segments]
    if not len(data):
        return [np.zeros(0, segment) for segment in layout.segments], {
            at: (data, np.zeros(0, np.int64)) for at, each in enumerate(layout.shapes) if each.length is None
        }
    if not sum(widths):
        raise UploadError("Its columns have no width.", "Give each FIELD an arraysize above 0.")
    if len(widths) == 1:
        count, rest = divmod(len(data), widths[0])
        if rest:
            raise UploadError(_CUT, _WHOLE)
        check_rows(count, rows)
        return [data.view(layout.segments[0])], {}
    varying = [at for at, each in enumerate(layout.shapes) if each.length is None]
    sizes = [_size(layout.columns[at]) for at in varying]
    places = _places(data, widths, sizes, rows)
    parts = []
    moving: dict[int, tuple[Bytes, npt.NDArray[Any]]] = {}
    for number, segment in enumerate(layout.segments):
        starts = places[:, number]
        parts.append(_gathered(data, starts, segment))
        if number < len(varying):
            begin = starts + widths[number]
            lengths = parts[number][f"c{varying[number]}"].astype(np.int64) * sizes[number]
            moving[varying[number]] = (_runs(data, begin, lengths), lengths)
    return parts, moving


def _places(data: Bytes, widths: list[int], sizes: list[int], rows: int) -> npt.NDArray[np.int64]:
    """Return where each fixed part of each row begins."""
    read = struct.Struct(">I").unpack_from
    raw, end, last = data.tobytes(), len(data), widths[-1]
    steps = list(zip(widths, sizes, strict=False))
    places: list[int] = []
    at = count = 0
    try:
        while at < end:
            count += 1
            if count > rows:
                check_rows(count, rows)
            for width, size in steps:
                places.append(at)
                at += width
                at += read(raw, at - 4)[0] * size
            places.append(at)
            at += last
    except struct.error as error:
        raise UploadError(_CUT, _WHOLE) from error
    if at != end:
        raise UploadError(_CUT, _WHOLE)
    return np.array(places, np.int64).reshape(count, len(widths))


def _gathered(data: Bytes, starts: npt.NDArray[np.int64], segment: Any) -> npt.NDArray[Any]:
    if not segment.itemsize or not len(starts):
        return np.zeros(len(starts), segment)
    windows = np.lib.stride_tricks.sliding_window_view(data, segment.itemsize)
    rows: npt.NDArray[Any] = np.ascontiguousarray(windows[starts]).view(segment)
    return rows.reshape(-1)


def _runs(data: Bytes, starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> Bytes:
    """Return runs of bytes one after the other."""
    before = np.cumsum(lengths) - lengths
    return data[np.repeat(starts - before, lengths) + np.arange(int(lengths.sum()))]


def _size(column: Column) -> int:
    if column.datatype in ("char", "unicodeChar"):
        return 2 if column.datatype == "unicodeChar" else 1
    return np.dtype(BIG_ENDIAN[column.datatype]).itemsize


def _column(
    column: Column,
    null: str | None,
    part: npt.NDArray[Any],
    moved: tuple[Bytes, npt.NDArray[Any]] | None,
    missing: npt.NDArray[np.bool_] | None,
    flags: bool,
) -> pa.Array:
    if column.datatype in ("char", "unicodeChar"):
        wide = column.datatype == "unicodeChar"
        data, lengths = moved or cut_at_nul(part.reshape(len(part), math.prod(part.shape[1:])), wide)
        if not flags:
            missing = lengths == 0
        texts = texts_of_bytes(column, data, lengths, missing)
        if null is not None:
            texts = pc.if_else(pc.equal(texts, null), pa.scalar(None, pa.string()), texts)
        return timestamps_of(column, texts) if column.xtype == "timestamp" else texts
    kind = arrow_type(column)
    if pa.types.is_list(kind):
        values, lengths = _numbers_of(column, part, moved)
        flat = (
            booleans(values, None)
            if column.datatype == "boolean"
            else pa.array(values.astype(values.dtype.newbyteorder("=")))
        )
        return listed(column, flat, lengths, missing)
    if column.datatype == "boolean":
        return booleans(part, missing)
    if null is not None and part.dtype.kind in "iu":
        same = part == _number(column, null)
        missing = same if missing is None else missing | same
    return masked(part, missing, kind)


def _numbers_of(
    column: Column, part: npt.NDArray[Any], moved: tuple[Bytes, npt.NDArray[Any]] | None
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    kind = np.dtype(BIG_ENDIAN[column.datatype])
    if moved is None:
        values = part.reshape(len(part), math.prod(part.shape[1:]))
        return values.reshape(-1), np.full(len(part), values.shape[1])
    data, lengths = moved
    return data.view(kind), lengths // kind.itemsize


def _number(column: Column, text: str) -> int:
    try:
        return int(text.strip(), 16 if text.strip().lower().startswith("0x") else 10)
    except ValueError as error:
        raise UploadError(
            f"Column {column.name} has {text[:40]!r} for a null, which is no number."
        ) from error
