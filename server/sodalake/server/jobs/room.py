"""What a tree of jobs stands on: the store, the results, the executor, and the limits of its kind.

The handlers know nothing else, so that a second kind of job gets a tree by being given a room. What differs from kind
to kind is in the methods that a kind's own room replaces: `new_job`, `file`, `estimate`, `quoted`.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, TypeVar
from weakref import WeakValueDictionary

import structlog

from sodalake.server.errors import NoSuchPage
from sodalake.server.identity import User
from sodalake.server.jobs.forms import Part
from sodalake.server.jobs.prepared import Prepared
from sodalake.uws.errors import Full, IllegalTransition, NoSuchJob, NotYours, TooMuch
from sodalake.uws.jobs import Job, Load, NewJob, Parameter, Result, Upload, new_id
from sodalake.uws.kinds import ResultStore
from sodalake.uws.phases import FINAL, Event, Instruction, Phase
from sodalake.uws.store.protocol import JobStore
from sodalake.uws.waiting import Waiting

__all__ = ["JobLimits", "JobRoom", "Order", "Runner"]

_log = structlog.get_logger("sodalake.jobs")

T = TypeVar("T")

_CLOSE_SECONDS = 5.0
_CHANGEABLE = frozenset(Phase) - FINAL


class Runner(Protocol):
    """The executor, as the tree needs it."""

    def enqueue(self, job_id: str) -> None:
        """Say that a job was queued."""

    def destruction_changed(self) -> None:
        """Say that a job's destruction may now be the next."""

    async def abort(self, job_id: str) -> Job:
        """End a job, keeping what is finished, within about a second."""

    async def destroy(self, job_id: str) -> None:
        """End a job, and forget it with its results."""


