"""Expressions: what names in them mean, of what kind they are, and their canonical form.

Conventions of this service where ADQL leaves a choice: integers are added, subtracted and multiplied as BIGINT; ``/``
of two integers is the whole part of their quotient (SQL-92); division by zero, and a function beyond its domain, is
NULL.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from sqlglot import exp

from ..errors import AdqlError
from . import calls
from .comparisons import COMPARISONS, balanced, beyond, compared
from .kinds import ARRAYS, GEOMETRY, INTEGERS, NUMBERS, common, described
from .places import close_to, error_of
from .scopes import Relation, Scope, matching
from .screening import CALL
from .values import Value, cast, number, whole

__all__ = ["Expressions", "Place"]

_ARITHMETIC: Final = (exp.Add, exp.Sub, exp.Mul, exp.Div)
_DALI_TIME: Final = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?)?Z?")


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a query an expression stands.

    Attributes
    ----------
    scope
        What names mean.
    clause
        Its name, as told to people.
    aggregates
        Whether aggregates may stand there.
    outputs
        Names of outputs that may be meant too where no column is: → canonical tree.
    """

    scope: Scope
    clause: str
    aggregates: bool = False
    outputs: Mapping[str, Value] | None = None


class Expressions:
    """Resolves expressions of one query.

    Parameters
    ----------
    text
        The query, for errors.
    subquery
        What makes a value of a query within an expression: (query, scope) → (canonical query, kinds, units).
    """

    def __init__(
        self,
        text: str,
        subquery: Callable[[exp.Query, Scope], tuple[exp.Query, list[Value]]],
    ) -> None:
        self.text = text
        self._subquery = subquery

    def wrong(self, node: exp.Expr, message: str, advice: str = "") -> AdqlError:
        """Return an error about a node of the query."""
        return error_of(self.text, node, message, advice)

    def condition(self, node: exp.Expr, place: Place) -> exp.Expr:
        """Resolve what must be a condition."""
        value = self.value(node, place)
        if value.kind != "condition":
            name = node.this.removeprefix(CALL) if isinstance(node, exp.Anonymous) else ""
            advice = (
                f"Write {name}(…) = 1." if name else "Compare it with something: =, <, IN, LIKE, IS NULL."
            )
            raise self.wrong(
                node, f"{place.clause} wants a condition, and this is {described(value.kind)}.", advice
            )
        return value.node

    def scalar(self, node: exp.Expr, place: Place) -> Value:
        """Resolve what must be a value."""
        value = self.value(node, place)
        if value.kind == "condition":
            raise self.wrong(node, "A condition has no value in ADQL.", "Put it in WHERE, or in ON.")
        return value

    def value(self, node: exp.Expr, place: Place) -> Value:
        """Resolve any expression.

        Raises
        ------
        AdqlError
            For names that mean nothing, or several things, and for what cannot be computed.
        """
        handler = _HANDLERS.get(type(node))
        if handler is None:
            raise self.wrong(node, f"ADQL has no {type(node).__name__.lower()} here.")
        return handler(self, node, place)

    def _column(self, node: exp.Expr, place: Place) -> Value:
        assert isinstance(node, exp.Column)
        name = node.this
        text, quoted = name.this, bool(name.args.get("quoted"))
        table = node.args.get("table")
        scope: Scope | None = place.scope
        while scope is not None:
            if table is None:
                found = scope.unqualified(text, quoted)
                if len(found) > 1:
                    first = found[0][0]
                    if isinstance(first, Relation) and all(one is first for one, _ in found):
                        raise self._several(node, text, first, [at for _, at in found])
                    raise self._ambiguous(node, text, [getattr(one, "name", "") for one, _ in found])
                if found:
                    one, at = found[0]
                    return one.value(at) if not hasattr(one, "taken") else one.taken()
                if place.outputs and scope is place.scope:
                    known = {key: [0] for key in place.outputs}
                    lower: dict[str, list[str]] = {}
                    for key in known:
                        lower.setdefault(key.lower(), []).append(key)
                    keys = [text] if text in known else [] if quoted else lower.get(text.lower(), [])
                    if keys:
                        value = place.outputs[keys[0]]
                        return Value(value.node.copy(), value.kind, value.unit, value.column, value.constant)
            else:
                schema = node.args.get("db")
                relations = scope.qualified(
                    schema.this if schema else None, table.this, bool(table.args.get("quoted"))
                )
                if len(relations) > 1:
                    raise self._ambiguous(node, node.sql(), [relation.name for relation in relations])
                if relations:
                    relation = relations[0]
                    places = matching(text, quoted, relation.shape.exact, relation.shape.folded)
                    if len(places) > 1:
                        raise self._several(node, text, relation, places)
                    if places:
                        return relation.value(places[0])
                    raise self._unknown(node, text, quoted, relation.shape.names, f" in {relation.name}")
            scope = scope.outer
        if table is not None:
            seen = [relation.name for relation in place.scope.relations]
            raise self.wrong(
                table,
                f"{table.this} is none of the tables in FROM.",
                close_to(table.this, seen)
                or (f"There {'is' if len(seen) == 1 else 'are'} {', '.join(seen)}." if seen else ""),
            )
        raise self._unknown(node, text, quoted, tuple(place.scope.names()), "")

    def _ambiguous(self, node: exp.Expr, name: str, where: list[str]) -> AdqlError:
        return self.wrong(
            node, f"{name} may be a column of {' or of '.join(where)}.", f"Write {where[0]}.{name}."
        )

    def _several(self, node: exp.Expr, name: str, relation: Relation, places: list[int]) -> AdqlError:
        names = list(dict.fromkeys(relation.shape.names[at] for at in places))
        advice = (
            "Give each another name, by AS."
            if len(names) == 1
            else f'In double quotes case matters: write "{names[0]}".'
        )
        return self.wrong(node, f"{name} may be any of {len(places)} columns of {relation.name}.", advice)

    def _unknown(
        self, node: exp.Expr, name: str, quoted: bool, names: tuple[str, ...], where: str
    ) -> AdqlError:
        same = sorted({one for one in names if one.lower() == name.lower()})
        if quoted and same:
            advice = f'In double quotes case matters: it is "{same[0]}".'
        else:
            advice = close_to(name, names)
            if quoted and not advice:
                advice = "A text stands in single quotes."
        return self.wrong(node, f"There is no column {name}{where}.", advice)

    def _literal(self, node: exp.Expr, place: Place) -> Value:
        text = node.this
        if node.args.get("is_string"):
            return Value(exp.Literal(this=text, is_string=True), "text", constant=text)
        return self._number(node, int(text) if text.isdigit() and len(text) < 300 else float(text))

    def _number(self, at: exp.Expr, value: float) -> Value:
        exact = None
        if isinstance(value, int) and whole(value) == "double":
            exact, value = value, float(value)
        if isinstance(value, float) and not math.isfinite(value):
            raise self.wrong(at, "This number is too large.", "Numbers reach to 1.7E308.")
        kind = whole(value) if isinstance(value, int) else "double"
        return Value(number(value), kind, constant=value, exact=exact)

    def _null(self, node: exp.Expr, place: Place) -> Value:
        return Value(exp.Null(), "null")

    def _paren(self, node: exp.Expr, place: Place) -> Value:
        value = self.value(node.this, place)
        if value.constant is None and isinstance(value.node, exp.Binary | exp.Not | exp.Between | exp.In):
            value.node = exp.Paren(this=value.node)
        return value

    def number(self, node: exp.Expr, place: Place, what: str = "This") -> Value:
        """Resolve what must be a number; a boolean counts as 0 or 1."""
        return self.as_number(node, self.scalar(node, place), what)

    def as_number(self, node: exp.Expr, value: Value, what: str) -> Value:
        """Take a value as a number; a boolean counts as 0 or 1."""
        if value.kind == "boolean":
            return Value(cast(value.node, "SMALLINT"), "short")
        if value.kind not in NUMBERS and value.kind != "null":
            advice = "Write CAST(… AS DOUBLE PRECISION)." if value.kind == "text" else ""
            raise self.wrong(node, f"{what} must be a number, and is {described(value.kind)}.", advice)
        return value

    def _chain(self, node: exp.Expr, family: tuple[type[exp.Expr], ...]) -> list[exp.Expr]:
        """Return operations that hang on each other's left side, innermost first: such may be thousands."""
        chain = [node]
        while isinstance(chain[-1].this, family):
            chain.append(chain[-1].this)
        return chain[::-1]

    def _logical(self, node: exp.Expr, place: Place) -> Value:
        chain = self._chain(node, (exp.And, exp.Or))
        parts, kind = [self.condition(chain[0].this, place)], type(chain[0])
        for one in chain:
            if type(one) is not kind:  # of other parts what stands before is the first
                parts, kind = [balanced(kind, parts)], type(one)
            parts.append(self.condition(one.expression, place))
        return Value(balanced(kind, parts), "condition")

    def _not(self, node: exp.Expr, place: Place) -> Value:
        return Value(exp.Not(this=self.condition(node.this, place)), "condition")

    def _neg(self, node: exp.Expr, place: Place) -> Value:
        value = self.number(node.this, place, "What has a sign")
        if isinstance(value.constant, int | float):
            # -2**63 is a BIGINT, though 2**63 is none.
            return self._number(node, -(value.constant if value.exact is None else value.exact))
        inner = cast(value.node, "BIGINT") if value.kind in INTEGERS[:3] else value.node
        kind = "long" if value.kind in INTEGERS else value.kind
        if isinstance(inner, exp.Binary | exp.Neg):
            inner = exp.Paren(this=inner)
        return Value(exp.Neg(this=inner), kind, value.unit)

    def _arithmetic(self, node: exp.Expr, place: Place) -> Value:
        chain = self._chain(node, _ARITHMETIC)
        left = self.number(chain[0].this, place, "What is computed with")
        for one in chain:
            left = self._computed(one, left, self.number(one.expression, place, "What is computed with"))
        return left

    def _computed(self, node: exp.Expr, left: Value, right: Value) -> Value:
        if isinstance(left.constant, int | float) and isinstance(right.constant, int | float):
            folded = _folded(type(node), left.constant, right.constant)
            if folded is not None:
                return self._number(node, folded)
        kind = common(left.kind, right.kind) or "double"
        if kind == "null":
            kind = "double"
        unit = left.unit if isinstance(node, exp.Add | exp.Sub) and left.unit == right.unit else ""
        if right.constant is not None:
            unit = left.unit
        elif left.constant is not None and not isinstance(node, exp.Div):
            unit = right.unit
        integers = kind in INTEGERS
        if integers:
            kind = "long"
        one, other = _operand(left, kind), _operand(right, kind)
        if not isinstance(node, exp.Div):
            return Value(type(node)(this=one, expression=other), kind, unit)
        if not (isinstance(right.constant, int | float) and right.constant):
            other = exp.Nullif(this=other, expression=exp.Literal(this="0", is_string=False))
        division = exp.IntDiv if integers else exp.Div
        return Value(exp.Paren(this=division(this=one, expression=other)), kind, unit)

    def _joined(self, node: exp.Expr, place: Place) -> Value:
        chain = self._chain(node, (exp.DPipe,))
        left = self._text(chain[0].this, place)
        for one in chain:
            left = exp.DPipe(this=left, expression=self._text(one.expression, place))
        return Value(left, "text")

    def _text(self, node: exp.Expr, place: Place, what: str = "What is joined by ||") -> exp.Expr:
        value = self.scalar(node, place)
        if value.kind not in ("text", "region", "null"):
            raise self.wrong(
                node, f"{what} must be text, and is {described(value.kind)}.", "Write CAST(… AS VARCHAR)."
            )
        return value.node

    def _comparison(self, node: exp.Expr, place: Place) -> Value:
        left, right = self.scalar(node.this, place), self.scalar(node.expression, place)
        self.comparable(node, left, right)
        return Value(compared(type(node), left, right), "condition")

    def comparable(self, node: exp.Expr, *values: Value) -> None:
        """Refuse to compare what cannot be compared; make timestamps of texts that stand against timestamps."""
        if any(value.kind == "timestamp" for value in values):
            for value in values:
                if isinstance(value.constant, str):
                    value.node, value.kind = self.moment(node, value.constant), "timestamp"
        for value in values:
            if value.kind in GEOMETRY - {"region"}:
                raise self.wrong(
                    node, "Geometries cannot be compared.", "Use CONTAINS, INTERSECTS or DISTANCE."
                )
            if value.kind in ARRAYS:
                raise self.wrong(node, "Arrays cannot be compared.", "")
            if value.kind == "boolean":
                value.node, value.kind = cast(value.node, "SMALLINT"), "short"
        kind = values[0].kind
        for value in values[1:]:
            together = common(kind, value.kind)
            if together is None:
                kinds = sorted([described(kind), described(value.kind)])
                if "a timestamp" in kinds:
                    advice = "Write CAST(… AS TIMESTAMP)."
                elif kinds == ["a number", "text"]:
                    advice = "A text stands in single quotes, a number without; CAST(x AS type) makes one of the other."
                else:
                    advice = ""
                raise self.wrong(node, f"{kinds[0].capitalize()} cannot be compared with {kinds[1]}.", advice)
            kind = together

    def moment(self, node: exp.Expr, text: str) -> exp.Expr:
        """Return a timestamp of DALI's form (DALI 1.1, 3.1.2) as a tree."""
        given = text.strip()
        try:
            if not _DALI_TIME.fullmatch(given):
                raise ValueError
            moment = dt.datetime.fromisoformat(given.removesuffix("Z"))
        except ValueError as error:
            raise self.wrong(node, f"“{text}” is no time.", "Write it as 2026-11-21T12:00:00.") from error
        return cast(exp.Literal(this=moment.isoformat(sep=" "), is_string=True), "TIMESTAMP")

    def _between(self, node: exp.Expr, place: Place) -> Value:
        values = [self.scalar(node.args[part], place) for part in ("this", "low", "high")]
        self.comparable(node, *values)
        this, low, high = values
        if this.kind == "long" and not {low.kind, high.kind} <= {*INTEGERS, "null"}:
            # Together they would be compared as doubles; each bound by itself is not.
            again = Value(this.node.copy(), this.kind, constant=this.constant)
            both = compared(exp.GTE, this, low), compared(exp.LTE, again, high)
            return Value(exp.And(this=both[0], expression=both[1]), "condition")
        return Value(exp.Between(this=this.node, low=low.node, high=high.node), "condition")

    def _in(self, node: exp.Expr, place: Place) -> Value:
        value = self.scalar(node.this, place)
        query = node.args.get("query")
        if query is not None:
            tree, outputs = self._subquery(query, place.scope)
            if len(outputs) != 1:
                raise self.wrong(
                    node, f"The query behind IN has {len(outputs)} columns.", "It must have one."
                )
            self.comparable(node, value, Value(outputs[0].node, outputs[0].kind))
            return Value(exp.In(this=value.node, query=tree), "condition")
        listed = [self.scalar(one, place) for one in node.expressions]
        self.comparable(node, value, *listed)
        if value.kind != "long":
            return Value(exp.In(this=value.node, expressions=[one.node for one in listed]), "condition")
        # One double among them, and all would be compared as doubles.
        integers = [one.node for one in listed if one.kind in INTEGERS or one.kind == "null"]
        others = [one.node for one in listed if one.kind not in (*INTEGERS, "null") and one.exact is None]
        made: list[exp.Expr] = [
            exp.In(this=value.node.copy(), expressions=nodes) for nodes in (integers, others) if nodes
        ]
        return Value(balanced(exp.Or, made or [beyond(exp.EQ, value, 2**63)]), "condition")

    def _like(self, node: exp.Expr, place: Place) -> Value:
        made = type(node)(
            this=self._text(node.this, place, "What LIKE looks at"),
            expression=self._text(node.expression, place, "A pattern"),
        )
        return Value(exp.Not(this=made) if node.args.get("negate") else made, "condition")

    def _is(self, node: exp.Expr, place: Place) -> Value:
        return Value(exp.Is(this=self.scalar(node.this, place).node, expression=exp.Null()), "condition")

    def _exists(self, node: exp.Expr, place: Place) -> Value:
        assert isinstance(node.this, exp.Query)
        tree, _ = self._subquery(node.this, place.scope)
        while isinstance(tree, exp.Subquery) and not any(
            tree.args.get(part) for part in ("order", "limit", "offset")
        ):
            tree = tree.this
        return Value(exp.Exists(this=tree), "condition")

    def _scalar_query(self, node: exp.Expr, place: Place) -> Value:
        assert isinstance(node, exp.Query)
        tree, outputs = self._subquery(node, place.scope)
        if len(outputs) != 1:
            raise self.wrong(
                node, f"This query is used as a value and has {len(outputs)} columns.", "It must have one."
            )
        return Value(tree, outputs[0].kind, outputs[0].unit)


