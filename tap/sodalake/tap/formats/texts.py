"""Columns as text: what TABLEDATA, CSV, TSV, JSON and HTML have in common.

Arrow's cast writes the shortest digits that read back as the same number, a float's as a float (16 ms for 200 000
doubles of 17 digits). What stays to be done is what Arrow writes differently: NaN, infinities, times, arrays.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sodalake.tap.errors import FormatError
from sodalake.tap.metadata import Column

__all__ = [
    "Words",
    "bytes_of",
    "fractional",
    "has_bytes",
    "is_ascii",
    "lengths_of",
    "rows_of",
    "text_of",
    "texts_of",
    "timestamps",
]

_FIRST = -62_167_219_200_000_000  # 0000-01-01 and 10000-01-01 in µs: years of four digits
_MANY_ROWS: Final = 1024  # fewer are done before a second thread has begun
_AFTER = 253_402_300_800_000_000


@dataclass(frozen=True, slots=True)
class Words:
    """How a format says what is not a plain number. None is a null.

    Attributes
    ----------
    nan, infinite
        ``infinite`` stands with its sign: (negative, positive).
    true, false
        The booleans.
    array
        What stands before, between and behind the numbers of an array.
    """

    nan: str | None
    infinite: tuple[str | None, str | None]
    true: str
    false: str
    array: tuple[str, str, str] = ("", " ", "")


def texts_of(columns: Sequence[Column], batch: pa.RecordBatch, words: Words) -> list[pa.Array]:
    """Return all columns of a batch as text, as `text_of`.

    Arrow's cast lets go of the interpreter, and is most of the work: on two idle cores two threads take 0.7 of the time
    of one (TABLEDATA, 200 000 rows of 30 columns: 560 and 400 ms); on busy ones they gain nothing.

    Raises
    ------
    FormatError
        As `text_of`.
    """
    each = partial(text_of, words=words)
    if batch.num_rows < _MANY_ROWS:
        return list(map(each, columns, batch.columns))
    return list(_threads().map(each, columns, batch.columns))


@functools.cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(min(4, pa.cpu_count()), "tap-texts")


def text_of(column: Column, array: pa.Array, words: Words) -> pa.Array:
    """Return a column's values as text; nulls stay nulls, and texts stay as they are.

    Raises
    ------
    FormatError
        A time whose year has more than four digits; an array with a null among its integers.
    """
    kind = array.type
    if pa.types.is_string(kind):
        return array
    if pa.types.is_timestamp(kind):
        return timestamps(column.name, array)
    if pa.types.is_list(kind):
        return _lists(column, array, words)
    if pa.types.is_boolean(kind):
        return pc.if_else(array, words.true, words.false)
    text = pc.cast(array, pa.string())
    if pa.types.is_floating(kind):
        return _named(array, text, words)
    return text


def fractional(array: pa.Array, text: pa.Array) -> pa.Array:
    """Give floating-point numbers that happen to be whole a ``.0``, so that who guesses types sees what they are."""
    with np.errstate(invalid="ignore"):
        values = array.to_numpy(zero_copy_only=False)
        whole = bool((values == np.rint(values)).any())
    if not whole:
        return text
    bare = pc.match_substring_regex(text, "^-?[0-9]+$")
    return pc.if_else(bare, pc.binary_join_element_wise(text, ".0", ""), text)


def timestamps(name: str, array: pa.Array) -> pa.Array:
    """Return times as DALI writes them (DALI 1.1, 3.3.3): ``YYYY-MM-DDThh:mm:ss``, with ``.fff`` where there is more.

    Raises
    ------
    FormatError
        A year before 0 or after 9999.
    """
    if not len(array):
        return pa.array([], pa.string())
    ends = pc.min_max(array.cast(pa.int64()))
    first, last = ends["min"].as_py(), ends["max"].as_py()
    if first is None:
        return pa.nulls(len(array), pa.string())
    if first < _FIRST or last >= _AFTER:
        raise FormatError(
            f"Column {name} holds a time whose year is not one of four digits, which no timestamp can say.",
            "Select by time, or ask for Parquet or Arrow.",
        )
    text = pc.binary_replace_slice(array.cast(pa.string()), 10, 11, "T")
    parts = pc.subtract(array.cast(pa.int64()), pc.floor_temporal(array, unit="second").cast(pa.int64()))
    micros = pc.fill_null(parts, 0).to_numpy()
    if not micros.any():
        return pc.utf8_slice_codeunits(text, 0, 19)
    milli = pc.utf8_slice_codeunits(text, 0, 23)
    short = pc.if_else(pa.array(micros == 0), pc.utf8_slice_codeunits(text, 0, 19), milli)
    if not (micros % 1000).any():
        return short
    return pc.if_else(pa.array(micros % 1000 == 0), short, text)


def lengths_of(array: pa.Array) -> npt.NDArray[np.int32]:
    """Return how many bytes each value of a text or binary column has; a null has none."""
    if not len(array):
        return np.empty(0, np.int32)
    ends = np.frombuffer(array.buffers()[1], np.int32, len(array) + 1, array.offset * 4)
    lengths = ends[1:] - ends[:-1]
    if array.null_count:
        lengths[array.is_null().to_numpy(zero_copy_only=False)] = 0
    return lengths


def is_ascii(array: pa.Array) -> bool:
    """Say whether a text column is ASCII alone."""
    return int(bytes_of(array).max(initial=0)) < 0x80


def bytes_of(array: pa.Array) -> npt.NDArray[np.uint8]:
    """Return the bytes of a text column's values, one after the other, without a copy."""
    _, offsets, data = array.buffers()
    if data is None or not len(array):
        return np.empty(0, np.uint8)
    ends = np.frombuffer(offsets, np.int32, len(array) + 1, array.offset * 4)
    return np.frombuffer(data, np.uint8)[ends[0] : ends[-1]]


