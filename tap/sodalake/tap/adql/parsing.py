"""ADQL text → sqlglot's tree, checked."""

from __future__ import annotations

import re
from typing import Final

from sqlglot import exp
from sqlglot.errors import ParseError, SqlglotError
from sqlglot.tokenizer_core import Token, TokenType

from ..errors import AdqlError
from .dialect import ADQL
from .grammar import checked
from .hints import FOREIGN
from .places import error_at
from .screening import CALL, screened

__all__ = ["LONGEST", "parse"]

LONGEST: Final = 1_000_000
"""Characters of a query that are read, unless said otherwise."""

_STATEMENT: Final = re.compile(r"[^\W\d_]+")


def parse(text: str, *, longest: int = LONGEST) -> exp.Query:
    """Parse a query of ADQL 2.0 or 2.1, and nothing else.

    Parameters
    ----------
    text
        The query; a semicolon may end it.
    longest
        Characters that it may have.

    Returns
    -------
    exp.Query
        sqlglot's tree. Functions (CAST excepted) are `exp.Anonymous`, whose names begin with `screening.CALL`;
        identifiers have ``meta["start"]``, their offset in `text`, which is the root's ``meta["text"]``.

    Raises
    ------
    AdqlError
        With line, column, and what may have been meant.
    """
    tokens = screened(text, longest)
    first = tokens[0] if tokens else None
    if first is None or first.token_type not in (TokenType.SELECT, TokenType.WITH, TokenType.L_PAREN):
        word = first.text.removeprefix(CALL) if first else ";"
        raise error_at(
            text,
            first.start if first else 0,
            f"A query does not begin with {word}.",
            "It begins with SELECT.",
        )
    try:
        trees = ADQL.parser().parse(tokens, text)
    except ParseError as error:
        raise _told(text, tokens, error) from error
    except (SqlglotError, RecursionError, ValueError) as error:
        raise AdqlError("The query cannot be read.", "Compare it with an example.", 1, 1) from error
    tree = checked(text, trees[0] if trees else None)
    tree.meta["text"] = text
    return tree


def _told(text: str, tokens: list[Token], error: ParseError) -> AdqlError:
    """Return the parser's error as ours: the place, and the word that was not expected there."""
    detail = error.errors[0] if error.errors else {}
    line, column = int(detail.get("line") or 1), int(detail.get("col") or 1)
    at = next((i for i, token in enumerate(tokens) if (token.line, token.col) == (line, column)), None)
    if at is None or (at == len(tokens) - 1 and "Unexpected token" not in str(error)):
        return error_at(
            text, len(text.rstrip()), "The query ends too early.", "Something is missing at its end."
        )
    token = tokens[at]
    before = tokens[at - 1] if at else token
    for one in (token, before):
        if one.text.upper() in FOREIGN:
            word = one.text.upper()
            return error_at(text, one.start, f"{word} is no part of ADQL.", FOREIGN[word].format("n"))
    if "Unexpected token" in str(error):
        word = text[token.start : token.end + 1]
        return error_at(text, token.start, f"“{word}” is not expected here.", _advice(token, before))
    return error_at(
        text,
        token.start,
        f"Something is missing near “{text[token.start : token.end + 1]}”.",
        "Compare it with an example.",
    )


def _advice(token: Token, before: Token) -> str:
    if token.token_type in (TokenType.DISTINCT, TokenType.ALL):
        return "Write SELECT DISTINCT TOP n."
    if token.token_type == TokenType.WITH:
        return "WITH stands before the whole query only."
    if token.token_type in (TokenType.ORDER_BY, TokenType.GROUP_BY, TokenType.HAVING, TokenType.WHERE):
        return "The order is SELECT, FROM, WHERE, GROUP BY, HAVING, ORDER BY, OFFSET."
    if token.token_type in (TokenType.VAR, TokenType.IDENTIFIER) and before.token_type in (
        TokenType.VAR,
        TokenType.IDENTIFIER,
    ):
        return "Perhaps a comma is missing, or an operator."
    return "Compare it with an example."
