"""Parquet and Arrow: their types become VOTable's, and what VOParquet 1.0 or the fields tell of the columns is kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc
import pyarrow.parquet as pq

from sodalake.tap.errors import FormatError, UploadError
from sodalake.tap.metadata import Column, arrow_type

from .columns import MOST_BYTES, Read, check_rows, shape, without_nan
from .votable import fields_of

__all__ = ["columns_of_arrow", "read_arrow_file", "read_arrow_stream", "read_parquet"]

_CONTENT: Final = b"IVOA.VOTable-Parquet.content"
_TEXT: Final = ("char", "*", "")
_TIME: Final = ("char", "*", "timestamp")
_NUMBERS: Final[Mapping[pa.DataType, str]] = {
    pa.bool_(): "boolean",
    pa.int8(): "short",
    pa.int16(): "short",
    pa.int32(): "int",
    pa.int64(): "long",
    pa.uint8(): "unsignedByte",
    pa.uint16(): "int",
    pa.uint32(): "long",
    pa.float16(): "float",
    pa.float32(): "float",
    pa.float64(): "double",
}


def read_parquet(content: bytes, rows: int) -> Read:
    """Read a Parquet file.

    Raises
    ------
    UploadError
        Broken, too large once inflated, too many rows, or a column of a type that no query knows.
    """
    source = pa.BufferReader(content)
    metadata = pq.read_metadata(source)
    check_rows(metadata.num_rows, rows)
    groups = (metadata.row_group(at).total_byte_size for at in range(metadata.num_row_groups))
    if sum(groups) > MOST_BYTES:
        raise _too_large()
    schema = metadata.schema.to_arrow_schema()
    # A dictionary's text is counted before it is written out for each row: few bytes can say a lot of it
    texts = [field.name for field in schema if pa.types.is_string(field.type)]
    table = pq.ParquetFile(source, read_dictionary=texts).read(use_threads=False)
    table.validate(full=True)
    columns, arrays = columns_of_arrow(table)
    described = (metadata.metadata or {}).get(_CONTENT)
    if described is None:
        return Read(columns, arrays)
    fields, description = fields_of(described)
    return Read(*_as_described(columns, arrays, fields), description)


def read_arrow_stream(content: bytes, rows: int) -> Read:
    """Read a stream of Arrow IPC.

    Raises
    ------
    UploadError
        As `read_parquet`.
    """
    reader = pa.ipc.open_stream(pa.BufferReader(content))
    return _batches(reader, reader.schema, rows)


def read_arrow_file(content: bytes, rows: int) -> Read:
    """Read a file of Arrow IPC (Feather 2).

    Raises
    ------
    UploadError
        As `read_parquet`.
    """
    reader = pa.ipc.open_file(pa.BufferReader(content))
    batches = map(reader.get_batch, range(reader.num_record_batches))
    return _batches(batches, reader.schema, rows)


def columns_of_arrow(table: pa.Table) -> tuple[list[Column], list[pa.ChunkedArray]]:
    """Return VOTable's columns for Arrow's, and their values in the types of `metadata`.

    Raises
    ------
    UploadError
        A column of a type that no query knows.
    """
    columns, arrays = [], []
    for field, array in zip(table.schema, table.columns, strict=True):
        column = _described(field, array)
        arrays.append(_values(column, array))
        columns.append(column)
    return columns, arrays


def _batches(found: Iterable[pa.RecordBatch], schema: pa.Schema, rows: int) -> Read:
    """Stop at the first batch that is too much, rather than when all are there."""
    batches, count, size = [], 0, 0
    for batch in found:
        # Offsets that point nowhere end the process, not the request; those of a batch without rows are not validated
        if not batch.num_rows:
            continue
        batch.validate(full=True)
        count += batch.num_rows
        check_rows(count, rows)
        size += batch.nbytes
        if size > MOST_BYTES:
            raise _too_large()
        batches.append(batch)
    description = (schema.metadata or {}).get(b"description", b"").decode("utf-8", "replace")
    return Read(*columns_of_arrow(pa.Table.from_batches(batches, schema)), description)


def _described(field: pa.Field, array: pa.ChunkedArray) -> Column:
    """Return the column that a field is, with what its metadata says where that fits."""
    known = {
        key: value
        for key in ("datatype", "arraysize", "xtype", "unit", "ucd", "utype", "description")
        if (value := (field.metadata or {}).get(key.encode(), b"").decode("utf-8", "replace"))
    }
    datatype, arraysize, xtype = _type(field.name, field.type, array)
    plain = Column(field.name, datatype, arraysize, xtype)
    about = {key: known.get(key, "") for key in ("unit", "ucd", "utype", "description")}
    plain = replace(plain, **about)
    if "datatype" not in known:
        return plain
    told = replace(
        plain,
        datatype=known["datatype"],
        arraysize=known.get("arraysize", ""),
        xtype=known.get("xtype", ""),
    )
    return told if _same(told, plain) else plain


def _type(name: str, kind: pa.DataType, array: pa.ChunkedArray) -> tuple[str, str, str]:
    """Return datatype, arraysize and xtype for a type of Arrow."""
    types = pa.types
    if types.is_dictionary(kind):
        kind = kind.value_type
    if kind in _NUMBERS:
        return _NUMBERS[kind], "", ""
    if (
        types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_string_view(kind)
        or types.is_null(kind)
    ):
        return _TEXT
    if types.is_timestamp(kind) or types.is_date(kind):
        return _TIME
    if types.is_decimal(kind):
        return "double", "", ""
    if types.is_uint64(kind):
        largest = pc.max(array).as_py()
        return ("long", "", "") if largest is None or largest < 1 << 63 else _TEXT
    if (types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)) and (
        inner := _NUMBERS.get(kind.value_type)
    ):
        return inner, str(kind.list_size) if types.is_fixed_size_list(kind) else "*", ""
    raise UploadError(
        f"Column {name} is {kind}, which cannot be queried.",
        "Leave it out, or send numbers, arrays of numbers, booleans, times or texts.",
    )


def _values(column: Column, array: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = arrow_type(column)
    if pa.types.is_dictionary(array.type):
        size = sum(_length(chunk) for chunk in array.chunks)
        if size > MOST_BYTES:
            raise _too_large()
    if pa.types.is_timestamp(kind):
        # Nanoseconds are cut; who wrote a zone meant UTC
        array = array.cast(pa.timestamp("us", getattr(array.type, "tz", None)), safe=False)
    cast = array.cast(kind)
    if pa.types.is_list(kind) and any(chunk.flatten().null_count for chunk in cast.chunks):
        if not pa.types.is_floating(kind.value_type):
            raise UploadError(
                f"Column {column.name} has arrays with nulls in them.", "Give all numbers a value."
            )
        filled = [_filled(chunk, kind) for chunk in cast.chunks]
        return pa.chunked_array(filled, kind)
    return without_nan(cast)


def _filled(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return lists with NaN for what is null in them."""
    lengths = pc.fill_null(pc.list_value_length(array), 0)
    ends = pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(lengths).cast(pa.int32())])
    values = pc.fill_null(array.flatten(), float("nan"))
    return pa.ListArray.from_arrays(
        ends, values, type=kind, mask=array.is_null() if array.null_count else None
    )


