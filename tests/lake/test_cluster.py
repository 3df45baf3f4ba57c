"""The development cluster: started, looked at, broken, stopped, started again."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import uuid
import xml.etree.ElementTree as ET
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from sodalake.lake.cluster import DAEMONS, Cluster
from sodalake.lake.cluster.daemons import JavaProcess
from sodalake.lake.cluster.jars import fetch_jars, one_at_a_time, project_object_model, require_java
from sodalake.lake.cluster.site import choose_ports, is_free, properties, write_configuration
from sodalake.lake.errors import ConfigurationError, Unavailable, UsageError
from sodalake.lake.rows import open_rows
from sodalake.server.cli import main

# ---------------------------------------------------------------------- without Java


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(ConfigurationError, match=r"Java.*apt-get install.*openjdk"):
        require_java()
    with pytest.raises(ConfigurationError, match=r"Maven.*apt-get install.*maven"):
        fetch_jars(tmp_path / "cache")


def test_hadoop_2_is_kept_out() -> None:
    """The gateway's own dependencies are for Hadoop 2; every part of HBase must come in its Hadoop 3 flavour."""
    name = "{http://maven.apache.org/POM/4.0.0}"
    project = ET.fromstring(project_object_model())
    versions = {
        dependency.findtext(f"{name}artifactId"): dependency.findtext(f"{name}version")
        for dependency in project.iter(f"{name}dependency")
    }
    others = {artifact: version for artifact, version in versions.items() if artifact != "hbase-thrift"}
    assert {version for artifact, version in others.items() if "hbase" in str(artifact)} == {"2.6.1-hadoop3"}
    assert versions["hadoop-common"] == "3.4.2"


def test_ports_are_free_and_all_different() -> None:
    ports = [port for daemon in choose_ports().values() for port in daemon.values()]
    assert len(set(ports)) == len(ports) == sum(len(daemon.ports) for daemon in DAEMONS.values())
    assert all(is_free(port) for port in ports)
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert not is_free(server.getsockname()[1])


def test_configuration_is_one_set_of_properties(tmp_path: Path) -> None:
    folder = tmp_path / "a <folder> & more"
    ports = choose_ports()
    write_configuration(tmp_path / "conf", properties(folder, ports, DAEMONS["datanode-2"]))
    texts = {
        (tmp_path / "conf" / name).read_text()
        for name in ("core-site.xml", "hdfs-site.xml", "hbase-site.xml")
    }
    assert len(texts) == 1
    told = {entry.findtext("name"): entry.findtext("value") for entry in ET.fromstring(texts.pop())}
    assert told["dfs.datanode.data.dir"] == f"file://{folder}/datanode-2/data"
    assert told["dfs.datanode.address"] == f"127.0.0.1:{ports['datanode-2']['data']}"
    assert told["hbase.rootdir"] == f"hdfs://127.0.0.1:{ports['namenode']['rpc']}/hbase"


def test_a_pid_that_is_somebody_elses_now(tmp_path: Path) -> None:
    process = JavaProcess(tmp_path)
    assert process.find() is None
    me = psutil.Process()
    (tmp_path / "pid").write_text(json.dumps({"pid": me.pid, "began": me.create_time()}))
    found = process.find()
    assert found is not None
    assert found.pid == os.getpid()
    (tmp_path / "pid").write_text(json.dumps({"pid": me.pid, "began": me.create_time() - 100}))
    assert process.find() is None


def test_a_zombie_is_not_running(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE) as child:
        began = psutil.Process(child.pid).create_time()
        (tmp_path / "pid").write_text(json.dumps({"pid": child.pid, "began": began}))
        assert child.stdout is not None
        child.stdout.read()  # its end: the child is leaving, and nobody has waited for it
        psutil.Process(child.pid).status()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert JavaProcess(tmp_path).find() is None


