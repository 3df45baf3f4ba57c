"""How names are listed, in TAP_SCHEMA and in VOSI's tables: in the form that a query takes as it is (TAP 1.1, 4.2)."""

from __future__ import annotations

import re

from sodalake.tap.adql.words import RESERVED

__all__ = ["listed_name"]

_REGULAR = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)


def listed_name(name: str) -> str:
    """Return a column's name as a query writes it: in double quotes where it is a reserved word, or not regular."""
    if _REGULAR.fullmatch(name) and name.upper() not in RESERVED:
        return name
    return '"' + name.replace('"', '""') + '"'
