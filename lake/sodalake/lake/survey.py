"""A survey is data: one TOML file says where things stand in its alerts and what they mean.

Nothing in the code knows ZTF or Rubin. A survey file names the source paths of ids, time, position, band,
class and brightness, the stamp columns, and describes each column with its unit, UCD and a sentence. `ztf`
and `lsst` are shipped; any other file is as good (docs/surveys.md shows a minimal one).

*Paths* are written as in the archive's Parquet: ``candidate.jd`` is the field ``jd`` of the struct
``candidate``; the same writing reaches a key of a map (``mangrove.lum_dist``), because archives write one or
the other from year to year.

*Flat names.* Every scalar column gets one flat name, unique without regard to case (ADQL does not see it).
The structs listed in `naming.bare` give their columns bare names, in that order: the first struct keeps the
name, a clash takes its struct's prefix (``diaSource.ra`` is ``ra``, then ``diaObject.ra`` is
``diaObject_ra``). Columns of any other struct always have the prefix. A column which the survey file does not
list is carried all the same, under the name this rule gives it (`Survey.flat_name`), without a unit.
"""

from __future__ import annotations

import difflib
import functools
import re
import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Annotated, Any, Self, TypeVar

import fsspec
from pydantic import BaseModel, Field, ValidationError, model_validator

from sodalake.lake.errors import ConfigurationError
from sodalake.lake.surveyparts import (
    STAMP_KINDS,
    Band,
    Brightness,
    Classification,
    Column,
    Datatype,
    Ids,
    Model,
    Naming,
    OtherId,
    Position,
    Stamps,
    Time,
    Wavelengths,
)

__all__ = [
    "STAMP_KINDS",
    "Band",
    "Brightness",
    "Classification",
    "Column",
    "Datatype",
    "Ids",
    "Naming",
    "OtherId",
    "Position",
    "Stamps",
    "Survey",
    "Time",
    "load_survey",
    "parse_survey",
    "parsed_toml",
    "read_survey_text",
    "shipped_surveys",
    "validated",
]

_Model = TypeVar("_Model", bound=BaseModel)


