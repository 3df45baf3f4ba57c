"""Keys: text order is time order, no object reaches into another, and what was put in comes out."""

import math
import time as clock

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sodalake.lake import keys as keys_module
from sodalake.lake.errors import Damaged, UsageError
from sodalake.lake.keys import (
    LONGEST_ID,
    TIME_LIMIT,
    alert_key,
    alert_keys,
    object_key,
    object_keys,
    object_range,
    parse_alert_key,
    parse_object_key,
    text_ids,
)

ids = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12),
    st.text("_%a0`", min_size=1, max_size=6),
    st.integers(-(2**63), 2**63 - 1).map(str),
)
times = st.one_of(
    st.floats(-1e6, 1e7),
    st.floats(2_458_000, 2_462_000),
    st.sampled_from([0.0, -0.0, -1e-11, 1e-11, -1.0, -5e-324, 0.99999999999, 2459540.9999999999, -1e6, 1e7]),
)


def test_keys_read_as_the_design_says():
    assert alert_key("1786142283715015000") == b"ba_1786142283715015000"
    assert object_key("ZTF18abc", 2459540.6, "17") == b"1a_ZTF18abc_002459540.6000000001_17"
    assert object_key("2010 JO69", 0.5, "a_b") == b"11_2010%20JO69_000000000.5000000000_a%5Fb"
    assert object_key("é", -0.25, "1") == b"3e_%C3%A9_-99999999.7500000000_1"


@given(ids)
def test_an_alert_key_gives_its_id_back(alert_id):
    assert parse_alert_key(alert_key(alert_id)) == alert_id


@given(ids, times, ids)
def test_an_object_key_gives_its_parts_back(object_id, time, alert_id):
    parts = parse_object_key(object_key(object_id, time, alert_id))
    assert parts[0] == object_id
    assert parts[2] == alert_id
    assert parts[1] == pytest.approx(time, rel=0, abs=1e-8 if time < 0 else 6e-11)


@given(st.floats(1e6, 1e7))
def test_a_julian_date_comes_back_to_the_last_bit(jd):
    assert parse_object_key(object_key("x", jd, "1"))[1] == jd


@given(ids, st.lists(times, min_size=2, max_size=20))
def test_order_of_keys_is_order_of_times(object_id, several):
    several.sort()
    keys = [object_key(object_id, time, "7") for time in several]
    assert keys == sorted(keys)
    assert len({len(key) for key in keys}) == 1


@given(st.floats(1e6, 1e7))
def test_neighbouring_julian_dates_have_different_keys(jd):
    assert object_key("x", jd, "1") < object_key("x", math.nextafter(jd, math.inf), "1")


@given(ids, ids, times, ids)
def test_a_range_holds_its_object_and_no_other(one, other, time, alert_id):
    start, stop = object_range(one)
    assert start <= object_key(one, time, alert_id) < stop
    if other != one:
        assert not start <= object_key(other, time, alert_id) < stop


@given(st.lists(st.tuples(ids, times, ids), max_size=20))
def test_columns_make_the_same_keys(rows):
    objects, moments, alerts = [list(column) for column in zip(*rows, strict=True)] or [[], [], []]
    expected = [object_key(*row) for row in rows]
    assert object_keys(objects, np.array(moments, float), alerts) == expected
    assert (
        object_keys(
            pa.array(objects, pa.string()), np.array(moments, float), pa.chunked_array([alerts], pa.string())
        )
        == expected
    )
    assert alert_keys(alerts) == [alert_key(alert_id) for alert_id in alerts]


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=10))
def test_integers_are_ids_to_the_last_digit(numbers):
    expected = [alert_key(str(number)) for number in numbers]
    assert alert_keys(np.array(numbers, np.int64)) == expected
    assert alert_keys(pa.array(numbers, pa.int64())) == expected


def test_text_ids_of_every_form_of_column():
    texts = ["a", "bc"]
    for array in (
        pa.array(texts, pa.large_string()),
        pa.array(texts).dictionary_encode(),
        pa.chunked_array([["a"], ["bc"]]),
        texts,
    ):
        assert text_ids(array).to_pylist() == texts
    with pytest.raises(UsageError, match="not double"):
        text_ids(pa.array([1.0]))


