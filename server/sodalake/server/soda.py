"""SODA 1.0, synchronous: one stamp, an alert's three, or a survey image; cut, drawn or as they are.

``/soda/sync`` takes ID, one region (CIRCLE, POLYGON, POS or MOC), BAND, TIME, POL and, beyond the standard, KIND,
PLANES and the parameters of a picture. A stamp is one exposure in one band, as an image is: there is nothing to cut
along them, but a BAND or a TIME that it is not of, and any POL, leave nothing of it (204, SODA 1.0, 5.1). What images
take is read by `imagesoda`.

A request is turned into a question for the archive and a product to make of the answer, both plain values
that travel to a worker; nothing here reads a byte. `plan` is that step, without any HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sodalake.lake.alerts import ByAlert
from sodalake.lake.errors import DeadlineExceeded, NotInLake
from sodalake.lake.lanes import Finish
from sodalake.lake.survey import STAMP_KINDS, Survey
from sodalake.server.dali import Format, Parameters, clip, response_format
from sodalake.server.errors import BadParameter, MultiValuedParamNotSupported
from sodalake.server.imageparameters import interval, polarization
from sodalake.server.images import ImageHandler
from sodalake.server.imagesoda import IMAGE_FORMATS, image_request, region
from sodalake.server.negotiation import accepts_gzip
from sodalake.server.plans import Plan, alert_id, kinds_of, picture
from sodalake.server.stamps import StampHandler
from sodalake.server.urls import Did, parse_did
from sodalake.server.vosi import InputParameter, Mode
from sodalake.sodacut import ArrowStamps, FitsStamp, JsonArrays, NoOverlap
from sodalake.sodacut.filters import StampFilters, begin_filters

__all__ = ["FORMATS", "PARAMETERS", "SYNC", "SyncHandler", "Wanted", "plan", "product", "stamp_filters"]

FORMATS: Final = (
    Format("fits", ("application/fits", "image/fits")),
    Format("png", ("image/png",)),
    Format("json", ("application/json",)),
    Format("arrow", ("application/vnd.apache.arrow.stream",)),
)

PARAMETERS: Final = (
    InputParameter(
        "ID",
        "Publisher DID of an image, ivo://AUTHORITY/SURVEY?IMAGEID, or of a stamp, ivo://AUTHORITY/SURVEY?ALERTID/KIND;"
        " without /KIND, all stamps.",
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
    InputParameter(
        "BAND",
        "Wavelengths that are wanted; of an image in another band there is nothing.",
        datatype="double",
        arraysize="2",
        xtype="interval",
        unit="m",
        ucd="em.wl;stat.interval",
    ),
    InputParameter(
        "TIME",
        "Times that are wanted (MJD, UTC); of an image of another time there is nothing.",
        datatype="double",
        arraysize="2",
        xtype="interval",
        unit="d",
        ucd="time.interval;obs.exposure",
    ),
    InputParameter(
        "POL",
        "Polarization states that are wanted; images have none, so that there is nothing.",
        ucd="meta.code;phys.polarization",
    ),
    InputParameter(
        "MOC", "Cut to the bounding box of what a coverage map (ASCII) has of the image.", xtype="moc"
    ),
    InputParameter("KIND", "science, template or difference, where ID does not say.", standard=False),
    InputParameter(
        "RESPONSEFORMAT", "fits (default), png, jpeg (images), json, arrow (stamps), or their MIME types."
    ),
    InputParameter(
        "PLANES",
        "Of an image: what stands beside it, such as weight,mask, as extensions of FITS.",
        standard=False,
    ),
    InputParameter("STRETCH", "For pictures: linear, sqrt, log, asinh, sigmoid or power.", standard=False),
    InputParameter(
        "PMIN", "For pictures: percentile of the lower cut.", datatype="double", arraysize="", standard=False
    ),
    InputParameter(
        "PMAX", "For pictures: percentile of the upper cut.", datatype="double", arraysize="", standard=False
    ),
    InputParameter("COLORMAP", "For pictures: name of a matplotlib colour map.", standard=False),
    InputParameter(
        "SCALE",
        "For pictures: screen pixels a pixel. Of images also in FITS, up to 1: pixels are averaged.",
        datatype="double",
        arraysize="",
        standard=False,
    ),
)

SYNC: Final = Mode(
    "ivo://ivoa.net/std/SODA#sync-1.0",
    "/soda/sync",
    "Survey images, and stamps of alerts: as stored, cut to a region, as a picture, as arrays.",
    ("GET", "POST"),
    list(dict.fromkeys(form.mimes[0] for form in (*FORMATS, *IMAGE_FORMATS))),
    PARAMETERS,
)

_ASYNC: Final = "Send it as a job, to /soda/async: it takes several values, lists, and its time."


def plan(
    parameters: Parameters,
    surveys: Mapping[str, Survey],
    authority: str,
    *,
    accept_gzip: bool = False,
    others: Sequence[str] = (),
) -> Plan:
    """Read a request to ``/soda/sync`` for stamps; BAND, TIME and POL are read by `stamp_filters`.

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
    others
        Names of surveys that are here too, but have no alerts.

    Raises
    ------
    BadParameter, MultiValuedParamNotSupported, BadRegion, BadPicture
        What is asked cannot be.
    NotInLake
        Another publisher's identifier, or a survey or a kind that is not here.
    """
    did = _did(parameters, authority)
    survey = surveys.get(did.survey)
    if survey is None:
        raise NotInLake(
            f"There is no survey {clip(did.survey)!r} here.",
            f"Surveys: {', '.join((*surveys, *others)) or 'none yet'}.",
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


def product(
    parameters: Parameters,
    survey: Survey,
    kind: str | None,
    *,
    accept_gzip: bool = False,
) -> Wanted:
    """Read what a request wants of an alert, whichever it is: kinds, region, format, looks.

    Parameters and errors are those of `plan`.
    """
    kinds = kinds_of(survey, kind)
    cut = region(parameters)
    form, content_type = response_format(parameters.one("RESPONSEFORMAT"), FORMATS)
    finish: Finish
    if form.name == "png":
        finish = picture(parameters, kind, cut)
    elif form.name == "json":
        finish = JsonArrays(kinds, region=cut)
    elif form.name == "arrow":
        finish = ArrowStamps(kinds, region=cut)
    else:
        finish = FitsStamp(kind, cut, accept_gzip)
    return Wanted(kinds, finish, content_type)


def stamp_filters(parameters: Parameters, question: ByAlert) -> StampFilters | None:
    """Read BAND, TIME and POL; None where there is none of them."""
    filters = StampFilters(
        question.survey,
        question.alert_id,
        interval(parameters, "BAND", "metres"),
        interval(parameters, "TIME", "days (MJD)"),
        polarization(parameters),
    )
    return filters if filters.band or filters.time or filters.pol else None


def _did(parameters: Parameters, authority: str) -> Did:
    form = f"It looks like ivo://{authority}/SURVEY?IMAGEID, or ivo://{authority}/SURVEY?ALERTID/KIND."
    return parse_did(parameters.required("ID", form), authority, STAMP_KINDS)


class SyncHandler(StampHandler, ImageHandler):
    """``/soda/sync``, by GET and POST."""

    methods = ("GET", "HEAD", "POST", "OPTIONS")

    async def get(self) -> None:
        """Answer with the stamp, or the image."""
        parameters = Parameters.of(self.request)
        self.run_id = parameters.run_id()
        if "upload" in parameters or self.request.files:
            raise BadParameter("A list of targets is not answered at once.", _ASYNC)
        try:
            did = _did(parameters, self.service.settings.authority)
            await (
                self._image(did, parameters)
                if did.survey in self.service.lake.image_surveys
                else self._stamp(parameters)
            )
        except MultiValuedParamNotSupported as error:
            raise MultiValuedParamNotSupported(error.message, _ASYNC) from error
        except DeadlineExceeded as error:
            raise DeadlineExceeded(error.message, f"Try again in a moment. {_ASYNC}") from error

    async def _image(self, did: Did, parameters: Parameters) -> None:
        survey = self.service.lake.image_survey(did.survey)
        if did.kind is not None or parameters.one("KIND") is not None:
            raise BadParameter(
                f"{survey.name} has images, which are of no kind.",
                "Leave out KIND, and /KIND at the end of ID.",
            )
        request, content_type = image_request(parameters, survey, did.alert_id)
        await self.send(request, content_type)

    async def _stamp(self, parameters: Parameters) -> None:
        lake = self.service.lake
        wanted = plan(
            parameters,
            lake.surveys,
            self.service.settings.authority,
            accept_gzip=accepts_gzip(self.request.headers.get("Accept-Encoding", "")),
            others=tuple(lake.image_surveys),
        )
        assert isinstance(wanted.question, ByAlert)
        filters = stamp_filters(parameters, wanted.question)
        if filters is not None:
            try:
                await self.service.lane.open(
                    begin_filters, filters, deadline=self.service.settings.deadlines.request
                )
            except NoOverlap:
                self.send_nothing()
                return
        await self.answer(wanted)

    head = get
    post = get
