"""What is left of the archive's rows before they are brought together: the fewer, the better.

Applied to each group of files where these are read, side by side; the query itself then sees the rest under the same
name. Conditions always; of an aggregate its partial values; of TOP with ORDER BY each group's own top rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlglot import exp

from sodalake.tap.adql import duckdb_sql
from sodalake.tap.adql.functions import NAMES
from sodalake.tap.resolved import Resolved, Source

from .blocks import Block
from .plan import Reduction

__all__ = ["Partial", "aggregates_of", "filtered", "is_simple", "partial_aggregate", "top_rows"]

_AGGREGATES = (exp.Count, exp.Sum, exp.Min, exp.Max, exp.Avg)
_MOST_TOP = 100_000  # rows of a group's own top: more are sorted once, at the end


@dataclass(frozen=True, slots=True)
class Partial:
    """An aggregate in two steps: what each group of files makes, and the query over that."""

    reduction: Reduction
    tree: exp.Query


def filtered(block: Block, source: Source, columns: Sequence[str], *, distinct: bool = False) -> Reduction:
    """Return the rows that the conditions on this table alone leave, and the columns that are used."""
    query = _selected(block, source, columns)
    if distinct:
        query = query.distinct()
    conditions = block.local(source.id)
    told = f"{len(conditions)} conditions applied at the files" if conditions else "columns only"
    return Reduction(duckdb_sql(query), ("distinct rows of each group, " if distinct else "") + told)


def top_rows(block: Block, source: Source, columns: Sequence[str]) -> Reduction | None:
    """Return each group's own top rows, where the query wants few and says which; None where it does not."""
    select = block.select
    order, limit = select.args.get("order"), _rows_wanted(select)
    if order is None or limit is None or limit > _MOST_TOP:
        return None
    terms = [_term(select, ordered) for ordered in order.expressions]
    if any(term is None or term.find(exp.Rand) for term in terms):
        return None
    query = _selected(block, source, columns).order_by(*[term for term in terms if term is not None])
    return Reduction(duckdb_sql(query.limit(limit)), f"the first {limit} rows of each group")


def is_simple(resolved: Resolved, block: Block) -> bool:
    """Say whether a query is one SELECT of one table, without subqueries."""
    return (
        resolved.tree is block.select
        and len(resolved.sources) == 1
        and not block.select.args.get("with_")
        and not block.select.args.get("joins")
        and all(query is block.select for query in block.select.find_all(exp.Query))
    )


def aggregates_of(select: exp.Select) -> list[exp.Expr]:
    """Return the calls of aggregate functions in a SELECT, user defined ones too."""
    return [
        node
        for node in select.find_all(exp.AggFunc, exp.Anonymous)
        if isinstance(node, exp.AggFunc) or (node.name in NAMES and NAMES[node.name].aggregate)
    ]


def partial_aggregate(block: Block, source: Source) -> Partial | None:
    """Return a simple query's aggregation in two steps; None where it cannot be taken apart."""
    select = block.select
    group = select.args.get("group")
    aggregates = aggregates_of(select)
    if not aggregates and group is None:
        return None
    for one in aggregates:
        if not isinstance(one, _AGGREGATES) or one.find(exp.Distinct) or one.find_ancestor(exp.AggFunc):
            return None
    if select.find(exp.Rand) is not None:
        return None
    keys = [_key(select, node) for node in (group.expressions if group else [])]
    if any(key is None or key.find(exp.AggFunc) for key in keys):
        return None
    grouped = [key for key in keys if key is not None]
    names: dict[str, str] = {}
    partial: list[exp.Expr] = []
    for number, key in enumerate(grouped):
        names[key.sql()] = f"_g{number}"
        partial.append(exp.alias_(key.copy(), f"_g{number}", quoted=True))
    replaced: dict[str, exp.Expr] = {}
    for one in aggregates:
        text = one.sql()
        if text not in replaced:
            pieces, replaced[text] = _taken_apart(one, len(replaced), source.alias)
            partial += pieces
    reduction = exp.select(*partial).from_(block.table(source.id))
    conditions = block.local(source.id)
    if len(conditions) != len(list(block.of(source.id))):
        return None  # a condition that cannot be applied at the files must come before the aggregate
    reduction = reduction.where(*(condition.copy() for condition in conditions), copy=False)
    if grouped:
        reduction = reduction.group_by(*[key.copy() for key in grouped])
    return Partial(
        Reduction(duckdb_sql(reduction), "aggregated at the files"),
        _over_partials(select, source.alias, names, replaced),
    )


