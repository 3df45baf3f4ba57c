"""One suite for every row store: what HBase and its embedded twin promise, they promise alike."""

from __future__ import annotations

import itertools
import os
import pickle
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sodalake.lake.errors import ConfigurationError, NotInLake, UsageError
from sodalake.lake.rows import MAX_CELL, MAX_KEY, RowStore, open_rows

GROUPS = ["d", "s"]


@pytest.fixture(scope="module", params=["lmdb", pytest.param("hbase", marks=pytest.mark.cluster)])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    if request.param == "lmdb":
        return f"lmdb://{tmp_path_factory.mktemp('rows')}"
    return str(request.getfixturevalue("cluster").rows_url(f"test-{uuid.uuid4().hex[:12]}"))


@pytest.fixture(scope="module")
def store(url: str) -> Iterator[RowStore]:
    rows = open_rows(url)
    yield rows
    for table in rows.tables():
        rows.drop(table)
    rows.close()


@pytest.fixture(scope="module")
def table(store: RowStore) -> str:
    """A table with two groups, shared: every test keeps to keys of its own (`space`)."""
    store.create("shared.table", GROUPS)
    return "shared.table"


_spaces = itertools.count()


@pytest.fixture
def space() -> bytes:
    """A prefix that no earlier test's keys have, and that sorts after all of them."""
    return b"%06d/" % next(_spaces)


# ---------------------------------------------------------------------- tables


def test_both_are_row_stores(store: RowStore) -> None:
    assert isinstance(store, RowStore)


def test_create_list_drop(store: RowStore) -> None:
    store.create("b.second", ["p"])
    store.create("a.first", ["p", "q"], splits=[b"40", b"80"])
    store.create("a.first", ["q", "p"])  # the same again: nothing happens
    assert [name for name in store.tables() if name[:2] in ("a.", "b.")] == ["a.first", "b.second"]
    with pytest.raises(UsageError, match="exists with the groups"):
        store.create("a.first", ["p"])

    store.put_many("a.first", [(b"k", {"p": b"1"})])
    store.drop("a.first")
    store.drop("a.first")
    assert "a.first" not in store.tables()
    with pytest.raises(NotInLake, match=r"a\.first"):
        store.get("a.first", b"k", ["p"])
    store.create("a.first", ["p"])
    assert store.get("a.first", b"k", ["p"]) is None
    store.drop("a.first")
    store.drop("b.second")


@pytest.mark.parametrize("name", ["", "a b", "a/b", "../x", ".hidden", "é", "a\0b"])
def test_names_that_hbase_would_not_take(store: RowStore, table: str, name: str) -> None:
    with pytest.raises(UsageError):
        store.create(name, ["p"])
    with pytest.raises(UsageError):
        store.create("fine", [name])
    assert "fine" not in store.tables()


def test_unknown_tables_and_groups(store: RowStore, table: str) -> None:
    calls: list[Callable[[str, str], object]] = [
        lambda t, g: store.get(t, b"k", [g]),
        lambda t, g: store.get_many(t, [b"k"], [g]),
        lambda t, g: list(store.scan(t, b"", None, [g])),
        lambda t, g: list(store.scan_many(t, [(b"a", b"b"), (b"c", None)], [g])),
        lambda t, g: store.put_many(t, [(b"k", {g: b"v"})]),
        lambda t, g: store.check_and_put(t, b"k", g, None, b"v"),
    ]
    for call in calls:
        with pytest.raises(NotInLake, match=r"no\.such"):
            call("no.such", "d")
        with pytest.raises(UsageError, match="group 'x'"):
            call(table, "x")
    with pytest.raises(NotInLake, match=r"no\.such"):
        store.delete_many("no.such", [b"k"])


def test_some_group_must_be_named(store: RowStore, table: str) -> None:
    with pytest.raises(UsageError, match="group"):
        store.get(table, b"k", [])
    with pytest.raises(UsageError, match="group"):
        store.get_many(table, [b"k"], [])
    with pytest.raises(UsageError, match="group"):
        list(store.scan(table, b"", None, []))
    with pytest.raises(UsageError, match="group"):
        list(store.scan_many(table, [(b"a", b"b"), (b"c", b"d")], []))


# ---------------------------------------------------------------------- cells


