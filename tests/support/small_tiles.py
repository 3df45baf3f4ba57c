"""Small tiles of a sky that is known: overlapping, plain and compressed, in two bands, as a survey of images.

The value of a pixel is a function of the sky at its middle (`brightness`), so that a cut from any tile can be checked.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from sodalake.lake.images.ingesting import ingest_images

SIDE = 200  # pixels
SCALE = 1.0  # arcseconds
CENTRE = (150.0, 2.0)
STEP = 180 * SCALE / 3600  # degrees: tiles share 20 pixels

SURVEY = r"""
name = "small"
title = "Small tiles"
description = "Tiles for tests."
facility = "Test"
instrument = "None"

[images]
files = '(?P<tile>[a-z0-9]+)_(?P<band>[gr])\.fits(\.fz)?'
id = "{tile}_{band}"
calib_level = 3
overview = 0

[images.planes.weight]
meaning = "weight"
hdu = "WGT"

[band]
name = "{band}"

[bands]
g = [4.0e-7, 5.5e-7]
r = [5.5e-7, 7.0e-7]

[time]
keyword = "MJD-OBS"
exposure = "EXPTIME"

[pixels]
unit = "nJy"
zero_point = 31.4
"""


@dataclass(frozen=True)
class Tile:
    """One tile: `column` and `row` of its place on the sky, from the south-east."""

    name: str
    column: int
    row: int


TILES = (Tile("se", 0, 0), Tile("sw", 1, 0), Tile("ne", 0, 1), Tile("nw", 1, 1))


def wcs_of(tile: Tile) -> WCS:
    """Return a tile's coordinates: a tangent plane of its own."""
    made = WCS(naxis=2)
    made.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    made.wcs.crval = [
        CENTRE[0] - (tile.column - 0.5) * STEP / np.cos(np.radians(CENTRE[1])),
        CENTRE[1] + (tile.row - 0.5) * STEP,
    ]
    made.wcs.crpix = [SIDE / 2 + 0.5, SIDE / 2 + 0.5]
    made.wcs.cdelt = [-SCALE / 3600, SCALE / 3600]
    made.wcs.radesys = "ICRS"
    made.wcs.set()
    return made


def brightness(ra: Any, dec: Any, band: str) -> Any:
    """Return what the sky has at a place: smooth, different everywhere."""
    x, y = (ra - CENTRE[0]) * 3600 / 40, (dec - CENTRE[1]) * 3600 / 40
    return (100 + 20 * np.sin(x) * np.cos(y) + 3 * x + 2 * y) * (2.0 if band == "r" else 1.0)


def pixels_of(tile: Tile, band: str) -> Any:
    """Return a tile's pixels, float32."""
    y, x = np.mgrid[:SIDE, :SIDE]
    ra, dec = wcs_of(tile).pixel_to_world_values(x, y)
    return brightness(ra, dec, band).astype(np.float32)


def write_tiles(folder: Path, tiles: tuple[Tile, ...] = TILES) -> dict[str, Path]:
    """Write tiles: those in g plain, those in r compressed without loss (GZIP_2). Return their paths by image id."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {}
    for tile in tiles:
        for band in ("g", "r"):
            header = wcs_of(tile).to_header()
            header["MJD-OBS"], header["EXPTIME"] = 60000.0 + tile.column, 90.0
            image = pixels_of(tile, band)
            weight = np.full_like(image, 1.0 + tile.column)
            path = folder / f"{tile.name}_{band}.fits{'.fz' if band == 'r' else ''}"
            if band == "g":
                hdus = [fits.PrimaryHDU(image, header), fits.ImageHDU(weight, name="WGT")]
            else:
                squeeze = {"compression_type": "GZIP_2", "quantize_level": 0.0}
                hdus = [
                    fits.PrimaryHDU(),
                    fits.CompImageHDU(image, header, name="SCI", **squeeze),
                    fits.CompImageHDU(weight, header, name="WGT", **squeeze),
                ]
            fits.HDUList(hdus).writeto(path)
            paths[f"{tile.name}_{band}"] = path
    return paths


def lake_of_tiles(root: Path, lake: Path) -> dict[str, Path]:
    """Write the tiles below `root` and ingest them into a lake; return their paths by image id."""
    paths = write_tiles(root / "tiles")
    file = root / "small.toml"
    file.write_text(SURVEY)
    report = ingest_images(str(lake), str(file), [str(root / "tiles")], workers=1)
    assert not report.failed, report.failed
    return paths
