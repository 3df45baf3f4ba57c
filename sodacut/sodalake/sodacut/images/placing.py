"""Where the pixels of a grid are in an image.

That is a smooth function. wcslib is asked at a hundred and some points of a box, and between them it is a product of
Chebyshev polynomials, which is checked at other points to a millionth of a pixel: 200 × 200 pixels take 0.4 ms rather
than 6, and more than that is gained where the way to the image is a search (TPV, SIP). Where it is not that smooth,
wcslib is asked everywhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sodalake.lake.importing import IMPORTS
from sodalake.sodacut.coordinates import Box
from sodalake.sodacut.images.frames import frame_of_wcs
from sodalake.sodacut.shapes import directions

__all__ = ["Places", "Projection", "places"]

Plane = NDArray[np.float64]

_NODES: Final = 13  # polynomials of degree 12: TAN, TPV and SIP over 1024 pixels are good to 1e-9
_CHECKS: Final = np.concatenate([[-1.0], np.linspace(-0.93, 0.95, 6), [1.0]])  # none of them a node
_ACCURACY: Final = 1e-6  # pixels
_SMALL: Final = 24 * 24  # pixels that are asked for one by one
_EDGE: Final = 17  # points on a side of an image's outline


class Projection:
    """Where the pixels of a grid are in an image, and the image's outline on the grid."""

    def __init__(self, grid: Any, image: Any, shape: tuple[int, int]) -> None:
        # Copies: astropy.wcs may not be used by two threads at once (astropy issue 16244), and images' are kept.
        self.grid, self.image = grid.deepcopy(), image.deepcopy()
        self._one_frame = _frame(grid) == _frame(image)
        self.bounds = self._outline(shape)

    def to_image(self, x: Plane, y: Plane) -> tuple[Plane, Plane]:
        """Pixel coordinates (from 0) in the image, of such in the grid; NaN where there are none."""
        return self._between(self.grid, self.image, x, y)

    def to_grid(self, x: Plane, y: Plane) -> tuple[Plane, Plane]:
        """The way back."""
        return self._between(self.image, self.grid, x, y)

    def of_sky(self, ra: float, dec: float) -> tuple[Plane, Plane]:
        """Pixel coordinates in the grid of a position (degrees, ICRS)."""
        return frame_of_wcs(self.grid).to_pixels(directions(np.array([ra]), np.array([dec])))

    def _between(self, one: Any, other: Any, x: Plane, y: Plane) -> tuple[Plane, Plane]:
        if not self._one_frame:
            with IMPORTS:
                from astropy.wcs.utils import pixel_to_pixel

            there = pixel_to_pixel(one, other, x.ravel(), y.ravel())
        else:
            lon, lat = one.all_pix2world(x.ravel(), y.ravel(), 0)
            if other.has_distortion:
                there = other.all_world2pix(lon, lat, 0, tolerance=1e-9, maxiter=50, quiet=True)
            else:
                there = other.wcs_world2pix(lon, lat, 0)
        first, second = (np.asarray(axis, np.float64).reshape(x.shape) for axis in there)
        return first, second

    def _outline(self, shape: tuple[int, int]) -> tuple[float, float, float, float] | None:
        """Least and greatest x and y on the grid; None where the outline has no place on it."""
        height, width = shape
        along = np.linspace(0, 1, _EDGE)
        t, u = np.concatenate(
            [[along, along * 0], [along, along * 0 + 1], [along * 0, along], [along * 0 + 1, along]], 1
        )
        x, y = self.to_grid(t * width - 0.5, u * height - 0.5)
        if not (np.isfinite(x).all() and np.isfinite(y).all()):
            return None
        return float(x.min()), float(x.max()), float(y.min()), float(y.max())

    def reach(self, block: Box) -> Box | None:
        """The part of a block that the image may have pixels in."""
        if self.bounds is None:
            return block
        x0, x1, y0, y1 = self.bounds
        # A pixel more: between two points of the outline, the outline bends.
        box = Box(
            max(block.x0, math.floor(max(x0, -1e9)) - 1),
            min(block.x1, math.ceil(min(x1, 1e9)) + 2),
            max(block.y0, math.floor(max(y0, -1e9)) - 1),
            min(block.y1, math.ceil(min(y1, 1e9)) + 2),
        )
        return box if box.x0 < box.x1 and box.y0 < box.y1 else None


@dataclass(frozen=True, slots=True)
class Places:
    """Where the pixels of a box of a grid are in an image.

    Attributes
    ----------
    box
        The pixels of the grid.
    x, y
        Coordinates in the image, from 0 at the centre of its first pixel; NaN where there are none.
    area
        How many of the image's pixels each of the grid's takes up; one number where all are alike.
    """

    box: Box
    x: Plane
    y: Plane
    area: Plane | float


