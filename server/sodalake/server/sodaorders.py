"""SODA, asynchronous: what the parameters and the list of a job ask for.

A job has either SODA's own parameters, each of which may come several times, and gets one result for every
combination of them (SODA 1.0, section 6); or it has a list of targets, and gets a manifest and one container: a zip, a
table of stamps (Arrow or Parquet), or a folder of the user's own. Everything else is as in `/soda/sync`, whose
parameters and formats these are.

A job is of alerts (`stamporders`) or of images (`imageorders`); which, its identifiers and surveys say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from sodalake.lake.errors import NotInLake
from sodalake.lake.images.imagesurvey import ImageSurvey
from sodalake.lake.results import ResultFolder
from sodalake.lake.survey import Survey
from sodalake.server.dali import Parameters, clip
from sodalake.server.errors import BadParameter
from sodalake.server.forecasts import Sketch
from sodalake.server.imageorders import image_combinations, image_rows
from sodalake.server.sections import Images, Jobs
from sodalake.server.soda import PARAMETERS, SYNC
from sodalake.server.stamporders import stamp_combinations, stamp_rows
from sodalake.server.vosi import InputParameter, Mode
from sodalake.sodacut.errors import BadTargets
from sodalake.sodacut.images.jobs.steps import ImageSteps
from sodalake.sodacut.images.jobs.work import ImageWork
from sodalake.sodacut.images.requests import Limits
from sodalake.sodacut.jobs import PARQUET, allowed_folder
from sodalake.sodacut.jobs.columns import did_column
from sodalake.sodacut.jobs.lists import TextTable, read_list
from sodalake.sodacut.jobs.steps import StampSteps, Steps, WorkOf
from sodalake.sodacut.jobs.targets import REGIONS
from sodalake.uws.jobs import Job, Parameter
from sodalake.uws.kinds import ResultStore

__all__ = ["ASYNC", "Asked", "Container", "Holdings", "asked", "list_of", "sketch"]

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
    "Cutouts of many images, or stamps of many alerts, as a job: ID, regions, BAND, TIME and KIND may come several"
    " times, or a list is uploaded.",
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
            "SIZE",
            "Of a list of places: side of the square to cut from images, as 0.05 (degrees), 3arcmin or 100px.",
            standard=False,
        ),
        InputParameter(
            "BANDS", "Of a list of places: which, as gri; of a colour picture red first.", standard=False
        ),
        InputParameter(
            "ALGORITHM", "Of a list of places: single (default), coadd, nearest or median.", standard=False
        ),
        InputParameter("COLLECTION", "Of a list of places: only images of this collection.", standard=False),
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

_BYTES_A_ROW: Final = 24  # of a list with an id of its own and an alert's
_MAKERS: Final = {
    "png": "Picture",
    "image/png": "Picture",
    "json": "JsonArrays",
    "application/json": "JsonArrays",
}


_DID: Final = re.compile(r"ivo://[^/?#]*/([^?#]*)\?.*", re.I)
_OF_THE_JOB: Final = ("upload", "survey", "folder", "runid", "notify")


@dataclass(frozen=True, slots=True)
class Holdings:
    """What jobs can be about.

    Attributes
    ----------
    alerts, images
        The surveys of the lake, by name.
    authority
        Ours, in identifiers.
    """

    alerts: Mapping[str, Survey] = field(default_factory=dict)
    images: Mapping[str, ImageSurvey] = field(default_factory=dict)
    authority: str = ""

    def is_images(self, names: Iterable[str], what: str) -> bool | None:
        """Say whether surveys are of images, or of alerts; None where none of them is known.

        Raises
        ------
        BadTargets
            Some are and some are not; `what` has them.
        """
        found = {name: name in self.images for name in names if name in self.images or name in self.alerts}
        if len(set(found.values())) > 1:
            alerts, images = ([name for name, one in found.items() if one is of] for of in (False, True))
            raise BadTargets(
                f"{what} is of alerts ({', '.join(alerts)}) and of images ({', '.join(images)}).",
                "Send one job for each of the two.",
            )
        return next(iter(found.values()), None)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a job asks for.

    Attributes
    ----------
    steps
        How it is done.
    folder
        Where results are also written, file by file.
    """

    work: WorkOf
    steps: Steps
    container: Container
    folder: ResultFolder | None = None

    @property
    def shape(self) -> str:
        """What the work is like, for estimates: container and format."""
        return f"{self.container}/{self.work.shape}"

    def guess(self) -> tuple[int, float] | tuple[None, None]:
        """Return bytes and seconds, for who has never seen such work; None of stamps, which are all of a size."""
        return self.work.guess() if isinstance(self.work, ImageWork) else (None, None)


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


