"""What can go wrong with a job, as a tree.

::

    UwsError                     anything below; carries `advice`: what the person can do about it
    ├── NoSuchJob                the id is not a job's (any more)
    ├── NotYours                 the job is another owner's
    ├── IllegalTransition        not in this phase
    ├── BadJob                   what is asked of the job cannot be: found when it is checked or planned
    ├── WorkFailed               the work cannot be done now: what it stands on does not answer, or it was lost
    ├── TooMuch                  a limit of the owner is reached; passes when his jobs end
    ├── Full                     a limit of the service is reached; passes when jobs end
    └── StoreUnavailable         the store of jobs does not answer, or is another server's

The rooms that use this one give each its HTTP status. Errors travel between processes, so all can be pickled.
"""

from __future__ import annotations

__all__ = [
    "BadJob",
    "Full",
    "IllegalTransition",
    "NoSuchJob",
    "NotYours",
    "StoreUnavailable",
    "TooMuch",
    "UwsError",
    "WorkFailed",
]


class UwsError(Exception):
    """Anything that goes wrong with a job.

    Parameters
    ----------
    message
        One sentence: what happened.
    advice
        One sentence: what to do about it. May be empty.
    """

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(message, advice)
        self.message = message
        self.advice = advice

    def __str__(self) -> str:
        return f"{self.message} {self.advice}".strip()


class NoSuchJob(UwsError):
    """The id is not a job's (any more)."""


class NotYours(UwsError):
    """The job is another owner's."""


class IllegalTransition(UwsError):
    """What is asked for cannot happen in the job's phase."""


class BadJob(UwsError):
    """What is asked of the job cannot be."""


class WorkFailed(UwsError):
    """The work cannot be done now; the same job may pass later."""


class TooMuch(UwsError):
    """A limit of the owner is reached."""


class Full(UwsError):
    """A limit of the service is reached."""


class StoreUnavailable(UwsError):
    """The store of jobs does not answer, or another server has it."""
