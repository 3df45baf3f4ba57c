"""Stored stamp bytes to pixels, in a tenth of a millisecond and without trusting them.

A ZTF stamp is gzip(FITS) with one float32 image, a Rubin stamp is plain FITS with image, variance and PSF. A
general FITS library takes milliseconds to open either; here the headers are walked for the dozen cards that
say where the pixels are, and numpy looks at the bytes where they lie. ZTF writes the same header in every
stamp, so what a header says is remembered (a hit costs 1 µs).

Nothing is reserved because a header says so: sizes are compared with the bytes at hand first. What cannot be
read is `Damaged`, with a sentence; what surveys get wrong and is still clear is read: values outside their
columns, missing padding behind the last data, bytes behind the last HDU.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sodalake.lake.errors import Damaged
from sodalake.sodacut.cards import BLOCK, CARD, Header, value_of
from sodalake.sodacut.gzipped import MAGIC, gunzip

__all__ = [
    "Hdu",
    "Pixels",
    "header_of",
    "image_of",
    "pixels_of",
    "plain_image",
    "read_image",
    "unpacked",
    "walk",
]

Pixels = NDArray[np.floating[Any]]
"""An image: (height, width), float32 or float64, native byte order, row 0 at the bottom of the sky."""

_DTYPES = {8: ">u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}
_FLOAT = {8: np.float32, 16: np.float32, 32: np.float64, 64: np.float64, -32: np.float32, -64: np.float64}
_INTEGER = re.compile(r"[+-]?\d{1,18}")
_WANTED = re.compile(
    rb"(?:SIMPLE|XTENSION|BITPIX|NAXIS\d{0,3}|PCOUNT|GCOUNT|BSCALE|BZERO|BLANK|EXTNAME|BUNIT) *\Z"
)
_MOST_HDUS = 64
_FIRST = b"SIMPLE  ="


@dataclass(frozen=True, slots=True)
class _Layout:
    """What one header says, without saying where it stands."""

    extension: str
    name: str
    unit: str
    bitpix: int
    axes: tuple[int, ...]
    data_bytes: int
    scale: float
    zero: float
    blank: int | None


@dataclass(frozen=True, slots=True)
class Hdu:
    """Where one header-data unit stands in the bytes, and what its header says of the pixels.

    Attributes
    ----------
    start, data_start, data_end, stop
        Offsets: of the header, of the data, behind the data, behind its padding (never beyond the bytes).
    extension
        XTENSION of an extension (``IMAGE``, ``BINTABLE``), empty for the primary HDU.
    name, unit
        EXTNAME and BUNIT, empty where absent.
    bitpix, axes
        As in the header: `axes` is (NAXIS1, NAXIS2, ...).
    scale, zero, blank
        BSCALE, BZERO and BLANK (None where absent).
    """

    start: int
    data_start: int
    data_end: int
    stop: int
    extension: str
    name: str
    unit: str
    bitpix: int
    axes: tuple[int, ...]
    scale: float
    zero: float
    blank: int | None

    @property
    def shape(self) -> tuple[int, int] | None:
        """(height, width) where this is one plane of pixels (more axes of length 1 do no harm), else None."""
        if (
            self.extension not in ("", "IMAGE")
            or len(self.axes) < 2
            or any(axis != 1 for axis in self.axes[2:])
        ):
            return None
        width, height = self.axes[:2]
        return (height, width) if width and height else None


def unpacked(stored: bytes) -> bytes:
    """The FITS bytes of a stamp as the archive holds it: gunzipped if it is gzip, as they are if not.

    Raises
    ------
    Damaged
        Empty, or gzip that cannot be unpacked.
    """
    if stored.startswith(MAGIC):
        return gunzip(stored)
    if not stored:
        raise Damaged("The stamp has no bytes.")
    return stored


def walk(data: bytes) -> list[Hdu]:
    """Find all HDUs (FITS 4.0, section 3): headers and data in whole blocks of 2880 bytes.

    Raises
    ------
    Damaged
        Not FITS, a header without END or with impossible values, or data that end too soon.
    """
    if not data.startswith(_FIRST):
        raise Damaged(f"These {len(data)} bytes are not FITS: they do not begin with SIMPLE.")
    hdus: list[Hdu] = []
    start = 0
    while start < len(data) and (start == 0 or data.startswith(b"XTENSION", start)):
        if len(hdus) == _MOST_HDUS:
            raise Damaged(f"The stamp has more than {_MOST_HDUS} HDUs.")
        end = _end_of_header(data, start)
        layout = _layout(data[start:end])
        data_start = start + -(-(end - start) // BLOCK) * BLOCK
        data_end = data_start + layout.data_bytes
        if layout.data_bytes and data_end > len(data):
            raise Damaged(
                f"HDU {len(hdus)} says it has {layout.data_bytes} bytes of data; "
                f"{max(0, len(data) - data_start)} are there."
            )
        stop = data_start + -(-layout.data_bytes // BLOCK) * BLOCK
        hdus.append(
            Hdu(
                start, data_start, data_end, min(stop, len(data)), layout.extension, layout.name, layout.unit,
                layout.bitpix, layout.axes, layout.scale, layout.zero, layout.blank,
            )
        )  # fmt: skip
        start = stop
    return hdus


def image_of(hdus: Sequence[Hdu]) -> Hdu:
    """The HDU with the stamp's image: the first that is one plane of pixels.

    Raises
    ------
    Damaged
        None is.
    """
    for hdu in hdus:
        if hdu.shape is not None:
            return hdu
    raise Damaged("The stamp has no image with two axes.")


def pixels_of(data: bytes, hdu: Hdu) -> Pixels:
    """The pixels of one HDU, scaled by BSCALE and BZERO, BLANK as NaN.

    Returns
    -------
    array (height, width)
        float32 for BITPIX -32, 8 and 16; float64 for -64, 32 and 64. A copy: the bytes may go.
    """
    shape = hdu.shape
    if shape is None:
        raise Damaged("This HDU is no image with two axes.")
    raw = np.frombuffer(data, _DTYPES[hdu.bitpix], math.prod(shape), hdu.data_start).reshape(shape)
    pixels: Pixels = raw.astype(_FLOAT[hdu.bitpix])
    if hdu.scale != 1.0 or hdu.zero != 0.0:
        with np.errstate(all="ignore"):
            pixels *= hdu.scale
            pixels += hdu.zero
    if hdu.blank is not None and hdu.bitpix > 0:
        pixels[raw == hdu.blank] = np.nan
    return pixels


def read_image(stored: bytes) -> Pixels:
    """Stored bytes to the stamp's image: gunzip where needed, walk, read.

    Raises
    ------
    Damaged
        The bytes are no stamp.
    """
    data = unpacked(stored)
    return pixels_of(data, image_of(walk(data)))


def plain_image(buffer: NDArray[np.uint8], length: int) -> Pixels | None:
    """The image of a FITS stamp where it lies in a buffer, without a copy.

    Returns
    -------
    big-endian float32 view (height, width)
        None where it takes more than looking: a header of several blocks, scaled pixels, other types, damage.
    """
    if length < BLOCK:
        return None
    layout = _first_layout(buffer[:BLOCK].tobytes())
    if (
        layout is None
        or layout.bitpix != -32
        or len(layout.axes) != 2
        or not layout.data_bytes
        or layout.data_bytes != 4 * math.prod(layout.axes)
        or BLOCK + layout.data_bytes > length
        or (layout.scale, layout.zero) != (1.0, 0.0)
    ):
        return None
    return buffer[BLOCK : BLOCK + layout.data_bytes].view(">f4").reshape(layout.axes[::-1])


@lru_cache(maxsize=64)
def _first_layout(block: bytes) -> _Layout | None:
    try:
        return _layout(block[: _end_of_header(block, 0)]) if block.startswith(_FIRST) else None
    except Damaged:
        return None


def _end_of_header(data: bytes, start: int) -> int:
    """Offset just behind the END card. (Searched from card to card: END may stand inside a comment.)"""
    place = start
    while (place := data.find(b"END     ", place)) >= 0:
        if (place - start) % CARD == 0:
            return place + CARD
        place += 1
    raise Damaged("A FITS header has no END.")


@lru_cache(maxsize=1024)
def _layout(block: bytes) -> _Layout:
    values: dict[str, str] = {}
    for start in range(0, len(block), CARD):
        keyword = block[start : start + 8]
        if _WANTED.match(keyword) and block[start + 8 : start + 9] == b"=":
            values.setdefault(keyword.decode("ascii").rstrip(), value_of(block[start : start + CARD]))
    bitpix = _integer(values, "BITPIX")
    if bitpix not in _DTYPES:
        raise Damaged(f"BITPIX = {bitpix} is no FITS data type.")
    axes = tuple(_integer(values, f"NAXIS{n + 1}", 0) for n in range(_integer(values, "NAXIS", 0, 999)))
    groups = _integer(values, "GCOUNT", 0, default=1)
    parameters = _integer(values, "PCOUNT", 0, default=0)
    data_bytes = abs(bitpix) // 8 * groups * (parameters + math.prod(axes)) if axes else 0
    if data_bytes >= 1 << 62:  # no disk holds that, and Python refuses to print a number of 5000 digits
        raise Damaged(f"A FITS header with {len(axes)} axes says it has more than {1 << 62} bytes of data.")
    return _Layout(
        extension=values.get("XTENSION", ""),
        name=values.get("EXTNAME", ""),
        unit=values.get("BUNIT", ""),
        bitpix=bitpix,
        axes=axes,
        data_bytes=data_bytes,
        scale=_real(values, "BSCALE", 1.0),
        zero=_real(values, "BZERO", 0.0),
        blank=_integer(values, "BLANK") if bitpix > 0 and "BLANK" in values else None,
    )


def _integer(
    values: dict[str, str],
    keyword: str,
    least: int | None = None,
    most: int | None = None,
    default: int | None = None,
) -> int:
    text = values.get(keyword)
    if text is None:
        if default is None:
            raise Damaged(f"A FITS header has no {keyword}.")
        return default
    if not _INTEGER.fullmatch(text):
        raise Damaged(f"{keyword} = {text[:30]!r} is no integer.")
    number = int(text)
    if (least is not None and number < least) or (most is not None and number > most):
        raise Damaged(f"{keyword} = {number} cannot be.")
    return number


def _real(values: dict[str, str], keyword: str, default: float) -> float:
    text = values.get(keyword)
    if text is None:
        return default
    try:
        number = float(text.replace("D", "E").replace("d", "e"))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise Damaged(f"{keyword} = {text[:30]!r} is no number.")
    return number


def header_of(data: bytes, hdu: Hdu) -> Header:
    """The cards of one HDU."""
    return Header.from_bytes(data[hdu.start : hdu.data_start])
