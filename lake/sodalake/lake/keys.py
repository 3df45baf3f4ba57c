"""Keys of the row store: readable text whose byte order is the order rows are read in.

=========== ==================================== =============================================
table       key                                  example
=========== ==================================== =============================================
``alert``   ``salt_alertid``                     ``3f_1786142283715015000``
``object``  ``salt_objectid_time_alertid``       ``a2_ZTF18abcdefg_002459540.6001234567_1786…``
``sky``     ``cell_alertid``                     ``0b51f3a09c77e21d_1786142283715015000``
``time``    ``digit_time_alertid``               ``f_002459540.6001234567_1786142283715015000``
``class``   ``class_time_alertid``               ``SN%20candidate_002459540.6001234567_1786…``
``objects`` ``salt_objectid_file_byfile``        ``a2_ZTF18abcdefg_0000000012_0000000000``
=========== ==================================== =============================================

*Salt*: two hex digits, the last byte of the CRC-32 of the id. It spreads the writes of one night (whose ids
are neighbours) over 256 places; since it depends on the id alone, one object is still one range.

*Ids* are percent-escaped (RFC 3986: UTF-8, everything but letters, digits, ``-``, ``.`` and ``~``). So an
``_`` in an id is ``%5F``, and no id can reach over its separator into the next part.

*Time* is days in the survey's scale, nine characters and ten decimals. Ten decimals (9 µs) tell any two
Julian dates apart that a double can hold; modified Julian dates nearer than that share a text, and the alert
id decides. A time before zero is written as its distance from -10\\ :sup:`8`, behind a ``-``, which sorts
before ``0``: text order is time order throughout.

*Digit* is the salt's second hex digit, of the alert's id: a night is written in 16 places, and a range of time is 16
ranges to read. On HBase, side by side, these take 9 ms for 1 000 alerts.

*Class* is escaped like an id, may be empty, and ends after `LONGEST_CLASS` bytes: who asks for one looks at the column.

*File* and *byfile* are file numbers: see `sodalake.lake.summaries`.

*Cell* is the HEALPix NESTED cell of order 29 (0.4 milliarcsec) as 16 hex digits. Cells of any coarser order are
ranges of it, and neighbours in the sky are mostly neighbours in the table. No salt here: one night's alerts are
spread over the sky already.

There are functions for whole columns (`alert_keys`, `object_keys`, …): the same keys, at about a million
a second.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Iterable
from urllib.parse import quote, unquote_to_bytes

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sodalake.lake.errors import Damaged, UsageError

__all__ = [
    "LONGEST_CLASS",
    "LONGEST_ID",
    "TIME_LIMIT",
    "alert_key",
    "alert_keys",
    "class_keys",
    "class_range",
    "object_key",
    "object_keys",
    "object_range",
    "object_stems",
    "parse_alert_key",
    "parse_object_key",
    "parse_sky_key",
    "sky_keys",
    "sky_range",
    "stem_range",
    "summary_keys",
    "summary_shares",
    "text_ids",
    "time_keys",
    "time_ranges",
]

TIME_LIMIT = 1e8
"""Times are days, and nearer to zero than this."""

LONGEST_ID = 200
"""Bytes of an escaped id: two of them and a time stay below LMDB's 511 bytes a key."""

LONGEST_CLASS = 200
"""Bytes of an escaped class."""

_PLAIN = re.compile(r"[A-Za-z0-9.~-]*", re.ASCII)
_DECIMALS = 10**10
_SALTS = [b"%02x_" % salt for salt in range(256)]
_DIGITS = [b"%x_" % salt for salt in range(16)]


def alert_key(alert_id: str) -> bytes:
    """Return the key of an alert in table ``alert``.

    Raises
    ------
    UsageError
        The id is empty or longer than `LONGEST_ID` bytes when escaped.
    """
    return _salted(alert_id.encode()) + _escaped(alert_id)


def object_key(object_id: str, time: float, alert_id: str) -> bytes:
    """Return the key of one alert in table ``object``.

    Parameters
    ----------
    object_id, alert_id
        Ids as text.
    time
        Days, in the survey's scale; finite, between -`TIME_LIMIT` and `TIME_LIMIT`.

    Raises
    ------
    UsageError
        An id is empty or too long, or the time is outside its limits.
    """
    return b"%b%b_%b_%b" % (
        _salted(object_id.encode()),
        _escaped(object_id),
        _time_texts(np.array([time], np.float64))[0],
        _escaped(alert_id),
    )


