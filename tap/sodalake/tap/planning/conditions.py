"""What a query's conditions say of one table: values, intervals and places that an index can be asked for.

Only what is sure is taken: a `Constraints` holds for every row that the query can use of the table, so reading by it
reads a superset, and the whole query is applied again to what was read. All ways to write a cone come out as one
(ADQL 2.1, 4.2.7: DISTANCE < r, CONTAINS in a CIRCLE, either way round; a box of BETWEENs is the cone around it).

A constraint on a column is null-rejecting, so one in WHERE holds also for a table on the far side of an outer join.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sqlglot import exp

__all__ = [
    "Circle",
    "Constraints",
    "Interval",
    "Polygon",
    "Shape",
    "circle_around",
    "conjuncts",
    "constant",
    "constraints_of",
    "function_is_true",
    "is_function",
    "source_column",
]


@dataclass(frozen=True, slots=True)
class Interval:
    """Numbers from `low` to `high`, both included."""

    low: float = -math.inf
    high: float = math.inf

    def __and__(self, other: Interval) -> Interval:
        return Interval(max(self.low, other.low), min(self.high, other.high))

    def __or__(self, other: Interval) -> Interval:
        return Interval(min(self.low, other.low), max(self.high, other.high))

    @property
    def bounded(self) -> bool:
        """Whether it ends on both sides."""
        return math.isfinite(self.low) and math.isfinite(self.high)


@dataclass(frozen=True, slots=True)
class Circle:
    """A cone, its rim included: degrees."""

    lon: float
    lat: float
    radius: float

    @property
    def area(self) -> float:
        """Square degrees."""
        return 2 * math.pi * (1 - math.cos(math.radians(min(self.radius, 180)))) * math.degrees(1) ** 2


@dataclass(frozen=True, slots=True)
class Polygon:
    """A polygon of great circles: degrees."""

    lon: tuple[float, ...]
    lat: tuple[float, ...]

    @property
    def area(self) -> float:
        """Square degrees of a circle around it."""
        return circle_around(list(zip(self.lon, self.lat, strict=True))).area


Shape = Circle | Polygon


@dataclass(frozen=True, slots=True)
class Constraints:
    """What holds for the rows of a table that a query can use.

    Attributes
    ----------
    keys
        Column → the values it may have, as text; integers in decimal.
    intervals
        Column → the numbers it may be.
    regions
        The row's place (columns of the roles ``ra`` and ``dec``) is in one of these; None: anywhere.
    footprints
        The same of the row's footprint (an ``s_region``): it meets one of these.
    never
        No row can be of use.
    """

    keys: Mapping[str, frozenset[str]] = field(default_factory=dict)
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    regions: tuple[Shape, ...] | None = None
    footprints: tuple[Shape, ...] | None = None

    def __and__(self, other: Constraints) -> Constraints:
        keys = dict(self.keys)
        for name, values in other.keys.items():
            keys[name] = keys[name] & values if name in keys else values
        intervals = dict(self.intervals)
        for name, interval in other.intervals.items():
            intervals[name] = intervals[name] & interval if name in intervals else interval
        return Constraints(
            keys,
            intervals,
            _smaller(self.regions, other.regions),
            _smaller(self.footprints, other.footprints),
        )

    def __or__(self, other: Constraints) -> Constraints:
        """What holds where one or the other does: only what both speak of."""
        return Constraints(
            {name: self.keys[name] | other.keys[name] for name in self.keys.keys() & other.keys.keys()},
            {
                name: self.intervals[name] | other.intervals[name]
                for name in self.intervals.keys() & other.intervals.keys()
            },
            _both(self.regions, other.regions),
            _both(self.footprints, other.footprints),
        )

    @property
    def never(self) -> bool:
        """Whether no row can be of use: two conditions exclude each other."""
        return any(not values for values in self.keys.values()) or any(
            interval.low > interval.high for interval in self.intervals.values()
        )

    def boxed(self, ra: str, dec: str) -> Constraints:
        """Return the same, with the cone around a box of coordinates where these are what says the place."""
        lon, lat = self.intervals.get(ra), self.intervals.get(dec)
        if self.regions is not None or lon is None or lat is None or not lon.bounded or not lat.bounded:
            return self
        if not (0 <= lon.high - lon.low <= 180 and -90 <= lat.low <= lat.high <= 90):
            return self
        centre = (lon.low + lon.high) / 2, (lat.low + lat.high) / 2
        corners = [(x, y) for x in (lon.low, lon.high) for y in (lat.low, lat.high)]
        # Along a side of constant longitude the distance from the centre has no maximum inside, and along one of
        # constant latitude it grows outwards: the farthest place of the box is a corner.
        radius = max(separation(*centre, *corner) for corner in corners)
        return replace(self, regions=(Circle(*centre, radius),))


def _smaller(one: tuple[Shape, ...] | None, two: tuple[Shape, ...] | None) -> tuple[Shape, ...] | None:
    if one is None or two is None:
        return two if one is None else one
    return min(one, two, key=lambda shapes: sum(shape.area for shape in shapes))


def _both(one: tuple[Shape, ...] | None, two: tuple[Shape, ...] | None) -> tuple[Shape, ...] | None:
    return None if one is None or two is None else one + two


def separation(lon: float, lat: float, other_lon: float, other_lat: float) -> float:
    """Return the distance of two places, degrees."""
    turn, one, two = math.radians(other_lon - lon), math.radians(lat), math.radians(other_lat)
    across = math.hypot(
        math.cos(two) * math.sin(turn),
        math.cos(one) * math.sin(two) - math.sin(one) * math.cos(two) * math.cos(turn),
    )
    along = math.sin(one) * math.sin(two) + math.cos(one) * math.cos(two) * math.cos(turn)
    return math.degrees(math.atan2(across, along))


def circle_around(places: list[tuple[float, float]]) -> Circle:
    """Return a circle that holds all of some places (lon, lat), by the mean of their directions; all of the sky where
    they have none."""
    vectors = [
        (
            math.cos(math.radians(lat)) * math.cos(math.radians(lon)),
            math.cos(math.radians(lat)) * math.sin(math.radians(lon)),
            math.sin(math.radians(lat)),
        )
        for lon, lat in places
    ]
    x, y, z = (sum(parts) for parts in zip(*vectors, strict=True))
    if math.hypot(x, y, z) < 1e-9:
        return Circle(0.0, 0.0, 180.0)
    lon, lat = math.degrees(math.atan2(y, x)) % 360, math.degrees(math.atan2(z, math.hypot(x, y)))
    return Circle(lon, lat, min(180.0, max(separation(lon, lat, *place) for place in places)))


# ---------------------------------------------------------------------- reading the tree

_ARITHMETIC = (exp.Add, exp.Sub, exp.Mul, exp.Div)


def conjuncts(node: exp.Expr | None) -> Iterator[exp.Expr]:
    """Yield the conditions that must all hold, in their order."""
    waiting = [] if node is None else [node]
    while waiting:
        one = waiting.pop()
        if isinstance(one, exp.Paren):
            waiting.append(one.this)
        elif isinstance(one, exp.And):
            waiting += (one.expression, one.this)
        else:
            yield one


def constant(node: exp.Expr | None) -> int | float | str | None:
    """Return the value of an expression of literals; None where it is none.

    Two integers divide to an integer, as in ADQL.
    """
    while isinstance(node, exp.Paren):
        node = node.this
    if isinstance(node, exp.Literal):
        if node.is_string:
            return str(node.this)
        text = str(node.this)
        try:
            return int(text) if text.isdigit() else float(text)
        except ValueError:
            return None
    if isinstance(node, exp.Neg):
        value = constant(node.this)
        return None if value is None or isinstance(value, str) else -value
    if isinstance(node, _ARITHMETIC):
        return _calculated_chain(node)
    return None


def _calculated_chain(node: exp.Expr) -> int | float | None:
    """Return what operations that hang on each other's left side come to: such may be thousands."""
    chain = [node]
    while isinstance(chain[-1].this, _ARITHMETIC):
        chain.append(chain[-1].this)
    value = constant(chain[-1].this)
    for one in reversed(chain):
        # What is on the right is looked at only where all before it is known.
        if value is None or isinstance(value, str):
            return None
        other = constant(one.expression)
        if other is None or isinstance(other, str):
            return None
        try:
            value = _calculated(one, value, other)
        except (ZeroDivisionError, OverflowError):
            return None
    return None if isinstance(value, str) else value


