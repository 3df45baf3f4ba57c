"""A service in pieces, each started again when it dies, as an operator's supervisor does: server, scheduler, workers.

The pieces are separate processes, `sodalake serve --scheduler`, `dask scheduler` and `dask worker` without nannies, so
that ``kill -9`` hits what it is meant for. The server comes back on the same port and on the same store of jobs.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from sodalake.lake.lanes import LANE
from sodalake.server.workers import BATCH

from .serving import COMMAND, environment_of

__all__ = ["Piece", "Supervised"]

_PAUSE = 0.1  # seconds between a piece's end and its next start
_PATIENCE = 120.0  # seconds to get ready
_GRACE = 30.0  # seconds to end
_AT_ONCE = 2  # units of a batch worker, as the server's own have
_DASK = (sys.executable, "-m")


class Piece:
    """A process that is started again when it ends.

    Parameters
    ----------
    name
        What it is.
    command, environment
        How it is started.
    ready
        What the line on standard output begins with that says it works; empty: it works when it is started.

    Attributes
    ----------
    starts
        How often it was started.
    ready
        Set while it works.
    """

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], ready: str = ""
    ) -> None:
        self.name = name
        self.starts = 0
        self.ready = asyncio.Event()
        self._alive = asyncio.Event()
        self._command, self._environment, self._line = tuple(command), dict(environment), ready
        self._process: asyncio.subprocess.Process | None = None
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `end`
        self._keeping: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Start it, again and again."""
        self._keeping = asyncio.create_task(self._keep())

    async def _keep(self) -> None:
        while True:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=self._log,
                env=self._environment,
            )
            self.starts += 1
            self._alive.set()
            assert self._process.stdout is not None
            if not self._line:
                self.ready.set()
            async for line in self._process.stdout:
                if self._line and line.decode().startswith(self._line):
                    self.ready.set()
            await self._process.wait()
            self._alive.clear()
            self.ready.clear()
            await asyncio.sleep(_PAUSE)

    async def kill(self) -> None:
        """Send SIGKILL; where it is between two lives, to the next."""
        await self._alive.wait()
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):  # it died by itself just now
            os.kill(self._process.pid, signal.SIGKILL)

    async def end(self) -> None:
        """End it for good."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait((self._keeping,))
        if self._process is not None:
            if self._process.returncode is None:
                self._process.terminate()
            try:
                await asyncio.wait_for(self._process.wait(), _GRACE)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        self._log.close()

    def last_words(self) -> str:
        """Return the end of its log."""
        self._log.seek(max(0, self._log.seek(0, os.SEEK_END) - 2000))
        return self._log.read().decode(errors="replace")


class Supervised:
    """The service of a lake, in pieces. An asynchronous context manager.

    Parameters
    ----------
    lake_url
        The lake.
    settings
        Environment of the server, ``SODALAKE_…``.
    workers
        Workers of jobs; the fast lane has one.

    Attributes
    ----------
    address
        Host and port of the server.
    scheduler_url
        The scheduler.
    server, scheduler, workers, fast
        The pieces.
    """

    def __init__(self, lake_url: str, settings: Mapping[str, str], workers: int = 2) -> None:
        self.address = ("127.0.0.1", _free_port())
        self.scheduler_url = f"tcp://127.0.0.1:{_free_port()}"
        self._folder = tempfile.TemporaryDirectory(prefix="sodalake-dask-", ignore_cleanup_errors=True)
        own = environment_of({**settings, "SODALAKE_JOBS__WORKERS": str(workers)})
        plain = environment_of({})
        port = self.scheduler_url.rpartition(":")[2]
        self.scheduler = Piece(
            "scheduler",
            [
                *_DASK,
                "distributed.cli.dask_scheduler",
                "--host",
                "127.0.0.1",
                "--port",
                port,
                "--no-dashboard",
            ],
            plain,
        )
        self.workers = [
            Piece(f"worker {number}", self._worker(BATCH, f"batch-{number}", _AT_ONCE), plain)
            for number in range(1, workers + 1)
        ]
        self.fast = Piece("fast worker", self._worker(LANE, "fast"), plain)
        host, number = self.address
        self.server = Piece(
            "server",
            [*COMMAND, "serve", "--lake", lake_url, "--address", host, "--port", str(number),
             "--scheduler", self.scheduler_url],
            own,
            ready="ready ",
        )  # fmt: skip

    def _worker(self, resource: str, name: str, at_once: int = 1) -> list[str]:
        folder = Path(self._folder.name) / name
        folder.mkdir()
        return [
            *_DASK, "distributed.cli.dask_worker", self.scheduler_url, "--no-nanny", "--no-dashboard",
            "--host", "127.0.0.1", "--nthreads", str(at_once), "--resources", f"{resource}={at_once}",
            "--memory-limit", "0", "--local-directory", str(folder),
        ]  # fmt: skip

    @property
    def pieces(self) -> list[Piece]:
        """Everything."""
        return [self.server, *self.workers, self.fast, self.scheduler]

    async def __aenter__(self) -> Supervised:
        for piece in reversed(self.pieces):
            piece.begin()
        try:
            await asyncio.wait_for(self.server.ready.wait(), _PATIENCE)
        except TimeoutError:
            said = self.server.last_words()
            await self.__aexit__()
            raise RuntimeError(f"The service did not start: {said}") from None
        return self

    async def __aexit__(self, *_: object) -> None:
        for piece in self.pieces:  # the server first: it has jobs to let go of
            await piece.end()
        with contextlib.suppress(OSError):
            self._folder.cleanup()


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
