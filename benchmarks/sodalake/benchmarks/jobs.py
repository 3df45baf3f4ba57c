"""`sodalake bench jobs`: what is asked of sodalake's jobs, row by row, embedded and on HDFS with HBase."""

from __future__ import annotations

from .jobkills import kills
from .jobmeasures import lists, submissions, trivial, waking
from .jobstage import JobScale, JobStage
from .jobwork import aborts, beside, bulk_job, estimates
from .running import Bench
from .stampstage import StampScale

__all__ = ["BENCH", "FULL", "QUICK"]

FULL = JobScale()
"""The real thing: an archive of 1 GB, a quarter of an hour a place."""

QUICK = JobScale(
    archive=StampScale(files=2, rows=140, rounds=1, requests=20, bulk_files=2, bulk_stamps=200),
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

BENCH = Bench(
    "jobs",
    FULL,
    QUICK,
    {
        "trivial": trivial,
        "waking": waking,
        "submissions": submissions,
        "lists": lists,
        "bulk": bulk_job,
        "beside": beside,
        "abort": aborts,
        "kills": kills,
        "estimates": estimates,
    },
    JobStage,
)
"""See `running.Bench`."""
