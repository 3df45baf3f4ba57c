"""Parked waiters."""

from __future__ import annotations

import asyncio
import gc

from loops import in_loop

from sodalake.uws.events import Events


@in_loop
async def test_only_those_of_the_job_wake() -> None:
    events = Events()
    mine, also_mine, other = events.subscribe("a"), events.subscribe("a"), events.subscribe("b")
    assert events.parked == 3
    events.changed("a")
    await asyncio.gather(mine, also_mine)
    assert not other.done()
    assert events.parked == 1
    events.wake_all()
    await other
    assert events.parked == 0


@in_loop
async def test_a_change_nobody_waits_for_is_nothing() -> None:
    events = Events()
    events.changed("a")
    assert not events.subscribe("a").done()


@in_loop
async def test_who_goes_away_leaves_nothing_behind() -> None:
    events = Events()
    for number in range(100):
        with_timeout = asyncio.wait_for(events.subscribe(f"job{number}"), 0.001)
        assert isinstance((await asyncio.gather(with_timeout, return_exceptions=True))[0], TimeoutError)
    assert events.parked == 0
    assert not events._waiters
    events.changed("job1")


@in_loop
async def test_waiting_again_from_within_a_wake() -> None:
    events = Events()
    woken: list[int] = []
    parked = asyncio.Event()

    async def wait_twice() -> None:
        for turn in range(2):
            future = events.subscribe("a")
            parked.set()
            await future
            woken.append(turn)

    task = asyncio.create_task(wait_twice())
    for _ in range(2):
        await parked.wait()
        parked.clear()
        events.changed("a")
    await task
    assert woken == [0, 1]
    assert events.parked == 0


@in_loop
async def test_a_thousand_waiters_cost_a_future_each_and_wake_in_one_turn() -> None:
    events = Events()
    gc.collect()
    waiters = [events.subscribe("a") for _ in range(1000)]
    assert events.parked == 1000
    events.changed("a")
    await asyncio.sleep(0)
    assert all(waiter.done() for waiter in waiters)
    assert events.parked == 0
