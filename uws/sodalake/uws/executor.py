"""The executor: takes queued jobs, has their units done, and writes what became of them.

A job is a coroutine here. It is claimed (checked, planned, or its plan read back), its units go through the
`Dispatcher` to the `Pool`, each finished unit is recorded in the store before it counts, and when all are
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
import secrets
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

import structlog

from .daskpool import Lost, Pool
from .dispatch import Dispatcher
from .errors import BadJob, IllegalTransition, NoSuchJob, StoreUnavailable, UwsError, WorkFailed
from .events import DESTRUCTION, QUEUE
from .jobs import ErrorSummary, Job, Progress, Result, Timing, UnitRecord
from .kinds import ONE, SEVERAL, Cancelled, Document, Kind, Plan, ResultStore, Unit, Work
from .phases import FINAL, Event, Phase
from .store.protocol import JobStore
from .units import Failed, Stopped, call, is_over, run_unit, stop
from .upkeep import Upkeep

__all__ = ["END_SECONDS", "Executor", "ExecutorLimits"]

_log = structlog.get_logger("sodalake.jobs")

END_SECONDS: Final = 0.8
"""Seconds that stopping a job and making results of what is finished may take before its phase changes anyway."""

_INLINE_PLAN = 256 * 1024  # bytes; a larger plan is an object of the result store
_LOOK_AROUND = 2.0  # seconds between looks at orphans, requests of other servers, and the pool's width
_AGAIN = "Send the job again; if it stays so, tell the operator."
_LOST_MOST = 20  # times a unit may be lost without being at fault


@dataclass(frozen=True, slots=True)
class ExecutorLimits:
    """How much runs at once.

    Attributes
    ----------
    jobs, per_owner
        Jobs executing in this server; of one owner.
    depth
        Units a batch worker has: one runs, the others wait at the worker, which hides the way there.
    several
        Units that may run at once in the pool of work that holds several images.
    attempts
        Times a unit is tried before its error is recorded.
    bytes
        Of the parts of one job; 0: any number. A job that makes more is an error.
    pause
        Seconds before a second try; doubled for each further.
    niceness
        Of units, 0 to 19: real-time work goes first.
    archive
        How long a destroyed job is still known, as ARCHIVED.
    """

    jobs: int = 16
    per_owner: int = 4
    depth: int = 2
    several: int = 1
    attempts: int = 3
    bytes: int = 0
    pause: float = 0.5
    niceness: int = 10
    archive: timedelta = timedelta(days=30)


@dataclass(slots=True)
class _Active:
    """A job that executes here."""

    job: Job
    key: str = ""
    work: Work | None = None
    plan: Plan | None = None
    over: bool = False
    fresh: list[UnitRecord] = field(default_factory=list)
    recorded: set[int] = field(default_factory=set)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    attempts: Counter[int] = field(default_factory=Counter)
    lost: Counter[int] = field(default_factory=Counter)
    bytes: int = 0
    note: str | None = None
    flying: set[asyncio.Task[None]] = field(default_factory=set)
    task: asyncio.Task[None] | None = None
    ending: bool = False


class _Planning:
    """What `plan` and `finish` may use, from their thread."""

    def __init__(self, executor: Executor, active: _Active, loop: asyncio.AbstractEventLoop) -> None:
        self.job = active.job
        self.results = executor.results
        self.width = executor.width
        self.over_there: Callable[[], bool] = partial(is_over, active.key)
        self._executor, self._active, self._loop = executor, active, loop

    def map(self, function: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        """Call a function with each item on the batch workers, side by side."""
        if self.cancelled():
            raise Cancelled
        work = self._executor._map(self._active, function, items)
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
        self.pool = pool
        self.limits = limits or ExecutorLimits()
        self.dispatcher = Dispatcher({ONE: self.limits.depth, SEVERAL: self.limits.several})
        self.timed: Callable[[Timing], None] = lambda timing: None
        self.ended: Callable[[], None] = lambda: None
        self._active: dict[str, _Active] = {}
        self._wake = asyncio.Event()
        self.upkeep = Upkeep(store, results, self._drop, self.limits.archive)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._dropped: set[str] = set()
        self._stopping = False

    # -- life

    async def start(self) -> None:
        """Go on with what was left, and take jobs from now on."""
        await self._measure()
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
        self._stopping = True
        tasks = [*self._tasks]
        for active in self._active.values():
            active.over = True
            tasks += [task for task in (active.task, *active.flying) if task is not None]
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
    def width(self) -> int:
        """How many units run at once, those that wait at their workers left out."""
        return max(1, self.dispatcher.widths[ONE] // self.limits.depth)

    def executing(self) -> list[tuple[Job, Progress]]:
        """Return the jobs that execute here, and how far they are."""
        return [(active.job, self._progress(active)) for active in self._active.values()]

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
            await self._stop_units(active)
            if active.task is not None and active.task is not asyncio.current_task():
                active.task.cancel()

    async def _end(self, active: _Active, event: Event) -> None:
        active.ending = True
        until = time.monotonic() + END_SECONDS
        job_id = active.job.id
        await self._stop_units(active)
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

    async def _stop_units(self, active: _Active) -> None:
        active.over = True
        self.dispatcher.remove(active.job.id)
        # A scheduler that does not answer must not hold up the end: what units still make is not recorded.
        telling = asyncio.create_task(self.pool.tell(stop, active.job.id))
        self._tasks.add(telling)
        telling.add_done_callback(self._tasks.discard)
        await asyncio.wait({telling}, timeout=END_SECONDS / 4)
        if active.flying:
            await asyncio.wait(active.flying, timeout=END_SECONDS / 3)
            for task in [*active.flying]:
                task.cancel()

    async def _collect(self, active: _Active) -> Sequence[Result] | None:
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
        active = self._active[job_id] = _Active(job, job_id)
        active.task = asyncio.create_task(self._execute(active), name=f"job {job_id}")

    async def _execute(self, active: _Active) -> None:
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
            for task in active.flying:
                task.cancel()
            self.dispatcher.remove(job.id)
            self._active.pop(job.id, None)
            self._wake.set()

    async def _work(self, active: _Active) -> None:
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
        todo = [
            (number, unit.pool, unit.targets)
            for number, unit in enumerate(plan.units)
            if number not in active.recorded
        ]
        self.dispatcher.add(job.id, job.owner, job.priority, todo)
        self._pump()
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

    async def _planned(self, active: _Active, work: Work) -> tuple[Plan, bool]:
        """Return the plan, and whether it was kept by an earlier server."""
        kept = await self.store.plan(active.job.id)
        if kept is not None:
            if not kept:
                kept = await asyncio.to_thread(self._read_plan, active.job.id)
            plan: Plan = pickle.loads(kept)  # noqa: S301 - our own, out of our own store
            return plan, True
        planning = _Planning(self, active, asyncio.get_running_loop())
        return await asyncio.to_thread(work.plan, planning), False

    async def _keep_plan(self, active: _Active, work: Work) -> None:
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
        self, active: _Active, records: Sequence[UnitRecord], *, whole: bool
    ) -> Sequence[Result]:
        assert active.work is not None
        assert active.plan is not None
        loop = asyncio.get_running_loop()
        # Units of a job that is over were told to stop; what makes results of those that are finished goes on.
        planning = _Planning(self, active if whole else _Active(active.job, key=""), loop)
        ordered: Iterator[UnitRecord] = iter(records)
        return await asyncio.to_thread(active.work.finish, planning, active.plan, ordered, whole)

    async def _records(self, active: _Active) -> list[UnitRecord]:
        fresh = list(active.fresh)  # before the store is asked: what it is just being told leaves the list
        known = {record.number: record for record in await self.store.units(active.job.id)}
        for record in fresh:
            known.setdefault(record.number, record)
        return [known[number] for number in sorted(known)]

    async def _record_all(self, active: _Active, units: int) -> None:
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

    def _check_bytes(self, active: _Active, batch: Sequence[UnitRecord]) -> None:
        active.bytes += sum(record.bytes for record in batch)
        if self.limits.bytes and active.bytes > self.limits.bytes:
            raise BadJob(
                f"The job made more than {self.limits.bytes} bytes, which is the limit.",
                "Cut it into several, or ask for less of each target.",
            )

    async def _fail(self, active: _Active, error: Exception) -> None:
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

    def _document(self, active: _Active, error: Exception) -> Document | None:
        kind = self.kinds.get(active.job.kind)
        return kind.error_document(error) if kind is not None else None

    async def _move(self, job_id: str, event: Event, **changes: Any) -> None:
        moved = await self.store.move(job_id, event, **changes)
        _log.info("job", job=job_id, phase=str(moved.job.phase), owner=moved.job.owner or "anonymous")
        self.ended()

    async def _expire(self, active: _Active) -> None:
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

    # -- units

    def _pump(self) -> None:
        while not self._stopping and (taken := self.dispatcher.next()) is not None:
            active = self._active.get(taken.job)
            if active is None or active.plan is None:
                self.dispatcher.done(taken.job, taken.number)
                continue
            task = asyncio.create_task(self._run(active, taken.number, active.plan.units[taken.number]))
            active.flying.add(task)
            task.add_done_callback(active.flying.discard)

    async def _run(self, active: _Active, number: int, unit: Unit) -> None:
        job, work = active.job, active.work
        assert work is not None
        part = f"{job.id}/part-{number:06d}-{secrets.token_hex(3)}"
        pause = 0.0
        try:
            outcome = await self.pool.submit(
                run_unit,
                work.run,
                unit.spec,
                job.id,
                number,
                part,
                self.results,
                self.limits.niceness,
                priority=job.priority,
            )
        except Lost as error:
            active.lost[number] += 1
            deadly = error.deadly or active.lost[number] > _LOST_MOST
            outcome = Failed(WorkFailed(f"The work was lost: {error.reason}.", _AGAIN)) if deadly else None
            pause = 0.1
        except Exception as error:  # noqa: BLE001 - nothing Dask may say makes the job wait for this unit for ever
            outcome = Failed(error)
        finally:
            self.dispatcher.done(job.id, number)
        # A unit that was done when its job was ended is kept: `_end` waits for it a moment.
        if isinstance(outcome, Stopped) or (active.over and not isinstance(outcome, UnitRecord)):
            return
        if isinstance(outcome, Failed):
            active.attempts[number] += 1
            _log.warning(
                "a unit failed",
                job=job.id,
                unit=number,
                attempt=active.attempts[number],
                error=str(outcome.error),
            )
            if active.attempts[number] >= self.limits.attempts:
                told = str(outcome.error) or type(outcome.error).__name__
                outcome = await asyncio.to_thread(work.lost, unit, number, told)
            else:
                pause = self.limits.pause * 2 ** (active.attempts[number] - 1)
        if isinstance(outcome, UnitRecord):
            active.fresh.append(outcome)
            active.news.set()
        else:
            self._spawn(self._again(active, number, unit, pause))
        self._pump()

    async def _again(self, active: _Active, number: int, unit: Unit, pause: float) -> None:
        await asyncio.sleep(pause)
        if not active.over:
            self.dispatcher.again(active.job.id, number, unit.pool, unit.targets)
            self._pump()

    async def _map(self, active: _Active, function: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        return list(await asyncio.gather(*(self._step(active, function, item) for item in items)))

    async def _step(self, active: _Active, function: Callable[..., Any], item: Any) -> Any:
        failure: Exception | None = None
        tried = lost = 0
        while tried < self.limits.attempts and lost <= _LOST_MOST:
            if active.over:
                raise Cancelled
            try:
                answer = await self.pool.submit(call, function, item, active.key, self.limits.niceness)
            except Lost as error:
                lost += 1
                tried += error.deadly
                failure = WorkFailed(f"The work was lost: {error.reason}.", _AGAIN)
                await asyncio.sleep(0.1)
                continue
            if isinstance(answer, Stopped):
                raise Cancelled
            if not isinstance(answer, Failed):
                return answer
            failure = answer.error
            if isinstance(failure, BadJob):
                break
            tried += 1
            await asyncio.sleep(self.limits.pause * tried)
        assert failure is not None
        raise failure

    def _progress(self, active: _Active) -> Progress:
        total = active.plan.targets if active.plan else (active.work.targets if active.work else 0)
        units = active.plan.units if active.plan else ()
        done = sum(units[number].targets for number in active.recorded)
        return Progress(total, done + sum(record.targets for record in active.fresh))

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
                await self._measure()
                await self._end_as_asked()
                await self._let_go()
                for job_id in {*await self.store.orphans(), *self._dropped}:
                    await self._claim(job_id)
                    self._dropped.discard(job_id)
                self._wake.set()  # jobs that another server queued and is too full to take
            except UwsError as error:
                _log.error("the store of jobs does not answer", error=str(error))

    async def _measure(self) -> None:
        width = max(1, await self.pool.width())
        self.dispatcher.widths[ONE] = width * self.limits.depth
        self.dispatcher.widths[SEVERAL] = self.limits.several
        self._pump()

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
