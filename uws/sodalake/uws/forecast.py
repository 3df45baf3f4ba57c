"""When a job will begin and end: the queue, played forward by the executor's own rule.

The rule: of the jobs that wait, the one of highest priority goes first, then the one that was queued first, but an
owner has only so many executing, and so has the service. Units of executing jobs interleave: places go to jobs of
higher priority first, then evenly to owners, then evenly to an owner's jobs. Evenly is counted in targets, so whose
targets take longer has more of the places. Nobody gets more than he has units; what he leaves goes to the others.

Units are many and small, so the simulation treats work as a fluid. Between two events (a job ends, another begins)
every job gets a constant share of its pool; there are at most two events a job, so a queue of a thousand jobs is
played in some tens of milliseconds. Jobs that come later are not foreseen: with fair shares they make an end later,
never earlier.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sodalake.uws.estimates import fair_level

__all__ = ["Expectation", "Rules", "Waiting", "forecast"]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A job that executes or is queued.

    Attributes
    ----------
    seconds
        It would still take, alone.
    units, targets
        It still has; without `targets`, as many as units.
    pool
        Where its units run.
    executing
        Whether it has begun.
    """

    owner: str | None
    seconds: float
    units: int = 1
    targets: int = 0
    priority: int = 0
    pool: str = "one"
    executing: bool = False


@dataclass(frozen=True, slots=True)
class Rules:
    """The executor's limits.

    Attributes
    ----------
    widths
        Pool → units that run side by side.
    jobs, per_owner
        Jobs that execute at a time; of one owner.
    """

    widths: Mapping[str, int] = field(default_factory=dict)
    jobs: int = 16
    per_owner: int = 4


@dataclass(frozen=True, slots=True)
class Expectation:
    """What will become of a job.

    Attributes
    ----------
    position
        Jobs that wait now and will begin before it.
    start, end
        Seconds from now.
    """

    position: int
    start: float
    end: float


def forecast(jobs: Sequence[Waiting], rules: Rules, of: int = -1) -> Expectation:
    """Return what will become of one of `jobs`.

    Parameters
    ----------
    jobs
        All that execute, and all that are queued, in the order in which they were.
    rules
        See `Rules`.
    of
        The place in `jobs` of the one that is asked for.
    """
    asked = range(len(jobs))[of]
    queues = _line_up(jobs)
    playing = _Playing(rules)
    for at, job in enumerate(jobs):
        if job.executing:
            playing.enter(at, job)
    began: list[int] = []
    now, start = 0.0, 0.0 if jobs[asked].executing else None
    while True:
        while (chosen := playing.chosen(jobs, queues)) is not None:
            queues[jobs[chosen].owner].popleft()
            playing.enter(chosen, jobs[chosen])
            began.append(chosen)
        playing.share()
        if start is None and asked in playing.jobs and playing.jobs[asked].rate > 0:
            start = now
        step, ended = playing.step()
        now += step
        if start is not None and asked in ended:
            return Expectation(began.index(asked) if asked in began else 0, start, now)


def _line_up(jobs: Sequence[Waiting]) -> dict[str | None, deque[int]]:
    queues: dict[str | None, deque[int]] = {}
    for at in sorted(
        (at for at, job in enumerate(jobs) if not job.executing), key=lambda at: -jobs[at].priority
    ):
        queues.setdefault(jobs[at].owner, deque()).append(at)
    return queues


@dataclass(slots=True)
class _Job:
    waiting: Waiting
    want: float  # places it can use
    left: float  # seconds of one place
    cost: float  # seconds of one place for a target
    given: float  # targets
    rate: float = 0.0  # places it has now


