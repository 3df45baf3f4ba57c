"""One writer a survey: the lease an ingest holds in the `files` table.

Two ingests of one survey at the same time could each miss an alert the other is writing, and show it twice. So the
first takes a lease and renews it; the second is told who holds it. A lease ends when its holder gives it back, when
its process is gone (seen at once on the same machine), or `LIFETIME` seconds after its last renewal.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from .catalogue import GROUP
from .errors import Unavailable
from .rows.protocol import RowStore

__all__ = ["LIFETIME", "writer"]

LIFETIME = 60.0
_KEY = b"ingest"


@contextlib.contextmanager
def writer(rows: RowStore, table: str) -> Iterator[None]:
    """Hold the lease of a `files` table.

    Raises
    ------
    Unavailable
        Another ingest holds it; the message says which process on which machine.
    """
    token = uuid.uuid4().hex
    held = _take(rows, table, token)
    over = threading.Event()

    def renew() -> None:
        nonlocal held
        while not over.wait(LIFETIME / 6):
            fresh = _claim(token)
            with contextlib.suppress(Unavailable):  # tried again at the next turn, well before the lease ends
                if rows.check_and_put(table, _KEY, GROUP, held, fresh):
                    held = fresh

    thread = threading.Thread(target=renew, name="ingest-lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        rows.check_and_put(table, _KEY, GROUP, held, b"{}")


def _claim(token: str) -> bytes:
    claim = {
        "token": token,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "until": time.time() + LIFETIME,
    }
    return json.dumps(claim).encode()


def _take(rows: RowStore, table: str, token: str) -> bytes:
    cells = rows.get(table, _KEY, [GROUP])
    before = cells[0] if cells else None
    holder = json.loads(before or b"{}")
    if holder and holder["until"] > time.time() and _lives(holder):
        raise Unavailable(
            f"Another ingest is writing {table}: process {holder['pid']} on {holder['host']}.",
            "Wait until it is done; if it died, its hold ends within a minute.",
        )
    mine = _claim(token)
    if not rows.check_and_put(table, _KEY, GROUP, before, mine):
        raise Unavailable(f"Another ingest began to write {table} just now.", "Wait until it is done.")
    return mine


def _lives(holder: dict[str, object]) -> bool:
    if holder["host"] != socket.gethostname():
        return True
    state = Path(f"/proc/{holder['pid']}/stat")
    if not Path("/proc/self").exists():
        return True
    try:
        # The field after the command's name in parentheses; a zombie has stopped writing.
        return state.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
