"""Avro alerts become Parquet in the lake, so that they have both access paths: rows, and columns.

An Avro file has no index: to reach a stamp, all records before it must be read. Parquet gives each stamp a
place. The writer here makes that place the best one: stamp columns are not compressed (they are gzip, or
noise) and have no dictionary, so a stamp in the file is its own bytes; everything else is zstd.

Types become Arrow's as `sodalake.lake.avrotypes` says.

A file that ends between two blocks is whole as far as Avro knows: it has no count of its records. Any other
cut, and a block whose end mark is not where its length says, is `Damaged`.

Reading streams: a batch of records at a time becomes columns, and a row group is written when its batches
have `ROW_GROUP_BYTES`. Memory is bounded by that, whatever the file's size.
"""

from __future__ import annotations

import contextlib
import io
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Any

import cramjam
import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
from fastavro.schema import SchemaParseException, UnknownType

from sodalake.lake.avrotypes import Prepare, arrow_types
from sodalake.lake.errors import Damaged, UsageError

__all__ = ["ROW_GROUP_BYTES", "Converted", "arrow_schema", "avro_files_to_parquet", "avro_to_parquet"]

ROW_GROUP_BYTES = 64 << 20
"""A row group is closed when it holds this many bytes: some 1 500 ZTF alerts."""

_BATCH_ROWS = 128

