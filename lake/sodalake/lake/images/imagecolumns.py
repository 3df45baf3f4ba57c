"""The flat columns of images: what tables show of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from .imagesurvey import ImageSurvey
from .records import Image

__all__ = ["IMAGE_COLUMNS", "flat_table", "region_text"]

IMAGE_COLUMNS: Final = pa.schema(
    [
        pa.field("image_id", pa.string()),
        pa.field("collection", pa.string()),
        pa.field("band", pa.string()),
        pa.field("ra", pa.float64()),  # of the middle, degrees
        pa.field("dec", pa.float64()),
        pa.field("fov", pa.float64()),  # twice the radius, degrees
        pa.field("s_region", pa.string()),  # the outline, as DALI's STC-S has polygons
        pa.field("t_min", pa.float64()),  # MJD, UTC
        pa.field("t_max", pa.float64()),
        pa.field("exposure", pa.float64()),  # seconds
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("pixel_scale", pa.float64()),  # arcseconds
        pa.field("calib_level", pa.int32()),
        pa.field("unit", pa.string()),
        pa.field("zero_point", pa.float64()),
        pa.field("seeing", pa.float64()),  # arcseconds
        pa.field("filesize", pa.int64()),  # bytes of the image's file
        pa.field("planes", pa.string()),  # names, with blanks between
    ]
)
"""Names and types, the same for every survey and whatever its files have; what is not known is null."""


def flat_table(images: Sequence[Image], survey: ImageSurvey) -> pa.Table:
    """Return the flat columns of N images of a survey."""
    rows = [
        {
            "image_id": image.image_id,
            "collection": image.collection,
            "band": image.band,
            "ra": image.ra,
            "dec": image.dec,
            "fov": 2 * image.radius,
            "s_region": region_text(image.outline),
            "t_min": image.t_min,
            "t_max": image.t_max,
            "exposure": image.exposure,
            "width": image.shape[1],
            "height": image.shape[0],
            "pixel_scale": image.pixel_scale,
            "calib_level": survey.calib_level(image.collection),
            "unit": image.unit,
            "zero_point": image.zero_point,
            "seeing": image.seeing,
            "filesize": image.pixels.size,
            "planes": " ".join(image.planes),
        }
        for image in images
    ]
    return pa.Table.from_pylist(rows, schema=IMAGE_COLUMNS)


def region_text(outline: npt.NDArray[np.float64]) -> str:
    """Return an outline (V x 2, degrees) as ``Polygon ICRS`` and longitudes and latitudes, in turn, to 4 milliarcsec.

    Seen from inside, vertices go counterclockwise (DALI 1.1, 3.3.7).
    """
    lon, lat = np.radians(outline.T)
    places = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)
    around = np.cross(places, np.roll(places, -1, axis=0)).sum(axis=0)
    if around @ places.sum(axis=0) > 0:  # counterclockwise from outside
        outline = outline[::-1]
    return "Polygon ICRS " + " ".join(f"{value:.6f}" for value in outline.ravel().tolist())
