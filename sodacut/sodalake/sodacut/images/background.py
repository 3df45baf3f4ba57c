"""Backgrounds of overlapping images brought to one level.

Every image gets one constant. For each two that overlap, the median of their difference says how far apart they are;
the constants are those that make all differences small at once, in least squares, each counted by its number of pixels.
The first image is the reference and keeps its level; where images fall into groups that do not touch, each group has
its own.

Differences are taken on the mosaic's grid, at a quarter of a million places of it at most, so that memory is bounded
whatever the grid's size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sodalake.lake.importing import IMPORTS
from sodalake.sodacut.coordinates import Box
from sodalake.sodacut.images.placing import Projection
from sodalake.sodacut.images.resampling import Source, resampled

__all__ = ["levels", "solved"]

_PLACES: Final = 1 << 18
_FEWEST: Final = 9  # pixels that a difference is believed of


def levels(
    sources: Sequence[Source],
    projections: Sequence[Projection],
    shape: tuple[int, int],
    factors: Sequence[float],
    *,
    per_pixel: bool = True,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """What to add to each image.

    Parameters
    ----------
    sources, projections
        The images, and where they are on the grid.
    shape
        (height, width) of the grid.
    factors
        What each image's values are multiplied by before they are compared.
    per_pixel
        As of `resampled`.

    Returns
    -------
    array (N)
        In units of the multiplied values.
    array (N)
        Number of the group each belongs to; images of one group are connected by overlaps.
    """
    height, width = shape
    every = max(1, math.ceil(math.sqrt(height * width / _PLACES)))
    block = Box(0, width, 0, height)
    planes: list[tuple[int, int, NDArray[np.float32]] | None] = []
    for source, projection, factor in zip(sources, projections, factors, strict=True):
        there = resampled(source, projection, block, per_pixel=per_pixel, every=every)
        planes.append(
            None
            if there is None
            else (there.box.y0 // every, there.box.x0 // every, there.values * np.float32(factor))
        )
    differences: dict[tuple[int, int], tuple[float, int]] = {}
    for i, one in enumerate(planes):
        for j in range(i + 1, len(planes)):
            other = planes[j]
            if one is None or other is None:
                continue
            found = _difference(one, other)
            if found is not None:
                differences[i, j] = found
    return solved(len(sources), differences)


def solved(
    count: int, differences: dict[tuple[int, int], tuple[float, int]]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The constants that make differences small.

    Parameters
    ----------
    count
        Of images.
    differences
        (i, j) → (i minus j, number of pixels).

    Returns
    -------
    array (count), array (count)
        As of `levels`.
    """
    with IMPORTS:
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

    pairs = np.array(list(differences), np.int64).reshape(-1, 2)
    links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), (count, count))
    groups = connected_components(links, directed=False)[1].astype(np.int64)
    if not len(pairs):
        return np.zeros(count), groups
    measured = np.array([value for value, _ in differences.values()])
    importance = np.sqrt([number for _, number in differences.values()])
    matrix = np.zeros((len(pairs), count))
    matrix[np.arange(len(pairs)), pairs[:, 0]] = importance
    matrix[np.arange(len(pairs)), pairs[:, 1]] = -importance
    offsets = np.linalg.lstsq(matrix, -measured * importance, rcond=None)[0]
    # Only differences are determined: the first of each group stays as it is.
    first = {int(group): int(np.flatnonzero(groups == group)[0]) for group in np.unique(groups)}
    return offsets - offsets[[first[int(group)] for group in groups]], groups


def _difference(
    one: tuple[int, int, NDArray[np.float32]], other: tuple[int, int, NDArray[np.float32]]
) -> tuple[float, int] | None:
    y0, x0 = max(one[0], other[0]), max(one[1], other[1])
    y1 = min(one[0] + one[2].shape[0], other[0] + other[2].shape[0])
    x1 = min(one[1] + one[2].shape[1], other[1] + other[2].shape[1])
    if y0 >= y1 or x0 >= x1:
        return None
    first, second = (
        plane[y0 - row : y1 - row, x0 - column : x1 - column] for row, column, plane in (one, other)
    )
    apart = first.astype(np.float64) - second
    apart = apart[np.isfinite(apart)]
    return (float(np.median(apart)), apart.size) if apart.size >= _FEWEST else None
