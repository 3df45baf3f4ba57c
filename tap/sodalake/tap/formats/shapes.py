"""How many values a cell of a column has (VOTable 1.4, 2.2: arraysize)."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from sodalake.tap.errors import FormatError
from sodalake.tap.metadata import Column

__all__ = ["BIG_ENDIAN", "NULLS", "Shape", "shape_of", "shapes_of"]

# VOTable's and FITS's numbers: the byte order of both is the network's
BIG_ENDIAN: Final[dict[str, npt.DTypeLike]] = {
    "boolean": np.dtype("u1"),
    "unsignedByte": np.dtype("u1"),
    "short": np.dtype(">i2"),
    "int": np.dtype(">i4"),
    "long": np.dtype(">i8"),
    "float": np.dtype(">f4"),
    "double": np.dtype(">f8"),
}

# What means a null where a format has no better way to say it
NULLS: Final = {"unsignedByte": 255, "short": -(1 << 15), "int": -(1 << 31), "long": -(1 << 63)}


@dataclass(frozen=True, slots=True)
class Shape:
    """What a cell is.

    Attributes
    ----------
    text
        Characters rather than numbers.
    array
        Several numbers: an Arrow list.
    length
        How many characters or numbers; None where that varies from cell to cell.
    """

    text: bool
    array: bool
    length: int | None


def shape_of(column: Column) -> Shape:
    """Return what a column's cells are.

    Raises
    ------
    FormatError
        An arraysize that is none, or an array of texts.
    """
    size = column.arraysize.strip()
    text = column.datatype in ("char", "unicodeChar")
    if not text and column.datatype not in BIG_ENDIAN:
        raise FormatError(f"Column {column.name} is {column.datatype}, which no answer can hold.")
    if size in ("", "1"):
        return Shape(text, False, 1)
    numbers = size.removesuffix("*").split("x")
    if size.endswith("*") and numbers[-1] == "":
        numbers.pop()
    if not all(number.isascii() and number.isdigit() for number in numbers) or (text and len(numbers) > 1):
        raise FormatError(f"Column {column.name} has the arraysize {size}, which no answer can hold.")
    return Shape(text, not text, None if size.endswith("*") else math.prod(map(int, numbers)))


@functools.lru_cache(maxsize=256)
def shapes_of(columns: tuple[Column, ...]) -> tuple[Shape, ...]:
    """Return what the cells of columns are, as `shape_of`.

    Raises
    ------
    FormatError
        As `shape_of`; or there is no column at all, which no format can say.
    """
    if not columns:
        raise FormatError("The answer has no columns.", "Select at least one.")
    return tuple(shape_of(column) for column in columns)
