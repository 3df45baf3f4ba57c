"""How long a job will take, and how much it will make: learned from the jobs that were done.

**What is asked of it.** People plan by factors: whether it is a minute, an hour or the night. So an estimate is good
when the truth is within a factor of two, and what is fitted are factors (differences of logarithms), not seconds: a
job of a day must not drown a thousand jobs of a second.

**The model.** A job costs something to begin and end with, and something for each target; where the bytes it will
make are known beforehand, something for each byte::

    seconds ≈ a + b·targets (+ c·bytes)        bytes ≈ d·targets        units ≈ 1 + e·targets

None is negative: more targets never take less time. Jobs are alike when kind and *shape* (``stamps/arrow``) are.

**Seconds alone.** What was measured is how long a job took beside the others that ran then. Their intervals are
known, so each job's seconds are first reduced to those it would have taken alone: at every moment of its life it
counts only the part of the service that was its own (jobs share the width evenly, a job of two units uses at most
two places). The queue's simulation (`forecast`) puts the company back in that a new job will meet. Without this the
same company would be counted twice, and a busy service would promise the worst.

**Few jobs, and none.** A fit needs jobs of different sizes, and begins without any. So beside the measured jobs
stand a few imagined ones of weight 0.03, from one target to a million, that lie on a prior, moved to where the
median of what was measured is. One job alone thus moves the line and leaves its form; ten outweigh it. The prior of a
shape is the fit of its kind, whatever the shape; that of a kind is `Prior`, a guess.

**Outliers and news.** A job that met a dead worker took ten times its due. Huber's weights bound what any one says:
beyond 1.3 standard deviations it counts by its direction only. A job counts half of what one ten jobs later does:
after a change of machines the estimates are right again some twenty jobs later, and fourteen jobs' worth of evidence
is enough to average noise out.

**The fit** is Gauss-Newton on the logarithm: with residuals r = log(y/ŷ), the next coefficients are the non-negative
least-squares solution of (X/ŷ)·β = 1 + r, weighted. With three coefficients the non-negative solution is found by
trying every subset of them.

**How sure** it is: the spread of the residuals, held by a prior of a factor 2.5 that counts as two jobs, and wider
the farther a job lies outside of the sizes that were seen. `low` and `high` hold four in five jobs.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
import numpy.typing as npt

from sodalake.uws.jobs import Timing

__all__ = ["Model", "Prediction", "Prior"]

_Floats = npt.NDArray[np.float64]

_HALF_LIFE: Final = 10.0  # jobs
_MOST: Final = 100  # jobs of a kind that are looked at: the 100th counts a thousandth
_IMAGINED: Final = np.array([1.0, 1e2, 1e4, 1e6])  # targets of the imagined jobs
_IMAGINED_WEIGHT: Final = 0.03
_HUBER: Final = 1.345
_LEAST_SPREAD: Final = 0.05  # of logarithms: below it jobs are as regular as clocks allow
_PRIOR_SPREAD: Final = math.log(2.5)
_PRIOR_JOBS: Final = 2.0
_SPREAD_PER_FOLD: Final = 0.15  # for each factor e that a job lies outside of the sizes seen
_FOUR_IN_FIVE: Final = 1.2816  # standard deviations
_LEAST_SECONDS: Final = 1e-3


@dataclass(frozen=True, slots=True)
class Prior:
    """What is believed of a kind of which nothing is known.

    Attributes
    ----------
    seconds, seconds_per_target
        Of a job alone.
    bytes_per_target
        Of its results.
    targets_per_unit
        How work is cut.
    """

    seconds: float = 0.5
    seconds_per_target: float = 0.002
    bytes_per_target: float = 20_000.0
    targets_per_unit: float = 64.0


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a job is expected to need.

    Attributes
    ----------
    seconds
        From its start to its end, if it is alone.
    bytes
        Of its results.
    units
        Pieces it will be cut into, at least 1: no more can run side by side.
    low, high
        Seconds that hold four in five such jobs between them.
    samples
        Jobs of its kind and shape that this rests on; 0: a guess.
    """

    seconds: float
    bytes: int
    units: int
    low: float
    high: float
    samples: int


