"""Queries: what FROM brings, what comes out, and both in canonical form (see `tap.resolved`).

NULLs are last, whichever way rows are ordered. USING and NATURAL become ON. ORDER BY and GROUP BY name expressions, not
aliases; what is ordered by an output that is not a plain column has its number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from sqlglot import exp

from ..errors import AdqlError
from ..metadata import Column, Published, Table
from ..resolved import Resolved, Source
from .dialect import ADQL
from .expressions import Expressions, Place, converted
from .kinds import ARRAYS, GEOMETRY, SQL, common, described, votable
from .parsing import parse
from .places import close_to, error_of
from .scopes import Catalogue, Merged, Relation, Scope, Shape, matching, shape_of
from .screening import CALL
from .values import Value, cast

__all__ = ["resolve"]

_IDS: Final = re.compile(r"s\d+")
_LONGEST: Final = 200


@dataclass(slots=True)
class _Output:
    """A column of a query's answer: its canonical alias, what is known of it, its expression."""

    alias: str
    column: Column
    value: Value
    name: str


def resolve(query: str | exp.Query, published: Published, uploads: Sequence[Table] = ()) -> Resolved:
    """Find what a query means.

    Parameters
    ----------
    query
        Its text, or what `parse` made of it.
    published
        What can be queried.
    uploads
        Tables that came with the query, of schema ``TAP_UPLOAD``.

    Raises
    ------
    AdqlError
        For names that mean nothing, or several things, and for what cannot be computed; with line, column, advice.
    """
    if isinstance(query, str):
        text, tree = query, parse(query)
    else:
        tree = query
        text = str(query.meta.get("text", ""))
    return _Resolver(text, published, uploads).resolved(tree)


