"""What a job will cost and when it will be done: the model of finished jobs and the queue of now, for one executor.

The model is fitted anew when a job has finished and somebody asks; the queue is played forward for each question,
but for the same question at most once a second, since a thousand submissions a minute ask the same.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from sodalake.uws.estimates import Model, Prediction
from sodalake.uws.executor import Executor
from sodalake.uws.forecast import Rules, Waiting, forecast
from sodalake.uws.jobs import Job, Timing
from sodalake.uws.kinds import ONE
from sodalake.uws.phases import ACTIVE, Phase

__all__ = ["Estimate", "Forecasts", "Sketch"]

_KEPT = 500  # timings; the model looks at the last hundred of a kind
_FRESH = 1.0  # seconds for which an answer is given again
_MOST_WAITING = 500  # jobs of the queue that are played forward


@dataclass(frozen=True, slots=True)
class Sketch:
    """What a job is like, as far as can be told without reading its list.

    Attributes
    ----------
    bytes, seconds
        Of its results, and of one core, if no job of this shape has ever finished; None: as jobs of its kind have.
    """

    shape: str
    targets: int
    bytes: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """What is expected of a job.

    Attributes
    ----------
    position
        Its place in the queue: 1 begins next.
    start, end
        When it is expected to.
    prediction
        What it takes alone.
    """

    position: int
    start: datetime
    end: datetime
    prediction: Prediction


class Forecasts:
    """Estimates for the jobs of one executor.

    Parameters
    ----------
    executor
        Its queue and its store.
    kind
        Whose jobs.
    sketch
        Tells what a job that is not planned yet is like.
    """

    def __init__(self, executor: Executor, kind: str, sketch: Callable[[Job], Sketch]) -> None:
        self._executor = executor
        self._kind = kind
        self._sketch = sketch
        self._timings: list[Timing] | None = None
        self._model: Model | None = None
        self._answers: dict[tuple[object, ...], tuple[float, Estimate]] = {}
        executor.timed = self._timed

    def _timed(self, timing: Timing) -> None:
        self._model = None
        if self._timings is not None:
            self._timings = [timing, *self._timings][:_KEPT]

    async def model(self) -> Model:
        """Return the model of what has finished until now."""
        if self._timings is None:
            self._timings = await self._executor.store.timings(_KEPT)
        if self._model is None:
            timings = self._timings
            running = [
                (job.started, self._units(progress.total))
                for job, progress in self._executor.executing()
                if job.started is not None
            ]
            self._model = await asyncio.to_thread(Model, timings, self._executor.widths[ONE], running=running)
        return self._model

    @staticmethod
    def _units(targets: int) -> int:
        return max(1, math.ceil(targets / 256))

    async def of_new(self, owner: str | None, priority: int, sketch: Sketch) -> Estimate:
        """Return the estimate of a job that would be queued now."""
        return await self._given((owner, priority, sketch), lambda: self._play(owner, priority, sketch, None))

    async def _given(self, asked: tuple[object, ...], play: Callable[[], Awaitable[Estimate]]) -> Estimate:
        known = self._answers.get(asked)
        if known is not None and time.monotonic() - known[0] < _FRESH:
            return known[1]
        made = await play()
        if len(self._answers) > 1000:
            self._answers.clear()
        self._answers[asked] = (time.monotonic(), made)
        return made

    async def of_job(self, job: Job) -> Estimate | None:
        """Return the estimate of a job: PENDING as if it were queued now; None when it is over."""
        if job.phase not in ACTIVE:
            return None
        sketch = self._known(job)
        if job.phase is Phase.PENDING:
            return await self.of_new(job.owner, job.priority, sketch)
        return await self._given(
            (job.id, job.version), lambda: self._play(job.owner, job.priority, sketch, job)
        )

    def _known(self, job: Job) -> Sketch:
        sketch = self._sketch(job)
        return Sketch(job.shape or sketch.shape, job.progress.total or sketch.targets)

    async def _play(self, owner: str | None, priority: int, sketch: Sketch, job: Job | None) -> Estimate:
        model = await self.model()
        prediction = self._predicted(model, sketch)
        queue: list[Waiting] = []
        asked = -1
        for other, progress in self._executor.executing():
            if job is not None and other.id == job.id:
                asked = len(queue)
            queue.append(self._running(model, other, progress.total, progress.done))
        for other in await self._executor.store.waiting(_MOST_WAITING):
            if job is not None and other.id == job.id:
                asked = len(queue)
            known = self._known(other)
            queue.append(self._queued(model, other.owner, other.priority, known))
        if asked < 0:
            asked = len(queue)
            queue.append(self._queued(model, owner, priority, sketch))
        limits = self._executor.limits
        rules = Rules(
            self._executor.widths,
            limits.jobs,
            limits.per_owner,
        )
        expected = await asyncio.to_thread(forecast, queue, rules, asked)
        now = datetime.now(UTC)
        began = job.started if job is not None and job.started is not None else None
        start = began or now + timedelta(seconds=expected.start + model.delay)
        return Estimate(
            expected.position + 1, start, now + timedelta(seconds=expected.end + model.delay), prediction
        )

    def _predicted(self, model: Model, sketch: Sketch) -> Prediction:
        """Return what a job takes alone; of a shape that was never seen, what the sketch says of it."""
        found = model.predict(self._kind, sketch.shape, sketch.targets)
        if found.samples or sketch.bytes is None or sketch.seconds is None:
            return found
        width = min(self._executor.widths[ONE], found.units)
        added = sketch.seconds / max(1, width)
        seconds = max(found.seconds, added)
        factor = seconds / found.seconds
        return replace(
            found, bytes=sketch.bytes, seconds=seconds, low=found.low * factor, high=found.high * factor
        )

    def _running(self, model: Model, job: Job, total: int, done: int) -> Waiting:
        known = self._known(job)
        targets = total or known.targets
        predicted = model.predict(self._kind, known.shape, targets)
        left = max(targets - done, 0)
        seconds = predicted.seconds * (left / targets if targets else 1.0)
        units = max(1, round(predicted.units * left / max(targets, 1)))
        return Waiting(job.owner, seconds, units, left, job.priority, executing=True)

    def _queued(self, model: Model, owner: str | None, priority: int, sketch: Sketch) -> Waiting:
        predicted = self._predicted(model, sketch)
        return Waiting(owner, predicted.seconds, predicted.units, sketch.targets, priority)
