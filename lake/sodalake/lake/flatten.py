"""From the archive's nested alerts to flat columns, by what the survey file says.

Structs are opened (a null struct makes its columns null), maps give the keys that the survey lists, lists
stay in the Parquet file: an alert's history repeats what its object's other rows hold. Stamps stay there too,
and every other binary column. What is left is scalar, in one form whatever the writer did:

================================ =====================================================================
in the file                      flat
================================ =====================================================================
bool, integers, float, double    as they are (half floats: float)
string, large, view, dictionary  string
timestamps of any unit and zone  µs, UTC, no zone
date, time of day, duration      date; text; int64
decimal                          double
all null                         null: a type that joins any other
================================ =====================================================================

A column whose survey file names a `datatype` is cast to it where that loses nothing (an int32 year and an
int64 year, a Julian date as text); where it would, the column keeps its own type, and `sodalake.lake.packing`
unifies at reading. A 64-bit id never passes through a float: one that the file holds as a float is taken only
while a double can hold it exactly.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sodalake.lake.errors import UsageError
from sodalake.lake.keys import LONGEST_ID, TIME_LIMIT, alert_key
from sodalake.lake.survey import Datatype, Survey
from sodalake.lake.widening import EXACT

__all__ = [
    "Essentials",
    "FlatColumn",
    "Skipped",
    "essentials",
    "flat_columns",
    "flatten",
    "id_texts",
    "needed_columns",
    "times_of",
]

_DATATYPES: dict[Datatype, pa.DataType] = {
    "long": pa.int64(),
    "int": pa.int32(),
    "double": pa.float64(),
    "float": pa.float32(),
    "boolean": pa.bool_(),
    "char": pa.string(),
    "timestamp": pa.timestamp("us"),
}
_EXACT_IN_DOUBLE = 2.0**53


@dataclass(frozen=True, slots=True)
class Skipped:
    """A row that cannot have keys: its number in the table, and why."""

    row: int
    reason: str


@dataclass(frozen=True, slots=True)
class FlatColumn:
    """Where a flat column stands in a file.

    Attributes
    ----------
    name
        Its flat name.
    path
        Its source path.
    leaf
        The column of the file to read for it: the path, or the path of the map that it is a key of.
    datatype
        What the survey declares it to be.
    """

    name: str
    path: str
    leaf: str
    datatype: Datatype | None = None


@dataclass(frozen=True, slots=True)
class Essentials:
    """What a row's keys are made of, for N rows.

    Attributes
    ----------
    alert_ids, object_ids
        Arrow string arrays; null where there is none.
    times
        Days in the survey's scale (float64, N); NaN where there is none.
    ra, dec
        ICRS, degrees (float64, N); NaN where there is none.
    keep
        Which rows have an alert id, an object id and a time that make keys (bool, N).
    skipped
        The others, in row order, and why.
    """

    alert_ids: pa.StringArray
    object_ids: pa.StringArray
    times: npt.NDArray[np.float64]
    ra: npt.NDArray[np.float64]
    dec: npt.NDArray[np.float64]
    keep: npt.NDArray[np.bool_]
    skipped: tuple[Skipped, ...]

    def summary(self) -> dict[str, int]:
        """How many rows are skipped, for each reason."""
        return dict(Counter(skipped.reason for skipped in self.skipped))


def needed_columns(schema: pa.Schema, survey: Survey) -> list[str]:
    """Return the leaf columns that `flatten` and `essentials` need: no stamp or list is decoded.

    Returns
    -------
    list of str
        For ``pyarrow.parquet.ParquetFile.read(columns=...)``.
    """
    return [path for path, kind in _leaves(schema, survey) if _is_carried(path, kind, survey)]


def flatten(
    table: pa.Table,
    survey: Survey,
    columns: Sequence[FlatColumn] | None = None,
    *,
    dictionaries: bool = False,
) -> pa.Table:
    """Return the flat columns of alerts.

    Parameters
    ----------
    table
        Alerts as the archive's file has them (N rows); all columns, or `needed_columns`.
    columns
        Some of `flat_columns` of the whole file's schema, where `table` has only these; None: all of the table.
    dictionaries
        Leave dictionaries of texts as they are.

    Returns
    -------
    pyarrow.Table
        N rows. First the columns which the survey lists, in its order, then the file's others in the file's
        order: so two files with the same columns have the same flat schema. Fields of integer columns that
        the survey declares ``long`` carry the metadata ``exact``.
    """
    columns = flat_columns(table.schema, survey) if columns is None else columns
    if not columns:
        raise UsageError(
            f"No column of this file can be a flat column of survey {survey.name}.",
            f"It has: {_some(table.schema)}.",
        )
    arrays: list[pa.ChunkedArray] = []
    fields: list[pa.Field] = []
    for column in columns:
        array = _declared(_plain(_at(table, column.path), dictionaries), column.datatype)
        exact = {EXACT: b"1"} if column.datatype == "long" and array.type == pa.int64() else None
        arrays.append(array)
        fields.append(pa.field(column.name, array.type, metadata=exact))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def flat_columns(schema: pa.Schema, survey: Survey) -> list[FlatColumn]:
    """Return the flat columns that files of a schema have, in the order of `flatten`."""
    leaves: dict[str, str] = {}
    for path, kind in _leaves(schema, survey):
        if not _is_carried(path, kind, survey):
            continue
        if pa.types.is_map(kind):
            for column in survey.columns:
                if column.path.startswith(path + ".") and _is_scalar(_kind_at(schema, column.path)):
                    leaves[column.path] = path
        else:
            leaves[path] = path
    found = [
        FlatColumn(column.name, column.path, leaves.pop(column.path), column.datatype)
        for column in survey.columns
        if column.path in leaves and not survey.leaves_out(column.path)
    ]
    names = {column.name.lower() for column in found}
    for path, leaf in leaves.items():
        name = survey.flat_name(path)
        while name.lower() in names:  # two unlisted paths that read the same
            name += "_"
        names.add(name.lower())
        found.append(FlatColumn(name, path, leaf))
    return found


def essentials(table: pa.Table, survey: Survey) -> Essentials:
    """Return ids, times and positions of alerts, and which rows must be skipped.

    Parameters
    ----------
    table
        As for `flatten`.

    Raises
    ------
    UsageError
        The file has no column at a path the survey needs, or one of a type that cannot serve: it is a file of
        another survey, or the survey file is wrong.
    """
    ids = survey.ids
    alert_ids, lost = id_texts(_required(table, ids.alert, "alert id", survey), ids.none)
    object_ids = None
    for path in (ids.object, *(other.path for other in ids.object_otherwise)):
        if _kind_at(table.schema, path) is not None:
            texts, _ = id_texts(_at(table, path), ids.none)
            object_ids = texts if object_ids is None else pc.coalesce(object_ids, texts)
    if object_ids is None:
        _required(table, ids.object, "object id", survey)
    times = _doubles(_required(table, survey.time.path, "time", survey), survey.time.path)
    ra = _doubles(_required(table, survey.position.ra, "position", survey), survey.position.ra)
    dec = _doubles(_required(table, survey.position.dec, "position", survey), survey.position.dec)
    # the first reason that applies is a row's reason
    reasons: list[tuple[str, npt.NDArray[np.bool_]]] = [
        (f"{ids.alert} is a float that has lost digits", lost),
        (f"no alert id ({ids.alert} is null or empty)", _nulls(alert_ids)),
        (f"no object id ({ids.object} is null or empty)", _nulls(object_ids)),
        (f"no time ({survey.time.path} is null or NaN)", np.isnan(times)),
        (f"time out of range ({survey.time.path})", np.abs(times) >= TIME_LIMIT),
        (f"an id longer than {LONGEST_ID} bytes", _too_long(alert_ids) | _too_long(object_ids)),
    ]
    keep = np.ones(table.num_rows, np.bool_)
    skipped: list[Skipped] = []
    for reason, rows in reasons:
        skipped += [Skipped(row, reason) for row in np.flatnonzero(keep & rows).tolist()]
        keep &= ~rows
    skipped.sort(key=lambda one: one.row)
    return Essentials(alert_ids, object_ids, times, ra, dec, keep, tuple(skipped))


def _leaves(schema: pa.Schema, survey: Survey) -> Iterator[tuple[str, pa.DataType]]:
    """Paths and types of everything that is not a struct, structs opened, in the file's order."""

    def walk(fields: Iterator[pa.Field], prefix: str) -> Iterator[tuple[str, pa.DataType]]:
        for field in fields:
            path = prefix + field.name
            if pa.types.is_struct(field.type):
                yield from walk(iter(field.type), path + ".")
            else:
                yield path, field.type

    yield from walk(iter(schema), "")


