"""Calls: CAST, aggregates, and every function that is no geometry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sqlglot import exp

from ..errors import AdqlError
from . import geometry, units
from .functions import NAMES, Function
from .kinds import ARRAYS, GEOMETRY, INTEGERS, NUMBERS, SQL, common, described
from .screening import CALL
from .values import Value, call, cast, converted, number
from .words import AGGREGATES

if TYPE_CHECKING:
    from .expressions import Expressions, Place

__all__ = ["called", "converted_to"]

_STORED: Final[Mapping[str, str]] = {
    "BIGINT": "long",
    "CHAR": "text",
    "CIRCLE": "circle",
    "DOUBLE": "double",
    "FLOAT": "float",
    "INT": "int",
    "POINT": "point",
    "POLYGON": "polygon",
    "SMALLINT": "short",
    "TIMESTAMP": "timestamp",
    "VARCHAR": "text",
}

_LONGEST: Final = 9  # digits of a length that may cut a text: none is longer


def converted_to(expressions: Expressions, node: exp.Expr, place: Place) -> Value:
    """Resolve CAST (ADQL 2.1, 4.7); CHAR(n) and VARCHAR(n) cut what is longer, and fill nothing up."""
    target = node.args["to"]
    word = str(target.args.get("kind") or "").upper() or target.this.value.upper()
    kind = _STORED[word]
    value = expressions.scalar(node.this, place)
    if kind in GEOMETRY:
        return geometry.from_text(expressions, node, kind, value)
    if kind == "timestamp":
        if isinstance(value.constant, str):
            return Value(expressions.moment(node, value.constant), kind)
        if value.kind not in ("text", "timestamp", "null"):
            raise expressions.wrong(
                node, f"No timestamp can be made of {described(value.kind)}.", "It is made of text."
            )
        return Value(cast(value.node, "TIMESTAMP"), kind)
    if value.kind in GEOMETRY - {"region"} or value.kind in ARRAYS:
        raise expressions.wrong(
            node, f"{described(value.kind).capitalize()} cannot be cast.", "Select it as it is."
        )
    if kind == "text":
        length = target.expressions[0].this.this if target.expressions else None
        made = converted(value, "text") if value.kind != "null" else cast(value.node, "VARCHAR")
        if length is None or len(length.lstrip("0")) > _LONGEST:
            return Value(made, "text")
        return Value(call("CUT", made, exp.Literal(this=length, is_string=False)), "text")
    if value.kind == "timestamp":
        raise expressions.wrong(node, "A timestamp is no number.", "ivo_to_mjd(…) makes one of it.")
    unit = value.unit if value.kind in NUMBERS else ""
    return Value(cast(value.node, SQL[kind]), kind, unit)


def called(expressions: Expressions, node: exp.Expr, place: Place) -> Value:
    """Resolve a call of any function."""
    assert isinstance(node, exp.Anonymous)
    name = node.this.removeprefix(CALL)
    function = NAMES[name]
    if function.aggregate:
        if not place.aggregates:
            raise expressions.wrong(
                node,
                f"{name} cannot stand in {place.clause}.",
                "Aggregates stand behind SELECT, in HAVING and in ORDER BY.",
            )
        place = replace(place, clause=f"an aggregate ({name})", aggregates=False, outputs=None)
    if name in AGGREGATES:
        return _aggregate(expressions, node, name, place)
    if name == "COALESCE":
        return _coalesce(expressions, node, place)
    if name == "IN_UNIT":
        return _in_unit(expressions, node, place)
    if not function.signatures:
        return geometry.resolved(expressions, node, name, place)
    return _plain(expressions, node, function, place)


def _plain(expressions: Expressions, node: exp.Anonymous, function: Function, place: Place) -> Value:
    """Resolve a function that has signatures."""
    values = [expressions.scalar(one, place) for one in node.expressions]
    for at, value in enumerate(values):
        if value.kind == "boolean":
            values[at] = Value(cast(value.node, "SMALLINT"), "short")
    for signature in function.signatures:
        if len(signature.takes) == len(values) and all(
            _fits(value, wanted) for value, wanted in zip(values, signature.takes, strict=True)
        ):
            break
    else:
        raise _misfit(expressions, node, function, values)
    for value, wanted in zip(values, signature.takes, strict=True):
        if wanted == "timestamp" and isinstance(value.constant, str):
            value.node = expressions.moment(node, value.constant)
    if function.name == "IVO_GEOM_TRANSFORM":
        geometry.check_systems(expressions, node, values)
    if function.name == "IVO_HISTOGRAM":
        _check_bins(expressions, node, values)
    kind = values[0].kind if signature.gives == "same" else signature.gives
    if kind == "null":
        kind = "double"
    unit = values[0].unit if function.keeps else ""
    return Value(call(function.name, *(value.node for value in values)), kind, unit)


def _misfit(
    expressions: Expressions, node: exp.Anonymous, function: Function, values: list[Value]
) -> AdqlError:
    name = function.name
    forms = " or ".join(
        f"{name}({', '.join(described(kind) for kind in signature.takes)})"
        for signature in function.signatures
    )
    given = ", ".join(described(value.kind) for value in values)
    return expressions.wrong(node, f"{name} does not take ({given}).", f"It is {forms}.")


def _check_bins(expressions: Expressions, node: exp.Anonymous, values: list[Value]) -> None:
    low, high, bins = (value.constant for value in values[1:])
    if not (isinstance(low, int | float) and isinstance(high, int | float) and isinstance(bins, int)):
        raise expressions.wrong(
            node,
            "The limits and the number of bins must be literals.",
            "Write ivo_histogram(x, 0, 10, 20).",
        )
    if not (low < high and 1 <= bins <= 10_000):
        raise expressions.wrong(
            node,
            "These are no bins.",
            "The lower limit is below the upper, and there are 1 to 10000 bins.",
        )


def _aggregate(expressions: Expressions, node: exp.Anonymous, name: str, place: Place) -> Value:
    inner = node.expressions[0]
    distinct = isinstance(inner, exp.Distinct)
    if isinstance(inner, exp.Star):
        return Value(exp.Count(this=exp.Star(), big_int=True), "long")
    if distinct:
        inner = inner.expressions[0]
    value = expressions.scalar(inner, place)
    if value.kind == "boolean" and name != "COUNT":
        value = Value(cast(value.node, "SMALLINT"), "short")
    kind = value.kind
    if name in ("SUM", "AVG"):
        value = expressions.as_number(inner, value, f"What {name} takes")
        kind = "double" if name == "AVG" or value.kind not in INTEGERS else "long"
    elif name in ("MIN", "MAX"):
        if kind in GEOMETRY or kind in ARRAYS:
            raise expressions.wrong(
                node,
                f"{name} takes no {described(kind).split()[-1]}.",
                "It takes numbers, texts and timestamps.",
            )
    elif kind in ARRAYS | GEOMETRY and distinct:
        raise expressions.wrong(node, "Only numbers, texts and timestamps are counted as DISTINCT.", "")
    of = exp.Distinct(expressions=[value.node]) if distinct else value.node
    made = {"COUNT": exp.Count, "SUM": exp.Sum, "AVG": exp.Avg, "MIN": exp.Min, "MAX": exp.Max}[name](this=of)
    if name == "COUNT":
        return Value(made, "long")
    made.meta["kind"] = kind
    return Value(made, kind, value.unit)


def _coalesce(expressions: Expressions, node: exp.Anonymous, place: Place) -> Value:
    values = [expressions.scalar(one, place) for one in node.expressions]
    if any(value.kind == "timestamp" for value in values):
        expressions.comparable(node, *values)
    kind = values[0].kind
    for value in values[1:]:
        together = common(kind, value.kind)
        if together is None:
            raise expressions.wrong(
                node,
                f"COALESCE mixes {described(kind)} and {described(value.kind)}.",
                "Its arguments are all of one type: CAST some.",
            )
        kind = together
    nodes = [converted(value, kind) for value in values]
    unit = values[0].unit
    return Value(exp.Coalesce(this=nodes[0], expressions=nodes[1:]), kind, unit)


def _in_unit(expressions: Expressions, node: exp.Anonymous, place: Place) -> Value:
    value = expressions.number(node.expressions[0], place, "What IN_UNIT takes")
    wanted = node.expressions[1]
    if not (isinstance(wanted, exp.Literal) and wanted.is_string):
        raise expressions.wrong(node, "The unit must be a text, as it stands.", "Write IN_UNIT(x, 'deg').")
    if not value.unit:
        raise expressions.wrong(
            node, "IN_UNIT needs something that has a unit.", "TAP_SCHEMA.columns tells units of columns."
        )
    try:
        factor = units.factor(value.unit, wanted.this)
    except ValueError as error:
        raise expressions.wrong(
            node, str(error), "Write a unit of VOUnits, as deg, arcsec, mas/yr, mJy."
        ) from error
    inner = cast(value.node, "DOUBLE") if value.kind != "double" else value.node
    if factor != 1:
        if isinstance(inner, exp.Binary):
            inner = exp.Paren(this=inner)
        inner = exp.Paren(this=exp.Mul(this=inner, expression=number(factor)))
    return Value(inner, "double", wanted.this)


def _fits(value: Value, wanted: str) -> bool:
    kind = value.kind
    if kind == "null":
        return True
    if wanted == "number":
        return kind in NUMBERS
    if wanted == "integer":
        return kind in INTEGERS
    if wanted == "text":
        return kind in ("text", "region")
    if wanted == "timestamp":
        return kind == "timestamp" or isinstance(value.constant, str)
    return kind == wanted
