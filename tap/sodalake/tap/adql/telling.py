"""DuckDB's errors, told as ours: without its names for things, and without its internals."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import duckdb

from ..errors import AdqlError, TapError, TooLarge

__all__ = ["told"]

_TYPES: Final = {
    "INT8": "BIGINT",
    "INT16": "SMALLINT",
    "INT32": "INTEGER",
    "INT64": "BIGINT",
    "INT128": "BIGINT",
    "SMALLINT": "SMALLINT",
    "INTEGER": "INTEGER",
    "BIGINT": "BIGINT",
    "FLOAT": "REAL",
    "DOUBLE": "DOUBLE PRECISION",
    "TIMESTAMP": "TIMESTAMP",
}
_MESSAGES: Final[Sequence[tuple[re.Pattern[str], str, str]]] = (
    (
        re.compile(r"[Cc]ould not convert string ['\"](?P<a>.*?)['\"] to (?P<type>\w+)", re.DOTALL),
        "The text “{a}” cannot be made a value of type {type}.",
        "Leave such rows out by WHERE.",
    ),
    (
        re.compile(r"invalid timestamp field format: \"(?P<a>.*?)\"", re.DOTALL),
        "The text “{a}” is no time.",
        "Times are written as 2026-11-21T12:00:00.",
    ),
    (
        re.compile(r"timestamp field value out of range: \"(?P<a>.*?)\"", re.DOTALL),
        "The text “{a}” is no time.",
        "Times are written as 2026-11-21T12:00:00.",
    ),
    (
        re.compile(
            r"value (?P<a>\S+) can't be cast because the value is out of range for the destination type (?P<type>\w+)"
        ),
        "The number {a} is out of the range of {type}.",
        "CAST to a wider type, as DOUBLE PRECISION.",
    ),
    (
        re.compile(r"Overflow in (?P<a>\w+)"),
        "A result is too large for BIGINT ({a}).",
        "CAST the numbers to DOUBLE PRECISION before computing.",
    ),
    (
        re.compile(r"out of range", re.IGNORECASE),
        "A number is out of the range of its type.",
        "CAST to a wider type, as DOUBLE PRECISION.",
    ),
    (
        re.compile(r"More than one row returned by a subquery"),
        "A query that is used as a value has more than one row.",
        "Use IN instead of =, or SELECT TOP 1, or an aggregate.",
    ),
    (
        re.compile(r"expression depth|stack overflow|nested too deep", re.IGNORECASE),
        "The query is nested too deep.",
        "Make it simpler: use IN (…), or send a table by UPLOAD.",
    ),
)


def told(error: duckdb.Error) -> TapError:
    """Return what a query's failure in DuckDB means to who asked."""
    text = str(error)
    if isinstance(error, duckdb.OutOfMemoryException):
        return TooLarge(
            "The query needs more memory than it may use.", "Ask for fewer rows or columns, or in parts."
        )
    for pattern, message, advice in _MESSAGES:
        found = pattern.search(text)
        if found is not None:
            parts = found.groupdict()
            if "type" in parts:
                parts["type"] = _TYPES.get(parts["type"].upper(), parts["type"])
            return AdqlError(message.format(**parts), advice)
    if isinstance(error, duckdb.InterruptException):
        return TapError("The query was stopped.", "")
    return TapError(
        "The query could not be computed.", "Ask for a part of it, to see which part is to blame."
    )
