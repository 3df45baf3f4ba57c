"""The codecs of Parquet's pages, one call for all of them.

Snappy, gzip, zstd and Brotli are what their names say. LZ4 is three things: `LZ4_RAW` is one LZ4 block;
`LZ4`, the older name, was written as Hadoop's framing (two big-endian lengths before each block) by Java, and
as a bare block or an LZ4 frame by early versions of parquet-cpp. They are tried in that order, and one must
give exactly the length that the page header promises.

Source: apache/parquet-format, Compression.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import cramjam

from . import snappy
from .errors import Damaged, UsageError
from .places import Codec

__all__ = ["decompress"]

_Into = Callable[["bytes | memoryview", memoryview], int]

_INTO: Final[dict[Codec, _Into]] = {
    Codec.SNAPPY: cramjam.snappy.decompress_raw_into,
    Codec.GZIP: cramjam.gzip.decompress_into,
    Codec.BROTLI: cramjam.brotli.decompress_into,
    Codec.ZSTD: cramjam.zstd.decompress_into,
    Codec.LZ4_RAW: cramjam.lz4.decompress_block_into,
}

_FRAME = bytes.fromhex("04224d18")


def decompress(codec: Codec, data: bytes | memoryview, plain: int) -> bytes | memoryview:
    """Decompress the body of a page.

    Parameters
    ----------
    codec
        The column chunk's codec.
    data
        The compressed body.
    plain
        Bytes that must come out.

    Returns
    -------
    bytes-like
        `plain` bytes. Uncompressed data is returned as it is.

    Raises
    ------
    Damaged
        The data is not what the codec makes, or makes another number of bytes.
    UsageError
        LZO, which has no permissive implementation.
    """
    if codec is Codec.LZO:
        raise UsageError("LZO pages cannot be read.", "Write the file again with Snappy or zstd.")
    if codec is Codec.UNCOMPRESSED:
        if len(data) != plain:
            raise Damaged(f"An uncompressed page has {len(data)} bytes instead of {plain}.")
        return data
    if not plain:
        return b""  # a page of nulls; some writers compress nothing into nothing, others into a few bytes
    out = snappy.unfilled(plain)
    if codec is Codec.LZ4:
        return _old_lz4(data, out)
    if codec is Codec.SNAPPY and snappy.plain_length(data)[0] != plain:
        raise Damaged(f"A Snappy page does not promise the {plain} bytes that its header does.")
    _fill(codec, data, out)
    return out


def _fill(codec: Codec, data: bytes | memoryview, out: memoryview) -> None:
    try:
        made = _INTO[codec](data, out)
    except cramjam.DecompressionError as error:
        raise Damaged(f"Bytes that should be {codec.name} are not: {error}.") from error
    if made != len(out):
        raise Damaged(f"{codec.name} bytes make {made} plain ones instead of {len(out)}.")


def _old_lz4(data: bytes | memoryview, out: memoryview) -> memoryview:
    if _hadoop_lz4(data, out):
        return out
    if bytes(data[:4]) == _FRAME:
        try:
            made = cramjam.lz4.decompress_into(data, out)
        except cramjam.DecompressionError as error:
            raise Damaged(f"Bytes that should be an LZ4 frame are not: {error}.") from error
        if made != len(out):
            raise Damaged(f"An LZ4 frame makes {made} bytes instead of {len(out)}.")
        return out
    _fill(Codec.LZ4_RAW, data, out)
    return out


def _hadoop_lz4(data: bytes | memoryview, out: memoryview) -> bool:
    """Fill `out` from Hadoop's framing; False where `data` is something else."""
    at = done = 0
    while done < len(out):
        if at + 8 > len(data):
            return False
        plain = int.from_bytes(data[at : at + 4], "big")
        packed = int.from_bytes(data[at + 4 : at + 8], "big")
        at += 8
        if done + plain > len(out) or at + packed > len(data):
            return False
        try:
            _fill(Codec.LZ4_RAW, data[at : at + packed], out[done : done + plain])
        except Damaged:
            return False
        at += packed
        done += plain
    return at == len(data)
