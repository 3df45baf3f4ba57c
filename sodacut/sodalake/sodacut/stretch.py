"""Pixels to brightness: how a picture shows a range that no screen has.

First the limits, then the curve. The limits are percentiles of the finite pixels (`pmin`, `pmax`, 0.5 and
99.5 by default); the curve maps what lies between them to 0…1. *sigmoid* has no limits: it shows every
pixel's distance from the mean in units of the image's own scatter, so that noise is grey and a source stands
out in any stamp; it is what Fink's users are shown by default, and the default here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sodalake.lake.importing import IMPORTS
from sodalake.sodacut.stampfits import Pixels

__all__ = ["KERNELS", "STRETCHES", "brightness", "convolved"]

Levels = NDArray[np.float64]

_LOG_STEEPNESS = 1000.0
_ASINH_SOFTENING = 0.1
_HUGE = 1e100  # beyond that, squares and differences overflow

CURVES: Mapping[str, Callable[[Levels], Levels]] = {
    "linear": lambda x: x,
    "sqrt": np.sqrt,
    "log": lambda x: np.log1p(_LOG_STEEPNESS * x) / np.log1p(_LOG_STEEPNESS),
    "asinh": lambda x: np.arcsinh(x / _ASINH_SOFTENING) / np.arcsinh(1 / _ASINH_SOFTENING),
    "power": lambda x: x**2,
}

STRETCHES = ("sigmoid", *CURVES)
"""The names STRETCH takes."""

KERNELS = ("gauss", "box")
"""The names a convolution kernel takes: a Gaussian with a sigma of 1 pixel on 5 × 5, a box of 3 × 3."""


def brightness(pixels: Pixels, stretch: str, pmin: float = 0.5, pmax: float = 99.5) -> NDArray[np.float32]:
    """Brightness of every pixel.

    Parameters
    ----------
    pixels
        (height, width); NaN is no pixel, infinities are the darkest and the brightest.
    stretch
        One of `STRETCHES`.
    pmin, pmax
        Percentiles of the finite pixels, 0 ≤ pmin < pmax ≤ 100; sigmoid takes no notice of them.

    Returns
    -------
    array (height, width) of float32
        0…1, NaN where there is no pixel. An image of one value is 0.5 throughout.
    """
    values = pixels.astype(np.float64)
    finite = np.isfinite(values)
    some = values[finite]
    if not some.size:
        some = np.zeros(1)
    if (greatest := float(np.abs(some).max())) > _HUGE:
        values, some = values / greatest, some / greatest
    level = _sigmoid(values, some) if stretch == "sigmoid" else _between(values, some, stretch, pmin, pmax)
    return level.astype(np.float32)


def convolved(pixels: Pixels, kernel: str) -> Pixels:
    """Smooth an image; pixels that are NaN (or infinite) stay so and spread into none of their neighbours.

    Parameters
    ----------
    kernel
        One of `KERNELS`.
    """
    with IMPORTS:
        from astropy.convolution import Box2DKernel, Gaussian2DKernel, convolve

    shape: Any = Gaussian2DKernel(1, x_size=5, y_size=5) if kernel == "gauss" else Box2DKernel(3)
    present = np.isfinite(pixels)
    values = np.where(present, pixels, 0.0).astype(np.float64)
    # The kernel's weight that fell on pixels, to divide by: astropy's own interpolation warns where there is
    # none.
    weight = convolve(present.astype(np.float64), shape, boundary="extend")
    with np.errstate(all="ignore"):
        smooth = convolve(values, shape, boundary="extend") / weight
    return np.where(present, smooth, pixels)


def _sigmoid(values: Levels, some: Levels) -> Levels:
    scatter = float(some.std())
    if scatter == 0.0:
        return _flat(values)
    away = np.clip((values - some.mean()) / scatter, -50, 50)
    level: Levels = 1 / (1 + np.exp(-away))
    return level


def _between(values: Levels, some: Levels, stretch: str, pmin: float, pmax: float) -> Levels:
    low, high = (float(limit) for limit in np.percentile(some, (pmin, pmax)))
    if low >= high:  # more than that share of the pixels has one value: show the rest
        low, high = float(some.min()), float(some.max())
    if low >= high:
        return _flat(values)
    return CURVES[stretch](np.clip((values - low) / (high - low), 0.0, 1.0))


def _flat(values: Levels) -> Levels:
    level = np.full(values.shape, 0.5)
    level[np.isnan(values)] = np.nan
    level[np.isposinf(values)], level[np.isneginf(values)] = 1.0, 0.0
    return level
