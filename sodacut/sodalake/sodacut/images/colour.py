"""Three or more bands as one colour picture.

*Lupton* (Lupton et al. 2004) stretches the brightness of all bands together and keeps their ratios, so that a star has
its colour however bright it is; `astropy.visualization` does it. The other modes are curves of `sodacut.stretch`, of
each band by itself.

More than three bands become three channels: the first (reddest) band is red, the last blue, the middle green, and bands
between give part to each of their two neighbours. Where a band has no pixel, the others make the picture; where none
has one, it is transparent.

What is not said is found out. Lupton's weights stand between two wishes: noise of one strength in all bands, so that
empty sky is grey, and light of one strength, so that the usual source is white. Black is a little below the sky of
each band, so that noise can just be seen; Lupton's stretch is twenty times that, or less where nothing is much
brighter. White of other modes is a percentile, but so far above black that empty sky is dark. Pictures that are to be
put side by side have these numbers in common: see `settled`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sodalake.lake.importing import IMPORTS
from sodalake.sodacut.errors import BadPicture
from sodalake.sodacut.stampfits import Pixels
from sodalake.sodacut.stretch import CURVES

__all__ = ["MODES", "Colours", "colour", "settled"]

MODES: Final = ("lupton", *CURVES)
"""What COLOUR takes."""

_FEWEST: Final = 3
_MOST: Final = 32
_GREATEST_Q: Final = 1000
_SAMPLE: Final = 1 << 18  # pixels that the noise is measured on
_STRIP: Final = (
    1 << 17
)  # pixels that are coloured at once: beside a picture there is not another one, of floats
_SKY: Final = 1.0  # noises that black is below the sky
_STRETCH: Final = (
    6.0,
    20.0,
)  # noises that Lupton's stretch is, and white of other modes is above black at least
_LIT: Final = 0.75  # brightness that the brightest pixels get if that allows it
_LOW: Final = (10.0, 1.2816)  # a percentile of sky, and how many noises it is below its middle
_LIGHT: Final = 5.0  # noises that a pixel with light in it is above the sky
_FEW_LIT: Final = 9  # such pixels that say what light is like
_HUGE: Final = np.float32(1e30)  # brighter than anything, and its sums are still numbers
_MAD: Final = 1.4826  # of a median absolute deviation makes a standard one


@dataclass(frozen=True, slots=True)
class Colours:
    """How several bands are shown.

    Attributes
    ----------
    mode
        ``lupton``, or a curve of `sodalake.sodacut.stretch`, then of each band by itself.
    weights
        What each band is multiplied by, in the bands' order (Lupton's before, others' after they are stretched); empty:
        found out.
    stretch
        Lupton's: the value (of a weighted band) up to which brightness is about linear; None: found out.
    q
        Lupton's softening: 0 is linear, 8 is usual, 20 lifts what is faint.
    minimum
        Black, in the pixels' unit: one value, or one for each band; None: found out.
    maximum
        White of other modes than Lupton's, as `minimum`.
    pmin
        The percentile that `minimum` of other modes than Lupton's is, where that is not said; None: black is found out.
    pmax
        The percentile that `maximum` is, where that is not said, and that Lupton's stretch is found from.

    Raises
    ------
    BadPicture
        A value out of its range.
    """

    mode: str = "lupton"
    weights: tuple[float, ...] = ()
    stretch: float | None = None
    q: float = 8.0
    minimum: float | tuple[float, ...] | None = None
    maximum: float | tuple[float, ...] | None = None
    pmin: float | None = None
    pmax: float = 99.5

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise BadPicture(
                f"There is no colour mode {self.mode[:40]!r}.", f"Take one of {', '.join(MODES)}."
            )
        if not all(math.isfinite(weight) and weight >= 0 for weight in self.weights) or (
            self.weights and not any(self.weights)
        ):
            raise BadPicture(
                f"The weights of the bands are {_listed(self.weights)}.",
                "They are numbers from 0 on, one for each band, and not all 0.",
            )
        if self.stretch is not None and not (math.isfinite(self.stretch) and self.stretch > 0):
            raise BadPicture(
                f"Lupton's stretch is {self.stretch:g}.", "It is a positive number, in the pixels' unit."
            )
        if not 0 <= self.q <= _GREATEST_Q:
            raise BadPicture(
                f"Lupton's Q is {self.q:g}.", f"It lies between 0 (linear) and {_GREATEST_Q}; 8 is usual."
            )
        for name, limit in (("Black", self.minimum), ("White", self.maximum)):
            values = limit if isinstance(limit, tuple) else (limit or 0.0,)
            if not values or not all(map(math.isfinite, values)):
                raise BadPicture(
                    f"{name} is {_listed(values)}.",
                    "It is a number, or one for each band, in the pixels' unit.",
                )
        lower = self.pmin or 0.0
        if not 0 <= lower < self.pmax <= 100:
            raise BadPicture(
                f"The percentiles are {lower:g} and {self.pmax:g}.",
                "The lower one comes first, and both lie between 0 and 100.",
            )


def colour(planes: Sequence[Pixels], colours: Colours) -> NDArray[np.uint8]:
    """A colour picture of several bands of one sky.

    Parameters
    ----------
    planes
        (height, width) each, of the same pixels, red first; NaN is no pixel, and infinities are none either.
    colours
        How.

    Returns
    -------
    array (height, width, 4) of uint8
        Red, green, blue and alpha (0: no band has a pixel); row 0 as in `planes`.

    Raises
    ------
    BadPicture
        Fewer than three bands, or not as many weights as bands.
    """
    how = settled(planes, colours)
    height, width = planes[0].shape
    rows = max(1, _STRIP // max(1, width))
    strips = [slice(start, start + rows) for start in range(0, height, rows)]
    if how.mode == "lupton":
        brightest = max(
            (_brightest([plane[strip] for plane in planes], how) for strip in strips), default=0.0
        )
        # What is steeper than that is as steep, and its numbers are none.
        how = replace(how, stretch=max(how.stretch or 1.0, max(how.q, 0.1) * brightest / float(_HUGE)))
    shown = np.empty((height, width, 4), np.uint8)
    for strip in strips:
        shown[strip] = _coloured([plane[strip] for plane in planes], how)
    return shown


def _coloured(planes: Sequence[Pixels], how: Colours) -> NDArray[np.uint8]:
    """Red, green, blue and alpha of some rows."""
    bands = [_numbers(plane) for plane in planes]
    if how.mode == "lupton":
        scaled = _scaled(bands, how)
    else:
        black, white = _each(how.minimum, len(planes)), _each(how.maximum, len(planes))
        scaled = (
            _level(band, how.mode, *limits) * np.float32(weight)
            for band, weight, *limits in zip(bands, how.weights, black, white, strict=True)
        )
    with np.errstate(over="ignore", invalid="ignore"):
        channels, present = _channels(scaled, len(bands))
    if how.mode == "lupton":
        shown = _lupton(channels, present, how)
    else:
        shown = np.rint(np.clip(channels, 0, 1) * 255).astype(np.uint8)
    shown[~present] = 0
    alpha = np.where(present.any(axis=0), np.uint8(255), np.uint8(0))
    return np.moveaxis(np.concatenate([shown, alpha[None]]), 0, 2)


def _scaled(bands: Sequence[NDArray[np.float32]], how: Colours) -> Iterator[NDArray[np.float32]]:
    """Bands above their black, by their weights."""
    for band, low, weight in zip(bands, _each(how.minimum, len(bands)), how.weights, strict=True):
        yield (band - np.float32(low)) * np.float32(weight)


def _brightest(planes: Sequence[Pixels], how: Colours) -> float:
    """The greatest value that some rows have in any band, above black or below; 1 at least."""
    with np.errstate(over="ignore", invalid="ignore"):
        most = [
            float(np.fmax.reduce(np.abs(band), axis=None, initial=np.float32(1)))
            for band in _scaled([_numbers(plane) for plane in planes], how)
        ]
    return min(max(most), float(_HUGE))


def settled(planes: Sequence[Pixels], colours: Colours) -> Colours:
    """The same, with all that is to be found out found out from these bands: for pictures that belong together.

    Parameters
    ----------
    planes
        As of `colour`: an image, or a sample of many.

    Raises
    ------
    BadPicture
        As of `colour`.
    """
    count = len(planes)
    if not _FEWEST <= count <= _MOST:
        raise BadPicture(
            f"A colour picture is made of {_FEWEST} to {_MOST} bands, not of {count}.",
            "Name three bands, red first, or ask for a picture of one band.",
        )
    if len({plane.shape for plane in planes}) != 1:
        raise ValueError("the bands of a colour picture have the same pixels")
    for name, values in (
        ("weights", colours.weights),
        ("blacks", colours.minimum),
        ("whites", colours.maximum),
    ):
        if isinstance(values, tuple) and values and len(values) != count:
            raise BadPicture(
                f"There are {len(values)} {name} for {count} bands.",
                "Give one for each band, in their order.",
            )
    step = max(1, math.isqrt(planes[0].size // _SAMPLE))
    some = [_numbers(plane[::step]) for plane in planes]
    with np.errstate(over="ignore"):
        found = _settled_lupton(some, colours) if colours.mode == "lupton" else _settled_limits(some, colours)
    white, black = _each(found.maximum, count), _each(found.minimum, count)
    if colours.mode != "lupton" and not all(low < high for low, high in zip(black, white, strict=True)):
        raise BadPicture(
            f"Black is {_listed(black)}, white {_listed(white)}.", "Black is less than white, in each band."
        )
    return found


def _numbers(plane: Pixels) -> NDArray[np.float32]:
    """Values that can be reckoned with, NaN where there are none."""
    values = np.where(np.isfinite(plane), plane, np.float32(np.nan))
    return np.asarray(np.clip(values, -_HUGE, _HUGE), np.float32)


def _settled_lupton(bands: Sequence[NDArray[np.float32]], colours: Colours) -> Colours:
    if colours.weights and colours.minimum is not None and colours.stretch is not None:
        return colours
    skies = [_sky(band) for band in bands]
    weights = colours.weights or _balanced(bands, skies)
    minimum = colours.minimum
    if minimum is None:
        minimum = tuple(level - _SKY * noise for level, noise in skies)
    stretch = colours.stretch
    if stretch is None:
        noise = max(weight * noise for weight, (_, noise) in zip(weights, skies, strict=True))
        excess = np.stack(list(_scaled(bands, replace(colours, minimum=minimum, weights=weights))))
        there = np.isfinite(excess)
        light = (
            np.where(there, excess, 0).sum(axis=0)[there.any(axis=0)] / there.sum(axis=0)[there.any(axis=0)]
        )
        brightest = float(np.percentile(light, colours.pmax)) if light.size else 0.0
        stretch = _stretch_for(brightest, noise, colours.q)
    return replace(colours, weights=weights, minimum=minimum, stretch=stretch)


def _settled_limits(bands: Sequence[NDArray[np.float32]], colours: Colours) -> Colours:
    low, high = [], []
    for band in bands:
        some = band[np.isfinite(band)].astype(np.float64)
        limits = _limits(some, colours.pmin or 0.0, colours.pmax)
        if colours.pmin is None:
            level, noise = _sky(band)
            if noise > 0:
                limits[0] = level - _SKY * noise
                limits[1] = max(limits[1], limits[0] + _STRETCH[1] * noise)
        low.append(float(limits[0]))
        high.append(float(limits[1]))
    return replace(
        colours,
        weights=colours.weights or (1.0,) * len(bands),
        minimum=tuple(low) if colours.minimum is None else colours.minimum,
        maximum=tuple(high) if colours.maximum is None else colours.maximum,
    )


def _limits(some: NDArray[np.float64], lower: float, upper: float) -> NDArray[np.float64]:
    """Percentiles of pixels; where they are one value, something around it."""
    limits = np.percentile(some, (lower, upper)) if some.size else np.array([0.0, 1.0])
    if limits[0] >= limits[1]:  # more than that share of the pixels has one value: show the rest
        limits = np.array([some.min(), some.max()])
    if limits[0] >= limits[1]:  # there is but one value: grey
        limits = limits[0] + np.array([-0.5, 0.5]) * max(1.0, abs(limits[0]))
    return limits


def _each(values: float | tuple[float, ...] | None, count: int) -> tuple[float, ...]:
    return values if isinstance(values, tuple) else (values or 0.0,) * count


def _listed(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values) or "none"


def _sky(band: NDArray[np.float32]) -> tuple[float, float]:
    """Level and noise of a band's sky, also where a galaxy fills the picture.

    The noise comes from differences of neighbours, the level from the darker pixels.
    """
    some = band[np.isfinite(band)]
    if not some.size:
        return 0.0, 0.0
    with np.errstate(over="ignore"):
        steps = np.abs(np.diff(band.astype(np.float64), axis=1))
    steps = steps[np.isfinite(steps)]
    noise = _MAD * float(np.median(steps)) / math.sqrt(2) if steps.size else 0.0
    percentile, below = _LOW
    return float(np.percentile(some, percentile)) + below * noise, noise


def _balanced(
    bands: Sequence[NDArray[np.float32]], skies: Sequence[tuple[float, float]]
) -> tuple[float, ...]:
    """Weights that make noise and light alike, half each; 1 on (logarithmic) average."""
    noises = np.array([noise for _, noise in skies])
    if not (noises > 0).all():
        return (1.0,) * len(bands)
    excess = np.stack([band - np.float64(level) for band, (level, _) in zip(bands, skies, strict=True)])
    with np.errstate(invalid="ignore"):
        lit = (excess / noises[:, None, None]).mean(axis=0) > _LIGHT
    light = excess[:, lit].mean(axis=1) if np.count_nonzero(lit) >= _FEW_LIT else noises
    strength = np.log(noises) if not (light > 0).all() else (np.log(noises) + np.log(light)) / 2
    return tuple(float(weight) for weight in np.exp(strength.mean() - strength))


def _stretch_for(brightest: float, noise: float, q: float) -> float:
    """The stretch that shows the brightest pixels well, without showing much noise."""
    soft = max(q, 0.1)  # astropy takes 0 for 0.1
    # Lupton's brightness of a value is asinh(q value / stretch) / 10 asinh(q / 10).
    wanted = soft * brightest / math.sinh(min(700.0, 10 * _LIT * math.asinh(soft / 10)))
    if noise > 0:
        wanted = min(max(wanted, _STRETCH[0] * noise), _STRETCH[1] * noise)
    return wanted if wanted > 0 else 1.0


def _mixing(count: int) -> NDArray[np.float32]:
    """What each band gives to red, green and blue: (3, count)."""
    place = 2 * np.arange(count) / (count - 1)
    return np.asarray(np.maximum(0, 1 - np.abs(place - np.arange(3)[:, None])), np.float32)


def _channels(
    bands: Iterable[NDArray[np.float32]], count: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Red, green and blue, 0 where no band of a channel has a pixel; and where one has."""
    total: NDArray[Any] = np.zeros(1, np.float32)
    share: NDArray[Any] = np.zeros(1, np.float32)
    for band, parts in zip(bands, _mixing(count).T, strict=True):
        there = ~np.isnan(band)
        value = np.where(there, np.clip(band, -_HUGE, _HUGE), np.float32(0))
        total = total + np.multiply.outer(parts, value)
        share = share + np.multiply.outer(parts, there.astype(np.float32))
    present = share > 0
    return np.divide(total, share, out=np.zeros_like(total), where=present), present


def _lupton(channels: NDArray[np.float32], present: NDArray[np.bool_], colours: Colours) -> NDArray[np.uint8]:
    with IMPORTS:
        from astropy.visualization import LuptonAsinhStretch, make_lupton_rgb

    # Brightness is the mean of what is there: a channel that is not is the mean of the others, until it is drawn.
    mean = channels.sum(axis=0) / np.maximum(present.sum(axis=0), 1).astype(np.float32)
    filled = np.where(present, channels, mean)
    curve = LuptonAsinhStretch(stretch=colours.stretch or 1.0, Q=colours.q)
    with np.errstate(
        divide="ignore", invalid="ignore"
    ):  # of pixels that are 0 it divides by their brightness, too
        rgb = make_lupton_rgb(*filled, minimum=0.0, stretch_object=curve)
    return np.ascontiguousarray(np.moveaxis(rgb, 2, 0))


def _level(band: NDArray[np.float32], mode: str, low: float, high: float) -> NDArray[np.float32]:
    with np.errstate(invalid="ignore", over="ignore"):
        share = np.clip((band.astype(np.float64) - low) / (high - low), 0, 1)
    return np.asarray(CURVES[mode](share), np.float32)
