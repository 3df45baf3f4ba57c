"""Pictures of tiles: of the numbers of one band, or of three bands in colour.

All tiles of a HiPS, of all orders, are drawn alike, so limits are found once, on a sample of the deepest tiles, and
hold everywhere. A picture is made of the numbers of its own tile, not of the pictures below it.
"""

from __future__ import annotations

import html
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sodalake.lake.importing import IMPORTS
from sodalake.sodacut.hips.grids import WIDTH
from sodalake.sodacut.hips.properties import Described
from sodalake.sodacut.hips.tiles import (
    ALLSKY_ORDER,
    EXTENSIONS,
    PictureForm,
    averaged,
    collected,
    numbers_in,
    read_tile,
    tile_name,
    write_file,
    write_picture,
)
from sodalake.sodacut.images.colour import Colours, colour, settled

__all__ = ["ColourLook", "GreyLook", "colour_look", "draw", "grey_look", "page", "preview", "sample"]

_SAMPLED: Final = 64  # tiles that limits are found on
_STRIDE: Final = 4  # of their pixels, rows and columns
_SOFT: Final = 0.1  # asinh: where it turns from linear, between black and white
_DARKEST, _BRIGHTEST = 1.0, 99.7  # percentiles

Rgba = NDArray[np.uint8]
Tile = NDArray[np.float32]


def sample(folder: Path, order: int) -> Tile:
    """Return some pixels of the deepest tiles, of all of them alike, NaN where nothing is: (n, 512 / stride)."""
    numbers = numbers_in(folder, order)
    some = numbers[:: max(1, len(numbers) // _SAMPLED)]
    tiles = [tile for number in some if (tile := read_tile(folder, order, number)) is not None]
    return np.concatenate([tile[::_STRIDE, ::_STRIDE] for tile in tiles])


@dataclass(frozen=True, slots=True)
class GreyLook:
    """How the numbers of one band are drawn: asinh between two values.

    Attributes
    ----------
    limits
        Values shown black and white.
    range
        The least and the greatest value of the sample.
    """

    limits: tuple[float, float]
    range: tuple[float, float]

    def drawn(self, tiles: Sequence[Tile]) -> Rgba:
        """Return a picture (height, width, 4) of a tile."""
        (tile,) = tiles
        low, high = self.limits
        present = np.isfinite(tile)
        level = np.clip((np.where(present, tile, low) - low) / (high - low), 0, 1)
        shown = np.rint(255 * np.arcsinh(level / _SOFT) / np.arcsinh(1 / _SOFT)).astype(np.uint8)
        return np.stack([shown, shown, shown, np.where(present, np.uint8(255), np.uint8(0))], axis=-1)


@dataclass(frozen=True, slots=True)
class ColourLook:
    """How the numbers of three bands or more are drawn; see `sodalake.sodacut.images.colour`."""

    colours: Colours

    def drawn(self, tiles: Sequence[Tile]) -> Rgba:
        """Return a picture (height, width, 4) of a tile in several bands, red first."""
        return colour(tiles, self.colours)


def grey_look(pixels: Tile) -> GreyLook:
    """Return the look of one band."""
    some = pixels[np.isfinite(pixels)].astype(np.float64)
    low, high = (float(value) for value in np.percentile(some, (_DARKEST, _BRIGHTEST)))
    least, most = float(some.min()), float(some.max())
    if low >= high:
        low, high = least, most if most > least else least + 1.0
    return GreyLook((low, high), (least, most))


def colour_look(bands: Sequence[Tile]) -> ColourLook:
    """Return the look of several bands, red first."""
    length = max(len(band) for band in bands)
    # Samples of bands are of other tiles where these cover other sky: that is nothing to their noise and brightness.
    even = [
        np.concatenate([band, np.full((length - len(band), band.shape[1]), np.nan, np.float32)])
        for band in bands
    ]
    return ColourLook(settled(even, Colours(pmax=_BRIGHTEST)))


def draw(
    bands: Sequence[Path],
    folder: Path,
    order: int,
    form: PictureForm,
    look: GreyLook | ColourLook,
    tell: Callable[[int, int], None],
) -> None:
    """Draw all tiles of all orders, those that are not there yet, and all of order 3 as one.

    Parameters
    ----------
    bands
        Folders of the numbers, red first.
    folder
        Of the pictures.
    """
    each = [
        (at, number)
        for at in range(order, -1, -1)
        for number in sorted({number for band in bands for number in numbers_in(band, at)})
    ]
    small: dict[int, Rgba] = {}
    for done, (at, number) in enumerate(each, 1):
        path = folder / tile_name(at, number, form)
        if at == ALLSKY_ORDER or not path.exists():
            tiles = [read_tile(band, at, number) for band in bands]
            whole = [np.full((WIDTH, WIDTH), np.nan, np.float32) if one is None else one for one in tiles]
            write_picture(path, look.drawn(whole), form)
            if at == ALLSKY_ORDER:
                small[number] = look.drawn([averaged(one, WIDTH // 64) for one in whole])
        tell(done, len(each))
    if small:
        sheet = collected(small, np.zeros((64, 64, 4), np.uint8))
        write_picture(folder / f"Norder{ALLSKY_ORDER}/Allsky.{EXTENSIONS[form]}", sheet, form)


def preview(folder: Path, form: str) -> None:
    """Write the picture that the page shows: the tile of the deepest order that has most in it."""
    with IMPORTS:
        from PIL import Image

    extension = EXTENSIONS[form]
    orders = sorted({int(path.name.removeprefix("Norder")) for path in folder.glob("Norder*")}, reverse=True)
    paths = sorted((folder / f"Norder{orders[0]}").glob(f"Dir*/Npix*.{extension}"))
    best = max(paths, key=lambda path: path.stat().st_size)
    out = io.BytesIO()
    with Image.open(best) as picture:
        flat = Image.new("RGB", picture.size)
        flat.paste(picture.convert("RGB"), mask=picture.getchannel("A") if picture.mode == "RGBA" else None)
        flat.save(out, "JPEG", quality=88)
    write_file(folder / "preview.jpg", out.getvalue())


def page(described: Described) -> bytes:
    """Return the page at the HiPS' own address: nothing in it comes from elsewhere."""
    rows = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>"
        for name, value in (
            ("Identifier", described.did),
            ("Order of the deepest tiles", f"{described.order}, pixels of {described.pixel_scale:.3g}″"),
            ("Tiles", ", ".join(described.formats)),
            ("Covers", f"{described.fraction * 41252.96:.4g} square degrees"),
            ("Rights", described.copyright),
        )
        if value
    )
    title, text = html.escape(described.title), html.escape(described.description)
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{title}</title></head>'
        f"<body><h1>{title}</h1><p>{text}</p>"
        '<p><img src="preview.jpg" alt="One of its tiles" width="512" height="512"></p>'
        f"<table>{rows}</table><p>This address is a HiPS: give it to Aladin, or any client of HiPS."
        ' See its <a href="properties">properties</a> and <a href="Moc.fits">coverage</a>.</p></body></html>\n'
    ).encode()
