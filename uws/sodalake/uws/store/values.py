"""Rows of the tables as the values of `jobs`, and back."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import RowMapping

from sodalake.uws.jobs import (
    ErrorSummary,
    Job,
    JobRef,
    Parameter,
    Progress,
    Result,
    Segment,
    Timing,
    UnitRecord,
    Upload,
)
from sodalake.uws.phases import Phase

__all__ = [
    "error_json",
    "job_of",
    "parameters_json",
    "ref_of",
    "results_json",
    "results_of",
    "timing_of",
    "unit_of",
    "uploads_json",
]

_PHASES = {phase.value: phase for phase in Phase}

Row = RowMapping | Mapping[str, Any]


def job_of(row: Row, results: tuple[Result, ...] = ()) -> Job:
    """Make a job of its row, and of its results, which are kept apart."""
    error = row["error"]
    return Job(
        id=row["id"],
        kind=row["kind"],
        owner=row["owner"],
        phase=_PHASES[row["phase"]],
        created=row["created"],
        parameters=tuple(Parameter(*fields) for fields in row["parameters"]),
        uploads=tuple(Upload(*fields) for fields in row["uploads"]),
        run_id=row["run_id"],
        quote=row["quote"],
        queued=row["queued"],
        started=row["started"],
        ended=row["ended"],
        execution_duration=row["execution_duration"],
        destruction=row["destruction"],
        results=results,
        error=None if error is None else ErrorSummary(*error),
        progress=Progress(row["total"], row["done"], row["failed"], row["bytes"]),
        priority=row["priority"],
        email=row["email"],
        shape=row["shape"],
        runner=row["runner"],
        abort_requested=row["abort_requested"],
        version=row["version"],
        note=row["note"] or "",
    )


def ref_of(row: Any) -> JobRef:
    """Make a line of the list of jobs of id, phase, run_id, owner, created."""
    return JobRef(row[0], _PHASES[row[1]], row[2], row[3], row[4])


def unit_of(row: Row) -> UnitRecord:
    """Make the record of a finished unit."""
    return UnitRecord(
        row["number"],
        row["part"],
        bytes(row["entries"]),
        row["targets"],
        row["failed"],
        row["bytes"],
        row["seconds"],
    )


def timing_of(row: Row) -> Timing:
    """Make a timing."""
    return Timing(
        row["kind"],
        row["shape"],
        row["targets"],
        row["units"],
        row["bytes"],
        row["seconds"],
        row["waited"],
        row["ended"],
    )


# Lists without names: a job of ten thousand results has forty thousand fields.


def parameters_json(parameters: Sequence[Parameter]) -> list[Any]:
    """Return what the column keeps."""
    return [[one.id, one.value, one.by_reference] for one in parameters]


def uploads_json(uploads: Sequence[Upload]) -> list[Any]:
    """Return what the column keeps."""
    return [[one.name, one.object, one.size, one.content_type, one.filename] for one in uploads]


def error_json(error: ErrorSummary | None) -> list[Any] | None:
    """Return what the column keeps."""
    return None if error is None else [error.message, error.transient, error.detail_type]


def results_json(results: Sequence[Result]) -> str:
    """Return what the column keeps; bytes that stand in the segment itself as base64."""
    body = [
        [
            one.id,
            one.mime_type,
            one.filename,
            one.etag,
            [
                [part.object, part.offset, part.length]
                if part.object
                else [base64.b64encode(part.data).decode()]
                for part in one.segments
            ],
        ]
        for one in results
    ]
    return json.dumps(body, separators=(",", ":"))


# Ten thousand results take 25 ms to make of 1 MB, and each of them may be fetched in a request of its own.
@lru_cache(maxsize=16)
def results_of(body: str | None) -> tuple[Result, ...]:
    """Make the results of what the column keeps."""
    return tuple(
        Result(name, mime_type, tuple(_segment(part) for part in segments), filename, etag)
        for name, mime_type, filename, etag, segments in json.loads(body or "[]")
    )


def _segment(part: list[Any]) -> Segment:
    return Segment(*part) if len(part) == 3 else Segment(data=base64.b64decode(part[0]))
