"""FROM: tables, subqueries and joins, in canonical form. USING and NATURAL become ON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from sqlglot import exp

from ..errors import AdqlError
from ..metadata import Published, Table
from ..resolved import OWN_TABLES
from .expressions import Expressions, Place
from .kinds import common, votable
from .outputs import Output, shape_of_outputs
from .places import close_to
from .scopes import Catalogue, Merged, Relation, Scope, Shape
from .values import Value, converted

__all__ = ["Tables", "limited"]

_PARTS: Final = ("method", "side", "kind", "on", "using")


class Tables:
    """What FROM of one query, and of the queries in it, brings.

    Parameters
    ----------
    published, uploads
        What can be queried.
    expressions
        Of the query.
    query
        What resolves a query within FROM: (query, scope of the query that it stands in) → (canonical query, outputs).

    Attributes
    ----------
    sources
        Tables read, in the order of their ids.
    withs
        Queries of WITH: canonical name → (name, whether it is delimited, columns).
    """

    def __init__(
        self,
        published: Published,
        uploads: Sequence[Table],
        expressions: Expressions,
        query: Callable[[exp.Query, Scope | None], tuple[exp.Query, list[Output]]],
    ) -> None:
        self.expressions = expressions
        self.sources: list[tuple[Table, Relation]] = []
        self.withs: dict[str, tuple[str, bool, Shape]] = {}
        self._catalogue = Catalogue(published, uploads)
        self._query = query
        self._aliases: set[str] = set()

    def joined(self, node: exp.Select, outer: Scope | None) -> tuple[exp.Expr, list[exp.Expr], Scope]:
        """Resolve FROM: the first table, the joins, and what is seen."""
        first, scope = self._item(node.args["from_"].this, outer)
        groups: list[list[exp.Expr]] = []
        for join in node.args.get("joins") or []:
            if not any(join.args.get(part) for part in _PARTS):
                groups.append([join])
            elif groups:
                groups[-1].append(join)
            else:
                groups.append([join])
        joins: list[exp.Expr] = []
        for group in groups:
            comma = not any(group[0].args.get(part) for part in _PARTS)
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
                raise self.expressions.wrong(
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
                raise self.expressions.wrong(
                    join, "These tables have no column in common.", "Write JOIN … ON …"
                )
        condition: exp.Expr | None = None
        merged = []
        for name, quoted, node in wanted:
            sides = []
            for scope in (one, other):
                found = scope.unqualified(name, quoted)
                if len(found) != 1:
                    where = "several tables" if found else "none"
                    raise self.expressions.wrong(
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
        table, scope = self._item(node.this, outer) if alias is None else self._derived(node, alias, outer)
        inner = node.args.get("joins")
        if not inner:
            return table, scope
        scope, joins = self._joins(scope, inner)
        return _nested(table, joins), scope

    def _derived(self, node: exp.Expr, alias: exp.Expr, outer: Scope | None) -> tuple[exp.Expr, Scope]:
        """Resolve a subquery that has a name."""
        made, outputs = self._query(node.this, outer)
        identifier = alias.this
        name = self.alias(identifier.this)
        relation = Relation(
            name, identifier.this, bool(identifier.args.get("quoted")), "", shape_of_outputs(outputs), None
        )
        while isinstance(made, exp.Subquery) and not limited(made):
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
            raise self.expressions.wrong(node, "There are no catalogs here.", "Write schema.table.")
        if schema is None:
            for target, (known, known_quoted, shape) in self.withs.items():
                same = (
                    name == known
                    if quoted and known_quoted
                    else name.lower() == known.lower() and (not quoted or name == known)
                )
                if same:
                    relation = Relation(self.alias(called), called, called_quoted, "", shape, None)
                    made = exp.Table(
                        this=exp.Identifier(this=target, quoted=True),
                        alias=exp.TableAlias(this=exp.Identifier(this=relation.alias, quoted=True)),
                    )
                    return made, relation
        found = self._catalogue.find(
            (schema.this, bool(schema.args.get("quoted"))) if schema is not None else None, (name, quoted)
        )
        if len(found) != 1:
            raise self._no_table(node, name, quoted, schema.this if schema is not None else "", found)
        table = found[0]
        source = f"s{len(self.sources)}"
        relation = Relation.of_table(
            table, self.alias(called), called, called_quoted, "" if alias else table.schema, source
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
            return self.expressions.wrong(node, f"{name} may be {where}.", f"Write {found[0].qualified}.")
        alike = [
            table
            for table in self._catalogue.alike(name)
            if not schema or table.schema.lower() == schema.lower()
        ]
        if alike and quoted:
            advice = f'In double quotes case matters: it is "{alike[0].name}".'
        elif self._catalogue.alike(name):
            advice = f"Did you mean {self._catalogue.alike(name)[0].qualified}?"
        else:
            known = self._catalogue.names() + [one[0] for one in self.withs.values()]
            advice = close_to(written, known) or "TAP_SCHEMA.tables lists what there is."
        return self.expressions.wrong(node, f"There is no table {written}.", advice)

    def alias(self, name: str) -> str:
        """Return a name that no other table of the query has, whatever its case, nor one that is given to DuckDB."""
        made, count = name, 1
        while made.lower() in self._aliases or OWN_TABLES.fullmatch(made):
            count += 1
            made = f"{name}_{count}"
        self._aliases.add(made.lower())
        return made


def _nested(table: exp.Expr, joins: list[exp.Expr]) -> exp.Expr:
    """Return joined tables in parentheses."""
    table.set("joins", joins)
    return exp.Subquery(this=table)


def _visible(scope: Scope) -> list[str]:
    """Return the names of columns that need no qualifier."""
    hidden = {place for one in scope.merged for place in one.hides}
    return [one.name for one in scope.merged] + [
        name
        for relation in scope.relations
        for at, name in enumerate(relation.shape.names)
        if (relation.alias, at) not in hidden
    ]


def limited(node: exp.Expr) -> bool:
    """Say whether a query has an order, a TOP or an OFFSET of its own."""
    return any(node.args.get(part) for part in ("limit", "offset", "order"))