@pytest.mark.parametrize("time", [math.nan, math.inf, -math.inf, TIME_LIMIT, -TIME_LIMIT])
def test_a_time_that_has_no_place_in_the_order_is_refused(time):
    with pytest.raises(UsageError, match="time"):
        object_key("a", time, "1")
    with pytest.raises(UsageError, match="time"):
        object_keys(["a", "b"], np.array([1.0, time]), ["1", "2"])


@pytest.mark.parametrize("wrong", ["", "x" * (LONGEST_ID + 1), "é" * (LONGEST_ID // 6 + 1)])
def test_an_id_no_key_can_hold_is_refused(wrong):
    for make in (
        lambda: alert_key(wrong),
        lambda: object_range(wrong),
        lambda: object_key(wrong, 1.0, "1"),
        lambda: object_key("1", 1.0, wrong),
        lambda: alert_keys(["1", wrong]),
        lambda: object_keys(["1", wrong], np.ones(2), ["1", "2"]),
    ):
        with pytest.raises(UsageError, match=f"has {len(wrong) if wrong.isascii() else len(wrong) * 6} char"):
            make()


def test_the_longest_key_is_one_lmdb_can_hold():
    longest = "x" * LONGEST_ID
    assert len(object_key(longest, 1.0, longest)) <= 511


def test_null_ids_are_refused():
    with pytest.raises(UsageError, match="1 of 2 ids are null"):
        alert_keys(pa.array(["a", None]))


@pytest.mark.parametrize("key", [b"", b"44", b"44_1_2", b"44_%FF"])
def test_what_is_no_alert_key_is_damaged(key):
    with pytest.raises(Damaged):
        parse_alert_key(key)


@pytest.mark.parametrize("key", [b"", b"44_a_1", b"44_a_x_1", b"44_a_1.0_2_3", b"44_%FF_1.0_2"])
def test_what_is_no_object_key_is_damaged(key):
    with pytest.raises(Damaged):
        parse_object_key(key)


def test_objects_spread_over_the_salts():
    salts = [key[:2] for key in alert_keys(np.arange(1786142283715015000, 1786142283715015000 + 5120))]
    counts = np.bincount([int(salt, 16) for salt in salts], minlength=256)
    assert counts.min() > 0
    assert counts.max() < 4 * counts.mean()


def test_a_column_of_keys_is_made_quickly():
    rows = 20_000
    numbers = np.arange(rows) + 2**60
    objects = pa.array([f"ZTF18a{number % 997:06d}" for number in range(rows)])
    began = clock.process_time()
    object_keys(objects, 2_459_000 + np.arange(rows) / 7, numbers)
    assert rows / (clock.process_time() - began) > 100_000  # measured: 1.1 million a second


def test_a_range_of_time_is_sixteen_ranges_and_holds_its_ends() -> None:
    times = np.array([-5.5, 0.0, 2459540.5, 2459540.75, 2459541.0])
    ids = [str(number) for number in range(5)]
    keys = keys_module.time_keys(times, ids)
    for first, last in (
        (2459540.5, 2459540.75),
        (-6.0, 0.0),
        (-np.inf, np.inf),
        (-np.inf, 0.0),
        (2459541.0, 1e300),
    ):
        ranges = keys_module.time_ranges(first, last)
        assert len(ranges) == 16
        found = [any(start <= key < stop for start, stop in ranges) for key in keys]
        assert found == ((times >= first) & (times <= last)).tolist()
    assert keys_module.time_ranges(2.0, 1.0) == keys_module.time_ranges(1e9, np.inf) == []
    with pytest.raises(UsageError, match="not a number"):
        keys_module.time_ranges(np.nan, 1.0)


def test_no_class_reaches_into_another() -> None:
    classes = ["SN", "SN candidate", "SN_", "", "_", "é" * 300, "é" * 299 + "x", "SNx"]
    times = np.full(len(classes), 2459540.5)
    keys = keys_module.class_keys(pa.array(classes), times, [str(at) for at in range(len(classes))])
    assert max(map(len, keys)) < 511
    for klass in classes:
        wanted = keys_module.class_range(klass, 2459540.5, 2459540.5)
        assert wanted is not None
        found = {other for other, key in zip(classes, keys, strict=True) if wanted[0] <= key < wanted[1]}
        # Long ones that begin alike are told apart by their column.
        assert found == ({klass} if len(klass) < 100 else {"é" * 300, "é" * 299 + "x"})
    assert keys_module.class_range("SN", 2.0, 1.0) is None
