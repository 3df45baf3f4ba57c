"""The Dask workers of a server: what their processes are like, and how they end."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import Any

import dask.config
import pytest
from distributed import Scheduler, Worker, WorkerPlugin

from sodalake.server.config import Settings
from sodalake.server.workers import QuietEnd, Workers

HEARTBEAT = "during heartbeat"


async def ended_during_a_heartbeat(*plugins: WorkerPlugin) -> None:
    """Close a worker while the scheduler does not answer its heartbeat."""
    options: dict[str, Any] = {"host": "127.0.0.1", "dashboard": False, "dashboard_address": "127.0.0.1:0"}
    beating = asyncio.Event()
    released = asyncio.Event()

    async def heartbeat_worker(**_: Any) -> dict[str, Any]:
        beating.set()
        await released.wait()
        return {"status": "missing"}

    async with Scheduler(port=0, **options) as scheduler:
        worker = await Worker(scheduler.address, nthreads=1, plugins=plugins, **options)
        scheduler.handlers["heartbeat_worker"] = heartbeat_worker
        await asyncio.wait_for(beating.wait(), 30)
        await worker.close()
        released.set()
        await asyncio.sleep(0)


@pytest.mark.parametrize("quiet", [False, True])
def test_a_heartbeat_that_is_under_way_at_the_end_is_no_failure(
    quiet: bool, caplog: pytest.LogCaptureFixture
) -> None:
    log = logging.getLogger("distributed.worker")
    before = list(log.filters)
    try:
        with caplog.at_level(logging.WARNING, log.name):
            asyncio.run(ended_during_a_heartbeat(*([QuietEnd()] if quiet else [])))
    finally:
        log.filters[:] = before
    # Without it Dask logs a traceback; when it no longer does, the plugin has no reason to be.
    assert (HEARTBEAT in caplog.text) is not quiet


def test_workers_that_have_nothing_to_do_do_nothing() -> None:
    def seen(dask_worker: Worker) -> tuple[str | None, dict[str, float]]:
        beats = {name: beat.callback_time for name, beat in dask_worker.periodic_callbacks.items()}
        return os.environ.get("MALLOC_ARENA_MAX"), beats

    async def main() -> dict[str, Any]:
        async with Workers(Settings(workers=1)) as workers:
            found: dict[str, Any] = await workers.client.run(seen)
            return found

    before = dask.config.get("distributed.admin.tick.interval")
    # Some workers are still being started when they are ended.
    found = asyncio.run(main())
    assert found
    for arenas, beats in found.values():
        assert arenas == "2"
        assert "profile" not in beats
        assert min(beats.values()) >= 500, beats
    assert dask.config.get("distributed.admin.tick.interval") == before
