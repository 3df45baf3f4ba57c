"""Regions on the sky as DALI and SODA write them: text in, shapes out, nothing doubtful accepted.

Three parameters of SODA 1.0 (section 3.3) name a region, in ICRS degrees (a fourth, MOC, is `mocs`):

========= ============================= =====================================
CIRCLE    ``lon lat radius``            ``CIRCLE=53.2 -27.8 0.001``
POLYGON   ``lon lat lon lat lon lat …`` ``POLYGON=53.1 -27.8 53.2 -27.8 53.2 -27.7``
POS       a word, then the numbers      ``POS=RANGE 53.1 53.2 -Inf -27.7``
========= ============================= =====================================

Longitudes are reduced to [0, 360) (DALI 1.2 drops 1.1's limits); latitudes beyond a pole, NaN, missing
numbers, and shapes without area are errors that show the right form.
"""

from __future__ import annotations

import math
import re

from sodalake.sodacut.errors import BadRegion
from sodalake.sodacut.shapes import Circle, Polygon, Range, Region, reduced

__all__ = ["parse_circle", "parse_polygon", "parse_pos"]

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_INFINITY = re.compile(r"[+-]?inf", re.IGNORECASE)
_MOST_VERTICES = 10_000
_CIRCLE_FORM = "'lon lat radius' in ICRS degrees, such as '53.2 -27.8 0.001'"
_POLYGON_FORM = "three or more 'lon lat' pairs in ICRS degrees, such as '53.1 -27.8 53.2 -27.8 53.2 -27.7'"
_RANGE_FORM = (
    "'RANGE lon1 lon2 lat1 lat2' in ICRS degrees, such as 'RANGE 53.1 53.2 -27.8 -27.7', "
    "-Inf and +Inf allowed"
)
_POS_FORM = "'CIRCLE lon lat radius', 'RANGE lon1 lon2 lat1 lat2' or 'POLYGON lon lat lon lat lon lat …'"


def parse_circle(text: str, name: str = "CIRCLE") -> Circle:
    """Read a DALI circle: ``lon lat radius``, radius in (0, 180] degrees (DALI 1.1, section 3.3.6).

    Raises
    ------
    BadRegion
        Not three numbers, a latitude beyond a pole, or no such radius.
    """
    numbers = _numbers(name, text, _CIRCLE_FORM)
    if len(numbers) != 3:
        raise BadRegion(f"{name} has {len(numbers)} numbers, it takes 3.", f"Write {_CIRCLE_FORM}.")
    lon, lat, radius = numbers
    _check_latitude(name, lat, _CIRCLE_FORM)
    if not 0 < radius <= 180:
        raise BadRegion(
            f"The radius of {name} is {radius:g}; it lies in (0, 180] degrees.", f"Write {_CIRCLE_FORM}."
        )
    return Circle(reduced(lon), lat, radius)


def parse_polygon(text: str, name: str = "POLYGON") -> Polygon:
    """Read a DALI polygon: at least three ``lon lat`` pairs, closed by itself (DALI 1.1, section 3.3.7).

    A last vertex equal to the first is dropped. Either winding is accepted.

    Raises
    ------
    BadRegion
        Too few numbers, an odd count, a latitude beyond a pole, no area, or half of the sky and more.
    """
    numbers = _numbers(name, text, _POLYGON_FORM)
    if len(numbers) % 2:
        raise BadRegion(
            f"{name} has {len(numbers)} numbers: one longitude or latitude is missing.",
            f"Write {_POLYGON_FORM}.",
        )
    for lat in numbers[1::2]:
        _check_latitude(name, lat, _POLYGON_FORM)
    vertices = [(reduced(lon), lat) for lon, lat in zip(numbers[::2], numbers[1::2], strict=True)]
    if len(vertices) > 3 and vertices[0] == vertices[-1]:
        vertices.pop()
    if len(vertices) < 3:
        raise BadRegion(
            f"{name} has {len(vertices)} vertices, it takes at least 3.", f"Write {_POLYGON_FORM}."
        )
    polygon = Polygon(tuple(vertices))
    _check_area(name, polygon)
    return polygon


