"""A cluster in a folder: started, looked at, broken on purpose, and stopped."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import psutil

from ..errors import Unavailable, UsageError
from ..rows.gateway import ThriftServer
from .daemons import DAEMONS, DATANODES, Daemon, DaemonStatus, JavaProcess, answers, has_ended, java_command
from .jars import JarSet, fetch_jars, one_at_a_time, require_java
from .site import Ports, choose_ports, is_free, properties, write_configuration

__all__ = ["Cluster", "default_folder"]

_HDFS = ("namenode", *DATANODES)
_HBASE = ("zookeeper", "master", "regionserver", "thrift2")
_PATIENCE = 30.0  # seconds that a process has to end in order
_RELEASE = 5.0  # seconds that the kernel may take to free the ports of a process that has ended
_FORMAT = Daemon("format", DAEMONS["namenode"].main, ("-format", "-nonInteractive"), "128m", (), False)


def default_folder() -> Path:
    """Return the folder of the user's own cluster, by the XDG base directory specification."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "sodalake" / "cluster"


class Cluster:
    """Real HDFS (a NameNode, three DataNodes) and HBase (ZooKeeper, master, region server, Thrift2).

    On loopback, for development and tests. Everything a cluster is lies in its folder: ports, pids, logs and
    data, so that any process can look at it, and several live on one machine.

    Parameters
    ----------
    folder
        The cluster's folder, made by `up`; the user's own by default.
    cache
        Where the jars are kept; the user's cache folder by default.
    """

    def __init__(self, folder: Path | None = None, *, cache: Path | None = None) -> None:
        self.folder = (folder or default_folder()).expanduser().resolve()
        self._cache = cache

    # ------------------------------------------------------------------ what it is

    @property
    def ports(self) -> Ports:
        """The ports, chosen when the cluster first came up and kept since.

        Raises
        ------
        UsageError
            There is no cluster in the folder.
        """
        try:
            known: Ports = json.loads((self.folder / "ports.json").read_text())
        except FileNotFoundError:
            raise UsageError(
                f"There is no cluster in {self.folder}.",
                f"Start one: sodalake cluster up --folder {self.folder}",
            ) from None
        return known

    @property
    def exists(self) -> bool:
        """Whether the folder holds a cluster, running or not."""
        return (self.folder / "ports.json").exists()

    @property
    def hdfs_url(self) -> str:
        """The root of its HDFS, without a slash at the end."""
        return f"hdfs://127.0.0.1:{self.ports['namenode']['rpc']}"

    def rows_url(self, prefix: str) -> str:
        """Return the URL of a row store on its HBase; `prefix` keeps the tables of many lakes apart."""
        return f"hbase://127.0.0.1:{self.ports['thrift2']['thrift']}/{prefix}"

    def status(self) -> list[DaemonStatus]:
        """Return what every process is doing, in the order they depend on each other."""
        return [self._status(daemon) for daemon in DAEMONS.values()]

    def process(self, name: str) -> JavaProcess:
        """Return one process by its name.

        Raises
        ------
        UsageError
            No process of the cluster has this name.
        """
        if name not in DAEMONS:
            raise UsageError(f"A cluster has no {name!r}.", f"It has: {', '.join(DAEMONS)}.")
        return JavaProcess(self.folder / name)

    # ------------------------------------------------------------------ up and down

    def up(self, *, notice: Callable[[str], None] = lambda _: None, deadline: float = 180.0) -> None:
        """Bring everything up and return when HDFS takes files and HBase answers; what runs already stays.

        Parameters
        ----------
        notice
            Is told what is being waited for, a few words at a time.
        deadline
            Seconds after which to give up (the first fetch of the jars is not counted).

        Raises
        ------
        ConfigurationError
            Java or Maven is missing.
        Unavailable
            A process ended, or did not answer in time. The message has its last words.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with one_at_a_time(self.folder / ".lock"):
            notice("jars from Maven Central")
            java, jars = require_java(), fetch_jars(self._cache)
            self._choose_ports()
            until = time.monotonic() + deadline
            notice("HDFS")
            self._start("zookeeper", java, jars)
            self._format(java, jars, until)
            for name in _HDFS:
                self._start(name, java, jars)
            self._wait(self._hdfs_ready, _HDFS, "HDFS", until)
            notice("HBase")
            for name in _HBASE:
                self._start(name, java, jars)
            self._wait(self._hbase_ready, DAEMONS, "HBase", until)

    def down(self) -> None:
        """Stop everything in order, keeping the data; return when all is gone.

        Region data is flushed by the region server while HDFS still runs; a process that has not ended 30 s
        after it was asked is killed.
        """
        for wave in (("thrift2", "regionserver"), ("master",), ("zookeeper", *_HDFS)):
            self._end(wave, signal.SIGTERM)

    def destroy(self) -> None:
        """Kill everything at once and remove the folder with its data."""
        self._end(DAEMONS, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)

    # ------------------------------------------------------------------ one process, for fault injection

    def kill(self, name: str) -> None:
        """Kill one process as a crash would (SIGKILL); return when it is gone."""
        self.process(name)
        self._end([name], signal.SIGKILL)

    def stop(self, name: str) -> None:
        """Stop one process in order; return when it is gone."""
        self.process(name)
        self._end([name], signal.SIGTERM)

    def start(self, name: str, *, deadline: float = 60.0) -> None:
        """Start one process of a cluster that was up before; return when it listens.

        Raises
        ------
        Unavailable
            It ended, or did not listen within `deadline` seconds.
        """
        self.process(name)
        self._start(name, require_java(), fetch_jars(self._cache))
        port = self.ports[name][DAEMONS[name].ports[0]]
        self._wait(lambda: answers(port), [name], name, time.monotonic() + deadline)

    # ------------------------------------------------------------------ inside

    def _choose_ports(self) -> None:
        if not self.exists:
            temporary = self.folder / "ports.json.new"
            temporary.write_text(json.dumps(choose_ports(), indent=1))
            temporary.rename(self.folder / "ports.json")

    def _format(self, java: str, jars: JarSet, until: float) -> None:
        if (self.folder / "namenode" / "data" / "current" / "VERSION").exists():
            return
        process = JavaProcess(self.folder / "format")
        process.start(self._command(_FORMAT, java, jars))
        running = process.find()
        if running is not None:
            running.wait(max(0.0, until - time.monotonic()))
        if not (self.folder / "namenode" / "data" / "current" / "VERSION").exists():
            raise Unavailable(
                f"The NameNode could not be formatted.\n{process.last_words()}", f"See {process.log}."
            )

    def _start(self, name: str, java: str, jars: JarSet) -> None:
        process = self.process(name)
        if process.find() is not None:
            return
        for port in self.ports[name].values():
            if not is_free(port):
                raise Unavailable(
                    f"Port {port} of {name} is taken by another program.",
                    f"End that program, or give up this cluster's data: remove {self.folder}.",
                )
        process.start(self._command(DAEMONS[name], java, jars))

    def _command(self, daemon: Daemon, java: str, jars: JarSet) -> list[str]:
        configuration = self.folder / daemon.name / "configuration"
        write_configuration(configuration, properties(self.folder, self.ports, daemon))
        class_path = [*jars.class_path(), str(configuration)]
        return java_command(java, daemon, class_path, self.folder / daemon.name)

    def _wait(self, ready: Callable[[], bool], names: Iterable[str], what: str, until: float) -> None:
        names = list(names)
        while not ready():
            for name in names:
                process = self.process(name)
                if process.find() is None:
                    raise Unavailable(
                        f"{name} ended while starting.\n{process.last_words()}", f"See {process.log}."
                    )
            if time.monotonic() > until:
                raise Unavailable(f"{what} did not come up in time.", f"See the logs in {self.folder}.")
            time.sleep(0.1)

    def _end(self, names: Iterable[str], how: signal.Signals) -> None:
        names = list(names)
        asked = [process for name in names if (process := self.process(name).signal(how)) is not None]
        until = time.monotonic() + _PATIENCE
        while left := [process for process in asked if not has_ended(process)]:
            if time.monotonic() > until:
                for process in left:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        process.kill()
            time.sleep(0.05)
        # A killed JVM looks ended (its first thread is) while others of its threads still hold its sockets.
        ports = [port for name in names for port in self.ports[name].values()]
        until = time.monotonic() + _RELEASE
        while not all(map(is_free, ports)) and time.monotonic() < until:
            time.sleep(0.01)

    def _status(self, daemon: Daemon) -> DaemonStatus:
        process = self.process(daemon.name).find()
        ports = self.ports[daemon.name]
        if process is None:
            return DaemonStatus(daemon.name, None, ports, 0, False)
        try:
            memory = process.memory_info().rss
        except psutil.NoSuchProcess:
            return DaemonStatus(daemon.name, None, ports, 0, False)
        return DaemonStatus(daemon.name, process.pid, ports, memory, answers(ports[daemon.ports[0]]))

    def _hdfs_ready(self) -> bool:
        """Say whether the NameNode has left safe mode and knows all its DataNodes."""
        state = self._namenode_bean("FSNamesystemState")
        return state.get("NumLiveDataNodes") == len(DATANODES) and state.get("FSState") == "Operational"

    def _namenode_bean(self, name: str) -> dict[str, Any]:
        url = f"http://127.0.0.1:{self.ports['namenode']['http']}/jmx?qry=Hadoop:service=NameNode,name={name}"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                beans: list[dict[str, Any]] = json.load(answer)["beans"]
        except (OSError, urllib.error.URLError, ValueError):
            return {}
        return beans[0] if beans else {}

    def _hbase_ready(self) -> bool:
        """Say whether a listing of tables comes back: gateway, master and catalogue work then."""
        return ThriftServer("127.0.0.1", self.ports["thrift2"]["thrift"]).answers()
