"""`sodalake bench tap`: what is asked of sodalake's queries, row by row, embedded and on HDFS with HBase."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich.console import Console

from .report import Figure, Report
from .running import measure_rows
from .tapmeasures import crowd, grouping, growth, naming, one_object, sky, slicing, wide
from .tapstage import TapScale, TapStage
from .tapwork import abort, bulk, filling, neighbours, turnaround, upload

__all__ = ["FULL", "QUICK", "ROWS", "run"]

FULL = TapScale()
"""The real thing: a million alerts, some ten minutes a place."""

QUICK = TapScale(
    alerts=20_000,
    rows=10_000,
    small=5_000,
    wide=10_000,
    long_objects=2,
    rounds=1,
    requests=20,
    few=5,
    seconds=1.0,
    crowd=20,
    crowd_seconds=1.0,
    bulk=10_000,
    positions=100,
    jobs=5,
    aborts=1,
    warm=5,
)
"""Everything once, on a table of 20 000 alerts: to see that it runs."""

ROWS: Mapping[str, Callable[[TapStage], list[Figure]]] = {
    "ingest": filling,
    "object": one_object,
    "naming": naming,
    "wide": wide,
    "cone": sky,
    "slice": slicing,
    "groups": grouping,
    "bulk": bulk,
    "upload": upload,
    "turnaround": turnaround,
    "crowd": crowd,
    "growth": growth,
    "greedy": neighbours,
    "abort": abort,
}
"""Row → how it is measured."""


def run(
    scale: TapScale = FULL,
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
        "tap",
        ROWS,
        lambda site, say: TapStage(site, scale, cache, say),
        quick=scale is QUICK,
        rows=rows,
        where=where,
        cluster_folder=cluster_folder,
        console=console,
    )
