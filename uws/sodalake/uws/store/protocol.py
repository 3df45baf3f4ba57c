"""What a store of jobs can do; the store is the truth, and everything else is made from it again.

Every method is one transaction, and raises `StoreUnavailable` where the data base does not answer. A change of phase
goes through `phases.transition`; whoever waits for a job (`events`) is woken once the change is committed, in this
process and, on PostgreSQL, in every other server's.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sodalake.uws.events import Events
from sodalake.uws.jobs import (
    ErrorSummary,
    Job,
    JobRef,
    Load,
    NewJob,
    Parameter,
    Progress,
    Result,
    Timing,
    UnitRecord,
    Upload,
)
from sodalake.uws.phases import Event, Instruction, Phase

__all__ = ["JobStore", "Moved"]


@dataclass(frozen=True, slots=True)
class Moved:
    """A job after a change of phase, and what is to be done now."""

    job: Job
    instructions: tuple[Instruction, ...]


class JobStore(Protocol):
    """The jobs.

    Attributes
    ----------
    runner
        Names this server process; the job it executes has it.
    events
        Wakes those who wait for a job.
    """

    runner: str
    events: Events

    async def close(self) -> None:
        """Let go of the data base, and of the jobs this runner had."""

    # -- clients

    async def create(self, new: NewJob) -> Job:
        """Store a job, PENDING or (`new.run`) QUEUED. `BadJob`: its id is taken, or a text cannot be kept."""

    async def get(self, job_id: str) -> Job:
        """Return a job; `NoSuchJob`."""

    async def find(
        self,
        kind: str,
        owner: str | None,
        *,
        phases: Collection[Phase] = (),
        after: datetime | None = None,
        last: int | None = None,
    ) -> list[JobRef]:
        """Return an owner's jobs, newest first (UWS 1.1, 2.2.2.1): ARCHIVED ones only where `phases` names them."""

    async def move(
        self,
        job_id: str,
        event: Event,
        *,
        error: ErrorSummary | None = None,
        results: Sequence[Result] | None = None,
        units: Sequence[UnitRecord] = (),
        timing: Timing | None = None,
        note: str | None = None,
    ) -> Moved:
        """Let an event happen to a job: one transaction for phase, times, error, results and last units.

        Parameters
        ----------
        results
            The job's results now; None leaves them. At the end of a job its unit records are forgotten.
        units
            Recorded first, as `record` does.
        note
            See `Job.note`; None leaves it.

        Raises
        ------
        NoSuchJob, IllegalTransition
            See `phases.transition`. Nothing is written then.
        """

    async def edit(
        self,
        job_id: str,
        *,
        parameters: Sequence[Parameter] | None = None,
        uploads: Sequence[Upload] | None = None,
        run_id: str | None = None,
        execution_duration: int | None = None,
        destruction: datetime | None = None,
        quote: datetime | None = None,
        results: Sequence[Result] | None = None,
        only_in: Collection[Phase] = (),
    ) -> Job:
        """Change what a client may change; what is None stays. `IllegalTransition` in a phase not in `only_in`."""

    async def delete(self, job_id: str) -> None:
        """Forget a job; `NoSuchJob`."""

    async def load(self, owner: str | None = None, *, everybody: bool = False) -> Load:
        """Count the active jobs of an owner (None: anonymous), or of everybody."""

    # -- executors

    async def waiting(self, limit: int = 100, *, not_of: Collection[str | None] = ()) -> list[Job]:
        """Return QUEUED jobs, by priority, then by the time they were queued, but none of these owners'."""

    async def claim(self, job_id: str) -> Job | None:
        """Take a QUEUED job, or an EXECUTING one whose runner is gone or is this one; None where another was faster."""

    async def orphans(self) -> list[str]:
        """Return the ids of EXECUTING jobs whose runner is gone."""

    async def request_abort(self, job_id: str) -> None:
        """Ask the runner of a job, in whichever server, to end it: what waits for the runner's name wakes there."""

    async def abort_requests(self) -> list[str]:
        """Return this runner's jobs that are to be ended."""

    async def set_plan(self, job_id: str, plan: bytes, shape: str, progress: Progress) -> None:
        """Keep the plan of an executing job; `IllegalTransition` where it is not."""

    async def plan(self, job_id: str) -> bytes | None:
        """Return the plan that was kept."""

    async def record(self, job_id: str, units: Sequence[UnitRecord]) -> list[int]:
        """Record finished units and the job's progress; return the numbers that were not recorded before.

        A job that is not EXECUTING (any more) records nothing. Where no plan told the total, it is what is done.
        """

    async def units(self, job_id: str) -> list[UnitRecord]:
        """Return the finished units, by number."""

    async def timings(self, limit: int = 500) -> list[Timing]:
        """Return the last timings, newest first."""

    # -- housekeeping

    async def expired(self, now: datetime, limit: int = 100) -> list[str]:
        """Return the ids of jobs whose destruction has come and that are not ARCHIVED."""

    async def next_destruction(self) -> datetime | None:
        """Return when the next job is to be destroyed."""

    async def swept(self, job_id: str) -> None:
        """Note that an ARCHIVED job's objects are deleted."""

    async def unswept(self) -> list[str]:
        """Return the ids of ARCHIVED or forgotten jobs whose objects are not deleted yet."""

    async def forget_archived(self, before: datetime) -> int:
        """Forget jobs that were archived before a time; return how many."""

    async def due_mails(self, limit: int = 50) -> list[Job]:
        """Return ended jobs whose owner is to be told, and keep them from other servers while this one lives."""

    async def mail_done(self, job_id: str, error: str | None = None) -> None:
        """Note that the owner was told, or that it failed for good."""
