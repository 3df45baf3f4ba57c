"""What the archive refuses while a job is planned or finished, told as the job's error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sodalake.lake.errors import LakeError
from sodalake.uws.errors import WorkFailed

__all__ = ["told"]


@contextmanager
def told() -> Iterator[None]:
    """Let what the archive or the results refuse be told as it is: no bug, and it may pass later."""
    try:
        yield
    except LakeError as error:
        raise WorkFailed(error.message, error.advice) from error
