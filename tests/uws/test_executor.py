"""Jobs executed for real: a store, worker processes of Dask, results in a folder; and parts of it killed."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from distributed import Client, LocalCluster
from distributed.core import Status
from tiny_kinds import Counting, Streaming

from sodalake.lake.results import ResultFolder
from sodalake.uws.daskpool import DaskPool
from sodalake.uws.executor import Executor
from sodalake.uws.jobs import Job, NewJob, Parameter, Result
from sodalake.uws.limits import END_SECONDS, ExecutorLimits
from sodalake.uws.phases import FINAL, Phase
from sodalake.uws.store import open_store
from sodalake.uws.store.protocol import JobStore

clusters: dict[str, LocalCluster] = {}

SUPPORT = Path(__file__).parents[1] / "support"
PATIENCE = 100.0  # a worker that was killed takes seconds to come back, on a busy machine many


@pytest.fixture(scope="module")
def dask_address() -> Iterator[str]:
    """Two worker processes that can import the tiny kinds."""
    found = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(SUPPORT), found]))
    try:
        cluster = LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            resources={"batch": 1},
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
            memory_limit=0,
        )
        with cluster:
            clusters[cluster.scheduler_address] = cluster
            yield cluster.scheduler_address
    finally:
        os.environ["PYTHONPATH"] = found


@dataclass
class Room:
    """A store and an executor at work."""

    store: JobStore
    executor: Executor
    results: ResultFolder
    client: Client

    async def submit(self, kind: str = "counting", owner: str | None = None, **parameters: Any) -> str:
        new = NewJob(
            kind,
            owner,
            tuple(Parameter(name.upper(), str(value)) for name, value in parameters.items() if name != "job"),
            run=True,
            **parameters.get("job", {}),
        )
        job = await self.store.create(new)
        self.executor.enqueue(job.id)
        return job.id

    async def until(self, job_id: str, wanted: Callable[[Job], bool]) -> Job:
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    changed = self.store.events.subscribe(job_id)
                    job = await self.store.get(job_id)
                    if wanted(job):
                        changed.cancel()
                        return job
                    # Progress is no event: looked at now and then.
                    await asyncio.wait({changed}, timeout=0.05)
                    changed.cancel()
        except TimeoutError:
            assert self.client.scheduler is not None
            identity = await self.client.scheduler.identity(n_workers=-1)
            pytest.fail(
                f"{job.phase} {job.progress}, executing {self.executor.executing()}, "
                f"{vars(self.executor._flights._dispatcher)}, workers {list(identity['workers'])}, "
                f"tasks {await self.client.processing()} {self.client.futures}"
            )

    async def ended(self, job_id: str) -> Job:
        return await self.until(job_id, lambda job: job.phase in FINAL)

    def text(self, result: Result) -> str:
        pieces = []
        for segment in result.segments:
            if not segment.object:
                pieces.append(segment.data)
                continue
            stored = self.results.open(segment.object)
            pieces.append(stored.read_at(segment.offset, segment.length))
            stored.close()
        return b"".join(pieces).decode()


@asynccontextmanager
async def room(folder: Path, address: str, **limits: Any) -> AsyncIterator[Room]:
    client = Client(address, asynchronous=True, direct_to_workers=True)
    await client
    marks = folder / "marks"
    marks.mkdir(exist_ok=True)
    results = ResultFolder(str(folder / "results"))
    store = await open_store(f"sqlite:///{folder / 'jobs.sqlite'}")
    executor = Executor(
        store,
        {"counting": Counting(str(marks)), "streaming": Streaming()},
        results,
        DaskPool(lambda: client, "batch"),
        ExecutorLimits(pause=0.05, niceness=0, **limits),
    )
    await executor.start()
    try:
        yield Room(store, executor, results, client)
    finally:
        await executor.stop()
        await store.close()
        await client.close()


def numbers(count: int, *, without: tuple[int, ...] = ()) -> str:
    return "".join(f"{number}\n" for number in range(count) if number not in without)


Scenario = Callable[[Room], Awaitable[None]]


@pytest.fixture
def run(tmp_path: Path, dask_address: str) -> Callable[..., None]:
    def run(scenario: Scenario, **limits: Any) -> None:
        async def main() -> None:
            async with room(tmp_path, dask_address, **limits) as made:
                await scenario(made)

        asyncio.run(main())

    return run


def test_units_become_results(run: Callable[..., None]) -> None:
    async def scenario(room: Room) -> None:
        job = await room.ended(await room.submit(units=7))
        assert job.phase is Phase.COMPLETED
        assert job.started is not None
        assert job.ended is not None
        assert job.created <= job.started <= job.ended
        assert [result.id for result in job.results] == ["numbers"]
        assert room.text(job.results[0]) == numbers(7)
        assert (job.progress.total, job.progress.done, job.progress.failed) == (7, 7, 0)
        assert job.progress.bytes == len(numbers(7))
        assert await room.store.units(job.id) == []
        single = await room.ended(await room.submit(units=1))
        assert (single.progress.total, single.progress.done) == (1, 1)
        _, timing = await room.store.timings()
        assert (timing.kind, timing.shape, timing.targets, timing.units) == ("counting", "counting", 7, 7)

    run(scenario)


def test_one_streamed_result(run: Callable[..., None]) -> None:
    async def scenario(room: Room) -> None:
        job = await room.ended(await room.submit("streaming", query="SELECT 1000"))
        assert job.phase is Phase.COMPLETED
        (result,) = job.results
        assert (result.id, result.mime_type) == ("result", "text/csv")
        assert room.text(result).splitlines()[-1] == "999,998001"

    run(scenario)


def test_an_error_with_a_document_of_its_own(run: Callable[..., None]) -> None:
    async def scenario(room: Room) -> None:
        job = await room.ended(await room.submit("streaming", query="DUFF QUERY"))
        assert job.phase is Phase.ERROR
        assert job.error is not None
        assert "DUFF QUERY" in job.error.message
        assert not job.error.transient
        assert job.error.detail_type == "application/x-votable+xml"
        stored = room.results.open(f"{job.id}/error")
        assert b'value="ERROR"' in stored.read_at(0, stored.size)
        stored.close()

    run(scenario)


def test_wrong_parameters_are_the_jobs_error(run: Callable[..., None]) -> None:
    async def scenario(room: Room) -> None:
        job = await room.ended(await room.submit(units="many"))
        assert job.phase is Phase.ERROR
        assert job.error is not None
        assert "UNITS" in job.error.message
        unknown = await room.ended(await room.submit("nothing like it"))
        assert unknown.phase is Phase.ERROR

    run(scenario)


def test_a_unit_is_tried_again_and_its_error_kept_in_the_end(run: Callable[..., None]) -> None:
    async def scenario(room: Room) -> None:
        job = await room.ended(await room.submit(units=6, flaky="1", fail="4"))
        assert job.phase is Phase.COMPLETED
        assert room.text(job.results[0]) == numbers(6, without=(4,))
        assert room.text(job.results[1]) == "4: the disk does not answer\n"
        assert (job.progress.done, job.progress.failed) == (6, 1)

    run(scenario)


def test_a_killed_worker_loses_nothing(run: Callable[..., None]) -> None:
    async def scenario(room: Room) -> None:
        job = await room.ended(await room.submit(units=8, seconds=0.02, kill="2,5"))
        assert job.phase is Phase.COMPLETED
        assert room.text(job.results[0]) == numbers(8)
        assert job.progress.failed == 0

    run(scenario)


def test_abort_stops_soon_and_keeps_what_is_finished(run: Callable[..., None]) -> None:
    async def scenario(room: Room) -> None:
        job_id = await room.submit(units=200, seconds=0.1)
        await room.until(job_id, lambda job: job.progress.done >= 4)
        began = asyncio.get_running_loop().time()
        job = await room.executor.abort(job_id)
        assert job.phase is Phase.ABORTED
        assert asyncio.get_running_loop().time() - began < 10 * END_SECONDS  # on a busy machine
        assert job.ended is not None
        finished = room.text(job.results[0]).split()
        assert 4 <= len(finished) < 200
        assert finished == sorted(set(finished), key=int)
        # The workers are free: nothing of it runs on.
        after = await room.ended(await room.submit(units=2))
        assert after.phase is Phase.COMPLETED
        assert (await room.executor.abort(job_id)).phase is Phase.ABORTED

    run(scenario)


def test_abort_before_it_runs(run: Callable[..., None]) -> None:
    async def scenario(room: Room) -> None:
        first = await room.submit(units=50, seconds=0.1)
        await room.until(first, lambda job: job.phase is Phase.EXECUTING)
        second = await room.submit(units=1)
        assert (await room.executor.abort(second)).phase is Phase.ABORTED
        pending = await room.store.create(NewJob("counting"))
        assert (await room.executor.abort(pending.id)).phase is Phase.ABORTED
        await room.executor.abort(first)

    run(scenario, jobs=1)


def test_execution_duration_is_kept(run: Callable[..., None]) -> None:
    async def scenario(room: Room) -> None:
        job_id = await room.submit(units=100, seconds=0.1, job={"execution_duration": 1})
        job = await room.ended(job_id)
        assert job.phase is Phase.ABORTED
        assert job.error is not None
        assert "executionDuration" in job.error.message
        assert job.started is not None
        assert job.ended is not None
        assert timedelta(seconds=0.9) < job.ended - job.started < timedelta(seconds=4)
        assert room.text(job.results[0])

    run(scenario)


def test_execution_duration_may_change_while_a_job_executes(run: Callable[..., None]) -> None:
    async def scenario(room: Room) -> None:
        job_id = await room.submit(units=1000, seconds=0.1)
        await room.until(job_id, lambda job: job.progress.done >= 1)
        await room.store.edit(job_id, execution_duration=1)
        job = await room.ended(job_id)
        assert job.phase is Phase.ABORTED
        assert job.error is not None

    run(scenario)


def test_destruction_leaves_an_archived_job_and_no_bytes(run: Callable[..., None]) -> None:
    async def scenario(room: Room) -> None:
        job_id = await room.submit(units=2)
        assert (await room.ended(job_id)).phase is Phase.COMPLETED
        running = await room.submit(units=500, seconds=0.1)
        await room.until(running, lambda job: job.progress.done >= 1)
        soon = datetime.now(UTC) + timedelta(seconds=0.5)
        for one in (job_id, running):
            await room.store.edit(one, destruction=soon)
        room.executor.destruction_changed()
        for one in (job_id, running):
            job = await room.until(one, lambda job: job.phase is Phase.ARCHIVED)
            assert job.results == ()
        async with asyncio.timeout(PATIENCE):
            while room.results.names(job_id) or room.results.names(running):
                await asyncio.sleep(0.05)
        assert datetime.now(UTC) >= soon

    run(scenario)


def test_delete_forgets_a_running_job(run: Callable[..., None]) -> None:
    async def scenario(room: Room) -> None:
        job_id = await room.submit(units=300, seconds=0.1)
        await room.until(job_id, lambda job: job.progress.done >= 2)
        await room.executor.destroy(job_id)
        assert await room.store.find("counting", None) == []
        assert room.results.names(job_id) == []
        assert (await room.ended(await room.submit(units=1))).phase is Phase.COMPLETED

    run(scenario)


def test_a_job_that_makes_too_much_is_an_error(run: Callable[..., None]) -> None:
    async def scenario(room: Room) -> None:
        for units in (1, 40):
            job = await room.ended(await room.submit(units=units))
            wanted = Phase.COMPLETED if units == 1 else Phase.ERROR
            assert job.phase is wanted
        assert job.error is not None
        assert "20 bytes" in job.error.message

    run(scenario, bytes=20)


def test_owners_take_turns(run: Callable[..., None]) -> None:
    async def scenario(room: Room) -> None:
        giants = [await room.submit(units=300, seconds=0.05, owner="anna") for _ in range(3)]
        await room.until(giants[0], lambda job: job.progress.done >= 2)
        small = await room.submit(units=4, seconds=0.05, owner="bert")
        job = await room.ended(small)
        assert job.phase is Phase.COMPLETED
        ahead = [await room.store.get(giant) for giant in giants]
        assert all(giant.phase is not Phase.COMPLETED for giant in ahead)
        for giant in giants:
            await room.executor.abort(giant)

    run(scenario, per_owner=2)


def test_a_server_that_dies_is_gone_on_from(tmp_path: Path, dask_address: str) -> None:
    """The second server does the units that the first had not recorded, and only those."""

    async def first() -> tuple[str, int]:
        async with room(tmp_path, dask_address) as made:
            job_id = await made.submit(units=60, seconds=0.05)
            await made.until(job_id, lambda job: job.progress.done >= 10)
            done = len(await made.store.units(job_id))
            return job_id, done

    async def second(job_id: str) -> tuple[Job, str, set[str]]:
        async with room(tmp_path, dask_address) as made:
            job = await made.ended(job_id)
            parts = {name for name in made.results.names(job_id) if "part-" in name}
            return job, made.text(job.results[0]), parts

    job_id, done = asyncio.run(first())
    assert done >= 10
    job, text, parts = asyncio.run(second(job_id))
    assert job.phase is Phase.COMPLETED
    assert text == numbers(60)
    # A unit that was under way may have been done twice; those that were recorded were not.
    assert len(parts) <= 60 + 4 + 2


def test_the_plan_is_read_back_not_made_again(tmp_path: Path, dask_address: str) -> None:
    async def main() -> None:
        async with room(tmp_path, dask_address) as made:
            job_id = await made.submit(units=9000, seconds=0.05)
            await made.until(job_id, lambda job: job.progress.done >= 1)
            assert await made.store.plan(job_id) == b""  # too large for the store
            assert any(name.endswith("plan") for name in made.results.names(job_id))
        async with room(tmp_path, dask_address) as made:
            await made.until(job_id, lambda job: job.progress.done >= 20)
            assert (await made.executor.abort(job_id)).progress.total == 9000

    asyncio.run(main())


async def running_worker(room: Room) -> int:
    """Return the process of a worker; not of one that is being started, which a nanny would not start again."""
    nannies = next(iter(clusters.values())).workers.values()
    async with asyncio.timeout(PATIENCE):
        while not (pids := [one.pid for one in nannies if one.status == Status.running and one.is_alive()]):
            await asyncio.sleep(0.1)
    return pids[0]


def test_workers_that_die_at_random(run: Callable[..., None]) -> None:
    async def scenario(room: Room) -> None:
        job_id = await room.submit(units=150, seconds=0.02)
        for mark in (20, 60, 100):
            await room.until(job_id, lambda job, mark=mark: job.progress.done >= mark)
            os.kill(await running_worker(room), signal.SIGKILL)
        job = await room.ended(job_id)
        assert job.phase is Phase.COMPLETED
        assert room.text(job.results[0]) == numbers(150)

    run(scenario)
