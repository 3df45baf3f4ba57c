"""An image made smaller, as an image of its own: squares of pixels become one, and the header says where they are.

Nothing is read here. What a request of a small picture needs is the image as it would be had its camera larger pixels:
shape, header, pixel scale; cutting it is then like cutting any image. Where its pixels come from is another question
(`source_of`): the overview that ingest made, or the pixels themselves, averaged as they are read.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import Final

from sodalake.lake.images.records import Image, Plane
from sodalake.sodacut.cards import Header
from sodalake.sodacut.coordinates import Box

__all__ = ["Source", "binned", "binned_box", "source_of"]

_MATRIX: Final = re.compile(r"(PC|CD)\d_[12]([A-Z]?)\Z")
_ORIGIN: Final = re.compile(r"CRPIX[12][A-Z]?\Z")
_AXIS: Final = re.compile(r"(?:CTYPE|CRPIX|CRVAL|CDELT)[12]([A-Z]?)\Z")
_SIP: Final = re.compile(r"(A|B|AP|BP)_(\d)_(\d)\Z")
# Counted in pixels that are no more, and written anew; sections are left out of all cuts (`cutfits`).
_STALE: Final = ("LTM1_1", "LTM1_2", "LTM2_1", "LTM2_2", "LTV1", "LTV2")


@dataclass(frozen=True, slots=True)
class Source:
    """Where the pixels of a smaller image come from.

    Attributes
    ----------
    plane, shape
        What is read, and its (height, width).
    box
        Which of its pixels.
    factor
        Squares of so many pixels on a side are averaged then.
    """

    plane: Plane
    shape: tuple[int, int]
    box: Box
    factor: int


def binned(image: Image, factor: int) -> Image:
    """Return the image with squares of `factor` by `factor` pixels as one; those at its far edges may be incomplete."""
    if factor == 1:
        return image
    header = Header.from_bytes(image.header)
    shape = -(-image.shape[0] // factor), -(-image.shape[1] // factor)
    header.drop(*_STALE)
    header.set("NAXIS1", shape[1])
    header.set("NAXIS2", shape[0])
    _enlarge(header, factor)
    for axis in (1, 2):
        header.set(f"LTM{axis}_{axis}", 1 / factor, "from pixels of the image to these")
        header.set(f"LTV{axis}", 0.5 - 0.5 / factor)
    header.set("BINNING", factor, "pixels averaged, along a side")
    return replace(
        image,
        shape=shape,
        header=b"".join(header.cards),
        pixel_scale=image.pixel_scale * factor,
        overview=None,
        overview_bin=0,
    )


def _enlarge(header: Header, factor: int) -> None:
    """Make the pixels of a header's coordinates larger.

    It is the matrix that does it, never CDELT, which comes behind it: between them are the polynomials of TPV, and they
    are of what the matrix gives.
    """
    for keyword, _ in list(header):
        number = header.number(keyword) if keyword[:1] in "ABCP" else None
        if number is None:
            continue
        value = float(number)
        if _ORIGIN.match(keyword):
            header.set(keyword, (value - 0.5) / factor + 0.5)
        elif _MATRIX.match(keyword):
            header.set(keyword, value * factor)
        elif found := _SIP.match(keyword):
            # Polynomials of pixels that give pixels.
            header.set(keyword, value * float(factor) ** (int(found[2]) + int(found[3]) - 1))
    matrices = {found.groups() for keyword, _ in header if (found := _MATRIX.match(keyword))}
    systems = {found[1] for keyword, _ in header if (found := _AXIS.match(keyword))}
    for letter in sorted({"", *systems, *(letter for _, letter in matrices)}):
        if ("PC", letter) not in matrices and ("CD", letter) not in matrices:
            for name, value in _turn(header, letter).items():
                header.set(f"{name}{letter}", value * factor)
            header.drop(f"CROTA1{letter}", f"CROTA2{letter}")
            continue
        for axis in (1, 2):
            name = f"PC{axis}_{axis}{letter}"
            if ("PC", letter) in matrices and name not in header:
                header.set(name, float(factor))
    for letter in sorted(systems - {""}):  # of the first system the reference pixel is always there
        for axis in (1, 2):
            if f"CRPIX{axis}{letter}" not in header:
                header.set(f"CRPIX{axis}{letter}", 0.5 - 0.5 / factor)


def _turn(header: Header, letter: str) -> dict[str, float]:
    """Return the matrix that CROTA2 is short for (FITS paper II, section 6.1), of no CROTA2 the diagonal."""
    names = (f"{name}{letter}" for name in ("CROTA2", "CDELT1", "CDELT2"))
    angle, *steps = (float(header.number(name) or 0) for name in names)
    if not angle or not all(steps):
        return {"PC1_1": 1.0, "PC2_2": 1.0}
    turn, ratio = math.radians(angle), steps[1] / steps[0]
    return {
        "PC1_1": math.cos(turn),
        "PC1_2": -math.sin(turn) * ratio,
        "PC2_1": math.sin(turn) / ratio,
        "PC2_2": math.cos(turn),
    }


def binned_box(box: Box, factor: int) -> Box:
    """Return the squares that hold a box of pixels."""
    return Box(box.x0 // factor, -(-box.x1 // factor), box.y0 // factor, -(-box.y1 // factor))


def source_of(image: Image, plane: Plane, box: Box, factor: int) -> Source:
    """Say what to read for pixels of a smaller image.

    Parameters
    ----------
    image
        The image itself.
    plane
        Its pixels, or a plane beside them.
    box
        Of the smaller image, inside it.
    factor
        How much smaller.
    """
    shape, by = image.shape, factor
    if plane is image.pixels and image.overview is not None and factor >= image.overview_bin > 1:
        once = image.overview_bin
        if factor % once == 0:
            plane, by = image.overview, factor // once
            shape = -(-shape[0] // once), -(-shape[1] // once)
    full = Box(box.x0 * by, min(box.x1 * by, shape[1]), box.y0 * by, min(box.y1 * by, shape[0]))
    return Source(plane, shape, full, by)


def step(factor: float, image: Image, *, exact: bool) -> int:
    """Return by how much an image is to be made smaller, for so many pixels given for one of its own.

    Parameters
    ----------
    factor
        Below 1: smaller.
    exact
        Whether what is still too large is resampled afterwards (pictures): then no more is averaged than needed, in
        whole squares of the overview where there is one. Else it is as small as asked for, or smaller.
    """
    if factor >= 1:
        return 1
    once = image.overview_bin if image.overview is not None and image.overview_bin > 1 else 1
    if exact:
        whole = max(1, math.floor(1 / factor + 1e-9))
        return whole // once * once if whole >= once else whole
    whole = math.ceil(1 / factor - 1e-9)
    return -(-whole // once) * once if whole >= once else whole
