"""Integers of quantized tiles to floating point numbers, with the dither taken out (FITS 4.0, section 10.2).

A dithered pixel is ``(integer - random + 0.5) * scale + zero``, with the standard's ten thousand random numbers, which
a tile enters at a place that its number gives. CFITSIO walks through them pixel by pixel; here the random number of any
pixel of any tile is looked up, so that a cut takes those of its own pixels, all rows at once, and gets the same
floating point numbers to the last bit.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sodalake.lake.images.records import Quantized

__all__ = ["unquantized"]

_COUNT: Final = 10_000
_JUMP: Final = 500
_ZERO_VALUE: Final = -2147483646  # of SUBTRACTIVE_DITHER_2: exactly 0

_Floats = npt.NDArray[np.float32]
_Places = npt.NDArray[np.int64]


def unquantized(
    integers: npt.NDArray[Any],
    about: Quantized,
    tiles: _Places,
    first: _Places,
    out: npt.NDArray[np.floating[Any]],
) -> None:
    """Make values of integers.

    Parameters
    ----------
    integers (h, w)
        Pixels beside each other, of one column of tiles.
    tiles (h)
        The tile of each row, from 0.
    first (h)
        Which pixel of its tile each row begins with.
    out (h, w)
        Gets the values; NaN where there is none.
    """
    scale, zero = about.scale[tiles][:, None], about.zero[tiles][:, None]
    dithered = about.dither in ("SUBTRACTIVE_DITHER_1", "SUBTRACTIVE_DITHER_2")
    with np.errstate(all="ignore"):
        # In CFITSIO's order, in its precision: the last bit is the same.
        if dithered:
            values = integers - _randoms(tiles + about.seed, first, integers.shape[1]).astype(np.float64)
            values += 0.5
            values *= scale
        else:
            values = integers * scale
        values += zero
        out[...] = values
    if about.dither == "SUBTRACTIVE_DITHER_2":
        out[integers == _ZERO_VALUE] = 0.0
    if about.blank is not None:
        blank = about.blank if isinstance(about.blank, int) else about.blank[tiles][:, None]
        out[integers == blank] = np.nan


def _randoms(rows: _Places, first: _Places, width: int) -> _Floats:
    """Return the random numbers of `width` pixels of tiles, from the pixel `first` of each on.

    Parameters
    ----------
    rows
        Numbers of the tiles, from 0, plus ZDITHER0.
    """
    numbers, starts, ends, windows = _sequence()
    seeds = (rows - 1) % _COUNT
    found: _Floats
    at = starts[seeds] + first
    if width <= _COUNT and int(at.max(initial=0)) + width <= _COUNT:
        if width not in windows:
            windows[width] = np.lib.stride_tricks.sliding_window_view(numbers, width)
        found = windows[width][at]
        return found
    # Where the numbers end, they go on at the place that the next seed gives.
    passed = np.concatenate([[0], ends])
    place = passed[seeds][:, None] + first[:, None] + np.arange(width)
    place %= ends[-1]
    which = np.searchsorted(ends, place, side="right")
    found = numbers[starts[which] + place - passed[which]]
    return found


@cache
def _sequence() -> tuple[_Floats, _Places, _Places, dict[int, npt.NDArray[np.float32]]]:
    """Return the random numbers (appendix I), where a seed enters them, and how many have gone when its part ends."""
    seed, numbers = 1, np.empty(_COUNT, np.float32)
    for place in range(_COUNT):
        seed = 16807 * seed % 2147483647
        numbers[place] = seed / 2147483647
    starts = (numbers * np.float32(_JUMP)).astype(np.int64)
    return numbers, starts, np.cumsum(_COUNT - starts), {}
