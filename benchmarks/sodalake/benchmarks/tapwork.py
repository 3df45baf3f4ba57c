"""Rows of the bench of queries that move much or last long: large answers, uploads, jobs, greedy queries, ingest."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from statistics import median

import numpy as np
import psutil

from .download import download
from .jobmeasures import quantile
from .load import middle, run_whole
from .report import Figure
from .rowcounts import wrong_rows
from .serving import Served
from .tapquestions import Asked, cones, everything, greedy, matches, objects
from .tapstage import TapStage
from .uwsclient import FINAL, Connection, JobClient, Reply

__all__ = ["abort", "bulk", "filling", "neighbours", "turnaround", "upload"]

_ASYNC = "/tap/async"
_FORMATS = (("votable/b2", "VOTable BINARY2"), ("parquet", "Parquet"))
_NARROW = "u.id, a.candid, a.objectId, a.jd, a.ra, a.dec, a.magpsf"
_AHEAD = 0.5  # seconds that a greedy query is asked before others
_LOOK = 0.02  # seconds
_WINDOW = 0.1  # seconds that processes are looked at; their clocks tick a hundred times a second
_IDLE = 0.5  # cores
_BEGUN = 0.5  # seconds that a query runs before it is aborted
_PATIENCE = 60.0  # seconds
_WARM = 3


def bulk(stage: TapStage) -> list[Figure]:
    """Many rows of all columns, as VOTable and as Parquet: the first byte, and rows a second until the last."""
    table, figures = stage.table, []
    rows = min(stage.scale.bulk, len(table))
    for form, name in _FORMATS:
        taken = []
        for turn in range(stage.scale.rounds + 2):
            asked = everything(table, rows, form, turn)
            got = download(stage.service, asked.path)
            _check(got.content, asked)
            taken.append((got.first, got.last, len(got.content)))
        first, last, size = (median(values) for values in zip(*taken[2:], strict=True))
        what = f"{rows:,} rows × 30 columns as {name}"
        note = f"{size / 1e6:.1f} MB in {last:.2f} s, {size / 1e6 / last:.0f} MB/s"
        place = stage.site.name
        figures += [
            Figure("bulk", place, f"{what}: first byte", 1e3 * first, "ms", stage.at_most(300), "less"),
            Figure("bulk", place, what, rows / last, "rows/s", stage.at_least(400_000), "more", note),
        ]
    return figures


def upload(stage: TapStage) -> list[Figure]:
    """Positions that are uploaded, matched with the table."""
    figures = []
    for columns, name, mark in (
        (_NARROW, "7 columns", stage.at_most(150)),
        ("u.id, a.*", "31 columns", None),
    ):
        seconds, rows = asyncio.run(_uploads(stage, columns))
        measure = f"upload of {stage.scale.positions:,} positions, 1″ match, {rows:,} rows × {name}, p50"
        note = f"p95 {1e3 * quantile(seconds, 0.95):.0f} ms of {len(seconds)}"
        p50 = 1e3 * quantile(seconds, 0.5)
        figures.append(Figure("upload", stage.site.name, measure, p50, "ms", mark, "less", note))
    return figures


async def _uploads(stage: TapStage, columns: str) -> tuple[list[float], int]:
    rng = np.random.default_rng(11)
    seconds, rows = [], 0
    async with Connection(stage.service) as connection:
        for _ in range(_WARM + stage.scale.few):
            asked = matches(stage.table, stage.scale.positions, columns, rng)
            reply = await connection.ask("POST", "/tap/sync", asked.body, asked.content_type)
            _answered(reply)
            _check(reply.body, Asked("the match of an upload", asked.rows))
            seconds.append(reply.seconds)
            rows = asked.rows
    return seconds[_WARM:], rows


def turnaround(stage: TapStage) -> list[Figure]:
    """A query as a job: POST with PHASE=RUN, WAIT, and its result; each query is a new one."""
    seconds = asyncio.run(_turnarounds(stage))
    first, p50 = 1e3 * seconds[0], 1e3 * quantile(seconds[1:], 0.5)
    note = f"p95 {1e3 * quantile(seconds[1:], 0.95):.0f} ms; the first job of this service {first:.0f} ms"
    measure = "a query as a job, from POST to its result, p50"
    return [Figure("turnaround", stage.site.name, measure, p50, "ms", stage.at_most(80), "less", note)]


async def _turnarounds(stage: TapStage) -> list[float]:
    seconds = []
    async with JobClient(stage.service, jobs=_ASYNC) as client:
        for asked in objects(stage.table, stage.scale.jobs + 1, np.random.default_rng(12)):
            job, made = await client.submit(asked.parameters)
            await client.completed(job)
            reply = await client.connection.ask("GET", f"{job}/results/result")
            _answered(reply)
            _check(reply.body, asked)
            seconds.append(reply.received - made.sent)
            await client.forget(job)
    return seconds


def neighbours(stage: TapStage) -> list[Figure]:
    """A cone of 10″ alone, and while somebody else's queries read the whole table, one after another."""
    scale, table = stage.scale, stage.table
    rng = np.random.default_rng(13)
    alone, beside, eaten = [], [], []
    with ThreadPoolExecutor(1) as other:
        for _ in range(scale.rounds):
            asked = cones(table, 10 / 3600, 2 * scale.requests, rng)
            quiet = stage.phase(asked[: scale.requests], seconds=scale.seconds)
            busy = stage.phase(asked[scale.requests :], seconds=scale.seconds)
            hungry = stage.phase(greedy(table, 200, rng), seconds=scale.seconds + _AHEAD + 1.0)
            alone += run_whole([quiet])
            eating = other.submit(run_whole, [hungry])
            time.sleep(_AHEAD)
            beside += run_whole([busy])
            eaten += eating.result()
    before, during = middle(alone), middle(beside)
    count = sum(len(one.latencies) for one in eaten)
    note = (
        f"p50 {during:.1f} ms (p95 {middle(beside, 0.95):.1f}), alone {before:.1f} ms (p95 {middle(alone, 0.95):.1f}); "
        f"beside {count} queries of {middle(eaten):,.0f} ms"
    )
    measure = "cone of 10″ beside a greedy query, against alone"
    return [Figure("greedy", stage.site.name, measure, during / before, "×", 2, "less", note)]


