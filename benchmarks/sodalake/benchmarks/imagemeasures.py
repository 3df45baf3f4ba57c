"""Rows of the bench of images that are answers over HTTP: one cut, edges, a square degree; and finding images."""

from __future__ import annotations

import contextlib
import io
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil

from sodalake.lake.images.finding import ImageFinder
from sodalake.lake.lake import Lake

from .imagestage import FORMS, SIDE, ImageStage
from .load import Outcome, middle, run_whole
from .report import Figure

__all__ = ["edge", "field", "filling", "find", "one"]

_EDGE = 240  # pixels of an object on an edge: a minute of arc
_PICTURE = 1024
_RADIUS = 0.01  # degrees about a position: an object's size
_CLIENTS = 8
_MEGA = 1e6


def filling(stage: ImageStage) -> list[Figure]:
    """Bringing the files in: headers and tables are read, and all pixels once, for the overviews."""
    assert stage.lake
    return [
        Figure(
            "ingest",
            stage.site.name,
            f"ingest of {one.survey}, two workers",
            one.bytes / _MEGA / one.seconds,
            "MB/s",
            note=f"{one.images:,} images, {one.files} files, {one.bytes / 1e9:.2f} GB in {one.seconds:.1f} s",
        )
        for one in stage.brought
    ]


def one(stage: ImageStage) -> list[Figure]:
    """100 × 100 pixels over HTTP: by SODA and by position, from plain and from compressed tiles."""
    scale, figures = stage.scale, []
    cuts = stage.cuts(scale.rounds * scale.requests, seed=1)
    for form in FORMS:
        ways = {
            "SODA sync": [stage.by_image(form, cut) for cut in cuts],
            "by position": [
                stage.by_place(form, cut.ra, cut.dec, f"{SIDE}px", bands=cut.band) for cut in cuts
            ],
        }
        # The first answer by SODA is looked at; by position another tile may be the better one.
        stage.check(form, ways["SODA sync"][0], cuts[0])
        for name, paths in ways.items():
            rounds = _rounds(stage, paths)
            note = f"p95 {middle(rounds, 0.95):.1f} ms"
            measure = f"{SIDE} × {SIDE} px as FITS, {name}, {form}, p50"
            details = {"p50": [1e3 * outcome.quantile(0.5) for outcome in rounds]}
            figures.append(
                Figure(
                    "one",
                    stage.site.name,
                    measure,
                    middle(rounds),
                    "ms",
                    stage.at_most(8, 12),
                    "less",
                    note,
                    details,
                )
            )
        together = run_whole(
            [stage.phase(ways["SODA sync"], clients=_CLIENTS, seconds=max(1.0, scale.requests / 50))]
        )[0]
        measure = f"{SIDE} × {SIDE} px as FITS, SODA sync, {form}, requests a second at {_CLIENTS} clients"
        note = f"p50 {middle([together]):.1f} ms"
        figures.append(Figure("one", stage.site.name, measure, together.rate, "/s", note=note))
    return figures


def edge(stage: ImageStage) -> list[Figure]:
    """An object where four tiles meet, in colour: twelve images."""
    figures = []
    for form in FORMS:
        paths = [stage.colour(form, *place, f"{_EDGE}px") for place in _corners(stage, stage.scale.few * 5)]
        run_whole([stage.phase(paths[:4])])  # what a worker does for the first time in its life
        rounds = _rounds(stage, paths, count=stage.scale.few * 5)
        measure = f"object of {_EDGE} px over 4 tiles, 3 bands, colour PNG, {form}, p50"
        note = f"p95 {middle(rounds, 0.95):.0f} ms"
        figures.append(
            Figure("edge", stage.site.name, measure, middle(rounds), "ms", 250, "less", note, _sizes(rounds))
        )
    return figures


