"""A hundred thousand images with hardly a pixel in them: what finding some of them is measured on.

Each is as large on the sky as a tile, on a grid whose neighbours overlap. A file has a thousand of them, one an
extension, so that an ingest reads headers and little else.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from .kept import SURVEY, KeptFiles, kept_folder

__all__ = ["FootprintFiles", "FootprintRecipe", "make_footprint_files"]

_VERSION = 1
_SIDE = 4  # pixels
_SOUTH = -4.0  # degrees, where the grid begins
_BLOCK = 2880


@dataclass(frozen=True, slots=True)
class FootprintRecipe:
    """How many images, in how many files; their side (degrees), and how much of it neighbours share."""

    images: int = 100_000
    in_a_file: int = 1000
    size: float = 0.3
    overlap: float = 0.05

    survey = "benchmany"

    @property
    def name(self) -> str:
        """What is in the files follows from it."""
        return f"footprints-v{_VERSION}-{self.images}-{self.in_a_file}-{self.size}-{self.overlap}"

    def places(self) -> Iterator[tuple[float, float]]:
        """Yield the images' middles, in degrees."""
        step = self.size * (1 - self.overlap)
        left, dec = self.images, _SOUTH
        while left > 0:
            count = min(left, int(360 / (step / np.cos(np.radians(dec)))))
            for number in range(count):
                yield number * step / float(np.cos(np.radians(dec))), dec
            left -= count
            dec += step


@dataclass(frozen=True, slots=True)
class FootprintFiles(KeptFiles[FootprintRecipe]):
    """Made images: their recipe and folder, their files, and their bytes."""

    @property
    def name(self) -> str:
        """What is in the files follows from it."""
        return self.recipe.name


def make_footprint_files(
    recipe: FootprintRecipe,
    cache: Path | None = None,
    *,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> FootprintFiles:
    """Return the files of a recipe, making them where the cache does not hold them."""
    folder = kept_folder(recipe.name, cache, lambda making: _make(recipe, making, progress))
    return FootprintFiles.of(recipe, folder)


def _make(recipe: FootprintRecipe, folder: Path, progress: Callable[[int, int], None]) -> dict[str, Any]:
    folder.mkdir(parents=True)
    places = list(recipe.places())
    names = []
    files = -(-len(places) // recipe.in_a_file)
    pixels = bytes(_BLOCK)
    for number in range(files):
        out = io.BytesIO(_block(["SIMPLE  = T", "BITPIX  = 8", "NAXIS   = 0", "EXTEND  = T"]))
        out.seek(0, io.SEEK_END)
        first = number * recipe.in_a_file
        for at, place in enumerate(places[first : first + recipe.in_a_file], first):
            out.write(_block(_cards(recipe, at, place)))
            out.write(pixels)
        names.append(f"part{number:03d}.fits")
        (folder / names[-1]).write_bytes(out.getvalue())
        progress(number + 1, files)
    text = (resources.files("sodalake.benchmarks") / "surveys" / "footprints.toml").read_text(
        encoding="utf-8"
    )
    (folder / SURVEY).write_text(text)
    return {"recipe": asdict(recipe), "files": names}


def _cards(recipe: FootprintRecipe, number: int, place: tuple[float, float]) -> list[str]:
    middle, scale = (_SIDE + 1) / 2, recipe.size / _SIDE
    return [
        "XTENSION= 'IMAGE   '", "BITPIX  = 16", "NAXIS   = 2", f"NAXIS1  = {_SIDE}", f"NAXIS2  = {_SIDE}",
        "PCOUNT  = 0", "GCOUNT  = 1", f"EXTNAME = 'IM{number:06d}'", f"FILTER  = '{'gri'[number % 3]}'",
        "CTYPE1  = 'RA---TAN'", "CTYPE2  = 'DEC--TAN'", "CUNIT1  = 'deg'", "CUNIT2  = 'deg'",
        f"CRVAL1  = {place[0]:.10f}", f"CRVAL2  = {place[1]:.10f}", f"CRPIX1  = {middle}", f"CRPIX2  = {middle}",
        f"CDELT1  = {-scale:.10f}", f"CDELT2  = {scale:.10f}", "RADESYS = 'ICRS'",
    ]  # fmt: skip


def _block(cards: list[str]) -> bytes:
    """Return a header: cards whose numbers stand to the right, as fixed format has them."""
    lines = []
    for card in cards:
        name, _, value = card.partition("= ")
        lines.append(f"{name:<8}= {value if value.startswith(chr(39)) else value.rjust(20)}".ljust(80))
    text = "".join([*lines, "END".ljust(80)])
    return text.ljust(-(-len(text) // _BLOCK) * _BLOCK).encode("ascii")
