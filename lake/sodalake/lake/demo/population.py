"""What is in the demo sky: objects of ten kinds, their hosts and the stars around them.

Kinds come in fixed shares, dealt by the golden ratio so that ten objects already show most of them. About one in
five stands in the deep field, fainter, where Rubin looks too; the others are spread over the wide fields.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from sodalake.lake.demo import lightcurves as lc
from sodalake.lake.demo.visits import DEEP_FIELD

__all__ = ["FIELDS", "Edge", "Galaxy", "Kind", "SkyObject", "Stars", "populate", "scatter_stars"]


class Kind(enum.Enum):
    """What an object is; the value is how SIMBAD would call it ("Unknown": it would not)."""

    SUPERNOVA_IA = "SN Ia"
    SUPERNOVA_II = "SN II"
    RR_LYRAE = "RRLyr"
    MIRA = "Mira"
    AGN = "QSO"
    BLAZAR = "BLLac"
    DWARF_NOVA = "CataclyV*"
    MICROLENSING = "Microlensing"
    ASTEROID = "Asteroid"
    BOGUS = "Bogus"


_SHARES: Final = {
    Kind.SUPERNOVA_IA: 0.18,
    Kind.RR_LYRAE: 0.15,
    Kind.AGN: 0.16,
    Kind.SUPERNOVA_II: 0.09,
    Kind.MIRA: 0.10,
    Kind.DWARF_NOVA: 0.10,
    Kind.ASTEROID: 0.09,
    Kind.BLAZAR: 0.06,
    Kind.MICROLENSING: 0.04,
    Kind.BOGUS: 0.03,
}

FIELDS: Final = (  # field number of the wide survey, centre (deg), stars of r < 20.5 in a square arcminute
    (450, 150.11, 2.22, 1.6),  # the deep field
    (544, 205.4, 13.5, 2.0),
    (600, 129.7, 21.1, 2.2),
    (727, 289.0, 39.9, 9.0),
    (765, 286.8, 44.0, 8.0),
    (797, 187.3, 48.6, 1.5),
    (435, 104.2, 4.8, 9.0),
    (675, 168.9, 32.4, 1.7),
    (331, 112.5, -7.4, 7.0),
    (842, 233.2, 62.7, 1.6),
    (505, 20.6, 8.9, 1.8),
    (619, 301.5, 25.3, 9.0),
    (379, 217.8, -2.1, 2.4),
    (698, 85.2, 34.6, 8.0),
    (570, 170.4, 17.2, 1.6),
    (824, 268.3, 56.4, 3.0),
    (455, 252.9, 5.1, 4.0),
    (284, 118.6, -14.8, 9.0),
    (747, 52.7, 41.5, 5.0),
    (863, 141.0, 70.3, 1.8),
)
"""The demo's fields; the first is `visits.DEEP_FIELD`."""


@dataclass(frozen=True)
class Stars:
    """Stars around an object: offsets east and north (arcsec), r magnitudes and g-r colours; all (n,)."""

    east: npt.NDArray[np.float64]
    north: npt.NDArray[np.float64]
    magnitude: npt.NDArray[np.float64]
    colour: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Galaxy:
    """A Sersic galaxy: offset (arcsec), total r magnitude and g-r, half-light radius (arcsec), shape.

    `angle` is the position angle of its long axis, radians east of north.
    """

    east: float
    north: float
    magnitude: float
    colour: float
    radius: float
    index: float
    axis_ratio: float
    angle: float


@dataclass(frozen=True)
class Edge:
    """The end of the chip, `distance` pixels from the stamp's centre.

    Attributes
    ----------
    side
        0 left, 1 right, 2 bottom, 3 top.
    cropped
        The stamp ends there; otherwise its pixels beyond are NaN.
    slant
        Pixels the edge drifts per pixel along it.
    """

    side: int
    distance: int
    cropped: bool
    slant: float


@dataclass(frozen=True)
class SkyObject:
    """One object: where it is, how it varies, and what stands around it."""

    number: int
    kind: Kind
    field: int
    ra: float
    dec: float
    light: lc.LightCurve
    host: Galaxy | None
    stars: Stars
    edge: Edge | None
    motion: tuple[float, float] = (0.0, 0.0)
    """Degrees a day, east and north."""

    @property
    def deep(self) -> bool:
        """Is it in the field both surveys look at?"""
        return self.field == DEEP_FIELD


def scatter_stars(rng: np.random.Generator, density: float, radius: float = 46.0) -> Stars:
    """Return foreground stars in a square of +-`radius` arcsec: `density` a square arcminute with r < 20.5."""
    count = int(rng.poisson(2.75 * density * (radius / 30.0) ** 2))  # to 22.5 there are 2.75 times as many
    magnitude = 22.5 + np.log10(rng.random(count)) / 0.22  # star counts rise by 10**0.22 a magnitude
    return Stars(
        east=rng.uniform(-radius, radius, count),
        north=rng.uniform(-radius, radius, count),
        magnitude=np.maximum(magnitude, 13.2),
        colour=rng.normal(0.75, 0.35, count),
    )


def populate(seed: int, objects: int, first_mjd: float, last_mjd: float) -> list[SkyObject]:
    """Return `objects` objects; object i is the same whatever the number of objects."""
    kinds, shares = list(_SHARES), np.cumsum(list(_SHARES.values()))
    golden = (np.sqrt(5.0) - 1.0) / 2.0
    made = []
    for number in range(objects):
        rng = np.random.default_rng([seed, 1, number])
        kind = kinds[int(np.searchsorted(shares, (number * golden) % 1.0 * shares[-1], side="right"))]
        deep = number % 9 in (0, 4)
        field = DEEP_FIELD if deep else 1 + int(rng.integers(len(FIELDS) - 1))
        made.append(_object(rng, number, kind, field, first_mjd, last_mjd))
    return made


