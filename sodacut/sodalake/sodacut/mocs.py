"""Coverage maps as regions: the parameter MOC of SODA 1.1, cells of HEALPix in ICRS.

The text is the ASCII form of MOC 2.0 (section 4.2.3): orders, each with its cells, as ``1/1 2/8-10,23``. Cells that lie
in others are taken as what they are together; SODA's own example, ``1/1 2/1-6``, has such, which mocpy refuses.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from sodalake.lake.cells import cells_of, centres
from sodalake.lake.importing import IMPORTS
from sodalake.sodacut.errors import BadRegion

__all__ = ["Cells", "Frame", "parse_moc"]

_DEEPEST: Final = 29
_WORD: Final = re.compile(r"(?:s?(\d{1,2})/)?(?:(\d{1,19})(?:-(\d{1,19}))?)?")
_MOST: Final = 100_000
_FORM: Final = "Write orders, each with its HEALPix cells (NESTED, ICRS), such as '9/1024 10/4100-4103,4110'."
_FARTHEST: Final = (
    70.0  # degrees a corner of a cell of order 0 is from its middle at most; half of it an order on
)
_SIDE: Final = 58.7  # degrees along a side of such a cell
_EXACT: Final = 0.01  # pixels by which the side of a cell may be missed between two of its points
_FINE: Final = 0.5  # pixels of a cell that is not divided any more


class Frame(Protocol):
    """Coordinates of an image; see `sodalake.sodacut.coordinates.SkyFrame`."""

    def to_sky(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Directions (n, 3) of pixels."""

    def to_pixels(self, points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Pixels of directions."""


@dataclass(frozen=True, slots=True)
class Cells:
    """Cells of HEALPix: ranges [first, behind the last) of order 29, sorted, that do not touch."""

    ranges: tuple[tuple[int, int], ...]

    def cap(self) -> tuple[NDArray[np.float64], float]:
        """Centre (1, 3) and radius in degrees of a cap that covers the region."""
        middles, reach, size = [], [], []
        for order, cells in self._by_order():
            middles.append(_directions(*centres(cells, order)))
            reach.append(np.full(len(cells), _FARTHEST / 2**order))
            size.append(np.full(len(cells), 4.0**-order))
        points = np.concatenate(middles)
        total = (points * np.concatenate(size)[:, None]).sum(axis=0, keepdims=True)
        length = float(np.linalg.norm(total))
        centre = total / length if length > 1e-12 else np.array([[0.0, 0.0, 1.0]])
        radius = float((_degrees_between(points, centre[0]) + np.concatenate(reach)).max())
        return centre, min(radius, 180.0)

    def holds(self, points: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether each direction lies in the region."""
        lon = np.degrees(np.arctan2(points[:, 1], points[:, 0])) % 360
        lat = np.degrees(np.arctan2(points[:, 2], np.hypot(points[:, 0], points[:, 1])))
        cells = cells_of(lon, lat, _DEEPEST)
        edges = np.array(self.ranges, dtype=np.int64)
        at = np.searchsorted(edges[:, 0], cells, side="right") - 1
        inside: NDArray[np.bool_] = (at >= 0) & (cells < edges[np.maximum(at, 0), 1])
        return inside

    def extent(self, frame: Frame, shape: tuple[int, int]) -> tuple[int, int, int, int] | None:
        """Return x0, x1, y0, y1 of the pixels that the region touches; None where there is none.

        Cells that lie across the edge of the image are divided until it is clear which pixels they touch.

        Parameters
        ----------
        shape
            (height, width) of the image.
        """
        height, width = shape
        x = np.array([(width - 1) / 2, (width + 1) / 2, -0.5, width - 0.5, -0.5, width - 0.5])
        y = np.array([(height - 1) / 2, (height - 1) / 2, -0.5, -0.5, height - 0.5, height - 0.5])
        places = frame.to_sky(x, y)
        middle = places[0]
        pixel = float(_degrees_between(places[1:2], middle)[0])
        radius = float(_degrees_between(places[2:], middle).max()) * 1.01
        found = (width, 0, height, 0)
        left: dict[int, NDArray[np.int64]] = dict(self._by_order())
        for order in range(_DEEPEST + 1):
            cells = left.pop(order, None)
            if cells is None or not len(cells):
                continue
            away = _degrees_between(_directions(*centres(cells, order)), middle)
            cells = cells[away <= radius + _FARTHEST / 2**order]
            if not len(cells):
                continue
            small = _SIDE / 2**order < _FINE * pixel or order == _DEEPEST
            boxes, sure = _boxes(cells, order, frame, pixel, shape)
            meets = (boxes[:, 0] < boxes[:, 1]) & (boxes[:, 2] < boxes[:, 3])
            certain = boxes[meets & (sure | small)]
            if len(certain):
                found = _together(found, certain)
            adds = meets & ~sure
            adds &= (
                (boxes[:, 0] < found[0])
                | (boxes[:, 1] > found[1])
                | (boxes[:, 2] < found[2])
                | (boxes[:, 3] > found[3])
            )
            if not small and adds.any():
                parts = (cells[adds][:, None] * 4 + np.arange(4)).ravel()
                left[order + 1] = np.concatenate([left.get(order + 1, parts[:0]), parts])
        return found if found[0] < found[1] and found[2] < found[3] else None

    def _by_order(self) -> list[tuple[int, NDArray[np.int64]]]:
        """Return the fewest cells that are the ranges."""
        starts, stops = np.array(self.ranges, dtype=np.int64).T
        found = []
        for order in range(_DEEPEST + 1):
            shift = 2 * (_DEEPEST - order)
            first, last = -(-starts >> shift), stops >> shift
            whole = first < last
            if whole.any():
                found.append((order, _counted(first[whole], last[whole])))
                before = np.where(whole, first << shift, stops)
                behind = np.where(whole, last << shift, stops)
                starts, stops = np.concatenate([starts, behind]), np.concatenate([before, stops])
                some = starts < stops
                starts, stops = starts[some], stops[some]
            if not len(starts):
                break
        return found


def parse_moc(text: str, name: str = "MOC") -> Cells:
    """Read a coverage map.

    Raises
    ------
    BadRegion
        It is none, has no cell, or more than 100 000 ranges.
    """
    order: int | None = None
    ranges: list[tuple[int, int]] = []
    words = text.replace(",", " ").split()
    if len(words) > _MOST:
        raise BadRegion(f"{name} has more than {_MOST} ranges of cells.", "Use a coarser one.")
    for word in words:
        match = _WORD.fullmatch(word) if word.isascii() else None
        if match is None:
            raise BadRegion(f"{name} has {word[:40]!r}, which is no cell.", _FORM)
        if match[1] is not None:
            order = int(match[1])
            if order > _DEEPEST:
                raise BadRegion(f"{name} has the order {order}; the deepest is {_DEEPEST}.", _FORM)
        if match[2] is None:
            continue
        if order is None:
            raise BadRegion(f"{name} begins with {word[:40]!r} and has no order.", _FORM)
        first, last = int(match[2]), int(match[3] or match[2])
        if not first <= last < 12 << (2 * order):
            raise BadRegion(
                f"{name} has cells {first} to {last} of order {order}, which has those from 0 to "
                f"{(12 << (2 * order)) - 1}.",
                _FORM,
            )
        shift = 2 * (_DEEPEST - order)
        ranges.append((first << shift, (last + 1) << shift))
    if not ranges:
        raise BadRegion(f"{name} has no cell.", _FORM)
    ranges.sort()
    merged = [ranges[0]]
    for start, stop in ranges[1:]:
        if start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(stop, merged[-1][1])
        else:
            merged.append((start, stop))
    return Cells(tuple(merged))


def _boxes(
    cells: NDArray[np.int64], order: int, frame: Frame, pixel: float, shape: tuple[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return each cell's box of pixels, clipped to the image (N x 4), and which cells lie in it wholly."""
    with IMPORTS:
        from cdshealpix.nested import vertices

    side = math.radians(_SIDE / 2**order)
    bend = side * side / 8 / math.radians(pixel)
    step = min(64, max(1, math.ceil(math.sqrt(bend / _EXACT))))
    lon, lat = vertices(cells.astype(np.uint64), order, step=step)
    x, y = frame.to_pixels(_directions(lon.deg.ravel(), lat.deg.ravel()))
    edges = []
    height, width = shape
    beyond = 1e6 + width + height
    for coordinate in (x, y):
        # What does not project is on the other side of the sky, so the cell is as large as any.
        values = np.clip(coordinate.reshape(lon.shape), -beyond, beyond)
        unknown = ~np.isfinite(values).all(axis=1)
        low = np.where(unknown, -beyond, values.min(axis=1))
        high = np.where(unknown, beyond, values.max(axis=1))
        edges.append((np.floor(low + 0.5).astype(np.int64), np.floor(high + 0.5).astype(np.int64) + 1))
    (x0, x1), (y0, y1) = edges
    sure = (x0 >= 0) & (x1 <= width) & (y0 >= 0) & (y1 <= height)
    clipped = [np.clip(x0, 0, width), np.clip(x1, 0, width), np.clip(y0, 0, height), np.clip(y1, 0, height)]
    return np.stack(clipped, axis=1), sure


def _together(box: tuple[int, int, int, int], boxes: NDArray[np.int64]) -> tuple[int, int, int, int]:
    return (
        min(box[0], int(boxes[:, 0].min())),
        max(box[1], int(boxes[:, 1].max())),
        min(box[2], int(boxes[:, 2].min())),
        max(box[3], int(boxes[:, 3].max())),
    )


def _counted(first: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the numbers of all ranges [first, last)."""
    sizes = last - first
    starts = np.repeat(first - np.concatenate([[0], np.cumsum(sizes)[:-1]]), sizes)
    numbers: NDArray[np.int64] = starts + np.arange(int(sizes.sum()))
    return numbers


def _directions(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.float64]:
    lon, lat = np.radians(lon), np.radians(lat)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)


def _degrees_between(points: NDArray[np.float64], centre: NDArray[np.float64]) -> NDArray[np.float64]:
    chords = np.linalg.norm(points - centre, axis=1)
    angles: NDArray[np.float64] = np.degrees(2 * np.arcsin(np.minimum(chords / 2, 1.0)))
    return angles
