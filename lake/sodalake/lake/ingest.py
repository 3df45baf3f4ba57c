"""Ingest: bring an archive's files into the lake, in place, once.

A file is in the lake or it is not. Its record is written as *pending*, its rows are written, and one put makes it
*committed*: only then does any reader see it. So an ingest can be killed at any moment and run again; files that are
committed and unchanged are passed over, pending ones are done anew under the number they had.

Files are indexed by worker processes side by side. Two files that hold the same alert are not written at the same
time, so that the later one (by URL, hence by night) sees the earlier one's rows and supersedes them.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from .catalogue import Catalogue, FileRecord
from .errors import LakeError
from .files import FileStat, expand, join, path_of
from .indexing import FileReport, alert_ids, convert_avro, index_file
from .lake import Lake
from .lease import writer
from .processes import Pool

__all__ = ["IngestReport", "Progress", "ingest"]

_SUFFIXES = (".parquet", ".avro")
_CRASHES = 2


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an ingest is: told after every file.

    Attributes
    ----------
    files, total_files
        Files done (or passed over, or failed), of how many.
    bytes, total_bytes
        Their bytes.
    rows
        Alerts indexed so far.
    last
        URL of the file just done.
    """

    files: int
    total_files: int
    bytes: int
    total_bytes: int
    rows: int
    last: str


@dataclass(slots=True)
class IngestReport:
    """What an ingest did.

    Attributes
    ----------
    done
        A report a file indexed.
    known
        URLs passed over, because the lake has them already.
    failed
        URL → what was wrong with it; the file is not in the lake.
    seconds
        Wall time.
    """

    done: list[FileReport] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def rows(self) -> int:
        """Alerts indexed."""
        return sum(report.rows for report in self.done)

    @property
    def bytes(self) -> int:
        """Bytes of the files indexed."""
        return sum(report.size for report in self.done)

    @property
    def skipped(self) -> Counter[str]:
        """Rows left out, by reason."""
        return sum((Counter(report.skipped) for report in self.done), Counter())


def ingest(
    lake_url: str,
    survey: str,
    paths: Sequence[str],
    *,
    rows: str | None = None,
    workers: int | None = None,
    progress: Callable[[Progress], None] | None = None,
    executor: Executor | None = None,
) -> IngestReport:
    """Index `paths` into a lake, making the lake if there is none.

    Parameters
    ----------
    lake_url
        The lake.
    survey
        A shipped survey's name, or a TOML file.
    paths
        Files, folders and globs, local or not; Parquet and Avro.
    rows
        Row store of a lake that is made now.
    workers
        Processes (default: the machine's cores); 1 works in this process.
    executor
        Where to work instead, for example ``dask_client.get_executor()``.

    Returns
    -------
    IngestReport
        With the files that failed; a damaged file does not stop the others.

    Raises
    ------
    NotInLake
        A path that matches nothing.
    ConfigurationError
        A wrong lake or survey.
    Unavailable
        Another ingest of the same survey is running, or a back end is down.
    """
    began = time.monotonic()
    stats = expand(paths, _SUFFIXES)
    lake = Lake.create(lake_url, rows=rows)
    try:
        name = lake.add_survey(survey).name
        for path in paths:
            lake.add_root(_root(path))
        report = IngestReport()
        catalogue = lake.catalogue(name)
        with writer(lake.rows, catalogue.table):
            pool = Pool(executor, len(stats) if workers is None else min(workers, len(stats)))
            try:
                run = _Run(lake, name, catalogue, report, pool, progress)
                run.all(stats)
            finally:
                pool.close()
    finally:
        lake.close()
    report.seconds = time.monotonic() - began
    return report


def _is(record: FileRecord, given: FileStat) -> bool:
    """Say whether a record is of a file as it is now."""
    return record.size == given.size and abs(record.mtime - given.mtime) < 1e-3


def _root(path: str) -> str:
    fixed = path.split("*")[0].split("?")[0].split("[")[0]
    if fixed != path or fixed.endswith(_SUFFIXES):
        return fixed.rpartition("/")[0] or "."
    return path


@dataclass(slots=True)
class _Running:
    stat: FileStat
    ids: set[str]


