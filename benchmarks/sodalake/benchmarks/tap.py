"""`sodalake bench tap`: what is asked of sodalake's queries, row by row, embedded and on HDFS with HBase."""

from __future__ import annotations

from .running import Bench
from .tapmeasures import crowd, grouping, growth, naming, one_object, sky, slicing, wide
from .tapstage import TapScale, TapStage
from .tapwork import abort, bulk, filling, neighbours, turnaround, upload

__all__ = ["BENCH", "FULL", "QUICK"]

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

BENCH = Bench(
    "tap",
    FULL,
    QUICK,
    {
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
    },
    TapStage,
)
"""See `running.Bench`."""
