"""The fast lane, with real Dask workers that really die."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from alert_files import Alert, night
from distributed import Client, Nanny, Scheduler, SpecCluster

from sodalake.lake.alerts import AlertStamps, ByAlert, EpochsOf
from sodalake.lake.errors import ConfigurationError, Damaged, DeadlineExceeded, NotInLake, Unavailable
from sodalake.lake.files import as_url
from sodalake.lake.ingest import ingest
from sodalake.lake.lanes import LANE, Lane
from sodalake.lake.survey import Survey

ALERTS = [Alert(10_000 + i, "ZTF21aa", 2459540.5 + i) for i in range(9)]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("lanes")
    night(root / "archive", 22, ALERTS)
    ingest(str(root / "lake"), "ztf", [str(root / "archive")], workers=1)
    return as_url(str(root / "lake"))


# Dask's own HTTP server cannot be left out; it gets a free port.
SCHEDULER = {
    "cls": Scheduler,
    "options": {"host": "127.0.0.1", "port": 0, "dashboard": False, "dashboard_address": "127.0.0.1:0"},
}


@contextlib.asynccontextmanager
async def lane_of(lake: str, workers: int = 2, **options: Any) -> AsyncIterator[tuple[Lane, Client]]:
    worker = {
        "cls": Nanny,
        "options": {"host": "127.0.0.1", "nthreads": 1, "resources": {LANE: 1}, "dashboard": False},
    }
    async with (
        SpecCluster({f"fast-{n}": worker for n in range(workers)}, SCHEDULER, asynchronous=True) as cluster,
        Client(cluster, asynchronous=True, direct_to_workers=True) as client,
    ):
        lane = await Lane.start(client, lake, deadline=60, **options)
        try:
            yield lane, client
        finally:
            await lane.close()


def run(lake: str, test: Callable[[Lane, Client], Awaitable[None]], **options: Any) -> None:
    async def inside() -> None:
        async with lane_of(lake, **options) as (lane, client):
            await test(lane, client)

    asyncio.run(inside())


def question(number: int = 0) -> ByAlert:
    return ByAlert("ztf", str(ALERTS[number].candid), ("science",))


def test_answers_are_those_of_the_archive_and_finish_runs_on_the_worker(lake: str) -> None:
    server = os.getpid()

    def finish(alerts: list[AlertStamps], survey: Survey) -> tuple[str, int, bytes | None]:
        return survey.name, os.getpid(), alerts[0].stamps["science"]

    async def test(lane: Lane, client: Client) -> None:
        (alert,) = await lane.call(question())
        assert alert.stamps == {"science": ALERTS[0].stamp("Science")}
        name, pid, stamp = await lane.call(question(1), finish)
        assert (name, stamp) == ("ztf", ALERTS[1].stamp("Science"))
        assert pid != server
        page = await lane.call(
            EpochsOf("ztf", "ZTF21aa", ("science",), limit=4), lambda alerts, _: len(alerts)
        )
        assert (page.made, page.next is None) == (4, False)
        # Requests at once are spread over the workers.
        pids = {
            pid
            for _, pid, _ in await asyncio.gather(*(lane.call(question(i % 9), finish) for i in range(24)))
        }
        assert len(pids) == 2
        assert await lane.health() == {}
        assert (await lane.counters())["reads"] >= 10

    run(lake, test)


def test_errors_keep_their_kind_and_lose_no_actor(lake: str) -> None:
    def broken(alerts: list[AlertStamps], survey: Survey) -> None:
        raise RuntimeError("a bug in finish")

    def unreadable(alerts: list[AlertStamps], survey: Survey) -> None:
        raise Damaged("no FITS", "do this")

    class Unsendable(Exception):
        def __init__(self, first: str, second: str) -> None:
            super().__init__(first)
            self.held = threading.Lock()

    def unsendable(alerts: list[AlertStamps], survey: Survey) -> None:
        raise Unsendable("held", "it")

    def endless(alerts: list[AlertStamps], survey: Survey) -> None:
        endless(alerts, survey)

    def too_deep(alerts: list[AlertStamps], survey: Survey) -> None:
        try:
            endless(alerts, survey)
        except RecursionError as error:
            raise Damaged("nested", "too deep") from error

    async def test(lane: Lane, client: Client) -> None:
        # What cannot be sent, or whose causes cannot, is told all the same, and at once.
        with pytest.raises(RuntimeError, match="Unsendable: held"):
            await lane.call(question(), unsendable, deadline=5)
        with pytest.raises(RecursionError):
            await lane.call(question(), endless, deadline=5)
        with pytest.raises(Damaged, match="nested"):
            await lane.call(question(), too_deep, deadline=5)
        with pytest.raises(NotInLake, match="12345"):
            await lane.call(ByAlert("ztf", "12345", ("science",)))
        with pytest.raises(Damaged) as raised:
            await lane.call(question(), unreadable)
        assert (raised.value.message, raised.value.advice) == ("no FITS", "do this")
        # A RuntimeError of the work looks like Dask's for a lost actor: it must not be taken for one.
        with pytest.raises(RuntimeError, match="a bug in finish"):
            await lane.call(question(), broken)
        assert (await lane.counters())["remade"] == 0

    run(lake, test)


def test_a_call_keeps_its_deadline_and_the_lane_goes_on(lake: str, tmp_path: Path) -> None:
    enough = tmp_path / "enough"

    def stuck(alerts: list[AlertStamps], survey: Survey) -> None:
        for _ in range(1000):
            if enough.exists():
                break
            threading.Event().wait(0.05)

    async def test(lane: Lane, client: Client) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(DeadlineExceeded):
            await lane.call(question(), stuck, deadline=0.3)
        assert loop.time() - began < 30
        with pytest.raises(DeadlineExceeded):
            await lane.call(question(), deadline=-1)
        assert await lane.call(question())

        # A scheduler that does not answer either is not waited for.
        async def silent() -> list[str]:
            await asyncio.sleep(600)
            return []

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(lane, "_workers", silent)
            with pytest.raises(DeadlineExceeded):
                await asyncio.wait_for(lane.call(question(), stuck, deadline=0.6), 60)
        enough.touch()  # both threads are stuck now
        assert await lane.call(question())

    run(lake, test, workers=1, slots=1, threads=2)


@pytest.mark.parametrize("both", [False, True], ids=["one of two workers", "both workers"])
def test_a_killed_worker_is_not_noticed(lake: str, both: bool) -> None:
    async def test(lane: Lane, client: Client) -> None:
        pids = list((await client.run(os.getpid)).values())
        done = asyncio.Event()
        answered = 0

        async def ask() -> None:
            nonlocal answered
            while not done.is_set():
                number = answered % 9
                (alert,) = await lane.call(question(number))
                assert alert.stamps["science"] == ALERTS[number].stamp("Science")
                answered += 1

        async def until(more: int) -> None:
            while answered < more:
                assert not any(task.done() for task in asking), [t.exception() for t in asking if t.done()]
                await asyncio.sleep(0.01)

        asking = [asyncio.create_task(ask()) for _ in range(4)]
        await until(50)
        for pid in pids if both else pids[:1]:
            os.kill(pid, signal.SIGKILL)
        await until(answered + 200)
        done.set()
        await asyncio.gather(*asking)
        assert (await lane.counters())["remade"] >= 1
        # A worker comes back and gets a reader again.
        while len(lane.addresses()) < 2:
            await asyncio.sleep(0.05)

    run(lake, test)


def test_no_worker_of_the_lane_is_said(lake: str) -> None:
    async def inside() -> None:
        worker = {"cls": Nanny, "options": {"host": "127.0.0.1", "nthreads": 1, "dashboard": False}}
        async with (
            SpecCluster({"batch-0": worker}, SCHEDULER, asynchronous=True) as cluster,
            Client(cluster, asynchronous=True) as client,
        ):
            lane = Lane(client, lake, slots=1, threads=1, deadline=0.5)
            with pytest.raises(Unavailable, match="fast lane"):
                await lane.call(question())
            assert "workers" in await lane.health(seconds=0.5)
            await lane.close()

    asyncio.run(inside())


def test_a_lake_that_is_not_there_fails_at_once(tmp_path: Path) -> None:
    async def inside() -> None:
        with pytest.raises(ConfigurationError, match="no lake"):
            async with lane_of(as_url(str(tmp_path)), workers=1, slots=1):
                pass

    asyncio.run(inside())
