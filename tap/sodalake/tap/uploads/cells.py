"""Cells that came as text (TABLEDATA: VOTable 1.4, 5.1 and section 6) become values, a column at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sodalake.tap.errors import UploadError
from sodalake.tap.metadata import Column, arrow_type

from .columns import listed, shape, without_nan

__all__ = ["array_of_texts", "timestamps_of"]

_TRUE: Final = pa.array(["t", "true", "1"])
_FALSE: Final = pa.array(["f", "false", "0"])
_UNKNOWN: Final = pa.array(["?", ""])


def array_of_texts(column: Column, null: str | None, cells: Sequence[str]) -> pa.Array:
    """Return the values that texts stand for; an empty one, or the column's VALUES null, is a null.

    Raises
    ------
    UploadError
        A text that is no value of the column's type: with the row.
    """
    texts = pa.array(cells, pa.string())
    kind = arrow_type(column)
    if pa.types.is_string(kind):
        return _blank(texts, pc.equal(texts, "") if null is None else pc.is_in(texts, pa.array(["", null])))
    texts = pc.utf8_trim_whitespace(texts)
    if shape(column).array:
        return _arrays(column, texts)
    empty = pc.equal(texts, "") if null is None else pc.is_in(texts, pa.array(["", null.strip()]))
    return _values(column, _blank(texts, empty), kind)


def timestamps_of(column: Column, texts: pa.Array) -> pa.Array:
    """Return times from DALI's text (DALI 1.1, 3.3.3), with or without Z; digits beyond microseconds are cut.

    Raises
    ------
    UploadError
        A text that is no such time.
    """
    plain = pc.replace_substring_regex(texts, "[zZ]$", "")
    plain = pc.replace_substring_regex(plain, r"(\.[0-9]{6})[0-9]+$", r"\1")
    try:
        return pc.cast(plain, pa.timestamp("us"))
    except pa.ArrowInvalid as error:
        good = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?)?$"
        raise _wrong(column, texts, good, "a time as YYYY-MM-DDThh:mm:ss", plain) from error


def _values(column: Column, texts: pa.Array, kind: pa.DataType) -> pa.Array:
    if pa.types.is_boolean(kind):
        return _booleans(column, texts)
    if pa.types.is_timestamp(kind):
        return timestamps_of(column, texts)
    if pa.types.is_integer(kind):
        return _integers(column, texts, kind)
    try:
        return without_nan(pc.cast(pc.utf8_lower(texts), kind))
    except pa.ArrowInvalid as error:
        good = r"(?i)^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?$|^nan$|^[+-]?inf(inity)?$"
        raise _wrong(column, texts, good, "a number", texts) from error


def _integers(column: Column, texts: pa.Array, kind: pa.DataType) -> pa.Array:
    plain = texts
    if pc.any(pc.match_substring_regex(texts, "[+xX]")).as_py():
        plain = pc.replace_substring_regex(texts, r"^\+", "")
        hexadecimal = pc.fill_null(pc.match_substring_regex(plain, "^0[xX][0-9a-fA-F]+$"), False)
        if pc.any(hexadecimal).as_py():
            plain = pa.array(
                [
                    str(int(text, 16)) if text and is_hex else text
                    for text, is_hex in _pairs(plain, hexadecimal)
                ],
                pa.string(),
            )
    try:
        return pc.cast(plain, kind)
    except pa.ArrowInvalid as error:
        raise _wrong(column, texts, "^-?[0-9]+$", f"a whole number of {kind}", plain) from error


def _pairs(texts: pa.Array, flags: pa.Array) -> zip[tuple[str | None, bool]]:
    return zip(texts.to_pylist(), flags.to_pylist(), strict=True)


def _booleans(column: Column, texts: pa.Array) -> pa.Array:
    lower = pc.utf8_lower(texts)
    true = pc.is_in(lower, _TRUE)
    known = pc.or_(true, pc.is_in(lower, _FALSE))
    unknown = pc.or_(pc.is_in(lower, _UNKNOWN), pc.is_null(lower))
    if not pc.all(pc.or_(known, unknown), min_count=0).as_py():
        raise _wrong(column, texts, r"(?i)^(t|f|true|false|0|1|\?|)$", "a boolean: T or F", texts)
    return pc.if_else(known, true, pa.scalar(None, pa.bool_()))


def _arrays(column: Column, texts: pa.Array) -> pa.Array:
    empty = pc.equal(texts, "").to_numpy(zero_copy_only=False)
    parts = pc.utf8_split_whitespace(texts)
    lengths = pc.list_value_length(parts).to_numpy().copy()
    words = parts.flatten()
    if empty.any():
        # What is split from an empty text is one empty text
        words = words.filter(pc.not_equal(words, ""))
        lengths[empty] = 0
    kind = arrow_type(column).value_type
    if pa.types.is_floating(kind):
        values = pc.fill_null(_values(column, words, kind), float("nan"))
    else:
        values = _values(column, words, kind)
    return listed(column, values, lengths, empty if empty.any() else None)


def _blank(texts: pa.Array, where: pa.Array) -> pa.Array:
    if not pc.any(where).as_py():
        return texts
    return pc.if_else(where, pa.scalar(None, pa.string()), texts)


def _wrong(column: Column, texts: pa.Array, good: str, what: str, plain: pa.Array) -> UploadError:
    """Find the first text that is wrong, for the message."""
    fits = pc.fill_null(pc.match_substring_regex(plain, good), True).to_numpy(zero_copy_only=False)
    bad = np.flatnonzero(~fits)
    if not len(bad):
        return UploadError(f"Column {column.name} has a value that is out of range, or not {what}.")
    shown = texts[int(bad[0])].as_py()[:40]
    where = "" if shape(column).array else f" in row {int(bad[0]) + 1}"
    return UploadError(f"Column {column.name} has {shown!r}{where}, which is not {what}.")
