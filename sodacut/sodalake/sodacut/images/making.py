"""One band of an answer, of the pixels that were read: a cut of one image, or a mosaic of several."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from sodalake.lake.errors import NotInLake
from sodalake.lake.images.imagesurvey import ImageSurvey
from sodalake.lake.importing import IMPORTS
from sodalake.sodacut.images.choosing import Layer, Placed
from sodalake.sodacut.images.cut import padded
from sodalake.sodacut.images.frames import wcs_of
from sodalake.sodacut.images.mosaic import Mosaic, Part, mosaic
from sodalake.sodacut.images.requests import AtPosition, ImageRequest
from sodalake.sodacut.stampfits import Pixels

__all__ = ["Made", "Pieces", "made"]

# Units of what is in an area of the sky, whatever the pixels' size; all others are counted a pixel.
_OF_AN_AREA: Final = re.compile(r"(?:/|\s|\.|^)(?:sr|arcsec|arcmin|deg)(?:\*\*|\^)?-?[12]?\b")


@dataclass(slots=True)
class Pieces:
    """The pixels that were read for a layer: of each image, and of what stands beside it."""

    layer: Layer
    arrays: dict[tuple[int, str], Pixels] = field(default_factory=dict)

    def add(self, placed: int, name: str, pixels: Pixels) -> None:
        """Take the pixels of an image (by its place in the layer); '' names its own, else a plane."""
        self.arrays[placed, name] = pixels

    def planes(self, placed: int) -> dict[str, Pixels]:
        """Return what stands beside an image."""
        return {name: pixels for (place, name), pixels in self.arrays.items() if place == placed and name}


@dataclass(frozen=True, slots=True)
class Made:
    """One band of an answer.

    Attributes
    ----------
    layer
        What it was made of.
    pixels
        (height, width).
    planes
        What comes along, by name.
    covered
        The share of the pixels that the images have.
    inputs
        Id and share of each image.
    mosaic
        Where it is one.
    masked
        Of each image whether it has a mask, whose flagged pixels are missing; None where that was not asked for.
    """

    layer: Layer
    pixels: Pixels
    planes: Mapping[str, Pixels]
    covered: float
    inputs: tuple[tuple[str, float], ...]
    mosaic: Mosaic | None = None
    masked: tuple[bool, ...] | None = None

    def wcs(self) -> Any:
        """Return the coordinates of the pixels, an `astropy.wcs.WCS`."""
        if self.layer.grid is not None:
            return self.layer.grid.wcs()
        placed = self.layer.placed[0]
        return cut_wcs(placed)


def cut_wcs(placed: Placed) -> Any:
    """Return the coordinates of the wanted pixels of an image."""
    moved = wcs_of(placed.image).deepcopy()
    box = placed.wanted
    moved.wcs.crpix = moved.wcs.crpix - [box.x0, box.y0]
    if moved.sip is not None:
        with IMPORTS:
            from astropy.wcs import Sip

        sip = moved.sip
        moved.sip = Sip(sip.a, sip.b, sip.ap, sip.bp, moved.wcs.crpix)
    moved.wcs.set()
    return moved


def made(request: ImageRequest, survey: ImageSurvey, layer: Layer, pieces: Pieces) -> Made:
    """Make one band.

    Raises
    ------
    NotInLake
        An image has not a plane that was asked for.
    """
    if layer.grid is None:
        placed = layer.placed[0]
        planes = pieces.planes(0)
        for name in request.planes:
            if name not in planes:
                raise NotInLake(f"{placed.image.image_id} has no {name}.", f"Leave out PLANES={name}.")
        pixels = pieces.arrays[0, ""]
        masked = None
        if isinstance(request, AtPosition) and request.masked:
            flagged = _flagged(survey, planes)
            masked = (flagged is not None,)
            pixels = pixels if flagged is None else np.where(flagged, np.float32(np.nan), pixels)
            planes = {name: plane for name, plane in planes.items() if name in request.planes}
        if placed.wanted != placed.read:
            pixels = padded(pixels, placed.wanted, placed.read)
            planes = {name: padded(plane, placed.wanted, placed.read) for name, plane in planes.items()}
        inputs = ((placed.image.image_id, placed.covered),)
        return Made(layer, pixels, planes, placed.covered, inputs, masked=masked)
    return _mosaic(request, survey, layer, pieces)


def _mosaic(request: ImageRequest, survey: ImageSurvey, layer: Layer, pieces: Pieces) -> Made:
    assert layer.grid is not None
    assert isinstance(request, AtPosition)
    if not layer.placed:
        empty = np.full(layer.grid.shape, np.nan, np.float32)
        return Made(layer, empty, {"weight": np.zeros_like(empty)} if request.planes else {}, 0.0, ())
    parts = []
    for number, placed in enumerate(layer.placed):
        weight = None
        for name, plane in pieces.planes(number).items():
            weight = _weights(survey.images.planes[name].meaning, plane) if weight is None else weight
        image = placed.image
        mask = _flagged(survey, pieces.planes(number)) if request.masked else None
        parts.append(
            Part(
                image.image_id,
                pieces.arrays[number, ""],
                cut_wcs(placed),
                weight,
                mask,
                zero_point=image.zero_point,
                seeing=image.seeing,
                centre=(image.ra, image.dec),
            )
        )
    units = {placed.image.unit for placed in layer.placed}
    combined = mosaic(
        parts,
        layer.grid,
        algorithm="coadd" if request.algorithm == "single" else request.algorithm,
        method=request.method,
        match=request.match,
        per_pixel=not all(unit is not None and _OF_AN_AREA.search(unit) for unit in units),
    )
    masked = tuple(part.mask is not None for part in parts) if request.masked else None
    planes = {"weight": combined.weight} if request.planes else {}
    return Made(layer, combined.pixels, planes, combined.covered, combined.inputs, combined, masked)


def _flagged(survey: ImageSurvey, planes: Mapping[str, Pixels]) -> Any:
    """Return which pixels a mask flags (bool); None where there is none."""
    masks = [plane != 0 for name, plane in planes.items() if survey.images.planes[name].meaning == "mask"]
    return np.logical_or.reduce(masks) if masks else None


def _weights(meaning: str, plane: Pixels) -> Pixels | None:
    """Return weights; None of a mask, which is none."""
    if meaning == "weight":
        return plane
    if meaning == "variance":
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(plane > 0, 1 / plane, 0).astype(np.float32)
    return None
