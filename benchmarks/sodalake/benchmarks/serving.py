"""Our service as its operator runs it: `sodalake serve`, in its own processes, with its default settings."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import IO
from urllib.parse import urlsplit

__all__ = ["COMMAND", "Served", "environment_of"]

COMMAND = (sys.executable, "-c", "from sodalake.server.cli import main; main()")
"""`sodalake`, by this interpreter."""

_PATIENCE = 120.0  # seconds to get ready: workers are started, and the machine may be busy


def environment_of(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a service: what the caller's sets for the service is not what is measured."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("SODALAKE_")}
    return {**own, **settings}


class Served:
    """The service of one lake, running while the context lasts.

    Parameters
    ----------
    lake_url
        The lake.
    settings
        Environment of the service, ``SODALAKE_…``; nothing else of ours is passed on.

    Attributes
    ----------
    address
        Host and port.
    """

    def __init__(self, lake_url: str, settings: Mapping[str, str] | None = None) -> None:
        self._lake_url = lake_url
        self._settings = dict(settings or {})
        self.address: tuple[str, int] = ("", 0)
        self._process: subprocess.Popen[str] | None = None
        self._log: IO[bytes] | None = None

    def __enter__(self) -> Served:
        environment = environment_of(self._settings)
        self._log = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [*COMMAND, "serve", "--lake", self._lake_url, "--port", "0"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=environment,
        )
        assert self._process.stdout is not None
        limit = threading.Timer(_PATIENCE, self._process.kill)
        limit.start()
        line = self._process.stdout.readline()
        limit.cancel()
        if not line.startswith("ready "):
            said = self.last_words()
            self.__exit__(None, None, None)
            raise RuntimeError(f"The service of {self._lake_url} did not start: {line} {said}")
        url = urlsplit(line.split()[1])
        assert url.hostname is not None
        assert url.port is not None
        self.address = (url.hostname, url.port)
        return self

    @property
    def pid(self) -> int:
        """Process id of the server, which has all others of the service below it."""
        assert self._process is not None
        return self._process.pid

    def last_words(self) -> str:
        """Return the end of the service's log."""
        assert self._log is not None
        self._log.seek(max(0, self._log.seek(0, os.SEEK_END) - 2000))
        return self._log.read().decode(errors="replace")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()
        if self._log is not None:
            self._log.close()
