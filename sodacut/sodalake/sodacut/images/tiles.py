"""Which tiles of a compressed image a cut needs, and their pixels put together.

Tiles are counted along rows of the image; where its sides are no multiple of theirs, the last ones are smaller (FITS
4.0, section 10.1). Most images have tiles of one row: a cut of 100 x 100 pixels needs 100 of them, and of each row what
is before its right edge, for a code can only be read from the front.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sodalake.lake.errors import Damaged
from sodalake.lake.images.records import Tiled
from sodalake.sodacut.coordinates import Box
from sodalake.sodacut.images.codecs import Bytes, TileDecoder, TileError, with_slack
from sodalake.sodacut.images.quantized import unquantized
from sodalake.sodacut.images.scaling import DTYPES, scaled

__all__ = ["Canvas", "Shares", "TilePart", "decode"]

_ROWS: Final = 16  # decoded before they are copied: they stay in the processor's cache


@dataclass(frozen=True, slots=True)
class TilePart:
    """A tile's share in a cut.

    Attributes
    ----------
    shape
        (height, width) of the tile.
    most
        How many of its pixels are needed, counted along its rows.
    inner
        (y0, y1, x0, x1) in the tile.
    y, x
        Where these pixels begin in the cut.
    """

    shape: tuple[int, int]
    most: int
    inner: tuple[int, int, int, int]
    y: int
    x: int


class Canvas:
    """The pixels of one cut, while its tiles come in; in any order, from any thread, each once.

    Parameters
    ----------
    shape
        (height, width) of the image.
    box
        Of the cut, inside the image.
    """

    def __init__(self, place: Tiled, shape: tuple[int, int], box: Box, *, integers: bool = False) -> None:
        self.place, self.box = place, box
        self._shape, self._integers = shape, integers
        height, width = place.tile
        self._across = -(-shape[1] // width)
        kind = np.dtype(np.int32) if place.quantized is not None else DTYPES[place.bitpix].newbyteorder("=")
        self._numbers = np.empty(box.shape, kind)
        self._floats: list[tuple[slice, slice, npt.NDArray[Any]]] = []
        down = np.arange(box.y0 // height, -(-box.y1 // height), dtype=np.int64)
        across = np.arange(box.x0 // width, -(-box.x1 // width), dtype=np.int64)
        self.tiles: npt.NDArray[np.int64] = (down[:, None] * self._across + across).ravel()
        """Numbers of the tiles that have a share, from 0, in rising order."""

    @property
    def has_row_tiles(self) -> bool:
        """Whether a tile is a row of the image."""
        return self.place.tile[0] == 1 and self._across == 1

    def part(self, tile: int) -> TilePart:
        """Return a tile's share."""
        (height, width), box = self.place.tile, self.box
        top, left = tile // self._across * height, tile % self._across * width
        height, width = min(height, self._shape[0] - top), min(width, self._shape[1] - left)
        y0, y1 = max(box.y0 - top, 0), min(box.y1 - top, height)
        x0, x1 = max(box.x0 - left, 0), min(box.x1 - left, width)
        return TilePart(
            (height, width), (y1 - 1) * width + x1, (y0, y1, x0, x1), top + y0 - box.y0, left + x0 - box.x0
        )

    def put(self, part: TilePart, numbers: npt.NDArray[Any]) -> None:
        """Take over a tile's share of its first `part.most` numbers or more."""
        y0, y1, x0, x1 = part.inner
        width = part.shape[1]
        if y1 - y0 == 1:
            start = y0 * width
            block = numbers[start + x0 : start + x1]
        else:
            size = numbers.itemsize
            block = np.ndarray(
                (y1 - y0, x1 - x0), numbers.dtype, numbers, (y0 * width + x0) * size, (width * size, size)
            )
        if block.dtype.kind == "f" and self._numbers.dtype.kind != "f":
            # Some tiles could not be quantized, and hold the values themselves.
            rows, columns = slice(part.y, part.y + y1 - y0), slice(part.x, part.x + x1 - x0)
            self._floats.append((rows, columns, block.astype(block.dtype.newbyteorder("="))))
            self._numbers[rows, columns] = 0
        elif y1 - y0 == 1:
            self._numbers[part.y, part.x : part.x + x1 - x0] = block
        else:
            self._numbers[part.y : part.y + y1 - y0, part.x : part.x + x1 - x0] = block

    def put_rows(self, rows: npt.NDArray[np.int64], numbers: npt.NDArray[Any]) -> None:
        """Take over rows of an image whose tiles these are: their first pixels (n, at least `box.x1`)."""
        self._numbers[rows - self.box.y0] = numbers[:, self.box.x0 : self.box.x1]

    def pixels(self) -> npt.NDArray[Any]:
        """Return the cut, once all tiles have been put."""
        if self.place.quantized is None:
            return scaled(self._numbers, self.place, integers=self._integers)
        values = np.empty(self.box.shape, DTYPES[self.place.bitpix].newbyteorder("="))
        self._unquantize(values)
        for rows, columns, block in self._floats:
            values[rows, columns] = block
        if self.place.scale != 1.0 or self.place.zero != 0.0:
            return scaled(values, self.place)
        return values

    def _unquantize(self, values: npt.NDArray[np.floating[Any]]) -> None:
        about, box = self.place.quantized, self.box
        assert about is not None
        height, width = self.place.tile
        rows = np.arange(box.y0, box.y1, dtype=np.int64)
        tops = rows // height
        left = box.x0 // width * width
        while left < box.x1:
            x0, x1 = max(box.x0, left), min(box.x1, left + width)
            wide = min(width, self._shape[1] - left)
            columns = slice(x0 - box.x0, x1 - box.x0)
            unquantized(
                self._numbers[:, columns],
                about,
                tops * self._across + left // width,
                rows % height * wide + (x0 - left),
                values[:, columns],
            )
            left += width


