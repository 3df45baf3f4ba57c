"""Parameters of images, each read strictly: intervals, sizes, bands, planes, and how a picture looks.

SODA and the REST API read theirs by these; jobs do too, for every row of a list. What does not depend on the place or
the image is checked here, before anything is looked for.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final

from sodalake.lake.errors import NotInLake
from sodalake.lake.images.imagesurvey import ImageSurvey
from sodalake.server.dali import Parameters, clip
from sodalake.server.errors import BadParameter
from sodalake.sodacut.images.colour import MODES, Colours
from sodalake.sodacut.images.requests import Form, Interval, Output, Size
from sodalake.sodacut.picture import LARGEST, Look
from sodalake.sodacut.stretch import STRETCHES

__all__ = ["bands", "collection", "interval", "output", "place", "planes", "polarization", "size"]

_NUMBER: Final = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_SIZE: Final = re.compile(rf"({_NUMBER.pattern})\s*([a-zA-Z]*|\"|''|'|″|′|°)", re.ASCII)
_INFINITY: Final = re.compile(r"([+-]?)inf(inity)?", re.I)
_STATE: Final = re.compile(r"[A-Za-z]{1,8}", re.ASCII)
# How much of a degree each unit of an angle is; pixels are of the image.
_ANGLES: Final[Mapping[str, float]] = {
    **dict.fromkeys(("", "deg", "degree", "degrees", "°"), 1.0),
    **dict.fromkeys(("arcmin", "arcminute", "arcminutes", "'", "′"), 1 / 60),
    **dict.fromkeys(("arcsec", "arcsecond", "arcseconds", '"', "''", "″"), 1 / 3600),
    "mas": 1 / 3_600_000,
}
_PIXELS: Final = ("px", "pix", "pixel", "pixels")
_SIZE_FORM: Final = "Write degrees (0.05), 3arcmin, 30arcsec or 100px."
_LARGEST_ANGLE: Final = 180.0
_MOST_WORDS: Final = 32
_LEAST_SCALE: Final = 1e-5  # what it makes one pixel of is wider than any image


def interval(parameters: Parameters, name: str, unit: str) -> Interval | None:
    """Read an interval of DALI (1.1, 3.3.4): two numbers, -Inf and +Inf too; one number is both.

    Raises
    ------
    BadParameter, MultiValuedParamNotSupported
        It is none.
    """
    value = parameters.one(name)
    if value is None:
        return None
    numbers = [_end(word) for word in value.split()[:3]]
    if len(numbers) not in (1, 2) or any(math.isnan(number) for number in numbers):
        raise BadParameter(
            f"{name}={clip(value)!r} is no interval.",
            f"Send one number, or two, in {unit}; -Inf and +Inf too.",
        )
    low, high = numbers[0], numbers[-1]
    if low > high or low == math.inf or high == -math.inf:
        raise BadParameter(f"{name}={clip(value)!r} holds nothing.", "Send the lower end first.")
    return low, high


def _end(word: str) -> float:
    if _NUMBER.fullmatch(word):
        return float(word)
    return float(word) if word.isascii() and _INFINITY.fullmatch(word) else math.nan


def polarization(parameters: Parameters) -> tuple[str, ...]:
    """Read POL: states, all values of which are one filter (SODA 1.0, 3.3)."""
    states = [value.strip() for value in parameters.get("pol", ()) if value.strip()]
    for state in states:
        if not _STATE.fullmatch(state):
            raise BadParameter(
                f"POL={clip(state)!r} is no polarization state.", "States are I, Q, U, V, RR, LL, XX, …"
            )
    return tuple(dict.fromkeys(state.upper() for state in states))


def place(parameters: Parameters) -> tuple[float, float]:
    """Read RA and DEC: degrees, ICRS; right ascensions of any number of turns."""
    found = []
    for name, form in (("RA", "It is in degrees, as 186.57."), ("DEC", "It is in degrees, from -90 to 90.")):
        value = parameters.required(name, form)
        number = _end(value)
        if not math.isfinite(number) or (name == "DEC" and abs(number) > 90):
            raise BadParameter(f"{name}={clip(value)!r} is no place.", form)
        found.append(number)
    return found[0] % 360.0, found[1]


def size(parameters: Parameters) -> Size:
    """Read SIZE, or WIDTH and HEIGHT: angles, or pixels."""
    sides: list[tuple[float, str]] = []
    whole = parameters.one("SIZE")
    if whole is not None:
        for name in ("WIDTH", "HEIGHT"):
            if parameters.one(name) is not None:
                raise BadParameter(f"SIZE and {name} say the same thing.", "Send one of them.")
        words = _size_words(whole)
        sides = [_side("SIZE", word) for word in words]
        if len(sides) > 2:
            raise BadParameter(
                f"SIZE={clip(whole)!r} has {len(sides)} sides.", "Send one, or width and height."
            )
    else:
        for name in ("WIDTH", "HEIGHT"):
            value = parameters.one(name)
            if value is None:
                other = "HEIGHT" if name == "WIDTH" else "WIDTH"
                value = parameters.one(other)
            if value is None:
                raise BadParameter("A value for SIZE is required.", _SIZE_FORM)
            sides.append(_side(name, value))
    (width, unit), (height, other_unit) = sides[0], sides[-1]
    if unit != other_unit:
        raise BadParameter("Width and height are in different units.", "Send both as angles, or as pixels.")
    return Size(width, height, "px" if unit == "px" else "deg")


def _size_words(value: str) -> list[str]:
    """Split 'width height', where each may be '5 arcmin'."""
    parts = [part for part in re.split(r",|\s+[x×]\s+|(?<=\d)[x×](?=\d)", value) if part.strip()]
    if len(parts) != 1:
        return parts or [value]
    words = value.split()
    if len(words) > 1 and all(_SIZE.fullmatch(word) for word in words):
        return words
    return [value]


def _side(name: str, text: str) -> tuple[float, str]:
    """Return a side, and whether it is in ``deg`` or ``px``."""
    text = text.strip()
    match = _SIZE.fullmatch(text) if len(text) <= 64 else None
    number = float(match[1]) if match else math.nan
    unit = match[2].lower() if match else ""
    if match is None or not math.isfinite(number) or (unit not in _ANGLES and unit not in _PIXELS):
        raise BadParameter(f"{name}={clip(text)!r} is no size.", _SIZE_FORM)
    if number <= 0:
        raise BadParameter(f"{name}={clip(text)!r} is no size: it is above 0.", _SIZE_FORM)
    if unit in _PIXELS:
        if not (number >= 1 and number == int(number)):
            raise BadParameter(f"{name}={clip(text)!r} is no number of pixels.", _SIZE_FORM)
        if number > 1_000_000:
            raise BadParameter(f"{name}={clip(text)!r} is larger than any image.", _SIZE_FORM)
        return number, "px"
    degrees = number * _ANGLES[unit]
    if degrees > _LARGEST_ANGLE:
        raise BadParameter(f"{name}={clip(text)!r} is more than half of the sky.", _SIZE_FORM)
    return degrees, "deg"


def bands(parameters: Parameters, survey: ImageSurvey, name: str = "BANDS") -> tuple[str, ...]:
    """Read names of bands: one, several with commas or spaces between, or one letter each; none: empty."""
    value = parameters.one(name)
    if value is None:
        return ()
    known = {band: band for band in survey.bands}
    for band in survey.bands:  # in any case of letters, where no other band is written so
        known.setdefault(band.lower(), band)
        known.setdefault(band.upper(), band)
    words = re.split(r"[\s,]+", value.strip(" ,"))
    if len(words) > _MOST_WORDS or len(value) > 256:
        raise BadParameter(f"{name} has too many bands.", f"At most {_MOST_WORDS} are taken.")
    if len(words) == 1 and words[0] not in known and all(letter in known for letter in words[0]):
        words = list(words[0])
    if known:
        for word in words:
            if word not in known:
                raise BadParameter(
                    f"{survey.name} has no band {clip(word)!r}.", f"Its bands: {', '.join(survey.bands)}."
                )
    return tuple(dict.fromkeys(known.get(word, word) for word in words if word))


def collection(parameters: Parameters, survey: ImageSurvey) -> str | None:
    """Read COLLECTION, one of the survey's."""
    value = parameters.one("COLLECTION")
    if value is None or value in survey.collections:
        return value
    raise NotInLake(
        f"{survey.name} has no collection {clip(value)!r}.",
        f"Its collections: {', '.join(survey.collections)}.",
    )


