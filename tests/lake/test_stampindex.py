"""Whatever wrote the file: a stamp read by its place is the stamp."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sodalake.lake.errors import Damaged, NotInLake, Unavailable, UsageError
from sodalake.lake.places import ABSENT, PLACE_BYTES, Codec, Kind, Place
from sodalake.lake.stampindex import Extractor, extract, index_column, read_column_row

from .pagewriter import Memory

CODECS = ["none", "snappy", "zstd", "gzip", "lz4", "brotli"]


def image(seed: int, size: int) -> bytes:
    """Bytes that compress as FITS does."""
    rng = np.random.default_rng(seed)
    return np.cumsum(rng.normal(size=size // 4 + 1)).round(1).astype(">f4").tobytes()[:size]


def noise(seed: int, size: int) -> bytes:
    """Bytes that do not compress, as gzip's."""
    return np.random.default_rng(seed).bytes(size)


def many_stamps() -> list[bytes | None]:
    """Sizes from 0 to 300 KB, compressible and not, nulls, and some that come again."""
    sizes = (
        0,
        1,
        13,
        59,
        60,
        61,
        300,
        4_000,
        15_000,
        65_531,
        65_532,
        65_536,
        70_000,
        131_072,
        200_000,
        300_000,
    )
    made: list[bytes | None] = [None]
    for number, size in enumerate(sizes):
        made += [noise(number, size), image(number, size), None]
    made += [noise(99, 15_000 + at) for at in range(12)] + [image(99 + at, 20_000) for at in range(8)]
    return made + made[5:30:3] + [None, None, b""]


def nest(values: list[bytes | None], parts: int, *, required: bool) -> tuple[pa.Table, str]:
    """A table with the values as a leaf `parts` deep; where a value is null, so is the first struct around it."""
    kind: pa.DataType = pa.binary()
    names = ["cutoutScience", "inner", "stampData"][:parts]
    if parts > 1:
        names[-1] = "stampData"
    for name in reversed(names[1:]):
        kind = pa.struct([pa.field("fileName", pa.string()), pa.field(name, kind, nullable=not required)])
    rows: list[Any] = []
    for value in values:
        row: Any = value
        if value is not None:
            for name in reversed(names[1:]):
                row = {"fileName": "a.fits", name: row}
        rows.append(row)
    optional = any(value is None for value in values) or not required
    schema = pa.schema([pa.field("candid", pa.int64()), pa.field(names[0], kind, nullable=optional)])
    table = pa.table([pa.array(range(len(values))), pa.array(rows, kind)], schema=schema)
    return table, ".".join(names)


def file_of(table: pa.Table, **how: Any) -> tuple[Memory, pq.FileMetaData]:
    sink = io.BytesIO()
    pq.write_table(table, sink, **how)
    return Memory(sink.getvalue()), pq.read_metadata(sink)


def check(source: Memory, places: list[Place], values: list[bytes | None], column: str) -> None:
    """Each place gives its row's stamp, from the bytes it names, and survives being packed."""
    assert len(places) == len(values)
    for place, value in zip(places, values, strict=True):
        assert Place.unpack(place.pack()) == place
        assert len(place.pack()) == PLACE_BYTES <= 64
        if value is None:
            assert place == ABSENT
        elif place.kind is Kind.COLUMN:
            assert read_column_row(source, column, place) == value
        else:
            assert place.kind is not Kind.ABSENT
            assert 0 <= place.offset <= place.offset + place.length <= source.size
            assert extract(place, source.content[place.offset : place.offset + place.length]) == value


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("use_dictionary", [True, False], ids=["dictionary", "plain"])
def test_every_way_to_write(codec: str, version: str, use_dictionary: bool) -> None:
    values = many_stamps()
    for parts, rows, page in ((1, 7, 1), (1, 1000, 1 << 20), (2, 7, 1 << 20), (2, 1000, 1), (3, 20, 100_000)):
        table, column = nest(values, parts, required=False)
        source, metadata = file_of(
            table,
            compression=codec,
            compression_level=1 if codec in ("gzip", "brotli") else None,
            data_page_version=version,
            use_dictionary=use_dictionary,
            dictionary_pagesize_limit=200_000,  # some pages in the dictionary, some after it
            row_group_size=rows,
            data_page_size=page,
            write_batch_size=3,
            write_page_checksum=rows == 7,
        )
        places = index_column(source, metadata, column)
        check(source, places, values, column)
        kinds = {place.kind for place, value in zip(places, values, strict=True) if value}
        assert kinds <= {
            "none": {Kind.RAW},
            "snappy": {Kind.RAW, Kind.FRAGMENT},
        }.get(codec, {Kind.PAGE} if version == "1.0" else {Kind.PAGE, Kind.RAW})  # v2: only where it saves


