"""Bytes become texts: ASCII and UTF-8, UTF-16, and what ends at a NUL."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sodalake.tap.errors import UploadError
from sodalake.tap.metadata import Column

__all__ = ["cut_at_nul", "texts_of_bytes"]

Bytes = npt.NDArray[np.uint8]


def texts_of_bytes(
    column: Column, data: Bytes, lengths: npt.NDArray[Any], nulls: npt.NDArray[np.bool_] | None
) -> pa.Array:
    """Return texts from their bytes, one after the other: UTF-8, or UTF-16 of unicodeChar.

    Raises
    ------
    UploadError
        They are not.
    """
    ends = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=ends[1:])
    if column.datatype == "unicodeChar":
        try:
            data, ends = _utf8(data, ends)
        except UnicodeDecodeError as error:
            raise UploadError(f"Column {column.name} is not UTF-16: {error.reason}.") from error
    if ends[-1] > np.iinfo(np.int32).max:
        raise UploadError(f"Column {column.name} has more than 2 GB of text.")
    array = pa.Array.from_buffers(
        pa.binary(), len(lengths), [None, pa.py_buffer(ends.astype(np.int32)), pa.py_buffer(data)]
    )
    try:
        texts = array.cast(pa.string())
    except pa.ArrowInvalid as error:
        raise UploadError(
            f"Column {column.name} has letters that are neither ASCII nor UTF-8.", "Send it as unicodeChar."
        ) from error
    if nulls is None or not nulls.any():
        return texts
    return pc.if_else(pa.array(nulls), pa.scalar(None, pa.string()), texts)


def cut_at_nul(matrix: Bytes, wide: bool) -> tuple[Bytes, npt.NDArray[Any]]:
    """Return texts of a fixed length, rows of a matrix, as bytes one after the other and the length of each."""
    letters = matrix.reshape(len(matrix), matrix.shape[1] // 2, 2).any(axis=2) if wide else matrix != 0
    ended = np.logical_not(letters)
    width = letters.shape[1]
    lengths = (
        np.where(ended.any(axis=1), ended.argmax(axis=1), width) if width else np.zeros(len(matrix), int)
    )
    lengths = lengths * (2 if wide else 1)
    kept = np.arange(matrix.shape[1]) < lengths[:, None]
    return matrix[kept], lengths


def _utf8(data: Bytes, ends: npt.NDArray[np.int64]) -> tuple[Bytes, npt.NDArray[np.int64]]:
    """Return UTF-8 for UTF-16, all texts at once: a unit is 1, 2 or 3 bytes, and half of 4 in a pair of surrogates."""
    text = data.tobytes().decode("utf-16-be").encode()
    units = data.view(">u2")
    widths = 1 + (units >= 0x80).astype(np.int64) + ((units >= 0x800) & ((units & 0xF800) != 0xD800))
    places = np.zeros(len(units) + 1, np.int64)
    np.cumsum(widths, out=places[1:])
    return np.frombuffer(text, np.uint8), places[ends // 2]