def parse_pos(text: str, name: str = "POS") -> Region:
    """Read SODA's POS: ``CIRCLE …``, ``RANGE …`` or ``POLYGON …`` (SODA 1.0, section 3.3).

    The word may be in either case (DALI 1.2 writes shapes in lower case).

    Raises
    ------
    BadRegion
        Another word, or numbers that do not make that shape.
    """
    word, _, rest = text.strip().partition(" ")
    match word.upper():
        case "CIRCLE":
            return parse_circle(rest, f"{name}=CIRCLE")
        case "POLYGON":
            return parse_polygon(rest, f"{name}=POLYGON")
        case "RANGE":
            return _parse_range(rest, f"{name}=RANGE")
        case "":
            raise BadRegion(f"{name} is empty.", f"Write {_POS_FORM}, in ICRS degrees.")
        case _:
            raise BadRegion(f"{name} begins with {_short(word)}.", f"Write {_POS_FORM}, in ICRS degrees.")


def _parse_range(text: str, name: str) -> Range:
    numbers = _numbers(name, text, _RANGE_FORM, infinite=True)
    if len(numbers) != 4:
        raise BadRegion(f"{name} has {len(numbers)} numbers, it takes 4.", f"Write {_RANGE_FORM}.")
    lon1, lon2, lat1, lat2 = numbers
    if lon1 == math.inf or lat1 == math.inf or lon2 == -math.inf or lat2 == -math.inf:
        raise BadRegion(f"{name} begins at +Inf or ends at -Inf.", f"Write {_RANGE_FORM}.")
    for lat in (lat1, lat2):
        if math.isfinite(lat):
            _check_latitude(name, lat, _RANGE_FORM)
    south, north = max(lat1, -90.0), min(lat2, 90.0)
    if south >= north:
        raise BadRegion(
            f"{name} encloses nothing: its latitudes go from {lat1:g} to {lat2:g}.", f"Write {_RANGE_FORM}."
        )
    if lon1 == -math.inf or lon2 == math.inf:  # an open end is 0 or 360, the ends of DALI's longitudes
        west = 0.0 if lon1 == -math.inf else reduced(lon1)
        width = (360.0 if lon2 in (360.0, math.inf) else reduced(lon2)) - west
    else:
        west = reduced(lon1)
        width = min(lon2 - lon1, 360.0) if lon2 >= lon1 else (lon2 - lon1) % 360.0
    if width <= 0:
        raise BadRegion(
            f"{name} encloses nothing: its longitudes go from {lon1:g} to {lon2:g}.", f"Write {_RANGE_FORM}."
        )
    return Range(west, west + width, south, north)


def _numbers(name: str, text: str, form: str, *, infinite: bool = False) -> list[float]:
    """All numbers of a parameter.

    Stricter than `float`: no NaN, no underscores, no other alphabets' digits.
    """
    numbers = []
    words = text.split(maxsplit=2 * _MOST_VERTICES + 2)
    if len(words) > 2 * _MOST_VERTICES + 2:
        raise BadRegion(f"{name} has more than {_MOST_VERTICES} vertices.", "Use fewer.")
    for word in words:
        if infinite and _INFINITY.fullmatch(word):
            numbers.append(float(word))
            continue
        number = float(word) if word.isascii() and _NUMBER.fullmatch(word) else math.nan
        if not math.isfinite(number):
            raise BadRegion(f"{name} has {_short(word)} where a finite number belongs.", f"Write {form}.")
        numbers.append(number)
    if not numbers:
        raise BadRegion(f"{name} is empty.", f"Write {form}.")
    return numbers


def _check_latitude(name: str, lat: float, form: str) -> None:
    if not -90 <= lat <= 90:
        raise BadRegion(f"{name} has the latitude {lat:g}, beyond a pole.", f"Write {form}.")


def _check_area(name: str, polygon: Polygon) -> None:
    if len(set(polygon.vertices)) < 3:
        raise BadRegion(
            f"{name} encloses nothing: fewer than 3 of its vertices differ.", f"Write {_POLYGON_FORM}."
        )
    if polygon.cap()[1] >= 90:
        raise BadRegion(f"{name} spans half of the sky or more.", "Use POS=RANGE or a smaller polygon.")
    if polygon.is_flat():
        raise BadRegion(f"{name} encloses nothing: its vertices lie on one line.", f"Write {_POLYGON_FORM}.")


def _short(word: str) -> str:
    return repr(word if len(word) <= 40 else f"{word[:37]}...")
