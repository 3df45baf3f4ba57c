"""One type for columns that different years wrote differently.

Rows of several schemas are unified by name:

- integers widen to the larger, float and double to double, an integer below 64 bits and a float to double;
- a 64-bit integer and a float have no common type that keeps both an id's last digit and a fraction. If the
  integer column says it is exact (field metadata ``exact``, which `sodalake.lake.flatten` sets on columns that
  the survey declares ``long``), it stays int64, and a float joins it where it is a whole number that doubles
  tell apart, else as null. Otherwise both become text, which loses nothing;
- whatever else does not fit together (text and number, time and number) becomes text;
- a column which a row's schema does not have is null.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["EXACT", "cast", "is_exact", "unify", "widened"]

EXACT = b"exact"
"""Key of the field metadata of an integer column whose every digit counts."""


def unify(schemas: Iterable[pa.Schema], columns: Sequence[str] | None = None) -> pa.Schema:
    """Return the schema that rows of all these schemas have together.

    Parameters
    ----------
    schemas
        Flat schemas.
    columns
        Names wanted, in the order wanted; None: all, in the order of the first schema that has each. A name no
        schema has becomes a column of type null.
    """
    fields: dict[str, pa.Field] = {}
    for schema in schemas:
        for field in schema:
            known = fields.get(field.name)
            fields[field.name] = field if known is None else _common(known, field)
    if columns is None:
        return pa.schema(list(fields.values()))
    return pa.schema([fields.get(name, pa.field(name, pa.null())) for name in columns])


def is_exact(field: pa.Field) -> bool:
    """Whether every digit of an integer column counts (field metadata `EXACT`)."""
    return field.metadata is not None and EXACT in field.metadata


def widened(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return a table as the unified schema of it and others (same names, same order) has it."""
    arrays = [cast(column, field.type) for column, field in zip(table.columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def cast(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """Return a column as the type that it and others have together: what `widened` does to each."""
    if column.type == kind:
        return column
    if pa.types.is_floating(column.type) and pa.types.is_integer(kind):
        # an exact column: whole numbers which a double tells apart; the rest is null, not rounded
        double = column.cast(pa.float64())
        whole = pc.and_(pc.equal(pc.floor(double), double), pc.less_equal(pc.abs(double), 2.0**53))
        return pc.if_else(whole, double, pa.scalar(None, pa.float64())).cast(kind)
    return column.cast(kind, safe=False)


def _common(one: pa.Field, two: pa.Field) -> pa.Field:
    """The field that holds the values of both."""
    if one.type == two.type:
        return one if is_exact(one) or not is_exact(two) else two
    kinds = {one.type, two.type}
    if pa.null() in kinds:
        return two if pa.types.is_null(one.type) else one
    integers = [field for field in (one, two) if pa.types.is_integer(field.type)]
    floats = [field for field in (one, two) if pa.types.is_floating(field.type)]
    if len(floats) == 2:
        return pa.field(one.name, pa.float64())
    if len(integers) == 2:
        return _common_integer(one, two)
    if integers and floats:
        if is_exact(integers[0]):
            return integers[0].with_type(pa.int64())
        if integers[0].type.bit_width < 64:
            return pa.field(one.name, pa.float64())
    if all(pa.types.is_timestamp(kind) for kind in kinds):
        return pa.field(one.name, pa.timestamp("us"))
    if pa.types.is_boolean(one.type) and integers:
        return two
    if pa.types.is_boolean(two.type) and integers:
        return one
    return pa.field(one.name, pa.string())


def _common_integer(one: pa.Field, two: pa.Field) -> pa.Field:
    exact = {EXACT: b"1"} if is_exact(one) or is_exact(two) else None
    signed = pa.types.is_signed_integer(one.type), pa.types.is_signed_integer(two.type)
    if signed[0] == signed[1]:
        wider = one if one.type.bit_width >= two.type.bit_width else two
        return pa.field(one.name, wider.type, metadata=exact)
    unsigned = two if signed[0] else one
    kind = pa.string() if unsigned.type.bit_width == 64 else pa.int64()
    return pa.field(one.name, kind, metadata=exact if kind == pa.int64() else None)
