"""Rows of the bench of jobs that do work: stamps in bulk, one stamp beside them, ABORT, and estimates."""

from __future__ import annotations

import asyncio
import json
import time
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
from distributed import Client

from sodalake.server.workers import BATCH

from .inside import bulk_workers, run_bulk
from .jobmeasures import quantile
from .jobstage import ARROW, JobStage
from .report import Figure
from .supervised import Supervised
from .uwsclient import FINAL, Connection, JobClient, multipart

__all__ = ["aborts", "beside", "bulk_job", "estimates"]

_LOOK = 0.005  # seconds
_PATIENCE = 60.0  # seconds for a job to begin, or to be over
_client: Any = Client  # Dask has no types


def bulk_job(stage: JobStage) -> list[Figure]:
    """Random stamps as one job, Arrow out, from POST to COMPLETED, against the bulk rate of the bench of stamps."""
    count, files = stage.jobs.targets, min(stage.scale.bulk_files, stage.scale.files)
    place = stage.site.name
    jobs, local, plain = [], [], []
    for turn in range(stage.jobs.rounds):
        jobs.append(count / stage.run(_big(stage, stage.service, count, files, seed=41 + turn)))
        if place == "cluster":
            local.append(count / stage.run(_big(stage, stage.local_results, count, files, seed=61 + turn)))
        with bulk_workers() as client:
            for again in range(2):  # its workers start with the first
                stamps, seconds, _ = run_bulk(
                    stage, client, ("science",), count, files, 50 + 2 * turn + again
                )
            plain.append(stamps / seconds)
    rate, mark = median(jobs), median(plain)
    name = f"{count:,} random stamps as one job, Arrow out"
    note = f"{mark:,.0f}/s by the bulk measurement of the bench of stamps, in turn"
    details = {"jobs": jobs, "local": local, "bulk": plain}
    on_hdfs = 80 if place == "cluster" else None
    figures = [
        Figure("bulk", place, name, rate, "stamps/s", note=note, details=details),
        Figure("bulk", place, f"{name}, of the bulk rate", 100 * rate / mark, "%", on_hdfs, note=note),
    ]
    if local:
        # The bulk measurement writes nothing; what writing the table to HDFS takes of the same cores is the difference.
        share = 100 * median(local) / mark
        said = f"{median(local):,.0f} stamps/s"
        figures.append(
            Figure("bulk", place, f"{name}, results on local disk, of the bulk rate", share, "%", note=said)
        )
    return figures


async def _big(stage: JobStage, address: tuple[str, int], count: int, files: int, seed: int) -> float:
    """Return the seconds of a job of `count` stamps, from POST to COMPLETED; its table is checked."""
    async with stage.client("bulk", address) as client:
        job, made = await client.submit(ARROW, stage.targets(count, seed, files=files))
        seconds = (await client.completed(job)).received - made.sent
        reply = await client.connection.ask("GET", f"{job}/results/stamps.arrows")
        table = await asyncio.to_thread(_table, reply.body)
        if table.num_rows != count or any(column.null_count == count for column in table.columns):
            raise RuntimeError(f"The table has {table.num_rows} rows of {count}, or an empty column.")
        await client.forget(job)
    return seconds


def _table(body: bytes) -> Any:
    with pa.ipc.open_stream(body) as reader:
        return reader.read_all()


# ---------------------------------------------------------------------- beside


def beside(stage: JobStage) -> list[Figure]:
    """One stamp by SODA sync, while nothing else happens and while a large job runs."""
    idle, busy = stage.run(_beside(stage))
    figures = []
    for fraction, most in ((0.5, 3.0), (0.95, 5.0)):
        before, during = (1e3 * quantile(values, fraction) for values in (idle, busy))
        figures.append(
            Figure(
                "beside",
                stage.site.name,
                f"one stamp while a {stage.jobs.targets:,}-stamp job runs, p{100 * fraction:.0f}, against idle",
                during / before,
                "×",
                most,
                "less",
                note=f"{during:.1f} ms of {len(busy)} requests, idle {before:.1f} ms of {len(idle)}",
            )
        )
    return figures


async def _beside(stage: JobStage) -> tuple[list[float], list[float]]:
    scale = stage.scale
    slots = stage.random_slots(stage.large, scale.requests, files=scale.files, seed=51).tolist()
    paths = [stage.stamp_path(slot) for slot in slots]
    targets = stage.targets(stage.jobs.targets, seed=52)
    idle: list[float] = []
    busy: list[float] = []
    async with Connection(stage.service) as asking, stage.client("beside") as client:
        await _ask(asking, paths[:20])
        for _ in range(stage.jobs.rounds):
            idle += await _ask(asking, paths)
            job, _ = await client.submit(ARROW, targets)
            await _running(client, job)
            over = asyncio.create_task(client.completed(job))
            number = 0
            while not over.done():
                taken = await _ask(asking, [paths[number % len(paths)]])
                if not over.done():
                    busy += taken
                number += 1
            await over
            await client.forget(job)
    return idle, busy


async def _ask(asking: Connection, paths: list[str]) -> list[float]:
    seconds = []
    for path in paths:
        reply = await asking.ask("GET", path)
        if reply.status != 200:
            raise RuntimeError(f"{path}: {reply.status} {reply.body[:300]!r}")
        seconds.append(reply.seconds)
    return seconds