def object_range(object_id: str) -> tuple[bytes, bytes]:
    """Return the range of an object's rows in table ``object``: first key, and the first key after them.

    Raises
    ------
    UsageError
        The id is empty or too long.
    """
    stem = _salted(object_id.encode()) + _escaped(object_id)
    return stem + b"_", stem + b"`"  # "`" follows "_" in ASCII


def parse_alert_key(key: bytes) -> str:
    """Return the alert id of a key of table ``alert``.

    Raises
    ------
    Damaged
        The bytes are no such key.
    """
    match key.split(b"_"):
        case [_, alert_id]:
            return _unescaped(alert_id)
    raise Damaged(f"{key!r} is not the key of an alert.")


def parse_object_key(key: bytes) -> tuple[str, float, str]:
    """Return object id, time (days) and alert id of a key of table ``object``.

    Raises
    ------
    Damaged
        The bytes are no such key.
    """
    match key.split(b"_"):
        case [_, object_id, time, alert_id]:
            try:
                days = float(time[1:]) - TIME_LIMIT if time[:1] == b"-" else float(time)
            except ValueError:
                pass
            else:
                return _unescaped(object_id), days, _unescaped(alert_id)
    raise Damaged(f"{key!r} is not the key of an object's alert.")


def alert_keys(alert_ids: pa.Array | pa.ChunkedArray | npt.NDArray[np.int64] | Iterable[str]) -> list[bytes]:
    """Return `alert_key` of every id of a column (integers or text, no nulls).

    Raises
    ------
    UsageError
        As `alert_key`; or an id is null.
    """
    ids = text_ids(alert_ids)
    escaped = _escaped_all(ids)
    return [_SALTS[crc(raw) & 255] + text for raw, text in zip(_raw(ids, escaped), escaped, strict=True)]


def object_keys(
    object_ids: pa.Array | pa.ChunkedArray | npt.NDArray[np.int64] | Iterable[str],
    times: npt.NDArray[np.float64],
    alert_ids: pa.Array | pa.ChunkedArray | npt.NDArray[np.int64] | Iterable[str],
) -> list[bytes]:
    """Return `object_key` of every row of three columns of equal length.

    Raises
    ------
    UsageError
        As `object_key`; or an id is null.
    """
    objects = text_ids(object_ids)
    escaped = _escaped_all(objects)
    alerts = _escaped_all(text_ids(alert_ids))
    texts = _time_texts(np.asarray(times, np.float64))
    return [
        b"%b%b_%b_%b" % (_SALTS[crc(raw) & 255], object_id, time, alert_id)
        for raw, object_id, time, alert_id in zip(_raw(objects, escaped), escaped, texts, alerts, strict=True)
    ]


def sky_keys(
    cells: npt.NDArray[np.uint64],
    alert_ids: pa.Array | pa.ChunkedArray | npt.NDArray[np.int64] | Iterable[str],
) -> list[bytes]:
    """Return the keys in table ``sky`` of alerts in HEALPix cells of order 29 (NESTED).

    Raises
    ------
    UsageError
        An id is null, empty or too long.
    """
    texts = cells.astype(">u8").tobytes().hex().encode()
    escaped = _escaped_all(text_ids(alert_ids))
    return [b"%b_%b" % (texts[at : at + 16], identifier) for at, identifier in zip(
        range(0, len(texts), 16), escaped, strict=True
    )]  # fmt: skip


def sky_range(first: int, after: int) -> tuple[bytes, bytes]:
    """Return the range in table ``sky`` of the cells of order 29 from `first` up to, not with, `after`."""
    return b"%016x" % first, b"%016x" % after


def parse_sky_key(key: bytes) -> tuple[int, str]:
    """Return cell (order 29, NESTED) and alert id of a key of table ``sky``.

    Raises
    ------
    Damaged
        The bytes are no such key.
    """
    match key.split(b"_"):
        case [cell, alert_id] if len(cell) == 16:
            try:
                return int(cell, 16), _unescaped(alert_id)
            except ValueError:
                pass
    raise Damaged(f"{key!r} is not the key of a place in the sky.")


