"""LMDB environments: one a process and folder, whoever asks for it, and none across a fork.

LMDB's locks belong to the process, so a file that is opened twice in one loses them with the first close. Every
store on a folder therefore shares one environment.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import lmdb

__all__ = ["FORMAT", "MAX_DATABASES", "MAX_READERS", "Environment", "Environments", "environments"]

MAX_DATABASES = 1024
MAX_READERS = 2048
FORMAT = b"format"
"""Key beside the tables' names, for the version of the file's layout."""


class Environment:
    """An LMDB environment and its databases, shared by every store of the process on its folder.

    It is opened when first used, and closed before a fork: the readers of a process are listed in the file
    by its pid, and a child that drops what it inherited strikes out its parent's. Parent and child then
    each open it again.
    """

    def __init__(self, folder: str, map_size: int) -> None:
        self.folder, self.map_size = folder, map_size
        self.users = 0
        self.handles: dict[str, Any] = {}
        self.naming = threading.Lock()
        self._idle = threading.Condition()
        self._active = 0
        self._lmdb: lmdb.Environment | None = None
        self._inode = 0

    def enter(self) -> lmdb.Environment:
        """Return the environment, opened; `leave` must follow."""
        with self._idle:
            if self._lmdb is None:
                self._lmdb = self._open()
            self._active += 1
            return self._lmdb

    def leave(self) -> None:
        """End what `enter` began."""
        with self._idle:
            self._active -= 1
            if not self._active:
                self._idle.notify_all()

    def stands(self) -> bool:
        """Say whether the file is still the one that was opened: a folder may be removed and made anew."""
        try:
            return self._lmdb is None or Path(self.folder, "data.mdb").stat().st_ino == self._inode
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """Close it when the requests that are under way have ended."""
        self.pause()
        self.go_on()

    def pause(self) -> None:
        """Close it and let no request begin until `go_on`."""
        self._idle.acquire()
        self._idle.wait_for(lambda: not self._active)
        if self._lmdb is not None:
            self._lmdb.close()
            self._lmdb = None
            self.handles.clear()

    def go_on(self) -> None:
        """End a pause."""
        self._idle.release()

    def _open(self) -> lmdb.Environment:
        Path(self.folder).mkdir(parents=True, exist_ok=True)
        opened = lmdb.open(
            self.folder,
            map_size=self.map_size,
            max_dbs=MAX_DATABASES,
            max_readers=MAX_READERS,
            max_spare_txns=16,
            readahead=False,  # gets are random; read-ahead would fill the page cache with neighbours
        )
        opened.reader_check()  # forget readers that were killed
        # An entry of its own, so that the list of tables is never empty: LMDB tells a process that holds a table
        # which another has dropped, but not when that was the last one.
        with opened.begin() as transaction:
            marked = transaction.get(FORMAT) is not None
        if not marked:
            with opened.begin(write=True) as writing:
                writing.put(FORMAT, b"1", overwrite=False)
        self._inode = Path(self.folder, "data.mdb").stat().st_ino
        return opened


class Environments:
    """The environments of this process, by folder."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, Environment] = {}
        self._paused: list[Environment] = []
        os.register_at_fork(before=self._before_fork, after_in_parent=self._after, after_in_child=self._after)

    def take(self, folder: str, map_size: int) -> Environment:
        """Return the environment of `folder`, for one more user."""
        with self._lock:
            environment = self._known.get(folder)
            if environment is None or not environment.stands():
                environment = self._known[folder] = Environment(folder, map_size)
            environment.users += 1
            return environment

    def give_back(self, environment: Environment) -> None:
        """End one use; the last one closes the environment."""
        with self._lock:
            environment.users -= 1
            if environment.users:
                return
            if self._known.get(environment.folder) is environment:
                del self._known[environment.folder]
            environment.close()

    def _before_fork(self) -> None:
        self._lock.acquire()
        self._paused = list(self._known.values())
        for environment in self._paused:
            environment.pause()

    def _after(self) -> None:
        for environment in self._paused:
            environment.go_on()
        self._paused = []
        self._lock.release()


environments = Environments()
"""Every environment of this process."""
