"""The box of an image that a region or a position asks for, and pixels padded to it; `fits_of` writes them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from sodalake.lake.images.records import Image
from sodalake.sodacut.coordinates import Box, pixel_box
from sodalake.sodacut.errors import NoOverlap
from sodalake.sodacut.images.cutfits import fits_of
from sodalake.sodacut.images.frames import frame_of
from sodalake.sodacut.shapes import Region, directions

__all__ = ["box_around", "box_at", "box_by_region", "fits_of", "padded", "spots_in"]


def box_by_region(image: Image, region: Region) -> Box:
    """Return the pixels that a region's bounding box touches, clipped to the image (SODA 1.0, section 3.3).

    Raises
    ------
    NoOverlap
        The region touches no pixel of the image.
    NoCoordinates, Damaged
        See `frames.frame_of`.
    """
    try:
        return pixel_box(region, frame_of(image), image.shape)
    except NoOverlap as error:
        raise NoOverlap(f"The region has no pixel of {image.survey} {image.image_id}.") from error


def box_at(image: Image, ra: float, dec: float, width: int, height: int) -> tuple[Box, Box]:
    """Return the box of so many pixels around a position, and what of it is in the image.

    The box is that of `astropy.nddata.Cutout2D`: the position is in its middle pixel, or, of an even number, between
    the two middle ones as well as whole pixels allow.

    Parameters
    ----------
    ra, dec
        Degrees, ICRS.
    width, height
        Pixels, 1 or more.

    Returns
    -------
    wanted, read
        The box, which may go beyond the image, and its part within.

    Raises
    ------
    NoOverlap
        It has no pixel of the image.
    NoCoordinates, Damaged
        See `frames.frame_of`.
    """
    reach = math.hypot(width, height) * image.pixel_scale / 3600
    ((x, y),) = spots_in(image, np.array([ra]), np.array([dec]), reach).tolist()
    try:
        return box_around(image, x, y, width, height)
    except NoOverlap:
        raise NoOverlap(
            f"{image.survey} {image.image_id} has no pixel within {width} x {height} around {ra}, {dec}."
        ) from None


def spots_in(
    image: Image, ra: npt.NDArray[np.float64], dec: npt.NDArray[np.float64], reach: float
) -> npt.NDArray[np.float64]:
    """Return where N positions (degrees, ICRS) are in an image: x, y (N x 2), pixels from 0.

    A position farther from the image than `reach` (degrees) is NaN: far away, where a distortion's polynomial means
    nothing, it may lead back into the image.

    Raises
    ------
    NoCoordinates, Damaged
        See `frames.frame_of`.
    """
    where = directions(ra, dec)
    chords = np.sqrt(((where - directions(image.ra, image.dec)) ** 2).sum(axis=1))
    apart = np.degrees(2 * np.arcsin(np.minimum(1.0, chords / 2)))
    near = apart <= 1.1 * (image.radius + reach)
    found = np.full((len(where), 2), np.nan)
    if near.any():
        found[near] = np.stack(frame_of(image).to_pixels(where[near]), axis=1)
    return found


def box_around(image: Image, x: float, y: float, width: int, height: int) -> tuple[Box, Box]:
    """Return the box of so many pixels around a place in an image; as `box_at`.

    Raises
    ------
    NoOverlap
        It has no pixel of the image, or the place is NaN.
    """
    if math.isfinite(x) and math.isfinite(y):
        x0, y0 = math.ceil(x - width / 2), math.ceil(y - height / 2)
        wanted = Box(x0, x0 + width, y0, y0 + height)
        rows, columns = image.shape
        read = Box(max(x0, 0), min(wanted.x1, columns), max(y0, 0), min(wanted.y1, rows))
        if read.x0 < read.x1 and read.y0 < read.y1:
            return wanted, read
    raise NoOverlap(f"{image.survey} {image.image_id} has no pixel of {width} x {height} around there.")


def padded(pixels: npt.NDArray[Any], wanted: Box, read: Box) -> npt.NDArray[Any]:
    """Return pixels of the box `read` in the box `wanted`, with NaN around them.

    Where nothing is missing they are returned as they are; else integers become floating point numbers that hold them
    (float32 of up to 16 bits, float64 of more).
    """
    if wanted == read:
        return pixels
    kind = pixels.dtype
    if kind.kind != "f":
        kind = np.dtype(np.float32 if kind.itemsize <= 2 else np.float64)
    out = np.full(wanted.shape, np.nan, kind)
    y, x = read.y0 - wanted.y0, read.x0 - wanted.x0
    out[y : y + pixels.shape[0], x : x + pixels.shape[1]] = pixels
    return out
