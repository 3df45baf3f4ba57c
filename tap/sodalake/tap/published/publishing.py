"""All that can be queried of a lake, made anew only when the lake has changed."""

from __future__ import annotations

import hashlib
import threading
from weakref import WeakKeyDictionary

from sodalake.lake.alertrows import flat_schema
from sodalake.lake.images.imagesurvey import ImageSurvey
from sodalake.lake.lake import Lake
from sodalake.lake.objectrows import ObjectRows
from sodalake.lake.survey import Survey
from sodalake.tap.metadata import Published, Schema

from .imagestable import images_table
from .obscore import obscore_table
from .surveytables import alerts_table, objects_table
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
    names = (*lake.surveys, *lake.image_surveys)
    key = (authority, *((name, lake.catalogue(name).view().generation) for name in names))
    made = _MADE.get(lake)
    if made is not None and made[0] == key:
        return made[1]
    with _LOCK:
        made = _MADE.get(lake)
        if made is None or made[0] != key:
            made = _MADE[lake] = key, _published(lake, key)
    return made[1]


def _published(lake: Lake, key: tuple[object, ...]) -> Published:
    schemas = [_alerts(lake, survey) for survey in lake.surveys.values()]
    schemas += [_images(lake, survey) for survey in lake.image_surveys.values()]
    ivoa = Schema("ivoa", (obscore_table(),), "IVOA", "Tables that the IVOA defines.")
    generation = hashlib.sha256(repr(key).encode()).hexdigest()[:16]
    return Published((*schemas, ivoa, TAP_SCHEMA), generation)


def _alerts(lake: Lake, survey: Survey) -> Schema:
    flat = flat_schema(lake, survey)
    alerts = alerts_table(survey, flat, _rows(lake, survey.name))
    objects = objects_table(survey, ObjectRows(lake).schema(survey))
    return Schema(survey.schema_name, (alerts, objects), survey.title, survey.description.strip())


def _images(lake: Lake, survey: ImageSurvey) -> Schema:
    images = images_table(survey, _rows(lake, survey.name))
    return Schema(survey.schema_name, (images,), survey.title, survey.description.strip())


def _rows(lake: Lake, survey: str) -> int:
    records = lake.catalogue(survey).view().records.values()
    return sum(record.rows for record in records if record.state == "committed")