def _object(
    rng: np.random.Generator, number: int, kind: Kind, field: int, first: float, last: float
) -> SkyObject:
    _, centre_ra, centre_dec, density = FIELDS[field]
    spread = 1.1 if field == DEEP_FIELD else 2.8
    dec = centre_dec + rng.uniform(-spread, spread)
    ra = (centre_ra + rng.uniform(-spread, spread) / np.cos(np.radians(dec))) % 360.0
    light, host = _nature(rng, kind, field == DEEP_FIELD, first, last)
    edge = None
    if rng.random() < 0.06:
        edge = Edge(
            side=int(rng.integers(4)),
            distance=int(rng.integers(6, 29)),
            cropped=bool(rng.random() < 0.4),
            slant=float(rng.choice([0.0, 0.0, 0.02, -0.12, 0.15])),
        )
    motion = (0.0, 0.0)
    if kind is Kind.ASTEROID:
        pace, heading = (
            rng.uniform(0.08, 0.32),
            rng.normal(0.0, 0.35) + (0.0 if rng.random() < 0.3 else np.pi),
        )
        motion = (float(pace * np.cos(heading)), float(pace * np.sin(heading)))
    stars = scatter_stars(rng, density)
    return SkyObject(number, kind, field, float(ra), float(dec), light, host, stars, edge, motion)


def _nature(
    rng: np.random.Generator, kind: Kind, deep: bool, first: float, last: float
) -> tuple[lc.LightCurve, Galaxy | None]:
    """What it is: its light curve, and its host galaxy if it has one."""
    fainter = rng.uniform(1.0, 3.2) if deep else 0.0
    span = last - first
    light: lc.LightCurve
    match kind:
        case Kind.SUPERNOVA_IA:
            peak = rng.uniform(16.2, 19.0) + fainter
            light = lc.SupernovaIa(first + rng.uniform(-0.5, 0.95) * span, peak, rng.normal(1.0, 0.08))
            return light, _host(rng, peak - rng.normal(0.9, 1.0), 0.6, reach=1.6)
        case Kind.SUPERNOVA_II:
            peak = rng.uniform(17.2, 19.4) + fainter
            light = lc.SupernovaII(first + rng.uniform(-2.2, 0.8) * span, peak, rng.normal(95.0, 12.0))
            return light, _host(rng, peak - rng.normal(1.0, 0.9), 0.45, reach=1.5)
        case Kind.RR_LYRAE:
            mean = rng.uniform(15.2, 18.6) + fainter
            return lc.RRLyrae(mean, rng.uniform(0.44, 0.68), rng.uniform(0.6, 1.1), rng.random()), None
        case Kind.MIRA:
            mean = rng.uniform(13.8, 16.6) + fainter
            return lc.Mira(mean, rng.uniform(160.0, 460.0), rng.uniform(2.0, 5.0), rng.random()), None
        case Kind.AGN | Kind.BLAZAR:
            mean = rng.uniform(16.8, 19.0) + 0.8 * fainter
            fast = kind is Kind.BLAZAR
            walk_seed = int(rng.integers(2**62))
            light = lc.RandomWalk(
                magnitude=mean,
                colour=rng.normal(0.3, 0.15),
                scatter=rng.uniform(0.45, 0.8) if fast else rng.uniform(0.18, 0.42),
                memory=rng.uniform(4.0, 25.0) if fast else rng.uniform(60.0, 250.0),
                start=first - 30.0,
                end=last + 2.0,
                noise_seed=walk_seed,
            )
            bright = mean + rng.uniform(-0.8, 1.5)
            return light, None if fast and rng.random() < 0.7 else _host(rng, bright, 0.7, reach=0.0)
        case Kind.DWARF_NOVA:
            start = first + rng.uniform(-0.3, 0.9) * span
            quiet = rng.uniform(19.6, 22.0) + 0.5 * fainter
            return lc.DwarfNova(start, quiet, rng.uniform(2.4, 5.0), rng.uniform(4.0, 12.0)), None
        case Kind.MICROLENSING:
            peak_mjd = first + rng.uniform(0.1, 0.9) * span
            return (
                lc.Microlensing(
                    peak_mjd,
                    rng.uniform(16.8, 19.2) + fainter,
                    rng.normal(0.8, 0.2),
                    impact=rng.uniform(0.05, 0.5),
                    crossing=rng.uniform(8.0, 26.0),
                ),
                None,
            )
        case Kind.ASTEROID:
            return lc.Steady(rng.uniform(16.4, 19.9) + 0.6 * fainter, rng.normal(0.55, 0.08)), None
        case Kind.BOGUS:
            return lc.Steady(rng.uniform(13.2, 16.5)), None


def _host(rng: np.random.Generator, magnitude: float, colour: float, reach: float) -> Galaxy:
    """A galaxy whose point `reach` half-light radii (at most) from its middle is the object."""
    magnitude = float(np.clip(magnitude, 13.5, 23.5))
    radius = float(np.clip(4.5 * 10 ** (-0.16 * (magnitude - 16.0)) * rng.lognormal(0.0, 0.3), 0.5, 16.0))
    apart, towards = reach * radius * rng.beta(1.3, 1.8), rng.uniform(0.0, 2.0 * np.pi)
    return Galaxy(
        east=float(apart * np.cos(towards)),
        north=float(apart * np.sin(towards)),
        magnitude=magnitude,
        colour=float(rng.normal(colour, 0.12)),
        radius=radius,
        index=float(rng.choice([1.0, 1.0, 2.5, 4.0])),
        axis_ratio=float(rng.uniform(0.32, 0.98)),
        angle=float(rng.uniform(0.0, np.pi)),
    )
