"""SODA, asynchronous: what the parameters and the list of a job mean, and its work, made of the pieces in `sodacut`.

A job has either SODA's own parameters, each of which may come several times, and gets one result for every
combination of ID, region and KIND (SODA 1.0, section 6); or it has a list of targets, and gets a manifest and one
container: a zip, a table of stamps (Arrow or Parquet), or a folder of the user's own. Everything else is as in
`/soda/sync`, whose parameters and formats these are.

Nothing here runs on a worker: what does is in `sodacut.jobs.onworker`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import product as combinations_of
from typing import Any, Final, Literal

from sodalake.lake.alerts import ByAlert
from sodalake.lake.errors import LakeError, Unavailable
from sodalake.lake.results import ResultFolder
from sodalake.lake.survey import STAMP_KINDS, Survey
from sodalake.server.config import Jobs
from sodalake.server.dali import Parameters, clip
from sodalake.server.errors import BadParameter
from sodalake.server.forecasts import Sketch
from sodalake.server.soda import PARAMETERS, SYNC, plan, product
from sodalake.server.urls import parse_did
from sodalake.server.vosi import InputParameter, Mode
from sodalake.sodacut import ArrowStamps
from sodalake.sodacut.jobs import (
    MANIFEST_TYPES,
    PARQUET,
    Combination,
    Order,
    Pieces,
    Range,
    StampWork,
    TargetList,
    UnitReport,
    allowed_folder,
    arrow_pieces,
    deliver_extras,
    lost,
    manifest_table,
    manifests,
    read_targets,
    units,
    zip_pieces,
)
from sodalake.sodacut.jobs.locator import locator
from sodalake.sodacut.jobs.onworker import only_unit, resolve_here, run_here, write_parquet_here
from sodalake.sodacut.jobs.targets import NEAR, REGIONS, overridden
from sodalake.sodacut.jobs.work import Refused
from sodalake.uws.errors import BadJob, WorkFailed
from sodalake.uws.jobs import Job, Parameter, Result, Segment, UnitRecord
from sodalake.uws.kinds import Document, Plan, Planning, ResultStore, Unit

__all__ = ["ASYNC", "Asked", "Container", "SodaKind", "asked", "list_of", "sketch"]

Container = Literal["each", "zip", "arrow", "parquet", "folder"]
"""How the results come: each by itself (combinations); or what a list gets."""

_CONTAINERS: Final[Mapping[str, Container]] = {
    "zip": "zip",
    "application/zip": "zip",
    "arrow": "arrow",
    "application/vnd.apache.arrow.stream": "arrow",
    "parquet": "parquet",
    PARQUET: "parquet",
}
_NAMES: Final = {"zip": "stamps.zip", "arrow": "stamps.arrows", "parquet": "stamps.parquet"}
ASYNC: Final = Mode(
    "ivo://ivoa.net/std/SODA#async-1.0",
    "/soda/async",
    "Stamps of many alerts as a job: ID, regions and KIND may come several times, or a list is uploaded.",
    ("POST",),
    (*SYNC.formats, "application/zip", PARQUET),
    (
        *(replace(one, required=False) for one in PARAMETERS if one.name != "RESPONSEFORMAT"),
        InputParameter(
            "RESPONSEFORMAT", "As for sync; of a list also zip (default), arrow and parquet: one for all."
        ),
        InputParameter(
            "UPLOAD", "NAME,param:PART: a list of targets as CSV, TSV, JSON or VOTable in the same request."
        ),
        InputParameter("SURVEY", "Of a list: survey of rows that do not say.", standard=False),
        InputParameter(
            "RADIUS",
            "Of a list: how near to a position its newest alert has to be.",
            datatype="double",
            arraysize="",
            unit="deg",
            standard=False,
        ),
        InputParameter(
            "FOLDER", "Of a list: folder of the user's own to write the files to.", standard=False
        ),
        InputParameter("NOTIFY", "Whether the end of the job is mailed to its owner.", standard=False),
        InputParameter("RUNID", "The client's own name for the job."),
    ),
    use="base",
)

_LITERAL: Final = (
    4096  # bytes; what is longer becomes an object of the results, not a value in the store of jobs
)
_LEAST_UNIT: Final = 64  # targets; smaller work is one unit
_ROUNDS: Final = 4
_CHUNK: Final = 1250  # targets asked of the index at once, by one worker
_OF_ROWS: Final = tuple(one.name for one in PARAMETERS if one.name not in ("ID", "RESPONSEFORMAT"))
_BYTES_A_ROW: Final = 24  # of a list with an id of its own and an alert's
_MAKERS: Final = {
    "png": "Picture",
    "image/png": "Picture",
    "json": "JsonArrays",
    "application/json": "JsonArrays",
}
_ENDED: Final = "The job was ended before this target was done."


@dataclass(frozen=True, slots=True)
class Asked:
    """What a job asks for.

    Attributes
    ----------
    folder
        Where results are also written, file by file.
    """

    work: StampWork
    container: Container
    folder: ResultFolder | None = None

    @property
    def shape(self) -> str:
        """What the work is like, for estimates: container and format."""
        formats = {type(order.finish).__name__ for order in self.work.orders}
        return f"{self.container}/{'+'.join(sorted(formats)) or 'nothing'}"


def list_of(job: Job, results: ResultStore) -> tuple[bytes, str, str] | None:
    """Return the list that came with a job: its bytes, Content-Type and file name; None where there is none.

    Raises
    ------
    BadParameter
        There are several.
    """
    if not job.uploads:
        return None
    if len(job.uploads) > 1:
        raise BadParameter(
            f"The job has {len(job.uploads)} files, and takes one list of targets.", "Send a job a list."
        )
    upload = job.uploads[0]
    stored = results.open(upload.object)
    try:
        return stored.read_at(0, stored.size), upload.content_type, upload.filename
    finally:
        stored.close()


def sketch(job: Job) -> Sketch:
    """Say what a job is like, as far as can be told without reading its list."""
    parameters = Parameters((one.id, one.value) for one in job.parameters if not one.by_reference)
    wanted = (next(iter(parameters.get("responseformat", ())), "") or "fits").strip().lower()
    if not job.uploads:
        regions = sum(len(parameters.get(name.lower(), ())) for name in REGIONS)
        count = len(parameters.get("id", ())) * max(regions, 1) * max(len(parameters.get("kind", ())), 1)
        return Sketch(f"each/{_MAKERS.get(wanted, 'FitsStamp')}", max(count, 1))
    container = _CONTAINERS.get(wanted, "folder" if "folder" in parameters else "zip")
    maker = "ArrowStamps" if container in ("arrow", "parquet") else _MAKERS.get(wanted, "FitsStamp")
    return Sketch(f"{container}/{maker}", max(1, sum(upload.size for upload in job.uploads) // _BYTES_A_ROW))


def asked(
    given: Sequence[Parameter],
    targets: tuple[bytes, str, str] | None,
    surveys: Mapping[str, Survey],
    authority: str,
    limits: Jobs,
    owner: str | None = None,
) -> Asked:
    """Read what a job asks for.

    Parameters
    ----------
    given
        Its parameters.
    targets
        Its list: bytes, Content-Type and file name.
    owner
        Whose folder FOLDER is in.

    Raises
    ------
    LakeError
        What is asked cannot be: a `BadRequest` of some kind, or a survey that is not here.
    """
    parameters = Parameters((one.id, one.value) for one in given if not one.by_reference)
    if targets is not None:
        return _of_list(parameters, targets, surveys, authority, limits, owner)
    if "upload" in parameters:
        raise BadParameter(
            "UPLOAD names no file of the request.", "Send UPLOAD=targets,param:list, and a part called list."
        )
    return _of_combinations(parameters, surveys, authority, limits)


# ---------------------------------------------------------------------- SODA's parameters


def _of_combinations(
    parameters: Parameters, surveys: Mapping[str, Survey], authority: str, limits: Jobs
) -> Asked:
    ids = [value.strip() for value in parameters.get("id", ()) if value.strip()]
    if not ids:
        raise BadParameter(
            "The job has neither an ID nor a list of targets.",
            f"Give ID=ivo://{authority}/SURVEY?ALERTID/KIND, or upload a list.",
        )
    regions: list[tuple[str, str] | None] = [
        (name, value) for name in REGIONS for value in parameters.get(name.lower(), ()) if value.strip()
    ] or [None]
    kinds: list[str | None] = [kind for kind in parameters.get("kind", ()) if kind.strip()] or [None]
    count = len(ids) * len(regions) * len(kinds)
    if count > limits.listed:
        raise BadParameter(
            f"The job has {count} combinations of ID, region and KIND; at most {limits.listed} are listed.",
            "Upload a list of targets: it may be longer.",
        )
    multiple = {"id", "kind", *(name.lower() for name in REGIONS)}
    common = {name: parameters.one(name) for name in parameters if name not in multiple}
    pairs = [(name, value) for name, value in common.items() if value is not None]
    for survey in surveys.values():  # what is wrong with every combination is the job's error
        product(Parameters(pairs), survey, None)
        break
    made = [
        _combination(Parameters(pairs), one, region, kind, surveys, authority)
        for one, region, kind in combinations_of(ids, regions, kinds)
    ]
    return Asked(StampWork.of_combinations(made), "each")


def _combination(
    common: Parameters,
    did: str,
    region: tuple[str, str] | None,
    kind: str | None,
    surveys: Mapping[str, Survey],
    authority: str,
) -> Combination | Refused:
    label = " ".join([did, *(region or ()), *([kind] if kind else [])])
    pairs = [(name, value) for name, values in common.items() for value in values]
    pairs.append(("id", did))
    if region is not None:
        pairs.append(region)
    if kind is not None:
        pairs.append(("kind", kind))
    try:
        wanted = plan(Parameters(pairs), surveys, authority)
    except LakeError as error:
        return Refused(error, clip(label, 200))
    question = wanted.question
    assert isinstance(question, ByAlert)
    order = Order(question.kinds, wanted.finish)
    return Combination(question.survey, question.alert_id, order, label)


# ---------------------------------------------------------------------- lists


def _of_list(
    parameters: Parameters,
    targets: tuple[bytes, str, str],
    surveys: Mapping[str, Survey],
    authority: str,
    limits: Jobs,
    owner: str | None,
) -> Asked:
    body, content_type, filename = targets
    if "id" in parameters:
        raise BadParameter("The job has an ID and a list of targets.", "Write the IDs into the list.")
    read = read_targets(
        body,
        surveys,
        content_type=content_type,
        filename=filename,
        survey=parameters.one("SURVEY"),
        parameters=(*_OF_ROWS, "RESPONSEFORMAT"),
        radius=parameters.number("RADIUS", NEAR, 0.0, 1.0, unit="degrees"),
        parse_did=lambda text: parse_did(text, authority, STAMP_KINDS),
        most=limits.targets,
    )
    wanted = (parameters.one("RESPONSEFORMAT") or "").lower()
    container: Container = _CONTAINERS.get(wanted, "zip")
    common = {
        name: value
        for name in parameters
        if name not in ("upload", "survey", "radius", "folder", "runid", "notify")
        and (value := parameters.one(name)) is not None
    }
    if container in ("arrow", "parquet"):
        common["responseformat"] = "arrow"
    elif wanted in _CONTAINERS:
        del common["responseformat"]
    folder = _folder(parameters, limits, owner)
    if folder is not None:
        if container in ("arrow", "parquet"):
            raise BadParameter(
                "FOLDER takes files, not a table.", f"Leave out RESPONSEFORMAT={clip(wanted)}."
            )
        container = "folder"
    work = _rows(read, common, surveys, "table" if container in ("arrow", "parquet") else "files")
    return Asked(work, container, folder)


def _rows(
    read: TargetList,
    common: Mapping[str, str],
    surveys: Mapping[str, Survey],
    form: Literal["files", "table"],
) -> StampWork:
    upper = {name.upper(): value for name, value in common.items()}

    def order(survey: str, own: Mapping[str, str]) -> Order:
        together = Parameters(overridden(upper, own).items())
        described = surveys[survey]
        kind = together.choice("KIND", STAMP_KINDS)
        made = product(together, described, kind)
        if form == "table" and not isinstance(made.finish, ArrowStamps):
            raise BadParameter(
                "A row asks for a file, and the job makes a table.", "Leave RESPONSEFORMAT out of the list."
            )
        return Order(made.kinds, made.finish)

    for survey in surveys:  # what is wrong with every row is the job's error
        order(survey, {})
        break
    return StampWork.of_list(read, order, form=form)


def _folder(parameters: Parameters, limits: Jobs, owner: str | None) -> ResultFolder | None:
    name = parameters.one("FOLDER")
    if name is None:
        return None
    if not limits.homes:
        raise BadParameter("This service writes to no folders of its users.", "Leave FOLDER out.")
    if owner is None:
        raise BadParameter("FOLDER is a folder of the user's, and nobody is logged in.", "Send a token.")
    return allowed_folder(name, [limits.homes.replace("{user}", owner)])


# ---------------------------------------------------------------------- the kind


class SodaKind:
    """Jobs at ``/soda/async``.

    Parameters
    ----------
    lake_url
        What workers open.
    surveys
        Those of the lake, by name.
    authority
        Ours, in identifiers.
    limits
        Settings of jobs.
    """

    name = "soda"

    def __init__(self, lake_url: str, surveys: Mapping[str, Survey], authority: str, limits: Jobs) -> None:
        self._lake_url = lake_url
        self._surveys = surveys
        self._authority = authority
        self._limits = limits

    def check(self, job: Job, results: ResultStore) -> SodaWork:
        """Read a job's parameters and its list; `BadJob` where they cannot be."""
        try:
            made = asked(
                job.parameters, list_of(job, results), self._surveys, self._authority, self._limits, job.owner
            )
        except Unavailable as error:
            raise WorkFailed(error.message, error.advice) from error
        except LakeError as error:
            raise BadJob(error.message, error.advice) from error
        return SodaWork(made, self._lake_url, self._limits.unit)


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
        return partial(run_here, self.lake_url, self.asked.folder)

    def plan(self, planning: Planning) -> Plan:
        """Ask the index where the stamps are, on the workers, and cut units of neighbours."""
        work = self.asked.work
        if len(work) <= min(self.unit, _LEAST_UNIT):
            return Plan([Unit(work, len(work))])
        with _told():
            resolved = planning.map(partial(resolve_here, self.lake_url), work.chunks(_CHUNK))
        # Some units for each place, so that the last to end leave none idle for long; few enough that what a unit
        # costs besides its targets (a task, a file) is small.
        each = min(self.unit, max(_LEAST_UNIT, math.ceil(len(work) / (_ROUNDS * planning.width))))
        return Plan([Unit(one, len(one)) for one in units(work, resolved, each)])

    def lost(self, unit: Unit, number: int, message: str) -> UnitRecord:
        """Let the manifest tell of a unit that failed for good."""
        report = _lost(unit, message)
        return UnitRecord(number, "", report.pack(), report.targets, report.targets)

    def finish(
        self, planning: Planning, plan: Plan, records: Iterator[UnitRecord], whole: bool
    ) -> Sequence[Result]:
        """Write manifests and locator, and list the results."""
        reports = {record.number: UnitReport.unpack(record.entries) for record in records}
        done = [reports[number] for number in sorted(reports)]
        if not whole:
            done += [
                lost(unit.spec, _ENDED) for number, unit in enumerate(plan.units) if number not in reports
            ]
        with _told():
            return _Finishing(self.asked, planning, done, whole).results()

    def error_document(self, error: Exception) -> Document | None:
        """Return None: SODA's errors are a sentence (SODA 1.0, 5.2)."""
        return None


