"""Requests answered in one process: what a worker keeps between them. How it is asked: see `asking`."""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from sodalake.lake.errors import LakeError, NotInLake
from sodalake.lake.images.finding import ImageFinder, Radii
from sodalake.lake.images.imagesurvey import ImageSurvey
from sodalake.lake.images.records import Image
from sodalake.lake.lake import Lake
from sodalake.lake.sky import separations
from sodalake.sodacut.images.choosing import Choice, chosen
from sodalake.sodacut.images.costs import Cost, Rates, TooExpensive, check, degrees_text
from sodalake.sodacut.images.pixelfiles import PixelFiles
from sodalake.sodacut.images.preparing import Prepared, prepared
from sodalake.sodacut.images.products import ImageProduct
from sodalake.sodacut.images.requests import AtPosition, ByImage, ImageRequest, Limits, Size
from sodalake.sodacut.picture import LARGEST

__all__ = [
    "Estimate",
    "ImageSession",
    "image_session_of",
]

_NEAR: Final = (0.5, 4.0)  # degrees within which the nearest image is looked for, to tell where there is one
_HALVINGS: Final = 12  # steps in which the largest size that fits is found
_FRIENDLY: Final = 1024  # pixels of the picture that is offered instead


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a request would cost.

    Attributes
    ----------
    seconds
        Expected.
    beyond
        What of it is more than is answered at once, in words; nothing: it is answered.
    images
        Ids of the images, by band.
    covered
        The share of the size asked for that the images have, of the band that has least; None of a mosaic, which only
        its pixels tell.
    fits
        What would fit, where it does not: see `TooExpensive.details`.
    """

    cost: Cost
    seconds: float
    beyond: tuple[str, ...]
    images: tuple[tuple[str | None, tuple[str, ...]], ...]
    covered: float | None
    fits: Mapping[str, object]


class ImageSession:
    """What a process keeps for the images of one lake. May be used from any thread.

    Parameters
    ----------
    lake
        The open lake.
    """

    def __init__(self, lake: Lake) -> None:
        self.lake = lake
        self.finder = ImageFinder(lake)
        self.files = PixelFiles()

    # -- finding

    def candidates(self, requests: Sequence[ImageRequest]) -> list[Sequence[Image] | LakeError]:
        """Find the images that requests may be answered with, all of one survey; what is wrong is told as a value.

        `NotInLake` of an image that is not there; a place without images has none, which `chosen` tells.
        """
        found: list[Sequence[Image] | LakeError] = [()] * len(requests)
        names = {request.survey for request in requests}
        for name in names:
            survey = self.lake.image_survey(name)
            named = [
                (at, one)
                for at, one in enumerate(requests)
                if one.survey == name and isinstance(one, ByImage)
            ]
            places = [
                (at, one)
                for at, one in enumerate(requests)
                if one.survey == name and isinstance(one, AtPosition)
            ]
            if named:
                images = self.finder.by_ids(survey, [one.image_id for _, one in named])
                for (at, one), image in zip(named, images, strict=True):
                    found[at] = _missing(survey, one.image_id) if image is None else (image,)
            if places:
                for (at, _), near in zip(places, self._near(survey, [one for _, one in places]), strict=True):
                    found[at] = near
        return found

    def _near(self, survey: ImageSurvey, requests: Sequence[AtPosition]) -> list[Sequence[Image]]:
        # A size in pixels is an angle once an image says how large they are: the index is looked through as far as the
        # coarsest ones of each of its orders reach.
        near = self._around(
            survey, requests, lambda scale: np.array([_radius(one.size, scale) for one in requests])
        )
        # A mosaic has the pixels of one of the images; those of finer ones are wanted as far as that reaches.
        again = []
        for at, (request, images) in enumerate(zip(requests, near, strict=True)):
            if request.size.unit == "px" and request.is_several and images:
                scale = max(image.pixel_scale for image in images)
                if scale > min(self.finder.scales(survey).values(), default=scale):
                    again.append((at, _radius(request.size, scale)))
        if again:
            wider = self._around(
                survey, [requests[at] for at, _ in again], np.array([radius for _, radius in again])
            )
            for (at, _), images in zip(again, wider, strict=True):
                near[at] = images
        return near

    def _around(
        self, survey: ImageSurvey, requests: Sequence[AtPosition], radii: Radii
    ) -> list[Sequence[Image]]:
        if len(requests) == 1:
            (request,) = requests
            return [
                self.finder.near(
                    survey,
                    request.ra,
                    request.dec,
                    radii if callable(radii) else float(radii[0]),
                    bands=request.bands or None,
                    collections=None if request.collection is None else (request.collection,),
                )
            ]
        # All places at once; what one of them leaves out is left out by `chosen`.
        ra, dec = (np.array([getattr(one, name) for one in requests]) for name in ("ra", "dec"))
        return list(self.finder.near_many(survey, ra, dec, radii))

    def found(self, request: ImageRequest) -> Choice:
        """Choose the images of a request.

        Raises
        ------
        NotInLake, NoOverlap
            See `chosen`.
        """
        survey = self.lake.image_survey(request.survey)
        candidates = self.candidates([request])[0]
        if isinstance(candidates, LakeError):
            raise candidates
        try:
            return chosen(request, survey, candidates)
        except NotInLake as error:
            if isinstance(request, AtPosition) and not candidates:
                raise NotInLake(error.message, f"{self._nearest(survey, request)} {error.advice}") from None
            raise

    def _nearest(self, survey: ImageSurvey, request: AtPosition) -> str:
        """Say where the nearest image is."""
        for radius in _NEAR:
            outlines = self.finder.outlines_near(survey, request.ra, request.dec, radius)
            if outlines:
                away, nearest = min(
                    ((_away(request, one.vertices), one.image_id) for one in outlines), key=lambda one: one[0]
                )
                return f"The nearest image, {nearest}, is {degrees_text(away)} away."
        return f"There is none within {_NEAR[-1]:g} degrees."

    # -- answering

    def prepared(self, request: ImageRequest) -> Prepared:
        """Say what is to be read for a request; raises as `found`."""
        return prepared(self.lake.image_survey(request.survey), self.found(request))

    def answer(
        self, request: ImageRequest, limits: Limits | None = None, rates: Rates | None = None
    ) -> ImageProduct:
        """Answer a request.

        Raises
        ------
        NotInLake, NoOverlap
            There is nothing to give.
        TooExpensive
            It would cost more than `limits`.
        FileGone, Damaged, Unavailable
            A file cannot be read.
        """
        ready = self.prepared(request)
        if limits is not None:
            self.check(ready, limits, rates or Rates())
        return ready.answer(self.files)

    # -- costs

    def check(self, ready: Prepared, limits: Limits, rates: Rates) -> Cost:
        """Return what an answer costs; refuse what is too much, and say what would not be.

        Raises
        ------
        TooExpensive
            It does.
        """
        cost = ready.cost(self.files)
        limits = _of_form(limits, ready.choice.request)
        beyond = check(cost, limits, rates)
        if not beyond:
            return cost
        fits = self.fitting(ready.choice, limits, rates)
        raise TooExpensive(
            f"This cut would be {', '.join(beyond)}.",
            _offer(fits),
            {"cost": _numbers(cost, rates), "limits": _limits(limits), "fits": fits},
        )

    def fitting(self, choice: Choice, limits: Limits, rates: Rates) -> dict[str, object]:
        """Return what would fit: ``size`` (degrees) or ``scale``, and a picture's ``format`` and ``pixels``."""
        request = choice.request
        survey = self.lake.image_survey(request.survey)
        # All that are near, not those that were chosen: of a smaller size another one may be the best.
        images = self.candidates([request])[0]
        if isinstance(images, LakeError):
            return {}

        def may(other: ImageRequest) -> bool:
            try:
                ready = prepared(survey, chosen(other, survey, images))
                return not check(ready.cost(self.files), _of_form(limits, other), rates)
            except LakeError:
                return False

        fits: dict[str, object] = {}
        if isinstance(request, AtPosition):
            scale = choice.images[0].pixel_scale
            width, height = request.size.degrees(scale)

            def sized(part: float) -> AtPosition:
                return replace(request, size=Size(width * part, height * part))

            part = _greatest(lambda part: may(sized(part)))
            if part > 0:
                fits["size"] = degrees_text(max(width, height) * part)
        small = replace(
            request, output=replace(request.output, form="png", scale=1.0, longest=_FRIENDLY), planes=()
        )
        if request.output.form != "png" or request.output.longest != _FRIENDLY:
            picture = small if may(small) else _plain(small)
            if picture is not None and may(picture):
                fits["picture"] = {"format": "png", "pixels": _FRIENDLY}
        return fits

    def estimate(self, request: ImageRequest, limits: Limits, rates: Rates) -> Estimate:
        """Say what a request would cost; raises as `found`."""
        ready = self.prepared(request)
        cost = ready.cost(self.files)
        beyond = check(cost, _of_form(limits, request), rates)
        layers = ready.choice.layers
        several = request.is_several
        return Estimate(
            cost,
            cost.seconds(rates),
            tuple(beyond),
            tuple((one.band, tuple(placed.original.image_id for placed in one.placed)) for one in layers),
            None if several else min(one.placed[0].covered if one.placed else 0.0 for one in layers),
            self.fitting(ready.choice, limits, rates) if beyond else {},
        )


