"""`sodalake ingest`: bring files of an archive into a lake, in place."""

from __future__ import annotations

import functools
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
@click.option(
    "--images", is_flag=True, help="PATHs are images, and SURVEY one of images: FITS, also .fz and .gz."
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def ingest(
    survey: str,
    paths: tuple[str, ...],
    lake: str,
    rows: str | None,
    workers: int | None,
    reindex: bool,
    images: bool,
    as_json: bool,
) -> None:
    """Bring files of an archive into a lake.

    SURVEY is a shipped name (ztf, lsst; of images decam, des) or a TOML file that describes one. PATH is a file, a
    folder or a glob, local or hdfs://, of Parquet or Avro; with --images, of FITS. Files stay where they are; running
    it again adds what is new.
    """
    from sodalake.lake.images.ingesting import ingest_images
    from sodalake.lake.ingest import ingest as ingest_alerts
    from sodalake.lake.reindexing import reindex as fill
    from sodalake.sodacut.images.strips import strips

    if images and reindex:
        raise click.UsageError(
            "--reindex is of alerts. Images that a changed survey file describes otherwise are indexed anew by "
            "`sodalake ingest SURVEY --images PATH...`."
        )
    noun = "images" if images else "alerts"
    bring = functools.partial(ingest_images, strips=strips) if images else ingest_alerts
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
        report = _watched(work, noun) if sys.stderr.isatty() and not as_json else work(None)
        click.echo(_as_json(report, noun) if as_json else _as_text(report, name, noun))
        failed = failed or bool(report.failed)
    if failed:
        sys.exit(_FAILED)


def _watched(work: _Work, noun: str) -> IngestReport:
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
                description=f"{told.files}/{told.total_files} files, {told.rows} {noun}",
                completed=told.bytes,
                total=told.total_bytes,
            )

        return work(tell)


def _as_text(report: IngestReport, name: str, noun: str) -> str:
    rate = report.bytes / 1e6 / report.seconds if report.seconds else 0.0
    already = {"brought": "were in the lake already", "reindexed": "lacked nothing"}[name]
    lines = [
        f"{report.rows} {noun} of {len(report.done)} files in {report.seconds:.1f} s ({rate:.0f} MB/s);"
        f" {len(report.known)} files {already}."
    ]
    lines += [f"left out {count} {noun}: {reason}" for reason, count in report.skipped.most_common()]
    lines += [f"failed {url}: {reason}" for url, reason in report.failed.items()]
    return "\n".join(lines)


def _as_json(report: IngestReport, noun: str) -> str:
    return json.dumps(
        {
            "files": len(report.done),
            "known": len(report.known),
            noun: report.rows,
            "bytes": report.bytes,
            "seconds": round(report.seconds, 3),
            "skipped": dict(report.skipped),
            "failed": report.failed,
        }
    )
