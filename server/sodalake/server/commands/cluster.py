"""`sodalake cluster`: real HDFS and HBase on this machine, for development and tests."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from sodalake.lake.cluster import Cluster

__all__ = ["cluster"]

# Exit codes of `status`, as those of a service's init script (LSB core, 20.2).
_DEGRADED, _STOPPED = 1, 3

_folder = click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="The cluster's folder.  [default: ~/.local/state/sodalake/cluster]",
)
_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def cluster() -> None:
    """Run real HDFS and HBase on this machine.

    A NameNode with three DataNodes, ZooKeeper, HBase's master, a region server and its Thrift2 gateway
    listen on free ports of 127.0.0.1. They need Java and, the first time, Maven, which fetches their jars
    (125 MB). Several clusters may live on one machine, each in a folder of its own.
    """


@cluster.command()
@_folder
@_as_json
def up(folder: Path | None, as_json: bool) -> None:
    """Start the cluster, and print the lake URL and the settings to use it.

    What runs already is left alone; data of an earlier start is there again.
    """
    from sodalake.lake.cluster import Cluster

    running = Cluster(folder)
    began = time.monotonic()
    if sys.stderr.isatty():
        from rich.console import Console

        with Console(stderr=True).status("starting") as line:
            running.up(notice=lambda what: line.update(f"waiting for {what}"))
    else:
        running.up()
    lake, rows = f"{running.hdfs_url}/lake", running.rows_url("lake")
    told = {
        "lake": lake,
        "rows": rows,
        "folder": str(running.folder),
        "seconds": round(time.monotonic() - began, 1),
        "settings": {"SODALAKE_LAKE": lake},
    }
    click.echo(json.dumps(told) if as_json else _how_to_use(running, lake, rows, time.monotonic() - began))


def _how_to_use(running: Cluster, lake: str, rows: str, seconds: float) -> str:
    return f"""\
HDFS and HBase are up ({seconds:.0f} s), in {running.folder}

  lake  {lake}
  rows  {rows}

Fill it and serve it:
  sodalake ingest ztf ARCHIVE --lake {lake} --rows {rows}
  sodalake serve --lake {lake}

The same as a setting, in the environment or in a TOML file:
  export SODALAKE_LAKE={lake}
  lake = "{lake}\""""


@cluster.command()
@_folder
@click.option("--remove", is_flag=True, help="Remove the folder too, with all its data.")
@_as_json
def down(folder: Path | None, remove: bool, as_json: bool) -> None:
    """Stop the cluster; its data stays for the next start."""
    from sodalake.lake.cluster import Cluster

    running = Cluster(folder)
    stopped = [status.name for status in running.status() if status.pid] if running.exists else []
    if running.exists:
        if remove:
            running.destroy()
        else:
            running.down()
    if as_json:
        click.echo(json.dumps({"folder": str(running.folder), "stopped": stopped, "removed": remove}))
    elif stopped:
        click.echo(f"Stopped {', '.join(stopped)}.")
    else:
        click.echo(f"No cluster was running in {running.folder}.")


@cluster.command()
@_folder
@_as_json
def status(folder: Path | None, as_json: bool) -> None:
    """Show every process, with its pid, ports and memory.

    The exit code is 0 when all of them run, 1 when some do, 3 when none does.
    """
    from sodalake.lake.cluster import Cluster

    running = Cluster(folder)
    daemons = running.status() if running.exists else []
    if as_json:
        click.echo(json.dumps({"folder": str(running.folder), "processes": [asdict(one) for one in daemons]}))
    elif not daemons:
        click.echo(f"There is no cluster in {running.folder}.")
    for one in daemons if not as_json else ():
        ports = " ".join(f"{name}:{port}" for name, port in one.ports.items())
        state = "up" if one.listening else ("starting" if one.pid else "stopped")
        click.echo(f"{one.name:<13}{state:<10}pid {one.pid or '-':<8}{one.memory / 1e6:5.0f} MB  {ports}")
    if not any(one.pid for one in daemons):
        sys.exit(_STOPPED)
    if not all(one.listening for one in daemons):
        sys.exit(_DEGRADED)
