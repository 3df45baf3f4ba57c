"""The cutout API that Fink's users know: ``/api/v1/cutouts``, and all epochs of an object at once.

Two services answered at this path, and a request says which it means:

- with `hdfsPath`, the *internal* one: the stamps of an alert in one archive file, as arrays or FITS;
- without, the *public* one: the latest alert of an object (or the one that `candid` names), as a picture,
  FITS or arrays;
- with ``all=true``, which is ours: every epoch of an object, newest first, as a stream.

Names, defaults and the shape of the answers are those services' own. Errors are JSON with a 4xx, where they
crashed. ``GET`` without parameters describes the parameters. ``/SURVEY/api/v1/cutouts`` answers for another
survey than the default one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sodalake.lake.alerts import ByAlert, InFile, LatestOf
from sodalake.lake.errors import NotInLake
from sodalake.lake.lanes import Finish
from sodalake.lake.survey import STAMP_KINDS, Survey
from sodalake.server.dali import Parameters, clip
from sodalake.server.epochs import EpochsPlan, EpochStream, epoch_writer
from sodalake.server.errors import BadParameter, Fault, MultiValuedParamNotSupported, as_json
from sodalake.server.ownership import OfObject
from sodalake.server.plans import LASTING, PASSING, Plan, alert_id, kinds_of, object_id, picture
from sodalake.server.stamps import StampHandler
from sodalake.sodacut import FitsStamp, JsonArrays

__all__ = ["CutoutsHandler", "describe", "plan"]

KINDS: Final = (*(kind.capitalize() for kind in STAMP_KINDS), "All")
PUBLIC_FORMATS: Final = ("PNG", "FITS", "array")
INTERNAL_FORMATS: Final = ("array", "FITS")
EPOCH_FORMATS: Final = ("JSON", "FITS", "Arrow", "zip")


def plan(parameters: Parameters, survey: Survey) -> Plan | EpochsPlan:
    """Read a request.

    Raises
    ------
    BadParameter, MultiValuedParamNotSupported, BadPicture
        What is asked cannot be.
    NotInLake
        A kind the survey does not have.
    """
    if "hdfspath" in parameters:
        return _internal(parameters, survey)
    if parameters.flag("all"):
        return _epochs(parameters, survey)
    return _public(parameters, survey)


def _internal(parameters: Parameters, survey: Survey) -> Plan:
    path = parameters.required("hdfsPath", "It is the file's path in the archive, with or without hdfs://.")
    if "\0" in path or len(path) > 2048:
        raise BadParameter(f"hdfsPath={clip(path)!r} is no path.", "Send the path of a file of the archive.")
    kind = _kind(parameters)
    form = parameters.choice("return_type", INTERNAL_FORMATS, "array")
    alert, owner = _ids(parameters, survey)
    finish: Finish
    if form == "FITS":
        if kind is None:
            raise BadParameter(
                "return_type=FITS gives one stamp, and kind=All is three.", "Ask for each kind."
            )
        finish = FitsStamp(kind)
    else:
        finish = JsonArrays(kinds_of(survey, kind), layout="list")
    return Plan(InFile(survey.name, path, owner, alert, kinds_of(survey, kind)), finish, cache=PASSING)


def _public(parameters: Parameters, survey: Survey) -> Plan:
    alert, owner = _ids(parameters, survey)
    kind = _kind(parameters)
    form = parameters.choice("output-format", PUBLIC_FORMATS, "PNG")
    finish: Finish
    if form == "array":
        finish = JsonArrays(kinds_of(survey, kind))
    elif kind is None:
        raise BadParameter(
            f"output-format={form} gives one stamp, and kind=All is three.",
            "Ask for each kind, or for output-format=array; /soda/sync gives all three in one file.",
        )
    else:
        finish = FitsStamp(kind) if form == "FITS" else picture(parameters, kind)
    # The name Fink gives: the id that was asked for, and the kind.
    suffix = {"PNG": "png", "FITS": "fits", "array": "json"}[str(form)]
    asked = "".join(c if c.isascii() and (c.isalnum() or c in "+.-") else "-" for c in owner or alert or "")
    name = f"{asked}_{(kind or 'all').capitalize()}.{suffix}"
    kinds = kinds_of(survey, kind)
    if alert is None:
        assert owner is not None
        return Plan(
            LatestOf(survey.name, owner, kinds),
            finish,
            cache=PASSING,
            attachment=form != "array",
            filename=name,
        )
    if owner is not None:
        finish = OfObject(owner, finish)
    return Plan(
        ByAlert(survey.name, alert, kinds), finish, cache=LASTING, attachment=form != "array", filename=name
    )


def _epochs(parameters: Parameters, survey: Survey) -> EpochsPlan:
    alert, owner = _ids(parameters, survey)
    if owner is None or alert is not None:
        raise BadParameter(
            f"all=true asks for the epochs of an object, by {survey.ids.object_name} alone.",
            f"Leave out {survey.ids.alert_name}.",
        )
    kind = _kind(parameters, "All")
    # array is this API's word for what the stream writes as JSON.
    form = str(parameters.choice("output-format", (*EPOCH_FORMATS, "array"), "JSON")).lower()
    kinds = kinds_of(survey, kind)
    return EpochsPlan(survey.name, owner, kinds, epoch_writer("json" if form == "array" else form, kinds))


def _ids(parameters: Parameters, survey: Survey) -> tuple[str | None, str | None]:
    """Return the ids of the alert and of the object that are named; at least one is."""
    ids = survey.ids
    others = [other.name for other in ids.object_otherwise if other.name]
    alert = _one_of(parameters, (ids.alert_name, "candid"))
    owner = _one_of(parameters, (ids.object_name, *others, "objectId"))
    if alert is None and owner is None:
        raise BadParameter(
            f"A value for {ids.object_name} or {ids.alert_name} is required.",
            "GET this address without parameters for their description.",
        )
    return (
        None if alert is None else alert_id(survey, alert),
        None if owner is None else object_id(survey, owner),
    )


def _one_of(parameters: Parameters, names: Sequence[str]) -> str | None:
    given = {name: value for name in dict.fromkeys(names) if (value := parameters.one(name)) is not None}
    if len(given) > 1:
        raise MultiValuedParamNotSupported(f"{' and '.join(given)} name the same thing.", "Send one of them.")
    return next(iter(given.values()), None)


def _kind(parameters: Parameters, default: str | None = None) -> str | None:
    """Return the kind in small letters, None for all of them."""
    kind = parameters.choice("kind", KINDS, default)
    if kind is None:
        raise BadParameter("A value for kind is required.", f"It is one of {', '.join(KINDS)}.")
    return None if kind == "All" else kind.lower()


def describe(survey: Survey) -> dict[str, object]:
    """Return the description that GET without parameters gives: Fink's shape, our parameters."""
    ids = survey.ids

    def one(name: str, required: bool, description: str) -> dict[str, object]:
        return {"name": name, "required": required, "description": description}

    return {
        "survey": survey.name,
        "args": [
            one(ids.object_name, True, f"Id of the object; or give {ids.alert_name}."),
            one(
                "kind",
                True,
                "Science, Template or Difference; All with output-format=array, hdfsPath or all.",
            ),
            one(
                "output-format",
                False,
                "PNG (default), FITS or array; with all=true JSON, FITS, Arrow or zip.",
            ),
            one(
                ids.alert_name, False, "Id of the alert, all its digits. Default: the object's latest alert."
            ),
            one("stretch", False, "sigmoid (default), linear, sqrt, power, log or asinh."),
            one("colormap", False, "Name of a matplotlib colour map. Default: grayscale."),
            one("pmin", False, "Percentile of the lower cut. Default: 0.5. No effect on sigmoid."),
            one("pmax", False, "Percentile of the upper cut. Default: 99.5. No effect on sigmoid."),
            one("convolution_kernel", False, "gauss or box. Default: none."),
            one("all", False, "true: every epoch of the object, newest first, as one stream."),
            one(
                "hdfsPath",
                False,
                "A file of the archive the alert must be in; then return_type says the format.",
            ),
            one("return_type", False, "With hdfsPath: array (default) or FITS."),
        ],
    }


class CutoutsHandler(StampHandler, EpochStream):
    """``/api/v1/cutouts`` and ``/SURVEY/api/v1/cutouts``, by GET and POST."""

    methods = ("GET", "HEAD", "POST", "OPTIONS")
    negotiates = False

    def write_fault(self, fault: Fault) -> tuple[str, bytes]:
        """Write an error as JSON."""
        return as_json(fault)

    async def get(self, name: str = "") -> None:
        """Describe the parameters where there are none, else answer."""
        survey = self._survey(name)
        parameters = Parameters.of_rest(self.request)
        if not parameters and self.request.method != "POST":
            self.set_header("Cache-Control", "no-cache")
            self.finish(describe(survey))
            return
        what = plan(parameters, survey)
        if isinstance(what, EpochsPlan):
            await self.stream(what)
        else:
            await self.answer(what)

    head = get
    post = get

    def _survey(self, name: str) -> Survey:
        lake = self.service.lake
        survey = lake.surveys.get(name) if name else self.service.default_survey
        if survey is None:
            known = ", ".join(lake.surveys) or "none yet"
            raise NotInLake(f"There is no survey {clip(name)!r} here.", f"Surveys: {known}.")
        return survey
