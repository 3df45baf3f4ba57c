"""What the rows of every bench share at one site: how much is measured, what is closed, and services that are warm."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Generic, Self, TypeVar

from .load import Phase, run_whole
from .serving import Served
from .sites import Site

__all__ = ["WARM_CLIENTS", "Stage"]

ScaleT = TypeVar("ScaleT")

WARM_CLIENTS = 4
"""Clients that ask while a service gets warm."""


class Stage(Generic[ScaleT]):
    """What is made for a bench, each thing when a row first needs it.

    Parameters
    ----------
    site
        Where.
    scale
        How much.
    cache
        Folder of archives; None: the user's.
    say
        Is told what is being made.
    """

    def __init__(self, site: Site, scale: ScaleT, cache: Path | None, say: Callable[[str], None]) -> None:
        self.site = site
        self.scale = scale
        self.cache = cache
        self.say = say
        self._close = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close.close()

    @property
    def is_embedded(self) -> bool:
        """Whether files are on local disk and rows in LMDB."""
        return self.site.name == "embedded"

    @cached_property
    def folder(self) -> Path:
        """A folder of the stage's own."""
        return Path(self._close.enter_context(tempfile.TemporaryDirectory(prefix="sodalake-bench-")))

    def serve(self, lake: str, settings: Mapping[str, str] | None = None) -> Served:
        """Start a service of a lake, with default settings but for these."""
        self.say(f"service of {lake}")
        return self._close.enter_context(Served(lake, settings))

    def quietly(self, **settings: str) -> dict[str, str]:
        """Return settings of a service that logs no request and keeps its jobs outside of the lake, and these."""
        store = str(self.folder / "jobs.sqlite")
        return {"SODALAKE_LOG__LEVEL": "warning", "SODALAKE_JOBS__STORE": store, **settings}

    def warm(self, served: Served, paths: Sequence[str]) -> None:
        """Ask `WARM_CLIENTS` at a time: every worker imports what it needs, and compiles what it uses."""
        run_whole([Phase([served.address], paths, clients=WARM_CLIENTS, count=len(paths))])
