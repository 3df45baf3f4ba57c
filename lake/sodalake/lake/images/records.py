"""An image as the index has it: what it covers, its coordinates, and where its pixels are.

Pixels are in one of two places. A *plain* image is a block of numbers at an offset. A *tiled* one (FITS 4.0, section
10) is a heap of compressed tiles: where each is, and what turns its integers into values again, is in the record, so
that a cut reads the tiles it needs and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

__all__ = ["Codec", "Image", "Plain", "Plane", "Quantized", "Tiled"]

Codec = Literal["RICE_1", "GZIP_1", "GZIP_2", "HCOMPRESS_1", "PLIO_1", "NOCOMPRESS"]
"""ZCMPTYPE: how tiles are compressed (FITS 4.0, table 36)."""

Dither = Literal["NONE", "NO_DITHER", "SUBTRACTIVE_DITHER_1", "SUBTRACTIVE_DITHER_2"]
"""ZQUANTIZ; NONE: the tiles hold the numbers themselves."""


@dataclass(frozen=True, slots=True)
class Plain:
    """Pixels that stand in the file as they are.

    Attributes
    ----------
    offset
        Of the first pixel's first byte.
    bitpix, scale, zero, blank
        BITPIX, BSCALE, BZERO, BLANK (None where absent).
    """

    offset: int
    bitpix: int
    scale: float = 1.0
    zero: float = 0.0
    blank: int | None = None


@dataclass(frozen=True, slots=True)
class Quantized:
    """What turns a tile's integers into floating point numbers (FITS 4.0, 10.2).

    Attributes
    ----------
    dither
        ZQUANTIZ.
    seed
        ZDITHER0.
    scale, zero
        ZSCALE and ZZERO of each tile (T).
    blank
        ZBLANK, of all tiles or of each (T); None where no pixel is null.
    """

    dither: Dither
    seed: int
    scale: npt.NDArray[np.float64]
    zero: npt.NDArray[np.float64]
    blank: int | npt.NDArray[np.int64] | None = None


@dataclass(frozen=True, slots=True)
class Tiled:
    """Pixels in compressed tiles.

    Attributes
    ----------
    codec
        ZCMPTYPE.
    bitpix
        ZBITPIX.
    tile
        (height, width) of a tile; those at the upper and right edges may be smaller.
    offsets, lengths
        Of each tile's bytes in the *file* (T each, int64), tiles counted along rows first; length 0: see `raw`.
    raw
        Which tiles are gzip of the values themselves (GZIP_COMPRESSED_DATA: 1), or not compressed
        (UNCOMPRESSED_DATA: 2), instead of the codec's (0); None: all are the codec's (T, uint8).
    quantized
        None where the tiles hold integers, or GZIP/NOCOMPRESS floats, as they are.
    parameters
        ZVALn by ZNAMEn: ``BLOCKSIZE``, ``BYTEPIX`` of RICE_1; ``SCALE``, ``SMOOTH`` of HCOMPRESS_1.
    scale, zero, blank
        BSCALE and BZERO of integers, and BLANK or ZBLANK of them.
    """

    codec: Codec
    bitpix: int
    tile: tuple[int, int]
    offsets: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    raw: npt.NDArray[np.uint8] | None = None
    quantized: Quantized | None = None
    parameters: Mapping[str, float] = field(default_factory=dict)
    scale: float = 1.0
    zero: float = 0.0
    blank: int | None = None


@dataclass(frozen=True, slots=True)
class Plane:
    """The pixels of an image, or what stands beside them, pixel for pixel.

    Attributes
    ----------
    file
        A number that tells versions of files apart: the image's file, by its number in the catalogue.
    url, size
        Where it is, and how many bytes it had at ingest.
    place
        See `Plain` and `Tiled`.
    mtime
        When its file was last written as of its ingest, seconds since 1970; 0: not known, or the lake's own file, which
        nobody else writes.
    """

    file: int
    url: str
    size: int
    place: Plain | Tiled
    mtime: float = 0.0


@dataclass(frozen=True, slots=True)
class Image:
    """One image of a survey.

    Attributes
    ----------
    survey, collection, image_id
        Names, and the id as text.
    number, row
        The file's number in the catalogue, and which of its images this is, from 0.
    hdu
        Number of its HDU, from 0.
    shape
        (height, width).
    header
        The cards of its HDU, 80 bytes each, without END; of a compressed image those of the image it stands for (FITS
        4.0, 10.1.1), and behind them those of the primary header that the HDU inherits and does not have itself.
    ra, dec, radius
        Its middle, and how far its farthest corner is from there (degrees, ICRS).
    outline
        Corners and points between them, around it (V x 2: longitude, latitude, degrees, ICRS).
    pixel_scale
        Arcseconds, in its middle.
    band
        Name; None where nothing is known of it.
    t_min, t_max, exposure
        MJD (UTC), and seconds; None where not known.
    unit, zero_point, seeing
        VOUnits; AB magnitude of one unit; arcseconds. None where not known.
    pixels
        Where its pixels are.
    planes
        Name in the survey's file → what stands beside it; only those that are there.
    overview
        The image made smaller by `overview_bin` on a side: a plane in the lake's own files; None where there is none.
    """

    survey: str
    collection: str
    image_id: str
    number: int
    row: int
    hdu: int
    shape: tuple[int, int]
    header: bytes
    ra: float
    dec: float
    radius: float
    outline: npt.NDArray[np.float64]
    pixel_scale: float
    band: str | None
    t_min: float | None
    t_max: float | None
    exposure: float | None
    unit: str | None
    zero_point: float | None
    seeing: float | None
    pixels: Plane
    planes: Mapping[str, Plane] = field(default_factory=dict)
    overview: Plane | None = None
    overview_bin: int = 0
