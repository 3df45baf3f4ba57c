"""What can go wrong in the archive, as a tree.

::

    LakeError                    anything below; carries `advice`: what the person can do about it
    ├── UsageError               the question itself is wrong
    │   ├── ConfigurationError   lake.toml, a survey file or a setting
    │   └── OutsideArchive       a path that leaves the archive's roots
    ├── NotInLake                no such survey, alert, object or stamp
    ├── Damaged                  the archive's bytes are not what they were at ingest
    │   └── FileGone             a file was deleted (or cannot be found) after its ingest
    └── Unavailable              a back end does not answer (in time); the same request may pass later
        └── DeadlineExceeded     the deadline of a call passed

Worker code raises these and knows no HTTP: the server's errors module gives each its status and DALI label.
Every one of them can be pickled, since it travels from a Dask worker to the server.
"""

from __future__ import annotations

__all__ = [
    "ConfigurationError",
    "Damaged",
    "DeadlineExceeded",
    "FileGone",
    "LakeError",
    "NotInLake",
    "OutsideArchive",
    "Unavailable",
    "UsageError",
]


class LakeError(Exception):
    """Anything the archive refuses or fails to do.

    Parameters
    ----------
    message
        One sentence: what happened, with the name of the thing.
    advice
        One sentence: what to do about it. May be empty.
    """

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(message, advice)
        self.message = message
        self.advice = advice

    def __str__(self) -> str:
        return f"{self.message} {self.advice}".strip()


class UsageError(LakeError):
    """The question itself is wrong."""


class ConfigurationError(UsageError):
    """`lake.toml`, a survey file or a setting is wrong."""


class OutsideArchive(UsageError):
    """A path that leaves the archive's roots."""


class NotInLake(LakeError):
    """No such survey, alert, object or stamp."""


class Damaged(LakeError):
    """The archive's bytes are not what they were at ingest."""


class FileGone(Damaged):
    """A file was deleted, or cannot be found, after its ingest."""


class Unavailable(LakeError):
    """A back end does not answer; the same request may pass later."""


class DeadlineExceeded(Unavailable):
    """The deadline of a call passed."""
