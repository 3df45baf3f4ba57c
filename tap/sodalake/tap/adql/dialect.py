"""ADQL's words for sqlglot: a tokenizer that knows no keyword but ADQL's.

sqlglot's grammar is that of thirty databases. Here LIMIT, QUALIFY, LATERAL, CASE or PRAGMA are names like any other,
so that a query that means them is no query at all. What is left of other people's SQL, `grammar` refuses.
"""

from __future__ import annotations

from typing import Final

from sqlglot import tokens
from sqlglot.dialects.dialect import Dialect
from sqlglot.tokenizer_core import TokenType

from .words import KEYWORDS

__all__ = ["ADQL", "Adql"]

_BASE: Final = tokens.Tokenizer.KEYWORDS
_APART: Final = {"BY", "GROUP", "ORDER", "TOP"}  # these are keywords in pairs, or not sqlglot's


class Adql(Dialect):
    """ADQL 2.1, read only."""

    class Tokenizer(tokens.Tokenizer):
        """Words, operators and quotes of ADQL 2.1."""

        IDENTIFIERS = ['"']  # noqa: RUF012
        COMMENTS = []  # noqa: RUF012
        COMMANDS = set()  # noqa: RUF012
        KEYWORDS = {  # noqa: RUF012
            **{word: _BASE[word] for word in KEYWORDS - _APART},
            "TOP": TokenType.TOP,
            "GROUP BY": TokenType.GROUP_BY,
            "ORDER BY": TokenType.ORDER_BY,
            "BIGINT": TokenType.BIGINT,
            "CHAR": TokenType.CHAR,
            "DOUBLE PRECISION": TokenType.DOUBLE,
            "INTEGER": TokenType.INT,
            "REAL": TokenType.FLOAT,
            "SMALLINT": TokenType.SMALLINT,
            "TIMESTAMP": TokenType.TIMESTAMP,
            "VARCHAR": TokenType.VARCHAR,
            "||": TokenType.DPIPE,
            "<=": TokenType.LTE,
            ">=": TokenType.GTE,
            "<>": TokenType.NEQ,
            "!=": TokenType.NEQ,
        }


ADQL: Final = Adql()