def has_bytes(array: pa.Array, which: npt.NDArray[np.bool_]) -> bool:
    """Say whether a text column has any of the bytes of a table of 256 of them."""
    return bool(which[bytes_of(array)].any())


def rows_of(texts: list[pa.Array], before: str, between: str, behind: str) -> bytes:
    """Join the columns of each row, and the rows: ``before a between b behind``; a null is an empty text.

    Joining first the cells and then the rows takes half as long as one join with all that stands between (200 000 rows
    of 30 columns: 60 and 110 ms).
    """
    rows = pc.binary_join_element_wise(*texts, between, null_handling="replace", null_replacement="")
    ends = pa.array([0, len(rows)], pa.int32())
    body = pc.binary_join(pa.ListArray.from_arrays(ends, rows), behind + before)
    return b"".join((before.encode(), body[0].as_buffer(), behind.encode()))


def _named(array: pa.Array, text: pa.Array, words: Words) -> pa.Array:
    """Arrow writes nan, inf and -inf."""
    values = array.to_numpy(zero_copy_only=False)
    finite = np.isfinite(values)
    if finite.all():
        return text
    named: list[tuple[Any, str | None]] = [
        (np.isnan(values), words.nan),
        (np.isneginf(values), words.infinite[0]),
        (np.isposinf(values), words.infinite[1]),
    ]
    there = pc.is_valid(array)
    for where, word in named:
        if where.any():
            text = pc.if_else(pc.and_(pa.array(where), there), pa.scalar(word, pa.string()), text)
    return text


def _lists(column: Column, array: pa.Array, words: Words) -> pa.Array:
    before, between, behind = words.array
    values = array.flatten()
    text = text_of(column, values, words)
    if text.null_count:
        if pa.types.is_integer(values.type):
            raise FormatError(
                f"Column {column.name} holds an array of integers with a null, which has no text."
            )
        text = pc.fill_null(text, words.nan or "null")
    lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy()
    ends = np.zeros(len(array) + 1, np.int32)
    np.cumsum(lengths, out=ends[1:])
    joined = pc.binary_join(pa.ListArray.from_arrays(pa.array(ends), text), between)
    if before or behind:
        joined = pc.binary_join_element_wise(before, joined, behind, "")
    if array.null_count:
        joined = pc.if_else(pc.is_valid(array), joined, pa.scalar(None, pa.string()))
    return joined
