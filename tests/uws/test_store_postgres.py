"""What is the PostgreSQL store's own: several servers, which wake each other and see each other's end."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from loops import in_loop
from postgres_server import PostgresServer, postgres_server

from sodalake.uws.errors import IllegalTransition, StoreUnavailable
from sodalake.uws.events import DESTRUCTION, QUEUE
from sodalake.uws.jobs import NewJob, UnitRecord
from sodalake.uws.phases import Event, Phase
from sodalake.uws.store import JobStore, open_store
from sodalake.uws.store import listener as listener_module
from sodalake.uws.store.postgres import PostgresStore

PATIENCE = 20.0
END_LISTENERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND pid != pg_backend_pid()"
)
END_ALL = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'sodalake %'"


@asynccontextmanager
async def two(url: str) -> AsyncIterator[tuple[JobStore, JobStore]]:
    """Two servers, in one process."""
    first, second = await open_store(url, server_name="first"), await open_store(url, server_name="second")
    try:
        yield first, second
    finally:
        await first.close()
        await second.close()


async def in_thread(postgres: PostgresServer, url: str, statement: str) -> None:
    await asyncio.to_thread(postgres.run, statement, url.rpartition("/")[2])


# ---------------------------------------------------------------------- waking


@in_loop
async def test_a_change_in_one_server_wakes_the_other(postgres_url: str) -> None:
    async with two(postgres_url) as (first, second), asyncio.timeout(PATIENCE):
        job = await first.create(NewJob("k"))
        changes = (
            (Event.RUN, Phase.QUEUED), (Event.START, Phase.EXECUTING),
            (Event.COMPLETE, Phase.COMPLETED), (Event.DESTROY, Phase.ARCHIVED),
        )  # fmt: skip
        for event, phase in changes:
            woken = second.events.subscribe(job.id)
            await first.move(job.id, event)
            await woken
            assert (await second.get(job.id)).phase is phase
        woken = second.events.subscribe(job.id)
        await first.delete(job.id)
        await woken


@in_loop
async def test_what_servers_wait_for(postgres_url: str) -> None:
    async with two(postgres_url) as (first, second), asyncio.timeout(PATIENCE):
        queue, due = second.events.subscribe(QUEUE), second.events.subscribe(DESTRUCTION)
        job = await first.create(NewJob("k", run=True, destruction=datetime.now(UTC)))
        await asyncio.gather(queue, due)
        claimed = await second.claim(job.id)
        assert claimed is not None
        assert claimed.runner == second.runner
        assert await first.claim(job.id) is None
        asked = second.events.subscribe(second.runner)
        await first.request_abort(job.id)
        await asked
        assert await second.abort_requests() == [job.id]
        assert await first.abort_requests() == []


@in_loop
async def test_who_changes_nothing_wakes_nobody(postgres_url: str) -> None:
    async with two(postgres_url) as (first, second), asyncio.timeout(PATIENCE):
        job, other = await first.create(NewJob("k")), await first.create(NewJob("k"))
        woken = second.events.subscribe(job.id)
        with pytest.raises(IllegalTransition):
            await first.move(job.id, Event.COMPLETE)
        await first.edit(job.id, run_id="r")
        # Notifications come in the order of the commits: after the other's, there is none to come.
        another = second.events.subscribe(other.id)
        await first.move(other.id, Event.RUN)
        await another
        assert not woken.done()


# Waits for a job, tells its phase, until it has ended.
WATCHER = """
import asyncio, sys
from sodalake.uws.phases import FINAL
from sodalake.uws.store import open_store

async def main():
    store = await open_store(sys.argv[1], server_name="watcher")
    while True:
        woken = store.events.subscribe(sys.argv[2])
        job = await store.get(sys.argv[2])
        sys.stdout.write(f"{job.phase}\\n")
        sys.stdout.flush()
        if job.phase in FINAL:
            break
        await woken
    await store.close()

