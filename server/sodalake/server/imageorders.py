"""SODA, asynchronous: what a job asks of images.

Combinations are SODA's: one for each ID, region, BAND and TIME, where all POL are one filter (SODA 1.0, 3.1 and 6).
A row of a list either names an image and is filtered as `/soda/sync` would be asked, or has a place and is what
`/api/v1/images/cutout` would be asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sodalake.lake.errors import LakeError, NotInLake
from sodalake.lake.images.imagesurvey import ImageSurvey
from sodalake.server.combinations import combinations
from sodalake.server.dali import Parameters, clip, response_format
from sodalake.server.errors import BadParameter
from sodalake.server.imagecutouts import position_template
from sodalake.server.imageparameters import size
from sodalake.server.imagesoda import IMAGE_FORMATS, image_request
from sodalake.server.urls import Did, parse_did
from sodalake.sodacut.images.jobs.reading import image_targets
from sodalake.sodacut.images.jobs.work import ImageWork
from sodalake.sodacut.images.requests import AtPosition, ByImage, ImageRequest
from sodalake.sodacut.jobs.lists import TextTable
from sodalake.sodacut.jobs.targets import REGIONS

__all__ = ["image_combinations", "image_rows"]

_SIZES: Final = ("SIZE", "WIDTH", "HEIGHT")
_GROUPS: Final = (REGIONS, _SIZES, ("SCALE", "PIXELS"), ("RESPONSEFORMAT", "FORMAT"))
"""Parameters of which a row's own stands in for all of the common ones."""

_OF_ROWS: Final = (
    *(name for group in _GROUPS for name in group),
    *("BAND", "TIME", "POL", "PLANES"),
    *("BANDS", "COLLECTION", "ALGORITHM", "METHOD", "MATCH", "GRID"),
    *("STRETCH", "PMIN", "PMAX", "COLORMAP", "COLOUR", "WEIGHTS", "Q", "MINIMUM", "MARKER", "SCALEBAR"),
)
"""Parameters that a row of a list may have of its own."""

_WIDEST: Final = 10.0  # degrees
_COARSE: Final = 1.0  # arcseconds that a pixel is taken for


@dataclass(frozen=True, slots=True)
class _ImageDid:
    survey: str
    image_id: str


def image_combinations(
    parameters: Parameters,
    ids: Sequence[str],
    surveys: Mapping[str, ImageSurvey],
    authority: str,
    most: int,
) -> ImageWork:
    """Read every combination of SODA's parameters.

    Parameters
    ----------
    ids
        The values of ID.
    most
        How many combinations there may be.

    Raises
    ------
    LakeError
        What is wrong with all of them.
    """
    asked = combinations(parameters, ids, ("BAND", "TIME"), most)
    for survey in surveys.values():  # what is wrong with every combination is the job's error
        image_request(Parameters(asked.common), survey, "")
        break
    made: list[tuple[str, ByImage | LakeError]] = []
    for did, given in asked.each:
        label = " ".join([did, *(word for one in given for word in one)])
        try:
            made.append((label, _combination(did, [*asked.common, *given], surveys, authority)))
        except LakeError as error:
            made.append((clip(label, 200), error))
    return ImageWork.of_combinations(made)


def _combination(
    did: str, pairs: Sequence[tuple[str, str]], surveys: Mapping[str, ImageSurvey], authority: str
) -> ByImage:
    image = _image_did(did, authority)
    survey = surveys.get(image.survey)
    if survey is None:
        raise NotInLake(
            f"There is no survey of images {clip(image.survey)!r} here.",
            f"Surveys of images: {', '.join(surveys) or 'none yet'}.",
        )
    return image_request(Parameters(pairs), survey, image.image_id)[0]


def image_rows(
    table: TextTable,
    parameters: Parameters,
    common: Mapping[str, str],
    surveys: Mapping[str, ImageSurvey],
    authority: str,
) -> ImageWork:
    """Read a list of images and places.

    Parameters
    ----------
    common
        The parameters of all rows.

    Raises
    ------
    LakeError
        What is wrong with all of it.
    """
    given = parameters.one("SURVEY")
    read = image_targets(
        table,
        surveys,
        survey=given,
        parameters=_OF_ROWS,
        parse_did=lambda text: _image_did(text, authority),
        parse_size=_degrees,
    )
    upper = {name.upper(): value for name, value in common.items()}

    def made(survey: str, by_image: bool, together: Mapping[str, str]) -> ImageRequest:
        described = surveys[survey]
        if by_image:
            return image_request(Parameters(_by_image(together)), described, "")[0]
        return _checked(position_template(Parameters(_by_place(together)), described))

    def order(survey: str, by_image: bool, own: Mapping[str, str]) -> ImageRequest:
        return made(survey, by_image, _together(upper, own, by_image))

    # What is wrong with every row is the job's error; what rows have of their own is theirs.
    shared = {name: value for name, value in upper.items() if name not in read.parameters}
    if any(name in read.parameters for name in _SIZES):
        shared["SIZE"] = "1arcmin"
    for by_image in {image is not None for row, image in enumerate(read.images) if row not in read.problems}:
        for survey in dict.fromkeys(name for name in read.surveys if name is not None):
            made(survey, by_image, shared)
    return ImageWork.of_list(read, order)


def _checked(request: AtPosition) -> AtPosition:
    """Return a request, if it is not of a large part of the sky: many such would be looked up for hours."""
    side = max(request.size.degrees(_COARSE))
    if side > _WIDEST:
        raise BadParameter(
            f"A target of {side:.4g} degrees is too wide: those of a job have {_WIDEST:g} at most.",
            "Take a smaller SIZE; what is wider is in the survey's HiPS.",
        )
    return request


def _together(common: Mapping[str, str], own: Mapping[str, str], by_image: bool) -> dict[str, str]:
    """Return a row's parameters: the common ones, its own in place of them."""
    kept = dict(common)
    for group in _GROUPS:
        if any(name in own for name in group):
            for name in group:
                kept.pop(name, None)
    if not by_image and (odd := [name for name in (*REGIONS, "BAND", "POL") if name in own]):
        raise BadParameter(
            f"A row without an image has {' and '.join(odd)}.",
            "At a place, say how large the cut is by SIZE, and of which BANDS (names such as gri); SODA's filters are "
            "of images that are named.",
        )
    return {**kept, **own}


def _by_image(given: Mapping[str, str]) -> Sequence[tuple[str, str]]:
    """Return parameters as SODA names them."""
    named = dict(given)
    if (form := named.pop("FORMAT", None)) is not None:
        named.setdefault("RESPONSEFORMAT", form.lower())
    return list(named.items())


def _by_place(given: Mapping[str, str]) -> Sequence[tuple[str, str]]:
    """Return parameters as cutouts by position name them."""
    named = dict(given)
    if (form := named.pop("RESPONSEFORMAT", None)) is not None:
        named.setdefault("FORMAT", response_format(form, IMAGE_FORMATS)[0].name)
    return list(named.items())


def _image_did(text: str, authority: str) -> _ImageDid:
    """Read the publisher DID of an image.

    Raises
    ------
    BadParameter, NotInLake
        It is none, or another publisher's.
    """
    did: Did = parse_did(text, authority, ())
    return _ImageDid(did.survey, did.alert_id)


def _degrees(text: str) -> float:
    """Read a row's SIZE as the width of a circle, in degrees."""
    read = size(Parameters([("SIZE", text)]))
    if read.unit != "deg" or read.width != read.height:
        raise BadParameter(f"SIZE={clip(text)!r} is no width of a circle.", "Send one angle, or a region.")
    return read.width
