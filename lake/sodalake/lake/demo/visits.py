"""When and how well the two telescopes of the demo look: nights, bands, seeing, sky, depth.

A *visit* is one exposure of one field. Weather closes some nights altogether; the moon brightens the sky and
costs depth; seeing is worse in the blue and differs from night to night.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from sodalake.lake.demo.bands import WAVELENGTHS

__all__ = ["DEEP_FIELD", "JD_OF_MJD", "TAI_MINUS_UTC_DAYS", "Visit", "rubin_visits", "ztf_visits"]

JD_OF_MJD: Final = 2400000.5
TAI_MINUS_UTC_DAYS: Final = 37.0 / 86400.0  # since 2017 (IERS Bulletin C 52)
DEEP_FIELD: Final = 0
"""The field both telescopes look at (COSMOS)."""

_MJD_EPOCH: Final = datetime.date(1858, 11, 17).toordinal()
_RUBIN_SKY: Final = {"u": 60.0, "g": 330.0, "r": 900.0, "i": 2300.0, "z": 3900.0, "y": 9000.0}  # nJy² a pixel


@dataclass(frozen=True, slots=True)
class Visit:
    """One exposure of one field.

    Attributes
    ----------
    night
        The civil date (UTC) of its alerts' folder.
    number
        Exposure number in its survey, over all nights.
    mjd
        Mid-exposure, MJD UTC.
    seeing
        Full width at half maximum of a star, arcsec.
    stretch
        How elongated the point spread function is: major over minor axis.
    angle
        Its direction in the image, radians.
    sky
        Background level in the image's own unit (ZTF: DN; Rubin: subtracted, a remainder in nJy).
    noise
        Standard deviation of the background, the image's own unit, one pixel.
    zero_point
        Magnitude of one count (Rubin's images count in nJy: 31.4).
    rotation
        Position angle of the image's +Y, degrees east of north.
    """

    night: datetime.date
    number: int
    field: int
    mjd: float
    band: str
    seeing: float
    stretch: float
    angle: float
    sky: float
    noise: float
    zero_point: float
    rotation: float

    @property
    def counts_per_njy(self) -> float:
        """The image's counts for one nJy."""
        return float(10.0 ** (-0.4 * (31.4 - self.zero_point)))


def _moon(day: float) -> float:
    """Illuminated fraction of the moon, roughly."""
    return 0.5 - 0.5 * float(
        np.cos(2.0 * np.pi * (day - 61058.8) / 29.530588)
    )  # 61058.8: new moon, 2026-01-18


def ztf_visits(rng: np.random.Generator, nights: Sequence[datetime.date], fields: int) -> list[Visit]:
    """Return the wide survey's visits: every clear night a part of the fields, in g and r, sometimes i."""
    visits: list[Visit] = []
    for night in nights:
        day = night.toordinal() - _MJD_EPOCH
        clear, mood = rng.random() > 0.2, rng.lognormal(0.0, 0.12)
        for number_of_field in range(fields):
            wanted, wants_i, start = rng.random() < 0.38, rng.random() < 0.12, rng.uniform(0.13, 0.48)
            gap, jitter = rng.uniform(0.02, 0.05), rng.lognormal(0.0, 0.07, 3)
            if number_of_field == DEEP_FIELD:  # a spring field, up in the evening
                start = 0.13 + 0.4 * (start - 0.13)
            if not (clear and wanted):
                continue
            for turn, band in enumerate(("g", "r", "i") if wants_i else ("g", "r")):
                sky = {"g": 110.0, "r": 190.0, "i": 270.0}[band] * (1.0 + 2.2 * _moon(day) ** 2)
                visits.append(
                    Visit(
                        night=night,
                        number=len(visits),
                        field=number_of_field,
                        mjd=day + start + turn * gap,
                        band=band,
                        seeing=2.25 * mood * jitter[turn] * (WAVELENGTHS[band] / 0.62) ** -0.2,
                        stretch=1.0 + 0.6 * (jitter[turn] - 1.0),
                        angle=0.0,  # along a row or a column: such stars are quick to draw
                        sky=sky * jitter[turn - 1],
                        noise=0.93 * float(np.sqrt(sky)),
                        zero_point={"g": 26.28, "r": 26.27, "i": 25.9}[band] + 0.6 * (jitter[turn - 2] - 1.0),
                        rotation=0.0,
                    )
                )
    return visits


def rubin_visits(rng: np.random.Generator, nights: Sequence[datetime.date]) -> list[Visit]:
    """Return the deep survey's visits of the field both share: some nights, two or three bands."""
    visits: list[Visit] = []
    for night in nights:
        day = night.toordinal() - _MJD_EPOCH
        clear, wanted, count = rng.random() > 0.15, rng.random() < 0.24, int(rng.integers(2, 4))
        moon = _moon(day)
        weights = (
            np.array([0.02, 0.32, 0.26, 0.22, 0.12, 0.06])
            if moon < 0.6
            else np.array([0, 0.1, 0.25, 0.3, 0.25, 0.1])
        )
        bands = rng.choice(list(WAVELENGTHS), size=count, replace=False, p=weights / weights.sum())
        start, mood, rotation = rng.uniform(0.08, 0.25), rng.lognormal(0.0, 0.1), rng.uniform(0.0, 360.0)
        numbers = rng.uniform(0.0, 1.0, (count, 4))
        if not (clear and wanted):
            continue
        for turn, band in enumerate(str(name) for name in bands):
            fresh = numbers[turn]
            visits.append(
                Visit(
                    night=night,
                    number=len(visits),
                    field=DEEP_FIELD,
                    mjd=day + start + 0.006 * turn,
                    band=band,
                    seeing=1.22 * mood * (0.92 + 0.16 * fresh[0]) * (WAVELENGTHS[band] / 0.62) ** -0.25,
                    stretch=1.05 + 0.4 * fresh[1] ** 2,
                    angle=float(np.pi * fresh[2]),
                    sky=2.0 + 12.0 * fresh[3],
                    noise=float(np.sqrt(_RUBIN_SKY[band] * (1.0 + 1.3 * moon))),
                    zero_point=31.4,
                    rotation=float((rotation + 12.0 * turn) % 360.0),
                )
            )
    return visits