class _Playing:
    """The jobs that execute, as a fluid.

    As in the dispatcher, whoever was given less goes first until he has as much as the next, and who comes begins
    with the least that anyone was given.
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self.jobs: dict[int, _Job] = {}
        self._owners: dict[str | None, float] = {}

    def chosen(self, jobs: Sequence[Waiting], queues: Mapping[str | None, deque[int]]) -> int | None:
        """Return the job that begins now."""
        if len(self.jobs) >= self._rules.jobs:
            return None
        busy = Counter(job.waiting.owner for job in self.jobs.values())
        heads = [queue[0] for owner, queue in queues.items() if queue and busy[owner] < self._rules.per_owner]
        return min(heads, key=lambda at: (-jobs[at].priority, at), default=None)

    def enter(self, at: int, job: Waiting) -> None:
        want = float(min(max(job.units, 1), self._width(job.pool)))
        left = max(job.seconds, 1e-6) * want
        self._owners.setdefault(job.owner, min(self._owners.values(), default=0.0))
        given = min(
            (other.given for other in self.jobs.values() if other.waiting.owner == job.owner), default=0.0
        )
        self.jobs[at] = _Job(job, want, left, left / max(job.targets or job.units, 1), given)

    def _width(self, pool: str) -> int:
        return max(self._rules.widths.get(pool, 1), 1)

    def share(self) -> None:
        """Give the places to the jobs."""
        for pool in {job.waiting.pool for job in self.jobs.values()}:
            left = float(self._width(pool))
            here = [job for job in self.jobs.values() if job.waiting.pool == pool]
            for job in here:
                job.rate = 0.0
            for priority in sorted({job.waiting.priority for job in here}, reverse=True):
                left -= self._share_evenly([job for job in here if job.waiting.priority == priority], left)

    def _share_evenly(self, jobs: Sequence[_Job], places: float) -> float:
        owners: dict[str | None, list[_Job]] = {}
        for job in jobs:
            owners.setdefault(job.waiting.owner, []).append(job)
        wants = [sum(job.want for job in mine) for mine in owners.values()]
        costs = [sum(job.cost for job in mine) / len(mine) for mine in owners.values()]
        shares = _pour(places, [self._owners[owner] for owner in owners], wants, costs)
        for mine, share in zip(owners.values(), shares, strict=True):
            given, inner, each = zip(*((job.given, job.want, job.cost) for job in mine), strict=True)
            for job, rate in zip(mine, _pour(share, given, inner, each), strict=True):
                job.rate = rate
        return sum(shares)

    def step(self) -> tuple[float, list[int]]:
        """Go on to the next change; return the seconds, and the jobs that end with it."""
        speeds = dict.fromkeys(self._owners, 0.0)
        siblings: dict[str | None, list[tuple[float, float]]] = {}
        for job in self.jobs.values():
            speeds[job.waiting.owner] += job.rate / job.cost
            siblings.setdefault(job.waiting.owner, []).append((job.given, job.rate / job.cost))
        step = min(job.left / job.rate for job in self.jobs.values() if job.rate > 0)
        owners = [(given, speeds[owner]) for owner, given in self._owners.items()]
        step = min([step, *(_catch_up(group) for group in (owners, *siblings.values()))])
        ended = []
        for at, job in self.jobs.items():
            job.left -= job.rate * step
            job.given += job.rate / job.cost * step
            if job.left <= 1e-9 * job.want * (1 + job.waiting.seconds):
                ended.append(at)
        for owner, speed in speeds.items():
            self._owners[owner] += speed * step
        for at in ended:
            del self.jobs[at]
        for owner in set(self._owners) - {job.waiting.owner for job in self.jobs.values()}:
            del self._owners[owner]
        return step, ended


def _alike(less: float, more: float) -> bool:
    return more - less <= 1e-6 * (1 + more)


def _pour(
    places: float, given: Sequence[float], wants: Sequence[float], weights: Sequence[float]
) -> list[float]:
    """Give places to those who were given least first, and evenly to those who were given the same."""
    shares = [0.0] * len(wants)
    order = sorted(range(len(wants)), key=given.__getitem__)
    while order and places > 1e-12:
        group = [at for at in order if _alike(given[order[0]], given[at])]
        order = order[len(group) :]
        level = fair_level([wants[at] for at in group], places, [weights[at] for at in group])
        for at in group:
            shares[at] = min(wants[at], level * weights[at])
            places -= shares[at]
    return shares


def _catch_up(group: Sequence[tuple[float, float]]) -> float:
    """Return the seconds until one who was given less (given, speed) has as much as the next."""
    ordered = sorted(group)
    return min(
        (
            (more - less) / (fast - slow)
            for (less, fast), (more, slow) in itertools.pairwise(ordered)
            if fast > slow and not _alike(less, more)
        ),
        default=math.inf,
    )
