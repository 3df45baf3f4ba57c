"""What has one value in a group: what is grouped by, and aggregates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlglot import exp

from .outputs import Output, origins
from .scopes import Scope

if TYPE_CHECKING:
    from .expressions import Expressions

__all__ = ["check_grouped"]

_AGGREGATES: Final = frozenset(["IVO_STRING_AGG", "IVO_HISTOGRAM"])


def check_grouped(
    expressions: Expressions,
    node: exp.Select,
    scope: Scope,
    made: exp.Select,
    outputs: list[Output],
    terms: list[exp.Expr],
) -> None:
    """Refuse columns that have no one value in a group."""
    having, order = made.args.get("having"), made.args.get("order")
    parts: list[tuple[exp.Expr, exp.Expr]] = [
        (one, output.value.node) for one, output in zip(origins(node, outputs), outputs, strict=True)
    ]
    if having is not None:
        parts.append((node.args["having"], having.this))
    if order is not None:
        parts += [(node.args["order"], term.this) for term in order.expressions]
    if not terms and having is None and not any(_aggregated(tree) for _, tree in parts):
        return
    own = {relation.alias for relation in scope.relations}
    for origin, tree in parts:
        stray = _stray(tree, terms, own)
        if stray is not None:
            name = stray.meta["name"]
            if terms:
                message = f"{name} is neither grouped by nor in an aggregate."
            else:
                message = f"{name} stands beside an aggregate, and nothing is grouped."
            raise expressions.wrong(origin, message, f"Add GROUP BY {name}, or write MIN({name}).")


def _aggregated(tree: exp.Expr) -> bool:
    """Say whether an expression holds an aggregate of its own (not one of a subquery in it)."""
    pending = [tree]
    while pending:
        one = pending.pop()
        if isinstance(one, exp.AggFunc) or (isinstance(one, exp.Anonymous) and one.this in _AGGREGATES):
            return True
        if not isinstance(one, exp.Query):
            pending.extend(one.iter_expressions())
    return False


def _stray(tree: exp.Expr, terms: list[exp.Expr], own: set[str]) -> exp.Expr | None:
    """Return a column of these relations that is neither in an aggregate nor part of what is grouped by."""
    pending = [tree]
    while pending:
        one = pending.pop()
        if any(one == term for term in terms):
            continue
        if isinstance(one, exp.AggFunc) or (isinstance(one, exp.Anonymous) and one.this in _AGGREGATES):
            continue
        if isinstance(one, exp.Column):
            if one.table in own:
                return one
            continue
        pending.extend(one.iter_expressions())
    return None
