"""How an error is written at an address: each protocol has its way, also where none of its handlers answers.

What the gate refuses, a path that leads nowhere and a job that cannot be created are told to clients of TAP as VOTables
too (DALI 1.1, 4.2), to one of the REST API as JSON, and else as SODA 1.0 (5.2) has it, which is text.
"""

from __future__ import annotations

import re
from typing import Final

from sodalake.server.errors import Fault, as_json, as_text
from sodalake.tap.answers import Info
from sodalake.tap.formats import error_document

__all__ = ["as_cone", "as_votable", "fault_text", "written"]

# The first of them in a path decides: a prefix of the service stands before it, names of jobs and files behind.
_PROTOCOL: Final = re.compile(r"/(soda|api|tap|scs|sia2|datalink)(?![^/])")
_VOTABLE: Final = "application/x-votable+xml"


def fault_text(fault: Fault) -> str:
    """Return the text of an error as SIA 2.0 (3.2) and DataLink 1.1 (3.4) want it: a word, a colon, what happened."""
    if fault.status in (404, 410):
        word = "NotFoundFault"
    elif fault.status in (408, 429, 503, 504):
        word = "TransientFault"
    elif fault.status < 500:
        word = "UsageFault"
    else:
        word = "FatalFault" if fault.status == 500 else "DefaultFault"
    return f"{word}: {fault.sentence}"


def as_votable(fault: Fault) -> tuple[str, bytes]:
    """Write an error the way of TAP 1.1 (3.3)."""
    return _VOTABLE, error_document(fault.sentence)


def as_cone(fault: Fault) -> tuple[str, bytes]:
    """Write an error the way of SCS 1.03 (2.3), an INFO called Error, and of DALI, QUERY_STATUS."""
    return "text/xml", error_document(fault.sentence, [Info("Error", fault.sentence)])


def _as_word(fault: Fault) -> tuple[str, bytes]:
    return _VOTABLE, error_document(fault_text(fault))


_FORMS: Final = {
    "soda": as_text, "api": as_json, "tap": as_votable, "scs": as_cone, "sia2": _as_word, "datalink": _as_word,
}  # fmt: skip


def written(fault: Fault, path: str) -> tuple[str, bytes]:
    """Return the Content-Type and the body of an error at a path, which may have a query string."""
    found = _PROTOCOL.search(path.partition("?")[0])
    return _FORMS[found[1]](fault) if found else as_text(fault)
