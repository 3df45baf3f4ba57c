"""Going through the rows of a bench, at one place after another."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TypeVar

from rich.console import Console

from sodalake.lake.errors import ConfigurationError, Unavailable

from .report import Figure, Machine, Report
from .sites import Site, open_site

__all__ = ["measure_rows"]

Stage = TypeVar("Stage")


def measure_rows(
    name: str,
    measures: Mapping[str, Callable[[Stage], list[Figure]]],
    stage_at: Callable[[Site, Callable[[str], None]], AbstractContextManager[Stage]],
    *,
    quick: bool,
    rows: Sequence[str],
    where: Sequence[str],
    cluster_folder: Path | None,
    console: Console | None,
) -> Report:
    """Measure.

    Parameters
    ----------
    name
        The bench.
    measures
        Row → how it is measured.
    stage_at
        Makes what the rows share, at a site; is given whom to tell what is being made.
    quick
        Whether the figures mean nothing.
    rows
        Names in `measures`.
    where
        ``embedded``, ``cluster``.
    cluster_folder
        The cluster to use; the user's own by default, started where it is not running.
    console
        Where progress is told, as it goes.

    Returns
    -------
    Report
        With the figures of all rows; a cluster that cannot be started (no Java) is left out, and said so. A row that
        cannot be measured (a wrong answer, an error) does not keep the others from it, and stands in `failed`.
    """
    said = console or Console(quiet=True)
    report = Report(name, Machine.now(), quick=quick)
    for place in where:
        with ExitStack() as close:
            try:
                site = close.enter_context(open_site(place, cluster_folder, said.print))
            except (ConfigurationError, Unavailable) as error:
                report.left_out[place] = str(error)
                continue
            stage = close.enter_context(stage_at(site, _teller(said, place)))
            for row, measure in measures.items():
                if row in rows:
                    said.print(f"{place}: measuring {row}")
                    try:
                        report.figures += measure(stage)
                    except RuntimeError as error:
                        said.print(f"[red]{place}: {row} failed:[/red] {error}", highlight=False)
                        report.failed[f"{place}, {row}"] = str(error)
    report.machine.load_after = os.getloadavg()
    return report


def _teller(said: Console, place: str) -> Callable[[str], None]:
    return lambda what: said.print(f"[dim]{place}: {what}[/dim]", highlight=False)