def _length(chunk: pa.DictionaryArray) -> int:
    """Return how many bytes a dictionary's texts are, once written out."""
    if not pa.types.is_string(chunk.type.value_type) and not pa.types.is_large_string(chunk.type.value_type):
        return 8 * len(chunk)
    lengths = pc.binary_length(chunk.dictionary).cast(pa.int64())
    return pc.sum(pc.take(lengths, chunk.indices)).as_py() or 0


def _as_described(
    columns: Sequence[Column], arrays: Sequence[pa.ChunkedArray], fields: Sequence[Column]
) -> tuple[list[Column], list[pa.ChunkedArray]]:
    """Give columns what a VOTable's fields of the same name say, their type too where it is the values'."""
    told = {field.name: field for field in fields}
    found, values = [], []
    for column, array in zip(columns, arrays, strict=True):
        field = told.get(column.name)
        if field is not None and not _same(field, column):
            field = replace(field, datatype=column.datatype, arraysize=column.arraysize, xtype=column.xtype)
        if field is not None and pa.types.is_list(array.type):
            size = shape(field).length
            lengths = pc.unique(pc.drop_null(pc.list_value_length(array))).to_pylist()
            if size is not None and lengths not in ([], [size]):
                field = replace(field, arraysize="*", xtype="")
        found.append(column if field is None else field)
        values.append(array)
    return found, values


def _same(told: Column, plain: Column) -> bool:
    """Say whether what is told of a column's type is true of its values."""
    try:
        shape(told)
        return bool(arrow_type(told) == arrow_type(plain))
    except (UploadError, FormatError, KeyError):
        return False


def _too_large() -> UploadError:
    return UploadError(f"It inflates to more than {MOST_BYTES >> 20} MB.", "Send it in parts.")
