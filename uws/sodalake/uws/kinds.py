"""What a kind of job is: how its parameters are checked, planned into units, run, and finished.

A kind is registered by name. `check` makes a `Work` of a job, in a thread of the server and only when the job
is executed, so that creating a job always answers 303 and a wrong parameter is the job's error. The work plans
*units*, small enough that stopping between them is quick and doing one again is cheap; `run` does one on a
Dask worker; `finish` makes the results of the units' parts, in a thread of the server.

After a restart the plan is read back, not made again, and `check` is called again: the same job must give
the same work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

from .jobs import Job, Result, UnitRecord

__all__ = [
    "ONE",
    "SEVERAL",
    "Cancelled",
    "Document",
    "Kind",
    "Plan",
    "Planning",
    "ResultStore",
    "StoredObject",
    "Unit",
    "UnitContext",
    "Work",
]  # fmt: skip

ONE = "one"
"""Pool of units that touch one image or file at a time."""

SEVERAL = "several"
"""Pool of units that hold several images at a time: fewer of these run at once."""


class Cancelled(Exception):
    """Raised by a unit that saw that its job is over."""


class StoredObject(Protocol):
    """An object of the result store, open for ranged reads from any thread."""

    size: int

    def read_at(self, offset: int, length: int) -> bytes:
        """Return the bytes `[offset, offset+length)`, fewer where the object ends before."""

    def close(self) -> None:
        """Let go of it."""


class ResultStore(Protocol):
    """Where parts and results are: objects named ``JOB/NAME``. Blocking; picklable, so that units have it too."""

    def write(self, name: str, content: bytes | Iterable[bytes] | Callable[[BinaryIO], object]) -> int:
        """Write an object, whole or not at all; return its bytes."""

    def open(self, name: str) -> StoredObject:
        """Open an object."""

    def delete(self, prefix: str) -> None:
        """Delete an object, or all of a job's; nothing where there is none."""

    def names(self, prefix: str) -> list[str]:
        """Return the names of a job's objects."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A piece of a job's work.

    Attributes
    ----------
    spec
        What `Work.run` gets; picklable and small.
    targets
        How many targets it has: its weight in progress and fair share.
    pool
        Whose limit of concurrency it counts in.
    """

    spec: Any
    targets: int = 1
    pool: str = ONE


@dataclass(frozen=True, slots=True)
class Plan:
    """The units of a job, in their order, and what `finish` wants to know besides.

    Attributes
    ----------
    note
        Picklable; kept with the plan.
    """

    units: Sequence[Unit]
    note: Any = None

    @property
    def targets(self) -> int:
        """Targets of all units."""
        return sum(unit.targets for unit in self.units)


@dataclass(frozen=True, slots=True)
class UnitContext:
    """What a unit is given on its worker.

    Attributes
    ----------
    part
        The name its part is to have: no other attempt at the unit has the same.
    cancelled
        Whether the job is over: looked at between targets.
    """

    job: str
    number: int
    part: str
    results: ResultStore
    cancelled: Callable[[], bool]

    def record(self, part: str, entries: bytes, *, targets: int, failed: int, bytes: int) -> UnitRecord:
        """Return the record of this unit, for rooms that do not know this one."""
        return UnitRecord(self.number, part, entries, targets, failed, bytes)


class Planning(Protocol):
    """What `plan` and `finish` may use; they run in a thread of the server."""

    job: Job
    results: ResultStore
    width: int
    """How many units run at once when nobody else's do."""
    over_there: Callable[[], bool]
    """Says, where `map` calls its function, whether the job is over: picklable, for functions that take their time."""

    def map(self, function: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        """Call a picklable function with each item on the batch workers, side by side; return the values.

        Raises
        ------
        Cancelled
            The job is over.
        """

    def cancelled(self) -> bool:
        """Say whether the job is over."""

    def note(self, text: str) -> None:
        """Tell people, in the job's document, how it ran; the last note counts."""


@dataclass(frozen=True, slots=True)
class Document:
    """An error's own document, served at ``JOB/error``."""

    content_type: str
    body: bytes


class Work(Protocol):
    """One job's work."""

    @property
    def shape(self) -> str:
        """What it is like, for estimates."""

    @property
    def targets(self) -> int:
        """How many targets, as far as can be told before it is planned."""

    @property
    def run(self) -> Callable[[Any, UnitContext], UnitRecord]:
        """A picklable function that does a unit: given its `spec`, it returns the record.

        It raises what the archive raises when the unit as a whole cannot be done; it is then tried again.
        """

    def plan(self, planning: Planning) -> Plan:
        """Cut the work into units. `BadJob` where it cannot be done."""

    def lost(self, unit: Unit, number: int, message: str) -> UnitRecord:
        """Return the record of a unit that failed for good."""

    def finish(
        self, planning: Planning, plan: Plan, records: Iterator[UnitRecord], whole: bool
    ) -> Sequence[Result]:
        """Make the results of the units' records, which come in the order of their numbers.

        Parameters
        ----------
        whole
            False where the job was aborted: some units have no record.
        """


class Kind(Protocol):
    """A kind of job."""

    name: str

    def check(self, job: Job, results: ResultStore) -> Work:
        """Make the work of a job; reads its uploads. `BadJob` where its parameters are wrong."""

    def error_document(self, error: Exception) -> Document | None:
        """Return the document of an error that ended the job; None: its sentence is all there is."""
