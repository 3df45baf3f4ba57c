"""Where a column's bytes are in a Parquet file: its chunk in each row group, as the footer tells.

pyarrow reads the footer. What is asked of it here is checked against the file before it is believed: that the
file ends with this footer, that nothing is encrypted, that a row has one value.

Source: apache/parquet-format, parquet.thrift (ColumnMetaData), Encryption.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import pyarrow.parquet as pq

from .errors import Damaged, UsageError
from .places import Codec

__all__ = ["ColumnChunk", "RangeSource", "column_chunks", "read_exactly", "refuse_encrypted"]

_CODECS: Final = {"LZ4": "LZ4_RAW", "UNKNOWN": "LZ4"}
"""pyarrow's names of codecs where they are not Parquet's own: it has none for the older LZ4."""

_SIGNATURE: Final = 28
"""Bytes of a footer's signature: a nonce of 12, a tag of 16 (apache/parquet-format, Encryption.md, 4.2)."""


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