asyncio.run(main())
"""


@in_loop
async def test_another_process_wakes(postgres_url: str) -> None:
    store = await open_store(postgres_url)
    job = await store.create(NewJob("k"))
    watcher = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WATCHER, postgres_url, job.id, stdout=asyncio.subprocess.PIPE
    )
    assert watcher.stdout is not None
    async with asyncio.timeout(PATIENCE):
        assert await watcher.stdout.readline() == b"PENDING\n"
        for event, told in (
            (Event.RUN, b"QUEUED"),
            (Event.START, b"EXECUTING"),
            (Event.COMPLETE, b"COMPLETED"),
        ):
            await store.move(job.id, event)
            assert (await watcher.stdout.readline()).strip() == told
        assert await watcher.wait() == 0
    await store.close()


@in_loop
async def test_a_thousand_waiters_in_another_server_wake_promptly(postgres_url: str) -> None:
    async with two(postgres_url) as (first, second), asyncio.timeout(60):
        jobs = await asyncio.gather(*(first.create(NewJob("k")) for _ in range(200)))

        async def wait(job_id: str) -> float:
            woken = second.events.subscribe(job_id)
            await woken
            assert (await second.get(job_id)).phase is Phase.QUEUED
            return time.perf_counter()

        waiting = [asyncio.create_task(wait(job.id)) for job in jobs for _ in range(5)]
        await asyncio.sleep(0)
        assert second.events.parked == 1000
        changed: list[float] = []
        for job in jobs:
            await first.move(job.id, Event.RUN)
            changed += [time.perf_counter()] * 5
        late = [woken - at for woken, at in zip(await asyncio.gather(*waiting), changed, strict=True)]
        assert sorted(late)[990] < 20  # measured alone: 0.01 s
        assert second.events.parked == 0


# ---------------------------------------------------------------------- connections that are lost


@in_loop
async def test_a_lost_listener_comes_back_and_wakes_everybody(
    postgres: PostgresServer, postgres_url: str
) -> None:
    async with two(postgres_url) as (first, second), asyncio.timeout(PATIENCE):
        job = await first.create(NewJob("k"))
        missed = second.events.subscribe("whatever may have changed")
        await in_thread(postgres, postgres_url, END_LISTENERS)
        await missed
        # And it hears again.
        woken = second.events.subscribe(job.id)
        await first.move(job.id, Event.RUN)
        await woken


@in_loop
async def test_a_silent_loss_is_noticed(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cable pulled out closes nothing; the connection is asked now and then."""
    monkeypatch.setattr(listener_module, "PROBE", 0.05)
    store = await open_store(postgres_url)
    assert isinstance(store, PostgresStore)
    async with asyncio.timeout(PATIENCE):
        connection = store._listener._connection
        connection._transport.pause_reading()
        monkeypatch.setattr(listener_module, "ANSWER", 0.2)
        await store.events.subscribe("whatever may have changed")
        assert store._listener._connection is not connection
    await store.close()


@in_loop
async def test_work_goes_on_over_lost_connections(postgres: PostgresServer, postgres_url: str) -> None:
    store = await open_store(postgres_url)
    assert isinstance(store, PostgresStore)
    for _ in range(3):
        jobs = await asyncio.gather(*(store.create(NewJob("k", "ada")) for _ in range(20)))
        await in_thread(postgres, postgres_url, END_ALL)
        # Nobody is told of it: what was not committed is done again.
        assert await store.get(jobs[0].id) == jobs[0]
        await in_thread(postgres, postgres_url, END_ALL)
        assert (await store.move(jobs[0].id, Event.RUN)).job.phase is Phase.QUEUED
    assert len(await store.find("k", "ada")) == 60
    await store.close()


@pytest.fixture
def own_server(postgres: PostgresServer) -> Iterator[PostgresServer]:
    """A server that may be stopped."""
    with postgres_server() as server:
        yield server


@in_loop
async def test_postgresql_ends_and_comes_back(own_server: PostgresServer) -> None:
    url = own_server.url("postgres")
    store, other = await open_store(url), await open_store(url)
    job = await store.create(NewJob("k", run=True))
    assert await other.claim(job.id) is not None
    missed = store.events.subscribe("whatever may have changed")
    own_server.stop()
    for asked in (store.get(job.id), store.create(NewJob("k")), store.find("k", None)):
        with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1") as caught:
            await asked
        assert own_server.password not in str(caught.value)
        assert "PostgreSQL" in caught.value.advice
    assert not missed.done()
    own_server.start()
    async with asyncio.timeout(PATIENCE):
        await missed
        assert (await store.get(job.id)).phase is Phase.EXECUTING
        # The other server is about to come back too: its job is not taken from it.
        assert await store.orphans() == []
        assert await store.claim(job.id) is None
    await other.close()
    await store.close()


# ---------------------------------------------------------------------- runners


# Claims a job and goes on with it until it is killed.
RUNNER = """
import asyncio, sys
from sodalake.uws.jobs import UnitRecord
from sodalake.uws.store import open_store

async def main():
    store = await open_store(sys.argv[1], server_name="doomed")
    job = await store.claim(sys.argv[2])
    await store.record(job.id, [UnitRecord(0, targets=1)])
    sys.stdout.write(store.runner + "\\n")
    sys.stdout.flush()
    await asyncio.Event().wait()

asyncio.run(main())
"""


