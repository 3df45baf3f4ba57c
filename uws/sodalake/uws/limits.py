"""How much an executor takes on, and how long it may take to end a job."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

__all__ = ["END_SECONDS", "ExecutorLimits"]

END_SECONDS: Final = 0.8
"""Seconds that stopping a job and making results of what is finished may take before its phase changes anyway."""


@dataclass(frozen=True, slots=True)
class ExecutorLimits:
    """How much runs at once.

    Attributes
    ----------
    jobs, per_owner
        Jobs executing in this server; of one owner.
    depth
        Units a batch worker has: one runs, the others wait at the worker, which hides the way there.
    several
        Units that may run at once in the pool of work that holds several images.
    attempts
        Times a unit is tried before its error is recorded.
    bytes
        Of the parts of one job; 0: any number. A job that makes more is an error.
    pause
        Seconds before a second try; doubled for each further.
    niceness
        Of units, 0 to 19: real-time work goes first.
    archive
        How long a destroyed job is still known, as ARCHIVED.
    """

    jobs: int = 16
    per_owner: int = 4
    depth: int = 2
    several: int = 1
    attempts: int = 3
    bytes: int = 0
    pause: float = 0.5
    niceness: int = 10
    archive: timedelta = timedelta(days=30)
