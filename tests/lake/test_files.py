"""Files: URLs, listings, ranged reads, whole writes; on local disk and on HDFS."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sodalake.lake.errors import FileGone, NotInLake, OutsideArchive, Unavailable, UsageError
from sodalake.lake.files import (
    OpenFiles,
    SourceFile,
    as_url,
    expand,
    filesystem,
    inside,
    join,
    open_source,
    read_bytes,
    stat,
)
from sodalake.lake.writing import write_whole


class FileContract:
    """What every file system must do; a subclass says where."""

    @pytest.fixture
    def root(self) -> str:
        raise NotImplementedError

    def test_a_file_is_written_whole_and_read_back(self, root: str) -> None:
        url = join(root, "a/b/c.bin")
        write_whole(url, b"first")
        write_whole(url, b"second")
        assert read_bytes(url) == b"second"
        assert stat(url).size == 6
        # Nothing temporary is left behind.
        assert [s.url for s in expand([root], ("",))] == [url]

    def test_a_writer_function_is_called_anew_when_it_fails(self, root: str) -> None:
        calls = []

        def content(sink: BinaryIO) -> None:
            calls.append(1)
            sink.write(b"x" * 10)
            if len(calls) == 1:
                raise OSError("a DataNode died")

        write_whole(join(root, "retried"), content)
        assert read_bytes(join(root, "retried")) == b"x" * 10
        assert len(calls) == 2

    def test_a_write_that_never_works_leaves_nothing(self, root: str) -> None:
        def content(sink: BinaryIO) -> None:
            raise OSError("disk full")

        with pytest.raises(Unavailable, match="disk full"):
            write_whole(join(root, "never"), content)
        with pytest.raises(FileGone):
            read_bytes(join(root, "never"))

    def test_ranges_are_clamped_at_the_end(self, root: str) -> None:
        url = join(root, "r")
        write_whole(url, bytes(range(100)))
        source = open_source(url)
        assert source.size == 100
        assert source.read_at(10, 5) == bytes(range(10, 15))
        assert source.read_at(95, 50) == bytes(range(95, 100))
        assert source.read_at(100, 1) == b""
        assert source.read_at(5000, 10) == b""
        assert source.modified() == stat(url).mtime
        file = SourceFile(source)
        file.seek(-4, os.SEEK_END)
        assert (file.tell(), file.read(), file.read()) == (96, bytes(range(96, 100)), b"")
        source.close()

    def test_what_is_not_there_is_said_so(self, root: str) -> None:
        with pytest.raises(FileGone, match="nothing-here"):
            open_source(join(root, "nothing-here"))
        with pytest.raises(FileGone):
            stat(join(root, "nothing-here"))
        with pytest.raises(NotInLake, match="nothing-here"):
            expand([join(root, "nothing-here")], (".parquet",))
        with pytest.raises(NotInLake, match="Nothing matches"):
            expand([join(root, "*.parquet")], (".parquet",))

    def test_folders_globs_and_files_expand_sorted_without_temporary_files(self, root: str) -> None:
        names = ["n/year=2026/part-2.parquet", "n/year=2025/part-1.parquet", "n/x.avro"]
        hidden = ["n/_SUCCESS", "n/.part-9.parquet.crc", "n/_temporary/part-0.parquet", "n/readme.txt"]
        for name in names + hidden:
            write_whole(join(root, name), b"1234")

        def found(*paths: str) -> list[str]:
            listed = expand([join(root, path) for path in paths], (".parquet", ".avro"))
            assert all(s.size == 4 and s.mtime > 1e9 for s in listed)
            return [s.url.removeprefix(root + "/") for s in listed]

        assert found("n") == sorted(names)
        assert found("n/*/*.parquet") == [names[1], names[0]]
        assert found("n/year=*") == [names[1], names[0]]
        assert found("n/readme.txt") == ["n/readme.txt"]  # a file that is named is meant
        assert found("n", "n/x.avro") == sorted(names)


class TestLocal(FileContract):
    @pytest.fixture
    def root(self, tmp_path: Path) -> str:
        return as_url(str(tmp_path))


@pytest.mark.cluster
class TestHdfs(FileContract):
    @pytest.fixture
    def root(self, hdfs_url: str) -> str:
        return hdfs_url


def test_an_unreachable_name_node_is_told() -> None:
    with socket.socket() as bound:  # bound and not listening: nobody else gets the port
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(Unavailable):
            open_source(f"hdfs://127.0.0.1:{bound.getsockname()[1]}/x")


def test_open_files_are_kept_and_pushed_out(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).write_bytes(name.encode())
    files = OpenFiles(limit=2)
    url = {name: as_url(str(tmp_path / name)) for name in "abc"}
    a = files.get("a", url["a"])
    assert files.get("a", url["a"]) is a
    files.get("b", url["b"])
    files.get("c", url["c"])
    assert a.read_at(0, 1) == b"a"  # whoever still reads it can go on
    assert files.get("a", url["a"]) is not a
    files.discard("a")
    files.close()


def test_no_such_file_system() -> None:
    with pytest.raises(UsageError, match="gopher"):
        filesystem("gopher://x/y")


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ("hdfs://10.1.2.3:8020///fink/archive/science/year=2021/p.parquet", "hdfs://nn:8020/fink/archive/science/year=2021/p.parquet"),
        ("/fink/archive/p.parquet", "hdfs://nn:8020/fink/archive/p.parquet"),
        ("/fink/archive/x/../p.parquet", "hdfs://nn:8020/fink/archive/p.parquet"),
    ],
)  # fmt: skip
def test_paths_of_the_archive_are_taken_in_every_writing(path: str, url: str) -> None:
    assert inside(path, ["file:///elsewhere", "hdfs://nn:8020/fink/archive"]) == url


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd", "/fink/archive/../secret", "/fink/archive/%2e%2e/secret", "/fink/archive", "/fink/archive2/x",
        "file:///etc/passwd", "hdfs://nn:8020/fink/archive/../../x", "", "..", "\x00", "/fink/archive/a\x00b",
        "/fink/archive\\..\\x", "http://elsewhere/fink/secret",
    ],
)  # fmt: skip
def test_no_path_leaves_the_archive(path: str) -> None:
    with pytest.raises(OutsideArchive):
        inside(path, ["hdfs://nn:8020/fink/archive"])


@given(st.text(max_size=60))
def test_whatever_is_accepted_is_below_the_root(text: str) -> None:
    try:
        url = inside("/data/" + text, ["file:///data/archive"])
    except OutsideArchive:
        return
    assert url.startswith("file:///data/archive/")
    assert "/../" not in url + "/"
