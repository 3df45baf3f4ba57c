"""Header cards, byte for byte."""

from __future__ import annotations

from decimal import Decimal

import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from sodalake.sodacut.cards import Header, card, value_of


@given(
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=300), st.text("abc /", max_size=40)
)
def test_texts_of_any_length_come_back(value: str, comment: str) -> None:
    header = Header(card("ALERTID", value, comment.strip()))
    assert all(len(one) == 80 for one in header.cards)
    theirs = fits.Header.fromstring(header.to_bytes())
    assert theirs["ALERTID"] == value.rstrip()
    if len(value.replace("'", "''")) < 60:
        assert header.get("ALERTID") == value.rstrip()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "T"), (False, "F"), (-32, "-32"), (10**18, "1000000000000000000"), (2459541.8, "2459541.8"),
        (1e-30, "1E-30"), (Decimal("13.463011108215"), "13.463011108215"), ("it's", "it's"), ("", ""),
    ],
)  # fmt: skip
def test_values_are_written_and_read(value: bool | int | float | Decimal | str, text: str) -> None:
    header = Header(card("KEY", value, "what it is"))
    assert header.get("KEY") == text
    theirs = fits.Header.fromstring(header.to_bytes())
    assert theirs["KEY"] == (float(value) if isinstance(value, Decimal) else value)
    assert theirs.comments["KEY"] == "what it is"


def test_letters_fits_does_not_have_become_question_marks() -> None:
    assert Header(card("NAME", "Ωmega\n")).get("NAME") == "?mega?"


def test_a_value_is_replaced_in_its_place_and_its_comment_stays() -> None:
    cards = [
        "A       =                    1 / one".ljust(80),
        "B       = 'two     '           / zwei".ljust(80),
    ]
    header = Header(one.encode() for one in cards)
    header.set("A", 7)
    header.set("B", "drei / vier")
    header.set("C", 3)
    assert header.cards[0] == b"A       =                    7 / one".ljust(80)
    assert header.get("B") == "drei / vier"
    assert header.cards[1].rstrip().endswith(b"/ zwei")
    assert [keyword for keyword, _ in header] == ["A", "B", "C"]
    header.drop("A", "C")
    assert [keyword for keyword, _ in header] == ["B"]


@pytest.mark.parametrize(
    ("one", "value"),
    [
        (b"SIMPLE  =  T", "T"),
        (b"SIMPLE  =                    T / conforms", "T"),
        (b"NAME    = 'a / b'   / comment", "a / b"),
        (b"NAME    = 'it''s'", "it's"),
        (b"NAME    = 'never closed", "never closed"),
        (b"NAME    =", ""),
    ],
)
def test_free_format_is_read(one: bytes, value: str) -> None:
    assert value_of(one.ljust(80)) == value


@pytest.mark.parametrize(
    ("text", "number"),
    [("1.5", "1.5"), ("1.5D2", "1.5E2"), ("abc", None), ("NaN", None), ("Infinity", None), ("", None)],
)
def test_numbers_keep_their_digits(text: str, number: str | None) -> None:
    header = Header([f"KEY     = {text}".ljust(80).encode()])
    assert header.number("KEY") == (None if number is None else Decimal(number))
    assert header.number("OTHER") is None


def test_commentary_cards_have_no_value() -> None:
    header = Header.from_bytes(b"HISTORY   = 5".ljust(80) + b"END".ljust(80) + b"BEHIND  = 1".ljust(80))
    assert header.get("HISTORY") is None
    assert len(header.cards) == 1
    assert header.to_bytes() == (b"HISTORY   = 5".ljust(80) + b"END").ljust(2880)
