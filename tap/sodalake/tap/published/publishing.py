"""All that can be queried of a lake, made anew only when the lake has changed."""

from __future__ import annotations

import hashlib
import threading
from weakref import WeakKeyDictionary

import pyarrow as pa

from sodalake.lake.lake import Lake
from sodalake.lake.packing import unified_schema
from sodalake.lake.survey import Survey
from sodalake.tap.metadata import Published, Schema

from .obscore import obscore_table
from .surveytables import alerts_table, object_names, objects_table
from .tapschema import TAP_SCHEMA

__all__ = ["publish"]

_LOCK = threading.Lock()
_MADE: WeakKeyDictionary[Lake, tuple[tuple[object, ...], Published]] = WeakKeyDictionary()


def publish(lake: Lake, authority: str) -> Published:
    """Return what can be queried of a lake, as it is now (at most a second old).

    The first call reads the columns of its rows, and so does the first after files were committed; any other takes
    some microseconds. May be called from several threads.

    Parameters
    ----------
    authority
        Ours, in identifiers: it is part of what `ivoa.obscore` shows.

    Raises
    ------
    Unavailable
        The row store does not answer.
    """
    key = (authority, *((name, lake.catalogue(name).view().generation) for name in lake.surveys))
    made = _MADE.get(lake)
    if made is not None and made[0] == key:
        return made[1]
    with _LOCK:
        made = _MADE.get(lake)
        if made is None or made[0] != key:
            made = _MADE[lake] = key, _published(lake, key)
    return made[1]


def _published(lake: Lake, key: tuple[object, ...]) -> Published:
    schemas = [_schema(lake, survey) for survey in lake.surveys.values()]
    ivoa = Schema("ivoa", (obscore_table(),), "IVOA", "Tables that the IVOA defines.")
    generation = hashlib.sha256(repr(key).encode()).hexdigest()[:16]
    return Published((*schemas, ivoa, TAP_SCHEMA), generation)


def _schema(lake: Lake, survey: Survey) -> Schema:
    catalogue = lake.catalogue(survey.name)
    rows = sum(record.rows for record in catalogue.view().records.values() if record.state == "committed")
    # No schema has the number 0: asking for it reads those that other processes have added.
    flat = unified_schema(catalogue.packings([0]).values())
    alerts = alerts_table(survey, flat, rows)
    objects = objects_table(survey, _objects_schema(survey, flat))
    return Schema(survey.schema_name, (alerts, objects), survey.title, survey.description.strip())


def _objects_schema(survey: Survey, flat: pa.Schema) -> pa.Schema:
    count, first, last = object_names(survey)
    own = [
        pa.field(survey.flat_name(path), pa.float64()) for path in (survey.position.ra, survey.position.dec)
    ]
    kind = pa.int64() if survey.ids.object_kind == "integer" else pa.string()
    fields = [
        pa.field(survey.flat_name(survey.ids.object), kind),
        *own,
        pa.field(count, pa.int64()),
        pa.field(first, pa.float64()),
        pa.field(last, pa.float64()),
    ]
    taken = {field.name for field in fields}
    covering = [flat.field(name) for name in survey.covering_names if name in flat.names]
    return pa.schema(fields + [field for field in covering if field.name not in taken])
