"""Gzip members, whole and broken."""

from __future__ import annotations

import gzip
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sodalake.lake.errors import Damaged
from sodalake.sodacut.gzipped import gunzip, gunzip_into, is_one_member

DATA = np.random.default_rng(3).normal(size=3000).astype(">f4").tobytes()
MEMBER = gzip.compress(DATA)


@given(st.lists(st.binary(max_size=5000), min_size=1, max_size=4))
def test_members_are_joined(pieces: list[bytes]) -> None:
    packed = b"".join(gzip.compress(piece) for piece in pieces)
    assert gunzip(packed) == b"".join(pieces)
    assert is_one_member(packed) == (len(pieces) == 1)


@pytest.mark.parametrize("rubbish", [b"\0" * 512, b"rubbish behind the member", b"\0\0tail"])
def test_what_follows_the_last_member_is_dropped(rubbish: bytes) -> None:
    assert gunzip(MEMBER + rubbish) == DATA
    assert not is_one_member(MEMBER + rubbish)


@pytest.mark.parametrize("cut", [1, 4, 8, 100, len(MEMBER) - 12])
def test_a_member_cut_short_is_damaged(cut: int) -> None:
    with pytest.raises(Damaged, match="ends too soon"):
        gunzip(MEMBER[:-cut])
    assert not is_one_member(MEMBER[:-cut])


def test_a_second_member_cut_short_is_damaged() -> None:
    with pytest.raises(Damaged, match="ends too soon"):
        gunzip(MEMBER + MEMBER[:-20])


@pytest.mark.parametrize("place", [-8, -3, 500])
def test_a_flipped_bit_is_damaged(place: int) -> None:
    broken = bytearray(MEMBER)
    broken[place] ^= 0x10
    with pytest.raises(Damaged):
        gunzip(bytes(broken))


def test_what_is_no_gzip_is_damaged() -> None:
    with pytest.raises(Damaged, match="not gzip"):
        gunzip(b"SIMPLE  =  T")
    with pytest.raises(Damaged):
        gunzip(b"")


def test_a_bomb_is_stopped_at_the_limit() -> None:
    bomb = gzip.compress(bytes(8 << 20))
    assert len(gunzip(bomb, limit=8 << 20)) == 8 << 20
    with pytest.raises(Damaged, match="more than 1 MiB"):
        gunzip(bomb, limit=1 << 20)


def test_a_forged_length_reserves_nothing() -> None:
    # The trailer says 4 GiB less one byte; the member is sound up to there.
    forged = MEMBER[:-4] + b"\xff\xff\xff\xff"
    with pytest.raises(Damaged, match="corrupt"):
        gunzip(forged)


def test_a_buffer_that_does_is_filled_and_another_is_declined() -> None:
    scratch = np.empty(len(DATA), np.uint8)
    assert gunzip_into(MEMBER, scratch) == len(DATA)
    assert scratch.tobytes() == DATA
    assert gunzip_into(MEMBER, scratch[:-1].copy()) == -1
    assert gunzip_into(MEMBER[:-9], scratch) == -1
    assert gunzip_into(MEMBER + b"rubbish", scratch) == -1


@given(st.binary(max_size=400))
def test_any_bytes_unpack_or_are_damaged(data: bytes) -> None:
    packed = b"\x1f\x8b\x08" + data
    try:
        unpacked = gunzip(packed)
    except Damaged:
        return
    assert unpacked == zlib.decompress(packed, 31)
