"""What `sodalake bench` offers: a click command a bench. A bench is imported when it is run."""

from __future__ import annotations

import importlib
import json
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from sodalake.benchmarks.report import Report
    from sodalake.benchmarks.running import Bench

__all__ = ["COMMANDS"]

_WIDTH = 160  # of a table that goes to a file

_Command = Callable[..., None]


def _options(rows: Sequence[str]) -> Callable[[_Command], _Command]:
    """Return what adds the options that all benches have."""
    options = [
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
        click.option(
            "--quick",
            is_flag=True,
            help="A small archive and few requests: shows that it runs, measures little.",
        ),
        click.option(
            "--only",
            multiple=True,
            type=click.Choice(rows),
            help="Measure this row; may be repeated.  [default: all]",
        ),
        click.option(
            "--where",
            type=click.Choice(["embedded", "cluster", "both"]),
            default="both",
            show_default=True,
            help="Local files and LMDB, or HDFS and HBase.",
        ),
        click.option(
            "--lake-cluster",
            "folder",
            type=click.Path(path_type=Path, file_okay=False),
            help="Folder of the cluster to use.  [default: the user's own; started and stopped if it is not running]",
        ),
        click.option(
            "--cache",
            type=click.Path(path_type=Path, file_okay=False),
            help="Where made archives are kept.  [default: ~/.cache/sodalake/bench]",
        ),
    ]

    def add(command: _Command) -> _Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def _places(where: str) -> tuple[str, ...]:
    return ("embedded", "cluster") if where == "both" else (where,)


def _show(report: Report, as_json: bool) -> None:
    from rich.console import Console

    if as_json:
        click.echo(json.dumps(report.to_dict(), indent=1))
    else:
        report.show(Console(width=None if sys.stdout.isatty() else _WIDTH))
    if report.failed:
        sys.exit(1)


def _command(name: str, rows: Sequence[str], about: str) -> click.Command:
    """Return the command of the bench in the module of its name, which has these rows."""

    @click.command(name, help=about)
    @_options(rows)
    def command(
        as_json: bool, quick: bool, only: tuple[str, ...], where: str, folder: Path | None, cache: Path | None
    ) -> None:
        from rich.console import Console

        bench: Bench[Any, Any] = importlib.import_module(f"sodalake.benchmarks.{name}").BENCH
        # Who ends the bench ends what it started, too: a service in pieces has nobody else.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        report = bench.run(
            bench.quick if quick else bench.full,
            rows=only,
            where=_places(where),
            cluster_folder=folder,
            cache=cache,
            console=Console(stderr=True),
        )
        _show(report, as_json)

    return command


COMMANDS: dict[str, click.Command] = {
    "stamps": _command(
        "stamps",
        ("ingest", "one", "object", "bytes", "bulk", "crowd", "growth"),
        """Stamps, beside the way Fink serves them.

        Makes an archive like Fink's (1 GB; kept for the next time), brings it into lakes, serves them, and measures
        latencies, rates and bytes. The seeds' way is measured in the same run on the same files. Takes some minutes;
        needs two idle cores to mean much.
        """,
    ),
    "jobs": _command(
        "jobs",
        ("trivial", "waking", "submissions", "lists", "bulk", "beside", "abort", "kills", "estimates"),
        """Jobs: latencies, submissions, bulk work, and what kill -9 does to them.

        On the archive of the bench of stamps. Processes of the service are killed again and again; nothing else is.
        Takes a quarter of an hour a place; needs two idle cores to mean much.
        """,
    ),
    "tap": _command(
        "tap",
        (
            "ingest", "object", "naming", "wide", "cone", "slice", "groups", "bulk", "upload", "turnaround", "crowd",
            "growth", "greedy", "abort",
        ),
        """Queries: latencies, rates, large answers, uploads, jobs, and who stands in whose way.

        Makes a table of a million alerts (160 MB; kept for the next time), brings it into lakes, serves them, and asks
        in ADQL. Every answer's rows are counted. Takes some ten minutes a place; needs two idle cores to mean much.
        """,
    ),
    "images": _command(
        "images",
        ("ingest", "one", "cutter", "bytes", "bulk", "edge", "field", "find", "sheet"),
        """Images: cuts, mosaics and colour pictures of tiles, beside astropy's and astrocut's on the same files.

        Makes 108 tiles of 4096 × 4096 pixels twice, plain and compressed (8 GB; kept for the next time), brings them
        into lakes, serves them, and cuts. Saves a sheet of colour pictures to be looked at. Takes a quarter of an hour
        a place; needs two idle cores to mean much.
        """,
    ),
}  # fmt: skip
"""Name → command; a bench is a module of this package that has a `BENCH`."""