@pytest.mark.parametrize("parts", [1, 2, 3])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_required_columns_have_fewer_levels(parts: int, version: str) -> None:
    for values in ([b"one", b"", b"two" * 900], [b"one", None, b"two" * 900]):
        table, column = nest(values, parts, required=True)
        source, metadata = file_of(table, data_page_version=version)
        leaf = next(
            metadata.schema.column(at) for at in range(parts + 1) if metadata.schema.column(at).path == column
        )
        assert leaf.max_definition_level == (None in values)
        check(source, index_column(source, metadata, column), values, column)


def test_null_at_every_depth() -> None:
    kind = pa.struct([pa.field("inner", pa.struct([pa.field("stampData", pa.binary())]))])
    rows = [
        None,
        {"inner": None},
        {"inner": {"stampData": None}},
        {"inner": {"stampData": b""}},
        {"inner": {"stampData": b"x"}},
    ]
    source, metadata = file_of(pa.table({"cutout": pa.array(rows * 40, kind)}))
    check(
        source,
        index_column(source, metadata, "cutout.inner.stampData"),
        [None, None, None, b"", b"x"] * 40,
        "",
    )


@pytest.mark.parametrize("encoding", ["DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY"])
@pytest.mark.parametrize("codec", ["none", "snappy", "zstd"])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_delta_encodings(encoding: str, codec: str, version: str) -> None:
    values = [value for value in many_stamps() if value is None or len(value) < 70_000]
    values += [b"SIMPLE  = T " * 300 + bytes([at]) for at in range(4)]
    table, column = nest(values, 2, required=False)
    source, metadata = file_of(
        table,
        use_dictionary=False,
        column_encoding={column: encoding},
        compression=codec,
        data_page_version=version,
        row_group_size=40,
    )
    places = index_column(source, metadata, column)
    check(source, places, values, column)
    kinds = {place.kind for place in places}
    assert (Kind.COLUMN in kinds) == (encoding == "DELTA_BYTE_ARRAY")
    assert kinds >= {Kind.ABSENT, Kind.RAW}


def test_nothing_but_nulls_and_nothing_at_all() -> None:
    source, metadata = file_of(pa.table({"s": pa.array([None] * 5000, pa.binary())}))
    assert index_column(source, metadata, "s") == [ABSENT] * 5000
    source, metadata = file_of(pa.table({"s": pa.array([], pa.binary())}))
    assert index_column(source, metadata, "s") == []


def test_row_groups_without_rows() -> None:
    schema = pa.schema([("s", pa.binary())])
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, schema) as writer:
        for values in ([b"one"], [], [b"two", None], []):
            writer.write_table(pa.table([pa.array(values, pa.binary())], schema=schema))
    metadata = pq.read_metadata(sink)
    assert metadata.num_row_groups >= 2
    source = Memory(sink.getvalue())
    check(source, index_column(source, metadata, "s"), [b"one", b"two", None], "s")


def test_thousands_of_pages_and_of_duplicates() -> None:
    values = [noise(at % 700, 20 + at % 13) for at in range(6000)]
    for use_dictionary in (True, False):
        table, column = nest(list(values), 2, required=False)
        source, metadata = file_of(table, use_dictionary=use_dictionary, data_page_size=1, write_batch_size=2)
        check(source, index_column(source, metadata, column), list(values), column)