class Model:
    """What was learned from finished jobs. Making one takes some milliseconds a shape, asking it microseconds.

    Parameters
    ----------
    timings
        Of finished jobs, in any order.
    width
        Units that run side by side when all places are used.
    running
        Start and units of the jobs that run now: they kept those company that have finished.
    prior
        See `Prior`.

    Attributes
    ----------
    delay
        Seconds that pass from being queued to the start even when nobody is before: the lower fifth of the waits.
    """

    def __init__(
        self,
        timings: Iterable[Timing],
        width: int,
        *,
        running: Iterable[tuple[datetime, int]] = (),
        prior: Prior | None = None,
    ) -> None:
        self._prior = prior or Prior()
        newest = sorted(timings, key=lambda timing: timing.ended, reverse=True)
        self.delay = float(np.quantile([timing.waited for timing in newest[:_MOST]], 0.2)) if newest else 0.0
        alone = _alone(newest, max(width, 1), list(running))
        self._jobs: dict[str, list[_Job]] = {}
        for timing, seconds in zip(newest, alone, strict=True):
            job = _Job(timing.shape, max(timing.targets, 1), timing.units, timing.bytes, seconds)
            self._jobs.setdefault(timing.kind, []).append(job)
        self._lines: dict[tuple[str, str | None, str], _Line] = {}
        # Now, since a model is made in a thread of its own, and asked from the event loop.
        for kind, jobs in self._jobs.items():
            for shape in {job.shape for job in jobs}:
                for what in ("seconds", "bytes", "units"):
                    self._line(kind, shape, what)

    def predict(self, kind: str, shape: str, targets: int, bytes: int | None = None) -> Prediction:
        """Return what a new job will need.

        Parameters
        ----------
        kind, shape
            What it is like.
        targets
            How many it has.
        bytes
            What it will make, where that is known beforehand.
        """
        count = max(targets, 1)
        size = self._line(kind, shape, "bytes").at(count) if bytes is None else float(bytes)
        units = self._line(kind, shape, "units").at(count)
        line = self._line(kind, shape, "seconds" if bytes is None else "seconds by bytes")
        seconds = max(line.at(count, size), _LEAST_SECONDS)
        factor = math.exp(_FOUR_IN_FIVE * line.spread(count))
        return Prediction(
            seconds,
            round(size),
            min(max(round(units), 1), count),
            seconds / factor,
            seconds * factor,
            sum(job.shape == shape for job in self._jobs.get(kind, ())),
        )

    def _line(self, kind: str, shape: str | None, what: str) -> _Line:
        """Return a fit: of a shape, whose prior is that of its kind (`shape` None), whose prior is the guess."""
        if (known := self._lines.get((kind, shape, what))) is not None:
            return known
        jobs = [job for job in self._jobs.get(kind, ()) if shape in (None, job.shape)][:_MOST]
        before = self._guess(what) if shape is None else self._line(kind, None, what)
        sizes = np.array([job.bytes for job in jobs], dtype=float)
        targets = np.array([job.targets for job in jobs], dtype=float)
        measured = np.array([job.of(what) for job in jobs], dtype=float)
        made = (
            _fit(before, targets, sizes if what == "seconds by bytes" else None, measured) if jobs else before
        )
        self._lines[kind, shape, what] = made
        return made

    def _guess(self, what: str) -> _Line:
        prior = self._prior
        match what:
            case "bytes":
                return _Line((0.0, prior.bytes_per_target, 0.0), begins=False)
            case "units":
                return _Line((1.0, 1.0 / prior.targets_per_unit, 0.0))
            case _:
                return _Line((prior.seconds, prior.seconds_per_target, 0.0))


