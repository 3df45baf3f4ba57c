"""The embedded twin of HBase: an LMDB file, with the same keys and the same ranges.

Many processes read while one writes; writers wait for each other. An environment may be opened only once in a
process (its locks belong to the process), so all stores on one folder share it, and a forked child opens its
own. Every request is one short transaction: a long one would see nothing new, and would keep old pages from
being used again, so a scan is a row of short ones.

In the file, a column group of a table is one named database, ``table/group``.
"""

from __future__ import annotations

import errno
import itertools
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import lmdb

from ..errors import Damaged, LakeError, Unavailable, UsageError
from .limits import check_cells, check_groups, check_key, check_table, no_group, no_table
from .protocol import Cells

__all__ = ["EmbeddedRows"]

MAP_SIZE = 64 << 30
"""Bytes of address space a store may grow into, large from the start and sparse on disk: a reader whose map
is smaller than the writer's fails when the file grows beyond it."""

_DATABASES = 1024
_READERS = 2048
_BATCH_ROWS, _BATCH_BYTES = (
    20_000,
    32 << 20,
)  # of one write transaction: ~0.2 s, so that other writers get a turn
_SCAN_ROWS, _SCAN_BYTES = 2_000, 4 << 20  # of one read transaction

_Answer = TypeVar("_Answer")

_environments: dict[tuple[int, str], _Environment] = {}
_opening = threading.Lock()


def _unlock_child() -> None:
    """Give a forked child a lock of its own: a thread of the parent may have held this one."""
    global _opening
    _opening = threading.Lock()


os.register_at_fork(after_in_child=_unlock_child)


class _Environment:
    """An open LMDB environment and its databases, shared by every store of the process on its folder."""

    def __init__(self, folder: str, map_size: int) -> None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        self.lmdb = lmdb.open(
            folder,
            map_size=map_size,
            max_dbs=_DATABASES,
            max_readers=_READERS,
            max_spare_txns=16,
            readahead=False,  # gets are random; read-ahead would fill the page cache with neighbours
        )
        self.lmdb.reader_check()  # forget readers that were killed
        self.handles: dict[str, Any] = {}
        self.lock = threading.Lock()
        self.users = 0
        self._file = Path(folder, "data.mdb")
        self._inode = self._file.stat().st_ino

    def stands(self) -> bool:
        """Say whether the file is still the one that was opened: a folder may be removed and made anew."""
        try:
            return self._file.stat().st_ino == self._inode
        except FileNotFoundError:
            return False


