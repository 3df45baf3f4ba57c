"""The Java side of the development cluster: one set of jars from Maven Central, fetched once per user.

HBase 2.6 needs Hadoop 3 on its class path, and the same 120 MB run HDFS' own daemons, so one set is enough.
HBase's Thrift gateway is published for Hadoop 2 only (no ``-hadoop3`` flavour): its HBase and Hadoop
dependencies are managed to the Hadoop 3 ones here, by name.

The set lives in the user's cache (``$XDG_CACHE_HOME/sodalake/jars/``) in a folder named by the digest of what
was asked for: another version is another folder, and a folder that exists is complete, since it is filled
under a temporary name and renamed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import ConfigurationError, Unavailable

__all__ = ["JarSet", "cache_folder", "fetch_jars", "require_java"]

HADOOP = "3.4.2"
HBASE = "2.6.1-hadoop3"  # the plain flavour cannot talk to a Hadoop 3 NameNode
GATEWAY = "2.6.1"  # hbase-thrift has no -hadoop3 flavour

_HBASE_WANTED = ["hbase-server"]
_GATEWAY_WANTED = ["hbase-thrift"]
_HADOOP_WANTED = ["hadoop-common", "hadoop-hdfs", "hadoop-hdfs-client"]

# What hbase-thrift would draw in for Hadoop 2, held at the Hadoop 3 flavour.
_HBASE_MANAGED = [
    f"hbase-{part}"
    for part in (
        *(
            "annotations",
            "asyncfs",
            "balancer",
            "client",
            "common",
            "hadoop-compat",
            "hadoop2-compat",
            "http",
        ),
        *("logging", "mapreduce", "metrics", "metrics-api", "procedure", "protocol", "protocol-shaded"),
        *("replication", "server", "zookeeper"),
    )
]
_HADOOP_MANAGED = [
    f"hadoop-{part}"
    for part in (
        *("annotations", "auth", "client", "common", "distcp", "hdfs", "hdfs-client"),
        *("mapreduce-client-common", "mapreduce-client-core", "mapreduce-client-jobclient"),
        *("yarn-api", "yarn-client", "yarn-common"),
    )
]

_INSTALL = "On Debian: apt-get install openjdk-17-jre-headless maven"


def cache_folder() -> Path:
    """Return the folder that keeps what can be fetched again, by the XDG base directory specification."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sodalake"


def require_java() -> str:
    """Return the path of `java`.

    Raises
    ------
    ConfigurationError
        No Java on the PATH (nor under JAVA_HOME).
    """
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=f"{home}/bin") if home else None
    java = java or shutil.which("java")
    if java is None:
        raise ConfigurationError(
            "The development cluster needs Java 11 or newer, and there is none.", _INSTALL
        )
    return java


class JarSet:
    """The jars of one class path.

    Parameters
    ----------
    folder
        The folder that holds them all.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def class_path(self) -> list[str]:
        """Return the jars, in the same order on every machine."""
        return sorted(str(jar) for jar in self.folder.glob("*.jar"))


def fetch_jars(cache: Path | None = None) -> JarSet:
    """Return the jar set, fetching it by Maven where this user does not have it yet (about 20 s, 125 MB).

    Raises
    ------
    ConfigurationError
        Java or Maven is missing.
    Unavailable
        Maven could not fetch; its last lines are in the message.
    """
    pom = project_object_model()
    root = (cache or cache_folder()) / "jars"
    folder = root / f"hbase-{HBASE}-{hashlib.sha256(pom.encode()).hexdigest()[:12]}"
    if folder.is_dir():
        return JarSet(folder)
    root.mkdir(parents=True, exist_ok=True)
    with one_at_a_time(root / ".lock"):
        if not folder.is_dir():  # another process may have fetched while this one waited
            _fetch(pom, folder)
    return JarSet(folder)


@contextmanager
def one_at_a_time(lock: Path) -> Iterator[None]:
    """Hold an exclusive lock on the file `lock`, across processes, waiting for it."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fetch(pom: str, folder: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise ConfigurationError(
            "The development cluster's jars are fetched by Maven, and there is none.", _INSTALL
        )
    require_java()
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetch-") as temporary:
        project, target = Path(temporary, "pom.xml"), Path(temporary, "jars")
        project.write_text(pom)
        command = [maven, "--batch-mode", "--no-transfer-progress", "--file", str(project)]
        command += [f"-DoutputDirectory={target}", "-DincludeScope=runtime"]
        command += ["org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"]
        run = subprocess.run(
            command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
        )
        if run.returncode:
            told = [line for line in run.stdout.splitlines() if "ERROR" in line][
                :4
            ] or run.stdout.splitlines()[-4:]
            raise Unavailable(
                f"Maven could not fetch the jars of HDFS and HBase: {' '.join(told)}",
                "Check the network and Maven's settings (~/.m2/settings.xml), then try again.",
            )
        target.rename(folder)


def project_object_model() -> str:
    """Return the Maven project whose run-time dependencies are the jar set."""

    def dependency(group: str, artifact: str, version: str) -> str:
        return (
            f"<dependency><groupId>org.apache.{group}</groupId><artifactId>{artifact}</artifactId>"
            f"<version>{version}</version></dependency>\n"
        )

    managed = [dependency("hbase", name, HBASE) for name in _HBASE_MANAGED]
    managed += [dependency("hadoop", name, HADOOP) for name in _HADOOP_MANAGED]
    wanted = [dependency("hbase", name, HBASE) for name in _HBASE_WANTED]
    wanted += [dependency("hbase", name, GATEWAY) for name in _GATEWAY_WANTED]
    wanted += [dependency("hadoop", name, HADOOP) for name in _HADOOP_WANTED]
    return (
        '<project xmlns="http://maven.apache.org/POM/4.0.0">\n<modelVersion>4.0.0</modelVersion>\n'
        "<groupId>sodalake</groupId><artifactId>cluster</artifactId><version>1</version><packaging>pom</packaging>\n"
        f"<dependencyManagement><dependencies>\n{''.join(managed)}</dependencies></dependencyManagement>\n"
        f"<dependencies>\n{''.join(wanted)}</dependencies>\n</project>\n"
    )
