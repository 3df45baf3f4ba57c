"""Nested alerts to flat columns, on real files of every year and on columns no real file has yet."""

import datetime
import decimal
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sodalake.lake.errors import UsageError
from sodalake.lake.flatten import Skipped, essentials, flatten, needed_columns
from sodalake.lake.keys import object_keys, parse_object_key
from sodalake.lake.packing import Packing, unpack
from sodalake.lake.survey import load_survey, parse_survey
from sodalake.lake.widening import EXACT

ZTF = load_survey("ztf")
LSST = load_survey("lsst")

TINY = parse_survey("""
name = "tiny"
title = "t"
description = "d"
facility = "f"
instrument = "i"
ids.alert = "id"
ids.alert_name = "id"
ids.object = "s.obj"
ids.object_name = "obj"
ids.object_otherwise = [{ path = "s.other" }, { path = "m.name" }]
time = { path = "s.t", scale = "mjd_tai", name = "t" }
position = { ra = "s.ra", dec = "s.dec" }
stamps = { kinds = { science = "cut.data" }, format = "fits", pixel_scale = 1, has_wcs = false }
naming = { bare = ["s", ""] }
leave_out = ["cut.file", "secret"]
[columns]
"id" = { datatype = "long", description = "x" }
"s.t" = { datatype = "double", description = "x" }
"s.flag" = { datatype = "boolean", description = "x" }
"s.when" = { datatype = "timestamp", description = "x" }
"s.small" = { datatype = "int", description = "x" }
"s.single" = { datatype = "float", description = "x" }
"m.name" = { datatype = "char", description = "x" }
"m.deep.x" = { description = "x" }
""")


def parquet_files(real_alerts, survey):
    return sorted(real_alerts.glob(f"{survey}_*/*.parquet"))


def one(column):
    """A table of one struct `s` with one field `x`, flattened."""
    return flatten(pa.table({"s": pa.StructArray.from_arrays([column], ["x"])}), TINY)


@pytest.mark.parametrize(("name", "survey"), [("ztf", ZTF), ("lsst", LSST)])
def test_real_files_become_scalar_columns(real_alerts, name, survey):
    files = parquet_files(real_alerts, name)
    assert files
    for path in files:
        file = pq.ParquetFile(path)
        columns = needed_columns(file.schema_arrow, survey)
        assert not any("cutout" in column or "prv" in column for column in columns)
        nested = file.read(columns=columns)
        flat = flatten(nested, survey)
        assert flat.num_rows == nested.num_rows
        assert not any(
            pa.types.is_nested(field.type) or pa.types.is_binary(field.type) for field in flat.schema
        )
        packing = Packing(flat.schema, 1)  # its bytes compare NaN with NaN
        assert packing.pack(flat) == packing.pack(flatten(file.read(), survey)), "stamps make no difference"
        for field in flat.schema:
            column = survey.column_named(field.name)
            assert column is not None
            if column.datatype == "long":
                assert field.type == pa.int64()
                assert EXACT in flat.schema.field(field.name).metadata


@pytest.mark.parametrize(("name", "survey"), [("ztf", ZTF), ("lsst", LSST)])
def test_values_are_those_of_the_file(real_alerts, name, survey):
    for path in parquet_files(real_alerts, name)[:6]:
        nested = pq.read_table(path)
        rows = nested.to_pylist()
        flat = flatten(nested, survey).to_pylist()
        for struct in ("candidate", "diaSource", "diaObject", "ssSource", "xm"):
            for row, made in zip(rows, flat, strict=True):
                for key, value in (row.get(struct) or {}).items():
                    assert str(made[survey.flat_name(f"{struct}.{key}")]) == str(value)


def test_files_of_all_years_pack_and_unpack_as_one(real_alerts):
    packings, cells, ids = {}, [], []
    for path in parquet_files(real_alerts, "ztf"):
        flat = flatten(pq.read_table(path), ZTF)
        known = next((p for p in packings.values() if p.packs(flat.schema)), None)
        packing = known or Packing(flat.schema, len(packings))
        packings[packing.number] = packing
        cells += packing.pack(flat)
        ids += flat["candid"].to_pylist()
    assert len(packings) >= 3, "schemas differ from year to year"
    rows = unpack(cells, packings)
    assert rows["candid"].to_pylist() == ids
    assert rows.schema.field("candid").type == pa.int64()
    assert rows.schema.field("timestamp").type == pa.timestamp("us")
    assert rows.schema.field("magpsf").type == pa.float64()  # one year's writer made doubles
    assert rows.schema.field("fid").type == pa.int64()
    assert rows.schema.field("tracklet").type == pa.string()
    few = unpack(cells, packings, ["objectId", "jd", "anomaly_score"])
    assert few.select(["objectId", "jd"]).equals(rows.select(["objectId", "jd"]))
    assert str(few["anomaly_score"].to_pylist()) == str(rows["anomaly_score"].to_pylist())


