"""Columns of an answer: their names, and what is known of them (TAP 1.1, 3.2)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from sqlglot import exp

from ..metadata import Column
from .dialect import ADQL
from .kinds import SQL, votable
from .scopes import Shape, shape_of
from .screening import CALL
from .values import Value, cast, converted

__all__ = ["Output", "origins", "output_of", "shape_of_outputs", "widen"]

_LONGEST: Final = 200


@dataclass(slots=True)
class Output:
    """A column of a query's answer: its canonical alias, what is known of it, its expression."""

    alias: str
    column: Column
    value: Value
    name: str


def widen(tree: exp.Query, at: int, given: str, kind: str) -> None:
    """Convert an output of each SELECT that a set operation is made of."""
    pending: list[exp.Expr] = [tree]
    while pending:
        one = pending.pop()
        if isinstance(one, exp.Select):
            alias = one.expressions[at]
            alias.set(
                "this",
                converted(Value(alias.this, given), kind) if given != "null" else cast(alias.this, SQL[kind]),
            )
            alias.meta["cast"] = ""
        elif isinstance(one, exp.SetOperation):
            pending += [one.this, one.expression]
        else:
            pending.append(one.this)


def output_of(
    value: Value, alias: exp.Identifier | None, names: set[str], origin: exp.Expr | None = None
) -> Output:
    """Return an output: its name unique (without regard to case: FITS and DuckDB have none), its metadata."""
    column = value.column
    if alias is not None:
        wanted = alias.this
    elif column is not None:
        wanted = column.name
    else:
        inner = origin.unnest() if isinstance(origin, exp.Paren) else origin
        base = inner.this.removeprefix(CALL).lower() if isinstance(inner, exp.Anonymous) else "expression"
        wanted = _free(f"{base}_1", f"{base}_", names)
    name = wanted
    if name.lower() in names:
        name = _free(f"{wanted}_2", f"{wanted}_", names, 2)
    names.add(name.lower())
    if column is not None:
        return Output(name, column if column.name == name else replace(column, name=name), value, wanted)
    datatype, arraysize, xtype = votable(value.kind)
    text = origin.sql(dialect=ADQL).replace(CALL, "") if origin is not None else ""
    described_as = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
    made = Column(name, datatype, arraysize, xtype, unit=value.unit, description=described_as)
    return Output(name, made, value, wanted)


def _free(first: str, base: str, names: set[str], count: int = 1) -> str:
    name = first
    while name.lower() in names:
        count += 1
        name = f"{base}{count}"
    return name


def shape_of_outputs(outputs: list[Output]) -> Shape:
    """Return the columns of a subquery, as they are seen around it."""
    return shape_of(
        [output.name for output in outputs],
        [output.alias for output in outputs],
        [output.column for output in outputs],
        [output.value.kind for output in outputs],
    )


def origins(node: exp.Select, outputs: list[Output]) -> list[exp.Expr]:
    """Return for each output the node of the query that it comes from; a star's is the query."""
    if len(node.expressions) == len(outputs):
        return node.expressions
    return [node] * len(outputs)
