"""What travels to a worker: a question with all that belongs to it, and what comes back before the first bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sodalake.tap.answers import Info
from sodalake.tap.metadata import Column
from sodalake.tap.planning.plan import Plan

__all__ = ["Elsewhere", "Head", "Limits", "Question", "Share", "Upload"]


@dataclass(frozen=True, slots=True)
class Upload:
    """A table that came with a question, as it came."""

    name: str
    content: bytes
    content_type: str = ""
    filename: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a question may ask for.

    Attributes
    ----------
    query
        Characters of its text.
    index_rows
        Rows it may read of the row store for one table, before the archive is read instead.
    memory
        Bytes of memory on a worker.
    upload_rows
        Rows of an uploaded table.
    share
        Bytes of columns that one worker reads of the archive as one piece of work.
    """

    query: int = 1_000_000
    index_rows: int = 50_000
    memory: int = 2_000_000_000
    upload_rows: int = 1_000_000
    share: int = 48_000_000


@dataclass(frozen=True, slots=True)
class Question:
    """A query, and how it is to be answered.

    Attributes
    ----------
    adql
        The query.
    format
        Name of an output format (`sodalake.tap.formats`).
    rows
        Rows after which the answer is cut; 0: none, only what is known of its columns.
    uploads
        Tables that came with it.
    infos, descriptors
        See `Answer`.
    columns
        Name → what an answer's column of that name is to be told as, instead of what is published.
    description
        Of the answer's table.
    authority, base_url
        Ours, in identifiers; where links lead.
    links
        Whether service descriptors are added for columns that hold identifiers.
    """

    adql: str
    format: str = "votable"
    rows: int = 100_000
    uploads: tuple[Upload, ...] = ()
    infos: tuple[Info, ...] = ()
    descriptors: tuple[str, ...] = ()
    columns: Mapping[str, Column] = field(default_factory=dict)
    description: str = ""
    authority: str = "sodalake"
    base_url: str = ""
    links: bool = True
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class Share:
    """Some files of the archive that one worker reads and reduces.

    Attributes
    ----------
    source, leg
        What they are read for.
    files
        Their numbers.
    hidden_by
        For each the files that hide some of its rows (`FileView.hidden_by`). Where that has changed when it is read,
        rows would be missing that the newer file has, which is no part of the plan.
    """

    source: str
    leg: int
    files: tuple[int, ...]
    hidden_by: tuple[tuple[int, ...] | None, ...]


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A question that reads the archive: its plan, and the work in shares (none: it is one worker's)."""

    plan: Plan
    shares: Sequence[Share] = ()


@dataclass(frozen=True, slots=True)
class Head:
    """What is known of an answer before its first bytes.

    Attributes
    ----------
    elsewhere
        Given where the question is not answered here; there are no bytes then.
    plan
        For people: what is read where.
    """

    elsewhere: Elsewhere | None = None
    plan: str = ""
