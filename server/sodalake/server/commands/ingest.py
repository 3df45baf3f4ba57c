"""`sodalake ingest`: bring files of an archive into a lake, in place."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from sodalake.lake.ingest import IngestReport, Progress

    _Work = Callable[[Callable[[Progress], None] | None], IngestReport]

__all__ = ["ingest"]

_FAILED = 1  # exit code: done, but not all of it


@click.command()
@click.argument("survey")
@click.argument("paths", nargs=-1, metavar="PATH...")
@click.option("--lake", required=True, help="URL or folder of the lake; it is made where there is none.")
@click.option("--rows", help="Row store of a new lake: lmdb:FOLDER or hbase://HOST:PORT/PREFIX.")
@click.option("--workers", type=click.IntRange(1), help="Processes.  [default: one a core]")
@click.option(
    "--reindex", is_flag=True, help="Fill index tables that files of an older lake lack; PATH is optional."
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def ingest(
    survey: str,
    paths: tuple[str, ...],
    lake: str,
    rows: str | None,
    workers: int | None,
    reindex: bool,
    as_json: bool,
) -> None:
    """Bring files of an archive into a lake.

    SURVEY is a shipped name (ztf, lsst) or a TOML file that describes one. PATH is a file, a folder or a
    glob, local or hdfs://, of Parquet or Avro. Files stay where they are; running it again adds what is new.
    """
    from sodalake.lake.ingest import ingest as bring
    from sodalake.lake.reindexing import reindex as fill

    works: dict[str, _Work] = {}
    if paths:
        works["brought"] = lambda told: bring(lake, survey, paths, rows=rows, workers=workers, progress=told)
    if reindex:
        works["reindexed"] = lambda told: fill(lake, survey, workers=workers, progress=told)
    if not works:
        raise click.UsageError("Missing argument 'PATH...' (only --reindex does without).")
    failed = False
    for name, work in works.items():
        # Nobody watches a pipe; a script that asks for JSON gets nothing else.
        report = _watched(work) if sys.stderr.isatty() and not as_json else work(None)
        click.echo(_as_json(report) if as_json else _as_text(report, name))
        failed = failed or bool(report.failed)
    if failed:
        sys.exit(_FAILED)


def _watched(work: _Work) -> IngestReport:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    from sodalake.lake.ingest import Progress as Told

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        task = bar.add_task("looking for files", total=None)

        def tell(told: Told) -> None:
            bar.update(
                task,
                description=f"{told.files}/{told.total_files} files, {told.rows} alerts",
                completed=told.bytes,
                total=told.total_bytes,
            )

        return work(tell)


def _as_text(report: IngestReport, name: str) -> str:
    rate = report.bytes / 1e6 / report.seconds if report.seconds else 0.0
    already = {"brought": "were in the lake already", "reindexed": "lacked nothing"}[name]
    lines = [
        f"{report.rows} alerts of {len(report.done)} files in {report.seconds:.1f} s ({rate:.0f} MB/s);"
        f" {len(report.known)} files {already}."
    ]
    lines += [f"left out {count} alerts: {reason}" for reason, count in report.skipped.most_common()]
    lines += [f"failed {url}: {reason}" for url, reason in report.failed.items()]
    return "\n".join(lines)


def _as_json(report: IngestReport) -> str:
    return json.dumps(
        {
            "files": len(report.done),
            "known": len(report.known),
            "alerts": report.rows,
            "bytes": report.bytes,
            "seconds": round(report.seconds, 3),
            "skipped": dict(report.skipped),
            "failed": report.failed,
        }
    )
