"""The store in an SQLite file: one server, which needs nothing installed.

SQLAlchemy's asyncio engine crosses to a thread four times a statement; measured here, a job an insert, it made
830 transactions a second at 1.0 ms of processor each. So the operations, which are plain functions, run whole in a
thread of their own: 2 400 a second at 0.4 ms. All that writes is one thread with one connection, since SQLite has
one writer anyway; what is asked for while it writes is committed together next (8 000 a second).
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from sodalake.uws.errors import StoreUnavailable, UwsError

from .base import Answer, Arguments, Operation, Store
from .filelock import FileLock
from .migrate import newer, revision, upgrade
from .schema import REVISION
from .transaction import Transaction

__all__ = ["SqliteStore"]

READERS: Final = 2
"""Threads that read: a long list does not keep others from their job."""

GROUP: Final = 200
"""Operations committed together at most."""

BUSY: Final = 10.0
"""Seconds to wait for another process that writes, such as somebody's ``sqlite3`` shell."""


@dataclass(slots=True)
class _Asked:
    """An operation that waits for the writer."""

    operation: Callable[[Transaction], Any]
    answer: asyncio.Future[Any]


@dataclass(slots=True)
class _Committed:
    answers: list[Any] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)


class SqliteStore(Store):
    """A `JobStore` in an SQLite file.

    Parameters
    ----------
    serve
        False: only to look, beside the server that has the file; it changes nothing.
    """

    def __init__(self, path: Path, runner: str, *, serve: bool = True) -> None:
        super().__init__(runner, serve=serve)
        self.path = path
        self._lock: FileLock | None = None
        self._queue: deque[_Asked] = deque()
        self._writing: asyncio.Task[None] | None = None
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="jobs-writer")
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="jobs-reader")
        self._write_connection: Connection | None = None
        self._reading = threading.local()
        self._opened: list[Connection] = []
        self._engine = _engine(path)

    async def open(self) -> None:
        """Take the file, and make or upgrade its tables.

        Raises
        ------
        StoreUnavailable
            Another server has it, it is of a newer program, or it cannot be opened.
        """
        try:
            await asyncio.get_running_loop().run_in_executor(self._writer, self._open)
        except UwsError:
            await self.close()
            raise

    def _open(self) -> None:
        try:
            if self.serve:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._lock = FileLock(self.path, self.runner)
            elif not self.path.exists():
                raise StoreUnavailable(f"There is no store of jobs {self.path}.", "Start the server first.")
            connection = self._write_connection = self._connect(looks_only=not self.serve)
            if not self.serve:
                found = revision(connection)
                connection.rollback()
                if found != REVISION:
                    raise newer(str(self.path), found)
                return
            with connection.begin():
                upgrade(connection, str(self.path))
        except (OSError, SQLAlchemyError, sqlite3.Error) as error:
            raise self._unavailable(error) from error

    def _connect(self, *, looks_only: bool) -> Connection:
        connection = self._engine.connect()
        self._opened.append(connection)
        if looks_only:
            connection.info["looks_only"] = True
            connection.exec_driver_sql("PRAGMA query_only = ON")
            connection.rollback()
        return connection

    async def close(self) -> None:
        """Finish what is being written, and let go of the file."""
        self._closed = True
        if self._writing is not None:
            await asyncio.wait([self._writing])
        await asyncio.get_running_loop().run_in_executor(None, self._close)
        self.events.wake_all()

    def _close(self) -> None:
        self._readers.shutdown()
        self._writer.shutdown()
        for connection in self._opened:
            connection.close()
        self._opened.clear()
        self._engine.dispose()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    # -- reading

    async def _read(
        self, operation: Operation[Arguments, Answer], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Answer:
        self._check_open()
        return await asyncio.get_running_loop().run_in_executor(
            self._readers, self._read_now, lambda tx: operation(tx, *args, **kwargs)
        )

    def _read_now(self, operation: Callable[[Transaction], Answer]) -> Answer:
        try:
            connection: Connection | None = getattr(self._reading, "connection", None)
            if connection is None:
                connection = self._reading.connection = self._connect(looks_only=True)
            with connection.begin():
                return operation(self._transaction(connection))
        except (SQLAlchemyError, sqlite3.Error) as error:
            raise self._unavailable(error) from error

    def _transaction(self, connection: Connection) -> Transaction:
        return Transaction(connection, self.runner, self._gone)

    def _gone(self, connection: Connection, runners: Collection[str]) -> set[str]:
        # Who has the file is the only one alive.
        return set(runners) - {self.runner} if self.serve else set()

    # -- writing

    async def _write(
        self, operation: Operation[Arguments, Answer], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Answer:
        self._check_open()
        self._check_serves()
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._queue.append(_Asked(lambda tx: operation(tx, *args, **kwargs), answer))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_queued(), name="write-jobs")
        return await answer

    async def _write_queued(self) -> None:
        while self._queue:
            group = [self._queue.popleft() for _ in range(min(GROUP, len(self._queue)))]
            # Whose caller went away before it began is not done at all.
            group = [asked for asked in group if not asked.answer.done()]
            if group and not await self._commit(group) and len(group) > 1:
                # One of them cannot be done, and the transaction with it: each gets one of its own.
                for asked in group:
                    await self._commit([asked])
        self._writing = None

    async def _commit(self, group: Sequence[_Asked]) -> bool:
        committing = asyncio.get_running_loop().run_in_executor(self._writer, self._commit_now, group)
        await asyncio.wait([committing])
        error = committing.exception()
        if error is None:
            committed = committing.result()
            for asked, answer in zip(group, committed.answers, strict=True):
                if not asked.answer.done():
                    asked.answer.set_result(answer)
            for job_id in committed.changed:
                self.events.changed(job_id)
        elif len(group) == 1 and not group[0].answer.done():
            group[0].answer.set_exception(error)
        return error is None

    def _commit_now(self, group: Sequence[_Asked]) -> _Committed:
        connection = self._write_connection
        assert connection is not None
        committed = _Committed()
        try:
            with connection.begin():
                for asked in group:
                    tx = self._transaction(connection)
                    committed.answers.append(asked.operation(tx))
                    committed.changed += tx.changed
        except (SQLAlchemyError, sqlite3.Error) as error:
            raise self._unavailable(error) from error
        return committed

    # -- errors

    def _unavailable(self, error: Exception) -> StoreUnavailable:
        cause = getattr(error, "orig", None) or error
        text = str(cause)
        if "disk is full" in text or "disk I/O" in text:
            advice = "Make room on its disk."
        elif "locked" in text:
            advice = "Another program writes to it; end that."
        elif "readonly" in text or "unable to open" in text or isinstance(error, PermissionError):
            advice = "Let the server's user write to the file and its folder."
        else:
            advice = "Look at the file and its disk."
        return StoreUnavailable(f"The store of jobs {self.path} does not work: {text}.", advice)


def _engine(path: Path) -> Engine:
    engine = create_engine(
        "sqlite://",
        creator=partial(sqlite3.connect, path, timeout=BUSY, isolation_level=None, check_same_thread=False),
        poolclass=NullPool,
    )

    @event.listens_for(engine, "connect")
    def _connected(connection: sqlite3.Connection, _: object) -> None:
        # A log beside the file, so that reading and writing do not wait for each other. With it, NORMAL syncs when
        # the log is merged and not at every commit: what was answered survives the end of the process, kill -9 too,
        # since it is in the kernel; only a machine that loses its power may lose the last moments, and never more
        # than whole transactions.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A writer takes the lock before it reads: what it saw cannot have changed when it writes.
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.execute("BEGIN" if connection.info.get("looks_only") else "BEGIN IMMEDIATE")

    return engine