def test_cells_come_in_the_order_asked_for(store: RowStore, table: str, space: bytes) -> None:
    store.put_many(table, [(space + b"both", {"d": b"D", "s": b"S"}), (space + b"one", {"s": b"only"})])
    assert store.get(table, space + b"both", ["d", "s"]) == (b"D", b"S")
    assert store.get(table, space + b"both", ["s", "d"]) == (b"S", b"D")
    assert store.get(table, space + b"both", ["s"]) == (b"S",)
    assert store.get(table, space + b"one", ["d", "s"]) == (None, b"only")
    assert store.get(table, space + b"one", ["d"]) is None
    assert store.get(table, space + b"none", ["d", "s"]) is None
    keys = [space + b"none", space + b"one", space + b"both", space + b"one"]
    assert store.get_many(table, keys, ["d", "s"]) == [None, (None, b"only"), (b"D", b"S"), (None, b"only")]
    assert store.get_many(table, [], ["d"]) == []


def test_a_put_leaves_other_cells_alone_and_the_later_wins(store: RowStore, table: str, space: bytes) -> None:
    key = space + b"k"
    store.put_many(table, [(key, {"d": b"1", "s": b"s"})])
    store.put_many(
        table, [(key, {"d": b"2"}), (key, {"d": b"3"}), (space + b"other", {"d": b"x"}), (key, {})]
    )
    assert store.get(table, key, GROUPS) == (b"3", b"s")
    store.put_many(table, [])
    store.put_many(table, [(space + b"nothing", {})])
    assert store.get(table, space + b"nothing", GROUPS) is None


def test_empty_and_large_cells(store: RowStore, table: str, space: bytes) -> None:
    large = os.urandom(MAX_CELL)
    store.put_many(table, [(space + b"empty", {"d": b""}), (space + b"large", {"d": large, "s": b""})])
    assert store.get(table, space + b"empty", GROUPS) == (b"", None)
    assert store.get(table, space + b"large", GROUPS) == (large, b"")
    with pytest.raises(UsageError, match="at most"):
        store.put_many(table, [(space + b"larger", {"d": large + b"x"})])
    assert [key for key, _ in store.scan(table, space, space + b"~", GROUPS)] == [
        space + b"empty",
        space + b"large",
    ]
    store.delete_many(table, [space + b"large"])


@pytest.mark.parametrize("key", [b"", b"x" * (MAX_KEY + 1)])
def test_keys_out_of_bounds(store: RowStore, table: str, key: bytes) -> None:
    for call in (
        lambda: store.get(table, key, ["d"]),
        lambda: store.get_many(table, [key], ["d"]),
        lambda: store.put_many(table, [(key, {"d": b""})]),
        lambda: store.check_and_put(table, key, "d", None, b"v"),
        lambda: store.delete_many(table, [key]),
    ):
        with pytest.raises(UsageError, match="key"):
            call()


def test_longest_key(store: RowStore, table: str, space: bytes) -> None:
    keys = [space + b"\xff" * (MAX_KEY - len(space) - 1) + bytes([last]) for last in (0, 254, 255)]
    store.put_many(table, [(key, {"d": key}) for key in keys])
    assert [key for key, _ in store.scan(table, keys[0], None, ["d"])] == keys
    assert [key for key, _ in store.scan(table, keys[0], keys[2], ["d"], reverse=True)] == keys[1::-1]
    store.delete_many(table, keys)


# ---------------------------------------------------------------------- ranges

KEYS = st.binary(min_size=1, max_size=4) | st.text("ab_", min_size=1, max_size=3).map(str.encode)
CELLS = st.dictionaries(st.sampled_from(GROUPS), st.binary(max_size=3))
STEPS = st.lists(st.tuples(KEYS, st.none() | CELLS), max_size=25)  # None: the row is deleted
RANGES = st.tuples(st.binary(max_size=3), st.none() | st.binary(max_size=3))


@settings(max_examples=60)
@given(steps=STEPS, ranges=st.lists(RANGES, max_size=4), limit=st.none() | st.integers(0, 6))
def test_ranges_are_those_of_a_sorted_dictionary(
    store: RowStore,
    table: str,
    steps: list[tuple[bytes, dict[str, bytes] | None]],
    ranges: list[tuple[bytes, bytes | None]],
    limit: int | None,
) -> None:
    space = b"%06d/" % next(_spaces)
    model: dict[bytes, dict[str, bytes]] = {}
    for deleted, group in itertools.groupby(steps, lambda step: step[1] is None):
        if deleted:
            keys = [space + key for key, _ in group]
            store.delete_many(table, keys)
            for key in keys:
                model.pop(key, None)
        else:
            rows = [(space + key, cells or {}) for key, cells in group]
            store.put_many(table, iter(rows))
            for key, cells in rows:
                model.setdefault(key, {}).update(cells)
    for wanted in (["d"], ["s", "d"]):
        rows_of_model = {
            key: tuple(cells.get(name) for name in wanted)
            for key, cells in sorted(model.items())
            if any(name in cells for name in wanted)
        }
        keys = [*model, space + b"absent"]
        assert store.get_many(table, keys, wanted) == [rows_of_model.get(key) for key in keys]
        for low, high in [(b"", None), *ranges]:
            start, stop = space + low, None if high is None else space + high
            expected = [(k, v) for k, v in rows_of_model.items() if start <= k and (stop is None or k < stop)]
            assert list(store.scan(table, start, stop, wanted, limit=limit)) == expected[:limit]
            descending = store.scan(table, start, stop, wanted, reverse=True, limit=limit)
            assert list(descending) == expected[::-1][:limit]


