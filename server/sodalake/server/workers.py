"""The Dask workers of the fast lane: processes of our own, or those of a scheduler in production.

A worker belongs to the fast lane when it offers the resource `sodalake-fast`; batch work is not placed on it.
In production, beside the DataNodes::

    dask worker tcp://SCHEDULER:8786 --nthreads 1 --resources "sodalake-fast=1" --memory-limit 0
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any, Final

from distributed import Client, Nanny, Scheduler, SpecCluster

from sodalake.lake.errors import ConfigurationError
from sodalake.lake.lanes import LANE
from sodalake.server.config import Settings

__all__ = ["workers"]

_CONNECT_SECONDS = 5
# Dask's own HTTP server cannot be left out; it gets a free port of loopback, and no dashboard.
_LOOPBACK: Final = {"host": "127.0.0.1", "dashboard": False, "dashboard_address": "127.0.0.1:0"}


@contextlib.asynccontextmanager
async def workers(settings: Settings) -> AsyncIterator[Client]:
    """Yield a Dask client whose workers are there.

    Raises
    ------
    ConfigurationError
        The scheduler that the settings name does not answer.
    """
    async with contextlib.AsyncExitStack() as close:
        if settings.scheduler:
            address: Any = settings.scheduler
        else:
            address = await close.enter_async_context(
                SpecCluster(  # type: ignore[no-untyped-call]
                    workers={f"fast-{number}": _worker() for number in range(settings.worker_count)},
                    scheduler={"cls": Scheduler, "options": {**_LOOPBACK, "port": 0}},
                    asynchronous=True,
                    name="sodalake",
                    silence_logs=logging.WARNING,
                )
            )
        # Not `async with`: a client entered in one task and left in another trips over its own context
        # variable.
        client = Client(  # type: ignore[no-untyped-call]
            address,
            asynchronous=True,
            name="sodalake-server",
            timeout=_CONNECT_SECONDS,
            direct_to_workers=True,  # calls to readers go to their worker, not by way of the scheduler
        )
        try:
            await client
        except OSError as error:
            raise ConfigurationError(
                f"The Dask scheduler {settings.scheduler} does not answer: {error}.",
                "Check the setting `scheduler`, or leave it empty.",
            ) from error
        close.push_async_callback(client.close)
        yield client


def _worker() -> dict[str, Any]:
    return {
        "cls": Nanny,
        "options": {
            **_LOOPBACK,
            "silence_logs": logging.WARNING,
            # The reader has threads of its own; Dask's are for tasks, which do not come here.
            "nthreads": 1,
            "resources": {LANE: 1},
            # No limit: pages of the memory-mapped row store count as the process's own, and a nanny that
            # kills
            # its worker because the index is in the page cache would do so for ever.
            "memory_limit": 0,
        },
    }