def test_files_with_the_same_columns_in_another_order_have_one_schema(real_alerts):
    (path,) = (real_alerts / "ztf_fink_utils").glob("*.parquet")
    table = pq.read_table(path)
    turned = table.select(table.column_names[::-1])
    assert flatten(turned, ZTF).schema.equals(flatten(table, ZTF).schema, check_metadata=True)


def test_ids_times_and_positions_of_real_ztf_alerts(real_alerts):
    for path in parquet_files(real_alerts, "ztf"):
        table = pq.read_table(path)
        about = essentials(table, ZTF)
        assert about.keep.all()
        assert about.skipped == ()
        rows = table.to_pylist()
        assert about.alert_ids.to_pylist() == [str(row["candid"]) for row in rows]
        assert about.object_ids.to_pylist() == [row["objectId"] for row in rows]
        assert about.times.tolist() == [row["candidate"]["jd"] for row in rows]
        assert about.ra.tolist() == [row["candidate"]["ra"] for row in rows]
        keys = object_keys(about.object_ids, about.times, about.alert_ids)
        assert [parse_object_key(key)[1] for key in keys] == about.times.tolist()


def test_a_rubin_alert_of_a_solar_system_object_has_that_objects_id(real_alerts):
    solar = 0
    for path in parquet_files(real_alerts, "lsst"):
        table = pq.read_table(path)
        about = essentials(table, LSST)
        assert about.keep.all()
        for row, object_id in zip(table.to_pylist(), about.object_ids.to_pylist(), strict=True):
            source = row["diaSource"]
            solar += source["diaObjectId"] == 0
            assert object_id == str(source["diaObjectId"] or source["ssObjectId"])
    assert solar > 10


def tiny(**columns):
    """A table of survey TINY; what is not given is well."""
    given = {"id": pa.array([1, 2]), "obj": pa.array(["a", "b"]), "t": pa.array([1.5, 2.5])}
    given |= {"ra": pa.array([10.0, 20.0]), "dec": pa.array([1.0, -1.0])} | columns
    alert = given.pop("id")
    struct = pa.StructArray.from_arrays(list(given.values()), list(given))
    return pa.table({"id": alert, "s": struct})


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"id": pa.array([None, 2])}, "no alert id (id is null or empty)"),
        ({"id": pa.array([0, 2])}, "no alert id (id is null or empty)"),
        ({"id": pa.array(["", "2"])}, "no alert id (id is null or empty)"),
        ({"id": pa.array([math.nan, 2.0])}, "no alert id (id is null or empty)"),
        ({"id": pa.array([1786142283715015001.0, 2.0])}, "id is a float that has lost digits"),
        ({"id": pa.array([1.5, 2.0])}, "id is a float that has lost digits"),
        ({"obj": pa.array([None, "b"])}, "no object id (s.obj is null or empty)"),
        ({"t": pa.array([None, 1.0])}, "no time (s.t is null or NaN)"),
        ({"t": pa.array([math.nan, 1.0])}, "no time (s.t is null or NaN)"),
        ({"t": pa.array([math.inf, 1.0])}, "time out of range (s.t)"),
        ({"t": pa.array([-1e9, 1.0])}, "time out of range (s.t)"),
        ({"obj": pa.array(["x" * 300, "b"])}, "an id longer than 200 bytes"),
        ({"obj": pa.array(["é" * 60, "b"])}, "an id longer than 200 bytes"),
    ],
)
def test_a_row_without_keys_is_skipped_with_the_reason(columns, reason):
    about = essentials(tiny(**columns), TINY)
    assert about.keep.tolist() == [False, True]
    assert about.skipped == (Skipped(0, reason),)
    assert about.summary() == {reason: 1}
    assert about.alert_ids.to_pylist()[1] == "2"


def test_a_row_has_one_reason_and_skipped_rows_are_in_order():
    about = essentials(tiny(id=pa.array([None, None]), t=pa.array([None, 1.0])), TINY)
    assert [skipped.row for skipped in about.skipped] == [0, 1]
    assert about.summary() == {"no alert id (id is null or empty)": 2}