def _taken_apart(one: exp.Expr, number: int, table: str) -> tuple[list[exp.Expr], exp.Expr]:
    """Return an aggregate's partial values, and the aggregate over those of all groups."""
    value = exp.column(f"_a{number}", table=table, quoted=True)
    if isinstance(one, exp.Avg):
        count = exp.column(f"_n{number}", table=table, quoted=True)
        pieces: list[exp.Expr] = [
            exp.alias_(exp.Sum(this=exp.cast(one.this.copy(), "double")), f"_a{number}", quoted=True),
            exp.alias_(exp.Count(this=one.this.copy()), f"_n{number}", quoted=True),
        ]
        whole = exp.Anonymous(this="QUOTIENT_OF_SUMS", expressions=[exp.Sum(this=value), exp.Sum(this=count)])
        return pieces, whole
    piece = exp.alias_(one.copy(), f"_a{number}", quoted=True)
    if isinstance(one, exp.Count):
        total = exp.Coalesce(this=exp.Sum(this=value), expressions=[exp.Literal.number(0)])
        return [piece], exp.cast(total, "bigint")
    kind = exp.Sum if isinstance(one, exp.Sum) else type(one)
    return [piece], kind(this=value)


def _over_partials(
    select: exp.Select, table: str, names: dict[str, str], replaced: dict[str, exp.Expr]
) -> exp.Select:
    """Return the query with its keys and aggregates taken from partial values.

    These are named with their table: an output of the query may be called as they are.
    """
    keys = {text: exp.column(name, table=table, quoted=True) for text, name in names.items()}

    def over(node: exp.Expr) -> exp.Expr:
        text = node.sql()
        if text in keys:
            return keys[text].copy()
        if isinstance(node, exp.AggFunc):
            return replaced[text].copy()
        return node

    final = select.copy()
    final.set("where", None)
    for name in ("expressions", "having", "order"):
        found = final.args.get(name)
        if isinstance(found, list):
            final.set(name, [one.transform(over) for one in found])
        elif found is not None:
            final.set(name, found.transform(over))
    if final.args.get("group") is not None:
        final.set("group", exp.Group(expressions=list(keys.values())))
    return final


def _selected(block: Block, source: Source, columns: Sequence[str]) -> exp.Select:
    wanted = [_column(source, name) for name in columns]
    query = exp.select(*wanted).from_(block.table(source.id))
    return query.where(*(condition.copy() for condition in block.local(source.id)), copy=False)


def _column(source: Source, name: str) -> exp.Column:
    column = exp.column(name, table=source.alias, quoted=True)
    column.meta.update(source=source.id, name=name)
    return column


def _rows_wanted(select: exp.Select) -> int | None:
    limit, offset = select.args.get("limit"), select.args.get("offset")
    if limit is None:
        return None
    return int(limit.expression.this) + (int(offset.expression.this) if offset is not None else 0)


def _key(select: exp.Select, node: exp.Expr) -> exp.Expr | None:
    """Return what a term of GROUP BY stands for."""
    if isinstance(node, exp.Literal) and not node.is_string:
        return _output(select, int(node.this))
    if isinstance(node, exp.Column) and not node.meta.get("source"):
        return _named(select, node.name)
    return node


def _term(select: exp.Select, ordered: exp.Ordered) -> exp.Ordered | None:
    """Return a term of ORDER BY over the table's own columns."""
    node = ordered.this
    if isinstance(node, exp.Literal) and not node.is_string:
        meant = _output(select, int(node.this))
    elif isinstance(node, exp.Column) and not node.meta.get("source"):
        meant = _named(select, node.name)
    else:
        meant = node
    if meant is None or meant.find(exp.AggFunc):
        return None
    if any(not column.meta.get("source") for column in meant.find_all(exp.Column)):
        return None
    term = ordered.copy()
    term.set("this", meant.copy())
    return term


def _output(select: exp.Select, number: int) -> exp.Expr | None:
    outputs = select.expressions
    return outputs[number - 1].unalias() if 1 <= number <= len(outputs) else None


def _named(select: exp.Select, name: str) -> exp.Expr | None:
    return next((one.unalias() for one in select.expressions if one.alias_or_name == name), None)
