"""Sky coordinates of a stamp, and the box of pixels a region covers.

Rubin's alert stamps carry a matrix, a reference pixel and a reference position, but no CTYPE: read to the
letter that is a linear world, in which a degree of longitude is as long as one of latitude at any
declination. The matrix really holds offsets on the tangent plane. (Seen in real alerts: two sources of one
visit and detector 0.053 degrees apart at declination 9; the matrix gives the difference of right ascension
times cos(dec) to 0.04 %, which the plain difference misses by 1.4 %.) So a header with a matrix and a
reference position but no CTYPE is read as RA---TAN, DEC--TAN; the header itself is not touched.

Plain headers, matrix and two CTYPEs, are handed to wcslib card by card (0.05 ms); those with distortions or
other projections' parameters go through `astropy.wcs.WCS` (1.5 ms). astropy.wcs is imported when the first
region is asked for: the import takes a second, and most stamps never need it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sodalake.lake.errors import Damaged
from sodalake.lake.importing import IMPORTS
from sodalake.sodacut.cards import Header
from sodalake.sodacut.errors import NoCoordinates, NoOverlap
from sodalake.sodacut.mocs import Cells
from sodalake.sodacut.shapes import Directions, Range, Region, directions

__all__ = ["Box", "SkyFrame", "lon_lat", "pixel_box", "sky_frame"]

_MATRIX = re.compile(r"(?:PC|CD)[12]_[12]\Z|CDELT[12]\Z")
_PLAIN = re.compile(
    r"(?:CTYPE|CRPIX|CRVAL|CDELT|CUNIT)[12]\Z|(?:PC|CD)[12]_[12]\Z|LONPOLE\Z|LATPOLE\Z|WCSAXES\Z|MJDREF\Z|RADESYS\Z|EQUINOX\Z"
)
_COORDINATE = re.compile(
    r"(?:CTYPE|CRPIX|CRVAL|CDELT|CUNIT|CROTA)\d+\Z|(?:PC|CD|PV|PS|A|B|AP|BP|D2IM\w*|DP|DQ)\d*_\w+\Z|(?:CPDIS|CQDIS|LONPOLE|LATPOLE|WCSAXES|RADESYS|EQUINOX|RADECSYS|EPOCH)\d*\Z"
)
_MOST = {"WCSAXES": 9, "A_ORDER": 9, "B_ORDER": 9, "AP_ORDER": 9, "BP_ORDER": 9}
_ADVICE = "Ask without a region: the whole stamp is small, and centred on its alert."
_SAMPLES = 513  # along a whole outline; refined where the outline turns
_SMALL_CAP = (
    30.0  # degrees; the outline of a larger region may not project, its box is found from the image's side
)


@dataclass(frozen=True, slots=True)
class Box:
    """A box of pixels, counted from 0: columns x0 ≤ x < x1, rows y0 ≤ y < y1."""

    x0: int
    x1: int
    y0: int
    y1: int

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width)."""
        return self.y1 - self.y0, self.x1 - self.x0


