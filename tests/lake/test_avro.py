"""Avro to Parquet: every record as it was, every stamp its own bytes, and damage said with its place."""

import contextlib
import datetime
import decimal
import io
import random
import uuid

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sodalake.lake.avro import arrow_schema, avro_files_to_parquet, avro_to_parquet
from sodalake.lake.errors import Damaged, UsageError
from sodalake.lake.flatten import essentials, flatten
from sodalake.lake.survey import load_survey

FILES = [
    "ztf_fink_client/ZTF19acihgng.avro",
    "ztf_fink_client/part-3-305711.avro",
    "lsst_fink_client/part-2-918301.avro",
]


def written(schema, records, **options):
    sink = io.BytesIO()
    fastavro.writer(sink, schema, records, **options)
    return sink.getvalue()


def converted(content, **options):
    sink = io.BytesIO()
    done = avro_to_parquet(io.BytesIO(content), sink, **options)
    return done, pq.ParquetFile(io.BytesIO(sink.getvalue()))


def record(*fields):
    return {
        "type": "record",
        "name": "alert",
        "fields": [{"name": name, "type": kind} for name, kind in fields],
    }


def same(avro, arrow):
    """Whether an Avro record's value is the Parquet row's: maps are pairs there, and NaN is NaN."""
    if isinstance(avro, dict):
        pairs = dict(arrow)
        return avro.keys() == pairs.keys() and all(same(avro[key], pairs[key]) for key in avro)
    if isinstance(avro, list):
        return len(avro) == len(arrow) and all(map(same, avro, arrow))
    return avro == arrow or (avro != avro and arrow != arrow)


@pytest.mark.parametrize("name", FILES)
def test_real_records_are_as_they_were(real_alerts, name):
    content = (real_alerts / name).read_bytes()
    records = list(fastavro.reader(io.BytesIO(content)))
    done, parquet = converted(content)
    assert done.rows == len(records)
    for before, after in zip(records, parquet.read().to_pylist(), strict=True):
        assert same(before, after)


@pytest.mark.parametrize("name", FILES)
def test_a_real_stamp_is_its_own_bytes_in_the_file(real_alerts, name):
    survey = load_survey("lsst" if name.startswith("lsst") else "ztf")
    content = (real_alerts / name).read_bytes()
    sink = io.BytesIO()
    avro_to_parquet(io.BytesIO(content), sink)
    for before in fastavro.reader(io.BytesIO(content)):
        for path in survey.stamps.kinds.values():
            stamp = before
            for part in path.split("."):
                stamp = stamp[part]
            assert stamp in sink.getvalue()
    metadata = pq.ParquetFile(io.BytesIO(sink.getvalue())).metadata.row_group(0)
    for number in range(metadata.num_columns):
        column = metadata.column(number)
        is_stamp = column.path_in_schema in survey.stamps.kinds.values()
        assert (column.compression == "UNCOMPRESSED") == is_stamp
        assert not (is_stamp and column.has_dictionary_page)


def test_every_real_file_becomes_rows_of_its_survey(real_alerts):
    files = sorted(real_alerts.glob("*/*.avro"))
    assert len(files) >= 8
    for path in files:
        survey = load_survey("lsst" if path.parent.name.startswith("lsst") else "ztf")
        _, parquet = converted(path.read_bytes())
        table = parquet.read()
        assert essentials(table, survey).keep.all()
        flat = flatten(table, survey)
        assert all(survey.column_named(name) for name in flat.column_names)


TYPES = [
    ("null", [None], pa.null()),
    ("boolean", [True], pa.bool_()),
    ("int", [-5], pa.int32()),
    ("long", [2**62 + 1], pa.int64()),
    ("float", [0.5], pa.float32()),
    ("double", [0.1], pa.float64()),
    ("bytes", [b"\0\xff"], pa.binary()),
    ("string", ["é"], pa.string()),
    (["null", "long"], [None, 7], pa.int64()),
    (["long", "null"], [None, 7], pa.int64()),
    (["null"], [None], pa.null()),
    (["null", "int", "long"], [None, 1, 2**40], pa.int64()),
    (["float", "null", "double"], [None, 0.5], pa.float64()),
    (["int", "double"], [1, 0.5], pa.float64()),
    ({"type": "fixed", "name": "four", "size": 4}, [b"abcd"], pa.binary()),
    ({"type": "enum", "name": "band", "symbols": ["g", "r"]}, ["r"], pa.string()),
    ({"type": "array", "items": ["null", "double"]}, [[1.0, None], []], pa.list_(pa.field("element", pa.float64()))),
    ({"type": "string"}, ["nested"], pa.string()),
    ({"type": "long", "logicalType": "unheard-of"}, [3], pa.int64()),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "values", "arrow"), TYPES)
def test_each_type_has_its_place(kind, values, arrow):
    content = written(record(("x", kind)), [{"x": value} for value in values])
    assert arrow_schema(io.BytesIO(content)) == pa.schema([("x", arrow)])
    _, parquet = converted(content)
    assert parquet.read()["x"].to_pylist() == values


