"""What the rows of the bench of queries share: a lake with made alerts, and its service.

Small and large tables are compared in one service: the same workers, as warm, ask one row store and one archive.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from sodalake.lake.ingest import ingest
from sodalake.lake.lake import Lake

from .alertfiles import AlertFiles, make_alert_files
from .alerttable import AlertRecipe, AlertTable
from .load import Phase
from .serving import Served
from .sites import Site
from .stage import WARM_CLIENTS, Stage
from .tapquestions import Asked, objects

__all__ = ["Filled", "TapScale", "TapStage"]

_HBASE = (
    3.0  # how many times the mark of local files a mark is on HDFS and HBase, where none is named for them
)


@dataclass(frozen=True, slots=True)
class TapScale:
    """How much is measured.

    Attributes
    ----------
    alerts, rows
        Of the table, and of a file.
    small
        Alerts of the table that the large one is compared with.
    wide, long_objects
        Alerts of the table of 130 columns, and how many of its objects have 1 575 rows.
    rounds, requests
        Times that something is measured, and requests each time.
    few
        Requests each time where one takes tens of milliseconds.
    seconds
        Of a round at eight clients, or beside a greedy query.
    crowd, crowd_seconds
        Concurrent clients, and for how long.
    bulk
        Rows of a large answer.
    positions
        Of an upload.
    jobs, aborts
        Queries that are jobs, and those that are aborted.
    warm
        Queries of each of four clients until every worker has imported what it needs, and compiled what it uses.
    """

    alerts: int = 1_000_000
    rows: int = 100_000
    small: int = 100_000
    wide: int = 100_000
    long_objects: int = 8
    rounds: int = 5
    requests: int = 200
    few: int = 20
    seconds: float = 5.0
    crowd: int = 200
    crowd_seconds: float = 20.0
    bulk: int = 200_000
    positions: int = 1000
    jobs: int = 30
    aborts: int = 3
    warm: int = 30


@dataclass(frozen=True, slots=True)
class Filled:
    """How long an ingest took: which alerts, bytes of their files, wall seconds of one process."""

    recipe: AlertRecipe
    bytes: int
    seconds: float


class TapStage(Stage[TapScale]):
    """The lake and its service at one site.

    Parameters
    ----------
    site, scale, cache, say
        As of `Stage`.

    Attributes
    ----------
    filled
        The ingests so far.
    """

    def __init__(self, site: Site, scale: TapScale, cache: Path | None, say: Callable[[str], None]) -> None:
        super().__init__(site, scale, cache, say)
        self.filled: list[Filled] = []

    def at_most(self, embedded: float, cluster: float | None = None) -> float:
        """Return the mark of a time: on the cluster three times the other, where none is named."""
        if self.is_embedded:
            return embedded
        return _HBASE * embedded if cluster is None else cluster

    def at_least(self, embedded: float) -> float:
        """Return the mark of a rate."""
        return embedded if self.is_embedded else embedded / _HBASE

    # -- tables

    @cached_property
    def table(self) -> AlertTable:
        """The table of 30 columns."""
        return AlertTable(AlertRecipe("bench", self.scale.alerts, self.scale.rows))

    @cached_property
    def small_table(self) -> AlertTable:
        """A smaller one of 30 columns."""
        return AlertTable(AlertRecipe("benchsmall", self.scale.small, self.scale.rows))

    @cached_property
    def wide_table(self) -> AlertTable:
        """The table of 130 columns."""
        return AlertTable(
            AlertRecipe(
                "benchwide", self.scale.wide, self.scale.rows, 130, long_objects=self.scale.long_objects
            )
        )

    # -- the lake and its service

    @cached_property
    def lake(self) -> str:
        """URL of a lake with the three tables."""
        every = [self._files(table.recipe) for table in (self.table, self.small_table, self.wide_table)]
        place = self.site.place("tap")
        # Imported before anything is timed, as all libraries are: it takes a second of a process's life.
        importlib.import_module("cdshealpix.nested")
        # The tables are made first: that costs HBase seconds, once in a lake's life.
        surveys = [str(files.survey_file) for files, _ in every]
        Lake.create(place.url, rows=place.rows, surveys=surveys).close()
        for files, urls in every:
            recipe = files.recipe
            self.say(f"ingest of {recipe.alerts:,} alerts of {recipe.columns} columns")
            began = time.perf_counter()
            report = ingest(place.url, str(files.survey_file), urls, workers=1)
            seconds = time.perf_counter() - began
            if report.failed or report.rows != recipe.alerts:
                raise RuntimeError(
                    f"The ingest of {recipe.alerts} alerts indexed {report.rows}: {report.failed}"
                )
            self.filled.append(Filled(recipe, report.bytes, seconds))
        return place.url

    @cached_property
    def served(self) -> Served:
        """A service of the lake with default settings but for the place of its jobs, warm."""
        served = self.serve(self.lake, self.quietly())
        asked = objects(self.table, self.scale.warm * WARM_CLIENTS, np.random.default_rng(0))
        self.warm(served, [one.path for one in asked])
        return served

    @property
    def service(self) -> tuple[str, int]:
        """Address of the service."""
        return self.served.address

    def _files(self, recipe: AlertRecipe) -> tuple[AlertFiles, list[str]]:
        self.say(f"{recipe.alerts:,} alerts of {recipe.columns} columns")
        made = make_alert_files(recipe, self.cache)
        return made, self.site.publish(made)

    # -- measuring

    def phase(
        self,
        asked: Sequence[Asked],
        *,
        clients: int = 1,
        count: int | None = None,
        seconds: float | None = None,
        patient: bool = False,
    ) -> Phase:
        """Return a phase that asks these in turn; each once, where neither `count` nor `seconds` is given."""
        if count is None and seconds is None:
            count = len(asked)
        return Phase(
            [self.service],
            [one.path for one in asked],
            clients=clients,
            count=count,
            seconds=seconds,
            rows=[one.rows for one in asked],
            patient=patient,
        )
