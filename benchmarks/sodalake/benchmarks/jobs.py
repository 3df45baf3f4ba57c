"""`sodalake bench jobs`: what is asked of sodalake's jobs, row by row, embedded and on HDFS with HBase."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich.console import Console

from .jobkills import kills
from .jobmeasures import lists, submissions, trivial, waking
from .jobstage import JobScale, JobStage
from .jobwork import aborts, beside, bulk_job, estimates
from .report import Figure, Report
from .running import measure_rows
from .stage import Scale

__all__ = ["FULL", "QUICK", "ROWS", "run"]

FULL = JobScale()
"""The real thing: an archive of 1 GB, a quarter of an hour a place."""

QUICK = JobScale(
    archive=Scale(files=2, rows=140, rounds=1, requests=20, bulk_files=2, bulk_stamps=200),
    trivial=10,
    waiters=50,
    changes=10,
    submit_clients=4,
    submit_seconds=1.0,
    lists=(20,),
    list_requests=10,
    targets=280,
    rounds=1,
    aborts=1,
    units=120,
    kills=4,
    learn=4,
    foretell=2,
    largest=200,
)
"""Everything once, on an archive of 11 MB: to see that it runs."""

ROWS: Mapping[str, Callable[[JobStage], list[Figure]]] = {
    "trivial": trivial,
    "waking": waking,
    "submissions": submissions,
    "lists": lists,
    "bulk": bulk_job,
    "beside": beside,
    "abort": aborts,
    "kills": kills,
    "estimates": estimates,
}
"""Row → how it is measured."""


def run(
    scale: JobScale = FULL,
    *,
    rows: Sequence[str] = tuple(ROWS),
    where: Sequence[str] = ("embedded", "cluster"),
    cluster_folder: Path | None = None,
    cache: Path | None = None,
    console: Console | None = None,
) -> Report:
    """Measure.

    Parameters
    ----------
    scale
        How much.
    rows
        Names in `ROWS`.
    where, cluster_folder, cache, console
        As of `sodalake.benchmarks.stamps.run`.

    Returns
    -------
    Report
        With the figures of all rows; a cluster that cannot be started (no Java) is left out, and said so.
    """
    return measure_rows(
        "jobs",
        ROWS,
        lambda site, say: JobStage(site, scale, cache, say),
        quick=scale is QUICK,
        rows=rows,
        where=where,
        cluster_folder=cluster_folder,
        console=console,
    )
