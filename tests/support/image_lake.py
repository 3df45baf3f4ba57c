"""A lake of images: the demo's tiles, made ones that are spoiled, and the real exposures where they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from sodalake.lake.demo.tiles import skytiles_survey, write_demo_tiles
from sodalake.lake.images.ingesting import ingest_images

REAL = Path(__file__).resolve().parents[3] / "shared/data/tiles/decam_legacypipe"

_EXPOSURES = """
name = "exposures"
title = "Three exposures of one place"
description = "Made for tests: two nights in g, one in r, and two that are spoiled after their ingest."
facility = "Test"
instrument = "Test"

[images]
files = '(?P<name>[a-z]+)_(?P<band>[gr])\\.fits'
id = "{name} {band}"
overview = 0

[images.planes.mask]
meaning = "mask"
file = "{name}_{band}.mask.fits"

[band]
name = "{band}"

[bands]
g = [4.0e-7, 5.5e-7]
r = [5.5e-7, 7.0e-7]

[time]
keyword = "MJD-OBS"
exposure = "EXPTIME"
"""


@dataclass
class ImageLake:
    """A lake, and the files that its answers are held against.

    Attributes
    ----------
    files
        Image id → FITS file.
    """

    lake: str
    files: dict[str, Path] = field(default_factory=dict)

    def pixels(self, image_id: str) -> NDArray[np.float32]:
        """All pixels of an image, as astropy reads them."""
        with fits.open(self.files[image_id]) as hdus:
            hdu = next(hdu for hdu in hdus if hdu.data is not None and hdu.data.ndim == 2)
            return np.asarray(hdu.data, np.float32)

    def pixels_of_weight(self, image_id: str) -> NDArray[np.float32]:
        """All pixels of a tile's weight."""
        with fits.open(self.files[image_id].with_name(f"{image_id}_weight.fits.fz")) as hdus:
            return np.asarray(next(hdu.data for hdu in hdus if hdu.data is not None), np.float32)

    def wcs(self, image_id: str) -> WCS:
        """Its coordinates, as astropy reads them."""
        with fits.open(self.files[image_id]) as hdus:
            hdu = next(hdu for hdu in hdus if hdu.header.get("CTYPE1") or hdu.header.get("ZIMAGE"))
            return WCS(hdu.header, naxis=2)


def exposure(
    path: Path, *, ra: float, dec: float, mjd: float, level: float, shape: tuple[int, int] = (300, 400)
) -> None:
    """Write an image of noise whose mean is `level`, 0.5″ a pixel, with a mask beside it."""
    height, width = shape
    header = fits.Header()
    header.update({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": ra, "CRVAL2": dec})
    header.update({"CRPIX1": (width + 1) / 2, "CRPIX2": (height + 1) / 2})
    header.update({"CD1_1": -0.5 / 3600, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 0.5 / 3600})
    header.update({"MJD-OBS": mjd, "EXPTIME": 60.0})
    rng = np.random.default_rng(round(mjd))
    data = rng.normal(level, 1, shape).astype(np.float32)
    data[10, 10] = np.nan
    fits.PrimaryHDU(data, header).writeto(path)
    mask = np.zeros(shape, np.int16)
    mask[9:12, 9:12] = 5
    fits.PrimaryHDU(mask, header).writeto(path.with_suffix(".mask.fits"))


def image_lake(root: Path) -> ImageLake:
    """Make the lake in a folder."""
    made = ImageLake(str(root / "lake"))
    (root / "surveys").mkdir()
    skytiles = root / "surveys/skytiles.toml"
    skytiles.write_text(skytiles_survey())
    for path in write_demo_tiles(str(root / "tiles")):
        name = Path(path).name.partition(".")[0]
        if not name.endswith("_weight"):
            made.files[name] = Path(path)
    _brought(made.lake, str(skytiles), [root / "tiles"])
    exposures = root / "surveys/exposures.toml"
    exposures.write_text(_EXPOSURES)
    folder = root / "exposures"
    folder.mkdir()
    of: Mapping[str, tuple[float, float, float, float]] = {
        "old_g": (40.0, -10.0, 60_000.0, 10.0),
        "new_g": (40.0, -10.0, 60_100.0, 20.0),
        "new_r": (40.01, -10.0, 60_100.1, 30.0),
        "gone_g": (80.0, 60.0, 60_200.0, 40.0),
        "cut_g": (90.0, 60.0, 60_201.0, 50.0),
    }
    for name, (ra, dec, mjd, level) in of.items():
        exposure(folder / f"{name}.fits", ra=ra, dec=dec, mjd=mjd, level=level)
        made.files[name.replace("_", " ")] = folder / f"{name}.fits"
    _brought(made.lake, str(exposures), [folder])
    (folder / "gone_g.fits").unlink()
    short = folder / "cut_g.fits"
    short.write_bytes(short.read_bytes()[: short.stat().st_size // 2])
    if REAL.is_dir():
        _brought(made.lake, "decam", [REAL])
    return made


def _brought(lake: str, survey: str, folders: list[Path]) -> None:
    report = ingest_images(lake, survey, [str(folder) for folder in folders], workers=1)
    assert not report.failed, report.failed
