"""Tiles to measure on: a square of sky in three bands, as large surveys keep it.

A tile has its own tangent plane and shares a twentieth of its side with each neighbour. Stars and galaxies are the same
wherever two tiles see them, and so are their colours; noise is a tile's own. The same tiles are made twice, plain and
compressed row by row (RICE_1 with subtractive dither, as DECam's pipeline leaves them).

::

    tiles-v2-rice-4096x4096-6x6-s42/tile07_r.fits.fz
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from importlib import resources
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sodalake.lake.demo.bands import WAVELENGTHS, njy
from sodalake.lake.demo.population import Galaxy
from sodalake.lake.demo.scenes import Blobs, Pixels, PointSpread, render

from .kept import SURVEY, KeptFiles, kept_folder

__all__ = ["BANDS", "Form", "TileFiles", "TileRecipe", "make_tile_files"]

Form = Literal["plain", "rice"]
"""How pixels are stored."""

BANDS = ("g", "r", "i")

_VERSION = 2  # of what the files are: another one makes them anew
_CENTRE = (210.0, -12.0)  # degrees
_SCALE = 0.263  # arcsec a pixel, DECam's
_OVERLAP = 0.05
_SEEING = {"g": 1.15, "r": 1.0, "i": 0.9}  # arcsec
_NOISE = {"g": 22.0, "r": 28.0, "i": 36.0}  # nJy a pixel
_STARS, _GALAXIES = 14_000, 9_000  # in a square degree
_MAGNITUDES = (14.5, 22.5)
_REACH = 400  # pixels beyond a tile's edge that the light of a galaxy may come from
_QUANTIZE = 4.0  # steps in a noise's width: FZQVALUE of DECam's pipeline


@dataclass(frozen=True, slots=True)
class TileRecipe:
    """What the tiles are.

    Attributes
    ----------
    form
        Plain float32, or RICE_1 by rows.
    side
        Pixels of a tile's side.
    columns, rows
        Tiles beside and above one another.
    seed
        The same seed gives the same sky.
    """

    form: Form = "plain"
    side: int = 4096
    columns: int = 6
    rows: int = 6
    seed: int = 42

    @property
    def survey(self) -> str:
        """Name of the survey that the tiles are."""
        return f"bench{self.form}"

    @property
    def name(self) -> str:
        """What is in the files follows from it."""
        return (
            f"tiles-v{_VERSION}-{self.form}-{self.side}x{self.side}-{self.columns}x{self.rows}-s{self.seed}"
        )

    @property
    def step(self) -> float:
        """Degrees between the middles of two tiles."""
        return self.side * (1 - _OVERLAP) * _SCALE / 3600

    @property
    def pixel_scale(self) -> float:
        """Arcseconds."""
        return _SCALE

    def at(self, column: float, row: float) -> tuple[float, float]:
        """Return the place (degrees) of a tile's middle; of a corner of four, where both are halves."""
        dec = _CENTRE[1] + (row - (self.rows - 1) / 2) * self.step
        east = (column - (self.columns - 1) / 2) * self.step
        return _CENTRE[0] - east / np.cos(np.radians(_CENTRE[1])), float(dec)

    def wcs(self, tile: int) -> Any:
        """Return a tile's coordinates (`astropy.wcs.WCS`): north up."""
        from astropy.wcs import WCS

        wcs = WCS(naxis=2)
        wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
        wcs.wcs.cunit = ["deg", "deg"]
        wcs.wcs.crpix = [(self.side + 1) / 2] * 2
        wcs.wcs.crval = self.at(tile % self.columns, tile // self.columns)
        wcs.wcs.cdelt = [-_SCALE / 3600, _SCALE / 3600]
        wcs.wcs.radesys = "ICRS"
        wcs.wcs.set()
        return wcs

    def image_id(self, tile: int, band: str) -> str:
        """Return the id of a tile's image, as the survey has it."""
        return f"tile{tile:02d}_{band}"

    def file_name(self, tile: int, band: str) -> str:
        """Return the name of its file."""
        return f"{self.image_id(tile, band)}.fits{'.fz' if self.form == 'rice' else ''}"

    @property
    def tiles(self) -> int:
        """How many there are, in each band."""
        return self.columns * self.rows


@dataclass(frozen=True, slots=True)
class TileFiles(KeptFiles[TileRecipe]):
    """Made tiles: their recipe and folder, their files (tile by tile, blue first), and their bytes."""

    @property
    def name(self) -> str:
        """What is in the files follows from it."""
        return self.recipe.name

    def path(self, tile: int, band: str) -> Path:
        """Return the file of a tile in a band."""
        return self.folder / self.recipe.file_name(tile, band)


def make_tile_files(
    recipe: TileRecipe,
    cache: Path | None = None,
    *,
    workers: int = 2,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> TileFiles:
    """Return the files of a recipe, making them where the cache does not hold them.

    Parameters
    ----------
    cache
        Folder of archives; the user's cache by default.
    workers
        Processes that make them.
    progress
        Is told files made and files in all.
    """
    folder = kept_folder(recipe.name, cache, partial(_make, recipe, workers=workers, progress=progress))
    return TileFiles.of(recipe, folder)


def _make(
    recipe: TileRecipe, folder: Path, *, workers: int, progress: Callable[[int, int], None]
) -> dict[str, Any]:
    folder.mkdir(parents=True)
    each = [(tile, band) for tile in range(recipe.tiles) for band in BANDS]
    # Spawned, as all processes here: a fork takes locks along that nobody opens again.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        made = [pool.submit(_write, recipe, tile, band, folder) for tile, band in each]
        for done, one in enumerate(as_completed(made), 1):
            one.result()
            progress(done, len(each))
    text = (resources.files("sodalake.benchmarks") / "surveys" / "tiles.toml").read_text(encoding="utf-8")
    (folder / SURVEY).write_text(text.replace('name = "benchtiles"', f'name = "{recipe.survey}"'))
    return {"recipe": asdict(recipe), "files": [recipe.file_name(tile, band) for tile, band in each]}


def _write(recipe: TileRecipe, tile: int, band: str, folder: Path) -> None:
    from astropy.io import fits

    header = recipe.wcs(tile).to_header()
    header["FILTER"] = (band, "Band")
    header["BUNIT"] = "nJy"
    header["MAGZERO"] = (31.4, "AB magnitude of one unit")
    pixels = tile_pixels(recipe, tile, band)
    path = folder / recipe.file_name(tile, band)
    if recipe.form == "plain":
        fits.PrimaryHDU(pixels, header).writeto(path)
        return
    image = fits.CompImageHDU(
        pixels,
        header,
        name="IMAGE",
        compression_type="RICE_1",
        quantize_level=_QUANTIZE,
        quantize_method=1,  # SUBTRACTIVE_DITHER_1
        dither_seed=1 + tile,
    )
    fits.HDUList([fits.PrimaryHDU(), image]).writeto(path)


def tile_pixels(recipe: TileRecipe, tile: int, band: str) -> NDArray[np.float32]:
    """Return the pixels of a tile, in nJy."""
    sky = _sky(recipe)
    wcs = recipe.wcs(tile)
    middle = (recipe.side - 1) / 2
    x, y = wcs.wcs_world2pix(sky.lon, sky.lat, 0)
    far = recipe.side / 2 + _REACH
    seen = np.flatnonzero((np.abs(x - middle) < far) & (np.abs(y - middle) < far))
    blobs = Blobs.points([], [], [])
    for some in _pieces(seen, 2000):
        stars = some[some < sky.stars]
        blobs += Blobs.points(x[stars] - middle, y[stars] - middle, sky.fluxes(stars, band))
        for at in some[some >= sky.stars].tolist():
            one = Blobs.galaxy(sky.galaxies[at - sky.stars], band, Pixels(_SCALE, 0.0))
            blobs += Blobs(one.x + x[at] - middle, one.y + y[at] - middle, one.flux, one.xx, one.yy, one.xy)
    # A little longer one way than the other: round ones would be made of whole rows and columns.
    spread = PointSpread.of(_SEEING[band] / _SCALE, 1.03, 0.4)
    image = render(blobs, spread, (recipe.side, recipe.side), (middle, middle))
    image += _noise(recipe, tile, band)
    return image


def _pieces(values: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]


@dataclass(frozen=True, slots=True)
class _Sky:
    """What is there: stars first, then galaxies; places in degrees."""

    lon: NDArray[np.float64]
    lat: NDArray[np.float64]
    magnitude: NDArray[np.float64]
    colour: NDArray[np.float64]
    galaxies: list[Galaxy]

    @property
    def stars(self) -> int:
        return len(self.lon) - len(self.galaxies)

    def fluxes(self, which: NDArray[np.int64], band: str) -> NDArray[np.float64]:
        return njy(self.magnitude[which] + self.colour[which] * (0.62 - WAVELENGTHS[band]) / 0.14)


@lru_cache(maxsize=1)
def _sky(recipe: TileRecipe) -> _Sky:
    rng = np.random.default_rng([recipe.seed, 14])
    width, height = (recipe.columns + 0.2) * recipe.step, (recipe.rows + 0.2) * recipe.step
    stars, galaxies = (max(20, int(count * width * height)) for count in (_STARS, _GALAXIES))
    count = stars + galaxies
    east, north = (rng.uniform(-0.5, 0.5, count) * side for side in (width, height))
    bright, faint = _MAGNITUDES  # counts grow by 10**0.3 a magnitude
    share = rng.uniform(10 ** (0.3 * (bright - faint)), 1.0, count)
    magnitude = np.asarray(faint + np.log10(share) / 0.3, np.float64)
    colour = np.concatenate([rng.normal(0.7, 0.4, stars), rng.normal(0.75, 0.3, galaxies)])
    shapes = []
    for at in range(stars, count):
        spiral = colour[at] < 0.8
        size = 1.6 * rng.lognormal(0.0, 0.4) * 10 ** (0.12 * (21 - magnitude[at]))
        ratio, angle = rng.uniform(0.25 if spiral else 0.6, 1.0), rng.uniform(0, np.pi)
        shapes.append(
            Galaxy(0.0, 0.0, float(magnitude[at]), float(colour[at]), float(size), 1.0 if spiral else 4.0,
                   float(ratio), float(angle))
        )  # fmt: skip
    return _Sky(
        _CENTRE[0] + east / np.cos(np.radians(_CENTRE[1])), _CENTRE[1] + north, magnitude, colour, shapes
    )


@lru_cache(maxsize=1)
def _much_noise(side: int, seed: int) -> NDArray[np.float32]:
    return np.random.default_rng([seed, 15]).standard_normal((side + 512, side + 512), dtype=np.float32)


def _noise(recipe: TileRecipe, tile: int, band: str) -> NDArray[np.float32]:
    """Return noise of a tile's own: a piece of one large field, since 17 million numbers take their time."""
    rng = np.random.default_rng([recipe.seed, tile, ord(band)])
    top, left = rng.integers(0, 512, 2).tolist()
    piece = _much_noise(recipe.side, recipe.seed)[top : top + recipe.side, left : left + recipe.side]
    if rng.random() < 0.5:
        piece = piece[::-1]
    if rng.random() < 0.5:
        piece = piece[:, ::-1]
    return piece * np.float32(_NOISE[band])