@given(
    stamps=st.lists(
        st.none()
        | st.builds(noise, st.integers(0, 5), st.integers(0, 300))
        | st.builds(image, st.integers(0, 5), st.integers(0, 3000))
        | st.builds(noise, st.integers(0, 5), st.integers(0, 140_000)),
        max_size=25,
    ),
    codec=st.sampled_from(CODECS),
    how=st.fixed_dictionaries(
        {
            "data_page_version": st.sampled_from(["1.0", "2.0"]),
            "use_dictionary": st.booleans(),
            "row_group_size": st.integers(1, 30),
            "data_page_size": st.sampled_from([1, 1000, 100_000]),
            "write_batch_size": st.integers(1, 10),
        }
    ),
    parts=st.integers(1, 3),
)
@settings(max_examples=60)
def test_any_stamps(stamps: list[bytes | None], codec: str, how: dict[str, Any], parts: int) -> None:
    table, column = nest(stamps, parts, required=False)
    source, metadata = file_of(table, compression=codec, **how)
    check(source, index_column(source, metadata, column), stamps, column)


# ---------------------------------------------------------------------- what a stamp costs


def test_a_stamp_in_a_snappy_page_costs_its_fragments() -> None:
    values: list[bytes | None] = [image(at, 1 + at * 641) for at in range(103)]  # up to 64 KiB
    table, column = nest(values, 1, required=False)
    source, metadata = file_of(table, use_dictionary=False, row_group_size=1000)
    places = index_column(source, metadata, column)
    check(source, places, values, column)
    assert max(place.length for place in places) <= 132_000
    assert sum(place.length for place in places) < 3 * sum(map(len, filter(None, values)))


def test_a_gzipped_stamp_in_a_snappy_page_costs_itself() -> None:
    values: list[bytes | None] = [noise(at, 13_000 + at) for at in range(200)]
    table, column = nest(values, 2, required=False)
    source, metadata = file_of(table, use_dictionary=False)
    places = index_column(source, metadata, column)
    check(source, places, values, column)
    assert all(place.kind is Kind.RAW and place.length - place.size <= 5 for place in places)


def stamp_columns(metadata: pq.FileMetaData) -> list[str]:
    paths = [metadata.schema.column(at).path for at in range(metadata.num_columns)]
    return [path for path in paths if path.startswith("cutout") and not path.endswith("fileName")]


def test_every_real_file(real_alerts: Path) -> None:
    files = sorted(real_alerts.rglob("*.parquet"))
    assert files
    seen = {Kind.RAW: 0, Kind.FRAGMENT: 0}
    for path in files:
        source = Memory(path.read_bytes())
        metadata = pq.read_metadata(path)
        columns = stamp_columns(metadata)
        assert len(columns) == 3
        for column in columns:
            array = pq.ParquetFile(path).read(columns=[column]).column(0).combine_chunks()
            for name in column.split(".")[1:]:
                array = pc.struct_field(array, name)
            places = index_column(source, metadata, column)
            check(source, places, array.to_pylist(), column)
            for place in places:
                if place.kind is not Kind.ABSENT:
                    seen[place.kind] += 1
                    assert place.length <= 132_000
                    assert place.kind is Kind.FRAGMENT or place.gap <= 5
    # ZTF's gzipped stamps stand in the stream, but for the few that Snappy found something to save in.
    assert seen[Kind.RAW] > 400
    assert seen[Kind.FRAGMENT] >= 300


# ---------------------------------------------------------------------- damage


