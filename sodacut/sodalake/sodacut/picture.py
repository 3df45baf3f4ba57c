"""Stamps as PNG.

FITS counts rows from the bottom, PNG from the top, so the image is turned over: the picture stands as FITS
viewers show it. Pixels that are NaN (the margin of a stamp cut at the detector's edge) are transparent.
Zooming by a whole number repeats pixels; other factors interpolate between them.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sodalake.lake.importing import IMPORTS
from sodalake.sodacut.colormaps import GRAYSCALE, colour_table
from sodalake.sodacut.errors import BadPicture
from sodalake.sodacut.stampfits import Pixels
from sodalake.sodacut.stretch import KERNELS, STRETCHES, brightness, convolved

with IMPORTS:
    from PIL import Image

__all__ = ["LARGEST", "Look", "montage", "render"]

LARGEST = 4096
"""Pixels a picture may have on a side."""

_GAP = 4  # pixels between the panels of a montage, before zooming: less than a twelfth of a stamp
_ABSENT = 0.16  # brightness of a panel whose stamp is missing


@dataclass(frozen=True, slots=True)
class Look:
    """How a stamp is shown.

    Attributes
    ----------
    stretch
        sigmoid, linear, sqrt, log, asinh or power.
    pmin, pmax
        Percentiles shown darkest and brightest, 0 ≤ pmin < pmax ≤ 100; sigmoid takes no notice of them.
    colormap
        ``grayscale`` or a name of matplotlib's.
    scale
        Zoom, positive; 4 makes 252 pixels of 63.
    kernel
        None, or smooth with ``gauss`` or ``box`` before anything else.

    Raises
    ------
    BadPicture
        A value out of its range. (An unknown colour map is found when the picture is made.)
    """

    stretch: str = "sigmoid"
    pmin: float = 0.5
    pmax: float = 99.5
    colormap: str = "grayscale"
    scale: float = 1.0
    kernel: str | None = None

    def __post_init__(self) -> None:
        if self.stretch not in STRETCHES:
            raise BadPicture(
                f"There is no stretch {self.stretch[:40]!r}.", f"Take one of {', '.join(STRETCHES)}."
            )
        if not 0 <= self.pmin < self.pmax <= 100:
            raise BadPicture(
                f"The percentiles are {self.pmin:g} and {self.pmax:g}.",
                "The lower one comes first, and both lie between 0 and 100.",
            )
        if not (math.isfinite(self.scale) and self.scale > 0):
            raise BadPicture(f"The scale is {self.scale:g}.", "It is a positive factor, such as 4.")
        if self.kernel is not None and self.kernel not in KERNELS:
            raise BadPicture(
                f"There is no convolution kernel {self.kernel[:40]!r}.", f"Take {' or '.join(KERNELS)}."
            )


def render(pixels: Pixels, look: Look) -> bytes:
    """One stamp as PNG.

    Parameters
    ----------
    pixels
        (height, width), row 0 at the bottom.

    Raises
    ------
    BadPicture
        An unknown colour map, or more than `LARGEST` pixels on a side.
    """
    return _png(_zoomed(_shown(pixels, look), look.scale), look.colormap)


def montage(panels: Sequence[Pixels | None], look: Look) -> bytes:
    """Stamps side by side as PNG, each with its own limits; a missing one is a dark square.

    Raises
    ------
    BadPicture
        As `render`.
    """
    shown = [None if panel is None else _shown(panel, look) for panel in panels]
    sizes = [panel.shape for panel in shown if panel is not None] or [(63, 63)]
    height, missing = max(size[0] for size in sizes), max(size[1] for size in sizes)
    filled = [np.full((height, missing), _ABSENT, np.float32) if panel is None else panel for panel in shown]
    width = sum(panel.shape[1] for panel in filled) + _GAP * (len(filled) - 1)
    sheet = np.full((height, width), np.nan, np.float32)
    column = 0
    for panel in filled:
        row = (height - panel.shape[0]) // 2
        sheet[row : row + panel.shape[0], column : column + panel.shape[1]] = panel
        column += panel.shape[1] + _GAP
    return _png(_zoomed(sheet, look.scale), look.colormap)


def _shown(pixels: Pixels, look: Look) -> NDArray[np.float32]:
    if look.kernel is not None:
        pixels = convolved(pixels, look.kernel)
    return brightness(pixels, look.stretch, look.pmin, look.pmax)[::-1]


def _zoomed(level: NDArray[np.float32], scale: float) -> NDArray[np.float32]:
    height, width = level.shape
    if max(height, width) * scale > LARGEST:
        raise BadPicture(
            f"A scale of {scale:g} makes {width * scale:.0f} × {height * scale:.0f} pixels.",
            f"At most {LARGEST} on a side are made.",
        )
    if scale == 1.0:
        return level
    if scale == int(scale):
        return level.repeat(int(scale), axis=0).repeat(int(scale), axis=1)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    present = ~np.isnan(level)
    # Brightness and presence are resampled alike and divided, so that margins do not darken what is beside
    # them.
    weight = _resampled(present.astype(np.float32), size, scale)
    value = _resampled(np.where(present, level, np.float32(0)), size, scale)
    with np.errstate(all="ignore"):
        zoomed: NDArray[np.float32] = np.where(weight >= 0.5, value / weight, np.float32(np.nan))
    return zoomed


def _resampled(plane: NDArray[np.float32], size: tuple[int, int], scale: float) -> NDArray[np.float32]:
    how = Image.Resampling.BILINEAR if scale > 1 else Image.Resampling.BOX
    return np.asarray(Image.fromarray(plane).resize(size, how))


def _png(level: NDArray[np.float32], colormap: str) -> bytes:
    present = ~np.isnan(level)
    index = np.rint(np.nan_to_num(level, nan=0.0) * 255).astype(np.uint8)
    alpha = None if present.all() else np.where(present, np.uint8(255), np.uint8(0))
    if colormap in GRAYSCALE:
        image = Image.fromarray(index if alpha is None else np.dstack([index, alpha]))
    elif alpha is None:
        image = Image.fromarray(index)
        image.putpalette(colour_table(colormap).tobytes())
    else:
        image = Image.fromarray(np.dstack([colour_table(colormap)[index], alpha]))
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()
