"""Nested Arrow columns from flat arrays, in the types a survey's own files have.

The demo takes the schemas from the real files that are shipped with it, and fills the columns it has something
to say about; all others are null. So a demo file differs from a real one in its values only.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["Values", "column", "lists", "schema_of", "struct"]

Values: TypeAlias = Sequence[Any] | npt.NDArray[Any]
"""The values of one column, in Python, numpy or Arrow."""


@functools.cache
def schema_of(example: str, without: tuple[str, ...] = ()) -> pa.Schema:
    """Return the schema of a shipped real file (`example`: its path below ``real/``), less some columns."""
    with resources.files(__package__).joinpath("real", *example.split("/")).open("rb") as file:
        schema = pq.read_schema(file)
    return pa.schema([field.with_metadata(None) for field in schema if field.name not in without])


def column(values: Values | None, kind: pa.DataType, length: int) -> pa.Array:
    """Return `values` as a column of type `kind`; NaN stays NaN, None is null, no values are all null."""
    if values is None:
        return pa.nulls(length, kind)
    if isinstance(values, pa.Array):
        return values if values.type == kind else values.cast(kind)
    if isinstance(values, np.ndarray) and values.dtype.kind in "fiu":
        return pa.array(values).cast(kind)
    return pa.array(values, kind)


def struct(
    kind: pa.StructType,
    values: Mapping[str, Values],
    length: int,
    missing: npt.NDArray[np.bool_] | None = None,
) -> pa.StructArray:
    """Return a struct column whose fields are `values`; fields without values are null.

    Raises
    ------
    KeyError
        A value for a field the type does not have.
    """
    fields = {kind.field(i).name: kind.field(i).type for i in range(kind.num_fields)}
    unknown = set(values) - set(fields)
    if unknown:
        raise KeyError(f"the type has no field {sorted(unknown)}")
    children = [column(values.get(name), type_, length) for name, type_ in fields.items()]
    mask = None if missing is None else pa.array(missing)
    return pa.StructArray.from_arrays(
        children, fields=[kind.field(i) for i in range(kind.num_fields)], mask=mask
    )


def lists(kind: pa.ListType, flat: pa.Array, lengths: Sequence[int]) -> pa.ListArray:
    """Return a column of lists: the first takes `lengths[0]` of `flat`'s values, and so on."""
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    made = pa.ListArray.from_arrays(pa.array(offsets), flat)
    return made.cast(kind) if made.type != kind else made
