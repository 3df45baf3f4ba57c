"""Alerts that the bench of queries asks for: ids, times, places, classes and magnitudes, made by arithmetic.

Nobody has to read the archive to know how many rows an answer must have: an `AlertTable` says so, from the same numbers
that the files were made of.

Objects lie evenly over three quarters of the sky, 2.3 a square degree with 14 alerts each: a circle of 10″ around one
holds that one, a circle of 1° about 100 alerts and one of 5° about 2 500. A smaller table covers less of the sky, as
densely. Classes are very uneven: of twenty, the commonest has 46 % of the alerts, the rarest 0.5 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

__all__ = ["CLASSES", "EPOCHS", "FIRST_NIGHT", "AlertRecipe", "AlertTable"]

EPOCHS = 14
"""Alerts of most objects."""

FIRST_NIGHT = 2_460_300.6
"""Begin of the first night, Julian date."""

CLASSES = (
    "Unknown", "Variable star", "Eclipsing binary", "QSO", "RR Lyrae", "Solar System MPC", "SN candidate", "Mira",
    "Blazar", "Long period variable", "Cepheid", "Early SN Ia candidate", "Cataclysmic variable", "Microlensing",
    "Solar System candidate", "Delta Scuti", "Young stellar object", "AGN", "Tracklet", "Kilonova candidate",
)  # fmt: skip
"""Names of the classes, the commonest first."""

_NIGHT = 0.4  # days
_SOUTH = -0.5  # sine of the southernmost declination
_DENSITY = 1_000_000 / EPOCHS / (360 * 180 / np.pi * (1 - _SOUTH))  # objects a square degree
_GOLDEN = (5**0.5 - 1) / 2
_SPREAD = 0.1 / 3600  # degrees: standard deviation of an alert's place about its object's, on each axis
_MOST_SPREAD = 0.25 / 3600
_MARGIN = 5.5  # degrees that centres of circles keep from the edges of the sky that is covered
_SLACK = 1e-9  # degrees: places so near a circle's edge belong to either side

_Floats = NDArray[np.float64]
_Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class AlertRecipe:
    """What makes a table of alerts.

    Attributes
    ----------
    survey
        The survey's name, which is its schema's, too.
    alerts, rows
        Alerts in all, and in a file (one file a night).
    columns
        Scalar columns: 30, or more.
    long_objects, long_epochs
        Objects, the first ones, that have more alerts than `EPOCHS`, and how many.
    seed
        Of everything that is random.
    """

    survey: str = "bench"
    alerts: int = 1_000_000
    rows: int = 100_000
    columns: int = 30
    long_objects: int = 0
    long_epochs: int = 1575
    seed: int = 42

    @property
    def table(self) -> str:
        """The table's name in queries."""
        return f"{self.survey}.alerts"

    @property
    def files(self) -> int:
        """Number of files."""
        return -(-self.alerts // self.rows)


class AlertTable:
    """The alerts of a recipe, in the order of the files' rows (N alerts, of M objects).

    Attributes
    ----------
    objects
        Number of each alert's object (N).
    alert_ids
        Ids, growing with the night (int64, N).
    times
        Julian dates (N); within a night in no order.
    ra, dec
        ICRS, degrees (N).
    classes
        Index of each alert's class in `CLASSES` (N).
    magnitudes
        (float32, N).
    """

    def __init__(self, recipe: AlertRecipe) -> None:
        self.recipe = recipe
        count = recipe.alerts
        rng = np.random.default_rng(recipe.seed)
        long = recipe.long_objects
        rest = count - long * recipe.long_epochs
        if rest < 0:
            raise ValueError(f"{long} objects of {recipe.long_epochs} alerts are more than {count} alerts.")
        others = -(-rest // EPOCHS)
        self.epochs = np.full(long + others, EPOCHS)
        self.epochs[:long] = recipe.long_epochs
        if others:
            self.epochs[-1] -= others * EPOCHS - rest
        self.objects: _Integers = rng.permutation(np.repeat(np.arange(len(self.epochs)), self.epochs))
        slots = np.arange(count)
        self.alert_ids: _Integers = (
            2_557_000_000_000_000_000 + slots * 1_000_003 + rng.integers(0, 1000, count)
        )
        nights = slots // recipe.rows
        self.times: _Floats = FIRST_NIGHT + nights + _NIGHT * rng.random(count)
        self._object_ra, self._object_dec, self._width = _places(len(self.epochs))
        spread = np.clip(rng.normal(0, _SPREAD, (2, count)), -_MOST_SPREAD, _MOST_SPREAD)
        self.dec: _Floats = self._object_dec[self.objects] + spread[0]
        self.ra: _Floats = (self._object_ra[self.objects] + spread[1] / np.cos(np.radians(self.dec))) % 360
        shares = np.arange(1, len(CLASSES) + 1) ** -1.5
        self.classes: _Integers = rng.choice(len(CLASSES), count, p=shares / shares.sum())
        self.magnitudes: NDArray[np.float32] = (13 + 8 * rng.beta(4, 2, count)).astype(np.float32)

    def __len__(self) -> int:
        return len(self.objects)

    @staticmethod
    def object_names(numbers: _Integers) -> NDArray[np.str_]:
        """Return the ids of objects."""
        return np.char.mod("BN%08d", numbers * 48_271 % 99_999_989)

    @cached_property
    def _by_object(self) -> tuple[_Integers, _Integers]:
        """Alerts ordered by object, and where each object's begin."""
        return np.argsort(self.objects, kind="stable"), np.concatenate([[0], np.cumsum(self.epochs)])

    @cached_property
    def _by_class(self) -> list[_Floats]:
        """Times of each class, sorted."""
        return [np.sort(self.times[self.classes == number]) for number in range(len(CLASSES))]

    def alerts_of(self, objects: _Integers) -> _Integers:
        """Return the alerts of some objects, object by object."""
        order, starts = self._by_object
        return np.concatenate(
            [order[starts[one] : starts[one + 1]] for one in objects.tolist()] or [order[:0]]
        )

    def random_objects(self, count: int, rng: np.random.Generator) -> _Integers:
        """Return different objects with `EPOCHS` alerts, at random; all there are where they are fewer."""
        return rng.permutation(np.flatnonzero(self.epochs == EPOCHS))[:count]

    def object_places(self, objects: _Integers) -> tuple[_Floats, _Floats]:
        """Return where objects are (ra, dec; degrees); their alerts are at most 0.36″ from there."""
        return self._object_ra[objects], self._object_dec[objects]

    def centres(self, count: int, rng: np.random.Generator) -> tuple[_Floats, _Floats]:
        """Return centres of circles (ra, dec; degrees), each within 2″ of an object and far from the edges."""
        inside = np.abs(self._object_dec - 30) < 60 - _MARGIN
        if self._width < 360:
            from_edge = np.minimum(self._object_ra, self._width - self._object_ra)
            inside &= from_edge * np.cos(np.radians(self._object_dec)) > min(_MARGIN, self._width / 4)
        numbers = rng.choice(np.flatnonzero(inside), count)
        dec = self._object_dec[numbers] + rng.uniform(-1, 1, count) / 3600
        ra = self._object_ra[numbers] + rng.uniform(-1, 1, count) / 3600 / np.cos(np.radians(dec))
        return np.round(ra % 360, 7), np.round(dec, 7)

    def near(self, ra: float, dec: float, radius: float) -> tuple[_Integers, int]:
        """Return the alerts in a circle (degrees), and how many are too near its edge to tell."""
        wide = radius + 2 * _MOST_SPREAD
        objects = np.flatnonzero(_separations(ra, dec, self._object_ra, self._object_dec) <= wide)
        alerts = self.alerts_of(objects)
        apart = _separations(ra, dec, self.ra[alerts], self.dec[alerts])
        return alerts[apart <= radius], int(np.count_nonzero(np.abs(apart - radius) < _SLACK))

    def in_class_between(self, number: int, begin: float, end: float) -> int:
        """Return how many alerts of a class have times from `begin` to `end`, both included."""
        times = self._by_class[number]
        return int(np.searchsorted(times, end, "right") - np.searchsorted(times, begin, "left"))


def _places(count: int) -> tuple[_Floats, _Floats, float]:
    """Return where objects are (degrees), evenly and no two near each other, and the width of it in right ascension."""
    width = min(360.0, count / _DENSITY / (180 / np.pi * (1 - _SOUTH)))
    numbers = np.arange(count)
    # A golden-ratio lattice, in steps of equal area: as even as a grid, without its rows.
    sines = _SOUTH + (numbers + 0.5) / count * (1 - _SOUTH)
    ra = np.asarray(width * (numbers * _GOLDEN % 1), np.float64)
    return ra, np.asarray(np.degrees(np.arcsin(sines)), np.float64), width


def _separations(ra: float, dec: float, other_ra: _Floats, other_dec: _Floats) -> _Floats:
    """Return distances on the sky in degrees (haversine: exact for small ones)."""
    a, d = np.radians(ra), np.radians(dec)
    b, e = np.radians(other_ra), np.radians(other_dec)
    half = np.sin((e - d) / 2) ** 2 + np.cos(d) * np.cos(e) * np.sin((b - a) / 2) ** 2
    separations: _Floats = np.degrees(2 * np.arcsin(np.sqrt(np.minimum(1, half))))
    return separations