def apart(cuts: list[bytes]) -> list[tuple[bytes, bytes | None]]:
    """Ranges from every other cut to the next; the last goes to the table's end where it has no other."""
    ends: list[bytes | None] = [*cuts[1::2], None] if len(cuts) % 2 else [*cuts[1::2]]
    return list(zip(cuts[::2], ends, strict=True))


@settings(max_examples=60)
@given(
    rows=st.dictionaries(KEYS, CELLS, max_size=25),
    cuts=st.sets(st.binary(max_size=3), max_size=12),
    limit=st.none() | st.integers(0, 6),
)
def test_several_ranges_are_those_of_a_sorted_dictionary(
    store: RowStore, table: str, rows: dict[bytes, dict[str, bytes]], cuts: set[bytes], limit: int | None
) -> None:
    space = b"%06d/" % next(_spaces)
    store.put_many(table, [(space + key, cells) for key, cells in rows.items()])
    ranges = apart([space + cut for cut in sorted(cuts)])
    for wanted in (["d"], ["s", "d"]):
        expected = [
            (space + key, tuple(cells.get(name) for name in wanted))
            for key, cells in sorted(rows.items())
            if any(name in cells for name in wanted)
            and any(start <= space + key and (stop is None or space + key < stop) for start, stop in ranges)
        ]
        assert list(store.scan_many(table, ranges, wanted, limit=limit)) == expected[:limit]


def test_several_ranges_of_a_table_in_parts(store: RowStore) -> None:
    """Ranges within a part, over the end of one, and parts without any; more rows than a batch has."""
    store.create("parts", ["d"], splits=[b"%04d" % key for key in (1000, 1500, 4000, 4001, 7000)])
    rows = [(b"%04d" % key, b"%d" % key * 40) for key in range(8000)]
    store.put_many("parts", [(key, {"d": cell}) for key, cell in rows])
    ranges = [(b"%04d" % at, b"%04d" % (at + 3)) for at in range(10, 2000, 5)]
    ranges += [(b"3900", b"4100"), (b"4100x", b"4102"), (b"6999", b"7001"), (b"7100", b"7100")]
    ranges += [(b"7101", b"7102")]
    wanted = [(key, (cell,)) for key, cell in rows if any(start <= key < stop for start, stop in ranges)]
    assert len(wanted) == 3 * 398 + 200 + 1 + 2 + 1
    assert list(store.scan_many("parts", ranges, ["d"])) == wanted
    assert list(store.scan_many("parts", ranges, ["d"], limit=1300)) == wanted[:1300]
    assert list(store.scan_many("parts", [], ["d"])) == []
    assert list(store.scan_many("parts", [(b"0001", b"0002")], ["d"])) == [(b"0001", (b"1" * 40,))]
    last: list[tuple[bytes, bytes | None]] = [(b"0", b"0001"), (b"7999", None)]
    assert [key for key, _ in store.scan_many("parts", last, ["d"])] == [b"0000", b"7999"]
    store.drop("parts")


@pytest.fixture(scope="module")
def many(store: RowStore) -> tuple[str, list[tuple[bytes, bytes]]]:
    """A table of more rows than any batch of a scan has, some of them without the group `s`."""
    store.create("many.rows", GROUPS)
    rows = [(b"%06d" % number, b"%d" % (number * number)) for number in range(0, 30_000, 3)]
    store.put_many(
        "many.rows", ((key, {"d": value} | ({"s": b"S"} if key[-1:] == b"6" else {})) for key, value in rows)
    )
    return "many.rows", rows


