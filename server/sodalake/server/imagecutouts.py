"""Cuts by position: ``/api/v1/images/cutout``, for who has a place and a size and no identifier.

The parameters are those that cutout services have: where (ra, dec, size), of what (survey, collection, bands), how
several images become one (algorithm, method, match, grid), and what is made of it. ``/api/v1/images/estimate`` takes
the same and says what it would cost. Names are read in any case of letters, by GET and POST, as a form or as JSON;
errors are JSON.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final
from urllib.parse import urlencode

from sodalake.lake.errors import NotInLake
from sodalake.lake.images.imagesurvey import ImageSurvey
from sodalake.server.dali import Parameters, clip
from sodalake.server.errors import BadParameter, Fault, as_json, fault_of
from sodalake.server.imageparameters import bands, collection, interval, output, place, planes, size
from sodalake.server.images import ImageHandler
from sodalake.server.plans import LASTING
from sodalake.sodacut.images.costs import TooExpensive
from sodalake.sodacut.images.requests import ALGORITHMS, GRIDS, METHODS, AtPosition, Form, Output

__all__ = [
    "EstimateHandler",
    "PositionHandler",
    "describe",
    "position_request",
    "position_template",
    "survey_of",
]

_FORMATS: Final[Mapping[str, Form]] = {"FITS": "fits", "PNG": "png", "JPEG": "jpeg", "JPG": "jpeg"}


def survey_of(parameters: Parameters, surveys: Mapping[str, ImageSurvey], name: str = "") -> ImageSurvey:
    """Return the survey that a request is of: the one of the path, or SURVEY, or the only one.

    Raises
    ------
    NotInLake
        There is no such survey.
    BadParameter
        There are several, and none is named.
    """
    given = parameters.one("SURVEY")
    if name and given is not None and given.lower() != name.lower():
        raise BadParameter(
            f"The address is of {clip(name)} and survey={clip(given)!r}.", "Leave out one of them."
        )
    wanted = (name or given or "").lower()
    known = ", ".join(surveys) or "none yet"
    if not wanted:
        if len(surveys) == 1:
            return next(iter(surveys.values()))
        if not surveys:
            raise NotInLake("There are no images here.", "They come with `sodalake ingest SURVEY --images`.")
        raise BadParameter("A value for survey is required.", f"Surveys of images: {known}.")
    if wanted not in surveys:
        raise NotInLake(
            f"There is no survey of images {clip(wanted)!r} here.", f"Surveys of images: {known}."
        )
    return surveys[wanted]


def position_request(parameters: Parameters, survey: ImageSurvey) -> AtPosition:
    """Read a request for a place.

    Raises
    ------
    BadParameter, MultiValuedParamNotSupported, BadPicture, NotInLake
        What is asked cannot be.
    """
    ra, dec = place(parameters)
    return position_template(parameters, survey, ra, dec)


def position_template(
    parameters: Parameters, survey: ImageSurvey, ra: float = 0.0, dec: float = 0.0
) -> AtPosition:
    """Read all of a request but its place; raises as `position_request`."""
    name = parameters.choice("FORMAT", tuple(_FORMATS), "FITS")
    form = _FORMATS[str(name)]
    wanted = bands(parameters, survey)
    if form != "fits" and len(wanted) == 2:
        raise BadParameter(
            f"A picture is of one band, or of three and more; bands={','.join(wanted)} are two.",
            "Name one more, or one less.",
        )
    beside = planes(parameters, survey)
    if beside and form != "fits":
        raise BadParameter(f"Planes are extensions of FITS, and {form} has none.", "Leave out one of them.")
    given = wanted
    if form != "fits" and len(wanted) > 2:
        # In a colour picture the reddest is red, whatever the order: gri and irg are one picture.
        wanted = tuple(
            sorted(wanted, key=lambda band: -survey.bands[band][0] if band in survey.bands else 0.0)
        )
    algorithm = parameters.choice("ALGORITHM", ALGORITHMS, "single")
    is_mosaic = algorithm != "single"
    for plane in beside:
        if is_mosaic and survey.images.planes[plane].meaning != "weight":
            raise BadParameter(
                f"A mosaic has a weight, and no {plane}.", "Leave it out, or take algorithm=single."
            )
    return AtPosition(
        survey.name,
        ra,
        dec,
        size(parameters),
        wanted,
        collection(parameters, survey),
        algorithm or "single",  # type: ignore[arg-type]  # one of the options
        parameters.choice("METHOD", METHODS, "interp") or "interp",  # type: ignore[arg-type]
        parameters.flag("MATCH"),
        parameters.flag("MASKED"),
        parameters.choice("GRID", GRIDS, "north") or "north",  # type: ignore[arg-type]
        interval(parameters, "TIME", "days (MJD)"),
        beside,
        _ordered(output(parameters, form, several=len(wanted) != 1), given, wanted),
    )


def _ordered(made: Output, given: Sequence[str], wanted: Sequence[str]) -> Output:
    """Return what is made with weights and blacks, which are of the bands as given, in the bands' order."""
    colours = made.colours
    if colours is None or given == wanted:
        return made
    place = [given.index(band) for band in wanted]
    moved: dict[str, tuple[float, ...]] = {}
    for name in ("weights", "minimum"):
        values = getattr(colours, name)
        if isinstance(values, tuple) and len(values) == len(place):
            moved[name] = tuple(values[at] for at in place)
    return replace(made, colours=replace(colours, **moved))  # type: ignore[arg-type]


