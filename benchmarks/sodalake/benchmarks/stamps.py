"""`sodalake bench stamps`: what is asked of sodalake's stamps, row by row, embedded and on HDFS with HBase."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich.console import Console

from .inside import bulk, bytes_read, ingest_speed
from .measures import crowd, growth, one, whole_object
from .report import Figure, Report
from .running import measure_rows
from .stage import Scale, Stage

__all__ = ["FULL", "QUICK", "ROWS", "run"]

FULL = Scale()
"""The real thing: an archive of 1 GB, some minutes."""

QUICK = Scale(
    files=2,
    rows=140,
    side_rows=70,
    rounds=1,
    requests=20,
    seed_requests=3,
    seconds=1.0,
    crowd_seconds=2.0,
    objects=1,
    bulk_stamps=200,
)
"""Everything once, on an archive of 11 MB: to see that it runs."""

ROWS: Mapping[str, Callable[[Stage], list[Figure]]] = {
    "ingest": ingest_speed,
    "one": one,
    "object": whole_object,
    "bytes": bytes_read,
    "bulk": bulk,
    "crowd": crowd,
    "growth": growth,
}
"""Row → how it is measured."""


def run(
    scale: Scale = FULL,
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
    where
        ``embedded``, ``cluster``.
    cluster_folder
        The cluster to use; the user's own by default, started where it is not running.
    cache
        Folder of made archives; the user's cache by default.
    console
        Where progress is told, as it goes.

    Returns
    -------
    Report
        With the figures of all rows; a cluster that cannot be started (no Java) is left out, and said so.
    """
    return measure_rows(
        "stamps",
        ROWS,
        lambda site, say: Stage(site, scale, cache, say),
        quick=scale is QUICK,
        rows=rows,
        where=where,
        cluster_folder=cluster_folder,
        console=console,
    )
