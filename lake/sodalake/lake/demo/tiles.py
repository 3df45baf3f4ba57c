"""Tiles of the demo's sky: six overlapping images in each of three bands, as a survey of images has them.

::

    ROOT/skytiles/tile3_r.fits.fz

A tile has 1024 × 1024 pixels of 0.4″, in nJy, on a tangent plane of its own that is turned a little against its
neighbours', and shares a twentieth with each of them. Those in g and i are plain FITS; those in r are compressed row by
row (RICE_1), and are a quarter the size. Each has a weight beside it (GZIP_1, without loss), which is nothing where a
column of the detector is dead.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sodalake.lake.demo.archive import put
from sodalake.lake.demo.bands import WAVELENGTHS, njy
from sodalake.lake.demo.population import Galaxy
from sodalake.lake.demo.scenes import Blobs, Pixels, PointSpread, render
from sodalake.lake.errors import FileGone
from sodalake.lake.files import join, stat

from ..importing import IMPORTS

__all__ = ["TILE_BANDS", "skytiles_survey", "write_demo_tiles"]

TILE_BANDS: Final = ("g", "r", "i")
"""The bands of the tiles; those in ``r`` are compressed."""

_CENTRE: Final = (150.1, 2.2)  # degrees
_SIDE: Final = 1024  # pixels
_SCALE: Final = 0.4  # arcsec
_STEP: Final = _SIDE * 0.95 * _SCALE / 3600  # degrees between tiles
_COLUMNS, _ROWS = 3, 2
_SEEING: Final = {"g": 1.15, "r": 1.0, "i": 0.9}  # arcsec
_NOISE: Final = {"g": 9.0, "r": 12.0, "i": 17.0}  # nJy a pixel
_DEAD: Final = 700  # a column of each tile's detector
_STARS, _GALAXIES = 400, 1200
_MAGNITUDES: Final = (16.0, 23.5)


@dataclass(frozen=True)
class _Sky:
    """What is there: places (degrees), r magnitudes and g-r colours of stars, and galaxies with their places."""

    stars: npt.NDArray[np.float64]  # 4 x n: longitude, latitude, magnitude, colour
    galaxies: list[tuple[float, float, Galaxy]]


def skytiles_survey() -> str:
    """Return the file that describes the tiles: the text of ``skytiles.toml`` beside this module."""
    return (resources.files(__package__) / "skytiles.toml").read_text(encoding="utf-8")


def write_demo_tiles(
    root: str, *, seed: int = 42, progress: Callable[[int, int], None] | None = None
) -> list[str]:
    """Write the tiles that are not there yet, and return their URLs and those of their weights.

    Parameters
    ----------
    root
        Folder or URL.
    seed
        The same seed gives the same sky.
    progress
        Called with files written, of how many.
    """
    sky = _sky(np.random.default_rng([seed, 1024]))
    urls: list[str] = []
    total = _COLUMNS * _ROWS * len(TILE_BANDS)
    for tile in range(_COLUMNS * _ROWS):
        for band in TILE_BANDS:
            name = f"tile{tile + 1}_{band}.fits{'.fz' if band == 'r' else ''}"
            weight = f"tile{tile + 1}_{band}_weight.fits.fz"
            wanted = [join(root, name), join(root, weight)]
            if not all(map(_is_there, wanted)):
                rng = np.random.default_rng([seed, tile, ord(band)])
                for url, content in zip(wanted, _tile(sky, tile, band, rng), strict=True):
                    put(url, content)
            urls += wanted
            if progress is not None:
                progress(len(urls) // 2, total)
    return urls


def _is_there(url: str) -> bool:
    try:
        return stat(url).size > 0
    except FileGone:
        return False


def _sky(rng: np.random.Generator) -> _Sky:
    """Return stars and galaxies on a piece of sky that holds all tiles."""
    width, height = (_COLUMNS + 0.2) * _STEP, (_ROWS + 0.2) * _STEP

    def places(count: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        east, north = (rng.uniform(-0.5, 0.5, count) * side for side in (width, height))
        return _CENTRE[0] + east / np.cos(np.radians(_CENTRE[1])), _CENTRE[1] + north

    def magnitudes(count: int) -> npt.NDArray[np.float64]:
        bright, faint = _MAGNITUDES  # counts grow by 10**0.3 a magnitude
        share = rng.uniform(10 ** (0.3 * (bright - faint)), 1.0, count)
        return np.asarray(faint + np.log10(share) / 0.3, np.float64)

    stars = np.stack([*places(_STARS), magnitudes(_STARS), rng.normal(0.7, 0.35, _STARS)])
    galaxies = []
    brightness, colours = magnitudes(_GALAXIES), rng.normal(0.75, 0.3, _GALAXIES)
    for at, (lon, lat) in enumerate(zip(*places(_GALAXIES), strict=True)):
        spiral = colours[at] < 0.8
        galaxy = Galaxy(
            0.0, 0.0, float(brightness[at]), float(colours[at]),
            float(1.5 * rng.lognormal(0.0, 0.4) * 10 ** (0.12 * (21 - brightness[at]))),
            1.0 if spiral else 4.0, float(rng.uniform(0.25 if spiral else 0.6, 1.0)), float(rng.uniform(0, np.pi)),
        )  # fmt: skip
        galaxies.append((float(lon), float(lat), galaxy))
    return _Sky(stars, galaxies)


def _tile(sky: _Sky, tile: int, band: str, rng: np.random.Generator) -> tuple[bytes, bytes]:
    """Return a tile and its weight, as FITS files."""
    turn = 1.5 * (tile % 3 - 1)  # degrees
    wcs = _coordinates(tile, turn)
    middle = (_SIDE - 1) / 2
    pixels = Pixels(_SCALE, turn)
    lon, lat, magnitude, colour = sky.stars
    x, y = wcs.wcs_world2pix(lon, lat, 0)
    blobs = Blobs.points(x - middle, y - middle, _fluxes(magnitude, colour, band))
    for lon_, lat_, galaxy in sky.galaxies:
        at = wcs.wcs_world2pix(lon_, lat_, 0)
        one = Blobs.galaxy(galaxy, band, pixels)
        blobs += Blobs(one.x + at[0] - middle, one.y + at[1] - middle, one.flux, one.xx, one.yy, one.xy)
    near = (np.abs(blobs.x) < _SIDE * 0.55) & (np.abs(blobs.y) < _SIDE * 0.55)
    blobs = Blobs(*(values[near] for values in (blobs.x, blobs.y, blobs.flux, blobs.xx, blobs.yy, blobs.xy)))
    spread = PointSpread.of(_SEEING[band] * rng.uniform(0.95, 1.05) / _SCALE, 1.0, 0.0)
    image = render(blobs, spread, (_SIDE, _SIDE), (middle, middle))
    image += rng.standard_normal((_SIDE, _SIDE), dtype=np.float32) * np.float32(_NOISE[band])
    weight = np.full((_SIDE, _SIDE), _NOISE[band] ** -2.0, np.float32)
    weight[:, _DEAD] = 0.0
    image[:, _DEAD] = 0.0
    header = _header(wcs, band, tile)
    return _fits(image, header, "RICE_1" if band == "r" else "", tile), _fits(weight, header, "GZIP_1", tile)


def _fluxes(
    magnitude: npt.NDArray[np.float64], colour: npt.NDArray[np.float64], band: str
) -> npt.NDArray[np.float64]:
    return njy(magnitude + colour * (0.62 - WAVELENGTHS[band]) / 0.14)


def _coordinates(tile: int, turn: float) -> Any:
    """Return a tile's coordinates: its own tangent plane, +Y `turn` degrees east of north."""
    with IMPORTS:
        from astropy.wcs import WCS

    column, row = tile % _COLUMNS - (_COLUMNS - 1) / 2, tile // _COLUMNS - (_ROWS - 1) / 2
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.crpix = [(_SIDE + 1) / 2] * 2
    wcs.wcs.crval = [
        _CENTRE[0] - column * _STEP / np.cos(np.radians(_CENTRE[1])),
        _CENTRE[1] + row * _STEP,
    ]
    cos, sin = np.cos(np.radians(turn)) * _SCALE / 3600, np.sin(np.radians(turn)) * _SCALE / 3600
    wcs.wcs.cd = [[-cos, sin], [sin, cos]]
    wcs.wcs.radesys = "ICRS"
    wcs.wcs.set()
    return wcs


