"""Pictures of survey images, PNG and JPEG: one band through a colour map, or several in colour.

Rows are turned over, as in `sodacut.picture`: the picture stands as FITS viewers show the image. What has no pixel is
transparent in a PNG and black in a JPEG. A scale below 1 averages pixel values before anything is stretched; one above
1 repeats pixels where it is a whole number, and interpolates where it is not. On request a mark shows a place (with a
gap, so that what is there is seen) and a bar how long an angle is. Where the picture is on the sky is written into it,
see `sodalake.sodacut.images.avm`.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from sodalake.lake.importing import IMPORTS
from sodalake.sodacut.colormaps import colour_table
from sodalake.sodacut.errors import BadPicture
from sodalake.sodacut.images.avm import Sky, fits_text, sky_of, xmp_packet
from sodalake.sodacut.images.colour import Colours, colour
from sodalake.sodacut.images.shrinking import shrunk_to
from sodalake.sodacut.picture import LARGEST, Look
from sodalake.sodacut.stampfits import Pixels
from sodalake.sodacut.stretch import brightness, convolved

with IMPORTS:
    from PIL import Image, ImageDraw, ImageFont
    from PIL.PngImagePlugin import PngInfo

__all__ = ["Drawing", "PictureForm", "draw", "drawn_shape", "round_length"]

PictureForm = Literal["png", "jpeg"]

_LENGTHS: Final = tuple(
    (arcseconds * unit, f"{arcseconds:g}{sign}")
    for unit, sign, lengths in (
        (1, '"', (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30)),
        (60, "'", (1, 2, 5, 10, 20, 30)),
        (3600, "°", (1, 2, 5, 10, 20, 30)),
    )
    for arcseconds in lengths
)
"""Round angles in arcseconds, and how they are written (Pillow's font has no ″ and ′)."""

_BAR: Final = (0.12, 0.35)  # of the picture's width: the least and the most a bar has
_FEWEST: Final = 48  # pixels that a picture has at least to have a bar
_WHITE, _BLACK = (255, 255, 255, 255), (0, 0, 0, 255)
_MARK: Final = (0, 255, 128, 255)


@dataclass(frozen=True, slots=True)
class Drawing:
    """What is drawn beside the pixels, and how the file is written.

    Attributes
    ----------
    form
        ``png`` or ``jpeg``.
    scale
        Pixels of the picture for one of the image, positive.
    marker
        Where a mark is to be: (x, y) in pixels of the image, from 0 at the centre of the lower left one; None: nowhere.
    scalebar
        Whether there is a bar of a round length, with its length.
    quality
        Of a JPEG, 1 to 100.

    Raises
    ------
    BadPicture
        A value out of its range.
    """

    form: PictureForm = "png"
    scale: float = 1.0
    marker: tuple[float, float] | None = None
    scalebar: bool = False
    quality: int = 90

    def __post_init__(self) -> None:
        if self.form not in ("png", "jpeg"):
            raise BadPicture(f"There are no {str(self.form)[:40]!r} pictures.", "Take png or jpeg.")
        if not (math.isfinite(self.scale) and self.scale > 0):
            raise BadPicture(f"The scale is {self.scale:g}.", "It is a positive factor, such as 0.25 or 2.")
        if self.marker is not None and not all(map(math.isfinite, self.marker)):
            raise BadPicture(
                f"The mark is at {self.marker[0]:g}, {self.marker[1]:g}.",
                "Its place is two numbers of pixels.",
            )
        if not 1 <= self.quality <= 100:
            raise BadPicture(
                f"The quality of a JPEG is {self.quality}.",
                "It lies between 1 and 100; 90 looks like the original.",
            )


def draw(
    planes: Pixels | Sequence[Pixels],
    look: Look | Colours,
    drawing: Drawing = Drawing(),
    wcs: Any = None,
) -> bytes:
    """A picture.

    Parameters
    ----------
    planes
        One band, (height, width), with a `Look`; several of the same pixels, red first, with `Colours`. Row 0 is at the
        bottom, NaN is no pixel.
    look
        How values become brightness or colour. A `Look`'s scale is not looked at: it is the drawing's.
    drawing
        See its class.
    wcs
        Coordinates of the pixels, `astropy.wcs.WCS`, to be written into the picture; None: nothing is written.

    Raises
    ------
    BadPicture
        An unknown colour map, a number of bands that makes no colour, a picture larger than `LARGEST` on a side, or a
        scale bar without coordinates.
    """
    bands: list[Pixels] = [planes] if isinstance(planes, np.ndarray) else list(planes)
    if isinstance(look, Look) and len(bands) != 1:
        raise ValueError("a picture through a colour map is of one band")
    if not bands:
        raise ValueError("a picture is of something")
    shape: tuple[int, int] = (bands[0].shape[0], bands[0].shape[1])
    size = drawn_shape(shape, drawing.scale)
    if drawing.scale < 1:
        bands = [shrunk_to(band, size) for band in bands]
    shown = colour(bands, look) if isinstance(look, Colours) else _mapped(bands[0], look)
    image = _enlarged(Image.fromarray(np.ascontiguousarray(shown[::-1])), size, drawing.scale)
    sky = None if wcs is None else sky_of(wcs, shape, size)
    if drawing.marker is not None:
        x, y = (
            (place + 0.5) * new / old - 0.5
            for place, new, old in zip(drawing.marker, size[::-1], shape[::-1], strict=True)
        )
        _mark(image, x, size[0] - 1 - y)
    if drawing.scalebar:
        if sky is None:
            raise BadPicture(
                "A scale bar needs an image with coordinates on the sky.", "Ask for the picture without one."
            )
        _bar(image, sky.pixel_scale)
    return _written(image, drawing, sky)


def drawn_shape(shape: tuple[int, int], scale: float) -> tuple[int, int]:
    """Pixels (height, width) that a picture of an image has.

    Raises
    ------
    BadPicture
        More than `LARGEST` on a side; the sentence says which scale would fit.
    """
    height, width = shape
    if max(height, width) * scale > LARGEST + 0.5:
        fits = math.floor(LARGEST / max(height, width) * 1e4) / 1e4
        raise BadPicture(
            f"A picture of {width * scale:.0f} × {height * scale:.0f} pixels is too large: "
            f"at most {LARGEST} on a side are made.",
            f"A scale of {fits:g} fits, or a smaller piece of the sky.",
        )
    return max(1, round(height * scale)), max(1, round(width * scale))


def round_length(arcseconds: float) -> tuple[float, str] | None:
    """The longest round angle that is no longer, and how it is written; None where there is none.

    Round are 1, 2, 5, 10, 20 and 30 of seconds, minutes and degrees, and parts of seconds.
    """
    fitting = [length for length in _LENGTHS if length[0] <= arcseconds * (1 + 1e-9)]
    return fitting[-1] if fitting else None


def _mapped(pixels: Pixels, look: Look) -> NDArray[np.uint8]:
    """One band as red, green, blue, alpha."""
    if look.kernel is not None:
        pixels = convolved(pixels, look.kernel)
    level = brightness(pixels, look.stretch, look.pmin, look.pmax)
    present = ~np.isnan(level)
    index = np.rint(np.nan_to_num(level, nan=0.0) * 255).astype(np.uint8)
    shown = np.empty((*index.shape, 4), np.uint8)
    shown[..., :3] = colour_table(look.colormap)[index]
    shown[..., 3] = np.where(present, np.uint8(255), np.uint8(0))
    shown[~present] = 0
    return shown


def _enlarged(image: Image.Image, size: tuple[int, int], scale: float) -> Image.Image:
    if image.size == size[::-1]:
        return image
    if scale == int(scale):
        return image.resize(size[::-1], Image.Resampling.NEAREST)
    # Pillow weighs colours by their alpha, so that margins do not darken what is beside them.
    image = image.resize(size[::-1], Image.Resampling.BILINEAR)
    image.putalpha(image.getchannel("A").point(lambda alpha: 255 if alpha >= 128 else 0))
    return image


def _mark(image: Image.Image, x: float, y: float) -> None:
    """Four lines towards a place, that stop before they get there."""
    reach = min(image.size)
    gap, length = max(5.0, reach / 30), max(6.0, reach / 16)
    thick = max(1, round(reach / 250))
    brush = ImageDraw.Draw(image)
    for width, ink in ((thick + 2, _BLACK), (thick, _MARK)):
        for step_x, step_y in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            start, end = gap, gap + length
            brush.line(
                [(x + step_x * start, y + step_y * start), (x + step_x * end, y + step_y * end)], ink, width
            )


def _bar(image: Image.Image, pixel_scale: float) -> None:
    """A bar of a round length at the lower left, and its length above it."""
    width, height = image.size
    found = round_length(_BAR[1] * width * pixel_scale)
    if min(width, height) < _FEWEST or found is None or found[0] / pixel_scale < _BAR[0] * width / 2:
        return
    length, label = found[0] / pixel_scale, found[1]
    letters = max(13, min(48, round(min(width, height) / 20)))
    thick = max(2, round(letters / 6))
    margin = max(4, round(letters * 0.7))
    left, bottom = margin, height - 1 - margin
    brush = ImageDraw.Draw(image)
    around = max(1, thick // 2)
    brush.rectangle(
        [left - around, bottom - thick + 1 - around, left + length + around, bottom + around], fill=_BLACK
    )
    brush.rectangle([left, bottom - thick + 1, left + length, bottom], fill=_WHITE)
    brush.text(
        (left + length / 2, bottom - thick - around - letters // 4),
        label,
        fill=_WHITE,
        font=ImageFont.load_default(letters),
        anchor="ms",
        stroke_width=max(1, letters // 10),
        stroke_fill=_BLACK,
    )


def _written(image: Image.Image, drawing: Drawing, sky: Sky | None) -> bytes:
    out = io.BytesIO()
    if drawing.form == "jpeg":
        flat = Image.new("RGB", image.size)
        flat.paste(image, mask=image.getchannel("A"))
        more = {} if sky is None else {"xmp": xmp_packet(sky)}
        flat.save(out, "JPEG", quality=drawing.quality, **more)
        return out.getvalue()
    info = PngInfo()
    if sky is not None:
        info.add_itxt("XML:com.adobe.xmp", xmp_packet(sky).decode())
        info.add_text("FITS", "\n".join(_cards(fits_text(sky))))
    opaque = image.getchannel("A").getextrema() == (255, 255)
    (image.convert("RGB") if opaque else image).save(out, "PNG", pnginfo=info)
    return out.getvalue()


def _cards(text: str) -> list[str]:
    return [text[start : start + 80].rstrip() for start in range(0, len(text), 80)]
