"""Several ranges of a table in one call: a filter of HBase's own, written the way its servers read it.

A region server that is given the ranges goes from one to the next by itself, without a row in between being read. Of
1 000 ranges with 14 000 rows a tenth of the time is left that as many scans take.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence

__all__ = ["Range", "after", "all_within", "of_regions", "range_filter"]

Range = tuple[bytes, bytes | None]
"""First key, and first key after; None: to the table's end."""

_MOST = 512  # ranges of a call: what they take on the wire is some 50 kB

# Fields of protocol buffers, as tags: of Filter, MultiRowRangeFilter and RowRange.
_NAME, _SERIALIZED, _RANGE, _START, _STOP = b"\x0a", b"\x12", b"\x0a", b"\x0a", b"\x1a"
_WITH_START, _WITHOUT_STOP = b"\x10\x01", b"\x20\x00"
_FILTER = b"org.apache.hadoop.hbase.filter.MultiRowRangeFilter"


def range_filter(ranges: Sequence[Range]) -> bytes:
    """Return the filter that lets through the rows of some ranges (protocol buffers)."""
    return _field(_NAME, _FILTER) + _field(_SERIALIZED, b"".join([_row_range(*one) for one in ranges]))


def _row_range(start: bytes, stop: bytes | None) -> bytes:
    return _field(_RANGE, _field(_START, start) + _WITH_START + _field(_STOP, stop or b"") + _WITHOUT_STOP)


def _field(tag: bytes, content: bytes) -> bytes:
    size, length = bytearray(), len(content)
    while length > 0x7F:
        size.append(length & 0x7F | 0x80)
        length >>= 7
    size.append(length)
    return tag + size + content


def of_regions(ranges: Sequence[Range], begins: Sequence[bytes]) -> Iterator[Sequence[Range]]:
    """Yield ranges (sorted, apart) by the region that each begins in, and no more than a call takes.

    Parameters
    ----------
    begins
        First keys of the table's regions, sorted. Regions that have been split since cost a step more, no rows.
    """
    first = 0
    while first < len(ranges):
        region = bisect_right(begins, ranges[first][0])
        end = begins[region] if region < len(begins) else None
        beyond = len(ranges) if end is None else bisect_left(ranges, (end, b""), lo=first)
        last = min(beyond, first + _MOST)
        yield ranges[first:last]
        first = last


def after(ranges: Sequence[Range], key: bytes) -> list[Range]:
    """Return what is left of ranges behind a key."""
    begin = key + b"\0"
    return [(max(start, begin), stop) for start, stop in ranges if stop is None or begin < stop]


def all_within(keys: Sequence[bytes], ranges: Sequence[Range]) -> bool:
    """Say whether sorted keys are all in one of some ranges (sorted, apart)."""
    inside, at = 0, 0
    for start, stop in ranges:
        at = bisect_left(keys, start, lo=at)
        end = len(keys) if stop is None else bisect_left(keys, stop, lo=at)
        inside, at = inside + end - at, end
    return inside == len(keys)
