"""Files of the archive, wherever they are: one URL, and ranged reads. How files are written: see `writing`.

Every path is a URL (`file:///…`, `hdfs://host:port/…`, anything else fsspec knows); a bare path is a local file.
HDFS goes through hdfs-native, a Rust client that needs no JVM; three of its habits shape this module: a ranged
read past the end panics (a `BaseException`), so every range is clamped first; a reader knows the DataNodes of the
day it was opened, so it is opened again where they no longer have the block; an unreachable name node is retried
for 100 s unless it is told not to.
"""

from __future__ import annotations

import contextlib
import io
import os
import posixpath
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Protocol, cast
from urllib.parse import unquote, urlsplit

import fsspec
from hdfs_native import Client as HdfsClient
from hdfs_native.fsspec import HdfsFileSystem

from .errors import FileGone, NotInLake, OutsideArchive, Unavailable, UsageError

__all__ = [
    "SAME_TIME",
    "FileStat",
    "OpenFile",
    "OpenFiles",
    "SourceFile",
    "as_url",
    "expand",
    "filesystem",
    "inside",
    "is_panic",
    "join",
    "open_source",
    "path_of",
    "read_bytes",
    "stat",
    "translated",
]

SAME_TIME: Final = 1e-3
"""Seconds by which two modification times of a file that was not changed may differ."""

# One failover attempt answers in 0.8 s where the default retries for over 100 s; the caller retries, with a deadline.
# Only for a name node that is named itself: a name service (no port) has others to fail over to.
_HDFS_OPTIONS = {"dfs.client.failover.max.attempts": "1"}


@dataclass(frozen=True, slots=True)
class FileStat:
    """A file as its file system lists it: URL, bytes, and modification time in seconds since 1970 (0: not told)."""

    url: str
    size: int
    mtime: float


class OpenFile(Protocol):
    """A file held open for ranged reads from any thread."""

    size: int

    def modified(self) -> float:
        """Return when it was last written (seconds since 1970); 0 where the file system does not say.

        Of a local file that is now, since it may be written over while it is open; elsewhere, where nothing is, it is
        looked up once.
        """

    def read_at(self, offset: int, length: int) -> bytes:
        """Return the bytes `[offset, offset+length)`, fewer where the file ends before."""

    def expect(self, offset: int, length: int) -> None:
        """Say that pieces of `[offset, offset+length)` will be read next, so that a disk fetches them as one."""

    def close(self) -> None:
        """Let go of the file."""


def as_url(path: str) -> str:
    """Return the one URL of `path`: a bare path becomes an absolute `file://` URL, and `//` and `..` are resolved."""
    if "://" not in path:
        return "file://" + os.path.abspath(os.path.expanduser(path))  # noqa: PTH100, PTH111  # resolve() follows links
    parts = urlsplit(path)
    clean = posixpath.normpath("/" + parts.path.lstrip("/"))
    return f"{parts.scheme}://{parts.netloc}{clean}"


def path_of(url: str) -> str:
    """Return the path of a URL, without scheme and name node."""
    return urlsplit(url).path


def join(url: str, *names: str) -> str:
    """Return the URL of something below `url`; an absolute URL or path in `names` stands for itself."""
    for name in names:
        url = (
            name if "://" in name else (as_url(name) if name.startswith("/") else f"{url.rstrip('/')}/{name}")
        )
    return url


def inside(path: str, roots: Sequence[str]) -> str:
    """Return the URL of `path` if it is below one of the `roots`.

    `path` may be a URL or a bare path, with any number of leading slashes, as the seeds' clients send it
    (`hdfs://10.0.0.1:8020///user/fink/…`). The host of an `hdfs://` URL is not compared: archives are moved
    between name nodes, and their index tables keep the old one.

    Raises
    ------
    OutsideArchive
        The path, once `..` is resolved, is below none of the roots.
    """
    decoded = unquote(path)
    if "\x00" in decoded or "\\" in decoded:
        raise OutsideArchive(f"The path {path[:200]!r} has a character no archive path has.")
    bare = urlsplit(decoded).path if "://" in decoded else decoded
    clean = posixpath.normpath("/" + bare.lstrip("/"))
    for root in roots:
        below = path_of(root).rstrip("/") + "/"
        if clean.startswith(below):
            parts = urlsplit(root)
            return f"{parts.scheme}://{parts.netloc}{clean}"
    raise OutsideArchive(
        f"The path {path[:200]!r} is not in the archive.", "Give a path below one of the archive's roots."
    )


