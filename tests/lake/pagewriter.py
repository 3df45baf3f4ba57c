"""Column chunks written page by page, as no installed writer would; their headers by thriftpy2."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import thriftpy2
from thriftpy2.protocol.compact import TCompactProtocol
from thriftpy2.transport.memory import TMemoryBuffer

from sodalake.lake.chunks import ColumnChunk
from sodalake.lake.places import Codec

IDL = """
struct Statistics { 1: optional binary max, 2: optional binary min, 3: optional i64 null_count }
struct DataV1 {
  1: i32 num_values, 2: i32 encoding, 3: i32 definition_level_encoding, 4: i32 repetition_level_encoding,
  5: optional Statistics statistics
}
struct Index {}
struct Dictionary { 1: i32 num_values, 2: i32 encoding, 3: optional bool is_sorted }
struct DataV2 {
  1: i32 num_values, 2: i32 num_nulls, 3: i32 num_rows, 4: i32 encoding, 5: i32 definition_levels_byte_length,
  6: i32 repetition_levels_byte_length, 7: optional bool is_compressed, 8: optional Statistics statistics
}
struct PageHeader {
  1: i32 type, 2: i32 uncompressed_page_size, 3: i32 compressed_page_size, 4: optional i32 crc,
  5: optional DataV1 data_page_header, 6: optional Index index_page_header,
  7: optional Dictionary dictionary_page_header, 8: optional DataV2 data_page_header_v2
}
"""
THRIFT = thriftpy2.load_fp(io.StringIO(IDL), module_name="test_pages_thrift")


class Memory:
    """A file in memory that counts what is read of it."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.size = len(content)
        self.reads: list[tuple[int, int]] = []

    def read_at(self, offset: int, length: int) -> bytes:
        self.reads.append((offset, length))
        return self.content[offset : offset + length]

    def close(self) -> None:
        pass


def written(kind: int, plain: int, body: bytes, *, checksum: bool = False, **about: Any) -> bytes:
    """A page: its header, and `body`, of `plain` bytes once decompressed."""
    crc = zlib.crc32(body)
    header = THRIFT.PageHeader(
        type=kind,
        uncompressed_page_size=plain,
        compressed_page_size=len(body),
        crc=crc - (crc >> 31 << 32) if checksum else None,
        **about,
    )
    buffer = TMemoryBuffer()
    TCompactProtocol(buffer).write_struct(header)
    return bytes(buffer.getvalue()) + body


def data_v1(
    values: int,
    plain: int,
    body: bytes,
    *,
    encoding: int = 0,
    levels: int = 3,
    statistics: Any = None,
    **more: Any,
) -> bytes:
    """A data page v1; `levels` is the encoding of its definition levels."""
    about = THRIFT.DataV1(
        num_values=values,
        encoding=encoding,
        definition_level_encoding=levels,
        repetition_level_encoding=3,
        statistics=statistics,
    )
    return written(0, plain, body, data_page_header=about, **more)


def data_v2(
    values: int, levels: bytes, plain: int, body: bytes, *, encoding: int = 0, compressed: bool | None = None
) -> bytes:
    """A data page v2: `levels`, then `body`."""
    about = THRIFT.DataV2(
        num_values=values,
        num_nulls=0,
        num_rows=values,
        encoding=encoding,
        definition_levels_byte_length=len(levels),
        repetition_levels_byte_length=0,
        is_compressed=compressed,
    )
    return written(3, plain + len(levels), levels + body, data_page_header_v2=about)


def dictionary(values: int, plain: int, body: bytes, encoding: int = 0) -> bytes:
    """A dictionary page."""
    return written(
        2, plain, body, dictionary_page_header=THRIFT.Dictionary(num_values=values, encoding=encoding)
    )


def index_page() -> bytes:
    """A page of a kind that holds no values."""
    return written(1, 7, b"ignored", index_page_header=THRIFT.Index())


def plain_values(values: Sequence[bytes]) -> bytes:
    """The PLAIN encoding."""
    return b"".join(struct.pack("<I", len(value)) + value for value in values)


def chunk(pages: Sequence[bytes], values: int, codec: Codec, levels: int = 0) -> tuple[Memory, ColumnChunk]:
    """A file of these pages, after some other bytes, and its only chunk."""
    before = b"PAR1 and other columns"
    content = before + b"".join(pages)
    return (
        Memory(content + b"and more columns"),
        ColumnChunk("cutout.stamp", 0, len(before), len(content), values, codec, levels),
    )
