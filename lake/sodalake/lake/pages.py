"""Walk a Parquet column chunk page by page: headers, levels and bodies, nothing decompressed.

A column chunk is a dictionary page, perhaps, and data pages. Each page has a header (Thrift, compact
protocol) that gives the bytes of its body before and after compression. Then:

=============== ==============================================================================================
dictionary page values, PLAIN. pyarrow's writers put stamps here; the data pages hold their numbers
data page v1    compressed as a whole: definition levels (a length of 4 bytes, then RLE), then values
data page v2    definition levels in front, uncompressed; then values, compressed if `is_compressed`
=============== ==============================================================================================

A definition level says how much of a nested value is there: the stamp of ``cutoutScience.stampData``, both
optional, is there where its level is 2. Lists would bring repetition levels; a stamp column has none.

Source: apache/parquet-format, README.md ("Data Pages") and parquet.thrift (PageHeader, Encoding).
"""

from __future__ import annotations

import enum
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from . import encodings
from .chunks import ColumnChunk, RangeSource, read_exactly
from .errors import Damaged
from .places import Codec
from .thrift_compact import MalformedError, Struct, TruncatedError, read_struct

__all__ = [
    "Encoding",
    "Page",
    "PageKind",
    "definition_levels",
    "walk",
]


class PageKind(enum.IntEnum):
    """parquet.thrift, PageType."""

    DATA = 0
    INDEX = 1
    DICTIONARY = 2
    DATA_V2 = 3


class Encoding(enum.IntEnum):
    """parquet.thrift, Encoding: those that byte arrays and levels have."""

    PLAIN = 0
    PLAIN_DICTIONARY = 2
    RLE = 3
    BIT_PACKED = 4
    DELTA_BINARY_PACKED = 5
    DELTA_LENGTH_BYTE_ARRAY = 6
    DELTA_BYTE_ARRAY = 7
    RLE_DICTIONARY = 8


@dataclass(frozen=True, slots=True)
class Page:
    """One page, as it stands in the file.

    Attributes
    ----------
    kind
        What it holds.
    offset
        First byte of its header in the file.
    values
        Values in it, nulls included.
    encoding
        `Encoding` of its values, as a number: a damaged file may have any.
    level_encoding
        Encoding of its definition levels (v1 only).
    levels
        The definition levels that stand before the body (v2 only).
    body
        The compressed body.
    body_offset
        First byte of `body` in the file.
    plain
        Bytes of the body after decompression.
    codec
        How the body is compressed.
    """

    kind: PageKind
    offset: int
    values: int
    encoding: int
    level_encoding: int
    levels: memoryview
    body: memoryview
    body_offset: int
    plain: int
    codec: Codec


WHOLE_CHUNK: Final = 64 << 20
"""Column chunks up to this many bytes are read at once."""

WINDOW: Final = 16 << 20
"""Larger ones are read by this many bytes, or by a page where that is more."""

_LARGEST_HEADER: Final = 16 << 20
"""As in parquet-cpp. Statistics in a header hold the least and the greatest value: two stamps."""


class _Window:
    """A column chunk's bytes, read at once or as the walk goes on."""

    def __init__(self, source: RangeSource, chunk: ColumnChunk) -> None:
        self._source = source
        self._end = chunk.end
        whole = chunk.end - chunk.start
        self._step = whole if whole <= WHOLE_CHUNK else WINDOW
        self._start = chunk.start
        self._data = memoryview(b"")

    def view(self, offset: int, length: int) -> memoryview:
        """Return the bytes from `offset` on: `length` at least, unless the chunk ends before."""
        length = min(length, self._end - offset)
        skip = offset - self._start
        if skip < 0 or skip + length > len(self._data):
            data = read_exactly(self._source, offset, min(max(length, self._step), self._end - offset))
            self._start, self._data, skip = offset, memoryview(data), 0
        return self._data[skip:]


def walk(source: RangeSource, chunk: ColumnChunk) -> Iterator[Page]:
    """Yield a chunk's dictionary and data pages, in order, until its values are complete.

    Where a header has a checksum it is compared.

    Raises
    ------
    Damaged
        A header that is none, a page that goes on after the chunk, a wrong checksum, a file cut short, or
        values missing. The message has the page's offset in the file and the column.
    """
    window = _Window(source, chunk)
    offset = chunk.start
    seen = 0
    while seen < chunk.values:
        try:
            if offset >= chunk.end:
                raise Damaged(f"the column chunk ends here, {chunk.values - seen} values short.")
            page, offset = _page(window, chunk, offset, chunk.values - seen)
        except Damaged as error:
            raise Damaged(
                f"Column {chunk.path}, the page at byte {offset}: {error.message}",
                error.advice or "The file is damaged (or encrypted): compare it with its source.",
            ) from error
        if page is not None:
            seen += page.values if page.kind is not PageKind.DICTIONARY else 0
            yield page


