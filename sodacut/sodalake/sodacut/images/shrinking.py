"""Fewer pixels for the same sky: each the mean of what it covers.

The mean is of the pixel values, before any stretch, so that a faint thing stays as faint as it is; NaN is left out,
and a pixel is NaN where less than half of what it covers is there. Areas count exactly: of a pixel that is cut by an
edge each side gets its part.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sodalake.lake.importing import IMPORTS
from sodalake.sodacut.stampfits import Pixels

__all__ = ["shrunk", "shrunk_to"]

_PRESENT: Final = 0.5
_STRIP: Final = 1 << 22  # pixels that are looked at at once


def shrunk(pixels: Pixels, factor: int) -> NDArray[np.float32]:
    """The means of squares of `factor` × `factor` pixels; those at the upper and right edge may be smaller.

    Parameters
    ----------
    pixels
        (height, width), NaN is no pixel.
    factor
        At least 1.

    Returns
    -------
    array (ceil(height / factor), ceil(width / factor)) of float32
    """
    if factor < 1:
        raise ValueError("a square has at least one pixel on a side")
    return _averaged(pixels, *(np.append(np.arange(0.0, side, factor), side) for side in pixels.shape))


def shrunk_to(pixels: Pixels, shape: tuple[int, int]) -> NDArray[np.float32]:
    """The same sky on fewer pixels, whatever their number.

    Parameters
    ----------
    pixels
        (height, width), NaN is no pixel.
    shape
        (height, width) of the answer, neither larger than that of `pixels`.
    """
    if not all(1 <= new <= old for new, old in zip(shape, pixels.shape, strict=True)):
        raise ValueError(f"{pixels.shape} pixels do not shrink to {shape}")
    return _averaged(
        pixels, *(np.linspace(0, old, new + 1) for new, old in zip(shape, pixels.shape, strict=True))
    )


def _averaged(
    pixels: Pixels, row_edges: NDArray[np.float64], column_edges: NDArray[np.float64]
) -> NDArray[np.float32]:
    height, width = pixels.shape
    down, across = _areas(row_edges, height), _areas(column_edges, width).T.tocsc()
    full = np.outer(np.diff(row_edges), np.diff(column_edges))
    out = np.empty(full.shape, np.float32)
    # Strips of the answer, so that beside a large image there is no second one.
    rows = max(1, _STRIP // max(1, width) * len(out) // height)
    for start in range(0, len(out), rows):
        stop = min(start + rows, len(out))
        first, last = int(row_edges[start]), int(np.ceil(row_edges[stop]))
        part = pixels[first:last]
        weights = down[start:stop, first:last]
        good = np.isfinite(part)
        area = full[start:stop]
        if good.all():
            out[start:stop] = (weights @ part @ across) / area
            continue
        there = weights @ good.astype(np.float32) @ across
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = (weights @ np.where(good, part, 0) @ across) / there
        out[start:stop] = np.where(there >= _PRESENT * area * (1 - 1e-6), mean, np.nan)
    return out


def _areas(edges: NDArray[np.float64], side: int) -> Any:
    """How much of each of `side` pixels lies between two edges: a sparse (len(edges) - 1, side)."""
    with IMPORTS:
        from scipy.sparse import csr_array

    first = np.floor(edges[:-1]).astype(np.int64)
    most = int(np.max(np.ceil(edges[1:]) - first))
    pixel = first[:, None] + np.arange(most)
    overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    row, column = np.nonzero((overlap > 0) & (pixel < side))
    values = overlap[row, column].astype(np.float32)
    return csr_array((values, (row, pixel[row, column])), (len(edges) - 1, side))
