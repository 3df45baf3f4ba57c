"""Which unit runs next: priority first, then fair shares between owners, then between an owner's jobs.

Pure bookkeeping, no I/O. Shares are start-time fair queueing: an owner (and, within the owner, a job) that has
been given less so far goes first, counted in targets. Who comes late starts at what the others have reached, so
that nobody saves up a share by waiting, and a small job beside a giant one is done after a few units. Units that
run are never taken back: they are small.

Units belong to pools, each with a number of units that may run at once: work that holds several images in
memory has a narrower pool than work that holds one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

__all__ = ["Dispatcher", "Taken"]


@dataclass(frozen=True, slots=True)
class Taken:
    """A unit that is to run now."""

    job: str
    number: int


@dataclass(slots=True)
class _Queue:
    job: str
    owner: str | None
    priority: int
    pending: dict[str, deque[tuple[int, int]]]
    given: float
    running: dict[int, tuple[str, int]] = field(default_factory=dict)
    over: bool = False


class Dispatcher:
    """The units of all jobs that execute here.

    Parameters
    ----------
    widths
        Pool → units that may run at once.
    """

    def __init__(self, widths: Mapping[str, int]) -> None:
        self.widths = dict(widths)
        self._jobs: dict[str, _Queue] = {}
        self._owners: dict[str | None, float] = {}
        self._running: dict[str, int] = {}

    def add(self, job: str, owner: str | None, priority: int, units: Iterable[tuple[int, str, int]]) -> None:
        """Take in a job's units that are to run: number, pool and targets of each, in their order.

        The job stays, with nothing to run too (a unit may be put back), until it is removed.
        """
        if owner not in self._owners:
            self._owners[owner] = min(self._owners.values(), default=0.0)
        siblings = [other.given for other in self._jobs.values() if other.owner == owner]
        queue = _Queue(job, owner, priority, {}, min(siblings, default=0.0))
        for number, pool, targets in units:
            queue.pending.setdefault(pool, deque()).append((number, targets))
        self._jobs[job] = queue

    def remove(self, job: str) -> None:
        """Forget a job; what runs of it frees its place when it is `done`."""
        queue = self._jobs.get(job)
        if queue is None:
            return
        queue.pending.clear()
        queue.over = True
        if not queue.running:
            self._forget(queue)

    def next(self) -> Taken | None:
        """Return the unit that is to run now, and count it as running; None where there is none, or no place."""
        best: tuple[float, float, float] | None = None
        chosen: tuple[_Queue, str] | None = None
        for queue in self._jobs.values():
            for pool, pending in queue.pending.items():
                if not pending or self._running.get(pool, 0) >= self.widths.get(pool, 1):
                    continue
                rank = (-queue.priority, self._owners[queue.owner], queue.given)
                if best is None or rank < best:
                    best, chosen = rank, (queue, pool)
                break
        if chosen is None:
            return None
        queue, pool = chosen
        number, targets = queue.pending[pool].popleft()
        queue.running[number] = (pool, targets)
        queue.given += targets
        self._owners[queue.owner] += targets
        self._running[pool] = self._running.get(pool, 0) + 1
        return Taken(queue.job, number)

    def done(self, job: str, number: int) -> None:
        """Free the place of a unit."""
        queue = self._jobs.get(job)
        if queue is None or number not in queue.running:
            return
        pool, _ = queue.running.pop(number)
        self._running[pool] -= 1
        if queue.over and not queue.running:
            self._forget(queue)

    def again(self, job: str, number: int, pool: str, targets: int) -> None:
        """Put a unit that was `done` back at the front of its job."""
        queue = self._jobs.get(job)
        if queue is not None and not queue.over:
            queue.pending.setdefault(pool, deque()).appendleft((number, targets))

    def running(self, job: str) -> int:
        """Return how many units of a job run."""
        queue = self._jobs.get(job)
        return len(queue.running) if queue else 0

    def _forget(self, queue: _Queue) -> None:
        del self._jobs[queue.job]
        if not any(other.owner == queue.owner for other in self._jobs.values()):
            del self._owners[queue.owner]
