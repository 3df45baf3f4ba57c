"""FITS header cards, byte for byte.

A cut changes five cards of a header and should leave the other twenty exactly as the survey wrote them,
comments, spelling mistakes and all; a general FITS library writes them anew. So headers are kept here as what
they are, lists of 80-byte cards (FITS 4.0, section 4.1), of which single ones are read, replaced, added or
dropped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from decimal import Decimal, InvalidOperation

__all__ = ["BLOCK", "CARD", "Header", "card", "padded", "value_of"]

CARD = 80
BLOCK = 2880
_TEXT_IN_A_CARD = 68
_END = b"END".ljust(CARD)
_STRING = re.compile(r"'((?:[^']|'')*)'")

Value = bool | int | float | Decimal | str


class Header:
    """The cards of one HDU, in order, without END."""

    __slots__ = ("cards",)

    def __init__(self, cards: Iterable[bytes]) -> None:
        self.cards = list(cards)

    @classmethod
    def from_bytes(cls, block: bytes) -> Header:
        """Split header bytes into cards; what stands at and behind END is left."""
        cards = []
        for start in range(0, len(block) - CARD + 1, CARD):
            one = block[start : start + CARD]
            if one[:8] == b"END     ":
                break
            cards.append(one)
        return cls(cards)

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        """Keyword and card, in order."""
        for one in self.cards:
            yield one[:8].decode("latin-1").rstrip(), one

    def __contains__(self, keyword: str) -> bool:
        key = keyword.ljust(8).encode("ascii")
        return any(one.startswith(key) for one in self.cards)

    def get(self, keyword: str) -> str | None:
        """The value of the first card of this keyword as text (strings without their quotes), or None."""
        key = keyword.ljust(8).encode("ascii")
        for one in self.cards:
            if one.startswith(key) and one[8:9] == b"=":
                return value_of(one)
        return None

    def number(self, keyword: str) -> Decimal | None:
        """The value as a finite decimal number, exact to the digits written; None where there is none."""
        text = self.get(keyword)
        if text is None:
            return None
        try:
            number = Decimal(text.replace("D", "E").replace("d", "e"))
        except InvalidOperation:
            return None
        return number if number.is_finite() else None

    def set(self, keyword: str, value: Value, comment: str = "") -> None:
        """Replace a card's value where the keyword is there (its comment stays), else add a card."""
        key = keyword.ljust(8).encode("ascii")
        for place, one in enumerate(self.cards):
            if one.startswith(key) and one[8:9] == b"=":
                self.cards[place : place + 1] = card(keyword, value, _comment_of(one) or comment)
                return
        self.cards.extend(card(keyword, value, comment))

    def drop(self, *keywords: str) -> None:
        """Remove every card of these keywords."""
        keys = tuple(keyword.ljust(8).encode("ascii") for keyword in keywords)
        self.cards = [one for one in self.cards if not one.startswith(keys)]

    def to_bytes(self) -> bytes:
        """Cards, END and blanks up to a whole number of blocks."""
        joined = b"".join(self.cards) + _END
        return joined.ljust(-(-len(joined) // BLOCK) * BLOCK)


def value_of(one: bytes) -> str:
    """The value of a card as text: a string's content, or what stands before the slash.

    ZTF's ``SIMPLE  =  T`` is read like any other: free format, wherever the value stands.
    """
    body = one[9:].decode("latin-1").strip()
    if body.startswith("'"):
        match = _STRING.match(body)
        text = match.group(1) if match else body[1:]
        return text.replace("''", "'").rstrip()
    return body.partition("/")[0].strip()


def card(keyword: str, value: Value, comment: str = "") -> list[bytes]:
    """One card in fixed format (section 4.2); a long text goes on in CONTINUE cards.

    Parameters
    ----------
    value
        Text is written in ASCII, other letters as ``?``.
    """
    key = keyword.ljust(8)
    if isinstance(value, str):
        return _text_cards(key, value, comment)
    if isinstance(value, bool):
        text = "T" if value else "F"
    elif isinstance(value, float):
        text = repr(value).upper()
    else:
        text = str(value)
    return [_with_comment(f"{key}= {text:>20}", comment)]


def padded(data: bytes) -> bytes:
    """Data bytes with zeros up to a whole number of blocks."""
    return data.ljust(-(-len(data) // BLOCK) * BLOCK, b"\0")


def _text_cards(key: str, value: str, comment: str) -> list[bytes]:
    pieces: list[str] = [""]
    for letter in value.encode("ascii", "replace").decode("ascii"):
        printable = letter if " " <= letter <= "~" else "?"
        quoted = "''" if printable == "'" else printable
        if len(pieces[-1]) + len(quoted) > _TEXT_IN_A_CARD - 1:
            pieces.append("")
        pieces[-1] += quoted
    cards = []
    for number, piece in enumerate(pieces):
        last = number == len(pieces) - 1
        text = f"{piece:<8}" if last and number == 0 else piece + ("" if last else "&")
        cards.append(
            _with_comment(
                f"{key if number == 0 else 'CONTINUE'}{'=' if number == 0 else ' '} '{text}'", comment * last
            )
        )
    return cards


def _with_comment(text: str, comment: str) -> bytes:
    if comment and len(text) + 4 <= CARD:
        text = f"{text} / {comment}"
    return text.encode("ascii", "replace")[:CARD].ljust(CARD)


def _comment_of(one: bytes) -> str:
    body = one[9:].decode("latin-1").strip()
    match = _STRING.match(body) if body.startswith("'") else None
    return (body[match.end() :] if match else body).partition("/")[2].strip()
