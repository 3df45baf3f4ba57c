"""What is looked at before a query is parsed: characters, quotes, words, and how deep it is.

sqlglot's parser is compiled and recursive: what is nested a thousand deep would end the process. So depth is bounded
here, where it costs one look at each word, and so is whatever else the parser would read in other people's dialects.
"""

from __future__ import annotations

import re
from typing import Final

from sqlglot.errors import TokenError
from sqlglot.tokenizer_core import Token, TokenType

from ..errors import AdqlError
from .dialect import ADQL
from .functions import NAMES
from .hints import CHARACTERS, FOREIGN, FUNCTIONS, WORDS
from .places import close_to, error_at
from .words import KEYWORDS, RESERVED, TYPES

__all__ = ["CALL", "screened"]

CALL: Final = "\u00b7"
"""What stands before the name of a function, so that sqlglot makes nothing of it that ADQL does not mean."""

_DEPTH: Final = 100
_TABLES: Final = (
    100  # joins and set operations: far more than anybody writes, and far less than the stack holds
)
_TERMS: Final = 20_000

_SPECIAL: Final = re.compile(
    r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\r\n]*|/\*|['\"`]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|[^\x00-\x7f]"
)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_NUMBER: Final = re.compile(r"(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_PLAIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")

_KEYWORD_TYPES: Final = frozenset(
    ADQL.tokenizer_class.KEYWORDS[word] for word in KEYWORDS - {"BY", "GROUP", "ORDER"}
) | {
    TokenType.GROUP_BY,
    TokenType.ORDER_BY,
}
_TYPE_TYPES: Final = frozenset(
    ADQL.tokenizer_class.KEYWORDS[word]
    for word in ("BIGINT", "CHAR", "DOUBLE PRECISION", "INTEGER", "REAL", "SMALLINT", "TIMESTAMP", "VARCHAR")
)
_SIGNS: Final = frozenset([TokenType.PLUS, TokenType.DASH])
_OTHER: Final = frozenset(
    [
        TokenType.COMMA,
        TokenType.DOT,
        TokenType.DPIPE,
        TokenType.EQ,
        TokenType.GT,
        TokenType.GTE,
        TokenType.IDENTIFIER,
        TokenType.LT,
        TokenType.LTE,
        TokenType.NEQ,
        TokenType.NUMBER,
        TokenType.SLASH,
        TokenType.STAR,
        TokenType.STRING,
        *_SIGNS,
    ]
)
_FREE: Final = frozenset([*(_KEYWORD_TYPES | _OTHER), TokenType.L_PAREN, TokenType.R_PAREN]) - {
    TokenType.NUMBER,
    TokenType.STRING,
    TokenType.COMMA,
    TokenType.NOT,
}
"""Words that may stand anywhere, as far as can be said before they are parsed."""
_NAMES: Final = frozenset([TokenType.VAR, TokenType.IDENTIFIER])
_WHOLE: Final = frozenset([*_NAMES, TokenType.NUMBER, TokenType.STRING, TokenType.R_PAREN])
_SETS: Final = frozenset([TokenType.UNION, TokenType.EXCEPT, TokenType.INTERSECT])
_COUNTED: Final = frozenset([*_SETS, TokenType.JOIN])

_CLAUSES: Final = {
    TokenType.SELECT: 0,
    TokenType.FROM: 1,
    TokenType.WHERE: 2,
    TokenType.GROUP_BY: 3,
    TokenType.HAVING: 4,
    TokenType.ORDER_BY: 5,
    TokenType.OFFSET: 6,
}
_NOT_BEHIND_COMMA: Final = frozenset(
    [*_CLAUSES, *_SETS, TokenType.COMMA, TokenType.R_PAREN, TokenType.ALIAS, TokenType.JOIN, TokenType.ON]
)
_NOT_BEFORE_COMMA: Final = frozenset(
    [
        *_CLAUSES,
        TokenType.L_PAREN,
        TokenType.DISTINCT,
        TokenType.ALIAS,
        TokenType.ON,
        TokenType.AND,
        TokenType.OR,
    ]
)

_WATCHED: Final = RESERVED | FOREIGN.keys()


