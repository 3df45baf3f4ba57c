"""Stored integers to values: BSCALE, BZERO, BLANK (FITS 4.0, sections 4.4.2.5 and 5.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sodalake.lake.images.records import Plain, Tiled

__all__ = ["DTYPES", "blank_of", "scaled", "whole_type"]

DTYPES: Final[Mapping[int, np.dtype[Any]]] = {
    8: np.dtype("u1"), 16: np.dtype(">i2"), 32: np.dtype(">i4"), 64: np.dtype(">i8"),
    -32: np.dtype(">f4"), -64: np.dtype(">f8"),
}  # fmt: skip
"""BITPIX: the numbers as they stand in the file."""

_FLOATS: Final = {
    8: np.float32,
    16: np.float32,
    32: np.float64,
    64: np.float64,
    -32: np.float32,
    -64: np.float64,
}
_SHIFTED: Final[Mapping[tuple[int, float], np.dtype[Any]]] = {  # BZERO: the other half of the same integers
    (8, -128.0): np.dtype(np.int8),
    (16, float(1 << 15)): np.dtype(np.uint16),
    (32, float(1 << 31)): np.dtype(np.uint32),
    (64, float(1 << 63)): np.dtype(np.uint64),
}


def whole_type(place: Plain | Tiled) -> np.dtype[Any] | None:
    """Return the integer type that holds an image's values exactly; None where they are no integers."""
    if place.bitpix < 0 or place.scale != 1.0:
        return None
    if place.zero == 0.0:
        return DTYPES[place.bitpix].newbyteorder("=")
    return _SHIFTED.get((place.bitpix, place.zero))


def blank_of(place: Plain | Tiled) -> int | None:
    """Return the value of `whole_type` that says that there is none; None where none does."""
    return None if place.blank is None else place.blank + round(place.zero)


def scaled(raw: npt.NDArray[Any], place: Plain | Tiled, *, integers: bool = False) -> npt.NDArray[Any]:
    """Return the values of stored numbers.

    Parameters
    ----------
    integers
        Give integers where `whole_type` has a type for them; BLANK stays the number it is.

    Returns
    -------
    array
        A copy in native byte order: float32 of BITPIX 8, 16, -32, else float64, NaN where there is no value; or
        integers.
    """
    whole = whole_type(place)
    if integers and whole is not None:
        return _whole(raw, place, whole)
    if place.bitpix == 64 and whole is not None:
        # Of large numbers floating point would lose what BZERO takes away again.
        values = _whole(raw, place, whole).astype(np.float64)
    else:
        values = raw.astype(_FLOATS[place.bitpix])
        if place.scale != 1.0 or place.zero != 0.0:
            with np.errstate(all="ignore"):
                values *= place.scale
                values += place.zero
    if place.blank is not None and place.bitpix > 0:
        values[raw == place.blank] = np.nan
    return values


def _whole(raw: npt.NDArray[Any], place: Plain | Tiled, kind: np.dtype[Any]) -> npt.NDArray[Any]:
    """Return the values as integers of a type (`whole_type`)."""
    whole = raw.astype(DTYPES[place.bitpix].newbyteorder("="))
    if place.zero != 0.0:
        # Adding half of what there is to have turns the first bit over.
        whole = whole.view(f"u{whole.itemsize}") ^ np.array(
            1 << (8 * whole.itemsize - 1), f"u{whole.itemsize}"
        )
    return whole.view(kind)
