"""The Dask workers: processes of our own, or those of a scheduler in production.

Two lanes that share nothing but the machine. A worker belongs to the fast lane when it offers the resource
`sodalake-fast`, to the batch lane (jobs) when it offers `sodalake-batch`. In production, beside the DataNodes, with
`MALLOC_ARENA_MAX=2` in their environment::

    dask worker tcp://SCHEDULER:8786 --nthreads 1 --resources "sodalake-fast=1" --memory-limit 0
    dask worker tcp://SCHEDULER:8786 --nthreads 2 --resources "sodalake-batch=2" --memory-limit 0

A scheduler that is restarted takes its workers with it (they end, and their supervisor starts them again); a
Dask client finds a scheduler that comes back soon, and is closed for good when it does not. `Workers` then makes
another client as often as it takes.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Callable
from typing import Any, Final

import dask.config
import structlog
from distributed import Client, Nanny, Scheduler, Worker, WorkerPlugin
from distributed.core import Status

from sodalake.lake.errors import ConfigurationError, Unavailable
from sodalake.lake.lanes import LANE
from sodalake.server.config import Settings

__all__ = ["BATCH", "Workers"]

BATCH: Final = "sodalake-batch"
"""Name of the Dask resource that the batch lane's workers offer."""

_log = structlog.get_logger("sodalake.workers")

_CONNECT_SECONDS = 5
_START_SECONDS = 90  # for our own workers: a busy machine starts slowly
_AT_ONCE = 2  # units of a batch worker: one reads or writes HDFS (a part's write is 40 ms of waiting) while one works
_LOOK = 0.5  # seconds between looks at the client of a scheduler that is not ours, and at our workers
_DEAD_LOOKS = 10  # in a row at which a nanny has no living worker: its own next start begins at once
# Of a worker's process. glibc has an arena for each thread, and each keeps what its largest picture took: a square
# degree in colour was 590 MB a worker, with two arenas 426. dask's own: free memory goes back, one thread a process.
_ENVIRONMENT: Final = {**dask.config.get("distributed.nanny.pre-spawn-environ"), "MALLOC_ARENA_MAX": 2}
# Dask profiles what workers do every 10 ms and looks at its loop every 20 ms and at the machine every 500 ms, for a
# dashboard that is not there. Measured, a server with three workers that has nothing to do: 20 % of a core, now 2.5.
_CONFIG: Final = {
    "distributed.nanny.pre-spawn-environ": _ENVIRONMENT,
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "10s",
    "distributed.scheduler.active-memory-manager.start": False,
}
# Dask's own HTTP server cannot be left out; it gets a free port of loopback, and no dashboard.
_LOOPBACK: Final[dict[str, Any]] = {
    "host": "127.0.0.1",
    "dashboard": False,
    "dashboard_address": "127.0.0.1:0",
}


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
        self._workers: list[_Supervised] = []
        self.on_new_client: Callable[[Client], None] = lambda client: None

    async def __aenter__(self) -> Workers:
        """Start the fast lane's workers, or find the scheduler.

        Raises
        ------
        ConfigurationError
            The scheduler that the settings name does not answer.
        Unavailable
            Our own workers do not start.
        """
        async with contextlib.AsyncExitStack() as close:
            settings = self._settings
            address = settings.scheduler
            if not address:
                logging.getLogger("distributed").setLevel(logging.WARNING)
                # As long as they are there: each start of a worker's process looks at it anew.
                close.enter_context(dask.config.set(_CONFIG))
                scheduler = Scheduler(port=0, **_LOOPBACK)
                await scheduler
                close.push_async_callback(scheduler.close)
                address = scheduler.address
                close.push_async_callback(self._end_workers)
                self._workers = [
                    _Supervised(address, f"fast-{number}", LANE, 1) for number in range(settings.worker_count)
                ]
                try:
                    async with asyncio.timeout(_START_SECONDS):
                        await asyncio.gather(*(one.ready.wait() for one in self._workers))
                except TimeoutError:
                    raise Unavailable(
                        f"The workers did not start within {_START_SECONDS} s.", "The log says more."
                    ) from None
            try:
                self.client = await _connected(address)
            except OSError as error:
                raise ConfigurationError(
                    f"The Dask scheduler {settings.scheduler} does not answer: {error}.",
                    "Check the setting `scheduler`, or leave it empty.",
                ) from error
            close.push_async_callback(self._end_client)
            if settings.scheduler:
                # Last in, first out: nobody makes another client while this one ends.
                close.push_async_callback(_cancelled, asyncio.create_task(self._keep_connected()))
            else:  # behind the fast ones, which a request may already wait for
                self._workers += [
                    _Supervised(address, f"batch-{number}", BATCH, _AT_ONCE)
                    for number in range(settings.batch_count)
                ]
            self._close = close.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close.aclose()

    async def _end_workers(self) -> None:
        await asyncio.gather(*(one.end() for one in self._workers))

    async def _end_client(self) -> None:
        await self.client.close()  # type: ignore[no-untyped-call]

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


class QuietEnd(WorkerPlugin):
    """A worker that ends does not log that it did.

    It closes its connections, and a heartbeat that waits for its answer on one of them in that moment logs a
    traceback as if something had failed.
    """

    name = "sodalake-quiet-end"

    def teardown(self, worker: Worker) -> None:
        """Drop what the heartbeat logs from now on."""
        logging.getLogger("distributed.worker").addFilter(lambda record: record.funcName != "heartbeat")


class _Supervised:
    """A worker process that is there until `end`.

    Dask's nanny starts a worker again that has died, but not one that died while it was being started, and it gives up
    for good where a start fails. Then there is another nanny.
    """

    def __init__(self, scheduler: str, name: str, resource: str, at_once: int) -> None:
        self.ready = asyncio.Event()
        self._name = name
        self._options = {
            **_LOOPBACK,
            "silence_logs": logging.WARNING,
            # The fast lane's readers have threads of their own; Dask's are for tasks, which do not come there.
            "nthreads": at_once,
            "resources": {resource: at_once},
            # No limit: pages of the memory-mapped row store count as the process's own, and a nanny that kills
            # its worker because the index is in the page cache would do so for ever.
            "memory_limit": 0,
            "plugins": (QuietEnd(),),
        }
        self._task = asyncio.create_task(self._keep(scheduler), name=name)

    async def end(self) -> None:
        """End the process."""
        await _cancelled(self._task)

    async def _keep(self, scheduler: str) -> None:
        for life in itertools.count():
            nanny = Nanny(scheduler, name=f"{self._name}.{life}", **self._options)
            # A nanny that is stopped while it starts a process cannot end it: the start is waited for, then ended.
            starting = asyncio.ensure_future(nanny)
            try:
                await asyncio.shield(starting)
                self.ready.set()
                await self._watch(nanny)
            except (OSError, RuntimeError) as error:  # a machine too busy to start it in time
                _log.warning("a worker could not be started", worker=nanny.name, error=str(error))
            finally:
                await asyncio.wait((starting,), timeout=_START_SECONDS)
                await nanny.close(timeout=_CONNECT_SECONDS)
            _log.warning("another nanny for a worker", worker=self._name)

    async def _watch(self, nanny: Nanny) -> None:
        """Return when the nanny has given up, or has had no living process for a while."""
        dead = 0
        while nanny.status not in (Status.closed, Status.failed) and dead < _DEAD_LOOKS:
            await asyncio.sleep(_LOOK)
            dead = 0 if nanny.is_alive() else dead + 1  # type: ignore[no-untyped-call]
