"""From chosen images to the bytes of an answer, in two steps: what is to be read, and what is made of it.

`prepared` reads nothing: it says which boxes of which planes are needed (`Prepared.wanted`), and what that costs.
`Prepared.finish` makes the answer of them. Bulk work reads the boxes of many answers together; `Prepared.answer` reads
those of one, a band at a time, and in blocks of rows where pixels are averaged as they come, so that memory is that of
what is given rather than of what is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import numpy as np

from sodalake.lake.images.imagesurvey import ImageSurvey
from sodalake.lake.images.records import Plain, Plane
from sodalake.sodacut.coordinates import Box
from sodalake.sodacut.images.binning import source_of
from sodalake.sodacut.images.choosing import Choice, Layer, Placed
from sodalake.sodacut.images.costs import Cost, work_of
from sodalake.sodacut.images.making import Made, Pieces, made
from sodalake.sodacut.images.pixelfiles import Wanted
from sodalake.sodacut.images.products import ImageProduct, product_of
from sodalake.sodacut.images.requests import AtPosition, ImageRequest
from sodalake.sodacut.images.shrinking import shrunk
from sodalake.sodacut.stampfits import Pixels

__all__ = ["Files", "Prepared", "prepared"]

_BLOCK: Final = 8_000_000  # pixels that are read at once where they are averaged


class Files(Protocol):
    """Where pixels are read; `sodalake.sodacut.images.pixelfiles.PixelFiles`."""

    def cost(self, wanted: Sequence[Wanted]) -> tuple[int, int]:
        """Return the bytes and the reads that boxes take."""

    def read(self, wanted: Sequence[Wanted]) -> list[Pixels]:
        """Return the pixels of boxes."""


@dataclass(frozen=True, slots=True)
class _Item:
    """One plane of one image: what is read, and how many pixels on a side are averaged then."""

    layer: int
    placed: int
    name: str
    wanted: Wanted
    factor: int
    is_mask: bool = False


@dataclass(frozen=True, slots=True)
class Prepared:
    """An answer that can be made."""

    survey: ImageSurvey
    choice: Choice
    items: tuple[_Item, ...]

    @property
    def wanted(self) -> tuple[Wanted, ...]:
        """What `finish` needs, in its order."""
        return tuple(item.wanted for item in self.items)

    def cost(self, files: Files) -> Cost:
        """Return what it costs; nothing is read for it."""
        return _cost(self.choice, self.items, *files.cost(self.wanted))

    def finish(self, pixels: Sequence[Pixels]) -> ImageProduct:
        """Make the answer of the pixels that were read."""
        arrays = [_averaged(item, one) for item, one in zip(self.items, pixels, strict=True)]
        layers = []
        for number, layer in enumerate(self.choice.layers):
            pieces = Pieces(layer)
            for item, array in zip(self.items, arrays, strict=True):
                if item.layer == number:
                    pieces.add(item.placed, item.name, array)
            layers.append(made(self.choice.request, self.survey, layer, pieces))
        return product_of(self.choice, self.survey, layers)

    def answer(self, files: Files) -> ImageProduct:
        """Read what is needed, band by band, and make the answer."""
        if len(self.choice.layers) == 1 and all(item.factor == 1 for item in self.items):
            return self.finish(files.read(self.wanted))
        return product_of(self.choice, self.survey, list(self._layers(files)))

    def _layers(self, files: Files) -> Iterator[Made]:
        for number, layer in enumerate(self.choice.layers):
            pieces = Pieces(layer)
            whole = [item for item in self.items if item.layer == number and item.factor == 1]
            if whole:
                for item, array in zip(whole, files.read([item.wanted for item in whole]), strict=True):
                    pieces.add(item.placed, item.name, array)
            for item in self.items:
                if item.layer == number and item.factor > 1:
                    pieces.add(item.placed, item.name, _read_averaged(files, item))
            yield made(self.choice.request, self.survey, layer, pieces)


def prepared(survey: ImageSurvey, choice: Choice) -> Prepared:
    """Say what is to be read."""
    items: list[_Item] = []
    for number, layer in enumerate(choice.layers):
        for place, placed in enumerate(layer.placed):
            for name, plane in _planes(choice, survey, layer, placed):
                is_mask = name != "" and survey.images.planes[name].meaning == "mask"
                source = source_of(placed.original, plane, placed.read, placed.factor)
                integers = is_mask or (name == "" and _is_as_stored(choice.request, layer, placed))
                wanted = Wanted(source.plane, source.shape, source.box, integers)
                items.append(_Item(number, place, name, wanted, source.factor, is_mask))
    return Prepared(survey, choice, tuple(items))


def _is_as_stored(request: ImageRequest, layer: Layer, placed: Placed) -> bool:
    """Say whether an image's pixels are given as they are, none averaged, resampled or missing.

    Integers stay integers then; of large ones floating point would lose the last digits.
    """
    return (
        not request.output.is_picture
        and layer.grid is None
        and placed.factor == 1
        and placed.wanted == placed.read
        and not (isinstance(request, AtPosition) and request.masked)
    )


def _planes(choice: Choice, survey: ImageSurvey, layer: Layer, placed: Placed) -> Iterator[tuple[str, Plane]]:
    """Yield the planes to read, the image's own pixels by the name ''."""
    request, image = choice.request, placed.original
    yield "", image.pixels
    wanted = set(request.planes)
    for name, plane in image.planes.items():
        meaning = survey.images.planes[name].meaning
        weighs = layer.grid is not None and request.is_several and meaning in ("weight", "variance")
        # An overview has no weights, and of a picture that is made of overviews nobody would see them.
        weighs &= placed.factor == 1 or not request.output.is_picture
        masks = isinstance(request, AtPosition) and request.masked and meaning == "mask"
        if name in wanted or masks or weighs:
            yield name, plane


