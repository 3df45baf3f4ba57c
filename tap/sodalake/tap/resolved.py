"""A query that has been understood: the contract between who reads ADQL and who plans it.

`tree` is sqlglot's, in canonical form:

- every `exp.Table` of a published or uploaded table has ``meta["source"]``: the id of its `Source` (``s0``, ``s1``, …);
- every `exp.Column` has ``meta["source"]`` (the id of the source it comes from, or None where it comes from a subquery
  or a CTE) and ``meta["name"]`` (the column's name in the table); it is qualified by the alias of what it comes from;
- stars are expanded; every output has an alias; output names are unique;
- functions that are not sqlglot's own are `exp.Anonymous` with an upper-case name. Geometry is in one form: no
  coordinate system arguments; ``POINT(lon, lat)``; ``CIRCLE(lon, lat, r)`` where the centre is written out, else
  ``CIRCLE(point, r)``; ``POLYGON(lon, lat, lon, lat, …)``; BOX is the POLYGON of its corners; ``DISTANCE(point,
  point)``; ``INTERSECTS`` of a point is ``CONTAINS``. CONTAINS and INTERSECTS have the value 1 or 0.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from sqlglot import exp

from .metadata import Column, Table

__all__ = ["OWN_TABLES", "Resolved", "Source"]

OWN_TABLES: Final = re.compile(r"(s|pairs)[0-9]+", re.ASCII | re.IGNORECASE)
"""What tables are called when they are given to DuckDB: a source's rows, and pairs of rows. No alias is like these."""


@dataclass(frozen=True, slots=True)
class Source:
    """One occurrence of a table in a query.

    Attributes
    ----------
    id
        ``s0``, ``s1``, …: the name under which its rows are given to DuckDB.
    table
        What it is.
    alias
        What the query calls it there.
    columns
        Names of the columns that the query uses of it, in the table's order (perhaps none: ``COUNT(*)``).
    """

    id: str
    table: Table
    alias: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Resolved:
    """A query, understood.

    Attributes
    ----------
    text
        As it was sent.
    tree
        See the module.
    sources
        Tables read, in the order of their ids.
    outputs
        Columns of the answer, with what is known of them.
    """

    text: str
    tree: exp.Query
    sources: tuple[Source, ...]
    outputs: tuple[Column, ...]
