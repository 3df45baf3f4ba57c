"""SODA of survey images: an ID and filters become a request (SODA 1.0, section 3).

An image's identifier is ``ivo://AUTHORITY/SURVEY?IMAGEID``. Of CIRCLE, POLYGON, POS and MOC one is taken, of BAND and
TIME one value each; POL's values are one filter, and images have no polarization states, so that nothing is left of
them. What is cut is clipped to the image (3.3); the rest of the parameters say what is made of it.
"""

from __future__ import annotations

from typing import Final

from sodalake.lake.images.imagesurvey import ImageSurvey
from sodalake.server.dali import Format, Parameters, clip, response_format
from sodalake.server.errors import BadParameter, MultiValuedParamNotSupported
from sodalake.server.imageparameters import interval, output, planes, polarization
from sodalake.sodacut import Region, parse_circle, parse_polygon, parse_pos
from sodalake.sodacut.images.requests import ByImage, Form
from sodalake.sodacut.mocs import parse_moc

__all__ = ["IMAGE_FORMATS", "image_request", "region"]

IMAGE_FORMATS: Final = (
    Format("fits", ("application/fits", "image/fits")),
    Format("png", ("image/png",)),
    Format("jpeg", ("image/jpeg",), ("jpeg", "jpg")),
    Format("json", ("application/json",)),
)
_FORMS: Final[dict[str, Form]] = {"fits": "fits", "png": "png", "jpeg": "jpeg", "json": "json"}
_REGIONS: Final = (
    ("CIRCLE", parse_circle),
    ("POLYGON", parse_polygon),
    ("POS", parse_pos),
    ("MOC", parse_moc),
)
_MOST_ID: Final = 256  # characters


def region(parameters: Parameters) -> Region | None:
    """Read the region of a request.

    Raises
    ------
    BadRegion
        It is none.
    MultiValuedParamNotSupported
        There are several (SODA 1.0, 3.1), of whatever names.
    """
    given = [(name, value, parse) for name, parse in _REGIONS if (value := parameters.one(name)) is not None]
    if len(given) > 1:
        raise MultiValuedParamNotSupported(
            f"{' and '.join(name for name, _, _ in given)} are several regions; this service cuts one.",
            "Send one request a region.",
        )
    return given[0][2](given[0][1]) if given else None


def image_request(parameters: Parameters, survey: ImageSurvey, image_id: str) -> tuple[ByImage, str]:
    """Read a request for one image.

    Returns
    -------
    ByImage
        What is asked.
    str
        The Content-Type to answer with.

    Raises
    ------
    BadParameter, MultiValuedParamNotSupported, BadRegion, BadPicture
        What is asked cannot be.
    """
    if len(image_id) > _MOST_ID:
        raise BadParameter(f"{clip(image_id)!r} is no id.", f"Ids have at most {_MOST_ID} characters.")
    form, content_type = response_format(parameters.one("RESPONSEFORMAT"), IMAGE_FORMATS)
    wanted = planes(parameters, survey)
    if wanted and form.name != "fits":
        raise BadParameter(
            f"PLANES are extensions of FITS, and {form.name} has none.", "Leave out one of them."
        )
    request = ByImage(
        survey.name,
        image_id,
        region(parameters),
        interval(parameters, "BAND", "metres"),
        interval(parameters, "TIME", "days (MJD)"),
        polarization(parameters),
        wanted,
        output(parameters, _FORMS[form.name]),
    )
    return request, content_type