@given(data=st.data())
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
def test_a_damaged_file_gives_what_it_gave_or_is_damaged(data: st.DataObject) -> None:
    """At ingest and at reading: no other error, and never other bytes from an index made before the damage."""
    values = [None, b"", noise(1, 90), image(2, 900), noise(3, 70_000), image(4, 70_000), noise(1, 90)]
    table, column = nest(values, data.draw(st.integers(1, 3)), required=False)
    source, metadata = file_of(
        table,
        compression=data.draw(st.sampled_from(CODECS)),
        data_page_version=data.draw(st.sampled_from(["1.0", "2.0"])),
        use_dictionary=data.draw(st.booleans()),
        write_page_checksum=data.draw(st.booleans()),
        data_page_size=data.draw(st.sampled_from([1, 1 << 20])),
        write_batch_size=2,
        write_statistics=data.draw(st.booleans()),
    )
    places = index_column(source, metadata, column)
    chunk = metadata.row_group(0).column(metadata.num_columns - 1)
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    near = st.integers(start, min(start + 60, source.size - 1)) | st.integers(start, source.size - 1)
    hurt = bytearray(source.content)
    for _ in range(data.draw(st.integers(1, 4))):
        hurt[data.draw(near)] = data.draw(st.integers(0, 255))
    broken = Memory(bytes(hurt[: data.draw(st.just(source.size) | st.integers(0, source.size))]))
    try:
        found = index_column(broken, metadata, column)
    except Damaged:
        pass
    else:
        assert len(found) == len(values)
    for place, value in zip(places, values, strict=True):
        if value is None:
            continue
        try:
            assert extract(place, broken.read_at(place.offset, place.length)) == value
        except Damaged:
            continue


@given(
    st.sampled_from([Kind.RAW, Kind.FRAGMENT, Kind.PAGE]),
    st.sampled_from([codec for codec in Codec if codec is not Codec.LZO]),
    st.binary(max_size=100),
    st.lists(st.integers(0, 300) | st.integers(0, 2**32 - 1), min_size=4, max_size=4),
)
@settings(max_examples=300)
def test_any_place_and_any_bytes(kind: Kind, codec: Codec, data: bytes, numbers: list[int]) -> None:
    plain, at, size, crc = numbers
    place = Place(kind, codec, 0, len(data), plain, at, size, crc)
    try:
        assert len(extract(place, data)) == size
    except Damaged:
        return


def test_neighbours_share_what_is_decompressed() -> None:
    values: list[bytes | None] = [image(at, 15_000) for at in range(20)]
    for codec in ("snappy", "zstd"):
        table, column = nest(values, 1, required=False)
        source, metadata = file_of(table, compression=codec, use_dictionary=False)
        together = Extractor()
        for place, value in zip(index_column(source, metadata, column), values, strict=True):
            data = source.read_at(place.offset, place.length)
            hurt = bytes(len(data))
            with pytest.raises(Damaged):
                Extractor().extract(place, hurt)
            assert together.extract(place, data) == value


def test_an_extractor_forgets_what_was_damaged() -> None:
    table, column = nest([image(1, 15_000), image(2, 15_000)], 1, required=False)
    source, metadata = file_of(table, use_dictionary=False)
    first, second = index_column(source, metadata, column)
    good = source.read_at(first.offset, first.length)
    at = good.index(image(1, 15_000)[:3])  # in the first literal
    hurt = good[:at] + b"?" + good[at + 1 :]
    extractor = Extractor()
    for place in (first, first):
        with pytest.raises(Damaged, match="not those of its ingest"):
            extractor.extract(place, hurt)
    assert extractor.extract(first, good) == image(1, 15_000)
    assert extractor.extract(second, good) == image(2, 15_000)


def test_a_replaced_file_is_damaged() -> None:
    table, column = nest([noise(1, 5000)], 2, required=False)
    source, metadata = file_of(table)
    (place,) = index_column(source, metadata, column)
    other, _ = file_of(nest([noise(2, 5000)], 2, required=False)[0])
    with pytest.raises(Damaged, match="not those of its ingest"):
        extract(place, other.read_at(place.offset, place.length))
    with pytest.raises(Damaged, match="4999 bytes were read"):
        extract(place, source.read_at(place.offset, place.length - 1))
    with pytest.raises(Damaged, match="contradicts itself"):
        extract(Place(Kind.RAW, length=3, at=5, size=4), b"123")


