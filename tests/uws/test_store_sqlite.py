"""What is the SQLite store's own: one server a file, one writer, and what survives."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from loops import in_loop
from sqlalchemy import event

from sodalake.uws.errors import IllegalTransition, StoreUnavailable
from sodalake.uws.jobs import NewJob, Parameter
from sodalake.uws.phases import Event, Phase
from sodalake.uws.store import open_store
from sodalake.uws.store.sqlite import GROUP, SqliteStore

# Opens a store, says so, and creates jobs as fast as it can, telling each once it is answered.
WRITER = """
import asyncio, sys
from sodalake.uws.jobs import NewJob, UnitRecord
from sodalake.uws.phases import Event
from sodalake.uws.store import open_store

async def write(store, lane):
    while True:
        job = await store.create(NewJob("k", f"lane{lane}", run=True))
        sys.stdout.write(f"created {job.id}\\n")
        await store.claim(job.id)
        await store.record(job.id, [UnitRecord(0, targets=1), UnitRecord(1, targets=1)])
        sys.stdout.write(f"recorded {job.id}\\n")
        await store.move(job.id, Event.COMPLETE)
        sys.stdout.write(f"completed {job.id}\\n")
        sys.stdout.flush()

async def main():
    store = await open_store(sys.argv[1], server_name="first")
    sys.stdout.write(f"open {store.runner}\\n")
    sys.stdout.flush()
    await asyncio.gather(*(write(store, lane) for lane in range(8)))

asyncio.run(main())
"""


def _start(script: str, *args: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", script, *args], stdout=subprocess.PIPE, text=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "jobs.db"


def test_nothing_acknowledged_is_lost_when_the_writer_is_killed(path: Path) -> None:
    told: dict[str, set[str]] = {"created": set(), "recorded": set(), "completed": set()}
    for moment in (1, 150, 400):  # lines told before the kill, which comes wherever it comes
        writer = _start(WRITER, str(path))
        assert writer.stdout is not None
        assert writer.stdout.readline().startswith("open")
        for _ in range(moment):
            what, job_id = writer.stdout.readline().split()
            told[what].add(job_id)
        writer.kill()
        for line in writer.stdout.read().splitlines(keepends=True):
            if line.endswith("\n"):
                what, job_id = line.split()
                told[what].add(job_id)
        writer.wait()
        writer.stdout.close()

        @in_loop
        async def look() -> None:
            store = await open_store(str(path))
            for job_id in told["created"]:
                job = await store.get(job_id)
                if job_id in told["completed"]:
                    assert job.phase is Phase.COMPLETED
                if job_id in told["recorded"]:
                    assert job.progress.done == 2
                # Whole transactions only: a job has both of its units or none.
                assert job.progress.done in (0, 2)
                if job.phase is Phase.EXECUTING:
                    assert job_id in await store.orphans()
                    assert len(await store.units(job_id)) == job.progress.done
            await store.close()

        look()
    assert len(told["created"]) > 150
    with sqlite3.connect(path) as data_base:
        assert data_base.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    data_base.close()


@in_loop
async def test_a_second_server_is_told_which_process_has_the_file(path: Path) -> None:
    writer = _start(WRITER, str(path))
    assert writer.stdout is not None
    _, runner = writer.stdout.readline().split()
    with pytest.raises(StoreUnavailable, match=f"process {writer.pid} \\({runner}\\)") as caught:
        await open_store(str(path))
    assert "PostgreSQL" in caught.value.advice
    assert runner.startswith("first:")

    # Somebody who looks is welcome meanwhile.
    looking = await open_store(str(path), serve=False)
    assert (await looking.load(everybody=True)).pending == 0
    await looking.close()

    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    store = await open_store(str(path))
    await store.close()


@in_loop
async def test_not_twice_in_one_process_either(path: Path) -> None:
    store = await open_store(str(path))
    with pytest.raises(StoreUnavailable, match=f"process {os.getpid()}"):
        await open_store(str(path))
    job = await store.create(NewJob("k"))  # and the first one is none the worse
    await store.close()
    store = await open_store(str(path))
    assert await store.get(job.id) == job
    await store.close()


@in_loop
async def test_to_look_where_there_is_nothing(path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="no store of jobs"):
        await open_store(str(path), serve=False)
    assert not path.exists()


@in_loop
async def test_a_file_that_is_no_data_base(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("Dear diary, " * 1000)
    with pytest.raises(StoreUnavailable, match="not a database"):
        await open_store(str(path))
    path.unlink()
    await (await open_store(str(path))).close()  # the claim was given back


@in_loop
async def test_a_folder_that_cannot_be(path: Path) -> None:
    path.parent.write_text("a file")
    with pytest.raises(StoreUnavailable) as caught:
        await open_store(str(path))
    assert caught.value.advice


# ---------------------------------------------------------------------- one writer


@in_loop
async def test_one_that_cannot_be_done_spoils_nothing_for_its_neighbours(path: Path) -> None:
    store = await open_store(str(path))
    first = await store.create(NewJob("k"))
    asked = [
        store.move(first.id, Event.COMPLETE) if number % 7 == 3 else store.create(NewJob("k", "ada"))
        for number in range(GROUP + 50)
    ]
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert [isinstance(outcome, IllegalTransition) for outcome in outcomes] == [
        number % 7 == 3 for number in range(GROUP + 50)
    ]
    assert len(await store.find("k", "ada")) == sum(number % 7 != 3 for number in range(GROUP + 50))
    await store.close()


@in_loop
async def test_who_goes_away_before_it_began_has_nothing_done(path: Path) -> None:
    store = await open_store(str(path))
    asking = [asyncio.create_task(store.create(NewJob("k", str(number)))) for number in range(20)]
    await asyncio.sleep(0)  # all asked, none done
    for task in asking[::2]:
        task.cancel()
    outcomes = await asyncio.gather(*asking, return_exceptions=True)
    assert [isinstance(outcome, asyncio.CancelledError) for outcome in outcomes] == [True, False] * 10
    found = [len(await store.find("k", str(number))) for number in range(20)]
    assert found == [0, 1] * 10
    await store.close()


@in_loop
async def test_closing_finishes_what_was_asked(path: Path) -> None:
    store = await open_store(str(path))
    asking = [asyncio.create_task(store.create(NewJob("k"))) for _ in range(100)]
    await asyncio.sleep(0)
    await store.close()
    jobs = await asyncio.gather(*asking)
    store = await open_store(str(path))
    assert len(await store.find("k", None)) == len(jobs) == 100
    await store.close()


@in_loop
async def test_a_shell_that_writes_is_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sodalake.uws.store.sqlite.BUSY", 0.2)
    store = await open_store(str(path))
    shell = sqlite3.connect(path, isolation_level=None)
    shell.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="locked") as caught:
        await store.create(NewJob("k"))
    assert "Another program writes" in caught.value.advice
    creating = asyncio.create_task(store.create(NewJob("k")))
    await asyncio.sleep(0)
    shell.execute("COMMIT")
    job = await creating
    assert (await store.get(job.id)).phase is Phase.PENDING
    shell.close()
    await store.close()


# ---------------------------------------------------------------------- no room

# Fills a store under a limit on the size of files, then goes on without the limit.
FILLER = """
import asyncio, resource, sys
from sodalake.uws.errors import StoreUnavailable
from sodalake.uws.jobs import NewJob, Parameter
from sodalake.uws.store import open_store

