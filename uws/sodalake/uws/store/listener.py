"""One connection to PostgreSQL that listens, and whose life is the runner's.

It hears what every server changes, and holds an advisory lock named by its runner: a session's locks end with the
session, so that others see at once which runner is gone, without a clock and without a heart beat in a table.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import Awaitable, Callable
from itertools import chain, repeat
from typing import Any, Final

import asyncpg

from sodalake.uws.events import Events

__all__ = ["CHANNEL", "FAILURES", "Connect", "Listener", "lock_of"]

CHANNEL: Final = "sodalake_jobs"

PAUSES: Final = (0.05, 0.2, 0.5, 1.0, 2.0)
"""Seconds between attempts to connect again; the last is repeated."""

PROBE: Final = 15.0
"""Seconds after which a silent connection is asked whether it still stands: TCP alone may not tell for hours."""

ANSWER: Final = 10.0
"""Seconds in which it answers."""

GRACE: Final = 3 * PAUSES[-1]
"""Seconds after our own reconnection in which nobody else is called gone: the data base was probably restarted, and
the others are about to come back too."""

FAILURES: Final = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)
"""What connecting, or a connection, raises. (A timeout is an OSError.)"""

Connect = Callable[[], Awaitable[Any]]


def lock_of(runner: str) -> int:
    """Return the number of a runner's advisory lock: 63 bits of its name."""
    return int.from_bytes(hashlib.sha256(runner.encode()).digest()[:8]) >> 1


class Listener:
    """Feeds `Events` from LISTEN, connecting again whenever the connection is lost.

    Parameters
    ----------
    connect
        Makes an asyncpg connection.
    """

    def __init__(self, connect: Connect, runner: str, events: Events) -> None:
        self._connect, self._lock, self._events = connect, lock_of(runner), events
        self._connection: Any = None
        self._lost = asyncio.Event()
        self._held = False
        self._trusted_from = float("inf")
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect and listen; raises one of `FAILURES`."""
        await self._listen()
        self._trusted_from = time.monotonic()
        self._task = asyncio.create_task(self._keep_listening(), name="listen")

    @property
    def trusted(self) -> bool:
        """Whether a runner without a lock is gone, as far as can be told from here."""
        return time.monotonic() >= self._trusted_from

    async def close(self) -> None:
        """Give up the connection and, with it, the lock."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self._connection is not None:
            with contextlib.suppress(*FAILURES):
                await self._connection.close(timeout=5)

    async def _listen(self) -> None:
        connection = await self._connect()
        try:
            lost = self._lost = asyncio.Event()
            connection.add_termination_listener(lambda _: lost.set())
            await connection.add_listener(CHANNEL, self._heard)
            self._connection = connection
            await self._take_lock()
        except BaseException:  # cancelled as well: nobody else would end it
            connection.terminate()
            raise

    def _heard(self, connection: Any, pid: int, channel: str, key: object) -> None:
        self._events.changed(str(key))

    async def _take_lock(self) -> None:
        # Not had at once where the data base has not noticed yet that our last session is gone.
        self._held = await self._connection.fetchval(
            "SELECT pg_try_advisory_lock($1)", self._lock, timeout=10
        )

    async def _keep_listening(self) -> None:
        while True:
            await self._until_lost()
            self._trusted_from = float("inf")
            self._connection.terminate()
            await self._listen_again()
            self._trusted_from = time.monotonic() + GRACE
            # What changed meanwhile was not heard.
            self._events.wake_all()

    async def _until_lost(self) -> None:
        with contextlib.suppress(*FAILURES):
            while not self._lost.is_set():
                try:
                    await asyncio.wait_for(self._lost.wait(), PROBE if self._held else PAUSES[-1])
                except TimeoutError:
                    if self._held:
                        await self._connection.fetchval("SELECT 1", timeout=ANSWER)
                    else:
                        await self._take_lock()

    async def _listen_again(self) -> None:
        for pause in chain(PAUSES, repeat(PAUSES[-1])):
            try:
                await self._listen()
            except FAILURES:
                await asyncio.sleep(pause)
            else:
                return
