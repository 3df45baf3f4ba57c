"""The embedded twin of HBase: an LMDB file, with the same keys and the same ranges.

Many processes read while one writes; writers wait for each other. Every request is one short transaction: a
long one would see nothing new, and would keep old pages from being used again, so a scan is a row of short
ones.

In the file, a column group of a table is one named database, ``table/group``.
"""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import lmdb

from ..errors import Damaged, LakeError, Unavailable, UsageError
from .cursors import merge, take, walk
from .environments import FORMAT, MAX_READERS, Environment, environments
from .limits import check_cells, check_groups, check_key, check_table, no_group, no_table
from .protocol import Cells

__all__ = ["EmbeddedRows"]

MAP_SIZE = 64 << 30
"""Bytes of address space a store may grow into, large from the start and sparse on disk: a reader whose map
is smaller than the writer's fails when the file grows beyond it."""

_BATCH_ROWS, _BATCH_BYTES = 20_000, 32 << 20  # of one write transaction: ~0.1 s, then others get a turn
_SCAN_ROWS = 2_000  # of one read transaction

_Answer = TypeVar("_Answer")


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

    parallel = 1

    def __init__(self, folder: str | os.PathLike[str], *, map_size: int = MAP_SIZE) -> None:
        self._folder = os.path.realpath(folder)
        self._map_size = map_size
        self._environment: Environment | None = environments.take(self._folder, map_size)
        with self._turn():
            pass  # opened now, so that what is wrong with the folder is said now

    def __reduce__(self) -> tuple[Callable[..., EmbeddedRows], tuple[str, int]]:
        return _reopen, (self._folder, self._map_size)

    def __repr__(self) -> str:
        return f"EmbeddedRows({self._folder!r})"

    # ------------------------------------------------------------------ tables

    def create(self, table: str, groups: Sequence[str], *, splits: Sequence[bytes] = ()) -> None:
        """Make a table; see `RowStore.create`. One file has no regions: `splits` are of no use here."""
        check_table(table)
        check_groups(groups)
        if not self._create(table, groups):
            # Handles of a table that another process dropped: LMDB would take them for the new table.
            self._used().close()
            self._create(table, groups)

    def _create(self, table: str, groups: Sequence[str]) -> bool:
        with self._turn() as (opened, environment), environment.naming:
            with opened.begin() as transaction:
                there = _names(transaction).get(table, set())
            if there == set(groups):
                return True
            if there:
                raise UsageError(
                    f"The table {table!r} exists with the groups {sorted(there)}, not {sorted(groups)}.",
                    "Drop it, or use those groups.",
                )
            if any(f"{table}/{group}" in environment.handles for group in groups):
                return False
            with opened.begin(write=True) as transaction:
                handles = {group: opened.open_db(_name(table, group), transaction) for group in groups}
            for group, handle in handles.items():
                environment.handles[f"{table}/{group}"] = handle
            return True

    def tables(self) -> list[str]:
        """Return the names of the tables; see `RowStore.tables`."""
        with self._turn() as (opened, _), opened.begin() as transaction:
            return sorted(_names(transaction))

    def drop(self, table: str) -> None:
        """Remove a table; see `RowStore.drop`."""
        with self._turn() as (opened, environment), environment.naming:
            with opened.begin() as transaction:
                groups = _names(transaction).get(table, set())
            for group in groups:
                environment.handles.pop(f"{table}/{group}", None)
            handles = [opened.open_db(_name(table, group), create=False) for group in groups]
            with opened.begin(write=True) as transaction:
                for handle in handles:
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
                    rows = merge(
                        [walk(transaction, handle, low, high, reverse) for handle in handles], reverse
                    )
                    return take(rows, wanted)

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

    def scan_many(
        self,
        table: str,
        ranges: Sequence[tuple[bytes, bytes | None]],
        groups: Sequence[str],
        *,
        limit: int | None = None,
    ) -> Iterator[tuple[bytes, Cells]]:
        """Yield several ranges of rows; see `RowStore.scan_many`."""
        check_groups(groups)
        every = itertools.chain.from_iterable(self.scan(table, *one, groups) for one in ranges)
        yield from itertools.islice(every, limit)

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
        environment, self._environment = self._environment, None
        if environment is not None:
            environments.give_back(environment)

    # ------------------------------------------------------------------ inside

    def _used(self) -> Environment:
        if self._environment is None:
            raise UsageError(f"The row store in {self._folder} was closed.")
        return self._environment

    @contextmanager
    def _turn(self) -> Iterator[tuple[lmdb.Environment, Environment]]:
        """Use the environment, and say what goes wrong with words that help."""
        environment = self._used()
        try:
            opened = environment.enter()
            try:
                yield opened, environment
            finally:
                environment.leave()
        except (lmdb.Error, OSError) as error:
            raise self._told(error) from error

    def _handles(
        self, environment: Environment, opened: lmdb.Environment, table: str, groups: Sequence[str]
    ) -> list[Any]:
        """Return the databases of a table's groups (of none named: of all it has)."""
        known = environment.handles
        try:
            if groups:
                return [known[f"{table}/{group}"] for group in groups]
        except KeyError:
            pass
        check_table(table)
        with environment.naming:
            with opened.begin() as transaction:
                there = _names(transaction).get(table)
            if there is None:
                raise no_table(table)
            for group in groups:
                if group not in there:
                    raise no_group(table, group)
            for group in groups or there:
                if f"{table}/{group}" not in known:
                    known[f"{table}/{group}"] = opened.open_db(_name(table, group), create=False)
            return [known[f"{table}/{group}"] for group in groups or there]

    def _with_handles(
        self, table: str, groups: Sequence[str], action: Callable[[list[Any], lmdb.Environment], _Answer]
    ) -> _Answer:
        # What `_turn` does, without the cost of a generator: a get takes 4 µs.
        environment = self._used()
        try:
            for last in (False, True):
                opened = environment.enter()
                try:
                    return action(self._handles(environment, opened, table, groups), opened)
                except (lmdb.BadDbiError, lmdb.InvalidParameterError):
                    if last:
                        raise
                finally:
                    environment.leave()
                # Another process dropped the table, and may have made it anew: only opening again forgets it.
                environment.close()
        except (lmdb.Error, OSError) as error:
            raise self._told(error) from error
        raise AssertionError("the second turn returns or raises")

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
        if number == errno.EIO:  # what LMDB says when part of a write goes through, as on a full disk
            return Unavailable(
                f"{store} cannot be written: the disk is full or fails.", "Look at the disk; free some space."
            )
        if number in (errno.EACCES, errno.EPERM, errno.EROFS):
            return Unavailable(f"{store} cannot be written.", "Give this user write access to the folder.")
        if isinstance(error, lmdb.ReadersFullError):
            return Unavailable(f"{store} has {MAX_READERS} readers already.", "Run fewer processes on it.")
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
        if name == FORMAT:
            continue
        table, _, group = name.decode().rpartition("/")
        tables.setdefault(table, set()).add(group)
    return tables