class _Run:
    """One ingest: decides which files to index, and when each may start."""

    def __init__(
        self,
        lake: Lake,
        survey: str,
        catalogue: Catalogue,
        report: IngestReport,
        pool: Pool,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self._lake, self._survey, self._catalogue = lake, survey, catalogue
        self._report, self._pool, self._progress = report, pool, progress
        self._count = self._bytes = self._total_bytes = self._total = 0
        self._crashes: Counter[str] = Counter()

    def all(self, stats: Sequence[FileStat]) -> None:
        self._total, self._total_bytes = len(stats), sum(s.size for s in stats)
        known = {record.url: record for record in self._catalogue.records() if record.state != "superseded"}
        todo = [s for s in self._converted(stats) if not self._is_known(s, known)]
        self._index(todo, known)

    # -------------------------------------------------------------- Avro first

    def _converted(self, stats: Sequence[FileStat]) -> Iterator[FileStat]:
        """Turn Avro files into Parquet files of the lake, and pass the others on."""
        folder = join(self._lake.url, "files", self._survey)
        avro = [s for s in stats if s.url.endswith(".avro")]
        made: dict[str, FileStat] = {}
        waiting: dict[Future[FileStat], FileStat] = {}
        for source in avro:
            version = hashlib.sha256(f"{source.url} {source.size} {source.mtime}".encode()).hexdigest()[:12]
            target = join(folder, f"{PurePosixPath(path_of(source.url)).stem}-{version}.parquet")
            waiting[self._pool.submit(convert_avro, source.url, target)] = source
        for future, source in waiting.items():
            try:
                made[source.url] = future.result()
            except LakeError as error:
                self._failed(source, str(error))
            except Exception as error:  # noqa: BLE001  # as in `_finish`
                self._failed(source, f"Unexpected: {type(error).__name__}: {error}")
        for source in stats:
            if source.url in made:
                self._total_bytes += made[source.url].size - source.size
                yield made[source.url]
            elif not source.url.endswith(".avro"):
                yield source

    def _is_known(self, given: FileStat, known: dict[str, FileRecord]) -> bool:
        record = known.get(given.url)
        if record is not None and _is(record, given) and record.state == "committed":
            self._report.known.append(given.url)
            self._step(given)
            return True
        return False

    # -------------------------------------------------------------- the work

    def _index(self, todo: Sequence[FileStat], known: dict[str, FileRecord]) -> None:
        queue = list(todo)
        running: dict[Future[FileReport], _Running] = {}
        first: tuple[str, set[str]] | None = (
            None  # the first in the queue and its alerts, read once while it waits
        )
        while queue or running:
            while queue and len(running) < self._pool.width:
                # In order: a file waits until no running one shares an alert with it, and those behind it wait too.
                given = queue[0]
                try:
                    if first is None or first[0] != given.url:
                        first = given.url, alert_ids(given.url, self._lake.surveys[self._survey])
                except LakeError as error:
                    queue.pop(0)
                    self._failed(given, str(error))
                    continue
                ids = first[1]
                if any(not ids.isdisjoint(other.ids) for other in running.values()):
                    break
                queue.pop(0)
                record = self._begin(given, known)
                future = self._pool.submit(index_file, self._lake.url, self._survey, record)
                running[future] = _Running(given, ids)
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in [future for future in running if future in finished]:  # in the order of the files
                if future in running:
                    queue[:0] = self._finish(future, running)

    def _begin(self, given: FileStat, known: dict[str, FileRecord]) -> FileRecord:
        record = known.get(given.url)
        if record is not None and record.state == "pending" and _is(record, given):
            # Killed in between: the same number, so that rows already written are written over. A file that was changed
            # since gets another: rows that it has no more must never be seen.
            return FileRecord(record.number, given.url, given.size, given.mtime, replaces=record.replaces)
        replaced = None
        if record is not None:
            replaced = record.replaces if record.state == "pending" else record.number
        return self._catalogue.begin(FileRecord(0, given.url, given.size, given.mtime, replaces=replaced))

    def _finish(
        self, future: Future[FileReport], running: dict[Future[FileReport], _Running]
    ) -> list[FileStat]:
        """Take a finished file's report; return the files to try again (their worker died)."""
        job = running.pop(future)
        try:
            done = future.result()
        except BrokenProcessPool:
            again = [job, *running.values()]
            running.clear()
            self._pool.renew()
            for other in again:
                self._crashes[other.stat.url] += 1
            for other in [o for o in again if self._crashes[o.stat.url] > _CRASHES]:
                again.remove(other)
                self._failed(other.stat, "The worker process died on it, again and again (out of memory?).")
            return [other.stat for other in again]
        except LakeError as error:
            self._failed(job.stat, str(error))
            return []
        except Exception as error:  # noqa: BLE001  # a file nobody foresaw must not stop ten thousand others
            self._failed(job.stat, f"Unexpected: {type(error).__name__}: {error}")
            return []
        self._report.done.append(done)
        self._step(job.stat)
        return []

    def _failed(self, given: FileStat, why: str) -> None:
        self._report.failed[given.url] = why
        self._step(given)

    def _step(self, given: FileStat) -> None:
        self._count += 1
        self._bytes += given.size
        if self._progress is not None:
            rows = self._report.rows
            self._progress(
                Progress(self._count, self._total, self._bytes, self._total_bytes, rows, given.url)
            )
