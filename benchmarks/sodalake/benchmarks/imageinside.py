"""Rows of the bench of images that look at the cutter itself: in one process, bytes read, many cuts on two workers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from statistics import median
from typing import Any

import numpy as np

from sodalake.lake.images.records import Image
from sodalake.lake.lake import Lake
from sodalake.sodacut.images.cut import box_at, padded
from sodalake.sodacut.images.cutfits import fits_of
from sodalake.sodacut.images.pixelfiles import Wanted
from sodalake.sodacut.images.session import ImageSession

from .imagepeers import astrocut
from .imagestage import FORMS, SIDE, Cut, ImageStage
from .imagetiles import Form
from .inside import bulk_workers
from .report import Figure

__all__ = ["bulk", "bytes_read", "cutter"]

_SMALL = 64  # pixels
_WORKERS = 2
_TOGETHER = 128  # cuts that are read together, as jobs do
_ALL = {"plain": 100, "rice": 40}
_MEGA = 1e6


def cutter(stage: ImageStage) -> list[Figure]:
    """One cut in this process, as FITS in memory: from the record in the index to bytes. And how others do it."""
    figures: list[Figure] = []
    name = stage.site.name
    cuts = stage.cuts(stage.scale.cuts, seed=2)
    session = ImageSession(Lake.open(stage.lake))
    try:
        for form in FORMS:
            recipe = stage.recipe(form)
            survey = session.lake.image_survey(recipe.survey)

            def ours(cut: Cut, survey: Any = survey, recipe: Any = recipe) -> bytes:
                image = session.finder.by_id(survey, recipe.image_id(cut.tile, cut.band))
                return _cut(session, image, cut)

            seconds = _timed(ours, cuts)
            mark = 1.0 if form == "plain" and stage.is_embedded else None
            figures.append(
                Figure(
                    "cutter", name, f"{SIDE} × {SIDE} px in process, as FITS, {form}, p50", 1e3 * median(seconds), "ms",
                    mark, "less", f"p95 {1e3 * np.quantile(seconds, 0.95):.2f} ms",
                )
            )  # fmt: skip
    finally:
        session.files.close()
        session.lake.close()
    return figures + (_others(stage, cuts) if stage.is_embedded else [])


def _cut(session: ImageSession, image: Image, cut: Cut) -> bytes:
    wanted, read = box_at(image, cut.ra, cut.dec, SIDE, SIDE)
    (pixels,) = session.files.read([Wanted(image.pixels, image.shape, read)])
    return fits_of(image, wanted, padded(pixels, wanted, read))


def _timed(work: Callable[[Cut], object], cuts: Sequence[Cut]) -> list[float]:
    """Return the seconds of each cut, once all have been made: images have been met, and files are in memory."""
    for cut in cuts:
        work(cut)
    seconds = []
    for cut in cuts:
        began = time.perf_counter()
        work(cut)
        seconds.append(time.perf_counter() - began)
    return seconds


def _others(stage: ImageStage, cuts: Sequence[Cut]) -> list[Figure]:
    """Measure the ways that are known, on the same files: nothing is written by them, pixels in memory are enough."""
    from astropy import units as u
    from astropy.coordinates import SkyCoord
    from astropy.io import fits
    from astropy.nddata import Cutout2D
    from astropy.wcs import WCS

    figures = []
    tiles = stage.tiles("plain")
    half = SIDE // 2
    kept: dict[tuple[int, str], tuple[np.memmap[Any, Any], Any]] = {}

    def memmap(cut: Cut) -> object:
        key = cut.tile, cut.band
        if key not in kept:
            with fits.open(tiles.path(*key)) as file:
                offset, shape = file[0].fileinfo()["datLoc"], file[0].shape
                kept[key] = np.memmap(tiles.path(*key), ">f4", "r", offset, shape), WCS(file[0].header)
        pixels, wcs = kept[key]
        x, y = wcs.world_to_pixel(SkyCoord(cut.ra, cut.dec, unit="deg"))
        left, low = round(float(x) + 0.5) - half, round(float(y) + 0.5) - half
        return np.array(pixels[low : low + SIDE, left : left + SIDE], np.float32)

    def astropy(form: Form) -> Callable[[Cut], object]:
        def work(cut: Cut) -> object:
            with fits.open(stage.tiles(form).path(cut.tile, cut.band)) as file:
                hdu = file[0] if form == "plain" else file[1]
                cutout = Cutout2D(
                    hdu.section, SkyCoord(cut.ra * u.deg, cut.dec * u.deg), (SIDE, SIDE), WCS(hdu.header)
                )
                return np.array(cutout.data)

        return work

    note = "pixels in memory, no file is written"
    some = cuts[: _ALL["plain"]]
    ways: list[tuple[str, Callable[[Cut], object], Sequence[Cut]]] = [
        ("numpy memmap, a WCS of astropy's kept, plain", memmap, cuts),
        ("astropy Cutout2D, plain", astropy("plain"), some),
        ("astropy Cutout2D, rice", astropy("rice"), some[: _ALL["rice"]]),
    ]
    for way, work, those in ways:
        if those:
            figures.append(
                Figure(
                    "cutter",
                    stage.site.name,
                    f"… by {way}, p50",
                    1e3 * median(_timed(work, those)),
                    "ms",
                    note=note,
                )
            )
    for form in FORMS:
        those = some[: _ALL[form]]
        files = [str(stage.tiles(form).path(cut.tile, cut.band)) for cut in those]
        answer = astrocut(stage.cache, files, [(cut.ra, cut.dec) for cut in those], SIDE, stage.say)
        if answer.why:
            stage.say(f"astrocut is not measured: {answer.why}")
            figures[0] = replace(figures[0], note=f"{note}; astrocut is not measured: {answer.why}")
            continue
        figures.append(
            Figure(
                "cutter", stage.site.name, f"… by astrocut {answer.version}, {form}, p50",
                1e3 * median(answer.seconds), "ms", note="FITSCutout in memory, in a process of its own",
            )
        )  # fmt: skip
    return figures


def bytes_read(stage: ImageStage) -> list[Figure]:
    """What is read of a file for 64 × 64 pixels, the most of many."""
    figures = []
    cuts = stage.cuts(stage.scale.cuts, seed=3)
    session = ImageSession(Lake.open(stage.lake))
    try:
        for form in FORMS:
            recipe = stage.recipe(form)
            survey = session.lake.image_survey(recipe.survey)
            read, reads = [], []
            for cut in cuts:
                image = session.finder.by_id(survey, recipe.image_id(cut.tile, cut.band))
                _, box = box_at(image, cut.ra, cut.dec, _SMALL, _SMALL)
                before = session.files.bytes_read, session.files.reads
                session.files.read([Wanted(image.pixels, image.shape, box)])
                read.append(session.files.bytes_read - before[0])
                reads.append(session.files.reads - before[1])
            what = f"{_SMALL} × {_SMALL} px of {form} tiles"
            note = f"{np.mean(read) / _MEGA:.3f} MB on average; a tile has {stage.tiles(form).sizes[0] / _MEGA:.1f} MB"
            marked = form == "rice"
            figures += [
                Figure(
                    "bytes", stage.site.name, f"{what}: bytes read, the most", max(read) / _MEGA, "MB",
                    0.3 if marked else None, "less", note,
                ),
                Figure(
                    "bytes", stage.site.name, f"{what}: reads, the most", max(reads), "reads", 2 if marked else None,
                    "less",
                ),
            ]  # fmt: skip
    finally:
        session.files.close()
        session.lake.close()
    return figures


@lru_cache(maxsize=2)
def _session(lake_url: str) -> ImageSession:
    """Return this worker process's session of a lake."""
    return ImageSession(Lake.open(lake_url))


