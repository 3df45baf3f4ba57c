"""What is asked of survey images, as plain values: made where a request is understood, sent to a worker, done there.

There are two kinds of request, after SODA and after what people mean.

`ByImage` names an image and filters it, as SODA does: what of the image a region, an interval of wavelengths or of time
leaves. It never gives more than the image has (SODA 1.0, 3.3), and nothing at all is an answer (`NoOverlap`).

`AtPosition` names a place and a size, and the archive looks which images have it. What is given is always of that size:
where no image has a pixel there is NaN, and the answer says how much of it there was.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from sodalake.sodacut.picture import Look
from sodalake.sodacut.shapes import Region

if TYPE_CHECKING:
    from sodalake.sodacut.images.colour import Colours

__all__ = [
    "ALGORITHMS",
    "FORMS",
    "GRIDS",
    "METHODS",
    "Algorithm",
    "AtPosition",
    "ByImage",
    "Form",
    "GridName",
    "ImageRequest",
    "Interval",
    "Limits",
    "Method",
    "Output",
    "Size",
    "meets",
]

Interval = tuple[float, float]
"""Lower and upper end, both included; either may be infinite."""

Form = Literal["fits", "png", "jpeg", "json"]
FORMS: Final[tuple[Form, ...]] = ("fits", "png", "jpeg", "json")

Algorithm = Literal["single", "coadd", "nearest", "median"]
ALGORITHMS: Final[tuple[Algorithm, ...]] = ("single", "coadd", "nearest", "median")
"""``single``: the one image that has most of it. The others take all images: their weighted mean, each pixel of the
image whose centre is nearest, or their median."""

Method = Literal["interp", "adaptive", "exact"]
METHODS: Final[tuple[Method, ...]] = ("interp", "adaptive", "exact")
"""How pixels are resampled: `reproject`'s names."""

GridName = Literal["north", "image"]
GRIDS: Final[tuple[GridName, ...]] = ("north", "image")
"""``north``: a tangent plane at the position, north up. ``image``: the pixels of the image that has most of it."""


@dataclass(frozen=True, slots=True)
class Output:
    """What is made of the pixels.

    Attributes
    ----------
    form
        ``fits``, ``png``, ``jpeg``; ``json``: the pixels as an array of arrays.
    look
        Of a picture of one band.
    colours
        Of a picture of several bands; None: one band, through `look`.
    scale
        Pixels given for one pixel of the image; below 1 they are averaged, above 1 (pictures only) repeated.
    longest
        Instead of `scale`: pixels of the longer side.
    marker, scalebar
        Whether a picture has a mark in its middle, and a bar that says how long an angle is.
    """

    form: Form = "fits"
    look: Look = field(default_factory=Look)
    colours: Colours | None = None
    scale: float = 1.0
    longest: int | None = None
    marker: bool = False
    scalebar: bool = False

    @property
    def is_picture(self) -> bool:
        """Whether it is looked at, rather than measured."""
        return self.form in ("png", "jpeg")

    def factor(self, longer_side: int) -> float:
        """Return the scale, of an image whose longer side has so many pixels."""
        return self.scale if self.longest is None else self.longest / max(1, longer_side)


@dataclass(frozen=True, slots=True)
class Size:
    """How large a cut by position is.

    Attributes
    ----------
    width, height
        In `unit`: ``deg``, or pixels of the image (``px``).
    """

    width: float
    height: float
    unit: Literal["deg", "px"] = "deg"

    def pixels(self, pixel_scale: float) -> tuple[int, int]:
        """Return (width, height) in pixels of so many arcseconds; at least 1."""
        if self.unit == "px":
            return max(1, round(self.width)), max(1, round(self.height))
        per_degree = 3600 / pixel_scale
        # A size that is a whole number of pixels but for the last digit is that number.
        return tuple(max(1, math.ceil(side * per_degree - 1e-6)) for side in (self.width, self.height))  # type: ignore[return-value]

    def degrees(self, pixel_scale: float) -> tuple[float, float]:
        """Return (width, height) in degrees, of pixels of so many arcseconds."""
        if self.unit == "deg":
            return self.width, self.height
        return self.width * pixel_scale / 3600, self.height * pixel_scale / 3600


@dataclass(frozen=True, slots=True)
class ByImage:
    """What filters leave of one image.

    Attributes
    ----------
    survey, image_id
        Which.
    region
        Cut to the bounding box of what it shares with the image; None: all of it.
    band
        Wavelengths, metres.
    time
        MJD (UTC).
    pol
        Polarization states; images have none, so that any leaves nothing.
    planes
        What stands beside the image and is to come along, by the survey's names; FITS only.
    """

    survey: str
    image_id: str
    region: Region | None = None
    band: Interval | None = None
    time: Interval | None = None
    pol: tuple[str, ...] = ()
    planes: tuple[str, ...] = ()
    output: Output = Output()

    @property
    def is_several(self) -> bool:
        """Whether it holds several images in memory at once."""
        return False


@dataclass(frozen=True, slots=True)
class AtPosition:
    """A place on the sky, of one size whatever the images have.

    Attributes
    ----------
    survey
        Which.
    ra, dec
        The middle, degrees, ICRS.
    size
        See `Size`.
    bands
        Names, in the order in which they are given; of a colour picture red first. None: those of the survey's colours
        for a picture, else all that have an image there.
    collection
        Only images of this one.
    algorithm, method
        How several images become one, and how they are resampled.
    match
        Bring the images' backgrounds to one level.
    masked
        Take pixels that a mask flags for missing.
    grid
        Whose pixels a mosaic has.
    time
        Only images that were taken then, MJD (UTC); none of which that is not known.
    planes
        As of `ByImage`; ``weight`` of a mosaic is the sum of the weights.
    """

    survey: str
    ra: float
    dec: float
    size: Size
    bands: tuple[str, ...] = ()
    collection: str | None = None
    algorithm: Algorithm = "single"
    method: Method = "interp"
    match: bool = False
    masked: bool = False
    grid: GridName = "north"
    time: Interval | None = None
    planes: tuple[str, ...] = ()
    output: Output = Output()

    @property
    def is_several(self) -> bool:
        """Whether it holds several images in memory at once."""
        return self.algorithm != "single"


ImageRequest = ByImage | AtPosition


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may cost; see `sodalake.sodacut.images.costs`.

    Attributes
    ----------
    seconds
        Expected.
    pixels
        Given, of all bands and planes together.
    bytes
        Read.
    side
        Pixels of the longer side.
    """

    seconds: float = math.inf
    pixels: float = math.inf
    bytes: float = math.inf
    side: float = math.inf


def meets(wanted: Interval | None, low: float | None, high: float | None) -> bool:
    """Say whether an interval meets what is from `low` to `high`; where these are not known, it may.

    A filter can only leave out what is known to be outside (SODA 1.0, 3.3).
    """
    if wanted is None:
        return True
    if high is not None and high < wanted[0]:
        return False
    return low is None or low <= wanted[1]
