"""Results of jobs: written whole, read by ranges, listed and deleted; on local disk and on HDFS."""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sodalake.lake.errors import FileGone, OutsideArchive, Unavailable
from sodalake.lake.files import as_url, filesystem, path_of
from sodalake.lake.results import ResultFolder, checked_name
from sodalake.lake.writing import write_whole


class ResultContract:
    """What a folder of results does on every file system; a subclass says where."""

    @pytest.fixture
    def results(self) -> ResultFolder:
        raise NotImplementedError

    def test_written_in_every_way_and_read_by_ranges(self, results: ResultFolder) -> None:
        def content(sink: BinaryIO) -> None:
            sink.write(b"abc")
            sink.write(memoryview(b"def"))

        assert results.write("job/part-000001-a", b"0123456789") == 10
        assert results.write("job/part-000002-b", [b"01", b"", b"234"]) == 5
        assert results.write("job/part-000003-c", content) == 6
        assert results.write("job/part-000004-d", (piece for piece in (b"x", b"yz"))) == 3
        assert results.write("job/empty", b"") == 0
        source = results.open("job/part-000001-a")
        assert (source.size, source.read_at(3, 4), source.read_at(8, 10)) == (10, b"3456", b"89")
        source.close()
        assert [results.size(name) for name in results.names("job")] == [0, 10, 5, 6, 3]
        results.write("job/part-000001-a", b"anew")
        assert results.size("job/part-000001-a") == 4

    def test_listed_by_folder(self, results: ResultFolder) -> None:
        assert results.folders() == results.names("job") == results.names() == []
        for name in ("b/2", "b/1", "a/x/y", "a.not/z"):
            results.write(name, b"1")
        write_whole(f"{results.url}/b/.half.tmp", b"still being written")
        assert results.folders() == ["a", "a.not", "b"]
        assert results.names("b") == ["b/1", "b/2"]
        assert results.names("a") == ["a/x/y"]
        assert results.names() == ["a.not/z", "a/x/y", "b/1", "b/2"]

    def test_deleted_with_all_that_is_in_it(self, results: ResultFolder) -> None:
        for name in ("a/1", "a/x/2", "ab/3"):
            results.write(name, b"1")
        results.delete("a")
        assert results.names() == ["ab/3"]
        results.delete("a")
        results.delete("ab/3")
        results.delete("never/was")
        assert results.names() == []
        with pytest.raises(FileGone):
            results.open("ab/3")

    def test_a_failing_write_is_tried_again_whole(self, results: ResultFolder) -> None:
        class Pieces:
            attempts = 0

            def __iter__(self) -> Iterator[bytes]:
                self.attempts += 1
                yield b"first"
                if self.attempts < 3:
                    raise OSError("a DataNode died")
                yield b" and last"

        pieces = Pieces()
        assert results.write("job/tried", pieces) == 14
        assert pieces.attempts == 3

    def test_a_write_that_cannot_be_repeated_leaves_nothing(self, results: ResultFolder) -> None:
        def once() -> Iterator[bytes]:
            yield b"half"
            raise OSError("a DataNode died")

        def wrong(sink: BinaryIO) -> None:
            sink.write(b"half")
            raise ValueError("no such thing")

        with pytest.raises(Unavailable, match="a DataNode died"):
            results.write("job/half", once())
        with pytest.raises(ValueError, match="no such thing"):
            results.write("job/half", wrong)
        assert not [e for e in filesystem(results.url).find(results.url) if "half" in e]

    def test_travels_to_another_process(self, results: ResultFolder) -> None:
        script = "import pickle, sys; pickle.load(sys.stdin.buffer).write('job/from-there', b'hello')"
        subprocess.run([sys.executable, "-c", script], input=pickle.dumps(results), check=True)
        assert results.open("job/from-there").read_at(0, 9) == b"hello"


class TestLocal(ResultContract):
    @pytest.fixture
    def results(self, tmp_path: Path) -> ResultFolder:
        return ResultFolder(str(tmp_path / "results"))