def field(stage: ImageStage) -> list[Figure]:
    """A square degree in colour, as one friendly picture; and what a worker needs for it."""
    from PIL import Image

    figures = []
    size = stage.scale.field
    centre = stage.recipe("plain").at((stage.scale.columns - 1) / 2, (stage.scale.rows - 1) / 2)
    for form in FORMS:
        path = stage.colour(form, *centre, f"{size}deg", pixels=str(_PICTURE))
        with Image.open(io.BytesIO(stage.fetch(path))) as picture:
            if max(picture.size) != _PICTURE:
                raise RuntimeError(f"{path} is a picture of {picture.size} pixels.")
            lit = np.asarray(picture.convert("RGBA"))[..., 3].mean() / 255
        # Not twice the same: a little beside, each time.
        paths = [
            stage.colour(form, centre[0] + turn * 1e-4, centre[1], f"{size}deg", pixels=str(_PICTURE))
            for turn in range(stage.scale.few)
        ]
        outcome = run_whole([stage.phase(paths)])[0]
        figures.append(
            Figure(
                "field", stage.site.name, f"{size:g}° × {size:g}° in colour at {_PICTURE} px, {form}, p50",
                median(outcome.latencies), "s", 3, "less", f"{100 * lit:.0f} % of it covered",
                {"seconds": outcome.latencies},
            )
        )  # fmt: skip
    peak = _peak(stage)
    return [
        *figures,
        Figure(
            "field", stage.site.name, "memory of a worker, the most of all so far", peak / _MEGA, "MB", 500, "less",
            "resident, of the process, libraries included",
        ),
    ]  # fmt: skip


def find(stage: ImageStage) -> list[Figure]:
    """Finding the images of a position among many: the index alone, then with their records."""
    scale = stage.scale
    lake = Lake.open(stage.many)
    try:
        survey = lake.image_survey(stage.footprints.recipe.survey)
        finder = ImageFinder(lake)
        places = list(stage.footprints.recipe.places())
        rng = np.random.default_rng(9)
        some = [places[at] for at in rng.integers(0, len(places), scale.cuts + 1).tolist()]
        # Positions anywhere in the images, not in their middles.
        shifts = rng.uniform(-0.45, 0.45, (len(some), 2)) * stage.footprints.recipe.size
        finder.near(survey, some[0][0], some[0][1], _RADIUS)
        seconds, outlines, found = [], [], []
        for (ra, dec), (east, north) in list(zip(some, shifts.tolist(), strict=True))[1:]:
            at = (ra + east / np.cos(np.radians(dec))) % 360.0, dec + north
            began = time.perf_counter()
            finder.outlines_near(survey, *at, _RADIUS)
            between = time.perf_counter()
            found.append(len(finder.near(survey, *at, _RADIUS)))
            seconds.append(time.perf_counter() - between)
            outlines.append(between - began)
    finally:
        lake.close()
    if not all(found):
        raise RuntimeError(f"{found.count(0)} of {len(found)} positions have no image, and all lie in one.")
    name = stage.site.name
    note = f"p95 {1e3 * np.quantile(outlines, 0.95):.2f} ms, {np.mean(found):.1f} images"
    records = f"p95 {1e3 * np.quantile(seconds, 0.95):.2f} ms; asked for the first time"
    many = f"among {scale.images:,}"
    ingest = stage.brought[-1]
    return [
        Figure("find", name, f"the images of a position {many}, p50", 1e3 * median(outlines), "ms", 3, "less", note),
        Figure("find", name, "… with their records, p50", 1e3 * median(seconds), "ms", 3, "less", records),
        Figure(
            "find", name, "ingest of these, two workers", ingest.images / ingest.seconds, "images/s",
            note=f"{ingest.files} files, {ingest.seconds:.0f} s",
        ),
    ]  # fmt: skip


def _corners(stage: ImageStage, count: int) -> list[tuple[float, float]]:
    """Return places where four tiles meet, or nearly: within the overlap, no place twice."""
    places = stage.corners()
    rng = np.random.default_rng(5)
    reach = 0.02 * stage.recipe("plain").step
    shifts = rng.uniform(-reach, reach, (count, 2)).tolist()
    return [
        (places[at % len(places)][0] + shifts[at][0], places[at % len(places)][1] + shifts[at][1])
        for at in range(count)
    ]


def _rounds(stage: ImageStage, paths: list[str], count: int | None = None) -> list[Outcome]:
    each = count or stage.scale.requests
    rounds = max(1, len(paths) // each)
    return run_whole([stage.phase(paths[turn * each : (turn + 1) * each]) for turn in range(rounds)])


def _sizes(rounds: list[Outcome]) -> dict[str, Any]:
    return {"bytes": sum(one.bytes for one in rounds) / sum(len(one.latencies) for one in rounds)}


def _peak(stage: ImageStage) -> float:
    """Return the most bytes that a worker of the service has had in memory."""
    peaks = [0.0]
    for process in psutil.Process(stage.served.pid).children(recursive=True):
        with contextlib.suppress(OSError, ValueError):
            lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
            peaks += [1024.0 * float(line.split()[1]) for line in lines if line.startswith("VmHWM")]
    return max(peaks)
