"""A job and what belongs to it, as plain values.

Times are aware datetimes in UTC, to the millisecond. Values are frozen: a change makes a new `Job`, with the
next `version`, in the store.
"""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass, field
from datetime import datetime

from .phases import Phase

__all__ = [
    "ErrorSummary",
    "Job",
    "JobRef",
    "Load",
    "NewJob",
    "Parameter",
    "Progress",
    "Result",
    "Segment",
    "Timing",
    "UnitRecord",
    "Upload",
    "new_id",
]


def new_id() -> str:
    """Return an id for a job, which nobody can guess: who knows the id of a job without owner has the job.

    115 random bits, of one case and without signs, so that it can be read aloud and selected with a double click.
    The first letter is fixed: uws-client takes h, t, p and s away from the front of a job's path.
    """
    return "j" + base64.b32encode(secrets.token_bytes(15)).decode().lower()[:23]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter as it was given; a name may come several times.

    Attributes
    ----------
    by_reference
        The value is a URL where the content is (UWS 1.1, 2.1.11). For an upload it is written when the
        document is: `value` is then the upload's name.
    """

    id: str
    value: str
    by_reference: bool = False


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that came with the job, kept in the result store.

    Attributes
    ----------
    name
        What ``param:NAME`` names.
    object
        Its name in the result store.
    """

    name: str
    object: str
    size: int
    content_type: str = "application/octet-stream"
    filename: str = ""


@dataclass(frozen=True, slots=True)
class Segment:
    """Some bytes of a result: a range of an object of the result store, or (where `object` is empty) `data`."""

    object: str = ""
    offset: int = 0
    length: int = 0
    data: bytes = b""

    @property
    def size(self) -> int:
        """Bytes."""
        return self.length if self.object else len(self.data)


@dataclass(frozen=True, slots=True)
class Result:
    """One result of a job: its bytes are its segments, one behind the other.

    Attributes
    ----------
    id
        Unique in the job; one segment of a URL's path.
    etag
        A strong validator (no quotes), or empty.
    """

    id: str
    mime_type: str
    segments: tuple[Segment, ...]
    filename: str = ""
    etag: str = ""

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(segment.size for segment in self.segments)


@dataclass(frozen=True, slots=True)
class ErrorSummary:
    """Why a job is in ERROR (UWS 1.1, 2.1.7).

    Attributes
    ----------
    detail_type
        Content-Type of the error's own document, the object ``JOB/error`` of the result store; empty: none.
    """

    message: str
    transient: bool = False
    detail_type: str = ""

    @property
    def has_detail(self) -> bool:
        """Whether there is more to read than the message."""
        return bool(self.detail_type)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is: targets in all, done (those that failed among them), failed; bytes made."""

    total: int = 0
    done: int = 0
    failed: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job that is to be created.

    Attributes
    ----------
    id
        Given where uploads were stored below it before; else the store makes one.
    execution_duration
        Seconds; 0 is unlimited.
    priority
        Higher goes first.
    email, tell_after
        Where the job's end is told (empty: nowhere), when it took longer than so many seconds.
    run
        Whether it is queued at once (PHASE=RUN in the request that creates it).
    """

    kind: str
    owner: str | None = None
    parameters: tuple[Parameter, ...] = ()
    uploads: tuple[Upload, ...] = ()
    run_id: str | None = None
    execution_duration: int = 0
    destruction: datetime | None = None
    priority: int = 0
    email: str = ""
    tell_after: float = 0.0
    run: bool = False
    id: str = ""


@dataclass(frozen=True, slots=True)
class JobRef:
    """A line of the list of jobs."""

    id: str
    phase: Phase
    run_id: str | None
    owner: str | None
    created: datetime


@dataclass(frozen=True, slots=True)
class Job:
    """A job.

    Attributes
    ----------
    owner
        None: anonymous.
    email
        Where its end is told; empty: nowhere.
    progress
        See `Progress`.
    shape
        What the work is like, for estimates, such as ``stamps/arrow``; empty until it is planned.
    runner
        The server that executes it.
    abort_requested
        Another server is to end it.
    version
        Counts the changes.
    note
        What its kind tells people of how it ran.
    """

    id: str
    kind: str
    owner: str | None
    phase: Phase
    created: datetime
    parameters: tuple[Parameter, ...] = ()
    uploads: tuple[Upload, ...] = ()
    run_id: str | None = None
    quote: datetime | None = None
    queued: datetime | None = None
    started: datetime | None = None
    ended: datetime | None = None
    execution_duration: int = 0
    destruction: datetime | None = None
    results: tuple[Result, ...] = ()
    error: ErrorSummary | None = None
    progress: Progress = field(default_factory=Progress)
    priority: int = 0
    email: str = ""
    shape: str = ""
    runner: str | None = None
    abort_requested: bool = False
    version: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class UnitRecord:
    """A unit that is finished: recorded once, whatever happens to workers and servers.

    Attributes
    ----------
    number
        Its place in the plan.
    part
        Its object in the result store; empty: none.
    entries
        What its kind tells of its targets; opaque here.
    targets, failed
        How many it had, and how many of them failed.
    bytes
        Of the part.
    seconds
        It took.
    """

    number: int
    part: str = ""
    entries: bytes = b""
    targets: int = 0
    failed: int = 0
    bytes: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Load:
    """How many jobs are in each active phase: of one owner, or of all."""

    pending: int = 0
    queued: int = 0
    executing: int = 0


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a finished job took, for estimates.

    Attributes
    ----------
    seconds
        From start to end.
    waited
        Seconds from being queued to start.
    """

    kind: str
    shape: str
    targets: int
    units: int
    bytes: int
    seconds: float
    waited: float
    ended: datetime
