"""The pixels of a mosaic: which part of the sky each of them is.

A grid is a shape and the FITS cards that say where it lies, and nothing else: it is made where a request is understood,
sent to a worker, written into the header of the answer. Its coordinates as `astropy.wcs.WCS` are made when they are
needed (importing astropy.wcs takes a second).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sodalake.lake.importing import IMPORTS
from sodalake.sodacut.errors import BadRegion

__all__ = ["Card", "Grid", "grid_of", "tangent_grid"]

_REFERENCE_PIXEL: Final = re.compile(r"CRPIX([12])")
_MATRIX: Final = re.compile(r"CD[12]_([12])")
_SIP: Final = re.compile(r"(A|B|AP|BP)_(\d)_(\d)")

Card = tuple[str, str | float | int | bool]
"""A keyword and its value."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Pixels on the sky.

    Attributes
    ----------
    shape
        (height, width).
    cards
        Of its coordinates, as a FITS header has them.
    """

    shape: tuple[int, int]
    cards: tuple[Card, ...]

    def wcs(self) -> Any:
        """Return its coordinates, an `astropy.wcs.WCS` that is the caller's own."""
        with IMPORTS:
            from astropy.io.fits import Header
            from astropy.wcs import WCS

        # NAXIS stands in the header so that a WCS knows its shape, which AVM and others ask it for.
        header = Header([("NAXIS", 2), ("NAXIS1", self.shape[1]), ("NAXIS2", self.shape[0]), *self.cards])
        return WCS(header, naxis=2, fix=False)

    def scaled_to(self, shape: tuple[int, int]) -> Grid:
        """Return the same piece of sky on another number of pixels: edges stay where they are."""
        if shape == self.shape:
            return self
        by_axis = {"1": shape[1] / self.shape[1], "2": shape[0] / self.shape[0]}
        return Grid(
            shape, tuple((keyword, _scaled(keyword, value, by_axis)) for keyword, value in self.cards)
        )


def _scaled(keyword: str, value: Any, by_axis: Mapping[str, float]) -> Any:
    if match := _REFERENCE_PIXEL.fullmatch(keyword):
        return (value - 0.5) * by_axis[match[1]] + 0.5
    if match := _MATRIX.fullmatch(keyword):
        return value / by_axis[match[1]]
    if match := _SIP.fullmatch(keyword):  # pixels from powers of pixels
        axis, first, second = match.groups()
        own = by_axis["1" if axis.startswith("A") else "2"]
        return value * own / (by_axis["1"] ** int(first) * by_axis["2"] ** int(second))
    return value


def tangent_grid(ra: float, dec: float, width: int, height: int, pixel_scale: float) -> Grid:
    """Pixels on the tangent plane at a position: north up, east left, the position in the middle.

    Parameters
    ----------
    ra, dec
        Degrees, ICRS.
    width, height
        In pixels.
    pixel_scale
        Arcseconds.

    Raises
    ------
    BadRegion
        Numbers that are no position, a size that has no pixel, or one that no tangent plane holds.
    """
    if not (math.isfinite(ra) and math.isfinite(dec) and -90 <= dec <= 90):
        raise BadRegion(
            f"RA {ra:g}, Dec {dec:g} is no position.", "Both are degrees (ICRS), Dec between -90 and 90."
        )
    if not (math.isfinite(pixel_scale) and pixel_scale > 0):
        raise BadRegion(f"The pixel scale is {pixel_scale:g}.", "It is a positive number of arcseconds.")
    if width < 1 or height < 1:
        raise BadRegion(f"A grid of {width} × {height} pixels has none.", "Take at least 1 × 1.")
    extent = math.hypot(width, height) * pixel_scale / 3600
    if extent > 90:
        raise BadRegion(
            f"{width} × {height} pixels of {pixel_scale:g}″ are {extent:.0f}° from corner to corner.",
            "A tangent plane shows 90° at most: take fewer or smaller pixels.",
        )
    step = pixel_scale / 3600
    cards: tuple[Card, ...] = (
        ("WCSAXES", 2),
        ("CTYPE1", "RA---TAN"),
        ("CTYPE2", "DEC--TAN"),
        ("CRVAL1", ra % 360),
        ("CRVAL2", dec),
        ("CRPIX1", (width + 1) / 2),
        ("CRPIX2", (height + 1) / 2),
        ("CD1_1", -step),
        ("CD1_2", 0.0),
        ("CD2_1", 0.0),
        ("CD2_2", step),
        ("CUNIT1", "deg"),
        ("CUNIT2", "deg"),
        (
            "LONPOLE",
            180.0,
        ),  # which it is by default except at the very pole, where the picture would be upside down
        ("RADESYS", "ICRS"),
    )
    return Grid((height, width), cards)


def grid_of(wcs: Any, shape: tuple[int, int]) -> Grid:
    """The pixels of an image that is there already.

    Parameters
    ----------
    wcs
        `astropy.wcs.WCS`, with whatever projection and distortion (no lookup tables: they have no cards).
    shape
        (height, width).
    """
    header = wcs.to_header(relax=True)
    # FITS cards hold more digits than wcslib writes: twelve of CRPIX or CRVAL are not always a millionth of a pixel.
    exact = {
        f"{name}{axis + 1}": float(values[axis])
        for name, values in (("CRPIX", wcs.wcs.crpix), ("CRVAL", wcs.wcs.crval))
        for axis in (0, 1)
    }
    matrix = wcs.pixel_scale_matrix
    for keyword in [key for key in header if key[:2] in ("PC", "CD")]:
        del header[keyword]
    cards: list[Card] = [
        (keyword, exact.get(keyword, value))
        for keyword, value in header.items()
        if keyword not in ("COMMENT", "HISTORY", "", "MJDREF", "DATEREF")
    ]
    cards += [(f"CD{i + 1}_{j + 1}", float(matrix[i, j])) for i in (0, 1) for j in (0, 1)]
    return Grid(shape, tuple(cards))
