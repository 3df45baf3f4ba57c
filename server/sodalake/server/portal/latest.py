"""The latest alerts, asked for once however many look at the page.

Finding them reads the newest file's columns, which costs more than a stamp. So an answer is kept for some
seconds, and visitors who come while it is being found wait for the same one.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from sodalake.lake.alerts import Newest, NewestAlert
from sodalake.server.service import Service

__all__ = ["COUNT", "KEPT_SECONDS", "Latest"]

COUNT: Final = 24
"""Alerts on the page: a multiple of two, three and four columns."""

KEPT_SECONDS: Final = 5.0
"""How old an answer may be: a new night shows within it."""


class Latest:
    """The latest alerts of each survey of a service."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._found: dict[str, tuple[float, asyncio.Task[list[NewestAlert]]]] = {}

    async def of(self, survey: str) -> list[NewestAlert]:
        """Return the latest alerts of `survey`, newest first, none where it has none.

        Raises
        ------
        LakeError
            As the fast lane raises; the next visitor asks again.
        """
        since, task = self._found.get(survey, (0.0, None))
        if task is None or time.monotonic() - since > KEPT_SECONDS or _failed(task):
            task = asyncio.create_task(self._ask(survey))
            self._found[survey] = (time.monotonic(), task)
        # a visitor who leaves does not take the answer from the others
        return await asyncio.shield(task)

    async def _ask(self, survey: str) -> list[NewestAlert]:
        found: list[NewestAlert] = await self._service.lane.call(
            Newest(survey, COUNT), deadline=self._service.settings.deadlines.request
        )
        return found


def _failed(task: asyncio.Task[list[NewestAlert]]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
