"""Pages of every make are walked; pages that are none are named, with their place in the file."""

from __future__ import annotations

import cramjam
import pytest

from sodalake.lake import pages
from sodalake.lake.errors import Damaged, UsageError
from sodalake.lake.pages import PageKind, walk
from sodalake.lake.places import ABSENT, Codec, Kind, Place
from sodalake.lake.snappy import FRAGMENT, varint
from sodalake.lake.stampindex import extract, index_chunk

from .pagewriter import THRIFT, Memory, chunk, data_v1, data_v2, dictionary, index_page, plain_values, written
from .snappywriter import copy, literal, stream

STAMPS = [b"first", b"", b"the third one"]


def stamps(source: Memory, places: list[Place]) -> list[bytes | None]:
    """What a reader makes of `places`."""
    return [
        None if place.kind is Kind.ABSENT else extract(place, source.read_at(place.offset, place.length))
        for place in places
    ]


def test_index_pages_and_checksums() -> None:
    body = plain_values(STAMPS)
    source, column = chunk([index_page(), data_v1(3, len(body), body, checksum=True)], 3, Codec.UNCOMPRESSED)
    assert stamps(source, list(index_chunk(source, column))) == STAMPS
    hurt = bytearray(source.content)
    hurt[column.end - 3] ^= 1
    with pytest.raises(Damaged, match="checksum"):
        list(index_chunk(Memory(bytes(hurt)), column))


def test_levels_packed_bit_by_bit() -> None:
    """Definition levels 2, 0, 1, 2, 2 in two bits each, from the highest on, with no length before them."""
    body = bytes([0b10000110, 0b10000000]) + plain_values(STAMPS)
    source, column = chunk([data_v1(5, len(body), body, levels=4)], 5, Codec.UNCOMPRESSED, levels=2)
    assert stamps(source, list(index_chunk(source, column))) == [STAMPS[0], None, None, STAMPS[1], STAMPS[2]]


@pytest.mark.parametrize("compressed", [None, True, False])
@pytest.mark.parametrize("codec", [Codec.SNAPPY, Codec.ZSTD, Codec.UNCOMPRESSED])
def test_pages_v2_say_whether_they_are_compressed(codec: Codec, compressed: bool | None) -> None:
    body = plain_values(STAMPS)
    levels = varint(3 << 1) + b"\x01" + varint(1 << 1) + b"\x00"
    packed = body
    if compressed is not False:
        packed = {
            Codec.SNAPPY: lambda: bytes(cramjam.snappy.compress_raw(body)),
            Codec.ZSTD: lambda: bytes(cramjam.zstd.compress(body)),
            Codec.UNCOMPRESSED: lambda: body,
        }[codec]()
    page = data_v2(4, levels, len(body), packed, compressed=compressed)
    source, column = chunk([page], 4, codec, levels=1)
    places = list(index_chunk(source, column))
    assert stamps(source, places) == [*STAMPS, None]
    assert (places[0].kind is Kind.PAGE) == (codec is Codec.ZSTD and compressed is not False)


@pytest.mark.parametrize("codec", [Codec.SNAPPY, Codec.ZSTD, Codec.LZ4, Codec.GZIP])
def test_a_page_of_nulls_may_have_no_body(codec: Codec) -> None:
    source, column = chunk([data_v2(4, varint(4 << 1) + b"\x00", 0, b"")], 4, codec, levels=1)
    assert list(index_chunk(source, column)) == [ABSENT] * 4


def lz4_forms(body: bytes) -> list[bytes]:
    def block(content: bytes) -> bytes:
        return bytes(cramjam.lz4.compress_block(content, store_size=False))

    def framed(content: bytes) -> bytes:
        packed = block(content)
        return len(content).to_bytes(4, "big") + len(packed).to_bytes(4, "big") + packed

    half = len(body) // 2
    return [
        block(body),
        framed(body),
        framed(body[:half]) + framed(body[half:]),
        bytes(cramjam.lz4.compress(body)),
    ]


@pytest.mark.parametrize("form", range(4), ids=["block", "hadoop", "hadoop twice", "frame"])
def test_the_older_lz4(form: int) -> None:
    values = [b"stamp" * 50, b"and another" * 99, bytes(range(256)) * 3]
    body = plain_values(values)
    packed = lz4_forms(body)[form]
    source, column = chunk([data_v1(3, len(body), packed)], 3, Codec.LZ4)
    places = list(index_chunk(source, column))
    assert stamps(source, places) == values
    assert {place.codec for place in places} == {Codec.LZ4}
    for cut in range(0, len(packed), 7):
        with pytest.raises(Damaged):
            list(index_chunk(*chunk([data_v1(3, len(body), packed[:cut])], 3, Codec.LZ4)))


