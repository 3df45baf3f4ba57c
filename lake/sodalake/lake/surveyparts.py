"""The tables of a survey file, each a frozen model: ids, time, position, band, class, brightness, stamps, columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

__all__ = [
    "STAMP_KINDS",
    "Band",
    "Brightness",
    "Classification",
    "Column",
    "Datatype",
    "Ids",
    "Model",
    "Naming",
    "OtherId",
    "Position",
    "Stamps",
    "Time",
    "Wavelengths",
]

STAMP_KINDS = ("science", "template", "difference")

Datatype = Literal["long", "int", "double", "float", "boolean", "char", "timestamp"]
"""VOTable's names of types, and `timestamp`: what a column shall be, whatever a year's files made of it."""

_Path = Annotated[str, Field(pattern=r"^[^.\s][^.]*(\.[^.]+)*$")]
_FlatName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class Model(BaseModel):
    """A part of a survey file: it cannot be changed, and knows no key but its own."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class OtherId(Model):
    """Where else an object's id may stand, when the first path holds none.

    Attributes
    ----------
    path, name, kind
        As in `Ids`. `name` may be left out: then users cannot ask by it.
    """

    path: _Path
    name: str | None = None
    kind: Literal["integer", "text"] = "integer"


class Ids(Model):
    """Ids of an alert and of the object it belongs to.

    Attributes
    ----------
    alert, object
        Source paths.
    alert_name, object_name
        The parameter names users give: ``candid``, ``objectId``; ``diaSourceId``, ``diaObjectId``.
    alert_kind, object_kind
        ``integer`` (64 bits, never through a float) or ``text``.
    object_otherwise
        More paths, tried in turn, for alerts whose `object` is null or one of `none`: a Rubin alert of a
        solar-system object has diaObjectId 0 and an ssObjectId.
    none
        Values that mean *no id*, besides null.
    """

    alert: _Path
    alert_name: str
    alert_kind: Literal["integer", "text"] = "integer"
    object: _Path
    object_name: str
    object_kind: Literal["integer", "text"] = "text"
    object_otherwise: tuple[OtherId, ...] = ()
    none: tuple[int | str, ...] = (0, "")


class Time(Model):
    """When an alert was taken.

    Attributes
    ----------
    path
        Source path of a double, in days.
    scale
        ``jd_utc`` (Julian date, UTC) or ``mjd_tai`` (modified Julian date, TAI).
    name
        Flat name of the column.
    """

    path: _Path
    scale: Literal["jd_utc", "mjd_tai"]
    name: _FlatName


class Position(Model):
    """Source paths of right ascension and declination, ICRS, degrees."""

    ra: _Path
    dec: _Path


class Band(Model):
    """Which filter an alert was taken in.

    Attributes
    ----------
    path
        Source path.
    values
        Name of the band for each raw value written as text (ZTF: ``{"1" = "g", ...}``); a value that is not
        there is its own name.
    """

    path: _Path
    values: Mapping[str, str] = Field(default_factory=dict)


class Classification(Model):
    """What an alert was classified as: the first of these paths that the file has and that is not null."""

    path: _Path
    otherwise: tuple[_Path, ...] = ()


class Brightness(Model):
    """The column that says how bright the source of an alert is.

    Attributes
    ----------
    path, error
        Source paths of the value and of its one-sigma uncertainty.
    kind
        ``magnitude`` or ``flux``.
    unit
        VOUnits.
    """

    path: _Path
    error: _Path | None = None
    kind: Literal["magnitude", "flux"]
    unit: str


class Stamps(Model):
    """The little images that come with an alert.

    Attributes
    ----------
    kinds
        Source path of each kind's binary column; kinds are of `STAMP_KINDS`, in the order to show them.
    format
        ``fits.gz`` (gzip of FITS, ZTF) or ``fits`` (Rubin).
    pixel_scale
        Arcseconds a pixel.
    unit
        Unit of the pixels (VOUnits; empty: none).
    has_wcs
        Whether the FITS header places the stamp on the sky, so that it can be cut by position.
    """

    kinds: Mapping[Literal["science", "template", "difference"], _Path] = Field(min_length=1)
    format: Literal["fits.gz", "fits"]
    pixel_scale: float = Field(gt=0)
    unit: str = ""
    has_wcs: bool


class Naming(Model):
    """Which structs give their columns bare flat names, first come first served; ``""`` is the top level."""

    bare: tuple[str, ...] = ("",)


class Column(Model):
    """One flat column.

    Attributes
    ----------
    path
        Source path.
    name
        Unique flat name; given by `Naming` where the file does not say.
    unit
        VOUnits; empty: none, or dimensionless.
    ucd, utype
        IVOA UCD1+ and utype; empty where none fits.
    description
        One sentence, in plain words.
    datatype
        What the column shall be whatever a year's files have made of it; None: as in the file.
    """

    path: _Path
    name: _FlatName
    unit: str = ""
    ucd: str = ""
    utype: str = ""
    description: str = Field(min_length=1)
    datatype: Datatype | None = None


def _metres(limits: Any) -> Any:
    if isinstance(limits, list | tuple) and len(limits) == 2 and not 0 < limits[0] < limits[1]:
        raise ValueError("two wavelengths in metres, the shorter first")
    return limits


Wavelengths = Annotated[tuple[float, float], BeforeValidator(_metres)]
"""Shortest and longest wavelength of a band, metres."""
