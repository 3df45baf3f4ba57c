"""What a row store is: sorted keys, one cell a column group, ranges.

HBase and its embedded twin (LMDB) are two implementations with the same keys and the same ranges; one abstract
test suite runs against both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

__all__ = ["Cells", "RowStore"]

Cells = tuple[bytes | None, ...]
"""The cells of one row, in the order the groups were asked for; None where the row has no such cell."""


@runtime_checkable
class RowStore(Protocol):
    """Tables of rows sorted by key (bytes), each row a few cells, a cell a column group.

    Methods are blocking and may be called from any thread: connections are pooled, one per thread. A broken
    connection is discarded and the call is tried again on a new one before `Unavailable` is raised.
    """

    def create(self, table: str, groups: Sequence[str], *, splits: Sequence[bytes] = ()) -> None:
        """Make `table` with its column `groups`; nothing happens when it exists with those groups.

        `splits` are the keys at which a distributed store starts new regions.
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

        With `reverse` the same rows come in descending order. A scan survives a restart of its server: it goes
        on from the last key it gave.
        """

    def put_many(self, table: str, rows: Iterable[tuple[bytes, Mapping[str, bytes]]]) -> None:
        """Write cells; cells of a row that are not named stay. Durable when it returns."""

    def check_and_put(
        self, table: str, key: bytes, group: str, expected: bytes | None, value: bytes
    ) -> bool:
        """Write one cell if it holds `expected` (None: if it does not exist), atomically; say whether it did."""

    def delete_many(self, table: str, keys: Sequence[bytes]) -> None:
        """Remove whole rows; keys without a row are passed over."""

    def close(self) -> None:
        """Let go of every connection and file."""
