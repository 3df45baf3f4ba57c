"""Which bytes of a file a request wants: conditions and one range (RFC 9110, 13 and 14).

A request for several ranges is answered with the whole file, which the standard allows and downloaders handle; so is
a range in another unit, or one that is not well formed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from tornado.httputil import HTTPHeaders

__all__ = ["Unsatisfiable", "Wanted", "wanted"]

_RANGE: Final = re.compile(r"bytes\s*=\s*(?:(\d{1,18})\s*-\s*(\d{0,18})|-\s*(\d{1,18}))\s*", re.I | re.A)
_TAG: Final = re.compile(r'(?:W/)?"[^"]*"')


class Unsatisfiable(Exception):
    """The range begins behind the end of the file."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The bytes `[start, end)`; `partial` where that is what was asked for (206)."""

    start: int
    end: int
    partial: bool = False
    unchanged: bool = False
    """Whether the client has the file already (304)."""


def wanted(headers: HTTPHeaders, size: int, etag: str) -> Wanted:
    """Return what a request wants of a file.

    Parameters
    ----------
    size
        Of the file, bytes.
    etag
        Its strong validator, in quotes.

    Raises
    ------
    Unsatisfiable
        The range has no byte of it.
    """
    none_match = headers.get("If-None-Match")
    if none_match is not None and _matches(none_match, etag):
        return Wanted(0, 0, unchanged=True)
    whole = Wanted(0, size)
    header = headers.get("Range")
    if header is None:
        return whole
    condition = headers.get("If-Range")
    # Strong comparison: W/ and dates (there is no telling them strong) get the whole file (RFC 9110, 13.1.5).
    if condition is not None and condition.strip() != etag:
        return whole
    match = _RANGE.fullmatch(header.strip())
    if match is None:
        return whole
    if match[3] is not None:
        length = min(int(match[3]), size)
        if length == 0:
            raise Unsatisfiable
        return Wanted(size - length, size, partial=True)
    start = int(match[1])
    end = min(int(match[2]) + 1, size) if match[2] else size
    if match[2] and int(match[2]) < start:
        return whole  # not well formed: no range at all
    if start >= size:
        raise Unsatisfiable
    return Wanted(start, end, partial=True)


def _matches(header: str, etag: str) -> bool:
    """Compare weakly, as If-None-Match does (RFC 9110, 13.1.2)."""
    if header.strip() == "*":
        return True
    return any(tag.removeprefix("W/") == etag for tag in _TAG.findall(header))
