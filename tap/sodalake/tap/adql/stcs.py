"""Regions as text: the subset of STC-S that TAP services understand (TAP 1.0, section 6), and DALI's arrays."""

from __future__ import annotations

import math
from typing import Final

__all__ = ["box", "checked", "dali", "region"]

_FRAMES: Final = frozenset(["ICRS", "FK5", "J2000", "UNKNOWNFRAME"])
_OTHER_FRAMES: Final = frozenset(["FK4", "B1950", "GALACTIC", "ECLIPTIC", "GALACTIC_II", "SUPER_GALACTIC"])
_WORDS: Final = frozenset(
    [
        "BARYCENTER",
        "GEOCENTER",
        "HELIOCENTER",
        "LSR",
        "TOPOCENTER",
        "RELOCATABLE",
        "UNKNOWNREFPOS",
        "SPHERICAL2",
        "UNIT",
        "DEG",
    ]
)
_SHAPES: Final = {"POSITION": "point", "CIRCLE": "circle", "POLYGON": "polygon", "BOX": "box"}
_NUMBERS: Final = {"point": 2, "circle": 3, "box": 4}


def region(text: str) -> tuple[str, tuple[float, ...]]:
    """Return the kind and the numbers of a region such as ``Circle ICRS 10 20 0.5``; a Box is a polygon.

    Raises
    ------
    ValueError
        With a sentence.
    """
    words = text.split()
    shape = _SHAPES.get(words[0].upper()) if words else None
    if shape is None:
        raise ValueError(f"“{text}” is no region: it begins with Position, Circle, Polygon or Box.")
    values: list[float] = []
    for word in words[1:]:
        upper = word.upper()
        if not values and upper in _FRAMES | _WORDS:
            continue
        if not values and upper in _OTHER_FRAMES:
            raise ValueError(f"Regions are in ICRS, and this is in {word}.")
        try:
            values.append(float(word))
        except ValueError:
            raise ValueError(f"“{word}” in “{text}” is no number.") from None
    wanted = _NUMBERS.get(shape)
    if (wanted and len(values) != wanted) or (shape == "polygon" and (len(values) < 6 or len(values) % 2)):
        raise ValueError(
            f"“{text}” has {len(values)} numbers, and a {shape} has {wanted or 'pairs, at least three'}."
        )
    if shape == "box":
        return "polygon", checked("polygon", box(*values))
    return shape, checked(shape, tuple(values))


def dali(kind: str, text: str) -> tuple[float, ...]:
    """Return the numbers of a point, circle or polygon as DALI writes them (DALI 1.1, 3.3): ``10 20 0.5``.

    Raises
    ------
    ValueError
        With a sentence.
    """
    try:
        values = tuple(float(word) for word in text.split())
    except ValueError:
        raise ValueError(f"“{text}” is no {kind}: it is made of numbers, as 10.5 -20.25.") from None
    wanted = _NUMBERS.get(kind)
    if (wanted and len(values) != wanted) or (not wanted and (len(values) < 6 or len(values) % 2)):
        raise ValueError(
            f"“{text}” has {len(values)} numbers, and a {kind} has {wanted or 'pairs, at least three'}."
        )
    return checked(kind, values)


def box(lon: float, lat: float, width: float, height: float) -> tuple[float, ...]:
    """Return the corners of a box (ADQL 2.1, 4.2.9).

    Raises
    ------
    ValueError
        If it is no box: wider than 180 degrees, or beyond a pole.
    """
    if not (0 <= width < 180 and 0 <= height <= 180):
        raise ValueError(f"A box of {width:g} by {height:g} degrees is none: its sides are 0 to 180.")
    if abs(lat) + height / 2 > 90:
        raise ValueError("The box reaches beyond a pole.")
    east, west, north, south = lon + width / 2, lon - width / 2, lat + height / 2, lat - height / 2
    return (east, north, west, north, west, south, east, south)


def checked(kind: str, values: tuple[float, ...]) -> tuple[float, ...]:
    """Return a geometry's numbers, longitudes reduced to 0 to 360.

    Raises
    ------
    ValueError
        For latitudes beyond ±90, radii outside 0 to 180, polygons that are wider than half the sky.
    """
    if not all(math.isfinite(value) for value in values):
        raise ValueError(f"A {kind} is made of finite numbers.")
    pairs = values[:2] if kind == "circle" else values
    made: list[float] = []
    for lon, lat in zip(pairs[::2], pairs[1::2], strict=True):
        if not -90 <= lat <= 90:
            raise ValueError(f"The latitude {lat:g} is not between -90 and 90 degrees.")
        made += (_reduced(lon), float(lat))
    if kind == "circle":
        if not 0 <= values[2] <= 180:
            raise ValueError(f"The radius {values[2]:g} is not between 0 and 180 degrees.")
        made.append(float(values[2]))
    elif kind == "polygon":
        from .polygons import pole

        if pole(made) is None:
            raise ValueError("The polygon is wider than half the sky: cut it in two.")
    return tuple(made)


def _reduced(lon: float) -> float:
    """Return a longitude within 0 to 360; one that is there already stays what it is."""
    if 0 <= lon < 360:
        return float(lon)
    reduced = lon % 360
    return 0.0 if reduced == 360 else reduced
