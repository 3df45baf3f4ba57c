"""What is made once and kept in the user's cache: a folder that is there is whole."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

from sodalake.lake.cluster.jars import cache_folder

__all__ = ["SURVEY", "KeptFiles", "kept_folder", "listed_files"]

SURVEY = "survey.toml"
"""Name of the survey file in a kept folder."""

_MANIFEST = "manifest.json"

RecipeT = TypeVar("RecipeT")


def kept_folder(name: str, cache: Path | None, make: Callable[[Path], Mapping[str, Any]]) -> Path:
    """Return a folder of the cache, making it where it is not there.

    Parameters
    ----------
    name
        The folder's; what is in it must follow from its name.
    cache
        Folder of such folders; the user's cache (``$XDG_CACHE_HOME/sodalake/bench``) by default.
    make
        Writes files into a folder that is not there yet, and returns the manifest: ``files`` are their names.
    """
    root = cache or cache_folder() / "bench"
    folder = root / name
    if (folder / _MANIFEST).exists():
        return folder
    root.mkdir(parents=True, exist_ok=True)
    # Made under another name and moved: a bench that was stopped leaves no half archive behind.
    making = root / f".{name}.{uuid.uuid4().hex}"
    try:
        manifest = dict(make(making))
        manifest["files"] = [
            {"name": one, "bytes": (making / one).stat().st_size} for one in manifest["files"]
        ]
        (making / _MANIFEST).write_text(json.dumps(manifest, indent=1))
        try:
            making.rename(folder)
        except OSError:
            if not (folder / _MANIFEST).exists():
                raise
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return folder


def listed_files(folder: Path) -> tuple[tuple[Path, ...], tuple[int, ...]]:
    """Return the files of a kept folder, and their bytes, in the manifest's order."""
    listed = json.loads((folder / _MANIFEST).read_text())["files"]
    return tuple(folder / one["name"] for one in listed), tuple(int(one["bytes"]) for one in listed)


@dataclass(frozen=True, slots=True)
class KeptFiles(Generic[RecipeT]):
    """Made files with the survey file that describes them: their recipe and folder, in their order, and their bytes."""

    recipe: RecipeT
    folder: Path
    files: tuple[Path, ...]
    sizes: tuple[int, ...]

    @classmethod
    def of(cls, recipe: RecipeT, folder: Path) -> Self:
        """Return what a kept folder holds."""
        return cls(recipe, folder, *listed_files(folder))

    @property
    def survey_file(self) -> Path:
        """The survey file that describes them."""
        return self.folder / SURVEY