def _page(window: _Window, chunk: ColumnChunk, offset: int, values_left: int) -> tuple[Page | None, int]:
    """Return the page at `offset` (None: a page of another kind) and where the next begins."""
    fields, head = _header(window, chunk, offset)
    number = _integer(fields, 1)
    plain = _integer(fields, 2)
    packed = _integer(fields, 3)
    after = head + packed
    if after > chunk.end:
        raise Damaged(f"it goes on {after - chunk.end} bytes after its column chunk.")
    body = window.view(head, packed)[:packed]
    if 4 in fields and zlib.crc32(body) != _integer(fields, 4, least=-(1 << 31)) & 0xFFFFFFFF:
        raise Damaged("its checksum is not that of its bytes.")
    if number not in (PageKind.DATA, PageKind.DICTIONARY, PageKind.DATA_V2):
        return None, after
    kind = PageKind(number)
    about = _inner(fields, {PageKind.DATA: 5, PageKind.DICTIONARY: 7, PageKind.DATA_V2: 8}[kind])
    values = _integer(about, 1)
    if kind is PageKind.DICTIONARY:
        if values > plain // 4:
            raise Damaged(f"a dictionary of {plain} bytes cannot hold {values} values.")
    elif values > values_left:
        raise Damaged(f"it has {values} values where {values_left} are left.")
    codec = chunk.codec
    levels = body[:0]
    if kind is PageKind.DATA_V2:
        before = _integer(about, 5) + _integer(about, 6)
        if before > min(packed, plain):
            raise Damaged("its levels are longer than itself.")
        levels, body = body[before - _integer(about, 5) : before], body[before:]
        head += before
        plain -= before
        if not about.get(7, 1):
            codec = Codec.UNCOMPRESSED
    return (
        Page(
            kind=kind,
            offset=offset,
            values=values,
            encoding=_integer(about, 4 if kind is PageKind.DATA_V2 else 2),
            level_encoding=_integer(about, 3) if kind is PageKind.DATA else Encoding.RLE,
            levels=levels,
            body=body,
            body_offset=head,
            plain=plain,
            codec=codec,
        ),
        after,
    )


def _header(window: _Window, chunk: ColumnChunk, offset: int) -> tuple[Struct, int]:
    """Read the header at `offset`; return it and where it ends."""
    want = 1 << 16
    while True:
        data = window.view(offset, want)
        try:
            fields, end = read_struct(data)
        except MalformedError:
            raise Damaged("its header cannot be understood.") from None
        except TruncatedError:
            if len(data) >= min(chunk.end - offset, _LARGEST_HEADER):
                raise Damaged("its header has no end.") from None
            want = len(data) * 4
        else:
            return fields, offset + end


def _integer(fields: Struct, number: int, least: int = 0) -> int:
    value = fields.get(number)
    if not isinstance(value, int) or not least <= value < 1 << 31:
        raise Damaged(f"its header has {value!r} as field {number}.")
    return value


def _inner(fields: Struct, number: int) -> Struct:
    value = fields.get(number)
    if not isinstance(value, dict):
        raise Damaged(f"its header lacks field {number}.")
    return value


def definition_levels(
    page: Page, plain: encodings.Buffer, highest: int
) -> tuple[npt.NDArray[np.bool_] | None, int]:
    """Tell which values of a data page are there.

    Parameters
    ----------
    page
        A data page.
    plain
        Its decompressed body.
    highest
        The column's highest definition level; 0 where nothing is optional.

    Returns
    -------
    tuple
        A boolean for each of the page's values (None: all are there), and where its values begin in `plain`.

    Raises
    ------
    Damaged
        The levels are in no encoding, or do not fit in the page.
    """
    if not highest:
        return None, 0
    width = highest.bit_length()
    if page.kind is PageKind.DATA_V2:
        levels = encodings.run_lengths(page.levels, 0, len(page.levels), width, page.values)
        start = 0
    elif page.level_encoding == Encoding.RLE:
        if len(plain) < 4:
            raise Damaged("it ends before its definition levels.")
        start = 4 + int.from_bytes(plain[:4], "little")
        if start > len(plain):
            raise Damaged("its definition levels go on after its end.")
        levels = encodings.run_lengths(plain, 4, start, width, page.values)
    elif page.level_encoding == Encoding.BIT_PACKED:
        levels, start = encodings.bit_packed_levels(plain, 0, len(plain), width, page.values)
    else:
        raise Damaged(f"its definition levels have encoding {page.level_encoding}.")
    there = levels == highest
    return (None if there.all() else there), start
