"""What the daemons are told: one set of properties, and the ports.

Hadoop reads ``core-site.xml`` and ``hdfs-site.xml``, HBase ``hbase-site.xml``, each over its own defaults.
All three get the same text here: HBase needs HDFS' client settings too (it has no ``hdfs-site.xml``
otherwise), and one set cannot disagree with itself.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path
from xml.sax.saxutils import escape

from ..errors import Unavailable
from .daemons import DAEMONS, Daemon

__all__ = ["Ports", "choose_ports", "properties", "write_configuration"]

Ports = Mapping[str, Mapping[str, int]]
"""Port numbers, by daemon and by the daemon's own name for the port."""

# Below Linux's ephemeral range (32768-60999): a port remembered for the next start must not meanwhile become
# the near end of somebody's outgoing connection.
_LOWEST, _HIGHEST = 20000, 32000


def choose_ports() -> dict[str, dict[str, int]]:
    """Return ports that are free on loopback now, all different.

    Raises
    ------
    Unavailable
        None are left.
    """
    candidates = iter(random.sample(range(_LOWEST, _HIGHEST), _HIGHEST - _LOWEST))

    def next_free() -> int:
        for port in candidates:
            if is_free(port):
                return port
        raise Unavailable(f"No free TCP port between {_LOWEST} and {_HIGHEST}.")

    return {name: {port: next_free() for port in daemon.ports} for name, daemon in DAEMONS.items()}


def is_free(port: int) -> bool:
    """Say whether a server could listen on `port` of loopback now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT is free to a server
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def properties(folder: Path, ports: Ports, daemon: Daemon) -> dict[str, str]:
    """Return the settings of `daemon` in a cluster that lives in `folder`."""
    here = "127.0.0.1"
    namenode = f"{here}:{ports['namenode']['rpc']}"
    told = {
        # --- HDFS
        "fs.defaultFS": f"hdfs://{namenode}",
        "hadoop.tmp.dir": f"{folder}/{daemon.name}/temporary",
        "dfs.replication": "2",
        "dfs.permissions.enabled": "false",
        "dfs.namenode.name.dir": f"file://{folder}/namenode/data",
        "dfs.namenode.rpc-address": namenode,
        "dfs.namenode.rpc-bind-host": here,
        "dfs.namenode.http-address": f"{here}:{ports['namenode']['http']}",
        "dfs.namenode.datanode.registration.ip-hostname-check": "false",
        "dfs.namenode.safemode.extension": "0",  # leave safe mode at once
        # A dead DataNode is avoided after 3 s and given up after 20 s, instead of 30 s and 10 min.
        "dfs.heartbeat.interval": "1",
        "dfs.namenode.heartbeat.recheck-interval": "5000",
        "dfs.namenode.stale.datanode.interval": "3000",
        "dfs.namenode.avoid.read.stale.datanode": "true",
        "dfs.namenode.avoid.write.stale.datanode": "true",
        # With three DataNodes a writer that loses one goes on with what it has.
        "dfs.client.block.write.replace-datanode-on-failure.policy": "NEVER",
        # A file that the NameNode has not heard of yet is asked for again soon, and as long in all: not after 400 ms.
        "dfs.client.block.write.locateFollowingBlock.initial.delay.ms": "20",
        "dfs.client.block.write.locateFollowingBlock.retries": "9",
        # --- HBase
        "hbase.cluster.distributed": "true",
        "hbase.rootdir": f"hdfs://{namenode}/hbase",
        "hbase.tmp.dir": f"{folder}/{daemon.name}/temporary",
        "hbase.zookeeper.quorum": here,
        "hbase.zookeeper.property.clientPort": str(ports["zookeeper"]["client"]),
        "hbase.zookeeper.property.clientPortAddress": here,
        "hbase.zookeeper.property.dataDir": f"{folder}/zookeeper/data",
        "hbase.zookeeper.property.admin.enableServer": "false",
        "hbase.zookeeper.property.tickTime": "2000",
        "zookeeper.session.timeout": "20000",  # a machine that stalls for 10 s keeps its region server
        "hbase.master.hostname": here,
        "hbase.master.ipc.address": here,
        "hbase.master.port": str(ports["master"]["rpc"]),
        "hbase.master.info.port": "-1",
        "hbase.regionserver.hostname": here,
        "hbase.regionserver.ipc.address": here,
        "hbase.regionserver.port": str(ports["regionserver"]["rpc"]),
        "hbase.regionserver.info.port": "-1",
        "hbase.regionserver.handler.count": "16",
        "hbase.regionserver.msginterval": "1000",
        "hbase.master.wait.on.regionservers.interval": "200",
        "hbase.master.wait.on.regionservers.timeout": "1000",
        "hbase.regionserver.thrift.ipaddress": here,
        "hbase.regionserver.thrift.port": str(ports["thrift2"]["thrift"]),
        "hbase.thrift.info.port": "-1",
        # Steps of a table's life wait 150 ms for company, and whoever asked looks every 100, 200, 300 ms.
        "hbase.procedure.remote.dispatcher.delay.msec": "5",
        "hbase.assignment.dispatch.wait.msec": "5",
        "hbase.client.pause": "20",
        "hbase.client.retries.number": "13",  # about 18 s; the default is minutes
    }
    if daemon.name.startswith("datanode"):
        mine = ports[daemon.name]
        told |= {
            "dfs.datanode.data.dir": f"file://{folder}/{daemon.name}/data",
            "dfs.datanode.hostname": here,
            "dfs.datanode.address": f"{here}:{mine['data']}",
            "dfs.datanode.ipc.address": f"{here}:{mine['ipc']}",
            "dfs.datanode.http.address": f"{here}:0",
        }
    return told


_LOGGING = """\
log4j.rootLogger=INFO,out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.target=System.err
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=%d{ISO8601} %p %c{2}: %m%n
"""


def write_configuration(folder: Path, settings: Mapping[str, str]) -> None:
    """Write `settings` for one daemon into `folder`, which goes on its class path."""
    folder.mkdir(parents=True, exist_ok=True)
    text = "".join(_property(name, value) for name, value in settings.items())
    document = f'<?xml version="1.0"?>\n<configuration>\n{text}</configuration>\n'
    for name in ("core-site.xml", "hdfs-site.xml", "hbase-site.xml"):
        (folder / name).write_text(document)
    (folder / "log4j.properties").write_text(_LOGGING)
    for page in _EMPTY_PAGES:
        (folder / page).mkdir(parents=True, exist_ok=True)


def _property(name: str, value: str) -> str:
    return f"<property><name>{escape(name)}</name><value>{escape(value)}</value></property>\n"


# The jars of HDFS carry no web pages, and the daemons refuse to start without the folders.
_EMPTY_PAGES: Iterable[str] = ("webapps/hdfs", "webapps/datanode", "webapps/static")
