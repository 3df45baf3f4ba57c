"""A survey of images is data too: one TOML file says which files are images, and what their headers mean.

::

    name = "skytiles"
    title = "Sky Tiles"
    description = "Coadded tiles of the Sky Watch telescope."
    facility = "Mount Example"
    instrument = "SWCam"

    [images]
    files = '(?P<tile>tile\\d+)_(?P<band>[grz])\\.fits(\\.fz)?'   # of a file's name, whole; others hold no images
    id = "{tile}_{band}"                  # groups of `files`, and keywords of the image's header or the primary's
    hdus = ["SCI"]                        # names of the HDUs that are images; left out: every one with two axes
    calib_level = 3

    [images.planes.weight]
    hdu = "WGT"                           # beside the image, in its file
    [images.planes.mask]
    file = "{tile}_{band}_mask.fits"      # or in a file of its own

    [band]
    name = "{band}"                       # as `id` is made; or `keyword`
    [bands]
    g = [4.0e-7, 5.5e-7]

    [time]
    keyword = "MJD-OBS"
    scale = "mjd_utc"
    exposure = "EXPTIME"

    [pixels]
    unit = "nmgy"
    zero_point = 22.5

A file with the table ``[images]`` describes images, one without it alerts (`sodalake.lake.survey`); names are unique
over both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, field_validator, model_validator

from sodalake.lake.errors import ConfigurationError
from sodalake.lake.survey import Survey, parse_survey, parsed_toml, read_survey_text, validated
from sodalake.lake.surveyparts import Model, Wavelengths

__all__ = [
    "Collection",
    "ImageBand",
    "ImageFiles",
    "ImagePlane",
    "ImageSurvey",
    "ImageTime",
    "PixelValues",
    "load_image_survey",
    "parse_any_survey",
    "parse_image_survey",
]

_Keyword = Annotated[str, Field(pattern=r"^[A-Z0-9_-]{1,8}$")]


class ImagePlane(Model):
    """What stands beside an image, pixel for pixel: a weight, a variance, a mask.

    Attributes
    ----------
    meaning
        ``weight`` (inverse variance, or any number that counts a pixel; 0: none), ``variance``, ``mask`` (0: good).
    hdu
        Name of its HDU; empty: the one of the image's name or number.
    file
        Its file, beside the image's, made of the groups of `ImageFiles.files`; empty: the image's own.
    """

    meaning: Literal["weight", "variance", "mask"]
    hdu: str = ""
    file: str = ""

    @model_validator(mode="after")
    def _is_elsewhere(self) -> Self:
        if not self.hdu and not self.file:
            raise ValueError("a plane is in another HDU (`hdu`), in another file (`file`), or both")
        return self


class Collection(Model):
    """Some of a survey's images under a name of their own (ObsCore's obs_collection).

    Attributes
    ----------
    title, description
        One line, and a few.
    files
        Pattern of the paths of its files, anywhere in them; empty: every file that is in none of the others.
    calib_level
        ObsCore's, 0 to 4; None: the survey's.
    """

    title: str
    description: str = ""
    files: str = ""
    calib_level: Annotated[int, Field(ge=0, le=4)] | None = None

    _is_pattern = field_validator("files")(lambda value: _pattern(value))


class ImageFiles(Model):
    """Which files hold images, and what these are called.

    Attributes
    ----------
    files
        Pattern of a file's whole name (without folders); its named groups are words for `id`, `file` and `name`.
        Empty: every FITS file.
    id
        An image's id, made of groups and header keywords in braces. ``{stem}`` is the file's name without endings,
        ``{hdu}`` the HDU's name, or its number where it has none. Empty: ``{stem}``, or ``{stem}.{hdu}`` where the file
        has several images.
    hdus
        Names of the HDUs that are images; empty: all with two axes that are no plane of another.
    calib_level
        ObsCore's, 0 to 4.
    planes
        By name, see `ImagePlane`.
    overview
        Pixels along the side of a square that becomes one in the image's overview, which large pictures are made of
        (ingest reads all pixels for it); 0: none is made.
    """

    files: str = ""
    id: str = ""
    hdus: tuple[str, ...] = ()
    calib_level: Annotated[int, Field(ge=0, le=4)] = 2
    planes: Mapping[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], ImagePlane] = Field(
        default_factory=dict
    )
    overview: Annotated[int, Field(ge=0, le=64)] = 8

    _is_pattern = field_validator("files")(lambda value: _pattern(value))


class ImageBand(Model):
    """Which filter an image was taken in.

    Attributes
    ----------
    keyword
        Header keyword whose value says it.
    name
        Instead: made of groups and keywords, as `ImageFiles.id`.
    pattern
        What of the value counts: its first group, or all that matches; empty: all.
    values
        Name of the band for each value that counts; a value that is not there is its own name.
    """

    keyword: _Keyword | None = None
    name: str = ""
    pattern: str = ""
    values: Mapping[str, str] = Field(default_factory=dict)

    _is_pattern = field_validator("pattern")(lambda value: _pattern(value))

    @model_validator(mode="after")
    def _is_said(self) -> Self:
        if (self.keyword is None) == (not self.name):
            raise ValueError("one of `keyword` and `name` says what the band is")
        return self


class ImageTime(Model):
    """When an exposure began and how long it took; of coadded tiles mostly nothing is said.

    Attributes
    ----------
    keyword
        Header keyword with the begin.
    scale
        ``mjd_utc``, ``jd_utc``, ``mjd_tai`` (days), or ``iso_utc`` (text, as DATE-OBS).
    exposure
        Header keyword with the exposure's seconds.
    end
        Header keyword with the end, in the same scale; else begin and exposure give it.
    """

    keyword: _Keyword
    scale: Literal["mjd_utc", "jd_utc", "mjd_tai", "iso_utc"] = "mjd_utc"
    exposure: _Keyword | None = None
    end: _Keyword | None = None


class PixelValues(Model):
    """What the numbers of the pixels are.

    Attributes
    ----------
    unit
        VOUnits, where the header's BUNIT does not say; empty: none.
    zero_point
        AB magnitude of one unit: a number, or a header keyword.
    seeing
        Header keyword with the width of a point source.
    seeing_unit
        Of that: ``arcsec`` or ``pixel``.
    ucd
        What is measured; obs_core's o_ucd.
    """

    unit: str = ""
    zero_point: float | _Keyword | None = None
    seeing: _Keyword | None = None
    seeing_unit: Literal["arcsec", "pixel"] = "pixel"
    ucd: str = "phot.flux.density"


class ImageSurvey(Model):
    """A survey of images, as its file describes it.

    Attributes
    ----------
    name
        Short and lower case: part of identifiers, table names and URLs.
    title, description, facility, instrument, schema_name, citation, licence, notes
        As of a survey of alerts.
    images, band, time, pixels
        See their classes.
    bands
        Shortest and longest wavelength of each band, metres; in the order blue to red.
    colours
        The three bands of a colour picture where none are asked for, red first; empty: the reddest three of `bands`.
    collections
        By name; none: one of the survey's own name.
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
    images: ImageFiles
    band: ImageBand | None = None
    bands: Mapping[str, Wavelengths] = Field(default_factory=dict)
    colours: tuple[str, ...] = ()
    time: ImageTime | None = None
    pixels: PixelValues = PixelValues()
    collections: Mapping[Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.-]*$")], Collection] = Field(
        default_factory=dict
    )

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, raw: Any) -> Any:
        """Give the schema, and the collection, the survey's name where the file does not say."""
        if not isinstance(raw, Mapping):
            return raw
        raw = dict(raw)
        raw.setdefault("schema_name", raw.get("name"))
        if not raw.get("collections") and isinstance(raw.get("name"), str):
            raw["collections"] = {
                raw["name"]: {"title": raw.get("title", ""), "description": raw.get("description", "")}
            }
        return raw

    @model_validator(mode="after")
    def _bands_are_known(self) -> Self:
        named = (*self.colours, *(self.band.values.values() if self.band is not None else ()))
        unknown = sorted(set(named) - set(self.bands))
        if unknown:
            raise ValueError(f"bands without wavelengths in `bands`: {', '.join(unknown)}")
        if len(self.colours) not in (0, 3):
            raise ValueError("colours are three bands, red first")
        return self

    @property
    def colour_bands(self) -> tuple[str, ...]:
        """The bands of a colour picture, red first; fewer than three where the survey has fewer."""
        redward = sorted(self.bands, key=lambda band: self.bands[band][0], reverse=True)
        return self.colours or tuple(redward[:3])

    def collection_of(self, path: str) -> str:
        """Return the name of the collection that a file belongs to."""
        rest = [name for name, one in self.collections.items() if not one.files]
        for name, one in self.collections.items():
            if one.files and re.search(one.files, path):
                return name
        return rest[0] if rest else next(iter(self.collections))

    def calib_level(self, collection: str) -> int:
        """Return ObsCore's level of calibration of a collection."""
        own = self.collections[collection].calib_level
        return self.images.calib_level if own is None else own


