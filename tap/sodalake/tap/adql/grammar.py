"""What a parsed query may be made of: the whitelist of ADQL's grammar, over sqlglot's tree.

Every class of node is listed with the parts that it may have. What is not listed is no ADQL, whatever it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlglot import exp

from .functions import NAMES
from .places import error_of
from .screening import CALL
from .words import AGGREGATES, RESERVED

__all__ = ["checked"]

_SELECT: Final = "expressions from_ joins where group having order limit offset distinct with_"
_BINARY: Final = frozenset(["this", "expression"])
_SET: Final = frozenset(["this", "expression", "distinct", "order", "offset", "with_"])

_PARTS: Final[Mapping[type[exp.Expr], frozenset[str]]] = {
    exp.Select: frozenset(_SELECT.split()),
    exp.Union: _SET,
    exp.Except: _SET,
    exp.Intersect: _SET,
    exp.Subquery: frozenset(["this", "alias", "joins", "order", "offset", "with_"]),
    exp.With: frozenset(["expressions"]),
    exp.CTE: frozenset(["this", "alias"]),
    exp.TableAlias: frozenset(["this"]),
    exp.Table: frozenset(["this", "db", "catalog", "alias", "joins"]),
    exp.From: frozenset(["this"]),
    exp.Join: frozenset(["this", "method", "side", "kind", "on", "using"]),
    exp.Where: frozenset(["this"]),
    exp.Group: frozenset(["expressions"]),
    exp.Having: frozenset(["this"]),
    exp.Order: frozenset(["expressions"]),
    exp.Ordered: frozenset(["this", "desc", "nulls_first"]),
    exp.Limit: frozenset(["expression"]),
    exp.Offset: frozenset(["expression"]),
    exp.Distinct: frozenset(["expressions"]),
    exp.Alias: frozenset(["this", "alias"]),
    exp.Column: frozenset(["this", "table", "db", "catalog"]),
    exp.Identifier: frozenset(["this", "quoted"]),
    exp.Star: frozenset(),
    exp.Literal: frozenset(["this", "is_string"]),
    exp.Null: frozenset(),
    exp.Paren: frozenset(["this"]),
    exp.Neg: frozenset(["this"]),
    exp.Not: frozenset(["this"]),
    exp.Anonymous: frozenset(["this", "expressions"]),
    exp.Cast: frozenset(["this", "to"]),
    exp.DataType: frozenset(["this", "expressions", "nested", "kind"]),
    exp.DataTypeParam: frozenset(["this"]),
    exp.In: frozenset(["this", "expressions", "query"]),
    exp.Between: frozenset(["this", "low", "high"]),
    exp.Like: frozenset(["this", "expression", "negate"]),
    exp.ILike: frozenset(["this", "expression", "negate"]),
    exp.Exists: frozenset(["this"]),
    exp.Div: frozenset(["this", "expression", "typed", "safe"]),
    exp.DPipe: frozenset(["this", "expression", "safe"]),
    **dict.fromkeys((exp.Add, exp.Sub, exp.Mul, exp.And, exp.Or, exp.Is), _BINARY),
    **dict.fromkeys((exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE), _BINARY),
}

_TYPES: Final = frozenset(
    [
        "BIGINT",
        "CHAR",
        "CIRCLE",
        "DOUBLE",
        "FLOAT",
        "INT",
        "POINT",
        "POLYGON",
        "SMALLINT",
        "TIMESTAMP",
        "VARCHAR",
    ]
)

_CALLED: Final[Mapping[str, str]] = {
    "lateral": "LATERAL",
    "windows": "WINDOW",
    "sample": "sampling of rows",
    "pivots": "PIVOT",
    "laterals": "LATERAL",
}


def checked(text: str, tree: exp.Expr | None) -> exp.Query:
    """Return a tree that is ADQL from root to leaf.

    Raises
    ------
    AdqlError
        For a node, or a part of one, that ADQL has not, or not there.
    """
    if not isinstance(tree, exp.Select | exp.SetOperation | exp.Subquery):
        raise error_of(text, tree, "This is no query.", "A query is SELECT … FROM …")
    for node in tree.walk():
        parts = _PARTS.get(type(node))
        if parts is None:
            raise error_of(
                text,
                node,
                f"ADQL has no {type(node).__name__.lower()} here.",
                "See ADQL 2.1 for what there is.",
            )
        for part, value in node.args.items():
            if part not in parts and value:
                name = _CALLED.get(part, part.strip("_"))
                raise error_of(text, node, f"ADQL has no {name} here.", "See ADQL 2.1 for what there is.")
        check = _CHECKS.get(type(node))
        if check is not None:
            check(text, node)
    if isinstance(tree, exp.Subquery) and tree.args.get("alias"):
        raise error_of(text, tree, "A query as a whole has no name.", "Remove what stands behind it.")
    return tree


def _select(text: str, node: exp.Expr) -> None:
    if not isinstance(node.parent, exp.Subquery | exp.SetOperation | exp.CTE | exp.Exists | exp.In | None):
        raise error_of(
            text, node, "A query within another stands in parentheses of its own.", "Write (SELECT …)."
        )
    if not node.expressions:
        raise error_of(text, node, "This SELECT asks for no columns.", "Name some, or write *.")
    if not node.args.get("from_"):
        raise error_of(
            text,
            node,
            "This SELECT has no FROM.",
            "Name a table, as in SELECT TOP 1 2+3 FROM tap_schema.tables.",
        )
    for part, word in (("limit", "TOP"), ("offset", "OFFSET")):
        _count(text, node, part, word)


def _count(text: str, node: exp.Expr, part: str, word: str) -> None:
    given = node.args.get(part)
    if given is None:
        return
    number = given.expression
    if not (
        isinstance(number, exp.Literal)
        and not number.is_string
        and number.this.isdigit()
        and len(number.this) < 19
    ):
        raise error_of(
            text, given if number is None else node, f"{word} takes a whole number.", f"Write {word} 10."
        )


def _operation(text: str, node: exp.Expr) -> None:
    _count(text, node, "offset", "OFFSET")
    for side in (node.this, node.expression):
        if isinstance(side, exp.Select) and (side.args.get("order") or side.args.get("offset")):
            raise error_of(
                text,
                side,
                "ORDER BY and OFFSET belong to the whole.",
                "Put a query that has its own in parentheses.",
            )
        if not isinstance(side, exp.Select | exp.SetOperation | exp.Subquery) or (
            isinstance(side, exp.Subquery) and (side.args.get("alias") or isinstance(side.this, exp.Table))
        ):
            raise error_of(
                text, side, f"{type(node).__name__.upper()} stands between queries.", "Write SELECT … there."
            )


def _subquery(text: str, node: exp.Expr) -> None:
    inner = node.this
    if isinstance(inner, exp.Table):
        if node.args.get("alias"):
            raise error_of(text, node, "Joined tables in parentheses have no name.", "Name each table.")
        if node.args.get("order") or node.args.get("offset"):
            raise error_of(text, node, "ORDER BY belongs to a SELECT.", "Put it at the end of the query.")
    elif not isinstance(inner, exp.Select | exp.SetOperation | exp.Subquery):
        raise error_of(text, node, "A query must stand in these parentheses.", "Write (SELECT … FROM …).")
    elif isinstance(node.parent, exp.From | exp.Join) and not node.args.get("alias") and not _joined(inner):
        raise error_of(text, node, "A query in FROM needs a name.", "Write (SELECT …) AS name.")
    _count(text, node, "offset", "OFFSET")


def _joined(node: exp.Expr) -> bool:
    """Say whether parentheses within parentheses hold tables rather than a query."""
    while isinstance(node, exp.Subquery):
        if node.args.get("alias") or node.args.get("joins"):
            return True
        node = node.this
    return isinstance(node, exp.Table)


def _with(text: str, node: exp.Expr) -> None:
    if node.parent is None or node.parent.parent is not None:
        raise error_of(text, node, "WITH stands before the whole query only.", "Move it to the beginning.")


def _join(text: str, node: exp.Expr) -> None:
    method, side, kind = (str(node.args.get(part) or "").upper() for part in ("method", "side", "kind"))
    if (
        method not in ("", "NATURAL")
        or side not in ("", "LEFT", "RIGHT", "FULL")
        or kind not in ("", "INNER", "OUTER")
    ):
        raise error_of(
            text, node, f"ADQL has no {method} {side} {kind} JOIN.", "There are INNER, LEFT, RIGHT and FULL."
        )
    conditions = (method == "NATURAL") + bool(node.args.get("on")) + bool(node.args.get("using"))
    if conditions > 1:
        raise error_of(text, node, "A join has one condition.", "Write NATURAL, or ON, or USING.")
    if (side or (kind and kind != "INNER")) and not conditions:
        raise error_of(text, node, f"This {side or kind} JOIN has no condition.", "Add ON …, or USING (…).")
    if kind == "OUTER" and not side:
        raise error_of(text, node, "An OUTER JOIN is LEFT, RIGHT or FULL.", "Write LEFT OUTER JOIN.")


def _star(text: str, node: exp.Expr) -> None:
    holder = node.parent
    counted = False
    key = node.arg_key
    if isinstance(holder, exp.Column):
        key = holder.arg_key
        holder = holder.parent
    else:
        counted = (
            isinstance(holder, exp.Anonymous)
            and holder.this == CALL + "COUNT"
            and len(holder.expressions) == 1
        )
    if not counted and not (isinstance(holder, exp.Select) and key == "expressions"):
        raise error_of(text, node.parent, "A * cannot stand here.", "It stands in SELECT * and in COUNT(*).")


def _distinct(text: str, node: exp.Expr) -> None:
    holder = node.parent
    if isinstance(holder, exp.Select):
        if node.expressions:
            raise error_of(text, node, "DISTINCT is about whole rows.", "Use GROUP BY.")
    elif not (
        isinstance(holder, exp.Anonymous)
        and holder.this.removeprefix(CALL) in AGGREGATES
        and len(node.expressions) == 1
    ):
        raise error_of(
            text,
            node,
            "DISTINCT cannot stand here.",
            "It stands behind SELECT, and in COUNT, SUM, AVG, MIN, MAX.",
        )


def _call(text: str, node: exp.Expr) -> None:
    name = node.this
    if not isinstance(name, str) or not name.startswith(CALL):
        raise error_of(
            text, node, f"There is no function {name}.", "Names of functions stand without quotes."
        )
    function = NAMES[name[1:]]
    given = len(node.expressions)
    if given < function.least or (function.most is not None and given > function.most):
        most = function.most
        wanted = (
            f"{function.least}"
            if most == function.least
            else f"{function.least} to {most}"
            if most
            else f"{function.least} or more"
        )
        raise error_of(
            text,
            node,
            f"{function.name} takes {wanted} argument{'' if wanted == '1' else 's'}, and here are {given}.",
            "",
        )
    if isinstance(node.parent, exp.From | exp.Join | exp.Table):
        raise error_of(text, node, f"{function.name} is no table.", "Name a table.")


def _alias(text: str, node: exp.Expr) -> None:
    if not isinstance(node.parent, exp.Select):
        raise error_of(text, node, "Only columns and tables are given names.", "Remove AS and the name.")


def _type(text: str, node: exp.Expr) -> None:
    word = str(node.args.get("kind") or "").upper() or node.this.value
    if word not in _TYPES:
        raise error_of(
            text,
            node,
            f"ADQL does not cast to {word}.",
            "There are INTEGER, SMALLINT, BIGINT, REAL, DOUBLE PRECISION, CHAR, VARCHAR, TIMESTAMP, POINT, CIRCLE, "
            "POLYGON.",
        )
    given = node.expressions
    if len(given) > 1 or (given and not str(given[0].this).isdigit()):
        raise error_of(text, node, "A length is one whole number.", "Write VARCHAR(10).")


def _name(text: str, node: exp.Expr) -> None:
    place = node.meta.get("start") if node._meta else None
    if place is not None and text[place] == "'":
        raise error_of(
            text, node, f"'{node.this}' is a text and names nothing.", f'As a name, write "{node.this}".'
        )
    if not node.args.get("quoted") and node.this.upper() in RESERVED:
        raise error_of(
            text, node, f"{node.this.upper()} is a reserved word of ADQL.", f'As a name, write "{node.this}".'
        )


def _is(text: str, node: exp.Expr) -> None:
    if not isinstance(node.expression, exp.Null):
        raise error_of(text, node, "Behind IS stands NULL or NOT NULL.", "Compare values by =.")


def _in(text: str, node: exp.Expr) -> None:
    if not node.args.get("query") and not node.expressions:
        raise error_of(text, node, "IN takes a list or a query, in parentheses.", "Write IN (1, 2, 3).")


def _ordered(text: str, node: exp.Expr) -> None:
    if isinstance(node.this, exp.Literal) and (node.this.is_string or not node.this.this.isdigit()):
        raise error_of(text, node, "Rows are ordered by columns.", "Name one, or write the number of one.")


def _table(text: str, node: exp.Expr) -> None:
    if not isinstance(node.this, exp.Identifier):
        raise error_of(text, node, "Here stands no table.", "Name a table.")


def _column(text: str, node: exp.Expr) -> None:
    if not isinstance(node.this, exp.Identifier | exp.Star):
        raise error_of(text, node, "Here stands no column.", "Name a column.")


_CHECKS: Final = {
    exp.Select: _select,
    exp.Union: _operation,
    exp.Except: _operation,
    exp.Intersect: _operation,
    exp.Subquery: _subquery,
    exp.With: _with,
    exp.Join: _join,
    exp.Star: _star,
    exp.Distinct: _distinct,
    exp.Anonymous: _call,
    exp.Identifier: _name,
    exp.Alias: _alias,
    exp.DataType: _type,
    exp.Is: _is,
    exp.In: _in,
    exp.Ordered: _ordered,
    exp.Table: _table,
}