async def _running(client: JobClient, job: str) -> None:
    """Wait until some of a job is done."""
    async with asyncio.timeout(_PATIENCE):
        while True:
            seen = await client.look(job)
            if seen.done or seen.phase in FINAL:
                return
            await asyncio.sleep(_LOOK)


# ---------------------------------------------------------------------- ABORT


def aborts(stage: JobStage) -> list[Figure]:
    """ABORT of a running job: until its phase says so, and until no worker does anything of it."""
    phases, quiet, done = stage.run(_aborts(stage))
    slowest = max(max(pair) for pair in zip(phases, quiet, strict=True))
    note = (
        f"{len(phases)} jobs of {stage.jobs.targets:,}; phase ABORTED after at most {max(phases):.2f} s, workers idle "
        f"after {max(quiet):.2f} s; {min(done)} to {max(done)} targets were done"
    )
    measure = "ABORT of a running job until it is ABORTED and nothing of it runs, slowest"
    return [Figure("abort", stage.site.name, measure, slowest, "s", 1, "less", note=note)]


async def _aborts(stage: JobStage) -> tuple[list[float], list[float], list[int]]:
    phases, quiet, done = [], [], []
    # Forty units whatever the scale: the job is still running when it is told to stop.
    settings = stage.settings("aborts", unit=str(max(1, stage.jobs.targets // 40)))
    async with Supervised(stage.large.url, settings) as service:
        watching = await _client(service.scheduler_url, asynchronous=True)
        try:
            async with stage.client("aborts", service.address) as client:
                await stage.warm_jobs(service.address)
                await _idle(watching)  # the workers import this module once, which takes them seconds
                for turn in range(stage.jobs.aborts):
                    job, _ = await client.submit(ARROW, stage.targets(stage.jobs.targets, seed=61 + turn))
                    await _running(client, job)
                    sent = time.perf_counter()
                    idle = asyncio.create_task(_idle(watching))
                    reply = await client.connection.ask(
                        "POST", f"{job}/phase", b"PHASE=ABORT", "application/x-www-form-urlencoded"
                    )
                    seen = await client.ended(job)
                    if reply.status != 303 or seen.phase != "ABORTED":
                        raise RuntimeError(f"A job of {seen.total} ended {seen.phase} before it was aborted.")
                    phases.append(seen.received - sent)
                    quiet.append(await idle - sent)
                    done.append(seen.done)
        finally:
            await watching.close()
    return phases, quiet, done


async def _idle(watching: Any) -> float:
    """Return the moment from which on no batch worker has a task in a thread, tasks nobody wants any more included."""
    async with asyncio.timeout(_PATIENCE):
        while True:
            working = await watching.run(_threads_in_use)
            now = time.perf_counter()
            if not any(working.values()):
                return now
            await asyncio.sleep(_LOOK)


def _threads_in_use(dask_worker: Any) -> int:
    if BATCH not in dask_worker.state.total_resources:
        return 0
    return len(dask_worker.state.all_running_tasks)


# ---------------------------------------------------------------------- estimates


def estimates(stage: JobStage) -> list[Figure]:
    """What was foretold of jobs of mixed sizes, after others taught it, against what they took."""
    pairs = stage.run(_estimates(stage))
    ratios = [max(told / took, took / told) for told, took in pairs]
    note = (
        f"{stage.jobs.foretell} jobs after {stage.jobs.learn}: median {median(ratios):.2f}×; told and taken "
        + ", ".join(f"{told:.2f}/{took:.2f} s" for told, took in pairs)
    )
    details = {"told": [told for told, _ in pairs], "took": [took for _, took in pairs]}
    measure = "estimate of a job's seconds against what it took, worst ratio"
    return [Figure("estimates", stage.site.name, measure, max(ratios), "×", 2, "less", note, details)]


async def _estimates(stage: JobStage) -> list[tuple[float, float]]:
    rng = np.random.default_rng(71)
    largest = stage.jobs.largest
    pairs = []
    async with stage.client("estimates") as client:
        for number in range(stage.jobs.learn + stage.jobs.foretell):
            count = int(np.exp(rng.uniform(np.log(1), np.log(largest))))
            container = ("arrow", "zip")[number % 2]
            given = [("RESPONSEFORMAT", container), *ARROW[1:]]
            targets = stage.targets(count, seed=100 + number)
            told = None
            if number >= stage.jobs.learn:
                told = await _told(client, given, targets)
            job, _ = await client.submit(given, targets)
            await client.completed(job)
            if told is not None:
                pairs.append((told, await _took(client, job)))
            await client.forget(job)
    return pairs


async def _told(client: JobClient, given: list[tuple[str, str]], targets: bytes) -> float:
    """Return the seconds that the service expects a job to take."""
    reply = await client.connection.ask("POST", "/soda/estimate", *multipart(given, targets))
    if reply.status != 200:
        raise RuntimeError(f"There is no estimate: {reply.status} {reply.body[:300]!r}")
    return float(json.loads(reply.body)["seconds"])


async def _took(client: JobClient, job: str) -> float:
    """Return the seconds a job executed, by its own document."""
    reply = await client.connection.ask("GET", job)
    times = []
    for name in (b"startTime", b"endTime"):
        text = reply.body.partition(b"<uws:" + name + b">")[2].partition(b"<")[0].decode()
        times.append(np.datetime64(text.removesuffix("Z"), "ms"))
    return float((times[1] - times[0]) / np.timedelta64(1, "s"))
