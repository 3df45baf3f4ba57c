"""Ranged reads: what is read for which stamps, and in how many reads."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import fsspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sodalake.lake.errors import Damaged
from sodalake.lake.files import as_url
from sodalake.lake.places import Kind, Place
from sodalake.lake.reading import GAP, SPAN, StampFiles, Wanted

SIZE = 12 << 20
CONTENT = np.random.default_rng(7).bytes(SIZE)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("reading") / "content"
    path.write_bytes(CONTENT)
    return as_url(str(path))


def wanted(url: str, start: int, length: int, number: int = 1, size: int = SIZE) -> Wanted:
    crc = zlib.crc32(CONTENT[start : start + length])
    return Wanted(number, url, size, "c", Place(Kind.RAW, offset=start, length=length, size=length, crc=crc))


@given(st.lists(st.tuples(st.integers(0, SIZE - 70_000), st.integers(1, 70_000)), max_size=40))
def test_every_stamp_comes_back_in_the_order_asked(file: str, ranges: list[tuple[int, int]]) -> None:
    files = StampFiles()
    got = files.read([wanted(file, start, length) for start, length in ranges])
    assert got == [CONTENT[start : start + length] for start, length in ranges]
    assert files.reads <= len(ranges)
    files.close()


@pytest.fixture(scope="module")
def far_file() -> Iterator[str]:
    """The same bytes where reads run side by side: not on local disk."""
    store = fsspec.filesystem("memory")
    store.pipe_file("/reading/content", CONTENT)
    yield "memory://reading/content"
    store.rm("/reading", recursive=True)


@given(
    st.lists(st.tuples(st.integers(0, SIZE - 70_000), st.integers(1, 70_000)), max_size=40), st.integers(1, 4)
)
def test_reads_side_by_side_give_the_same(
    far_file: str, ranges: list[tuple[int, int]], parallel: int
) -> None:
    files = StampFiles(parallel=parallel)
    got = files.read([wanted(far_file, start, length) for start, length in ranges])
    assert got == [CONTENT[start : start + length] for start, length in ranges]
    files.close()


@pytest.mark.parametrize("parallel", [1, 3])
def test_after_damage_the_rest_is_not_read(far_file: str, parallel: int) -> None:
    files = StampFiles(parallel=parallel)
    apart = [wanted(far_file, start, 10) for start in range(0, 100 * 2 * GAP, 2 * GAP)]
    broken = [replace(apart[0], place=replace(apart[0].place, crc=1))]  # the first that is read
    with pytest.raises(Damaged):
        files.read(broken + apart[1:])
    if parallel == 1:  # else others may be through before the first one's damage is seen
        assert files.reads == 1
    # The threads that helped are free again, and nothing is left over for the next request.
    assert files.read(apart) == [CONTENT[start : start + 10] for start in range(0, 100 * 2 * GAP, 2 * GAP)]
    files.close()


def test_one_stamp_costs_its_own_bytes(file: str) -> None:
    files = StampFiles()
    files.read([wanted(file, 1000, 17)])
    assert (files.reads, files.bytes_read) == (1, 17)


def test_neighbours_are_read_together_and_strangers_apart(file: str) -> None:
    files = StampFiles()
    files.read([wanted(file, GAP + 200, 100), wanted(file, 100, 100), wanted(file, 3 * GAP, 50)])
    assert (files.reads, files.bytes_read) == (2, GAP + 200 + 50)


def test_a_read_has_a_limit(file: str) -> None:
    files = StampFiles()
    files.read([wanted(file, start, 50_000) for start in range(0, 2 * SPAN, 50_000)])
    assert files.reads == 3
    assert files.bytes_read >= 2 * SPAN


def test_files_of_two_surveys_may_have_the_same_number(file: str, tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"other")
    crc = zlib.crc32(b"other")
    other = Wanted(
        1, as_url(str(tmp_path / "other")), 5, "c", Place(Kind.RAW, offset=0, length=5, size=5, crc=crc)
    )
    assert StampFiles().read([wanted(file, 0, 4), other]) == [CONTENT[:4], b"other"]


def test_a_range_past_the_end_is_damage(file: str) -> None:
    beyond = Wanted(1, file, SIZE, "c", Place(Kind.RAW, offset=SIZE - 2, length=10, size=10))
    with pytest.raises(Damaged, match="ends too early"):
        StampFiles().read([beyond])


def test_damage_names_the_file_and_the_column(file: str) -> None:
    wrong = Wanted(1, file, SIZE, "cutoutScience", Place(Kind.RAW, offset=0, length=10, size=10, crc=1))
    with pytest.raises(Damaged, match=r"content, column cutoutScience"):
        StampFiles().read([wrong])
