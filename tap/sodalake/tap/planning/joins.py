"""Joins that an index serves: rows of one table reached from those of another, by id or by place.

A cross-match by place is not N × M comparisons: the rows near each other are found by their HEALPix cells, become a
table of pairs of row numbers, and the join is one by these, with its own condition applied as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlglot import exp

from sodalake.tap.resolved import Source

from .blocks import Block
from .conditions import conjuncts, constant, function_is_true, is_function, source_column
from .owncolumns import partner_column, row_column
from .plan import Joined

__all__ = ["candidates", "pair_up"]

_KEY_ROLES = ("alert", "object", "image")
# Of a diameter: half of it, and a little, since outlines are rounded.
_HALF = 0.55


def candidates(source: Source, block: Block, all_sources: dict[str, Source]) -> Iterator[Joined]:
    """Yield the ways in which rows of `source` can be reached from those of another source."""
    for condition in block.conditions:
        if source.id not in condition.holds_for:
            continue
        node = condition.node
        if isinstance(node, exp.In) and node.args.get("query") is not None:
            yield from _listed(node, source, all_sources)
        elif (near := _near(node, all_sources)) is not None:
            for way in near.both_ways():
                if way.column == source.id and _is_place(way, source) and way.other != source.id:
                    if way.kind == "covers":
                        # There is an index of the outlines themselves.
                        yield replace(way, column="", radius=0.0, own=False)
                    elif not way.own:
                        yield replace(way, column="")
        elif isinstance(node, exp.EQ):
            one, two = source_column(node.this), source_column(node.expression)
            for mine_, other_ in ((one, two), (two, one)):
                if mine_ and other_ and mine_[0] == source.id and other_[0] != source.id:
                    yield from _equal(source, mine_[1], other_)


def _equal(source: Source, column: str, other: tuple[str, str]) -> Iterator[Joined]:
    for role in _KEY_ROLES:
        if source.table.roles.get(role) == column:
            yield Joined(other[0], "equal", column=column, other_column=other[1], role=role)


def _listed(node: exp.In, source: Source, all_sources: dict[str, Source]) -> Iterator[Joined]:
    """Read ``column IN (SELECT one column of a table …)``: what is listed is some of that column's values."""
    mine = source_column(node.this)
    inner = node.args["query"].unnest()
    if (
        mine is None
        or mine[0] != source.id
        or not isinstance(inner, exp.Select)
        or len(inner.expressions) != 1
    ):
        return
    other = source_column(inner.expressions[0].unalias())
    if other is not None and other[0] in all_sources:
        yield from _equal(source, mine[1], other)


_Place = tuple[str, str, str]  # source, longitude, latitude


@dataclass(frozen=True, slots=True)
class _Near:
    """Two places that are near each other: within degrees, or the value of a column of one of the two, times a scale.

    `covers`: the first is in the outline around the second, whose diameter the column is.
    """

    one: _Place
    two: _Place
    radius: float | tuple[str, str]
    scale: float = 1.0
    covers: bool = False

    def both_ways(self) -> Iterator[Joined]:
        """Yield how rows of the one (whose id is `Joined.column`) and of the other are joined, cones around each."""
        for mine, other in ((self.one, self.two), (self.two, self.one)):
            owner = "" if isinstance(self.radius, float) else self.radius[0]
            yield Joined(
                other[0],
                "covers" if self.covers and mine is self.two else "near",
                column=mine[0],
                place=mine[1:],
                other_place=other[1:],
                radius=self.radius if isinstance(self.radius, float) else self.radius[1],
                scale=self.scale,
                own=bool(owner) and owner == mine[0],
            )


def _near(node: exp.Expr, sources: Mapping[str, Source]) -> _Near | None:
    """Read a condition that two places of rows are near each other."""
    if isinstance(node, exp.LT | exp.LTE | exp.GT | exp.GTE):
        less = isinstance(node, exp.LT | exp.LTE)
        call, bound = (node.this, node.expression) if less else (node.expression, node.this)
        call = call.unnest()
        if not is_function(call, "DISTANCE"):
            return None
        return _of(call.expressions[0], call.expressions[1], bound)
    call = function_is_true(node, ("CONTAINS",))
    if call is None:
        return None
    if not is_function(call.expressions[1], "CIRCLE"):
        return _covered(call.expressions[0], call.expressions[1], sources)
    circle = call.expressions[1].expressions
    if len(circle) == 3:
        centre: exp.Expr = exp.Anonymous(this="POINT", expressions=[one.copy() for one in circle[:2]])
        for part, original in zip(centre.expressions, circle[:2], strict=True):
            part.meta.update(original.meta)
    else:
        centre = circle[0]
    return _of(call.expressions[0], centre, circle[-1])