def _cost(choice: Choice, items: Sequence[_Item], size: int, reads: int) -> Cost:
    request = choice.request
    plain = tiled = 0
    held = [0] * len(choice.layers)
    for item in items:
        height, width = item.wanted.box.shape
        if isinstance(item.wanted.plane.place, Plain):
            plain += height * width
        else:
            tiled += height * width
        kept = height * width
        if item.factor > 1:
            kept = kept // item.factor**2 + min(kept, _BLOCK)
        held[item.layer] += kept
    shapes = [_shape(layer) for layer in choice.layers]
    given = sum(height * width for height, width in shapes)
    resampled = sum(
        height * width * len(layer.placed)
        for (height, width), layer in zip(shapes, choice.layers, strict=True)
        if layer.grid is not None
    )
    side = max(max(shape) for shape in shapes)
    if request.output.is_picture:
        side = round(side * choice.zoom)
        given_out = given * choice.zoom**2 if choice.zoom > 1 else given
    else:
        given_out = given * (1 + len(request.planes))
    is_several = isinstance(request, AtPosition) and request.is_several
    return Cost(
        "mosaic" if is_several else "cut",
        images=len(choice.images),
        reads=reads,
        bytes=size,
        # What is read of one image is given as it is; of several, beside what comes of them.
        held=max(held) + (given if resampled or len(shapes) > 1 else 0),
        pixels=round(given_out),
        side=side,
        work=work_of(
            images=len(choice.images),
            reads=reads,
            bytes_read=size,
            plain=plain,
            tiled=tiled,
            resampled=resampled,
            method=request.method if isinstance(request, AtPosition) else "interp",
            given=round(given_out),
            form=request.output.form,
        ),
    )


def _shape(layer: Layer) -> tuple[int, int]:
    """Return (height, width) of what a layer gives."""
    return layer.grid.shape if layer.grid is not None else layer.placed[0].wanted.shape


def _averaged(item: _Item, pixels: Pixels) -> Pixels:
    if item.factor == 1:
        return pixels
    # Of a mask's square nothing is left out: it is flagged as all of its pixels are.
    return shrunk(pixels, item.factor) if not item.is_mask else _flagged(pixels, item.factor)


def _flagged(mask: Pixels, factor: int) -> Pixels:
    """Return a mask with squares of pixels as one, all flags of which are set.

    Of floating point numbers, which have no bits, it is the largest amount; NaN, which is not 0 either, stays.
    """
    height, width = mask.shape
    starts = [np.arange(0, side, factor) for side in (height, width)]
    is_float = mask.dtype.kind == "f"
    together: Any = np.maximum if is_float else np.bitwise_or
    rows = together.reduceat(np.abs(mask) if is_float else mask, starts[0], axis=0)
    return np.asarray(together.reduceat(rows, starts[1], axis=1))


def _read_averaged(files: Files, item: _Item) -> Pixels:
    """Read some rows after the other, and keep their averages."""
    box, by = item.wanted.box, item.factor
    rows = max(by, _BLOCK // max(1, box.shape[1]) // by * by)
    parts = []
    for start in range(box.y0, box.y1, rows):
        part = replace(item.wanted, box=Box(box.x0, box.x1, start, min(start + rows, box.y1)))
        parts.append(_averaged(item, files.read([part])[0]))
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
