"""Where in a query something is, and errors that say so."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from sqlglot import exp

from ..errors import AdqlError

__all__ = ["close_to", "error_at", "error_of"]


def error_at(text: str, offset: int, message: str, advice: str = "") -> AdqlError:
    """Return an error about the character at an offset of a query."""
    before = text[: max(offset, 0)]
    return AdqlError(message, advice, before.count("\n") + 1, len(before) - before.rfind("\n"))


def error_of(text: str, node: exp.Expr | None, message: str, advice: str = "") -> AdqlError:
    """Return an error about a node: where its first word is, or the first word of what it is in."""
    offset = 0
    while node is not None:
        places = [part.meta["start"] for part in node.walk() if part._meta and "start" in part._meta]
        if places:
            offset = min(places)
            break
        node = node.parent
    return error_at(text, offset, message, advice)


def close_to(word: str, known: Iterable[str]) -> str:
    """Return "Did you mean …?" for a word that is not known, or nothing."""
    names = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), names, n=3, cutoff=0.6)
    if not near:
        return ""
    return f"Did you mean {' or '.join(names[name] for name in near)}?"