@dataclass(frozen=True, slots=True)
class Shares:
    """Tiles whose bytes were read together, and the cuts that have a share in them.

    Attributes
    ----------
    offsets, lengths
        Of each tile's bytes in the file, in rising order (S each). A tile of several cuts is there for each.
    numbers
        Of the tiles, from 0 (S).
    cuts
        Which cut it is a share of (S).
    """

    offsets: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    numbers: npt.NDArray[np.int64]
    cuts: npt.NDArray[np.int64]


def decode(data: bytes, start: int, shares: Shares, canvases: Sequence[Any]) -> None:
    """Decode tiles, each once and as far as its cuts need it, and put them on their canvases.

    Parameters
    ----------
    data, start
        Bytes of the file, from this offset on.
    canvases
        By number of the cut.

    Raises
    ------
    Damaged
        A tile cannot be decoded: the message has its number.
    """
    source = with_slack(data)
    # Where one tile ends and the next begins; one without bytes shares its offset with its neighbour.
    other = (np.diff(shares.offsets) != 0) | (shares.lengths[1:] == 0) | (shares.lengths[:-1] == 0)
    firsts = np.concatenate([[0], np.flatnonzero(other) + 1])
    canvas: Canvas = canvases[int(shares.cuts[0])]
    raw = canvas.place.raw
    if canvas.has_row_tiles and (raw is None or not raw[shares.numbers].any()):
        decoder = TileDecoder(canvas.place, source)
        if decoder.takes_rows:
            _decode_rows(decoder, start, shares, firsts, canvases)
            return
    _decode_tiles(source, start, shares, firsts, canvases)


def _decode_rows(
    decoder: TileDecoder, start: int, shares: Shares, firsts: npt.NDArray[np.int64], canvases: Sequence[Any]
) -> None:
    ends = np.array([canvases[cut].box.x1 for cut in shares.cuts.tolist()])
    most = np.maximum.reduceat(ends, firsts).tolist()
    starts, lengths = (shares.offsets[firsts] - start).tolist(), shares.lengths[firsts].tolist()
    bounds = [*firsts.tolist(), len(shares.cuts)]
    is_alone = bool((shares.cuts == shares.cuts[0]).all())
    for first in range(0, len(most), _ROWS):
        last = min(first + _ROWS, len(most))
        try:
            numbers = decoder.rows(starts[first:last], lengths[first:last], most[first:last])
        except TileError as error:
            raise _damaged(int(shares.numbers[bounds[first + error.row]]), error) from error
        if is_alone:
            canvases[shares.cuts[0]].put_rows(shares.numbers[first:last], numbers)
            continue
        here = slice(bounds[first], bounds[last])
        cuts, rows = shares.cuts[here], shares.numbers[here]
        which = np.repeat(np.arange(last - first), np.diff(bounds[first : last + 1]))
        for cut in np.unique(cuts).tolist():
            mine = cuts == cut
            canvases[cut].put_rows(rows[mine], numbers[which[mine]])


def _decode_tiles(
    source: Bytes, start: int, shares: Shares, firsts: npt.NDArray[np.int64], canvases: Sequence[Any]
) -> None:
    decoders: dict[int, TileDecoder] = {}
    for first, last in pairwise([*firsts.tolist(), len(shares.cuts)]):
        number = int(shares.numbers[first])
        mine: list[Canvas] = [canvases[cut] for cut in shares.cuts[first:last].tolist()]
        parts = [canvas.part(number) for canvas in mine]
        place = mine[0].place
        try:
            decoder = decoders.get(id(place))
            if decoder is None:
                decoder = decoders[id(place)] = TileDecoder(place, source)
            raw = int(place.raw[number]) if place.raw is not None else 0
            at, length = int(shares.offsets[first]) - start, int(shares.lengths[first])
            numbers = decoder.numbers(at, length, parts[0].shape, max(part.most for part in parts), raw)
        except Damaged as error:
            raise _damaged(number, error) from error
        for canvas, part in zip(mine, parts, strict=True):
            canvas.put(part, numbers)


def _damaged(number: int, error: Damaged) -> Damaged:
    return Damaged(f"Tile {number + 1}: {error.message}")
