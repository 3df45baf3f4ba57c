"""A piece of sky becomes an image: everything is a sum of Gaussians, which makes it exact and quick.

A point spread function is two Gaussians (a core, and wings with a seventh of the light); a Sersic galaxy is
six, whose sizes and weights are fitted here; and a Gaussian seen through a Gaussian is a Gaussian whose
covariances add. So a star or a galaxy under any seeing is a short list of ellipses, evaluated at pixel centres.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from sodalake.lake.demo.bands import WAVELENGTHS, njy
from sodalake.lake.demo.population import Galaxy, Stars

__all__ = ["Blobs", "Image", "Pixels", "PointSpread", "render"]

Image = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]

_WINGS: Final = ((0.86, 1.0), (0.14, 2.1))  # share of the light, size relative to the core
_FWHM: Final = 2.0 * np.sqrt(2.0 * np.log(2.0))


@dataclass(frozen=True)
class PointSpread:
    """The image of a star: covariance (xx, yy, xy; pixels²) of its core."""

    xx: float
    yy: float
    xy: float

    @classmethod
    def of(cls, fwhm: float, stretch: float, angle: float) -> PointSpread:
        """Return one with `fwhm` pixels (geometric mean), `stretch` times longer along `angle` than across."""
        along, across = (fwhm / _FWHM) ** 2 * stretch, (fwhm / _FWHM) ** 2 / stretch
        cos, sin = float(np.cos(angle)), float(np.sin(angle))
        return cls(
            float(along * cos**2 + across * sin**2),
            float(along * sin**2 + across * cos**2),
            float((along - across) * cos * sin),
        )

    @property
    def noise_pixels(self) -> float:
        """Effective number of noise pixels, 1/sum(p²), of the core (4 pi sigma_x sigma_y)."""
        return float(4.0 * np.pi * np.sqrt(self.xx * self.yy - self.xy**2))


@dataclass(frozen=True)
class Pixels:
    """How offsets on the sky become pixels: scale (arcsec), and position angle of +Y (degrees)."""

    scale: float
    rotation: float

    def place(self, east: npt.ArrayLike, north: npt.ArrayLike) -> tuple[Floats, Floats]:
        """Return offsets x, y in pixels; east is left where the rotation is zero."""
        turn = np.radians(self.rotation)
        cos, sin = np.cos(turn), np.sin(turn)
        e, n = np.asarray(east, dtype=np.float64), np.asarray(north, dtype=np.float64)
        return (-e * cos + n * sin) / self.scale, (e * sin + n * cos) / self.scale


@dataclass(frozen=True)
class Blobs:
    """Gaussians before the seeing: positions (pixels from the centre), fluxes (nJy), covariances; all (n,)."""

    x: Floats
    y: Floats
    flux: Floats
    xx: Floats
    yy: Floats
    xy: Floats

    @classmethod
    def points(cls, x: npt.ArrayLike, y: npt.ArrayLike, flux: npt.ArrayLike) -> Blobs:
        """Return points: stars."""
        at_x, at_y, fluxes = (np.atleast_1d(np.asarray(v, dtype=np.float64)) for v in (x, y, flux))
        none = np.zeros(len(at_x))
        return cls(at_x, at_y, fluxes, none, none, none)

    @classmethod
    def stars(cls, stars: Stars, band: str, pixels: Pixels) -> Blobs:
        """Return field stars in a band."""
        x, y = pixels.place(stars.east, stars.north)
        return cls.points(x, y, njy(stars.magnitude + stars.colour * (0.62 - WAVELENGTHS[band]) / 0.14))

    @classmethod
    def galaxy(cls, galaxy: Galaxy, band: str, pixels: Pixels) -> Blobs:
        """Return a galaxy in a band."""
        sizes, weights = _sersic(galaxy.index)
        x, y = pixels.place(galaxy.east, galaxy.north)
        total = njy(galaxy.magnitude + galaxy.colour * (0.62 - WAVELENGTHS[band]) / 0.14)
        along = (galaxy.radius / pixels.scale * sizes) ** 2
        across = along * galaxy.axis_ratio**2
        turn = np.pi / 2.0 + galaxy.angle - np.radians(pixels.rotation)  # its position angle, seen in x and y
        cos, sin = np.cos(turn), np.sin(turn)
        return cls(
            np.full(len(sizes), x),
            np.full(len(sizes), y),
            total * weights,
            along * cos**2 + across * sin**2,
            along * sin**2 + across * cos**2,
            (along - across) * cos * sin,
        )

    def __add__(self, other: Blobs) -> Blobs:
        return Blobs(*(np.concatenate([getattr(self, n), getattr(other, n)]) for n in _FIELDS))


_FIELDS: Final = ("x", "y", "flux", "xx", "yy", "xy")


def render(blobs: Blobs, spread: PointSpread, shape: tuple[int, int], centre: tuple[float, float]) -> Image:
    """Return the image (nJy a pixel, `shape` rows by columns) of `blobs` seen through `spread`.

    `centre` is the pixel (x, y from 0) the blobs' positions count from.
    """
    rows, columns = shape
    image = np.zeros(shape, dtype=np.float32)
    y_axis = np.arange(rows, dtype=np.float32)
    x_axis = np.arange(columns, dtype=np.float32)
    x0, y0 = (blobs.x + centre[0]).astype(np.float32), (blobs.y + centre[1]).astype(np.float32)
    for share, size in _WINGS:
        xx = blobs.xx + spread.xx * size**2
        yy = blobs.yy + spread.yy * size**2
        xy = blobs.xy + spread.xy * size**2
        determinant = xx * yy - xy**2
        height = (share * blobs.flux / (2.0 * np.pi * np.sqrt(determinant))).astype(np.float32)
        upright = xy == 0.0
        if upright.any():  # a product of a row and a column each: all of them are one matrix product
            dx = x_axis - x0[upright, None]
            dy = y_axis - y0[upright, None]
            across = np.exp(dx * dx * (-0.5 / xx[upright, None]).astype(np.float32)) * height[upright, None]
            image += np.exp(dy * dy * (-0.5 / yy[upright, None]).astype(np.float32)).T @ across
        a, b, c = ((v / determinant).astype(np.float32) for v in (-0.5 * yy, -0.5 * xx, xy))
        # beyond this many pixels a blob gives less than 0.3 nJy, far below any noise here
        reach = np.sqrt(2.0 * np.maximum(xx, yy) * np.log(np.maximum(height / 0.3, 1.0))) + 1.0
        left = np.maximum(0, (x0 - reach).astype(int))
        right = np.minimum(columns, (x0 + reach).astype(int) + 2)
        low = np.maximum(0, (y0 - reach).astype(int))
        high = np.minimum(rows, (y0 + reach).astype(int) + 2)
        seen = ~upright & (left < right) & (low < high) & (height > 0.3)
        for at in np.flatnonzero(seen).tolist():
            across, down = slice(left[at], right[at]), slice(low[at], high[at])
            dx, dy = x_axis[None, across] - x0[at], y_axis[down, None] - y0[at]
            exponent = dx * (dx * a[at]) + dy * dy * b[at]
            exponent += dy * (dx * c[at])
            np.exp(exponent, out=exponent)
            exponent *= height[at]
            image[down, across] += exponent
    return image


@functools.cache
def _sersic(index: float) -> tuple[Floats, Floats]:
    """Return sizes (in half-light radii) and shares of six Gaussians that make a Sersic profile.

    Weights are found by multiplicative updates (they stay positive) on the profile times radius, from 0.02 to
    6 half-light radii; the exponential's and de Vaucouleurs' come out within 3 % of their light.
    """
    radii = np.geomspace(0.02, 6.0, 160)
    b = 2.0 * index - 1.0 / 3.0 + 0.009876 / index  # Prugniel & Simien 1997
    profile = np.exp(-b * radii ** (1.0 / index)) * radii**1.5
    sizes = np.geomspace(0.03 if index > 2 else 0.15, 4.0 if index > 2 else 1.6, 6)
    basis = np.exp(-0.5 * (radii[:, None] / sizes) ** 2) / (2.0 * np.pi * sizes**2) * radii[:, None] ** 1.5
    weights = np.ones(6)
    for _ in range(4000):
        weights *= (basis.T @ profile) / (basis.T @ (basis @ weights))
    return sizes, weights / weights.sum()