@contextmanager
def _told() -> Iterator[None]:
    """Let what the archive or the results refuse be told as it is: no bug, and it may pass later."""
    try:
        yield
    except LakeError as error:
        raise WorkFailed(error.message, error.advice) from error


def _lost(unit: Unit, message: str) -> UnitReport:
    return lost(only_unit(unit.spec) if isinstance(unit.spec, StampWork) else unit.spec, message)


class _Finishing:
    """Makes the results of a job's reports."""

    def __init__(self, asked: Asked, planning: Planning, reports: Sequence[UnitReport], whole: bool) -> None:
        self._asked = asked
        self._planning = planning
        self._reports = reports
        self._whole = whole
        self._results = planning.results
        self._prefix = planning.job.id

    def results(self) -> list[Result]:
        container = self._asked.container
        table = container in ("arrow", "parquet")
        # Seen from the manifest, which is one of the job's results; those of a list are not listed there.
        urls = {"each": "./", "zip": "../files/", "folder": "../files/"}.get(container, "")
        manifest = manifest_table(
            self._reports, len(self._asked.work), urls=urls, container=_NAMES[container] if table else ""
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
        name = _NAMES[container]
        if container == "zip":
            pieces = zip_pieces(self._reports, written)
            return [*found, self._result(name, pieces)]
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
