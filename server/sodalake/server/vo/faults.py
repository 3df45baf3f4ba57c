"""Errors as SIA 2.0 (3.2) and DataLink 1.1 (3.4) name them: a word, a colon, what happened."""

from __future__ import annotations

from sodalake.server.errors import Fault

__all__ = ["fault_text", "literal"]


def fault_text(fault: Fault) -> str:
    """Return the text of an error, which begins with its word."""
    if fault.status in (404, 410):
        word = "NotFoundFault"
    elif fault.status in (408, 429, 503, 504):
        word = "TransientFault"
    elif fault.status < 500:
        word = "UsageFault"
    else:
        word = "FatalFault" if fault.status == 500 else "DefaultFault"
    return f"{word}: {fault.sentence}"


def literal(text: str) -> str:
    """Return a text as ADQL writes it."""
    return "'" + text.replace("'", "''") + "'"
