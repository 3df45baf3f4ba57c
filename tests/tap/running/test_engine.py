"""What DuckDB may do here, and for how long."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest

from sodalake.lake.rows.gateway import _until
from sodalake.tap.errors import QueryTimeout, TapError
from sodalake.tap.questions import Question
from sodalake.tap.running.engine import Engine
from sodalake.tap.running.guard import Guard, QueryCancelled
from sodalake.tap.session import Session

ENDLESS = "SELECT COUNT(*) FROM range(10000000) a, range(10000000) b WHERE a.range + b.range = 3"


@pytest.fixture
def engine() -> Engine:
    return Engine(threads=1, memory=200_000_000)


def test_a_connection_is_kept(engine: Engine) -> None:
    for _ in range(3):
        assert engine.table("SELECT x FROM t", {"t": pa.table({"x": [1]})}, Guard(10)).num_rows == 1
    assert len(engine._free) == 1
    engine.close()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT * FROM '/etc/hostname'",
        "COPY (SELECT 1) TO '/tmp/sodalake-written'",
        "ATTACH '/tmp/sodalake-attached.db'",
        "INSTALL httpfs",
        "SET enable_external_access = true",
        "SET memory_limit = '100GB'",
        "SELECT * FROM secret_table",
        "PRAGMA database_list_of_nothing",
    ],
)
def test_nothing_but_what_is_given_can_be_read(engine: Engine, sql: str) -> None:
    secret_table = pa.table({"password": ["x"]})
    with pytest.raises(TapError) as caught:
        engine.table(sql, {}, Guard(10))
    assert secret_table.num_rows == 1
    assert "/etc" not in str(caught.value)
    assert not Path("/tmp/sodalake-written").exists()


def test_a_query_is_interrupted_when_its_time_is_up(engine: Engine) -> None:
    began = time.monotonic()
    with pytest.raises(QueryTimeout, match=r"longer than the 0\.3 s"):
        engine.table(ENDLESS, {}, Guard(0.3))
    assert time.monotonic() - began < 20
    assert engine.table("SELECT 1 AS x", {}, Guard(10)).num_rows == 1


def test_a_query_is_interrupted_behind_its_first_rows(engine: Engine) -> None:
    def read(seconds: float) -> None:
        guard = Guard(seconds)
        with engine.connection(guard) as connection:
            reader = connection.sql(ENDLESS.replace("COUNT(*)", "a.range").replace("= 3", ">= 0"))
            for batch in reader.to_arrow_reader(1000):
                assert batch.num_rows

    with pytest.raises(QueryTimeout):
        read(0.5)


def test_a_query_is_interrupted_when_nobody_waits(engine: Engine) -> None:
    gone = threading.Event()
    threading.Timer(0.2, gone.set).start()
    with pytest.raises(QueryCancelled):
        engine.table(ENDLESS, {}, Guard(60, gone.is_set))
    guard = Guard(60)
    threading.Timer(0.2, guard.give_up).start()
    with pytest.raises(QueryCancelled):
        engine.table(ENDLESS, {}, guard)


def test_what_does_not_fit_into_memory_is_spilled_or_told(engine: Engine) -> None:
    rows = engine.table(
        "SELECT range AS x, range % 7 AS y FROM range(20000000) ORDER BY y, x LIMIT 5", {}, Guard(60)
    )
    assert rows.column("x").to_pylist() == [0, 7, 14, 21, 28]
    with pytest.raises(TapError):
        engine.table("SELECT string_agg(repeat('x', 1000), '') AS x FROM range(2000000)", {}, Guard(60))
    assert engine.table("SELECT 1 AS x", {}, Guard(10)).num_rows == 1


def test_a_deadline_stays_with_its_query(session: Session) -> None:
    """A stream that begins in one thread and ends in another leaves no deadline behind in either."""
    question = Question("SELECT * FROM ztf.alerts", rows=1000)
    asked = session.asked(question, "none")

    def begun() -> Iterator[pa.RecordBatch]:
        batches = session.run(question, asked, Guard(60), most=None).batches()
        next(batches)
        return batches

    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as two:
        batches = one.submit(begun).result()
        two.submit(list, batches).result()
        for thread in (one, two):
            assert thread.submit(_until.get).result() is None
            thread.submit(list, session.run(question, asked, Guard(30), most=None).batches()).result()
