"""What an operation of the store is given: a connection inside one transaction, the time, and who asks.

Operations are plain functions of a transaction. They know nothing of threads and event loops, so both data bases have
the same ones: SQLite runs them in its writer's thread, PostgreSQL inside SQLAlchemy's asyncio engine. An operation may
be run again from the start where its transaction was rolled back, so it changes nothing but the data base.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, bindparam, select, update

from sodalake.uws.errors import BadJob, NoSuchJob

from .schema import jobs

__all__ = ["Transaction", "check_text", "known_id", "locked", "no_such_job", "now", "put", "whole"]

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LOCKED: Final = select(jobs).where(jobs.c.id == bindparam("job_id")).with_for_update()


@dataclass(slots=True)
class Transaction:
    """One transaction.

    Attributes
    ----------
    runner
        The server that asks.
    gone
        Says which of some runners live no more.
    changed
        The keys of `Events` whose waiters are to be woken once it is committed.
    """

    connection: Connection
    runner: str
    gone: Callable[[Connection, Collection[str]], set[str]]
    now: datetime = field(default_factory=lambda: now())
    changed: list[str] = field(default_factory=list)


def now() -> datetime:
    """Return the time in UTC, to the millisecond."""
    return whole(datetime.now(UTC))


def whole(time: datetime) -> datetime:
    """Return a time as it is kept: in UTC, to the millisecond."""
    return time.astimezone(UTC).replace(microsecond=time.microsecond // 1000 * 1000)


def known_id(job_id: str) -> str:
    """Return the id if it can be a job's; it comes from a URL and may have characters that PostgreSQL refuses.

    Raises
    ------
    NoSuchJob
        It cannot.
    """
    if not _ID.fullmatch(job_id):
        raise no_such_job(job_id)
    return job_id


def no_such_job(job_id: str) -> NoSuchJob:
    """Return the error."""
    return NoSuchJob(
        f"There is no job {job_id[:64]!r}.", "It may have been deleted; look at the list of jobs."
    )


def check_text(name: str, value: str | None) -> None:
    """Refuse what is no Unicode text for a data base.

    Raises
    ------
    BadJob
        It has a NUL, or half of a surrogate pair.
    """
    if value is not None and ("\0" in value or any("\ud800" <= char <= "\udfff" for char in value)):
        raise BadJob(f"The {name} has a character that is no text.", "Leave out NUL and unpaired surrogates.")


def locked(tx: Transaction, job_id: str) -> RowMapping:
    """Return a job's row, which nobody else changes until this transaction ends.

    That makes every change a compare-and-set: of two that race, the second sees what the first has made.

    Raises
    ------
    NoSuchJob
        The id is not a job's.
    """
    values: dict[str, Any] = {"job_id": known_id(job_id)}
    row = tx.connection.execute(_LOCKED, values).mappings().one_or_none()
    if row is None:
        raise no_such_job(job_id)
    return row


def put(tx: Transaction, row: RowMapping, values: dict[str, Any]) -> dict[str, Any]:
    """Change columns of a row that is `locked`, and count the change; return the row as it is then."""
    values["version"] = row["version"] + 1
    tx.connection.execute(_update(tuple(values)), {"key": row["seq"], **values})
    return {**row, **values}


@cache
def _update(names: tuple[str, ...]) -> Any:
    """Return the statement for these columns; making it takes longer than running it."""
    return (
        update(jobs).where(jobs.c.seq == bindparam("key")).values({name: bindparam(name) for name in names})
    )
