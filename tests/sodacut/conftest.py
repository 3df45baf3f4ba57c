"""Stamps to test with: real ones where the shared data are there, and made ones that look like them everywhere."""

from __future__ import annotations

import gzip
import io
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io import fits

from sodalake.lake.alerts import AlertStamps
from sodalake.lake.survey import Survey, load_survey

KINDS = ("science", "template", "difference")


def _read(folder: Path, survey: str) -> list[AlertStamps]:
    alerts = []
    ids = ["candid", "objectId", "candidate.jd"]
    if survey == "lsst":
        ids = ["diaSource.diaSourceId", "diaSource.diaObjectId", "diaSource.midpointMjdTai"]
    columns = [*ids, *(f"cutout{kind.capitalize()}" for kind in KINDS)]
    for file in sorted(folder.glob("*.parquet")):
        for row in pq.ParquetFile(file).read(columns=columns).to_pylist():
            stamps = {kind: row[f"cutout{kind.capitalize()}"] for kind in KINDS}
            if survey == "ztf":
                alerts.append(
                    AlertStamps(
                        "ztf",
                        str(row["candid"]),
                        row["objectId"],
                        row["candidate"]["jd"],
                        str(file),
                        {kind: stamp["stampData"] for kind, stamp in stamps.items()},
                    )
                )
            else:
                source = row["diaSource"]
                alerts.append(
                    AlertStamps(
                        "lsst",
                        str(source["diaSourceId"]),
                        str(source["diaObjectId"]),
                        source["midpointMjdTai"],
                        str(file),
                        stamps,
                    )
                )
    return alerts


@pytest.fixture(scope="session")
def ztf_alerts(real_alerts: Path) -> list[AlertStamps]:
    """Real ZTF alerts, among them stamps with NaN margins and 62 columns."""
    folders = ("ztf_fink_science_datatest", "ztf_fink_broker_online", "ztf_fink_utils")
    return [alert for folder in folders for alert in _read(real_alerts / folder, "ztf")]


@pytest.fixture(scope="session")
def lsst_alerts(real_alerts: Path) -> list[AlertStamps]:
    """Real Rubin alerts, stamps of 30 to 74 pixels."""
    return _read(real_alerts / "lsst_fink_tutorials", "lsst")


@pytest.fixture(scope="session")
def ztf() -> Survey:
    return load_survey("ztf")


@pytest.fixture(scope="session")
def lsst() -> Survey:
    return load_survey("lsst")


def _image(height: int, width: int, seed: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    star = 500 * np.exp(-((x - width / 2) ** 2 + (y - height / 3) ** 2) / 8)
    return (star + np.random.default_rng(seed).normal(100, 5, (height, width))).astype(np.float32)


@pytest.fixture(scope="session")
def ztf_stamp() -> Callable[..., bytes]:
    """Make a stamp as ZTF's: gzip of FITS with its displaced SIMPLE, no WCS, a margin of NaN."""

    def make(height: int = 63, width: int = 63, seed: int = 1) -> bytes:
        pixels = _image(height, width, seed)
        pixels[:, :3] = np.nan
        cards = [
            "SIMPLE  =  T",
            f"BITPIX  = {-32:>20}",
            f"NAXIS   = {2:>20}",
            f"NAXIS1  = {width:>20}",
            f"NAXIS2  = {height:>20}",
            "BUNIT   = 'DN      '",
            "END",
        ]
        header = "".join(card.ljust(80) for card in cards).ljust(2880).encode()
        data = pixels.astype(">f4").tobytes()
        return gzip.compress(header + data.ljust(-(-len(data) // 2880) * 2880, b"\0"))

    return make


@pytest.fixture(scope="session")
def rubin_stamp() -> Callable[..., bytes]:
    """Make a stamp as Rubin's: FITS with image, variance and PSF, a matrix and a position but no CTYPE."""

    def make(
        height: int = 41,
        width: int = 41,
        ra: float = 149.8,
        dec: float = 3.25,
        turn: float = 45.0,
        psf: int = 41,
        seed: int = 2,
    ) -> bytes:
        scale = 0.2 / 3600
        c, s = np.cos(np.radians(turn)) * scale, np.sin(np.radians(turn)) * scale
        image = fits.PrimaryHDU(_image(height, width, seed))
        image.header.update(
            CUTMINX=3716, CUTMINY=593, BUNIT="nJy", WCSAXES=2,
            CRPIX1=width / 2 + 0.963011108215, CRPIX2=height / 2 + 0.44083809533,
            PC1_1=-c, PC1_2=s, PC2_1=s, PC2_2=c, CDELT1=1.0, CDELT2=1.0, CRVAL1=ra, CRVAL2=dec,
        )  # fmt: skip
        variance = fits.ImageHDU(np.full((height, width), 25, np.float32), name="UNCERT")
        variance.header["UTYPE"] = "VarianceUncertainty"
        shape = fits.ImageHDU(np.random.default_rng(seed).random((psf, psf)), name="PSFIMAGE")
        out = io.BytesIO()
        fits.HDUList([image, variance, shape]).writeto(out)
        return out.getvalue()

    return make


@pytest.fixture(scope="session")
def opened() -> Callable[[bytes], fits.HDUList]:
    """Read FITS back with astropy, strictly."""

    def read(data: bytes) -> fits.HDUList:
        hdus = fits.open(io.BytesIO(data), lazy_load_hdus=False)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            hdus.verify("exception")
        return hdus

    return read
