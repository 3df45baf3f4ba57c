"""What a unit tells when it is done: a line a target, from which manifest and containers are made.

A report is kept by whoever runs the job, so that the work goes on after a restart with what is done; it is one Arrow
record batch and takes about 300 bytes a target.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sodalake.sodacut.jobs.framing import framed, unframed
from sodalake.sodacut.jobs.lines import ERROR, OK

__all__ = ["ENTRIES", "IMAGE_ENTRIES", "FileEntry", "Line", "Reported", "UnitReport", "lost", "report"]

_OF_STAMPS = (pa.field("alert", pa.string()), pa.field("object", pa.string()))
_OF_IMAGES = (
    pa.field("image", pa.string()),
    pa.field("images", pa.string()),
    pa.field("covered", pa.float64()),
)


def _entries(own: Sequence[Any]) -> Any:
    return pa.schema(
        [
            pa.field("row", pa.int64(), nullable=False),
            pa.field("id", pa.string(), nullable=False),
            pa.field("ra", pa.float64()),
            pa.field("dec", pa.float64()),
            pa.field("survey", pa.string()),
            *own,
            pa.field("file", pa.string()),
            pa.field("content_type", pa.string()),
            pa.field("offset", pa.int64()),
            pa.field("bytes", pa.int64()),
            pa.field("sha256", pa.string()),
            pa.field("crc32", pa.uint32()),
            pa.field("status", pa.string(), nullable=False),
            pa.field("message", pa.string()),
            pa.field("seconds", pa.float64()),
            pa.field("archive_file", pa.string()),
        ]
    )


ENTRIES: Any = _entries(_OF_STAMPS)
"""A line a target: `file` is its name in the container, `offset` and `bytes` say where it is in the part."""

IMAGE_ENTRIES: Any = _entries(_OF_IMAGES)
"""The same of cutouts from images: `images` went into it, and `covered` is the share of its pixels they gave."""

_SCHEMAS = {"stamps": ENTRIES, "images": IMAGE_ENTRIES}


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file of a job: the bytes ``[offset, offset+length)`` of an object.

    Attributes
    ----------
    row, id, status
        Of the target it was made for; a status that is not OK makes it the text that says why.
    """

    row: int
    id: str
    status: str
    name: str
    content_type: str
    part: str
    offset: int
    length: int
    sha256: str


@dataclass(frozen=True, slots=True)
class UnitReport:
    """What a unit made.

    Attributes
    ----------
    part, length
        Its object, and the bytes of it; no name where nothing was written.
    entries
        pyarrow.RecordBatch of `ENTRIES` or `IMAGE_ENTRIES`.
    seconds
        Wall time on the worker.
    """

    part: str
    length: int
    entries: Any
    seconds: float = 0.0

    @property
    def targets(self) -> int:
        """How many it had."""
        return int(self.entries.num_rows)

    @property
    def failed(self) -> int:
        """How many of them have no product."""
        return self.targets - self.statuses.get(OK, 0)

    @property
    def statuses(self) -> Mapping[str, int]:
        """How many targets ended in which way."""
        counted = pc.value_counts(self.entries["status"]).to_pylist()
        return {one["values"]: one["counts"] for one in counted}

    def files(self) -> Iterator[FileEntry]:
        """Yield its files, in their order in the part."""
        names = ("row", "id", "status", "file", "content_type", "offset", "bytes", "sha256")
        for row, target, status, name, content_type, offset, length, digest in zip(
            *(self.entries[column].to_pylist() for column in names), strict=True
        ):
            if offset is not None:
                yield FileEntry(row, target, status, name, content_type, self.part, offset, length, digest)

    def pack(self) -> bytes:
        """Return the report as bytes."""
        of = next(name for name, schema in _SCHEMAS.items() if schema.equals(self.entries.schema))
        head = json.dumps([self.part, self.length, self.seconds, of]).encode()
        return framed(head, self.entries)

    @classmethod
    def unpack(cls, packed: bytes) -> UnitReport:
        """Read a report that `pack` wrote."""
        head, entries = unframed(packed)
        part, length, seconds, of = json.loads(head)
        return cls(part, length, pa.ipc.read_record_batch(entries, _SCHEMAS[of]), seconds)

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpacked, (self.pack(),)


def _unpacked(packed: bytes) -> UnitReport:
    # A function of the module: cloudpickle would send a class method by value, with all that it names.
    return UnitReport.unpack(packed)


@dataclass(slots=True)
class Line:
    """What is known of one target while its unit runs."""

    status: str
    message: str | None = None
    object: str | None = None
    file: str | None = None
    content_type: str | None = None
    offset: int | None = None
    bytes: int | None = None
    sha256: str | None = None
    crc32: int | None = None
    seconds: float | None = None
    archive_file: str | None = None
    images: str | None = None
    covered: float | None = None


_OF_LINE = frozenset(Line.__slots__)


class Reported(Protocol):
    """A unit, as far as its report is concerned."""

    @property
    def targets(self) -> Any:
        """pyarrow.RecordBatch with those columns of the report that a `Line` does not have."""

    @property
    def entries(self) -> Any:
        """Schema of its report."""

    def __len__(self) -> int:
        """How many targets it has."""


def report(unit: Reported, lines: Sequence[Line], part: str, length: int, seconds: float) -> UnitReport:
    """Return the report of a unit, of a line for each of its targets in their order."""
    columns = [
        pa.array([getattr(line, field.name) for line in lines], field.type)
        if field.name in _OF_LINE
        else unit.targets[field.name]
        for field in unit.entries
    ]
    return UnitReport(part, length, pa.record_batch(columns, schema=unit.entries), seconds)


def lost(unit: Reported, message: str) -> UnitReport:
    """Return the report of a unit that failed for good: its targets are in the manifest all the same."""
    status = unit.targets["status"].to_pylist()
    known = unit.targets["message"].to_pylist()
    lines = [Line(status[at] or ERROR, known[at] if status[at] else message) for at in np.arange(len(unit))]
    return report(unit, lines, "", 0, 0.0)
