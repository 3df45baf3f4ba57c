"""Rows of the bench of jobs that look at the tree: a trivial job, WAIT, submissions, and lists.

What is said of WAIT is the time from the answer to the request that changed a phase to the answer of who waited for it,
both as the clients got them. A waiter that was answered first waited no time.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from statistics import median

from .jobstage import JobStage
from .load import Outcome, Phase, run_phases
from .report import Figure
from .uwsclient import Connection, JobClient, Reply

__all__ = ["lists", "quantile", "submissions", "trivial", "waking"]

_PARALLEL = 8
_PARKED = 50  # seconds: what the service clamps a WAIT to
_LAST = 50


def quantile(values: Sequence[float], fraction: float) -> float:
    """Return the value that `fraction` of the values keep (nearest rank; NaN if none)."""
    if not values:
        return math.nan
    return sorted(values)[max(0, math.ceil(fraction * len(values)) - 1)]


def trivial(stage: JobStage) -> list[Figure]:
    """Create and run a job of one stamp, and WAIT until it is COMPLETED."""
    count = stage.jobs.trivial
    seconds = stage.run(_trivial(stage, count))
    p50, p95 = (1e3 * quantile(seconds, fraction) for fraction in (0.5, 0.95))
    note = f"p95 {p95:.0f} ms of {count} jobs, one after another"
    measure = "create, run and WAIT for a job of one stamp, p50"
    return [Figure("trivial", stage.site.name, measure, p50, "ms", 50, "less", note=note)]


async def _trivial(stage: JobStage, count: int) -> list[float]:
    slots = stage.random_slots(stage.large, count + 10, files=stage.scale.files, seed=21).tolist()
    seconds = []
    async with stage.client("trivial") as client:
        for slot in slots:
            job, made = await client.submit(stage.one_stamp(slot))
            seconds.append((await client.completed(job)).received - made.sent)
    return seconds[min(10, len(seconds) - 1) :]  # the first ones find workers that have just started


# ---------------------------------------------------------------------- WAIT


def waking(stage: JobStage) -> list[Figure]:
    """Phases of single jobs changed while a thousand requests wait for other jobs; then all waiting for one job."""
    waiters, changes = stage.jobs.waiters, stage.jobs.changes
    single, alone, crowd = stage.run(_waking(stage, waiters, changes))
    place = stage.site.name
    p50, p99 = (1e3 * quantile(single, fraction) for fraction in (0.5, 0.99))
    note = (
        f"p50 {p50:.1f} ms of {len(single)} changes by ABORT and RUN in turn; "
        f"from the sending of the changing request p99 {1e3 * quantile(alone, 0.99):.0f} ms"
    )
    last = 1e3 * max(crowd)
    return [
        Figure(
            "waking",
            place,
            f"WAIT wakes after the phase change, p99, {waiters:,} waiters parked",
            p99,
            "ms",
            50,
            "less",
            note=note,
            details={"ms": [1e3 * one for one in single]},
        ),
        Figure(
            "waking",
            place,
            f"WAIT wakes, the last of {waiters:,} waiters on one job",
            last,
            "ms",
            None,
            "less",
            note=f"p50 {1e3 * quantile(crowd, 0.5):.0f} ms",
        ),
    ]


async def _waking(
    stage: JobStage, waiters: int, changes: int
) -> tuple[list[float], list[float], list[float]]:
    """Return seconds after the change's answer, seconds after its sending, and those of a crowd at one job."""
    jobs = await _created(stage, "waking", waiters + changes)
    headers = stage.headers("waking")
    async with stage.client("waking") as client:
        waiting = await _park(stage.service, headers, jobs, client)
        after, since = [], []
        try:
            for number, job in enumerate(jobs[:changes]):
                changed = await client.tell(job, "ABORT" if number % 2 else "RUN")
                woken = await waiting[number]
                after.append(max(0.0, woken.received - changed.received))
                since.append(woken.received - changed.sent)
                await client.ended(job)  # one at a time: not how fast a hundred jobs run is measured here
            parked = sum(not one.done() for one in waiting[changes:])
        finally:
            await _let_go(waiting)
        if parked < waiters:
            raise RuntimeError(f"Only {parked} of {waiters} requests waited until the end.")
        crowd = await _crowd(stage, jobs[-1], waiters, client)
    return after, since, crowd


async def _crowd(stage: JobStage, job: str, waiters: int, client: JobClient) -> list[float]:
    waiting = await _park(stage.service, stage.headers("waking"), [job] * waiters, client)
    try:
        changed = await client.tell(job, "ABORT")
        return [max(0.0, one.received - changed.received) for one in await asyncio.gather(*waiting)]
    finally:
        await _let_go(waiting)


