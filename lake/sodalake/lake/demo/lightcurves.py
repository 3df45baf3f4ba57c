"""How things in the sky vary: one small class a kind, flux in nJy against time and band.

A light curve says two things: the flux that stands in the *template* (the reference image is the mean of many
old exposures) and the flux at a given moment. What a survey reports as an alert is their difference.

The shapes are the textbook ones, with few parameters:

=============== ========================================================================================
SupernovaIa     rise and fall of Bazin et al. 2009 (A&A 499, 653, eq. 1), redder as it ages, and the second
                maximum in i, z, y
SupernovaII     a rise of days, a plateau of three months, a drop
RRLyrae         steep rise, slow fall, half a day; larger in the blue
Mira            a year, magnitudes; faint in the blue
RandomWalk      damped random walk (Kelly et al. 2009, ApJ 698, 895): AGN with a long memory, blazars with a
                short one
DwarfNova       outburst: one day up, a week of plateau, three days down; blue
Microlensing    Paczynski 1986 (ApJ 304, 1): achromatic, symmetric
Steady          no change: what a moving or bogus source is drawn on
=============== ========================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from sodalake.lake.demo.bands import BANDS, WAVELENGTHS, njy

__all__ = [
    "DwarfNova",
    "LightCurve",
    "Microlensing",
    "Mira",
    "RRLyrae",
    "RandomWalk",
    "Steady",
    "SupernovaII",
    "SupernovaIa",
]

Floats = npt.NDArray[np.float64]
_BLUENESS = {band: (0.62 - WAVELENGTHS[band]) / 0.14 for band in BANDS}  # g: +1, r: 0, i: about -1


class LightCurve(Protocol):
    """A flux against time in every band."""

    def reference(self, band: str) -> float:
        """Return the flux (nJy) that stands in the template image."""

    def flux(self, mjd: Floats, band: str) -> Floats:
        """Return the flux (nJy) at each `mjd` (days, UTC)."""


@dataclass(frozen=True)
class Steady:
    """A source that does not change: r magnitude and colour g-r."""

    magnitude: float
    colour: float = 0.5

    def reference(self, band: str) -> float:
        """Return its flux (nJy)."""
        return float(njy(self.magnitude + self.colour * _BLUENESS[band]))

    def flux(self, mjd: Floats, band: str) -> Floats:
        """Return the same flux (nJy) for each time."""
        return np.full(len(mjd), self.reference(band))


@dataclass(frozen=True)
class SupernovaIa:
    """A thermonuclear supernova: nothing in the template, three weeks up, then down and red."""

    peak_mjd: float
    magnitude: float
    stretch: float = 1.0

    def reference(self, band: str) -> float:
        """Return 0: it was not there."""
        return 0.0

    def flux(self, mjd: Floats, band: str) -> Floats:
        """Return the flux (nJy)."""
        blue = _BLUENESS[band]
        age = (mjd - self.peak_mjd) / self.stretch
        rise, fall = 3.2, 22.0 - 5.0 * np.clip(blue, -2.0, 1.6)
        shape = _bazin(age, rise, fall)
        if blue < -0.5:  # the near infrared has a second maximum, 25 days after the first
            shape = 0.9 * shape + 0.35 * np.exp(-0.5 * ((age - 25.0) / 8.0) ** 2)
        return njy(self.magnitude + 0.08 * blue) * shape


@dataclass(frozen=True)
class SupernovaII:
    """A core-collapse supernova with a plateau (II-P)."""

    explosion_mjd: float
    magnitude: float
    plateau: float = 95.0

    def reference(self, band: str) -> float:
        """Return 0: it was not there."""
        return 0.0

    def flux(self, mjd: Floats, band: str) -> Floats:
        """Return the flux (nJy)."""
        blue = _BLUENESS[band]
        age = mjd - self.explosion_mjd
        up = -np.expm1(-np.maximum(age, 0.0) / 3.0)
        fade = 0.012 * np.maximum(blue + 0.4, 0.0) * age  # magnitudes: the blue sinks during the plateau
        drop = 1.0 / (1.0 + np.exp((age - self.plateau) / 5.0))
        tail = 0.12 * np.exp(-np.maximum(age - self.plateau, 0.0) / 110.0)
        return np.asarray(
            njy(self.magnitude + 0.05 * blue) * up * (np.power(10.0, -0.4 * fade) * drop + tail)
        )


@dataclass(frozen=True)
class RRLyrae:
    """A pulsating star of half a day (ab): saw tooth."""

    magnitude: float
    period: float
    amplitude: float
    phase: float

    def reference(self, band: str) -> float:
        """Return the mean flux (nJy)."""
        phases = np.arange(64) / 64.0
        return float(np.mean(self._at(phases, band)))

    def flux(self, mjd: Floats, band: str) -> Floats:
        """Return the flux (nJy)."""
        return self._at(np.mod(mjd / self.period + self.phase, 1.0), band)

    def _at(self, phase: Floats, band: str) -> Floats:
        blue = _BLUENESS[band]
        up = 0.16  # of the period
        slow = np.sqrt(np.maximum(phase - up, 0.0) / (1.0 - up))
        saw = np.where(phase < up, 1.0 - phase / up, slow)  # 1 faint, 0 bright
        swing = self.amplitude * (1.0 + 0.35 * np.clip(blue, -1.0, 1.0))
        return njy(self.magnitude + 0.25 * blue + swing * (saw - 0.55))


@dataclass(frozen=True)
class Mira:
    """A long-period giant, red and with an amplitude of magnitudes."""

    magnitude: float
    period: float
    amplitude: float
    phase: float

    def reference(self, band: str) -> float:
        """Return the mean flux (nJy) of a cycle."""
        return float(np.mean(self.flux(np.arange(64) / 64.0 * self.period, band)))

    def flux(self, mjd: Floats, band: str) -> Floats:
        """Return the flux (nJy)."""
        blue = _BLUENESS[band]
        wave = np.cos(2.0 * np.pi * (mjd / self.period + self.phase))
        wave = wave + 0.2 * np.cos(4.0 * np.pi * (mjd / self.period + self.phase) + 0.9)
        return njy(self.magnitude + 2.2 * blue - 0.5 * self.amplitude * (1.0 + 0.3 * blue) * wave)


@dataclass(frozen=True)
class RandomWalk:
    """A damped random walk in magnitude, the same in all bands but for its size.

    Attributes
    ----------
    magnitude, colour
        Mean r magnitude and g-r.
    scatter
        Standard deviation in g, magnitudes.
    memory
        Damping time, days.
    start, end
        The MJDs it is known for: outside, it keeps its last value.
    noise_seed
        Makes the walk what it is: the same seed, the same walk.
    """

    magnitude: float
    colour: float
    scatter: float
    memory: float
    start: float
    end: float
    noise_seed: int
    _grid: Floats = field(init=False, repr=False)
    _walk: Floats = field(init=False, repr=False)

    def __post_init__(self) -> None:
        step = min(self.memory / 20.0, 0.5)
        grid = np.arange(self.start, self.end + step, step)
        kicks = np.random.default_rng(self.noise_seed).standard_normal(len(grid))
        keep = float(np.exp(-step / self.memory))
        kick = self.scatter * float(np.sqrt(1.0 - keep**2))
        walk = np.empty(len(grid))
        level = self.scatter * kicks[0]
        for at in range(len(grid)):
            walk[at] = level
            level = keep * level + kick * kicks[at]
        object.__setattr__(self, "_grid", grid)
        object.__setattr__(self, "_walk", walk)

    def reference(self, band: str) -> float:
        """Return the mean flux (nJy)."""
        return float(njy(self.magnitude + self.colour * _BLUENESS[band]))

    def flux(self, mjd: Floats, band: str) -> Floats:
        """Return the flux (nJy)."""
        blue = _BLUENESS[band]
        walk = np.interp(mjd, self._grid, self._walk)
        return njy(self.magnitude + self.colour * blue + walk * (1.0 + 0.15 * (blue - 1.0)))


@dataclass(frozen=True)
class DwarfNova:
    """A cataclysmic variable in outburst."""

    start_mjd: float
    quiet: float
    amplitude: float
    plateau: float

    def reference(self, band: str) -> float:
        """Return the flux (nJy) in quiescence."""
        return float(njy(self.quiet + 0.1 * _BLUENESS[band]))

    def flux(self, mjd: Floats, band: str) -> Floats:
        """Return the flux (nJy)."""
        age = mjd - self.start_mjd
        blue = _BLUENESS[band]
        gain = np.interp(age, [0.0, 1.2, 1.2 + self.plateau, 4.5 + self.plateau], [0.0, 1.0, 0.8, 0.0])
        return njy(self.quiet + 0.1 * blue - gain * (self.amplitude + 0.15 * blue))


@dataclass(frozen=True)
class Microlensing:
    """A star behind a passing point mass."""

    peak_mjd: float
    magnitude: float
    colour: float
    impact: float
    crossing: float

    def reference(self, band: str) -> float:
        """Return the flux (nJy) without a lens."""
        return float(njy(self.magnitude + self.colour * _BLUENESS[band]))

    def flux(self, mjd: Floats, band: str) -> Floats:
        """Return the flux (nJy); `crossing` is the Einstein time, days, `impact` in Einstein radii."""
        square = self.impact**2 + ((mjd - self.peak_mjd) / self.crossing) ** 2
        return self.reference(band) * (square + 2.0) / np.sqrt(square * (square + 4.0))


def _bazin(age: Floats, rise: float, fall: float) -> Floats:
    """Bazin's shape with its maximum moved to age 0 and scaled to 1."""
    peak = rise * np.log(fall / rise - 1.0)
    at = age + peak

    def shape(x: npt.ArrayLike) -> Floats:
        x = np.clip(np.asarray(x, dtype=np.float64), -150.0, 600.0)
        return np.asarray(np.exp(-x / fall) / (1.0 + np.exp(-x / rise)))

    return shape(at) / shape(peak)
