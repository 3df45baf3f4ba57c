"""Stores of jobs: SQLite by default, PostgreSQL by URL.

::

    store = await open_store("sqlite:///srv/sodalake/jobs.db")   # or postgresql://user:password@host:5432/jobs
    job = await store.create(NewJob("soda", owner="ada", run=True))
    woken = store.events.subscribe(job.id)                       # first this, then look
    if (await store.get(job.id)).phase in ACTIVE:
        await asyncio.wait([woken], timeout=50)
    await store.close()
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from sodalake.uws.errors import StoreUnavailable

from .base import runner_name
from .protocol import JobStore, Moved
from .sqlite import SqliteStore

if TYPE_CHECKING:
    from .postgres import PostgresStore

__all__ = ["JobStore", "Moved", "open_store"]


async def open_store(url: str, *, server_name: str = "", serve: bool = True) -> JobStore:
    """Open the store of jobs at `url`; make or upgrade its tables.

    Parameters
    ----------
    url
        ``sqlite:///absolute/path``, the path alone, or ``postgresql://user:password@host:port/database``.
    server_name
        What other servers and error messages call this one; the machine's name by default.
    serve
        False: only to look, as a command does beside a running server.

    Raises
    ------
    StoreUnavailable
        It cannot be opened: another server has the SQLite file, the data base does not answer, it is of a newer
        program, or the URL is none.
    """
    parts = urlsplit(url)
    runner = runner_name(server_name)
    store: SqliteStore | PostgresStore
    if parts.scheme == "sqlite" and not parts.netloc and parts.path.rstrip("/"):
        store = SqliteStore(Path(unquote(parts.path)), runner, serve=serve)
    elif url.startswith("/") and url.rstrip("/"):
        store = SqliteStore(Path(url), runner, serve=serve)
    elif parts.scheme in ("postgresql", "postgres"):
        # Loaded here: who has SQLite does not wait for it.
        from .postgres import PostgresStore

        where = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        store = PostgresStore(url, where, runner, serve=serve)
    else:
        raise StoreUnavailable(
            f"{parts.scheme or url}: is no store of jobs.",
            "Write sqlite:///absolute/path or postgresql://user:password@host:port/database.",
        )
    await store.open()
    return store
