"""Ranges of a table read for somebody who may stop early: little at first, more later, side by side where that pays."""

from __future__ import annotations

import contextvars
import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from .rows import Cells, RowStore, check_time
from .rows.ranges import Range, after

__all__ = ["FIRST", "MOST", "Scanner"]

FIRST = 256
"""Rows read at first: who asks for the TOP 10 waits for no more."""

MOST = 8192
"""Rows read at a time later on."""

_RUN = 32  # ranges that a call takes at least, where there are so many
_GETS = 500  # keys of a call, of several side by side

_Row = tuple[bytes, Cells]
_Range = tuple[bytes, bytes]
_Answer = TypeVar("_Answer")


class Scanner:
    """Reads ranges and keys of a row store. May be used from any thread.

    Parameters
    ----------
    rows
        The store; `RowStore.parallel` says how many calls of one reader run side by side.
    """

    def __init__(self, rows: RowStore) -> None:
        self._rows = rows
        self._lock = threading.Lock()
        self._threads: ThreadPoolExecutor | None = None

    def ranges(
        self, table: str, ranges: Sequence[_Range], groups: Sequence[str], first: int = FIRST
    ) -> Iterator[list[_Row]]:
        """Yield the rows of some ranges, which are apart, in batches of `first` to `MOST` rows; a range's are in order.

        Raises
        ------
        DeadlineExceeded
            The time that `sodalake.lake.rows.within` gave has passed.
        Unavailable
            The store does not answer.
        """
        if self._rows.parallel > 1 and len(ranges) > 1:
            yield from self._side_by_side(table, sorted(ranges), groups, first)
            return
        rows = self._one_by_one(table, ranges, groups, first)
        size = first
        while batch := list(itertools.islice(rows, size)):
            check_time()
            yield batch
            size = min(MOST, 4 * size)

    def _one_by_one(
        self, table: str, ranges: Sequence[_Range], groups: Sequence[str], first: int
    ) -> Iterator[_Row]:
        left = first
        for start, stop in ranges:
            if left > 0:
                last = None
                for last, cells in self._rows.scan(table, start, stop, groups, limit=left):
                    left -= 1
                    yield last, cells
                if left > 0 or last is None:
                    continue
                start = last + b"\0"
            yield from self._rows.scan(table, start, stop, groups)

    def _side_by_side(
        self, table: str, ranges: Sequence[_Range], groups: Sequence[str], size: int
    ) -> Iterator[list[_Row]]:
        width = self._rows.parallel
        run = max(min(_RUN, -(-len(ranges) // 2)), -(-len(ranges) // width))
        todo: deque[Sequence[Range]] = deque(ranges[at : at + run] for at in range(0, len(ranges), run))
        running: deque[Future[tuple[list[_Row], list[Range]]]] = deque()
        try:
            while todo or running:
                while todo and len(running) < width:
                    running.append(self._begin(self._some, table, todo.popleft(), groups, size))
                batch, rest = running.popleft().result()
                size = min(MOST, 4 * size)
                if rest:
                    todo.appendleft(rest)
                if batch:
                    check_time()
                    yield batch
        finally:
            for future in running:
                future.cancel()

    def _some(
        self, table: str, ranges: Sequence[Range], groups: Sequence[str], size: int
    ) -> tuple[list[_Row], list[Range]]:
        """Return the first rows of some ranges, and the ranges that are left."""
        batch = list(self._rows.scan_many(table, ranges, groups, limit=size))
        return batch, after(ranges, batch[-1][0]) if len(batch) >= size else []

    def keys(self, table: str, keys: Sequence[bytes], groups: Sequence[str]) -> list[Cells | None]:
        """Return the rows of some keys, in their order; raises as `ranges`."""
        check_time()
        if self._rows.parallel == 1 or len(keys) <= _GETS:
            return self._rows.get_many(table, keys, groups) if keys else []
        parts = [
            self._begin(self._rows.get_many, table, keys[at : at + _GETS], groups)
            for at in range(0, len(keys), _GETS)
        ]
        try:
            return [cells for part in parts for cells in part.result()]
        finally:
            for part in parts:
                part.cancel()

    def _begin(self, work: Callable[..., _Answer], *arguments: object) -> Future[_Answer]:
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(self._rows.parallel, thread_name_prefix="row-scan")
        context = contextvars.copy_context()  # with the caller's deadline
        return self._threads.submit(context.run, work, *arguments)
