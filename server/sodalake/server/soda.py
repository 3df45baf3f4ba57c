"""SODA 1.0, synchronous: one stamp, or an alert's three, cut, drawn or as they are.

``/soda/sync`` takes ID, one region (CIRCLE, POLYGON or POS) and, beyond the standard, KIND and the parameters
of a picture. BAND, TIME and POL are not offered: a stamp is one exposure in one band, so there is nothing to
cut along them, and what a service does not declare it ignores (SODA 1.0, 3.1; DALI 1.1, 3.1).

A request is turned into a question for the archive and a product to make of the answer, both plain values
that travel to a worker; nothing here reads a byte. `plan` is that step, without any HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sodalake.lake.alerts import ByAlert
from sodalake.lake.errors import DeadlineExceeded, NotInLake
from sodalake.lake.lanes import Finish
from sodalake.lake.survey import STAMP_KINDS, Survey
from sodalake.server.dali import Format, Parameters, clip, response_format
from sodalake.server.errors import BadParameter, MultiValuedParamNotSupported
from sodalake.server.negotiation import accepts_gzip
from sodalake.server.plans import Plan, alert_id, kinds_of, picture
from sodalake.server.stamps import StampHandler
from sodalake.server.urls import parse_did
from sodalake.server.vosi import InputParameter, Mode
from sodalake.sodacut import (
    ArrowStamps,
    FitsStamp,
    JsonArrays,
    Region,
    parse_circle,
    parse_polygon,
    parse_pos,
)

__all__ = ["FORMATS", "PARAMETERS", "SYNC", "SyncHandler", "Wanted", "plan", "product"]

FORMATS: Final = (
    Format("fits", ("application/fits", "image/fits")),
    Format("png", ("image/png",)),
    Format("json", ("application/json",)),
    Format("arrow", ("application/vnd.apache.arrow.stream",)),
)

PARAMETERS: Final = (
    InputParameter(
        "ID",
        "Publisher DID of a stamp, ivo://AUTHORITY/SURVEY?ALERTID/KIND; without /KIND, all its stamps.",
        ucd="meta.ref.url;meta.curation",
        required=True,
    ),
    InputParameter(
        "CIRCLE",
        "Cut to the bounding box of a circle: longitude, latitude, radius (ICRS). One region a request.",
        datatype="double",
        arraysize="3",
        xtype="circle",
        unit="deg",
        ucd="pos.outline;obs",
    ),
    InputParameter(
        "POLYGON",
        "Cut to the bounding box of a polygon: three or more pairs of longitude and latitude (ICRS).",
        datatype="double",
        xtype="polygon",
        unit="deg",
        ucd="pos.outline;obs",
    ),
    InputParameter(
        "POS",
        "Cut to the bounding box of CIRCLE lon lat r, RANGE lon1 lon2 lat1 lat2 or POLYGON lon lat … (ICRS).",
        ucd="pos.outline;obs",
    ),
    InputParameter("KIND", "science, template or difference, where ID does not say.", standard=False),
    InputParameter("RESPONSEFORMAT", "fits (default), png, json or arrow, or their MIME types."),
    InputParameter("STRETCH", "For png: linear, sqrt, log, asinh, sigmoid or power.", standard=False),
    InputParameter(
        "PMIN", "For png: percentile of the lower cut.", datatype="double", arraysize="", standard=False
    ),
    InputParameter(
        "PMAX", "For png: percentile of the upper cut.", datatype="double", arraysize="", standard=False
    ),
    InputParameter("COLORMAP", "For png: name of a matplotlib colour map.", standard=False),
    InputParameter(
        "SCALE", "For png: screen pixels a pixel.", datatype="double", arraysize="", standard=False
    ),
)

SYNC: Final = Mode(
    "ivo://ivoa.net/std/SODA#sync-1.0",
    "/soda/sync",
    "Stamps of alerts: as stored, cut to a region, as a picture, as arrays.",
    ("GET", "POST"),
    [form.mimes[0] for form in FORMATS],
    PARAMETERS,
)

_ASYNC: Final = "Send it as a job, to /soda/async: it takes several values, lists, and its time."
_REGIONS: Final = (("CIRCLE", parse_circle), ("POLYGON", parse_polygon), ("POS", parse_pos))


def plan(
    parameters: Parameters, surveys: Mapping[str, Survey], authority: str, *, accept_gzip: bool = False
) -> Plan:
    """Read a request to ``/soda/sync``.

    Parameters
    ----------
    parameters
        The request's.
    surveys
        Those of the lake, by name.
    authority
        Ours, in identifiers.
    accept_gzip
        Whether the client takes gzip for what is stored as gzip.

    Raises
    ------
    BadParameter, MultiValuedParamNotSupported, BadRegion, BadPicture
        What is asked cannot be.
    NotInLake
        Another publisher's identifier, or a survey or a kind that is not here.
    """
    did = parse_did(
        parameters.required("ID", f"It looks like ivo://{authority}/SURVEY?ALERTID/KIND."),
        authority,
        STAMP_KINDS,
    )
    survey = surveys.get(did.survey)
    if survey is None:
        raise NotInLake(
            f"There is no survey {clip(did.survey)!r} here.", f"Surveys: {', '.join(surveys) or 'none yet'}."
        )
    kind = parameters.choice("KIND", STAMP_KINDS, did.kind)
    if did.kind not in (None, kind):
        raise BadParameter(
            f"ID names the {did.kind} stamp and KIND the {kind} one.", "Leave out one of them."
        )
    wanted = product(parameters, survey, kind, accept_gzip=accept_gzip)
    question = ByAlert(survey.name, alert_id(survey, did.alert_id), wanted.kinds)
    return Plan(question, wanted.finish, wanted.content_type)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be made of an alert: the stamps to read, what makes the product, and its Content-Type."""

    kinds: tuple[str, ...]
    finish: Finish
    content_type: str


