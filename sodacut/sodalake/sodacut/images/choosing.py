"""Which images a request is answered with, and which of their pixels; decided by the index alone, nothing is read.

Of several images that have a place, the best is the one that has most of the box; of those that have as much, the
newest; of those that are as old (tiles have no time), the one in which the place is farthest from an edge.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from sodalake.lake.errors import NotInLake
from sodalake.lake.images.imagesurvey import ImageSurvey
from sodalake.lake.images.records import Image
from sodalake.sodacut.coordinates import Box
from sodalake.sodacut.errors import Damaged, NoCoordinates, NoOverlap
from sodalake.sodacut.images.binning import binned, binned_box, step
from sodalake.sodacut.images.cut import box_around, box_at, box_by_region
from sodalake.sodacut.images.frames import frame_of, frame_of_wcs, wcs_of
from sodalake.sodacut.images.grids import Grid, grid_of, tangent_grid
from sodalake.sodacut.images.requests import AtPosition, ByImage, ImageRequest, meets
from sodalake.sodacut.shapes import Directions

__all__ = ["Choice", "Layer", "Placed", "chosen"]

_MARGINS: Final = {"interp": 2, "adaptive": 12, "exact": 12}  # pixels around what a grid needs of an image
_EDGE: Final = 9  # points on a side of a grid's outline
_SAME: Final = 1e-3  # pixels by which two images may differ that count as the same grid
_SHARE: Final = 1e-3  # of a box: images that have as much of it, to so much, have as much

Spot = tuple[float, float]
"""Where a place is in an image: x, y, pixels from 0."""


@dataclass(frozen=True, slots=True)
class Placed:
    """An image, and the pixels that are wanted of it.

    Attributes
    ----------
    original
        The image.
    image
        The same, made smaller by `factor`; boxes are of its pixels.
    wanted
        May go beyond the image.
    read
        What of it is inside.
    """

    original: Image
    image: Image
    factor: int
    wanted: Box
    read: Box

    @property
    def covered(self) -> float:
        """The share of the wanted pixels that the image has."""
        (height, width), (rows, columns) = self.wanted.shape, self.read.shape
        return rows * columns / (height * width)


@dataclass(frozen=True, slots=True)
class Layer:
    """One plane of the answer: a band.

    Attributes
    ----------
    grid
        The pixels that the images are resampled onto; None: the one image's own.
    """

    band: str | None
    placed: tuple[Placed, ...]
    grid: Grid | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """What a request is answered with.

    Attributes
    ----------
    layers
        In the order in which they are given; never empty.
    zoom
        By how much the layers' pixels are still to be resized (pictures).
    """

    request: ImageRequest
    layers: tuple[Layer, ...]
    zoom: float = 1.0

    @property
    def images(self) -> tuple[Image, ...]:
        """All images."""
        return tuple(placed.original for layer in self.layers for placed in layer.placed)


def chosen(
    request: ImageRequest,
    survey: ImageSurvey,
    candidates: Sequence[Image],
    spots: Mapping[str, Spot] | None = None,
) -> Choice:
    """Choose the images, and their pixels.

    Parameters
    ----------
    candidates
        The image that is named; or all that may have a part of the place.
    spots
        Where in images (by id) the place is, as `sodalake.sodacut.images.cut.spots_in` has it: who asks of many places
        has it of all at once. Of images that are not there, it is looked for.

    Raises
    ------
    NoOverlap
        Nothing is left of the image that is named.
    NotInLake
        No image has a part of the place; or none in one of the bands that are asked for.
    """
    if isinstance(request, ByImage):
        return _by_image(request, survey, candidates[0])
    found = _there(request, candidates, spots or {})
    if not found:
        raise NotInLake(
            f"{survey.name} has no image at RA {request.ra:.6g}, Dec {request.dec:.6g}{_narrowed(request)}.",
            _where(survey),
        )
    bands = _bands(request, survey, found)
    layers = []
    for band in bands:
        some = [one for one in found if one.image.band == band]
        if not some:
            raise NotInLake(
                f"{survey.name} has no image in {band} at RA {request.ra:.6g}, Dec {request.dec:.6g}.",
                f"There are images in {', '.join(sorted({str(one.image.band) for one in found}))}.",
            )
        layers.append((band, some))
    if request.is_several:
        return _mosaics(request, layers)
    return _singles(request, [(band, max(some, key=_merit)) for band, some in layers])


# ---------------------------------------------------------------------- by name


def _by_image(request: ByImage, survey: ImageSurvey, image: Image) -> Choice:
    low, high = survey.bands.get(image.band or "", (None, None))
    end = image.t_max if image.t_max is not None else image.t_min
    if request.pol or not meets(request.band, low, high) or not meets(request.time, image.t_min, end):
        raise NoOverlap("What is asked for is not in this image.")
    height, width = image.shape
    box = Box(0, width, 0, height)
    if request.region is not None:
        box = box_by_region(image, request.region)
    factor = request.output.factor(max(box.shape))
    by = step(factor, image, exact=request.output.is_picture)
    part = binned_box(box, by)
    placed = Placed(image, binned(image, by), by, part, part)
    return Choice(request, (Layer(image.band, (placed,)),), _zoom(request, factor, by))


def _zoom(request: ImageRequest, factor: float, by: int) -> float:
    return factor * by if request.output.is_picture else 1.0


# ---------------------------------------------------------------------- by position


def _there(request: AtPosition, candidates: Iterable[Image], spots: Mapping[str, Spot]) -> list[Placed]:
    """Return the images that have a part of the box, each with its own box of the size that is asked for.

    One whose coordinates cannot be used is left out, unless it is all there is.
    """
    found = []
    unusable: NoCoordinates | Damaged | None = None
    for image in candidates:
        if request.bands and image.band not in request.bands:
            continue
        if request.collection is not None and image.collection != request.collection:
            continue
        end = image.t_max if image.t_max is not None else image.t_min
        if request.time is not None and (image.t_min is None or not meets(request.time, image.t_min, end)):
            continue
        width, height = request.size.pixels(image.pixel_scale)
        by = step(request.output.factor(max(width, height)), image, exact=request.output.is_picture)
        small = binned(image, by)
        try:
            spot = spots.get(image.image_id) if by == 1 else None
            if spot is None:
                wanted, read = box_at(small, request.ra, request.dec, -(-width // by), -(-height // by))
            else:
                wanted, read = box_around(small, *spot, width, height)
        except NoOverlap:
            continue
        except (NoCoordinates, Damaged) as error:
            unusable = error
            continue
        found.append(Placed(image, small, by, wanted, read))
    if unusable is not None and not found:
        raise unusable
    return found


def _merit(placed: Placed) -> tuple[int, float, float, str]:
    """Return what is greatest of the best image."""
    box, (height, width) = placed.wanted, placed.image.shape
    x, y = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
    edge = min(x, width - x, y, height - y) * placed.image.pixel_scale
    time = placed.image.t_min
    return round(placed.covered / _SHARE), -math.inf if time is None else time, edge, placed.image.image_id


def _bands(request: AtPosition, survey: ImageSurvey, found: Sequence[Placed]) -> tuple[str | None, ...]:
    if request.bands:
        return request.bands
    there = {placed.image.band for placed in found}
    known = [band for band in survey.bands if band in there]
    others = sorted(str(band) for band in there - set(known) if band is not None)
    every: list[str | None] = [*known, *others, *([None] if None in there else [])]
    if not request.output.is_picture:
        return tuple(every)
    colours = [band for band in survey.colour_bands if band in there]
    return tuple(colours) if len(colours) >= 3 else (max(found, key=_merit).image.band,)


def _singles(request: AtPosition, best: Sequence[tuple[str | None, Placed]]) -> Choice:
    """One image a band, each on its own pixels; but all on one grid where they become one picture."""
    first = max((placed for _, placed in best), key=lambda placed: placed.covered)
    width, height = request.size.pixels(first.original.pixel_scale)
    zoom = _zoom(request, request.output.factor(max(width, height)), first.factor)
    if not request.output.is_picture or len(best) == 1:
        return Choice(request, tuple(Layer(band, (placed,)) for band, placed in best), zoom)
    box = first.wanted
    grid: Grid | None = None
    layers = []
    for band, placed in best:
        if placed is first or _is_same(first, placed):
            layers.append(Layer(band, (replace(placed, wanted=box),)))
            continue
        grid = grid or grid_of(wcs_of(first.image)[box.y0 : box.y1, box.x0 : box.x1], box.shape)
        reached = _reached(placed, _outline(grid), "interp")
        # An image that had a part of its own box may have none of this one: the band is empty then, and says so.
        layers.append(Layer(band, (reached,) if reached is not None else (), grid))
    return Choice(request, tuple(layers), zoom)


def _is_same(one: Placed, other: Placed) -> bool:
    """Say whether two images have the same pixels, where the boxes are."""
    if one.image.shape != other.image.shape or one.wanted != other.wanted:
        return False
    box = one.wanted
    x = np.array([box.x0, box.x1, box.x0, box.x1, (box.x0 + box.x1) / 2])
    y = np.array([box.y0, box.y0, box.y1, box.y1, (box.y0 + box.y1) / 2])
    there = frame_of(other.image).to_pixels(frame_of(one.image).to_sky(x, y))
    return bool(np.abs(there - np.stack([x, y])).max() < _SAME)


def _mosaics(request: AtPosition, layers: Sequence[tuple[str | None, Sequence[Placed]]]) -> Choice:
    """All images of each band, on one grid."""
    first = max((placed for _, some in layers for placed in some), key=_merit)
    width, height = request.size.pixels(first.original.pixel_scale)
    factor = min(1.0, request.output.factor(max(width, height)))
    if request.grid == "image":
        box = first.wanted
        grid = grid_of(wcs_of(first.image)[box.y0 : box.y1, box.x0 : box.x1], box.shape)
    else:
        sides = max(1, round(width * factor)), max(1, round(height * factor))
        grid = tangent_grid(request.ra, request.dec, *sides, first.original.pixel_scale / factor)
    outline = _outline(grid)
    made = []
    for band, some in layers:
        placed = (_reached(one, outline, request.method) for one in some)
        made.append(Layer(band, tuple(one for one in placed if one is not None), grid))
    if not any(layer.placed for layer in made):
        raise NotInLake(
            f"No image reaches RA {request.ra:.6g}, Dec {request.dec:.6g}.", "Take a larger size."
        )
    longer = max(grid.shape)
    wanted = request.output.factor(max(width, height)) * max(width, height)
    return Choice(request, tuple(made), wanted / longer if request.output.is_picture else 1.0)


def _outline(grid: Grid) -> Directions:
    """Return points around a grid."""
    height, width = grid.shape
    along = np.linspace(0, 1, _EDGE)
    x = np.concatenate([along, along, along * 0, along * 0 + 1]) * width - 0.5
    y = np.concatenate([along * 0, along * 0 + 1, along, along]) * height - 0.5
    return frame_of_wcs(grid.wcs()).to_sky(x, y)


def _reached(placed: Placed, outline: Directions, method: str) -> Placed | None:
    """Return the image with the box that a grid needs of it, by its outline; None where that is nothing."""
    columns, rows = frame_of(placed.image).to_pixels(outline)
    image_height, image_width = placed.image.shape
    margin = _MARGINS[method]
    if not (np.isfinite(columns).all() and np.isfinite(rows).all()):
        box = Box(0, image_width, 0, image_height)
    else:
        box = Box(
            max(0, math.floor(columns.min()) - margin),
            min(image_width, math.ceil(columns.max()) + margin + 1),
            max(0, math.floor(rows.min()) - margin),
            min(image_height, math.ceil(rows.max()) + margin + 1),
        )
    if box.x0 >= box.x1 or box.y0 >= box.y1:
        return None
    return replace(placed, wanted=box, read=box)


# ---------------------------------------------------------------------- words


def _narrowed(request: AtPosition) -> str:
    parts = []
    if request.bands:
        parts.append(f"in {', '.join(request.bands)}")
    if request.collection is not None:
        parts.append(f"of {request.collection}")
    if request.time is not None:
        parts.append("of that time")
    return f" {' '.join(parts)}" if parts else ""


def _where(survey: ImageSurvey) -> str:
    names = ", ".join(survey.collections)
    return f"Where there are images is told by /moc/COLLECTION; its collections: {names}."