def test_a_stamp_of_a_column_that_changed() -> None:
    values: list[bytes | None] = [b"SIMPLE  = T " * 30 + bytes([at]) for at in range(9)]
    how = {"use_dictionary": False, "column_encoding": {"cutoutScience": "DELTA_BYTE_ARRAY"}}
    table, column = nest(values, 1, required=False)
    source, metadata = file_of(table, **how)
    place = index_column(source, metadata, column)[8]
    assert place.kind is Kind.COLUMN
    assert read_column_row(source, column, place) == values[8]
    for content in (b"", b"PAR1", source.content[:-9], file_of(table.slice(0, 5), **how)[0].content):
        with pytest.raises(Damaged, match="row 8"):
            read_column_row(Memory(content), column, place)
    for other in ([b"short"] * 9, [None] * 9, [*values[:7], values[8], values[7]]):
        with pytest.raises(Damaged, match="no longer holds"):
            read_column_row(file_of(nest(other, 1, required=False)[0])[0], column, place)
    with pytest.raises(Damaged, match="cannot be read"):
        read_column_row(source, "cutoutTemplate", place)
    with pytest.raises(ValueError, match="COLUMN"):
        extract(place, b"")


def test_a_file_system_that_does_not_answer_is_not_damage() -> None:
    class Silent(Memory):
        def read_at(self, offset: int, length: int) -> bytes:
            raise Unavailable("No name node.")

    with pytest.raises(Unavailable):
        read_column_row(Silent(bytes(100)), "s", Place(Kind.COLUMN, size=3))


def test_a_file_cut_short_says_so() -> None:
    table, column = nest([noise(1, 5000)], 2, required=False)
    source, metadata = file_of(table)
    for size in (0, 5, 3000, source.size - 1):
        with pytest.raises(Damaged):
            index_column(Memory(source.content[:size]), metadata, column)


# ---------------------------------------------------------------------- refusals


def test_a_stamp_that_is_not_there() -> None:
    with pytest.raises(NotInLake):
        extract(ABSENT, b"")


@pytest.mark.parametrize(
    "column", ["cutoutDifference", "cutoutScience", "stampData", "", "candid", "many.list.element"]
)
def test_columns_that_hold_no_stamps(column: str) -> None:
    table, _ = nest([b"x"], 2, required=False)
    source, metadata = file_of(table.append_column("many", pa.array([[b"x", b"y"]])))
    with pytest.raises(UsageError) as caught:
        index_column(source, metadata, column)
    assert column in str(caught.value)
    assert caught.value.advice


class _Kms(pe.KmsClient):  # type: ignore[misc]
    """A keeper of keys that keeps nothing."""

    def wrap_key(self, key_bytes: bytes, master_key_identifier: str) -> bytes:
        return base64.b64encode(key_bytes)

    def unwrap_key(self, wrapped_key: bytes, master_key_identifier: str) -> bytes:
        return base64.b64decode(wrapped_key)


def test_an_encrypted_file_is_refused(tmp_path: Path) -> None:
    """One with a readable footer: pyarrow ends the process when it is asked about the column."""
    configuration = pe.EncryptionConfiguration(
        footer_key="f", column_keys={"c": ["s"]}, plaintext_footer=True
    )
    factory = pe.CryptoFactory(lambda _: _Kms())
    properties = factory.file_encryption_properties(pe.KmsConnectionConfig(), configuration)
    table = pa.table({"a": [1], "s": pa.array([b"secret"], pa.binary())})
    path = tmp_path / "encrypted.parquet"
    with pq.ParquetWriter(path, table.schema, encryption_properties=properties) as writer:
        writer.write_table(table)
    source = Memory(path.read_bytes())
    with pytest.raises(UsageError, match="encrypted"):
        index_column(source, pq.read_metadata(path), "s")
    plain, metadata = file_of(table)
    with pytest.raises(UsageError, match="encrypted"):
        index_column(Memory(plain.content[:-4] + b"PARE"), metadata, "s")