class _Resolver:
    """Resolves one query."""

    def __init__(self, text: str, published: Published, uploads: Sequence[Table]) -> None:
        self.text = text
        self.published = published
        self.catalogue = Catalogue(published, uploads)
        self.expressions = Expressions(text, self._subquery)
        self.sources: list[tuple[Table, Relation]] = []
        self.aliases: set[str] = set()
        self.withs: dict[str, tuple[str, bool, str, Shape]] = {}

    def wrong(self, node: exp.Expr, message: str, advice: str = "") -> AdqlError:
        """Return an error about a node of the query."""
        return error_of(self.text, node, message, advice)

    def resolved(self, tree: exp.Query) -> Resolved:
        """Resolve the whole query."""
        with_ = tree.args.get("with_")
        ctes = [self._cte(one) for one in with_.expressions] if with_ is not None else []
        made, outputs = self._query(tree, None, root=True)
        if ctes:
            made.set("with_", exp.With(expressions=ctes))
        sources = tuple(
            Source(
                relation.source or "",
                table,
                relation.alias,
                tuple(name for name in relation.shape.targets if name in relation.used),
            )
            for table, relation in self.sources
        )
        return Resolved(self.text, made, sources, tuple(output.column for output in outputs))

    def _cte(self, node: exp.Expr) -> exp.CTE:
        identifier = node.args["alias"].this
        name, quoted = identifier.this, bool(identifier.args.get("quoted"))
        if any(known[0] == name or known[0].lower() == name.lower() for known in self.withs.values()):
            raise self.wrong(identifier, f"{name} is defined twice.", "Give it another name.")
        made, outputs = self._query(node.this, None)
        alias = self._alias(name)
        self.withs[alias] = name, quoted, alias, _shape(outputs)
        return exp.CTE(this=made, alias=exp.TableAlias(this=exp.Identifier(this=alias, quoted=True)))

    def _alias(self, name: str) -> str:
        """Return a name that no other table of the query has, whatever its case, and no source."""
        made, count = name, 1
        while made.lower() in self.aliases or _IDS.fullmatch(made.lower()):
            count += 1
            made = f"{name}_{count}"
        self.aliases.add(made.lower())
        return made

    def _subquery(self, node: exp.Query, scope: Scope) -> tuple[exp.Query, list[Value]]:
        """Resolve a query within an expression."""
        made, outputs = self._query(node, scope)
        if not isinstance(made, exp.Subquery):
            made = exp.Subquery(this=made)
        return made, [Value(exp.Null(), output.value.kind, output.column.unit) for output in outputs]

    def _query(
        self, node: exp.Query, outer: Scope | None, root: bool = False
    ) -> tuple[exp.Query, list[_Output]]:
        if isinstance(node, exp.Select):
            return self._select(node, outer)
        if isinstance(node, exp.SetOperation):
            return self._operation(node, outer)
        made, outputs = self._query(node.this, outer)
        if node.args.get("order") or node.args.get("offset"):
            if any(made.args.get(part) for part in ("order", "offset", "limit")):
                made = exp.Subquery(this=made)
            self._order_of_outputs(node, made, outputs)
        return made, outputs

    def _operation(self, node: exp.SetOperation, outer: Scope | None) -> tuple[exp.Query, list[_Output]]:
        chain: list[exp.Expr] = [node]
        while isinstance(chain[-1].this, exp.SetOperation):
            chain.append(chain[-1].this)
        chain.reverse()
        left, outputs = self._query(chain[0].this, outer)
        for one in chain:
            right, others = self._query(one.expression, outer)
            left, outputs = self._united(one, left, outputs, right, others)
        self._order_of_outputs(node, left, outputs)
        return left, outputs

    def _united(
        self,
        node: exp.Expr,
        left: exp.Query,
        outputs: list[_Output],
        right: exp.Query,
        others: list[_Output],
    ) -> tuple[exp.Query, list[_Output]]:
        name = type(node).__name__.upper()
        if len(outputs) != len(others):
            raise self.wrong(
                node,
                f"{name} joins queries of {len(outputs)} and {len(others)} columns.",
                "Both must have as many.",
            )
        for at, (one, other) in enumerate(zip(outputs, others, strict=True)):
            kind = common(one.value.kind, other.value.kind)
            if kind is None:
                raise self.wrong(
                    node,
                    f"Column {at + 1} of {name} is {described(one.value.kind)} on the left and "
                    f"{described(other.value.kind)} on the right.",
                    "CAST one of them.",
                )
            if kind != one.value.kind:
                _widen(left, at, one.value.kind, kind)
                datatype, arraysize, xtype = votable(kind)
                one.column = replace(one.column, datatype=datatype, arraysize=arraysize, xtype=xtype)
                one.value = Value(one.value.node, kind, one.value.unit)
            if kind != other.value.kind:
                _widen(right, at, other.value.kind, kind)
        sides: list[exp.Query] = [
            exp.Subquery(this=side)
            if not isinstance(side, exp.Subquery) and (isinstance(side, exp.SetOperation) or _limited(side))
            else side
            for side in (left, right)
        ]
        made = type(node)(this=sides[0], expression=sides[1], distinct=bool(node.args.get("distinct")))
        assert isinstance(made, exp.Query)
        return made, outputs

    def _order_of_outputs(self, node: exp.Expr, made: exp.Query, outputs: list[_Output]) -> None:
        """Order what is not one SELECT: only its outputs can be named."""
        order = node.args.get("order")
        if order is not None:
            names = shape_of([output.name for output in outputs], [], [], [])
            terms = []
            for term in order.expressions:
                at = self._ordinal(term.this, len(outputs))
                if at is None and isinstance(term.this, exp.Column) and not term.this.args.get("table"):
                    name = term.this.this
                    found = matching(name.this, bool(name.args.get("quoted")), names.exact, names.folded)
                    at = found[0] if found else None
                if at is None:
                    raise self.wrong(
                        term,
                        "What is made of several queries is ordered by its columns.",
                        "Write a name of the first query's, or a number.",
                    )
                self._orderable(term, outputs[at].value.kind)
                terms.append(_ordered(exp.Literal(this=str(at + 1), is_string=False), term))
            made.set("order", exp.Order(expressions=terms))
        offset = node.args.get("offset")
        if offset is not None:
            made.set(
                "offset", exp.Offset(expression=exp.Literal(this=offset.expression.this, is_string=False))
            )

    def _ordinal(self, node: exp.Expr, most: int) -> int | None:
        if not isinstance(node, exp.Literal) or node.is_string or not node.this.isdigit():
            return None
        at = int(node.this)
        if not 1 <= at <= most:
            raise self.wrong(node, f"There is no column {at}.", f"The query has {most}.")
        return at - 1

    def _orderable(self, node: exp.Expr, kind: str) -> None:
        if kind in ARRAYS or kind in GEOMETRY - {"region"}:
            raise self.wrong(
                node, f"Rows cannot be ordered by {described(kind)}.", "Order by COORD1(…), or by AREA(…)."
            )

    def _select(self, node: exp.Select, outer: Scope | None) -> tuple[exp.Query, list[_Output]]:
        tables, joins, scope = self._from(node, outer)
        made = exp.Select(from_=exp.From(this=tables), joins=joins)
        where = node.args.get("where")
        if where is not None:
            made.set("where", exp.Where(this=self.expressions.condition(where.this, Place(scope, "WHERE"))))
        outputs = self._outputs(node, scope)
        terms = self._grouping(node, scope, outputs)
        if terms:
            made.set("group", exp.Group(expressions=terms))
        having = node.args.get("having")
        if having is not None:
            condition = self.expressions.condition(having.this, Place(scope, "HAVING", aggregates=True))
            made.set("having", exp.Having(this=condition))
        order = self._ordering(node, scope, outputs)
        if order:
            made.set("order", exp.Order(expressions=order))
        self._check_grouped(node, scope, made, outputs, terms)
        if node.args.get("distinct"):
            made.set("distinct", exp.Distinct())
            for output in outputs:
                if output.value.kind in ARRAYS | GEOMETRY - {"region"}:
                    raise self.wrong(
                        node,
                        f"DISTINCT cannot tell {described(output.value.kind)} from another.",
                        "Select COORD1(…) and COORD2(…).",
                    )
        made.set(
            "expressions",
            [
                exp.Alias(this=output.value.node, alias=exp.Identifier(this=output.alias, quoted=True))
                for output in outputs
            ],
        )
        for output, alias in zip(outputs, made.expressions, strict=True):
            if output.value.column is None:
                alias.meta["cast"] = SQL.get(output.value.kind, "")
        for part in ("limit", "offset"):
            given = node.args.get(part)
            if given is not None:
                count = exp.Literal(this=str(int(given.expression.this)), is_string=False)
                made.set(part, type(given)(expression=count))
        return made, outputs

    def _outputs(self, node: exp.Select, scope: Scope) -> list[_Output]:
        place = Place(scope, "SELECT", aggregates=True)
        names: set[str] = set()
        made: list[_Output] = []
        for one in node.expressions:
            if isinstance(one, exp.Star):
                for value in scope.star():
                    made.append(_output(value, None, names))
            elif isinstance(one, exp.Column) and isinstance(one.this, exp.Star):
                made.extend(_output(value, None, names) for value in self._star_of(one, scope))
            else:
                alias = one.args["alias"] if isinstance(one, exp.Alias) else None
                inner = one.this if isinstance(one, exp.Alias) else one
                value = self.expressions.scalar(inner, place)
                made.append(_output(value, alias, names, inner))
        return made

    def _star_of(self, node: exp.Column, scope: Scope) -> Iterator[Value]:
        table, schema = node.args["table"], node.args.get("db")
        relations = scope.qualified(
            schema.this if schema else None, table.this, bool(table.args.get("quoted"))
        )
        if not relations:
            raise self.wrong(
                table,
                f"{table.this} is none of the tables in FROM.",
                close_to(table.this, [one.name for one in scope.relations]),
            )
        if len(relations) > 1:
            raise self.wrong(table, f"Several tables are called {table.this}.", "Give each an alias.")
        return (relations[0].value(at) for at in range(len(relations[0].shape.names)))

    def _grouping(self, node: exp.Select, scope: Scope, outputs: list[_Output]) -> list[exp.Expr]:
        group = node.args.get("group")
        if group is None:
            return []
        named = {output.name: output.value for output in reversed(outputs)}
        place = Place(scope, "GROUP BY", outputs=named)
        terms = []
        for term in group.expressions:
            at = self._ordinal(term, len(outputs))
            value = outputs[at].value if at is not None else self.expressions.scalar(term, place)
            if value.kind in ARRAYS | GEOMETRY - {"region"}:
                raise self.wrong(
                    term,
                    f"Rows cannot be grouped by {described(value.kind)}.",
                    "Group by COORD1(…), COORD2(…).",
                )
            if value.node.find(exp.AggFunc):
                raise self.wrong(term, "Rows cannot be grouped by an aggregate.", "Use a subquery.")
            terms.append(value.node.copy())
        return terms

    def _ordering(self, node: exp.Select, scope: Scope, outputs: list[_Output]) -> list[exp.Expr]:
        order = node.args.get("order")
        if order is None:
            return []
        names = shape_of([output.name for output in outputs], [], [], [])
        terms: list[exp.Expr] = []
        for term in order.expressions:
            of = term.this
            at = self._ordinal(of, len(outputs))
            if at is None and isinstance(of, exp.Column) and not of.args.get("table"):
                found = matching(of.this.this, bool(of.this.args.get("quoted")), names.exact, names.folded)
                at = found[0] if found else None
            if at is not None:
                value = outputs[at].value
                plain = isinstance(value.node, exp.Column)
                key = value.node.copy() if plain else exp.Literal(this=str(at + 1), is_string=False)
            else:
                named = {output.name: output.value for output in reversed(outputs)}
                value = self.expressions.scalar(of, Place(scope, "ORDER BY", aggregates=True, outputs=named))
                key = value.node
                if value.constant is not None:
                    continue
                same = next((i for i, output in enumerate(outputs) if output.value.node == key), None)
                if same is not None and not isinstance(key, exp.Column):
                    key = exp.Literal(this=str(same + 1), is_string=False)
                elif same is None and node.args.get("distinct"):
                    raise self.wrong(
                        term,
                        "With DISTINCT, rows are ordered by what is selected.",
                        "Select it, or leave DISTINCT out.",
                    )
            self._orderable(term, value.kind)
            terms.append(_ordered(key, term))
        return terms

    def _check_grouped(
        self,
        node: exp.Select,
        scope: Scope,
        made: exp.Select,
        outputs: list[_Output],
        terms: list[exp.Expr],
    ) -> None:
        """Refuse columns that have no one value in a group."""
        having, order = made.args.get("having"), made.args.get("order")
        parts: list[tuple[exp.Expr, exp.Expr]] = [
            (one, output.value.node) for one, output in zip(_spread(node, outputs), outputs, strict=True)
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
                raise self.wrong(origin, message, f"Add GROUP BY {name}, or write MIN({name}).")

    def _from(self, node: exp.Select, outer: Scope | None) -> tuple[exp.Expr, list[exp.Expr], Scope]:
        """Resolve FROM: the first table, the joins, and what is seen."""
        first, scope = self._item(node.args["from_"].this, outer)
        groups: list[list[exp.Expr]] = []
        for join in node.args.get("joins") or []:
            if not any(join.args.get(part) for part in ("method", "side", "kind", "on", "using")):
                groups.append([join])
            elif groups:
                groups[-1].append(join)
            else:
                groups.append([join])
        joins: list[exp.Expr] = []
        for group in groups:
            comma = not any(group[0].args.get(part) for part in ("method", "side", "kind", "on", "using"))
            if not comma:
                scope, made = self._joins(scope, group)
                joins += made
                continue
            other, beside = self._item(group[0].this, outer)
            beside, made = self._joins(beside, group[1:])
            if any(join.args.get("side") in ("RIGHT", "FULL") for join in made):
                joins.append(exp.Join(this=_nested(other, made)))
            else:
                joins += [exp.Join(this=other), *made]
            scope = self._beside(node, scope, beside)
        return first, joins, scope

    def _joins(self, scope: Scope, joins: Sequence[exp.Expr]) -> tuple[Scope, list[exp.Expr]]:
        made: list[exp.Expr] = []
        for join in joins:
            table, other = self._item(join.this, scope.outer)
            both = self._beside(join, scope, other)
            side = str(join.args.get("side") or "").upper()
            if join.args.get("on") is not None:
                on = self.expressions.condition(join.args["on"], Place(both, "ON"))
            else:
                on, both = self._merged(join, side, scope, other, both)
            made.append(exp.Join(this=table, on=on, **({"side": side} if side else {})))
            scope = both
        return scope, made

    def _beside(self, node: exp.Expr, one: Scope, other: Scope) -> Scope:
        names = [
            (relation.schema.lower(), relation.name if relation.quoted else relation.name.lower())
            for relation in one.relations
        ]
        for relation in other.relations:
            if (
                relation.schema.lower(),
                relation.name if relation.quoted else relation.name.lower(),
            ) in names:
                raise self.wrong(
                    node, f"Two tables are called {relation.name}.", "Give each an alias: … AS a."
                )
        return one.beside(other)

    def _merged(
        self, join: exp.Expr, side: str, one: Scope, other: Scope, both: Scope
    ) -> tuple[exp.Expr, Scope]:
        """Make ON of USING or NATURAL."""
        using = join.args.get("using")
        if using:
            wanted = [(name.this, bool(name.args.get("quoted")), name) for name in using]
        else:
            names = {value.column.name.lower() if value.column else "" for value in other.star()}
            wanted = [
                (name, False, join)
                for name in dict.fromkeys(_visible(one))
                if name.lower() in {seen.lower() for seen in _visible(other)}
                and name.lower() in names | {name.lower()}
            ]
            if not wanted:
                raise self.wrong(join, "These tables have no column in common.", "Write JOIN … ON …")
        condition: exp.Expr | None = None
        merged = []
        for name, quoted, node in wanted:
            sides = []
            for scope in (one, other):
                found = scope.unqualified(name, quoted)
                if len(found) != 1:
                    where = "several tables" if found else "none"
                    raise self.wrong(
                        node, f"{name} is a column of {where} on one side of the join.", "Write JOIN … ON …"
                    )
                at = found[0]
                value = at[0].taken() if isinstance(at[0], Merged) else at[0].value(at[1])
                hides = at[0].hides if isinstance(at[0], Merged) else frozenset([(at[0].alias, at[1])])
                label = at[0].name if isinstance(at[0], Merged) else at[0].shape.names[at[1]]
                sides.append((value, hides, label))
            (left, left_hides, label), (right, right_hides, _) = sides
            kind = common(left.kind, right.kind)
            self.expressions.comparable(node, left, right)
            equal = exp.EQ(this=left.node, expression=right.node)
            condition = equal if condition is None else exp.And(this=condition, expression=equal)
            if side == "FULL" and kind is not None:
                value = Value(
                    exp.Coalesce(
                        this=converted(left, kind).copy(), expressions=[converted(right, kind).copy()]
                    ),
                    kind,
                    left.unit,
                )
                column = left.column
                if column is not None:
                    datatype, arraysize, xtype = votable(kind)
                    value.column = replace(column, datatype=datatype, arraysize=arraysize, xtype=xtype)
            else:
                of = right if side == "RIGHT" else left
                value = Value(of.node.copy(), of.kind, of.unit, of.column)
            merged.append(Merged(label, value, left_hides | right_hides))
        gone = {one_ for item in merged for one_ in item.hides}
        kept = [item for item in both.merged if not item.hides <= gone]
        assert condition is not None
        return condition, Scope(both.relations, [*merged, *kept], both.outer)

    def _item(self, node: exp.Expr, outer: Scope | None) -> tuple[exp.Expr, Scope]:
        """Resolve a table, a subquery, or joined tables in parentheses."""
        if isinstance(node, exp.Table):
            table, relation = self._table(node)
            scope = Scope([relation], [], outer)
            inner = node.args.get("joins")
            if not inner:
                return table, scope
            scope, joins = self._joins(scope, inner)
            return _nested(table, joins), scope
        alias = node.args.get("alias")
        if alias is None:
            table, scope = self._item(node.this, outer)
            inner = node.args.get("joins")
            if not inner:
                return table, scope
            scope, joins = self._joins(scope, inner)
            return _nested(table, joins), scope
        made, outputs = self._query(node.this, outer)
        identifier = alias.this
        name = self._alias(identifier.this)
        relation = Relation(
            name, identifier.this, bool(identifier.args.get("quoted")), "", _shape(outputs), None
        )
        while isinstance(made, exp.Subquery) and not _limited(made):
            made = made.this
        return (
            exp.Subquery(this=made, alias=exp.TableAlias(this=exp.Identifier(this=name, quoted=True))),
            Scope([relation], [], outer),
        )

    def _table(self, node: exp.Table) -> tuple[exp.Expr, Relation]:
        identifier, schema = node.this, node.args.get("db")
        alias = node.args.get("alias")
        name, quoted = identifier.this, bool(identifier.args.get("quoted"))
        called, called_quoted = (
            (alias.this.this, bool(alias.this.args.get("quoted"))) if alias else (name, quoted)
        )
        if node.args.get("catalog"):
            raise self.wrong(node, "There are no catalogs here.", "Write schema.table.")
        if schema is None:
            for known, known_quoted, target, shape in self.withs.values():
                same = (
                    name == known
                    if quoted and known_quoted
                    else name.lower() == known.lower() and (not quoted or name == known)
                )
                if same:
                    relation = Relation(self._alias(called), called, called_quoted, "", shape, None)
                    made = exp.Table(
                        this=exp.Identifier(this=target, quoted=True),
                        alias=exp.TableAlias(this=exp.Identifier(this=relation.alias, quoted=True)),
                    )
                    return made, relation
        found = self.catalogue.find(
            (schema.this, bool(schema.args.get("quoted"))) if schema is not None else None, (name, quoted)
        )
        if len(found) != 1:
            raise self._no_table(node, name, quoted, schema.this if schema is not None else "", found)
        table = found[0]
        source = f"s{len(self.sources)}"
        relation = Relation.of_table(
            table, self._alias(called), called, called_quoted, "" if alias else table.schema, source
        )
        self.sources.append((table, relation))
        made = exp.Table(
            this=exp.Identifier(this=table.name, quoted=True),
            db=exp.Identifier(this=table.schema, quoted=True),
            alias=exp.TableAlias(this=exp.Identifier(this=relation.alias, quoted=True)),
        )
        made.meta["source"] = source
        return made, relation

    def _no_table(
        self, node: exp.Expr, name: str, quoted: bool, schema: str, found: list[Table]
    ) -> AdqlError:
        written = f"{schema}.{name}" if schema else name
        if len(found) > 1:
            where = " or ".join(table.qualified for table in found)
            return self.wrong(node, f"{name} may be {where}.", f"Write {found[0].qualified}.")
        alike = [
            table
            for table in self.catalogue.alike(name)
            if not schema or table.schema.lower() == schema.lower()
        ]
        if alike and quoted:
            advice = f'In double quotes case matters: it is "{alike[0].name}".'
        elif self.catalogue.alike(name):
            advice = f"Did you mean {self.catalogue.alike(name)[0].qualified}?"
        else:
            known = self.catalogue.names() + [one[0] for one in self.withs.values()]
            advice = close_to(written, known) or "TAP_SCHEMA.tables lists what there is."
        return self.wrong(node, f"There is no table {written}.", advice)


def _nested(table: exp.Expr, joins: list[exp.Expr]) -> exp.Expr:
    """Return joined tables in parentheses."""
    if isinstance(table, exp.Table):
        table.set("joins", joins)
        return exp.Subquery(this=table)
    return exp.Subquery(
        this=exp.Subquery(this=table) if table.args.get("alias") is None else table, joins=joins
    )


def _visible(scope: Scope) -> list[str]:
    """Return the names of columns that need no qualifier."""
    hidden = {place for one in scope.merged for place in one.hides}
    return [one.name for one in scope.merged] + [
        name
        for relation in scope.relations
        for at, name in enumerate(relation.shape.names)
        if (relation.alias, at) not in hidden
    ]


def _shape(outputs: list[_Output]) -> Shape:
    return shape_of(
        [output.name for output in outputs],
        [output.alias for output in outputs],
        [output.column for output in outputs],
        [output.value.kind for output in outputs],
    )


def _limited(node: exp.Expr) -> bool:
    return any(node.args.get(part) for part in ("limit", "offset", "order"))


def _ordered(key: exp.Expr, term: exp.Expr) -> exp.Ordered:
    return exp.Ordered(this=key, desc=bool(term.args.get("desc")), nulls_first=False)


def _widen(tree: exp.Query, at: int, given: str, kind: str) -> None:
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


def _output(
    value: Value, alias: exp.Identifier | None, names: set[str], origin: exp.Expr | None = None
) -> _Output:
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
        return _Output(name, column if column.name == name else replace(column, name=name), value, wanted)
    datatype, arraysize, xtype = votable(value.kind)
    text = origin.sql(dialect=ADQL).replace(CALL, "") if origin is not None else ""
    described_as = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
    made = Column(name, datatype, arraysize, xtype, unit=value.unit, description=described_as)
    return _Output(name, made, value, wanted)


def _free(first: str, base: str, names: set[str], count: int = 1) -> str:
    name = first
    while name.lower() in names:
        count += 1
        name = f"{base}{count}"
    return name


def _spread(node: exp.Select, outputs: list[_Output]) -> list[exp.Expr]:
    """Return for each output the node of the query that it comes from; a star's is the query."""
    if len(node.expressions) == len(outputs):
        return node.expressions
    return [node] * len(outputs)


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


_AGGREGATES: Final = frozenset(["IVO_STRING_AGG", "IVO_HISTOGRAM"])
