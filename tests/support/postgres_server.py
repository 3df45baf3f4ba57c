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
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

__all__ = ["Absent", "PostgresServer", "postgres_server"]


class Absent(Exception):
    """PostgreSQL is not installed."""


@dataclass(frozen=True)
class PostgresServer:
    port: int
    password: str

    def url(self, database: str) -> str:
        return f"postgresql://postgres:{self.password}@127.0.0.1:{self.port}/{database}"

    def run(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run one statement as an administrator would; return its rows."""

        async def work() -> list[tuple[Any, ...]]:
            connection = await asyncpg.connect(self.url(database))
            try:
                return [tuple(row) for row in await connection.fetch(statement)]
            finally:
                await connection.close()

        return asyncio.run(work())


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


@contextlib.contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A new server; raises `Absent`."""
    programs = _programs()
    server = PostgresServer(_free_port(), secrets.token_hex(8))
    keeper = subprocess.Popen(
        [sys.executable, __file__, str(programs), str(server.port), server.password],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert keeper.stdout is not None
    try:
        if keeper.stdout.readline() != "ready\n":
            raise RuntimeError("PostgreSQL did not start; see above")
        yield server
    finally:
        keeper.communicate()


def _keep(programs: Path, port: str, password: str) -> None:
    folder = Path(tempfile.mkdtemp(prefix="sodalake-postgres-"))
    # PostgreSQL refuses to be root; Debian's package makes a user for it.
    user = "postgres" if os.geteuid() == 0 else None
    if user:
        entry = pwd.getpwnam(user)
        os.chown(folder, entry.pw_uid, entry.pw_gid)
    postgres: subprocess.Popen[str] | None = None
    try:
        secret = folder / "password"
        secret.write_text(password)
        secret.chmod(0o644)
        made = subprocess.run(
            [
                programs / "initdb", "--pgdata", folder / "data", "--username", "postgres", "--pwfile", secret,
                "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync",
            ],
            user=user, cwd=folder, capture_output=True, text=True,
        )  # fmt: skip
        if made.returncode:
            sys.exit(made.stderr)
        # Nothing here outlives the run, so nothing is synced.
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": port,
            "unix_socket_directories": "",
            "fsync": "off",
        }
        settings |= {"synchronous_commit": "off", "full_page_writes": "off", "max_connections": "200"}
        postgres = subprocess.Popen(
            [
                programs / "postgres", "-D", folder / "data",
                *(word for name, value in settings.items() for word in ("-c", f"{name}={value}")),
            ],
            user=user, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert postgres.stderr is not None
        log = []
        for line in postgres.stderr:
            log.append(line)
            if "ready to accept connections" in line:
                break
        else:
            sys.exit("".join(log))
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        # Its log would fill the pipe.
        drain = subprocess.Popen(["cat"], stdin=postgres.stderr, stdout=subprocess.DEVNULL)
        sys.stdin.read()
        postgres.terminate()
        drain.wait()
    finally:
        if postgres is not None:
            postgres.send_signal(3)  # SIGQUIT: at once
            postgres.wait()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    _keep(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