def test_a_long_id_that_a_key_can_hold_is_kept():
    about = essentials(tiny(obj=pa.array(["x" * 200, "é" * 33])), TINY)
    assert about.keep.all()


def test_a_place_that_is_null_is_not_a_reason_to_skip():
    about = essentials(tiny(ra=pa.array([None, 20.0])), TINY)
    assert about.keep.all()
    assert np.isnan(about.ra).tolist() == [True, False]


def test_an_objects_id_is_looked_for_in_turn():
    table = tiny(obj=pa.array([None, "b"]), other=pa.array([0, 7]))
    assert essentials(table, TINY).object_ids.to_pylist() == [None, "b"]
    names = pa.array([[("name", "n0")], []], pa.map_(pa.string(), pa.string()))
    about = essentials(table.append_column("m", names), TINY)
    assert about.object_ids.to_pylist() == ["n0", "b"]
    without = pa.table(
        {"id": table["id"], "m": names, "s": pa.array([{"t": 1.0, "ra": 1.0, "dec": 1.0}] * 2)}
    )
    assert essentials(without, TINY).object_ids.to_pylist() == ["n0", None]


def test_a_null_struct_has_null_columns():
    table = tiny()
    struct = table["s"].combine_chunks()
    hidden = pa.StructArray.from_arrays(
        struct.flatten(), fields=list(struct.type), mask=pa.array([True, False])
    )
    table = table.set_column(1, "s", hidden)
    assert flatten(table, TINY)["ra"].to_pylist() == [None, 20.0]
    assert essentials(table, TINY).summary() == {"no object id (s.obj is null or empty)": 1}


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("id", "no column id, where survey tiny has its alert id"),
        ("s", "no column s.obj, where survey tiny has its object id"),
    ],
)
def test_a_file_of_another_survey_is_named(path, said):
    with pytest.raises(UsageError, match=said):
        essentials(tiny().drop_columns([path]), TINY)
    with pytest.raises(UsageError, match="No column of this file"):
        flatten(pa.table({"l": [[1]]}), TINY)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"t": pa.array(["x", "y"])}, "s.t is string, which is not a number"),
        ({"id": pa.array([True, False])}, "An id is an integer or text, not bool"),
    ],
)
def test_a_column_of_an_impossible_type_is_named(columns, said):
    with pytest.raises(UsageError, match=said):
        essentials(tiny(**columns), TINY)


MOMENT = datetime.datetime(2021, 11, 22, 2, 24, 53, 633)


@pytest.mark.parametrize(
    ("column", "kind", "value"),
    [
        (pa.array(["a"], pa.large_string()), pa.string(), "a"),
        (pa.array(["a"], pa.string_view()), pa.string(), "a"),
        (pa.array(["a"]).dictionary_encode(), pa.string(), "a"),
        (pa.array([2]).dictionary_encode(), pa.int64(), 2),
        (pa.array([MOMENT], pa.timestamp("ns")), pa.timestamp("us"), MOMENT),
        (pa.array([MOMENT], pa.timestamp("us", "Europe/Paris")), pa.timestamp("us"), MOMENT),
        (
            pa.array([MOMENT.replace(microsecond=0)], pa.timestamp("s")),
            pa.timestamp("us"),
            MOMENT.replace(microsecond=0),
        ),
        (pa.array([MOMENT.date()], pa.date64()), pa.date32(), MOMENT.date()),
        (pa.array([MOMENT.time()], pa.time64("us")), pa.string(), "02:24:53.000633"),
        (pa.array([datetime.timedelta(seconds=1)], pa.duration("s")), pa.int64(), 1),
        (pa.array([decimal.Decimal("1.25")]), pa.float64(), 1.25),
        (pa.array(np.array([0.5], np.float16)), pa.float32(), 0.5),
        (pa.array([200], pa.uint8()), pa.uint8(), 200),
        (pa.array([True]), pa.bool_(), True),
        (pa.array([None]), pa.null(), None),
    ],
)
def test_every_form_of_scalar_has_one_form(column, kind, value):
    flat = one(column)
    assert flat.column_names == ["x"]
    assert flat.schema.field("x").type == kind
    assert flat["x"].to_pylist() == [value]
    packing = Packing(flat.schema, 1)
    assert unpack(packing.pack(flat), {1: packing}).equals(flat)


