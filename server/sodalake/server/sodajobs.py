"""SODA, asynchronous: the work of a job, made of the pieces in `sodacut`.

What a job asks for is read by `sodaorders`; what is done on a worker is in `sodacut.jobs.onworker`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from sodalake.lake.errors import LakeError, Unavailable
from sodalake.lake.results import ResultFolder
from sodalake.server.sections import Images, Jobs
from sodalake.server.sodaorders import Asked, Holdings, asked, list_of
from sodalake.server.workerrors import told
from sodalake.sodacut.jobs import (
    MANIFEST_TYPES,
    PARQUET,
    Pieces,
    Range,
    StampWork,
    UnitReport,
    arrow_pieces,
    deliver_extras,
    lost,
    manifest_table,
    manifests,
    zip_pieces,
)
from sodalake.sodacut.jobs.locator import locator
from sodalake.sodacut.jobs.onworker import Whole, resolve_here, run_here, write_parquet_here
from sodalake.sodacut.jobs.steps import Steps
from sodalake.uws.errors import BadJob, WorkFailed
from sodalake.uws.jobs import Job, Result, Segment, UnitRecord
from sodalake.uws.kinds import ONE, SEVERAL, Document, Plan, Planning, ResultStore, Unit

__all__ = ["SodaKind", "SodaWork"]

_ENDINGS: Final = {"zip": "zip", "arrow": "arrows", "parquet": "parquet"}
_LITERAL: Final = (
    4096  # bytes; what is longer becomes an object of the results, not a value in the store of jobs
)
_ROUNDS: Final = 4
_CHUNK: Final = 1250  # targets asked of the index at once, by one worker
_ENDED: Final = "The job was ended before this target was done."


class SodaKind:
    """Jobs at ``/soda/async``.

    Parameters
    ----------
    lake_url
        What workers open.
    holdings
        What jobs can be about.
    limits, images
        Settings of jobs, and of images.
    """

    name = "soda"

    def __init__(self, lake_url: str, holdings: Holdings, limits: Jobs, images: Images) -> None:
        self._lake_url = lake_url
        self._holdings = holdings
        self._limits = limits
        self._images = images

    def check(self, job: Job, results: ResultStore) -> SodaWork:
        """Read a job's parameters and its list; `BadJob` where they cannot be."""
        try:
            made = asked(
                job.parameters, list_of(job, results), self._holdings, self._limits, self._images, job.owner
            )
        except Unavailable as error:
            raise WorkFailed(error.message, error.advice) from error
        except LakeError as error:
            raise BadJob(error.message, error.advice) from error
        return SodaWork(made, self._lake_url, self._limits.unit)

    def error_document(self, error: Exception) -> Document | None:
        """Return None: SODA's errors are a sentence (SODA 1.0, 5.2)."""
        return None


@dataclass(frozen=True, slots=True)
class SodaWork:
    """The work of one job.

    Attributes
    ----------
    unit
        Targets of a unit, at most.
    """

    asked: Asked
    lake_url: str
    unit: int

    @property
    def shape(self) -> str:
        """What it is like, for estimates."""
        return self.asked.shape

    @property
    def targets(self) -> int:
        """Rows or combinations."""
        return len(self.asked.work)

    @property
    def run(self) -> Any:
        """What does a unit on a worker."""
        return partial(run_here, self.asked.steps, self.lake_url, self.asked.folder)

    def plan(self, planning: Planning) -> Plan:
        """Ask the index where the pixels are, on the workers, and cut units of neighbours."""
        work, steps = self.asked.work, self.asked.steps
        least = min(self.unit, steps.least(work))
        if len(work) <= least:
            return Plan([Unit(Whole(work), len(work), _pool(steps, work))])
        with told():
            resolved = planning.map(partial(resolve_here, steps, self.lake_url), work.chunks(_CHUNK))
        # Some units for each place, so that the last to end leave none idle for long; few enough that what a unit
        # costs besides its targets (a task, a file) is small.
        each = min(self.unit, max(least, math.ceil(len(work) / (_ROUNDS * planning.width))))
        return Plan([Unit(one, len(one), _pool(steps, one)) for one in steps.units(work, resolved, each)])

    def lost(self, unit: Unit, number: int, message: str) -> UnitRecord:
        """Let the manifest tell of a unit that failed for good."""
        report = self._lost(unit, message)
        return UnitRecord(number, "", report.pack(), report.targets, report.targets)

    def finish(
        self, planning: Planning, plan: Plan, records: Iterator[UnitRecord], whole: bool
    ) -> Sequence[Result]:
        """Write manifests and locator, and list the results."""
        reports = {record.number: UnitReport.unpack(record.entries) for record in records}
        done = [reports[number] for number in sorted(reports)]
        if not whole:
            done += [
                self._lost(unit, _ENDED) for number, unit in enumerate(plan.units) if number not in reports
            ]
        with told():
            return _Finishing(self.asked, planning, done, whole).results()

    def _lost(self, unit: Unit, message: str) -> UnitReport:
        spec = unit.spec
        return lost(self.asked.steps.whole(spec.work, ()) if isinstance(spec, Whole) else spec, message)