# What fastavro, and the codecs below it, raise on bytes that are no Avro. MemoryError: a damaged length.
_DAMAGE = (
    ValueError, EOFError, IndexError, KeyError, TypeError, OverflowError, ArithmeticError, MemoryError,
    StopIteration, RuntimeError, zlib.error, cramjam.DecompressionError, SchemaParseException, UnknownType,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Converted:
    """What `avro_to_parquet` wrote: rows, row groups, and rows of each source in order."""

    rows: int
    row_groups: int
    rows_of: tuple[int, ...]


def arrow_schema(source: IO[bytes], name: str = "Avro file") -> pa.Schema:
    """Return the Arrow schema of an Avro file's records, reading only its header.

    Raises
    ------
    Damaged
        The file does not begin as Avro does.
    UsageError
        Its records are no records, or contain themselves.
    """
    with _buffered(source) as file:
        schema, _ = arrow_types(_open(file, name).writer_schema, name)
    return schema


def avro_to_parquet(
    source: IO[bytes],
    sink: IO[bytes],
    *,
    name: str = "The Avro file",
    row_group_bytes: int = ROW_GROUP_BYTES,
) -> Converted:
    """Write a Parquet file of an Avro file.

    Parameters
    ----------
    source
        Binary file, read from where it stands to its end.
    sink
        Binary file to write to. It is not closed, and holds no Parquet unless this returns: give a
        temporary file, and rename it after.
    name
        What to call the source in messages.
    row_group_bytes
        Size of a row group, before compression.

    Returns
    -------
    Converted
        Rows and row groups written.

    Raises
    ------
    Damaged
        The file is cut off, or its bytes are no Avro; the message says how many records could be read
        before.
    UsageError
        Its records are of a kind Parquet cannot hold.
    """
    return avro_files_to_parquet([(name, source)], sink, row_group_bytes=row_group_bytes)


def avro_files_to_parquet(
    sources: Iterable[tuple[str, IO[bytes]]], sink: IO[bytes], *, row_group_bytes: int = ROW_GROUP_BYTES
) -> Converted:
    """Write one Parquet file of many Avro files of the same schema: a night that came one alert a file.

    Parameters
    ----------
    sources
        Name (for messages) and binary file of each; a generator can open them one at a time.
    sink, row_group_bytes
        As for `avro_to_parquet`.

    Raises
    ------
    Damaged, UsageError
        As `avro_to_parquet`; UsageError too if schemas differ, or there is no source.
    """
    writer: pq.ParquetWriter | None = None
    schema: pa.Schema | None = None
    group: list[pa.RecordBatch] = []
    held = groups = 0
    rows_of: list[int] = []
    try:
        for name, source in sources:
            with _buffered(source) as file:
                reader = _open(file, name)
                found, prepare = arrow_types(reader.writer_schema, name)
                if writer is None or schema is None:
                    schema, writer = found, _writer(sink, found)
                elif not found.equals(schema):
                    raise UsageError(
                        f"{name} has another schema than the files before it.",
                        "Convert it into a file of its own.",
                    )
                rows_of.append(0)
                for batch in _batches(reader, schema, prepare, name):
                    group.append(batch)
                    held += batch.nbytes
                    rows_of[-1] += batch.num_rows
                    if held >= row_group_bytes:
                        groups += _write(writer, group, schema)
                        group, held = [], 0
        if writer is None or schema is None:
            raise UsageError("There is no Avro file to convert.")
        groups += _write(writer, group, schema)
    finally:
        if writer is not None:
            writer.close()
    return Converted(sum(rows_of), groups, tuple(rows_of))


@contextlib.contextmanager
def _buffered(source: IO[bytes]) -> Iterator[IO[bytes]]:
    """A buffer before a raw file: fastavro reads a block's header byte by byte."""
    if not isinstance(source, io.RawIOBase):
        yield source
        return
    buffer = io.BufferedReader(source, 1 << 20)
    try:
        yield buffer
    finally:
        buffer.detach()


def _open(source: IO[bytes], name: str) -> Any:
    try:
        return fastavro.reader(source)
    except _DAMAGE as problem:
        raise Damaged(f"{name} is not an Avro file, or its header is damaged: {problem}.") from problem


def _batches(reader: Any, schema: pa.Schema, prepare: Prepare, name: str) -> Iterator[pa.RecordBatch]:
    """Records as columns, `_BATCH_ROWS` at a time."""
    struct = pa.struct(list(schema))
    done = 0
    for records in _chunks(reader, name):
        if prepare is not None:
            records = [prepare(record) for record in records]
        try:
            array = pa.array(records, struct)
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as problem:
            raise Damaged(
                f"{name} is damaged: one of the records {done + 1} to {done + len(records)} does not fit the "
                f"file's own schema ({problem}).",
                f"{done} records before it could be read.",
            ) from problem
        done += len(records)
        yield pa.RecordBatch.from_struct_array(array)


def _chunks(reader: Any, name: str) -> Iterator[list[Any]]:
    records: list[Any] = []
    done = 0
    iterator = iter(reader)
    while True:
        try:
            record = next(iterator)
        except StopIteration:
            break
        except _DAMAGE as problem:
            raise Damaged(
                f"{name} is cut off or damaged after {done} records ({problem or type(problem).__name__}).",
                f"The {done} records before could be read; fetch the file again.",
            ) from problem
        done += 1
        records.append(record)
        if len(records) == _BATCH_ROWS:
            yield records
            records = []
    if records:
        yield records


def _writer(sink: IO[bytes], schema: pa.Schema) -> pq.ParquetWriter:
    leaves = _parquet_leaves(schema)
    scalars = [path for path, is_binary in leaves if not is_binary]
    return pq.ParquetWriter(
        sink,
        schema,
        compression={path: "NONE" if is_binary else "ZSTD" for path, is_binary in leaves},
        use_dictionary=scalars,
        write_statistics=scalars,
    )


def _parquet_leaves(schema: pa.Schema) -> list[tuple[str, bool]]:
    """Parquet's own paths of a schema's leaves (lists and maps have levels of their own), and which are
    binary."""
    sink = pa.BufferOutputStream()
    pq.write_table(schema.empty_table(), sink)
    leaves = pq.ParquetFile(sink.getvalue()).schema
    columns = [leaves.column(number) for number in range(len(leaves))]
    return [
        (column.path, column.physical_type == "BYTE_ARRAY" and column.logical_type.type == "NONE")
        for column in columns
    ]


def _write(writer: pq.ParquetWriter, group: list[pa.RecordBatch], schema: pa.Schema) -> int:
    """Write one row group; how many were written."""
    if not group:
        return 0
    table = pa.Table.from_batches(group, schema)
    writer.write_table(table, row_group_size=table.num_rows)
    return 1