@dataclass(frozen=True, slots=True)
class JobLimits:
    """How much the jobs of a kind may ask for.

    Attributes
    ----------
    wait
        Seconds that WAIT blocks at most: less than proxies and clients wait (UWS 1.1, 2.2.1.2).
    active, active_of_owner
        Jobs that are not ended, of everybody and of one owner.
    execution, longest_execution
        Seconds a job may execute where it does not say, and at most; 0 is unlimited.
    lifetime, longest_lifetime
        From creation to destruction where the job does not say; from now, at most.
    listed
        Jobs that a browser is shown, and that the list has after a DELETE: a client follows that redirect.
    anonymous_list
        Whether visitors without a name see each other's jobs listed; who knows a job's id has it anyway.
    """

    wait: float = 50.0
    active: int = 100_000
    active_of_owner: int = 10_000
    execution: int = 4 * 3600
    longest_execution: int = 24 * 3600
    lifetime: timedelta = timedelta(days=7)
    longest_lifetime: timedelta = timedelta(days=30)
    listed: int = 100
    anonymous_list: bool = True


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked for: a job that is not there yet."""

    parameters: Sequence[Parameter] = ()
    parts: Sequence[Part] = ()
    run_id: str | None = None
    execution_duration: int | None = None
    destruction: datetime | None = None
    run: bool = False


@dataclass(eq=False)
class JobRoom:
    """The jobs of one kind, and who executes them.

    Parameters
    ----------
    kind
        Name of the kind.
    path
        Where its tree is, below the service's root: ``/soda/async``.
    title
        What the pages call it.
    single
        Upper-case names of parameters that a later value replaces; of others the values add up. (A client that sets
        TAP's QUERY again means the new one.)
    """

    store: JobStore
    results: ResultStore
    runner: Runner
    kind: str
    path: str
    title: str = "Jobs"
    limits: JobLimits = field(default_factory=JobLimits)
    single: frozenset[str] = frozenset(
        {"RESPONSEFORMAT", "FORMAT", "MAXREC", "LANG", "QUERY", "REQUEST", "VERSION"}
    )

    def __post_init__(self) -> None:
        self.waiting = Waiting(self.store)
        self.prepared = Prepared()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._tasks: set[asyncio.Task[Any]] = set()

    # -- what a kind may do otherwise

    def new_job(self, user: User, order: Order, job_id: str, uploads: Sequence[Upload]) -> NewJob:
        """Return the job that is to be created of an order."""
        now = datetime.now(UTC)
        return NewJob(
            self.kind,
            owner=user.name,
            parameters=tuple(order.parameters),
            uploads=tuple(uploads),
            run_id=order.run_id,
            execution_duration=self.allowed_duration(
                self.limits.execution if order.execution_duration is None else order.execution_duration
            ),
            destruction=self.allowed_destruction(order.destruction or now + self.limits.lifetime),
            priority=user.priority,
            email=user.email,
            run=order.run,
            id=job_id,
        )

    async def file(self, job: Job, name: str) -> Result | None:
        """Return a single file of a job's results by its name; None where it has none such."""
        return None

    async def estimate(self, user: User, order: Order) -> Mapping[str, object]:
        """Return what an order would cost: queue, start, end, bytes."""
        raise NoSuchPage(
            "This service makes no estimates of such jobs.", "Create the job and look at its quote."
        )

    async def quoted(self, job: Job) -> Job:
        """Return the job with its quote as it is now (UWS 1.1, 2.1.6)."""
        return job

    # -- jobs

    async def create(self, user: User, order: Order) -> Job:
        """Create a job, and queue it where that is asked for.

        Its files are stored first: a job that exists has them. Where it cannot be created nothing stays. It is done
        to its end also where the client goes away meanwhile.

        Raises
        ------
        TooMuch, Full
            A limit is reached.
        StoreUnavailable, Unavailable
            It cannot be stored.
        """
        return await self._to_its_end(self._create(user, order))

    async def _create(self, user: User, order: Order) -> Job:
        await self._admit(user)
        job_id = new_id() if order.parts else ""  # the store makes one, too
        try:
            uploads = await self._keep(job_id, order.parts)
            job = await self.store.create(self.new_job(user, order, job_id, uploads))
        except BaseException:
            if order.parts:
                await self._remove(job_id)
            raise
        if order.run:
            self.runner.enqueue(job.id)
        return job

    async def _admit(self, user: User) -> None:
        if _count(await self.store.load(user.name)) >= self.limits.active_of_owner:
            whose = "There are" if user.is_anonymous else f"{user.name} has"
            raise TooMuch(
                f"{whose} {self.limits.active_of_owner} jobs that are not ended, which is the limit.",
                "Wait for some to end, or delete some.",
            )
        if _count(await self.store.load(everybody=True)) >= self.limits.active:
            raise Full("The service has all the jobs it takes.", "Try again when some have ended.")

    async def get(self, user: User, job_id: str) -> Job:
        """Return a job of `user`.

        Raises
        ------
        NoSuchJob
            There is none, or it is of another kind.
        NotYours
            It is another owner's. Who knows the id of a job without owner has it.
        """
        job = await self.store.get(job_id)
        if job.kind != self.kind:
            raise NoSuchJob(f"There is no job {job_id} here.")
        if job.owner is not None and job.owner != user.name:
            raise NotYours(f"The job {job_id} is another owner's.", "Log in as its owner.")
        return job

    async def run(self, job: Job) -> Job:
        """Queue a job; `IllegalTransition` where it is over."""
        moved = await self.store.move(job.id, Event.RUN)
        if Instruction.ENQUEUE in moved.instructions:
            self.runner.enqueue(job.id)
        return moved.job

    async def abort(self, job: Job) -> Job:
        """End a job, keeping what is finished."""
        return await self._to_its_end(self.runner.abort(job.id))

    async def delete(self, job: Job) -> None:
        """End a job, and forget it with its results."""
        await self._to_its_end(self.runner.destroy(job.id))

    # -- changes

    def allowed_duration(self, seconds: int) -> int:
        """Return the executionDuration that a job gets who asks for `seconds` (UWS 1.1, 2.2.3.3)."""
        longest = self.limits.longest_execution
        return min(seconds or longest, longest) if longest else seconds

    def allowed_destruction(self, moment: datetime) -> datetime:
        """Return the destruction that a job gets who asks for `moment` (UWS 1.1, 2.2.3.4)."""
        return min(moment, datetime.now(UTC) + self.limits.longest_lifetime)

    async def set_duration(self, job: Job, seconds: int) -> Job:
        """Change how long a job may execute; `IllegalTransition` where it has ended."""
        return await self.store.edit(
            job.id, execution_duration=self.allowed_duration(seconds), only_in=_CHANGEABLE
        )

    async def set_destruction(self, job: Job, moment: datetime) -> Job:
        """Change when a job is destroyed; `IllegalTransition` where it is."""
        changed = await self.store.edit(
            job.id,
            destruction=self.allowed_destruction(moment),
            only_in=frozenset(Phase) - {Phase.ARCHIVED},
        )
        self.runner.destruction_changed()
        return changed

    async def add(
        self, job: Job, parameters: Sequence[Parameter], parts: Sequence[Part], run_id: str | None
    ) -> Job:
        """Add parameters and files to a PENDING job; `run_id` replaces, as do the parameters of `single`."""
        names = {parameter.id.upper() for parameter in parameters}
        return await self._to_its_end(
            self._edit(job, names & self.single, parameters, parts, run_id), lock=job.id
        )

    async def put(self, job: Job, parameter: Parameter, part: Part | None = None) -> Job:
        """Set one parameter of a PENDING job, in place of all values it has."""
        return await self._to_its_end(
            self._edit(job, {parameter.id.upper()}, [parameter], [part] if part else [], None), lock=job.id
        )

    async def _edit(
        self,
        job: Job,
        replaced: set[str] | frozenset[str],
        parameters: Sequence[Parameter],
        parts: Sequence[Part],
        run_id: str | None,
    ) -> Job:
        job = await self.store.get(job.id)
        require_pending(job)
        new = await self._keep(job.id, parts)
        kept = [p for p in job.parameters if p.id.upper() not in replaced]
        # A file of the same name takes the place of the other, and is named once.
        names = {upload.name for upload in new}
        kept = [p for p in kept if not (p.by_reference and p.value in names)]
        together = (*kept, *parameters)
        used = {p.value for p in together if p.by_reference}
        uploads = [u for u in job.uploads if u.name not in names and u.name in used] + new
        try:
            return await self.store.edit(
                job.id, parameters=together, uploads=uploads, run_id=run_id, only_in={Phase.PENDING}
            )
        except BaseException:
            await self._remove(*(upload.object for upload in new))
            raise

    # -- files

    async def _keep(self, job_id: str, parts: Sequence[Part]) -> list[Upload]:
        uploads = []
        for part in parts:
            # Objects are never changed: what replaces a file is another object.
            name = f"{job_id}/upload-{secrets.token_hex(3)}-{part.name}"
            size = await asyncio.to_thread(self.results.write, name, part.content)
            uploads.append(Upload(part.name, name, size, part.content_type, part.filename))
        return uploads

    async def _remove(self, *names: str) -> None:
        for name in names:
            try:
                await asyncio.to_thread(self.results.delete, name)
            except Exception as error:  # noqa: BLE001 - any store's; the first error is the one to tell
                _log.error("files of a job that was not created stay", object=name, error=str(error))

    async def _to_its_end(self, work: Coroutine[Any, Any, T], lock: str = "") -> T:
        """Await `work`, and let it go on where the client goes away: it stops nowhere in the middle."""
        task = asyncio.create_task(self._locked(work, lock))
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    async def _locked(self, work: Coroutine[Any, Any, T], lock: str) -> T:
        if not lock:
            return await work
        own = self._locks.get(lock)
        if own is None:
            own = self._locks[lock] = asyncio.Lock()
        async with own:
            return await work

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # who waited has it; where nobody does any more it is nobody's

    async def settled(self) -> None:
        """Return when what is under way is done."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def close(self) -> None:
        """Let go of those who wait, and give what is under way some seconds to be done."""
        self.waiting.release()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.settled(), _CLOSE_SECONDS)


def require_pending(job: Job) -> None:
    """Raise `IllegalTransition` where a job's parameters cannot be changed any more (DALI 1.1, 2.1)."""
    if job.phase is not Phase.PENDING:
        raise IllegalTransition(f"A job that is {job.phase} takes no parameters.", "Create another one.")


def _count(load: Load) -> int:
    return load.pending + load.queued + load.executing