def time_keys(
    times: npt.NDArray[np.float64],
    alert_ids: pa.Array | pa.ChunkedArray | npt.NDArray[np.int64] | Iterable[str],
) -> list[bytes]:
    """Return the keys in table ``time`` of alerts at some times (days).

    Raises
    ------
    UsageError
        An id is null, empty or too long, or a time is outside its limits.
    """
    ids = text_ids(alert_ids)
    escaped = _escaped_all(ids)
    return [
        b"%b%b_%b" % (_DIGITS[crc(raw) & 15], time, alert_id)
        for raw, time, alert_id in zip(_raw(ids, escaped), _time_texts(times), escaped, strict=True)
    ]


def time_ranges(first: float, last: float) -> list[tuple[bytes, bytes]]:
    """Return the ranges in table ``time`` of the times from `first` to `last` (days, both included; ±inf: no limit).

    Raises
    ------
    UsageError
        A time is not a number.
    """
    between = _between(first, last)
    return [(digit + between[0], digit + between[1]) for digit in _DIGITS] if between else []


def class_keys(
    classes: pa.StringArray,
    times: npt.NDArray[np.float64],
    alert_ids: pa.Array | pa.ChunkedArray | npt.NDArray[np.int64] | Iterable[str],
) -> list[bytes]:
    """Return the keys in table ``class`` of alerts of some classes (no nulls); raises as `time_keys`."""
    coded = classes.dictionary_encode()
    stems = [_class_text(one) for one in coded.dictionary.to_pylist()]
    alerts = _escaped_all(text_ids(alert_ids))
    return [
        b"%b%b_%b" % (stems[code], time, alert_id)
        for code, time, alert_id in zip(coded.indices.to_pylist(), _time_texts(times), alerts, strict=True)
    ]


def class_range(klass: str, first: float, last: float) -> tuple[bytes, bytes] | None:
    """Return the range in table ``class`` of a class and times as in `time_ranges`; None where there can be none."""
    between = _between(first, last)
    stem = _class_text(klass)
    return (stem + between[0], stem + between[1]) if between else None


def object_stems(object_ids: pa.Array) -> list[bytes]:
    """Return what the keys of N objects (text) begin with in the tables ``object`` and ``objects``.

    Raises
    ------
    UsageError
        An id is null, empty or too long.
    """
    escaped = _escaped_all(object_ids)
    return [
        _SALTS[crc(raw) & 255] + object_id
        for raw, object_id in zip(_raw(object_ids, escaped), escaped, strict=True)
    ]


def stem_range(stem: bytes) -> tuple[bytes, bytes]:
    """Return the range of the object that keys of a stem are of: `object_range`."""
    return stem + b"_", stem + b"`"


def summary_keys(stems: Iterable[bytes], file: int, by: int = 0) -> list[bytes]:
    """Return the keys in table ``objects`` of what a file has of some objects; with `by`, as another file left it."""
    end = b"_%010d_%010d" % (file, by)
    return [stem + end for stem in stems]


def summary_shares() -> list[tuple[bytes, bytes]]:
    """Return ranges that are together the whole of table ``objects``, sixteen salts each; no object is in two."""
    digits = b"0123456789abcdef"
    return [(bytes([digit]), bytes([digit]) + b"g") for digit in digits]


def text_ids(ids: pa.Array | pa.ChunkedArray | npt.NDArray[np.int64] | Iterable[str]) -> pa.Array:
    """Return a column of ids as text (an Arrow string array), integers in decimal.

    Raises
    ------
    UsageError
        The ids are neither integers nor text: a float has lost the last digits of a 64-bit id.
    """
    array = ids if isinstance(ids, pa.Array | pa.ChunkedArray) else pa.array(ids)
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if isinstance(array, pa.DictionaryArray):
        array = array.dictionary_decode()
    if (
        pa.types.is_null(array.type)
        or pa.types.is_integer(array.type)
        or pa.types.is_large_string(array.type)
    ):
        return array.cast(pa.string())
    if not pa.types.is_string(array.type):
        raise UsageError(f"Ids are integers or text, not {array.type}.")
    return array