class EmbeddedRows:
    """A row store in a folder on local disk. See `RowStore`.

    Parameters
    ----------
    folder
        The folder of the LMDB file; made when it is missing.
    map_size
        Bytes the store may grow to.

    Raises
    ------
    Unavailable
        The folder cannot be made or opened; the message says why.
    """

    def __init__(self, folder: str | os.PathLike[str], *, map_size: int = MAP_SIZE) -> None:
        self._folder = os.path.realpath(folder)
        self._map_size = map_size
        self._used: tuple[int, _Environment] | None = None
        self._closed = False
        self._environment()

    def __reduce__(self) -> tuple[Callable[..., EmbeddedRows], tuple[str, int]]:
        return _reopen, (self._folder, self._map_size)

    def __repr__(self) -> str:
        return f"EmbeddedRows({self._folder!r})"

    # ------------------------------------------------------------------ tables

    def create(self, table: str, groups: Sequence[str], *, splits: Sequence[bytes] = ()) -> None:
        """Make a table; see `RowStore.create`. One file has no regions: `splits` are of no use here."""
        check_table(table)
        check_groups(groups)
        environment = self._environment()
        with environment.lock, self._readable_errors():
            with environment.lmdb.begin() as transaction:
                there = _names(transaction).get(table, set())
            if there == set(groups):
                return
            if there:
                raise UsageError(
                    f"The table {table!r} exists with the groups {sorted(there)}, not {sorted(groups)}.",
                    "Drop it, or use those groups.",
                )
            with environment.lmdb.begin(write=True) as transaction:
                handles = {
                    group: environment.lmdb.open_db(_name(table, group), transaction) for group in groups
                }
            for group, handle in handles.items():
                environment.handles[f"{table}/{group}"] = handle

    def tables(self) -> list[str]:
        """Return the names of the tables; see `RowStore.tables`."""
        with self._readable_errors(), self._environment().lmdb.begin() as transaction:
            return sorted(_names(transaction))

    def drop(self, table: str) -> None:
        """Remove a table; see `RowStore.drop`."""
        environment = self._environment()
        with environment.lock, self._readable_errors():
            with environment.lmdb.begin() as transaction:
                groups = _names(transaction).get(table, set())
            for group in groups:
                environment.handles.pop(f"{table}/{group}", None)
            opened = [environment.lmdb.open_db(_name(table, group), create=False) for group in groups]
            with environment.lmdb.begin(write=True) as transaction:
                for handle in opened:
                    transaction.drop(handle)

    # ------------------------------------------------------------------ reading

    def get(self, table: str, key: bytes, groups: Sequence[str]) -> Cells | None:
        """Return one row; see `RowStore.get`."""
        check_key(key)
        if not groups:
            check_groups(groups)

        def read(handles: list[Any], environment: lmdb.Environment) -> Cells | None:
            with environment.begin() as transaction:
                cells = tuple([transaction.get(key, None, handle) for handle in handles])
            return cells if cells.count(None) < len(cells) else None

        return self._with_handles(table, groups, read)

    def get_many(self, table: str, keys: Sequence[bytes], groups: Sequence[str]) -> list[Cells | None]:
        """Return many rows, all of one moment; see `RowStore.get_many`."""
        for key in keys:
            check_key(key)
        if not groups:
            check_groups(groups)

        def read(handles: list[Any], environment: lmdb.Environment) -> list[Cells | None]:
            with environment.begin() as transaction:
                columns = [[transaction.get(key, None, handle) for key in keys] for handle in handles]
            return [cells if cells.count(None) < len(cells) else None for cells in zip(*columns, strict=True)]

        return self._with_handles(table, groups, read)

    def scan(
        self,
        table: str,
        start: bytes,
        stop: bytes | None,
        groups: Sequence[str],
        *,
        reverse: bool = False,
        limit: int | None = None,
    ) -> Iterator[tuple[bytes, Cells]]:
        """Yield a range of rows; see `RowStore.scan`."""
        check_groups(groups)
        left = limit
        while left is None or left > 0:
            wanted = _SCAN_ROWS if left is None else min(left, _SCAN_ROWS)
            low, high = start, stop

            def read(
                handles: list[Any],
                environment: lmdb.Environment,
                low: bytes = low,
                high: bytes | None = high,
                wanted: int = wanted,
            ) -> tuple[list[tuple[bytes, Cells]], bool]:
                with environment.begin() as transaction:
                    rows = _merge(
                        [_walk(transaction, handle, low, high, reverse) for handle in handles], reverse
                    )
                    return _take(rows, wanted)

            batch, more = self._with_handles(table, groups, read)
            yield from batch
            if not more or not batch:
                return
            if reverse:
                stop = batch[-1][0]
            else:
                start = batch[-1][0] + b"\0"
            if left is not None:
                left -= len(batch)

    # ------------------------------------------------------------------ writing

    def put_many(self, table: str, rows: Iterable[tuple[bytes, Mapping[str, bytes]]]) -> None:
        """Write cells, a transaction a batch; see `RowStore.put_many`."""
        rows = iter(rows)
        more = True
        while more:
            cells: dict[str, dict[bytes, bytes]] = {}
            size = count = 0
            more = False
            for key, row in rows:
                size += check_cells(key, row)
                for group, value in row.items():
                    cells.setdefault(group, {})[key] = value
                count += 1
                if count >= _BATCH_ROWS or size >= _BATCH_BYTES:
                    more = True
                    break
            groups = tuple(cells)
            if not groups:
                if not count:
                    self._with_handles(table, (), lambda handles, environment: None)
                continue
            # In key order: neighbouring keys share pages, which halves the time of a large batch.
            columns = [sorted(cells[group].items()) for group in groups]

            def write(
                handles: list[Any], environment: lmdb.Environment, columns: list[list[Any]] = columns
            ) -> None:
                with environment.begin(write=True) as transaction:
                    for handle, column in zip(handles, columns, strict=True):
                        transaction.cursor(handle).putmulti(column)

            self._with_handles(table, groups, write)

    def check_and_put(self, table: str, key: bytes, group: str, expected: bytes | None, value: bytes) -> bool:
        """Write one cell if it holds what is expected; see `RowStore.check_and_put`."""
        check_cells(key, {group: value})

        def write(handles: list[Any], environment: lmdb.Environment) -> bool:
            with environment.begin(write=True) as transaction:
                if (transaction.get(key, None, handles[0]) or None) != (expected or None):
                    return False
                transaction.put(key, value, db=handles[0])
            return True

        return self._with_handles(table, (group,), write)

    def delete_many(self, table: str, keys: Sequence[bytes]) -> None:
        """Remove rows; see `RowStore.delete_many`."""
        for key in keys:
            check_key(key)

        def write(handles: list[Any], environment: lmdb.Environment) -> None:
            for first in range(0, len(keys), _BATCH_ROWS):
                with environment.begin(write=True) as transaction:
                    for handle, key in itertools.product(handles, keys[first : first + _BATCH_ROWS]):
                        transaction.delete(key, b"", handle)

        self._with_handles(table, (), write)

    def close(self) -> None:
        """Let go of the environment; the last store of the process on the folder closes it."""
        with _opening:
            self._closed = True
            if self._used is None or self._used[0] != os.getpid():
                return
            environment, self._used = self._used[1], None
            environment.users -= 1
            if environment.users == 0:
                _environments.pop((os.getpid(), self._folder), None)
                environment.lmdb.close()

    # ------------------------------------------------------------------ inside

    def _environment(self) -> _Environment:
        """Return this process' environment of the folder, opening it at the first use."""
        used = self._used
        if used is not None and used[0] == os.getpid():
            return used[1]
        with _opening, self._readable_errors():
            if self._closed:
                raise UsageError(f"The row store in {self._folder} was closed.")
            place = (os.getpid(), self._folder)
            environment = _environments.get(place)
            if environment is None or not environment.stands():
                environment = _environments[place] = _Environment(self._folder, self._map_size)
            environment.users += 1
            self._used = (os.getpid(), environment)
        return environment

    def _handles(self, environment: _Environment, table: str, groups: Sequence[str]) -> list[Any]:
        """Return the databases of a table's groups (of none named: of all it has)."""
        known = environment.handles
        try:
            if groups:
                return [known[f"{table}/{group}"] for group in groups]
        except KeyError:
            pass
        check_table(table)
        with environment.lock:
            with environment.lmdb.begin() as transaction:
                there = _names(transaction).get(table)
            if there is None:
                raise no_table(table)
            for group in groups:
                if group not in there:
                    raise no_group(table, group)
            for group in groups or there:
                if f"{table}/{group}" not in known:
                    known[f"{table}/{group}"] = environment.lmdb.open_db(_name(table, group), create=False)
            return [known[f"{table}/{group}"] for group in groups or there]

    def _with_handles(
        self, table: str, groups: Sequence[str], action: Callable[[list[Any], lmdb.Environment], _Answer]
    ) -> _Answer:
        environment = self._environment()
        try:
            try:
                return action(self._handles(environment, table, groups), environment.lmdb)
            except (lmdb.BadDbiError, lmdb.InvalidParameterError):
                # Another process dropped the table, and may have made it anew.
                with environment.lock:
                    for name in [name for name in environment.handles if name.startswith(f"{table}/")]:
                        del environment.handles[name]
                return action(self._handles(environment, table, groups), environment.lmdb)
        except (lmdb.Error, OSError) as error:
            raise self._told(error) from error

    @contextmanager
    def _readable_errors(self) -> Iterator[None]:
        try:
            yield
        except (lmdb.Error, OSError) as error:
            raise self._told(error) from error

    def _told(self, error: Exception) -> LakeError:
        """Return the lake's error for LMDB's or the system's, with what can be done about it."""
        store = f"The row store in {self._folder}"
        number = error.errno if isinstance(error, OSError) else getattr(error, "code", 0)
        if isinstance(error, lmdb.MapFullError):
            size = self._map_size / (1 << 30)
            return Unavailable(
                f"{store} is full: it may grow to {size:g} GiB.", "Open it with a larger map_size."
            )
        if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return Unavailable(f"{store} cannot grow: the disk is full.", "Free some space, then try again.")
        if number in (errno.EACCES, errno.EPERM, errno.EROFS):
            return Unavailable(f"{store} cannot be written.", "Give this user write access to the folder.")
        if isinstance(error, lmdb.ReadersFullError):
            return Unavailable(f"{store} has {_READERS} readers already.", "Run fewer processes on it.")
        if isinstance(
            error,
            lmdb.CorruptedError | lmdb.PageNotFoundError | lmdb.InvalidError | lmdb.VersionMismatchError,
        ):
            return Damaged(f"{store} is damaged or no LMDB file: {error}.", "Remove it and ingest again.")
        return Unavailable(f"{store} does not work: {error}.")