def screened(text: str, longest: int) -> list[Token]:
    """Return the words of a query, names of functions marked by `CALL`.

    Parameters
    ----------
    text
        The query.
    longest
        Characters that it may have.

    Raises
    ------
    AdqlError
        For what no ADQL query holds: control characters, unclosed quotes, ``/* */``, several statements, operators and
        functions of other dialects, reserved words as names; and for what is too long or nested too deep.
    """
    if len(text) > longest:
        raise AdqlError(
            f"The query has {len(text)} characters, and {longest} are the most that are read.",
            "Send long lists as a table, by UPLOAD, and join it.",
            1,
            1,
        )
    try:
        tokens: list[Token] = ADQL.tokenize(_without_comments(text))
    except TokenError as error:
        raise AdqlError("The query cannot be read.", "Check its quotes.", 1, 1) from error
    if not tokens:
        raise AdqlError("The query is empty.", "Write SELECT … FROM …", 1, 1)
    if tokens[-1].token_type == TokenType.SEMICOLON:
        tokens.pop()
    _bounded(text, tokens)
    _ordered(text, tokens)
    last = len(tokens) - 1
    for at, token in enumerate(tokens):
        kind = token.token_type
        if kind in _FREE:
            continue
        after = tokens[at + 1] if at < last else None
        if kind == TokenType.VAR and (after is None or after.token_type != TokenType.L_PAREN):
            word = token.text
            if word.isidentifier() and word.isascii() and word[0] != "_" and word.upper() not in _WATCHED:
                continue
        _check(text, token, tokens[at - 1] if at else None, after)
    return tokens


def _without_comments(text: str) -> str:
    """Return a query with blanks for comments; all else keeps its place."""

    def blank(found: re.Match[str]) -> str:
        part = found.group()
        if part[0] in "'\"" and len(part) > 1:
            if bad := _CONTROL.search(part):
                raise _control(text, found.start() + bad.start())
            if part == '""':
                raise error_at(
                    text, found.start(), "A name is empty.", "Write the name between the double quotes."
                )
            return part
        if part.startswith("--"):
            return " " * len(part)
        if part == "/*":
            raise error_at(
                text, found.start(), "ADQL has no comments in /* */.", "A comment begins with two hyphens."
            )
        if part in "'\"":
            kind = "text" if part == "'" else "name"
            raise error_at(
                text,
                found.start(),
                f"The {kind} that begins here has no end.",
                f"Close it by {part}; within it, double it.",
            )
        if _CONTROL.match(part):
            raise _control(text, found.start())
        raise error_at(
            text,
            found.start(),
            f"{part!r} is no part of ADQL.",
            CHARACTERS.get(part, "Names with it stand in double quotes, texts in single quotes."),
        )

    return _SPECIAL.sub(blank, text)


def _control(text: str, at: int) -> AdqlError:
    return error_at(text, at, f"The query holds a control character ({ord(text[at]):#04x}).", "Remove it.")


def _bounded(text: str, tokens: list[Token]) -> None:
    """Refuse what is nested too deep, or has too many parts."""
    depth = joins = signs = terms = 0
    opened: list[Token] = []
    for token in tokens:
        kind = token.token_type
        if kind == TokenType.L_PAREN:
            opened.append(token)
            if len(opened) > _DEPTH:
                raise error_at(
                    text, token.start, f"Parentheses are nested more than {_DEPTH} deep.", "Take some away."
                )
        elif kind == TokenType.R_PAREN:
            if not opened:
                raise error_at(
                    text, token.start, "This parenthesis closes none.", "Remove it, or open one before."
                )
            opened.pop()
        elif kind in _COUNTED:
            joins += 1
            if joins > _TABLES:
                raise error_at(
                    text,
                    token.start,
                    f"There are more than {_TABLES} joins and set operations.",
                    "Ask in several queries.",
                )
        elif kind == TokenType.SEMICOLON:
            raise error_at(text, token.start, "This is more than one query.", "Send one at a time.")
        if kind in _SIGNS:
            signs += 1
            if signs > 2:
                raise error_at(text, token.start, "Too many signs follow each other.", "One sign is enough.")
        else:
            signs = 0
        if kind == TokenType.NOT:
            depth += 1
            if depth > 1:
                raise error_at(
                    text, token.start, "NOT stands before NOT.", "Remove both, or use parentheses."
                )
        else:
            depth = 0
        if kind in (
            TokenType.AND,
            TokenType.OR,
            TokenType.DPIPE,
            TokenType.SLASH,
            TokenType.PLUS,
            TokenType.DASH,
        ):
            terms += 1
            if terms > _TERMS:
                raise error_at(
                    text,
                    token.start,
                    f"There are more than {_TERMS} operators.",
                    "Use IN (…), or send a table by UPLOAD.",
                )
    if opened:
        raise error_at(text, opened[-1].start, "This parenthesis is never closed.", "Close it.")


def _ordered(text: str, tokens: list[Token]) -> None:
    """Refuse clauses that are not in their order: sqlglot takes them in any."""
    stages = [-1]
    for at, token in enumerate(tokens):
        kind = token.token_type
        if kind == TokenType.L_PAREN:
            stages.append(-1)
        elif kind == TokenType.R_PAREN:
            stages.pop()
        elif kind in _SETS:
            stages[-1] = -1
        elif (stage := _CLAUSES.get(kind)) is not None:
            if stage <= stages[-1]:
                raise error_at(
                    text,
                    token.start,
                    f"{token.text.upper()} is not expected here.",
                    "The order is SELECT, FROM, WHERE, GROUP BY, HAVING, ORDER BY, OFFSET; each stands once.",
                )
            stages[-1] = stage
        elif kind == TokenType.USING:
            _check_using(text, tokens, at)
        elif kind == TokenType.DISTINCT and at > 1 and tokens[at - 2].token_type == TokenType.TOP:
            raise error_at(text, token.start, "DISTINCT stands before TOP.", "Write SELECT DISTINCT TOP n.")