def test_lzo_is_refused() -> None:
    source, column = chunk([data_v1(1, 9, b"whatever")], 1, Codec.LZO)
    with pytest.raises(UsageError, match="LZO"):
        list(index_chunk(source, column))


def test_statistics_larger_than_the_first_read() -> None:
    body = plain_values(STAMPS)
    least = THRIFT.Statistics(max=b"z" * 300_000, min=b"a" * 300_000, null_count=0)
    source, column = chunk([data_v1(3, len(body), body, statistics=least)] * 2, 6, Codec.UNCOMPRESSED)
    assert stamps(source, list(index_chunk(source, column))) == STAMPS * 2


@pytest.mark.parametrize("window", [16, 1000, 70_000])
def test_a_large_chunk_is_read_in_windows(window: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "WHOLE_CHUNK", 100)
    monkeypatch.setattr(pages, "WINDOW", window)
    values = [bytes([at]) * (37 * at) for at in range(60)]
    parts = [plain_values(values[at : at + 2]) for at in range(0, 60, 2)]
    source, column = chunk([data_v1(2, len(part), part) for part in parts], 60, Codec.UNCOMPRESSED)
    places = list(index_chunk(source, column))
    assert all(column.start <= start and start + length <= column.end for start, length in source.reads)
    assert max(length for _, length in source.reads) <= max(window, 1 << 16)
    assert stamps(source, places) == values


def test_a_small_chunk_is_one_read() -> None:
    body = plain_values(STAMPS)
    source, column = chunk([data_v1(3, len(body), body)] * 50, 150, Codec.UNCOMPRESSED)
    assert len(list(index_chunk(source, column))) == 150
    assert source.reads == [(column.start, column.end - column.start)]


def test_a_snappy_page_that_is_not_in_pieces_costs_the_page() -> None:
    """A copy out of its fragment, a literal across fragments: sound streams, and not cut as the encoders do."""
    one, two = bytes(range(256)) * 256, b"x" * 500
    for tags in (
        [
            literal(plain_values([one])),
            literal(plain_values([two])[:4]),
            literal(two[:400]),
            copy(40, 40),
            copy(60, 300),
        ],
        [literal(plain_values([one, two]))],
    ):
        plain = len(plain_values([one, two]))
        packed = stream(plain, tags)
        assert bytes(cramjam.snappy.decompress_raw(packed)) == plain_values([one, two])
        source, column = chunk([data_v1(2, plain, packed)], 2, Codec.SNAPPY)
        places = list(index_chunk(source, column))
        assert [(place.kind, place.codec, place.length) for place in places] == [
            (Kind.PAGE, Codec.SNAPPY, len(packed))
        ] * 2
        assert stamps(source, places) == [one, two]


def test_literals_are_read_without_their_tags() -> None:
    """One literal, two with a tag between them, two across fragments, three, and one with a copy inside."""
    inside, split, across, three, copied = (
        bytes([65 + at]) * size for at, size in enumerate((50, 80, 300, 90, 70))
    )
    fill = FRAGMENT - (4 + 50) - (4 + 80) - (4 + 150) - 4
    values = [inside, split, bytes(fill), across, three, copied]
    body = plain_values(values)
    head = FRAGMENT - 150
    rest = body[FRAGMENT + 150 :]
    tags = [
        literal(body[: 54 + 4 + 30]),
        literal(body[54 + 4 + 30 : head]),
        literal(body[head:FRAGMENT]),
        literal(body[FRAGMENT : FRAGMENT + 150]),
        literal(rest[:34]),
        literal(rest[34:64]),
        literal(rest[64:118]),
        copy(50, 5),
    ]
    packed = stream(len(body), tags)
    assert bytes(cramjam.snappy.decompress_raw(packed)) == body
    source, column = chunk([data_v1(6, len(body), packed)], 6, Codec.SNAPPY)
    places = list(index_chunk(source, column))
    assert stamps(source, places) == values
    kinds = [place.kind for place in places]
    assert kinds == [Kind.RAW, Kind.RAW, Kind.RAW, Kind.RAW, Kind.FRAGMENT, Kind.FRAGMENT]
    assert [place.gap for place in places[:4]] == [0, 3, 0, 2]
    assert [place.length for place in places[:2]] == [50, 83]


