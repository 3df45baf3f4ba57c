"""The executor: takes queued jobs, has their units done, and writes what became of them.

A job is a coroutine here. It is claimed (checked, planned, or its plan read back), its units go through the
`Flights` to the `Pool`, each finished unit is recorded in the store before it counts, and when all are
recorded the work's `finish` makes the results. Everything that matters is in the store, so a server that is
killed leaves jobs that another one, or its own next start, goes on with: the units that were recorded are not
done again, and a unit that was done but not recorded is done again under another part name.

A job is ended before its time by ABORT, by its executionDuration, or by its destruction: its units are told to
stop, what is finished is made into results (`Work.finish` with `whole=False`), and then the phase changes, all
within `END_SECONDS`; results that take longer are added when they are there.
"""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import structlog

from .active import Active
from .daskpool import Pool
from .errors import BadJob, IllegalTransition, NoSuchJob, StoreUnavailable, UwsError, WorkFailed
from .events import DESTRUCTION, QUEUE
from .flights import Flights
from .jobs import ErrorSummary, Job, Progress, Result, Timing, UnitRecord
from .kinds import ONE, Cancelled, Document, Kind, Plan, ResultStore, Work
from .limits import END_SECONDS, ExecutorLimits
from .phases import FINAL, Event, Phase
from .store.protocol import JobStore
from .units import is_over
from .upkeep import Upkeep

__all__ = ["Executor"]

_log = structlog.get_logger("sodalake.jobs")

_INLINE_PLAN = 256 * 1024  # bytes; a larger plan is an object of the result store
_LOOK_AROUND = 2.0  # seconds between looks at orphans, requests of other servers, and the pool's width