def _operand(value: Value, kind: str) -> exp.Expr:
    """Return an operand of arithmetic, integers as BIGINT; what binds looser stands in parentheses."""
    if kind == "long" and value.kind in INTEGERS[:3] and value.constant is None:
        return cast(value.node, "BIGINT")
    if kind == "double" and value.kind == "float":
        return cast(value.node, "DOUBLE")
    return value.node


def _folded(operation: type[exp.Expr], left: float, right: float) -> float | None:
    """Return what two numbers make, as the engine would; None where it is NULL, or too large an integer."""
    integers = isinstance(left, int) and isinstance(right, int)
    try:
        if operation is exp.Add:
            made = left + right
        elif operation is exp.Sub:
            made = left - right
        elif operation is exp.Mul:
            made = left * right
        elif right == 0:
            return None
        elif integers:
            made = abs(int(left)) // abs(int(right)) * (1 if (left < 0) == (right < 0) else -1)
        else:
            made = left / right
    except OverflowError:
        return None
    if integers and not -(2**63) <= made < 2**63:
        return None
    return made


_HANDLERS: Final[Mapping[type[exp.Expr], Callable[[Expressions, exp.Expr, Place], Value]]] = {
    exp.Column: Expressions._column,
    exp.Literal: Expressions._literal,
    exp.Null: Expressions._null,
    exp.Paren: Expressions._paren,
    exp.Neg: Expressions._neg,
    exp.Not: Expressions._not,
    exp.And: Expressions._logical,
    exp.Or: Expressions._logical,
    **dict.fromkeys(_ARITHMETIC, Expressions._arithmetic),
    **dict.fromkeys(COMPARISONS, Expressions._comparison),
    exp.DPipe: Expressions._joined,
    exp.Between: Expressions._between,
    exp.In: Expressions._in,
    exp.Like: Expressions._like,
    exp.ILike: Expressions._like,
    exp.Is: Expressions._is,
    exp.Exists: Expressions._exists,
    exp.Subquery: Expressions._scalar_query,
    exp.Cast: calls.converted_to,
    exp.Anonymous: calls.called,
}
