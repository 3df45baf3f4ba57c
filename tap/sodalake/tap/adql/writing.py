"""A canonical tree → DuckDB's SQL.

Functions of ADQL are written as `formulas` has them, tables as the ids of their sources.
What has no entry here is left to sqlglot's generator, so that trees may hold more than `resolve` makes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from sqlglot import exp

from . import polygons
from .formulas import FORMULAS
from .functions import NAMES

__all__ = ["duckdb_sql"]


def duckdb_sql(tree: exp.Expr) -> str:
    """Return DuckDB's SQL of a canonical tree.

    Parameters
    ----------
    tree
        Of `resolve`, or made of parts of such a tree. Tables are written as their ``meta["source"]``, with their alias;
        those without are written as they are. The connection must have been given to `install`.
    """
    return _sql(tree)


def _sql(node: exp.Expr) -> str:
    written = _WRITTEN.get(type(node))
    return written(node) if written is not None else node.sql(dialect="duckdb", identify=True)


def _name(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _identifier(node: exp.Expr) -> str:
    return _name(node.this)


def _column(node: exp.Expr) -> str:
    args = node.args
    name = "*" if isinstance(node.this, exp.Star) else _name(node.this.this)
    table = args.get("table")
    return f"{_name(table.this)}.{name}" if table is not None else name


def _table(node: exp.Expr) -> str:
    if not isinstance(node.this, exp.Identifier):
        return node.sql(dialect="duckdb", identify=True)
    source = node.meta.get("source")
    if source is not None:
        text = _name(source)
    else:
        parts = (node.args.get("catalog"), node.args.get("db"), node.this)
        text = ".".join(_name(part.this) for part in parts if part is not None)
    alias = node.args.get("alias")
    if alias is not None:
        text += f" AS {_alias_of(alias)}"
    return text + _joins(node)


def _alias_of(node: exp.Expr) -> str:
    if isinstance(node, exp.Identifier):
        return _identifier(node)
    columns = node.args.get("columns")
    return _name(node.this.this) + (f"({', '.join(_sql(column) for column in columns)})" if columns else "")


def _joins(node: exp.Expr) -> str:
    return "".join(_join(join) for join in node.args.get("joins") or ())


def _join(node: exp.Expr) -> str:
    on, using = node.args.get("on"), node.args.get("using")
    parts = (str(node.args.get(part) or "").upper() for part in ("method", "side", "kind"))
    kind = " ".join(part for part in parts if part)
    if on is None and not using and not kind:
        return f" CROSS JOIN {_sql(node.this)}"
    text = f" {kind} JOIN {_sql(node.this)}" if kind else f" JOIN {_sql(node.this)}"
    if on is not None:
        text += f" ON {_sql(on)}"
    if using:
        text += f" USING ({', '.join(_sql(name) for name in using)})"
    return text


def _subquery(node: exp.Expr) -> str:
    alias = node.args.get("alias")
    text = f"({_sql(node.this)})"
    if alias is not None and alias.this is not None:
        text += f" AS {_alias_of(alias)}"
    return _with(node) + text + _joins(node) + _tail(node)


def _with(node: exp.Expr) -> str:
    with_ = node.args.get("with_")
    if with_ is None:
        return ""
    parts = (f"{_alias_of(one.args['alias'])} AS ({_sql(one.this)})" for one in with_.expressions)
    return f"WITH {', '.join(parts)} "


def _tail(node: exp.Expr) -> str:
    args = node.args
    text = ""
    if (order := args.get("order")) is not None:
        text += f" ORDER BY {', '.join(map(_ordered, order.expressions))}"
    if (limit := args.get("limit")) is not None:
        text += f" LIMIT {_sql(limit.expression)}"
    if (offset := args.get("offset")) is not None:
        text += f" OFFSET {_sql(offset.expression)}"
    return text


def _ordered(node: exp.Expr) -> str:
    if not isinstance(node, exp.Ordered):
        return _sql(node)
    nulls = "FIRST" if node.args.get("nulls_first") else "LAST"
    return f"{_sql(node.this)}{' DESC' if node.args.get('desc') else ''} NULLS {nulls}"


def _select(node: exp.Expr) -> str:
    args = node.args
    if not args.keys() <= _SELECT:
        return node.sql(dialect="duckdb", identify=True)
    text = _with(node) + ("SELECT DISTINCT " if args.get("distinct") else "SELECT ")
    text += ", ".join(map(_sql, node.expressions))
    if (from_ := args.get("from_")) is not None:
        text += f" FROM {_sql(from_.this)}{_joins(node)}"
    if (where := args.get("where")) is not None:
        text += f" WHERE {_sql(where.this)}"
    if (group := args.get("group")) is not None:
        text += f" GROUP BY {', '.join(map(_sql, group.expressions))}"
    if (having := args.get("having")) is not None:
        text += f" HAVING {_sql(having.this)}"
    return text + _tail(node)


_PARTS: Final = """
    expressions from_ joins where group having order limit offset distinct with_ kind hint operation_modifiers