class Survey(Model):
    """A survey, as its file describes it.

    Attributes
    ----------
    name
        Short and lower case: part of table names, identifiers and URLs.
    title, description
        One line, and a few.
    facility, instrument
        ObsCore's facility_name and instrument_name.
    schema_name
        The TAP schema its tables stand in; `name` where the file does not say.
    citation, licence
        What to cite, and under which terms the data may be used.
    notes
        What an operator should know about the archive's layout.
    ids, time, position, band, klass, brightness, stamps, naming
        See their classes. `klass` is written ``class`` in the file.
    bands
        Shortest and longest wavelength of each band, metres.
    leave_out
        Source paths (or structs) that are not carried in rows; they stay in the Parquet files.
    covering
        Source paths of the columns that index tables carry, so that they answer without another look (a cone: ids,
        place, time, brightness, band, class). See `covering_names`.
    columns
        In the order of the file. There they are a table keyed by source path.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=32)]
    title: str
    description: str
    facility: str
    instrument: str
    schema_name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    citation: str = ""
    licence: str = ""
    notes: str = ""
    ids: Ids
    time: Time
    position: Position
    band: Band | None = None
    bands: Mapping[str, Wavelengths] = Field(default_factory=dict)
    klass: Classification | None = Field(default=None, alias="class")
    brightness: Brightness | None = None
    stamps: Stamps
    naming: Naming = Naming()
    leave_out: tuple[str, ...] = ()
    covering: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _name_columns(cls, raw: Any) -> Any:
        """Turn the table of columns into a list, with a flat name each."""
        if not isinstance(raw, Mapping):
            return raw
        raw = dict(raw)
        raw.setdefault("schema_name", raw.get("name"))
        columns = raw.get("columns")
        if not isinstance(columns, Mapping):
            return raw
        naming = raw.get("naming")
        bare = naming.get("bare", [""]) if isinstance(naming, Mapping) else [""]
        if not isinstance(bare, list | tuple):
            return raw
        described = [
            {"path": path, **about} if isinstance(about, Mapping) else about
            for path, about in columns.items()
        ]
        taken = {about["name"].lower() for about in described if isinstance(about, dict) and "name" in about}
        rank = {struct: number for number, struct in enumerate(bare)}
        unnamed = [about for about in described if isinstance(about, dict) and "name" not in about]
        for about in sorted(unnamed, key=lambda about: rank.get(_struct_of(about["path"]), len(rank))):
            about["name"] = _flat_name(about["path"], rank, taken)
            taken.add(about["name"].lower())
        raw["columns"] = described
        return raw

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        seen: dict[str, str] = {}
        for column in self.columns:
            other = seen.setdefault(column.name.lower(), column.path)
            if other != column.path:
                raise ValueError(
                    f"{other} and {column.path} are both called {column.name}: give one a `name`"
                )
        if self.time.path in self._by_path and self._by_path[self.time.path].name != self.time.name:
            raise ValueError(
                f"time.name is {self.time.name}, but the column {self.time.path} is called "
                f"{self._by_path[self.time.path].name}"
            )
        if self.band is not None:
            unknown = sorted(set(self.band.values.values()) - set(self.bands))
            if unknown:
                raise ValueError(
                    f"band.values names bands without wavelengths in `bands`: {', '.join(unknown)}"
                )
        return self

    @model_validator(mode="after")
    def _places_are_carried(self) -> Self:
        for path in (self.position.ra, self.position.dec, self.time.path, *self.covering):
            if self.leaves_out(path):
                raise ValueError(f"rows must carry {path}, which is a stamp or in leave_out")
        return self

    @functools.cached_property
    def covering_names(self) -> tuple[str, ...]:
        """Flat names of the covering columns: time and position first, then ids, then what `covering` lists.

        Where the file has no `covering`, it is band, brightness and class.
        """
        listed = self.covering
        if not listed:
            band = (self.band.path,) if self.band else ()
            bright = (self.brightness.path, self.brightness.error) if self.brightness else ()
            klass = (self.klass.path, *self.klass.otherwise) if self.klass else ()
            listed = tuple(path for path in (*band, *bright, *klass) if path and not self.leaves_out(path))
        first = (self.time.path, self.position.ra, self.position.dec, self.ids.alert, self.ids.object)
        return tuple(dict.fromkeys(self.flat_name(path) for path in (*first, *listed)))

    @functools.cached_property
    def _by_path(self) -> dict[str, Column]:
        return {column.path: column for column in self.columns}

    @functools.cached_property
    def _by_name(self) -> dict[str, Column]:
        return {column.name.lower(): column for column in self.columns}

    def column_at(self, path: str) -> Column | None:
        """The listed column of a source path, or None."""
        return self._by_path.get(path)

    def column_named(self, name: str) -> Column | None:
        """The listed column of a flat name, without regard to case, or None."""
        return self._by_name.get(name.lower())

    def flat_name(self, path: str) -> str:
        """The flat name of any source path, listed or not; it depends on nothing but the survey file."""
        listed = self._by_path.get(path)
        if listed is not None:
            return listed.name
        return _flat_name(path, dict.fromkeys(self.naming.bare, 0), self._by_name)

    def leaves_out(self, path: str) -> bool:
        """Whether rows do not carry this column: a stamp, or in `leave_out` (itself or a struct of it)."""
        return path in self.stamps.kinds.values() or any(
            path == left or path.startswith(left + ".") for left in self.leave_out
        )

    def band_name(self, raw: object) -> str | None:
        """The name of a band from its raw value (ZTF: 1 is ``g``); None of None."""
        if raw is None:
            return None
        values = self.band.values if self.band is not None else {}
        return values.get(str(raw), str(raw))


def _struct_of(path: str) -> str:
    return path.rpartition(".")[0]


def _flat_name(path: str, bare: Mapping[str, object], taken: Mapping[str, object] | set[str]) -> str:
    """A flat name for `path`: its last part where its struct is bare and the name free, else prefixed."""
    struct, _, leaf = path.rpartition(".")
    name = _regular(leaf)
    if struct in bare and name.lower() not in taken:
        return name
    name = _regular(path)
    while name.lower() in taken:
        name += "_"
    return name


def _regular(text: str) -> str:
    """An ADQL regular identifier made of any text."""
    name = re.sub(r"[^A-Za-z0-9_]", "_", text)
    return name if re.match(r"[A-Za-z_]", name) else f"_{name}"


def shipped_surveys() -> list[str]:
    """Names of the surveys that come with sodalake, sorted."""
    folder = resources.files("sodalake.lake") / "surveys"
    return sorted(file.name.removesuffix(".toml") for file in folder.iterdir() if file.name.endswith(".toml"))


def read_survey_text(source: str) -> str:
    """The TOML text of a survey: of a shipped name, a path, or any fsspec URL.

    Raises
    ------
    ConfigurationError
        Neither a shipped survey nor a file that can be read as UTF-8.
    """
    if source in shipped_surveys():
        return (resources.files("sodalake.lake") / "surveys" / f"{source}.toml").read_text(encoding="utf-8")
    if not source.endswith(".toml") and "/" not in source:
        near = difflib.get_close_matches(source, shipped_surveys(), n=1)
        raise ConfigurationError(
            f"There is no survey {source!r}.",
            (f"Did you mean {near[0]!r}? " if near else "")
            + f"Shipped are {', '.join(shipped_surveys())}; or give the path of a survey file (*.toml).",
        )
    try:
        with fsspec.open(source, "rb") as file:
            content: bytes = file.read()
        return content.decode("utf-8")
    except (OSError, ValueError, ImportError) as problem:
        raise ConfigurationError(f"The survey file {source} cannot be read: {problem}.") from problem


def parse_survey(text: str, source: str = "survey file") -> Survey:
    """Make a survey of its TOML text.

    Parameters
    ----------
    text
        The file's content.
    source
        What to call it in messages.

    Raises
    ------
    ConfigurationError
        Not TOML (with line and column), it describes images, or a key is missing, unknown or wrong (each is named).
    """
    raw = parsed_toml(text, source)
    if "images" in raw:
        raise ConfigurationError(
            f"{source} describes a survey of images, not of alerts.",
            "Bring its files with `sodalake ingest SURVEY --images PATH…`.",
        )
    return validated(Survey, raw, source, _NESTED)


def parsed_toml(text: str, source: str) -> dict[str, Any]:
    """Return what a survey file's TOML says; raises as `parse_survey`."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        raise ConfigurationError(f"{source} is not TOML: {problem}.") from problem