def test_numbers_that_share_no_type_become_text_and_lose_nothing():
    big = 2**60 + 1
    content = written(
        record(("x", ["null", "long", "double", "string"])), [{"x": v} for v in (big, 0.5, "a", None)]
    )
    _, parquet = converted(content)
    assert parquet.read()["x"].to_pylist() == [str(big), "0.5", "a", None]
    content = written(record(("x", ["long", "double"])), [{"x": big}, {"x": 0.5}])
    assert converted(content)[1].read()["x"].to_pylist() == [str(big), "0.5"]


def test_maps_unions_of_records_and_named_types():
    point = {"type": "record", "name": "sky.point", "fields": [{"name": "ra", "type": "double"}]}
    schema = record(
        ("at", point),
        ("before", ["null", "sky.point"]),
        ("all", {"type": "array", "items": "sky.point"}),
        ("named", {"type": "map", "values": ["null", "sky.point"]}),
        ("counts", {"type": "map", "values": "int"}),
        ("mixed", ["null", "string", "sky.point", "bytes"]),
        ("nothing", {"type": "record", "name": "empty", "fields": []}),
        (
            "when",
            {"type": "map", "values": {"type": "array", "items": {"type": "string", "logicalType": "uuid"}}},
        ),
    )
    number = uuid.UUID(int=5)
    rows = [
        {"at": {"ra": 1.0}, "before": None, "all": [], "named": {}, "counts": {"a": 1}, "mixed": {"ra": 2.0}},
        {"at": {"ra": 3.0}, "before": {"ra": 4.0}, "all": [{"ra": 5.0}], "named": {"x": None, "y": {"ra": 6.0}},
         "counts": {}, "mixed": b"\xe9"},
    ]  # fmt: skip
    rows = [row | {"nothing": {}, "when": {"k": [number]}} for row in rows]
    got = converted(written(schema, rows))[1].read().to_pylist()
    assert got[0]["mixed"] == '{"ra": 2.0}'
    assert got[1]["mixed"] == "é"
    assert got[1]["named"] == [("x", None), ("y", {"ra": 6.0})]
    assert got[1]["all"] == [{"ra": 5.0}]
    assert got[1]["before"] == {"ra": 4.0}
    assert got[0]["counts"] == [("a", 1)]
    assert got[0]["when"] == [("k", [str(number)])]
    assert "nothing" not in got[0]


MOMENT = datetime.datetime(2021, 11, 22, 2, 24, 53, 633000)
UTC = MOMENT.replace(tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("kind", "logical", "value", "arrow"),
    [
        ("long", "timestamp-millis", UTC, pa.timestamp("ms", "UTC")),
        ("long", "timestamp-micros", UTC, pa.timestamp("us", "UTC")),
        ("long", "local-timestamp-millis", MOMENT, pa.timestamp("ms")),
        ("long", "local-timestamp-micros", MOMENT, pa.timestamp("us")),
        ("int", "date", MOMENT.date(), pa.date32()),
        ("int", "time-millis", MOMENT.time(), pa.time32("ms")),
        ("long", "time-micros", MOMENT.time(), pa.time64("us")),
    ],
)
def test_logical_types(kind, logical, value, arrow):
    content = written(
        record(("x", ["null", {"type": kind, "logicalType": logical}])), [{"x": value}, {"x": None}]
    )
    assert arrow_schema(io.BytesIO(content)).field("x").type == arrow
    assert converted(content)[1].read()["x"].to_pylist() == [value, None]


def test_nanoseconds_and_decimals():
    number = {"type": "bytes", "logicalType": "decimal", "precision": 8, "scale": 2}
    content = written(
        record(("t", {"type": "long", "logicalType": "timestamp-nanos"}), ("n", number)),
        [{"t": 1_637_547_893_633_000_001, "n": decimal.Decimal("12.25")}],
    )
    table = converted(content)[1].read()
    assert table["t"].cast(pa.int64()).to_pylist() == [1_637_547_893_633_000_001]
    assert table["n"].to_pylist() == [decimal.Decimal("12.25")]


SIMPLE = record(("id", "long"), ("name", ["null", "string"]), ("stamp", "bytes"))


def simple(rows):
    return [{"id": row, "name": f"n{row}", "stamp": b"s" * 100} for row in range(rows)]


@pytest.mark.parametrize("codec", ["null", "deflate", "snappy"])
@pytest.mark.parametrize("rows", [0, 1, 127, 128, 129, 700])
def test_any_number_of_records_in_any_codec(codec, rows):
    done, parquet = converted(written(SIMPLE, simple(rows), codec=codec))
    assert done.rows == rows
    assert done.rows_of == (rows,)
    assert parquet.metadata.num_row_groups == done.row_groups == (1 if rows else 0)
    assert parquet.read().to_pylist() == simple(rows)


