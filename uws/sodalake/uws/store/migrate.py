"""Tables made and upgraded when a store is opened.

Alembic is loaded only where there is something to do: it takes longer than opening the store.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Connection

from sodalake.uws.errors import StoreUnavailable

from .schema import REVISION

__all__ = ["revision", "upgrade"]


def revision(connection: Connection) -> str | None:
    """Return the store's revision; None: it has no tables yet."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    return found


def upgrade(connection: Connection, where: str) -> None:
    """Bring the tables to this program's revision, in the transaction that is under way.

    Who calls has seen to it that no other opener is here at the same time.

    Raises
    ------
    StoreUnavailable
        The store is newer than the program, which cannot know what it would break.
    """
    found = revision(connection)
    if found == REVISION:
        return
    from alembic.command import upgrade as run
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", "sodalake.uws.store:migrations")
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found is not None and found not in known:
        raise newer(where, found)
    run(config, "head")


def newer(where: str, found: str | None) -> StoreUnavailable:
    """Return the error for a store of another revision."""
    return StoreUnavailable(
        f"The store of jobs at {where} has revision {found}; this sodalake knows revisions up to {REVISION}.",
        "Use the sodalake that wrote it, or a newer one.",
    )
