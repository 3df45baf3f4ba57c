"""What both row stores refuse, with the same words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ..errors import NotInLake, UsageError
from .protocol import MAX_CELL, MAX_KEY

__all__ = ["check_cells", "check_groups", "check_key", "check_table", "no_group", "no_table"]

_TABLE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_GROUP = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def check_table(table: str) -> None:
    """Refuse a table name that HBase would not take."""
    if not _TABLE.fullmatch(table):
        raise UsageError(f"{table[:80]!r} cannot name a table.", "Use letters, digits, '_', '-' and '.'.")


def check_groups(groups: Sequence[str]) -> None:
    """Refuse an empty list of groups, and names that HBase would not take."""
    if not groups:
        raise UsageError("No column group was named.")
    for group in groups:
        if not _GROUP.fullmatch(group):
            raise UsageError(f"{group[:80]!r} cannot name a column group.", "Use letters, digits and '_'.")


def check_key(key: bytes) -> None:
    """Refuse a key that is empty or longer than `MAX_KEY`."""
    if not 0 < len(key) <= MAX_KEY:
        raise UsageError(f"A row's key has 1 to {MAX_KEY} bytes; {key[:32]!r}… has {len(key)}.")


def check_cells(key: bytes, cells: Mapping[str, bytes]) -> int:
    """Refuse a row that cannot be written; return its size in bytes."""
    check_key(key)
    size = len(key)
    for group, value in cells.items():
        if len(value) > MAX_CELL:
            raise UsageError(
                f"A cell has at most {MAX_CELL} bytes; {group!r} of {key[:64]!r} has {len(value)}."
            )
        size += len(value)
    return size


def no_table(table: str) -> NotInLake:
    """Return the error of a table that does not exist."""
    return NotInLake(f"There is no table {table!r}.", "It is made when its survey is ingested.")


def no_group(table: str, group: str) -> UsageError:
    """Return the error of a group that a table does not have."""
    return UsageError(f"The table {table!r} has no column group {group!r}.")
