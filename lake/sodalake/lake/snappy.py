"""Snappy streams in pieces: where one can be decompressed from the middle.

A raw Snappy stream is the plain length as a varint, then tags: a *literal* is followed by its bytes, a *copy*
points back into what came out before. The encoders in use (C++, Java, Rust, Go) cut their input into
fragments of 64 KiB and compress each by itself: no tag crosses the end of a fragment, and no copy points into
the one before. The compressed span of a fragment, with a length put before it, is therefore a stream of its
own, and a stamp in a page of 1 MB costs the one or two fragments that hold it.

Nothing in the stream marks a fragment's start, and to find it by reading every tag takes Python a second for
40 MB of Rubin's stamps. The decompressor knows it ten times sooner: it is given the rest of the stream and
told that 65536 bytes will come out. It makes the fragment, meets the next tag with no room left, and says so:
"expected literal read of length L; remaining src: S; remaining dst: 0". S is where that literal's bytes
begin, L how long its tag must be. Since the fragment came out without the one before, it is independent, too.
Where the message says anything else, the tags are read one by one; where the stream is made otherwise,
`DependentError` is raised, and a stamp there costs its page.

Source: google/snappy, format_description.txt; the length of a fragment is `kBlockSize` of its snappy.cc.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import cramjam
import numpy as np

from .errors import Damaged

__all__ = [
    "FRAGMENT",
    "DependentError",
    "Fragments",
    "Literal",
    "decompress",
    "literals",
    "plain_length",
    "split",
    "unfilled",
    "varint",
]

FRAGMENT: Final = 1 << 16
"""Plain bytes of every fragment but the last."""

_LONGEST: Final = 32 + FRAGMENT + FRAGMENT // 6
"""Compressed bytes of a fragment at most (snappy.cc, MaxCompressedLength)."""

_MARGIN: Final = 16
"""Bytes after a fragment that the decompressor wants to see to read the next literal's tag."""

_LARGEST_RATIO: Final = 22
"""Plain bytes a compressed byte can make: a copy of 64 bytes takes 3."""

_NO_ROOM: Final = re.compile(
    r"expected literal read of length (\d+); remaining src: (\d+); remaining dst: 0\)?$"
)


class DependentError(Exception):
    """The stream is not a run of independent fragments of 64 KiB."""


class Fragments(NamedTuple):
    """A stream taken apart.

    Attributes
    ----------
    plain
        What it decompresses to.
    starts
        Where each fragment's first tag is in the stream; then, once more, where the stream ends.
    """

    plain: memoryview
    starts: list[int]


class Literal(NamedTuple):
    """Bytes that stand in the stream as they are.

    Attributes
    ----------
    plain
        Where they come out.
    stream
        Where they stand.
    length
        How many they are.
    """

    plain: int
    stream: int
    length: int


