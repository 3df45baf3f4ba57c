"""A stamp from the bytes that were read for it.

Every stamp is checked against the CRC-32 that its place carries. A file that was overwritten after its
ingest, or a rotten block, is `Damaged`, never a wrong image.
"""

from __future__ import annotations

import zlib

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from . import compression, snappy
from .errors import Damaged, NotInLake
from .files import OpenFile, SourceFile
from .places import Kind, Place

__all__ = ["Extractor", "extract", "read_column_row"]


def extract(place: Place, data: bytes | memoryview) -> bytes:
    """Take a stamp out of what was read for it.

    Parameters
    ----------
    place
        Its place; not of kind COLUMN, which `read_column_row` reads.
    data
        The bytes ``[offset, offset + length)`` of the file.

    Returns
    -------
    bytes
        The stamp as stored in the archive (ZTF: gzip; Rubin: FITS).

    Raises
    ------
    Damaged
        Fewer or other bytes than at ingest.
    NotInLake
        The place says that there is no such stamp.
    ValueError
        The place is of kind COLUMN.
    """
    return Extractor().extract(place, data)


class Extractor:
    """Takes several stamps of one file out of their bytes, and decompresses what neighbours share once.

    Ask in the order of their offsets: the last fragments or page are kept. Ten stamps of one zstd page are
    then decompressed in the time of one. For one thread.
    """

    def __init__(self) -> None:
        self._span: tuple[Kind, int, int, int] | None = None
        self._plain = memoryview(b"")

    def extract(self, place: Place, data: bytes | memoryview) -> bytes:
        """Take a stamp out of what was read for it: the function `extract`."""
        stamp = self.unwrap(place, data)
        if len(stamp) != place.size or zlib.crc32(stamp) != place.crc:
            self._span = None
            raise _changed(
                f"{place.size} bytes of a stamp at byte {place.offset} are not those of its ingest"
            )
        return stamp if type(stamp) is bytes else bytes(stamp)

    def unwrap(self, place: Place, data: bytes | memoryview) -> bytes | memoryview:
        """Take a stamp out of what was read for it, but do not compare its checksum."""
        if place.kind is Kind.ABSENT:
            raise NotInLake("This alert has no such stamp.")
        if place.kind is Kind.COLUMN:
            raise ValueError("a stamp of kind COLUMN is read with its column, not from a range")
        if len(data) != place.length:
            raise _changed(f"{len(data)} bytes were read at byte {place.offset} instead of {place.length}")
        if place.kind is Kind.RAW:
            gap = place.gap
            if gap < 0 or place.at > place.size:
                raise Damaged(f"The index entry {place} contradicts itself.", "Ingest the file again.")
            return data if not gap else b"".join((data[: place.at], data[place.at + gap :]))
        span = (place.kind, place.offset, place.length, place.plain)
        if span != self._span:
            self._span = None
            self._plain = memoryview(_plain(place, data))
            self._span = span
        return self._plain[place.at : place.at + place.size]


def _plain(place: Place, data: bytes | memoryview) -> bytes | memoryview:
    """Decompress what was read for a FRAGMENT or a PAGE."""
    try:
        if place.kind is Kind.FRAGMENT:
            return snappy.decompress(data, place.plain)
        return compression.decompress(place.codec, data, place.plain)
    except Damaged as error:
        what = f"{place.length} bytes at byte {place.offset} no longer decompress ({error.message})"
        raise _changed(what) from error


def read_column_row(source: OpenFile, column_path: str, place: Place) -> bytes:
    """Read a stamp of kind COLUMN: let pyarrow decode the column chunk that holds it.

    Parameters
    ----------
    source
        The file, with its size.
    column_path
        The column that was indexed.
    place
        The stamp's place, of kind COLUMN.

    Raises
    ------
    Damaged
        The file is no Parquet file any more, or has no such row, or there is another stamp in it, or
        none.
    """
    where = f"row {place.at} of row group {place.offset}"
    try:
        with pq.ParquetFile(SourceFile(source)) as file:
            column = file.read_row_group(place.offset, columns=[column_path]).column(0)
        value = column.slice(place.at, 1).combine_chunks()
        for name in column_path.split(".")[1:]:
            value = pc.struct_field(value, name)
        stamp = value[0].as_py()
    except (pa.ArrowException, OSError, LookupError) as error:
        raise _changed(f"{where} cannot be read any more ({error})") from error
    if not isinstance(stamp, bytes) or len(stamp) != place.size or zlib.crc32(stamp) != place.crc:
        raise _changed(f"{where} no longer holds the stamp of {place.size} bytes")
    return stamp


def _changed(what: str) -> Damaged:
    return Damaged(
        f"The archive changed: {what}.", "Ingest the file again if it was replaced, or restore it."
    )
