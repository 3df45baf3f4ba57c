"""Indexing one file of images: the work that an ingest gives to its worker processes.

=========== ============================== ==================================================================
table       key                            cells
=========== ============================== ==================================================================
``image``   ``IMAGEID_FILE``               ``d``: flat columns, packed; ``p``: the record (`imagepacking`)
``outline`` ``ORDER_CELL_IMAGEID_FILE``    ``c``: what is needed to sort out (`outlineindex`)
=========== ============================== ==================================================================

Ids are escaped as those of alerts, *FILE* is the file's number in ten digits. Each cell begins as a version of that
file does (`sodalake.lake.versions`), followed by the row, so that alerts and images are made visible, and superseded,
by the same code. Files never share a row here: of an image that is in two files each has its own, and the later hides
the earlier's as soon as it is committed.
"""

from __future__ import annotations

import hashlib
import json
import struct
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..catalogue import FileRecord
from ..indexing import FileReport
from ..keys import alert_key
from ..lake import Lake
from ..scanning import Scanner
from ..sky import ORDER
from ..versions import versions, wrap
from .describing import described
from .imagecolumns import flat_table
from .imagepacking import pack_image
from .imagesurvey import ImageSurvey
from .outlineindex import Outline, entries, order_of, pack_outline
from .overviews import Strips, with_overviews
from .records import Image, Tiled

__all__ = ["digest_of", "enter", "image_key", "image_range", "index_images", "outline_key"]

_ROW = struct.Struct("<I")
_FORM = 2  # of what is written: another number makes every file be indexed anew


def image_key(image_id: str, number: int) -> bytes:
    """Return the key of an image in table ``image``."""
    return b"%b_%010d" % (_escaped(image_id), number)


def image_range(image_id: str) -> tuple[bytes, bytes]:
    """Return the range of an image's rows in table ``image``, one a file.

    Raises
    ------
    UsageError
        The id is empty or too long.
    """
    stem = _escaped(image_id)
    return stem + b"_", stem + b"`"


def outline_key(order: int, cell: int, image_id: str, number: int) -> bytes:
    """Return the key in table ``outline`` of an image in a cell of an order."""
    return b"%02d_%016x_%b_%010d" % (order, cell << (2 * (ORDER - order)), _escaped(image_id), number)


def digest_of(survey: ImageSurvey) -> str:
    """Return what tells whether a survey's file says the same of its images as when they were indexed."""
    said = survey.model_dump(mode="json", include={"images", "band", "time", "pixels"})
    said["collections"] = [[name, one.files, one.calib_level] for name, one in survey.collections.items()]
    return hashlib.sha256(f"{_FORM} {json.dumps(said, sort_keys=True)}".encode()).hexdigest()


def index_images(
    lake_url: str, survey_name: str, record: FileRecord, strips: Strips | None = None
) -> FileReport:
    """Index one file and commit it.

    Parameters
    ----------
    record
        Its pending record, with its number.
    strips
        Reads pixels for overviews; None: astropy does.

    Raises
    ------
    FileGone, Damaged
        The file cannot be read; nothing of it can be seen, and its record stays pending.
    UsageError
        The survey's file does not fit it.
    Unavailable
        A back end does not answer.
    """
    began = time.monotonic()
    lake = Lake.open(lake_url)
    try:
        survey = lake.image_survey(survey_name)
        found = described(record.url, survey, record.number)
        images = with_overviews(lake, survey, found.images, strips)
        folder = record.url.rpartition("/")[0]
        beside = tuple((url.removeprefix(f"{folder}/"), mtime) for url, mtime in found.beside.items())
        hidden = enter(lake, survey, replace(record, beside=beside), images, sum(found.skipped.values()))
    finally:
        lake.close()
    planes = survey.images.planes
    return FileReport(
        number=record.number,
        url=record.url,
        size=record.size,
        rows=len(images),
        superseded=hidden,
        skipped=dict(found.skipped),
        missing=tuple(name for name in planes if any(name not in image.planes for image in images)),
        places=dict(Counter(_kind(image) for image in images)),
        seconds=time.monotonic() - began,
    )


