"""The batch workers as the executor sees them: what becomes of work when Dask loses its parts."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from distributed import Client, Scheduler, Worker

from sodalake.uws.daskpool import DaskPool, Lost

PATIENCE = 30.0
begun = threading.Event()
released = threading.Event()


def block() -> None:
    begun.set()
    released.wait(PATIENCE)


def double(number: int) -> int:
    return 2 * number


def refuse(_: int) -> None:
    raise ValueError("no such number")


@dataclass
class Parts:
    """One of everything, in this process."""

    scheduler: Scheduler
    worker: Worker
    client: Client
    pool: DaskPool


@asynccontextmanager
async def parts() -> AsyncIterator[Parts]:
    begun.clear()
    released.clear()
    options = {"host": "127.0.0.1", "dashboard": False, "dashboard_address": "127.0.0.1:0"}
    scheduler = await Scheduler(port=0, **options)
    worker = await Worker(scheduler.address, nthreads=1, resources={"batch": 1}, **options)
    client = await Client(scheduler.address, asynchronous=True, timeout=0.5, set_as_default=False)
    try:
        yield Parts(scheduler, worker, client, DaskPool(lambda: client, "batch"))
    finally:
        released.set()
        await client.close()
        await worker.close()
        await scheduler.close()


def test_work_is_done_or_raises_what_it_raises() -> None:
    async def main() -> None:
        async with parts() as made, asyncio.timeout(PATIENCE):
            assert await made.pool.submit(double, 21) == 42
            assert await made.pool.width() == 1
            with pytest.raises(ValueError, match="no such number"):
                await made.pool.submit(refuse, 1)

    asyncio.run(main())


def test_work_under_way_is_lost_with_its_scheduler_and_so_is_what_comes_later() -> None:
    async def main() -> None:
        async with parts() as made, asyncio.timeout(PATIENCE):
            waiting = [asyncio.create_task(made.pool.submit(block)) for _ in range(3)]
            await asyncio.to_thread(begun.wait, PATIENCE)
            await made.scheduler.close()
            for one in await asyncio.gather(*waiting, return_exceptions=True):
                assert isinstance(one, Lost), repr(one)
                assert not one.deadly
            while made.client.status != "closed":  # it looks for a scheduler for half a second
                with pytest.raises(Lost):
                    await made.pool.submit(double, 1)
            with pytest.raises(Lost):
                await made.pool.submit(double, 1)
            assert await made.pool.width() == 0
            await made.pool.tell(double, 1)

    asyncio.run(main())
