"""WAIT by event: who waits for a job is a parked coroutine, woken when the job's phase has changed.

`Events` is the part every store has: one process. On PostgreSQL the store feeds it from LISTEN, so that a change
made by another server wakes too.

What is waited for is a key: a job's id, or one of those that servers wait for: `QUEUE`, `DESTRUCTION`, and a
runner's name, which is woken when one of its jobs is to be ended. A wake says "look again", no more: it may come
twice, or without a change when the store may have missed one.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Final

__all__ = ["DESTRUCTION", "QUEUE", "Events"]

QUEUE: Final = ":queue"
"""Woken when a job has been queued, in whichever server. No job's id has a colon."""

DESTRUCTION: Final = ":destruction"
"""Woken when a job's destruction was set."""


class Events:
    """Parked waiters by key. Used from one event loop."""

    def __init__(self) -> None:
        self._waiters: dict[str, set[asyncio.Future[None]]] = defaultdict(set)

    @property
    def parked(self) -> int:
        """How many wait now."""
        return sum(len(waiters) for waiters in self._waiters.values())

    def changed(self, key: str) -> None:
        """Wake all who wait for this."""
        for waiter in self._waiters.pop(key, ()):
            if not waiter.done():
                waiter.set_result(None)

    def wake_all(self) -> None:
        """Wake everybody: the server is ending, or may have missed a change."""
        for key in list(self._waiters):
            self.changed(key)

    def subscribe(self, key: str) -> asyncio.Future[None]:
        """Return a future that the next change resolves. Subscribe first, then look at the job."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters[key].add(waiter)
        waiter.add_done_callback(lambda _: self._left(key, waiter))
        return waiter

    def _left(self, key: str, waiter: asyncio.Future[None]) -> None:
        waiters = self._waiters.get(key)
        if waiters is not None:
            waiters.discard(waiter)
            if not waiters:
                del self._waiters[key]