def describe(surveys: Mapping[str, ImageSurvey]) -> dict[str, object]:
    """Return the description that GET without parameters gives."""

    def one(name: str, required: bool, description: str) -> dict[str, object]:
        return {"name": name, "required": required, "description": description}

    return {
        "surveys": {
            name: {
                "title": survey.title,
                "bands": list(survey.bands),
                "collections": list(survey.collections),
                "planes": list(survey.images.planes),
            }
            for name, survey in surveys.items()
        },
        "args": [
            one("ra", True, "Right ascension, degrees, ICRS."),
            one("dec", True, "Declination, degrees, ICRS."),
            one(
                "size",
                True,
                "Side of the square: degrees (0.05), 3arcmin, 30arcsec or 100px; or width and height.",
            ),
            one("survey", len(surveys) > 1, "Survey of images."),
            one(
                "bands",
                False,
                "g, or gri, or g,r,i; in a colour picture the reddest is red. Default: all.",
            ),
            one("collection", False, "Only images of this collection."),
            one(
                "format",
                False,
                "FITS (default), PNG or JPEG; several bands are extensions, or a colour picture.",
            ),
            one("algorithm", False, "single (default), coadd, nearest or median."),
            one("method", False, "How pixels are resampled: interp (default), adaptive or exact."),
            one("match", False, "true: bring the images' backgrounds to one level."),
            one(
                "grid",
                False,
                "Of a mosaic: north (default), or image: the pixels of the image that has most of it.",
            ),
            one("time", False, "Only images taken then: one or two numbers, MJD (UTC)."),
            one("masked", False, "true: take pixels that a mask flags for missing."),
            one("planes", False, "What stands beside the images, as extensions; of a mosaic weight."),
            one("scale", False, "Pixels given for one of the image; below 1 they are averaged."),
            one("pixels", False, "Instead of scale: pixels of the longer side, as 1024."),
            one("colour", False, "Of three bands and more: lupton (default), or a stretch of each."),
            one("weights", False, "What each band is multiplied by in a colour picture, as 1,1.2,2."),
            one("q", False, "Lupton's softening. Default: 8."),
            one(
                "minimum",
                False,
                "Lupton's black: one value, or one for each band. Default: a little below the sky.",
            ),
            one(
                "stretch",
                False,
                "asinh (default), linear, sqrt, log, sigmoid or power; a number is Lupton's.",
            ),
            one(
                "pmin",
                False,
                "Percentile of the lower cut. Default: 0.5; of several bands a little below the sky.",
            ),
            one("pmax", False, "Percentile of the upper cut. Default: 99.5."),
            one("colormap", False, "Of one band: name of a matplotlib colour map. Default: grayscale."),
            one("marker", False, "true: mark the position."),
            one("scalebar", False, "true: a bar that says how long an angle is."),
        ],
    }


class _Positions(ImageHandler):
    path = "/api/v1/images/cutout"
    methods = ("GET", "HEAD", "POST", "OPTIONS")

    def write_fault(self, fault: Fault) -> tuple[str, bytes]:
        """Write an error as JSON."""
        return as_json(fault)

    def fault_of(self, error: BaseException | None, status: int) -> Fault:
        """Return how an error is told; of what is too much, with the addresses that would fit."""
        if isinstance(error, TooExpensive):
            fault = fault_of(error)
            return Fault(fault.status, fault.label, fault.text, fault.advice, details=self._offered(error))
        return super().fault_of(error, status)

    def _offered(self, error: TooExpensive) -> dict[str, object]:
        """Return an error's numbers, and this request again with what would fit."""
        details = dict(error.details)
        fits = dict(details.get("fits") or {})  # type: ignore[call-overload]
        parameters = Parameters.of_rest(self.request)
        url = f"{self.base_url()}{self.path}"

        def again(**changed: object) -> str:
            gone = {"size", "width", "height"} if "size" in changed else {"scale"}
            pairs = {name: values[0] for name, values in parameters.items() if name not in gone}
            return f"{url}?{urlencode({**pairs, **changed})}"

        if "size" in fits:
            fits["url"] = again(size=fits["size"])
        if "picture" in fits:
            fits["picture"] = {**fits["picture"], "url": again(**fits["picture"])}
        fits["job"] = f"{self.base_url()}/soda/async"
        return {**details, "fits": fits}

    def asked(self, name: str) -> AtPosition | None:
        """Read the request; None where there is nothing in it."""
        parameters = Parameters.of_rest(self.request)
        if not parameters and self.request.method != "POST":
            return None
        surveys = self.service.lake.image_surveys
        return position_request(parameters, survey_of(parameters, surveys, name))

    def tell(self) -> None:
        """Describe the parameters."""
        self.set_header("Cache-Control", "no-cache")
        self.finish(describe(self.service.lake.image_surveys))


class PositionHandler(_Positions):
    """``/api/v1/images/cutout`` and ``/SURVEY/api/v1/images/cutout``, by GET and POST."""

    async def get(self, name: str = "") -> None:
        """Describe the parameters where there are none, else answer."""
        request = self.asked(name)
        if request is None:
            self.tell()
            return
        await self.send(request, cache=LASTING)

    head = get
    post = get


class EstimateHandler(_Positions):
    """``/api/v1/images/estimate`` and ``/SURVEY/api/v1/images/estimate``, by GET and POST."""

    async def get(self, name: str = "") -> None:
        """Say what the cut would cost."""
        request = self.asked(name)
        if request is None:
            self.tell()
            return
        found = await self.service.images.estimate(request)
        cost = found.cost
        self.set_header("Cache-Control", "no-store")
        self.finish(
            {
                "answered": not found.beyond,
                "beyond": list(found.beyond),
                "seconds": round(found.seconds, 4),
                "bytes": cost.bytes,
                "reads": cost.reads,
                "pixels": cost.pixels,
                "side": cost.side,
                "images": [{"band": band, "images": list(names)} for band, names in found.images],
                "covered": None if found.covered is None else round(found.covered, 6),
                "fits": dict(found.fits),
            }
        )

    head = get
    post = get