def sketch(job: Job, holdings: Holdings = Holdings()) -> Sketch:
    """Say what a job is like, as far as can be told without reading its list."""
    parameters = Parameters((one.id, one.value) for one in job.parameters if not one.by_reference)
    wanted = (next(iter(parameters.get("responseformat", ())), "") or "fits").strip().lower()
    ids = parameters.get("id", ())
    surveys = [value.strip().lower() for value in parameters.get("survey", ())]
    is_images = any(name in holdings.images for name in (*surveys, *filter(None, map(survey_of_did, ids))))
    maker = "image" if is_images else _MAKERS.get(wanted, "FitsStamp")
    if not job.uploads:
        regions = sum(len(parameters.get(name.lower(), ())) for name in REGIONS)
        count = len(ids) * max(regions, 1)
        for name in ("band", "time", "kind"):
            count *= max(len(parameters.get(name, ())), 1)
        return Sketch(f"each/{maker}", max(count, 1))
    container = _CONTAINERS.get(wanted, "folder" if "folder" in parameters else "zip")
    if container in ("arrow", "parquet"):
        maker = "ArrowStamps"
    return Sketch(f"{container}/{maker}", max(1, sum(upload.size for upload in job.uploads) // _BYTES_A_ROW))


def asked(
    given: Sequence[Parameter],
    targets: tuple[bytes, str, str] | None,
    holdings: Holdings,
    limits: Jobs,
    images: Images,
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
        return _of_list(parameters, targets, holdings, limits, images, owner)
    if "upload" in parameters:
        raise BadParameter(
            "UPLOAD names no file of the request.", "Send UPLOAD=targets,param:list, and a part called list."
        )
    return _of_combinations(parameters, holdings, limits, images)


def _steps(images: Images) -> Steps:
    return ImageSteps(Limits(pixels=images.job_pixels, side=images.largest_side))


def _of_combinations(parameters: Parameters, holdings: Holdings, limits: Jobs, images: Images) -> Asked:
    ids = [value.strip() for value in parameters.get("id", ()) if value.strip()]
    if not ids:
        raise BadParameter(
            "The job has neither an ID nor a list of targets.",
            f"Give ID=ivo://{holdings.authority}/SURVEY?ALERTID/KIND or ivo://{holdings.authority}/SURVEY?IMAGEID, "
            "or upload a list.",
        )
    if holdings.is_images((name for one in ids if (name := survey_of_did(one))), "The job"):
        work = image_combinations(parameters, ids, holdings.images, holdings.authority, limits.listed)
        return Asked(work, _steps(images), "each")
    stamps = stamp_combinations(parameters, ids, holdings.alerts, holdings.authority, limits.listed)
    return Asked(stamps, StampSteps(), "each")


def _of_list(
    parameters: Parameters,
    targets: tuple[bytes, str, str],
    holdings: Holdings,
    limits: Jobs,
    images: Images,
    owner: str | None,
) -> Asked:
    body, content_type, filename = targets
    if "id" in parameters:
        raise BadParameter("The job has an ID and a list of targets.", "Write the IDs into the list.")
    table = read_list(body, content_type, filename, most=limits.targets)
    is_images = _is_of_images(table, parameters, holdings)
    wanted = (parameters.one("RESPONSEFORMAT") or "").lower()
    container: Container = _CONTAINERS.get(wanted, "zip")
    common = {
        name: value
        for name in parameters
        if name not in _OF_THE_JOB and (value := parameters.one(name)) is not None
    }
    is_table = container in ("arrow", "parquet")
    if is_table and is_images:
        raise BadParameter(
            f"RESPONSEFORMAT={clip(wanted)} makes a table of stamps; cutouts of images are files.",
            "Take zip, or the format of the files.",
        )
    if is_table:
        common["responseformat"] = "arrow"
    elif wanted in _CONTAINERS:
        del common["responseformat"]
    folder = _folder(parameters, limits, owner)
    if folder is not None:
        if is_table:
            raise BadParameter(
                "FOLDER takes files, not a table.", f"Leave out RESPONSEFORMAT={clip(wanted)}."
            )
        container = "folder"
    if is_images:
        rows = image_rows(table, parameters, common, holdings.images, holdings.authority)
        return Asked(rows, _steps(images), container, folder)
    form: Literal["files", "table"] = "table" if is_table else "files"
    stamps = stamp_rows(table, parameters, common, holdings.alerts, holdings.authority, form)
    return Asked(stamps, StampSteps(), container, folder)


def _is_of_images(table: TextTable, parameters: Parameters, holdings: Holdings) -> bool:
    """Say whether a list is of images.

    Raises
    ------
    BadTargets
        It is of both, or nothing says of what.
    NotInLake
        SURVEY is not here.
    """
    names = {value.lower() for value in table.columns.get("survey", ()) if value}
    if (column := did_column(table)) is not None:
        names |= {name for value in table.columns[column] if value and (name := survey_of_did(value))}
    given = parameters.one("SURVEY")
    known = [*holdings.alerts, *holdings.images]
    if given is not None:
        if given not in known:
            raise NotInLake(
                f"There is no survey {clip(given)!r} here.", f"Surveys: {', '.join(known) or 'none yet'}."
            )
        names.add(given)
    found = holdings.is_images(sorted(names), "The list")
    if found is not None or not holdings.images:
        return bool(found)
    alerts = {one.ids.alert_name.lower() for one in holdings.alerts.values()} | {"alertid", "alert_id"}
    if alerts & set(table.columns):
        return False
    if holdings.alerts:
        raise BadTargets(
            "Nothing says of which survey the targets are.",
            f"Give SURVEY, or a column survey. Of alerts: {', '.join(holdings.alerts)}; "
            f"of images: {', '.join(holdings.images)}.",
        )
    return True


def _folder(parameters: Parameters, limits: Jobs, owner: str | None) -> ResultFolder | None:
    name = parameters.one("FOLDER")
    if name is None:
        return None
    if not limits.homes:
        raise BadParameter("This service writes to no folders of its users.", "Leave FOLDER out.")
    if owner is None:
        raise BadParameter("FOLDER is a folder of the user's, and nobody is logged in.", "Send a token.")
    return allowed_folder(name, [limits.homes.replace("{user}", owner)])


def survey_of_did(text: str) -> str | None:
    """Return the name of the survey in what looks like a publisher DID; whose, and of what, is another question."""
    match = _DID.fullmatch(text.strip())
    return match[1].rstrip("/").lower() if match else None
