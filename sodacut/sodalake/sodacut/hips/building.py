"""A HiPS, from the images of a collection to a folder of files.

The deepest tiles are made by processes side by side, a group of neighbours at a time, so that what one of them has read
is still in memory for the next. What is on disk is whole, so that work that was cut off goes on with what is missing: a
folder is named for what it is made of, and of another state of the archive nothing is taken.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from sodalake.lake.errors import NotInLake, Unavailable
from sodalake.lake.images.finding import ImageFinder
from sodalake.lake.images.imagesurvey import ImageSurvey
from sodalake.lake.importing import IMPORTS
from sodalake.lake.lake import Lake
from sodalake.lake.processes import Pool
from sodalake.sodacut.hips import colouring
from sodalake.sodacut.hips.filling import Filler, Subject
from sodalake.sodacut.hips.grids import LAST_ORDER, WIDTH, order_for, pixel_scale
from sodalake.sodacut.hips.properties import Described, hips_did, now
from sodalake.sodacut.hips.tiles import (
    ALLSKY_ORDER,
    PictureForm,
    averaged,
    collected,
    decreased,
    numbers_in,
    read_tile,
    tile_name,
    write_file,
    write_tile,
)
from sodalake.sodacut.images.coverage import coverage_of, moc_bytes

if TYPE_CHECKING:
    from mocpy import MOC

__all__ = ["Plan", "Progress", "build_band", "build_colours", "plan"]

_GROUP: Final = 1  # orders above the deepest: tiles of one cell there are made together
_WHOLE_SKY: Final = 180.0
_SOME: Final = 32  # images that are looked at to know what all are like
_CRASHES: Final = 2

Progress = Callable[[str, int, int], None]
"""Is told what is being made, how many tiles are done, and of how many."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What one HiPS is to be.

    Attributes
    ----------
    subject
        The collection and the band.
    order
        Of the deepest tiles.
    tiles
        Which cells of that order have images.
    moc
        What the images cover.
    centre
        Of one of the images, degrees.
    times
        When they were taken (MJD), where it is known.
    mark
        Differs for all that would make other tiles: the archive's state, the order, the software.
    """

    subject: Subject
    order: int
    tiles: tuple[int, ...]
    moc: MOC
    centre: tuple[float, float]
    times: tuple[float, float] | None
    mark: str


def plan(lake: Lake, survey: ImageSurvey, collection: str, band: str, order: int | None = None) -> Plan:
    """Look what a HiPS will be made of.

    Parameters
    ----------
    order
        Of the deepest tiles; None: that whose pixels are nearest to the images'.

    Raises
    ------
    NotInLake
        The collection has no image in this band.
    """
    catalogue = lake.catalogue(survey.name)
    generation = catalogue.view(fresh=True).generation
    finder = ImageFinder(lake)
    found = finder.outlines_near(survey, 0.0, 0.0, _WHOLE_SKY, bands=(band,), collections=(collection,))
    if not found:
        known = ", ".join(survey.bands) or "none"
        raise NotInLake(f"{collection} has no image in band {band!r}.", f"Bands of {survey.name}: {known}.")
    found = sorted(found, key=lambda one: (one.image_id, one.file))
    some = finder.of_outlines(survey, found[:: max(1, len(found) // _SOME)])
    image = some[0]
    zero_points = sorted(one.zero_point for one in some if one.zero_point is not None)
    deepest = min(LAST_ORDER, order) if order is not None else order_for(image.pixel_scale)
    moc = coverage_of([one.vertices for one in found])
    begun = [one.t_min for one in found if one.t_min is not None]
    mark = json.dumps([lake.url, survey.name, collection, band, deepest, generation, version("sodalake")])
    return Plan(
        Subject(
            survey.name, collection, band, zero_points[(len(zero_points) - 1) // 2] if zero_points else None
        ),
        deepest,
        tuple(_cells(moc, deepest)),
        moc,
        (image.ra, image.dec),
        (min(begun), max(begun)) if begun else None,
        hashlib.sha256(mark.encode()).hexdigest()[:16],
    )


def _cells(moc: MOC, order: int) -> list[int]:
    """Return the cells of an order that are in a MOC, or partly."""
    at = moc if moc.max_order <= order else moc.degrade_to_order(order)
    cells = at.flatten()  # at its own order
    more = 4 ** (order - at.max_order)
    return [int(cell) * more + child for cell in cells.tolist() for child in range(more)]


# -- in a worker process


@lru_cache(maxsize=2)
def _filler(lake_url: str) -> Filler:
    return Filler(Lake.open(lake_url))


def _make(lake_url: str, subject: Subject, order: int, numbers: Sequence[int], folder: Path) -> int:
    """Make those of some tiles that are not there, and return how many have anything in them."""
    filler = _filler(lake_url)
    cards = _cards(subject)
    made = 0
    for number in numbers:
        if not (folder / tile_name(order, number)).exists():
            pixels = filler.tile(subject, order, number)
            if pixels is None:
                continue
            write_tile(folder, order, number, pixels, cards)
        made += 1
    return made


def _cards(subject: Subject) -> list[tuple[str, Any, str]]:
    cards: list[tuple[str, Any, str]] = [
        ("SURVEY", subject.survey, ""), ("COLLECT", subject.collection, ""), ("FILTER", subject.band, "")
    ]  # fmt: skip
    if subject.zero_point is not None:
        cards.append(("MAGZERO", subject.zero_point, "AB magnitude of one unit"))
    return cards


# -- a band


def build_band(
    lake: Lake,
    plan: Plan,
    folder: Path,
    *,
    authority: str,
    pictures: PictureForm = "png",
    workers: int = 1,
    progress: Progress = lambda what, done, of: None,
) -> None:
    """Make the HiPS of a band in a folder, or go on with it.

    Parameters
    ----------
    folder
        Empty or absent, or what an earlier call with the same plan has left there.
    authority
        Of the identifier.
    pictures
        Beside the numbers.
    workers
        Processes.

    Raises
    ------
    LakeError
        An image cannot be read; what is made stays.
    Unavailable
        Processes die again and again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    label = f"{plan.subject.collection} {plan.subject.band}"
    _fill(lake.url, plan, folder, workers, lambda done, of: progress(label, done, of))
    numbers = numbers_in(folder, plan.order)
    if not numbers:
        raise NotInLake(
            f"No image of {label} has a pixel.", "Look at one of them: /soda/sync?ID=…&RESPONSEFORMAT=png."
        )
    decreased(folder, plan.order, cards=_cards(plan.subject))
    look = colouring.grey_look(colouring.sample(folder, plan.order))
    colouring.draw(
        [folder],
        folder,
        plan.order,
        pictures,
        look,
        lambda done, of: progress(f"{label}, pictures", done, of),
    )
    _allsky(folder)
    survey = lake.image_survey(plan.subject.survey)
    _finish(
        folder,
        plan,
        _described(
            plan, survey, authority, plan.subject.band, (pictures, "fits"), cut=look.limits, range=look.range
        ),
    )


