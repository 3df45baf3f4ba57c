"""Comparisons and what joins them, as trees that an engine and a planner read best."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlglot import exp

from .kinds import INTEGERS
from .values import Value, number

__all__ = ["COMPARISONS", "balanced", "beyond", "compared"]

COMPARISONS: Final[Mapping[type[exp.Expr], type[exp.Expr]]] = {
    exp.EQ: exp.EQ,
    exp.NEQ: exp.NEQ,
    exp.LT: exp.GT,
    exp.LTE: exp.GTE,
    exp.GT: exp.LT,
    exp.GTE: exp.LTE,
}
"""Comparisons, and what each is with its sides exchanged."""

_LISTABLE: Final = "listable"
"""Marks ``x = literal`` that may become ``x IN (literal, …)``: both are texts, or both integers."""


def compared(made: type[exp.Expr], left: Value, right: Value) -> exp.Expr:
    """Return a comparison, a literal on its right side."""
    if (left.constant is not None and right.constant is None) or (
        left.exact is not None and right.kind in INTEGERS
    ):
        left, right, made = right, left, COMPARISONS[made]
    if right.exact is not None and left.kind in INTEGERS:
        return beyond(made, left, right.exact)
    comparison = made(this=left.node, expression=right.node)
    alike = left.kind == right.kind == "text" or (left.kind in INTEGERS and right.kind in INTEGERS)
    if made is exp.EQ and alike and isinstance(left.node, exp.Column) and right.constant is not None:
        comparison.meta[_LISTABLE] = True
    return comparison


def beyond(made: type[exp.Expr], value: Value, bound: int) -> exp.Expr:
    """Return the comparison of an integer with one that no BIGINT reaches: true or false for all, but NULL of NULL."""
    true = made is exp.NEQ or made in ((exp.LT, exp.LTE) if bound > 0 else (exp.GT, exp.GTE))
    comparison = (exp.LTE if true else exp.GT)(this=value.node, expression=number(2**63 - 1))
    if not true:
        comparison.meta["never"] = True  # so that no row is read for it
    return comparison


def balanced(kind: type[exp.Expr], parts: list[exp.Expr]) -> exp.Expr:
    """Return a tree of AND, or of OR, as flat as can be, in their order: whoever walks it goes a few steps deep.

    Of OR, all values that one column may equal are one list: 2 000 of them, among a million rows, take DuckDB 0.06 s
    and not 5.5 s.
    """
    if kind is exp.Or:
        parts = _listed(parts)
    while len(parts) > 1:
        pairs = zip(parts[::2], parts[1::2], strict=False)
        odd = parts[-1:] if len(parts) % 2 else []
        parts = [kind(this=one, expression=other) for one, other in pairs] + odd
    return parts[0]


def _listed(parts: list[exp.Expr]) -> list[exp.Expr]:
    """Return alternatives with those that are about one column in one, where its first stood."""
    equal: dict[tuple[str, str], list[exp.Expr]] = {}
    made: list[list[exp.Expr]] = []
    for part in parts:
        bare = part.unnest()
        if bare.meta.get(_LISTABLE):
            together = equal.setdefault((bare.this.table, bare.this.name), [])
            together.append(bare)
            if len(together) == 1:
                made.append(together)
        else:
            made.append([part])
    return [
        same[0]
        if len(same) == 1
        else exp.In(this=same[0].this, expressions=[part.args["expression"] for part in same])
        for same in made
    ]
