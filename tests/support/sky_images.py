"""FITS files of small images, anywhere in the sky and of any size, and the survey file that describes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits

SURVEY = """
name = "plates"
title = "Plates"
description = "Images of many sizes."
facility = "Mount Example"
instrument = "Plate Camera"
[images]
id = "{stem}/{hdu}"
overview = 0
[images.planes.weight]
meaning = "weight"
file = "{stem}_weight.fits"
[band]
keyword = "FILTER"
[bands]
g = [4.0e-7, 5.5e-7]
r = [5.5e-7, 7.0e-7]
[time]
keyword = "MJD-OBS"
exposure = "EXPTIME"
end = "MJD-END"
[pixels]
unit = "nJy"
seeing = "SEEING"
seeing_unit = "arcsec"
[collections.wide]
title = "Wide plates"
[collections.deep]
title = "Deep plates"
files = "deep"
calib_level = 3
"""


@dataclass(frozen=True)
class Plate:
    """An image: its middle, the side of its pixels (degrees), its turn, and what its header says besides."""

    ra: float
    dec: float
    scale: float
    turn: float = 0.0
    band: str | None = "g"
    begin: float | None = 59000.0
    end: float | None = None
    seeing: float | None = 1.2
    shape: tuple[int, int] = (12, 20)

    def header(self) -> fits.Header:
        """Return the cards of its HDU."""
        height, width = self.shape
        angle = np.radians(self.turn)
        cards = {
            "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": self.ra, "CRVAL2": self.dec,
            "CRPIX1": (width + 1) / 2, "CRPIX2": (height + 1) / 2,
            "CD1_1": -self.scale * np.cos(angle), "CD1_2": self.scale * np.sin(angle),
            "CD2_1": self.scale * np.sin(angle), "CD2_2": self.scale * np.cos(angle),
            "RADESYS": "ICRS", "FILTER": self.band, "MJD-OBS": self.begin, "MJD-END": self.end, "SEEING": self.seeing,
        }  # fmt: skip
        if self.begin is not None and self.end is not None:
            cards["EXPTIME"] = (self.end - self.begin) * 86_400
        return fits.Header([(name, value) for name, value in cards.items() if value is not None])


def write_plates(path: Path, plates: Sequence[Plate]) -> None:
    """Write a file with an HDU for each image; its pixels are what their numbers say."""
    path.parent.mkdir(parents=True, exist_ok=True)
    hdus = [
        fits.ImageHDU(
            np.arange(np.prod(one.shape), dtype="f4").reshape(one.shape) + n, one.header(), name=f"P{n}"
        )
        for n, one in enumerate(plates)
    ]
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path)


def some_plates(count: int, seed: int) -> list[Plate]:
    """Return images: most around one place, some at the poles and at right ascension 0, others anywhere."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        ra, dec = rng.uniform(0, 360), np.degrees(np.arcsin(rng.uniform(-1, 1)))
        if number % 5 < 2:
            ra, dec = 150 + rng.normal(0, 2), 2 + rng.normal(0, 2)
        elif number % 5 == 2:
            ra, dec = rng.choice([(ra, 90 - rng.exponential(0.5)), (ra, -90 + rng.exponential(0.5)),
                                  (rng.normal(0, 0.5) % 360, dec)])  # fmt: skip
        begin = None if number % 11 == 0 else float(rng.uniform(58_000, 59_000))
        found.append(
            Plate(
                float(ra),
                float(dec),
                float(10 ** rng.uniform(-4, -0.8)),
                float(rng.uniform(0, 360)),
                (None, "g", "r")[number % 3],
                begin,
                # a coadd may have taken years
                None if begin is None else begin + float(rng.choice([30 / 86_400, 400.0])),
                None if number % 7 == 0 else float(rng.uniform(0.6, 2.0)),
            )
        )
    return found
