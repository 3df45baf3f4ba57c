"""Batches of any size become batches of a good size: what is formatted at once stays near the cache.

200 000 rows of 30 columns as BINARY2: 65 536 rows at once take 1.2 times as long as 4369 rows, and 256 rows 2.3 times.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa

from sodalake.tap.metadata import Column, arrow_schema

__all__ = ["rows_at_once", "slices"]

_VALUES_AT_ONCE = 1 << 17  # about 1 MB of numbers
_MOST_ROWS = 1 << 15


def rows_at_once(columns: Sequence[Column]) -> int:
    """Return how many rows of these columns are best formatted at once."""
    return max(256, min(_MOST_ROWS, _VALUES_AT_ONCE // len(columns)))


def slices(
    columns: tuple[Column, ...], batches: Iterable[pa.RecordBatch], rows: int
) -> Iterator[pa.RecordBatch]:
    """Cut and join batches to `rows` rows each, and to the types that the columns promise.

    The first comes as soon as there is one, however small; empty batches vanish.
    """
    schema, types = _schema(columns)
    waiting: list[pa.RecordBatch] = []
    held, wanted = 0, 1
    for batch in batches:
        if not batch.num_rows:
            continue
        waiting.append(batch if batch.schema.types == types else _promised(batch, schema))
        held += batch.num_rows
        if held >= wanted:
            yield from _cut(waiting, rows)
            waiting, held, wanted = [], 0, rows
    if held:
        yield from _cut(waiting, rows)


@functools.lru_cache(maxsize=256)
def _schema(columns: tuple[Column, ...]) -> tuple[pa.Schema, list[pa.DataType]]:
    schema = arrow_schema(columns)
    return schema, schema.types


def _cut(waiting: list[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    whole = waiting[0] if len(waiting) == 1 else pa.concat_batches(waiting)
    if whole.num_rows <= rows:
        yield whole
        return
    for start in range(0, whole.num_rows, rows):
        yield whole.slice(start, rows)


def _promised(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Large strings, string views and fixed-size lists become what `metadata` says."""
    return pa.RecordBatch.from_arrays(
        [array.cast(field.type) for array, field in zip(batch.columns, schema, strict=True)], schema=schema
    )
