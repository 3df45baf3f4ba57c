"""The pixels of a HiPS tile (HiPS 1.0, 4.1): cells of HEALPix, seen as a square.

A tile of order K is one cell of that order, and its 512 × 512 pixels are the cells of order K + 9 in it. On the plane
of the projection HPX a cell is a square that stands on a corner, so a tile's coordinates are those of that projection,
turned so that the cell's southern corner is the first pixel of the top row, its western one the last.
"""

from __future__ import annotations

import math
from typing import Final

from sodalake.sodacut.images.grids import Card, Grid

__all__ = ["LAST_ORDER", "WIDTH", "order_for", "pixel_scale", "tile_centre", "tile_grid", "tile_radius"]

WIDTH: Final = 512
"""Pixels of a tile's side: 2**9, as all clients expect."""

LAST_ORDER: Final = 20
"""HEALPix in 64 bits ends at order 29, and a tile's pixels are nine orders below it."""

_CELL: Final = 211_075.0  # arcseconds along the side of a cell of order 0
_FACE: Final = 45.0  # degrees on the plane from a face's corner to its middle
_BEHIND: Final = 6  # the face whose middle is at longitude 180°, where the plane is cut


def order_for(scale: float) -> int:
    """Return the order of the tiles whose pixels are nearest to so many arcseconds."""
    return min(LAST_ORDER, max(0, round(math.log2(_CELL / WIDTH / scale))))


def pixel_scale(order: int) -> float:
    """Return the arcseconds of the pixels of an order's tiles: the root of their area, which is the same everywhere."""
    return math.ldexp(_CELL / WIDTH, -order)


def tile_grid(order: int, number: int, width: int = WIDTH) -> Grid:
    """Return the pixels of a tile, row 0 at the bottom as in its FITS file.

    Parameters
    ----------
    order, number
        The cell (NESTED, ICRS).
    width
        Pixels of its side.
    """
    side = 2**order
    face, inside = divmod(number, side * side)
    east, north = _middle(face, inside, order)
    # The plane is cut at 180°: the face there is drawn about its own middle. Two faces on, the pattern repeats.
    behind = face == _BEHIND
    if behind:
        east -= 180.0
    elif east > 180.0:
        east -= 360.0
    step = _FACE / width / side
    x, y = (north - east) / (2 * step), -(north + east) / (2 * step)
    cards: tuple[Card, ...] = (
        ("WCSAXES", 2),
        ("CTYPE1", "RA---HPX"),
        ("CTYPE2", "DEC--HPX"),
        ("CRVAL1", 180.0 if behind else 0.0),
        ("CRVAL2", 0.0),
        ("CRPIX1", (width + 1) / 2 - x),
        ("CRPIX2", (width + 1) / 2 - y),
        ("CD1_1", -step),
        ("CD1_2", -step),
        ("CD2_1", step),
        ("CD2_2", -step),
        ("PV2_1", 4.0),
        ("PV2_2", 3.0),
        ("CUNIT1", "deg"),
        ("CUNIT2", "deg"),
        ("RADESYS", "ICRS"),
    )
    return Grid((width, width), cards)


def _middle(face: int, inside: int, order: int) -> tuple[float, float]:
    """Return where a cell's middle is on the plane of HPX, in degrees: longitude of a kind, and latitude of a kind."""
    column, row = _spread(inside), _spread(inside >> 1)
    band, turn = divmod(face, 4)
    # Faces about the equator begin at longitude 0, those of the polar caps between.
    south = (90.0 * turn + (0.0 if band == 1 else _FACE), (0.0, -_FACE, -2 * _FACE)[band])
    step = _FACE / 2**order
    return south[0] + (column - row) * step, south[1] + (column + row + 1) * step


def _spread(number: int) -> int:
    """Return every other bit of a number: a coordinate of a cell in its face."""
    found = 0
    for bit in range(number.bit_length() // 2 + 1):
        found |= (number >> (2 * bit) & 1) << bit
    return found


def tile_centre(order: int, number: int) -> tuple[float, float]:
    """Return longitude and latitude of a tile's middle, in degrees."""
    import numpy as np

    from sodalake.lake.cells import centres

    lon, lat = centres(np.array([number], np.int64), order)
    return float(lon[0]), float(lat[0])


def tile_radius(order: int) -> float:
    """Return how far from its middle a tile's corner is at most, in degrees."""
    return math.ldexp(70.0, -order)