def _is_carried(path: str, kind: pa.DataType, survey: Survey) -> bool:
    if survey.leaves_out(path):
        return False
    if pa.types.is_map(kind):
        return any(
            column.path.startswith(path + ".") and not survey.leaves_out(column.path)
            for column in survey.columns
        )
    return _is_scalar(kind)


def _is_scalar(kind: pa.DataType | None) -> bool:
    if kind is None:
        return False
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return not (
        pa.types.is_nested(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_binary_view(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def _kind_at(schema: pa.Schema, path: str) -> pa.DataType | None:
    """The type of what stands at a source path, or None where nothing can."""
    first, *rest = path.split(".")
    if first not in schema.names:
        return None
    kind = schema.field(first).type
    for name in rest:
        if pa.types.is_map(kind):
            kind = kind.item_type
        elif pa.types.is_struct(kind) and kind.get_field_index(name) >= 0:
            kind = kind.field(name).type
        else:
            return None
    return kind


def _at(table: pa.Table, path: str) -> pa.ChunkedArray:
    """The column at a source path; null wherever a struct on the way is null, or a map lacks the key."""
    first, *rest = path.split(".")
    array = table.column(first)
    for name in rest:
        if pa.types.is_map(array.type):
            array = pc.map_lookup(array, pa.scalar(name, array.type.key_type), "first")
        else:
            array = pc.struct_field(array, name)
    return array


def _required(table: pa.Table, path: str, what: str, survey: Survey) -> pa.ChunkedArray:
    if _kind_at(table.schema, path) is None:
        raise UsageError(
            f"The file has no column {path}, where survey {survey.name} has its {what}.",
            f"Is it a file of another survey? It has: {_some(table.schema)}.",
        )
    return _at(table, path)


def _some(schema: pa.Schema) -> str:
    names = schema.names[:8]
    return ", ".join(names) + (", …" if len(schema.names) > len(names) else "")


def _plain(array: pa.ChunkedArray, dictionaries: bool = False) -> pa.ChunkedArray:
    """A column in the form the module's table gives."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        if dictionaries and kind.value_type == pa.string() and kind.index_type == pa.int32():
            return array
        array = array.cast(kind.value_type)
        kind = array.type
    if pa.types.is_timestamp(kind):
        # Arrow's zoned timestamps count from UTC midnight: dropping the zone is not a shift
        return array.cast(pa.timestamp("us", kind.tz), safe=False).cast(pa.timestamp("us"))
    if pa.types.is_decimal(kind):
        return array.cast(pa.float64())
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind) or pa.types.is_time(kind):
        return array.cast(pa.string())
    if pa.types.is_float16(kind):
        return array.cast(pa.float32())
    if pa.types.is_date64(kind):
        return array.cast(pa.date32())
    if pa.types.is_duration(kind):
        return array.cast(pa.int64())
    return array


def _declared(array: pa.ChunkedArray, datatype: Datatype | None) -> pa.ChunkedArray:
    """A column as the survey declares it, where that loses nothing."""
    if datatype is None or array.type == _DATATYPES[datatype]:
        return array
    if pa.types.is_dictionary(array.type):
        if datatype == "char":
            return array
        array = array.cast(array.type.value_type)
    kind = _DATATYPES[datatype]
    try:
        if pa.types.is_floating(array.type) and pa.types.is_integer(kind):
            whole = pc.if_else(pc.is_nan(array), pa.scalar(None, array.type), array)
            largest = pc.max(pc.abs(whole)).as_py() or 0.0
            return whole.cast(kind) if largest <= _EXACT_IN_DOUBLE else array
        if pa.types.is_float64(array.type) and datatype == "float":
            return array
        return array.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return array


def times_of(table: pa.Table, survey: Survey) -> npt.NDArray[np.float64]:
    """Return the times (days) in the flat columns of N alerts; NaN where there is none."""
    return _doubles(table.column(survey.flat_name(survey.time.path)), survey.time.path)


def id_texts(
    column: pa.ChunkedArray, none: tuple[int | str, ...]
) -> tuple[pa.StringArray, npt.NDArray[np.bool_]]:
    """Return ids as text, null where there is none, and which rows hold a float that is no whole id any more."""
    array = _plain(column).combine_chunks()
    lost = np.zeros(len(array), np.bool_)
    if pa.types.is_floating(array.type):
        numbers = _doubles(array, "id")
        with np.errstate(invalid="ignore"):
            whole = (np.abs(numbers) < _EXACT_IN_DOUBLE) & (np.floor(numbers) == numbers)
        lost = ~whole & ~np.isnan(numbers)
        array = pa.array(np.where(whole, numbers, 0).astype(np.int64), mask=~whole)
    if not (
        pa.types.is_integer(array.type) or pa.types.is_string(array.type) or pa.types.is_null(array.type)
    ):
        raise UsageError(f"An id is an integer or text, not {array.type}.")
    texts = array.cast(pa.string())
    empty = pc.is_in(texts, pa.array([str(value) for value in none], pa.string()))
    return pc.if_else(pc.fill_null(empty, True), pa.scalar(None, pa.string()), texts), lost


def _doubles(array: pa.ChunkedArray | pa.Array, path: str) -> npt.NDArray[np.float64]:
    try:
        doubles = array.cast(pa.float64(), safe=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as problem:
        raise UsageError(f"The column {path} is {array.type}, which is not a number.") from problem
    return np.asarray(pc.fill_null(doubles, np.nan).to_numpy(), np.float64)


def _nulls(array: pa.Array) -> npt.NDArray[np.bool_]:
    return np.asarray(array.is_null().to_numpy(zero_copy_only=False), np.bool_)


def _too_long(ids: pa.Array) -> npt.NDArray[np.bool_]:
    """Which ids no key can hold; escaping makes three bytes of one at most, so few must be looked at."""
    long = np.asarray(pc.fill_null(pc.binary_length(ids), 0).to_numpy(zero_copy_only=False)) * 3 > LONGEST_ID
    for row in np.flatnonzero(long).tolist():
        try:
            alert_key(ids[row].as_py())
            long[row] = False
        except UsageError:
            continue
    return long
