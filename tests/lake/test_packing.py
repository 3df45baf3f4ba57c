"""Packed rows: what goes in comes out, whatever the types, the nulls, the order and the mixture of schemas."""

import contextlib
import datetime
import math
import pickle
import time as clock

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sodalake.lake.errors import Damaged, UsageError
from sodalake.lake.packing import Packing, unified_schema, unpack
from sodalake.lake.widening import EXACT

VALUES = {
    pa.null(): st.none(),
    pa.bool_(): st.booleans(),
    pa.int8(): st.integers(-(2**7), 2**7 - 1),
    pa.int16(): st.integers(-(2**15), 2**15 - 1),
    pa.int32(): st.integers(-(2**31), 2**31 - 1),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.uint8(): st.integers(0, 2**8 - 1),
    pa.uint16(): st.integers(0, 2**16 - 1),
    pa.uint32(): st.integers(0, 2**32 - 1),
    pa.uint64(): st.integers(0, 2**64 - 1),
    pa.float32(): st.floats(width=32, allow_nan=False),
    pa.float64(): st.floats(allow_nan=False),
    pa.date32(): st.dates(),
    pa.timestamp("us"): st.datetimes(),
    pa.timestamp("ns"): st.datetimes(datetime.datetime(1700, 1, 1), datetime.datetime(2200, 1, 1)),
    pa.string(): st.text(st.characters(exclude_categories=["Cs"]), max_size=9),
}


@st.composite
def tables(draw):
    rows = draw(st.integers(0, 20))
    kinds = draw(st.lists(st.sampled_from(list(VALUES)), min_size=1, max_size=12))
    columns = {
        f"c{number}": pa.array(
            draw(st.lists(st.none() | VALUES[kind], min_size=rows, max_size=rows)), type=kind
        )
        for number, kind in enumerate(kinds)
    }
    return pa.table(columns)


@settings(max_examples=50)
@given(tables(), st.integers(0, 65535), st.integers(0, 5), st.data())
def test_what_is_packed_comes_back(table, number, skip, data):
    packing = Packing(table.schema, number)
    cells = [b"x" * skip + cell for cell in packing.pack(table)]
    assert [len(cell) >= 2 for cell in cells] == [True] * table.num_rows
    assert unpack(cells, {number: packing}, skip=skip).equals(table)
    # any columns, in any order; any rows, in any order
    names = data.draw(st.lists(st.sampled_from(table.column_names), unique=True))
    order = data.draw(st.permutations(range(table.num_rows)))
    some = unpack([cells[row] for row in order], {number: packing}, names, skip=skip)
    assert some.column_names == names
    if names:
        assert some.equals(table.select(names).take(pa.array(order, pa.int64())))


@settings(max_examples=50)
@given(tables(), st.integers(0, 8))
def test_slices_of_a_table_pack_as_the_table_does(table, first):
    packing = Packing(table.schema, 1)
    assert packing.pack(table.slice(first)) == packing.pack(table)[first:]
    chunks = pa.concat_tables([table.slice(0, first), table.slice(first)])
    assert packing.pack(chunks) == packing.pack(table)


@settings(max_examples=50)
@given(tables())
def test_a_schema_goes_through_json(table):
    packing = Packing(table.schema, 7)
    twin = Packing.from_json(packing.to_json())
    assert twin == packing
    assert twin.packs(table.schema)
    assert pickle.loads(pickle.dumps(packing)) == packing
    assert unpack(packing.pack(table), {7: twin}).equals(table)


def test_nan_and_infinity_are_not_null():
    values = [math.nan, math.inf, -math.inf, None, -0.0]
    table = pa.table({"a": pa.array(values, pa.float64()), "b": pa.array(values, pa.float32())})
    back = unpack(Packing(table.schema, 0).pack(table), {0: Packing(table.schema, 0)})
    for name in table.column_names:
        assert [str(value) for value in back[name].to_pylist()] == ["nan", "inf", "-inf", "None", "-0.0"]


def test_the_layout_is_the_one_written_down():
    schema = pa.schema(
        [
            ("flag", pa.bool_()),
            ("name", pa.string()),
            ("small", pa.int8()),
            ("id", pa.int64()),
            ("gone", pa.int16()),
        ]
    )
    table = pa.table([[True], ["né"], [-1], [2**62 + 1], pa.array([None], pa.int16())], schema=schema)
    (cell,) = Packing(schema, 0x1234).pack(table)
    assert cell == b"".join(
        (
            b"\x34\x12",  # schema number
            bytes([0b00101111]),  # flag, name, small, id have a value; gone has not; flag is true
            (2**62 + 1).to_bytes(8, "little"),
            (3).to_bytes(4, "little"),  # bytes of the name
            b"\0\0",  # gone
            b"\xff",  # small
            "né".encode(),
        )
    )