def abort(stage: TapStage) -> list[Figure]:
    """ABORT of a query that is running: until its phase says so, and until the service does nothing any more."""
    phases, quiet = asyncio.run(_aborts(stage))
    slowest = max(*phases, *quiet)
    note = f"{len(phases)} queries; ABORTED after at most {max(phases):.2f} s, idle after {max(quiet):.2f} s"
    measure = "ABORT of a running query until it is ABORTED and nothing of it runs, slowest"
    return [Figure("abort", stage.site.name, measure, slowest, "s", 1, "less", note=note)]


async def _aborts(stage: TapStage) -> tuple[list[float], list[float]]:
    phases, quiet = [], []
    name = stage.table.recipe.table
    async with JobClient(stage.service, jobs=_ASYNC) as client:
        for turn in range(stage.scale.aborts):
            # Nothing but every triple of alerts can tell: it would run for hours on the smallest table.
            adql = (
                f"SELECT COUNT(*) AS n FROM {name} AS a"
                f" JOIN {name} AS b ON SIN(a.magap * b.fwhm + {turn}) > COS(a.rb - b.drb)"
                f" JOIN {name} AS c ON SIN(a.magap * c.fwhm) > COS(b.rb - c.drb)"
            )
            await _seen(stage.served, busy=False)
            job, _ = await client.submit(Asked(adql, 1).parameters)
            await _executing(client, job)
            await _seen(stage.served, busy=True)
            await asyncio.sleep(_BEGUN)
            sent = time.perf_counter()
            idle = asyncio.create_task(_seen(stage.served, busy=False))
            await client.tell(job, "ABORT")
            seen = await client.ended(job)
            if seen.phase != "ABORTED":
                raise RuntimeError(f"A query that was to be aborted ended {seen.phase}.")
            phases.append(seen.received - sent)
            quiet.append(await idle - sent)
    return phases, quiet


async def _seen(served: Served, *, busy: bool) -> float:
    """Return the moment from which on the service's processes work, or do not: threads nobody waits for show."""
    deadline = time.perf_counter() + _PATIENCE
    while (began := time.perf_counter()) < deadline:
        if await asyncio.to_thread(_busy, served) is busy:
            return began
    raise RuntimeError(
        f"The service is {'idle' if busy else 'busy'} for {_PATIENCE:.0f} s, and was not to be."
    )


def _busy(served: Served) -> bool:
    """Look for a moment whether the service's processes take more than what they do when nobody asks anything."""
    every = [psutil.Process(served.pid), *psutil.Process(served.pid).children(recursive=True)]
    before = [one.cpu_times() for one in every]
    time.sleep(_WINDOW)
    after = [one.cpu_times() for one in every]
    taken: float = sum(b.user + b.system - a.user - a.system for a, b in zip(before, after, strict=True))
    return bool(taken > _IDLE * _WINDOW)


async def _executing(client: JobClient, job: str) -> None:
    async with asyncio.timeout(_PATIENCE):
        while (seen := await client.look(job)).phase != "EXECUTING":
            if seen.phase in FINAL:
                reply = await client.connection.ask("GET", f"{job}/error")
                raise RuntimeError(
                    f"A query that was to run for long ended {seen.phase}: {reply.body[:500]!r}"
                )
            await asyncio.sleep(_LOOK)


def filling(stage: TapStage) -> list[Figure]:
    """Ingest with all index tables, by one process."""
    figures = []
    _ = stage.lake  # is filled, where it was not
    for one in stage.filled:
        alerts = one.recipe.alerts
        measure = f"ingest of {alerts:,} alerts of {one.recipe.columns} columns, indices included"
        note = f"{one.seconds:.1f} s, {one.bytes / 1e6:.0f} MB, {one.bytes / 1e6 / one.seconds:.1f} MB/s, one process"
        rate = alerts / one.seconds
        figures.append(Figure("ingest", stage.site.name, measure, rate, "rows/s", note=note))
    return figures


def _answered(reply: Reply) -> None:
    if reply.status != 200:
        raise RuntimeError(f"A query was answered {reply.status}: {reply.body[:500]!r}")


def _check(content: bytes, asked: Asked) -> None:
    if wrong := wrong_rows(content, asked.rows):
        raise RuntimeError(f"{asked.adql}: {wrong}")