def planes(parameters: Parameters, survey: ImageSurvey) -> tuple[str, ...]:
    """Read PLANES: names of what stands beside the survey's images, with commas or spaces between."""
    value = parameters.one("PLANES")
    if value is None:
        return ()
    words = [word for word in re.split(r"[\s,]+", value.lower()) if word]
    known = tuple(survey.images.planes)
    for word in words:
        if word not in known:
            raise BadParameter(
                f"{survey.name} has no plane {clip(word)!r}.",
                f"Its planes: {', '.join(known)}." if known else "Its images have none; leave PLANES out.",
            )
    return tuple(dict.fromkeys(words))


def output(parameters: Parameters, form: Form, *, several: bool = False) -> Output:
    """Read how the pixels are given: SCALE, PIXELS, and how a picture looks.

    Parameters
    ----------
    several
        Whether a picture may be of several bands; COLOUR, WEIGHTS, Q and MINIMUM are read then.

    Raises
    ------
    BadParameter, BadPicture
        One of the parameters cannot be.
    """
    is_picture = form in ("png", "jpeg")
    scale, longest = _scale(parameters, is_picture)
    if not is_picture:
        return Output(form, scale=scale, longest=longest)
    stretch = parameters.one("STRETCH")
    is_number = stretch is not None and math.isfinite(_end(stretch))
    if is_number and not several:
        raise BadParameter(f"STRETCH={clip(str(stretch))!r} is not known.", f"Known: {', '.join(STRETCHES)}.")
    limits: dict[str, Any] = {
        name: parameters.number(name.upper(), 0.0)
        for name in ("pmin", "pmax")
        if parameters.one(name) is not None
    }
    look = Look(
        "asinh" if stretch is None or is_number else stretch.lower(),
        colormap=parameters.one("COLORMAP") or "grayscale",
        **limits,
    )
    return Output(
        form,
        look,
        _colours(parameters, None if is_number else stretch, limits) if several else None,
        scale,
        longest,
        parameters.flag("MARKER"),
        parameters.flag("SCALEBAR"),
    )