@dataclass(frozen=True, slots=True)
class _Job:
    shape: str
    targets: int
    units: int
    bytes: int
    seconds: float

    def of(self, what: str) -> float:
        match what:
            case "bytes":
                return max(float(self.bytes), 1.0)
            case "units":
                return max(float(self.units), 1.0)
            case _:
                return max(self.seconds, _LEAST_SECONDS)


@dataclass(frozen=True, slots=True)
class _Line:
    """``coefficients · (1, targets, bytes)``, and how far what was measured lies from it, in logarithms."""

    coefficients: tuple[float, float, float]
    deviation: float = _PRIOR_SPREAD
    smallest: float = 1.0
    largest: float = 1.0
    begins: bool = True

    def at(self, targets: float, size: float = 0.0) -> float:
        begin, per_target, per_byte = self.coefficients
        return begin + per_target * targets + per_byte * size

    def spread(self, targets: float) -> float:
        outside = max(math.log(targets / self.largest), math.log(self.smallest / targets), 0.0)
        return math.hypot(self.deviation, _SPREAD_PER_FOLD * outside)


# ---------------------------------------------------------------------- the fit


def _fit(before: _Line, targets: _Floats, sizes: _Floats | None, measured: _Floats) -> _Line:
    """Fit a line to what was measured, the newest first."""
    weights = 0.5 ** (np.arange(len(targets)) / _HALF_LIFE)
    old = np.array(before.coefficients)
    by_bytes = sizes is not None and _tell_more(targets, sizes)
    if sizes is None:
        sizes = np.zeros_like(targets)
    seen = np.stack([np.ones_like(targets), targets, sizes], axis=1)
    # The prior, moved to where the jobs are: by their median.
    move = (
        _median(np.log(measured / (seen @ old)), weights) * weights.sum() / (weights.sum() + _IMAGINED_WEIGHT)
    )
    per_target = _median(np.log(np.maximum(sizes, 1) / targets), weights)
    imagined = np.stack([np.ones_like(_IMAGINED), _IMAGINED, _IMAGINED * math.exp(per_target)], axis=1)
    believed = math.exp(move) * (imagined @ old)
    matrix = np.concatenate([seen, imagined])
    values = np.concatenate([measured, believed])
    all_weights = np.concatenate([weights, np.full(len(_IMAGINED), _IMAGINED_WEIGHT)])
    columns = [0] * before.begins + [1] + [2] * by_bytes
    coefficients = _solve(
        matrix[:, columns], values, all_weights, len(targets), old[columns] * math.exp(move)
    )
    made = np.zeros(3)
    made[columns] = coefficients
    residuals = np.abs(np.log(measured / (seen @ made)))
    scale = _scale(residuals, weights)
    bounded = np.minimum(residuals, _HUBER * scale)
    evidence = float(weights.sum())
    variance = (float(weights @ bounded**2) + _PRIOR_JOBS * _PRIOR_SPREAD**2) / (evidence + _PRIOR_JOBS)
    return _Line(
        (float(made[0]), float(made[1]), float(made[2])),
        math.sqrt(variance),
        float(targets.min()),
        float(targets.max()),
        before.begins,
    )


def _tell_more(targets: _Floats, sizes: _Floats) -> bool:
    """Say whether the bytes are anything else than the targets again: not always as many for each."""
    return len(targets) >= 5 and bool((sizes > 0).all()) and float(np.std(np.log(sizes / targets))) > 0.2


def _solve(matrix: _Floats, values: _Floats, weights: _Floats, real: int, start: _Floats) -> _Floats:
    """Return the non-negative coefficients whose logarithm of factors is least; the first `real` rows are measured."""
    coefficients = np.where(start > 0, start, 0.0)
    if not (matrix @ coefficients > 0).all():
        coefficients = np.full(len(start), float(values.min()) / matrix.sum(axis=1).max())
    for _ in range(60):
        fitted = matrix @ coefficients
        residuals = np.log(values / fitted)
        limit = _HUBER * _scale(np.abs(residuals[:real]), weights[:real])
        robust = weights * np.minimum(1.0, limit / np.maximum(np.abs(residuals), 1e-12))
        # A step changes no fitted value by more than a factor of two: the line is only nearly straight in logarithms.
        aims = 1.0 + np.clip(residuals, -0.7, 0.7)
        made = _non_negative(matrix / fitted[:, None], aims, robust)
        if np.allclose(made, coefficients, rtol=1e-4, atol=0.0):
            return made
        coefficients = made
    return coefficients


