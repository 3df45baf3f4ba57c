"""Operations that keep the store clean: destruction, deleted objects, mails."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, delete, func, literal_column, or_, select, update

from sodalake.uws.jobs import Job

from .clients import get_many
from .schema import jobs, sweeps
from .transaction import Transaction

__all__ = [
    "due_mails", "expired", "forget_archived", "mail_done", "next_destruction", "swept", "unswept",
]  # fmt: skip

_DESTRUCTIBLE: Final[ColumnElement[bool]] = literal_column("phase != 'ARCHIVED' AND destruction IS NOT NULL")
_MAIL_DUE: Final[ColumnElement[bool]] = literal_column("mail_due")


def expired(tx: Transaction, now: datetime, limit: int) -> list[str]:
    """Return the ids of jobs whose destruction has come, the oldest first."""
    query = select(jobs.c.id).where(_DESTRUCTIBLE, jobs.c.destruction <= now)
    return list(tx.connection.execute(query.order_by(jobs.c.destruction).limit(limit)).scalars())


def next_destruction(tx: Transaction) -> datetime | None:
    """Return when the next job is to be destroyed."""
    return tx.connection.execute(select(func.min(jobs.c.destruction)).where(_DESTRUCTIBLE)).scalar()


def swept(tx: Transaction, job_id: str) -> None:
    """Note that a job's objects are deleted."""
    tx.connection.execute(delete(sweeps).where(sweeps.c.id == job_id))


def unswept(tx: Transaction) -> list[str]:
    """Return the ids of jobs whose objects are to be deleted."""
    return list(tx.connection.execute(select(sweeps.c.id).order_by(sweeps.c.id)).scalars())


def forget_archived(tx: Transaction, before: datetime) -> int:
    """Forget jobs that were archived before a time. What they have in `sweeps` stays."""
    return tx.connection.execute(
        delete(jobs).where(literal_column("archived IS NOT NULL"), jobs.c.archived < before)
    ).rowcount


def due_mails(tx: Transaction, limit: int) -> list[Job]:
    """Take ended jobs whose owner is to be told: those that no living server has taken."""
    takers = set(
        tx.connection.execute(
            select(jobs.c.mail_runner).where(_MAIL_DUE, jobs.c.mail_runner.is_not(None)).distinct()
        ).scalars()
    )
    free = tx.gone(tx.connection, {taker for taker in takers if taker}) | {tx.runner}
    query = (
        select(jobs.c.id)
        .where(_MAIL_DUE, or_(jobs.c.mail_runner.is_(None), jobs.c.mail_runner.in_(sorted(free))))
        .order_by(jobs.c.ended)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    ids = list(tx.connection.execute(query).scalars())
    if not ids:
        return []
    tx.connection.execute(update(jobs).where(jobs.c.id.in_(ids)).values(mail_runner=tx.runner))
    found = get_many(tx, ids)
    return [found[job_id] for job_id in ids]


def mail_done(tx: Transaction, job_id: str, error: str | None) -> None:
    """Note that the owner was told, or that it failed for good."""
    tx.connection.execute(
        update(jobs)
        .where(jobs.c.id == job_id)
        .values(mail_due=False, mail_runner=None, mail_error=None if error is None else error[:1000])
    )