def test_row_groups_are_bounded():
    done, parquet = converted(written(SIMPLE, simple(2000)), row_group_bytes=40_000)
    assert done.row_groups > 4
    sizes = [parquet.metadata.row_group(n).total_byte_size for n in range(done.row_groups)]
    assert max(sizes) < 80_000
    assert parquet.read()["id"].to_pylist() == list(range(2000))


class Tape(io.RawIOBase):
    """A raw file that can be read forward only, and tells how far it was read."""

    def __init__(self, content):
        self.content, self.position, self.reads = content, 0, 0

    def readable(self):
        return True

    def readinto(self, buffer):
        part = self.content[self.position : self.position + len(buffer)]
        buffer[: len(part)] = part
        self.position += len(part)
        self.reads += 1
        return len(part)


def test_a_raw_file_is_read_in_large_pieces_and_left_open():
    tape = Tape(written(SIMPLE, simple(20_000)))
    assert avro_to_parquet(tape, io.BytesIO()).rows == 20_000
    assert tape.reads < 10
    assert not tape.closed


def test_records_become_row_groups_while_the_rest_is_unread():
    tape = Tape(written(SIMPLE, simple(60_000)))
    positions = []

    class Sink(io.BytesIO):
        def write(self, data):
            positions.append(tape.position)
            return super().write(data)

    avro_to_parquet(tape, Sink(), row_group_bytes=200_000)
    assert len(tape.content) > 5_000_000
    assert sum(position < len(tape.content) // 2 for position in positions) > 5


def test_many_files_make_one():
    one, other = written(SIMPLE, simple(3)), written(SIMPLE, simple(2), codec="deflate")
    sink = io.BytesIO()
    done = avro_files_to_parquet([("one", io.BytesIO(one)), ("other", io.BytesIO(other))], sink)
    assert done.rows_of == (3, 2)
    assert done.row_groups == 1
    assert pq.read_table(io.BytesIO(sink.getvalue())).to_pylist() == simple(3) + simple(2)


def test_files_of_two_schemas_do_not_mix():
    other = written(record(("id", "string")), [{"id": "a"}])
    with pytest.raises(UsageError, match="second has another schema"):
        avro_files_to_parquet(
            [("first", io.BytesIO(written(SIMPLE, simple(1)))), ("second", io.BytesIO(other))], io.BytesIO()
        )
    with pytest.raises(UsageError, match="no Avro file"):
        avro_files_to_parquet([], io.BytesIO())


def test_records_that_hold_themselves_are_refused():
    schema = record(("id", "long"), ("next", ["null", "alert"]))
    with pytest.raises(UsageError, match="contains itself"):
        avro_to_parquet(io.BytesIO(written(schema, [{"id": 1, "next": None}])), io.BytesIO())


def test_what_is_no_record_is_refused():
    with pytest.raises(UsageError, match="does not hold records, but int64"):
        avro_to_parquet(io.BytesIO(written("long", [1, 2])), io.BytesIO())


@pytest.mark.parametrize("content", [b"", b"Obj", b"PAR1" * 100, b"Obj\x01" + b"\xff" * 50])
def test_what_is_no_avro_is_said(content):
    with pytest.raises(Damaged, match=r"night\.avro is not an Avro file, or its header is damaged"):
        avro_to_parquet(io.BytesIO(content), io.BytesIO(), name="night.avro")


def test_a_file_that_was_cut_off_says_how_many_records_it_had(real_alerts):
    content = (real_alerts / "ztf_fink_client" / "part-3-305711.avro").read_bytes()
    for share, records in ((0.5, range(10, 31)), (0.99, range(29, 32))):
        with pytest.raises(Damaged) as caught:
            converted(content[: int(len(content) * share)])
        said = int(caught.value.message.split(" after ")[1].split(" records")[0])
        assert said in records


@settings(max_examples=40)
@given(st.integers(1, 10_000), st.sampled_from(["null", "deflate", "snappy"]))
def test_a_cut_is_never_taken_for_the_end(cut, codec):
    content = written(SIMPLE, simple(90), codec=codec, sync_interval=2000)
    ends = {len(written(SIMPLE, [], codec=codec))}
    blocks = fastavro.block_reader(io.BytesIO(content))
    ends |= {block.offset + block.size for block in blocks}
    cut %= len(content)
    if cut not in ends:
        with pytest.raises(Damaged):
            converted(content[:cut])


def test_records_without_fields() -> None:
    with pytest.raises(UsageError, match="no fields"):
        converted(written({"type": "record", "name": "nothing", "fields": []}, [{}, {}]))


@settings(max_examples=200)
@given(st.integers(0, 2**32), st.sampled_from(["null", "deflate", "snappy"]))
@example(35407, "deflate")
def test_damaged_bytes_are_damaged_or_rows(seed, codec):
    content = bytearray(written(SIMPLE, simple(40), codec=codec))
    rng = random.Random(seed)
    for _ in range(rng.randint(1, 4)):
        content[rng.randrange(len(content))] = rng.randrange(256)
    with contextlib.suppress(Damaged, UsageError):
        done, parquet = converted(bytes(content))
        assert parquet.metadata.num_rows == done.rows
