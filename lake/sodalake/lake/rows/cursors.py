"""Ranges of an LMDB table: one walk a column group, merged into rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import lmdb

from .protocol import Cells

__all__ = ["TAKE_BYTES", "merge", "take", "walk"]

TAKE_BYTES = 4 << 20
"""Bytes after which a batch of a scan ends."""


def walk(
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


def merge(walks: list[Iterator[tuple[bytes, bytes]]], reverse: bool) -> Iterator[tuple[bytes, Cells]]:
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


def take(rows: Iterator[tuple[bytes, Cells]], wanted: int) -> tuple[list[tuple[bytes, Cells]], bool]:
    """Return at most `wanted` rows and about `TAKE_BYTES`, and whether there may be more."""
    taken = []
    size = 0
    for row in rows:
        taken.append(row)
        size += sum(len(cell) for cell in row[1] if cell is not None)
        if len(taken) >= wanted or size >= TAKE_BYTES:
            return taken, True
    return taken, False
