"""Real HDFS and HBase on this machine, for development and tests.

::

    cluster = Cluster(Path("/tmp/mine"))
    cluster.up()                       # under a minute; the jars are fetched once per user
    cluster.hdfs_url                   # hdfs://127.0.0.1:PORT
    cluster.rows_url("mylake")         # hbase://127.0.0.1:PORT/mylake
    cluster.kill("datanode-2")         # what the tests of failures do
    cluster.start("datanode-2")
    cluster.down()

Nothing is installed: the daemons are started with `java` from Maven's jars (`jars`), told what to do by one
set of properties (`site`), and known by the files in the cluster's folder (`daemons`).
"""

from __future__ import annotations

from .cluster import Cluster, default_folder
from .daemons import DAEMONS, DATANODES, DaemonStatus

__all__ = ["DAEMONS", "DATANODES", "Cluster", "DaemonStatus", "default_folder"]
