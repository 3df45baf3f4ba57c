"""The blocks of a query: which tables each SELECT reads, and which conditions hold for which of them."""

from __future__ import annotations

from collections.abc import Iterator
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
    in_where
        Whether it stands in WHERE.
    """

    node: exp.Expr
    holds_for: frozenset[str]
    in_where: bool


@dataclass(slots=True)
class Block:
    """One SELECT: its sources by id, where each stands, and its conditions."""

    select: exp.Select
    sources: dict[str, Source] = field(default_factory=dict)
    nodes: dict[str, exp.Table] = field(default_factory=dict)
    conditions: list[Condition] = field(default_factory=list)
    has_outer_join: bool = False

    def of(self, source: str) -> Iterator[exp.Expr]:
        """Yield the conditions that hold for a source."""
        return (condition.node for condition in self.conditions if source in condition.holds_for)

    def local(self, source: str) -> list[exp.Expr]:
        """Return the conditions that can be applied to a source's rows before anything else is.

        One of a WHERE may be about the nulls that an outer join makes, so it is left out where there is such a join.
        """
        return [
            condition.node
            for condition in self.conditions
            if source in condition.holds_for
            and not (condition.in_where and self.has_outer_join)
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
    everything = frozenset(block.sources)
    where = block.select.args.get("where")
    if where is not None:
        for node in conjuncts(where.this):
            block.conditions.append(Condition(node, everything, in_where=True))
    for join in block.select.find_all(exp.Join):
        if join.find_ancestor(exp.Select) is not block.select:
            continue
        side = (join.side or "").upper()
        right = frozenset(
            source for source, node in block.nodes.items() if node is join.this or _is_in(node, join.this)
        )
        block.has_outer_join |= bool(side)
        holds = {"": everything, "LEFT": right, "RIGHT": everything - right}.get(side, frozenset())
        condition = join.args.get("on")
        if condition is not None:
            for node in conjuncts(condition):
                block.conditions.append(Condition(node, holds, in_where=False))


def _is_in(node: exp.Expr, other: exp.Expr) -> bool:
    parent = node.parent
    while parent is not None:
        if parent is other:
            return True
        parent = parent.parent
    return False


def _is_local(node: exp.Expr, source: str) -> bool:
    if node.find(exp.Query, exp.Subquery, exp.Exists, exp.Rand) is not None:
        return False
    columns = list(node.find_all(exp.Column))
    return bool(columns) and all(
        place is not None and place[0] == source for place in map(source_column, columns)
    )
