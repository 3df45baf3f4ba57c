"""What an image covers: its outline in the sky, from the coordinates in its header.

An outline is a polygon whose edges are great circles. Those of a gnomonic image are its four edges; a distortion (TPV,
SIP) bends them, so that there are points between the corners, as many as keep the outline within `STRAY` pixels of the
image's true edge.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..errors import Damaged
from ..importing import IMPORTS
from ..sky import unit_vectors

__all__ = ["STRAY", "Coverage", "NoCoordinates", "coverage"]

STRAY: Final = 0.25
"""How far an outline may be from the image's edge, in pixels of its middle."""

_FINE: Final = 32  # points along an edge that an outline is compared with
_MOST: Final = 16  # points along an edge of an outline
_ARCSEC: Final = 3600.0
_SYSTEMS: Final = ({"RA--", "DEC-"}, {"GLON", "GLAT"})
_COMMENTARY: Final = (b"HISTORY ", b"COMMENT ", b"        ")

_Floats = npt.NDArray[np.float64]


class NoCoordinates(Damaged):
    """An image that is nowhere in the sky; the message says why."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """Where an image is.

    Attributes
    ----------
    ra, dec, radius
        Its middle, and how far its farthest point is from there (degrees, ICRS).
    outline
        Around it (V x 2: longitude, latitude, degrees, ICRS).
    pixel_scale
        Arcseconds, the square root of a pixel's area in the middle.
    """

    ra: float
    dec: float
    radius: float
    outline: _Floats
    pixel_scale: float


def coverage(cards: Sequence[bytes], shape: tuple[int, int]) -> Coverage:
    """Return where an image with these cards and this (height, width) is.

    Raises
    ------
    NoCoordinates
        It has no celestial coordinates, they are wrong (a singular matrix), or part of the image is off the sky.
    """
    wcs, frame = _wcs(cards)
    height, width = shape
    # Pixel centres are whole numbers, from 0: the image ends half a pixel beyond the outer ones.
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)]) - 0.5
    steps = np.arange(_FINE)[:, None] / _FINE
    edge = np.concatenate([
        one + (two - one) * steps for one, two in zip(corners, np.roll(corners, -1, axis=0), strict=True)
    ])  # fmt: skip
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    around = middle + np.array([(0, 0), (-0.5, 0), (0.5, 0), (0, -0.5), (0, 0.5)])
    lon, lat = _places(wcs, frame, np.concatenate([around, edge]))
    vectors = unit_vectors(lon, lat)
    right, up = vectors[2] - vectors[1], vectors[4] - vectors[3]
    area = float(np.linalg.norm(np.cross(right, up)))
    if not area > 0:
        raise NoCoordinates("Its coordinates are wrong: a pixel of its middle has no area.")
    scale = float(np.degrees(np.sqrt(area)))
    fine = vectors[5:]
    chords = np.linalg.norm(fine - vectors[0], axis=1)
    which = _kept(fine, np.radians(STRAY * scale))
    return Coverage(
        ra=float(lon[0]),
        dec=float(lat[0]),
        radius=float(np.degrees(2 * np.arcsin(min(1.0, chords.max() / 2)))),
        outline=np.stack([lon[5:][which], lat[5:][which]], axis=-1),
        pixel_scale=scale * _ARCSEC,
    )


def _wcs(cards: Sequence[bytes]) -> tuple[Any, Any]:
    """Return the coordinates of a header, as astropy has them, and their frame."""
    # Imported when used: with its coordinates astropy takes a second, which a reader of records has no use for.
    with IMPORTS:
        from astropy.wcs import WCS
        from astropy.wcs.utils import wcs_to_celestial_frame

    header = b"".join(card for card in cards if card[:8] not in _COMMENTARY).decode("ascii")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wcs = WCS(header, naxis=2)
            if not wcs.has_celestial:
                raise NoCoordinates("It has no celestial coordinates.")
            wcs.wcs.set()
            if {name[:4] for name in wcs.wcs.ctype} not in _SYSTEMS:
                # astropy takes ecliptic coordinates for equatorial ones, and those of a planet for the Earth's.
                names = ", ".join(name[:4].rstrip("-") for name in wcs.wcs.ctype)
                raise NoCoordinates(f"Its coordinates are {names}, neither equatorial nor galactic.")
            return wcs, wcs_to_celestial_frame(wcs)
    except NoCoordinates:
        raise
    except Exception as error:  # astropy and wcslib raise whatever a header's author did wrong
        reason = " ".join(str(error).split()) or type(error).__name__
        raise NoCoordinates(f"Its coordinates are wrong: {reason.rstrip('.')}.") from error


def _places(wcs: Any, frame: Any, pixels: _Floats) -> tuple[_Floats, _Floats]:
    """Return ICRS longitude and latitude (degrees) of N places in the image."""
    with IMPORTS:
        from astropy import units as u
        from astropy.coordinates import ICRS, SkyCoord

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            world = wcs.all_pix2world(pixels, 0)
    except Exception as error:  # as in `_wcs`
        raise NoCoordinates(
            f"Its coordinates are wrong: {' '.join(str(error).split()).rstrip('.')}."
        ) from error
    lon, lat = np.asarray(world[:, wcs.wcs.lng], np.float64), np.asarray(world[:, wcs.wcs.lat], np.float64)
    if not (np.isfinite(lon) & np.isfinite(lat)).all() or (np.abs(lat) > 90).any():
        raise NoCoordinates("Part of it is off the sky.")
    if isinstance(frame, ICRS):
        return np.mod(lon, 360.0), lat
    sky = SkyCoord(lon * u.deg, lat * u.deg, frame=frame).icrs
    return np.mod(np.asarray(sky.ra.deg), 360.0), np.asarray(sky.dec.deg)


def _kept(fine: _Floats, most: float) -> npt.NDArray[np.intp]:
    """Return which of an edge's points an outline needs to be nowhere more than `most` (radians) from it."""
    side = len(fine) // 4
    count = 1
    while True:
        which = np.arange(0, len(fine), side // count)
        start, stop = fine[which], fine[np.roll(which, -1)]
        poles = np.repeat(np.cross(start, stop), side // count, axis=0)
        lengths = np.linalg.norm(poles, axis=1)
        off = np.abs(np.sum(poles * fine, axis=1)) / np.where(lengths > 0, lengths, 1.0)
        if count == _MOST or off.max() <= most:
            return which
        count *= 2