def _scale(parameters: Parameters, is_picture: bool) -> tuple[float, int | None]:
    if parameters.one("PIXELS") is not None:
        if parameters.one("SCALE") is not None:
            raise BadParameter("SCALE and PIXELS say the same thing.", "Send one of them.")
        return 1.0, parameters.integer("PIXELS", 1024, 1, LARGEST)
    scale = parameters.number("SCALE", 1.0)
    most = float(LARGEST) if is_picture else 1.0
    if scale > most:
        raise BadParameter(
            f"SCALE={scale:g} is more than {most:g}.",
            "Below 1 pixels are averaged."
            if is_picture
            else "Only pictures are made larger than their pixels.",
        )
    if scale < _LEAST_SCALE:
        raise BadParameter(
            f"SCALE={scale:g} is less than {_LEAST_SCALE:g}.",
            f"With that {round(1 / _LEAST_SCALE)} pixels on a side become one: no image has more.",
        )
    return scale, None


def _colours(parameters: Parameters, stretch: str | None, limits: Mapping[str, float]) -> Colours:
    """Read how several bands are shown; STRETCH is a number for Lupton's, and else one of the modes."""
    modes = tuple(dict.fromkeys((*MODES, "lupton")))
    mode = parameters.choice("COLOUR", modes, parameters.choice("COLOR", modes))
    if mode is None:
        mode = parameters.choice("STRETCH", modes, "lupton") if stretch is not None else "lupton"
    given: dict[str, Any] = {"mode": mode, **limits}
    if (weights := _numbers(parameters, "WEIGHTS")) is not None:
        given["weights"] = weights
    if (minimum := _numbers(parameters, "MINIMUM")) is not None:
        given["minimum"] = minimum[0] if len(minimum) == 1 else minimum
    if parameters.one("Q") is not None:
        given["q"] = parameters.number("Q", 8.0)
    if stretch is None and parameters.one("STRETCH") is not None:
        given["stretch"] = parameters.number("STRETCH", 1.0)
    return Colours(**given)


def _numbers(parameters: Parameters, name: str) -> tuple[float, ...] | None:
    """Read numbers with commas or spaces between."""
    value = parameters.one(name)
    if value is None:
        return None
    words = [word for word in re.split(r"[\s,]+", value) if word]
    numbers = tuple(_end(word) for word in words[: _MOST_WORDS + 1])
    if not 0 < len(numbers) <= _MOST_WORDS or not all(math.isfinite(number) for number in numbers):
        raise BadParameter(
            f"{name}={clip(value)!r} are no numbers.", "Write one for each band, as 1,0.8,1.5."
        )
    return numbers
