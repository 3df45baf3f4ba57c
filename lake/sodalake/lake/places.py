"""Where a stamp's bytes are: the entry of the stamp index, and its 30 bytes.

A stamp costs one ranged read. What that read must fetch depends on the page the stamp was written in:

========== ============================== ================================================================
kind       read                           then
========== ============================== ================================================================
ABSENT     nothing                        the alert has no such stamp
RAW        ``[offset, offset+length)``    these are the stamp's bytes, but for a gap of `gap` bytes at `at`
FRAGMENT   ``[offset, offset+length)``    one or more whole Snappy fragments, `plain` bytes long when
                                          decompressed; the stamp is ``[at, at+size)`` of them
PAGE       ``[offset, offset+length)``    the compressed body of a page (`codec`), `plain` bytes long; the
                                          stamp is ``[at, at+size)`` of it
COLUMN     the column chunk               the row (`offset` is the row group, `at` the row in it) is decoded
                                          by pyarrow: only for encodings that mix values (DELTA_BYTE_ARRAY)
========== ============================== ================================================================
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass

__all__ = ["ABSENT", "PLACE_BYTES", "Codec", "Kind", "Place"]


class Kind(enum.IntEnum):
    """How the bytes of a stamp are found in what is read."""

    ABSENT = 0
    RAW = 1
    FRAGMENT = 2
    PAGE = 3
    COLUMN = 4


class Codec(enum.IntEnum):
    """Parquet's compression codecs, by Parquet's own numbers (parquet.thrift, CompressionCodec)."""

    UNCOMPRESSED = 0
    SNAPPY = 1
    GZIP = 2
    LZO = 3
    BROTLI = 4
    LZ4 = 5
    ZSTD = 6
    LZ4_RAW = 7


@dataclass(frozen=True, slots=True)
class Place:
    """Where one stamp's bytes are in its file.

    Attributes
    ----------
    kind
        How to read it.
    codec
        The page's codec (meaningful for PAGE).
    offset
        First byte to read, from the start of the file (COLUMN: the row group).
    length
        Bytes to read.
    plain
        FRAGMENT, PAGE: bytes after decompression. RAW: unused (0).
    at
        FRAGMENT, PAGE: the stamp's first byte in the decompressed bytes. RAW: where the gap starts in the
        bytes read. COLUMN: the row in its row group.
    size
        Bytes of the stamp as stored in the archive (for ZTF: of its gzip).
    crc
        CRC-32 (zlib's) of those bytes: tells a file that was overwritten, or has rotted, since its ingest.
    """

    kind: Kind
    codec: Codec = Codec.UNCOMPRESSED
    offset: int = 0
    length: int = 0
    plain: int = 0
    at: int = 0
    size: int = 0
    crc: int = 0

    @property
    def gap(self) -> int:
        """RAW: bytes to leave out at `at` (a Snappy tag between two literals)."""
        return self.length - self.size if self.kind is Kind.RAW else 0

    def pack(self) -> bytes:
        """Return the place as `PLACE_BYTES` bytes."""
        return _LAYOUT.pack(
            self.kind, self.codec, self.offset, self.length, self.plain, self.at, self.size, self.crc
        )

    @classmethod
    def unpack(cls, packed: bytes | memoryview, start: int = 0) -> Place:
        """Read a place from `PLACE_BYTES` bytes at `start`."""
        kind, codec, *rest = _LAYOUT.unpack_from(packed, start)
        return cls(_KINDS[kind], _CODECS[codec], *rest)


# By position: an enumeration's own look-up takes as long as the rest of `unpack`.
_KINDS = tuple(Kind)
_CODECS = tuple(Codec)
_LAYOUT = struct.Struct("<BBQIIIII")
PLACE_BYTES = _LAYOUT.size  # 30; the design allows 64 a stamp
ABSENT = Place(Kind.ABSENT)