class TestMemory(ResultContract):
    """Any file system that fsspec knows."""

    @pytest.fixture
    def results(self, tmp_path: Path) -> Iterator[ResultFolder]:
        results = ResultFolder(f"memory://here{tmp_path}")
        yield results
        filesystem(results.url).rm(results.url, recursive=True)

    def test_travels_to_another_process(self, results: ResultFolder) -> None:
        results.write("job/1", b"1")
        assert pickle.loads(pickle.dumps(results)).names() == ["job/1"]  # its memory is its process's


@pytest.mark.cluster
class TestHdfs(ResultContract):
    @pytest.fixture
    def results(self, hdfs_url: str) -> ResultFolder:
        return ResultFolder(hdfs_url + "/results")

    def test_as_many_copies_are_kept_as_is_said(self, results: ResultFolder) -> None:
        results.write("job/part", b"1234")
        client = filesystem(results.url).client
        assert client.get_file_info(path_of(results.url_of("job/part"))).replication == 3
        ResultFolder(results.url, replication=1).write("job/part", b"1234")
        assert client.get_file_info(path_of(results.url_of("job/part"))).replication == 1

    def test_what_is_held_open_outlives_its_copies(self, results: ResultFolder) -> None:
        """Blocks are moved and copies removed: who has a file open finds it again, if it is the same size."""
        results.write("job/same", b"first")
        results.write("job/other", b"first")
        path = path_of(results.url_of("job/same"))
        same, other = results.open("job/same"), results.open("job/other")
        plain = filesystem(results.url).client.read(path)
        results.write("job/same", b"later")
        results.write("job/other", b"longer than before")
        # The DataNodes forget the first file's block with their next heartbeat.
        until_it_fails = partial(_read_until_it_fails, time.monotonic() + 60)
        with pytest.raises(RuntimeError):
            until_it_fails(plain.read_range)
        assert same.read_at(0, 5) == b"later"
        with pytest.raises(Unavailable, match="anew"):
            until_it_fails(other.read_at)


def _read_until_it_fails(deadline: float, read: Callable[[int, int], bytes]) -> None:
    while time.monotonic() < deadline:
        read(0, 5)


def test_a_full_disk_is_told() -> None:
    with pytest.raises(Unavailable, match="No space left"):
        write_whole_to_full()


def write_whole_to_full() -> None:
    def content(sink: BinaryIO) -> None:
        with open("/dev/full", "wb", buffering=0) as full:  # noqa: PTH123
            full.write(b"1")

    write_whole(as_url(f"/tmp/sodalake-full-{os.getpid()}/x"), content)


def test_a_dead_file_system_is_told() -> None:
    with socket.socket() as bound:  # bound and not listening: nobody else gets the port
        bound.bind(("127.0.0.1", 0))
        results = ResultFolder(f"hdfs://127.0.0.1:{bound.getsockname()[1]}/results")
        for ask in (
            lambda: results.open("job/x"),
            lambda: results.names("job"),
            lambda: results.folders(),
            lambda: results.delete("job"),
            lambda: results.size("job/x"),
            lambda: results.write("job/x", iter((b"1",))),
        ):
            with pytest.raises(Unavailable):
                ask()


@pytest.mark.parametrize(
    "name",
    [
        "", "/", "a/", "/a", "a//b", "..", "a/..", "../a", "a/../b", ".a", "a/.b", "a\\b", "a\x00b", "a b", "a\n", "é",
        "a?b", "a#b", "a*b", "file:///etc/passwd", "~/x", "$HOME", "%2e%2e/x", "a" * 201,
    ],
)  # fmt: skip
def test_no_name_leads_elsewhere(name: str, tmp_path: Path) -> None:
    results = ResultFolder(str(tmp_path))
    for use in (results.open, results.size, results.delete, lambda n: results.write(n, b"1")):
        with pytest.raises(OutsideArchive):
            use(name)
    assert list(tmp_path.iterdir()) == []


@given(st.text(max_size=40))
def test_whatever_is_a_name_is_below_the_folder(name: str) -> None:
    try:
        checked_name(name)
    except OutsideArchive:
        return
    url = ResultFolder("/data/results").url_of(name)
    assert url == f"file:///data/results/{name}" == as_url(url)
