"""Parquet's encodings, as far as they tell where a byte array begins and ends.

The stamps themselves are never decoded: an encoding gives *spans*, ``(start, size)`` in the plain page.

======================= ===================================================================================
RLE                     definition levels and dictionary numbers: runs of one value, or packed bit by bit
BIT_PACKED              definition levels of old writers, packed from the highest bit on
PLAIN                   each value after its length (4 bytes, little-endian)
DELTA_BINARY_PACKED     the lengths of the two below: a minimum for each block, and packed differences
DELTA_LENGTH_BYTE_ARRAY all lengths, then all values
DELTA_BYTE_ARRAY        what each value shares with the one before, then the rest of each, as above
======================= ===================================================================================

Source: apache/parquet-format, Encodings.md. Every function raises `Damaged` on bytes that are none of this.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import Damaged

__all__ = [
    "Buffer",
    "Span",
    "bit_packed_levels",
    "delta_byte_arrays",
    "delta_integers",
    "delta_length_byte_arrays",
    "plain_byte_arrays",
    "run_lengths",
]

Buffer = bytes | bytearray | memoryview
Span = tuple[int, int]
"""First byte, and number of bytes."""

_LENGTH = struct.Struct("<I")


def run_lengths(data: Buffer, start: int, end: int, width: int, count: int) -> npt.NDArray[np.uint32]:
    """Decode `count` values of the RLE and bit-packing hybrid, without the length some pages put before it.

    Parameters
    ----------
    data, start, end
        The runs.
    width
        Bits of a value, 0 to 32.
    count
        Values wanted. The last run may hold more, which fill its last group.
    """
    if width > 32:
        raise Damaged(f"Values of {width} bits are in no encoding.")
    out = np.zeros(count, np.uint32)
    if not width:
        return out
    value_bytes = (width + 7) // 8
    done = 0
    while done < count:
        head, start = _varint(data, start, end)
        if head & 1:
            take = min((head >> 1) * 8, count - done)
            stop = start + (head >> 1) * width
            if start + (take * width + 7) // 8 > end:
                raise Damaged("A group of packed values goes on after its page.")
            out[done : done + take] = _unpack(data, start, take, width)
        else:
            take = min(head >> 1, count - done)
            stop = start + value_bytes
            if stop > end:
                raise Damaged("A run of values goes on after its page.")
            out[done : done + take] = int.from_bytes(data[start:stop], "little") & 0xFFFFFFFF
        start = min(stop, end)
        done += take
    return out


def bit_packed_levels(
    data: Buffer, start: int, end: int, width: int, count: int
) -> tuple[npt.NDArray[np.uint32], int]:
    """Decode `count` levels of the deprecated BIT_PACKED encoding; return them and where they end."""
    stop = start + (count * width + 7) // 8
    if stop > end:
        raise Damaged("Packed levels go on after their page.")
    if not width:
        return np.zeros(count, np.uint32), start
    bits = np.unpackbits(np.frombuffer(data, np.uint8, stop - start, start), count=count * width)
    weights = np.left_shift(np.uint32(1), np.arange(width - 1, -1, -1, dtype=np.uint32))
    return (bits.reshape(count, width) @ weights).astype(np.uint32), stop


def plain_byte_arrays(data: Buffer, start: int, count: int) -> list[Span]:
    """Return the spans of `count` byte arrays that begin at `start`."""
    end = len(data)
    spans = []
    read = _LENGTH.unpack_from
    try:
        for _ in range(count):
            (size,) = read(data, start)
            start += 4
            spans.append((start, size))
            start += size
    except struct.error:
        raise Damaged(f"Value {len(spans)} of {count} begins after the end of its page.") from None
    if start > end:
        raise Damaged(f"Value {count - 1} goes on after the end of its page.")
    return spans


def delta_integers(data: Buffer, start: int, count: int) -> tuple[npt.NDArray[np.int64], int]:
    """Decode DELTA_BINARY_PACKED integers of 32 bits; return them and where they end.

    Raises
    ------
    Damaged
        Bytes that are not this encoding, or not `count` values of it.
    """
    end = len(data)
    block, start = _varint(data, start, end)
    minis, start = _varint(data, start, end)
    total, start = _varint(data, start, end)
    first, start = _zigzag(data, start, end)
    if total != count:
        raise Damaged(f"A page of {count} values has {total} lengths.")
    if not minis or block % minis or (block // minis) % 8 or not 0 < block <= 1 << 20 or minis > 1 << 10:
        raise Damaged(f"Blocks of {block} values in {minis} parts are in no encoding.")
    size = block // minis
    deltas = [np.array([first], np.int64)]
    left = count - 1
    while left > 0:
        least, start = _zigzag(data, start, end)
        widths = data[start : start + minis]
        start += minis
        if start > end:
            raise Damaged("A block of lengths goes on after its page.")
        for width in widths:
            if left <= 0:
                break
            take = min(size, left)
            if width > 64 or start + (take * width + 7) // 8 > end:
                raise Damaged("A part of a block of lengths goes on after its page.")
            deltas.append(_unpack(data, start, take, width).astype(np.int64) + _wrapped(least))
            start += size * width // 8
            left -= take
    values = np.cumsum(np.concatenate(deltas)) if count else np.zeros(0, np.int64)
    return values.astype(np.int32).astype(np.int64), min(
        start, end
    )  # sums wrap at 32 bits, as the encoding says


def delta_length_byte_arrays(data: Buffer, start: int, count: int) -> list[Span]:
    """Return the spans of `count` byte arrays of the DELTA_LENGTH_BYTE_ARRAY encoding."""
    sizes, start = delta_integers(data, start, count)
    ends = np.cumsum(sizes) + start
    if count and (int(sizes.min()) < 0 or int(ends[-1]) > len(data)):
        raise Damaged("The lengths of a page's values do not fit in it.")
    return list(zip((ends - sizes).tolist(), sizes.tolist(), strict=True))


def delta_byte_arrays(data: Buffer, start: int, count: int) -> list[tuple[Span, int]]:
    """Return, for `count` byte arrays of the DELTA_BYTE_ARRAY encoding, the span of what is written, and how
    many bytes before it each one takes over from the value before.
    """
    shared, start = delta_integers(data, start, count)
    spans = delta_length_byte_arrays(data, start, count)
    before = 0
    for (_, size), prefix in zip(spans, shared.tolist(), strict=True):
        if not 0 <= prefix <= before:
            raise Damaged("A value shares more bytes with the one before than that one has.")
        before = prefix + size
    return list(zip(spans, shared.tolist(), strict=True))


def _varint(data: Buffer, at: int, end: int) -> tuple[int, int]:
    value = 0
    for place in range(10):
        if at >= end:
            raise Damaged("A number goes on after its page.")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, at
    raise Damaged("A number has more than ten bytes.")


def _zigzag(data: Buffer, at: int, end: int) -> tuple[int, int]:
    value, at = _varint(data, at, end)
    return _wrapped((value >> 1) ^ -(value & 1)), at


def _wrapped(value: int) -> int:
    """Return `value` as a signed integer of 64 bits."""
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)


def _unpack(data: Buffer, start: int, count: int, width: int) -> npt.NDArray[np.unsignedinteger[Any]]:
    """Unpack `count` values of `width` bits, from the lowest bit on; the bytes are known to be there."""
    kind = np.uint32 if width <= 32 else np.uint64
    if not width or not count:
        return np.zeros(count, kind)
    packed = np.frombuffer(data, np.uint8, (count * width + 7) // 8, start)
    bits = np.unpackbits(packed, count=count * width, bitorder="little").reshape(count, width)
    return bits @ np.left_shift(kind(1), np.arange(width, dtype=kind))
