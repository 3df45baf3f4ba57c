"""Bands, magnitudes and fluxes of the demo sky.

Fluxes are nanojansky everywhere inside (Rubin's unit): an AB magnitude m is ``10**(0.4 * (31.4 - m))`` nJy.
A ZTF image counts in DN with a zero point of its own: see `visits.Visit.counts_per_njy`.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["BANDS", "WAVELENGTHS", "ZTF_FILTERS", "magnitude", "njy"]

BANDS: Final = ("u", "g", "r", "i", "z", "y")
"""The bands an object has a brightness in, bluest first."""

WAVELENGTHS: Final = {"u": 0.37, "g": 0.48, "r": 0.62, "i": 0.75, "z": 0.87, "y": 0.97}
"""Effective wavelengths, micrometres."""

ZTF_FILTERS: Final = {"g": 1, "r": 2, "i": 3}
"""ZTF's filter numbers (`fid`)."""

_ZERO_POINT: Final = 31.4


def njy(magnitude: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the flux in nJy of an AB magnitude."""
    return np.power(10.0, 0.4 * (_ZERO_POINT - np.asarray(magnitude, dtype=np.float64)))


def magnitude(flux: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the AB magnitude of a flux in nJy; the sign is left out, as ZTF does (`isdiffpos` tells it)."""
    return _ZERO_POINT - 2.5 * np.log10(np.abs(np.asarray(flux, dtype=np.float64)))