class _Planning:
    """What `plan` and `finish` may use, from their thread."""

    def __init__(
        self, flights: Flights, results: ResultStore, active: Active, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.job = active.job
        self.results = results
        self.width = flights.widths[ONE]
        self.over_there: Callable[[], bool] = partial(is_over, active.key)
        self._flights, self._active, self._loop = flights, active, loop

    def map(self, function: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        """Call a function with each item on the batch workers, side by side."""
        if self.cancelled():
            raise Cancelled
        work = self._flights.map(self._active, function, items)
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def cancelled(self) -> bool:
        """Say whether the job is over."""
        return self._active.over

    def note(self, text: str) -> None:
        """Tell people how the job ran."""
        self._active.note = text


class Executor:
    """Executes the jobs of a store.

    Parameters
    ----------
    store
        The truth.
    kinds
        Name → kind.
    results
        Where parts and results go.
    pool
        Where units run.
    limits
        See `ExecutorLimits`.

    Attributes
    ----------
    timed, ended
        Called with the timing of a job that completed; called when any job has ended.
    """

    def __init__(
        self,
        store: JobStore,
        kinds: Mapping[str, Kind],
        results: ResultStore,
        pool: Pool,
        limits: ExecutorLimits | None = None,
    ) -> None:
        self.store = store
        self.kinds = dict(kinds)
        self.results = results
        self.limits = limits or ExecutorLimits()
        self._flights = Flights(pool, results, self.limits)
        self.timed: Callable[[Timing], None] = lambda timing: None
        self.ended: Callable[[], None] = lambda: None
        self._active: dict[str, Active] = {}
        self._wake = asyncio.Event()
        self.upkeep = Upkeep(store, results, self._drop, self.limits.archive)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._dropped: set[str] = set()

    # -- life

    async def start(self) -> None:
        """Go on with what was left, and take jobs from now on."""
        await self._flights.measure()
        for job_id in await self.store.orphans():
            await self._claim(job_id)
        for work in (self._take(), self._look_around(), self.upkeep.destroy_expired()):
            self._spawn(work)
        # What other servers on the same store did: at once, where `_look_around` would find it later.
        self._spawn(self._on(QUEUE, self._wake.set))
        self._spawn(self._on(DESTRUCTION, self.upkeep.look_again))
        self._spawn(self._on(self.store.runner, lambda: self._spawn(self._end_as_asked())))
        self._wake.set()

    async def stop(self) -> None:
        """Stop at once; jobs that execute stay so, and are gone on with later."""
        tasks = [*self._tasks, *self._flights.close()]
        for active in self._active.values():
            active.over = True
            tasks += [active.task] if active.task is not None else []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def enqueue(self, job_id: str) -> None:
        """Say that a job was queued."""
        self._wake.set()

    def destruction_changed(self) -> None:
        """Say that a job's destruction may now be the next."""
        self.upkeep.look_again()

    @property
    def widths(self) -> dict[str, int]:
        """Pool → how many units run at once, those that wait at their workers left out."""
        return self._flights.widths

    def executing(self) -> list[tuple[Job, Progress]]:
        """Return the jobs that execute here, and how far they are."""
        return [(active.job, active.progress) for active in self._active.values()]

    # -- ending a job early

    async def abort(self, job_id: str, event: Event = Event.ABORT) -> Job:
        """End a job, keeping what is finished; returns when it is ended, within about a second.

        Raises
        ------
        NoSuchJob, IllegalTransition
            As `JobStore.move`.
        """
        active = self._active.get(job_id)
        if active is not None and not active.ending:
            await self._end(active, event)
            return await self.store.get(job_id)
        job = await self.store.get(job_id)
        if job.phase in FINAL or (active is None and job.phase is not Phase.EXECUTING):
            moved = await self.store.move(job_id, event)
            return moved.job
        changed = self.store.events.subscribe(job_id)
        try:
            if active is None:
                await self.store.request_abort(job_id)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changed, 2 * END_SECONDS)
        finally:
            changed.cancel()
        return await self.store.get(job_id)

    async def destroy(self, job_id: str) -> None:
        """Forget a job at once, with its results (DELETE)."""
        await self._drop(job_id)
        await self.store.delete(job_id)
        await self.upkeep.sweep(job_id)

    async def _drop(self, job_id: str) -> None:
        active = self._active.get(job_id)
        if active is not None:
            active.ending = True
            await self._flights.stop(active)
            if active.task is not None and active.task is not asyncio.current_task():
                active.task.cancel()

    async def _end(self, active: Active, event: Event) -> None:
        active.ending = True
        until = time.monotonic() + END_SECONDS
        job_id = active.job.id
        await self._flights.stop(active)
        collecting = asyncio.create_task(self._collect(active))
        done, _ = await asyncio.wait({collecting}, timeout=max(0.05, until - time.monotonic()))
        error = (
            ErrorSummary(
                f"The job took longer than its executionDuration of {active.job.execution_duration} s."
            )
            if event is Event.EXPIRE
            else None
        )
        with contextlib.suppress(NoSuchJob, IllegalTransition):
            await self._move(job_id, event, error=error, results=collecting.result() if done else None)
            if not done:
                self._spawn(self._add_results(job_id, collecting))
        if active.task is not None:
            active.task.cancel()

    async def _collect(self, active: Active) -> Sequence[Result] | None:
        """Make results of the units that are finished."""
        if active.work is None or active.plan is None:
            return None
        try:
            records = await self._records(active)
            return await self._finish(active, records, whole=False)
        except Exception as error:  # noqa: BLE001 - the job ends whatever its kind makes of what is finished
            _log.warning("an ended job's results could not be made", job=active.job.id, error=str(error))
            return None

    async def _add_results(self, job_id: str, collecting: asyncio.Task[Sequence[Result] | None]) -> None:
        results = await collecting
        if results:
            with contextlib.suppress(NoSuchJob):
                await self.store.edit(job_id, results=results)

    # -- taking jobs

    async def _take(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._take_some()
            except StoreUnavailable as error:
                _log.error("jobs cannot be taken", error=str(error))
                await asyncio.sleep(_LOOK_AROUND)
                self._wake.set()

    async def _take_some(self) -> None:
        while len(self._active) < self.limits.jobs:
            owners = Counter(active.job.owner for active in self._active.values())
            served = [owner for owner, count in owners.items() if count >= self.limits.per_owner]
            free = self.limits.jobs - len(self._active)
            waiting = await self.store.waiting(4 * free, not_of=served)
            if not waiting:
                return
            # Owners take turns: who has least here goes first, within the same priority.
            turns: Counter[str | None] = Counter(owners)
            order: list[tuple[int, int, int, Job]] = []
            for job in waiting:
                order.append((-job.priority, turns[job.owner], len(order), job))
                turns[job.owner] += 1
            before = len(self._active)
            for _, turn, _, job in sorted(order, key=lambda entry: entry[:3])[:free]:
                if turn < self.limits.per_owner:
                    await self._claim(job.id)
            if len(self._active) == before:
                return  # others were faster

    async def _claim(self, job_id: str) -> None:
        if job_id in self._active:
            return
        job = await self.store.claim(job_id)
        if job is None:
            return
        active = self._active[job_id] = Active(job, job_id)
        active.task = asyncio.create_task(self._execute(active), name=f"job {job_id}")

    async def _execute(self, active: Active) -> None:
        job = active.job
        limit: asyncio.Task[None] | None = None
        try:
            limit = asyncio.create_task(self._expire(active))
            await self._work(active)
        except asyncio.CancelledError:
            raise
        except NoSuchJob:
            _log.info("a job was deleted while it ran", job=job.id)
        except IllegalTransition:
            _log.info("a job was ended elsewhere while it ran", job=job.id)
        except StoreUnavailable as error:
            _log.error("a job cannot be written", job=job.id, error=str(error))
            self._dropped.add(job.id)  # EXECUTING still, and ours: taken up again when the store answers
        except Exception as error:  # noqa: BLE001 - whatever a kind raises is its job's error, and no other's
            await self._fail(active, error)
        finally:
            if limit is not None:
                limit.cancel()
            self._flights.end(active)
            self._active.pop(job.id, None)
            self._wake.set()

    async def _work(self, active: Active) -> None:
        job = active.job
        kind = self.kinds.get(job.kind)
        if kind is None:
            raise BadJob(f"This service has no jobs of the kind {job.kind}.")
        active.work = work = await asyncio.to_thread(kind.check, job, self.results)
        plan, kept = await self._planned(active, work)
        active.plan = plan
        if kept and len(plan.units) > 1:
            known = await self.store.units(job.id)
            active.recorded = {record.number for record in known}
            self._check_bytes(active, known)
        self._flights.begin(active)
        if not kept and len(plan.units) > 1:
            # While the first units run: records mean something only beside the plan they were made by, so none is
            # written before it is. Of a single unit there is nothing to go on from.
            await self._keep_plan(active, work)
        await self._record_all(active, len(plan.units))
        single = len(plan.units) == 1 and bool(active.fresh)
        records = active.fresh if single else await self._records(active)
        results = await self._finish(active, records, whole=True)
        ended = datetime.now(UTC)
        timing = Timing(
            job.kind,
            work.shape,
            plan.targets,
            len(plan.units),
            sum(record.bytes for record in records),
            (ended - (job.started or ended)).total_seconds(),
            ((job.started or ended) - (job.queued or job.created)).total_seconds(),
            ended,
        )
        await self._move(
            job.id,
            Event.COMPLETE,
            results=results,
            units=active.fresh if single else (),
            timing=timing,
            note=active.note,
        )
        self.timed(timing)

    async def _planned(self, active: Active, work: Work) -> tuple[Plan, bool]:
        """Return the plan, and whether it was kept by an earlier server."""
        kept = await self.store.plan(active.job.id)
        if kept is not None:
            if not kept:
                kept = await asyncio.to_thread(self._read_plan, active.job.id)
            plan: Plan = pickle.loads(kept)  # noqa: S301 - our own, out of our own store
            return plan, True
        planning = _Planning(self._flights, self.results, active, asyncio.get_running_loop())
        return await asyncio.to_thread(work.plan, planning), False

    async def _keep_plan(self, active: Active, work: Work) -> None:
        plan, job_id = active.plan, active.job.id
        assert plan is not None
        packed = await asyncio.to_thread(pickle.dumps, plan)
        if len(packed) > _INLINE_PLAN:
            await asyncio.to_thread(self.results.write, f"{job_id}/plan", packed)
            packed = b""
        await self.store.set_plan(job_id, packed, work.shape, Progress(total=plan.targets))

    def _read_plan(self, job_id: str) -> bytes:
        stored = self.results.open(f"{job_id}/plan")
        try:
            return stored.read_at(0, stored.size)
        finally:
            stored.close()

    async def _finish(
        self, active: Active, records: Sequence[UnitRecord], *, whole: bool
    ) -> Sequence[Result]:
        assert active.work is not None
        assert active.plan is not None
        loop = asyncio.get_running_loop()
        # Units of a job that is over were told to stop; what makes results of those that are finished goes on.
        planning = _Planning(
            self._flights, self.results, active if whole else Active(active.job, key=""), loop
        )
        ordered: Iterator[UnitRecord] = iter(records)
        return await asyncio.to_thread(active.work.finish, planning, active.plan, ordered, whole)

    async def _records(self, active: Active) -> list[UnitRecord]:
        fresh = list(active.fresh)  # before the store is asked: what it is just being told leaves the list
        known = {record.number: record for record in await self.store.units(active.job.id)}
        for record in fresh:
            known.setdefault(record.number, record)
        return [known[number] for number in sorted(known)]

    async def _record_all(self, active: Active, units: int) -> None:
        """Record units as they are finished, those that come together in one transaction, until all are."""
        while len(active.recorded) + len(active.fresh) < units or active.fresh:
            if units == 1 and active.fresh:
                self._check_bytes(active, active.fresh)
                return  # is written together with the end of the job
            await active.news.wait()
            active.news.clear()
            batch = list(active.fresh)
            if units == 1 or not batch:
                continue
            await self.store.record(active.job.id, batch)
            active.recorded.update(record.number for record in batch)
            self._check_bytes(active, batch)
            del active.fresh[: len(batch)]

    def _check_bytes(self, active: Active, batch: Sequence[UnitRecord]) -> None:
        active.bytes += sum(record.bytes for record in batch)
        if self.limits.bytes and active.bytes > self.limits.bytes:
            raise BadJob(
                f"The job made more than {self.limits.bytes} bytes, which is the limit.",
                "Cut it into several, or ask for less of each target.",
            )

    async def _fail(self, active: Active, error: Exception) -> None:
        job = active.job
        if isinstance(error, Cancelled) and active.ending:
            return
        if isinstance(error, UwsError):
            told = str(error)
        else:
            _log.error("a job failed in a way it should not", job=job.id, exc_info=error)
            told = f"The service failed in a way it should not; report the job {job.id}."
            error = WorkFailed(told)  # its own words are for the log
        document = self._document(active, error)
        if document is not None:
            try:
                await asyncio.to_thread(self.results.write, f"{job.id}/error", document.body)
            except Exception as failure:  # noqa: BLE001 - any store's; the sentence is told without it
                _log.error("an error document cannot be written", job=job.id, error=str(failure))
                document = None
        summary = ErrorSummary(
            told,
            transient=not isinstance(error, BadJob),
            detail_type=document.content_type if document else "",
        )
        with contextlib.suppress(NoSuchJob, IllegalTransition):
            await self._move(job.id, Event.FAIL, error=summary)

    def _document(self, active: Active, error: Exception) -> Document | None:
        kind = self.kinds.get(active.job.kind)
        return kind.error_document(error) if kind is not None else None

    async def _move(self, job_id: str, event: Event, **changes: Any) -> None:
        moved = await self.store.move(job_id, event, **changes)
        _log.info("job", job=job_id, phase=str(moved.job.phase), owner=moved.job.owner or "anonymous")
        self.ended()

    async def _expire(self, active: Active) -> None:
        """End a job when its executionDuration has passed; the client may change it while the job executes."""
        while not active.ending:
            changed = self.store.events.subscribe(active.job.id)
            with contextlib.suppress(NoSuchJob):
                active.job = replace(
                    active.job, execution_duration=(await self.store.get(active.job.id)).execution_duration
                )
            started, limit = active.job.started or datetime.now(UTC), active.job.execution_duration
            left = limit - (datetime.now(UTC) - started).total_seconds() if limit else None
            if left is not None and left <= 0:
                self._spawn(self._end(active, Event.EXPIRE))
                return
            await asyncio.wait({changed}, timeout=left)
            changed.cancel()

    # -- housekeeping

    async def _on(self, key: str, act: Callable[[], object]) -> None:
        while True:
            await self.store.events.subscribe(key)
            act()

    async def _end_as_asked(self) -> None:
        """End the jobs that another server was asked to end."""
        for job_id in await self.store.abort_requests():
            active = self._active.get(job_id)
            if active is not None and not active.ending:
                await self._end(active, Event.ABORT)

    async def _let_go(self) -> None:
        """Stop working on jobs that are no longer this server's: another took them over, or they are gone."""
        for active in list(self._active.values()):
            try:
                job = await self.store.get(active.job.id)
            except NoSuchJob:
                job = None
            ours = (
                job is not None and job.phase is Phase.EXECUTING and job.runner in (None, self.store.runner)
            )
            if not ours and not active.ending and active.job.id in self._active:
                _log.warning("a job is another server's now", job=active.job.id)
                await self._drop(active.job.id)

    async def _look_around(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_AROUND)
            try:
                await self._flights.measure()
                await self._end_as_asked()
                await self._let_go()
                for job_id in {*await self.store.orphans(), *self._dropped}:
                    await self._claim(job_id)
                    self._dropped.discard(job_id)
                self._wake.set()  # jobs that another server queued and is too full to take
            except UwsError as error:
                _log.error("the store of jobs does not answer", error=str(error))

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
