"""Run a plan: from sources to record batches of the answer.

A query of one table that makes each row of one row (`Plan.rowwise`) is answered batch by batch as these are read:
DuckDB sees the columns that conditions and expressions are about, and the rest is taken by row numbers (130 columns
through DuckDB are 6 ms, taken they are 0.3). Every other query is run once all its tables are there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sodalake.lake.catalogue import FileView
from sodalake.lake.errors import Unavailable
from sodalake.lake.scanning import FIRST, MOST
from sodalake.tap.answers import Ending
from sodalake.tap.metadata import arrow_schema
from sodalake.tap.planning.owncolumns import row_column
from sodalake.tap.planning.plan import ARCHIVE, Plan, Read, Rowwise
from sodalake.tap.published import ObscoreView
from sodalake.tap.questions import Share

from .checking import passing
from .engine import Engine, registered
from .guard import Guard
from .pairs import pairs_of
from .reading import Counted, Rows, too_much_memory

__all__ = ["Run"]

_BATCH = 16_384  # rows of a batch of the answer
_GATHERED = 64 << 20  # bytes of the archive's rows that are reduced together
_PAIRS = 20_000_000  # of a join by place


@dataclass
class Run:
    """One run of a plan.

    Parameters
    ----------
    engine, rows
        Of this process.
    given
        Source → its rows, where they do not come from the lake.
    parts
        Source → what other workers have read and reduced of it.
    most
        Rows to read of the row store for one source.
    memory
        Bytes of all sources together.

    Attributes
    ----------
    counted
        Source → what was read, so far.
    ending
        How the answer ended, once its batches are at their end.
    """

    plan: Plan
    engine: Engine
    rows: Rows
    guard: Guard
    views: Mapping[str, ObscoreView]
    given: Mapping[str, pa.Table]
    parts: Mapping[str, Sequence[pa.Table]]
    most: int | None
    memory: int
    counted: dict[str, Counted] = field(default_factory=dict)
    ending: Ending = field(default_factory=Ending)
    _seen: dict[str, FileView] = field(default_factory=dict)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the answer, at most `Plan.limit` rows of it.

        Raises
        ------
        TooManyRows
            The row store has more rows than `most`; nothing was yielded.
        TooLarge
            The tables do not fit into memory.
        QueryTimeout, QueryCancelled, LakeError
            As they are.
        """
        tables = self._rowwise() if self.plan.rowwise is not None else self._whole()
        left = self.plan.limit
        schema = arrow_schema(list(self.plan.outputs))
        for table in tables:
            if table.num_rows > left:
                self.ending = Ending("OVERFLOW")
                table = table.slice(0, left)
            left -= table.num_rows
            yield from _cast(table, schema).to_batches(_BATCH)
            if self.ending.status == "OVERFLOW":
                return

    # -- row by row

    def _rowwise(self) -> Iterator[pa.Table]:
        (read,) = self.plan.reads
        rowwise = self.plan.rowwise
        assert rowwise is not None
        skip, top = rowwise.offset, self.plan.top
        needed = skip + min(self.plan.limit + 1, top or self.plan.limit + 1)
        made = self._made(read, rowwise, max(FIRST, min(needed, MOST)))
        if not read.scans:
            # From an index there may be too many: nothing is answered before that is known.
            made = iter(list(_until(made, needed)))
        for table in made:
            if skip:
                gone = min(skip, table.num_rows)
                skip -= gone
                table = table.slice(gone)
            if top is not None:
                table = table.slice(0, top)
                top -= table.num_rows
            if table.num_rows:
                yield table
            if top == 0:
                return

    def _made(self, read: Read, rowwise: Rowwise, batch: int) -> Iterator[pa.Table]:
        """Yield what each batch of rows comes to; the row store is asked for `batch` rows at first."""
        names = [column.name for column in self.plan.outputs]
        for table in self._read(read, batch):
            if rowwise.sql is None:
                found = table.select(rowwise.outputs)
            else:
                passes = None if rowwise.checks is None else passing(table, rowwise.checks)
                found = (
                    self._computed(read, rowwise, table) if passes is None else _kept(table, rowwise, passes)
                )
            yield found.rename_columns(names)

    def _computed(self, read: Read, rowwise: Rowwise, table: pa.Table) -> pa.Table:
        """Return the outputs of the rows that DuckDB says are wanted."""
        assert rowwise.sql is not None
        row = row_column(read.table)
        numbered = _numbered(table.select(rowwise.seen), row)
        computed = self.engine.table(rowwise.sql, {read.source: numbered}, self.guard)
        which = computed.column(row)
        every = computed.num_rows == table.num_rows
        arrays = [
            computed.column(f"e{number}")
            if name is None
            else (table.column(name) if every else table.column(name).take(which))
            for number, name in enumerate(rowwise.taken)
        ]
        return pa.Table.from_arrays(arrays, names=[str(number) for number in range(len(arrays))])

    def _read(self, read: Read, batch: int = MOST) -> Iterator[pa.Table]:
        """Yield a source's rows, leg by leg, and count them; what is among the parts is not read again."""
        counted = self.counted.setdefault(read.source, Counted())
        if read.source in self.given:
            counted.path = "given"
            counted.rows = self.given[read.source].num_rows
            yield self.given[read.source].select(read.columns)
            return
        counted.path = ", ".join(sorted({leg.access.path for leg in read.legs}))
        for leg in read.legs:
            if leg.in_files and read.source in self.parts:
                continue
            for table in self.rows.of_leg(
                read, leg, self.guard, self.views, most=self.most, seen=self.seen, batch=batch
            ):
                counted.rows += table.num_rows
                yield table

    # -- all at once

    def _whole(self) -> Iterator[pa.Table]:
        tables: dict[str, pa.Table] = {}
        for read in self.plan.reads:
            tables[read.source] = self._gathered(read, tables)
            if sum(table.nbytes for table in tables.values()) > self.memory:
                raise too_much_memory(sum(table.nbytes for table in tables.values()), self.memory)
        for read in self.plan.reads:
            if read.pairs is not None:
                other = tables[read.pairs.other]
                tables[read.pairs.pairs] = pairs_of(other, tables[read.source], read.pairs, _PAIRS)
        for read in self.plan.reads:
            if read.numbered:
                tables[read.source] = _numbered(tables[read.source], row_column(read.table))
        with self.engine.connection(self.guard) as connection, registered(connection, tables):
            for batch in connection.sql(self.plan.sql).to_arrow_reader(_BATCH):
                yield pa.Table.from_batches([batch])

    def _gathered(self, read: Read, tables: Mapping[str, pa.Table]) -> pa.Table:
        if read.joined is not None and read.joined.other in tables:
            reached = self.rows.reached(read, tables[read.joined.other])
            if reached is not None:
                return _together(list(self._read(reached)), read)
        found: list[pa.Table] = list(self.parts.get(read.source, ()))
        held = sum(part.nbytes for part in found)
        if found:
            self.counted[read.source] = Counted(rows=sum(part.num_rows for part in found))
            if all(leg.in_files for leg in read.legs):
                self.counted[read.source].path = ARCHIVE
                return _together(found, read)
        for table in self._grouped(read):
            found.append(table)
            held += table.nbytes
            if held > self.memory:
                raise too_much_memory(held, self.memory)
        return _together(found, read)

    def _grouped(self, read: Read) -> Iterator[pa.Table]:
        """Yield a source's rows, reduced, in groups."""
        if read.reduction is None or read.source in self.given:
            yield from self._read(read)
            return
        waiting: list[pa.Table] = []
        counted = self.counted.setdefault(read.source, Counted())
        for table in self._read(read):
            waiting.append(table)
            if sum(one.nbytes for one in waiting) > _GATHERED:
                yield self.reduced(read, waiting)
                waiting = []
        if waiting or not counted.rows:
            yield self.reduced(
                read, waiting
            )  # of nothing, too: an aggregate has other columns than the table

    def reduced(self, read: Read, tables: Sequence[pa.Table]) -> pa.Table:
        """Return what a reduction leaves of some rows."""
        assert read.reduction is not None
        return self.engine.table(read.reduction.sql, {read.source: _together(tables, read)}, self.guard)

    def reduced_share(self, share: Share) -> pa.Table:
        """Return what is left of a share of the archive."""
        read = next(read for read in self.plan.reads if read.source == share.source)
        leg = read.legs[share.leg]
        if tuple(map(self.seen(leg.survey).hidden_by, share.files)) != share.hidden_by:
            raise Unavailable(
                "Files of the archive were ingested anew while the query read them.", "Ask again."
            )
        found = self.rows.of_leg(
            read, leg, self.guard, self.views, most=None, seen=self.seen, files=share.files
        )
        return self.reduced(read, list(found))

    def seen(self, survey: str) -> FileView:
        """Return which files of a survey this query sees: as it was when it first looked."""
        if survey not in self._seen:
            self._seen[survey] = self.rows.lake.catalogue(survey).view(fresh=True)
        return self._seen[survey]


def _kept(table: pa.Table, rowwise: Rowwise, passes: npt.NDArray[np.bool_]) -> pa.Table:
    """Return the outputs of the rows that pass."""
    outputs = table.select(rowwise.outputs)
    return outputs if passes.all() else outputs.filter(pa.array(passes))


def _numbered(table: pa.Table, name: str) -> pa.Table:
    return table.append_column(name, pa.array(np.arange(table.num_rows)))


def _together(tables: Sequence[pa.Table], read: Read) -> pa.Table:
    if not tables:
        from .conforming import columns_of

        return arrow_schema(columns_of(read.table, read.columns)).empty_table()
    return tables[0] if len(tables) == 1 else pa.concat_tables(tables, promote_options="permissive")


def _until(tables: Iterator[pa.Table], rows: int) -> Iterator[pa.Table]:
    """Yield tables until they have so many rows together."""
    for table in tables:
        yield table
        rows -= table.num_rows
        if rows <= 0:
            return


def _cast(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return a table of the answer's names and types."""
    if table.schema.equals(schema):
        return table
    arrays = [
        column if column.type == kind.type else _as(column, kind.type)
        for column, kind in zip(table.columns, schema, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def _as(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return column.cast(kind, safe=False)
