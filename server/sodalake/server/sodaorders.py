"""SODA, asynchronous: what the parameters and the list of a job ask for.

A job has either SODA's own parameters, each of which may come several times, and gets one result for every
combination of ID, region and KIND (SODA 1.0, section 6); or it has a list of targets, and gets a manifest and one
container: a zip, a table of stamps (Arrow or Parquet), or a folder of the user's own. Everything else is as in
`/soda/sync`, whose parameters and formats these are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product as combinations_of
from typing import Final, Literal

from sodalake.lake.alerts import ByAlert
from sodalake.lake.errors import LakeError
from sodalake.lake.results import ResultFolder
from sodalake.lake.survey import STAMP_KINDS, Survey
from sodalake.server.dali import Parameters, clip
from sodalake.server.errors import BadParameter
from sodalake.server.forecasts import Sketch
from sodalake.server.sections import Jobs
from sodalake.server.soda import PARAMETERS, SYNC, plan, product
from sodalake.server.urls import parse_did
from sodalake.server.vosi import InputParameter, Mode
from sodalake.sodacut import ArrowStamps
from sodalake.sodacut.jobs import (
    PARQUET,
    Combination,
    Order,
    StampWork,
    TargetList,
    allowed_folder,
    read_targets,
)
from sodalake.sodacut.jobs.targets import NEAR, REGIONS, overridden
from sodalake.sodacut.jobs.work import Refused
from sodalake.uws.jobs import Job, Parameter
from sodalake.uws.kinds import ResultStore

__all__ = ["ASYNC", "Asked", "Container", "asked", "list_of", "sketch"]

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

_OF_ROWS: Final = tuple(one.name for one in PARAMETERS if one.name not in ("ID", "RESPONSEFORMAT"))
_BYTES_A_ROW: Final = 24  # of a list with an id of its own and an alert's
_MAKERS: Final = {
    "png": "Picture",
    "image/png": "Picture",
    "json": "JsonArrays",
    "application/json": "JsonArrays",
}


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
