"""One server an SQLite file: the lock that says so, and that ends with its process however that ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from sodalake.uws.errors import StoreUnavailable

__all__ = ["FileLock"]


class FileLock:
    """An exclusive lock on a file beside the data base, which says who holds it.

    The kernel gives it back when the process is gone, so nobody has to clean up after a crash. The file stays:
    removing it would let two servers lock two files of the same name.

    Raises
    ------
    StoreUnavailable
        Another process holds it; the message says which.
    """

    def __init__(self, database: Path, runner: str) -> None:
        self._path = database.with_name(database.name + ".server")
        # O_CLOEXEC: a child that outlives the server must not hold its lock.
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._file, 500).decode(errors="replace").strip()
            os.close(self._file)
            raise StoreUnavailable(
                f"Another server has the store of jobs {database}: {holder or 'a process that starts just now'}.",
                "Stop it, or let several servers share a PostgreSQL store.",
            ) from None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"process {os.getpid()} ({runner})\n".encode(), 0)

    def release(self) -> None:
        """Give it back."""
        os.ftruncate(self._file, 0)
        os.close(self._file)
