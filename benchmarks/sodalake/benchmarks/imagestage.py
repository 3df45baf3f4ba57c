"""What the rows of the bench of images share: tiles, a lake with them, its service, and what is asked of it."""

from __future__ import annotations

import importlib
import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import quote, urlencode
from urllib.request import urlopen

import numpy as np

from sodalake.lake.images.ingesting import ingest_images
from sodalake.lake.lake import Lake

from .footprints import FootprintFiles, FootprintRecipe, make_footprint_files
from .imagetiles import BANDS, Form, TileFiles, TileRecipe, make_tile_files
from .load import Phase
from .serving import Served
from .sites import Site
from .stage import WARM_CLIENTS, Stage

__all__ = ["FORMS", "SIDE", "Brought", "Cut", "ImageScale", "ImageStage"]

FORMS: tuple[Form, ...] = ("plain", "rice")
SIDE = 100
"""Pixels of a cut."""

_AUTHORITY = "sodalake"
_COPIES = 1  # that HDFS keeps: three of seven gigabytes are a lot for a measurement


@dataclass(frozen=True, slots=True)
class ImageScale:
    """How much is measured.

    Attributes
    ----------
    side, columns, rows
        Pixels of a tile's side, and tiles beside and above one another, in each of three bands.
    images, in_a_file
        Of those that some are to be found among.
    rounds, requests
        Times that something is measured, and requests each time.
    few
        Requests each time where one takes a second.
    cuts
        In one process, of each way.
    bulk
        Cuts of the bulk measurement.
    field
        Side of the large picture, degrees.
    sheet
        Pictures of the contact sheet.
    warm
        Requests of each of four clients until every worker has imported what it needs.
    """

    side: int = 4096
    columns: int = 6
    rows: int = 6
    images: int = 100_000
    in_a_file: int = 1000
    rounds: int = 5
    requests: int = 200
    few: int = 4
    cuts: int = 400
    bulk: int = 8000
    field: float = 1.0
    sheet: int = 12
    warm: int = 100


@dataclass(frozen=True, slots=True)
class Brought:
    """How long an ingest took: files, bytes, images, processes, wall seconds."""

    survey: str
    files: int
    bytes: int
    images: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Cut:
    """A square of pixels of one tile: (x, y) of its middle pixel, from 0, and the place of that."""

    tile: int
    band: str
    x: int
    y: int
    ra: float
    dec: float


