"""`sodalake bench stamps`: what is asked of sodalake's stamps, row by row, embedded and on HDFS with HBase."""

from __future__ import annotations

from .inside import bulk, bytes_read, ingest_speed
from .measures import crowd, growth, one, whole_object
from .running import Bench
from .stampstage import StampScale, StampStage

__all__ = ["BENCH", "FULL", "QUICK"]

FULL = StampScale()
"""The real thing: an archive of 1 GB, some minutes."""

QUICK = StampScale(
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

BENCH = Bench(
    "stamps",
    FULL,
    QUICK,
    {
        "ingest": ingest_speed,
        "one": one,
        "object": whole_object,
        "bytes": bytes_read,
        "bulk": bulk,
        "crowd": crowd,
        "growth": growth,
    },
    StampStage,
)
"""See `running.Bench`."""
