"""From a query that is understood to a plan: what to read where, and what to ask of it.

For each table: its own conditions decide on an index (ids, then places, then classes and times), else a join decides,
else the archive is read. An index is taken when it is expected to give fewer rows than `index_rows`; what is read can
still turn out to be more, and is then read from the archive (`sodalake.tap.running`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from sqlglot import exp

from sodalake.lake.sky import cone_ranges, joined, polygon_ranges
from sodalake.tap.adql import duckdb_sql
from sodalake.tap.published import ObscoreView
from sodalake.tap.resolved import Resolved, Source

from .blocks import Block, blocks_of
from .checks import Check, checks_of, columns_of
from .conditions import (
    Circle,
    Constraints,
    Interval,
    Shape,
    constraints_of,
    source_column,
)
from .facts import Facts, SurveyFacts
from .joins import candidates, pair_up
from .obscore import translated
from .owncolumns import row_column
from .plan import ARCHIVE, Access, Joined, Leg, Plan, Read, Reduction, Rowwise
from .reductions import aggregates_of, filtered, is_simple, partial_aggregate, top_rows

__all__ = ["MOST_KEYS", "Indices", "plan_of"]

Indices = Literal["all", "ids", "none"]
"""Which indices a plan may use: all; those of ids, where a range turned out to hold too much; or none."""

MOST_KEYS = 20_000
"""Ids that a condition may list, or a join bring, before the archive is read instead."""

_SKY = 41_252.96  # square degrees
_CROWDED = 4.0  # a place that is asked for has more alerts than the mean of the sky, mostly
_COUNTED = {"alerts": "time", "objects": "object", "images": "image"}  # role of what is read to count rows
_FEW = 1000  # rows: with a TOP of so many an index is read from its beginning until they are there


def plan_of(
    resolved: Resolved,
    facts: Facts,
    *,
    limit: int,
    index_rows: int,
    views: Mapping[str, ObscoreView],
    indices: Indices = "all",
) -> Plan:
    """Return the plan of a query; its tree is rewritten on the way, and of no further use.

    Parameters
    ----------
    facts
        What is known of the lake.
    limit
        Rows after which the answer is cut; one more is asked for.
    index_rows
        Rows that may be read from the row store for one table.
    views
        Survey → its part of ``ivoa.obscore``, of alerts and of images.
    indices
        Which may be used.
    """
    return _Planning(resolved, facts, limit, index_rows, views, indices).plan()


class _Planning:
    def __init__(
        self,
        resolved: Resolved,
        facts: Facts,
        limit: int,
        index_rows: int,
        views: Mapping[str, ObscoreView],
        indices: Indices,
    ) -> None:
        self._resolved = resolved
        self._facts = facts
        self._limit = limit
        self._index_rows = index_rows
        self._views = views
        self._indices = indices
        self._blocks = blocks_of(resolved)
        self._block_of = {source: block for block in self._blocks for source in block.sources}
        self._sources = {source.id: source for source in resolved.sources}

    def plan(self) -> Plan:
        tree = self._resolved.tree
        top = _top(tree)
        streams = self._streams()
        self._eager = streams and min(self._limit, self._limit if top is None else top) <= _FEW
        reads = [self._read(source) for source in self._resolved.sources]
        reads = self._ordered(reads)
        reads, tree = self._reduced(reads, tree, streams)
        number = 0
        for block in self._blocks:
            made = pair_up(block, number)
            number += len(made)
            reads = _with_pairs(reads, made)
        rowwise = self._rowwise() if streams else None
        sql = ""
        if rowwise is None:
            _cut(tree, self._limit + 1)
            sql = duckdb_sql(tree)
        return Plan(sql, tuple(reads), self._resolved.outputs, self._limit, top, rowwise)

    def _rowwise(self) -> Rowwise:
        (block,), (source,) = self._blocks, self._resolved.sources
        select = block.select
        taken: list[str | None] = []
        computed: list[exp.Expr] = [exp.column(row_column(source.table), table=source.alias, quoted=True)]
        for number, output in enumerate(select.expressions):
            place = source_column(output.unalias())
            taken.append(None if place is None else place[1])
            if place is None:
                computed.append(exp.alias_(output.unalias().copy(), f"e{number}", quoted=True))
        offset = select.args.get("offset")
        where = select.args.get("where")
        skipped = int(offset.expression.this) if offset is not None else 0
        if where is None and len(computed) == 1:
            return Rowwise(None, (), tuple(taken), offset=skipped)
        query = exp.select(*computed).from_(block.table(source.id))
        if where is not None:
            query = query.where(where.this.copy())
        used = {
            column.meta["name"]
            for column in query.find_all(exp.Column)
            if column.meta.get("source") == source.id
        }
        seen = tuple(name for name in source.columns if name in used)
        checks = None
        if where is not None and len(computed) == 1:
            columns = {column.name: column for column in source.table.columns}
            checks = checks_of(where.this, source.id, columns, source.table.roles)
        return Rowwise(duckdb_sql(query), seen, tuple(taken), checks, skipped)

    def _streams(self) -> bool:
        """Say whether each row of the answer is made of one row of the only table."""
        if len(self._blocks) != 1 or not is_simple(self._resolved, self._blocks[0]):
            return False
        select = self._blocks[0].select
        whole = ("group", "having", "distinct", "order")
        return not any(select.args.get(name) for name in whole) and not aggregates_of(select)

    # -- reads

    def _read(self, source: Source) -> Read:
        table = source.table
        if table.content in ("upload", "tap_schema"):
            columns = source.columns or (table.columns[0].name,)
            return Read(source.id, table, columns, (Leg("", Access("given"), columns, ""),))
        block = self._block_of[source.id]
        footprint = table.roles.get("region", "")
        found, elsewise = Constraints(), False
        for condition in block.of(source.id):
            said = constraints_of(condition, source.id, table.roles, footprint)
            elsewise |= set(said.intervals) != {table.roles.get("time")} or bool(said.keys)
            found = found & said
        if table.content == "obscore":
            columns = self._with_places(source) or ("obs_publisher_did",)
            legs = tuple(self._obscore_leg(view, columns, found, elsewise) for view in self._views.values())
            return Read(source.id, table, columns, legs)
        roles = table.roles
        found = found.boxed(roles.get("ra", ""), roles.get("dec", ""))
        columns = source.columns or (roles[_COUNTED[table.content]],)
        if table.content == "images":
            columns = self._with_places(source) or columns
            access = self._of_images(table.survey, roles, found, columns)
            return Read(source.id, table, columns, (Leg(table.survey, access, columns, "images"),))
        facts = self._facts.of(table.survey)
        if table.content == "objects":
            access = self._of_objects(facts, roles, found)
            return Read(source.id, table, columns, (Leg(table.survey, access, columns, "objects"),))
        access = self._of_alerts(facts, roles, found, elsewise, columns)
        leg = Leg(table.survey, access, columns, "alerts", self._early(source, block, facts))
        return Read(source.id, table, columns, (leg,))

    def _with_places(self, source: Source) -> tuple[str, ...]:
        """Return the columns that a query uses of a table, with those that a join by its outlines needs."""
        roles = source.table.roles
        if roles["region"] not in source.columns or len(self._sources) < 2:
            return source.columns
        return tuple(dict.fromkeys((*source.columns, roles["ra"], roles["dec"], roles["fov"])))

    def _early(self, source: Source, block: Block, facts: SurveyFacts) -> tuple[Check, ...]:
        """Return what an index can see of the conditions by its own columns."""
        columns = {column.name: column for column in source.table.columns}
        found: list[Check] = []
        for condition in block.of(source.id):
            said = checks_of(condition, source.id, columns, source.table.roles) or ()
            found += [check for check in said if facts.covering.issuperset(columns_of(check))]
        return tuple(found)

    def _of_alerts(
        self,
        facts: SurveyFacts,
        roles: Mapping[str, str],
        found: Constraints,
        elsewise: bool,
        columns: Sequence[str],
    ) -> Access:
        """Return the way to some alerts; `elsewise`: there are conditions besides those on time."""
        if found.never:
            return Access("nothing", rows=0)
        time = found.intervals.get(roles["time"], Interval())
        base = Access(ARCHIVE, first=time.low, last=time.high)
        for role in ("alert", "object") if self._indices != "none" else ():
            keys = found.keys.get(roles.get(role, ""))
            if role == "object" and keys is not None and not keys.isdisjoint(facts.nobody):
                continue  # rows whose object is none stand in the row store under another id, or under none
            if keys is not None and len(keys) <= MOST_KEYS:
                return replace(base, path="alert" if role == "alert" else "object", keys=tuple(sorted(keys)))
        if self._indices != "all":
            return _archive(base, facts, columns)
        if found.regions is not None and "sky" in facts.indices:
            rows = self._rows_in(facts, found.regions)
            if self._eager or rows <= self._index_rows:
                return replace(base, path="sky", ranges=ranges_of(found.regions), rows=rows)
        within = facts.rows_between(time.low, time.high)
        classes = found.keys.get(roles.get("class", ""))
        if classes is not None and "class" in facts.indices and (self._eager or len(classes) <= 16):
            # How many are of a class is not known; it is read until there are too many.
            return replace(base, path="class", keys=tuple(sorted(classes)))
        # The first rows of the index are as good as any, where nothing else is asked.
        first_ones = self._eager and not elsewise
        if "time" in facts.indices and (first_ones or (time.bounded and within <= self._index_rows)):
            return replace(base, path="time", rows=within)
        return _archive(base, facts, columns)

    def _of_objects(self, facts: SurveyFacts, roles: Mapping[str, str], found: Constraints) -> Access:
        if found.never:
            return Access("nothing", rows=0)
        keys = found.keys.get(roles["object"])
        if keys is not None and len(keys) <= MOST_KEYS and self._indices != "none":
            return Access("objects", tuple(sorted(keys)))
        if found.regions is not None and "sky" in facts.indices and self._indices == "all":
            rows = self._rows_in(facts, found.regions)
            if rows <= self._index_rows:
                return Access("sky", ranges=ranges_of(found.regions), rows=rows)
        return Access(ARCHIVE, rows=facts.total, bytes=facts.total * facts.width(list(facts.covering)))

    def _of_images(
        self, survey: str, roles: Mapping[str, str], found: Constraints, columns: Sequence[str]
    ) -> Access:
        """Return the way to some images. What meets an outline, and what holds a middle, have the same index."""
        if found.never:
            return Access("nothing", rows=0)
        keys = found.keys.get(roles["image"])
        if keys is not None and len(keys) <= MOST_KEYS and self._indices != "none":
            return Access("image", tuple(sorted(keys)))
        total = self._facts.of_images(survey).total
        regions = (Constraints(regions=found.regions) & Constraints(regions=found.footprints)).regions
        # How many meet a place depends on how large they are; they are read until there are too many.
        likely = math.inf if regions is None else _share_of_sky(regions) * total
        if regions is not None and self._indices == "all" and (self._eager or likely <= self._index_rows):
            return Access("sky", ranges=ranges_of(regions))
        if self._indices != "none" and (self._eager or total <= self._index_rows):
            return Access("images", rows=total)
        width = self._facts.of_images(survey).width(columns)
        return Access(ARCHIVE, rows=total, bytes=total * width)

    def _obscore_leg(
        self, view: ObscoreView, columns: Sequence[str], found: Constraints, elsewise: bool
    ) -> Leg:
        """Translate what is asked of ``ivoa.obscore`` into what is asked of a survey's rows."""
        survey, roles = view.survey_name, view.table.roles
        needed = view.needs(columns) or (roles[_COUNTED[view.content]],)
        asked = translated(view, found)
        if view.content == "images":
            if asked is None:
                return Leg(survey, Access("nothing", rows=0), needed, "images")
            return Leg(survey, self._of_images(survey, roles, asked, needed), needed, "images")
        if asked is None:
            return Leg(survey, Access("nothing", rows=0), needed, "alerts")
        facts = self._facts.of(survey)
        return Leg(survey, self._of_alerts(facts, roles, asked, elsewise, needed), needed, "alerts")

    def _rows_in(self, facts: SurveyFacts, regions: Sequence[Shape]) -> int:
        return int(_share_of_sky(regions) * facts.total)

    # -- joins

    def _ordered(self, reads: list[Read]) -> list[Read]:
        """Return the reads in their order: what is small first, what is reached from it behind it."""
        done = [read for read in reads if not read.whole]
        waiting = [read for read in reads if read.whole]
        if self._indices == "none":
            return reads
        while waiting:
            there = {read.source for read in done if not read.whole or read.joined is not None}
            found = next(
                (
                    (read, candidate)
                    for read in waiting
                    if read.table.content in _COUNTED
                    for candidate in self._candidates(read)
                    if candidate.other in there
                ),
                None,
            )
            if found is None:
                return done + waiting
            read, candidate = found
            waiting.remove(read)
            done.append(replace(read, joined=candidate))
        return done

    def _candidates(self, read: Read) -> list[Joined]:
        source = self._sources[read.source]
        places = read.table.content == "images" or "sky" in self._facts.of(read.table.survey).indices
        return [
            one
            for one in candidates(source, self._block_of[source.id], self._sources)
            if one.kind == "equal" or places
        ]

    # -- reductions

    def _reduced(self, reads: list[Read], tree: exp.Query, streams: bool) -> tuple[list[Read], exp.Query]:
        """Say what is left of what is read of the archive; an aggregate of one table is made in two steps."""
        reduced = []
        for read in reads:
            if not read.scans or streams:
                reduced.append(read)
                continue
            block, source = self._block_of[read.source], self._sources[read.source]
            reduction: Reduction | None = None
            if is_simple(self._resolved, block):
                partial = partial_aggregate(block, source)
                if partial is not None:
                    # Also for what is read without the archive, so that both are asked the same.
                    return [replace(read, reduction=partial.reduction)], partial.tree
                if not aggregates_of(block.select) and not block.select.args.get("group"):
                    distinct = bool(block.select.args.get("distinct"))
                    reduction = (
                        filtered(block, source, read.columns, distinct=True)
                        if distinct
                        else top_rows(block, source, read.columns)
                    )
            reduced.append(replace(read, reduction=reduction or filtered(block, source, read.columns)))
        return reduced, tree


