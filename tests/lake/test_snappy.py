"""Fragments are found where they are, by both ways; what is not made of fragments is noticed."""

from __future__ import annotations

import contextlib

import cramjam
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sodalake.lake import snappy
from sodalake.lake.errors import Damaged
from sodalake.lake.snappy import FRAGMENT, DependentError

from .snappywriter import copy, literal, random_fragments, stream

BOTH_WAYS = pytest.mark.parametrize("ask_decompressor", [True, False], ids=["decompressor", "tags"])


def together(split: snappy.Fragments, packed: bytes) -> bytes:
    """Decompress every fragment by itself, and join them."""
    out = bytearray()
    for start, end in zip(split.starts, split.starts[1:], strict=False):
        size = min(FRAGMENT, len(split.plain) - len(out))
        out += snappy.decompress(packed[start:end], size)
    return bytes(out)


@given(
    seed=st.integers(0, 2**32),
    fragments=st.integers(0, 3),
    last=st.sampled_from((0, 1, 59, 5000, FRAGMENT - 1)),
    longest=st.sampled_from((3, 4000, FRAGMENT)),
)
@settings(max_examples=40)
def test_fragments_of_any_encoder(seed: int, fragments: int, last: int, longest: int) -> None:
    packed, plain, starts = random_fragments(seed, fragments, last, longest)
    found = snappy.split(packed)
    assert found == snappy.split(packed, ask_decompressor=False)
    assert bytes(found.plain) == plain == bytes(cramjam.snappy.decompress_raw(packed))
    assert found.starts == (starts if plain else [1, 1])
    assert together(found, packed) == plain


@pytest.mark.parametrize("size", [0, 1, 60, 61, FRAGMENT - 1, FRAGMENT, FRAGMENT + 1, 5 * FRAGMENT + 777])
@pytest.mark.parametrize("kind", ["random", "image", "zeros"])
def test_streams_of_the_rust_encoder(size: int, kind: str) -> None:
    rng = np.random.default_rng(size)
    image = np.cumsum(rng.normal(size=size // 4 + 1)).round(1).astype(">f4").tobytes()
    plain = {"random": rng.bytes(size), "image": image[:size], "zeros": bytes(size)}[kind]
    packed = bytes(cramjam.snappy.compress_raw(plain))
    found = snappy.split(packed)
    assert found == snappy.split(packed, ask_decompressor=False)
    assert bytes(found.plain) == plain == together(found, packed)


@pytest.mark.parametrize("extra", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("before", [b"\xf0", b"\xf4\x00", b"\xf8\x00\x00", b"\xfc\x00\x00\x00", b"\x00"])
def test_a_tag_that_could_be_read_two_ways(before: bytes, extra: int) -> None:
    """A literal of one byte, whose tag is zeros, after bytes that look like the tag of a longer form."""
    body = bytes(FRAGMENT - len(before)) + before
    packed = stream(FRAGMENT + 9, [literal(body), literal(b"x", extra), literal(b"the rest")])
    found = snappy.split(packed)
    assert found == snappy.split(packed, ask_decompressor=False)
    assert bytes(found.plain) == body + b"xthe rest"
    assert found.starts[1] == len(packed) - 11 - extra


@BOTH_WAYS
def test_a_copy_out_of_its_fragment(ask_decompressor: bool) -> None:
    first = bytes(range(256)) * 256
    packed = stream(FRAGMENT + 100, [literal(first), literal(b"y" * 90), copy(10, 100)])
    assert bytes(cramjam.snappy.decompress_raw(packed))[-10:] == first[-10:]  # it is sound
    with pytest.raises(DependentError):
        snappy.split(packed, ask_decompressor=ask_decompressor)


@BOTH_WAYS
def test_a_copy_out_of_a_fragment_in_the_middle(ask_decompressor: bool) -> None:
    first = bytes(range(256)) * 256
    rest = b"z" * (FRAGMENT - 10)
    packed = stream(3 * FRAGMENT, [literal(first), literal(rest), copy(10, FRAGMENT, 3), literal(first)])
    assert len(cramjam.snappy.decompress_raw(packed)) == 3 * FRAGMENT
    with pytest.raises(DependentError):
        snappy.split(packed, ask_decompressor=ask_decompressor)


@BOTH_WAYS
@pytest.mark.parametrize(
    "tags", [[literal(bytes(FRAGMENT + 50))], [literal(bytes(FRAGMENT - 3)), copy(53, 7)]]
)
def test_a_tag_across_the_end_of_a_fragment(tags: list[bytes], ask_decompressor: bool) -> None:
    packed = stream(FRAGMENT + 50, tags)
    assert len(cramjam.snappy.decompress_raw(packed)) == FRAGMENT + 50
    with pytest.raises(DependentError):
        snappy.split(packed, ask_decompressor=ask_decompressor)


@BOTH_WAYS
def test_a_fragment_that_begins_with_a_copy(ask_decompressor: bool) -> None:
    packed = stream(FRAGMENT + 60, [literal(bytes(FRAGMENT)), copy(60, 5)])
    assert len(cramjam.snappy.decompress_raw(packed)) == FRAGMENT + 60
    with pytest.raises(DependentError):
        snappy.split(packed, ask_decompressor=ask_decompressor)


def test_literals_are_where_they_are() -> None:
    tags = [literal(b"a" * 70), copy(30, 20), literal(b"b" * 5), literal(b"c" * 300)]
    packed = stream(405, tags)
    found = snappy.literals(packed, 2, len(packed), 1000, limit=64)
    assert [(one.plain, one.length) for one in found] == [(1000, 70), (1100, 5), (1105, 300)]
    assert [packed[one.stream : one.stream + one.length] for one in found] == [
        b"a" * 70,
        b"b" * 5,
        b"c" * 300,
    ]
    assert snappy.literals(packed, 2, len(packed), 1000, limit=3) == found[:2]
    assert snappy.literals(packed, 2, 2, 1000, limit=3) == []


@BOTH_WAYS
@given(data=st.data())
@settings(max_examples=40)
def test_damage_is_noticed_and_nothing_else_happens(ask_decompressor: bool, data: st.DataObject) -> None:
    packed, _, _ = random_fragments(data.draw(st.integers(0, 99)), 2, 999, FRAGMENT)
    hurt = bytearray(packed[: data.draw(st.integers(0, len(packed)))])
    for _ in range(data.draw(st.integers(0, 3)) if hurt else 0):
        hurt[data.draw(st.integers(0, len(hurt) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = snappy.split(bytes(hurt), ask_decompressor=ask_decompressor)
    except (Damaged, DependentError):
        return
    assert bytes(found.plain) == bytes(cramjam.snappy.decompress_raw(bytes(hurt)))


@given(st.binary(max_size=200), st.integers(0, 1000))
def test_any_bytes_are_tags_or_damaged(tags: bytes, size: int) -> None:
    with contextlib.suppress(Damaged):
        assert len(snappy.decompress(tags, size)) == size


@pytest.mark.parametrize(
    "packed", [b"", b"\x80", b"\x80\x80\x80\x80\x80\x01", b"\xff\xff\xff\xff\x7fxx", b"\xff\xff\x03a"]
)
def test_a_length_that_is_none(packed: bytes) -> None:
    with pytest.raises(Damaged):
        snappy.split(packed)
    with pytest.raises(Damaged):
        snappy.plain_length(packed)
