"""XML IDs of an answer's columns: those of a VOTable's FIELDs, by which PARAMs of the same document refer to them."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["idents_of"]

_NCNAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")


def idents_of(names: Sequence[str]) -> list[str]:
    """Return an XML ID for each name: the name itself wherever it can be one.

    Clients that find an ID that is not the name believe the ID, or shout the name (stilts tapquery).
    """
    taken = {name for name in names if _NCNAME.fullmatch(name)}
    found: list[str] = []
    used: set[str] = set()
    for name in names:
        ident = name
        if not _NCNAME.fullmatch(name) or name in used:
            base = re.sub(r"[^A-Za-z0-9_.-]", "_", name)
            base = base if _NCNAME.fullmatch(base) else f"_{base}"
            ident, number = base, 1
            while ident in taken or ident in used:
                number += 1
                ident = f"{base}_{number}"
        used.add(ident)
        found.append(ident)
    return found
