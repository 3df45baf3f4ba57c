"""Tables in: what came with a query becomes a table that the query can name (TAP 1.1, 2.7.6).

`reading` finds out what it is; `votable` reads XML, and `cells` and `streams` what is in it; `fits`, `arrowtables` and
`textfiles` read the rest; `columns` checks what all have in common.
"""

from __future__ import annotations

from .reading import read_upload

__all__ = ["read_upload"]