crc = zlib.crc32


def _salted(raw: bytes) -> bytes:
    return _SALTS[crc(raw) & 255]


def _escaped(identifier: str) -> bytes:
    text = identifier if _PLAIN.fullmatch(identifier) else quote(identifier, safe="").replace("_", "%5F")
    if not 0 < len(text) <= LONGEST_ID:
        raise UsageError(
            f"The id {identifier[:40]!r} has {len(text)} characters; 1 to {LONGEST_ID} are possible."
        )
    return text.encode("ascii")


def _class_text(klass: str) -> bytes:
    text = klass if _PLAIN.fullmatch(klass) else quote(klass, safe="").replace("_", "%5F")
    return text.encode("ascii")[:LONGEST_CLASS] + b"_"


def _between(first: float, last: float) -> tuple[bytes, bytes] | None:
    """Return what keys with times between two have behind their first part: where it begins, and where it has ended."""
    if math.isnan(first) or math.isnan(last):
        raise UsageError("A time is not a number.", "Give days, in the survey's scale.")
    if first > last or first >= TIME_LIMIT or last <= -TIME_LIMIT:
        return None
    begin = b"" if first <= -TIME_LIMIT else _time_texts(np.array([first], np.float64))[0]
    end = b"~" if last >= TIME_LIMIT else _time_texts(np.array([last], np.float64))[0] + b"`"
    return begin, end


def _unescaped(text: bytes) -> str:
    try:
        return unquote_to_bytes(text).decode("utf-8")
    except UnicodeDecodeError as problem:
        raise Damaged(f"The id {text!r} in a key is not UTF-8.") from problem


def _escaped_all(ids: pa.Array) -> list[bytes]:
    """Return `_escaped` of a whole column; in Python only where something must be escaped."""
    if ids.null_count:
        raise UsageError(f"{ids.null_count} of {len(ids)} ids are null.")
    lengths = pc.binary_length(ids)
    plain = pc.all(pc.match_substring_regex(ids, r"^[A-Za-z0-9.~-]+$")).as_py()
    if len(ids) and (not plain or pc.max(lengths).as_py() > LONGEST_ID):
        return [_escaped(identifier) for identifier in ids.to_pylist()]
    return ids.cast(pa.binary()).to_pylist()  # type: ignore[no-any-return]


def _raw(ids: pa.Array, escaped: list[bytes]) -> list[bytes]:
    """Return ids as UTF-8: what is salted. Where nothing had to be escaped, that is the escaped list."""
    if pc.sum(pc.binary_length(ids)).as_py() == sum(map(len, escaped)):
        return escaped
    return ids.cast(pa.binary()).to_pylist()  # type: ignore[no-any-return]


def _time_texts(times: npt.NDArray[np.float64]) -> list[bytes]:
    """Return the fixed-width text of every time.

    Whole days and the fraction are taken apart first: both are exact in a double, and rounding the fraction
    alone never swaps two times. Below zero, floor and the offset together are the complement that keeps
    order.
    """
    if not np.all(np.abs(times) < TIME_LIMIT):
        wrong = next(time for time in times.tolist() if not abs(time) < TIME_LIMIT)
        kind = "not a number" if math.isnan(wrong) else f"not within ±{TIME_LIMIT:g} days"
        raise UsageError(f"The time {wrong} is {kind}.")
    days = np.floor(times)
    decimals = np.rint((times - days) * _DECIMALS).astype(np.int64)
    whole = days.astype(np.int64)
    whole += decimals == _DECIMALS
    decimals[decimals == _DECIMALS] = 0
    before = whole < 0
    whole[before] += int(TIME_LIMIT)
    text = np.empty((len(times), 20), np.uint8)
    text[:, 0] = np.where(before, ord("-"), ord("0"))
    text[:, 9] = ord(".")
    for last, width, number in ((8, 8, whole), (19, 10, decimals)):
        for place in range(last, last - width, -1):
            number, digit = np.divmod(number, 10)
            text[:, place] = digit + ord("0")
    joined = text.tobytes()
    return [joined[start : start + 20] for start in range(0, len(joined), 20)]