def two(one, other, columns=None):
    """Rows of two schemas, mixed, unpacked together."""
    packings = {1: Packing(one.schema, 1), 2: Packing(other.schema, 2)}
    cells = [None] * (one.num_rows + other.num_rows)
    cells[::2] = packings[1].pack(one)
    cells[1::2] = packings[2].pack(other)
    return unpack(cells, packings, columns)


def column(values, kind, *, exact=False):
    field = pa.field("x", kind, metadata={EXACT: b"1"} if exact else None)
    return pa.table([pa.array(values, kind)], schema=pa.schema([field]))


BIG = 1786142283715015001  # no double holds it


@pytest.mark.parametrize(
    ("one", "other", "kind", "values"),
    [
        (column([1], pa.int32()), column([BIG], pa.int64()), pa.int64(), [1, BIG]),
        (column([1], pa.int8()), column([2], pa.int16()), pa.int16(), [1, 2]),
        (column([200], pa.uint8()), column([-1], pa.int8()), pa.int64(), [200, -1]),
        (column([2**64 - 1], pa.uint64()), column([-1], pa.int64()), pa.string(), [str(2**64 - 1), "-1"]),
        (column([0.5], pa.float32()), column([0.1], pa.float64()), pa.float64(), [0.5, 0.1]),
        (column([3], pa.int32()), column([0.5], pa.float32()), pa.float64(), [3.0, 0.5]),
        (column([BIG], pa.int64()), column([0.5], pa.float64()), pa.string(), [str(BIG), "0.5"]),
        (column([BIG], pa.int64(), exact=True), column([17.0], pa.float64()), pa.int64(), [BIG, 17]),
        (column([0.5], pa.float32()), column([BIG], pa.int64(), exact=True), pa.int64(), [None, BIG]),
        (column([math.nan], pa.float64()), column([BIG], pa.int64(), exact=True), pa.int64(), [None, BIG]),
        (column([1e300], pa.float64()), column([BIG], pa.int64(), exact=True), pa.int64(), [None, BIG]),
        (column([2.0**60], pa.float64()), column([1], pa.int64(), exact=True), pa.int64(), [None, 1]),
        (column([-(2.0**53)], pa.float64()), column([1], pa.int64(), exact=True), pa.int64(), [-(2**53), 1]),
        (column([None], pa.null()), column([5], pa.int16()), pa.int16(), [None, 5]),
        (column(["a"], pa.string()), column([None], pa.null()), pa.string(), ["a", None]),
        (column([True], pa.bool_()), column([7], pa.int32()), pa.int32(), [1, 7]),
        (column([7], pa.int32()), column([True], pa.bool_()), pa.int32(), [7, 1]),
        (column(["a"], pa.string()), column([1.5], pa.float64()), pa.string(), ["a", "1.5"]),
    ],
)
def test_columns_of_two_schemas_widen(one, other, kind, values):
    together = two(one, other)
    assert together.schema.field("x").type == kind
    assert together["x"].to_pylist() == values
    assert two(other, one)["x"].to_pylist() == values[::-1]


def test_times_of_two_units_meet_in_microseconds():
    moment = datetime.datetime(2021, 11, 22, 2, 24, 53, 633)
    together = two(column([moment], pa.timestamp("ns")), column([moment], pa.timestamp("us")))
    assert together["x"].to_pylist() == [moment, moment]
    assert together.schema.field("x").type == pa.timestamp("us")


def test_schemas_are_joined_by_name_and_rows_keep_their_order():
    one = pa.table({"id": [1, 2], "old": ["a", "b"]})
    other = pa.table({"new": [1.5, 2.5], "id": [3, 4]})
    together = two(one, other)
    assert together.column_names == ["id", "old", "new"]
    assert together.to_pydict() == {
        "id": [1, 3, 2, 4],
        "old": ["a", None, "b", None],
        "new": [None, 1.5, None, 2.5],
    }
    assert two(one, other, ["new", "nowhere"]).to_pydict() == {
        "new": [None, 1.5, None, 2.5],
        "nowhere": [None] * 4,
    }


def test_a_column_nobody_has_is_null():
    table = pa.table({"a": [1, 2]})
    back = unpack(Packing(table.schema, 1).pack(table), {1: Packing(table.schema, 1)}, ["b", "a"])
    assert back.to_pydict() == {"b": [None, None], "a": [1, 2]}
    assert back.schema.field("b").type == pa.null()