def validated(
    model: type[_Model], raw: Mapping[str, Any], source: str, nested: Mapping[str, type[BaseModel]]
) -> _Model:
    """Return a survey of what its file says.

    Parameters
    ----------
    nested
        The class of each table of the file, by its key: which keys there could be.

    Raises
    ------
    ConfigurationError
        As `parse_survey`.
    """
    try:
        return model.model_validate(raw)
    except ValidationError as problem:
        wrong = [_explained(error, raw, model, nested) for error in problem.errors()]
        raise ConfigurationError(
            f"{source}: " + "; ".join(wrong) + ".", "docs/surveys.md shows a complete survey file."
        ) from problem


def load_survey(source: str) -> Survey:
    """Read a survey: a shipped name (`shipped_surveys`), a path, or any fsspec URL of a TOML file.

    Raises
    ------
    ConfigurationError
        As `read_survey_text` and `parse_survey`.
    """
    return parse_survey(read_survey_text(source), source)


_NESTED: dict[str, type[BaseModel]] = {
    "ids": Ids, "time": Time, "position": Position, "band": Band, "class": Classification,
    "brightness": Brightness, "stamps": Stamps, "naming": Naming, "columns": Column,
}  # fmt: skip


def _explained(
    error: Any, raw: Mapping[str, Any], top: type[BaseModel], nested: Mapping[str, type[BaseModel]]
) -> str:
    """One validation error, with the key as it is written in the file."""
    where = list(error["loc"])
    if len(where) > 1 and where[0] == "columns" and isinstance(where[1], int):
        paths = list(raw["columns"])
        where[1] = f'"{paths[where[1]]}"'
    key = ".".join(str(part) for part in where)
    if error["type"] == "missing":
        return f"key {key} is missing"
    if error["type"] == "extra_forbidden":
        tables = [nested[str(part)] for part in where[:-1] if str(part) in nested]
        model = tables[-1] if tables else top
        near = difflib.get_close_matches(str(where[-1]), [*model.model_fields, "class"], n=1)
        return f"key {key} is unknown" + (f" (did you mean {near[0]}?)" if near else "")
    message = error["msg"].removeprefix("Value error, ")
    return f"key {key}: {message}" if key else str(message)
