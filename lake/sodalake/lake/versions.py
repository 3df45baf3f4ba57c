"""Cells that belong to a file: how a row shows the committed version while a new one is being written.

An alert may come twice (a night merged from online/ to archive/, an alert processed again). The later ingest wins,
but only once its file is committed; until then readers go on seeing the older one. So a cell carries the number of
the file it came from, and while two files compete it carries both versions:

    count (1 byte) | count x (file number, length of the payload: 2 x uint32) | the payloads

Almost every cell has one version, so its payload starts at byte `SINGLE` and N cells become columns without a look
at each.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

__all__ = ["SINGLE", "add", "newest", "versions", "wrap"]

_ENTRY = struct.Struct("<II")
SINGLE = 1 + _ENTRY.size
_ONE = struct.Struct("<BII")


def wrap(file: int, payload: bytes) -> bytes:
    """Return a cell with the one version `payload` of `file`."""
    return _ONE.pack(1, file, len(payload)) + payload


def versions(cell: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (file number, payload), oldest first."""
    count = cell[0]
    at = 1 + count * _ENTRY.size
    for index in range(count):
        file, length = _ENTRY.unpack_from(cell, 1 + index * _ENTRY.size)
        yield file, cell[at : at + length]
        at += length


def newest(cell: bytes, visible: Callable[[int], bool]) -> tuple[int, bytes] | None:
    """Return the newest version whose file is `visible`, or None."""
    if cell[0] == 1:
        _, file, _ = _ONE.unpack_from(cell)
        return (file, cell[SINGLE:]) if visible(file) else None
    return next(((file, load) for file, load in reversed(list(versions(cell))) if visible(file)), None)


def add(
    cell: bytes | None,
    file: int,
    payload: bytes,
    visible: Callable[[int], bool],
    replaces: int | None = None,
) -> bytes:
    """Return the cell with a version of `file` added, keeping of the older ones the newest visible only.

    With `replaces`, the file that is gone once `file` is committed: where the newest visible is of this one, the newest
    but that is kept too.
    """
    if cell is None:
        return wrap(file, payload)
    kept = newest(cell, lambda number: number != file and visible(number))
    if kept is None:
        return wrap(file, payload)
    both = [kept, (file, payload)]
    if kept[0] == replaces:
        before = newest(cell, lambda number: number not in (file, replaces) and visible(number))
        both = [before, *both] if before is not None else both
    head = bytes([len(both)]) + b"".join(_ENTRY.pack(number, len(load)) for number, load in both)
    return head + b"".join(load for _, load in both)