def test_dictionaries() -> None:
    body = plain_values(STAMPS)
    numbers = b"\x02" + varint(2 << 1) + b"\x02" + varint(1 << 1) + b"\x00" + varint(1 << 1) + b"\x01"
    parts = [dictionary(3, len(body), body), data_v1(4, len(numbers), numbers, encoding=8)]
    source, column = chunk([*parts, data_v1(3, len(body), body)], 7, Codec.UNCOMPRESSED)
    assert stamps(source, list(index_chunk(source, column))) == [
        STAMPS[2],
        STAMPS[2],
        STAMPS[0],
        STAMPS[1],
        *STAMPS,
    ]
    for broken, message in (
        ([parts[1]], "not there"),
        ([dictionary(2, len(body), body), parts[1]], "dictionary of 2"),
        ([dictionary(99, len(body), body), parts[1]], "cannot hold 99"),
        ([dictionary(4, len(body), body), parts[1]], "begins after the end"),
        ([dictionary(3, len(body), body, encoding=7), parts[1]], "dictionary has encoding 7"),
        ([parts[0], data_v1(4, 0, b"", encoding=8)], "ends before its values"),
        ([parts[0], data_v1(4, 1, b"\x21", encoding=8)], "33 bits"),
    ):
        with pytest.raises(Damaged, match=message):
            list(index_chunk(*chunk(broken, 4, Codec.UNCOMPRESSED)))


def damaged() -> dict[str, tuple[list[bytes], str]]:
    body = plain_values(STAMPS)
    good = data_v1(3, len(body), body)
    return {
        "no header": ([b"\xff" * 90], "header cannot be understood"),
        "endless header": ([b"\x19\xfc\xff\xff\xff\x07" + bytes(90)], "header has no end"),
        "no sizes": ([b"\x15\x00\x00" + bytes(50)], "None as field 2"),
        "a negative size": ([b"\x15\x00\x15\x01\x00" + bytes(50)], "-1 as field 2"),
        "no inner header": ([written(0, 5, b"12345")], "lacks field 5"),
        "too many values": ([data_v1(4, len(body), body)], "4 values where 3 are left"),
        "too few values": ([data_v1(2, len(body), body)], "1 values short"),
        "longer than its chunk": ([good[:-5]], "5 bytes after its column chunk"),
        "plain size": ([data_v1(3, len(body) + 1, body)], "uncompressed page has"),
        "encoding": ([data_v1(3, len(body), body, encoding=9)], "encoding 9"),
        "lengths": ([data_v1(3, len(body) - 1, body[:-1])], "after the end of its page"),
        "v2 levels": (
            [written(3, 2, b"ab", data_page_header_v2=THRIFT.DataV2(3, 0, 3, 0, 3, 0))],
            "longer than itself",
        ),
    }


@pytest.mark.parametrize("what", damaged())
def test_damaged_pages_are_named(what: str) -> None:
    parts, message = damaged()[what]
    source, column = chunk(parts, 3, Codec.UNCOMPRESSED)
    with pytest.raises(Damaged, match=message) as caught:
        list(index_chunk(source, column))
    assert "cutout.stamp" in caught.value.message
    at = column.end if what == "too few values" else column.start
    assert f"at byte {at}:" in caught.value.message
    assert caught.value.advice


@pytest.mark.parametrize(
    ("body", "levels", "message"),
    [
        (b"\x00", 3, "before its definition levels"),
        (b"\xff\x00\x00\x00", 3, "go on after its end"),
        (b"\x02\x00\x00\x00\x04\x01", 3, "goes on after its page"),
        (b"", 4, "go on after their page"),
        (b"\x02\x00\x00\x00\x06\x01", 0, "levels have encoding 0"),
    ],
)
def test_damaged_levels(body: bytes, levels: int, message: str) -> None:
    source, column = chunk([data_v1(3, len(body), body, levels=levels)], 3, Codec.UNCOMPRESSED, levels=1)
    with pytest.raises(Damaged, match=message):
        list(index_chunk(source, column))


def test_a_file_cut_short() -> None:
    body = plain_values(STAMPS)
    source, column = chunk([data_v1(3, len(body), body)], 3, Codec.UNCOMPRESSED)
    for end in range(column.end):
        with pytest.raises(Damaged, match="The file ends within"):
            list(index_chunk(Memory(source.content[:end]), column))


def test_pages_are_described() -> None:
    body = plain_values(STAMPS)
    packed = bytes(cramjam.snappy.compress_raw(body))
    source, column = chunk(
        [dictionary(3, len(body), packed), data_v1(0, 0, b""), data_v1(3, 9, b"8 bytes!")], 3, Codec.SNAPPY
    )
    found = list(walk(source, column))
    assert [page.kind for page in found] == [PageKind.DICTIONARY, PageKind.DATA, PageKind.DATA]
    first = found[0]
    assert (first.offset, first.values, first.plain, bytes(first.body)) == (
        column.start,
        3,
        len(body),
        packed,
    )
    assert source.content[first.body_offset :].startswith(packed)
