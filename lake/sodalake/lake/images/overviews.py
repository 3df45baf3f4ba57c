"""Overviews: images made smaller once, at ingest, so that a picture of a wide field reads a sixty-fourth of the pixels.

Each value is the mean of a square of pixels, those without a value left out; at the upper and right edges squares are
cut. All overviews of a file are one plain FITS file of the lake, in `float32`. Images of which an overview would spare
little have none.

Pixels are read by whoever brings a `Strips`; else by astropy, which takes 3.9 s for 4096 x 4096 of RICE_1 rows, where
`sodalake.sodacut` (a room above this one) takes 0.5 s.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..errors import Damaged, LakeError
from ..files import OpenFile, SourceFile, join, open_source, stat
from ..importing import IMPORTS
from ..lake import Lake
from ..writing import write_whole
from .imagesurvey import ImageSurvey
from .records import Image, Plain, Plane, Tiled

with IMPORTS:
    from astropy.io import fits

__all__ = ["LEAST", "Strips", "binned", "with_overviews"]

LEAST: Final = 32
"""Pixels of an overview's shorter side, at least; of smaller ones the images themselves are read as fast."""

_STRIP: Final = 1 << 20  # pixels read at a time, so that what is made of them stays near the cache
_BUFFER: Final = 1 << 22

_Floats = npt.NDArray[np.float32]

Strips = Callable[[Image, int], Iterable[npt.NDArray[Any]]]
"""Yields an image from bottom to top, so many rows at a time; NaN where a pixel has no value."""


def with_overviews(
    lake: Lake, survey: ImageSurvey, images: Sequence[Image], strips: Strips | None = None
) -> list[Image]:
    """Return a file's images with their overviews, writing these into the lake.

    Parameters
    ----------
    strips
        Reads pixels; None: astropy does.

    Raises
    ------
    Damaged
        Pixels cannot be decoded.
    """
    size = survey.images.overview
    wanted = [image for image in images if size > 1 and min(image.shape) >= LEAST * size]
    if not wanted:
        return list(images)
    number = wanted[0].number
    made = [_overview(image, size, strips) for image in wanted] if strips else _by_astropy(wanted, size)
    content, offsets = _file(made)
    url = join(lake.url, "files", survey.name, "overviews", f"{number:010d}.fits")
    write_whole(url, content)
    length = stat(url).size
    overviews = {
        image.row: Plane(number, url, length, Plain(offset, -32))
        for image, offset in zip(wanted, offsets, strict=True)
    }
    return [
        replace(image, overview=overviews[image.row], overview_bin=size) if image.row in overviews else image
        for image in images
    ]


def binned(strips: Iterable[npt.NDArray[Any]], size: int) -> _Floats:
    """Return the means of squares of `size` x `size` pixels.

    Parameters
    ----------
    strips
        An image in pieces, one behind the other; heights of all but the last are multiples of `size`.
    """
    rows = []
    for strip in strips:
        height, width = strip.shape
        padded = np.full((-(-height // size) * size, -(-width // size) * size), np.nan, np.float64)
        padded[:height, :width] = strip
        squares = padded.reshape(padded.shape[0] // size, size, padded.shape[1] // size, size)
        there = np.isfinite(squares)
        count = there.sum(axis=(1, 3))
        total = np.where(there, squares, 0.0).sum(axis=(1, 3))
        rows.append(np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32))
    return np.concatenate(rows)


def _overview(image: Image, size: int, strips: Strips) -> _Floats:
    place = image.pixels.place
    # No fewer rows than a tile has: it would be decoded again for the next ones.
    least = place.tile[0] if isinstance(place, Tiled) else 1
    step = -(-max(least, _STRIP // image.shape[1]) // size) * size
    return binned(strips(image, step), size)


class _Kept(SourceFile):
    """A file whose last piece is kept wherever it is sought: astropy seeks its end after each tile, which makes a
    buffered reader read everything again (4096 tiles of 10 MB: 8.4 s instead of 1.8)."""

    def __init__(self, source: OpenFile) -> None:
        super().__init__(source)
        self._start, self._piece = 0, b""

    def read(self, size: int | None = -1) -> bytes:
        """Return up to `size` bytes."""
        if size is None or not 0 <= size <= _BUFFER:
            return super().read(size)
        if not self._start <= self._at <= self._at + size <= self._start + len(self._piece):
            self._start, self._piece = self._at, self._source.read_at(self._at, _BUFFER)
        first = self._at - self._start
        data = self._piece[first : first + size]
        self._at += len(data)
        return data


def _by_astropy(images: Sequence[Image], size: int) -> list[_Floats]:
    """Return the overviews of a file's images."""
    url = images[0].pixels.url
    source = open_source(url)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with fits.open(_Kept(source), memmap=False, lazy_load_hdus=True) as hdus:

                def strips(image: Image, rows: int) -> Iterator[npt.NDArray[Any]]:
                    for row in range(0, image.shape[0], rows):
                        yield np.asarray(hdus[image.hdu].section[row : row + rows, :])

                return [_overview(image, size, strips) for image in images]
    except LakeError:
        raise
    except Exception as error:  # astropy and its codecs raise whatever comes to them of damaged tiles
        raise Damaged(
            f"{url}: its pixels cannot be decoded: {' '.join(str(error).split())}", "Copy the file again."
        ) from error
    finally:
        source.close()


def _file(made: Sequence[_Floats]) -> tuple[bytes, list[int]]:
    """Return a FITS file of images, and the offset of the first pixel of each."""
    buffer = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), *(fits.ImageHDU(one) for one in made)]).writeto(buffer)
    with fits.open(io.BytesIO(buffer.getvalue()), memmap=False) as hdus:
        return buffer.getvalue(), [hdu.fileinfo()["datLoc"] for hdu in hdus[1:]]
