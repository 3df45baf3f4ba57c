"""The batch workers, as the executor needs them: do this somewhere, and tell me when it was lost.

Dask tells of a lost scheduler by cancelling every future, and of a worker that died again and again by
`KilledWorker`; a task that was sent in the moment a connection broke may be waited for in vain, and so may the result
of one that was done on a worker that died before it was fetched. All are `Lost` here: nothing was wrong with the work,
it is to be done again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Protocol

from distributed import Client, KilledWorker
from distributed.client import ClosedClientError, FutureCancelledError

__all__ = ["DaskPool", "Lost", "Pool"]

# What Dask says of a connection that is gone; neither is an OSError or a RuntimeError.
_GONE = (ClosedClientError, FutureCancelledError)
_LOOK = 1.0  # seconds between looks at the connection while a task is waited for
_FORLORN = 5  # looks in a row at a task that is over for the scheduler, while its result does not come
_UNDER_WAY = frozenset({"waiting", "queued", "no-worker", "processing"})
_TELL = 2.0  # seconds to tell all workers something


class Lost(Exception):
    """The work was lost on its way, or with its worker.

    Attributes
    ----------
    deadly
        Workers died of it, one after another: it may be the work itself.
    """

    def __init__(self, reason: str, *, deadly: bool = False) -> None:
        super().__init__(reason, deadly)
        self.reason = reason
        self.deadly = deadly

    def __str__(self) -> str:
        return self.reason


class Pool(Protocol):
    """Where units run."""

    async def submit(self, function: Callable[..., Any], *args: Any, priority: int = 0) -> Any:
        """Call a picklable function somewhere; `Lost` where it has to be done again."""

    async def tell(self, function: Callable[..., Any], *args: Any) -> None:
        """Call a function on every worker, beside what runs there. Who cannot be reached is left out."""

    async def width(self) -> int:
        """Return how many units can run at the same time."""


class DaskPool:
    """The workers that offer a Dask resource.

    Parameters
    ----------
    client
        Returns the client of now: after a lost scheduler it is another one.
    resource
        What the workers offer, as much as they can do tasks at once; a task takes one.
    """

    def __init__(self, client: Callable[[], Client], resource: str) -> None:
        self._client = client
        self._resource = resource

    async def submit(self, function: Callable[..., Any], *args: Any, priority: int = 0) -> Any:
        """Call a picklable function on a worker of the pool."""
        client = self._client()
        comm = client.scheduler_comm
        try:
            future = client.submit(
                function, *args, pure=False, resources={self._resource: 1}, priority=priority
            )
        except (
            OSError,
            RuntimeError,
            AttributeError,
            *_GONE,
        ) as error:  # a client that is closed, or was just now
            raise Lost(f"the scheduler cannot be reached: {error}") from error
        waiting = asyncio.ensure_future(future.result())
        forlorn = 0
        try:
            while True:
                done, _ = await asyncio.wait({waiting}, timeout=_LOOK)
                if done:
                    break
                forlorn = 0 if await self._under_way(client, future.key) else forlorn + 1
                if forlorn == _FORLORN:
                    raise Lost("its result was lost with its worker")
                if client.status == "closed" or client is not self._client():
                    raise Lost("the scheduler is gone")
                if client.status == "running" and client.scheduler_comm is not comm:
                    raise Lost("the scheduler was lost and found again")
            if waiting.cancelled():
                raise Lost("the scheduler is gone")
            return waiting.result()
        except KilledWorker as error:
            raise Lost(f"workers died of it: {error}", deadly=True) from error
        except (OSError, *_GONE) as error:
            raise Lost(f"the connection broke: {error}") from error
        finally:
            if not waiting.done():
                waiting.cancel()
            with contextlib.suppress(OSError, RuntimeError, *_GONE):
                future.release()  # type: ignore[no-untyped-call]

    @staticmethod
    async def _under_way(client: Client, key: Any) -> bool:
        """Say whether the scheduler still means to do a task, or cannot be asked."""
        if client.scheduler is None or client.status != "running":
            return True
        try:
            states = await asyncio.wait_for(client.scheduler.get_task_status(keys=[key]), _TELL)
        except (OSError, RuntimeError, TimeoutError, *_GONE):
            return True
        return states.get(key) in _UNDER_WAY

    async def tell(self, function: Callable[..., Any], *args: Any) -> None:
        """Call a function on every worker of the pool."""
        with contextlib.suppress(OSError, RuntimeError, TimeoutError, *_GONE):
            addresses = list(await self._workers())
            if addresses:
                await asyncio.wait_for(
                    self._client().run(function, *args, workers=addresses, on_error="ignore", nanny=False),
                    _TELL,
                )

    async def width(self) -> int:
        """Return how much of the resource there is."""
        try:
            return sum((await asyncio.wait_for(self._workers(), _TELL)).values())
        except (OSError, RuntimeError, TimeoutError, *_GONE):
            return 0

    async def _workers(self) -> dict[str, int]:
        """Return the workers' addresses, and how much of the resource each has."""
        scheduler = self._client().scheduler
        if scheduler is None:
            return {}
        identity = await scheduler.identity(n_workers=-1)
        return {
            address: int(worker["resources"][self._resource])
            for address, worker in identity["workers"].items()
            if self._resource in worker.get("resources", {})
        }