def build_colours(
    lake: Lake,
    plans: Sequence[Plan],
    bands: Sequence[Path],
    folder: Path,
    *,
    name: str,
    authority: str,
    pictures: PictureForm = "png",
    progress: Progress = lambda what, done, of: None,
) -> None:
    """Make the HiPS in colour of bands that are made.

    Parameters
    ----------
    plans, bands
        Of the bands, red first, all of one order; and the folders that they are in.
    name
        What it is called, where others are called by their band.
    """
    folder.mkdir(parents=True, exist_ok=True)
    order = plans[0].order
    look = colouring.colour_look([colouring.sample(band, order) for band in bands])
    label = f"{plans[0].subject.collection} {name}"
    colouring.draw(bands, folder, order, pictures, look, lambda done, of: progress(label, done, of))
    survey = lake.image_survey(plans[0].subject.survey)
    moc = plans[0].moc.union(*(one.moc for one in plans[1:]))
    _finish(
        folder,
        plans[0],
        _described(plans[0], survey, authority, name, (pictures,), plans=plans, moc=moc),
        moc,
    )


def _fill(lake_url: str, plan: Plan, folder: Path, workers: int, tell: Callable[[int, int], None]) -> None:
    """Make the deepest tiles that are not there yet."""
    noted = folder / ".tried"
    tried = {int(line) for line in noted.read_text().split()} if noted.exists() else set()
    left = [number for number in plan.tiles if number not in tried]
    total, done = len(plan.tiles), len(plan.tiles) - len(left)
    tell(done, total)
    groups = _groups(left)
    pool = Pool(None, workers)
    crashes = 0
    running: dict[Future[int], list[int]] = {}
    try:
        waiting = iter(groups)
        while True:
            while len(running) < pool.width and (group := next(waiting, None)) is not None:
                running[pool.submit(_make, lake_url, plan.subject, plan.order, group, folder)] = group
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                group = running.pop(future)
                try:
                    future.result()
                except BrokenProcessPool as error:
                    crashes += 1
                    if crashes > _CRASHES:
                        raise Unavailable(
                            f"The processes that make tiles die, {crashes} so far.", "Is there memory enough?"
                        ) from error
                    lost = [group, *running.values()]
                    running.clear()
                    waiting = _chained(lost, waiting)
                    pool.renew()
                    break
                # A tile without a pixel leaves no file: it is noted that there was none to make.
                with noted.open("a") as lines:
                    lines.write("".join(f"{number}\n" for number in group))
                done += len(group)
                tell(done, total)
    finally:
        pool.close()


