"""The service as its handlers know it: the lake, the readers, the settings, and whether it is ending.

Nothing here is global, and nothing here knows a handler: `startup` puts the parts together.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

import structlog

from sodalake.lake.lake import Lake
from sodalake.lake.lanes import Lane
from sodalake.lake.survey import Survey
from sodalake.server.config import Settings
from sodalake.server.identity import Identities
from sodalake.server.urls import Proxies

if TYPE_CHECKING:
    from sodalake.server.imageengine import ImageEngine
    from sodalake.server.jobs import JobRoom
    from sodalake.server.tap.engine import TapEngine

__all__ = ["Service"]

_log = structlog.get_logger("sodalake.service")


class Service:
    """A lake, served.

    Parameters
    ----------
    settings
        See `config.Settings`; `lake` must be set.

    Attributes
    ----------
    lake
        The open lake: its surveys. Rows and files are read on the workers, never here.
    lane, scans
        The readers of the fast lane, and those on the workers of jobs, for what takes longer.
    identities
        Who the visitors are.
    soda_jobs
        The jobs at ``/soda/async``.
    tap, tap_jobs
        The queries, and the jobs at ``/tap/async``.
    images
        The cuts of survey images.
    since
        When the service became available, UTC.
    draining
        Whether it waits for its last requests.
    on_drain
        Called when it begins to: whoever makes requests wait lets them go.
    closing
        What `stop` undoes, in order.
    """

    lane: Lane
    scans: Lane
    identities: Identities
    soda_jobs: JobRoom
    tap: TapEngine
    images: ImageEngine
    tap_jobs: JobRoom
    since: datetime

    def __init__(self, settings: Settings, lake: Lake) -> None:
        self.settings = settings
        self.lake = lake
        self.proxies = Proxies(settings.trusted_proxies)
        self.draining = False
        self.on_drain: list[Callable[[], None]] = []
        self.port = 0
        self._active = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.closing = contextlib.AsyncExitStack()

    @property
    def url(self) -> str:
        """Where the service answers on this machine, with a slash at its end."""
        address = self.settings.address
        if address in ("", "0.0.0.0"):  # noqa: S104 - compared, not bound
            host = "127.0.0.1"
        elif address == "::":
            host = "[::1]"
        else:
            host = f"[{address}]" if ":" in address else address
        return f"http://{host}:{self.port}{self.settings.prefix}/"

    @property
    def default_survey(self) -> Survey | None:
        """The survey that /api/v1 answers for; None in a lake without any."""
        name = self.settings.survey or next(iter(self.lake.surveys), "")
        return self.lake.surveys.get(name)

    def count_in(self) -> None:
        """A request begins."""
        self._active += 1
        self._idle.clear()

    def count_out(self) -> None:
        """A request has ended."""
        self._active -= 1
        if not self._active:
            self._idle.set()

    async def drain(self) -> None:
        """Refuse new work, and return when the requests under way are done or their time is up."""
        self._begin_to_drain()
        began = time.monotonic()
        _log.info("draining", requests=self._active)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), self.settings.deadlines.drain)
        _log.info("drained", requests_cut=self._active, seconds=round(time.monotonic() - began, 2))

    async def stop(self) -> None:
        """Stop listening, cut what is still open, and let go of the workers and the lake."""
        self._begin_to_drain()
        await self.closing.aclose()

    def _begin_to_drain(self) -> None:
        self.draining = True
        for let_go in self.on_drain:
            let_go()
