"""Queries: what FROM brings, what comes out, and both in canonical form (see `tap.resolved`).

NULLs are last, whichever way rows are ordered. USING and NATURAL become ON. ORDER BY and GROUP BY name expressions, not
aliases; what is ordered by an output that is not a plain column has its number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from sqlglot import exp

from ..errors import AdqlError
from ..metadata import Published, Table
from ..resolved import Resolved, Source
from .expressions import Expressions, Place
from .grouping import check_grouped
from .kinds import ARRAYS, GEOMETRY, SQL, common, described, votable
from .outputs import Output, output_of, shape_of_outputs, widen
from .parsing import parse
from .places import close_to, error_of
from .scopes import Scope, matching, shape_of
from .tables import Tables, limited
from .values import Value, cast

__all__ = ["resolve"]


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
    try:
        return _Resolver(text, published, uploads).resolved(tree)
    except RecursionError as error:
        raise AdqlError("The query is nested too deep.", "Take parentheses away.", 1, 1) from error


class _Resolver:
    """Resolves one query."""

    def __init__(self, text: str, published: Published, uploads: Sequence[Table]) -> None:
        self.text = text
        self.expressions = Expressions(text, self._subquery)
        self.tables = Tables(published, uploads, self.expressions, self._query)

    def wrong(self, node: exp.Expr, message: str, advice: str = "") -> AdqlError:
        """Return an error about a node of the query."""
        return error_of(self.text, node, message, advice)

    def resolved(self, tree: exp.Query) -> Resolved:
        """Resolve the whole query."""
        with_ = tree.args.get("with_")
        ctes = [self._cte(one) for one in with_.expressions] if with_ is not None else []
        made, outputs = self._query(tree, None)
        if ctes:
            made.set("with_", exp.With(expressions=ctes))
        sources = tuple(
            Source(
                relation.source or "",
                table,
                relation.alias,
                tuple(name for name in relation.shape.targets if name in relation.used),
            )
            for table, relation in self.tables.sources
        )
        return Resolved(self.text, made, sources, tuple(output.column for output in outputs))

    def _cte(self, node: exp.Expr) -> exp.CTE:
        identifier = node.args["alias"].this
        name, quoted = identifier.this, bool(identifier.args.get("quoted"))
        if any(known[0] == name or known[0].lower() == name.lower() for known in self.tables.withs.values()):
            raise self.wrong(identifier, f"{name} is defined twice.", "Give it another name.")
        made, outputs = self._query(node.this, None)
        alias = self.tables.alias(name)
        self.tables.withs[alias] = name, quoted, shape_of_outputs(outputs)
        return exp.CTE(this=made, alias=exp.TableAlias(this=exp.Identifier(this=alias, quoted=True)))

    def _subquery(self, node: exp.Query, scope: Scope) -> tuple[exp.Query, list[Value]]:
        """Resolve a query within an expression."""
        made, outputs = self._query(node, scope)
        if not isinstance(made, exp.Subquery):
            made = exp.Subquery(this=made)
        return made, [Value(exp.Null(), output.value.kind, output.column.unit) for output in outputs]

    def _query(self, node: exp.Query, outer: Scope | None) -> tuple[exp.Query, list[Output]]:
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

    def _operation(self, node: exp.SetOperation, outer: Scope | None) -> tuple[exp.Query, list[Output]]:
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
        outputs: list[Output],
        right: exp.Query,
        others: list[Output],
    ) -> tuple[exp.Query, list[Output]]:
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
                widen(left, at, one.value.kind, kind)
                datatype, arraysize, xtype = votable(kind)
                one.column = replace(one.column, datatype=datatype, arraysize=arraysize, xtype=xtype)
                one.value = Value(one.value.node, kind, one.value.unit)
            if kind != other.value.kind:
                widen(right, at, other.value.kind, kind)
        sides: list[exp.Query] = [
            exp.Subquery(this=side)
            if not isinstance(side, exp.Subquery) and (apart or limited(side))
            else side
            for side, apart in (
                (left, isinstance(left, exp.SetOperation) and isinstance(node, exp.Intersect)),
                (right, isinstance(right, exp.SetOperation)),
            )
        ]
        made = type(node)(this=sides[0], expression=sides[1], distinct=bool(node.args.get("distinct")))
        assert isinstance(made, exp.Query)
        return made, outputs

    def _order_of_outputs(self, node: exp.Expr, made: exp.Query, outputs: list[Output]) -> None:
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

    def _select(self, node: exp.Select, outer: Scope | None) -> tuple[exp.Query, list[Output]]:
        tables, joins, scope = self.tables.joined(node, outer)
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
        check_grouped(self.expressions, node, scope, made, outputs, terms)
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

    def _outputs(self, node: exp.Select, scope: Scope) -> list[Output]:
        place = Place(scope, "SELECT", aggregates=True)
        names: set[str] = set()
        made: list[Output] = []
        for one in node.expressions:
            if isinstance(one, exp.Star):
                for value in scope.star():
                    made.append(output_of(value, None, names))
            elif isinstance(one, exp.Column) and isinstance(one.this, exp.Star):
                made.extend(output_of(value, None, names) for value in self._star_of(one, scope))
            else:
                alias = one.args["alias"] if isinstance(one, exp.Alias) else None
                inner = one.this if isinstance(one, exp.Alias) else one
                value = self.expressions.scalar(inner, place)
                made.append(output_of(value, alias, names, inner))
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

    def _grouping(self, node: exp.Select, scope: Scope, outputs: list[Output]) -> list[exp.Expr]:
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
            plain = value.constant is None and value.kind != "null"
            # A literal there would be the number of a column.
            terms.append(value.node.copy() if plain else cast(value.node.copy(), SQL[value.kind]))
        return terms

    def _ordering(self, node: exp.Select, scope: Scope, outputs: list[Output]) -> list[exp.Expr]:
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


def _ordered(key: exp.Expr, term: exp.Expr) -> exp.Ordered:
    return exp.Ordered(this=key, desc=bool(term.args.get("desc")), nulls_first=False)
