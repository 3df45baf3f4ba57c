"""DuckDB connections that are kept: a new one costs 16 ms, an old one a query in 0.6 ms.

A connection can read nothing but what it is given: no files, no network, no extensions, no variables of Python.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import duckdb
import pyarrow as pa

from sodalake.tap.adql import install, told

from .guard import Guard

__all__ = ["Engine"]

_KEPT = 8


class Engine:
    """DuckDB in one process.

    Parameters
    ----------
    threads
        Of one query.
    memory
        Bytes of one query, before it spills to disk.
    """

    def __init__(self, threads: int, memory: int) -> None:
        self._threads = threads
        self._memory = memory
        # Of each connection its own, made when it is needed: two data bases do not share one.
        self._spill = Path(tempfile.gettempdir()) / f"sodalake-spill-{os.getuid()}-{os.getpid()}"
        self._numbers = itertools.count()
        self._free: list[duckdb.DuckDBPyConnection] = []
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def connection(self, guard: Guard) -> Iterator[duckdb.DuckDBPyConnection]:
        """Lend a connection to one query, under its guard.

        Raises
        ------
        TapError
            What DuckDB found wrong at run time, in our words.
        QueryTimeout, QueryCancelled
            As `Guard.check`.
        """
        with self._lock:
            connection = self._free.pop() if self._free else None
        if connection is None:
            connection = self._new()
        try:
            with guard.watching(connection):
                yield connection
        except duckdb.Error as error:
            connection.close()
            raise told(error) from error
        except BaseException:
            connection.close()
            raise
        with self._lock:
            if len(self._free) < _KEPT:
                self._free.append(connection)
                return
        connection.close()

    def table(self, sql: str, given: Mapping[str, pa.Table], guard: Guard) -> pa.Table:
        """Return the whole answer to `sql` over some tables."""
        with self.connection(guard) as connection, registered(connection, given):
            return connection.sql(sql).to_arrow_table()

    def _new(self) -> duckdb.DuckDBPyConnection:
        connection = duckdb.connect(
            config={
                "threads": self._threads,
                "memory_limit": f"{self._memory // 1_000_000}MB",
                "temp_directory": f"{self._spill}-{next(self._numbers)}",
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
                "python_enable_replacements": False,
                "preserve_insertion_order": True,
            }
        )
        install(connection)
        # The sum of no rows is null, and so is the mean.
        connection.execute(
            "CREATE OR REPLACE TEMP MACRO QUOTIENT_OF_SUMS(total, number) AS"
            " CASE WHEN number > 0 THEN CAST(total AS DOUBLE) / CAST(number AS DOUBLE) END"
        )
        # In this order: without access to files nobody may say where to spill to either.
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        return connection

    def close(self) -> None:
        """Close the connections that are not in use."""
        with self._lock:
            free, self._free = self._free, []
        for connection in free:
            connection.close()


@contextlib.contextmanager
def registered(
    connection: duckdb.DuckDBPyConnection, given: Mapping[str, pa.Table | pa.RecordBatchReader]
) -> Iterator[None]:
    """Let a connection read some tables by their names."""
    for name, table in given.items():
        connection.register(name, table)
    try:
        yield
    finally:
        for name in given:
            with contextlib.suppress(duckdb.Error):
                connection.unregister(name)
