"""The index tables of a survey besides `alert` and `object`, and the keys that alerts have in them.

`sky`, `time` and `class` hold the same of an alert (`sodalake.lake.coveringrows`) in three orders: it is packed once.
`objects` holds summaries (`sodalake.lake.summaries`).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from .catalogue import FileView
from .errors import UsageError
from .keys import class_keys, sky_keys, time_keys
from .sky import sky_cells
from .survey import Survey

__all__ = [
    "CLASS",
    "COVERING",
    "IMAGE_TABLES",
    "OBJECTS",
    "SKY",
    "TIME",
    "classes_of",
    "covering_keys",
    "index_tables",
    "require_whole",
]

SKY, TIME, CLASS, OBJECTS = "sky", "time", "class", "objects"

COVERING = (SKY, TIME, CLASS)
"""Those whose rows are alerts with covering columns."""

IMAGE_TABLES = {"image": ("d", "p"), "outline": ("c",)}
"""Tables of a survey of images, besides `files`, and their column groups: see `sodalake.lake.images`."""

_Floats = npt.NDArray[np.float64]


def index_tables(survey: Survey) -> tuple[str, ...]:
    """Return the index tables that a survey has: `class` only where its file says what a class is."""
    return (SKY, TIME, *((CLASS,) if survey.klass is not None else ()), OBJECTS)


def require_whole(survey: Survey, table: str, view: FileView) -> None:
    """Refuse to read an index that lacks files: what it does not show would look as if it were not there.

    Raises
    ------
    UsageError
        With what its operator has to do.
    """
    if table not in index_tables(survey):
        raise UsageError(f"{survey.name} has no index {table}.")
    lacking = view.lacking(table)
    if lacking:
        raise UsageError(
            f"{len(lacking)} files of {survey.name} are not in its index {table} yet.",
            f"The archive's operator has to run `sodalake ingest {survey.name} --reindex`.",
        )


def covering_keys(
    survey: Survey,
    table: pa.Table,
    alert_ids: pa.Array,
    times: _Floats,
    places: tuple[_Floats, _Floats],
    wanted: tuple[str, ...],
) -> Iterator[tuple[str, npt.NDArray[np.intp], list[bytes]]]:
    """Yield for each covering table that is wanted its name, which of N alerts are in it, and their keys.

    Parameters
    ----------
    table, alert_ids, times, places
        Flat columns, ids, times (days), right ascensions and declinations (degrees) of N alerts.
    wanted
        Names of tables; others than `COVERING` are passed over.
    """
    if SKY in wanted:
        cells, there = sky_cells(*places)
        which = np.flatnonzero(there)
        yield SKY, which, sky_keys(cells, alert_ids.take(pa.array(which)))
    if TIME in wanted:
        yield TIME, np.arange(len(times)), time_keys(times, alert_ids)
    if CLASS in wanted:
        classes = classes_of(survey, table)
        which = np.flatnonzero(classes.is_valid().to_numpy(zero_copy_only=False))
        take = pa.array(which)
        yield CLASS, which, class_keys(classes.take(take), times[which], alert_ids.take(take))


def classes_of(survey: Survey, table: pa.Table) -> pa.StringArray:
    """Return the class of each of N alerts: the first of the survey's class columns that is not null, as text."""
    found = pa.nulls(table.num_rows, pa.string())
    if survey.klass is None:
        return found
    for path in (survey.klass.path, *survey.klass.otherwise):
        name = survey.flat_name(path)
        if name in table.column_names:
            column = table.column(name).combine_chunks()
            if pa.types.is_floating(column.type):
                column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
            found = pc.coalesce(found, column.cast(pa.string()))
    return found