class ImageStage(Stage[ImageScale]):
    """The lake and its service at one site.

    Parameters
    ----------
    site, scale, cache, say
        As of `Stage`.

    Attributes
    ----------
    brought
        The ingests so far.
    """

    def __init__(self, site: Site, scale: ImageScale, cache: Path | None, say: Callable[[str], None]) -> None:
        super().__init__(site, scale, cache, say)
        self.brought: list[Brought] = []
        self._made: dict[Form, TileFiles] = {}

    def at_most(self, embedded: float, cluster: float) -> float:
        """Return the mark of a time at this site."""
        return embedded if self.is_embedded else cluster

    # -- tiles

    def recipe(self, form: Form) -> TileRecipe:
        """Return what the tiles are."""
        return TileRecipe(form, self.scale.side, self.scale.columns, self.scale.rows)

    def tiles(self, form: Form) -> TileFiles:
        """Return the tiles on local disk, made where they are not there."""
        if form not in self._made:
            recipe = self.recipe(form)
            self.say(f"{recipe.tiles * len(BANDS)} tiles, {form}")

            def told(done: int, of: int) -> None:
                self.say(f"tiles, {form}: {done} of {of}")

            self._made[form] = make_tile_files(recipe, self.cache, progress=told)
        return self._made[form]

    @cached_property
    def footprints(self) -> FootprintFiles:
        """The many images that hold hardly a pixel."""
        recipe = FootprintRecipe(self.scale.images, self.scale.in_a_file)
        self.say(f"{recipe.images:,} footprints")
        return make_footprint_files(recipe, self.cache)

    # -- the lake and its service

    @cached_property
    def lake(self) -> str:
        """URL of a lake with the tiles of both forms."""
        place = self.site.place("images")
        # Imported before anything is timed, as all libraries are: it takes a second of a process's life.
        importlib.import_module("astropy.wcs")
        Lake.create(place.url, rows=place.rows).close()
        for form in FORMS:
            self._bring(place.url, self.tiles(form), workers=2)
        return place.url

    @cached_property
    def many(self) -> str:
        """URL of a lake with the footprints."""
        place = self.site.place("many")
        Lake.create(place.url, rows=place.rows).close()
        self._bring(place.url, self.footprints, workers=2)
        return place.url

    def _bring(self, lake: str, files: TileFiles | FootprintFiles, workers: int) -> None:
        self.say(f"{files.name} to {self.site.name}")
        urls = self.site.publish(files, copies=_COPIES)
        self.say(f"ingest of {files.name}")
        began = time.perf_counter()
        report = ingest_images(lake, str(files.survey_file), urls, workers=workers)
        seconds = time.perf_counter() - began
        if report.failed or not report.rows:
            raise RuntimeError(f"The ingest of {files.name} indexed {report.rows} images: {report.failed}")
        self.brought.append(Brought(files.recipe.survey, len(urls), sum(files.sizes), report.rows, seconds))

    @cached_property
    def served(self) -> Served:
        """A service of the lake with default settings but for what a picture may cost, warm."""
        served = self.serve(self.lake, self.quietly(SODALAKE_AUTHORITY=_AUTHORITY))
        cuts = self.cuts(self.scale.warm * WARM_CLIENTS, seed=0)
        self.warm(served, [self.by_image("rice", cut) for cut in cuts])
        return served

    # -- what is asked

    def cuts(self, count: int, seed: int) -> list[Cut]:
        """Return squares at random, each wholly in its tile, no tile and band twice in a row."""
        recipe = self.recipe("plain")
        rng = np.random.default_rng([seed, 7])
        margin = SIDE // 2 + 2
        each = [(tile, band) for tile in range(recipe.tiles) for band in BANDS]
        order = np.concatenate([rng.permutation(len(each)) for _ in range(-(-count // len(each)))])[:count]
        found = []
        for at in order.tolist():
            tile, band = each[at]
            x, y = rng.integers(margin, recipe.side - margin, 2).tolist()
            ra, dec = _place(recipe, tile, x, y)
            found.append(Cut(tile, band, x, y, ra, dec))
        return found

    def corners(self) -> list[tuple[float, float]]:
        """Return the places where four tiles meet."""
        recipe = self.recipe("plain")
        return [
            recipe.at(column + 0.5, row + 0.5)
            for row in range(recipe.rows - 1)
            for column in range(recipe.columns - 1)
        ]

    def by_image(self, form: Form, cut: Cut, side: int = SIDE) -> str:
        """Return the path of a square by SODA: its image, and a circle about its middle."""
        recipe = self.recipe(form)
        did = f"ivo://{_AUTHORITY}/{recipe.survey}?{recipe.image_id(cut.tile, cut.band)}"
        # The pixels whose centres are less than half the side away, in x or in y, from between four of them.
        radius = (side / 2 - 0.25) * recipe.pixel_scale / 3600
        circle = f"{cut.ra:.9f} {cut.dec:.9f} {radius:.9f}"
        return f"/soda/sync?ID={quote(did, safe='')}&CIRCLE={quote(circle)}"

    def by_place(self, form: Form, ra: float, dec: float, size: str, **more: str) -> str:
        """Return the path of a square by position."""
        asked = {"survey": self.recipe(form).survey, "ra": f"{ra:.9f}", "dec": f"{dec:.9f}", "size": size}
        return f"/api/v1/images/cutout?{urlencode(asked | more)}"

    def colour(self, form: Form, ra: float, dec: float, size: str, **more: str) -> str:
        """Return the path of a colour picture of three bands, of all tiles that are there."""
        return self.by_place(form, ra, dec, size, bands="i,r,g", format="png", algorithm="coadd", **more)

    # -- measuring

    def fetch(self, path: str) -> bytes:
        """Return an answer.

        Raises
        ------
        RuntimeError
            It is an error; says which.
        """
        host, port = self.served.address
        try:
            with urlopen(f"http://{host}:{port}{path}", timeout=120) as answer:
                content: bytes = answer.read()
        except OSError as error:
            said = error.read().decode(errors="replace")[:500] if hasattr(error, "read") else ""
            raise RuntimeError(f"{path} was answered {error} {said}") from error
        return content

    def check(self, form: Form, path: str, cut: Cut) -> None:
        """Refuse to measure answers that are not the pixels that the file has there.

        Raises
        ------
        RuntimeError
            They are not.
        """
        from astropy.io import fits

        with fits.open(io.BytesIO(self.fetch(path))) as answer:
            given = next(hdu for hdu in answer if hdu.data is not None)
            half = SIDE // 2
            with fits.open(self.tiles(form).path(cut.tile, cut.band)) as file:
                image = next(hdu for hdu in file if hdu.data is not None)
                whole = image.section[cut.y - half : cut.y + half, cut.x - half : cut.x + half]
            if given.data.shape != whole.shape or not np.array_equal(
                np.asarray(given.data, np.float32), np.asarray(whole, np.float32)
            ):
                raise RuntimeError(
                    f"{path} gave {given.data.shape} pixels, and others than its file has there."
                )

    def phase(self, paths: Sequence[str], *, clients: int = 1, seconds: float | None = None) -> Phase:
        """Return a phase that asks these in turn; each once, where no `seconds` are given."""
        count = len(paths) if seconds is None else None
        return Phase([self.served.address], paths, clients=clients, count=count, seconds=seconds, timeout=120)


def _place(recipe: TileRecipe, tile: int, x: int, y: int) -> tuple[float, float]:
    """Return the place of the corner between the pixel (x, y) and those before it: the middle of an even square."""
    lon, lat = recipe.wcs(tile).wcs_pix2world(x - 0.5, y - 0.5, 0)
    return float(lon), float(lat)