def _calculated(node: exp.Expr, one: int | float, two: int | float) -> int | float:
    if isinstance(node, exp.Add):
        return one + two
    if isinstance(node, exp.Sub):
        return one - two
    if isinstance(node, exp.Mul):
        return one * two
    if isinstance(one, int) and isinstance(two, int):
        return int(math.copysign(1, one * two)) * (abs(one) // abs(two))
    return one / two


def _number(node: exp.Expr | None) -> float | None:
    value = constant(node)
    return None if value is None or isinstance(value, str) or not math.isfinite(value) else float(value)


def is_function(node: Any, name: str) -> bool:
    """Say whether a node of a resolved tree is the function of an upper-case `name`."""
    return isinstance(node, exp.Anonymous) and node.name.upper() == name


def source_column(node: Any) -> tuple[str, str] | None:
    """Return the source and the name of a column of a table; None where the node is something else."""
    if isinstance(node, exp.Paren):
        return source_column(node.this)
    if isinstance(node, exp.Column) and node.meta.get("source"):
        return node.meta["source"], node.meta["name"]
    return None


def function_is_true(node: exp.Expr, names: tuple[str, ...]) -> exp.Anonymous | None:
    """Return CONTAINS(…) of ``CONTAINS(…) = 1`` and ``1 = CONTAINS(…)``."""
    if not isinstance(node, exp.EQ):
        return None
    for call, value in ((node.this, node.expression), (node.expression, node.this)):
        call = call.unnest()
        if constant(value) == 1 and any(is_function(call, name) for name in names):
            assert isinstance(call, exp.Anonymous)
            return call
    return None


_FLIPPED: Mapping[type[exp.Expr], type[exp.Expr]] = {
    exp.LT: exp.GT,
    exp.LTE: exp.GTE,
    exp.GT: exp.LT,
    exp.GTE: exp.LTE,
    exp.EQ: exp.EQ,
}


@dataclass(frozen=True, slots=True)
class _About:
    """Which source is asked about, and what places it."""

    source: str
    ra: str
    dec: str
    footprint: str


def constraints_of(
    condition: exp.Expr, source: str, roles: Mapping[str, str], footprint: str = ""
) -> Constraints:
    """Return what a condition says of the rows of a source; nothing where it says nothing that is sure.

    Parameters
    ----------
    condition
        Of a resolved tree; a whole WHERE or one conjunct.
    roles
        Of its table: `metadata.Table.roles`.
    footprint
        Its column that holds a region around each row's place; empty: none.
    """
    about = _About(source, roles.get("ra", ""), roles.get("dec", ""), footprint)
    found = Constraints()
    for one in conjuncts(condition):
        found = found & _of(one, about)
    return found


def _of(node: exp.Expr, about: _About) -> Constraints:
    if isinstance(node, exp.Paren):
        return constraints_of(node.this, about.source, {"ra": about.ra, "dec": about.dec}, about.footprint)
    if isinstance(node, exp.Or):
        return constraints_of(
            node.this, about.source, {"ra": about.ra, "dec": about.dec}, about.footprint
        ) | constraints_of(node.expression, about.source, {"ra": about.ra, "dec": about.dec}, about.footprint)
    if isinstance(node, exp.Between):
        return _compared(node.this, exp.GTE, node.args["low"], about) & _compared(
            node.this, exp.LTE, node.args["high"], about
        )
    if isinstance(node, exp.In) and node.args.get("expressions"):
        return _listed(node, about)
    if isinstance(node, exp.EQ):
        call = function_is_true(node, ("CONTAINS", "INTERSECTS"))
        if call is not None:
            return _placed(call, about)
    kind = type(node)
    if kind in _FLIPPED:
        assert isinstance(node, exp.Binary)
        place = source_column(node.this) if node.meta.get("never") else None
        if place is not None and place[0] == about.source:
            return Constraints(keys={place[1]: frozenset()})
        return _compared(node.this, kind, node.expression, about) & _compared(
            node.expression, _FLIPPED[kind], node.this, about
        )
    return Constraints()


def _compared(column: Any, kind: Any, value: Any, about: _About) -> Constraints:
    """Read ``column <kind> value``, and ``DISTANCE(…) < value``."""
    call = column.unnest() if isinstance(column, exp.Expr) else column
    if is_function(call, "DISTANCE") and kind in (exp.LT, exp.LTE, exp.EQ):
        radius = _number(value)
        centre = _centre(call.expressions, about)
        if radius is None or centre is None or not 0 <= radius <= 180:
            return Constraints()
        return Constraints(regions=(Circle(*centre, radius),))
    place = source_column(column)
    if place is None or place[0] != about.source:
        return Constraints()
    literal = constant(value)
    if literal is None:
        return Constraints()
    if kind is exp.EQ:
        found = _keyed(place[1], [literal])
        if isinstance(literal, str):
            return found
        return replace(found, intervals={place[1]: Interval(float(literal), float(literal))})
    if isinstance(literal, str):
        return Constraints()
    low_side = kind in (exp.GT, exp.GTE)
    # The number as a double is the nearest one: the interval is closed, and one double wider, so that it is a superset.
    edge = math.nextafter(float(literal), -math.inf if low_side else math.inf)
    return Constraints(intervals={place[1]: Interval(low=edge) if low_side else Interval(high=edge)})


def _keyed(column: str, values: list[int | float | str]) -> Constraints:
    """Return that a column is one of some values; nothing where one of them is a double that several integers equal."""
    if any(isinstance(value, float) and abs(value) >= 2**53 for value in values):
        return Constraints()
    return Constraints(keys={column: frozenset(map(_text, values))})


def _text(value: int | float | str) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _listed(node: exp.In, about: _About) -> Constraints:
    place = source_column(node.this)
    values = [constant(one) for one in node.args["expressions"]]
    known = [value for value in values if value is not None]
    if place is None or place[0] != about.source or len(known) < len(values):
        return Constraints()
    found = _keyed(place[1], known)
    numbers = [float(value) for value in known if not isinstance(value, str)]
    if len(numbers) == len(values):
        return replace(found, intervals={place[1]: Interval(min(numbers), max(numbers))})
    return found


def _is_place(node: Any, about: _About) -> bool:
    """Say whether a node is POINT(ra, dec) of the source."""
    if not is_function(node, "POINT") or not about.ra:
        return False
    columns = [source_column(one) for one in node.expressions]
    return columns == [(about.source, about.ra), (about.source, about.dec)]


def _fixed_point(node: Any) -> tuple[float, float] | None:
    if not is_function(node, "POINT"):
        return None
    lon, lat = (_number(one) for one in node.expressions)
    return None if lon is None or lat is None or not -90 <= lat <= 90 else (lon, lat)


def _centre(points: list[Any], about: _About) -> tuple[float, float] | None:
    """Return the fixed one of two points, where the other is the row's place."""
    one, two = points
    if _is_place(one, about):
        return _fixed_point(two)
    if _is_place(two, about):
        return _fixed_point(one)
    return None


def _shape(node: Any) -> Shape | None:
    if is_function(node, "CIRCLE") and len(node.expressions) == 3:
        numbers = [_number(one) for one in node.expressions]
        if None in numbers:
            return None
        lon, lat, radius = (number for number in numbers if number is not None)
        return Circle(lon, lat, radius) if -90 <= lat <= 90 and 0 <= radius <= 180 else None
    if is_function(node, "POLYGON"):
        corners = [_number(one) for one in node.expressions]
        if None in corners or len(corners) < 6 or len(corners) % 2:
            return None
        fixed = [number for number in corners if number is not None]
        lats = tuple(fixed[1::2])
        return Polygon(tuple(fixed[::2]), lats) if all(-90 <= one <= 90 for one in lats) else None
    place = _fixed_point(node)
    return None if place is None else Circle(*place, 0.0)


def _placed(call: exp.Anonymous, about: _About) -> Constraints:
    """Read CONTAINS(…) and INTERSECTS(…), which hold."""
    inner, outer = call.expressions
    if is_function(call, "CONTAINS") and _is_place(inner, about):
        shape = _shape(outer)
        return Constraints(regions=None if shape is None else (shape,))
    if is_function(call, "CONTAINS"):
        fixed = _fixed_point(inner)
        if fixed is not None and is_function(outer, "CIRCLE"):
            return _around_row(fixed, outer, about)
    for region, other in ((inner, outer), (outer, inner)):
        if is_function(region, "SHAPE"):  # what a text that is a region becomes
            region = region.expressions[0]
        if about.footprint and source_column(region) == (about.source, about.footprint):
            shape = _shape(other)
            return Constraints(footprints=None if shape is None else (shape,))
    return Constraints()


def _around_row(fixed: tuple[float, float], circle: exp.Anonymous, about: _About) -> Constraints:
    """Read CONTAINS(POINT(fixed), CIRCLE(ra, dec, r)): the cone from its other side."""
    parts = circle.expressions
    if len(parts) == 3:
        is_row = [source_column(one) for one in parts[:2]] == [
            (about.source, about.ra),
            (about.source, about.dec),
        ]
    else:
        is_row = _is_place(parts[0], about)
    radius = _number(parts[-1])
    if not is_row or radius is None or not 0 <= radius <= 180:
        return Constraints()
    return Constraints(regions=(Circle(*fixed, radius),))
