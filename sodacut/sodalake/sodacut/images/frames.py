"""Coordinates of an image, from the header in its record.

Reading a header into wcslib takes 0.1 ms, with distortions 1.5 ms: longer than cutting the image. So what came of it is
kept, by the header itself. And it is kept a thread: wcslib's structures are changed while they are used.

Most images are equatorial, in degrees, right ascension first; those of any other system, unit or order of axes that
astropy knows are asked by way of it.
"""

from __future__ import annotations

import threading
import warnings
from collections import OrderedDict
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sodalake.lake.images.records import Image
from sodalake.lake.importing import IMPORTS
from sodalake.sodacut.cards import Header
from sodalake.sodacut.coordinates import SkyFrame, lon_lat, sky_frame
from sodalake.sodacut.errors import Damaged, NoCoordinates
from sodalake.sodacut.shapes import Directions, directions

__all__ = ["frame_of", "frame_of_wcs", "wcs_of"]

_KEPT: Final = 256  # a thread


class _Kept(threading.local):
    def __init__(self) -> None:
        self.frames: OrderedDict[bytes, SkyFrame] = OrderedDict()


_KEPT_FRAMES: Final = _Kept()


class _OtherFrame(SkyFrame):
    """Coordinates of another system than ICRS, or whose latitude comes first.

    Parameters
    ----------
    system
        As astropy has it.
    """

    __slots__ = ("_system", "_turn")

    is_icrs = False

    def __init__(self, wcs: Any, system: Any) -> None:
        with IMPORTS:
            from astropy import units as u
            from astropy.coordinates import SkyCoord

        super().__init__(wcs)
        self._system = system
        axes = SkyCoord([0, 90, 0] * u.deg, [0, 0, 90] * u.deg, frame=system).icrs
        turn = np.asarray(axes.cartesian.xyz.value, np.float64)
        # Turns the system's directions to ICRS. FK4's are moved by the Earth's motion, differently in each direction.
        self._turn = turn if np.allclose(turn @ turn.T, np.eye(3), rtol=0, atol=1e-9) else None

    def to_sky(self, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> Directions:
        lon, lat = _sky_axes(self._wcs, *self._wcs.all_pix2world(x, y, 0))
        if self._turn is not None:
            return directions(lon, lat) @ self._turn.T
        with IMPORTS:
            from astropy.coordinates import SkyCoord

        return directions(*_degrees(SkyCoord(lon, lat, unit="deg", frame=self._system).icrs))

    def to_pixels(self, points: Directions) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        if self._turn is not None:
            lon, lat = lon_lat((points @ self._turn).T)
        else:
            with IMPORTS:
                from astropy.coordinates import SkyCoord

            there = SkyCoord(*lon_lat(points.T), unit="deg", frame="icrs").transform_to(self._system)
            lon, lat = _degrees(there)
        return self._pixels(*_sky_axes(self._wcs, lon, lat))


def frame_of(image: Image) -> SkyFrame:
    """Return the coordinates of an image; to be used in the calling thread.

    Raises
    ------
    NoCoordinates, Damaged
        See `sodalake.sodacut.coordinates.sky_frame`; the message has the image's name.
    """
    frames = _KEPT_FRAMES.frames
    frame = frames.get(image.header)
    if frame is not None:
        frames.move_to_end(image.header)
        return frame
    try:
        frame = _frame(image.header)
    except (NoCoordinates, Damaged) as error:
        what = error.message.replace("This stamp", "The image").replace("the stamp", "the image")
        raise type(error)(f"{image.survey} {image.image_id}: {what}", "Ask for another image.") from error
    frames[image.header] = frame
    while len(frames) > _KEPT:
        frames.popitem(last=False)
    return frame


def wcs_of(image: Image) -> Any:
    """Return the coordinates of an image as an `astropy.wcs.WCS` of two celestial axes.

    It is shared by all who ask in this thread: make a copy to change it.
    """
    return frame_of(image).wcs


def frame_of_wcs(wcs: Any) -> SkyFrame:
    """Return the coordinates that an `astropy.wcs.WCS` of two celestial axes has, of whatever system."""
    with IMPORTS:
        from astropy.wcs.utils import wcs_to_celestial_frame

    inner = wcs.wcs
    # (Without RADESYS and EQUINOX it is ICRS; FK5 of 2000 is ICRS to 0.03 arcsec, less than a pixel.)
    modern = inner.radesys in ("", "ICRS", "FK5") and (np.isnan(inner.equinox) or inner.equinox == 2000)
    if modern and inner.ctype[0].startswith("RA--") and inner.ctype[1].startswith("DEC-"):
        return SkyFrame(wcs)
    return _OtherFrame(wcs, wcs_to_celestial_frame(wcs))


def _sky_axes(wcs: Any, first: Any, second: Any) -> tuple[Any, Any]:
    """Return longitude and latitude of what stands in the order of the axes; or the other way round."""
    return (first, second) if wcs.wcs.lng == 0 else (second, first)


def _frame(header: bytes) -> SkyFrame:
    cards = Header.from_bytes(header)
    return sky_frame(cards) if _is_common(cards) else _read(header)


def _is_common(cards: Header) -> bool:
    """Say whether coordinates are such as stamps have, too: a hundred times as many headers are as all others."""
    keywords = {keyword for keyword, _ in cards}
    return (
        str(cards.get("CTYPE1")).startswith("RA--")
        and str(cards.get("CTYPE2")).startswith("DEC-")
        and all(cards.get(unit) in (None, "deg") for unit in ("CUNIT1", "CUNIT2"))
        and cards.get("RADESYS") in (None, "ICRS", "FK5")
        and cards.number("EQUINOX") in (None, 2000)
        and keywords.isdisjoint(("EPOCH", "RADECSYS"))
    )


def _read(header: bytes) -> SkyFrame:
    """Return coordinates as astropy reads them, which is how the index has them.

    Raises
    ------
    NoCoordinates
        There are none.
    Damaged
        There are some that cannot be used.
    """
    with IMPORTS:
        from astropy.io import fits
        from astropy.wcs import WCS

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wcs = WCS(fits.Header.fromstring(header), naxis=2)
            wcs.wcs.set()
    except Exception as error:  # astropy and wcslib raise whatever a header's author did wrong
        reason = " ".join(str(error).split()) or type(error).__name__
        raise Damaged(
            f"The sky coordinates in the stamp's header cannot be used: {reason.rstrip('.')}."
        ) from error
    if not wcs.has_celestial:
        raise NoCoordinates("This stamp has no sky coordinates (no WCS in its FITS header).")
    return frame_of_wcs(wcs)


def _degrees(coordinates: Any) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    spherical = coordinates.spherical
    return np.asarray(spherical.lon.deg, np.float64), np.asarray(spherical.lat.deg, np.float64)
