"""The stamp index: where each stamp's bytes are, found once, when a file is ingested.

`index_column` walks a column's pages once and gives a `Place` a row (see `places`). It decompresses every
page, since the lengths that tell the stamps apart are inside, and for a Snappy page keeps what decompression
reveals: where the independent fragments begin, and which stamps stand in the stream as they are (a gzipped
stamp does: Snappy finds nothing to save in it). Each place is then tried on the page it came from; one that
does not give the stamp back becomes the whole page. So whatever a writer did, what is stored is right.

The other half, a stamp from what was read for it, is `stampbytes`.
"""

from __future__ import annotations

import zlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from . import compression, encodings, snappy
from .chunks import ColumnChunk, RangeSource, column_chunks, refuse_encrypted
from .errors import Damaged, UsageError
from .pages import Encoding, Page, PageKind, definition_levels, walk
from .places import ABSENT, Codec, Kind, Place
from .stampbytes import Extractor, extract, read_column_row

__all__ = ["Extractor", "extract", "index_chunk", "index_column", "read_column_row"]

TAGS_READ: Final = 64
"""Snappy tags looked at in a fragment to find literals: gzipped stamps make 1 to 5, FITS makes 6000.

None are looked at where Snappy saved a quarter: 64 in each fragment cost Rubin's ingest a fifth of its time.
"""


def index_column(source: RangeSource, metadata: pq.FileMetaData, column_path: str) -> list[Place]:
    """Find every stamp of a column.

    Parameters
    ----------
    source
        The file.
    metadata
        Its footer.
    column_path
        The column of byte arrays, its parts joined by dots.

    Returns
    -------
    list of Place
        One for each row of the file, in order; `ABSENT` where the stamp, or a struct around it, is null.

    Raises
    ------
    Damaged
        The file's bytes are not Parquet; the message has the page's offset in the file, and the column.
    UsageError
        The file is encrypted, or the column is not there, holds something else than one byte array a row,
        or is compressed with LZO.
    """
    refuse_encrypted(source, metadata)
    places: list[Place] = []
    for chunk in column_chunks(metadata, column_path):
        places.extend(index_chunk(source, chunk))
    return places


def index_chunk(source: RangeSource, chunk: ColumnChunk) -> Iterator[Place]:
    """Yield the places of one row group's stamps: what `index_column` does for each.

    Raises
    ------
    Damaged, UsageError
        As `index_column`.
    """
    dictionary: list[Place] | None = None
    rows = 0
    for page in walk(source, chunk):
        try:
            if page.kind is PageKind.DICTIONARY:
                dictionary = _dictionary(page)
                continue
            places = _data_page(page, chunk, rows, dictionary)
        except (Damaged, UsageError) as error:
            raise type(error)(
                f"Column {chunk.path}, the page at byte {page.offset}: {error.message}",
                error.advice or "The file is damaged: compare it with its source.",
            ) from error
        rows += page.values
        yield from places


def _dictionary(page: Page) -> list[Place]:
    if page.encoding not in (Encoding.PLAIN, Encoding.PLAIN_DICTIONARY):
        raise Damaged(f"its dictionary has encoding {page.encoding}.")
    body = _body(page)
    return body.places(encodings.plain_byte_arrays(body.plain, 0, page.values))


def _data_page(
    page: Page, chunk: ColumnChunk, first_row: int, dictionary: Sequence[Place] | None
) -> list[Place]:
    """Return the places of a data page, nulls included; `first_row` is its first row in the row group."""
    body = _body(page)
    there, start = definition_levels(page, body.plain, chunk.levels)
    rows = np.arange(page.values) if there is None else np.flatnonzero(there)
    count = len(rows)
    found: Iterable[Place]
    if not count:
        found = ()
    elif page.encoding == Encoding.PLAIN:
        found = body.places(encodings.plain_byte_arrays(body.plain, start, count))
    elif page.encoding in (Encoding.PLAIN_DICTIONARY, Encoding.RLE_DICTIONARY):
        found = _from_dictionary(body.plain, start, count, dictionary)
    elif page.encoding == Encoding.DELTA_LENGTH_BYTE_ARRAY:
        found = body.places(encodings.delta_length_byte_arrays(body.plain, start, count))
    elif page.encoding == Encoding.DELTA_BYTE_ARRAY:
        written = encodings.delta_byte_arrays(body.plain, start, count)
        found = _sharing(body, written, Place(Kind.COLUMN, offset=chunk.row_group), first_row + rows)
    else:
        raise Damaged(f"its byte arrays have encoding {page.encoding}.")
    if there is None:
        return list(found)
    places = [ABSENT] * page.values
    for row, place in zip(rows.tolist(), found, strict=True):
        places[row] = place
    return places


def _sharing(
    body: _Body, written: list[tuple[encodings.Span, int]], column: Place, rows: npt.NDArray[np.int64]
) -> list[Place]:
    """Return the places of values that take their beginning from the one before, where they take any.

    `column` is the place of kind COLUMN that they get; `rows` are their rows in the row group.
    """
    plain = memoryview(body.plain)
    places = body.places([span for span, _ in written])
    before = b""
    for number, ((start, size), shared) in enumerate(written):
        before = before[:shared] + plain[start : start + size]
        if shared:
            places[number] = replace(column, at=int(rows[number]), size=len(before), crc=zlib.crc32(before))
    return places


