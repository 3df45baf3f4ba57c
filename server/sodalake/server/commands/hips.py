"""`sodalake hips`: make the HiPS of a collection, so that Aladin shows it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from sodalake.lake.images.imagesurvey import ImageSurvey
    from sodalake.lake.lake import Lake
    from sodalake.sodacut.hips.building import Plan, Progress
    from sodalake.sodacut.hips.tiles import PictureForm

__all__ = ["hips"]


@click.command()
@click.argument("collection")
@click.option("--lake", "lake_url", required=True, help="URL or folder of the lake.")
@click.option(
    "--band", "bands", multiple=True, help="Make this band; may be repeated.  [default: all that have images]"
)
@click.option("--colour", is_flag=True, help="Make one in colour too, of the survey's three colours.")
@click.option(
    "--order",
    type=click.IntRange(0, 20),
    help="HEALPix order of the deepest tiles, 512 pixels each.  [default: that of the images' pixels]",
)
@click.option(
    "--pictures", type=click.Choice(["png", "jpeg"]), default="png", show_default=True, help="Of the tiles."
)
@click.option(
    "--out", help="Folder or URL where the HiPS are put.  [default: hips/COLLECTION in the lake, served]"
)
@click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path),
    help="TOML file with the service's settings: identifiers have its `authority`.",
)
@click.option("--workers", type=click.IntRange(1), help="Processes.  [default: one a core]")
def hips(
    collection: str,
    lake_url: str,
    bands: tuple[str, ...],
    colour: bool,
    order: int | None,
    pictures: PictureForm,
    out: str | None,
    file: Path | None,
    workers: int | None,
) -> None:
    """Make the HiPS of a COLLECTION of images.

    One a band: its numbers as FITS tiles, and pictures of them. A service shows them at once, at /hips. Work that was
    stopped goes on with the same command; until it is done the place has the HiPS that was there before.
    """
    from sodalake.lake.lake import Lake
    from sodalake.server.config import load_settings

    authority = load_settings(file, lake=lake_url).authority
    lake = Lake.open(lake_url)
    try:
        survey = lake.image_survey(survey_of(lake, collection))
        with _told() as tell:
            for url in _make(
                lake, survey, collection, bands, colour, order, pictures, out, authority, workers, tell
            ):
                click.echo(url)
    finally:
        lake.close()


def survey_of(lake: Lake, collection: str) -> str:
    """Return the name of the survey that a collection is of.

    Raises
    ------
    NotInLake
        The lake has none of that name.
    """
    from sodalake.lake.errors import NotInLake

    found = {name: survey.name for survey in lake.image_surveys.values() for name in survey.collections}
    if collection not in found:
        raise NotInLake(
            f"There is no collection {collection[:80]!r} of images here.",
            f"Collections of this lake: {', '.join(sorted(found)) or 'none yet'}.",
        )
    return found[collection]


def _make(
    lake: Lake,
    survey: ImageSurvey,
    collection: str,
    bands: Sequence[str],
    colour: bool,
    order: int | None,
    pictures: PictureForm,
    out: str | None,
    authority: str,
    workers: int | None,
    tell: Progress,
) -> Iterator[str]:
    import os

    from sodalake.lake.errors import UsageError
    from sodalake.lake.files import as_url, join
    from sodalake.sodacut.hips.building import build_band, build_colours
    from sodalake.sodacut.hips.names import COLOUR, folder_name
    from sodalake.sodacut.hips.publishing import check_room, publish, workplace

    base = as_url(out).rstrip("/") if out else join(lake.url, "hips", collection)
    plans = _plans(lake, survey, collection, bands, colour, order)
    colours = [plans[band] for band in survey.colour_bands if band in plans] if colour else []
    if colour and len(colours) < 3:
        raise UsageError(
            f"{collection} has images in {', '.join(plans)}: too few bands for a HiPS in colour.",
            "Leave out --colour, or name three bands as `colours` in the survey's file.",
        )
    count = workers or os.cpu_count() or 1
    with contextlib.ExitStack() as close:
        made: dict[str, Path] = {}
        for band, one in plans.items():
            made[folder_name(band)] = close.enter_context(workplace(base, folder_name(band), one.mark))
        check_room(
            next(iter(made.values())),
            sum(len(one.tiles) for one in plans.values()),
            max(one.order for one in plans.values()),
        )
        for band, one in plans.items():
            build_band(
                lake,
                one,
                made[folder_name(band)],
                authority=authority,
                pictures=pictures,
                workers=count,
                progress=tell,
            )
        if colours:
            place = close.enter_context(workplace(base, COLOUR, "".join(one.mark[:5] for one in colours)))
            folders = [made[folder_name(one.subject.band)] for one in colours]
            build_colours(
                lake,
                colours,
                folders,
                place,
                name=COLOUR,
                authority=authority,
                pictures=pictures,
                progress=tell,
            )
            made[COLOUR] = place
        for name, folder in made.items():
            yield publish(folder, base, name, _copying(tell, name))


def _copying(tell: Progress, name: str) -> Callable[[int, int], None]:
    return lambda done, of: tell(f"{name} to its place", done, of)


def _plans(
    lake: Lake, survey: ImageSurvey, collection: str, bands: Sequence[str], colour: bool, order: int | None
) -> dict[str, Plan]:
    """Return what is to be made, by band; those of a HiPS in colour have one order."""
    from sodalake.lake.errors import NotInLake
    from sodalake.sodacut.hips.building import plan

    wanted = list(dict.fromkeys(bands or survey.bands))
    if colour:
        wanted += [band for band in survey.colour_bands if band not in wanted]
    plans = {}
    for band in wanted:
        try:
            plans[band] = plan(lake, survey, collection, band, order)
        except NotInLake:
            if bands and band in bands:
                raise
    if not plans:
        raise NotInLake(
            f"{collection} has no images yet.", "Ingest some: sodalake ingest SURVEY --images PATH…."
        )
    if colour and order is None and len({one.order for one in plans.values()}) > 1:
        coarsest = min(one.order for one in plans.values())
        plans = {band: plan(lake, survey, collection, band, coarsest) for band in plans}
    return plans


@contextlib.contextmanager
def _told() -> Iterator[Progress]:
    """Show progress on a terminal; standard output is for the addresses."""
    if not sys.stderr.isatty():
        yield lambda what, done, of: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskID,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    bars = Progress(
        TextColumn("{task.description:<28}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )  # fmt: skip
    with bars:
        tasks: dict[str, TaskID] = {}

        def told(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what)
            bars.update(tasks[what], completed=done, total=total)

        yield told