def _pool(steps: Steps, todo: Any) -> str:
    return SEVERAL if steps.several(todo) else ONE


class _Finishing:
    """Makes the results of a job's reports."""

    def __init__(self, asked: Asked, planning: Planning, reports: Sequence[UnitReport], whole: bool) -> None:
        self._asked = asked
        self._planning = planning
        self._reports = reports
        self._whole = whole
        self._results = planning.results
        self._prefix = planning.job.id

    @property
    def _name(self) -> str:
        """What the container is called."""
        return f"{self._asked.steps.name}.{_ENDINGS[self._asked.container]}"

    def results(self) -> list[Result]:
        """Write them, and list them."""
        container = self._asked.container
        table = container in ("arrow", "parquet")
        # Seen from the manifest, which is one of the job's results; those of a list are not listed there.
        urls = {"each": "./", "zip": "../files/", "folder": "../files/"}.get(container, "")
        manifest = manifest_table(
            self._reports, len(self._asked.work), urls=urls, container=self._name if table else ""
        )
        written = manifests(manifest)
        bodies = dict(written)
        if container in ("zip", "folder"):
            bodies["locator"] = locator(self._reports, len(self._asked.work))
        if sum(map(len, bodies.values())) <= _LITERAL:
            segments = {name: self._kept(name, body) for name, body in bodies.items()}
        else:  # side by side: a file on HDFS is mostly waiting, 25 ms of it
            with ThreadPoolExecutor(len(bodies)) as pool:
                segments = dict(zip(bodies, pool.map(self._kept, bodies, bodies.values()), strict=True))
        found = [Result(name, MANIFEST_TYPES[name], (segments[name],), name) for name in written]
        if container == "each":
            return found + self._each()
        if container == "folder":
            assert self._asked.folder is not None
            deliver_extras(self._asked.folder, written)
            return found
        name = self._name
        if container == "zip":
            pieces = zip_pieces(self._reports, written)
            return [*found, self._result(name, pieces)]
        assert isinstance(self._asked.work, StampWork)
        fits = self._asked.work.fits
        if container == "arrow":
            return [*found, self._result(name, arrow_pieces(self._reports, fits=fits))]
        parts = [report.part for report in self._reports if report.length]
        target = f"{self._prefix}/{name}"
        assert isinstance(self._results, ResultFolder)
        (size,) = self._planning.map(partial(write_parquet_here, self._results, target, fits), [parts])
        return [*found, Result(name, PARQUET, (Segment(target, 0, size),), name)]

    def _each(self) -> list[Result]:
        """List a result for every combination, those of units that failed for good too (SODA 1.0, section 6)."""
        found = {
            file.row: Result(
                file.name,
                file.content_type,
                (Segment(file.part, file.offset, file.length),),
                file.name,
                file.sha256,
            )
            for report in self._reports
            for file in report.files()
        }
        for report in self._reports if self._whole else ():
            rows, messages = (report.entries[name].to_pylist() for name in ("row", "message"))
            for row, message in zip(rows, messages, strict=True):
                if row not in found:
                    name, text = f"{row:06d}_error.txt", f"Error: {' '.join((message or '').split())}\n"
                    segment = Segment(data=text.encode())
                    found[row] = Result(name, "text/plain; charset=utf-8", (segment,), name)
        return [found[row] for row in sorted(found)]

    def _result(self, name: str, pieces: Pieces) -> Result:
        segments = []
        for number, one in enumerate(pieces.pieces):
            if isinstance(one, Range):
                segments.append(Segment(one.object, one.offset, one.length))
            else:
                segments.append(self._kept(f"{name}.{number}", one))
        return Result(name, pieces.content_type, tuple(segments), name)

    def _kept(self, name: str, body: bytes) -> Segment:
        """Keep some bytes: with the job where they are few, as an object where not. The locator is opened by name."""
        if len(body) <= _LITERAL and name != "locator":
            return Segment(data=body)
        return self._object(name, body)

    def _object(self, name: str, body: bytes) -> Segment:
        size = self._results.write(f"{self._prefix}/{name}", body)
        return Segment(f"{self._prefix}/{name}", 0, size)
