"""Cut a FITS stamp by a region on the sky.

The answer is the stamp again, smaller: every HDU in its order, every card as it was, but

- the image, and every plane of the same shape beside it (variance, mask), lose the pixels outside the box;
- NAXIS1 and NAXIS2 tell the new size; CRPIXj (and its alternates a to z), LTVj move with the origin, exact to
  the digits written; CUTMINX and CUTMINY, Rubin's place of the stamp's corner on the detector, move likewise;
- CHECKSUM and DATASUM of a plane that was cut are dropped, for they no longer hold.

A PSF is kept whole, also where it happens to have the image's shape: Rubin's PSFs have 41 × 41 pixels, and so
have some of its stamps.
"""

from __future__ import annotations

import re
from decimal import Decimal

import numpy as np

from sodalake.sodacut.cards import Header, padded
from sodalake.sodacut.coordinates import Box, pixel_box, sky_frame
from sodalake.sodacut.shapes import Region
from sodalake.sodacut.stampfits import Hdu, Pixels, header_of, image_of, pixels_of, walk

__all__ = ["box_of", "cut", "cut_pixels"]

_REFERENCE_PIXEL = re.compile(r"CRPIX([12])[A-Z]?\Z")


def cut(data: bytes, region: Region) -> bytes:
    """The part of a FITS stamp that a region's bounding box touches, as FITS.

    Parameters
    ----------
    data
        FITS bytes, not gzipped.

    Returns
    -------
    bytes
        `data` itself where the box is the whole image.

    Raises
    ------
    NoOverlap, NoCoordinates, Damaged
        See `sodalake.sodacut.coordinates.pixel_box` and `sky_frame`, and `stampfits.walk`.
    """
    hdus = walk(data)
    image = image_of(hdus)
    box = box_of(data, image, region)
    if box.shape == image.shape:
        return data
    parts = []
    for hdu in hdus:
        if hdu is image or _is_companion(hdu, image):
            parts.append(_moved(header_of(data, hdu), box).to_bytes())
            parts.append(padded(_rows(data, hdu, box)))
        else:
            parts.append(padded(data[hdu.start : hdu.stop]))
    return b"".join(parts)


def cut_pixels(data: bytes, region: Region | None = None) -> Pixels:
    """The image of a FITS stamp, or the part of it that a region's bounding box touches."""
    image = image_of(walk(data))
    pixels = pixels_of(data, image)
    if region is None:
        return pixels
    box = box_of(data, image, region)
    return np.ascontiguousarray(pixels[box.y0 : box.y1, box.x0 : box.x1])


def box_of(data: bytes, image: Hdu, region: Region) -> Box:
    """The box of pixels of one image that a region covers."""
    if image.shape is None:
        raise ValueError("a box needs an image")
    return pixel_box(region, sky_frame(header_of(data, image)), image.shape)


def _is_companion(hdu: Hdu, image: Hdu) -> bool:
    return hdu.shape == image.shape and not hdu.name.upper().startswith("PSF")


def _rows(data: bytes, hdu: Hdu, box: Box) -> bytes:
    # Opaque items: bytes are moved, never read as numbers, so that NaNs keep their bits.
    height, width = hdu.shape or (0, 0)
    plane = np.frombuffer(data, f"V{abs(hdu.bitpix) // 8}", height * width, hdu.data_start).reshape(
        height, width
    )
    return plane[box.y0 : box.y1, box.x0 : box.x1].tobytes()


def _moved(header: Header, box: Box) -> Header:
    height, width = box.shape
    header.set("NAXIS1", width)
    header.set("NAXIS2", height)
    header.drop("CHECKSUM", "DATASUM")
    for keyword in {keyword for keyword, _ in header}:
        if match := _REFERENCE_PIXEL.match(keyword):
            _shift(header, keyword, -(box.x0 if match.group(1) == "1" else box.y0))
    for keyword, by in (("LTV1", -box.x0), ("LTV2", -box.y0), ("CUTMINX", box.x0), ("CUTMINY", box.y0)):
        _shift(header, keyword, by)
    return header


def _shift(header: Header, keyword: str, by: int) -> None:
    number = header.number(keyword)
    if number is None or by == 0:
        return
    moved = number + Decimal(by)
    header.set(
        keyword, int(moved) if number == number.to_integral_value() and "." not in str(number) else moved
    )