async def main():
    store = await open_store(sys.argv[1])
    limit, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, hard))
    made = []
    try:
        while True:
            made.append((await store.create(NewJob("k", "ada", (Parameter("P", "x" * 20_000),)))).id)
    except StoreUnavailable as error:
        print(error)
    assert [job.id for job in await store.find("k", "ada")] == made[::-1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    made.append((await store.create(NewJob("k", "ada"))).id)
    assert [job.id for job in await store.find("k", "ada")] == made[::-1]
    await store.close()

asyncio.run(main())
"""


def test_when_the_disk_is_full_it_says_so_and_goes_on_when_there_is_room(path: Path) -> None:
    filler = subprocess.run(
        [sys.executable, "-c", FILLER, str(path)], capture_output=True, text=True, check=False
    )
    assert filler.returncode == 0, filler.stderr
    assert f"The store of jobs {path} does not work" in filler.stdout
    assert "Make room on its disk." in filler.stdout


@in_loop
async def test_a_full_data_base(path: Path) -> None:
    store = await open_store(str(path))
    assert isinstance(store, SqliteStore)
    assert store._write_connection is not None
    (pages,) = store._write_connection.exec_driver_sql("PRAGMA page_count").one()
    store._write_connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    store._write_connection.rollback()
    big = NewJob("k", parameters=(Parameter("P", "x" * 500_000),))
    outcomes = await asyncio.gather(*(store.create(big) for _ in range(5)), return_exceptions=True)
    for outcome in outcomes:
        assert isinstance(outcome, StoreUnavailable)
        assert "disk is full" in str(outcome)
        assert outcome.advice == "Make room on its disk."
    store._write_connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
    store._write_connection.rollback()
    await store.create(big)
    await store.close()


# ---------------------------------------------------------------------- quick


@in_loop
async def test_ten_thousand_jobs_at_once(path: Path) -> None:
    store = await open_store(str(path))
    new = NewJob("k", "ada", (Parameter("ID", "x"),), run=True)
    for _ in range(10):
        await asyncio.gather(*(store.create(new) for _ in range(1000)))
    for phases in ((), (Phase.QUEUED,), (Phase.EXECUTING, Phase.QUEUED)):
        assert len(await store.find("k", "ada", phases=phases, last=50)) == 50
    assert len(await store.find("k", "ada")) == 10_000
    await store.close()


@in_loop
async def test_lists_and_queues_read_an_index(path: Path) -> None:
    """The plan says so, whatever the machine's speed: no list reads the table from end to end."""
    store = await open_store(str(path))
    assert isinstance(store, SqliteStore)
    asked: list[str] = []

    @event.listens_for(store._engine, "before_cursor_execute")
    def note(
        _c: object, cursor: sqlite3.Cursor, statement: str, parameters: tuple[object, ...], *_: object
    ) -> None:
        if statement.startswith("SELECT"):
            plan = cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
            asked.extend(f"{row[3]} <- {statement}" for row in plan if " jobs" in row[3])

    job = await store.create(NewJob("k", "ada", run=True))
    await store.find("k", "ada", last=50)
    await store.find("k", None, phases=[Phase.QUEUED], after=job.created)
    await store.get(job.id)
    await store.claim(job.id)
    await store.waiting(not_of=["ada", None])
    await store.load("ada")
    await store.load(everybody=True)
    await store.orphans()
    await store.abort_requests()
    await store.expired(job.created)
    await store.next_destruction()
    await store.due_mails()
    await store.units(job.id)
    await store.plan(job.id)
    assert len(asked) > 12
    assert not [plan for plan in asked if "INDEX" not in plan and "PRIMARY KEY" not in plan]
    await store.close()