"""
_SELECT: Final = frozenset(_PARTS.split())


def _operation(word: str) -> Callable[[exp.Expr], str]:
    def written(node: exp.Expr) -> str:
        every = "" if node.args.get("distinct") else " ALL"
        chain = [node]
        while (
            type(chain[-1].this) is type(node)
            and not _tail(chain[-1].this)
            and bool(chain[-1].this.args.get("distinct")) == (not every)
        ):
            chain.append(chain[-1].this)
        text = _sql(chain[-1].this)
        for one in reversed(chain):
            text += f" {word}{every} {_sql(one.expression)}"
        return _with(node) + text + _tail(node)

    return written


def _alias(node: exp.Expr) -> str:
    text, alias = _sql(node.this), node.args["alias"]
    name = _name(alias.this if isinstance(alias, exp.Identifier) else str(alias))
    sql = node.meta.get("cast") if node._meta else None
    return f"CAST({text} AS {sql}) AS {name}" if sql else f"{text} AS {name}"


def _literal(node: exp.Expr) -> str:
    text: str = node.this
    if node.args.get("is_string"):
        return "'" + text.replace("'", "''") + "'"
    return text if text.isdigit() or "e" in text.lower() else f"{text}e0"  # 1.5 is a DECIMAL, 1.5e0 a DOUBLE


def _binary(operator: str) -> Callable[[exp.Expr], str]:
    def written(node: exp.Expr) -> str:
        kind, parts = type(node), []
        while type(node) is kind:
            parts.append(_sql(node.expression))
            node = node.this
        parts.append(_sql(node))
        return operator.join(reversed(parts))

    return written


_ADDITIVE: Final[Mapping[type[exp.Expr], str]] = {
    exp.Add: "+",
    exp.Sub: "-",
    exp.Mul: "*",
    exp.Div: "/",
    exp.IntDiv: "//",
}


def _arithmetic(node: exp.Expr) -> str:
    parts: list[str] = []
    while isinstance(node, exp.Binary) and (operator := _ADDITIVE.get(type(node))) is not None:
        other = node.expression
        text = _sql(other)
        parts.append(f" {operator} ({text})" if type(other) in _ADDITIVE else f" {operator} {text}")
        below = node.this
        if type(node) in (exp.Mul, exp.Div, exp.IntDiv) and type(below) in (exp.Add, exp.Sub):
            return f"({_sql(below)}){''.join(reversed(parts))}"
        node = below
    return _sql(node) + "".join(reversed(parts))


def _connected(node: exp.Expr) -> str:
    """AND and OR, however many: a side of the other kind stands in parentheses."""
    kind, parts = type(node), []
    while type(node) is kind:
        parts.append(_side(node.expression, kind))
        node = node.this
    parts.append(_side(node, kind))
    return (" AND " if kind is exp.And else " OR ").join(reversed(parts))


def _side(node: exp.Expr, kind: type[exp.Expr]) -> str:
    text = _sql(node)
    return f"({text})" if isinstance(node, exp.And | exp.Or) and type(node) is not kind else text


def _comparison(operator: str) -> Callable[[exp.Expr], str]:
    def written(node: exp.Expr) -> str:
        if operator == "=" and (cone := _within(node)):
            return cone
        return f"{_operand(node.this)} {operator} {_operand(node.expression)}"

    return written


def _operand(node: exp.Expr) -> str:
    text = _sql(node)
    return f"({text})" if isinstance(node, exp.Predicate | exp.Connector | exp.Not) else text


def _within(node: exp.Expr) -> str:
    """CONTAINS(point, circle) = 1 as a condition: what it computes is compared once, not twice."""
    one, other = node.this, node.expression
    if isinstance(other, exp.Anonymous):
        one, other = other, one
    if not (
        isinstance(one, exp.Anonymous)
        and one.this == "CONTAINS"
        and isinstance(other, exp.Literal)
        and other.this == "1"
    ):
        return ""
    cone = _cone(one)
    return f"adql_within({cone})" if cone else ""


def _cone(node: exp.Anonymous) -> str:
    """Return centre, centre and radius of CONTAINS(point, circle), or nothing if it is another."""
    first, second = node.expressions
    kinds = node.meta.get("kinds", ("", ""))
    if not (_is(first, "POINT", 2) or kinds[0] == "point") or not (
        _is(second, "CIRCLE") or kinds[1] == "circle"
    ):
        return ""
    if _is(second, "CIRCLE", 3):
        circle = ", ".join(map(_sql, second.expressions))
    elif _is(second, "CIRCLE", 2):
        circle = f"{_coordinates(second.expressions[0])}, {_sql(second.expressions[1])}"
    else:
        text = _sql(second)
        circle = f"{text}[1], {text}[2], {text}[3]"
    return f"{_coordinates(first)}, {circle}"


def _is(node: exp.Expr, name: str, arguments: int | None = None) -> bool:
    return (
        isinstance(node, exp.Anonymous)
        and node.this == name
        and (arguments is None or len(node.expressions) == arguments)
    )


def _coordinates(node: exp.Expr) -> str:
    if _is(node, "POINT", 2):
        return ", ".join(map(_sql, node.expressions))
    text = _sql(node)
    return f"({text})[1], ({text})[2]"


def _anonymous(node: exp.Expr) -> str:
    name = str(node.this).upper()
    special = _SPECIAL.get(name)
    if special is not None and (text := special(node)):
        return text
    arguments = [_sql(argument) for argument in node.expressions]
    formula = FORMULAS.get((name, len(arguments)))
    if formula is not None:
        return formula.format(*arguments)
    return f"{'adql_' if name in NAMES else ''}{name.lower()}({', '.join(arguments)})"


def _contains(node: exp.Expr) -> str:
    assert isinstance(node, exp.Anonymous)
    cone = _cone(node)
    if cone:
        return f"CAST(adql_within({cone}) AS INTEGER)"
    first, second = node.expressions
    if _is(first, "POINT", 2) and _is(second, "POLYGON") and _constant(second):
        # Most places are not even near: a circle tells, in 0.16 µs a row, where the polygon takes 2.4.
        circle = ", ".join(map(repr, polygons.around([_number(part) for part in second.expressions])))
        near = f"adql_within({_coordinates(first)}, {circle})"
        exact = f"adql_contains({_sql(first)}, {_sql(second)})"
        return f"CASE {near} WHEN true THEN {exact} WHEN false THEN 0 END"
    return ""


def _constant(node: exp.Expr) -> bool:
    return all(
        isinstance(part.this if isinstance(part, exp.Neg) else part, exp.Literal) for part in node.expressions
    )


def _number(node: exp.Expr) -> float:
    return -float(node.this.this) if isinstance(node, exp.Neg) else float(node.this)


def _distance(node: exp.Expr) -> str:
    return f"adql_separation({', '.join(map(_coordinates, node.expressions))})"


def _shape(node: exp.Expr) -> str:
    """A geometry that is written out in numbers is a constant."""
    if not _constant(node):
        if node.this == "POLYGON":
            return (
                f"adql_polygon([{', '.join(f'CAST({_sql(part)} AS DOUBLE)' for part in node.expressions)}])"
            )
        return ""
    return f"CAST([{', '.join(map(_sql, node.expressions))}] AS DOUBLE[])"


def _string_agg(node: exp.Expr) -> str:
    of, between = map(_sql, node.expressions)
    order = "" if isinstance(node.expressions[0], exp.Literal | exp.Null) else f" ORDER BY {of}"
    return f"string_agg({of}, {between}{order})"


def _histogram(node: exp.Expr) -> str:
    of, low, high, bins = map(_sql, node.expressions)
    return f"adql_ivo_histogram(coalesce(list({of}), []), {low}, {high}, {bins})"


_SPECIAL: Final[Mapping[str, Callable[[exp.Expr], str]]] = {
    "CIRCLE": _shape,
    "CONTAINS": _contains,
    "DISTANCE": _distance,
    "IVO_HISTOGRAM": _histogram,
    "IVO_STRING_AGG": _string_agg,
    "POINT": _shape,
    "POLYGON": _shape,
}


def _aggregate(name: str) -> Callable[[exp.Expr], str]:
    def written(node: exp.Expr) -> str:
        of = node.this
        inner = (
            f"DISTINCT {', '.join(map(_sql, of.expressions))}" if isinstance(of, exp.Distinct) else _sql(of)
        )
        text = f"{name}({inner})"
        if name == "SUM" and node._meta and node.meta.get("kind") == "long":
            return f"CAST({text} AS BIGINT)"  # of integers it is a HUGEINT, which VOTable has not
        return text

    return written


def _cast(node: exp.Expr) -> str:
    return f"CAST({_sql(node.this)} AS {node.args['to'].sql(dialect='duckdb')})"


def _in(node: exp.Expr) -> str:
    query = node.args.get("query")
    inner = _sql(query) if query is not None else f"({', '.join(map(_sql, node.expressions))})"
    return f"{_operand(node.this)} IN {inner}"


def _exists(node: exp.Expr) -> str:
    text = _sql(node.this)
    return (
        f"EXISTS {text}"
        if isinstance(node.this, exp.Subquery) and not _tail(node.this)
        else f"EXISTS ({text})"
    )


def _neg(node: exp.Expr) -> str:
    text = _sql(node.this)
    return (
        f"-{text}"
        if isinstance(node.this, exp.Literal | exp.Column | exp.Paren | exp.Anonymous)
        else f"-({text})"
    )


def _coalesce(node: exp.Expr) -> str:
    return f"COALESCE({', '.join(map(_sql, (node.this, *node.expressions)))})"


_WRITTEN: Final[Mapping[type[exp.Expr], Callable[[exp.Expr], str]]] = {
    exp.Alias: _alias,
    exp.And: _connected,
    exp.Anonymous: _anonymous,
    exp.Avg: _aggregate("AVG"),
    exp.Between: lambda node: (
        f"{_operand(node.this)} BETWEEN {_operand(node.args['low'])} AND {_operand(node.args['high'])}"
    ),
    exp.Cast: _cast,
    exp.Coalesce: _coalesce,
    exp.Column: _column,
    exp.Count: _aggregate("COUNT"),
    exp.DPipe: _binary(" || "),
    exp.EQ: _comparison("="),
    exp.Except: _operation("EXCEPT"),
    exp.Exists: _exists,
    exp.GT: _comparison(">"),
    exp.GTE: _comparison(">="),
    exp.ILike: lambda node: f"{_operand(node.this)} ILIKE {_operand(node.expression)}",
    exp.Identifier: _identifier,
    exp.In: _in,
    exp.Intersect: _operation("INTERSECT"),
    exp.Is: lambda node: f"{_operand(node.this)} IS {_sql(node.expression)}",
    exp.LT: _comparison("<"),
    exp.LTE: _comparison("<="),
    exp.Like: lambda node: f"{_operand(node.this)} LIKE {_operand(node.expression)}",
    exp.Literal: _literal,
    exp.Max: _aggregate("MAX"),
    exp.Min: _aggregate("MIN"),
    exp.NEQ: _comparison("<>"),
    exp.Neg: _neg,
    exp.Not: lambda node: f"NOT ({_sql(node.this)})",
    exp.Null: lambda _: "NULL",
    exp.Nullif: lambda node: f"NULLIF({_sql(node.this)}, {_sql(node.expression)})",
    exp.Or: _connected,
    exp.Paren: lambda node: f"({_sql(node.this)})",
    exp.Select: _select,
    exp.Star: lambda _: "*",
    exp.Subquery: _subquery,
    exp.Sum: _aggregate("SUM"),
    exp.Table: _table,
    exp.Union: _operation("UNION"),
    **dict.fromkeys(_ADDITIVE, _arithmetic),
}
