"""The bytes of a result, read from its segments: some hundred kilobytes at a time, whatever the segments are.

A container of ten thousand stamps is twenty thousand segments, a few hundred bytes of its own and a range of a part
in turn. Ranges of one object that lie together are read as one, so that a stream costs the store about one read a
piece and not one a stamp. Everything here blocks and belongs in a thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from sodalake.lake.errors import Damaged
from sodalake.uws.jobs import Segment
from sodalake.uws.kinds import ResultStore, StoredObject

__all__ = ["PIECE", "SegmentReader"]

PIECE: Final = 512 * 1024
"""Bytes a piece has, at most: two are held at a time, for as many clients as download."""

_GAP: Final = 32 * 1024  # bytes that are read and thrown away rather than asking twice


class SegmentReader:
    """Reads the bytes `[start, end)` of segments, piece by piece.

    Used by one thread at a time. Holds one object open.
    """

    def __init__(self, results: ResultStore, segments: Sequence[Segment], start: int, end: int) -> None:
        self._results = results
        self._ranges = _cut(segments, start, end)
        self._left: Segment | None = None
        self._name = ""
        self._object: StoredObject | None = None

    def next(self) -> bytes:
        """Return the next piece; empty at the end.

        Raises
        ------
        FileGone, Unavailable
            An object is gone, or the store does not answer.
        Damaged
            An object is shorter than its result says.
        """
        taken = self._take()
        return b"".join(self._read(taken))

    def close(self) -> None:
        """Let go of the object that is open."""
        if self._object is not None:
            self._object.close()
            self._object = None
            self._name = ""

    def _take(self) -> list[Segment]:
        taken: list[Segment] = []
        room = PIECE
        while room > 0:
            segment = self._left if self._left is not None else next(self._ranges, None)
            self._left = None
            if segment is None:
                break
            if segment.size > room:
                segment, self._left = _split(segment, room)
            taken.append(segment)
            room -= segment.size
        return taken

    def _read(self, taken: Sequence[Segment]) -> Iterator[bytes]:
        at = 0
        while at < len(taken):
            first = taken[at]
            if not first.object:
                yield first.data
                at += 1
                continue
            # As far as the ranges of this object follow each other closely, with bytes of our own between them.
            end, last = first.offset + first.length, at
            for number in range(at + 1, len(taken)):
                other = taken[number]
                if not other.object:
                    continue
                if other.object != first.object or not end <= other.offset <= end + _GAP:
                    break
                end, last = other.offset + other.length, number
            content = self._read_object(first.object, first.offset, end - first.offset)
            for segment in taken[at : last + 1]:
                begin = segment.offset - first.offset
                yield content[begin : begin + segment.length] if segment.object else segment.data
            at = last + 1

    def _read_object(self, name: str, offset: int, length: int) -> bytes:
        if self._object is None or name != self._name:
            self.close()
            self._object, self._name = self._results.open(name), name
        content = self._object.read_at(offset, length)
        if len(content) != length:
            raise Damaged(
                f"The stored object {name} has {len(content)} bytes at {offset}, not {length}.",
                "Run the job again.",
            )
        return content


def _cut(segments: Sequence[Segment], start: int, end: int) -> Iterator[Segment]:
    """Yield what of the segments is in `[start, end)`."""
    at = 0
    for segment in segments:
        if at >= end:
            return
        size = segment.size
        low, high = max(start - at, 0), min(end - at, size)
        at += size
        if low >= high:
            continue
        yield segment if (low, high) == (0, size) else _slice(segment, low, high)


def _slice(segment: Segment, low: int, high: int) -> Segment:
    if segment.object:
        return Segment(segment.object, segment.offset + low, high - low)
    return Segment(data=segment.data[low:high])


def _split(segment: Segment, at: int) -> tuple[Segment, Segment]:
    return _slice(segment, 0, at), _slice(segment, at, segment.size)