def test_scans_longer_than_a_batch(store: RowStore, many: tuple[str, list[tuple[bytes, bytes]]]) -> None:
    table, rows = many
    assert [(key, cell) for key, (cell,) in store.scan(table, b"", None, ["d"])] == rows
    assert [(key, cell) for key, (cell,) in store.scan(table, b"", None, ["d"], reverse=True)] == rows[::-1]
    inner = [row for row in rows if b"000100" <= row[0] < b"029001"]
    assert [(k, c) for k, (c,) in store.scan(table, b"000100", b"029001", ["d"])] == inner
    descending = store.scan(table, b"000100", b"029001", ["d"], reverse=True)
    assert [(k, c) for k, (c,) in descending] == inner[::-1]
    assert [k for k, _ in store.scan(table, b"", None, ["s"])] == [k for k, _ in rows if k[-1:] == b"6"]
    for limit in (0, 1, 99, 100, 101, 2_000, 2_001, 9_999, 10_001):
        assert len(list(store.scan(table, b"", None, ["d"], limit=limit))) == min(limit, len(rows))
        assert len(list(store.scan(table, b"", None, ["d"], limit=limit, reverse=True))) == min(
            limit, len(rows)
        )


def test_a_scan_may_be_left_early(store: RowStore, many: tuple[str, list[tuple[bytes, bytes]]]) -> None:
    table, rows = many
    for _ in range(50):
        scan = store.scan(table, b"", None, ["d"])
        assert next(scan)[0] == rows[0][0]
        scan.close()  # type: ignore[attr-defined]


def test_a_scan_sees_rows_written_ahead_of_it(store: RowStore, table: str, space: bytes) -> None:
    store.put_many(table, [(space + b"%05d" % number, {"d": b""}) for number in range(5_000)])
    scan = store.scan(table, space, None, ["d"])
    next(scan)
    store.put_many(table, [(space + b"99999", {"d": b"late"})])
    *_, last = scan
    assert last == (space + b"99999", (b"late",))


def test_scans_of_large_rows(store: RowStore, table: str, space: bytes) -> None:
    rows = [(space + b"%03d" % number, {"d": bytes([number]) * 400_000}) for number in range(40)]
    store.put_many(table, rows)
    assert list(store.scan(table, space, None, ["d"])) == [(key, (cells["d"],)) for key, cells in rows]
    store.delete_many(table, [key for key, _ in rows])


def test_many_keys_at_once(store: RowStore, many: tuple[str, list[tuple[bytes, bytes]]]) -> None:
    table, rows = many
    keys = [key for key, _ in rows[::-3]]
    assert [cells and cells[0] for cells in store.get_many(table, keys, ["d"])] == [v for _, v in rows[::-3]]


# ---------------------------------------------------------------------- many at a time


def test_a_row_written_after_its_removal_is_there(store: RowStore, table: str, space: bytes) -> None:
    for turn in range(100):
        key = space + b"%d" % turn
        store.put_many(table, [(key, {"d": b"before", "s": b""})])
        store.delete_many(table, [key])
        store.put_many(table, [(key, {"d": b"after"})])
        assert store.get(table, key, GROUPS) == (b"after", None)
    store.delete_many(table, [key])
    assert store.check_and_put(table, key, "d", None, b"again")
    assert store.get(table, key, GROUPS) == (b"again", None)


def test_check_and_put(store: RowStore, table: str, space: bytes) -> None:
    key = space + b"k"
    assert not store.check_and_put(table, key, "d", b"0", b"1")
    assert store.check_and_put(table, key, "d", None, b"1")
    assert not store.check_and_put(table, key, "d", None, b"2")
    assert not store.check_and_put(table, key, "d", b"0", b"2")
    assert store.check_and_put(table, key, "d", b"1", b"2")
    assert store.get(table, key, GROUPS) == (b"2", None)
    # Another cell of the row is another matter.
    assert store.check_and_put(table, key, "s", None, b"s")
    # An empty cell counts as none.
    store.put_many(table, [(key, {"d": b""})])
    assert store.check_and_put(table, key, "d", None, b"3")
    store.put_many(table, [(key, {"d": b""})])
    assert store.check_and_put(table, key, "d", b"", b"4")
    assert store.get(table, key, GROUPS) == (b"4", b"s")


def test_one_of_many_wins(store: RowStore, table: str, space: bytes) -> None:
    start = threading.Barrier(8)

    def claim(number: int) -> list[bool]:
        start.wait()
        return [
            store.check_and_put(table, space + b"%d" % turn, "d", None, b"%d" % number) for turn in range(20)
        ]

    with ThreadPoolExecutor(8) as pool:
        claims = list(pool.map(claim, range(8)))
    for turn in range(20):
        winners = [number for number in range(8) if claims[number][turn]]
        assert len(winners) == 1
        assert store.get(table, space + b"%d" % turn, ["d"]) == (b"%d" % winners[0],)


