"""Waiting for a job's phase to change: many wait, one looks.

However many wait for a job, one task reads it, once when the first comes and once a change; the others are futures
it resolves. So a wake costs the store one read, and whoever makes something of the job (a document) can make it
once, because all are given the same value.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import NamedTuple

from .errors import UwsError
from .jobs import Job
from .phases import Phase
from .store.protocol import JobStore

__all__ = ["Seen", "Waiting"]


class Seen(NamedTuple):
    """A job after a wait, and how many were woken together with this one."""

    job: Job
    together: int = 1


@dataclass(eq=False, slots=True)
class _Watch:
    """A job that is waited for: who waits, the phase each has seen, and the job as last read."""

    waiters: dict[asyncio.Future[Seen | None], Phase] = field(default_factory=dict)
    seen: Job | None = None
    task: asyncio.Task[None] | None = None


class Waiting:
    """Those who wait for jobs of a store. Used from one event loop.

    Attributes
    ----------
    parked
        How many wait now.
    """

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._watches: dict[str, _Watch] = {}
        self._released = False

    @property
    def parked(self) -> int:
        """How many wait now."""
        return sum(len(watch.waiters) for watch in self._watches.values())

    def release(self) -> None:
        """Let everybody go, and nobody wait from now on: the server is ending."""
        self._released = True
        for watch in self._watches.values():
            for waiter in watch.waiters:
                if not waiter.done():
                    waiter.set_result(None)

    async def change(self, job: Job, seconds: float) -> Seen:
        """Return the job when it is in another phase than `job`, or as it is when the time is up.

        Parameters
        ----------
        job
            The job as the one who waits has seen it.

        Raises
        ------
        NoSuchJob
            It was deleted meanwhile.
        StoreUnavailable
            It cannot be read.
        """
        if self._released or seconds <= 0:
            return Seen(job)
        watch = self._watches.get(job.id)
        if watch is None:
            watch = self._watches[job.id] = _Watch()
            watch.task = asyncio.create_task(self._watch(job.id, watch), name=f"watch {job.id}")
        elif watch.seen is not None and watch.seen.version > job.version and watch.seen.phase != job.phase:
            return Seen(watch.seen)
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Seen | None] = loop.create_future()
        watch.waiters[waiter] = job.phase
        timer = loop.call_later(seconds, _let_go, waiter)
        try:
            found = await waiter
        finally:
            timer.cancel()
            watch.waiters.pop(waiter, None)
            if not watch.waiters and self._watches.get(job.id) is watch:
                del self._watches[job.id]
                assert watch.task is not None
                watch.task.cancel()
        if found is not None:
            return found
        # No change of phase; of progress there may be some.
        return Seen((watch.seen or job) if self._released else await self._store.get(job.id))

    async def _watch(self, job_id: str, watch: _Watch) -> None:
        try:
            while True:
                changed = self._store.events.subscribe(job_id)  # before looking: no change is missed
                try:
                    watch.seen = job = await self._store.get(job_id)
                    woken = [w for w, phase in watch.waiters.items() if phase != job.phase and not w.done()]
                    for waiter in woken:
                        waiter.set_result(Seen(job, len(woken)))
                    await changed
                finally:
                    changed.cancel()
        except UwsError as error:
            for waiter in watch.waiters:
                if not waiter.done():
                    waiter.set_exception(error)
        finally:
            if self._watches.get(job_id) is watch:
                del self._watches[job_id]


def _let_go(waiter: asyncio.Future[Seen | None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
