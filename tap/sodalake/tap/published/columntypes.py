"""VOTable types of the lake's flat columns, by the table in `sodalake.tap.metadata`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import pyarrow as pa

from sodalake.lake.survey import Datatype

__all__ = ["ColumnType", "type_of", "type_of_declared"]


class ColumnType(NamedTuple):
    """VOTable's triple."""

    datatype: str
    arraysize: str = ""
    xtype: str = ""


_TEXT: Final = ColumnType("char", "*")
_TIMESTAMP: Final = ColumnType("char", "*", "timestamp")

# What ADQL has no name for becomes the next wider type that it has: 64 unsigned bits are text, which loses no digit.
_TYPES: Final[Mapping[pa.DataType, ColumnType]] = {
    pa.bool_(): ColumnType("short"),
    pa.int8(): ColumnType("short"),
    pa.uint8(): ColumnType("short"),
    pa.int16(): ColumnType("short"),
    pa.uint16(): ColumnType("int"),
    pa.int32(): ColumnType("int"),
    pa.uint32(): ColumnType("long"),
    pa.int64(): ColumnType("long"),
    pa.float32(): ColumnType("float"),
    pa.float64(): ColumnType("double"),
}
_DECLARED: Final[Mapping[Datatype, ColumnType]] = {
    "long": ColumnType("long"),
    "int": ColumnType("int"),
    "double": ColumnType("double"),
    "float": ColumnType("float"),
    "boolean": ColumnType("short"),
    "char": _TEXT,
    "timestamp": _TIMESTAMP,
}


def type_of(kind: pa.DataType, declared: Datatype | None = None) -> ColumnType:
    """Return the type of a flat column.

    Parameters
    ----------
    kind
        Its Arrow type in the lake's rows.
    declared
        What the survey file says; it counts where the lake has nothing but nulls.
    """
    if pa.types.is_null(kind):
        return type_of_declared(declared or "char")
    if pa.types.is_temporal(kind) and not pa.types.is_time(kind):
        return _TIMESTAMP
    return _TYPES.get(kind, _TEXT)


def type_of_declared(declared: Datatype) -> ColumnType:
    """Return the type that a survey file names."""
    return _DECLARED[declared]