def _of(one: exp.Expr, two: exp.Expr, bound: exp.Expr) -> _Near | None:
    first, second = _place_of(one), _place_of(two)
    if first is None or second is None:
        return None
    number = constant(bound)
    if number is not None and not isinstance(number, str):
        return _Near(first, second, float(number)) if 0 <= number <= 180 else None
    column = source_column(bound)
    if column is None or column[0] not in (first[0], second[0]):
        return None
    return _Near(first, second, column)


def _covered(point: exp.Expr, region: exp.Expr, sources: Mapping[str, Source]) -> _Near | None:
    """Read a condition that a row's place is in the outline of another table's row."""
    if is_function(region, "SHAPE"):  # what a text that is a region becomes
        region = region.expressions[0]
    first, outline = _place_of(point), source_column(region)
    if first is None or outline is None or outline[0] not in sources:
        return None
    roles = sources[outline[0]].table.roles
    if roles.get("region") != outline[1] or "fov" not in roles:
        return None
    second = outline[0], roles["ra"], roles["dec"]
    return _Near(first, second, (outline[0], roles["fov"]), _HALF, covers=True)


def _place_of(node: exp.Expr) -> _Place | None:
    if not is_function(node, "POINT"):
        return None
    lon, lat = (source_column(one) for one in node.expressions)
    if lon is None or lat is None or lon[0] != lat[0]:
        return None
    return lon[0], lon[1], lat[1]


def _is_place(joined: Joined, source: Source) -> bool:
    roles = source.table.roles
    return joined.place == (roles.get("ra"), roles.get("dec"))


# ---------------------------------------------------------------------- pairs


def pair_up(block: Block, number: int) -> list[Joined]:
    """Rewrite the joins by place of a block so that they go by pairs of row numbers; return them.

    The pairs of a join are a table ``pairsN`` with columns ``l`` and ``r``: numbers (`row_column`) of rows of the
    source that `Joined.other` names, and of the source joined to it. Each `Joined` is of the latter; its id is
    `Joined.column`.

    Notes
    -----
    ``FROM a JOIN b ON near(a, b)`` becomes ``FROM a JOIN (SELECT b.*, l AS _partner FROM b JOIN pairs ON b._row = r)
    AS b ON near(a, b) AND a._row = b._partner``: a hash join, whether it is inner or outer, and whatever else is
    joined.
    """
    made: list[Joined] = []
    done: set[str] = set()
    for condition in list(block.conditions):
        near = _near(condition.node, block.sources)
        if near is None:
            continue
        for one in near.both_ways():
            ends = {one.column, one.other}
            if len(ends) < 2 or done & ends or not ends <= set(block.sources):
                continue
            if one.column not in condition.holds_for:
                continue  # it is another, outer join's, and these two are joined without it
            join = _joining(block, one.column, one.other)
            if join is None:
                continue
            name = f"pairs{number + len(made)}"
            _rewrite(block, join, one.column, one.other, name)
            done |= {one.column}
            made.append(replace(one, pairs=name))
            break
    return made


def _joining(block: Block, right: str, left: str) -> exp.Join | None:
    """Return the join that brings `right` to what has `left`; None where there is none that may be rewritten."""
    order = [block.select.args["from_"].this, *(join.this for join in block.select.args.get("joins") or ())]
    places = {source: order.index(node) for source, node in block.nodes.items() if node in order}
    if right not in places or left not in places or not places[left] < places[right]:
        return None
    join: exp.Join = block.select.args["joins"][places[right] - 1]
    later = block.select.args["joins"][places[right] - 1 :]
    if (join.side or "").upper() not in ("", "LEFT") or join.args.get("using") or join.method:
        return None
    # A join that keeps rows of its own without the others' would see the nulls of those that pairs leave out.
    return None if any((one.side or "").upper() in ("RIGHT", "FULL") for one in later) else join


def _rewrite(block: Block, join: exp.Join, right: str, left: str, pairs: str) -> None:
    table = block.nodes[right]
    alias = block.sources[right].alias
    left_alias = block.sources[left].alias
    row, left_row = (row_column(block.sources[one].table) for one in (right, left))
    partner = partner_column(block.sources[right].table)
    inner = (
        exp.select(
            exp.Column(this=exp.Star(), table=exp.to_identifier(right)),
            exp.alias_(exp.column("l", table=pairs), partner),
        )
        .from_(exp.to_table(right))
        .join(
            exp.to_table(pairs),
            on=exp.EQ(this=exp.column(row, table=right), expression=exp.column("r", table=pairs)),
        )
    )
    derived = exp.Subquery(this=inner, alias=exp.TableAlias(this=exp.to_identifier(alias, quoted=True)))
    linked = exp.EQ(
        this=exp.column(left_row, table=exp.to_identifier(left_alias, quoted=True)),
        expression=exp.column(partner, table=exp.to_identifier(alias, quoted=True)),
    )
    table.replace(derived)
    before: Sequence[exp.Expr] = list(conjuncts(join.args.get("on")))
    join.set("on", exp.and_(linked, *[one.copy() for one in before]))
    if (join.kind or "").upper() == "CROSS":
        join.set("kind", None)
