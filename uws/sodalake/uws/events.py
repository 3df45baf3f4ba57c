"""WAIT by event: who waits for a job is a parked coroutine, woken when the job's phase has changed.

`Events` is the part every store has: one process. On PostgreSQL the store feeds it from LISTEN, so that a change
made by another server wakes too.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict

__all__ = ["Events"]


class Events:
    """Parked waiters by job. Used from one event loop.

    Attributes
    ----------
    parked
        How many wait now.
    """

    def __init__(self) -> None:
        self._waiters: dict[str, set[asyncio.Future[None]]] = defaultdict(set)
        self.parked = 0

    def changed(self, job_id: str) -> None:
        """Wake all who wait for this job."""
        for waiter in self._waiters.pop(job_id, ()):
            if not waiter.done():
                waiter.set_result(None)

    def wake_all(self) -> None:
        """Wake everybody: the server is ending, or may have missed a change."""
        for job_id in list(self._waiters):
            self.changed(job_id)

    def subscribe(self, job_id: str) -> asyncio.Future[None]:
        """Return a future that the job's next change resolves. Subscribe first, then look at the job."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters[job_id].add(waiter)
        self.parked += 1
        waiter.add_done_callback(lambda _: self._left(job_id, waiter))
        return waiter

    def _left(self, job_id: str, waiter: asyncio.Future[None]) -> None:
        self.parked -= 1
        waiters = self._waiters.get(job_id)
        if waiters is not None:
            waiters.discard(waiter)
            if not waiters:
                del self._waiters[job_id]
