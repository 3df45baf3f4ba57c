"""Cells that carry the versions of several files."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sodalake.lake.versions import SINGLE, add, newest, versions, wrap

payloads = st.binary(max_size=200)
numbers = st.integers(0, 2**32 - 1)


@given(numbers, payloads)
def test_one_version_stands_behind_a_header_of_fixed_length(file: int, payload: bytes) -> None:
    cell = wrap(file, payload)
    assert list(versions(cell)) == [(file, payload)]
    assert cell[SINGLE:] == payload


@given(st.lists(st.tuples(st.integers(1, 6), payloads, st.booleans()), min_size=1, max_size=12))
def test_readers_see_the_newest_committed_version_whatever_was_written(
    steps: list[tuple[int, bytes, bool]],
) -> None:
    cell: bytes | None = None
    committed: set[int] = set()
    expected: dict[int, bytes] = {}
    latest: tuple[int, bytes] | None = None
    for file, payload, commits in steps:
        if file in committed:  # a committed file is never written again
            continue
        cell = add(cell, file, payload, committed.__contains__)
        assert newest(cell, committed.__contains__) == latest  # nothing is seen before its commit
        expected[file] = payload
        if commits:
            committed.add(file)
            latest = (file, payload)
        assert newest(cell, committed.__contains__) == latest


def test_writing_again_under_the_same_number_replaces() -> None:
    cell = add(add(wrap(1, b"old"), 2, b"half", {1}.__contains__), 2, b"whole", {1}.__contains__)
    assert list(versions(cell)) == [(1, b"old"), (2, b"whole")]


def test_a_third_version_drops_the_oldest() -> None:
    cell = add(add(wrap(1, b"a"), 2, b"b", {1}.__contains__), 3, b"c", {1, 2}.__contains__)
    assert list(versions(cell)) == [(2, b"b"), (3, b"c")]
