"""What `sodalake bench` offers: a click command a bench. A bench is imported when it is run."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

__all__ = ["COMMANDS"]

_ROWS = ("ingest", "one", "object", "bytes", "bulk", "crowd", "growth")
_WIDTH = 160  # of a table that goes to a file


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--quick", is_flag=True, help="A small archive and few requests: shows that it runs, measures little."
)
@click.option(
    "--only",
    multiple=True,
    type=click.Choice(_ROWS),
    help="Measure this row; may be repeated.  [default: all]",
)
@click.option(
    "--where",
    type=click.Choice(["embedded", "cluster", "both"]),
    default="both",
    show_default=True,
    help="Local files and LMDB, or HDFS and HBase.",
)
@click.option(
    "--lake-cluster",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the cluster to use.  [default: the user's own; started and stopped if it is not running]",
)
@click.option(
    "--cache",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where made archives are kept.  [default: ~/.cache/sodalake/bench]",
)
def stamps(
    as_json: bool, quick: bool, only: tuple[str, ...], where: str, folder: Path | None, cache: Path | None
) -> None:
    """Stamps, beside the way Fink serves them.

    Makes an archive like Fink's (1 GB; kept for the next time), brings it into lakes, serves them, and measures
    latencies, rates and bytes. The seeds' way is measured in the same run on the same files. Takes some minutes;
    needs two idle cores to mean much.
    """
    from rich.console import Console

    from sodalake.benchmarks.stamps import FULL, QUICK, run

    said = Console(stderr=True)
    report = run(
        QUICK if quick else FULL,
        rows=only or _ROWS,
        where=("embedded", "cluster") if where == "both" else (where,),
        cluster_folder=folder,
        cache=cache,
        console=said,
    )
    if as_json:
        click.echo(json.dumps(report.to_dict(), indent=1))
    else:
        report.show(Console(width=None if sys.stdout.isatty() else _WIDTH))


COMMANDS: dict[str, click.Command] = {"stamps": stamps}
"""Name → command."""
