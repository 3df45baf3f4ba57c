"""Where jobs put what they made: a folder of objects, on local disk, on HDFS, or wherever fsspec reaches.

Objects have names such as ``7f3a90/part-000003-9f2c1a``: the job's folder, and a name in it. They are written whole
or not at all, never changed, and read by ranges. On HDFS three copies are kept of each, or as few as is said: what a
job made can be made again.

A `ResultFolder` is nothing but its URL, so it travels to a worker; connections are each process's own.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import BinaryIO

from .errors import FileGone, OutsideArchive
from .files import OpenFile, as_url, filesystem, join, open_source, stat, translated
from .writing import write_whole

__all__ = ["ResultFolder", "checked_name"]

# No name begins with a dot (those are files being written), and none has what URLs, globs or shells read otherwise.
_PART = re.compile(r"[A-Za-z0-9_=@+,-][A-Za-z0-9._=@+,-]{0,199}", re.ASCII)


@dataclass(frozen=True, slots=True)
class ResultFolder:
    """A folder of results.

    Parameters
    ----------
    url
        The folder; a bare path is local. It need not exist.
    replication
        Copies that HDFS keeps of an object. Writing with fewer than three waits half a second now and then, see
        `writing`, so fewer are kept once it is written.
    """

    url: str
    replication: int = 3

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", as_url(self.url).rstrip("/"))

    def url_of(self, name: str) -> str:
        """Return the URL of an object or a folder of them; `OutsideArchive` for a name that is none."""
        return join(self.url, checked_name(name))

    def write(self, name: str, content: bytes | Iterable[bytes] | Callable[[BinaryIO], object]) -> int:
        """Write an object, whole or not at all; return its bytes.

        Parameters
        ----------
        content
            The bytes, pieces of them, or a function that writes them. A write that fails is tried again whole,
            which an iterator cannot be: give a list or a function where it matters.

        Raises
        ------
        Unavailable
            The file system does not take it: the disk is full, or it does not answer.
        """
        return write_whole(self.url_of(name), content, replication=self.replication)

    def open(self, name: str) -> OpenFile:
        """Open an object for ranged reads.

        Raises
        ------
        FileGone
            There is no such object.
        Unavailable
            The file system does not answer.
        """
        return open_source(self.url_of(name))

    def size(self, name: str) -> int:
        """Return the bytes of an object; raises as `open`."""
        return stat(self.url_of(name)).size

    def delete(self, prefix: str) -> None:
        """Delete an object, or a folder and all in it; nothing where there is none.

        Raises
        ------
        Unavailable
            The file system does not answer.
        """
        url = self.url_of(prefix)
        fs = filesystem(url)
        with contextlib.suppress(FileGone), translated(url):
            if fs.exists(url):
                fs.rm(url, recursive=True)

    def names(self, prefix: str = "") -> list[str]:
        """Return the names of all objects in a folder (of this whole one), sorted; none where it is absent.

        Objects that are still being written are not among them.
        """
        files = (path for kind, path in self._listed(prefix, deep=True) if kind == "file")
        return sorted(filter(_is_name, files))

    def folders(self) -> list[str]:
        """Return the names of the folders here, sorted: one a job, of jobs that nobody knows any more too."""
        folders = (path for kind, path in self._listed("", deep=False) if kind == "directory")
        return sorted(filter(_is_name, folders))

    def _listed(self, prefix: str, *, deep: bool) -> list[tuple[str, str]]:
        """Return type and name (relative to this folder) of what is below `prefix`."""
        url = self.url_of(prefix) if prefix else self.url
        fs = filesystem(url)
        here = fs._strip_protocol(self.url).rstrip("/") + "/"
        with translated(url):
            try:
                if not fs.exists(url):
                    return []
                entries = fs.find(url, detail=True).values() if deep else fs.ls(url, detail=True)
            except FileNotFoundError:  # deleted since
                return []
        return [
            (entry["type"], fs._strip_protocol(entry["name"]).rstrip("/").removeprefix(here))
            for entry in entries
        ]


def checked_name(name: str) -> str:
    """Return the name of an object, if it is one.

    Raises
    ------
    OutsideArchive
        It is empty or absolute, leads out of its folder, or has characters that no name here has.
    """
    if not _is_name(name):
        raise OutsideArchive(
            f"{name[:120]!r} is no name of a result.",
            "Its parts are letters, digits and - _ = @ + , . (which none begins with), with / between them.",
        )
    return name


def _is_name(name: str) -> bool:
    return all(_PART.fullmatch(part) for part in name.split("/"))