@lru_cache(maxsize=64)
def _hdfs(netloc: str, pid: int) -> tuple[HdfsFileSystem, HdfsClient]:
    host, _, port = netloc.partition(":")
    # skip_instance_cache: fsspec keeps instances across a fork, and a Rust runtime does not survive one.
    options = _HDFS_OPTIONS if port else {}
    fs = HdfsFileSystem(host or None, int(port) if port else None, skip_instance_cache=True, **options)
    return fs, fs.client


def filesystem(url: str) -> Any:
    """Return the fsspec file system of `url`."""
    parts = urlsplit(url)
    if parts.scheme == "hdfs":
        return _hdfs(parts.netloc, os.getpid())[0]
    try:
        return fsspec.filesystem(parts.scheme)
    except (ValueError, ImportError) as error:
        raise UsageError(f"No file system for {url!r}: {error}.") from error


def is_panic(error: BaseException) -> bool:
    """Say whether hdfs-native panicked: a BaseException; it means a lost connection or a bad block."""
    return type(error).__name__ == "PanicException"


@contextlib.contextmanager
def translated(url: str) -> Iterator[None]:
    """Raise what goes wrong inside with the file `url` as `FileGone` or `Unavailable`."""
    try:
        yield
    except FileNotFoundError as error:
        raise FileGone(
            f"The file {url} is not there.", "If it was moved or deleted, ingest the archive again."
        ) from error
    except (OSError, RuntimeError) as error:
        raise Unavailable(f"The file system does not answer for {url}: {error}") from error
    except BaseException as error:
        if not is_panic(error):
            raise
        raise Unavailable(f"The HDFS client failed on {url}: {error}") from error


class _LocalFile:
    def __init__(self, url: str) -> None:
        self._fd = -1
        self._fd = os.open(path_of(url), os.O_RDONLY | os.O_CLOEXEC)
        self.size = os.fstat(self._fd).st_size

    def modified(self) -> float:
        return os.fstat(self._fd).st_mtime

    def read_at(self, offset: int, length: int) -> bytes:
        return os.pread(self._fd, length, offset)

    def expect(self, offset: int, length: int) -> None:
        if hasattr(os, "posix_fadvise"):  # not on macOS
            os.posix_fadvise(self._fd, offset, length, os.POSIX_FADV_WILLNEED)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __del__(self) -> None:
        self.close()


class _HdfsFile:
    def __init__(self, url: str) -> None:
        self._url = url
        parts = urlsplit(url)
        self._reader = _hdfs(parts.netloc, os.getpid())[1].read(parts.path)
        self.size = len(self._reader)
        self._modified: float | None = None

    def modified(self) -> float:
        # A reader does not tell, and the name node takes a while: only who wants to know asks. It is asked after the
        # file was opened, so that one that was written anew in between is never taken for the older one.
        if self._modified is None:
            self._modified = stat(self._url).mtime
        return self._modified

    def read_at(self, offset: int, length: int) -> bytes:
        length = min(length, self.size - offset)
        if length <= 0:
            return b""
        try:
            with translated(self._url):
                return self._reader.read_range(offset, length)
        except Unavailable:
            # A reader knows the DataNodes of the day it was opened; blocks are moved, and copies removed.
            self._open_again()
        with translated(self._url):
            return self._reader.read_range(offset, length)

    def expect(self, offset: int, length: int) -> None:
        pass

    def _open_again(self) -> None:
        parts = urlsplit(self._url)
        with translated(self._url):
            reader = _hdfs(parts.netloc, os.getpid())[1].read(parts.path)
        before, self._modified = self._modified, None  # who asks next is told of the new file
        if len(reader) != self.size or (before is not None and self.modified() != before):
            raise Unavailable(f"The file {self._url} was written anew while it was read.")
        self._reader = reader

    def close(self) -> None:
        self._reader.close()


class _FsspecFile:
    def __init__(self, url: str) -> None:
        self._fs, self._url = filesystem(url), url
        found = _file_stat(url, self._fs.info(url))
        self.size, self._modified = found.size, found.mtime

    def modified(self) -> float:
        return self._modified

    def read_at(self, offset: int, length: int) -> bytes:
        end = min(offset + length, self.size)
        if end <= offset:
            return b""
        with translated(self._url):
            return cast(bytes, self._fs.cat_file(self._url, start=offset, end=end))

    def expect(self, offset: int, length: int) -> None:
        pass

    def close(self) -> None:
        pass


