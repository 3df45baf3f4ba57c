"""Values of a request as ADQL writes them."""

from __future__ import annotations

__all__ = ["literal"]


def literal(text: str) -> str:
    """Return a text as ADQL writes it."""
    return "'" + text.replace("'", "''") + "'"
