"""From the lake's columns to those of a published table: the types of `sodalake.tap.metadata`."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from sodalake.tap.metadata import Column, Table, arrow_type

__all__ = ["columns_of", "conformed"]


def columns_of(table: Table, names: Sequence[str]) -> list[Column]:
    """Return the columns of these names, in their order."""
    by_name = {column.name: column for column in table.columns}
    return [by_name[name] for name in names]


def conformed(table: pa.Table, columns: Sequence[Column]) -> pa.Table:
    """Return the columns of these names, each of its published type; texts may stay dictionaries.

    A column that `table` lacks, which no file has any more, is null.
    """
    arrays = []
    for column in columns:
        kind = arrow_type(column)
        at = table.schema.get_field_index(column.name)
        array = table.column(at) if at >= 0 else pa.chunked_array([pa.nulls(table.num_rows, kind)])
        if array.type != kind and not (pa.types.is_dictionary(array.type) and array.type.value_type == kind):
            array = _cast(array, kind)
        arrays.append(array)
    return pa.Table.from_arrays(arrays, names=[column.name for column in columns])


def _cast(array: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    if pa.types.is_boolean(array.type) and pa.types.is_integer(kind):
        return array.cast(pa.int8()).cast(kind)
    if pa.types.is_dictionary(array.type):
        array = pc.dictionary_decode(array)
    return array.cast(kind, safe=False)