@in_loop
async def test_a_killed_server_is_known_at_once(postgres_url: str) -> None:
    async with two(postgres_url) as (first, second), asyncio.timeout(PATIENCE):
        job = await first.create(NewJob("k", run=True))
        doomed = await asyncio.create_subprocess_exec(
            sys.executable, "-c", RUNNER, postgres_url, job.id, stdout=asyncio.subprocess.PIPE
        )
        assert doomed.stdout is not None
        runner = (await doomed.stdout.readline()).decode().strip()
        assert (await first.get(job.id)).runner == runner
        assert await first.orphans() == []
        assert await first.claim(job.id) is None
        doomed.kill()
        await doomed.wait()
        while not await first.orphans():  # as soon as PostgreSQL has read the end of the connection
            await asyncio.sleep(0)
        # Two see it; one has it.
        claimed = await asyncio.gather(first.claim(job.id), second.claim(job.id))
        assert sorted(one is None for one in claimed) == [False, True]
        assert await first.orphans() == await second.orphans() == []
        assert await second.record(job.id, [UnitRecord(0, targets=1), UnitRecord(1, targets=1)]) == [1]


@in_loop
async def test_a_closed_server_is_gone(postgres_url: str) -> None:
    first, second = await open_store(postgres_url), await open_store(postgres_url)
    job = await first.create(NewJob("k", run=True))
    await first.claim(job.id)
    assert await second.orphans() == []
    await first.close()
    assert await second.orphans() == [job.id]
    await second.close()


@in_loop
async def test_after_a_blip_of_ones_own_nobody_is_called_gone(
    postgres: PostgresServer, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener_module, "GRACE", 0.5)
    async with two(postgres_url) as (first, second), asyncio.timeout(PATIENCE):
        job = await first.create(NewJob("k", run=True))
        await first.claim(job.id)
        missed = second.events.subscribe("whatever may have changed")
        await in_thread(postgres, postgres_url, END_LISTENERS)
        await missed
        await first.close()
        assert await second.orphans() == []
        while not await second.orphans():  # once the grace is over
            await asyncio.sleep(0.01)
        assert await second.orphans() == [job.id]


@in_loop
async def test_two_servers_take_a_queue_once(postgres_url: str) -> None:
    async with two(postgres_url) as (first, second):
        jobs = await asyncio.gather(*(first.create(NewJob("k", run=True)) for _ in range(60)))
        taken = await asyncio.gather(*(store.claim(job.id) for job in jobs for store in (first, second)))
        had = [job for job in taken if job is not None]
        assert sorted(job.id for job in had) == sorted(job.id for job in jobs)
        assert {job.runner for job in had} <= {first.runner, second.runner}


@in_loop
async def test_two_servers_tell_an_owner_once(postgres_url: str) -> None:
    async with two(postgres_url) as (first, second):
        for _ in range(20):
            made = await first.create(NewJob("k", email="a@b.c", run=True))
            await first.claim(made.id)
            await first.move(made.id, Event.COMPLETE)
        found = await asyncio.gather(*(store.due_mails(5) for store in (first, second) for _ in range(4)))
        told = {store.runner: set() for store in (first, second)}  # type: dict[str, set[str]]
        for index, jobs in enumerate(found):
            told[(first, second)[index // 4].runner] |= {job.id for job in jobs}
        assert not told[first.runner] & told[second.runner]


@in_loop
async def test_servers_record_a_unit_once_between_them(postgres_url: str) -> None:
    async with two(postgres_url) as (first, second):
        made = await first.create(NewJob("k", run=True))
        await first.claim(made.id)
        answers = await asyncio.gather(
            *(
                store.record(made.id, [UnitRecord(number, targets=1), UnitRecord(number + 1, targets=1)])
                for number in range(20)
                for store in (first, second)
            )
        )
        assert sorted(number for numbers in answers for number in numbers) == list(range(21))
        assert (await second.get(made.id)).progress.done == 21


# ---------------------------------------------------------------------- opening


@pytest.mark.parametrize(
    ("change", "told", "advice"),
    [
        (("postgres:", "nobody:"), "password authentication failed", "name and the password"),
        (("/test_", "/absent_"), "does not exist", "createdb"),
    ],
)
@in_loop
async def test_what_is_wrong_with_a_url(
    postgres_url: str, change: tuple[str, str], told: str, advice: str
) -> None:
    with pytest.raises(StoreUnavailable, match=told) as caught:
        await open_store(postgres_url.replace(*change))
    assert advice in caught.value.advice
    assert "@" not in str(caught.value)  # no password


@in_loop
async def test_nobody_listens_at_the_port() -> None:
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:9/jobs"):
        await open_store("postgresql://ada:secret@127.0.0.1:9/jobs")


@in_loop
async def test_nothing_is_left_open(postgres: PostgresServer, postgres_url: str) -> None:
    store = await open_store(postgres_url)
    await asyncio.gather(*(store.create(NewJob("k")) for _ in range(30)))
    await store.close()
    count = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'sodalake %'"
    while await asyncio.to_thread(postgres.run, count) != [(0,)]:
        await asyncio.sleep(0)
