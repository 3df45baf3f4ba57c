"""Whatever is asked: an answer, or an error that says where. Never anything else, and never slow."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sodalake.tap.adql import parse, resolve
from sodalake.tap.errors import AdqlError, TapError

_QUERIES = [
    line
    for name in ("adql-must-accept.sql", "adql-must-reject.sql")
    for line in (Path(__file__).parent / name).read_text().splitlines()
    if line and not line.startswith("--")
]
_WORDS = sorted(
    {word for query in _QUERIES for word in query.replace("(", " ( ").replace(")", " ) ").split()}
)


def _only_errors_of_ours(query: str, worlds: list) -> None:
    for world in worlds[:2]:
        error = None
        try:
            resolve(query, world.published, world.uploads)
        except AdqlError as caught:
            error = caught
        assert error is None or min(error.line, error.column) >= 1, error


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    with pytest.raises(AdqlError) as caught:
        parse(text)
    assert caught.value.line >= 1


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.lists(st.sampled_from(_WORDS), max_size=25))
def test_words_in_any_order(words: list[str], worlds: list) -> None:
    _only_errors_of_ours(" ".join(["SELECT", *words]), worlds)


@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_queries_with_words_exchanged(data: st.DataObject, worlds: list, ask: Callable) -> None:
    words = data.draw(st.sampled_from(_QUERIES)).split(" ")
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(words) - 1))
        change = data.draw(st.sampled_from(["drop", "double", "replace", "swap"]))
        if change == "drop" and len(words) > 1:
            words.pop(at)
        elif change == "double":
            words.insert(at, words[at])
        elif change == "swap":
            other = data.draw(st.integers(0, len(words) - 1))
            words[at], words[other] = words[other], words[at]
        else:
            words[at] = data.draw(st.sampled_from(_WORDS))
    query = " ".join(words)
    for world in worlds[:2]:
        # What is understood must run too: `ask` lets nothing pass but our own errors, those with a cause that is known.
        try:
            ask(query, world)
        except AdqlError:
            pass
        except TapError as error:
            pytest.fail(f"{query}: {error.__cause__}")


@pytest.mark.parametrize(
    "query",
    [
        "SELECT " + "(" * 10_000 + "1" + ")" * 10_000 + " FROM a",
        "SELECT 1 FROM a WHERE " + "NOT " * 10_000 + "x = 1",
        "SELECT " + "-" * 9_999 + "1 FROM a",
        "SELECT " + "- " * 9_999 + "1 FROM a",
        "SELECT " + "ABS(" * 5_000 + "x" + ")" * 5_000 + " FROM a",
        "SELECT * FROM " + "(SELECT * FROM " * 5_000 + "a" + ") AS z" * 5_000,
        " UNION ".join(["SELECT id FROM a"] * 5_000),
        "SELECT * FROM a " + "JOIN b " * 5_000,
        "SELECT id FROM a WHERE " + " OR ".join(["x = 1"] * 50_000),
        "SELECT x FROM a WHERE x IN (" + "(" * 3_000,
        "SELECT '" + "x" * 2_000_000 + "' FROM a",
        "SELECT " + '"' * 100_001,
        "SELECT x\x00 FROM a",
        "SELECT 'x\x00' FROM a",
        "",
        " \n\t",
        ";",
        ";;",
        "-- nothing",
    ],
    ids=lambda query: repr(query[:24]),
)
def test_what_is_too_much_is_refused_at_once(query: str) -> None:
    began = time.process_time()
    with pytest.raises(AdqlError) as caught:
        parse(query)
    assert caught.value.line >= 1
    assert len(str(caught.value)) < 400
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("SELECT id FROM a WHERE " + " OR ".join(f"id = {number}" for number in range(4_000)), 4),
        ("SELECT id FROM a WHERE " + " AND ".join(f"id <> {number}" for number in range(5, 4_000)), 4),
        ("SELECT id FROM a WHERE id IN (" + ", ".join(map(str, range(20_000))) + ")", 4),
        ("SELECT id" + " + 1" * 500 + " AS k FROM a", 4),
        ("SELECT name" + " || 'x'" * 500 + " AS k FROM a", 4),
        (" UNION ALL ".join(["SELECT id FROM a"] * 90), 360),
        ("SELECT " + "(" * 90 + "x" + ")" * 90 + " FROM a", 4),
        ("SELECT " + "ABS(" * 90 + "x" + ")" * 90 + " FROM a", 4),
        ("SELECT * FROM " + "(SELECT id FROM " * 40 + "a" + ") AS z" * 40, 4),
    ],
    ids=lambda value: repr(value[:24]) if isinstance(value, str) else "",
)
def test_what_is_much_is_answered(query: str, rows: int, run: Callable) -> None:
    assert run(query).table.num_rows == rows