def test_one_at_a_time_over_processes(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    script = """
import sys
from pathlib import Path
from sodalake.lake.cluster.jars import one_at_a_time
print("waiting", flush=True)
with one_at_a_time(Path(sys.argv[1])):
    Path(sys.argv[1]).with_name("taken").touch()
"""
    with one_at_a_time(lock):
        other = subprocess.Popen([sys.executable, "-c", script, str(lock)], stdout=subprocess.PIPE, text=True)
        assert other.stdout is not None
        assert other.stdout.readline() == "waiting\n"
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(0.3)
        assert not (tmp_path / "taken").exists()
    assert other.wait(10) == 0
    other.stdout.close()
    assert (tmp_path / "taken").exists()


def test_a_folder_without_a_cluster(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "none")
    assert not cluster.exists
    with pytest.raises(UsageError, match="sodalake cluster up"):
        _ = cluster.hdfs_url
    with pytest.raises(UsageError, match="datanode-1"):
        cluster.kill("datanode-9")
    result = CliRunner().invoke(main, ["cluster", "status", "--folder", str(cluster.folder)])
    assert (result.exit_code, result.output) == (3, f"There is no cluster in {cluster.folder}.\n")
    result = CliRunner().invoke(main, ["cluster", "down", "--folder", str(cluster.folder), "--json"])
    assert result.exit_code == 0
    assert json.loads(result.output)["stopped"] == []


# ---------------------------------------------------------------------- with Java


@pytest.mark.cluster
def test_up_tells_how_to_use_it(cluster: Cluster) -> None:
    before = {status.name: status.pid for status in cluster.status()}
    result = CliRunner().invoke(main, ["cluster", "up", "--folder", str(cluster.folder)])
    assert result.exit_code == 0
    assert f"--lake {cluster.hdfs_url}/lake --rows {cluster.rows_url('lake')}" in result.output
    result = CliRunner().invoke(main, ["cluster", "up", "--folder", str(cluster.folder), "--json"])
    told = json.loads(result.output)
    assert told["lake"] == told["settings"]["SODALAKE_LAKE"] == f"{cluster.hdfs_url}/lake"
    assert {status.name: status.pid for status in cluster.status()} == before


@pytest.mark.cluster
def test_status_shows_every_process(cluster: Cluster) -> None:
    result = CliRunner().invoke(main, ["cluster", "status", "--folder", str(cluster.folder)])
    assert result.exit_code == 0
    assert [line.split()[:2] for line in result.output.splitlines()] == [[name, "up"] for name in DAEMONS]
    result = CliRunner().invoke(main, ["cluster", "status", "--folder", str(cluster.folder), "--json"])
    processes = json.loads(result.output)["processes"]
    assert all(process["listening"] and process["memory"] > 20e6 for process in processes)


@pytest.mark.cluster
def test_kill_and_start_one_process(own_cluster: Cluster) -> None:
    own_cluster.kill("datanode-3")
    states = {status.name: status.listening for status in own_cluster.status()}
    assert [name for name, up in states.items() if not up] == ["datanode-3"]
    result = CliRunner().invoke(main, ["cluster", "status", "--folder", str(own_cluster.folder)])
    assert result.exit_code == 1

    port = own_cluster.ports["datanode-3"]["data"]
    with (
        socket.create_server(("127.0.0.1", port)),
        pytest.raises(Unavailable, match=f"Port {port} of datanode-3"),
    ):
        own_cluster.start("datanode-3")
    own_cluster.start("datanode-3")
    assert all(status.listening for status in own_cluster.status())


@pytest.mark.cluster
def test_data_outlives_down_and_up(own_cluster: Cluster) -> None:
    import hdfs_native

    name = uuid.uuid4().hex[:12]
    with hdfs_native.Client(own_cluster.hdfs_url).create(f"/{name}") as file:
        file.write(b"kept")
    rows = open_rows(own_cluster.rows_url(f"test-{name}"))
    rows.create("t", ["d"])
    rows.put_many("t", [(b"k", {"d": b"kept"})])
    result = CliRunner().invoke(main, ["cluster", "down", "--folder", str(own_cluster.folder)])
    assert result.exit_code == 0
    assert not any(status.pid for status in own_cluster.status())
    own_cluster.up()
    assert rows.get("t", b"k", ["d"]) == (b"kept",)
    rows.drop("t")
    rows.close()
    with hdfs_native.Client(own_cluster.hdfs_url).read(f"/{name}") as kept:
        assert kept.read() == b"kept"


@pytest.mark.cluster
def test_a_process_that_ends_while_starting_says_why(own_cluster: Cluster, tmp_path: Path) -> None:
    broken = Cluster(tmp_path / "broken")
    (broken.folder / "namenode").mkdir(parents=True)
    (broken.folder / "namenode" / "data").write_text("no folder")
    try:
        with pytest.raises(Unavailable, match=r"could not be formatted(.|\n)*namenode/data"):
            broken.up()
    finally:
        broken.destroy()
    assert not broken.folder.exists()
