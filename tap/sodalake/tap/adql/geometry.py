"""Geometry in canonical form (see `tap.resolved`): ADQL 2.1, 4.2. Degrees, great circles, no coordinate systems.

What is written out is evaluated here, once: longitudes are reduced, latitudes and radii checked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from sqlglot import exp

from . import stcs
from .kinds import NUMBERS, described
from .values import Value, call, number

if TYPE_CHECKING:
    from .expressions import Expressions, Place

__all__ = ["SYSTEMS", "check_systems", "from_text", "resolved"]

SYSTEMS: Final = frozenset(["ICRS", "FK5", "FK4", "GALACTIC", "SUPERGALACTIC", "ECLIPTIC"])
"""Systems of ivo_geom_transform."""

_SHAPES: Final = ("point", "circle", "polygon", "shape", "null")


def resolved(expressions: Expressions, node: exp.Anonymous, name: str, place: Place) -> Value:
    """Resolve a geometry function.

    Raises
    ------
    AdqlError
        For arguments that are none of its, and for literals that are no places.
    """
    return _MADE[name](expressions, node, place)


def from_text(expressions: Expressions, node: exp.Expr, kind: str, value: Value) -> Value:
    """Resolve CAST to a geometry (ADQL 2.1, 4.7.5), from DALI's text."""
    if value.kind == kind:
        return value
    if isinstance(value.constant, str):
        try:
            return _literal(kind, stcs.dali(kind, value.constant))
        except ValueError as error:
            raise expressions.wrong(node, str(error), "Numbers are separated by blanks.") from error
    if value.kind not in ("text", "null"):
        raise expressions.wrong(
            node, f"No {kind} can be made of {described(value.kind)}.", "It is made of text."
        )
    return Value(call(f"TEXT_{kind.upper()}", value.node), kind)


def check_systems(expressions: Expressions, node: exp.Anonymous, values: list[Value]) -> None:
    """Refuse systems that ivo_geom_transform does not know."""
    for value in values[:2]:
        if not isinstance(value.constant, str) or value.constant.upper() not in SYSTEMS:
            raise expressions.wrong(
                node,
                "ivo_geom_transform takes two systems, as literals.",
                f"There are {', '.join(sorted(SYSTEMS))}.",
            )


def _literal(kind: str, values: tuple[float, ...]) -> Value:
    return Value(call(kind.upper(), *(number(value) for value in values)), kind, constant=values)


def _arguments(expressions: Expressions, node: exp.Anonymous, place: Place) -> list[Value]:
    """Return what a geometry is made of, without its coordinate system (optional, and deprecated: 4.2.5)."""
    given = node.expressions
    if isinstance(given[0], exp.Literal) and given[0].is_string:
        given = given[1:]
    values = []
    for one in given:
        value = expressions.scalar(one, place)
        if value.kind not in (*NUMBERS, "boolean", "point", "null"):
            raise expressions.wrong(
                one,
                f"{node.this[1:]} is made of numbers and points, not of {described(value.kind)}.",
                "The coordinate system is a literal, and may be left out." if value.kind == "text" else "",
            )
        values.append(value)
    return values


def _numbers(expressions: Expressions, node: exp.Anonymous, values: list[Value]) -> None:
    for value in values:
        if value.kind == "point":
            raise expressions.wrong(node, f"A number is wanted in {node.this[1:]}, and this is a POINT.", "")
        if value.kind == "boolean":
            raise expressions.wrong(
                node, f"A number is wanted in {node.this[1:]}, and this is a boolean.", ""
            )


def _made(expressions: Expressions, node: exp.Anonymous, kind: str, values: list[Value]) -> Value:
    """Return a geometry of numbers, as a literal where they all are."""
    _numbers(expressions, node, values)
    constants = [value.constant for value in values]
    if all(isinstance(constant, int | float) for constant in constants):
        numbers = tuple(float(constant) for constant in constants if isinstance(constant, int | float))
        try:
            return _literal(kind, stcs.checked(kind, numbers))
        except ValueError as error:
            raise expressions.wrong(
                node, str(error), "Longitude stands before latitude, in degrees."
            ) from error
    return Value(call(kind.upper(), *(value.node for value in values)), kind)