class SkyFrame:
    """Pixels to the sky and back, for one image.

    Pixel coordinates count from 0 at the centre of the first pixel; the sky is unit vectors, ICRS.
    """

    __slots__ = ("_wcs",)

    is_icrs = True
    """Whether the world's two numbers are right ascension and declination, ICRS."""

    def __init__(self, wcs: Any) -> None:
        self._wcs = wcs

    @property
    def wcs(self) -> Any:
        """The `astropy.wcs.WCS` behind it."""
        return self._wcs

    def to_sky(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> Directions:
        """Directions (n, 3) of pixel coordinates; NaN where the projection has none."""
        lon, lat = self._wcs.all_pix2world(x, y, 0)
        return directions(lon, lat)

    def to_pixels(self, points: Directions) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Pixel coordinates (x, y) of directions; NaN where they do not project."""
        return self._pixels(*lon_lat(points.T))

    def _pixels(self, first: Any, second: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        if self._wcs.has_distortion:
            x, y = self._wcs.all_world2pix(first, second, 0, quiet=True)
        else:
            x, y = self._wcs.wcs_world2pix(first, second, 0)
        return x, y


def sky_frame(header: Header) -> SkyFrame:
    """The coordinates a header gives its image.

    Raises
    ------
    NoCoordinates
        There are none (ZTF's stamps), or they are no equatorial ones.
    Damaged
        There are some that cannot be used: a singular matrix, numbers that are none.
    """
    keywords = {keyword for keyword, _ in header}
    if not {"CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2"} <= keywords or not any(map(_MATRIX.match, keywords)):
        raise NoCoordinates("This stamp has no sky coordinates (no WCS in its FITS header).", _ADVICE)
    types = [header.get(f"CTYPE{axis}") for axis in (1, 2)]
    if types == [None, None]:
        types = ["RA---TAN", "DEC--TAN"]
    first, second = (name or "" for name in types)
    if not (first.startswith("RA--") and second.startswith("DEC-")):
        raise NoCoordinates(
            f"This stamp's coordinates are {first}, {second}: no right ascension and declination.", _ADVICE
        )
    equinox = header.number("EQUINOX")
    system = header.get("RADESYS") or ("ICRS" if equinox in (None, 2000) else f"of equinox {equinox}")
    if system not in ("ICRS", "FK5") or (system == "FK5" and equinox not in (None, 2000)):
        # (FK5 J2000 is ICRS to 0.03 arcsec, less than a pixel.)
        raise NoCoordinates(f"This stamp's coordinates are {system}: regions are ICRS.", _ADVICE)
    return SkyFrame(_wcs(header, keywords, first, second))


def _wcs(header: Header, keywords: set[str], first: str, second: str) -> Any:
    with IMPORTS:
        from astropy.wcs import WCS, WcsError

    try:
        if any(_COORDINATE.match(key) and not _PLAIN.match(key) for key in keywords):
            return _invertible(_full_wcs(header, first, second))
        wcs = WCS(naxis=2)
        inner = wcs.wcs
        inner.ctype = [first, second]
        inner.crpix = [_real(header, "CRPIX1"), _real(header, "CRPIX2")]
        inner.crval = [_real(header, "CRVAL1"), _real(header, "CRVAL2")]
        inner.cdelt = [_real(header, "CDELT1", 1.0), _real(header, "CDELT2", 1.0)]
        if any(key.startswith("CD") and key[2:3].isdigit() for key in keywords):
            inner.cd = [[_real(header, f"CD{i}_{j}", 0.0) for j in (1, 2)] for i in (1, 2)]
        else:
            inner.pc = [[_real(header, f"PC{i}_{j}", float(i == j)) for j in (1, 2)] for i in (1, 2)]
        if "LONPOLE" in keywords:
            inner.lonpole = _real(header, "LONPOLE")
        if "LATPOLE" in keywords:
            inner.latpole = _real(header, "LATPOLE")
        inner.set()
        return _invertible(wcs)
    except (WcsError, ValueError) as error:
        raise Damaged(
            f"The sky coordinates in the stamp's header cannot be used: {_last_line(error)}."
        ) from error


def _full_wcs(header: Header, first: str, second: str) -> Any:
    """Coordinates as astropy reads them from the whole header, distortions and all.

    Raises
    ------
    ValueError
        Whatever a header that is no good makes astropy trip over.
    """
    with IMPORTS:
        from astropy.io.fits import Header as AstropyHeader
        from astropy.io.fits import VerifyError
        from astropy.wcs import WCS

    for keyword, most in _MOST.items():  # astropy makes tables of that size before it looks further
        number = header.number(keyword)
        if keyword in header and not (number is not None and 0 <= number <= most):
            raise ValueError(f"{keyword} lies between 0 and {most}.")
    full = AstropyHeader.fromstring(b"".join(header.cards))
    try:
        full["CTYPE1"], full["CTYPE2"] = first, second
        return WCS(full, naxis=2, fix=False)
    except (VerifyError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
        raise ValueError(f"astropy cannot read them ({error})") from error


def _last_line(error: Exception) -> str:
    return next(
        (line for line in reversed(str(error).splitlines()) if line.strip()), "no reason given"
    ).strip()


def _invertible(wcs: Any) -> Any:
    """The same, or ValueError for a matrix that flattens the sky: wcslib would answer NaN, or nonsense."""
    matrix = wcs.pixel_scale_matrix
    rows = np.linalg.norm(matrix, axis=1)
    if not abs(np.linalg.det(matrix)) > 1e-12 * rows[0] * rows[1] > 0:
        raise ValueError("the matrix is singular.")
    return wcs


def _real(header: Header, keyword: str, default: float | None = None) -> float:
    if header.get(keyword) is None and default is not None:
        return default
    number = header.number(keyword)
    if number is None:
        raise ValueError(f"{keyword} is no number.")
    return float(number)


def pixel_box(region: Region, frame: SkyFrame, shape: tuple[int, int]) -> Box:
    """The pixels a region's bounding box touches, clipped to the image.

    The box is the region's own extent along the image's axes: a pixel belongs to it if any part of it lies
    within, so that the answer covers the region (SODA 1.0, section 3.3: values beyond the data are clipped to
    them).

    Parameters
    ----------
    shape
        (height, width) of the image.

    Raises
    ------
    NoOverlap
        The region itself (not only its box) touches no pixel.
    """
    if isinstance(region, Cells):
        extent = region.extent(frame, shape)
        if extent is None:
            raise _beside()
        return Box(*extent)
    height, width = shape
    image_centre, image_radius = _image_cap(frame, shape)
    centre, radius = region.cap()
    apart = np.degrees(2 * np.arcsin(np.minimum(np.linalg.norm(centre - image_centre) / 2, 1.0)))
    if apart > radius + image_radius:
        raise _beside()
    if radius > _SMALL_CAP and isinstance(region, Range):
        # A band around the sky, perhaps thinner than a pixel: its part about the image is small, and has an outline.
        piece = region.near(*lon_lat(image_centre[0]), image_radius)
        if piece is None:
            raise _beside()
        region, radius = piece, piece.cap()[1]
    if radius > _SMALL_CAP:
        return _box_from_grid(region, frame, shape)
    arcs = region.arcs()
    t = np.linspace(0, 1, max(9, _SAMPLES // len(arcs)))
    traces = [frame.to_pixels(arc(t)) for arc in arcs]
    xs, ys = (np.concatenate(coordinate) for coordinate in zip(*traces, strict=True))
    if not (np.isfinite(xs).all() and np.isfinite(ys).all()):
        return _box_from_grid(region, frame, shape)
    crossed = any(_crosses(x, y, width, height) for x, y in traces)
    if not crossed and not region.holds(image_centre)[0]:
        raise _beside()
    low_x, high_x = (_extreme(arcs, frame, t, xs, 0, sign) for sign in (-1, 1))
    low_y, high_y = (_extreme(arcs, frame, t, ys, 1, sign) for sign in (-1, 1))
    box = Box(
        max(0, _pixel(low_x)),
        min(width, _pixel(high_x) + 1),
        max(0, _pixel(low_y)),
        min(height, _pixel(high_y) + 1),
    )
    if box.x0 >= box.x1 or box.y0 >= box.y1:
        raise _beside()
    return box


def lon_lat(components: NDArray[np.float64]) -> tuple[Any, Any]:
    """Longitude and latitude, degrees, of unit vectors, whose components stand in the first axis."""
    x, y, z = components
    return np.degrees(np.arctan2(y, x)) % 360, np.degrees(np.arctan2(z, np.hypot(x, y)))


def _beside() -> NoOverlap:
    return NoOverlap("The region has no pixel of this stamp.")


def _pixel(coordinate: float) -> int:
    return int(np.floor(np.clip(coordinate, -1e9, 1e9) + 0.5))


def _image_cap(frame: SkyFrame, shape: tuple[int, int]) -> tuple[Directions, float]:
    height, width = shape
    x = np.array([(width - 1) / 2, -0.5, width - 0.5, -0.5, width - 0.5])
    y = np.array([(height - 1) / 2, -0.5, -0.5, height - 0.5, height - 0.5])
    points = frame.to_sky(x, y)
    chords = np.linalg.norm(points[1:] - points[0], axis=1)
    radius = float(np.degrees(2 * np.arcsin(np.minimum(chords.max() / 2, 1.0))))
    return points[:1], radius * 1.01 if np.isfinite(radius) else 180.0


def _extreme(
    arcs: list[Any],
    frame: SkyFrame,
    t: NDArray[np.float64],
    samples: NDArray[np.float64],
    axis: int,
    sign: int,
) -> float:
    """The outline's least (sign -1) or greatest (1) coordinate.

    The best sample, then its neighbourhood again.
    """
    best = int(np.argmax(sign * samples))
    arc, place = divmod(best, len(t))
    step = t[1]
    fine = np.clip(np.linspace(t[place] - step, t[place] + step, 129), 0, 1)
    refined = frame.to_pixels(arcs[arc](fine))[axis]
    return float(sign * max(np.nanmax(sign * refined), sign * samples[best]))


def _crosses(x: NDArray[np.float64], y: NDArray[np.float64], width: int, height: int) -> bool:
    """Whether a line through these points meets the image (Liang and Barsky's clipping, at once)."""
    enter = np.zeros(len(x) - 1)
    leave = np.ones(len(x) - 1)
    for coordinate, size in ((x, width), (y, height)):
        start, delta = coordinate[:-1], np.diff(coordinate)
        with np.errstate(divide="ignore", invalid="ignore"):
            first, last = (-0.5 - start) / delta, (size - 0.5 - start) / delta
        still = delta == 0
        inside = (start >= -0.5) & (start <= size - 0.5)
        first = np.where(still, np.where(inside, -np.inf, np.inf), first)
        last = np.where(still, np.where(inside, np.inf, -np.inf), last)
        enter = np.maximum(enter, np.minimum(first, last))
        leave = np.minimum(leave, np.maximum(first, last))
    return bool((enter <= leave).any())


def _box_from_grid(region: Region, frame: SkyFrame, shape: tuple[int, int]) -> Box:
    """The box from the image's side: which pixels have a corner, a middle of a side or their centre in the
    region.

    For regions so large that their outline need not project. Next to an image their edge is all but straight,
    and an edge that takes a part of a pixel takes one of these points, but for corners thinner than half a
    pixel.
    """
    height, width = shape
    x, y = np.meshgrid(np.arange(2 * width + 1) / 2 - 0.5, np.arange(2 * height + 1) / 2 - 0.5)
    points = frame.to_sky(x.ravel(), y.ravel())
    inside = region.holds(np.nan_to_num(points)) & np.isfinite(points).all(axis=1)
    rows, columns = np.nonzero(inside.reshape(x.shape))
    if not len(rows):
        raise _beside()
    return Box(
        max(0, (int(columns.min()) - 1) // 2),
        min(width, int(columns.max()) // 2 + 1),
        max(0, (int(rows.min()) - 1) // 2),
        min(height, int(rows.max()) // 2 + 1),
    )
