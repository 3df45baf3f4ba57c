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
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from . import encodings
from .errors import Damaged, UsageError
from .places import Codec
from .thrift_compact import MalformedError, Struct, TruncatedError, read_struct

__all__ = [
    "ColumnChunk",
    "Encoding",
    "Page",
    "PageKind",
    "RangeSource",
    "column_chunks",
    "definition_levels",
    "read_exactly",
    "refuse_encrypted",
    "walk",
]


class RangeSource(Protocol):
    """A file that is read in ranges, wherever it is.

    Attributes
    ----------
    size
        Its bytes.
    """

    size: int

    def read_at(self, offset: int, length: int) -> bytes:
        """Return the `length` bytes from byte `offset` on; fewer only where the file ends."""
        ...


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
class ColumnChunk:
    """One column in one row group, as the footer tells.

    Attributes
    ----------
    path
        The column's path, joined by dots.
    row_group
        Number of the row group.
    start, end
        First byte of its first page, and the byte after its last.
    values
        Values in it, nulls included: the row group's rows.
    codec
        How its pages are compressed.
    levels
        The highest definition level: a value is there where its level is this.
    """

    path: str
    row_group: int
    start: int
    end: int
    values: int
    codec: Codec
    levels: int


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

_CODECS: Final = {"LZ4": "LZ4_RAW", "UNKNOWN": "LZ4"}
"""pyarrow's names of codecs where they are not Parquet's own: it has none for the older LZ4."""

_SIGNATURE: Final = 28
"""Bytes of a footer's signature: a nonce of 12, a tag of 16 (apache/parquet-format, Encryption.md, 4.2)."""

_LARGEST_HEADER: Final = 16 << 20
"""As in parquet-cpp. Statistics in a header hold the least and the greatest value: two stamps."""


def read_exactly(source: RangeSource, offset: int, length: int) -> bytes:
    """Read a range, all of it.

    Raises
    ------
    Damaged
        The file ends before the range does.
    """
    data = source.read_at(offset, length)
    if len(data) != length:
        raise Damaged(
            f"The file ends within the {length} bytes from byte {offset} on: {len(data)} are there.",
            "It was cut short: copy it again.",
        )
    return data


def refuse_encrypted(source: RangeSource, metadata: pq.FileMetaData) -> None:
    """Refuse a file with encrypted columns, before pyarrow is asked about one: that ends the process.

    Such a file may keep its footer readable. It is then signed, and goes on 28 bytes after what pyarrow read.
    (pyarrow 26 has no other trace of it; ``row_group(0).column(n)`` calls abort() where n is encrypted.)

    Raises
    ------
    UsageError
        The file is encrypted.
    Damaged
        It does not end as a Parquet file does.
    """
    end = read_exactly(source, max(0, source.size - 8), 8)
    length = int.from_bytes(end[:4], "little")
    if end[4:] == b"PARE" or (end[4:] == b"PAR1" and length - metadata.serialized_size == _SIGNATURE):
        raise UsageError("The file is encrypted.", "Decrypt it into the archive: the lake holds no keys.")
    if end[4:] != b"PAR1" or length != metadata.serialized_size:
        raise Damaged(
            "The file does not end with its footer.", "It was cut short or replaced: copy it again."
        )


def column_chunks(metadata: pq.FileMetaData, path: str) -> list[ColumnChunk]:
    """Return the chunks of a column of byte arrays, one for each row group that has rows.

    Parameters
    ----------
    metadata
        The file's footer.
    path
        Where the column is, its parts joined by dots: ``cutoutScience.stampData``.

    Raises
    ------
    UsageError
        The file has no such column, or it holds something else than one byte array a row.
    Damaged
        The footer contradicts itself.
    """
    schema = metadata.schema
    for number in range(len(schema)):
        column = schema.column(number)
        if column.path == path:
            break
    else:
        raise UsageError(f"The file has no column {path}.", "Name the leaf, as in cutoutScience.stampData.")
    if column.max_repetition_level or column.physical_type != "BYTE_ARRAY":
        raise UsageError(
            f"Column {path} holds {'lists' if column.max_repetition_level else column.physical_type}, "
            "not one byte array a row.",
            "Only such columns can be stamps.",
        )
    chunks = []
    for group_number in range(metadata.num_row_groups):
        group = metadata.row_group(group_number)
        if not group.num_rows:
            continue
        try:
            chunk = group.column(number)
            first = chunk.dictionary_page_offset if chunk.has_dictionary_page else None
            start = min(first or chunk.data_page_offset, chunk.data_page_offset)
            codec = Codec[chunk.compression]
        except (
            OSError,
            KeyError,
        ) as error:  # pyarrow: encrypted with a key that is not at hand; unknown codec
            raise UsageError(
                f"Column {path} of row group {group_number} cannot be read: {error}.",
                "Is the file encrypted?",
            ) from error
        if chunk.num_values != group.num_rows or start < 0 or chunk.total_compressed_size < 0:
            raise Damaged(
                f"Row group {group_number} has {group.num_rows} rows, {chunk.num_values} of them in {path}."
            )
        chunks.append(
            ColumnChunk(
                path=path,
                row_group=group_number,
                start=start,
                end=start + chunk.total_compressed_size,
                values=chunk.num_values,
                codec=codec,
                levels=column.max_definition_level,
            )
        )
    return chunks


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
