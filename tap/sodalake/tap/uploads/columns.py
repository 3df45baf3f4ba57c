"""What all uploaded tables have in common: named columns, not too many rows, values as `metadata` says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sodalake.tap.errors import FormatError, UploadError
from sodalake.tap.formats.shapes import Shape, shape_of
from sodalake.tap.metadata import Column, Table, arrow_schema, arrow_type

__all__ = [
    "MOST_BYTES",
    "Read",
    "assembled",
    "check_rows",
    "fitting",
    "listed",
    "masked",
    "shape",
    "without_nan",
]

MOST_BYTES: Final = 256 << 20  # of one table, inflated: what a worker has room for beside its work


@dataclass(frozen=True, slots=True)
class Read:
    """A table as it was read: columns, their values, and what is said of the whole."""

    columns: Sequence[Column]
    arrays: Sequence[pa.Array | pa.ChunkedArray]
    description: str = ""


def assembled(name: str, read: Read) -> tuple[Table, pa.Table]:
    """Make a table of columns and their values.

    Raises
    ------
    UploadError
        No columns, one without a name, or two with the same.
    """
    if not read.columns:
        raise UploadError("It has no columns.", "A table needs at least one.")
    seen: dict[str, str] = {}
    for number, column in enumerate(read.columns, 1):
        if not column.name.strip():
            raise UploadError(f"Column {number} has no name.", "Name every column.")
        # Names that differ by case alone cannot be told apart by what runs the query
        other = seen.get(column.name.lower())
        if other is not None:
            raise UploadError(f"Two columns are named {other} and {column.name}.", "Rename one of them.")
        seen[column.name.lower()] = column.name
    columns = tuple(map(fitting, read.columns, read.arrays))
    table = pa.table(list(read.arrays), schema=arrow_schema(columns))
    return (
        Table("TAP_UPLOAD", name, columns, "upload", description=read.description, rows=table.num_rows),
        table,
    )


def fitting(column: Column, array: pa.Array | pa.ChunkedArray) -> Column:
    """Return the column with an arraysize that all its texts fit into; writers lie about sizes.

    One value has none (VOTable 1.3, erratum 3).
    """
    if column.arraysize == "1":
        column = replace(column, arraysize="")
    if not pa.types.is_string(array.type) or column.arraysize.endswith("*"):
        return column
    size = int(column.arraysize or "1")
    if column.datatype == "char":
        longest = pc.max(pc.binary_length(array)).as_py()
    else:
        longest = pc.max(pc.utf8_length(array)).as_py()
    return column if (longest or 0) <= size else replace(column, arraysize="*")


def shape(column: Column) -> Shape:
    """Return what a column's cells are.

    Raises
    ------
    UploadError
        It is of a type that no query knows.
    """
    try:
        found = shape_of(column)
    except FormatError as error:
        of = f"{column.datatype}[{column.arraysize}]" if column.arraysize else column.datatype
        raise UploadError(
            f"Column {column.name} is {of}, which cannot be queried.",
            "Leave it out, or send numbers, arrays of numbers, booleans or texts.",
        ) from error
    arrow_type(column)
    return found


def check_rows(count: int, rows: int) -> None:
    """Refuse more rows than may be.

    Raises
    ------
    UploadError
        There are.
    """
    if count > rows:
        raise UploadError(
            f"It has more than {rows} rows, which is what this service takes.",
            "Send it in parts, or only the columns and rows that the query needs.",
        )


def masked(values: npt.NDArray[Any], nulls: npt.NDArray[np.bool_] | None, kind: pa.DataType) -> pa.Array:
    """Return numbers as Arrow has them, in this machine's byte order; NaN is null."""
    native = np.ascontiguousarray(values.astype(values.dtype.newbyteorder("="), copy=False))
    if native.dtype.kind == "f":
        missing = np.isnan(native)
        nulls = missing if nulls is None else nulls | missing
    return pa.array(native, kind, mask=nulls if nulls is not None and nulls.any() else None)


def without_nan(array: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Make nulls of NaN: to a query, NaN would be larger than all numbers."""
    if not pa.types.is_floating(array.type):
        return array
    missing = pc.is_nan(array)
    if not pc.any(missing).as_py():
        return array
    return pc.if_else(missing, pa.scalar(None, array.type), array)


def listed(
    column: Column, values: pa.Array, lengths: npt.NDArray[Any], nulls: npt.NDArray[np.bool_] | None
) -> pa.Array:
    """Return arrays of numbers: `values` one after the other, `lengths` of them in each cell.

    A cell of fixed length that is all NaN is a null: what is written for a place that is not known.

    Raises
    ------
    UploadError
        A cell of another length than the column's.
    """
    size = shape(column).length
    there = np.ones(len(lengths), np.bool_) if nulls is None else ~nulls
    if size is not None:
        wrong = np.flatnonzero(there & (lengths != size))
        if len(wrong):
            raise UploadError(
                f"Column {column.name} should have {size} numbers in each cell, "
                f"and has {int(lengths[wrong[0]])} in row {int(wrong[0]) + 1}."
            )
        if pa.types.is_floating(values.type) and size:
            flat = np.isnan(values.to_numpy(zero_copy_only=False))
            blank = np.zeros(len(lengths), np.bool_)
            blank[lengths > 0] = flat.reshape(len(flat) // size, size).all(axis=1)
            there &= ~blank
    ends = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, out=ends[1:])
    mask = pa.array(~there) if not there.all() else None
    return pa.ListArray.from_arrays(pa.array(ends), values, type=arrow_type(column), mask=mask)