def test_no_count_is_lost(store: RowStore, table: str, space: bytes) -> None:
    key = space + b"count"

    def count(_: int) -> None:
        for _turn in range(10):
            while True:
                cells = store.get(table, key, ["d"])
                before = cells[0] if cells else None
                if store.check_and_put(table, key, "d", before, b"%d" % (int(before or 0) + 1)):
                    break

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(count, range(6)))
    assert store.get(table, key, ["d"]) == (b"60",)


def test_many_threads(store: RowStore, table: str, space: bytes) -> None:
    def work(number: int) -> None:
        mine = [(space + b"%02d_%03d" % (number, turn), b"%d" % (number * turn)) for turn in range(60)]
        for key, value in mine:
            store.put_many(table, [(key, {"d": value})])
            assert store.get(table, key, GROUPS) == (value, None)
        first, after = space + b"%02d" % number, space + b"%02d`" % number
        assert [(key, cell) for key, (cell,) in store.scan(table, first, after, ["d"])] == mine
        assert store.get_many(table, [key for key, _ in mine], ["d"]) == [(value,) for _, value in mine]

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(work, range(12)))
    assert len(list(store.scan(table, space, None, ["d"]))) == 12 * 60


# ---------------------------------------------------------------------- processes


def test_a_pickled_store_opens_anew(store: RowStore, table: str, space: bytes) -> None:
    store.put_many(table, [(space + b"k", {"d": b"v"})])
    copy = pickle.loads(pickle.dumps(store))
    assert copy.get(table, space + b"k", ["d"]) == (b"v",)
    copy.close()
    assert store.get(table, space + b"k", ["d"]) == (b"v",)  # the copy's end is not the original's


def test_a_closed_store_says_so(url: str, store: RowStore, table: str) -> None:
    other = open_rows(url)
    other.tables()
    other.close()
    other.close()
    with pytest.raises(UsageError, match="closed"):
        other.get(table, b"k", ["d"])
    assert store.get(table, b"no such key", ["d"]) is None


_FORK = """
import os, sys
from sodalake.lake.rows import open_rows
rows = open_rows(sys.argv[1])
table, key = sys.argv[2], sys.argv[3].encode()
assert rows.get(table, key, ["d"]) == (b"0",)
for turn in range(5):
    child = os.fork()
    if not child:
        assert rows.get(table, key, ["d"]) == (b"%d" % turn,)
        rows.put_many(table, [(key, {"d": b"%d" % (turn + 1)})])
        rows.close()
        sys.exit(0)
    for _ in range(100):
        assert rows.get(table, key, ["d"]) in ((b"%d" % turn,), (b"%d" % (turn + 1),))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert rows.get(table, key, ["d"]) == (b"%d" % (turn + 1),)
"""


def test_a_store_outlives_a_fork(url: str, store: RowStore, table: str, space: bytes) -> None:
    key = space + b"k"
    store.put_many(table, [(key, {"d": b"0"})])
    subprocess.run([sys.executable, "-c", _FORK, url, table, key.decode()], check=True, timeout=60)
    assert store.get(table, key, ["d"]) == (b"5",)


# ---------------------------------------------------------------------- URLs


@pytest.mark.parametrize(
    "wrong",
    [
        "", "rows", "/tmp/rows", "redis://h:1/x", "lmdb:rows", "lmdb://host/rows", "lmdb:///x?y=1", "hbase://h/x",
        "hbase://h:99999/x", "hbase://h:1", "hbase://h:1/", "hbase://h:1/a.b", "hbase://h:1/a/b", "hbase://:1/x",
    ],
)  # fmt: skip
def test_urls_that_are_no_row_store(wrong: str) -> None:
    with pytest.raises(ConfigurationError):
        open_rows(wrong)


def test_settings_that_do_not_exist() -> None:
    with pytest.raises(ConfigurationError, match="colour"):
        open_rows("hbase://localhost:9090/x", colour="red")
    with pytest.raises(UsageError, match="compression"):
        open_rows("hbase://localhost:9090/x", compression="rar")


def test_a_url_may_have_spaces(tmp_path: object) -> None:
    rows = open_rows(f"lmdb://{tmp_path}/a%20lake/rows")
    rows.create("t", ["p"])
    assert rows.tables() == ["t"]
    rows.close()
    assert Path(f"{tmp_path}/a lake/rows/data.mdb").exists()
