"""Conditions that are simple enough to be looked at without DuckDB, which takes 2 ms for what numpy does in 0.1.

Only those whose answer is the same however it is computed: texts that are equal, integers and doubles compared with
numbers, cones. A column of type float is not among them (its comparison with 17.3 depends on which of the two is
converted).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sqlglot import exp

from sodalake.tap.metadata import Column

from .conditions import Circle, Constraints, conjuncts, constant, constraints_of, source_column

__all__ = ["Check", "Compared", "InCone", "Listed", "checks_of", "columns_of"]

Operator = Literal["=", "<", "<=", ">", ">="]

_OPERATORS: Mapping[type[exp.Expr], Operator] = {
    exp.EQ: "=", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">=",
}  # fmt: skip
_FLIPPED: Mapping[Operator, Operator] = {"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_INTEGERS = ("short", "int", "long")
_EXACT = 2**53


@dataclass(frozen=True, slots=True)
class Compared:
    """``column operator value``."""

    column: str
    operator: Operator
    value: int | float | str


@dataclass(frozen=True, slots=True)
class Listed:
    """The column is one of some values."""

    column: str
    values: tuple[int | float | str, ...]


@dataclass(frozen=True, slots=True)
class InCone:
    """The place (`ra`, `dec`) is in a cone."""

    ra: str
    dec: str
    cone: Circle


Check = Compared | Listed | InCone


def columns_of(check: Check) -> tuple[str, ...]:
    """Return the columns that a check looks at."""
    return (check.ra, check.dec) if isinstance(check, InCone) else (check.column,)


def checks_of(
    where: exp.Expr, source: str, columns: Mapping[str, Column], roles: Mapping[str, str]
) -> tuple[Check, ...] | None:
    """Return a condition as checks that must all hold; None where it is not made of such.

    Parameters
    ----------
    where
        Of a resolved tree.
    columns, roles
        Of the source's table.
    """
    found: list[Check] = []
    for node in conjuncts(where):
        one = _of(node, source, columns, roles)
        if one is None:
            return None
        found += one
    return tuple(found)


def _of(
    node: exp.Expr, source: str, columns: Mapping[str, Column], roles: Mapping[str, str]
) -> Sequence[Check] | None:
    if isinstance(node, exp.Between):
        low = _compared(node.this, ">=", node.args["low"], source, columns)
        high = _compared(node.this, "<=", node.args["high"], source, columns)
        return None if low is None or high is None else [low, high]
    if isinstance(node, exp.In):
        return _listed(node, source, columns)
    operator = _OPERATORS.get(type(node))
    if operator is None:
        return None
    assert isinstance(node, exp.Binary)
    plain = _compared(node.this, operator, node.expression, source, columns) or _compared(
        node.expression, _FLIPPED[operator], node.this, source, columns
    )
    return [plain] if plain is not None else _cone(node, source, columns, roles)


def _compared(
    column: exp.Expr, operator: Operator, value: exp.Expr, source: str, columns: Mapping[str, Column]
) -> Compared | None:
    place, literal = source_column(column), constant(value)
    if place is None or place[0] != source or literal is None:
        return None
    if not _fits(columns[place[1]], literal) or (isinstance(literal, str) and operator != "="):
        return None
    return Compared(place[1], operator, literal)


def _listed(node: exp.In, source: str, columns: Mapping[str, Column]) -> list[Check] | None:
    place = source_column(node.this)
    values = [constant(one) for one in node.args.get("expressions") or ()]
    if place is None or place[0] != source or not values:
        return None
    known = [value for value in values if value is not None]
    if len(known) < len(values) or not all(_fits(columns[place[1]], value) for value in known):
        return None
    return [Listed(place[1], tuple(known))]


def _fits(column: Column, value: int | float | str) -> bool:
    """Say whether comparing them is the same for everybody."""
    if column.arraysize not in ("", "1") and column.datatype != "char":
        return False
    if isinstance(value, str):
        return column.datatype == "char" and not column.xtype
    if column.datatype in _INTEGERS:
        return isinstance(value, int) and abs(value) < 2**63
    return column.datatype == "double" and abs(value) < _EXACT


def _cone(
    node: exp.Expr, source: str, columns: Mapping[str, Column], roles: Mapping[str, str]
) -> list[Check] | None:
    """Read what `conditions` knows as one cone around the row's place, and nothing besides."""
    found = constraints_of(node, source, roles)
    if found.regions is None or len(found.regions) != 1 or found != Constraints(regions=found.regions):
        return None
    (cone,) = found.regions
    ra, dec = columns[roles["ra"]], columns[roles["dec"]]
    if not isinstance(cone, Circle) or ra.datatype != "double" or dec.datatype != "double":
        return None
    # DISTANCE < r and <= r differ by the rim alone, and there nobody is sure (`running.checking`).
    return [InCone(roles["ra"], roles["dec"], cone)]