def _chained(first: Sequence[list[int]], rest: Iterator[list[int]]) -> Iterator[list[int]]:
    yield from first
    yield from rest


def _groups(numbers: Sequence[int]) -> list[list[int]]:
    """Return tiles that lie together, together."""
    groups: dict[int, list[int]] = {}
    for number in sorted(numbers):
        groups.setdefault(number >> (2 * _GROUP), []).append(number)
    return list(groups.values())


def _allsky(folder: Path) -> None:
    """Write the numbers of all tiles of order 3, small."""
    with IMPORTS:
        from astropy.io import fits

    small = _small_tiles(folder)
    if not small:
        return
    sheet = collected(small, np.full((64, 64), np.nan, np.float32))
    out = io.BytesIO()
    fits.PrimaryHDU(sheet).writeto(out)
    write_file(folder / f"Norder{ALLSKY_ORDER}/Allsky.fits", out.getvalue())


def _small_tiles(folder: Path) -> dict[int, NDArray[np.float32]]:
    small = {}
    for number in numbers_in(folder, ALLSKY_ORDER):
        tile = read_tile(folder, ALLSKY_ORDER, number)
        if tile is not None:
            small[number] = averaged(tile, WIDTH // 64)
    return small


# -- what it says of itself


def _described(
    plan: Plan,
    survey: ImageSurvey,
    authority: str,
    name: str,
    formats: tuple[str, ...],
    *,
    plans: Sequence[Plan] = (),
    moc: MOC | None = None,
    cut: tuple[float, float] | None = None,
    range: tuple[float, float] | None = None,
) -> Described:
    collection = survey.collections[plan.subject.collection]
    bands = [one.subject.band for one in plans] or [plan.subject.band]
    moc = plan.moc if moc is None else moc
    times = [time for one in (plans or (plan,)) if one.times is not None for time in one.times]
    title = collection.title or survey.title
    return Described(
        did=hips_did(authority, plan.subject.collection, name),
        collection=plan.subject.collection,
        title=f"{title}, {name}" if not plans else f"{title}, in colour ({', '.join(bands)})",
        description=collection.description or survey.description,
        bands=tuple(survey.bands[band] for band in bands if band in survey.bands),
        order=plan.order,
        formats=formats,
        fraction=float(moc.sky_fraction),
        centre=plan.centre,
        # A client begins with some of the tiles of the deepest order, so that there is something to see.
        field_of_view=min(180.0, 4 * WIDTH * pixel_scale(plan.order) / 3600),
        pixel_scale=pixel_scale(plan.order),
        width=WIDTH,
        software=f"sodalake {version('sodalake')}",
        facility=survey.facility,
        instrument=survey.instrument,
        copyright=survey.licence,
        acknowledgement=survey.citation,
        cut=cut,
        range=range,
        times=(min(times), max(times)) if times else None,
        colours=tuple(bands) if plans else (),
    )


def _finish(folder: Path, plan: Plan, described: Described, moc: MOC | None = None) -> None:
    """Write what is there once: coverage, a first picture, a page, and last what says that there is a HiPS."""
    write_file(folder / "Moc.fits", moc_bytes(plan.moc if moc is None else moc, "fits"))
    colouring.preview(folder, described.formats[0])
    write_file(folder / "index.html", colouring.page(described))
    write_file(folder / "properties", described.written(now()))
    (folder / ".tried").unlink(missing_ok=True)