def test_no_rows_have_the_schema_of_all_packings():
    one, other = pa.schema([("a", pa.int32())]), pa.schema([("a", pa.int64()), ("b", pa.string())])
    empty = unpack([], {1: Packing(one, 1), 2: Packing(other, 2)})
    assert empty.num_rows == 0
    assert empty.schema == pa.schema([("a", pa.int64()), ("b", pa.string())])
    assert unified_schema([Packing(one, 1), Packing(other, 2)], ["b"]) == pa.schema([("b", pa.string())])


@settings(max_examples=50)
@given(tables().filter(lambda table: table.num_rows > 0), st.data())
def test_a_row_of_the_wrong_length_is_damaged(table, data):
    packing = Packing(table.schema, 3)
    cells = packing.pack(table)
    row = data.draw(st.integers(0, len(cells) - 1))
    cut = data.draw(st.integers(0, len(cells[row]) - 1))
    cells[row] = data.draw(st.sampled_from([cells[row][:cut], cells[row] + b"!"]))
    with pytest.raises(Damaged):
        unpack(cells, {3: packing})


@settings(max_examples=50)
@given(tables().filter(lambda table: table.num_rows > 0), st.data())
def test_damaged_bytes_never_reach_beyond_the_row(table, data):
    packing = Packing(table.schema, 3)
    cells = packing.pack(table)
    row = data.draw(st.integers(0, len(cells) - 1))
    broken = bytearray(cells[row])
    broken[data.draw(st.integers(0, len(broken) - 1))] ^= data.draw(st.integers(1, 255))
    cells[row] = bytes(broken)
    with contextlib.suppress(Damaged):
        unpack(cells, {3: packing}).validate()


def test_a_schema_the_lake_does_not_know_is_said():
    table = pa.table({"a": [1]})
    with pytest.raises(Damaged, match="schema 9, which this lake does not know"):
        unpack(Packing(table.schema, 9).pack(table), {1: Packing(table.schema, 1)})


def test_another_table_is_refused():
    packing = Packing(pa.schema([("a", pa.int64())]), 1)
    with pytest.raises(UsageError, match="a, b differ"):
        packing.pack(pa.table({"b": [1]}))


@pytest.mark.parametrize(
    ("schema", "number", "said"),
    [
        (pa.schema([("a", pa.int64())]), 65536, "0 to 65535"),
        (pa.schema([("a", pa.int64())]), -1, "0 to 65535"),
        (pa.schema([("a", pa.list_(pa.int64()))]), 1, "Column a is list"),
        (pa.schema([("a", pa.binary())]), 1, "Column a is binary"),
        (pa.schema([("a", pa.int64()), ("a", pa.int64())]), 1, "same name"),
    ],
)
def test_what_cannot_be_packed_is_refused(schema, number, said):
    with pytest.raises(UsageError, match=said):
        Packing(schema, number)


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[1]", '{"number": 1, "columns": [["a", "complex"]]}', '{"number": 99999, "columns": []}'],
)
def test_a_stored_schema_that_cannot_be_read_is_damaged(text):
    with pytest.raises(Damaged):
        Packing.from_json(text)


def test_exactness_is_part_of_the_schema():
    plain, exact = column([1], pa.int64()).schema, column([1], pa.int64(), exact=True).schema
    packing = Packing(exact, 1)
    assert packing.packs(exact)
    assert not packing.packs(plain)
    assert Packing.from_json(packing.to_json()).packs(exact)
    assert packing.pack(column([1], pa.int64()))  # what goes in need not carry the mark


def test_fourteen_rows_of_many_columns_are_quick():
    rng = np.random.default_rng(1)
    columns = {f"f{n}": rng.normal(size=14).astype("f4") for n in range(100)}
    columns |= {f"d{n}": rng.normal(size=14) for n in range(20)}
    columns |= {f"t{n}": [f"text {n}"] * 14 for n in range(10)}
    table = pa.table(columns)
    packing = Packing(table.schema, 1)
    cells = packing.pack(table)
    best = min(_seconds(lambda: unpack(cells, {1: packing})) for _ in range(20))
    assert best < 0.005  # measured: 0.6 ms on an idle core
    few = min(_seconds(lambda: unpack(cells, {1: packing}, ["f3", "d1"])) for _ in range(20))
    assert few < best / 2


def _seconds(work):
    began = clock.process_time()
    work()
    return clock.process_time() - began
