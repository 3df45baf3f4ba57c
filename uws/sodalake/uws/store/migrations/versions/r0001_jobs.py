"""Jobs, their results, plans and units, and what housekeeping keeps."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# A migration is a picture of its day: it uses nothing of `schema`, which goes on changing.
_Number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_Time = sa.BigInteger


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "jobs",
        sa.Column("seq", _Number, primary_key=True, autoincrement=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("owner", sa.Text),
        sa.Column("phase", sa.Text, nullable=False),
        sa.Column("run_id", sa.Text),
        sa.Column("created", _Time, nullable=False),
        sa.Column("quote", _Time),
        sa.Column("queued", _Time),
        sa.Column("started", _Time),
        sa.Column("ended", _Time),
        sa.Column("archived", _Time),
        sa.Column("destruction", _Time),
        sa.Column("execution_duration", sa.BigInteger, nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("parameters", sa.JSON, nullable=False),
        sa.Column("uploads", sa.JSON, nullable=False),
        sa.Column("error", sa.JSON),
        sa.Column("total", sa.BigInteger, nullable=False),
        sa.Column("done", sa.BigInteger, nullable=False),
        sa.Column("failed", sa.BigInteger, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("shape", sa.Text, nullable=False),
        sa.Column("runner", sa.Text),
        sa.Column("abort_requested", sa.Boolean, nullable=False),
        sa.Column("email", sa.Text, nullable=False),
        sa.Column("tell_after", sa.Double, nullable=False),
        sa.Column("mail_due", sa.Boolean, nullable=False),
        sa.Column("mail_runner", sa.Text),
        sa.Column("mail_error", sa.Text),
        sa.Column("version", sa.BigInteger, nullable=False),
    )
    _index("jobs_list", ["owner", "kind", "phase", "created", "seq"])
    _index("jobs_queue", [sa.text("priority DESC"), "queued", "seq"], "phase = 'QUEUED'")
    _index("jobs_active", ["phase", "owner"], "phase IN ('PENDING', 'QUEUED', 'EXECUTING')")
    _index("jobs_destruction", ["destruction"], "phase != 'ARCHIVED' AND destruction IS NOT NULL")
    _index("jobs_archived", ["archived"], "archived IS NOT NULL")
    _index("jobs_mail", ["ended"], "mail_due")

    op.create_table("results", _job(), sa.Column("body", sa.Text, nullable=False))
    op.create_table("plans", _job(), sa.Column("body", sa.LargeBinary, nullable=False))
    op.create_table(
        "units",
        _job(),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("part", sa.Text, nullable=False),
        sa.Column("entries", sa.LargeBinary, nullable=False),
        sa.Column("targets", sa.Integer, nullable=False),
        sa.Column("failed", sa.Integer, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("seconds", sa.Double, nullable=False),
    )
    op.create_table(
        "timings",
        sa.Column("seq", _Number, primary_key=True, autoincrement=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("shape", sa.Text, nullable=False),
        sa.Column("targets", sa.BigInteger, nullable=False),
        sa.Column("units", sa.BigInteger, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.Column("waited", sa.Double, nullable=False),
        sa.Column("ended", _Time, nullable=False),
    )
    op.create_table("sweeps", sa.Column("id", sa.Text, primary_key=True))


def _job() -> sa.Column[int]:
    return sa.Column(
        "job", _Number, sa.ForeignKey("jobs.seq", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )


def _index(name: str, columns: list[str | sa.TextClause], where: str | None = None) -> None:
    condition = None if where is None else sa.text(where)
    op.create_index(name, "jobs", columns, sqlite_where=condition, postgresql_where=condition)
