"""The two sets of queries: what must be ADQL, and what must not."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from sodalake.tap.adql import parse
from sodalake.tap.errors import AdqlError, TapError

_HERE = Path(__file__).parent


def _queries(name: str) -> list[object]:
    made, label = [], ""
    for line in (_HERE / name).read_text().splitlines():
        if line.startswith("-- name: "):
            label = line.removeprefix("-- name: ")
        elif line and not line.startswith("-- "):
            made.append(pytest.param(line, id=label))
    return made


@pytest.mark.parametrize("query", _queries("adql-must-accept.sql"))
def test_accepted_queries_resolve_and_run(query: str, ask: Callable, worlds: list) -> None:
    parse(query)
    failures = []
    for world in worlds:
        try:
            answered = ask(query, world)
        except TapError as error:
            failures.append(str(error))
        else:
            assert answered.table.num_columns == len(answered.resolved.outputs)
            return
    pytest.fail("\n".join(failures))


@pytest.mark.parametrize("query", _queries("adql-must-reject.sql"))
def test_refused_queries_name_the_place(query: str) -> None:
    with pytest.raises(AdqlError) as caught:
        parse(query)
    error = caught.value
    assert error.line == 1
    assert 1 <= error.column <= len(query) + 1
    assert str(error).startswith(f"Line 1, column {error.column}: ")
    assert not re.search(r"sqlglot|Token|exp\.|class|\u00b7|None", str(error)), str(error)


def test_both_sets_are_large() -> None:
    assert len(_queries("adql-must-accept.sql")) >= 80
    assert len(_queries("adql-must-reject.sql")) >= 80