def product(parameters: Parameters, survey: Survey, kind: str | None, *, accept_gzip: bool = False) -> Wanted:
    """Read what a request wants of an alert, whichever it is: kinds, region, format, looks.

    Raises as `plan`.
    """
    kinds = kinds_of(survey, kind)
    region = _region(parameters)
    form, content_type = response_format(parameters.one("RESPONSEFORMAT"), FORMATS)
    finish: Finish
    if form.name == "png":
        finish = picture(parameters, kind, region)
    elif form.name == "json":
        finish = JsonArrays(kinds, region=region)
    elif form.name == "arrow":
        finish = ArrowStamps(kinds, region=region)
    else:
        finish = FitsStamp(kind, region, accept_gzip)
    return Wanted(kinds, finish, content_type)


def _region(parameters: Parameters) -> Region | None:
    given = [(name, value, parse) for name, parse in _REGIONS if (value := parameters.one(name)) is not None]
    if len(given) > 1:
        # SODA 1.0, 3.1: several regions are several values of one filter, whatever their names.
        raise MultiValuedParamNotSupported(
            f"{' and '.join(name for name, _, _ in given)} are several regions; this service cuts one.",
            "Send one request a region.",
        )
    return given[0][2](given[0][1]) if given else None


class SyncHandler(StampHandler):
    """``/soda/sync``, by GET and POST."""

    methods = ("GET", "HEAD", "POST", "OPTIONS")

    async def get(self) -> None:
        """Answer with the stamp."""
        parameters = Parameters.of(self.request)
        self.run_id = parameters.run_id()
        if "upload" in parameters or self.request.files:
            raise BadParameter("A list of targets is not answered at once.", _ASYNC)
        try:
            wanted = plan(
                parameters,
                self.service.lake.surveys,
                self.service.settings.authority,
                accept_gzip=accepts_gzip(self.request.headers.get("Accept-Encoding", "")),
            )
        except MultiValuedParamNotSupported as error:
            raise MultiValuedParamNotSupported(error.message, _ASYNC) from error
        try:
            await self.answer(wanted)
        except DeadlineExceeded as error:
            raise DeadlineExceeded(error.message, f"Try again in a moment. {_ASYNC}") from error

    head = get
    post = get
