"""Rows in HBase, through its Thrift2 gateway.

A column group is a column family with one cell, whose qualifier is empty: what HBase costs goes by the
cell, not by the byte (a row of 30 cells takes six times as long as one of 3). The tables of a store share a
name prefix, ``PREFIX.TABLE``, so that many lakes live on one HBase.

A scan asks for one batch after the other, each with one stateless call (`getScannerResults`) that begins
after the last key. A scanner kept open in the gateway would be lost when that restarts, and is no faster:
see `_FIRST_BATCH`. Many short ranges are one call a region, with a filter (`ranges`): a call costs as much as
fifty rows do.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..errors import LakeError, NotInLake, Unavailable, UsageError
from .gateway import ThriftServer, interface
from .limits import check_cells, check_groups, check_key, check_table, no_group, no_table
from .protocol import Cells
from .ranges import Range, after, all_within, of_regions, range_filter

__all__ = ["HBaseRows"]

_FIRST_BATCH = 100  # rows: an object's whole light curve comes with the first call
_ASKED_BATCH = 1000  # where the caller said how many it wants
_LARGEST_BATCH = 4096
_BATCH_BYTES = 1 << 20  # what a scan's batch, a get_many and a put_many aim at
_GET_ROWS = 1000
_PUT_ROWS = 1000
_QUALIFIER = b""
_REGIONS_KEPT = 60.0  # seconds that a table's regions are believed; old ones cost time, no rows
_TICK = 0.002  # s; a removal hides whatever is put in the same millisecond (38 of 400 rows when tried)

_COMPRESSIONS = ("none", "snappy", "lz4", "zstd", "gz")


class HBaseRows:
    """A row store on HBase. See `RowStore`.

    Parameters
    ----------
    host, port
        Where the Thrift2 gateway listens.
    prefix
        What the names of this store's tables begin with, before a dot.
    patience
        Seconds for which a call is tried again while the gateway or a region is away.
    timeout
        Seconds after which one try is given up as hanging.
    compression
        Codec of new tables on disk: none, snappy, lz4, zstd or gz. The region servers must have it.
    """

    parallel = 8  # what the gateway of one HBase answers well

    def __init__(
        self,
        host: str,
        port: int,
        prefix: str,
        *,
        patience: float = 60.0,
        timeout: float = 30.0,
        compression: str = "none",
    ) -> None:
        if compression not in _COMPRESSIONS:
            raise UsageError(
                f"HBase has no compression {compression!r}.", f"One of: {', '.join(_COMPRESSIONS)}."
            )
        self._settings = {"patience": patience, "timeout": timeout, "compression": compression}
        self._place = (host, port, prefix)
        self._prefix = f"{prefix}."
        self._compression = compression
        self._server = ThriftServer(host, port, patience=patience, timeout=timeout)
        self._columns: dict[tuple[str, ...], tuple[tuple[bytes, ...], list[Any]]] = {}
        self._regions: dict[str, tuple[float, list[bytes]]] = {}
        self._filters = True  # until the gateway is found to pass over them

    def __reduce__(self) -> tuple[Callable[..., HBaseRows], tuple[Any, ...]]:
        return _reopen, (self._place, self._settings)

    def __repr__(self) -> str:
        return f"HBaseRows('hbase://{self._server}/{self._place[2]}')"

    # ------------------------------------------------------------------ tables

    def create(self, table: str, groups: Sequence[str], *, splits: Sequence[bytes] = ()) -> None:
        """Make a table; see `RowStore.create`."""
        check_table(table)
        check_groups(groups)
        name = interface.TTableName(qualifier=self._name(table))
        if not self._server.call("tableExists", name):
            families = [
                interface.TColumnFamilyDescriptor(
                    name=group.encode(),
                    maxVersions=1,
                    bloomnFilterType=interface.TBloomFilterType.ROW,
                    dataBlockEncoding=interface.TDataBlockEncoding.FAST_DIFF,
                    compressionType=getattr(interface.TCompressionAlgorithm, self._compression.upper()),
                )
                for group in groups
            ]
            description = interface.TTableDescriptor(tableName=name, columns=families)
            try:
                self._server.call("createTable", description, sorted(set(splits)) or None)
            except Unavailable:
                # Made by somebody else meanwhile, or by a try whose answer was lost.
                if not self._server.call("tableExists", name):
                    raise
        there = self._server.call("getTableDescriptor", name)
        names = {family.name.decode() for family in there.columns}
        if names != set(groups):
            raise UsageError(
                f"The table {table!r} exists with the groups {sorted(names)}, not {sorted(groups)}.",
                "Drop it, or use those groups.",
            )

    def tables(self) -> list[str]:
        """Return the names of the tables; see `RowStore.tables`."""
        pattern = "".join("[.]" if letter == "." else letter for letter in self._prefix) + ".*"
        found = self._server.call("getTableNamesByPattern", pattern, False)
        return sorted(name.qualifier.decode().removeprefix(self._prefix) for name in found)

    def drop(self, table: str) -> None:
        """Remove a table; see `RowStore.drop`."""
        check_table(table)
        name = interface.TTableName(qualifier=self._name(table))
        # A step fails when somebody else took it meanwhile, or when it was taken and its answer lost.
        try:
            if not self._server.call("isTableDisabled", name):
                self._server.call("disableTable", name)
        except NotInLake:
            return
        except Unavailable:
            if self._server.call("tableExists", name) and not self._server.call("isTableDisabled", name):
                raise
        try:
            self._server.call("deleteTable", name)
        except NotInLake:
            return
        except Unavailable:
            if self._server.call("tableExists", name):
                raise

    # ------------------------------------------------------------------ reading

    def get(self, table: str, key: bytes, groups: Sequence[str]) -> Cells | None:
        """Return one row; see `RowStore.get`."""
        check_key(key)
        families, columns = self._families(groups)
        result = self._call(table, groups, "get", interface.TGet(row=key, columns=columns))
        return _cells(result, families)

    def get_many(self, table: str, keys: Sequence[bytes], groups: Sequence[str]) -> list[Cells | None]:
        """Return many rows, a call a thousand; see `RowStore.get_many`."""
        families, columns = self._families(groups)
        for key in keys:
            check_key(key)
        rows: list[Cells | None] = []
        for first in range(0, len(keys), _GET_ROWS):
            gets = [interface.TGet(row=key, columns=columns) for key in keys[first : first + _GET_ROWS]]
            rows.extend(_cells(result, families) for result in self._call(table, groups, "getMultiple", gets))
        return rows

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
        families, columns = self._families(groups)
        left = limit
        batch = _FIRST_BATCH if limit is None else _ASKED_BATCH
        while (left is None or left > 0) and (stop is None or start < stop):
            wanted = batch if left is None else min(batch, left)
            # A reversed scan begins at the key it is given; ours begins before it, so that row is one too
            # many.
            asked = wanted + (reverse and stop is not None)
            scan = interface.TScan(
                startRow=(stop or b"") if reverse else start,
                stopRow=_before(start) if reverse else (stop or b""),
                columns=columns,
                caching=asked,
                limit=asked,
                reversed=reverse,
            )
            results = self._call(table, groups, "getScannerResults", scan, asked)
            size = given = 0
            last = b""
            for result in results:
                last = result.row
                if reverse and (last == stop or last < start):
                    continue
                cells = _cells(result, families)
                assert cells is not None
                size += sum(len(cell) for cell in cells if cell is not None)
                given += 1
                if given > wanted:
                    break
                yield last, cells
            if len(results) < asked or (reverse and last < start):
                return
            if left is not None:
                left -= min(given, wanted)
            if reverse:
                stop = last
            else:
                start = last + b"\0"
            batch = max(1, min(_LARGEST_BATCH, 4 * batch, given * _BATCH_BYTES // max(size, 1)))

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
        ranges = [one for one in ranges if one[1] is None or one[0] < one[1]]  # HBase refuses an empty one
        shares = of_regions(ranges, self._begins(table) if len(ranges) > 1 else ())
        every = itertools.chain.from_iterable(self._share(table, one, groups, limit) for one in shares)
        yield from itertools.islice(every, limit)

    def _share(
        self, table: str, ranges: Sequence[Range], groups: Sequence[str], limit: int | None
    ) -> Iterator[tuple[bytes, Cells]]:
        """Yield ranges of one region, by a filter."""
        families, columns = self._families(groups)
        batch = _FIRST_BATCH if limit is None else min(limit, _ASKED_BATCH)
        while len(ranges) > 1 and self._filters:
            scan = interface.TScan(
                startRow=ranges[0][0],
                stopRow=ranges[-1][1] or b"",
                columns=columns,
                caching=batch,
                limit=batch,
                filterBytes=range_filter(ranges),
            )
            results = self._call(table, groups, "getScannerResults", scan, batch)
            if not all_within([result.row for result in results], ranges):
                self._filters = False
                break
            size = 0
            for result in results:
                cells = _cells(result, families)
                assert cells is not None
                size += sum(len(cell) for cell in cells if cell is not None)
                yield result.row, cells
            if len(results) < batch:
                return
            ranges = after(ranges, results[-1].row)
            batch = max(1, min(_LARGEST_BATCH, 4 * batch, batch * _BATCH_BYTES // max(size, 1)))
        for one in ranges:
            yield from self.scan(table, *one, groups, limit=limit)

    def _begins(self, table: str) -> list[bytes]:
        """Return the first keys of a table's regions, but for the first one's."""
        now = time.monotonic()
        known = self._regions.get(table)
        if known is None or now - known[0] > _REGIONS_KEPT:
            there = self._call(table, (), "getAllRegionLocations")
            begins = sorted(one.regionInfo.startKey for one in there if one.regionInfo.startKey)
            self._regions[table] = known = now, begins
        return known[1]

    # ------------------------------------------------------------------ writing

    def put_many(self, table: str, rows: Iterable[tuple[bytes, Mapping[str, bytes]]]) -> None:
        """Write cells in batches; see `RowStore.put_many`."""
        check_table(table)
        batch: dict[bytes, dict[str, bytes]] = {}
        size = 0
        for key, cells in rows:
            size += check_cells(key, cells)
            # Puts of one batch have one timestamp and no order, so a key comes once.
            if key in batch:
                batch[key].update(cells)
            elif cells:
                batch[key] = dict(cells)
            if len(batch) >= _PUT_ROWS or size >= _BATCH_BYTES:
                self._put(table, batch)
                batch, size = {}, 0
        if batch:
            self._put(table, batch)

    def _put(self, table: str, batch: Mapping[bytes, Mapping[str, bytes]]) -> None:
        put, value = interface.TPut, interface.TColumnValue
        puts = [
            put(key, [value(group.encode(), _QUALIFIER, cell) for group, cell in cells.items()])
            for key, cells in batch.items()
        ]
        groups = sorted({group for cells in batch.values() for group in cells})
        self._call(table, groups, "putMultiple", puts)

    def check_and_put(self, table: str, key: bytes, group: str, expected: bytes | None, value: bytes) -> bool:
        """Write one cell if it holds what is expected; see `RowStore.check_and_put`."""
        check_cells(key, {group: value})
        check_groups([group])
        family = group.encode()
        put = interface.TPut(key, [interface.TColumnValue(family, _QUALIFIER, value)])
        try:
            done, tries = self._server.call_counting(
                "checkAndPut", self._name(table), key, family, _QUALIFIER, expected or None, put
            )
        except LakeError as error:
            raise _named(error, table, [group]) from error
        if not done and tries > 1:  # the first try may have been carried out, its answer lost
            return self.get(table, key, [group]) == (value,)
        return bool(done)

    def delete_many(self, table: str, keys: Sequence[bytes]) -> None:
        """Remove rows in batches; see `RowStore.delete_many`."""
        for key in keys:
            check_key(key)
        for first in range(0, len(keys), _PUT_ROWS):
            deletes = [interface.TDelete(row=key) for key in keys[first : first + _PUT_ROWS]]
            self._call(table, (), "deleteMultiple", deletes)
        if keys:
            time.sleep(_TICK)

    def close(self) -> None:
        """Close the connections; see `RowStore.close`."""
        self._server.close()

    # ------------------------------------------------------------------ inside

    def _name(self, table: str) -> bytes:
        return f"{self._prefix}{table}".encode()

    def _families(self, groups: Sequence[str]) -> tuple[tuple[bytes, ...], list[Any]]:
        """Return the families of `groups`, and the wire's structures for them, made once."""
        known = self._columns.get(tuple(groups))
        if known is None:
            check_groups(groups)
            families = tuple(group.encode() for group in groups)
            known = families, [interface.TColumn(family=family) for family in families]
            self._columns[tuple(groups)] = known
        return known

    def _call(self, table: str, groups: Sequence[str], method: str, *arguments: Any) -> Any:
        try:
            return self._server.call(method, self._name(table), *arguments)
        except LakeError as error:
            raise _named(error, table, groups) from error


def _reopen(place: tuple[str, int, str], settings: dict[str, Any]) -> HBaseRows:
    return HBaseRows(*place, **settings)


def _named(error: LakeError, table: str, groups: Sequence[str]) -> LakeError:
    """Say an error of the wire with the lake's own names."""
    if isinstance(error, NotInLake):
        return no_table(table)
    if isinstance(error, UsageError) and groups and "group" in error.message:
        missing = next((group for group in groups if f"Column family {group} " in error.message), groups[0])
        return no_group(table, missing)
    return error


def _cells(result: Any, families: tuple[bytes, ...]) -> Cells | None:
    values = result.columnValues
    if not values:
        return None
    found = {value.family: value.value for value in values}
    return tuple([found.get(family) for family in families])


def _before(key: bytes) -> bytes:
    """Return a key before `key`, with few possible keys in between; empty where there is none."""
    if not key:
        return b""
    if key[-1] == 0:
        return key[:-1]
    return key[:-1] + bytes([key[-1] - 1]) + b"\xff" * 8
