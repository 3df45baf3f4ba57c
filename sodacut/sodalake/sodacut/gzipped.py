"""Gzip members as archives really hold them: whole, joined, followed by rubbish, or cut short.

The fast road is one call into cramjam (83 µs for a ZTF stamp of 13 kB; zlib takes 115 µs). It writes into a
buffer whose size the gzip trailer announces, never larger than deflate could fill from the bytes at hand
(1032:1), so that a forged trailer or a bomb reserves nothing. Whatever it refuses goes the slow road, through
zlib, which can tell rubbish behind a complete member from a member that ends too soon.
"""

from __future__ import annotations

import zlib

import cramjam
import numpy as np
from numpy.typing import NDArray

from sodalake.lake.errors import Damaged

__all__ = ["MAGIC", "gunzip", "gunzip_into", "is_one_member"]

MAGIC = b"\x1f\x8b"
LIMIT = 256 << 20
"""Bytes a stamp may have once unpacked.

The largest known stamps are 80 kB; survey tiles do not come this way.
"""

_DEFLATE_RATIO = 1032
_WINDOW_GZIP = 31


def gunzip(data: bytes, limit: int = LIMIT) -> bytes:
    """Unpack gzip bytes: all members joined, what follows the last one dropped.

    Parameters
    ----------
    data
        One or more gzip members (RFC 1952), possibly followed by bytes that are none.
    limit
        Largest result, in bytes.

    Raises
    ------
    Damaged
        Not gzip, a wrong checksum, a member that ends too soon, or more than `limit` bytes.
    """
    announced = int.from_bytes(data[-4:], "little")
    if 0 < announced <= min(limit, _DEFLATE_RATIO * len(data)):
        out = np.empty(announced, np.uint8)
        try:
            written: int = cramjam.gzip.decompress_into(data, out.data)
        except cramjam.DecompressionError:
            pass
        else:
            return out[:written].tobytes()
    return _patiently(data, limit)


def gunzip_into(data: bytes, scratch: NDArray[np.uint8]) -> int:
    """Unpack into a buffer that is used again and again; the number of bytes written, or -1.

    -1 says that `gunzip` has to look: too small a buffer, rubbish behind the member, or damage.
    """
    try:
        written: int = cramjam.gzip.decompress_into(data, scratch.data)
    except cramjam.DecompressionError:
        return -1
    return written


def is_one_member(data: bytes) -> bool:
    """Whether the bytes are exactly one sound gzip member: fit to be sent as Content-Encoding gzip."""
    unpacker = zlib.decompressobj(_WINDOW_GZIP)
    try:
        unpacker.decompress(data, LIMIT)
    except zlib.error:
        return False
    return unpacker.eof and not unpacker.unused_data


def _patiently(data: bytes, limit: int) -> bytes:
    if not data.startswith(MAGIC):
        raise Damaged("These bytes are not gzip.")
    parts: list[bytes] = []
    room = limit
    rest = data
    while rest.startswith(MAGIC):
        unpacker = zlib.decompressobj(_WINDOW_GZIP)
        try:
            part = unpacker.decompress(rest, room + 1)
        except zlib.error as error:
            raise Damaged(f"The gzip member is corrupt ({error}).") from error
        room -= len(part)
        if room < 0:
            raise Damaged(f"The gzip member unpacks to more than {limit >> 20} MiB.")
        if not unpacker.eof:
            raise Damaged(f"The gzip member ends too soon, after {len(data)} bytes.")
        parts.append(part)
        rest = unpacker.unused_data.lstrip(b"\0")
    return b"".join(parts)
