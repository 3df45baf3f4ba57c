"""What a row store is: sorted keys, one cell a column group, ranges.

HBase and its embedded twin (LMDB) are two implementations with the same keys and the same ranges; one
abstract test suite runs against both. They share the narrower limits of the two, so that a lake moves from
one to the other: keys of 1 to `MAX_KEY` bytes, cells of at most `MAX_CELL` bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

__all__ = ["MAX_CELL", "MAX_KEY", "Cells", "RowStore"]

MAX_KEY = 511
"""Longest key in bytes (LMDB's own limit)."""

MAX_CELL = 8 << 20
"""Largest cell in bytes (HBase refuses a row's cell of 10 MB)."""

Cells = tuple[bytes | None, ...]
"""The cells of one row, in the order the groups were asked for; None where the row has no such cell."""


@runtime_checkable
class RowStore(Protocol):
    """Tables of rows sorted by key (bytes), each row a few cells, a cell a column group.

    Methods are blocking and may be called from any thread, and after a fork. Connections are pooled: each
    is used by one thread at a time. A broken connection is discarded and the call is tried again on a new
    one, for as long as the store's patience (or `sodalake.lake.rows.within`) allows, before `Unavailable`
    is raised. A store can be pickled; the copy opens its own connections.

    Every method raises `NotInLake` for a table that does not exist, `UsageError` for a group the table does
    not have and for keys and cells beyond the limits, and `Unavailable` when the back end does not answer.

    Attributes
    ----------
    parallel
        How many calls of one reader pay side by side: 1 where a call is all computing, more where it is mostly waiting.
    """

    parallel: int

    def create(self, table: str, groups: Sequence[str], *, splits: Sequence[bytes] = ()) -> None:
        """Make `table` with its column `groups`; nothing happens when it exists with those groups.

        `splits` are the keys at which a distributed store starts new regions. Table names are of letters,
        digits, ``_ - .``; group names of letters, digits and ``_``, and short, since HBase stores them with
        every cell.

        Raises
        ------
        UsageError
            The table exists with other groups, or a name is not allowed.
        """

    def tables(self) -> list[str]:
        """Return the names of this lake's tables, sorted."""

    def drop(self, table: str) -> None:
        """Remove `table` and its rows; nothing happens when it does not exist."""

    def get(self, table: str, key: bytes, groups: Sequence[str]) -> Cells | None:
        """Return the cells of one row, or None where there is no row with one of these cells."""

    def get_many(self, table: str, keys: Sequence[bytes], groups: Sequence[str]) -> list[Cells | None]:
        """Return the rows of `keys`, in their order, as `get` does."""

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
        """Yield the rows with `start` <= key < `stop` (None: to the table's end) in key order.

        Rows without any of the `groups` are passed over. With `reverse` the same rows come in descending
        order. A scan survives a restart of its server: it goes on from the last key it gave. It is no
        snapshot: rows are read in batches, each as it is at that moment.
        """

    def scan_many(
        self,
        table: str,
        ranges: Sequence[tuple[bytes, bytes | None]],
        groups: Sequence[str],
        *,
        limit: int | None = None,
    ) -> Iterator[tuple[bytes, Cells]]:
        """Yield the rows of several ranges, which are sorted and apart, in key order; each as `scan` does.

        Cheap where the ranges are many and short: HBase is asked once for hundreds of them.
        """

    def put_many(self, table: str, rows: Iterable[tuple[bytes, Mapping[str, bytes]]]) -> None:
        """Write cells; cells of a row that are not named stay. Durable when it returns.

        The rows of an iterator are written in batches as they come, so memory stays bounded; of two rows
        with the same key the later wins. After an error some of the rows are written.
        """

    def check_and_put(self, table: str, key: bytes, group: str, expected: bytes | None, value: bytes) -> bool:
        """Write one cell if it holds `expected` (None: if it does not exist), atomically; say whether it
        did.

        An empty cell counts as one that does not exist: HBase's check cannot tell them apart. If the
        connection broke while the store was answering, a cell that holds `value` by then is taken as
        written by this call, so writers that race should write values of their own (a token).
        """

    def delete_many(self, table: str, keys: Sequence[bytes]) -> None:
        """Remove whole rows; keys without a row are passed over."""

    def close(self) -> None:
        """Let go of every connection and file; calls made afterwards raise `UsageError`."""