def _made(lake_url: str, survey_name: str, wanted: Sequence[tuple[str, float, float]]) -> tuple[int, int]:
    """Make FITS files of many cuts, as jobs do: records, then pixels together. Return their number and bytes."""
    session = _session(lake_url)
    survey = session.lake.image_survey(survey_name)
    count = size = 0
    for some in _pieces(wanted, _TOGETHER):
        images = session.finder.by_ids(survey, [image_id for image_id, _, _ in some])
        boxes = []
        for image, (image_id, ra, dec) in zip(images, some, strict=True):
            if image is None:
                raise RuntimeError(f"There is no image {image_id}.")
            boxes.append((image, *box_at(image, ra, dec, SIDE, SIDE)))
        pixels = session.files.read([Wanted(image.pixels, image.shape, read) for image, _, read in boxes])
        for (image, box, read), one in zip(boxes, pixels, strict=True):
            made = fits_of(image, box, padded(one, box, read))
            count += 1
            size += len(made)
    return count, size


def _pieces(values: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]


def bulk(stage: ImageStage) -> list[Figure]:
    """Many cuts as FITS files in the memory of two Dask workers, at random places of all tiles, sorted by image."""
    figures = []
    scale, lake = stage.scale, stage.lake
    # The mark of HDFS is one; on local disk each form has its own.
    marks = {"plain": stage.at_most(2264, 400), "rice": stage.at_most(600, 400)}
    with bulk_workers() as client:
        for form in FORMS:
            recipe = stage.recipe(form)
            rates = []
            for turn in range(scale.rounds + 1):
                cuts = sorted(stage.cuts(scale.bulk, seed=100 + turn), key=lambda cut: (cut.tile, cut.band))
                wanted = [(recipe.image_id(cut.tile, cut.band), cut.ra, cut.dec) for cut in cuts]
                each = -(-len(wanted) // (2 * _WORKERS))
                began = time.perf_counter()
                done = client.gather(
                    [
                        client.submit(_made, lake, recipe.survey, some, pure=False)
                        for some in _pieces(wanted, each)
                    ]
                )
                seconds = time.perf_counter() - began
                if sum(count for count, _ in done) != len(cuts):
                    raise RuntimeError(f"{sum(count for count, _ in done)} cuts came of {len(cuts)}.")
                rates.append(len(cuts) / seconds)
            files = len(stage.tiles(form).files)
            figures.append(
                Figure(
                    "bulk", stage.site.name,
                    f"{scale.bulk:,} cuts of {SIDE} × {SIDE} px as FITS from {files} tiles, {form}, 2 workers",
                    median(rates[1:]), "/s", marks[form], note=f"first round {rates[0]:,.0f}/s",
                    details={"rates": rates},
                )
            )  # fmt: skip
    return figures
