"""What is done about jobs besides executing them: their destruction, and the deletion of their objects.

Everything starts from the store, so it goes on after a restart where it was: a job's objects are deleted, then that
is noted; what was deleted and not noted is deleted again, which finds nothing. Only what the store names is deleted:
the folder of results may have others' files in it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from .errors import IllegalTransition, NoSuchJob, UwsError
from .kinds import ResultStore
from .phases import Event, Instruction
from .store.protocol import JobStore

__all__ = ["Upkeep"]

_log = structlog.get_logger("sodalake.jobs")

_LONGEST: Final = 60.0  # seconds between looks at what is to be destroyed


class Upkeep:
    """Destroys jobs and deletes their objects.

    Parameters
    ----------
    store, results
        The jobs and their objects.
    drop
        Stops a job, by its id, where it executes here.
    archive
        How long a destroyed job is still known.
    """

    def __init__(
        self,
        store: JobStore,
        results: ResultStore,
        drop: Callable[[str], Awaitable[None]],
        archive: timedelta,
    ) -> None:
        self._store, self._results, self._drop, self._archive = store, results, drop, archive
        self._due = asyncio.Event()

    def look_again(self) -> None:
        """Say that a job's destruction may now be the next."""
        self._due.set()

    async def destroy_expired(self) -> None:
        """Destroy jobs when their time comes; those that were to be while no server ran, at once."""
        while True:
            wait = _LONGEST
            try:
                for job_id in await self._store.unswept():
                    await self.sweep(job_id)
                now = datetime.now(UTC)
                for job_id in await self._store.expired(now):
                    await self._drop(job_id)
                    with contextlib.suppress(NoSuchJob, IllegalTransition):
                        moved = await self._store.move(job_id, Event.DESTROY)
                        if Instruction.DELETE_RESULTS in moved.instructions:
                            await self.sweep(job_id)
                await self._store.forget_archived(now - self._archive)
                following = await self._store.next_destruction()
                if following is not None:
                    wait = min(wait, max(0.05, (following - datetime.now(UTC)).total_seconds()))
            except (UwsError, OSError) as error:
                _log.error("expired jobs cannot be destroyed", error=str(error))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._due.wait(), wait)
            self._due.clear()

    async def sweep(self, job_id: str) -> None:
        """Delete a job's objects; where that fails it is tried again later."""
        try:
            await asyncio.to_thread(self._results.delete, job_id)
        except Exception as error:  # noqa: BLE001 - any store's; the job stays among the unswept
            _log.error("a job's results cannot be deleted", job=job_id, error=str(error))
        else:
            await self._store.swept(job_id)
