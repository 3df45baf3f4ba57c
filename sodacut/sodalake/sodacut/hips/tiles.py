"""Tiles as files (HiPS 1.0, 4.2): their names, their numbers as FITS, pictures of them, and the tree above.

::

    Norder9/Dir20000/Npix27631.fits
    Norder3/Allsky.png          all tiles of order 3, small: what a client that looks at all the sky asks for
"""

from __future__ import annotations

import io
import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from sodalake.lake.importing import IMPORTS
from sodalake.sodacut.hips.grids import WIDTH, tile_grid

__all__ = [
    "ALLSKY_ORDER",
    "EXTENSIONS",
    "FILE",
    "PictureForm",
    "averaged",
    "collected",
    "decreased",
    "numbers_in",
    "read_tile",
    "tile_name",
    "write_file",
    "write_picture",
    "write_tile",
]

PictureForm = Literal["png", "jpeg"]
EXTENSIONS: Final[Mapping[str, str]] = {"fits": "fits", "png": "png", "jpeg": "jpg"}

FILE: Final = re.compile(
    r"properties|Moc\.fits|index\.html|preview\.jpg"
    r"|Norder\d{1,2}/(?:Allsky\.(?:fits|png|jpg)|Dir\d{1,15}/Npix\d{1,15}\.(?:fits|png|jpg))"
)
"""The files that a HiPS has, and no others."""

ALLSKY_ORDER: Final = 3
_SMALL: Final = 64  # pixels of a tile in Allsky (4.3.3)
_QUALITY: Final = 88
_TILE: Final = re.compile(r"Npix(\d+)\.")

Rgba = NDArray[np.uint8]


def tile_name(order: int, number: int, kind: str = "fits") -> str:
    """Return the name of a tile's file, below the folder of its HiPS; `kind` is ``fits``, ``png`` or ``jpeg``."""
    return f"Norder{order}/Dir{number // 10_000 * 10_000}/Npix{number}.{EXTENSIONS[kind]}"


def numbers_in(folder: Path, order: int, kind: str = "fits") -> list[int]:
    """Return the tiles of an order that are there."""
    found = (folder / f"Norder{order}").glob(f"Dir*/Npix*.{EXTENSIONS[kind]}")
    return sorted(int(match[1]) for path in found if (match := _TILE.match(path.name)))


def write_file(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: who goes on with work that was cut off takes what is there as done."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_tile(
    folder: Path, order: int, number: int, pixels: NDArray[np.float32], cards: Iterable[Any] = ()
) -> None:
    """Write a tile's numbers; row 0 is at the bottom."""
    with IMPORTS:
        from astropy.io import fits

    header = fits.Header(list(tile_grid(order, number, pixels.shape[0]).cards))
    header["ORDER"] = (order, "of HEALPix")
    header["NPIX"] = (number, "cell of that order, NESTED")
    header.extend(cards)
    out = io.BytesIO()
    fits.PrimaryHDU(pixels.astype(np.float32), header).writeto(out)
    write_file(folder / tile_name(order, number), out.getvalue())


def read_tile(folder: Path, order: int, number: int) -> NDArray[np.float32] | None:
    """Return a tile's numbers, or None where there is no such tile."""
    with IMPORTS:
        from astropy.io import fits

    try:
        with fits.open(folder / tile_name(order, number), memmap=False) as opened:
            pixels: NDArray[np.float32] = np.asarray(opened[0].data, np.float32)
    except FileNotFoundError:
        return None
    return pixels


def write_picture(path: Path, shown: Rgba, form: PictureForm) -> None:
    """Write a picture.

    Parameters
    ----------
    shown
        (height, width, 4): red, green, blue, opacity; row 0 at the bottom, as of the numbers. JPEG is black where
        nothing is.
    """
    with IMPORTS:
        from PIL import Image

    upright = shown[::-1]
    if form == "jpeg":
        upright = (upright[..., :3] * (upright[..., 3:] > 0)).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(upright)).save(
        out, form.upper(), **({"quality": _QUALITY} if form == "jpeg" else {})
    )
    write_file(path, out.getvalue())


def averaged(pixels: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Return the means of squares of pixels, of those that are there; squares at the far edges may be incomplete."""
    height, width = pixels.shape
    down, across = -(-height // factor), -(-width // factor)
    full = pixels
    if (down * factor, across * factor) != pixels.shape:
        full = np.full((down * factor, across * factor), np.nan, np.float32)
        full[:height, :width] = pixels
    blocks = full.reshape(down, factor, across, factor)
    present = np.isfinite(blocks)
    count = present.sum(axis=(1, 3))
    total = np.where(present, blocks, 0).sum(axis=(1, 3), dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(count > 0, total / count, np.nan).astype(np.float32)


def decreased(
    folder: Path, order: int, *, cards: Iterable[Any] = (), stopped: Callable[[], None] = lambda: None
) -> None:
    """Make the tiles of all orders above `order`, each of the four below it."""
    cards = list(cards)
    for above in range(order - 1, -1, -1):
        for number in sorted({one // 4 for one in numbers_in(folder, above + 1)}):
            if (folder / tile_name(above, number)).exists():
                continue
            stopped()
            whole = np.full((WIDTH, WIDTH), np.nan, np.float32)
            for child in range(4):
                below = read_tile(folder, above + 1, 4 * number + child)
                if below is not None:
                    _quarter(whole, child)[:] = averaged(below, 2)
            write_tile(folder, above, number, whole, cards)


def _quarter(whole: NDArray[Any], child: int) -> NDArray[Any]:
    """Return the part of a tile that one of its four children is."""
    half = whole.shape[0] // 2
    # The southern child (0) is at the upper left; x of HEALPix (1) goes down, y (2) to the right.
    rows = slice(0, half) if child & 1 else slice(half, None)
    columns = slice(half, None) if child & 2 else slice(0, half)
    return whole[rows, columns]


def collected(tiles: Mapping[int, NDArray[Any]], empty: NDArray[Any]) -> NDArray[Any]:
    """Return all tiles of order 3, 64 pixels each, in rows of 27 from the top (4.3.3).

    Parameters
    ----------
    tiles
        By number: (64, 64), or with colours behind; row 0 at the bottom.
    empty
        A tile where there is none.
    """
    across = 27
    down = -(-12 * 4**ALLSKY_ORDER // across)
    sheet = np.tile(empty, (down, across, *(1 for _ in empty.shape[2:])))
    for number, tile in tiles.items():
        row, column = divmod(number, across)
        top = (down - 1 - row) * _SMALL
        sheet[top : top + _SMALL, column * _SMALL : (column + 1) * _SMALL] = tile
    return sheet
