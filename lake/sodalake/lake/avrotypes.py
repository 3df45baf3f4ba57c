"""Avro's types as Arrow's.

Avro carries its schema in its header. Types become Arrow's as they stand:

===================================== ===============================================================
Avro                                  Arrow
===================================== ===============================================================
null, boolean, int, long, float,      null, bool, int32, int64, float, double, string
double, string
bytes, fixed                          binary
enum                                  string
record, array, map                    struct, list, map
union of null and one type            that type, nullable
union of several number types         the widest of them; text where a long meets a float, which would
                                      lose its last digits
any other union                       text: strings as they are, the rest as JSON
timestamp-millis, -micros, -nanos     timestamp of that unit, UTC (``local-``: no zone)
date, time-millis, time-micros        date32, time32, time64
decimal, uuid                         decimal, string
===================================== ===============================================================
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa

from sodalake.lake.errors import Damaged, UsageError

__all__ = ["Prepare", "arrow_types"]

_PRIMITIVES: dict[str, pa.DataType] = {
    "null": pa.null(),
    "boolean": pa.bool_(),
    "int": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "bytes": pa.binary(),
    "string": pa.string(),
}
_LOGICAL: dict[tuple[str, str], pa.DataType] = {
    ("long", "timestamp-millis"): pa.timestamp("ms", "UTC"),
    ("long", "timestamp-micros"): pa.timestamp("us", "UTC"),
    ("long", "local-timestamp-millis"): pa.timestamp("ms"),
    ("long", "local-timestamp-micros"): pa.timestamp("us"),
    ("long", "timestamp-nanos"): pa.timestamp("ns", "UTC"),
    ("long", "local-timestamp-nanos"): pa.timestamp("ns"),
    ("int", "date"): pa.date32(),
    ("int", "time-millis"): pa.time32("ms"),
    ("long", "time-micros"): pa.time64("us"),
    ("string", "uuid"): pa.string(),
}
_NUMBERS = {"int", "long", "float", "double"}

Prepare = Callable[[Any], Any] | None
"""What makes a record ready for Arrow; None: it is."""


def arrow_types(parsed: Any, name: str) -> tuple[pa.Schema, Prepare]:
    """Return the Arrow schema of an Avro file's records, and what makes a record ready for it.

    Parameters
    ----------
    parsed
        The file's schema, as fastavro gives it.
    name
        What to call the file in messages.

    Raises
    ------
    UsageError
        Its records are no records, have no fields, or contain themselves.
    Damaged
        The schema names a type that it does not define.
    """
    kind, prepare = _Schema(name).convert(parsed, (), "")
    if not pa.types.is_struct(kind):
        raise UsageError(f"{name} does not hold records, but {kind}.", "Alerts are records.")
    if not kind.num_fields:
        raise UsageError(f"The records of {name} have no fields.", "Was its schema damaged?")
    return pa.schema(list(kind)), prepare


class _Schema:
    """Turns an Avro schema into an Arrow type, and a function that prepares a record for it (None: as it
    is)."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._named: dict[str, Any] = {}

    def convert(self, avro: Any, inside: tuple[str, ...], space: str) -> tuple[pa.DataType, Prepare]:
        if isinstance(avro, list):
            return self._union(avro, inside, space)
        if isinstance(avro, str):
            if avro in _PRIMITIVES:
                return _PRIMITIVES[avro], None
            full = avro if avro in self._named else f"{space}.{avro}"
            if full in inside:
                raise UsageError(
                    f"In {self._name} the record {full} contains itself.", "Parquet has no such type."
                )
            if full not in self._named:
                raise Damaged(f"The schema of {self._name} names a type {avro} that it does not define.")
            return self.convert(self._named[full], inside, space)
        kind = avro["type"]
        if isinstance(kind, dict | list):
            return self.convert(kind, inside, space)
        if "name" in avro:
            space = avro.get("namespace", avro["name"].rpartition(".")[0] or space)
            full = avro["name"] if "." in avro["name"] or not space else f"{space}.{avro['name']}"
            self._named[full] = avro
            inside = (*inside, full)
        logical = avro.get("logicalType")
        if kind in ("record", "error"):
            return self._record(avro, inside, space)
        if kind == "array":
            items, prepare = self.convert(avro["items"], inside, space)
            return pa.list_(pa.field("element", items)), _each(prepare)
        if kind == "map":
            values, prepare = self.convert(avro["values"], inside, space)
            return pa.map_(pa.string(), values), _each_value(prepare)
        if kind == "enum":
            return pa.string(), None
        if logical == "decimal" and kind in ("bytes", "fixed"):
            return pa.decimal128(avro["precision"], avro.get("scale", 0)), None
        if kind == "fixed":
            return pa.binary(), None
        if (kind, logical) in _LOGICAL:
            return _LOGICAL[kind, logical], _text if logical == "uuid" else None
        return self.convert(kind, inside, space)

    def _record(self, avro: Any, inside: tuple[str, ...], space: str) -> tuple[pa.DataType, Prepare]:
        fields: list[pa.Field] = []
        prepared: dict[str, Callable[[Any], Any]] = {}
        for field in avro["fields"]:
            kind, prepare = self.convert(field["type"], inside, space)
            if pa.types.is_struct(kind) and kind.num_fields == 0:
                continue  # Parquet has no empty struct, and it says nothing
            fields.append(pa.field(field["name"], kind))
            if prepare is not None:
                prepared[field["name"]] = prepare
        return pa.struct(fields), _each_field(prepared)

    def _union(self, branches: list[Any], inside: tuple[str, ...], space: str) -> tuple[pa.DataType, Prepare]:
        others = [branch for branch in branches if branch != "null"]
        if not others:
            return pa.null(), None
        if len(others) == 1:
            return self.convert(others[0], inside, space)
        if all(isinstance(branch, str) and branch in _NUMBERS for branch in others):
            if "float" not in others and "double" not in others:
                return pa.int64(), None
            if "long" not in others:
                return pa.float64(), _double
        return pa.string(), _text


def _each(prepare: Prepare) -> Prepare:
    if prepare is None:
        return None
    return lambda values: None if values is None else [prepare(value) for value in values]


def _each_value(prepare: Prepare) -> Prepare:
    """Arrow takes a map as pairs."""
    if prepare is None:
        return lambda values: None if values is None else list(values.items())
    return lambda values: None if values is None else [(key, prepare(value)) for key, value in values.items()]


def _each_field(prepared: Mapping[str, Callable[[Any], Any]]) -> Prepare:
    if not prepared:
        return None

    def prepare(record: Any) -> Any:
        if record is None:
            return None
        return record | {name: function(record[name]) for name, function in prepared.items()}

    return prepare


def _double(value: Any) -> float | None:
    return None if value is None else float(value)


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, dict | list | bool):
        return json.dumps(value, default=str, ensure_ascii=False)
    return str(value)