def _reopen(folder: str, map_size: int) -> EmbeddedRows:
    return EmbeddedRows(folder, map_size=map_size)


def _name(table: str, group: str) -> bytes:
    return f"{table}/{group}".encode()


def _names(transaction: lmdb.Transaction[bytes]) -> dict[str, set[str]]:
    """Return the groups of every table."""
    tables: dict[str, set[str]] = {}
    for name in transaction.cursor().iternext(keys=True, values=False):
        table, _, group = name.decode().rpartition("/")
        tables.setdefault(table, set()).add(group)
    return tables


def _walk(
    transaction: lmdb.Transaction[bytes], handle: Any, start: bytes, stop: bytes | None, reverse: bool
) -> Iterator[tuple[bytes, bytes]]:
    """Yield the cells of one group with `start` <= key < `stop`, in either order."""
    cursor = transaction.cursor(handle)
    if not reverse:
        # An empty key is no key to LMDB, not even to look for.
        if not (cursor.set_range(start) if start else cursor.first()):
            return
        for key, value in cursor.iternext(keys=True, values=True):
            if stop is not None and key >= stop:
                return
            yield key, value
        return
    found = stop is not None and (cursor.set_range(stop) if stop else cursor.first())
    if not (cursor.prev() if found else stop != b"" and cursor.last()):
        return
    for key, value in cursor.iterprev(keys=True, values=True):
        if key < start:
            return
        yield key, value


def _merge(walks: list[Iterator[tuple[bytes, bytes]]], reverse: bool) -> Iterator[tuple[bytes, Cells]]:
    """Yield rows from the cells of several groups, each in the same order."""
    if len(walks) == 1:
        for key, value in walks[0]:
            yield key, (value,)
        return
    heads = [next(walk, None) for walk in walks]
    first = max if reverse else min
    while True:
        waiting = [head[0] for head in heads if head is not None]
        if not waiting:
            return
        key = first(waiting)
        cells: list[bytes | None] = []
        for at, head in enumerate(heads):
            if head is not None and head[0] == key:
                cells.append(head[1])
                heads[at] = next(walks[at], None)
            else:
                cells.append(None)
        yield key, tuple(cells)


def _take(rows: Iterator[tuple[bytes, Cells]], wanted: int) -> tuple[list[tuple[bytes, Cells]], bool]:
    """Return at most `wanted` rows and about `_SCAN_BYTES`, and whether there may be more."""
    taken = []
    size = 0
    for row in rows:
        taken.append(row)
        size += sum(len(cell) for cell in row[1] if cell is not None)
        if len(taken) >= wanted or size >= _SCAN_BYTES:
            return taken, True
    return taken, False
