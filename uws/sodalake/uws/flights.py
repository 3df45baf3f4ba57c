"""Units on their way: handed to the pool in the dispatcher's order, tried again, and given up."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import structlog

from .active import Active
from .daskpool import Lost, Pool
from .dispatch import Dispatcher
from .errors import BadJob, WorkFailed
from .jobs import UnitRecord
from .kinds import ONE, SEVERAL, Cancelled, ResultStore, Unit
from .limits import END_SECONDS, ExecutorLimits
from .units import Failed, Stopped, call, run_unit, stop

__all__ = ["Flights"]

_log = structlog.get_logger("sodalake.jobs")

_AGAIN = "Send the job again; if it stays so, tell the operator."
_LOST_MOST = 20  # times a unit may be lost without being at fault


class Flights:
    """Has the units of the jobs that execute here done on a pool.

    A unit that is done is added to its job's `fresh` ones, and `news` set.

    Parameters
    ----------
    pool
        Where units run.
    results
        Where their parts go.
    limits
        See `ExecutorLimits`.
    """

    def __init__(self, pool: Pool, results: ResultStore, limits: ExecutorLimits) -> None:
        self._pool, self._results, self._limits = pool, results, limits
        self._dispatcher = Dispatcher({ONE: limits.depth, SEVERAL: limits.several})
        self._jobs: dict[str, Active] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._stopped = False

    @property
    def widths(self) -> dict[str, int]:
        """Pool → how many units run at once, those that wait at their workers left out."""
        widths = self._dispatcher.widths
        return {ONE: max(1, widths[ONE] // self._limits.depth), SEVERAL: widths[SEVERAL]}

    async def measure(self) -> None:
        """Look how many workers there are."""
        width = max(1, await self._pool.width())
        self._dispatcher.widths[ONE] = width * self._limits.depth
        self._pump()

    def begin(self, active: Active) -> None:
        """Take in a job that is planned: what is not recorded is done."""
        job, plan = active.job, active.plan
        assert plan is not None
        todo = [
            (number, unit.pool, unit.targets)
            for number, unit in enumerate(plan.units)
            if number not in active.recorded
        ]
        self._jobs[job.id] = active
        self._dispatcher.add(job.id, job.owner, job.priority, todo)
        self._pump()

    async def stop(self, active: Active) -> None:
        """Let a job's units end; those that are done meanwhile count. Returns within half of `END_SECONDS` or so."""
        active.over = True
        self._dispatcher.remove(active.job.id)
        # A scheduler that does not answer must not hold up the end: what units still make is not recorded.
        telling = self._spawn(self._pool.tell(stop, active.job.id))
        await asyncio.wait({telling}, timeout=END_SECONDS / 4)
        if active.flying:
            await asyncio.wait(active.flying, timeout=END_SECONDS / 3)
            for task in [*active.flying]:
                task.cancel()

    def end(self, active: Active) -> None:
        """Forget a job."""
        for task in active.flying:
            task.cancel()
        self._dispatcher.remove(active.job.id)
        self._jobs.pop(active.job.id, None)

    def close(self) -> list[asyncio.Task[Any]]:
        """End everything at once; return what is to be waited for."""
        self._stopped = True
        flying = [task for active in self._jobs.values() for task in active.flying]
        tasks = [*self._tasks, *flying]
        for task in tasks:
            task.cancel()
        return tasks

    async def map(self, active: Active, function: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        """Call a function with each item on the workers, side by side, for the planning of a job.

        Raises
        ------
        Cancelled
            The job is over.
        BadJob
            The function raised it.
        WorkFailed
            An item's worker was lost, again and again; any other error of the function that came with each try.
        """
        return list(await asyncio.gather(*(self._step(active, function, item) for item in items)))

    def _pump(self) -> None:
        while not self._stopped and (taken := self._dispatcher.next()) is not None:
            active = self._jobs.get(taken.job)
            if active is None or active.plan is None:
                self._dispatcher.done(taken.job, taken.number)
                continue
            task = asyncio.create_task(self._run(active, taken.number, active.plan.units[taken.number]))
            active.flying.add(task)
            task.add_done_callback(active.flying.discard)

    async def _run(self, active: Active, number: int, unit: Unit) -> None:
        job, work = active.job, active.work
        assert work is not None
        part = f"{job.id}/part-{number:06d}-{secrets.token_hex(3)}"
        pause = 0.0
        try:
            outcome = await self._pool.submit(
                run_unit,
                work.run,
                unit.spec,
                job.id,
                number,
                part,
                self._results,
                self._limits.niceness,
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
            self._dispatcher.done(job.id, number)
        # A unit that was done when its job was ended is kept: `stop` waits for it a moment.
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
            if active.attempts[number] >= self._limits.attempts:
                told = str(outcome.error) or type(outcome.error).__name__
                outcome = await asyncio.to_thread(work.lost, unit, number, told)
            else:
                pause = self._limits.pause * 2 ** (active.attempts[number] - 1)
        if isinstance(outcome, UnitRecord):
            active.fresh.append(outcome)
            active.news.set()
        else:
            self._spawn(self._again(active, number, unit, pause))
        self._pump()

    async def _again(self, active: Active, number: int, unit: Unit, pause: float) -> None:
        await asyncio.sleep(pause)
        if not active.over:
            self._dispatcher.again(active.job.id, number, unit.pool, unit.targets)
            self._pump()

    async def _step(self, active: Active, function: Callable[..., Any], item: Any) -> Any:
        failure: Exception | None = None
        tried = lost = 0
        while tried < self._limits.attempts and lost <= _LOST_MOST:
            if active.over:
                raise Cancelled
            try:
                answer = await self._pool.submit(call, function, item, active.key, self._limits.niceness)
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
            await asyncio.sleep(self._limits.pause * tried)
        assert failure is not None
        raise failure

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