def places(projection: Projection, box: Box, every: int = 1) -> Places:
    """Look up the pixels of a box of the grid, or every so many of them in both directions."""
    xs = np.arange(box.x0, box.x1, every, dtype=np.float64)
    ys = np.arange(box.y0, box.y1, every, dtype=np.float64)
    smooth = None
    if projection.bounds is not None and len(xs) * len(ys) > _SMALL:
        smooth = _smooth(projection, box, xs, ys)
    x, y, area = smooth if smooth is not None else _everywhere(projection, xs, ys)
    near_x, near_y = np.rint(x), np.rint(y)
    # Pixels that fall on pixels are those pixels, and not the last digit of their neighbours.
    if _within(x, near_x, _ACCURACY) and _within(y, near_y, _ACCURACY):
        x, y = near_x, near_y
    return Places(box, x, y, 1.0 if _within(area, np.ones(1), 1e-7) else area)


def _within(values: Plane, expected: Plane, most: float) -> bool:
    return bool(np.abs(values - expected).max(initial=0.0) <= most)  # not so with NaN among them


# ---------------------------------------------------------------------- by polynomials


@dataclass(frozen=True, slots=True)
class _Chebyshev:
    """What is the same for every box, whose sides are from -1 to 1.

    Attributes
    ----------
    nodes
        Where values are taken, (nodes).
    fit
        Makes coefficients of the values at the nodes, (nodes, nodes).
    values, slopes, checks
        Make of coefficients the values and the slopes at the nodes, and the values at the points to check at.
    """

    nodes: Plane
    fit: Plane
    values: Plane
    slopes: Plane
    checks: Plane


@lru_cache(maxsize=1)
def _chebyshev() -> _Chebyshev:
    nodes = np.cos(np.pi * (np.arange(_NODES) + 0.5) / _NODES)
    values = _polynomials(nodes)
    fit = values.T * (2 / _NODES)  # on these nodes the polynomials are orthogonal
    fit[0] /= 2
    slopes = values[:, :-1] @ np.polynomial.chebyshev.chebder(np.eye(_NODES), axis=0)
    return _Chebyshev(nodes, fit, values, slopes, _polynomials(_CHECKS))


def _polynomials(at: Plane) -> Plane:
    """(places, polynomials)."""
    return np.asarray(np.polynomial.chebyshev.chebvander(at, _NODES - 1), np.float64)


def _smooth(projection: Projection, box: Box, xs: Plane, ys: Plane) -> tuple[Plane, Plane, Plane] | None:
    """x, y and area; None where polynomials are not good enough."""
    basis = _chebyshev()
    middle_x, half_x = (box.x0 + box.x1 - 1) / 2, max((box.x1 - 1 - box.x0) / 2, 0.5)
    middle_y, half_y = (box.y0 + box.y1 - 1) / 2, max((box.y1 - 1 - box.y0) / 2, 0.5)
    # Nodes and checks in one call: it has a price of its own.
    u = np.concatenate([np.tile(at, len(at)) for at in (basis.nodes, _CHECKS)])
    v = np.concatenate([np.repeat(at, len(at)) for at in (basis.nodes, _CHECKS)])
    found = projection.to_image(middle_x + half_x * u, middle_y + half_y * v)
    fitted = []
    for values in found:
        if not np.isfinite(values).all():
            return None
        at_nodes, at_checks = values[: _NODES**2].reshape(_NODES, _NODES), values[_NODES**2 :]
        coefficients = basis.fit @ at_nodes @ basis.fit.T
        if not _within((basis.checks @ coefficients @ basis.checks.T).ravel(), at_checks, _ACCURACY):
            return None
        fitted.append(coefficients)
    # The area's polynomial comes from its values at the nodes, which come from the slopes of the other two.
    across_x, across_y = (basis.values @ one @ basis.slopes.T / half_x for one in fitted)
    up_x, up_y = (basis.slopes @ one @ basis.values.T / half_y for one in fitted)
    area = basis.fit @ np.abs(across_x * up_y - across_y * up_x) @ basis.fit.T
    at_x, at_y = _polynomials((xs - middle_x) / half_x), _polynomials((ys - middle_y) / half_y)
    x, y, full = (at_y @ one @ at_x.T for one in (*fitted, area))
    return x, y, full


# ---------------------------------------------------------------------- one by one


def _everywhere(projection: Projection, xs: Plane, ys: Plane) -> tuple[Plane, Plane, Plane]:
    """By wcslib, pixel by pixel; what does not come back to where it was is not there."""
    grid_x, grid_y = np.meshgrid(xs, ys)
    x, y = projection.to_image(grid_x, grid_y)
    back_x, back_y = projection.to_grid(x, y)
    with np.errstate(invalid="ignore"):
        there = (np.abs(back_x - grid_x) < 1) & (np.abs(back_y - grid_y) < 1)
    x, y = np.where(there, x, np.nan), np.where(there, y, np.nan)
    right, left = (projection.to_image(grid_x + by, grid_y) for by in (0.5, -0.5))
    above, below = (projection.to_image(grid_x, grid_y + by) for by in (0.5, -0.5))
    area = np.abs((right[0] - left[0]) * (above[1] - below[1]) - (right[1] - left[1]) * (above[0] - below[0]))
    return x, y, area


def _frame(wcs: Any) -> tuple[str, ...]:
    """What the celestial coordinates are counted in."""
    with IMPORTS:
        from astropy.wcs.utils import wcs_to_celestial_frame

    kinds = tuple(str(name)[:4] for name in wcs.wcs.ctype)
    return (*kinds, repr(wcs_to_celestial_frame(wcs)))
