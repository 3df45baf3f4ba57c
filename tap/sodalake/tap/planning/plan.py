"""A plan: for each table of a query where its rows are read, and what is asked of them. Plain values that travel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sodalake.tap.metadata import Column, Table

from .checks import Check

__all__ = ["ARCHIVE", "Access", "Content", "Joined", "Leg", "Path", "Plan", "Read", "Reduction", "Rowwise"]

Path = Literal[
    "alert", "object", "sky", "time", "class", "objects", "image", "images", "archive", "given", "nothing"
]
"""Where rows come from: an index table of the row store, all there is of them, or what was given (uploads, TAP_SCHEMA).

All alerts are in the Parquet archive; all objects and all images are rows of the row store. ``images`` are all of so
few that a quick reader reads them; where there are more it is ``archive``, for the readers of scans.
"""

Content = Literal["alerts", "objects", "images", ""]
"""What rows of a survey are; of what was given: nothing."""

ARCHIVE: Path = "archive"


@dataclass(frozen=True, slots=True)
class Access:
    """How rows of one survey are reached.

    Attributes
    ----------
    path
        See `Path`.
    keys
        Ids, or classes.
    ranges
        Ranges of HEALPix cells of order 29 (NESTED): first, and first after.
    first, last
        Days, in the survey's scale, both included: rows outside are of no use.
    rows
        About how many rows this reads; None where unknown.
    bytes
        About how many bytes of columns, for the archive.
    """

    path: Path
    keys: tuple[str, ...] = ()
    ranges: tuple[tuple[int, int], ...] = ()
    first: float = float("-inf")
    last: float = float("inf")
    rows: int | None = None
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Leg:
    """The part of a table that one survey has.

    Attributes
    ----------
    columns
        Those to read of its rows.
    content
        What its rows are.
    checks
        Conditions on covering columns that hold for all rows of use: an index need not fetch the others.
    """

    survey: str
    access: Access
    columns: tuple[str, ...]
    content: Content
    checks: tuple[Check, ...] = ()

    @property
    def in_files(self) -> bool:
        """Whether it is read of the archive's files, which several may do together."""
        return self.access.path == ARCHIVE and self.content == "alerts"


@dataclass(frozen=True, slots=True)
class Joined:
    """A join by which rows of a table are reached from those of another.

    Attributes
    ----------
    other
        Id of the source whose rows are there first.
    kind
        ``equal``: `column` is `other_column`, of role `role`; ``near``: the places are within `radius`;
        ``covers``: the other's place is in this one's outline.
    column, other_column
        Of ``equal``.
    place, other_place
        Longitude and latitude, of ``near`` and ``covers``.
    radius
        Degrees; or a column of the other source (of this one, where `own`).
    scale
        What the radius is multiplied by: columns may hold diameters.
    own
        Whether the radius is one around this source's places.
    pairs
        Name of the table of pairs that a join by place is made by, where it is one.
    """

    other: str
    kind: Literal["equal", "near", "covers"]
    column: str = ""
    other_column: str = ""
    role: str = ""
    place: tuple[str, str] = ("", "")
    other_place: tuple[str, str] = ("", "")
    radius: float | str = 0.0
    scale: float = 1.0
    own: bool = False
    pairs: str = ""


@dataclass(frozen=True, slots=True)
class Reduction:
    """What is left of a table's rows before they are brought together: SQL over the source's id, and why."""

    sql: str
    note: str


@dataclass(frozen=True, slots=True)
class Read:
    """One source of a query.

    Attributes
    ----------
    source
        Its id.
    table
        What it is.
    columns
        Those of the table that the query uses; at least one.
    legs
        Where its rows are.
    joined
        How its rows may be found from another source's, once these are there.
    pairs
        Pairs that are made once both sources are there; they number the rows of both.
    reduction
        Applied to what is read of the archive, file group by file group.
    """

    source: str
    table: Table
    columns: tuple[str, ...]
    legs: tuple[Leg, ...]
    joined: Joined | None = None
    pairs: Joined | None = None
    numbered: bool = False
    reduction: Reduction | None = None

    @property
    def scans(self) -> bool:
        """Whether it reads the archive, or as many rows."""
        return any(leg.access.path == ARCHIVE for leg in self.legs)

    @property
    def whole(self) -> bool:
        """Whether it reads all there is, few or many, of a survey."""
        return any(leg.access.path in (ARCHIVE, "images") for leg in self.legs)


@dataclass(frozen=True, slots=True)
class Rowwise:
    """A query that makes each row of its answer of one row of its only table.

    Attributes
    ----------
    sql
        Asked of each batch: the numbers (`row_column`) of the rows that are wanted, and what is computed of them
        (``e0``, ``e1``, … by the output's number). None: every row is, as it is.
    seen
        Columns that `sql` is about.
    taken
        For each output the column that it is, or None where it is computed.
    checks
        What `sql` asks, where it is simple and nothing is computed; else None.
    offset
        Rows to leave out first.
    """

    sql: str | None
    seen: tuple[str, ...]
    taken: tuple[str | None, ...]
    checks: tuple[Check, ...] | None = None
    offset: int = 0

    @property
    def outputs(self) -> list[str]:
        """The columns of a query that computes nothing."""
        return [name for name in self.taken if name is not None]


@dataclass(frozen=True, slots=True)
class Plan:
    """How a query is answered.

    Attributes
    ----------
    sql
        What DuckDB is asked, over the sources' ids.
    reads
        In the order in which they are read.
    outputs
        Columns of the answer.
    limit
        Rows after which the answer is cut (MAXREC), and one more is asked for to see whether it was.
    top
        Rows that the query itself asks for at most (TOP), or None.
    rowwise
        How rows are answered while others are read; None where all must be there.
    """

    sql: str
    reads: tuple[Read, ...]
    outputs: tuple[Column, ...]
    limit: int
    top: int | None
    rowwise: Rowwise | None = None

    @property
    def scans(self) -> bool:
        """Whether it is known to read the archive: what a join may reach by an index is not."""
        return any(read.scans and read.joined is None for read in self.reads)

    @property
    def bytes(self) -> int:
        """About how many bytes of the archive's columns it reads."""
        return sum(leg.access.bytes for read in self.reads for leg in read.legs)

    @property
    def rows(self) -> int:
        """About how many rows it reads of the archive."""
        return sum(
            leg.access.rows or 0 for read in self.reads for leg in read.legs if leg.access.path == ARCHIVE
        )