def parse_image_survey(text: str, source: str = "survey file") -> ImageSurvey:
    """Make a survey of images of its TOML text.

    Raises
    ------
    ConfigurationError
        Not TOML (with line and column), it describes alerts, or a key is missing, unknown or wrong (each is named).
    """
    raw = parsed_toml(text, source)
    if "images" not in raw:
        raise ConfigurationError(
            f"{source} describes a survey of alerts: it has no table [images].",
            "Bring its files with `sodalake ingest SURVEY PATH…`, without --images.",
        )
    return validated(ImageSurvey, raw, source, _NESTED)


def parse_any_survey(text: str, source: str = "survey file") -> Survey | ImageSurvey:
    """Make a survey of its TOML text: of images where it has a table ``[images]``, else of alerts.

    Raises
    ------
    ConfigurationError
        As `parse_image_survey` and `sodalake.lake.survey.parse_survey`.
    """
    return (parse_image_survey if "images" in parsed_toml(text, source) else parse_survey)(text, source)


def load_image_survey(source: str) -> ImageSurvey:
    """Read a survey of images: a shipped name, a path, or any fsspec URL of a TOML file.

    Raises
    ------
    ConfigurationError
        As `sodalake.lake.survey.read_survey_text` and `parse_image_survey`.
    """
    return parse_image_survey(read_survey_text(source), source)


_NESTED: dict[str, type[BaseModel]] = {
    "images": ImageFiles, "planes": ImagePlane, "band": ImageBand, "time": ImageTime, "pixels": PixelValues,
    "collections": Collection,
}  # fmt: skip


def _pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as problem:
        raise ValueError(f"{value!r} is no pattern: {problem}") from problem
    return value
