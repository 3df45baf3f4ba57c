"""The tables of a store of jobs.

What a list or a scheduler reads is in columns of `jobs`; what only the job's own page reads is JSON, and what can be
large (results, a plan, finished units) has tables of its own, so that a job's row stays short.

A time is an integer, milliseconds since 1970 in UTC: exact in both data bases, and "after" means after. `seq` orders
jobs that were made in the same millisecond.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    text,
)
from sqlalchemy.types import TypeDecorator

__all__ = [
    "LIST", "REVISION", "Instant", "jobs", "metadata", "plans", "results", "sweeps", "timings", "units",
]  # fmt: skip

REVISION: Final = "0002"
"""The newest migration: what a store opened by this program has."""

LIST: Final = "jobs_list"

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


class Instant(TypeDecorator[datetime]):
    """An aware datetime as whole milliseconds since 1970; fractions of one are cut off.

    Cut off, not rounded: for whole ``t``, ``t > x`` and ``t > floor(x)`` are the same, so comparisons stay exact.
    """

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Return the milliseconds."""
        return None if value is None else (value - _EPOCH) // _MILLISECOND

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Return the time, in UTC."""
        return None if value is None else _EPOCH + value * _MILLISECOND


metadata = MetaData()

# SQLite numbers rows by itself where the key is exactly INTEGER.
_Sequence: Final = BigInteger().with_variant(Integer(), "sqlite")

jobs = Table(
    "jobs",
    metadata,
    Column("seq", _Sequence, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("owner", Text),
    Column("phase", Text, nullable=False),
    Column("run_id", Text),
    Column("created", Instant, nullable=False),
    Column("quote", Instant),
    Column("queued", Instant),
    Column("started", Instant),
    Column("ended", Instant),
    Column("archived", Instant),
    Column("destruction", Instant),
    Column("execution_duration", BigInteger, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("parameters", JSON, nullable=False),
    Column("uploads", JSON, nullable=False),
    Column("error", JSON(none_as_null=True)),
    Column("total", BigInteger, nullable=False),
    Column("done", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("shape", Text, nullable=False),
    Column("runner", Text),
    Column("abort_requested", Boolean, nullable=False),
    Column("email", Text, nullable=False),
    Column("tell_after", Double, nullable=False),
    Column("mail_due", Boolean, nullable=False),
    Column("mail_runner", Text),
    Column("mail_error", Text),
    Column("version", BigInteger, nullable=False),
    Column("note", Text),
)

# One index serves every list: an owner's jobs of one phase, newest last, are a range of it, and a list over several
# phases is a merge of such ranges, each cut at LAST.
Index(LIST, jobs.c.owner, jobs.c.kind, jobs.c.phase, jobs.c.created, jobs.c.seq)

# The others hold a few rows each, however many jobs have ended. A query uses such an index only where it has the
# same condition as a literal, not as a bound value.
Index(
    "jobs_queue",
    jobs.c.priority.desc(),
    jobs.c.queued,
    jobs.c.seq,
    sqlite_where=text("phase = 'QUEUED'"),
    postgresql_where=text("phase = 'QUEUED'"),
)
Index(
    "jobs_active",
    jobs.c.phase,
    jobs.c.owner,
    sqlite_where=text("phase IN ('PENDING', 'QUEUED', 'EXECUTING')"),
    postgresql_where=text("phase IN ('PENDING', 'QUEUED', 'EXECUTING')"),
)
Index(
    "jobs_destruction",
    jobs.c.destruction,
    sqlite_where=text("phase != 'ARCHIVED' AND destruction IS NOT NULL"),
    postgresql_where=text("phase != 'ARCHIVED' AND destruction IS NOT NULL"),
)
Index(
    "jobs_archived",
    jobs.c.archived,
    sqlite_where=text("archived IS NOT NULL"),
    postgresql_where=text("archived IS NOT NULL"),
)
Index(
    "jobs_mail",
    jobs.c.ended,
    sqlite_where=text("mail_due"),
    postgresql_where=text("mail_due"),
)


def _of_job() -> ForeignKey:
    return ForeignKey("jobs.seq", ondelete="CASCADE")


results = Table(
    "results",
    metadata,
    Column("job", _Sequence, _of_job(), primary_key=True, autoincrement=False),
    Column("body", Text, nullable=False),  # JSON; see `values.results_of`
)

plans = Table(
    "plans",
    metadata,
    Column("job", _Sequence, _of_job(), primary_key=True, autoincrement=False),
    Column("body", LargeBinary, nullable=False),
)

units = Table(
    "units",
    metadata,
    Column("job", _Sequence, _of_job(), primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("part", Text, nullable=False),
    Column("entries", LargeBinary, nullable=False),
    Column("targets", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("seconds", Double, nullable=False),
)

timings = Table(
    "timings",
    metadata,
    Column("seq", _Sequence, primary_key=True, autoincrement=True),
    Column("kind", Text, nullable=False),
    Column("shape", Text, nullable=False),
    Column("targets", BigInteger, nullable=False),
    Column("units", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("waited", Double, nullable=False),
    Column("ended", Instant, nullable=False),
)

# Jobs whose objects in the result store are still to be deleted; the job itself may be forgotten already.
sweeps = Table("sweeps", metadata, Column("id", Text, primary_key=True))
