"""The store in PostgreSQL: several servers share it, and wake each other by LISTEN/NOTIFY."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Final

import asyncpg
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine

from sodalake.uws.errors import StoreUnavailable

from .base import Answer, Arguments, Operation, Store
from .listener import CHANNEL, FAILURES, Listener, lock_of
from .migrate import newer, revision, upgrade
from .schema import REVISION
from .transaction import Transaction

__all__ = ["PostgresStore"]

CONNECTIONS: Final = 10
"""Transactions at the same time, from one server."""

_UPGRADING: Final = lock_of("upgrade")
_NOTIFY: Final = text("SELECT pg_notify(:channel, key) FROM unnest(CAST(:keys AS text[])) AS key")
_HELD: Final = text(
    "SELECT (CAST(classid AS bigint) << 32) | CAST(objid AS bigint) FROM pg_locks"
    " WHERE locktype = 'advisory' AND objsubid = 1 AND granted"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


class PostgresStore(Store):
    """A `JobStore` in PostgreSQL.

    Parameters
    ----------
    url
        As libpq reads it, ``sslmode`` and its other options too.
    where
        The URL without its password, for messages.
    serve
        False: only to look; it changes nothing, and is no runner to the others.
    """

    def __init__(self, url: str, where: str, runner: str, *, serve: bool = True) -> None:
        super().__init__(runner, serve=serve)
        self._url, self.where = url, where
        self._engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=self._connect,
            pool_size=CONNECTIONS,
            max_overflow=0,
            pool_timeout=15,
        )
        # One statement is a transaction of its own; BEGIN and ROLLBACK around it would be two round trips more.
        self._reading = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self._listener = Listener(self._connect, runner, self.events)

    async def _connect(self, *_: Any, **__: Any) -> Any:
        return await asyncpg.connect(
            self._url,
            timeout=10,
            command_timeout=60,
            server_settings={
                "application_name": f"sodalake {self.runner}"[:63],
                # A server that vanishes in the middle of a transaction keeps no job locked for ever.
                "idle_in_transaction_session_timeout": "60s",
            },
        )

    async def open(self) -> None:
        """Make or upgrade the tables, listen, and be seen as a runner.

        Raises
        ------
        StoreUnavailable
            The data base does not answer, refuses, or is of a newer program.
        """
        try:
            async with self._engine.begin() as connection:
                await connection.run_sync(self._prepare)
            if self.serve:
                await self._listener.start()
        except (SQLAlchemyError, *FAILURES) as error:
            await self._engine.dispose()
            raise self._unavailable(error) from error
        except StoreUnavailable:
            await self._engine.dispose()
            raise

    def _prepare(self, connection: Connection) -> None:
        if not self.serve:
            found = revision(connection)
            if found != REVISION:
                raise newer(self.where, found)
            return
        # Servers that start together make the tables one after the other.
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _UPGRADING})
        upgrade(connection, self.where)

    async def close(self) -> None:
        """Let go of the data base, and of the jobs this runner had."""
        self._closed = True
        await self._listener.close()
        await self._engine.dispose()
        self.events.wake_all()

    async def _read(
        self, operation: Operation[Arguments, Answer], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Answer:
        self._check_open()

        def work(connection: Connection) -> Answer:
            return operation(self._transaction(connection), *args, **kwargs)

        for last in (False, True):
            try:
                async with self._reading.connect() as connection:
                    return await connection.run_sync(work)
            except (SQLAlchemyError, *FAILURES) as error:
                if last or not _lost(error):
                    raise self._unavailable(error) from error
        raise AssertionError("the second attempt returns or raises")

    async def _write(
        self, operation: Operation[Arguments, Answer], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Answer:
        self._check_open()
        self._check_serves()

        def work(connection: Connection) -> tuple[Answer, list[str]]:
            tx = self._transaction(connection)
            answer = operation(tx, *args, **kwargs)
            if tx.changed:
                connection.execute(_NOTIFY, {"channel": CHANNEL, "keys": tx.changed})
            return answer, tx.changed

        answer, changed = await self._commit(work)
        for key in changed:  # those here do not wait for what the listener hears
            self.events.changed(key)
        return answer

    async def _commit(self, work: Callable[[Connection], Answer]) -> Answer:
        for last in (False, True):
            committing = False
            try:
                async with self._engine.connect() as connection:
                    answer = await connection.run_sync(work)
                    committing = True
                    await connection.commit()
                    return answer
            except (SQLAlchemyError, *FAILURES) as error:
                # A connection lost before COMMIT was sent has changed nothing, so it is all done again; after that,
                # nobody knows.
                if last or committing or not _lost(error):
                    raise self._unavailable(error) from error
        raise AssertionError("the second attempt returns or raises")

    def _transaction(self, connection: Connection) -> Transaction:
        return Transaction(connection, self.runner, self._gone)

    def _gone(self, connection: Connection, runners: Collection[str]) -> set[str]:
        others = {lock_of(runner): runner for runner in runners if runner != self.runner}
        if not others or not self._listener.trusted:
            return set()
        held = set(connection.execute(_HELD).scalars())
        return {runner for lock, runner in others.items() if lock not in held}

    def _unavailable(self, error: Exception) -> StoreUnavailable:
        cause = getattr(error, "orig", None) or error
        cause = getattr(cause, "__cause__", None) or cause
        advice = "Look whether PostgreSQL runs there and has room; the server goes on when it answers."
        if isinstance(cause, asyncpg.InvalidPasswordError | asyncpg.InvalidAuthorizationSpecificationError):
            advice = "Check the name and the password in the URL."
        elif isinstance(cause, asyncpg.InvalidCatalogNameError):
            advice = "Make the data base first: createdb."
        elif isinstance(cause, asyncpg.InsufficientPrivilegeError):
            advice = "Let this user make tables there."
        elif isinstance(cause, asyncpg.DiskFullError):
            advice = "Make room on its disk."
        told = str(cause) or type(cause).__name__
        return StoreUnavailable(f"The store of jobs {self.where} does not work: {told}.", advice)


def _lost(error: Exception) -> bool:
    return isinstance(error, DBAPIError) and error.connection_invalidated