async def _park(
    address: tuple[str, int], headers: dict[str, str], jobs: Sequence[str], client: JobClient
) -> list[asyncio.Task[Reply]]:
    """Let a request wait for each job; return when the service has them all."""
    connections = [Connection(address, headers) for _ in jobs]
    for start in range(0, len(connections), 100):  # a listening socket's queue is short
        await asyncio.gather(*(one.open() for one in connections[start : start + 100]))
    path = f"?WAIT={_PARKED}&PHASE=PENDING"
    waiting = [
        asyncio.create_task(_waited(one, job + path)) for one, job in zip(connections, jobs, strict=True)
    ]
    # One loop answers: what is asked after them is answered after they were read, and a second time after they
    # have looked at their jobs.
    for _ in range(20):
        await client.look(jobs[-1])
    return waiting


async def _waited(connection: Connection, path: str) -> Reply:
    async with connection:
        return await connection.ask("GET", path)


async def _let_go(waiting: Sequence[asyncio.Task[Reply]]) -> None:
    for one in waiting:
        one.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def _created(stage: JobStage, user: str, count: int) -> list[str]:
    """Create jobs of one stamp that are not run; return their paths."""
    numbers = iter(range(count))
    jobs: list[str] = []

    async def some() -> None:
        async with stage.client(user) as client:
            for number in numbers:
                job, _ = await client.submit(stage.one_stamp(number % stage.large.identities.rows), run=False)
                jobs.append(job)

    await asyncio.gather(*(some() for _ in range(_PARALLEL)))
    return jobs


# ---------------------------------------------------------------------- many jobs


def submissions(stage: JobStage) -> list[Figure]:
    """Jobs created a second, and whether all of them are in the list afterwards."""
    scale, place = stage.jobs, stage.site.name
    jobs, seconds, listed = stage.run(_submissions(stage))
    rate, lost = len(jobs) / seconds, len(set(jobs) - listed)
    name = f"{scale.submit_clients} clients, {scale.submit_seconds:g} s"
    return [
        Figure("submissions", place, f"jobs created a second, {name}", rate, "/s", 200),
        Figure(
            "submissions",
            place,
            f"jobs created, {name}: not in the list afterwards",
            lost,
            "",
            0,
            "less",
            note=f"of {len(jobs)} that were answered 303",
        ),
    ]


async def _submissions(stage: JobStage) -> tuple[list[str], float, set[str]]:
    jobs: list[str] = []
    began = time.perf_counter()
    until = began + stage.jobs.submit_seconds

    async def submit(number: int) -> None:
        async with stage.client("submissions") as client:
            while time.perf_counter() < until:
                job, _ = await client.submit(
                    stage.one_stamp(len(jobs) % stage.large.identities.rows), run=False
                )
                jobs.append(job)

    await asyncio.gather(*(submit(number) for number in range(stage.jobs.submit_clients)))
    seconds = time.perf_counter() - began
    return jobs, seconds, await _listed(stage, "submissions")


async def _listed(stage: JobStage, user: str) -> set[str]:
    """Return the paths of all jobs in a user's list."""
    async with Connection(stage.service, stage.headers(user)) as connection:
        reply = await connection.ask("GET", "/soda/async")
    if reply.status != 200:
        raise RuntimeError(f"The list of jobs cannot be read: {reply.status}")
    # A job's id is the last part of its URL, and an attribute of its line.
    ids = (part.partition(b'"')[0].decode() for part in reply.body.split(b' id="')[1:])
    return {f"/soda/async/{one}" for one in ids}


def lists(stage: JobStage) -> list[Figure]:
    """The newest fifty of a user's own jobs, of few and of many."""
    marks = {100: 10.0, 10_000: 15.0}
    figures = []
    path = f"/soda/async?LAST={_LAST}"
    for count in stage.jobs.lists:
        user = f"lists{count}"
        stage.run(_created(stage, user, count))
        requests = stage.jobs.list_requests
        warm = Phase([stage.service], [path], count=10, headers=stage.headers(user))
        asked = Phase([stage.service], [path], count=requests, headers=stage.headers(user))
        outcome = _good(run_phases([warm, asked])[1])
        figures.append(
            Figure(
                "lists",
                stage.site.name,
                f"list of {count:,} own jobs, LAST={_LAST}, p50",
                1e3 * outcome.quantile(0.5),
                "ms",
                marks.get(count),
                "less",
                note=f"p95 {1e3 * outcome.quantile(0.95):.1f} ms, {outcome.bytes / requests / 1e3:.1f} kB",
                details={"ms": [1e3 * one for one in outcome.latencies], "p50": median(outcome.latencies)},
            )
        )
    return figures


def _good(outcome: Outcome) -> Outcome:
    if outcome.errors or not outcome.latencies:
        raise RuntimeError(f"Requests failed while measuring: {outcome.errors or 'no answers at all'}")
    return outcome