def _opened(value: Value) -> list[Value]:
    """Return the coordinates of a point."""
    if isinstance(value.constant, tuple):
        return [Value(number(one), "double", constant=one) for one in value.constant]
    if _is(value.node, "POINT"):
        return [Value(one, "double") for one in value.node.expressions]
    return [Value(call(f"COORD{axis}", value.node.copy()), "double") for axis in (1, 2)]


def _is(node: exp.Expr, name: str) -> bool:
    return isinstance(node, exp.Anonymous) and node.this == name


def _wrong_count(expressions: Expressions, node: exp.Anonymous, form: str) -> Exception:
    name = node.this[1:]
    return expressions.wrong(node, f"{name} takes other arguments.", f"Write {form}.")


def _point(expressions: Expressions, node: exp.Anonymous, place: Place) -> Value:
    values = _arguments(expressions, node, place)
    if len(values) != 2:
        raise _wrong_count(expressions, node, "POINT(ra, dec)")
    return _made(expressions, node, "point", values)


def _circle(expressions: Expressions, node: exp.Anonymous, place: Place) -> Value:
    values = _arguments(expressions, node, place)
    if len(values) == 2 and values[0].kind == "point":
        point, radius = values
        if isinstance(point.constant, tuple) or _is(point.node, "POINT"):
            return _made(expressions, node, "circle", [*_opened(point), radius])
        _numbers(expressions, node, [radius])
        return Value(call("CIRCLE", point.node, radius.node), "circle")
    if len(values) != 3:
        raise _wrong_count(expressions, node, "CIRCLE(ra, dec, radius) or CIRCLE(POINT(ra, dec), radius)")
    return _made(expressions, node, "circle", values)


def _polygon(expressions: Expressions, node: exp.Anonymous, place: Place) -> Value:
    values = _arguments(expressions, node, place)
    if values and all(value.kind == "point" for value in values):
        values = [coordinate for value in values for coordinate in _opened(value)]
    if len(values) < 6 or len(values) % 2:
        raise _wrong_count(expressions, node, "POLYGON(ra, dec, ra, dec, ra, dec, …): three corners or more")
    return _made(expressions, node, "polygon", values)


def _box(expressions: Expressions, node: exp.Anonymous, place: Place) -> Value:
    values = _arguments(expressions, node, place)
    if len(values) == 3 and values[0].kind == "point":
        values = [*_opened(values[0]), *values[1:]]
    if len(values) != 4:
        raise _wrong_count(expressions, node, "BOX(ra, dec, width, height)")
    _numbers(expressions, node, values)
    constants = [value.constant for value in values]
    if all(isinstance(constant, int | float) for constant in constants):
        numbers = [float(constant) for constant in constants if isinstance(constant, int | float)]
        try:
            return _literal("polygon", stcs.checked("polygon", stcs.box(*numbers)))
        except ValueError as error:
            raise expressions.wrong(node, str(error), "Use POLYGON for other shapes.") from error
    corners = []
    for east, north in ((1, 1), (-1, 1), (-1, -1), (1, -1)):
        for centre, side, sign in ((values[0], values[2], east), (values[1], values[3], north)):
            half = exp.Div(this=exp.Paren(this=side.node.copy()), expression=number(2.0 * sign))
            corners.append(exp.Add(this=exp.Paren(this=centre.node.copy()), expression=half))
    return Value(call("POLYGON", *corners), "polygon")


def _shape(expressions: Expressions, node: exp.Expr, place: Place, name: str) -> Value:
    """Resolve what must be a geometry; a region that is text becomes one."""
    value = expressions.scalar(node, place)
    if value.kind == "region":
        return Value(call("SHAPE", value.node), "shape")
    if value.kind not in _SHAPES:
        raise expressions.wrong(
            node,
            f"{name} takes geometries, and this is {described(value.kind)}.",
            "Write POINT(ra, dec), CIRCLE(…), POLYGON(…).",
        )
    return value


def _position(expressions: Expressions, node: exp.Expr, place: Place, name: str) -> Value:
    """Resolve what must be a point."""
    value = expressions.scalar(node, place)
    if value.kind not in ("point", "null"):
        raise expressions.wrong(
            node, f"{name} takes points, and this is {described(value.kind)}.", "Write POINT(ra, dec)."
        )
    return value


