"""Encodings against plain implementations of the specification's words."""

from __future__ import annotations

import struct
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sodalake.lake import encodings
from sodalake.lake.errors import Damaged
from sodalake.lake.snappy import varint

INT32 = st.integers(-(2**31), 2**31 - 1)


def packed_bits(values: list[int], width: int) -> bytes:
    """Pack from the lowest bit on, padded with zeros to whole bytes."""
    number = sum(value << (place * width) for place, value in enumerate(values))
    return number.to_bytes((len(values) * width + 7) // 8, "little")


def zigzag(value: int) -> bytes:
    return varint(((value << 1) ^ (value >> 63)) & (1 << 64) - 1)


def delta(values: list[int], block: int = 128, minis: int = 4) -> bytes:
    """DELTA_BINARY_PACKED, as Encodings.md tells it, in 32-bit arithmetic."""
    out = varint(block) + varint(minis) + varint(len(values)) + zigzag(values[0] if values else 0)
    steps = [b - a for a, b in pairwise(values)]
    for start in range(0, len(steps), block):
        part = steps[start : start + block]
        least = min(part)
        size = block // minis
        parts = [part[at : at + size] for at in range(0, block, size)]
        widths = [max((step - least for step in one), default=0).bit_length() for one in parts]
        out += zigzag(least) + bytes(widths)
        for one, width in zip(parts, widths, strict=True):
            if one:
                out += packed_bits([step - least for step in one] + [0] * (size - len(one)), width)
    return out


@given(st.integers(0, 20), st.data())
@settings(max_examples=60)
def test_runs_and_groups(width: int, data: st.DataObject) -> None:
    value = st.integers(0, (1 << width) - 1)
    content, values = b"", []
    for _ in range(data.draw(st.integers(0, 6))):
        if data.draw(st.booleans()):
            run, count = data.draw(value), data.draw(st.integers(1, 300))
            content += varint(count << 1) + run.to_bytes((width + 7) // 8, "little")
            values += [run] * count
        else:
            group = data.draw(st.lists(value, min_size=8, max_size=8)) * data.draw(st.integers(1, 5))
            content += varint(len(group) // 8 << 1 | 1) + packed_bits(group, width)
            values += group
    wanted = data.draw(st.integers(0, len(values)))
    found = encodings.run_lengths(b"??" + content + b"!", 2, 2 + len(content), width, wanted)
    assert found.tolist() == values[:wanted]
    if width and values:
        with pytest.raises(Damaged):
            encodings.run_lengths(content, 0, len(content), width, len(values) + 1)


def test_a_last_group_without_its_padding() -> None:
    """Some writers leave out the bytes of a last group that hold no value."""
    content = varint(1 << 1 | 1) + packed_bits([1, 2, 3], 8)
    assert encodings.run_lengths(content, 0, len(content), 8, 3).tolist() == [1, 2, 3]
    with pytest.raises(Damaged):
        encodings.run_lengths(content, 0, len(content), 8, 4)


@given(st.lists(st.integers(0, 3), max_size=40), st.integers(2, 3))
def test_levels_packed_from_the_highest_bit(levels: list[int], width: int) -> None:
    bits = "".join(f"{level:0{width}b}" for level in levels)
    content = bytes(int(bits[at : at + 8].ljust(8, "0"), 2) for at in range(0, len(bits), 8))
    found, end = encodings.bit_packed_levels(b"?" + content + b"?", 1, 1 + len(content), width, len(levels))
    assert found.tolist() == levels
    assert end == 1 + len(content)
    if content:
        with pytest.raises(Damaged):
            encodings.bit_packed_levels(content[:-1], 0, len(content) - 1, width, len(levels))


@given(st.lists(INT32, max_size=400), st.sampled_from([(128, 4), (256, 2), (128, 1), (512, 16)]))
@settings(max_examples=60)
def test_delta_integers(values: list[int], shape: tuple[int, int]) -> None:
    content = delta(values, *shape)
    found, end = encodings.delta_integers(b"?" + content + b"rest", 1, len(values))
    assert found.tolist() == values
    assert end == len(content) + 1
    with pytest.raises(Damaged):
        encodings.delta_integers(content, 0, len(values) + 1)


@given(st.lists(st.binary(max_size=80), min_size=1, max_size=200))
@settings(max_examples=40)
def test_byte_arrays_of_every_encoding(values: list[bytes]) -> None:
    def cut(content: bytes, spans: list[encodings.Span]) -> list[bytes]:
        return [content[start : start + size] for start, size in spans]

    content = b"??" + b"".join(struct.pack("<I", len(value)) + value for value in values)
    assert cut(content, encodings.plain_byte_arrays(content, 2, len(values))) == values

    content = b"??" + delta([len(value) for value in values]) + b"".join(values)
    assert cut(content, encodings.delta_length_byte_arrays(content, 2, len(values))) == values

    shared = [0]
    for one, two in pairwise(values):
        same = next(
            (at for at, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two))
        )
        shared.append(same)
    rests = [value[same:] for value, same in zip(values, shared, strict=True)]
    content = b"??" + delta(shared) + delta([len(rest) for rest in rests]) + b"".join(rests)
    found = encodings.delta_byte_arrays(content, 2, len(values))
    assert [same for _, same in found] == shared
    assert cut(content, [span for span, _ in found]) == rests


@given(st.binary(max_size=120), st.integers(0, 50), st.integers(0, 40))
def test_any_bytes_are_decoded_or_damaged(content: bytes, count: int, width: int) -> None:
    def decode(which: int) -> list[tuple[int, int]]:
        if which == 0:
            return encodings.plain_byte_arrays(content, 0, count)
        if which == 1:
            return encodings.delta_length_byte_arrays(content, 0, count)
        if which == 2:
            return [span for span, _ in encodings.delta_byte_arrays(content, 0, count)]
        if which == 3:
            encodings.run_lengths(content, 0, len(content), width, count)
        else:
            encodings.bit_packed_levels(content, 0, len(content), width % 33, count)
        return []

    for which in range(5):
        try:
            spans = decode(which)
        except Damaged:
            continue
        assert all(start >= 0 and size >= 0 and start + size <= len(content) for start, size in spans)


def test_lengths_that_do_not_fit() -> None:
    for lengths in ([5, -2, 4], [2**31 - 1, 2**31 - 1], [8]):
        content = delta(lengths) + b"1234567"
        with pytest.raises(Damaged, match="do not fit"):
            encodings.delta_length_byte_arrays(content, 0, len(lengths))
    content = delta([1, 1]) + delta([3, 3]) + b"123456"
    with pytest.raises(Damaged, match="shares more"):
        encodings.delta_byte_arrays(content, 0, 2)


def test_values_as_wide_as_the_encoding_allows() -> None:
    values = [0, 2**32 - 1] * 4
    content = varint(1 << 1 | 1) + packed_bits(values, 32)
    assert encodings.run_lengths(content, 0, len(content), 32, 8).tolist() == values
    with pytest.raises(Damaged, match="33 bits"):
        encodings.run_lengths(content, 0, len(content), 33, 8)
    assert encodings.run_lengths(content, 0, len(content), 32, 8).dtype == np.uint32
