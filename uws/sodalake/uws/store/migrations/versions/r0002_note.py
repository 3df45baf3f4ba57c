"""What a job's kind tells people of it, once it has run."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; jobs that ended before have nothing in it."""
    op.add_column("jobs", sa.Column("note", sa.Text))
