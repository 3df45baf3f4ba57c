"""One folder or URL is a lake: its `lake.toml` says where rows live, where the archive is, and which surveys it has.

::

    version = 1
    rows = "lmdb:rows"                     # or "hbase://host:port/PREFIX"
    archive = ["hdfs://nn:8020/fink/archive"]   # roots that requests may name files of
    results = "results"                    # where jobs put what they made
    surveys = ["ztf", "lsst", "decam"]     # shipped names, or files surveys/NAME.toml in the lake; of alerts and images

Relative places are below the lake, so that a small lake can be moved as a folder.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .catalogue import Catalogue
from .coveringrows import GROUP
from .errors import ConfigurationError, FileGone, NotInLake
from .files import as_url, join, path_of, read_bytes
from .images.imagesurvey import ImageSurvey, parse_any_survey
from .indextables import IMAGE_TABLES, index_tables
from .rows import open_rows
from .rows.protocol import RowStore
from .survey import Survey, read_survey_text, shipped_surveys
from .writing import write_whole

__all__ = ["Lake", "LakeFile"]

_NAME = "lake.toml"


class LakeFile(BaseModel):
    """The content of `lake.toml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    rows: str = Field(
        "lmdb:rows", description="Row store: lmdb:FOLDER below the lake, or hbase://HOST:PORT/PREFIX."
    )
    archive: tuple[str, ...] = Field(
        (), description="Roots of the archive: requests cannot name files elsewhere."
    )
    results: str = Field("results", description="Where jobs put their results.")
    surveys: tuple[str, ...] = Field((), description="Names of the surveys.")

    def to_toml(self) -> str:
        """Return the file's text."""
        import json  # JSON strings and arrays of strings are TOML's

        lines = [
            "# A sodalake lake. Relative places are below this folder.",
            f"version = {self.version}",
            f"rows = {json.dumps(self.rows)}",
            f"archive = {json.dumps(list(self.archive))}",
            f"results = {json.dumps(self.results)}",
            f"surveys = {json.dumps(list(self.surveys))}",
        ]
        return "\n".join(lines) + "\n"


class Lake:
    """An open lake: its surveys, its files and its rows.

    Opening reads `lake.toml` and the surveys; the row store is opened when first used. A lake can be used from many
    threads; each process opens its own.

    Attributes
    ----------
    url
        The lake's folder.
    surveys
        Name → survey of alerts.
    image_surveys
        Name → survey of images.
    """

    def __init__(
        self, url: str, content: LakeFile, surveys: Mapping[str, Survey | ImageSurvey] | None = None
    ) -> None:
        self.url = url
        self.content = content
        self.surveys: dict[str, Survey] = {}
        self.image_surveys: dict[str, ImageSurvey] = {}
        for name, survey in (surveys or {}).items():
            self._know(name, survey)
        self._catalogues: dict[str, Catalogue] = {}

    @classmethod
    def open(cls, url: str) -> Lake:
        """Open the lake at `url` (a bare path is local).

        Raises
        ------
        ConfigurationError
            There is no lake, or its `lake.toml` is wrong: the message names the key.
        """
        url = as_url(url).rstrip("/")
        try:
            text = read_bytes(join(url, _NAME)).decode()
        except FileGone as error:
            raise ConfigurationError(
                f"There is no lake at {url} (no {_NAME}).", "Make one with `sodalake ingest … --lake URL`."
            ) from error
        try:
            content = LakeFile.model_validate(tomllib.loads(text))
        except (ValidationError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{join(url, _NAME)} is not right: {error}") from error
        return cls(url, content, {name: _survey(url, name) for name in content.surveys})

    @classmethod
    def create(
        cls, url: str, *, rows: str | None = None, surveys: Sequence[str] = (), archive: Sequence[str] = ()
    ) -> Lake:
        """Make a lake at `url`, or open the one that is there and add what it lacks.

        Parameters
        ----------
        rows
            The row store's URL; None: LMDB below a local lake.
        surveys
            Shipped names or TOML files; files are copied into the lake.
        archive
            Roots to add.

        Raises
        ------
        ConfigurationError
            A lake that is not on local disk needs `rows`; an existing lake has other rows than asked for.
        """
        url = as_url(url).rstrip("/")
        try:
            lake = cls.open(url)
        except ConfigurationError as error:
            if not isinstance(error.__cause__, FileGone):
                raise
            if rows is None and urlsplit(url).scheme != "file":
                raise ConfigurationError(
                    f"The lake {url} is not on local disk, so it needs HBase for its rows.",
                    "Give --rows hbase://HOST:PORT/PREFIX when you make it.",
                ) from None
            lake = cls(url, LakeFile(rows=rows or "lmdb:rows"))
            lake._save()
        else:
            if rows is not None and rows != lake.content.rows:
                raise ConfigurationError(
                    f"The lake {url} has its rows in {lake.content.rows}, not in {rows}.",
                    "Leave --rows out, or make another lake.",
                )
        for survey in surveys:
            lake.add_survey(survey)
        for root in archive:
            lake.add_root(root)
        return lake

    def _save(self) -> None:
        write_whole(join(self.url, _NAME), self.content.to_toml().encode())

    def _know(self, name: str, survey: Survey | ImageSurvey) -> None:
        if isinstance(survey, ImageSurvey):
            self.image_surveys[name] = survey
        else:
            self.surveys[name] = survey

    def add_survey(self, name_or_file: str) -> Survey | ImageSurvey:
        """Add a survey, shipped or a file (which is copied into the lake), make its tables, and return it.

        Raises
        ------
        ConfigurationError
            As `sodalake.lake.images.imagesurvey.parse_any_survey`; or the lake has a survey of the other kind by this
            name.
        """
        survey, text = self._described(name_or_file)
        others = self.surveys if isinstance(survey, ImageSurvey) else self.image_surveys
        if survey.name in others:
            raise ConfigurationError(
                f"The lake has a survey {survey.name} already, and it is one of "
                f"{'alerts' if isinstance(survey, ImageSurvey) else 'images'}.",
                "Give the new one another `name`.",
            )
        if isinstance(survey, ImageSurvey):
            self._check_collections(survey)
        if text is not None:
            write_whole(join(self.url, "surveys", f"{survey.name}.toml"), text.encode())
        self._know(survey.name, survey)
        if survey.name not in self.content.surveys:
            self.content = self.content.model_copy(update={"surveys": (*self.content.surveys, survey.name)})
            self._save()
        self._make_tables(survey)
        return survey

    def describe_survey(self, name_or_file: str) -> Survey | ImageSurvey:
        """Return what `add_survey` would add, and add nothing; raises as it does."""
        return self._described(name_or_file)[0]

    def _described(self, name_or_file: str) -> tuple[Survey | ImageSurvey, str | None]:
        """Return a survey of the lake, a shipped one, or a file's; of a file the text too."""
        known = self.surveys.get(name_or_file) or self.image_surveys.get(name_or_file)
        if known is not None:
            return known, None
        if name_or_file in shipped_surveys():
            return parse_any_survey(read_survey_text(name_or_file), name_or_file), None
        if not name_or_file.endswith(".toml"):
            read_survey_text(name_or_file)  # raises, with the names that are meant
        text = read_bytes(as_url(name_or_file)).decode()
        return parse_any_survey(text, name_or_file), text

    def _check_collections(self, survey: ImageSurvey) -> None:
        """Refuse a collection that another survey has: collections are asked for by name alone."""
        for name, other in self.image_surveys.items():
            both = sorted(set(survey.collections) & set(other.collections)) if name != survey.name else []
            if both:
                raise ConfigurationError(
                    f"The collection {both[0]} is one of {name}'s already.",
                    f"Give it another name in the file of {survey.name}.",
                )

    def _make_tables(self, survey: Survey | ImageSurvey) -> None:
        if isinstance(survey, ImageSurvey):
            tables = {name: list(groups) for name, groups in IMAGE_TABLES.items()}
        else:
            covering = {table: [GROUP] for table in index_tables(survey)}
            tables = {"alert": ["p"], "object": ["d", "s"], **covering}
        # HBase takes a second for each, mostly waiting.
        with ThreadPoolExecutor(min(self.rows.parallel, len(tables))) as pool:
            made = [
                pool.submit(self.rows.create, f"{survey.name}.{name}", groups)
                for name, groups in tables.items()
            ]
            for one in made:
                one.result()
        self.catalogue(survey.name).create()

    def add_root(self, root: str) -> None:
        """Let requests name files below `root`."""
        root = as_url(root)
        if not any(
            path_of(root) == path_of(r) or path_of(root).startswith(path_of(r) + "/") for r in self.roots
        ):
            self.content = self.content.model_copy(update={"archive": (*self.content.archive, root)})
            self._save()

    @property
    def roots(self) -> tuple[str, ...]:
        """URLs of the archive's roots, the lake's own `files` folder (Avro made Parquet) among them."""
        return (join(self.url, "files"), *(join(self.url, root) for root in self.content.archive))

    @cached_property
    def rows(self) -> RowStore:
        """The row store."""
        place = self.content.rows
        if place.startswith("lmdb:") and "://" not in place:
            place = "lmdb://" + path_of(join(self.url, place.removeprefix("lmdb:")))
        return open_rows(place)

    def survey(self, name: str) -> Survey:
        """Return a survey of alerts; `NotInLake` names those there are."""
        try:
            return self.surveys[name]
        except KeyError:
            raise self._no_survey(name, self.surveys, self.image_surveys, "images") from None

    def image_survey(self, name: str) -> ImageSurvey:
        """Return a survey of images; `NotInLake` names those there are."""
        try:
            return self.image_surveys[name]
        except KeyError:
            raise self._no_survey(name, self.image_surveys, self.surveys, "alerts") from None

    @staticmethod
    def _no_survey(name: str, there: Iterable[str], others: Iterable[str], kind: str) -> NotInLake:
        if name in others:
            wanted = "alerts" if kind == "images" else "images"
            return NotInLake(
                f"{name} is a survey of {kind}, not of {wanted}.",
                f"Surveys of {wanted}: {', '.join(sorted(there)) or 'none yet'}.",
            )
        known = ", ".join(sorted(there)) or "none yet"
        return NotInLake(f"There is no survey {name[:80]!r} here.", f"Surveys of this lake: {known}.")

    def catalogue(self, survey: str) -> Catalogue:
        """Return the `files` table of a survey."""
        if survey not in self._catalogues:
            self._catalogues[survey] = Catalogue(self.rows, survey)
        return self._catalogues[survey]

    def close(self) -> None:
        """Let go of the row store."""
        if "rows" in self.__dict__:
            self.rows.close()


def _survey(url: str, name: str) -> Survey | ImageSurvey:
    """Return the lake's own description of a survey, or the shipped one."""
    own = join(url, "surveys", f"{name}.toml")
    try:
        text = read_bytes(own).decode()
    except FileGone:
        return parse_any_survey(read_survey_text(name), name)
    return parse_any_survey(text, own)
