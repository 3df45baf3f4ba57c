"""A bench: rows that are measured at one place after another."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from rich.console import Console

from sodalake.lake.errors import ConfigurationError, Unavailable

from .report import Figure, Machine, Report
from .sites import Site, open_site

__all__ = ["Bench"]

StageT = TypeVar("StageT")
ScaleT = TypeVar("ScaleT")
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Bench(Generic[ScaleT, StageT]):
    """A bench: what is measured, and on what stage.

    Attributes
    ----------
    name
        As `sodalake bench NAME`.
    full, quick
        How much: for figures, or only to see that it runs.
    rows
        Row → how it is measured.
    stage
        Makes what the rows share, of a site, a scale, the folder of made archives (None: the user's cache), and whom to
        tell what is being made.
    """

    name: str
    full: ScaleT
    quick: ScaleT
    rows: Mapping[str, Callable[[StageT], list[Figure]]]
    stage: Callable[[Site, ScaleT, Path | None, Say], AbstractContextManager[StageT]]

    def run(
        self,
        scale: ScaleT | None = None,
        *,
        rows: Sequence[str] = (),
        where: Sequence[str] = ("embedded", "cluster"),
        cluster_folder: Path | None = None,
        cache: Path | None = None,
        console: Console | None = None,
    ) -> Report:
        """Measure.

        Parameters
        ----------
        scale
            How much; `full` where nothing is said.
        rows
            Names in `rows`; none: all.
        where
            ``embedded``, ``cluster``.
        cluster_folder
            The cluster to use; the user's own by default, started where it is not running.
        cache
            Folder of made archives; the user's cache by default.
        console
            Where progress is told, as it goes.

        Returns
        -------
        Report
            With the figures of all rows; a cluster that cannot be started (no Java) is left out, and said so. A row
            that cannot be measured (a wrong answer, an error) does not keep the others from it, and stands in `failed`.
        """
        said = console or Console(quiet=True)
        much = self.full if scale is None else scale
        report = Report(self.name, Machine.now(), quick=much is self.quick)
        for place in where:
            with ExitStack() as close:
                try:
                    site = close.enter_context(open_site(place, cluster_folder, said.print))
                except (ConfigurationError, Unavailable) as error:
                    report.left_out[place] = str(error)
                    continue
                stage = close.enter_context(self.stage(site, much, cache, _teller(said, place)))
                for row, measure in self.rows.items():
                    if row in rows or not rows:
                        said.print(f"{place}: measuring {row}")
                        try:
                            report.figures += measure(stage)
                        except RuntimeError as error:
                            said.print(f"[red]{place}: {row} failed:[/red] {error}", highlight=False)
                            report.failed[f"{place}, {row}"] = str(error)
        report.machine.load_after = os.getloadavg()
        return report


def _teller(said: Console, place: str) -> Say:
    return lambda what: said.print(f"[dim]{place}: {what}[/dim]", highlight=False)