def _centroid(expressions: Expressions, node: exp.Anonymous, place: Place) -> Value:
    value = _shape(expressions, node.expressions[0], place, "CENTROID")
    if value.kind == "point":
        return value
    if value.kind == "circle" and _is(value.node, "CIRCLE") and len(value.node.expressions) == 3:
        return Value(
            call("POINT", *(one.copy() for one in value.node.expressions[:2])),
            "point",
            constant=value.constant[:2] if isinstance(value.constant, tuple) else None,
        )
    if isinstance(value.constant, tuple):
        from .polygons import centroid

        return _literal("point", centroid(value.constant))
    return Value(call("CENTROID", value.node), "point")


def _area(expressions: Expressions, node: exp.Anonymous, place: Place) -> Value:
    value = _shape(expressions, node.expressions[0], place, "AREA")
    if isinstance(value.constant, tuple):
        from .polygons import area

        made = area(value.constant)
        return Value(number(made), "double", "deg**2", constant=made)
    return Value(call("AREA", value.node), "double", "deg**2")


def _coordinate(axis: int) -> Callable[[Expressions, exp.Anonymous, Place], Value]:
    def made(expressions: Expressions, node: exp.Anonymous, place: Place) -> Value:
        value = _position(expressions, node.expressions[0], place, f"COORD{axis}")
        if isinstance(value.constant, tuple) or _is(value.node, "POINT"):
            one = _opened(value)[axis - 1]
            return Value(
                one.node.copy() if one.constant is None else one.node, "double", "deg", constant=one.constant
            )
        return Value(call(f"COORD{axis}", value.node), "double", "deg")

    return made


def _coordsys(expressions: Expressions, node: exp.Anonymous, place: Place) -> Value:
    _shape(expressions, node.expressions[0], place, "COORDSYS")
    return Value(exp.Literal(this="ICRS", is_string=True), "text", constant="ICRS")


def _distance(expressions: Expressions, node: exp.Anonymous, place: Place) -> Value:
    given = node.expressions
    if len(given) == 4:
        values = [expressions.number(one, place, "A coordinate") for one in given]
        points = [
            _made(expressions, node, "point", values[:2]),
            _made(expressions, node, "point", values[2:]),
        ]
    elif len(given) == 2:
        points = [_position(expressions, one, place, "DISTANCE") for one in given]
    else:
        raise _wrong_count(
            expressions, node, "DISTANCE(POINT(ra, dec), POINT(ra, dec)) or DISTANCE(ra, dec, ra, dec)"
        )
    return Value(call("DISTANCE", points[0].node, points[1].node), "double", "deg")


def _contains(expressions: Expressions, node: exp.Anonymous, place: Place) -> Value:
    one, other = (_shape(expressions, given, place, "CONTAINS") for given in node.expressions)
    return _related("CONTAINS", one, other)


def _intersects(expressions: Expressions, node: exp.Anonymous, place: Place) -> Value:
    one, other = (_shape(expressions, given, place, "INTERSECTS") for given in node.expressions)
    if one.kind == "point":
        return _related("CONTAINS", one, other)
    if other.kind == "point":
        return _related("CONTAINS", other, one)
    return _related("INTERSECTS", one, other)


def _related(name: str, one: Value, other: Value) -> Value:
    node = call(name, one.node, other.node)
    node.meta["kinds"] = (one.kind, other.kind)
    return Value(node, "int")


def _region(expressions: Expressions, node: exp.Anonymous, place: Place) -> Value:
    given = node.expressions[0]
    if not (isinstance(given, exp.Literal) and given.is_string):
        raise expressions.wrong(
            node, "REGION takes a text, as it stands.", "Write REGION('Circle ICRS 10 20 0.5')."
        )
    try:
        kind, values = stcs.region(given.this)
    except ValueError as error:
        raise expressions.wrong(node, str(error), "Write REGION('Circle ICRS 10 20 0.5').") from error
    return _literal(kind, values)


_MADE: Final[Mapping[str, Callable[[Expressions, exp.Anonymous, Place], Value]]] = {
    "AREA": _area,
    "BOX": _box,
    "CENTROID": _centroid,
    "CIRCLE": _circle,
    "CONTAINS": _contains,
    "COORD1": _coordinate(1),
    "COORD2": _coordinate(2),
    "COORDSYS": _coordsys,
    "DISTANCE": _distance,
    "INTERSECTS": _intersects,
    "POINT": _point,
    "POLYGON": _polygon,
    "REGION": _region,
}
