"""What the rows of the bench of stamps share: archives, lakes and services."""

from __future__ import annotations

import importlib
import time
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sodalake.lake.ingest import ingest
from sodalake.lake.lake import Lake

from .archive import Archive, Recipe, make_archive
from .identities import EPOCHS, Identities
from .seeds import Seeds, question
from .stage import Stage

__all__ = ["Ingested", "MadeLake", "StampScale", "StampStage"]


@dataclass(frozen=True, slots=True)
class StampScale:
    """How much is measured.

    Attributes
    ----------
    files, rows
        Of the large archive: ten files of 100 MB, or few and small.
    side_rows
        Alerts in the archives of one file that only show bytes read (Rubin, zstd, uncompressed).
    rounds
        Times that two ways are measured in turn.
    requests, seed_requests
        Requests of a round, to ours and to the seeds' service.
    seconds
        Of a round at eight clients.
    crowd_seconds
        With 50 clients.
    objects
        Objects of a round.
    bulk_files, bulk_stamps
        Files and stamps of the bulk measurement.
    """

    files: int = 10
    rows: int = 2520
    side_rows: int = 490
    rounds: int = 5
    requests: int = 200
    seed_requests: int = 10
    seconds: float = 5.0
    crowd_seconds: float = 60.0
    objects: int = 5
    bulk_files: int = 5
    bulk_stamps: int = 10_000


@dataclass(frozen=True, slots=True)
class Ingested:
    """How long an ingest took: bytes of its files, alerts, processes, wall seconds."""

    files: int
    bytes: int
    alerts: int
    workers: int
    seconds: float


@dataclass(frozen=True, slots=True)
class MadeLake:
    """A lake with one archive, or some of its files.

    Attributes
    ----------
    url
        The lake.
    archive, urls
        What is in it: all of the archive's files at the site (the lake may hold only the first).
    ingests
        How it was filled.
    """

    url: str
    archive: Archive
    urls: list[str]
    ingests: tuple[Ingested, ...]

    @property
    def identities(self) -> Identities:
        """Who stands where in the archive."""
        return self.archive.identities

    def question(self, slot: int, kind: str = "Science", return_type: str = "array") -> str:
        """Return the request for one alert's stamp, the same for our service and the seeds'."""
        at = np.array([slot])
        return question(
            self.urls[self.identities.file_of(slot)],
            self.identities.object_ids(at)[0],
            int(self.identities.alert_ids(at)[0]),
            kind,
            return_type,
        )


class StampStage(Stage[StampScale]):
    """The archives, lakes and services at one site."""

    def random_slots(self, lake: MadeLake, count: int, *, files: int, seed: int) -> NDArray[np.int64]:
        """Return `count` different alerts of the first `files` files, at random."""
        rng = np.random.default_rng([seed, count])
        return rng.permutation(files * lake.identities.rows)[:count].astype(np.int64)

    def archive(self, recipe: Recipe) -> tuple[Archive, list[str]]:
        """Return an archive and its URLs at this site."""
        self.say(f"archive {recipe.name}")
        made = make_archive(
            recipe, self.cache, progress=lambda done, of: self.say(f"archive: file {done} of {of}")
        )
        self.say(f"archive {recipe.name} to {self.site.name}")
        return made, self.site.publish(made)

    def lake(self, name: str, recipe: Recipe, steps: tuple[tuple[int, int], ...]) -> MadeLake:
        """Make a lake of an archive's first files.

        Parameters
        ----------
        steps
            Ingests, one after another: how many files, and by how many processes.
        """
        archive, urls = self.archive(recipe)
        place = self.site.place(name)
        # Imported before anything is timed, as all libraries are: it takes a second of a process's life.
        importlib.import_module("cdshealpix.nested")
        # The tables are made first: that costs HBase seconds, once in a lake's life.
        lake = Lake.create(place.url, rows=place.rows, surveys=[recipe.survey])
        lake.close()
        ingests = []
        at = 0
        for files, workers in steps:
            self.say(f"ingest of {files} files into {name}")
            began = time.perf_counter()
            report = ingest(place.url, recipe.survey, urls[at : at + files], workers=workers)
            seconds = time.perf_counter() - began
            if report.failed or report.rows != files * recipe.rows:
                raise RuntimeError(
                    f"The ingest of {files} files indexed {report.rows} alerts: {report.failed}"
                )
            ingests.append(Ingested(files, report.bytes, report.rows, workers, seconds))
            at += files
        return MadeLake(place.url, archive, urls, tuple(ingests))

    @property
    def _recipe(self) -> Recipe:
        return Recipe("ztf", self.scale.files, self.scale.rows)

    @cached_property
    def small(self) -> MadeLake:
        """A lake with the first file of the archive."""
        return self.lake("small", self._recipe, ((1, 1),))

    @cached_property
    def large(self) -> MadeLake:
        """A lake with the whole archive: half by one process, half by two."""
        half = max(1, self.scale.files // 2)
        return self.lake("large", self._recipe, ((half, 1), (self.scale.files - half, 2)))

    @cached_property
    def small_service(self) -> tuple[str, int]:
        """Address of a service of `small`."""
        return self.serve(self.small.url).address

    @cached_property
    def service(self) -> tuple[str, int]:
        """Address of a service of `large`."""
        return self.serve(self.large.url).address

    @cached_property
    def seeds(self) -> list[tuple[str, int]]:
        """Addresses of the seeds' service."""
        return self._close.enter_context(Seeds()).addresses

    def complete_objects(self, count: int, seed: int) -> list[int]:
        """Return numbers of objects, at random; each has `EPOCHS` alerts in `large`."""
        identities = self.large.identities
        rng = np.random.default_rng([seed, EPOCHS])
        return [int(number) for number in rng.permutation(identities.objects)[:count]]
