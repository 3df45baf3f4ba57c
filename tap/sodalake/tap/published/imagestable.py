"""The table of a survey of images, ``SCHEMA.images``: a row for each, as the index has it.

Its columns are the same for every survey. Names that ObsCore has mean what they mean there.
"""

from __future__ import annotations

from typing import Final

from sodalake.lake.images.imagesurvey import ImageSurvey
from sodalake.tap.metadata import Column, Table

__all__ = ["images_table"]

_ROLES: Final = {
    "image": "image_id",
    "time": "t_min",
    "ra": "ra",
    "dec": "dec",
    "region": "s_region",
    "fov": "fov",
}

# name, type, unit, UCD, whether most want to see it, description
_COLUMNS: Final = (
    ("image_id", "char", "", "meta.id;meta.main", True, "Id of an image of {survey}: the end of its publisher DID."),
    ("collection", "char", "", "meta.id", True, "Collection it belongs to."),
    ("band", "char", "", "meta.id;instr.bandpass", True, "Filter."),
    ("ra", "double", "deg", "pos.eq.ra;meta.main", True, "Right ascension of its middle, ICRS."),
    ("dec", "double", "deg", "pos.eq.dec;meta.main", True, "Declination of its middle, ICRS."),
    ("fov", "double", "deg", "phys.angSize;instr.fov", True, "Diameter of a circle around it."),
    ("s_region", "region", "", "pos.outline;obs.field", False,
     "Outline (STC-S, ICRS): its corners, and points between them where its edges are bent."),
    ("t_min", "double", "d", "time.start;obs.exposure", True, "Begin of the exposure, MJD, UTC."),
    ("t_max", "double", "d", "time.end;obs.exposure", False, "End of the exposure, MJD, UTC."),
    ("exposure", "double", "s", "time.duration;obs.exposure", True, "Length of the exposure."),
    ("width", "int", "pixel", "meta.number", True, "Pixels along the first axis."),
    ("height", "int", "pixel", "meta.number", True, "Pixels along the second axis."),
    ("pixel_scale", "double", "arcsec", "phys.angSize;instr.pixel", True, "Side of a pixel, in its middle."),
    ("calib_level", "int", "", "meta.code;obs.calib", False, "Level of calibration, 0 to 4 (ObsCore)."),
    ("unit", "char", "", "meta.unit", False, "Unit of the pixels (VOUnits)."),
    ("zero_point", "double", "mag", "arith.zp;phot.mag", False, "AB magnitude of one unit."),
    ("seeing", "double", "arcsec", "instr.obsty.seeing", True, "Width of a point source (FWHM)."),
    ("filesize", "long", "byte", "phys.size;meta.file", False, "Size of the file that it is in."),
    ("planes", "char", "", "meta.note", False, "What stands beside it, pixel for pixel: names, with spaces between."),
)  # fmt: skip


def images_table(survey: ImageSurvey, rows: int | None) -> Table:
    """Return the table of a survey's images.

    Parameters
    ----------
    rows
        How many images there are; None where unknown.
    """
    return Table(
        survey.schema_name,
        "images",
        tuple(
            Column(
                name,
                "char" if kind == "region" else kind,
                "*" if kind in ("char", "region") else "",
                "adql:region" if kind == "region" else "",
                unit,
                ucd,
                "",
                description.replace("{survey}", survey.name),
                indexed=name in ("image_id", "ra", "dec", "s_region"),
                principal=principal,
            )
            for name, kind, unit, ucd, principal, description in _COLUMNS
        ),
        "images",
        survey.name,
        _ROLES,
        description=f"{survey.title}: one row an image.",
        rows=rows,
    )