def _share_of_sky(regions: Sequence[Shape]) -> float:
    """Return about which share of a survey's rows some regions hold."""
    return min(1.0, _CROWDED * sum(region.area for region in regions) / _SKY)


def _archive(base: Access, facts: SurveyFacts, columns: Sequence[str]) -> Access:
    rows = facts.rows_of_files(base.first, base.last)
    return replace(base, rows=rows, bytes=rows * facts.width(columns))


def ranges_of(regions: Sequence[Shape]) -> tuple[tuple[int, int], ...]:
    """Return the ranges of HEALPix cells that hold every place of some regions."""
    circles = [shape for shape in regions if isinstance(shape, Circle)]
    parts = [
        cone_ranges(
            np.array([one.lon for one in circles]),
            np.array([one.lat for one in circles]),
            np.array([one.radius for one in circles]),
        )
    ] if circles else []  # fmt: skip
    for shape in regions:
        if not isinstance(shape, Circle):
            parts.append(polygon_ranges(np.array(shape.lon), np.array(shape.lat)))
    together: list[tuple[int, int]] = []
    for first, after in sorted(pair for part in parts for pair in joined(part)):
        if together and first <= together[-1][1]:  # what two regions share is read once
            first, after = together[-1][0], max(after, together.pop()[1])
        together.append((first, after))
    return tuple(together)


def _top(tree: exp.Query) -> int | None:
    limit = tree.args.get("limit")
    return None if limit is None else int(limit.expression.this)


def _cut(tree: exp.Query, rows: int) -> None:
    top = _top(tree)
    tree.set("limit", exp.Limit(expression=exp.Literal.number(rows if top is None else min(top, rows))))


def _with_pairs(reads: list[Read], made: Sequence[Joined]) -> list[Read]:
    numbered = {one.other for one in made} | {one.column for one in made}
    by_source = {one.column: one for one in made}
    # Of a block: what the others' sources have been given stays.
    return [
        replace(
            read,
            pairs=by_source.get(read.source, read.pairs),
            numbered=read.numbered or read.source in numbered,
        )
        for read in reads
    ]