def _non_negative(matrix: _Floats, aims: _Floats, weights: _Floats) -> _Floats:
    """Return the weighted least-squares solution without negative coefficients, of up to three."""
    root = np.sqrt(weights)
    columns = matrix * root[:, None]
    lengths = np.linalg.norm(columns, axis=0)
    columns = columns / lengths
    goal = aims * root
    # Of at most three columns of length one: the normal equations are as good as any way, and the fastest.
    normal = columns.T @ columns + 1e-12 * np.eye(len(lengths))
    right = columns.T @ goal
    best, least = np.zeros(len(lengths)), math.inf
    for count in range(1, len(lengths) + 1):
        for subset in itertools.combinations(range(len(lengths)), count):
            chosen = list(subset)
            found = np.linalg.solve(normal[np.ix_(chosen, chosen)], right[chosen])
            miss = -float(right[chosen] @ found)  # less what no subset changes
            if (found >= 0).all() and miss < least:
                least = miss
                best = np.zeros(len(lengths))
                best[chosen] = found / lengths[chosen]
    return best


def _median(values: _Floats, weights: _Floats) -> float:
    order = np.argsort(values)
    heaped = np.cumsum(weights[order])
    middle = heaped[-1] / 2
    low = int(np.searchsorted(heaped, middle, side="left"))
    high = int(np.searchsorted(heaped, middle, side="right"))
    return float(values[order[low]] + values[order[min(high, len(order) - 1)]]) / 2


def _scale(residuals: _Floats, weights: _Floats) -> float:
    """Return the standard deviation of most residuals: of those that are no outliers."""
    return max(1.4826 * _median(residuals, weights), _LEAST_SPREAD)


# ---------------------------------------------------------------------- seconds alone


def _alone(timings: Sequence[Timing], width: int, running: Sequence[tuple[datetime, int]]) -> list[float]:
    """Return the seconds each job would have taken alone; see the head of this file."""
    if not timings:
        return []
    ends = [timing.ended.timestamp() for timing in timings]
    begins = [end - max(timing.seconds, 0.0) for end, timing in zip(ends, timings, strict=True)]
    now = max(ends)
    begins += [min(started.timestamp(), now) for started, _ in running]
    ends += [now] * len(running)
    wants = [float(min(max(timing.units, 1), width)) for timing in timings]
    wants += [float(min(max(units, 1), width)) for _, units in running]
    alone = [0.0] * len(begins)
    moments = sorted({*begins, *ends})
    starting = sorted(range(len(begins)), key=begins.__getitem__, reverse=True)
    present: set[int] = set()
    for moment, following in itertools.pairwise(moments):
        while starting and begins[starting[-1]] <= moment:
            present.add(starting.pop())
        present = {at for at in present if ends[at] > moment}
        level = fair_level([wants[at] for at in present], float(width))
        for at in present:
            alone[at] += (following - moment) * min(wants[at], level) / wants[at]
    return alone[: len(timings)]


def fair_level(wants: Sequence[float], capacity: float, weights: Sequence[float] = ()) -> float:
    """Return the level at which `capacity` is shared: each gets his weight times it, and nobody more than he wants.

    Parameters
    ----------
    wants
        The most each can use.
    capacity
        What there is; more than is wanted makes the level infinite.
    weights
        One for each, above zero; none: all are alike.
    """
    pairs = sorted(
        (want / weight, weight) for want, weight in zip(wants, weights or [1.0] * len(wants), strict=True)
    )
    left, heavy = capacity, sum(weight for _, weight in pairs)
    for level, weight in pairs:
        if level * heavy >= left:
            return left / heavy
        left -= level * weight
        heavy -= weight
    return math.inf
