"""How an answer ended, in formats that have no place to say that it failed."""

from __future__ import annotations

from sodalake.tap.answers import Answer, Ending
from sodalake.tap.errors import FormatError

__all__ = ["whole"]


def whole(answer: Answer) -> Ending:
    """Return how an answer ended, if it did not fail.

    Raises
    ------
    FormatError
        It failed after its first rows. Who writes must break the transfer off: what was written looks whole.
    """
    ending = answer.ending()
    if ending.status == "ERROR":
        raise FormatError(ending.message or "The query failed after its first rows.", "Ask again.")
    return ending
