"""A PostgreSQL server of Debian's package for a run of tests, on loopback, in a folder that goes with it.

It is the child of a keeper, and the keeper ends it and removes the folder when its standard input closes: at the end
of the run, however the run ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Absent", "PostgresServer", "postgres_server"]


class Absent(Exception):
    """PostgreSQL is not installed."""


@dataclass(frozen=True)
class PostgresServer:
    port: int
    password: str
    keeper: subprocess.Popen[str]

    def url(self, database: str) -> str:
        return f"postgresql://postgres:{self.password}@127.0.0.1:{self.port}/{database}"

    def run(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run one statement as an administrator would; return its rows."""
        import asyncpg  # the keeper does without

        async def work() -> list[tuple[Any, ...]]:
            connection = await asyncpg.connect(self.url(database))
            try:
                return [tuple(row) for row in await connection.fetch(statement)]
            finally:
                await connection.close()

        return asyncio.run(work())

    def stop(self) -> None:
        """Stop it as for maintenance, whoever is connected."""
        self._tell("stop")

    def start(self) -> None:
        """Start it again, with what it had."""
        self._tell("start")

    def _tell(self, command: str) -> None:
        assert self.keeper.stdin is not None
        self.keeper.stdin.write(command + "\n")
        self.keeper.stdin.flush()
        self.await_done()

    def await_done(self) -> None:
        assert self.keeper.stdout is not None
        if self.keeper.stdout.readline() != "done\n":
            raise RuntimeError("PostgreSQL did not do it; its keeper says above why")


@contextlib.contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A new server; raises `Absent`."""
    programs = _programs()
    port, password = _free_port(), secrets.token_hex(8)
    keeper = subprocess.Popen(
        [sys.executable, __file__, str(programs), str(port), password],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        server = PostgresServer(port, password, keeper)
        server.await_done()
        yield server
    finally:
        keeper.communicate()


def _programs() -> Path:
    """Debian keeps each version's programs in a folder of their own, not on the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: float(path.parts[4]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    if on_path:
        return Path(on_path).parent
    raise Absent("no initdb; install Debian's postgresql")


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


# ---------------------------------------------------------------------- in the keeper


class _Kept:
    def __init__(self, programs: Path, folder: Path, port: str) -> None:
        self.programs, self.folder, self.port = programs, folder, port
        self.identity: dict[str, Any] = {"cwd": folder}
        if os.geteuid() == 0:
            # PostgreSQL refuses to be root; Debian's package makes a user for it.
            entry = pwd.getpwnam("postgres")
            os.chown(folder, entry.pw_uid, entry.pw_gid)
            self.identity |= {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        self.process: subprocess.Popen[str] | None = None

    def make(self, password: str) -> None:
        secret = self.folder / "password"
        secret.write_text(password)
        secret.chmod(0o644)  # in a folder that is its user's alone
        made = subprocess.run(
            [
                self.programs / "initdb", "--pgdata", self.folder / "data", "--username", "postgres",
                "--pwfile", secret, "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C.UTF-8",
                "--no-sync",
            ],
            capture_output=True, text=True, **self.identity,
        )  # fmt: skip
        if made.returncode:
            sys.exit(made.stderr)

    def start(self) -> None:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "max_connections": "200",
            # Nothing here outlives the run, so nothing is synced.
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
        }
        self.process = subprocess.Popen(
            [
                self.programs / "postgres", "-D", self.folder / "data",
                *(word for name, value in settings.items() for word in ("-c", f"{name}={value}")),
            ],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            **self.identity,
        )  # fmt: skip
        assert self.process.stderr is not None
        log = []
        for line in self.process.stderr:
            log.append(line)
            if "ready to accept connections" in line:
                # Read on, lest it wait for a full pipe.
                threading.Thread(target=self.process.stderr.read, daemon=True).start()
                return
        sys.exit("".join(log))

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait()


def _keep(programs: Path, port: str, password: str) -> None:
    folder = Path(tempfile.mkdtemp(prefix="sodalake-postgres-"))
    kept = _Kept(programs, folder, port)
    try:
        kept.make(password)
        kept.start()
        _done()
        for command in sys.stdin:
            kept.start() if command == "start\n" else kept.stop()
            _done()
    finally:
        kept.stop(signal.SIGQUIT)
        shutil.rmtree(folder, ignore_errors=True)


def _done() -> None:
    sys.stdout.write("done\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _keep(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
