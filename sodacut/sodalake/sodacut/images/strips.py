"""An image's pixels from bottom to top, some rows at a time: what the ingest makes overviews of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy.typing as npt

from sodalake.lake.images.records import Image
from sodalake.sodacut.coordinates import Box
from sodalake.sodacut.images.pixelfiles import PixelFiles, Wanted

__all__ = ["strips"]


def strips(image: Image, rows: int) -> Iterator[npt.NDArray[Any]]:
    """Yield an image's values, `rows` rows at a time; NaN where a pixel has none.

    Raises
    ------
    FileGone, Damaged, Unavailable
        As `PixelFiles.read`.
    """
    height, width = image.shape
    files = PixelFiles(open_files=1, parallel=1)
    try:
        for row in range(0, height, rows):
            box = Box(0, width, row, min(row + rows, height))
            yield files.read([Wanted(image.pixels, image.shape, box)])[0]
    finally:
        files.close()
