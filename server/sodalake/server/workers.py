"""The Dask workers: processes of our own, or those of a scheduler in production.

Two lanes that share nothing but the machine. A worker belongs to the fast lane when it offers the resource
`sodalake-fast`, to the batch lane (jobs) when it offers `sodalake-batch`. In production, beside the DataNodes::

    dask worker tcp://SCHEDULER:8786 --nthreads 1 --resources "sodalake-fast=1" --memory-limit 0
    dask worker tcp://SCHEDULER:8786 --nthreads 2 --resources "sodalake-batch=2" --memory-limit 0

A scheduler that is restarted takes its workers with it (they end, and their supervisor starts them again); a
Dask client finds a scheduler that comes back soon, and is closed for good when it does not. `Workers` then makes
another client as often as it takes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any, Final

import structlog
from distributed import Client, Nanny, Scheduler, SpecCluster

from sodalake.lake.errors import ConfigurationError
from sodalake.lake.lanes import LANE
from sodalake.server.config import Settings

__all__ = ["BATCH", "Workers"]

BATCH: Final = "sodalake-batch"
"""Name of the Dask resource that the batch lane's workers offer."""

_log = structlog.get_logger("sodalake.workers")

_CONNECT_SECONDS = 5
_AT_ONCE = 2  # units of a batch worker: one reads or writes HDFS (a part's write is 40 ms of waiting) while one works
_LOOK = 0.5  # seconds between looks at the client of a scheduler that is not ours
# Dask's own HTTP server cannot be left out; it gets a free port of loopback, and no dashboard.
_LOOPBACK: Final = {"host": "127.0.0.1", "dashboard": False, "dashboard_address": "127.0.0.1:0"}


class Workers:
    """A Dask client, and the processes it needs. An asynchronous context manager.

    Attributes
    ----------
    client
        The client of now.
    on_new_client
        Called with each further client.
    """

    client: Client

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._close = contextlib.AsyncExitStack()
        self.on_new_client: Callable[[Client], None] = lambda client: None

    async def __aenter__(self) -> Workers:
        """Start the fast lane's workers, or find the scheduler.

        Raises
        ------
        ConfigurationError
            The scheduler that the settings name does not answer.
        """
        async with contextlib.AsyncExitStack() as close:
            settings = self._settings
            address: Any = settings.scheduler
            if not address:
                fast = {f"fast-{number}": _worker(LANE) for number in range(settings.worker_count)}
                address = await close.enter_async_context(
                    SpecCluster(  # type: ignore[no-untyped-call]
                        workers=fast,
                        scheduler={"cls": Scheduler, "options": {**_LOOPBACK, "port": 0}},
                        asynchronous=True,
                        name="sodalake",
                        silence_logs=logging.WARNING,
                    )
                )
            try:
                self.client = await _connected(address)
            except OSError as error:
                raise ConfigurationError(
                    f"The Dask scheduler {settings.scheduler} does not answer: {error}.",
                    "Check the setting `scheduler`, or leave it empty.",
                ) from error
            close.push_async_callback(self._end_client)
            # Last in, first out: nobody makes another client while this one ends.
            keeping = self._keep_connected if settings.scheduler else self._start_batch
            task = asyncio.create_task(keeping())
            close.push_async_callback(_cancelled, task)
            self._close = close.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close.aclose()

    async def _end_client(self) -> None:
        await self.client.close()  # type: ignore[no-untyped-call]

    async def _start_batch(self) -> None:
        """Start the batch lane's workers behind the fast ones, which a request may already wait for."""
        scheduler = self.client.scheduler
        assert scheduler is not None
        async with contextlib.AsyncExitStack() as nannies:
            for number in range(self._settings.batch_count):
                options = _worker(BATCH, _AT_ONCE)["options"]
                nanny = Nanny(scheduler.address, name=f"batch-{number}", **options)
                await nannies.enter_async_context(nanny)
            await asyncio.Event().wait()

    async def _keep_connected(self) -> None:
        while True:
            await asyncio.sleep(_LOOK)
            if self.client.status != "closed":
                continue
            try:
                self.client = await _connected(self._settings.scheduler)
            except OSError as error:
                _log.warning("the scheduler does not answer", error=str(error))
            else:
                _log.info("the scheduler is back")
                self.on_new_client(self.client)


async def _connected(address: Any) -> Client:
    # Not `async with`: a client entered in one task and left in another trips over its own context variable.
    client = Client(  # type: ignore[no-untyped-call]
        address,
        asynchronous=True,
        name="sodalake-server",
        timeout=_CONNECT_SECONDS,
        direct_to_workers=True,  # calls to readers go to their worker, not by way of the scheduler
    )
    await client
    return client


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait((task,))


def _worker(resource: str, at_once: int = 1) -> dict[str, Any]:
    return {
        "cls": Nanny,
        "options": {
            **_LOOPBACK,
            "silence_logs": logging.WARNING,
            # The fast lane's readers have threads of their own; Dask's are for tasks, which do not come there.
            "nthreads": at_once,
            "resources": {resource: at_once},
            # No limit: pages of the memory-mapped row store count as the process's own, and a nanny that kills
            # its worker because the index is in the page cache would do so for ever.
            "memory_limit": 0,
        },
    }
