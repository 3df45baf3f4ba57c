"""What the page shows of a survey of images: its newest images as small pictures, and one in colour.

Nothing is drawn here: the addresses are those of SODA and of cuts by position, which programs ask as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from sodalake.lake.images.imagesurvey import ImageSurvey
from sodalake.server.portal.cards import Link
from sodalake.server.portal.clock import as_utc, iso
from sodalake.server.tap.engine import TapEngine
from sodalake.server.tap.rows import rows_of
from sodalake.server.urls import Did, publisher_did

__all__ = ["COUNT", "Gallery", "Tile", "gallery_of"]

COUNT: Final = 24
"""Images on the page: a multiple of two, three and four columns."""

_SMALL, _LARGE = "256", "1024"  # pixels of the longer side
_COLUMNS: Final = "image_id, band, ra, dec, fov, t_min, exposure, width, height, pixel_scale"
_SHARE: Final = 0.5  # of an image's diagonal that the colour picture shows: within most of it
_THREE: Final = 3  # bands of a colour picture
_JD_OF_MJD: Final = 2_400_000.5


@dataclass(frozen=True, slots=True)
class Tile:
    """One image, in texts and addresses.

    Attributes
    ----------
    src, large
        Addresses of a small picture and of a larger one.
    """

    image_id: str
    band: str
    utc: str
    exposure: str
    position: str
    size: str
    src: str
    large: str
    links: tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class Gallery:
    """A survey's images.

    Attributes
    ----------
    colour
        Address of a colour picture; empty where there are no images, or not three bands.
    ra, dec, size
        Where it is, for those who ask for another.
    """

    tiles: tuple[Tile, ...]
    colour: str
    ra: str
    dec: str
    size: str
    links: tuple[Link, ...]


async def gallery_of(tap: TapEngine, survey: ImageSurvey, base: str, authority: str) -> Gallery:
    """Return what a page shows of a survey.

    Parameters
    ----------
    base
        The service's root as the reader sees it.

    Raises
    ------
    LakeError
        As `rows_of` does.
    """
    order = " ORDER BY t_min DESC, image_id" if survey.time is not None else " ORDER BY image_id"
    table = f"{survey.schema_name}.images"
    rows = await rows_of(tap, f"SELECT TOP {COUNT} {_COLUMNS} FROM {table}{order}")  # noqa: S608 - ADQL can only read
    tiles = tuple(_tile(row, survey, base, authority) for row in rows)
    if not rows:
        return Gallery((), "", "", "", "", ())
    first = rows[0]
    ra, dec, size = (
        f"{float(value):.5f}" for value in (first["ra"], first["dec"], float(first["fov"]) * _SHARE)
    )
    colour = ""
    if len(survey.colour_bands) == _THREE:
        colour = _cut(base, survey.name, ra, dec, size)
    every = {"LANG": "ADQL", "RESPONSEFORMAT": "html", "QUERY": f"SELECT * FROM {table}"}  # noqa: S608
    links = [
        Link("all images", f"{base}/tap/sync?{urlencode(every)}", "As a query."),
        *(
            Link(f"coverage of {name}", f"{base}/moc/{name}", "As a MOC, for Aladin and TOPCAT.")
            for name in survey.collections
        ),
        Link("HiPS", f"{base}/hips/", "To walk over the sky in Aladin, where they were made."),
        Link("cuts by position", f"{base}/api/v1/images/cutout", "Parameters of cuts, as JSON."),
    ]
    return Gallery(tiles, colour, ra, dec, size, tuple(links))


def _cut(base: str, survey: str, ra: str, dec: str, size: str) -> str:
    asked = {
        "survey": survey, "ra": ra, "dec": dec, "size": size, "format": "png",
        "pixels": "768", "scalebar": "true",
    }  # fmt: skip
    return f"{base}/api/v1/images/cutout?{urlencode(asked)}"


def _tile(row: Mapping[str, str], survey: ImageSurvey, base: str, authority: str) -> Tile:
    did = publisher_did(authority, Did(survey.name, row["image_id"]))

    def soda(**more: str) -> str:
        return f"{base}/soda/sync?{urlencode({'ID': did, **more})}"

    def picture(pixels: str) -> str:
        return soda(RESPONSEFORMAT="png", PIXELS=pixels, STRETCH="asinh")

    begun = as_utc(float(row["t_min"]) + _JD_OF_MJD, "jd_utc") if row["t_min"] else None
    width, height, scale = int(row["width"]), int(row["height"]), float(row["pixel_scale"])
    return Tile(
        row["image_id"],
        row["band"],
        "" if begun is None else iso(begun),
        f"{float(row['exposure']):g} s" if row["exposure"] else "",
        f"{float(row['ra']):.5f}, {float(row['dec']):+.5f}",
        f"{width} × {height} pixels of {scale:.3g}″",
        picture(_SMALL),
        picture(_LARGE),
        (
            Link("FITS", soda(), "The image."),
            Link("PNG", picture(_LARGE), "As a picture."),
            Link("links", f"{base}/datalink/links?{urlencode({'ID': did})}", "All that belongs to it."),
        ),
    )
