"""The jobs at ``/soda/async``: estimates, quotes, and the files of their results by name."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from sodalake.lake.errors import FileGone
from sodalake.server.errors import BadParameter
from sodalake.server.forecasts import Forecasts, Sketch
from sodalake.server.identity import User
from sodalake.server.jobs import Order
from sodalake.server.sodaorders import Holdings, asked
from sodalake.server.tellingroom import TellingRoom
from sodalake.sodacut.jobs.locator import Locator
from sodalake.uws.documents import iso
from sodalake.uws.jobs import Job, Result, Segment

__all__ = ["SodaRoom"]

_OPEN_LOCATORS = 32


@dataclass(eq=False)
class SodaRoom(TellingRoom):
    """The room of SODA's jobs.

    Parameters
    ----------
    holdings
        What jobs can be about.
    forecasts
        What estimates and quotes come from.
    """

    holdings: Holdings = field(default_factory=Holdings)
    forecasts: Forecasts | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._locators: OrderedDict[str, Locator] = OrderedDict()

    async def quoted(self, job: Job) -> Job:
        """Return the job with the time at which it is expected to end."""
        assert self.forecasts is not None
        expected = await self.forecasts.of_job(job)
        return job if expected is None else replace(job, quote=expected.end)

    async def estimate(self, user: User, order: Order) -> Mapping[str, object]:
        """Return position in the queue, expected start and end, seconds and bytes; reads the list, and refuses it.

        Raises
        ------
        LakeError
            As the job itself would be refused.
        """
        assert self.forecasts is not None
        if len(order.parts) > 1:
            raise BadParameter(f"There are {len(order.parts)} files; a job takes one list.", "Send one.")
        part = next(iter(order.parts), None)
        made = await asyncio.to_thread(
            asked,
            order.parameters,
            None if part is None else (part.content, part.content_type, part.filename),
            self.holdings,
            self.settings.jobs,
            self.settings.images,
            user.name,
        )
        sketched = Sketch(made.shape, len(made.work), *made.guess())
        expected = await self.forecasts.of_new(user.name, user.priority, sketched)
        prediction = expected.prediction
        return {
            "targets": sketched.targets,
            "position": expected.position,
            "expected_start": iso(expected.start),
            "expected_end": iso(expected.end),
            "seconds": round(prediction.seconds, 3),
            "seconds_low": round(prediction.low, 3),
            "seconds_high": round(prediction.high, 3),
            "bytes": prediction.bytes,
            "based_on": prediction.samples,
        }

    async def file(self, job: Job, name: str) -> Result | None:
        """Return one file of a job, by its name in the manifest."""
        return await asyncio.to_thread(self._located, job, name)

    def _located(self, job: Job, name: str) -> Result | None:
        try:
            locator = self._locators.pop(job.id, None) or Locator(self.results.open(f"{job.id}/locator"))
        except FileGone:
            return None
        self._locators[job.id] = locator
        while len(self._locators) > _OPEN_LOCATORS:
            self._locators.popitem(last=False)
        found = locator.find(name)
        if found is None:
            return None
        segment = Segment(found.object, found.offset, found.length)
        return Result(name, found.content_type, (segment,), name, found.sha256)
