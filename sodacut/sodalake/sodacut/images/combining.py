"""What several images have in one block becomes one value for each pixel: mean, median, or one of them.

Images come one after the other; means and choices are made as they come, and only the median keeps them all.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from sodalake.sodacut.coordinates import Box
from sodalake.sodacut.images.resampling import Target

__all__ = ["Coadd", "Combination", "Median", "Nearest"]

Plane = NDArray[np.float32]


class Combination(ABC):
    """The images of one block.

    Parameters
    ----------
    box
        The block's pixels of the grid.
    """

    def __init__(self, box: Box) -> None:
        self._box = box
        self._counts: dict[int, int] = {}

    @abstractmethod
    def add(self, number: int, target: Target, centre: tuple[float, float]) -> None:
        """Take an image in.

        Parameters
        ----------
        number
            Which it is.
        target
            What it has of the block.
        centre
            Its own, in pixels of the grid; infinite where it has no place there.
        """

    @abstractmethod
    def result(self) -> tuple[Plane, Plane]:
        """Return values (NaN where there are none) and weights of the block's pixels."""

    def counts(self) -> dict[int, int]:
        """Return, for each image taken in, how many of the pixels it is in."""
        return self._counts

    def _place(self, box: Box) -> tuple[slice, slice]:
        mine = self._box
        return slice(box.y0 - mine.y0, box.y1 - mine.y0), slice(box.x0 - mine.x0, box.x1 - mine.x0)


class Coadd(Combination):
    """The weighted mean."""

    def __init__(self, box: Box) -> None:
        super().__init__(box)
        self._sum = np.zeros(box.shape)
        self._weight = np.zeros(box.shape)

    def add(self, number: int, target: Target, centre: tuple[float, float]) -> None:
        """Take an image in."""
        place = self._place(target.box)
        weight = target.weight.astype(np.float64)
        self._sum[place] += np.where(weight > 0, target.values, 0) * weight
        self._weight[place] += weight
        self._counts[number] = int(np.count_nonzero(weight))

    def result(self) -> tuple[Plane, Plane]:
        """Return values and weights."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return (self._sum / self._weight).astype(np.float32), self._weight.astype(np.float32)


class Nearest(Combination):
    """The one whose centre is nearest, of those that have a pixel there; of two as near the first."""

    def __init__(self, box: Box) -> None:
        super().__init__(box)
        self._values = np.full(box.shape, np.nan, np.float32)
        self._weight = np.zeros(box.shape, np.float32)
        self._distance = np.full(box.shape, np.inf)
        self._from = np.full(box.shape, -1, np.int32)

    def add(self, number: int, target: Target, centre: tuple[float, float]) -> None:
        """Take an image in."""
        place = self._place(target.box)
        x = np.arange(target.box.x0, target.box.x1) - centre[0]
        y = np.arange(target.box.y0, target.box.y1) - centre[1]
        # An image without a place is farther than all that have one, and still better than nothing.
        distance = np.minimum(np.add.outer(y * y, x * x), np.finfo(np.float64).max)
        better = (target.weight > 0) & (distance < self._distance[place])
        for mine, theirs in (
            (self._values, target.values), (self._weight, target.weight), (self._distance, distance)
        ):  # fmt: skip
            mine[place][better] = theirs[better]
        self._from[place][better] = number

    def result(self) -> tuple[Plane, Plane]:
        """Return values and weights."""
        return self._values, self._weight

    def counts(self) -> dict[int, int]:
        """Return, for each image, how many of the pixels are its."""
        numbers, counts = np.unique(self._from[self._from >= 0], return_counts=True)
        return dict(zip(numbers.tolist(), counts.tolist(), strict=True))


class Median(Combination):
    """The median of the images; of an even number the mean of the middle two."""

    def __init__(self, box: Box) -> None:
        super().__init__(box)
        self._targets: list[Target] = []

    def add(self, number: int, target: Target, centre: tuple[float, float]) -> None:
        """Take an image in."""
        self._targets.append(target)
        self._counts[number] = int(np.count_nonzero(target.weight))

    def result(self) -> tuple[Plane, Plane]:
        """Return values and weights."""
        stack = np.full((max(1, len(self._targets)), *self._box.shape), np.nan, np.float32)
        weight = np.zeros(self._box.shape, np.float32)
        for layer, target in zip(stack, self._targets, strict=False):
            place = self._place(target.box)
            layer[place] = target.values
            weight[place] += target.weight
        stack.sort(axis=0)  # NaN last
        number = np.count_nonzero(np.isfinite(stack), axis=0)
        lower = np.take_along_axis(stack, np.maximum(number - 1, 0)[None] // 2, axis=0)[0]
        upper = np.take_along_axis(stack, np.minimum(number // 2, len(stack) - 1)[None], axis=0)[0]
        return np.where(number > 0, lower / 2 + upper / 2, np.nan).astype(np.float32), weight