def _from_dictionary(
    plain: encodings.Buffer, start: int, count: int, dictionary: Sequence[Place] | None
) -> list[Place]:
    if dictionary is None:
        raise Damaged("its values are in a dictionary that is not there.")
    if start >= len(plain):
        raise Damaged("it ends before its values.")
    indices = encodings.run_lengths(plain, start + 1, len(plain), plain[start], count)
    if int(indices.max()) >= len(dictionary):
        raise Damaged(f"it names value {int(indices.max())} of a dictionary of {len(dictionary)}.")
    return [dictionary[index] for index in indices.tolist()]


class _Body:
    """A page's body, decompressed, and how a span of it is found in the file."""

    def __init__(self, page: Page, plain: encodings.Buffer) -> None:
        self.page = page
        self.plain = plain

    def places(self, spans: Iterable[encodings.Span]) -> list[Place]:
        """Return the place of each span, tried."""
        plain = memoryview(self.plain)
        tried = _Trial(self.page)
        places = []
        for start, size in spans:
            if not size:
                places.append(Place(Kind.RAW, offset=self.page.body_offset))  # nothing to read, and not null
                continue
            crc = zlib.crc32(plain[start : start + size])
            place = self.place(start, size, crc)
            if not tried.gives(place, plain[start : start + size]):
                place = self.whole_page(start, size, crc)
            places.append(place)
        return places

    def place(self, start: int, size: int, crc: int) -> Place:
        """Return the place of a span, untried."""
        return self.whole_page(start, size, crc)

    def whole_page(self, start: int, size: int, crc: int) -> Place:
        """Return the place of a span as part of the whole page, which is always right."""
        page = self.page
        return Place(Kind.PAGE, page.codec, page.body_offset, len(page.body), page.plain, start, size, crc)


class _PlainBody(_Body):
    """An uncompressed page: the stamps stand in the file."""

    def place(self, start: int, size: int, crc: int) -> Place:
        return Place(Kind.RAW, offset=self.page.body_offset + start, length=size, size=size, crc=crc)


class _SnappyBody(_Body):
    """A Snappy page made of independent fragments."""

    def __init__(self, page: Page, fragments: snappy.Fragments) -> None:
        super().__init__(page, fragments.plain)
        self._starts = fragments.starts
        self._literals: list[snappy.Literal] = []
        for number, (start, end) in enumerate(zip(fragments.starts, fragments.starts[1:], strict=False)):
            first = number * snappy.FRAGMENT
            if 4 * (end - start) > 3 * min(snappy.FRAGMENT, len(self.plain) - first):
                self._literals += snappy.literals(page.body, start, end, first, TAGS_READ)
        self._literal_starts = [literal.plain for literal in self._literals]

    def place(self, start: int, size: int, crc: int) -> Place:
        return self._in_literals(start, size, crc) or self._in_fragments(start, size, crc)

    def _in_literals(self, start: int, size: int, crc: int) -> Place | None:
        number = bisect_right(self._literal_starts, start) - 1
        if number < 0:
            return None
        first = self._literals[number]
        offset = self.page.body_offset + first.stream + start - first.plain
        inside = first.plain + first.length - start  # bytes of the stamp in the first literal, and more
        if inside <= 0:
            return None
        if inside >= size:
            return Place(Kind.RAW, offset=offset, length=size, size=size, crc=crc)
        if number + 1 == len(self._literals):
            return None
        second = self._literals[number + 1]
        if second.plain != start + inside or second.length < size - inside:
            return None
        gap = second.stream - first.stream - first.length
        return Place(Kind.RAW, offset=offset, length=size + gap, at=inside, size=size, crc=crc)

    def _in_fragments(self, start: int, size: int, crc: int) -> Place:
        first = start // snappy.FRAGMENT
        after = (start + size - 1) // snappy.FRAGMENT + 1
        begin = first * snappy.FRAGMENT
        return Place(
            Kind.FRAGMENT,
            Codec.SNAPPY,
            offset=self.page.body_offset + self._starts[first],
            length=self._starts[after] - self._starts[first],
            plain=min(after * snappy.FRAGMENT, len(self.plain)) - begin,
            at=start - begin,
            size=size,
            crc=crc,
        )


class _Trial:
    """Places tried on the page they came from, with the bytes that a reader would read."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._extractor = Extractor()

    def gives(self, place: Place, stamp: memoryview) -> bool:
        """Tell whether `place` gives `stamp` back. A whole page does: the stamp comes from it."""
        if place.kind is Kind.PAGE:
            return True
        start = place.offset - self._page.body_offset
        try:
            given = self._extractor.unwrap(place, self._page.body[start : start + place.length])
        except Damaged:
            return False
        return bytes(given) == stamp.tobytes()  # views compare byte by byte, thirty times slower


def _body(page: Page) -> _Body:
    if page.codec is Codec.SNAPPY and page.plain:
        if snappy.plain_length(page.body)[0] != page.plain:
            raise Damaged(f"its Snappy stream does not promise the {page.plain} bytes that its header does.")
        try:
            return _SnappyBody(page, snappy.split(page.body))
        except snappy.DependentError:
            pass  # sound, but not in pieces: its stamps cost the page
    plain = compression.decompress(page.codec, page.body, page.plain)
    return (_PlainBody if page.codec is Codec.UNCOMPRESSED else _Body)(page, plain)
