"""The blocks of a query: which tables each SELECT reads, and which conditions hold for which of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from sqlglot import exp

from sodalake.tap.resolved import Resolved, Source

from .conditions import conjuncts, source_column

__all__ = ["Block", "Condition", "blocks_of"]


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition that holds for every row that the query can use of some sources.

    Attributes
    ----------
    node
        The condition.
    holds_for
        Ids of the block's sources whose rows it restricts: those on the preserved side of an outer join are not
        restricted by its ON.
    nullable
        Ids of those whose rows may be nulls of an outer join where it is looked at: it may be about these.
    """

    node: exp.Expr
    holds_for: frozenset[str]
    nullable: frozenset[str]


@dataclass(slots=True)
class Block:
    """One SELECT: its sources by id, where each stands, and its conditions."""

    select: exp.Select
    sources: dict[str, Source] = field(default_factory=dict)
    nodes: dict[str, exp.Table] = field(default_factory=dict)
    conditions: list[Condition] = field(default_factory=list)

    def of(self, source: str) -> Iterator[exp.Expr]:
        """Yield the conditions that hold for a source."""
        return (condition.node for condition in self.conditions if source in condition.holds_for)

    def table(self, source: str) -> exp.Table:
        """Return a copy of a source's table, without what is joined to it in the same parentheses."""
        node = self.nodes[source].copy()
        node.set("joins", None)
        return node

    def local(self, source: str) -> list[exp.Expr]:
        """Return the conditions that can be applied to a source's rows before anything else is.

        One that may be about the nulls that an outer join has made of them is left out.
        """
        return [
            condition.node
            for condition in self.conditions
            if source in condition.holds_for
            and source not in condition.nullable
            and _is_local(condition.node, source)
        ]


def blocks_of(resolved: Resolved) -> list[Block]:
    """Return the blocks of a query that read tables, in the order of their first source."""
    by_id = {source.id: source for source in resolved.sources}
    blocks: dict[int, Block] = {}
    for node in resolved.tree.find_all(exp.Table):
        source = node.meta.get("source")
        select = node.find_ancestor(exp.Select)
        if source is None or select is None:
            continue
        block = blocks.setdefault(id(select), Block(select))
        block.sources[source] = by_id[source]
        block.nodes[source] = node
    found = sorted(blocks.values(), key=lambda block: min(block.sources, key=_number))
    for block in found:
        _read_conditions(block)
    return found


def _number(source: str) -> int:
    return int(source[1:])


def _read_conditions(block: Block) -> None:
    ids = {id(node): source for source, node in block.nodes.items()}
    first = block.select.args["from_"].this
    joins = block.select.args.get("joins") or ()
    _, nullable = _read_joins(_read_table(first, ids, block), joins, ids, block)
    where = block.select.args.get("where")
    if where is not None:
        everything = frozenset(block.sources)
        nodes = conjuncts(where.this)
        block.conditions[:0] = [Condition(node, everything, nullable) for node in nodes]


# Sources, and which of these an outer join may have made nulls of.
_Seen = tuple[frozenset[str], frozenset[str]]


def _read_table(node: exp.Expr, ids: Mapping[int, str], block: Block) -> _Seen:
    """Read the conditions of what FROM or a join names: a table, a subquery, or joins in parentheses."""
    nothing: frozenset[str] = frozenset()
    if isinstance(node, exp.Table):
        seen = frozenset(source for source in (ids.get(id(node)),) if source is not None), nothing
    elif node.args.get("alias") is not None:
        seen = nothing, nothing
    else:
        seen = _read_table(node.this, ids, block)
    return _read_joins(seen, node.args.get("joins") or (), ids, block)


def _read_joins(seen: _Seen, joins: Iterable[exp.Expr], ids: Mapping[int, str], block: Block) -> _Seen:
    """Read the conditions of joins to what was `seen` before them; return what is seen behind them."""
    left, nullable = seen
    for join in joins:
        right, right_nullable = _read_table(join.this, ids, block)
        nullable |= right_nullable
        side = str(join.args.get("side") or "").upper()
        holds = {"": left | right, "LEFT": right, "RIGHT": left}.get(side, frozenset())
        for node in conjuncts(join.args.get("on")):
            block.conditions.append(Condition(node, holds, nullable))
        nullable |= {"LEFT": right, "RIGHT": left, "FULL": left | right}.get(side, frozenset())
        left |= right
    return left, nullable


def _is_local(node: exp.Expr, source: str) -> bool:
    if node.find(exp.Query, exp.Subquery, exp.Exists, exp.Rand) is not None:
        return False
    columns = list(node.find_all(exp.Column))
    return bool(columns) and all(
        place is not None and place[0] == source for place in map(source_column, columns)
    )
