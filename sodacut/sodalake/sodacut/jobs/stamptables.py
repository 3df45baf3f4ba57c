"""Tables of stamps: parts that are Arrow messages, the stream they make, and Parquet.

A part holds record batch messages and nothing else, so that the schema's message, all parts one behind the other and
the end-of-stream mark are an Arrow IPC stream (Arrow columnar format, *IPC streaming format*). Rows stand in the
order of the archive; ``row`` and ``id`` say whose they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sodalake.lake.files import OpenFile, SourceFile
from sodalake.lake.results import ResultFolder
from sodalake.sodacut.errors import Cancelled
from sodalake.sodacut.jobs.reports import UnitReport
from sodalake.sodacut.jobs.zips import Pieces, Range
from sodalake.sodacut.products import ARROW_STREAM
from sodalake.sodacut.tables import END_OF_STREAM, stamp_schema

__all__ = ["PARQUET", "arrow_pieces", "table_schema", "write_parquet"]

PARQUET = "application/vnd.apache.parquet"

_GROUP = 32 * 1024 * 1024
"""Bytes of pixels in a row group of Parquet: bounds what is held while it is written."""


def table_schema(*, fits: bool = False) -> Any:
    """The columns of a job's table: the user's id and row, then those of `tables.stamp_schema`."""
    own = [
        pa.field("id", pa.string(), nullable=False, metadata={"description": "the user's own id"}),
        pa.field(
            "row", pa.int64(), nullable=False, metadata={"description": "row in the user's list, from 1"}
        ),
    ]
    return pa.schema([*own, *stamp_schema(fits=fits)])


def table_message(batch: Any, rows: Sequence[int], ids: Sequence[str], each: int) -> Any:
    """Return the message of a batch of stamps (`tables.stamp_batch`), `each` rows a target, with whose they are."""
    columns = [
        pa.array([target for target in ids for _ in range(each)], pa.string()),
        pa.array(np.repeat(np.array(rows, np.int64), each)),
        *batch.columns,
    ]
    schema = table_schema(fits="fits" in batch.schema.names)
    return pa.record_batch(columns, schema=schema).serialize()


def arrow_pieces(reports: Iterable[UnitReport], *, fits: bool = False) -> Pieces:
    """Return the Arrow IPC stream of all parts of a job, in the order of its units' reports."""
    schema = table_schema(fits=fits).serialize().to_pybytes()
    parts = [Range(report.part, 0, report.length) for report in reports if report.length]
    return Pieces([schema, *parts, END_OF_STREAM], ARROW_STREAM)


def write_parquet(
    results: ResultFolder,
    parts: Sequence[str],
    name: str,
    *,
    fits: bool = False,
    cancelled: Callable[[], bool] = lambda: False,
) -> int:
    """Write the table of all parts as one Parquet file; blocking, for a worker.

    Pixels are split by byte and compressed with zstd; a row group holds about 32 MB of them, which is what is held.

    Parameters
    ----------
    parts
        Names of the parts, in order.
    name
        The object to write.

    Returns
    -------
    int
        Its bytes.

    Raises
    ------
    Cancelled
        The work was called off; nothing was written.
    FileGone, Unavailable
        A part is not there, or the file system does not answer.
    """
    schema = table_schema(fits=fits)

    def content(sink: BinaryIO) -> None:
        with pq.ParquetWriter(
            sink,
            schema,
            compression="zstd",
            compression_level=1,
            use_dictionary=["kind"],
            column_encoding={"pixels.list.item": "BYTE_STREAM_SPLIT"},
            write_statistics=["id", "row", "alert_id", "object_id", "time"],
        ) as writer:
            for table in _groups(results, parts, schema, cancelled):
                writer.write_table(table, row_group_size=max(1, table.num_rows))

    return results.write(name, content)


def _groups(
    results: ResultFolder, parts: Sequence[str], schema: Any, cancelled: Callable[[], bool]
) -> Iterator[Any]:
    """Yield the batches of all parts as tables of about `_GROUP` bytes."""
    held: list[Any] = []
    size = 0
    for part in parts:
        source = results.open(part)
        try:
            for batch in _batches(source, schema):
                if cancelled():
                    raise Cancelled
                held.append(batch)
                size += batch.nbytes
                if size >= _GROUP:
                    yield pa.Table.from_batches(held, schema)
                    held, size = [], 0
        finally:
            source.close()
    if held:
        yield pa.Table.from_batches(held, schema)


def _batches(source: OpenFile, schema: Any) -> Iterator[Any]:
    """Yield the record batches of a part."""
    # Buffered: a message begins with eight bytes that would be a read of their own.
    with pa.BufferedInputStream(pa.PythonFile(SourceFile(source), "r"), 1 << 20) as stream:
        while True:
            try:
                message = pa.ipc.read_message(stream)
            except EOFError:  # behind the last message; a message cut short is an OSError
                return
            yield pa.ipc.read_record_batch(message, schema)