def _check_using(text: str, tokens: list[Token], at: int) -> None:
    """Refuse what is no list of names behind USING: sqlglot would drop qualifiers."""
    expected = TokenType.L_PAREN
    for token in tokens[at + 1 :]:
        kind = token.token_type
        if expected == TokenType.L_PAREN and kind == expected:
            expected = TokenType.VAR
        elif expected == TokenType.VAR and kind in _NAMES:
            expected = TokenType.COMMA
        elif expected == TokenType.COMMA and kind == expected:
            expected = TokenType.VAR
        elif expected == TokenType.COMMA and kind == TokenType.R_PAREN:
            return
        else:
            raise error_at(text, token.start, "Behind USING stand names of columns.", "Write USING (id).")


def _check(text: str, token: Token, before: Token | None, after: Token | None) -> None:
    """Refuse a word that ADQL has not, or not there; mark a function's name."""
    kind = token.token_type
    if kind == TokenType.VAR:
        _check_word(text, token, before, after)
    elif kind == TokenType.NUMBER:
        if not _NUMBER.fullmatch(token.text) or (
            after is not None
            and after.start == token.end + 1
            and after.token_type in _WHOLE - {TokenType.R_PAREN}
        ):
            raise error_at(
                text,
                token.start,
                f"“{text[token.start : token.end + 2].strip()}” is no number.",
                "Write 12, 12.3, .5 or 1.2E-3.",
            )
    elif kind == TokenType.STRING:
        if before is not None and before.token_type in _WHOLE - {TokenType.NUMBER}:
            raise error_at(
                text,
                token.start,
                "A text cannot stand here.",
                "Names stand in double quotes, and texts are joined by ||.",
            )
    elif kind == TokenType.COMMA:
        behind = TokenType.COMMA if after is None else after.token_type
        if behind in _NOT_BEHIND_COMMA or before is None or before.token_type in _NOT_BEFORE_COMMA:
            raise error_at(
                text,
                token.start,
                "Something is missing beside this comma.",
                "Remove it, or add what is missing.",
            )
    elif kind == TokenType.NOT and token.text == "!":
        raise error_at(text, token.start, "“!” is no part of ADQL.", CHARACTERS["!"])
    elif kind in _TYPE_TYPES:
        if before is None or before.token_type != TokenType.ALIAS:
            raise _reserved(text, token)
        if (
            kind not in (TokenType.CHAR, TokenType.VARCHAR)
            and after is not None
            and after.token_type == TokenType.L_PAREN
        ):
            raise error_at(
                text, after.start, f"{token.text.upper()} has no length.", "Write it without parentheses."
            )
    elif (
        kind not in _OTHER
        and kind not in _KEYWORD_TYPES
        and kind not in (TokenType.L_PAREN, TokenType.R_PAREN)
    ):
        raise error_at(
            text, token.start, f"“{token.text}” is no part of ADQL.", CHARACTERS.get(token.text[:1], "")
        )


def _check_word(text: str, token: Token, before: Token | None, after: Token | None) -> None:
    word = token.text.upper()
    if not _PLAIN.fullmatch(token.text):
        raise error_at(
            text,
            token.start,
            f"“{token.text}” is no name.",
            CHARACTERS.get(token.text[:1], "Names begin with a letter; others stand in double quotes."),
        )
    typed = word in TYPES and before is not None and before.token_type == TokenType.ALIAS
    if after is not None and after.token_type == TokenType.L_PAREN and not typed:
        if word == "CAST":
            return
        if word not in NAMES:
            if word in FOREIGN:
                raise error_at(text, token.start, f"{word} is no part of ADQL.", FOREIGN[word].format("n"))
            advice = f"Did you mean {FUNCTIONS[word]}?" if word in FUNCTIONS else close_to(word, NAMES)
            raise error_at(text, token.start, f"There is no function {token.text}.", WORDS.get(word, advice))
        token.text = CALL + word
    elif word in FOREIGN and after is not None and after.token_type in (TokenType.NUMBER, TokenType.VAR):
        raise error_at(text, token.start, f"{word} is no part of ADQL.", FOREIGN[word].format(after.text))
    elif word in RESERVED and not typed:
        raise _reserved(text, token)


def _reserved(text: str, token: Token) -> AdqlError:
    word = token.text.upper()
    known = word in NAMES
    advice = f"A function has parentheses: {word}(…). " if known else ""
    return error_at(
        text,
        token.start,
        f"{word} is a reserved word of ADQL.",
        WORDS.get(word, f'{advice}As a name, it stands in double quotes: "{token.text}".'),
    )
