"""Survey images made for tests: FITS files of every kind, with pixels that tell where they are from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

SURVEY = """
name = "tiles"
title = "Tiles"
description = "Tiles made for tests."
facility = "Test"
instrument = "Camera"

[images]
files = '(?P<tile>[a-z0-9-]+)_(?P<band>[gri])\\.fits(\\.fz)?'
id = "{tile}_{band}"
hdus = ["SCI"]
calib_level = 3

[images.planes.weight]
meaning = "weight"
hdu = "WGT"

[images.planes.mask]
meaning = "mask"
file = "{tile}_{band}_mask.fits"
hdu = "MSK"

[band]
name = "{band}"

[bands]
g = [4.0e-7, 5.5e-7]
r = [5.5e-7, 7.0e-7]
i = [7.0e-7, 8.2e-7]

[time]
keyword = "MJD-OBS"
exposure = "EXPTIME"

[pixels]
unit = "nJy"
zero_point = 31.4
seeing = "FWHM"
"""


def coordinates(
    ra: float, dec: float, shape: tuple[int, int], scale: float = 1.0, turn: float = 0.0, **more: Any
) -> fits.Header:
    """Return a gnomonic header about the middle of an image (height, width); `scale` in arcsec, `turn` in degrees."""
    cosine, sine = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    pixel = scale / 3600
    header = fits.Header()
    header.update({
        "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CUNIT1": "deg", "CUNIT2": "deg", "RADESYS": "ICRS",
        "CRVAL1": ra, "CRVAL2": dec, "CRPIX1": (shape[1] + 1) / 2, "CRPIX2": (shape[0] + 1) / 2,
        "CD1_1": -pixel * cosine, "CD1_2": pixel * sine, "CD2_1": pixel * sine, "CD2_2": pixel * cosine,
    })  # fmt: skip
    header.update(more)
    return header


def sky(shape: tuple[int, int], seed: int = 1, kind: str = "f4") -> Any:
    """Return pixels: noise on a slope."""
    rng = np.random.default_rng(seed)
    pixels = rng.normal(100, 10, shape) + np.arange(shape[1]) / 8
    return pixels.astype(kind)


def write_tile(
    path: Path,
    ra: float,
    dec: float,
    shape: tuple[int, int] = (60, 80),
    *,
    scale: float = 1.0,
    turn: float = 0.0,
    seed: int = 1,
    weight: bool = True,
    mask: bool = True,
    primary: Mapping[str, Any] | None = None,
    **more: Any,
) -> Path:
    """Write a tile of `SURVEY`: a primary header with times, SCI, and its planes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    first = fits.PrimaryHDU()
    first.header.update({"MJD-OBS": 59000.25, "EXPTIME": 90.0, **(primary or {})})
    hdus: list[Any] = [first]
    hdus.append(fits.ImageHDU(sky(shape, seed), coordinates(ra, dec, shape, scale, turn, **more), name="SCI"))
    if weight:
        hdus.append(fits.ImageHDU(np.ones(shape, "f4"), name="WGT"))
    fits.HDUList(hdus).writeto(path, overwrite=True)
    if mask:
        stem = path.name.removesuffix(".fits")
        flags = fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.zeros(shape, "i2"), name="MSK")])
        flags.writeto(path.with_name(f"{stem}_mask.fits"), overwrite=True)
    return path


def write_survey(path: Path, text: str = SURVEY, changes: Sequence[tuple[str, str]] = ()) -> Path:
    """Write a survey's file, with some of its text replaced."""
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path
