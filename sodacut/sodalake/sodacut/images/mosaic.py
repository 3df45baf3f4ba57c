"""Several images as one: resampled onto a grid and combined, block by block.

``coadd`` is the weighted mean, ``median`` the median, and ``nearest`` takes each pixel from one image only, the one
whose centre is nearest (of those that have a pixel there), so that nothing is blended. How one image is resampled says
`sodalake.sodacut.images.resampling`.

Values of images that all have a zero point are brought to a common one first, by 10^(0.4 (common − own)). Weights are
inverse variances and follow: what multiplies values divides them twice. If one of the images has no weights, those of
the others only say which pixels are good, and all count alike.

Memory is that of the answer, and of one block: its side is `block`, less where a median has many images to hold.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from sodalake.sodacut.coordinates import Box
from sodalake.sodacut.images.background import levels
from sodalake.sodacut.images.combining import Coadd, Combination, Median, Nearest
from sodalake.sodacut.images.grids import Grid
from sodalake.sodacut.images.placing import Projection
from sodalake.sodacut.images.resampling import Method, Source, Target, resampled
from sodalake.sodacut.stampfits import Pixels

__all__ = ["ALGORITHMS", "Algorithm", "Mosaic", "Part", "ProvenanceCard", "mosaic"]

Algorithm = Literal["coadd", "nearest", "median"]
ALGORITHMS: Final[tuple[Algorithm, ...]] = ("coadd", "nearest", "median")

ProvenanceCard = tuple[str, str | float | int | bool, str]
"""Keyword, value, comment."""

_STACK: Final = 1 << 24  # pixels that a median holds at once
_MOST_NAMED: Final = 999  # IMAGE001 to IMAGE999


@dataclass(frozen=True, slots=True)
class Part:
    """One of the images.

    Attributes
    ----------
    name
        What it is called in the answer's header.
    pixels
        (height, width); NaN is no pixel.
    wcs
        Their coordinates, `astropy.wcs.WCS`.
    weight
        Inverse variance of each pixel, or anything that is proportional to it; NaN or 0 is no pixel.
    mask
        Other than 0 is no pixel.
    zero_point
        Magnitude of one unit.
    seeing
        Width of a point source, arcseconds.
    centre
        (RA, Dec) of the image that the pixels were cut from, degrees; None: their own middle.
    """

    name: str
    pixels: Pixels
    wcs: Any
    weight: Pixels | None = None
    mask: NDArray[Any] | None = None
    zero_point: float | None = None
    seeing: float | None = None
    centre: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Mosaic:
    """The images as one.

    Attributes
    ----------
    pixels
        (height, width) of float32, NaN where there is nothing.
    weight
        Sum of the weights of what is in each pixel (images without weights count 1), 0 where there is nothing.
    inputs
        Name of each image, in the order given, and the share of the grid's pixels that it is in (0…1).
    covered
        Share of the grid's pixels that have a value.
    algorithm, method
        As asked for.
    zero_point
        Of the values; None where not all images have one, so that they are as they were.
    offsets
        What was added to each image to match backgrounds; None where they were not.
    groups
        How many groups of images there are that do not touch, each with a background of its own; None as `offsets`.
    seeing
        Mean of the images', by their share; None where not all that gave something have one.
    """

    pixels: NDArray[np.float32]
    weight: NDArray[np.float32]
    inputs: tuple[tuple[str, float], ...]
    covered: float
    algorithm: Algorithm
    method: Method
    zero_point: float | None = None
    offsets: tuple[float, ...] | None = None
    groups: int | None = None
    seeing: float | None = None

    def cards(self, masked: Sequence[bool] | None = None) -> tuple[ProvenanceCard, ...]:
        """Return where the pixels come from, as cards of a FITS header.

        Parameters
        ----------
        masked
            Of each image whether it has a mask; None where nobody asked to leave out what one flags.
        """
        used = [(name, share) for name, share in self.inputs if share > 0]
        cards: list[ProvenanceCard] = [
            ("NINPUTS", len(used), "images in this mosaic"),
            ("COMBINE", self.algorithm, "how they are combined"),
            ("METHOD", f"reproject_{self.method}", "how they are resampled"),
            ("COVERED", round(self.covered, 6), "share of pixels with a value"),
        ]
        if self.offsets is not None:
            cards.append(("MATCHED", True, "backgrounds are matched, to the first image"))
            if self.groups is not None and self.groups > 1:
                cards.append(("MATCHGRP", self.groups, "groups that do not overlap, each matched"))
        else:
            cards.append(("MATCHED", False, "backgrounds are as they were"))
        if self.zero_point is not None:
            cards.append(("MAGZERO", self.zero_point, "[mag] of one unit, common to all"))
        if self.seeing is not None:
            cards.append(("SEEING", round(self.seeing, 4), "[arcsec] mean of the images"))
        mask_of = dict(zip((name for name, _ in self.inputs), masked or (), strict=False))
        if masked is not None:
            has_all = all(mask_of[name] for name, _ in used)
            cards.append(("MASKED", has_all, "what masks flag is left out, of all images"))
        offset_of = dict(zip((name for name, _ in self.inputs), self.offsets or (), strict=False))
        for number, (name, share) in enumerate(used[:_MOST_NAMED], 1):
            cards.append((f"IMAGE{number:03d}", name, f"in {100 * share:.3g} % of the pixels"))
            if name in offset_of:
                cards.append((f"BACKG{number:03d}", float(f"{offset_of[name]:.7g}"), "added to it"))
            if name in mask_of:
                cards.append((f"MASK{number:03d}", mask_of[name], "whether it has a mask"))
        return tuple(cards)


def mosaic(
    parts: Sequence[Part],
    grid: Grid,
    *,
    algorithm: Algorithm = "coadd",
    method: Method = "interp",
    match: bool = False,
    per_pixel: bool = True,
    zero_point: float | None = None,
    block: int = 1024,
) -> Mosaic:
    """Combine images on a grid.

    Parameters
    ----------
    parts
        The images; in doubt the first counts: its zero point, its background.
    grid
        The pixels of the answer.
    algorithm
        ``coadd``, ``nearest`` or ``median``.
    method
        ``interp``, ``adaptive`` or ``exact``.
    match
        Bring backgrounds to one level, see `sodalake.sodacut.images.background`.
    per_pixel
        Whether values are of a pixel (counts, nanomaggies), and so follow its area; else they are of an area (MJy/sr).
    zero_point
        To bring all images to that have one, if all have; None: the first's.
    block
        Side of the squares that are filled one by one, in pixels.

    Raises
    ------
    ValueError
        A weight or a mask that has not its image's shape; a block without pixels.
    """
    if block < 1:
        raise ValueError("a block has at least one pixel")
    common, scales = _common(parts, zero_point)
    wcs = grid.wcs()
    weighted = all(part.weight is not None for part in parts)
    sources = [_source(part, weighted) for part in parts]
    projections = [Projection(wcs, part.wcs, part.pixels.shape) for part in parts]
    centres = [_centre(part, projection) for part, projection in zip(parts, projections, strict=True)]
    offsets, groups = np.zeros(len(parts)), np.zeros(len(parts), np.int64)
    if match:
        offsets, groups = levels(sources, projections, grid.shape, scales, per_pixel=per_pixel)
    pixels = np.empty(grid.shape, np.float32)
    weight = np.empty(grid.shape, np.float32)
    counts = np.zeros(len(parts), np.int64)
    for box in _blocks(grid.shape, _side(block, algorithm, len(parts))):
        combined = _COMBINATIONS[algorithm](box)
        for number, (source, projection) in enumerate(zip(sources, projections, strict=True)):
            found = resampled(source, projection, box, method=method, per_pixel=per_pixel)
            if found is not None:
                levelled = _levelled(found, scales[number], float(offsets[number]), weighted)
                combined.add(number, levelled, centres[number])
        rows, columns = slice(box.y0, box.y1), slice(box.x0, box.x1)
        pixels[rows, columns], weight[rows, columns] = combined.result()
        for number, count in combined.counts().items():
            counts[number] += count
    shares = counts / pixels.size
    return Mosaic(
        pixels=pixels,
        weight=weight,
        inputs=tuple((part.name, float(share)) for part, share in zip(parts, shares, strict=True)),
        covered=float(np.count_nonzero(np.isfinite(pixels)) / pixels.size),
        algorithm=algorithm,
        method=method,
        zero_point=common,
        offsets=tuple(float(offset) for offset in offsets) if match else None,
        groups=len(set(groups[counts > 0].tolist())) if match else None,
        seeing=_mean_seeing(parts, shares),
    )


_COMBINATIONS: Final[dict[Algorithm, type[Combination]]] = {
    "coadd": Coadd, "nearest": Nearest, "median": Median
}  # fmt: skip


def _common(parts: Sequence[Part], wanted: float | None) -> tuple[float | None, list[float]]:
    """The zero point of the answer, and what brings each image to it."""
    own = [part.zero_point for part in parts if part.zero_point is not None]
    if not own or len(own) < len(parts):
        return None, [1.0] * len(parts)
    common = own[0] if wanted is None else wanted
    return common, [10 ** (0.4 * (common - one)) for one in own]


def _source(part: Part, weighted: bool) -> Source:
    if weighted or part.weight is None:
        return Source(part.pixels, part.wcs, part.weight, part.mask)
    with np.errstate(invalid="ignore"):
        bad = ~(part.weight > 0)
    return Source(part.pixels, part.wcs, None, bad if part.mask is None else bad | (part.mask != 0))


def _levelled(found: Target, scale: float, offset: float, weighted: bool) -> Target:
    if scale == 1 and offset == 0:
        return found
    values = found.values * np.float32(scale) + np.float32(offset)
    return Target(found.box, values, found.weight / np.float32(scale**2) if weighted else found.weight)


def _centre(part: Part, projection: Projection) -> tuple[float, float]:
    """An image's centre, in pixels of the grid; infinite where it has no place there."""
    if part.centre is None:
        height, width = part.pixels.shape
        x, y = projection.to_grid(np.array([(width - 1) / 2]), np.array([(height - 1) / 2]))
    else:
        x, y = projection.of_sky(*part.centre)
    found = float(x[0]), float(y[0])
    return found if all(map(math.isfinite, found)) else (math.inf, math.inf)


def _side(block: int, algorithm: Algorithm, count: int) -> int:
    return block if algorithm != "median" else max(1, min(block, math.isqrt(_STACK // max(1, count))))


def _blocks(shape: tuple[int, int], side: int) -> Iterator[Box]:
    height, width = shape
    for y in range(0, height, side):
        for x in range(0, width, side):
            yield Box(x, min(x + side, width), y, min(y + side, height))


def _mean_seeing(parts: Sequence[Part], shares: NDArray[np.float64]) -> float | None:
    of_used = [(part.seeing, share) for part, share in zip(parts, shares, strict=True) if share > 0]
    if not of_used:
        return None
    total = 0.0
    for seeing, share in of_used:
        if seeing is None:
            return None
        total += seeing * share
    return float(total / sum(share for _, share in of_used))
