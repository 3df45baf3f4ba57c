"""What a request will cost, before anything is read: pixels, images, bytes, seconds; and whether that is too much.

Counts are exact, since the index says where every pixel is. Seconds are a sum over them, whose weights were measured
once; how a machine (its disks, its load) differs from that one is a factor, fitted to what requests really took
(`Rates`). One factor for cuts of one image and one for mosaics: they wait for different things.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from sodalake.lake.errors import UsageError
from sodalake.sodacut.images.requests import Limits

__all__ = ["Cost", "Kind", "Rates", "TooExpensive", "check", "degrees_text", "work_of"]

Kind = Literal["cut", "mosaic"]

# Seconds, measured on one core of an idle machine with files in the page cache.
_A_REQUEST: Final = 0.002
_AN_IMAGE: Final[Mapping[str, float]] = {"cut": 0.0005, "mosaic": 0.006}  # coordinates both ways
_A_READ: Final = 0.0002
_A_BYTE: Final = 0.6e-9
_A_DECODED: Final[Mapping[str, float]] = {"plain": 1.5e-9, "tiled": 12e-9}
_A_RESAMPLED: Final[Mapping[str, float]] = {"interp": 60e-9, "adaptive": 1.2e-6, "exact": 2.5e-6}
_A_GIVEN: Final[Mapping[str, float]] = {"fits": 4e-9, "png": 150e-9, "jpeg": 80e-9, "json": 250e-9}

_LEARNT: Final = 0.1  # how far a request moves the factor
_TELLING: Final = (
    0.2  # seconds of work of a request that does; smaller ones say little of how long larger ones take
)
_HALF_LIFE: Final = 600.0  # seconds in which half of what was learnt is forgotten (of its logarithm)
_QUICKEST: Final = 0.02  # seconds: what takes less says nothing of a machine
_FARTHEST: Final = 5.0  # the factor lies between this and its inverse


@dataclass(frozen=True, slots=True)
class Cost:
    """What a request will cost.

    Attributes
    ----------
    kind
        ``cut`` of one image (in each band), or ``mosaic`` of several.
    images
        That are read.
    reads, bytes
        Of files.
    held
        Pixels that are in memory at once.
    pixels
        That are given, of all bands and planes.
    side
        Pixels of the longer side.
    work
        Seconds, on the machine of which the weights are.
    """

    kind: Kind
    images: int
    reads: int
    bytes: int
    held: int
    pixels: int
    side: int
    work: float

    def seconds(self, rates: Rates) -> float:
        """Return how long it is expected to take."""
        return self.work * rates.factors.get(self.kind, 1.0)


def work_of(
    *,
    images: int,
    reads: int,
    bytes_read: int,
    plain: int,
    tiled: int,
    resampled: int,
    method: str,
    given: int,
    form: str,
) -> float:
    """Return the seconds that so many images, reads, bytes and pixels take."""
    return (
        _A_REQUEST
        + _AN_IMAGE["mosaic" if resampled else "cut"] * images
        + _A_READ * reads
        + _A_BYTE * bytes_read
        + _A_DECODED["plain"] * plain
        + _A_DECODED["tiled"] * tiled
        + _A_RESAMPLED[method] * resampled
        + _A_GIVEN[form] * given
    )


@dataclass(frozen=True, slots=True)
class Rates:
    """By how much this machine is slower than the one that the weights are of, for each kind of work."""

    factors: Mapping[str, float] = field(default_factory=dict)

    def learnt(self, cost: Cost, seconds: float) -> Rates:
        """Return the rates after a request that took so long."""
        if cost.work <= 0 or max(seconds, cost.work) < _QUICKEST:
            return self
        before = self.factors.get(cost.kind, 1.0)
        # In logarithms: one request that took a hundred times as long moves it as far as one that took a hundredth.
        told = _LEARNT * min(1.0, cost.work / _TELLING)
        step = told * (math.log(seconds / cost.work) - math.log(before))
        after = min(_FARTHEST, max(1 / _FARTHEST, before * math.exp(step)))
        return replace(self, factors={**self.factors, cost.kind: after})

    def faded(self, seconds: float) -> Rates:
        """Return the rates after so many seconds without a request that took its time: what was slow may be so no more.

        Else a machine that was overloaded for a while would refuse the very requests that show that it is not.
        """
        left = 0.5 ** (max(0.0, seconds) / _HALF_LIFE)
        return Rates({kind: factor**left for kind, factor in self.factors.items()})


class TooExpensive(UsageError):
    """A request that would cost more than is answered at once.

    Attributes
    ----------
    details
        The numbers, the limits, and what would fit, for machines: numbers, texts and dictionaries of these.
    """

    def __init__(self, message: str, advice: str = "", details: Mapping[str, object] | None = None) -> None:
        super().__init__(message, advice)
        self.details: Mapping[str, object] = details or {}


def check(cost: Cost, limits: Limits, rates: Rates) -> list[str]:
    """Return what of a cost is beyond the limits, in words; nothing where it may be answered."""
    found = []
    if cost.side > limits.side:
        found.append(f"{cost.side} pixels on a side (at most {limits.side:.0f})")
    if max(cost.pixels, cost.held) > limits.pixels:
        found.append(
            f"{max(cost.pixels, cost.held) / 1e6:.1f} million pixels (at most {limits.pixels / 1e6:.4g})"
        )
    if cost.bytes > limits.bytes:
        found.append(f"{cost.bytes / 1e6:.1f} MB to read (at most {limits.bytes / 1e6:.4g})")
    seconds = cost.seconds(rates)
    if seconds > limits.seconds:
        found.append(f"{seconds:.3g} s (at most {limits.seconds:.3g})")
    return found


def degrees_text(degrees: float) -> str:
    """Return an angle as people write it, and as SIZE takes it: three digits, rounded down."""
    for unit, factor in (("deg", 1.0), ("arcmin", 60.0), ("arcsec", 3600.0)):
        value = degrees * factor
        if value >= 1 or unit == "arcsec":
            digits = max(0, 2 - math.floor(math.log10(value))) if value > 0 else 0
            return f"{math.floor(value * 10**digits) / 10**digits:g}{unit}"
    raise AssertionError("arcseconds are the last")
