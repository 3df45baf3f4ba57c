"""A tile's pixels, from the images that meet it.

Of each image only the piece is read that the tile has use for. Where a tile's pixels are much larger than the image's
(a HiPS of a lower order was asked for), the piece is averaged first, so that no pixel is left out of what is shown; the
overview that ingest made of an image serves for that, if there is no weight or mask beside it to be heeded.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sodalake.lake.images.finding import ImageFinder
from sodalake.lake.images.imagesurvey import ImageSurvey
from sodalake.lake.images.records import Image, Plane
from sodalake.lake.importing import IMPORTS
from sodalake.lake.lake import Lake
from sodalake.sodacut.coordinates import Box
from sodalake.sodacut.hips.grids import WIDTH, pixel_scale, tile_centre, tile_grid, tile_radius
from sodalake.sodacut.hips.tiles import averaged
from sodalake.sodacut.images.binning import binned, source_of
from sodalake.sodacut.images.frames import wcs_of
from sodalake.sodacut.images.grids import Grid
from sodalake.sodacut.images.mosaic import Part, mosaic
from sodalake.sodacut.images.pixelfiles import PixelFiles, Wanted
from sodalake.sodacut.stampfits import Pixels

__all__ = ["Filler", "Subject"]

_MARGIN: Final = 3  # pixels beyond those that the tile's edge falls on
_EDGE: Final = 33  # points along a tile's edge that are looked for in an image
_HAIR: Final = 0.05  # by which a ratio of pixels may fall short of a whole number


@dataclass(frozen=True, slots=True)
class Subject:
    """What a HiPS shows: a collection in one band.

    Attributes
    ----------
    zero_point
        That the values of the images are brought to, of those that have one; None: they are left as they are.
    """

    survey: str
    collection: str
    band: str
    zero_point: float | None = None


class Filler:
    """Makes tiles; holds files of one lake open.

    Parameters
    ----------
    lake
        Where the images are.
    """

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._finder = ImageFinder(lake)
        self._files = PixelFiles()

    def tile(self, subject: Subject, order: int, number: int) -> NDArray[np.float32] | None:
        """Return a tile's pixels (512, 512), NaN where there is nothing; None where there is nothing at all.

        Raises
        ------
        LakeError
            An image cannot be read: one that is left out would not be missed by anybody who looks at the HiPS.
        """
        survey: ImageSurvey = self._lake.image_survey(subject.survey)
        ra, dec = tile_centre(order, number)
        images = self._finder.near(
            survey, ra, dec, tile_radius(order), bands=(subject.band,), collections=(subject.collection,)
        )
        grid = tile_grid(order, number)
        parts = [
            part for image in images if (part := self._part(image, order, grid, survey, subject)) is not None
        ]
        if not parts:
            return None
        # Values of a pixel are left as they are: they are a brightness, which a mean of four of them is, too.
        made = mosaic(parts, grid, per_pixel=False, block=WIDTH)
        return made.pixels if made.covered > 0 else None

    def _part(
        self, image: Image, order: int, grid: Grid, survey: ImageSurvey, subject: Subject
    ) -> Part | None:
        """Return what a tile needs of an image, or None where that is nothing."""
        factor = max(1, int(pixel_scale(order) / image.pixel_scale + _HAIR))
        smaller = binned(image, factor)
        wcs = wcs_of(smaller)
        box = _box(grid, wcs, smaller.shape)
        if box is None:
            return None
        beside: dict[str, Plane] = {
            about.meaning: image.planes[name]
            for name, about in survey.images.planes.items()
            if name in image.planes
        }
        weight: Pixels | None = None
        mask: NDArray[Any] | None = None
        if factor == 1 or beside:
            full = source_of(replace(image, overview=None), image.pixels, box, factor).box
            pixels, weight, mask = self._read(image, beside, full)
            if factor > 1:
                good = np.isfinite(pixels) if mask is None else np.isfinite(pixels) & (mask == 0)
                if weight is not None:
                    good &= weight > 0
                pixels, weight, mask = averaged(np.where(good, pixels, np.nan), factor), None, None
        else:
            source = source_of(image, image.pixels, box, factor)
            (pixels,) = self._files.read([Wanted(source.plane, source.shape, source.box)])
            pixels = averaged(pixels, source.factor)
        if subject.zero_point is not None and image.zero_point is not None:
            scale = np.float32(10 ** (0.4 * (subject.zero_point - image.zero_point)))
            pixels = pixels * scale
            weight = None if weight is None else weight / scale**2
        return Part(
            image.image_id,
            pixels,
            wcs[box.y0 : box.y1, box.x0 : box.x1],
            weight=weight,
            mask=mask,
            centre=(image.ra, image.dec),
        )

    def _read(
        self, image: Image, beside: dict[str, Plane], box: Box
    ) -> tuple[Pixels, Pixels | None, NDArray[Any] | None]:
        """Return the pixels of a box, their weight, and their mask."""
        planes = {"": image.pixels, **beside}
        wanted = [Wanted(plane, image.shape, box, integers=name == "mask") for name, plane in planes.items()]
        found = dict(zip(planes, self._files.read(wanted), strict=True))
        weight = found.get("weight")
        if weight is None and "variance" in found:
            with np.errstate(divide="ignore", invalid="ignore"):
                weight = 1 / found["variance"]
            weight[~np.isfinite(weight)] = 0
        return found[""], weight, found.get("mask")


def _box(grid: Grid, wcs: Any, shape: tuple[int, int]) -> Box | None:
    """Return the pixels of an image that are in a tile, or beside them; None where none is."""
    height, width = grid.shape
    steps = np.linspace(-0.5, width - 0.5, _EDGE)
    x, y = (axis.ravel() for axis in np.meshgrid(steps, np.linspace(-0.5, height - 0.5, _EDGE)))
    lon, lat = grid.wcs().all_pix2world(x, y, 0)
    at = _pixels(wcs, lon, lat)
    if at is None:
        return None
    rows, columns = shape
    x0, x1 = max(0, int(at[0].min()) - _MARGIN), min(columns, int(at[0].max()) + _MARGIN + 1)
    y0, y1 = max(0, int(at[1].min()) - _MARGIN), min(rows, int(at[1].max()) + _MARGIN + 1)
    return Box(x0, x1, y0, y1) if x0 < x1 and y0 < y1 else None


def _pixels(wcs: Any, lon: NDArray[np.float64], lat: NDArray[np.float64]) -> tuple[Any, Any] | None:
    """Return where places (ICRS, degrees) are in an image; those that have no place in it are left out."""
    with IMPORTS:
        from astropy import units as u
        from astropy.coordinates import SkyCoord

    with np.errstate(all="ignore"):
        x, y = wcs.world_to_pixel(SkyCoord(lon * u.deg, lat * u.deg, frame="icrs"))
    there = np.isfinite(x) & np.isfinite(y)
    return (x[there], y[there]) if there.any() else None
