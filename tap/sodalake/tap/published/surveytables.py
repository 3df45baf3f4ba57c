"""The two tables of a survey, ``SCHEMA.alerts`` and ``SCHEMA.objects``, by its file and the lake's columns.

Simple Cone Search wants one column of each table to be *the* id, right ascension and declination, so `meta.main` is
given by what the indices are made of, and taken from everything else.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Final

import pyarrow as pa

from sodalake.lake.objectrows import summary_names
from sodalake.lake.survey import Survey
from sodalake.tap.metadata import Column, ForeignKey, Table

from .columntypes import type_of

__all__ = ["alerts_table", "objects_table", "survey_roles"]

_MAIN: Final = {"alert": "meta.id;meta.main", "ra": "pos.eq.ra;meta.main", "dec": "pos.eq.dec;meta.main"}


def survey_roles(survey: Survey, names: Collection[str]) -> dict[str, str]:
    """Return role → flat name of an alert's columns; the class is the first of its columns that is in `names`."""
    roles = {
        "alert": survey.flat_name(survey.ids.alert),
        "object": survey.flat_name(survey.ids.object),
        "time": survey.time.name,
        "ra": survey.flat_name(survey.position.ra),
        "dec": survey.flat_name(survey.position.dec),
    }
    if survey.klass is not None:
        candidates = (survey.flat_name(path) for path in (survey.klass.path, *survey.klass.otherwise))
        klass = next((name for name in candidates if name in names), None)
        if klass is not None:
            roles["class"] = klass
    return roles


def alerts_table(survey: Survey, schema: pa.Schema, rows: int | None) -> Table:
    """Return the table of a survey's alerts.

    Parameters
    ----------
    schema
        Flat columns of the lake's rows. What an index is made of is there in any case, so that a lake without alerts
        has tables too.
    rows
        About how many alerts there are.
    """
    roles = survey_roles(survey, schema.names)
    fields = _ordered(survey, _completed(survey, schema, roles))
    columns = tuple(_column(survey, field, roles) for field in fields)
    target = f"{survey.schema_name}.objects"
    return Table(
        survey.schema_name,
        "alerts",
        columns,
        "alerts",
        survey.name,
        roles,
        description=f"{survey.title}: one row an alert.",
        keys=(ForeignKey(target, ((roles["object"], roles["object"]),), "The object an alert belongs to."),),
        rows=rows,
    )


def objects_table(survey: Survey, schema: pa.Schema) -> Table:
    """Return the table of a survey's objects.

    Parameters
    ----------
    schema
        Its columns in the lake: those of an object, and of its latest alert. What makes it an object is there in any
        case.
    """
    roles = survey_roles(survey, schema.names)
    # An object has no time of its own, and is not found by its latest alert.
    roles = {role: name for role, name in roles.items() if role in ("object", "ra", "dec")}
    told = _told_of_objects(survey)
    columns = []
    fields = _completed(survey, schema, roles)
    for field in fields:
        column = told.get(field.name)
        if column is not None:
            column = replace(column, **type_of(field.type)._asdict())
        else:
            column = _column(survey, field, roles)
            if field.name not in roles.values():
                column = replace(column, description=f"Of the latest alert: {column.description}")
        columns.append(replace(column, indexed=field.name == roles["object"]))
    return Table(
        survey.schema_name,
        "objects",
        tuple(columns),
        "objects",
        survey.name,
        roles,
        description=f"Objects of {survey.title}: one row for all alerts of one object.",
    )


def _told_of_objects(survey: Survey) -> Mapping[str, Column]:
    count, first, last = summary_names(survey)
    scale = "Julian date, UTC" if survey.time.scale == "jd_utc" else "modified Julian date, TAI"
    return {
        count: Column(count, "long", ucd="meta.number;obs", description="Alerts of the object.", principal=True),
        first: Column(
            first, "double", unit="d", ucd="time.start;obs", description=f"Time of its first alert, {scale}.",
            principal=True,
        ),
        last: Column(
            last, "double", unit="d", ucd="time.end;obs", description=f"Time of its latest alert, {scale}.",
            principal=True,
        ),
    }  # fmt: skip


def _completed(survey: Survey, schema: pa.Schema, roles: Mapping[str, str]) -> list[pa.Field]:
    """The fields, and those of the roles that are missing, or are all null, by the survey file."""
    ids = survey.ids
    by_role = {
        "alert": pa.int64() if ids.alert_kind == "integer" else pa.string(),
        "object": pa.int64() if ids.object_kind == "integer" else pa.string(),
        **dict.fromkeys(("time", "ra", "dec"), pa.float64()),
    }
    kinds = {roles[role]: kind for role, kind in by_role.items() if role in roles}
    fields = [
        pa.field(field.name, kinds[field.name])
        if field.name in kinds and pa.types.is_null(field.type)
        else field
        for field in schema
    ]
    there = set(schema.names)
    return fields + [pa.field(name, kind) for name, kind in kinds.items() if name not in there]


def _ordered(survey: Survey, fields: list[pa.Field]) -> list[pa.Field]:
    place = {column.name: number for number, column in enumerate(survey.columns)}
    return sorted(fields, key=lambda field: place.get(field.name, len(place)))


def _column(survey: Survey, field: pa.Field, roles: Mapping[str, str]) -> Column:
    name = field.name
    listed = survey.column_named(name)
    kind = type_of(field.type, listed.datatype if listed is not None else None)
    ucd = listed.ucd if listed is not None else ""
    role = next((role for role, called in roles.items() if called == name), "")
    main = _MAIN.get(role) or ("meta.id;meta.main" if role == "object" and "alert" not in roles else "")
    if main:
        ucd = main
    elif ucd.startswith(("meta.id;meta.main", *_MAIN.values())):
        ucd = ucd.replace(";meta.main", "", 1)
    return Column(
        name,
        kind.datatype,
        kind.arraysize,
        kind.xtype,
        listed.unit if listed is not None else "",
        ucd,
        listed.utype if listed is not None else "",
        listed.description if listed is not None else f"{name}, as the archive has it.",
        indexed=bool(role),
        principal=name in survey.covering_names,
    )