def varint(number: int) -> bytes:
    """Return `number` as Snappy (and Thrift, and Parquet) write lengths: 7 bits a byte, the lowest first."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def plain_length(stream: bytes | memoryview) -> tuple[int, int]:
    """Return how many bytes the stream says it holds, and where its first tag is.

    Raises
    ------
    Damaged
        It does not begin with a length of 32 bits, or promises more than its bytes can make.
    """
    length = 0
    for at in range(min(len(stream), 5)):
        length |= (stream[at] & 0x7F) << (7 * at)
        if stream[at] < 0x80:
            if length > _LARGEST_RATIO * len(stream) or length >> 32:
                raise Damaged(f"A Snappy stream of {len(stream)} bytes promises {length}.")
            return length, at + 1
    raise Damaged("A Snappy stream does not begin with its length.")


def unfilled(size: int) -> memoryview:
    """Return room for `size` bytes, which costs nothing until it is written to.

    (`bytearray` writes zeros: a second and 2 GB for a page header whose damage promises that much.)

    Raises
    ------
    Damaged
        There can be no such room.
    """
    try:
        return np.empty(size, np.uint8).data
    except MemoryError:
        raise Damaged(f"{size} bytes are promised, for which there is no memory.") from None


def decompress(tags: bytes | memoryview, plain: int) -> memoryview:
    """Decompress a run of whole fragments: tags without the length before them.

    Parameters
    ----------
    tags
        The fragments' compressed span.
    plain
        Bytes that must come out.

    Raises
    ------
    Damaged
        They are no tags, or make another number of bytes.
    """
    if plain > _LARGEST_RATIO * len(tags):
        raise Damaged(f"{len(tags)} bytes of Snappy tags cannot make {plain}.")
    out = unfilled(plain)
    if plain or tags:
        _decompress_into(tags, out)
    return out


def split(stream: bytes | memoryview, *, ask_decompressor: bool = True) -> Fragments:
    """Decompress a stream and find its fragments.

    Parameters
    ----------
    stream
        The whole stream, with its length.
    ask_decompressor
        False: find the fragments by reading every tag, ten times slower. It is what happens anyway where
        the decompressor's answer is not understood.

    Raises
    ------
    DependentError
        It is not made of independent fragments. It may be sound for all that.
    Damaged
        A part of it can be no stream, however it was made.
    """
    length, at = plain_length(stream)
    plain = unfilled(length)
    starts = [at]
    for done in range(0, length - FRAGMENT, FRAGMENT):
        out = plain[done : done + FRAGMENT]
        end = _end_as_decompressor_says(stream, at, out) if ask_decompressor else None
        if end is None:
            end = _end_by_tags(stream, at, FRAGMENT)
            _decompress_into(stream[at:end], out)
        at = end
        starts.append(at)
    if length:
        last = plain[(length - 1) // FRAGMENT * FRAGMENT :]
        try:
            _decompress_into(stream[at:], last)
        except Damaged as error:  # a copy out of the last fragment, perhaps
            raise DependentError from error
    elif at != len(stream):
        raise Damaged("A Snappy stream of no bytes goes on after its length.")
    starts.append(len(stream))
    return Fragments(plain, starts)


def literals(stream: bytes | memoryview, start: int, end: int, plain: int, limit: int) -> list[Literal]:
    """Return the literals among the first `limit` tags of a span.

    Parameters
    ----------
    stream
        Any bytes that hold the span.
    start, end
        The span: from one tag to another (or to the end).
    plain
        Where the span's first byte comes out.
    limit
        Tags to read at most: a compressible fragment has thousands, and its literals are of no use.
    """
    found = []
    for _ in range(limit):
        if start >= end:
            break
        begin, length, offset = _tag(stream, start)
        if not offset:
            found.append(Literal(plain, begin, length))
            start = begin + length
        else:
            start = begin
        plain += length
    return found


def _decompress_into(tags: bytes | memoryview, out: memoryview) -> None:
    try:
        made = cramjam.snappy.decompress_raw_into(b"".join((varint(len(out)), tags)), out)
    except cramjam.DecompressionError as error:
        raise Damaged(f"Bytes that should be Snappy are not: {error}.") from error
    if made != len(out):
        raise Damaged(f"Snappy tags make {made} bytes instead of {len(out)}.")


def _end_as_decompressor_says(stream: bytes | memoryview, start: int, out: memoryview) -> int | None:
    """Decompress the fragment at `start` into `out`, and return where the next one's first tag is.

    None where that cannot be told: the decompressor stumbled over something else, or says it in other words.
    """
    window = b"".join((varint(len(out)), stream[start : start + _LONGEST + _MARGIN]))
    try:
        cramjam.snappy.decompress_raw_into(window, out)
    except cramjam.DecompressionError as error:
        words = _NO_ROOM.search(str(error))
    else:
        return None  # the stream ends here, and should not
    if words is None:
        return None
    length, rest = int(words[1]), int(words[2])
    # `after` is where the next fragment's literal has its bytes. Up to 60 of them have a tag of 1 byte, more
    # have 1 to 4 bytes besides. An encoder may take more than it needs, so every tag that could be there
    # is tried.
    after = min(start + _LONGEST + _MARGIN, len(stream)) - rest
    ends = [
        after - size
        for size in range(1, 6)
        if start < after - size and _tag_if_any(stream, after - size) == (after, length, 0)
    ]
    if len(ends) == 1:
        return ends[0]
    for end in ends:
        try:
            _decompress_into(stream[start:end], out)
        except Damaged:
            continue
        return end
    return None


def _tag_if_any(stream: bytes | memoryview, at: int) -> tuple[int, int, int] | None:
    try:
        return _tag(stream, at)
    except Damaged:
        return None


def _tag(stream: bytes | memoryview, at: int) -> tuple[int, int, int]:
    """Read a tag: where it ends, bytes it makes, how far back it copies them from (0: a literal)."""
    tag = stream[at]
    form = tag & 3
    if form == 0:
        length = (tag >> 2) + 1
        end = at + 1
        if length > 60:
            end += length - 60
            length = int.from_bytes(stream[at + 1 : end], "little") + 1
        if end + length > len(stream):
            raise Damaged("A Snappy literal goes on after its page.")
        return end, length, 0
    end = at + (2, 3, 5)[form - 1]
    if end > len(stream):
        raise Damaged("A Snappy tag goes on after its page.")
    if form == 1:
        length = 4 + (tag >> 2 & 7)
        offset = (tag >> 5) << 8 | stream[at + 1]
    else:
        length = (tag >> 2) + 1
        offset = int.from_bytes(stream[at + 1 : end], "little")
    if not offset:
        raise Damaged("A Snappy copy copies from nowhere.")
    return end, length, offset


def _end_by_tags(stream: bytes | memoryview, start: int, size: int) -> int:
    """Return where the tags from `start` on have made `size` bytes, none copied from before `start`."""
    made = 0
    while made < size:
        if start >= len(stream):
            raise Damaged("A Snappy stream ends before its plain length is reached.")
        start, length, offset = _tag(stream, start)
        if offset > made:
            raise DependentError
        if not offset:
            start += length
        made += length
    if made > size:
        raise DependentError
    return start
