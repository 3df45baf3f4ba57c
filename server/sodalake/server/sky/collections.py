"""Which collections of images a lake has, and which HiPS were made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sodalake.lake.errors import FileGone
from sodalake.lake.files import filesystem, join, read_bytes, translated
from sodalake.lake.images.imagesurvey import ImageSurvey
from sodalake.lake.lake import Lake
from sodalake.server.dali import clip
from sodalake.server.errors import NoSuchPage
from sodalake.sodacut.hips.properties import parsed

__all__ = ["Hips", "collection_survey", "made_hips"]


@dataclass(frozen=True, slots=True)
class Hips:
    """A HiPS that is there: its collection, the name of its folder, and its properties."""

    collection: str
    name: str
    properties: Mapping[str, str]


def collection_survey(lake: Lake, collection: str) -> ImageSurvey:
    """Return the survey that a collection is of.

    Raises
    ------
    NoSuchPage
        There is none of that name.
    """
    every = {name: survey for survey in lake.image_surveys.values() for name in survey.collections}
    if collection not in every:
        known = ", ".join(every) or "none yet"
        raise NoSuchPage(
            f"There is no collection {clip(collection)!r} of images here.", f"There are: {known}."
        )
    return every[collection]


def made_hips(lake: Lake) -> list[Hips]:
    """Return the HiPS that are in the lake now; asks its file system, so belongs in a thread.

    Raises
    ------
    Unavailable
        The file system does not answer.
    """
    found = []
    for survey in lake.image_surveys.values():
        for collection in survey.collections:
            for name in _folders(join(lake.url, "hips", collection)):
                try:
                    content = read_bytes(join(lake.url, "hips", collection, name, "properties"))
                except FileGone:
                    continue
                found.append(Hips(collection, name, parsed(content)))
    return found


def _folders(url: str) -> list[str]:
    """Return the names of the folders in one that may not be there, sorted; not those that are being made."""
    fs = filesystem(url)
    with translated(url):
        if not fs.exists(url):
            return []
        names = (str(one["name"]).rstrip("/").rpartition("/")[2] for one in fs.ls(url, detail=True))
        return sorted(name for name in names if not name.startswith("."))