def _of_form(limits: Limits, request: ImageRequest) -> Limits:
    """Return the limits, of a picture those that pictures have."""
    return replace(limits, side=min(limits.side, LARGEST)) if request.output.is_picture else limits


def _plain(request: ImageRequest) -> ImageRequest | None:
    """Return the request of a picture of a mosaic as one of single images."""
    return replace(request, algorithm="single") if isinstance(request, AtPosition) else None


def _greatest(may: Any) -> float:
    """Return about the greatest part (0…1) for which something may be."""
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if may(middle) else (low, middle)
    return low


def _missing(survey: ImageSurvey, image_id: str) -> NotInLake:
    return NotInLake(
        f"There is no image {image_id[:80]} in {survey.name}.",
        "Check the id; a new image is here once its file is ingested.",
    )


def _radius(size: Size, pixel_scale: float) -> float:
    """Return the radius of a cap that holds a box, however it is turned; a pixel more on each side."""
    width, height = size.degrees(pixel_scale)
    return min(180.0, math.hypot(width, height) / 2 + 2 * pixel_scale / 3600)


def _away(request: AtPosition, vertices: Any) -> float:
    """Return the degrees from a place to the nearest of the vertices of an outline."""
    lon, lat = vertices.T
    return float(separations(np.array([request.ra]), np.array([request.dec]), lon, lat).min())


def _numbers(cost: Cost, rates: Rates) -> dict[str, object]:
    return {
        "images": cost.images,
        "pixels": cost.pixels,
        "side": cost.side,
        "bytes": cost.bytes,
        "reads": cost.reads,
        "seconds": round(cost.seconds(rates), 3),
    }


def _limits(limits: Limits) -> dict[str, object]:
    return {
        name: value
        for name in ("side", "pixels", "bytes", "seconds")
        if math.isfinite(value := getattr(limits, name))
    }


def _offer(fits: Mapping[str, object]) -> str:
    offers = []
    if "size" in fits:
        offers.append(f"take SIZE={fits['size']} or less")
    if "picture" in fits:
        offers.append(f"ask for a picture of {_FRIENDLY} pixels (format=png&pixels={_FRIENDLY})")
    offers.append("send it as a job to /soda/async")
    text = ", or ".join(offers)
    return f"{text[0].upper()}{text[1:]}."


_sessions: weakref.WeakKeyDictionary[Lake, ImageSession] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def image_session_of(lake: Lake) -> ImageSession:
    """Return the session that this process keeps for a lake."""
    with _lock:
        known = _sessions.get(lake)
        if known is None:
            known = _sessions[lake] = ImageSession(lake)
        return known
