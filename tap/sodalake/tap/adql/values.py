"""Expressions that have been understood, and small trees of which they are made."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sqlglot import exp

from ..metadata import Column
from .kinds import SQL

__all__ = ["Value", "call", "cast", "converted", "number", "whole"]


@dataclass(slots=True)
class Value:
    """An expression in canonical form, and what is known of it.

    Attributes
    ----------
    node
        The tree.
    kind
        See `kinds`; ``condition`` for what stands in WHERE.
    unit
        VOUnits; empty where it does not follow.
    column
        What is known of the column, if it is nothing but one.
    constant
        Its value, if it is a literal or computed of literals; geometry: the numbers it is made of.
    exact
        A whole number that no BIGINT holds, where the constant is but the double nearest to it.
    """

    node: exp.Expr
    kind: str
    unit: str = ""
    column: Column | None = None
    constant: int | float | str | tuple[float, ...] | None = None
    exact: int | None = None


def call(name: str, *arguments: exp.Expr) -> exp.Anonymous:
    """Return a function's call."""
    return exp.Anonymous(this=name, expressions=list(arguments))


def cast(node: exp.Expr, sql: str) -> exp.Cast:
    """Return a node converted to one of DuckDB's types (one of `kinds.SQL`)."""
    return exp.Cast(this=node, to=exp.DataType.build(sql, dialect="duckdb"))


def number(value: float) -> exp.Expr:
    """Return a number as a literal, so that it is read back as the same; finite."""
    literal = exp.Literal(this=repr(abs(value)), is_string=False)
    if isinstance(value, int) and value == -(2**63):
        return cast(exp.Neg(this=literal), "BIGINT")  # by themselves its digits are of a wider type
    return exp.Neg(this=literal) if value < 0 or (value == 0 and math.copysign(1, value) < 0) else literal


def whole(value: int) -> str:
    """Return the kind of a whole number."""
    return "int" if -(2**31) <= value < 2**31 else "long" if -(2**63) <= value < 2**63 else "double"


def converted(value: Value, kind: str) -> exp.Expr:
    """Return a value's node, converted to a kind where it is of another."""
    if value.kind == kind or value.kind == "null":
        return value.node
    if value.kind == "timestamp" and kind == "text":
        return call("TIMESTAMP_TEXT", value.node)
    return cast(value.node, SQL[kind])