@pytest.mark.parametrize(
    ("field", "column", "kind", "values"),
    [
        ("flag", pa.array([1, 0, None], pa.int8()), pa.bool_(), [True, False, None]),
        ("flag", pa.array(["true", "false", None]), pa.bool_(), [True, False, None]),
        ("flag", pa.array(["perhaps", "", None]), pa.string(), ["perhaps", "", None]),
        ("when", pa.array(["2026-03-10 03:29:05.55503", None, "2026-03-10T03:29:05"]), pa.timestamp("us"),
         [datetime.datetime(2026, 3, 10, 3, 29, 5, 555030), None, datetime.datetime(2026, 3, 10, 3, 29, 5)]),
        ("when", pa.array(["yesterday"]), pa.string(), ["yesterday"]),
        ("small", pa.array([1, 2], pa.int64()), pa.int32(), [1, 2]),
        ("small", pa.array([1, 2**40], pa.int64()), pa.int64(), [1, 2**40]),
        ("single", pa.array([0.1]), pa.float64(), [0.1]),  # a double would lose digits
        ("single", pa.array([1, 2], pa.int8()), pa.float32(), [1.0, 2.0]),
    ],
)  # fmt: skip
def test_a_declared_type_is_taken_where_nothing_is_lost(field, column, kind, values):
    table = pa.table({"s": pa.StructArray.from_arrays([column], [field])})
    flat = flatten(table, TINY)
    assert flat.schema.field(field).type == kind
    assert flat[field].to_pylist() == values


@pytest.mark.parametrize(
    ("column", "kind", "values"),
    [
        (pa.array([1, 2], pa.int32()), pa.int64(), [1, 2]),
        (pa.array([17.0, math.nan, None]), pa.int64(), [17, None, None]),
        (pa.array([2.0**60]), pa.float64(), [2.0**60]),
        (pa.array([0.5]), pa.float64(), [0.5]),
        (pa.array(["17"]), pa.int64(), [17]),
    ],
)
def test_an_id_column_becomes_an_integer_only_where_it_is_one(column, kind, values):
    flat = flatten(pa.table({"id": column}), TINY)
    assert flat.schema.field("id").type == kind
    assert flat["id"].to_pylist() == values
    assert (flat.schema.field("id").metadata is not None) == (kind == pa.int64())


def test_lists_stamps_binaries_and_what_is_left_out_are_not_carried():
    table = pa.table(
        {
            "id": [1],
            "cut": [{"data": b"fits", "file": "name", "size": 4}],
            "history": [[{"t": 1.0}]],
            "blob": [b"x"],
            "fixed": pa.array([b"ab"], pa.binary(2)),
            "dictionary": pa.array([b"ab"]).dictionary_encode(),
            "secret": [{"a": 1, "b": {"c": 2}}],
            "deep": [{"er": {"x": 5, "list": [1]}}],
            "unlisted": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())),
        }
    )
    assert needed_columns(table.schema, TINY) == ["id", "cut.size", "deep.er.x"]
    assert flatten(table, TINY).to_pydict() == {"id": [1], "cut_size": [4], "deep_er_x": [5]}


def test_listed_keys_of_a_map_are_columns():
    kind = pa.map_(pa.string(), pa.string())
    table = pa.table({"id": [1, 2, 3], "m": pa.array([[("name", "a"), ("extra", "b")], [], None], kind)})
    assert needed_columns(table.schema, TINY) == ["id", "m"]
    flat = flatten(table, TINY)
    assert flat["m_name"].to_pylist() == ["a", None, None]
    # the same path, where another year's writer made a struct
    struct = pa.table({"id": [1], "m": [{"name": "a", "deep": {"x": 1}}]})
    assert flatten(struct, TINY).to_pydict() == {"id": [1], "m_name": ["a"], "m_deep_x": [1]}


def test_unlisted_columns_keep_apart():
    table = pa.table({"id": [1], "a": [{"b_c": 1}], "a_b": [{"c": 2}], "A_B_C": [3], "s": [{"ID": 4}]})
    assert flatten(table, TINY).to_pydict() == {
        "id": [1], "a_b_c": [1], "a_b_c_": [2], "A_B_C__": [3], "s_ID": [4],
    }  # fmt: skip


def test_no_rows_flatten_too():
    empty = tiny().slice(0, 0)
    assert flatten(empty, TINY).num_rows == 0
    assert essentials(empty, TINY).keep.shape == (0,)
