"""What clients notice of a DataNode, a Thrift server and a Dask worker that die: nothing.

One server on real HDFS and HBase, clients that ask without a pause, and every answer compared byte by byte.
"""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from alert_files import KINDS, Alert, night

from sodalake.lake.cluster import Cluster
from sodalake.lake.files import join
from sodalake.lake.ingest import ingest
from sodalake.lake.rows import open_rows
from sodalake.lake.writing import write_whole

pytestmark = pytest.mark.cluster

ALERTS = [Alert(10_000 + i, f"ZTF21a{i % 5}", 2459540.5 + i) for i in range(60)]


class Served:
    """A server process and clients that ask it for stamps."""

    def __init__(self, url: str, process: subprocess.Popen[str]) -> None:
        self.url, self.process = url, process
        self.answered = 0
        self.wrong: list[str] = []
        self._over = threading.Event()
        self._told = threading.Condition()
        self._threads = [threading.Thread(target=self._ask, args=(start,)) for start in range(4)]

    def __enter__(self) -> Served:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, number: int) -> None:
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=120)
        while not self._over.is_set() and not self.wrong:
            number = (number + 1) % len(ALERTS)
            alert, kind = ALERTS[number], KINDS[number % 3]
            # The stamps here are noise, no gzip: asked for as stored, they come as stored.
            headers = {"Accept-Encoding": "gzip"}
            path = f"/soda/sync?ID=ivo://sodalake/ztf?{alert.candid}/{kind.lower()}"
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            body = answer.read()
            with self._told:
                if answer.status != 200 or body != alert.stamp(kind):
                    self.wrong.append(f"{answer.status} {body[:200]!r}")
                self.answered += 1
                self._told.notify_all()
        connection.close()

    def wait(self, more: int) -> None:
        """Wait for `more` answers, all of them right."""
        with self._told:
            target = self.answered + more
            assert self._told.wait_for(lambda: self.answered >= target or self.wrong, timeout=150)
        assert not self.wrong


@pytest.fixture(scope="module")
def served(own_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    root = tmp_path_factory.mktemp("survival")
    base = f"{own_cluster.hdfs_url}/survival"
    rows = own_cluster.rows_url("survival")
    for day in range(1, 7):
        path = night(root, day, ALERTS[(day - 1) * 10 : day * 10])
        write_whole(join(base, "archive", str(path.relative_to(root))), path.read_bytes())
    ingest(join(base, "lake"), "ztf", [join(base, "archive")], rows=rows, workers=1)
    command = [
        str(Path(sys.executable).with_name("sodalake")),
        "serve",
        "--lake",
        join(base, "lake"),
        "--port",
        "0",
    ]
    environment = {**os.environ, "SODALAKE_DEADLINES__REQUEST": "60"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            url = next(m[1] for line in process.stdout if (m := re.match(r"ready (http\S+)", line)))
            yield Served(url, process)
        finally:
            process.send_signal(signal.SIGTERM)
    store = open_rows(rows)
    for table in store.tables():
        store.drop(table)
    store.close()


def fresh(served: Served) -> Served:
    return Served(served.url, served.process)


def _workers(served: Served) -> list[int]:
    """The reader processes of a server: Dask workers, below their nannies' watch."""
    children = psutil.Process(served.process.pid).children(recursive=True)
    return [child.pid for child in children if "spawn_main" in " ".join(child.cmdline())]


def _kill_a_worker(cluster: Cluster, served: Served) -> Callable[[], None]:
    os.kill(_workers(served)[0], signal.SIGKILL)
    return lambda: None


def _kill_a_datanode(cluster: Cluster, served: Served) -> Callable[[], None]:
    cluster.kill("datanode-2")
    return lambda: cluster.start("datanode-2")


def _restart_thrift(cluster: Cluster, served: Served) -> Callable[[], None]:
    cluster.kill("thrift2")
    cluster.start("thrift2")
    return lambda: None


@pytest.mark.parametrize(
    "blow", [_kill_a_worker, _kill_a_datanode, _restart_thrift], ids=lambda f: f.__name__[1:]
)
def test_clients_notice_nothing(
    blow: Callable[[Cluster, Served], Callable[[], None]], own_cluster: Cluster, served: Served
) -> None:
    with fresh(served) as clients:
        clients.wait(100)
        mend = blow(own_cluster, clients)
        clients.wait(400)
    mend()
    assert not clients.wrong
    with fresh(served) as clients:
        clients.wait(100)
    assert not clients.wrong


def test_no_worker_outlives_its_server(served: Served) -> None:
    """Last of this module: the server is killed outright."""
    workers = _workers(served)
    assert workers
    served.process.kill()
    served.process.wait(timeout=30)
    _gone, alive = psutil.wait_procs(
        [psutil.Process(pid) for pid in workers if psutil.pid_exists(pid)], timeout=60
    )
    assert not alive
