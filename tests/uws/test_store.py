"""One suite for every store of jobs: what SQLite and PostgreSQL promise, they promise alike."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from loops import in_loop

from sodalake.uws.errors import BadJob, IllegalTransition, NoSuchJob, StoreUnavailable
from sodalake.uws.events import DESTRUCTION, QUEUE
from sodalake.uws.jobs import (
    ErrorSummary,
    Job,
    Load,
    NewJob,
    Parameter,
    Progress,
    Result,
    Segment,
    Timing,
    UnitRecord,
    Upload,
)
from sodalake.uws.phases import Event, Instruction, Phase
from sodalake.uws.store import JobStore, open_store

SOON = timedelta(seconds=5)
ODD = "Ünïcødé 😀 ' \" \\ \n %s :name {x}"


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[JobStore]:
    store = await open_store(url)
    try:
        yield store
    finally:
        await store.close()


def utc() -> datetime:
    return datetime.now(UTC)


async def executing(
    store: JobStore, owner: str | None = None, email: str = "", tell_after: float = 0.0
) -> Job:
    made = await store.create(NewJob("k", owner, run=True, email=email, tell_after=tell_after))
    job = await store.claim(made.id)
    assert job is not None
    return job


# ---------------------------------------------------------------------- create, get


@in_loop
async def test_a_job_comes_back_as_it_went(store_url: str) -> None:
    new = NewJob(
        "soda",
        owner="ada",
        parameters=(
            Parameter("ID", ODD),
            Parameter("ID", "\0\ud800"),
            Parameter("T", "t", by_reference=True),
        ),
        uploads=(Upload("t", "x/upload-t", 12, "text/csv", "ta ble.csv"),),
        run_id=ODD,
        execution_duration=3_000_000_000,
        destruction=datetime(2999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        priority=-3,
        email="ada@example.org",
        tell_after=1.5,
    )
    begun = utc()
    async with opened(store_url) as store:
        made = await store.create(new)
        assert await store.get(made.id) == made
    async with opened(store_url) as store:
        assert await store.get(made.id) == made
    assert made.destruction == datetime(2999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)
    assert begun - timedelta(milliseconds=1) < made.created <= utc()
    assert made.created.microsecond % 1000 == 0
    assert made == Job(
        made.id, "soda", "ada", Phase.PENDING, made.created, new.parameters, new.uploads, new.run_id,
        execution_duration=3_000_000_000, destruction=made.destruction, priority=-3, email="ada@example.org",
    )  # fmt: skip


@in_loop
async def test_run_in_the_request_that_creates(store_url: str) -> None:
    async with opened(store_url) as store:
        queue = store.events.subscribe(QUEUE)
        job = await store.create(NewJob("k", run=True))
        assert job.phase is Phase.QUEUED
        assert job.queued == job.created
        await queue


@in_loop
async def test_ids_are_unguessable_and_safe_in_a_url(store_url: str) -> None:
    async with opened(store_url) as store:
        ids = [(await store.create(NewJob("k"))).id for _ in range(50)]
        assert len(set(ids)) == 50
        assert all(re.fullmatch(r"[a-z2-7]{24}", one) for one in ids)
        assert (await store.create(NewJob("k", id="given-1"))).id == "given-1"
        with pytest.raises(BadJob, match="given-1 already"):
            await store.create(NewJob("k", id="given-1"))
        with pytest.raises(NoSuchJob):
            await store.create(NewJob("k", id="a/b"))


NOT_IDS = ["", "nobody", "a" * 1000, "nul\0", "half\ud800", "'; DROP TABLE jobs", "é", ":queue"]


@pytest.mark.parametrize("job_id", NOT_IDS)
@in_loop
async def test_no_such_job(store_url: str, job_id: str) -> None:
    async with opened(store_url) as store:
        for asked in (
            store.get(job_id),
            store.move(job_id, Event.RUN),
            store.edit(job_id, run_id="x"),
            store.delete(job_id),
            store.record(job_id, [UnitRecord(0)]),
            store.set_plan(job_id, b"", "", Progress()),
            store.request_abort(job_id),
        ):
            with pytest.raises(NoSuchJob):
                await asked
        assert await store.claim(job_id) is None


@in_loop
async def test_what_no_data_base_takes_is_the_clients_error(store_url: str) -> None:
    async with opened(store_url) as store:
        job = await store.create(NewJob("k"))
        for text in ("a\0b", "half \ud800"):
            with pytest.raises(BadJob, match="run id"):
                await store.create(NewJob("k", run_id=text))
            with pytest.raises(BadJob, match="run id"):
                await store.edit(job.id, run_id=text)
        assert await store.get(job.id) == job


@in_loop
async def test_numbers_beyond_all_measure(store_url: str) -> None:
    async with opened(store_url) as store:
        job = await store.create(NewJob("k"))
        for seconds in (-1, 1 << 63, 1 << 200):
            with pytest.raises(BadJob, match="executionDuration"):
                await store.create(NewJob("k", execution_duration=seconds))
            with pytest.raises(BadJob, match="executionDuration"):
                await store.edit(job.id, execution_duration=seconds)
        assert len(await store.find("k", None, last=1 << 200)) == 1


@in_loop
async def test_ten_thousand_results(store_url: str) -> None:
    results = tuple(
        Result(f"r{n}", "application/fits", (Segment("x/part-1", n * 100, 100),), f"{n}.fits")
        for n in range(10_000)
    )
    async with opened(store_url) as store:
        job = await executing(store)
        assert (await store.move(job.id, Event.COMPLETE, results=results)).job.results == results
        for _ in range(3):
            assert (await store.get(job.id)).results == results


@in_loop
async def test_many_ask_at_the_same_time(store_url: str) -> None:
    async with opened(store_url) as store:
        jobs = await asyncio.gather(*(store.create(NewJob("k", run_id=str(n))) for n in range(300)))
        asked = [*(job.id for job in jobs), "nobody", *(job.id for job in jobs)]
        answers = await asyncio.gather(*(store.get(job_id) for job_id in asked), return_exceptions=True)
        assert isinstance(answers[300], NoSuchJob)
        assert answers[:300] == jobs
        assert answers[301:] == jobs
        # One who goes away takes nobody along.
        asking = [asyncio.create_task(store.get(jobs[0].id)) for _ in range(3)]
        await asyncio.sleep(0)
        asking[0].cancel()
        assert await asking[1] == await asking[2] == jobs[0]


# ---------------------------------------------------------------------- the list


@in_loop
async def test_newest_first_of_one_owner_and_kind(store_url: str) -> None:
    async with opened(store_url) as store:
        mine = [(await store.create(NewJob("k", "ada", run_id=str(n)))).id for n in range(20)]
        for other in (NewJob("k", "bob"), NewJob("k"), NewJob("tap", "ada")):
            await store.create(other)
        found = await store.find("k", "ada")
        assert [ref.id for ref in found] == mine[::-1]  # also where several have the same millisecond
        assert found[0].run_id == "19"
        assert found[0].owner == "ada"
        assert found[0].phase is Phase.PENDING
        assert [ref.id for ref in await store.find("k", "ada", last=3)] == mine[:-4:-1]
        assert len(await store.find("k", None)) == 1
        assert await store.find("k", "nobody") == []


@in_loop
async def test_phases_and_archived(store_url: str) -> None:
    async with opened(store_url) as store:
        ids = {}
        for name in ("pending", "queued", "aborted", "archived"):
            ids[name] = (await store.create(NewJob("k", "ada"))).id
        await store.move(ids["queued"], Event.RUN)
        await store.move(ids["aborted"], Event.ABORT)
        await store.move(ids["archived"], Event.DESTROY)

        async def names(*phases: Phase, last: int | None = None) -> list[str]:
            found = await store.find("k", "ada", phases=phases, last=last)
            return [next(name for name, one in ids.items() if one == ref.id) for ref in found]

        assert await names() == ["aborted", "queued", "pending"]
        assert await names(Phase.ARCHIVED) == ["archived"]
        assert await names(Phase.ARCHIVED, Phase.PENDING, Phase.PENDING) == ["archived", "pending"]
        assert await names(Phase.ABORTED, Phase.QUEUED, Phase.ARCHIVED, last=2) == ["archived", "aborted"]
        assert await names(Phase.EXECUTING) == []


@in_loop
async def test_after_is_strict_to_the_microsecond(store_url: str) -> None:
    async with opened(store_url) as store:
        job = await store.create(NewJob("k", "ada"))
        microsecond = timedelta(microseconds=1)

        async def found(after: datetime) -> bool:
            return bool(await store.find("k", "ada", after=after))

        assert not await found(job.created)
        assert await found(job.created - microsecond)
        assert not await found(job.created + microsecond)
        elsewhere = job.created.astimezone(tz=None)
        assert not await found(elsewhere)
        assert await found(elsewhere - microsecond)


# ---------------------------------------------------------------------- phases


@in_loop
async def test_the_life_of_a_job(store_url: str) -> None:
    async with opened(store_url) as store:
        job = await store.create(NewJob("k", "ada"))
        told: list[int] = []

        async def step(event: Event, **changes: object) -> Job:
            woken = store.events.subscribe(job.id)
            moved = await store.move(job.id, event, **changes)  # type: ignore[arg-type]
            await asyncio.wait_for(woken, 5)
            assert moved.job == await store.get(job.id)
            told.append(moved.job.version)
            return moved.job

        queued = await step(Event.RUN)
        assert queued.queued is not None
        assert queued.started is None
        started = await step(Event.START)
        assert started.runner == store.runner
        assert started.started is not None
        await store.set_plan(job.id, b"plan", "stamps/arrow", Progress(total=9))
        await store.record(job.id, [UnitRecord(0, "p0", b"e", 4, 1, 100, 0.5)])
        results = (
            Result("one", "text/plain", (Segment(data=b"\0\xff"), Segment("x/part", 5, 1 << 40)), ODD, "tag"),
            Result("none", "application/fits", ()),
        )
        timing = Timing("k", "stamps/arrow", 9, 2, 300, 1.5, 0.25, utc().replace(microsecond=0))
        ended = await step(
            Event.COMPLETE,
            results=results,
            units=[UnitRecord(1, "p1", b"e", 5, 0, 200, 0.5), UnitRecord(0, "again", b"", 4, 1, 100)],
            timing=timing,
        )
        assert ended.results == results
        assert ended.progress == Progress(9, 9, 1, 300)
        assert ended.shape == "stamps/arrow"
        assert ended.runner is None
        assert ended.started is not None
        assert ended.ended is not None
        assert job.created <= queued.queued <= ended.started <= ended.ended
        assert told == sorted(set(told))
        assert await store.timings() == [timing]
        assert await store.units(job.id) == []
        assert await store.plan(job.id) is None

        late = await store.move(job.id, Event.ABORT)
        assert late.job == ended
        assert late.instructions == ()
        gone = await step(Event.DESTROY)
        assert gone.results == ()
        assert gone.ended == ended.ended
        assert gone.progress == ended.progress


@in_loop
async def test_an_error_is_kept(store_url: str) -> None:
    async with opened(store_url) as store:
        job = await executing(store)
        summary = ErrorSummary(ODD, transient=True, detail_type="application/xml")
        moved = await store.move(job.id, Event.FAIL, error=summary)
        assert moved.job.error == summary
        assert set(moved.instructions) == {Instruction.STOP, Instruction.TELL_OWNER}
        assert (await store.get(job.id)).error == summary


@in_loop
async def test_what_cannot_happen_writes_nothing(store_url: str) -> None:
    async with opened(store_url) as store:
        job = await store.create(NewJob("k"))
        with pytest.raises(IllegalTransition, match="PENDING cannot COMPLETE"):
            await store.move(
                job.id, Event.COMPLETE, error=ErrorSummary("no"), units=[UnitRecord(0)], results=[]
            )
        assert await store.get(job.id) == job


@in_loop
async def test_of_racers_one_wins_and_the_others_see_it(store_url: str) -> None:
    async with opened(store_url) as store:
        for _ in range(10):
            job = await executing(store)
            outcomes = await asyncio.gather(
                *(store.move(job.id, event) for event in (Event.COMPLETE, Event.FAIL) for _ in range(4)),
                return_exceptions=True,
            )
            won = [one for one in outcomes if not isinstance(one, BaseException)]
            lost = [one for one in outcomes if isinstance(one, BaseException)]
            assert len(won) == 1
            phase = won[0].job.phase
            assert all(isinstance(one, IllegalTransition) and str(phase) in str(one) for one in lost)
            assert (await store.get(job.id)).phase is phase


@in_loop
async def test_a_job_is_taken_once(store_url: str) -> None:
    async with opened(store_url) as store:
        made = await store.create(NewJob("k", run=True))
        takers = await asyncio.gather(*(store.claim(made.id) for _ in range(5)))
        # This runner may take what it has: it went on with it after a loss. Nothing about the job changes then.
        assert all(job is not None and job.runner == store.runner for job in takers)
        assert len({job.started for job in takers if job}) == 1
        pending = await store.create(NewJob("k"))
        assert await store.claim(pending.id) is None
        await store.move(made.id, Event.COMPLETE)
        assert await store.claim(made.id) is None


# ---------------------------------------------------------------------- edit, delete, load


@in_loop
async def test_edit(store_url: str) -> None:
    async with opened(store_url) as store:
        job = await store.create(NewJob("k", parameters=(Parameter("A", "1"),), run_id="r"))
        when = utc().replace(microsecond=0) + timedelta(days=1)
        due = store.events.subscribe(DESTRUCTION)
        after = await store.edit(
            job.id,
            parameters=[Parameter("B", "2")],
            uploads=[Upload("u", "o", 1)],
            execution_duration=60,
            destruction=when,
            quote=when,
            only_in=[Phase.PENDING],
        )
        await asyncio.wait_for(due, 5)
        assert after == await store.get(job.id)
        assert after.parameters == (Parameter("B", "2"),)
        assert after.uploads == (Upload("u", "o", 1),)
        assert (after.execution_duration, after.destruction, after.quote) == (60, when, when)
        assert after.run_id == "r"
        assert after.version > job.version
        assert await store.edit(job.id) == after
        assert (await store.edit(job.id, parameters=())).parameters == ()
        await store.move(job.id, Event.RUN)
        with pytest.raises(IllegalTransition, match=r"QUEUED cannot be changed .* while PENDING"):
            await store.edit(job.id, run_id="no", only_in=[Phase.PENDING])
        assert (await store.get(job.id)).run_id == "r"


@in_loop
async def test_results_that_come_after_the_end(store_url: str) -> None:
    async with opened(store_url) as store:
        job = await executing(store)
        await store.move(job.id, Event.ABORT)
        some = (Result("r", "text/plain", (Segment("o", 0, 3),)),)
        assert (await store.edit(job.id, results=some)).results == some
        assert (await store.get(job.id)).results == some
        await store.move(job.id, Event.DESTROY)
        assert (await store.edit(job.id, results=some)).results == ()  # their objects are gone


@in_loop
async def test_delete_forgets_and_wakes(store_url: str) -> None:
    async with opened(store_url) as store:
        job = await executing(store, "ada")
        await store.set_plan(job.id, b"p", "s", Progress())
        await store.record(job.id, [UnitRecord(0)])
        woken = store.events.subscribe(job.id)
        await store.delete(job.id)
        await asyncio.wait_for(woken, 5)
        with pytest.raises(NoSuchJob):
            await store.get(job.id)
        with pytest.raises(NoSuchJob):
            await store.delete(job.id)
        assert await store.find("k", "ada") == []
        assert await store.units(job.id) == []
        assert await store.plan(job.id) is None
        assert await store.unswept() == [job.id]
        await store.swept(job.id)
        assert await store.unswept() == []


@in_loop
async def test_load(store_url: str) -> None:
    async with opened(store_url) as store:
        for owner, count in (("ada", 2), ("bob", 1), (None, 3)):
            for _ in range(count):
                await store.create(NewJob("k", owner))
                await store.create(NewJob("tap", owner, run=True))
            await executing(store, owner)
        ended = await executing(store, "ada")
        await store.move(ended.id, Event.COMPLETE)
        assert await store.load("ada") == Load(2, 2, 1)
        assert await store.load(None) == Load(3, 3, 1)
        assert await store.load("nobody") == Load()
        assert await store.load(everybody=True) == Load(6, 6, 3)


# ---------------------------------------------------------------------- executors


@in_loop
async def test_the_queue(store_url: str) -> None:
    async with opened(store_url) as store:
        made = [
            await store.create(NewJob("k", owner, priority=priority, run=True))
            for owner, priority in (("ada", 0), ("bob", 5), (None, 0), ("ada", 5), ("eve", -1))
        ]
        await store.create(NewJob("k", "ada", priority=9))

        async def order(*not_of: str | None, limit: int = 100) -> list[int]:
            found = await store.waiting(limit, not_of=not_of)
            return [made.index(job) for job in found]

        assert await order() == [1, 3, 0, 2, 4]
        assert await order(limit=2) == [1, 3]
        assert await order("ada") == [1, 2, 4]
        assert await order(None) == [1, 3, 0, 4]
        assert await order("bob", None, "ada") == [4]


@in_loop
async def test_a_unit_is_recorded_once(store_url: str) -> None:
    async with opened(store_url) as store:
        job = await executing(store)
        await store.set_plan(job.id, bytes(range(256)), "s", Progress(total=30))
        assert await store.plan(job.id) == bytes(range(256))
        first = [UnitRecord(number, f"p{number}", b"\0e", 10, 2, 1 << 40, 0.125) for number in (2, 0)]
        assert sorted(await store.record(job.id, first)) == [0, 2]
        again = [UnitRecord(number, "other", b"", 10, 10, 7) for number in (0, 1, 2)]
        assert await store.record(job.id, again) == [1]
        assert await store.record(job.id, again) == []
        assert await store.record(job.id, []) == []
        kept = await store.units(job.id)
        assert kept == [first[1], again[1], first[0]]
        assert (await store.get(job.id)).progress == Progress(30, 30, 14, (2 << 40) + 7)


@in_loop
async def test_racers_record_a_unit_once(store_url: str) -> None:
    async with opened(store_url) as store:
        job = await executing(store)
        answers = await asyncio.gather(
            *(
                store.record(job.id, [UnitRecord(n % 10, f"by{n}", targets=1), UnitRecord(n // 4, targets=1)])
                for n in range(40)
            )
        )
        recorded = [number for numbers in answers for number in numbers]
        assert sorted(recorded) == list(range(10))
        assert (await store.get(job.id)).progress.done == 10
        assert [unit.number for unit in await store.units(job.id)] == list(range(10))


@in_loop
async def test_many_units_at_once(store_url: str) -> None:
    async with opened(store_url) as store:
        job = await executing(store)
        many = [UnitRecord(number, entries=b"e" * 200, targets=1) for number in range(3000)]
        assert len(await store.record(job.id, many)) == 3000
        assert await store.units(job.id) == many


@in_loop
async def test_units_that_come_after_the_end_are_not_recorded(store_url: str) -> None:
    async with opened(store_url) as store:
        job = await executing(store)
        await store.record(job.id, [UnitRecord(0, targets=1)])
        ended = (await store.move(job.id, Event.ABORT)).job
        assert await store.record(job.id, [UnitRecord(1, targets=1)]) == []
        assert await store.units(job.id) == []
        assert await store.get(job.id) == ended
        with pytest.raises(IllegalTransition):
            await store.set_plan(job.id, b"", "", Progress())


@in_loop
async def test_an_abort_is_asked_of_the_runner(store_url: str) -> None:
    async with opened(store_url) as store:
        job, other = await executing(store), await executing(store)
        asked = store.events.subscribe(store.runner)
        watched = store.events.subscribe(job.id)
        await store.request_abort(job.id)
        await asyncio.wait_for(asked, 5)
        assert await store.abort_requests() == [job.id]
        assert (await store.get(job.id)).abort_requested
        assert not watched.done()  # its phase has not changed
        await store.move(job.id, Event.ABORT)
        await asyncio.wait_for(watched, 5)
        assert await store.abort_requests() == []
        await store.request_abort(job.id)  # too late: nothing
        assert not (await store.get(job.id)).abort_requested
        assert not (await store.get(other.id)).abort_requested


@in_loop
async def test_a_server_that_comes_back_goes_on_with_what_it_had(store_url: str) -> None:
    async with opened(store_url) as store:
        job, queued = await executing(store), await store.create(NewJob("k", run=True))
        await store.set_plan(job.id, b"plan", "s", Progress(total=2))
        await store.record(job.id, [UnitRecord(1, "p1", targets=1)])
        assert await store.orphans() == []
    async with opened(store_url) as store:
        assert await store.orphans() == [job.id]
        again = await store.claim(job.id)
        assert again is not None
        assert (again.runner, again.started) == (store.runner, job.started)
        assert again.progress == Progress(2, 1)
        assert await store.plan(job.id) == b"plan"
        assert [unit.number for unit in await store.units(job.id)] == [1]
        assert await store.orphans() == []
        assert [one.id for one in await store.waiting()] == [queued.id]


@in_loop
async def test_timings_newest_first(store_url: str) -> None:
    async with opened(store_url) as store:
        for number in range(5):
            job = await executing(store)
            timing = Timing("k", "s", number, 1, 1, 0.5, 0.0, utc().replace(microsecond=0))
            await store.move(job.id, Event.COMPLETE, timing=timing)
        assert [timing.targets for timing in await store.timings(3)] == [4, 3, 2]


# ---------------------------------------------------------------------- housekeeping


@in_loop
async def test_destruction(store_url: str) -> None:
    async with opened(store_url) as store:
        now = utc().replace(microsecond=0)
        assert await store.next_destruction() is None
        late, early, never = [
            await store.create(NewJob("k", destruction=when))
            for when in (now + SOON, now - SOON, None)
        ]  # fmt: skip
        running = await executing(store)
        await store.edit(running.id, destruction=now - 2 * SOON)
        assert await store.next_destruction() == now - 2 * SOON
        assert await store.expired(now) == [running.id, early.id]
        assert await store.expired(now, limit=1) == [running.id]
        assert late.id in await store.expired(now + SOON)
        moved = await store.move(running.id, Event.DESTROY)
        assert set(moved.instructions) == {Instruction.STOP, Instruction.DELETE_RESULTS}
        await store.move(early.id, Event.DESTROY)
        assert await store.expired(now) == []
        assert await store.next_destruction() == late.destruction
        assert sorted(await store.unswept()) == sorted([running.id, early.id])
        for job in (running, early):
            await store.swept(job.id)
        assert await store.unswept() == []
        assert (await store.get(never.id)).phase is Phase.PENDING


@in_loop
async def test_archived_jobs_are_forgotten_in_the_end(store_url: str) -> None:
    async with opened(store_url) as store:
        job, other = await store.create(NewJob("k", "ada")), await store.create(NewJob("k", "ada"))
        await store.move(job.id, Event.DESTROY)
        assert await store.forget_archived(utc() - SOON) == 0
        assert (await store.get(job.id)).phase is Phase.ARCHIVED
        assert await store.forget_archived(utc() + SOON) == 1
        with pytest.raises(NoSuchJob):
            await store.get(job.id)
        assert (await store.get(other.id)).phase is Phase.PENDING
        assert await store.unswept() == [job.id]


@in_loop
async def test_mails(store_url: str) -> None:
    async with opened(store_url) as store:
        told = await executing(store, "ada", "ada@example.org")
        quick = await executing(store, "ada", "ada@example.org", tell_after=3600)
        quiet = await executing(store, "ada")
        aborted = await store.create(NewJob("k", "ada", email="ada@example.org", run=True))
        assert await store.due_mails() == []
        for job in (told, quick, quiet):
            await store.move(job.id, Event.COMPLETE)
        await store.move(aborted.id, Event.ABORT)
        assert [job.id for job in await store.due_mails()] == [told.id]
        assert [job.id for job in await store.due_mails()] == [told.id]  # until it is done
        await store.mail_done(told.id)
        assert await store.due_mails() == []
        failed = await executing(store, "ada", "nobody@example.org")
        ended = (await store.move(failed.id, Event.FAIL, error=ErrorSummary("no"))).job
        assert await store.due_mails() == [ended]
        await store.mail_done(failed.id, "550 no such user" * 1000)
        assert await store.due_mails() == []


@in_loop
async def test_a_mail_whose_server_died_is_due_again(store_url: str) -> None:
    async with opened(store_url) as store:
        job = await executing(store, "ada", "ada@example.org")
        await store.move(job.id, Event.COMPLETE)
        assert len(await store.due_mails()) == 1
    async with opened(store_url) as store:
        assert [one.id for one in await store.due_mails()] == [job.id]


@in_loop
async def test_a_job_that_failed_in_the_queue_is_told(store_url: str) -> None:
    async with opened(store_url) as store:
        made = await store.create(NewJob("k", email="a@b.c", run=True))
        await store.move(made.id, Event.FAIL, error=ErrorSummary("no"))
        assert [job.id for job in await store.due_mails()] == [made.id]


# ---------------------------------------------------------------------- opening


@in_loop
async def test_a_closed_store_says_so(store_url: str) -> None:
    async with opened(store_url) as store:
        job = await store.create(NewJob("k"))
        parked = store.events.subscribe(job.id)
    await asyncio.wait_for(parked, 5)  # the server is ending: nobody stays parked
    for asked in (store.get(job.id), store.move(job.id, Event.RUN), store.find("k", None)):
        with pytest.raises(StoreUnavailable, match="closed"):
            await asked


@in_loop
async def test_to_look_only(store_url: str) -> None:
    async with opened(store_url) as store:
        job = await store.create(NewJob("k", "ada", run=True))
        looking = await open_store(store_url, serve=False)
        assert await looking.get(job.id) == job
        await store.claim(job.id)
        assert (await looking.find("k", "ada"))[0].phase is Phase.EXECUTING
        assert await looking.orphans() == []
        with pytest.raises(StoreUnavailable, match="to look only"):
            await looking.delete(job.id)
        await looking.close()


@pytest.mark.parametrize(
    "url", ["", "jobs.db", "sqlite://jobs.db", "sqlite:///", "mysql://localhost/jobs", "sqlite://host/x"]
)
@in_loop
async def test_urls_that_are_none(url: str) -> None:
    with pytest.raises(StoreUnavailable) as caught:
        await open_store(url)
    assert caught.value.advice
