"""The one flat schema of a survey's rows, and rows of any year cast to it.

Whether rows come from the row store or from the archive's files, they are cast here, from the type they were written
with straight to the survey's one type: by way of a third type, numbers would become other texts. A NaN is a null.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Final
from weakref import WeakKeyDictionary

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .catalogue import Catalogue
from .epochrows import schema_numbers
from .lake import Lake
from .packing import Packing, unified_schema, unpack
from .survey import Survey
from .widening import cast

__all__ = ["conformed", "covering_schema", "flat_schema", "of_names", "unpacked", "without_nan"]

_FLOATS: Final[Mapping[pa.DataType, np.dtype[Any]]] = {
    pa.float16(): np.dtype("f2"),
    pa.float32(): np.dtype("f4"),
    pa.float64(): np.dtype("f8"),
}
_FEW: Final = 32  # values that Python looks at sooner than numpy does

_known: WeakKeyDictionary[Catalogue, tuple[int, Survey, pa.Schema]] = WeakKeyDictionary()
_lock = threading.Lock()


def flat_schema(lake: Lake, survey: Survey) -> pa.Schema:
    """Return the flat columns of all of a survey's rows, with the types that hold every year's values.

    First the columns that the survey lists, in its order, then the others. A column that is null in all files is of
    type null. Read again only when the survey's files have changed.
    """
    catalogue = lake.catalogue(survey.name)
    generation = catalogue.view().generation
    held = _known.get(catalogue)
    if held is not None and held[:2] == (generation, survey):
        return held[2]
    # No schema has the number 0: asking for it reads those that other processes have added.
    both = unified_schema(packing for _, packing in sorted(catalogue.packings([0]).items()))
    listed = [column.name for column in survey.columns if column.name in both.names]
    others = sorted(set(both.names).difference(listed), key=both.names.index)
    schema = pa.schema([both.field(name) for name in (*listed, *others)])
    with _lock:
        _known[catalogue] = generation, survey, schema
    return schema


def covering_schema(lake: Lake, survey: Survey) -> pa.Schema:
    """Return the columns that index tables have of an alert, as `flat_schema` has them."""
    flat = flat_schema(lake, survey)
    return pa.schema([flat.field(name) for name in survey.covering_names if name in flat.names])


def of_names(schema: pa.Schema, names: Sequence[str]) -> pa.Schema:
    """Return the fields of some names, in their order; a name that the schema lacks is of type null."""
    there = {field.name: field for field in schema}
    return pa.schema([there.get(name) or pa.field(name, pa.null()) for name in names])


def conformed(table: pa.Table, schema: pa.Schema, *, dictionaries: bool = False) -> pa.Table:
    """Return the columns of a schema, cast to it; those that the table lacks are null, as is every NaN.

    Parameters
    ----------
    dictionaries
        Leave texts that are dictionaries as they are.
    """
    if not len(schema):
        return table.select([])
    at = {name: position for position, name in enumerate(table.column_names)}
    arrays, fields = [], []
    for field in schema:
        position = at.get(field.name)
        if position is None:
            array = pa.chunked_array([pa.nulls(table.num_rows, field.type)])
        else:
            array = without_nan(table.column(position))
        if pa.types.is_dictionary(array.type) and not (dictionaries and pa.types.is_string(field.type)):
            array = array.cast(array.type.value_type)
        if not pa.types.is_dictionary(array.type):
            array = cast(array, field.type)
        arrays.append(array)
        fields.append(field if array.type == field.type else field.with_type(array.type))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def without_nan(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column with nulls for NaNs; one that has none as it is, after a look at its sum."""
    kind = _FLOATS.get(column.type)
    if kind is None or not any(_may_have_nan(chunk, kind) for chunk in column.chunks):
        return column
    return pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)


def _may_have_nan(chunk: pa.Array, kind: np.dtype[Any]) -> bool:
    if not len(chunk):
        return False
    values = np.frombuffer(chunk.buffers()[1], kind, len(chunk), chunk.offset * kind.itemsize)
    if len(values) <= _FEW:
        return any(map(math.isnan, values.tolist()))
    with np.errstate(all="ignore"):
        return bool(np.isnan(np.add.reduce(values)))


def unpacked(
    cells: Sequence[bytes],
    packings: Mapping[int, Packing],
    schema: pa.Schema,
    *,
    skip: int,
) -> pa.Table:
    """Return the columns of a schema of N packed rows, of whatever packings.

    Parameters
    ----------
    skip
        Bytes in front of each cell that are not the packed row's.

    Raises
    ------
    Damaged
        As `sodalake.lake.packing.unpack`.
    """
    if not cells:
        return schema.empty_table()
    if not len(schema):
        return pa.table({"": pa.nulls(len(cells))}).select([])
    numbers = schema_numbers(cells, skip)
    used = np.unique(numbers).tolist()
    if len(used) < 2:
        return conformed(unpack(cells, packings, schema.names, skip=skip), schema)
    parts, order = [], []
    for number in used:
        members = np.flatnonzero(numbers == number)
        part = unpack([cells[row] for row in members.tolist()], packings, schema.names, skip=skip)
        parts.append(conformed(part, schema))
        order.append(members)
    back = np.argsort(np.concatenate(order), kind="stable")
    return pa.concat_tables(parts).take(pa.array(back))
