"""The row of the bench of jobs that kills: every process of the service, again and again, while one job runs.

The moments are random in the job's progress, so that they fall on its whole course whatever each recovery takes. The
manifest is the proof: with one target a unit, each line is a unit.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from dataclasses import dataclass

import numpy as np

from .jobstage import ARROW, JobStage
from .report import Figure
from .supervised import Supervised
from .uwsclient import FINAL, JobClient, Seen

__all__ = ["kills"]

_LOOK = 0.02  # seconds between looks at the progress
_LATEST = 0.97  # of the progress: later, the job might end before the blow
_PATIENCE = 1800.0  # seconds for the job


@dataclass(frozen=True, slots=True)
class _Course:
    """What became of the job.

    Attributes
    ----------
    phase
        Its last.
    seconds
        It took.
    killed
        Blows that hit a process, by its name.
    lines
        Rows of the manifest → how often they stand there; those that are not OK count as wrong.
    wrong
        Lines that are not OK.
    """

    phase: str
    seconds: float
    killed: Counter[str]
    lines: Counter[int]
    wrong: int


def kills(stage: JobStage) -> list[Figure]:
    """A job of many units, one target each, under ``kill -9`` of server, workers and scheduler."""
    units, blows = stage.jobs.units, stage.jobs.kills
    course = stage.run(_kills(stage, units, blows))
    place = stage.site.name
    off = sum(course.lines[row] != 1 for row in range(1, units + 1))
    off += sum(1 for row in course.lines if not 1 <= row <= units) + course.wrong
    hit = ", ".join(f"{name} {count}×" for name, count in sorted(course.killed.items()))
    what = f"kill -9 at {sum(course.killed.values())} random moments of a {units:,}-unit job"
    return [
        Figure(
            "kills",
            place,
            f"{what}: jobs not COMPLETED",
            int(course.phase != "COMPLETED"),
            "",
            0,
            "less",
            note=f"{course.phase} after {course.seconds:.0f} s; {hit}",
        ),
        Figure(
            "kills",
            place,
            f"{what}: units not exactly once in the manifest",
            off,
            "",
            0,
            "less",
            note=f"{sum(course.lines.values())} lines, {course.wrong} of them not OK",
        ),
    ]


async def _kills(stage: JobStage, units: int, blows: int) -> _Course:
    settings = stage.settings(f"kills-{time.monotonic_ns()}", unit="1", attempts="5")
    targets = stage.targets(units, seed=31)
    async with Supervised(stage.large.url, settings) as service:
        victims = itertools.cycle(
            [service.server, service.workers[0], service.scheduler, *service.workers[1:]]
        )
        rng = np.random.default_rng([31, blows])
        moments = np.sort(rng.integers(1, int(_LATEST * units), blows)).tolist()
        killed: Counter[str] = Counter()
        began = time.monotonic()
        client = stage.client("kills", service.address)
        async with client, asyncio.timeout(_PATIENCE):
            job, _ = await client.submit(ARROW, targets)
            for moment, victim in zip(moments, victims, strict=False):
                seen = await _reached(client, job, moment)
                if seen.phase in FINAL:
                    break
                await victim.kill()
                killed[victim.name] += 1
            seen = await _reached(client, job, units + 1)
            seconds = time.monotonic() - began
            lines = await _manifest(client, job) if seen.phase == "COMPLETED" else []
    rows = Counter(int(line["row"]) for line in lines)
    wrong = sum(line["status"].upper() != "OK" for line in lines)
    return _Course(seen.phase, seconds, killed, rows, wrong)


async def _reached(client: JobClient, job: str, moment: int) -> Seen:
    """Wait until so many targets are done, or the job is over, however often the service goes away meanwhile."""
    while True:
        try:
            seen = await client.look(job)
        except OSError:
            await asyncio.sleep(_LOOK)
            continue
        if seen.phase in FINAL or seen.done >= moment:
            return seen
        await asyncio.sleep(_LOOK)


async def _manifest(client: JobClient, job: str) -> list[dict[str, str]]:
    while True:
        try:
            return await client.manifest(job)
        except OSError:
            await asyncio.sleep(_LOOK)
