"""The tree of UWS 1.1 over HTTP, for any kind of job: list, jobs, phases, parameters, results, and pages for browsers.

::

    PATH                        list of jobs; POST makes one            joblist
    PATH/ID                     the job; WAIT; ACTION=DELETE, DELETE     job
    PATH/ID/phase               RUN, ABORT                              phase
    PATH/ID/executionduration   seconds                                 values
    PATH/ID/destruction         time                                    values
    PATH/ID/quote               time                                    values
    PATH/ID/owner               name                                    values
    PATH/ID/error               the error's document                    values
    PATH/ID/parameters          POST adds, while PENDING                parameters
    PATH/ID/parameters/NAME     value or file; PUT sets                 parameters
    PATH/ID/results             list                                    results
    PATH/ID/results/NAME        the result, by ranges                   results
    PATH/ID/files/NAME          one file of a result that has many      results

A `JobRoom` is all the handlers know: `routes` can be called once a kind.
"""

from __future__ import annotations

import re
from typing import Any

from sodalake.server.jobs.job import JobPage
from sodalake.server.jobs.joblist import JobList
from sodalake.server.jobs.parameters import ParameterHandler, ParametersHandler
from sodalake.server.jobs.phase import PhaseHandler
from sodalake.server.jobs.results import FileHandler, ResultHandler, ResultsHandler
from sodalake.server.jobs.room import JobLimits, JobRoom, Order, Runner
from sodalake.server.jobs.values import (
    DestructionHandler,
    DurationHandler,
    ErrorHandler,
    OwnerHandler,
    QuoteHandler,
)
from sodalake.server.service import Service

__all__ = ["JobLimits", "JobRoom", "Order", "Runner", "routes"]

_RESOURCES = {
    "phase": PhaseHandler,
    "executionduration": DurationHandler,
    "destruction": DestructionHandler,
    "quote": QuoteHandler,
    "owner": OwnerHandler,
    "error": ErrorHandler,
    "parameters": ParametersHandler,
    "parameters/([^/]+)": ParameterHandler,
    "results": ResultsHandler,
    "results/([^/]+)": ResultHandler,
    "files/([^/]+)": FileHandler,
}


def routes(service: Service, room: JobRoom) -> list[Any]:
    """Return the routes of a tree, below the service's prefix and the room's path."""
    tree = re.escape(f"{service.settings.prefix}{room.path}")
    given = {"service": service, "room": room}
    job = f"{tree}/([^/]+)"
    return [
        (f"{tree}/?", JobList, given),
        (f"{job}/?", JobPage, given),
        *((f"{job}/{path}", handler, given) for path, handler in _RESOURCES.items()),
    ]