def open_source(url: str) -> OpenFile:
    """Open a file for ranged reads.

    Raises
    ------
    FileGone
        No such file.
    Unavailable
        The file system does not answer.
    """
    scheme = urlsplit(url).scheme
    openers: dict[str, Callable[[str], OpenFile]] = {"file": _LocalFile, "hdfs": _HdfsFile}
    with translated(url):
        return openers.get(scheme, _FsspecFile)(url)


class SourceFile(io.RawIOBase):
    """A seekable binary file over ranged reads, for readers (pyarrow) that want a file object."""

    def __init__(self, source: OpenFile) -> None:
        self._source, self._at = source, 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to `offset`."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._source.size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        """Return up to `size` bytes."""
        if size is None or size < 0:
            size = max(0, self._source.size - self._at)
        data = self._source.read_at(self._at, size)
        self._at += len(data)
        return data

    def readall(self) -> bytes:
        """Return everything from here on."""
        return self.read(-1)

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer`."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class OpenFiles:
    """The files a reader holds open: the most recently used, closed when pushed out.

    Opening costs 1 ms on HDFS, a read on an open file 0.3 to 0.4 ms: that is what the pool saves. A key is
    whatever identifies a version of a file (its URL and its number in the catalogue), so that a file written anew
    is opened anew.
    """

    def __init__(self, limit: int = 512) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._open: OrderedDict[object, OpenFile] = OrderedDict()

    def get(self, key: object, url: str) -> OpenFile:
        """Return the open file of `key`, opening `url` if need be."""
        with self._lock:
            held = self._open.get(key)
            if held is not None:
                self._open.move_to_end(key)
                return held
        fresh = open_source(url)
        with self._lock:
            # Another thread may have been faster; a file pushed out is closed when its last reader lets go.
            held = self._open.setdefault(key, fresh)
            while len(self._open) > self._limit:
                self._open.popitem(last=False)
        return held

    def discard(self, key: object) -> None:
        """Forget a file, so that the next reader opens it anew."""
        with self._lock:
            self._open.pop(key, None)

    def close(self) -> None:
        """Forget every file."""
        with self._lock:
            self._open.clear()


def stat(url: str) -> FileStat:
    """Return size and time of a file; `FileGone` where there is none."""
    fs = filesystem(url)
    with translated(url):
        return _file_stat(url, fs.info(url))


def _file_stat(url: str, info: Mapping[str, Any]) -> FileStat:
    mtime = info.get("mtime", info.get("LastModified", 0.0))
    if "modification_time" in info:  # hdfs-native: milliseconds
        mtime = info["modification_time"] / 1000
    if hasattr(mtime, "timestamp"):
        mtime = mtime.timestamp()
    return FileStat(url, int(info["size"]), float(mtime))


def expand(paths: Sequence[str], suffixes: Sequence[str]) -> list[FileStat]:
    """Return the files that `paths` mean: files, folders (whole trees) and globs, local or not, sorted by URL.

    Names that begin with `.` or `_` (temporary files, Spark's `_SUCCESS`) are left out of folders and globs, as
    are names without one of the `suffixes`.

    Raises
    ------
    NotInLake
        A path that matches nothing.
    """
    found: dict[str, FileStat] = {}
    for given in paths:
        url = as_url(given)
        fs = filesystem(url)
        prefix = url[: len(url) - len(path_of(url))]
        with translated(url):
            if any(mark in path_of(url) for mark in "*?["):
                listed = fs.glob(url, detail=True)
                if not listed:
                    raise NotInLake(f"Nothing matches {given}.")
                entries = list(listed.values())
                folders = [entry for entry in entries if entry["type"] == "directory"]
                entries += [
                    inner for folder in folders for inner in fs.find(folder["name"], detail=True).values()
                ]
            elif not fs.exists(url):
                raise NotInLake(f"There is no file or folder {given}.")
            elif fs.isdir(url):
                entries = list(fs.find(url, detail=True).values())
            else:
                entries = [{**fs.info(url), "given": True}]
        for entry in entries:
            path = path_of(entry["name"]) if "://" in entry["name"] else entry["name"]
            below = path[len(path_of(url).split("*")[0].rpartition("/")[0]) :]
            hidden = any(part[:1] in "._" for part in below.split("/") if part)
            if entry["type"] != "file" or (
                (hidden or not path.endswith(tuple(suffixes))) and "given" not in entry
            ):
                continue
            found[prefix + path] = _file_stat(prefix + path, entry)
    return [found[url] for url in sorted(found)]


def read_bytes(url: str) -> bytes:
    """Return a whole (small) file; `FileGone` where there is none."""
    source = open_source(url)
    try:
        return source.read_at(0, source.size)
    finally:
        source.close()
