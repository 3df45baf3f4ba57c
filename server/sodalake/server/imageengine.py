"""Cuts of images, from the server's side: asked of the fast lane, and of the scan lane where they take longer.

A cut of one image goes to a reader of the fast lane, which looks at its cost first and answers where that is small.
What takes longer (a degree-wide picture) and every mosaic is made on the workers of jobs, by as many at a time as there
are: two pools that share nothing, so that no mosaic keeps a small cut waiting, nor takes its memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import time

from sodalake.lake.errors import Unavailable
from sodalake.lake.lanes import Lane, LaneStream
from sodalake.server.config import Settings
from sodalake.server.turns import TurnStream
from sodalake.sodacut.images.asking import Order, begin_estimate, begin_image
from sodalake.sodacut.images.costs import Cost, Rates
from sodalake.sodacut.images.requests import AtPosition, ImageRequest, Limits
from sodalake.sodacut.images.session import Estimate

__all__ = ["ImageEngine"]


class ImageEngine:
    """The cuts of one service.

    Parameters
    ----------
    settings
        The service's.
    fast, scans
        The lanes.
    width
        Readers of the scan lane.
    """

    def __init__(self, settings: Settings, fast: Lane, scans: Lane, width: int) -> None:
        self._settings = settings
        self._fast = fast
        self._scans = scans
        self._turns = asyncio.Semaphore(settings.images.at_once or width)
        self._rates = Rates()
        self._learnt = time.monotonic()

    @property
    def rates(self) -> Rates:
        """How quick the machines are, as far as requests have shown."""
        return self._rates.faded(time.monotonic() - self._learnt)

    @property
    def limits(self) -> Limits:
        """What one request may cost."""
        images = self._settings.images
        return Limits(images.sync_seconds, images.sync_pixels, images.sync_bytes, images.largest_side)

    async def open(self, request: ImageRequest) -> TurnStream:
        """Begin to answer.

        Raises
        ------
        NoOverlap
            Nothing is left of the image.
        NotInLake
            No such image, or none at this place.
        TooExpensive
            It costs more than is answered at once.
        LakeError
            As the readers raise.
        """
        deadline = self._settings.deadlines.request
        until = time.monotonic() + deadline
        quick = self._settings.images.quick_seconds
        order = Order(request, self.limits, self.rates, quick)
        async with contextlib.AsyncExitStack() as turn:
            stream: LaneStream | None = None
            if not request.is_several:
                stream = await self._fast.open(begin_image, order, deadline=deadline)
            if stream is None or stream.head.is_elsewhere:
                await self._wait(turn, until)
                order = Order(request, self.limits, self.rates)
                stream = await self._scans.open(begin_image, order, deadline=until - time.monotonic())
            if stream.head.cost is not None:
                self._learn(stream.head.cost, stream.head.seconds)
            return TurnStream(stream, turn.pop_all())
        raise AssertionError("the stack swallows nothing")

    async def estimate(self, request: AtPosition) -> Estimate:
        """Return what a request would cost; reads nothing but the index.

        Raises
        ------
        NotInLake
            There is no image at this place.
        """
        order = Order(request, self.limits, self.rates)
        stream = await self._fast.open(begin_estimate, order, deadline=self._settings.deadlines.request)
        estimate: Estimate = stream.head
        return estimate

    def _learn(self, cost: Cost, seconds: float) -> None:
        before = self.rates
        after = before.learnt(cost, seconds)
        if after is not before:
            self._rates, self._learnt = after, time.monotonic()

    async def _wait(self, turn: contextlib.AsyncExitStack, until: float) -> None:
        try:
            await asyncio.wait_for(self._turns.acquire(), max(0.0, until - time.monotonic()))
        except TimeoutError:
            raise Unavailable(
                "Other mosaics and large pictures took all the time there was.",
                "Try again, or send it as a job.",
            ) from None
        turn.callback(self._turns.release)
