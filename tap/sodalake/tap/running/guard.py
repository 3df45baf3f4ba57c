"""How long a query may take, and whether anybody still wants it.

Reading looks at its guard between batches. DuckDB does not look at anything, so a thread of the process does: it
interrupts the connections whose guards say so, within `_LOOK` seconds.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

import duckdb

from sodalake.tap.errors import QueryTimeout

__all__ = ["Guard", "QueryCancelled"]

_LOOK = 0.1  # seconds: ABORT is to reach a scan within one


class QueryCancelled(Exception):
    """Nobody waits for the query any more."""


class Guard:
    """The limits of one query in time.

    Parameters
    ----------
    seconds
        That it may take from now.
    cancelled
        Says whether it is to end.
    """

    def __init__(self, seconds: float, cancelled: Callable[[], bool] = lambda: False) -> None:
        self.seconds = seconds
        self.until = time.monotonic() + seconds
        self._cancelled = cancelled
        self._given_up = False

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self.until - time.monotonic()

    @property
    def over(self) -> bool:
        """Whether the query is to end now."""
        return self._given_up or self.left <= 0 or self._cancelled()

    def give_up(self) -> None:
        """Let the query end: whoever asked has gone."""
        self._given_up = True

    def check(self) -> None:
        """Raise where the query is to end.

        Raises
        ------
        QueryCancelled
            Nobody waits for it.
        QueryTimeout
            Its time is up.
        """
        if self._given_up or self._cancelled():
            raise QueryCancelled
        if self.left <= 0:
            raise QueryTimeout.after(self.seconds)

    @contextlib.contextmanager
    def watching(self, connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
        """Interrupt `connection` when the query is to end, and tell that as `check` does."""
        _watch.add(self, connection)
        try:
            yield
        except (duckdb.InterruptException, OSError) as error:
            # Of a query whose first rows are out, Arrow's reader tells it, as an OSError.
            if isinstance(error, duckdb.InterruptException) or "INTERRUPT" in str(error):
                self.check()
            raise
        finally:
            _watch.remove(self)


class _Watch:
    """The thread that looks at the guards of running queries; it begins with the first of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[int, tuple[Guard, duckdb.DuckDBPyConnection]] = {}
        self._thread: threading.Thread | None = None

    def add(self, guard: Guard, connection: duckdb.DuckDBPyConnection) -> None:
        with self._lock:
            self._running[id(guard)] = guard, connection
            if self._thread is None:
                self._thread = threading.Thread(target=self._look, name="query-guard", daemon=True)
                self._thread.start()

    def remove(self, guard: Guard) -> None:
        with self._lock:
            self._running.pop(id(guard), None)

    def _look(self) -> None:
        while True:
            time.sleep(_LOOK)
            with self._lock:
                # Interrupted under the lock: a connection that was removed may serve another query already.
                for guard, connection in self._running.values():
                    if guard.over:
                        connection.interrupt()


_watch = _Watch()
