"""What a survey measures: difference fluxes of every visit, and which of them are alerts.

A survey subtracts the template and keeps what stands out by five sigma. So a variable star may be an alert with
a *negative* flux, a supernova is none before it explodes, and an asteroid is one wherever it happens to be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from sodalake.lake.demo.population import FIELDS, Kind, SkyObject, Stars, scatter_stars
from sodalake.lake.demo.scenes import PointSpread
from sodalake.lake.demo.visits import Visit

__all__ = ["THRESHOLD", "Alert", "Curve", "Instrument", "detect", "observe"]

THRESHOLD: Final = 5.0
"""Signal to noise from which a difference is an alert."""


@dataclass(frozen=True, slots=True)
class Instrument:
    """What the two cameras differ in.

    Attributes
    ----------
    number
        Part of every random seed, so that two surveys do not share their noise.
    scale
        Arcseconds a pixel.
    gain
        Electrons a count.
    saturation
        Counts in a pixel from which it is masked.
    template_fwhm
        Seeing of the template, arcsec.
    template_noise
        Its noise, relative to a visit's.
    template_blur
        Share of a pixel's noise its neighbours have too (0.5: correlation 0.6, as in real ZTF templates).
    """

    name: str
    number: int
    scale: float
    gain: float
    saturation: float
    template_fwhm: float
    template_noise: float
    template_blur: float


@dataclass(frozen=True, slots=True)
class Alert:
    """One detection.

    Attributes
    ----------
    index
        Which of its object's measurements it is: `Curve` has what came before.
    flux, error
        Measured difference and its standard deviation, nJy.
    total
        True flux of the source at that moment, nJy (with what the template has of it).
    ra, dec
        Measured position, degrees.
    stars
        What stands around it: the object's own stars, or others each time for what moves.
    """

    curve: Curve
    index: int
    visit: Visit
    flux: float
    error: float
    total: float
    ra: float
    dec: float
    stars: Stars

    @property
    def sky_object(self) -> SkyObject:
        """What it is an alert of."""
        return self.curve.sky_object

    @property
    def snr(self) -> float:
        """Signal to noise, positive."""
        return abs(self.flux) / self.error


@dataclass(frozen=True, slots=True)
class Curve:
    """All measurements of an object by one survey, in time order; arrays are (visits,)."""

    sky_object: SkyObject
    visits: Sequence[Visit]
    mjd: npt.NDArray[np.float64]
    flux: npt.NDArray[np.float64]
    error: npt.NDArray[np.float64]
    total: npt.NDArray[np.float64]
    detected: npt.NDArray[np.bool_]


def observe(
    seed: int, instrument: Instrument, sky: Sequence[SkyObject], visits: Sequence[Visit]
) -> list[Curve]:
    """Return the curve of each object whose field the survey visits."""
    by_field: dict[int, list[Visit]] = {}
    for visit in sorted(visits, key=lambda v: v.mjd):
        by_field.setdefault(visit.field, []).append(visit)
    curves = []
    for thing in sky:
        seen = by_field.get(thing.field, [])
        if not seen:
            continue
        rng = np.random.default_rng([seed, 2, instrument.number, thing.number])
        curves.append(_curve(rng, instrument, thing, seen))
    return curves


def detect(seed: int, instrument: Instrument, curves: Sequence[Curve]) -> list[Alert]:
    """Return all alerts, in time order."""
    alerts = []
    for curve in curves:
        thing = curve.sky_object
        for index in np.flatnonzero(curve.detected).tolist():
            visit = curve.visits[index]
            rng = np.random.default_rng([seed, 3, instrument.number, thing.number, visit.number])
            ra, dec, stars = thing.ra, thing.dec, thing.stars
            if thing.kind is Kind.ASTEROID:
                days = visit.mjd - curve.mjd[0]
                dec += thing.motion[1] * days
                ra += thing.motion[0] * days / np.cos(np.radians(dec))
                stars = scatter_stars(rng, FIELDS[thing.field][3])
            scatter = visit.seeing / 3600.0 / (abs(curve.flux[index]) / curve.error[index])
            dec += rng.normal(0.0, scatter)
            ra = (ra + rng.normal(0.0, scatter) / np.cos(np.radians(dec))) % 360.0
            alerts.append(
                Alert(
                    curve=curve,
                    index=index,
                    visit=visit,
                    flux=float(curve.flux[index]),
                    error=float(curve.error[index]),
                    total=float(curve.total[index]),
                    ra=float(ra),
                    dec=float(dec),
                    stars=stars,
                )
            )
    alerts.sort(key=lambda alert: (alert.visit.mjd, alert.sky_object.number))
    return alerts


def _curve(rng: np.random.Generator, instrument: Instrument, thing: SkyObject, seen: list[Visit]) -> Curve:
    mjd = np.array([visit.mjd for visit in seen])
    bands = np.array([visit.band for visit in seen])
    total, reference = np.empty(len(seen)), np.zeros(len(seen))
    for band in sorted(set(bands.tolist())):
        here = bands == band
        total[here] = thing.light.flux(mjd[here], band)
        if thing.kind is not Kind.ASTEROID:
            reference[here] = thing.light.reference(band)
    counts = np.array([visit.counts_per_njy for visit in seen])
    fwhm = np.array([visit.seeing for visit in seen]) / instrument.scale
    spread = np.array([PointSpread.of(width, 1.0, 0.0).noise_pixels for width in fwhm])
    background = np.array([visit.noise for visit in seen]) * np.sqrt(spread)
    error = np.sqrt(background**2 + total * counts / instrument.gain) / counts
    true = total - reference
    lucky = np.ones(len(seen), dtype=bool)
    if thing.kind is Kind.BOGUS:  # nothing varies: now and then something falls on the detector
        true = error * rng.uniform(6.0, 40.0, len(seen)) * rng.choice([1.0, -1.0], len(seen), p=[0.7, 0.3])
        lucky = rng.random(len(seen)) < 0.12
    elif thing.kind is Kind.ASTEROID:
        lucky = rng.random(len(seen)) < 0.4  # else between two chips, or outside the field
    flux = true + error * rng.standard_normal(len(seen))
    peak = total * counts / spread * 2.0
    detected = lucky & (np.abs(flux) > THRESHOLD * error) & (peak < instrument.saturation)
    return Curve(thing, seen, mjd, flux, error, total, detected)
