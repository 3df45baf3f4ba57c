"""Files written whole or not at all, wherever they are.

A write to HDFS does not survive a dying DataNode, although a read does. So a file is written under a temporary name,
tried again whole, and renamed: who looks for it finds all of it or nothing.
"""

from __future__ import annotations

import contextlib
import io
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit

from .errors import Unavailable
from .files import filesystem, is_panic, path_of

__all__ = ["write_whole"]

_WRITE_ATTEMPTS = 3
# A file of one copy is closed before the name node has heard of its block, and hdfs-native then waits 0.5 s (0.54 s
# for 8 MB). A pipeline of three is slower than the news: 0.06 s. So small files that need fewer copies are written
# to three DataNodes, and two of them forget theirs.
_PIPELINE = 3
_SMALL = 64 * 1024 * 1024


def write_whole(
    url: str,
    content: bytes | Iterable[bytes] | Callable[[BinaryIO], object],
    *,
    replication: int | None = None,
) -> int:
    """Write a file so that it is there whole or not at all; return its bytes.

    Parameters
    ----------
    content
        The bytes, pieces of them, or a function that writes them (it is called again when a write is tried
        again). Pieces that can be gone through only once (an iterator) get one attempt.
    replication
        Copies that HDFS keeps; None: as many as it keeps of any file. Other file systems have no such thing.

    Raises
    ------
    Unavailable
        The file system refused three times; what it said is in the message.
    """
    fs = filesystem(url)
    scheme = urlsplit(url).scheme
    folder, _, name = url.rpartition("/")
    copies = replication if scheme == "hdfs" else None
    pipeline = max(_PIPELINE, copies) if copies and _is_small(content) else copies
    attempts = 1 if isinstance(content, Iterator) else _WRITE_ATTEMPTS
    failure: BaseException | None = None
    for attempt in range(attempts):
        temporary = f"{folder}/.{name}.{uuid.uuid4().hex}.tmp"
        done = False
        try:
            fs.makedirs(folder + "/", exist_ok=True)
            with fs.open(temporary, "wb", **({"replication": pipeline} if pipeline else {})) as opened:
                sink = _Counted(opened)
                if callable(content):
                    content(cast(BinaryIO, sink))
                elif isinstance(content, bytes | bytearray | memoryview):
                    sink.write(content)
                else:
                    sink.writelines(content)
            if copies != pipeline:
                fs.client.set_replication(path_of(temporary), copies)
            if scheme == "file":
                Path(path_of(temporary)).replace(path_of(url))
            else:
                fs.mv(temporary, url, overwrite=True)
            done = True
        except (OSError, RuntimeError) as error:
            failure = error
            time.sleep(0.2 * attempt)  # a dead DataNode is left out of the next pipeline
        except BaseException as error:
            if not is_panic(error):
                raise
            failure = error
        finally:
            if not done:
                with contextlib.suppress(OSError, RuntimeError):
                    fs.rm(temporary)
        if done:
            return sink.written
    raise Unavailable(f"Could not write {url}: {failure}", "Is the disk full, or the folder read-only?")


def _is_small(content: object) -> bool:
    """Say whether what is to be written has at most `_SMALL` bytes, as pieces have that are held until it is there."""
    if isinstance(content, bytes | bytearray | memoryview):
        return memoryview(content).nbytes <= _SMALL
    return not callable(content)


class _Counted(io.RawIOBase):
    """The file that is being written, which only grows, and how much of it is there."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.written = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        # hdfs-native takes anything but bytes byte by byte: 0.3 s for 2 MB of an Arrow buffer, against 1 ms.
        plain = data if isinstance(data, bytes) else bytes(data)
        self._file.write(plain)
        self.written += len(plain)
        return len(plain)

    def tell(self) -> int:
        return self.written