def _header(wcs: Any, band: str, tile: int) -> Any:
    header = wcs.to_header()
    header["OBJECT"] = (f"tile{tile + 1}", "Tile of the demo's sky")
    header["FILTER"] = (band, "Band")
    header["BUNIT"] = "nJy"
    header["MAGZERO"] = (31.4, "AB magnitude of one unit")
    header["MJD-OBS"] = (61100.1 + tile / 100 + TILE_BANDS.index(band), "Begin of the exposure, MJD (UTC)")
    header["EXPTIME"] = (150.0, "[s] Length of the exposure")
    header["SEEING"] = (_SEEING[band], "[arcsec] Width of a star")
    return header


def _fits(image: npt.NDArray[np.float32], header: Any, codec: str, tile: int) -> bytes:
    """Return a file with one image; with a codec it is compressed, by RICE_1 with loss, by others without."""
    with IMPORTS:
        from astropy.io import fits

    if codec:
        lossy = (
            {"quantize_level": 16.0, "quantize_method": 1} if codec == "RICE_1" else {"quantize_level": 0.0}
        )
        # The seed is the tile's own, so that the file has the same bytes each time.
        image_hdu = fits.CompImageHDU(
            image, header, name="IMAGE", compression_type=codec, dither_seed=1 + tile, **lossy
        )
        made = fits.HDUList([fits.PrimaryHDU(), image_hdu])
    else:
        made = fits.HDUList([fits.PrimaryHDU(image, header)])
    out = io.BytesIO()
    made.writeto(out)
    return out.getvalue()
