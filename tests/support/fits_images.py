"""Images in FITS files to test with, and their records as an ingest makes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.io import fits
from astropy.wcs import WCS

from sodalake.lake.files import as_url
from sodalake.lake.images.describing import describe
from sodalake.lake.images.imagesurvey import ImageSurvey
from sodalake.lake.images.records import Image

SURVEY = ImageSurvey.model_validate({
    "name": "sky", "title": "Sky", "description": "A sky.", "facility": "F", "instrument": "I",
    "images": {"files": ".*"},
})  # fmt: skip


def tangent(shape: tuple[int, int], ra: float = 30.0, dec: float = -20.0) -> WCS:
    """A turned tangent plane around a position, with pixels of 0.26 arcseconds."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [ra, dec]
    wcs.wcs.crpix = [shape[1] / 2 + 0.25, shape[0] / 2 - 0.75]
    wcs.wcs.cd = [[-7.2e-5, 3e-6], [3e-6, 7.2e-5]]
    wcs.wcs.radesys = "ICRS"
    return wcs


def noise(shape: tuple[int, int], seed: int = 1) -> npt.NDArray[np.float32]:
    """A sky of noise with a few stars."""
    random = np.random.default_rng(seed)
    sky = random.normal(100.0, 10.0, shape)
    sky[random.integers(0, shape[0], 20), random.integers(0, shape[1], 20)] += 5000.0
    return sky.astype(np.float32)


def written(
    path: Path, pixels: npt.NDArray[Any], header: fits.Header | None = None, **compression: Any
) -> Image:
    """Write an image, tile-compressed where anything is said of it, and return its record."""
    head = tangent(pixels.shape).to_header()
    head.update(header or {})
    if compression:
        hdus = [fits.PrimaryHDU(), fits.CompImageHDU(pixels, head, **compression)]
    else:
        hdus = [fits.PrimaryHDU(pixels, head)]
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return record(path)


def record(path: Path) -> Image:
    """Return the record of a file's only image."""
    (image,) = describe(as_url(str(path)), SURVEY)
    return image