def enter(
    lake: Lake, survey: ImageSurvey, record: FileRecord, images: Sequence[Image], skipped: int = 0
) -> int:
    """Write a file's images into the tables and commit the file; return how many images of others it hides.

    Parameters
    ----------
    record
        The file's pending record, with its number.
    images
        Of this file: `number` is the record's, `row` counts them.
    skipped
        How many were left out.
    """
    catalogue = lake.catalogue(survey.name)
    scales = _write_outlines(lake, survey, images)
    lost, hidden = _rivals(lake, survey, record, images)
    _write_images(lake, survey, images)
    times = [image.t_min for image in images if image.t_min is not None]
    done = replace(
        record,
        state="committed",
        checksum=digest_of(survey),
        rows=len(images),
        skipped=skipped,
        first=min(times, default=None),
        last=max(times, default=None),
        tables=("image", "outline"),
        orders=tuple(scales),
        scales=tuple(scales.values()),
    )
    catalogue.supersede(record.number, lost)
    catalogue.commit(done, lost)
    return hidden


def _rivals(
    lake: Lake, survey: ImageSurvey, record: FileRecord, images: Sequence[Image]
) -> tuple[dict[int, list[int]], int]:
    """Return the rows of committed files that have these images too, and how many of them others see now."""
    view = lake.catalogue(survey.name).view(fresh=True)
    lost: dict[int, list[int]] = {}
    seen = 0
    ranges = [image_range(image.image_id) for image in images]
    for batch in Scanner(lake.rows).ranges(f"{survey.name}.image", ranges, ["d"]):
        for _, (cell,) in batch:
            for number, payload in versions(cell) if cell else ():
                # Those of files that are still pending will hide this file's when they are done.
                if number != record.number and view.visible(number):
                    (row,) = _ROW.unpack_from(payload)
                    seen += view.row_visible(number, row)
                    lost.setdefault(number, []).append(row)
    return lost, seen


def _write_images(lake: Lake, survey: ImageSurvey, images: Sequence[Image]) -> None:
    table = flat_table(images, survey)
    packed = lake.catalogue(survey.name).packing_for(table.schema).pack(table)
    lake.rows.put_many(
        f"{survey.name}.image",
        (
            (
                image_key(image.image_id, image.number),
                {
                    "d": wrap(image.number, _ROW.pack(image.row) + flat),
                    "p": wrap(image.number, _ROW.pack(image.row) + pack_image(image)),
                },
            )
            for image, flat in zip(images, packed, strict=True)
        ),
    )


def _write_outlines(lake: Lake, survey: ImageSurvey, images: Sequence[Image]) -> dict[int, float]:
    """Write what the sky index has of these images; return the orders that they are entered at.

    Returns
    -------
    dict
        Order → arcseconds of the coarsest pixels of its images.
    """
    at = np.array([order_of(image.radius) for image in images])
    orders = np.unique(at).tolist()
    places = np.array([(image.ra, image.dec, image.radius) for image in images]).reshape(-1, 3)
    rows: list[tuple[bytes, dict[str, bytes]]] = []
    for order in orders:
        which = np.flatnonzero(at == order)
        cells, owner = entries(places[which, 0], places[which, 1], places[which, 2], order)
        for cell, one in zip(cells.tolist(), which[owner].tolist(), strict=True):
            image = images[one]
            key = outline_key(order, cell, image.image_id, image.number)
            rows.append((key, {"c": wrap(image.number, pack_outline(_outline(image)))}))
    lake.rows.put_many(f"{survey.name}.outline", rows)
    pixels = np.array([image.pixel_scale for image in images])
    return {order: float(pixels[at == order].max()) for order in orders}


def _outline(image: Image) -> Outline:
    """Return what the sky index has of an image."""
    return Outline(
        image_id=image.image_id,
        file=image.number,
        row=image.row,
        collection=image.collection,
        band=image.band,
        t_min=image.t_min,
        ra=image.ra,
        dec=image.dec,
        radius=image.radius,
        vertices=image.outline,
    )


def _kind(image: Image) -> str:
    place = image.pixels.place
    return place.codec if isinstance(place, Tiled) else "PLAIN"


def _escaped(image_id: str) -> bytes:
    return alert_key(image_id).partition(b"_")[2]
