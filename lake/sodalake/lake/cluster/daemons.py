"""The eight processes of a development cluster, and what one Java process is: a pid, a log, a way to stop.

Processes outlive the one that started them, so what is known of each is on disk: its pid and the moment it
began (a pid alone may be somebody else's by now) in ``NAME/pid``, and what it printed in ``NAME/log``.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

__all__ = ["DAEMONS", "DATANODES", "Daemon", "DaemonStatus", "JavaProcess", "answers", "has_ended"]


@dataclass(frozen=True, slots=True)
class Daemon:
    """One kind of process.

    Attributes
    ----------
    name
        Its name in the folder, in `status` and on the command line.
    main
        The Java class that is started.
    arguments
        What follows the class on the command line.
    heap
        Largest Java heap, as ``-Xmx`` takes it.
    ports
        Names of the TCP ports it listens on. The first is the one that says it is up.
    hot
        Whether it serves data, and so gets the optimising compiler. The others start faster with the quick
        one.
    """

    name: str
    main: str
    arguments: tuple[str, ...]
    heap: str
    ports: tuple[str, ...]
    hot: bool


DATANODES = ("datanode-1", "datanode-2", "datanode-3")

_HDFS = "org.apache.hadoop.hdfs.server"
_HBASE = "org.apache.hadoop.hbase"

DAEMONS: Mapping[str, Daemon] = {
    daemon.name: daemon
    for daemon in [
        Daemon("namenode", f"{_HDFS}.namenode.NameNode", (), "192m", ("rpc", "http"), False),
        *(
            Daemon(name, f"{_HDFS}.datanode.DataNode", (), "128m", ("data", "ipc"), True)
            for name in DATANODES
        ),
        Daemon("zookeeper", f"{_HBASE}.zookeeper.HQuorumPeer", ("start",), "64m", ("client",), False),
        Daemon("master", f"{_HBASE}.master.HMaster", ("start",), "256m", ("rpc",), False),
        Daemon("regionserver", f"{_HBASE}.regionserver.HRegionServer", ("start",), "768m", ("rpc",), True),
        Daemon(
            "thrift2", f"{_HBASE}.thrift2.ThriftServer", ("start", "-threadpool"), "256m", ("thrift",), True
        ),
    ]
}
"""Every process of the cluster by name, in the order in which they depend on each other."""

# Hadoop and HBase reach into the JDK; without these Java 17 refuses them.
_OPENED = [
    f"--add-opens=java.base/{package}=ALL-UNNAMED"
    for package in (
        *("java.io", "java.lang", "java.lang.reflect", "java.math", "java.net", "java.nio", "java.security"),
        *("java.text", "java.util", "java.util.concurrent", "jdk.internal.ref", "sun.net.dns", "sun.nio.ch"),
    )
] + [
    "--add-exports=java.base/jdk.internal.misc=ALL-UNNAMED",
    "--add-exports=java.security.jgss/sun.security.krb5=ALL-UNNAMED",
    "--add-modules=jdk.unsupported",
]


def java_command(java: str, daemon: Daemon, class_path: Sequence[str], logs: Path) -> list[str]:
    """Return the command line that starts `daemon`.

    Starting is bound by the processors: the eight of them take 27 s of processor time by default, 22 s when
    the jars' classes are not verified. (An archive of loaded classes, AppCDS, would make it 15 s, but takes
    30 s to write.)
    """
    command = [java, f"-Xmx{daemon.heap}", "-XX:+UseSerialGC", "-XX:-UsePerfData"]
    command += ["-XX:+UnlockDiagnosticVMOptions", "-XX:-BytecodeVerificationRemote"]
    if not daemon.hot:
        command.append("-XX:TieredStopAtLevel=1")
    command += [
        "-Djava.net.preferIPv4Stack=true",
        "-Djava.security.egd=file:/dev/./urandom",
        "-Dorg.apache.hbase.thirdparty.io.netty.tryReflectionSetAccessible=true",
        f"-Dhbase.log.dir={logs}",
        f"-XX:ErrorFile={logs}/crash",
    ]
    return [*command, *_OPENED, "-cp", os.pathsep.join(class_path), daemon.main, *daemon.arguments]


@dataclass(frozen=True, slots=True)
class DaemonStatus:
    """What one process is doing now.

    Attributes
    ----------
    name
        Its name.
    pid
        Its process id; None where it is not running.
    ports
        Its ports by name.
    memory
        Bytes of resident memory; 0 where it is not running.
    listening
        Whether its first port takes connections.
    """

    name: str
    pid: int | None
    ports: Mapping[str, int]
    memory: int
    listening: bool


class JavaProcess:
    """A process known by the files in its folder.

    Parameters
    ----------
    folder
        Its folder; made when the process starts.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def log(self) -> Path:
        """What the process prints; the log of its previous life is ``log.1``."""
        return self.folder / "log"

    def start(self, command: Sequence[str]) -> None:
        """Start the process in a session of its own, so that it stays when the starter's terminal closes."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.log.exists():
            self.log.rename(self.log.with_suffix(".1"))
        pid = os.posix_spawn(
            command[0],
            list(command),
            {**os.environ, "HADOOP_USER_NAME": "sodalake"},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(self.log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )
        began = psutil.Process(pid).create_time()
        (self.folder / "pid").write_text(json.dumps({"pid": pid, "began": began}))

    def find(self) -> psutil.Process | None:
        """Return the running process, or None."""
        try:
            known = json.loads((self.folder / "pid").read_text())
            process = psutil.Process(known["pid"])
            if process.create_time() != known["began"] or process.status() == psutil.STATUS_ZOMBIE:
                return None
        except (FileNotFoundError, psutil.NoSuchProcess):
            return None
        return process

    def signal(self, number: signal.Signals) -> psutil.Process | None:
        """Send a signal to the process where it runs; return it."""
        process = self.find()
        if process is not None:
            try:
                process.send_signal(number)
            except psutil.NoSuchProcess:
                return None
        return process

    def last_words(self, lines: int = 5) -> str:
        """Return the end of the log: its errors where there are any."""
        if not self.log.exists():
            return ""
        told = self.log.read_text(errors="replace").splitlines()
        errors = [line for line in told if re.search(r" (ERROR|FATAL) |^Error|Exception: ", line)]
        return "\n".join((errors or told)[-lines:])


def has_ended(process: psutil.Process) -> bool:
    """Say whether a process is gone, or gone but for somebody who should wait for it."""
    try:
        process.wait(0)  # also takes leave of it where it is this process' child
    except psutil.TimeoutExpired:
        try:
            return bool(process.status() == psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return True
    return True


def answers(port: int, timeout: float = 0.5) -> bool:
    """Say whether something on loopback takes TCP connections on `port`, within `timeout` seconds."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout):
            return True
    except OSError:
        return False
