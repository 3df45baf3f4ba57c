"""A unit on its worker: run, told to stop, and reported as a plain value.

A Dask task that runs cannot be cancelled, so a unit looks at a flag between its targets. The flag is a set of
job ids in the worker's process; `stop` is called there, beside the running task, when a job is over.
What a unit raises is caught here and told: an exception that reaches the server then always means that Dask
lost the task.
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from .jobs import UnitRecord
from .kinds import ResultStore, UnitContext

__all__ = ["Failed", "Stopped", "call", "is_over", "run_unit", "stop"]

_REMEMBERED = 10_000

_over: OrderedDict[str, None] = OrderedDict()
_nice = threading.local()


@dataclass(frozen=True, slots=True)
class Failed:
    """A unit (or a planning step) raised `error`."""

    error: Exception


@dataclass(frozen=True, slots=True)
class Stopped:
    """A unit saw that its job is over."""


def stop(job: str) -> None:
    """Let the units of a job on this worker end, those that wait in its queue too."""
    _over[job] = None
    while len(_over) > _REMEMBERED:
        _over.popitem(last=False)


def is_over(job: str) -> bool:
    """Say, on this worker, whether a job's units are to end."""
    return job in _over


def _give_way(niceness: int) -> None:
    # Real-time work goes first where both share cores. On Linux this counts for the thread, and for those it starts.
    if getattr(_nice, "value", 0) < niceness:
        os.nice(niceness - getattr(_nice, "value", 0))
        _nice.value = niceness


def run_unit(
    run: Callable[[Any, UnitContext], UnitRecord],
    spec: Any,
    job: str,
    number: int,
    part: str,
    results: ResultStore,
    niceness: int = 0,
) -> UnitRecord | Failed | Stopped:
    """Do one unit."""
    if job in _over:
        return Stopped()
    _give_way(niceness)
    began = time.perf_counter()
    context = UnitContext(job, number, part, results, lambda: job in _over)
    try:
        record = run(spec, context)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the unit's, and told as such
        # What it raises once it was told to stop is its way to do so: other rooms have a `Cancelled` of their own.
        return Stopped() if job in _over else Failed(_portable(error))
    return replace(record, number=number, seconds=time.perf_counter() - began)


def call(function: Callable[..., Any], item: Any, job: str, niceness: int = 0) -> Any:
    """Do one step of planning or finishing."""
    if job in _over:
        return Stopped()
    _give_way(niceness)
    try:
        return function(item)
    except Exception as error:  # noqa: BLE001 - as above
        return Stopped() if job in _over else Failed(_portable(error))


def _portable(error: Exception) -> Exception:
    """Return the error without what it refers to: a traceback's frames do not travel."""
    error.__traceback__ = None
    error.__context__ = None
    return error
