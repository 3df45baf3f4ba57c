"""Reindexing: the index tables of files that were ingested before these tables were thought of.

A file's record says which index tables hold its alerts (`FileRecord.tables`). For a file that lacks one, its
scalar columns are read again (no stamp is), the rows are written, and one put notes it. So it can be killed at any
moment and run again, and readers, who ask the record, never take half a table for a whole one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool

import numpy as np
import pyarrow as pa

from .catalogue import FileRecord
from .coveringrows import GROUP, covering_payloads
from .errors import Damaged, LakeError
from .indexing import FileReport, FlatFile, footer_checksum, opened, read_flat
from .indextables import OBJECTS, covering_keys, index_tables
from .ingest import IngestReport, Progress
from .lake import Lake
from .lease import writer
from .processes import Pool
from .summarising import OwnDeltas
from .survey import Survey
from .versions import add

__all__ = ["fill_file", "reindex"]

_BATCH = 4000


def reindex(
    lake_url: str,
    survey: str,
    *,
    workers: int | None = None,
    progress: Callable[[Progress], None] | None = None,
    executor: Executor | None = None,
) -> IngestReport:
    """Fill the index tables of a survey's files that lack them.

    Parameters
    ----------
    lake_url
        The lake.
    survey
        A survey of the lake.
    workers, progress, executor
        As `sodalake.lake.ingest.ingest` has them.

    Returns
    -------
    IngestReport
        `done`: files filled; `known`: those that lacked nothing; `failed`: those that are gone or changed.

    Raises
    ------
    NotInLake
        The lake has no such survey.
    Unavailable
        An ingest of the survey is running, or a back end is down.
    """
    began = time.monotonic()
    report = IngestReport()
    lake = Lake.open(lake_url)
    try:
        name = lake.survey(survey).name
        lake.add_survey(name)  # makes the tables an older lake lacks
        catalogue = lake.catalogue(name)
        with writer(lake.rows, catalogue.table):
            view = catalogue.view(fresh=True)
            short = {
                record.number: record
                for table in index_tables(lake.survey(name))
                for record in view.lacking(table)
            }
            todo = [short[number] for number in sorted(short)]
            report.known += [
                record.url
                for number, record in sorted(view.records.items())
                if record.state == "committed" and number not in short
            ]
            pool = Pool(executor, len(todo) if workers is None else min(workers, len(todo)))
            try:
                _fill(lake.url, name, todo, report, pool, progress)
            finally:
                pool.close()
    finally:
        lake.close()
    report.seconds = time.monotonic() - began
    return report


def _fill(
    lake_url: str,
    survey: str,
    todo: list[FileRecord],
    report: IngestReport,
    pool: Pool,
    progress: Callable[[Progress], None] | None,
) -> None:
    total = sum(record.size for record in todo)
    size = 0
    queue = list(reversed(todo))
    running: dict[Future[FileReport], FileRecord] = {}
    while queue or running:
        while queue and len(running) < pool.width:
            record = queue.pop()
            running[pool.submit(fill_file, lake_url, survey, record)] = record
        finished, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in [future for future in running if future in finished]:
            record = running.pop(future)
            try:
                report.done.append(future.result())
            except LakeError as error:
                report.failed[record.url] = str(error)
            except BrokenProcessPool:
                report.failed[record.url] = "The worker process died (out of memory?). Run it again."
                pool.renew()
            size += record.size
            if progress is not None:
                count = len(report.done) + len(report.failed)
                progress(Progress(count, len(todo), size, total, report.rows, record.url))


def fill_file(lake_url: str, survey_name: str, record: FileRecord) -> FileReport:
    """Write the rows of one committed file into the tables it lacks, and note it in its record.

    Raises
    ------
    FileGone, Damaged
        The file cannot be read, or is not what was ingested.
    UsageError
        It is not a file of this survey.
    Unavailable
        A back end does not answer.
    """
    began = time.monotonic()
    lake = Lake.open(lake_url)
    try:
        survey = lake.survey(survey_name)
        source, file = opened(record.url)
        try:
            if footer_checksum(source) != record.checksum:
                raise Damaged(f"{record.url} changed since its ingest.", "Ingest it again.")
            first = count = 0
            own = OwnDeltas(lake.rows, survey, record.number)
            lacking = tuple(name for name in index_tables(survey) if name not in record.tables)
            for group in range(file.metadata.num_row_groups):
                flat = read_flat(file, survey, group, first)
                for start in range(0, flat.table.num_rows, _BATCH):
                    count += _write(lake, survey, record, flat, start, lacking, own)
                first += flat.table.num_rows
            if OBJECTS in lacking:
                view = lake.catalogue(survey_name).view()
                own.write(
                    view.superseded.get(record.number, {}).get(record.number, np.empty(0, np.uint32)).tolist()
                )
                own.write_replaced(view)
        finally:
            source.close()
        lake.catalogue(survey_name).fill(record, lacking)
    finally:
        lake.close()
    return FileReport(
        number=record.number,
        url=record.url,
        size=record.size,
        rows=count,
        superseded=0,
        skipped={},
        missing=(),
        places={},
        seconds=time.monotonic() - began,
    )


def _write(
    lake: Lake,
    survey: Survey,
    record: FileRecord,
    flat: FlatFile,
    start: int,
    lacking: tuple[str, ...],
    own: OwnDeltas,
) -> int:
    """Write some rows of a row group into the covering tables that lack them; return how many.

    All are given to `own`: what a file has of its objects is told before others are taken into account.
    """
    catalogue = lake.catalogue(survey.name)
    view = catalogue.view()
    about = flat.essentials
    kept = np.flatnonzero(about.keep[start : start + _BATCH]) + start
    if not len(kept):
        return 0
    take = pa.array(kept)
    table, rows, times = flat.table.take(take), kept + flat.first, about.times[kept]
    payloads = covering_payloads(catalogue, survey, table, rows)
    own.add(about.object_ids.take(take), times, rows, payloads)
    places = about.ra[kept], about.dec[kept]
    # A superseded row is left out: written now, it would stand behind the newer version that hides it.
    seen = view.rows_visible(record.number, rows.astype(np.uint32))
    for name, which, keys in covering_keys(survey, table, about.alert_ids.take(take), times, places, lacking):
        of_these = [(key, payloads[at]) for key, at in zip(keys, which.tolist(), strict=True) if seen[at]]
        qualified = f"{survey.name}.{name}"
        found = lake.rows.get_many(qualified, [key for key, _ in of_these], [GROUP])
        lake.rows.put_many(
            qualified,
            [
                (key, {GROUP: add(cells[0] if cells else None, record.number, load, view.visible)})
                for (key, load), cells in zip(of_these, found, strict=True)
            ],
        )
    return int(seen.sum())
