"""What can be wrong with a question. All derive from the lake's errors, so that each protocol can tell them its way::

lake.errors.UsageError
└── TapError
    ├── AdqlError       the query: with line, column, and what may have been meant
    ├── UploadError     a table that came with it
    ├── FormatError     the answer cannot be written in the format asked for
    └── TooLarge        it would read or return more than may be: with the numbers, and what would fit
lake.errors.DeadlineExceeded
└── QueryTimeout        it took longer than it may
"""

from __future__ import annotations

from sodalake.lake.errors import DeadlineExceeded, UsageError

__all__ = ["AdqlError", "FormatError", "QueryTimeout", "TapError", "TooLarge", "UploadError"]


class TapError(UsageError):
    """A question that cannot be answered as it was asked."""


class AdqlError(TapError):
    """A query that is not ADQL, or names what is not there, or mixes what cannot be mixed.

    Parameters
    ----------
    message
        What is wrong, a sentence.
    advice
        What may have been meant.
    line, column
        Where in the text, from 1; 0 where it has no place.

    Notes
    -----
    `str` begins with the place, as ``Line 2, column 14: …``.
    """

    def __init__(self, message: str, advice: str = "", line: int = 0, column: int = 0) -> None:
        where = f"Line {line}, column {column}: " if line else ""
        super().__init__(where + message, advice)
        self.line = line
        self.column = column

    def __reduce__(self) -> tuple[object, ...]:
        return _again, (self.message, self.advice, self.line, self.column)


def _again(message: str, advice: str, line: int, column: int) -> AdqlError:
    error = AdqlError(message, advice)
    error.line, error.column = line, column
    return error


class UploadError(TapError):
    """An uploaded table that cannot be read, or is larger than may be."""


class FormatError(TapError):
    """An answer that the format asked for cannot hold."""


class TooLarge(TapError):
    """A query that would read or return more than it may."""


class QueryTimeout(DeadlineExceeded):
    """A query that took longer than it may."""

    @classmethod
    def after(cls, seconds: float) -> QueryTimeout:
        """Return the error of a query that may take so many seconds."""
        return cls(
            f"The query took longer than the {seconds:g} s that it may take here.",
            "Send it to /tap/async, where it may take hours; or ask for less: a TOP, a smaller region.",
        )
