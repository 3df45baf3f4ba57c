"""One run of an ingest: which files are to be indexed, when each may start, and what became of it.

What the files are, alerts or images, is told by a `Files`; how a file is committed by its `index` function.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from typing import Protocol

from .catalogue import Catalogue, FileRecord
from .errors import LakeError, NotInLake
from .files import SAME_TIME, FileStat, expand, join
from .indexing import FileReport
from .lake import Lake
from .lease import writer
from .processes import Pool

__all__ = ["Files", "IngestReport", "Progress", "bring"]

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
        Alerts (or images) indexed so far.
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
        """Alerts (or images) indexed."""
        return sum(report.rows for report in self.done)

    @property
    def bytes(self) -> int:
        """Bytes of the files indexed."""
        return sum(report.size for report in self.done)

    @property
    def skipped(self) -> Counter[str]:
        """Rows left out, by reason."""
        return sum((Counter(report.skipped) for report in self.done), Counter())


class Files(Protocol):
    """What an ingest needs to know of a kind of files: how they are told, made ready, and indexed.

    Its methods run in the ingest's own process; `index` and `convert` are functions that workers can be given.
    """

    @property
    def convert(self) -> Callable[[str, str], FileStat]:
        """Makes a file of the lake (second URL) of one that cannot be indexed as it is (first), and returns it."""

    @property
    def index(self) -> Callable[[str, str, FileRecord], FileReport]:
        """Indexes one file: of a lake (URL), a survey (name), and under a record."""

    def converted(self, url: str, version: str) -> str | None:
        """Return where, below the survey's files in the lake, a file of some version goes that must be converted.

        None: it is indexed as it is.
        """

    def ids(self, url: str) -> set[str]:
        """Return what two files cannot have both while they are indexed side by side."""

    def is_current(self, record: FileRecord, listed: Mapping[str, FileStat]) -> bool:
        """Say whether a committed, unchanged file needs no indexing; `listed` are all files that were given, by URL."""

    def is_one(self, url: str) -> bool:
        """Say whether a file is one of the survey's at all; others are passed over in silence."""


def bring(
    lake_url: str,
    suffixes: tuple[str, ...],
    files: Callable[[Lake], tuple[str, Files]],
    paths: Sequence[str],
    *,
    rows: str | None,
    workers: int | None,
    progress: Callable[[Progress], None] | None,
    executor: Executor | None,
) -> IngestReport:
    """Index files of any kind into a lake; see `ingest`.

    Parameters
    ----------
    suffixes
        Endings of the files.
    files
        Adds the survey to a lake; returns its name, and what its files are.
    """
    began = time.monotonic()
    stats = expand(paths, suffixes)
    lake = Lake.create(lake_url, rows=rows)
    try:
        name, kind = files(lake)
        mine = [one for one in stats if kind.is_one(one.url)]
        if stats and not mine:
            raise NotInLake(
                f"None of these {len(stats)} files is one of {name}'s; {stats[0].url} is the first.",
                "Its file says (`images.files`) which are.",
            )
        for path in paths:
            lake.add_root(_root(path, suffixes))
        report = IngestReport()
        catalogue = lake.catalogue(name)
        with writer(lake.rows, catalogue.table):
            pool = Pool(executor, len(stats) if workers is None else min(workers, len(stats)))
            try:
                run = _Run(lake, name, kind, catalogue, report, pool, progress)
                run.all(mine, {one.url: one for one in stats})
            finally:
                pool.close()
    finally:
        lake.close()
    report.seconds = time.monotonic() - began
    return report


def _is(record: FileRecord, given: FileStat) -> bool:
    """Say whether a record is of a file as it is now."""
    return record.size == given.size and abs(record.mtime - given.mtime) < SAME_TIME


def _root(path: str, suffixes: tuple[str, ...]) -> str:
    fixed = path.split("*")[0].split("?")[0].split("[")[0]
    if fixed != path or fixed.endswith(suffixes):
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
        files: Files,
        catalogue: Catalogue,
        report: IngestReport,
        pool: Pool,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self._lake, self._survey, self._files, self._catalogue = lake, survey, files, catalogue
        self._report, self._pool, self._progress = report, pool, progress
        self._count = self._bytes = self._total_bytes = self._total = 0
        self._crashes: Counter[str] = Counter()

    def all(self, stats: Sequence[FileStat], listed: Mapping[str, FileStat]) -> None:
        self._total, self._total_bytes = len(stats), sum(s.size for s in stats)
        known = {record.url: record for record in self._catalogue.records() if record.state != "superseded"}
        todo = [s for s in self._converted(stats) if not self._is_known(s, known, listed)]
        self._index(todo, known)

    # -------------------------------------------------------------- what must be made first

    def _converted(self, stats: Sequence[FileStat]) -> Iterator[FileStat]:
        """Turn files that cannot be indexed as they are into files of the lake, and pass the others on."""
        folder = join(self._lake.url, "files", self._survey)
        made: dict[str, FileStat] = {}
        waiting: dict[Future[FileStat], FileStat] = {}
        for source in stats:
            given = f"{source.url} {source.size} {source.mtime}".encode()
            target = self._files.converted(source.url, hashlib.sha256(given).hexdigest()[:12])
            if target is None:
                made[source.url] = source
            else:
                convert = self._pool.submit(self._files.convert, source.url, join(folder, target))
                waiting[convert] = source
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

    def _is_known(
        self, given: FileStat, known: dict[str, FileRecord], listed: Mapping[str, FileStat]
    ) -> bool:
        record = known.get(given.url)
        if (
            record is not None
            and _is(record, given)
            and record.state == "committed"
            and self._files.is_current(record, listed)
        ):
            self._report.known.append(given.url)
            self._step(given)
            return True
        return False

    # -------------------------------------------------------------- the work

    def _index(self, todo: Sequence[FileStat], known: dict[str, FileRecord]) -> None:
        queue = list(todo)
        running: dict[Future[FileReport], _Running] = {}
        first: tuple[str, set[str]] | None = (
            None  # the first in the queue and its ids, read once while it waits
        )
        while queue or running:
            while queue and len(running) < self._pool.width:
                # In order: a file waits until no running one shares an id with it, and those behind it wait too.
                given = queue[0]
                try:
                    if first is None or first[0] != given.url:
                        first = given.url, self._files.ids(given.url)
                except LakeError as error:
                    queue.pop(0)
                    self._failed(given, str(error))
                    continue
                ids = first[1]
                if any(not ids.isdisjoint(other.ids) for other in running.values()):
                    break
                queue.pop(0)
                record = self._begin(given, known)
                future = self._pool.submit(self._files.index, self._lake.url, self._survey, record)
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
