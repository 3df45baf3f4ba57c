"""The reader of page headers against thriftpy2's writer, and against anything."""

from __future__ import annotations

import io
from typing import Any

import pytest
import thriftpy2
from hypothesis import given
from hypothesis import strategies as st
from thriftpy2.protocol.compact import TCompactProtocol
from thriftpy2.transport.memory import TMemoryBuffer

from sodalake.lake.thrift_compact import MAX_DEPTH, MalformedError, TruncatedError, read_struct

IDL = """
struct Inner { 1: i32 number, 2: bool yes, 9: optional string text }
struct Outer {
  1: i16 small, 2: i32 middle, 3: i64 large, 4: bool yes, 5: bool no, 6: double real, 7: byte tiny,
  8: string text, 9: Inner inner, 10: list<Inner> inners, 11: map<string, Inner> named, 12: list<bool> bits,
  13: list<i32> numbers, 14: map<string, i32> none, 300: i32 far
}
"""
SCHEMA = thriftpy2.load_fp(io.StringIO(IDL), module_name="test_compact_thrift")


def written(value: Any) -> bytes:
    buffer = TMemoryBuffer()
    TCompactProtocol(buffer).write_struct(value)
    return bytes(buffer.getvalue())


inners = st.builds(
    SCHEMA.Inner,
    number=st.integers(-(2**31), 2**31 - 1),
    yes=st.booleans(),
    text=st.none() | st.text(max_size=300),
)
outers = st.builds(
    SCHEMA.Outer,
    small=st.integers(-(2**15), 2**15 - 1),
    middle=st.none() | st.integers(-(2**31), 2**31 - 1),
    large=st.integers(-(2**63), 2**63 - 1),
    yes=st.just(True),
    no=st.just(False),
    real=st.floats(),
    tiny=st.integers(-128, 127),
    text=st.text(max_size=200),
    inner=inners,
    inners=st.lists(inners, max_size=20),
    named=st.dictionaries(st.text(max_size=5), inners, max_size=4),
    bits=st.lists(st.booleans(), max_size=20),
    numbers=st.none() | st.lists(st.integers(-(2**31), 2**31 - 1), max_size=20),
    none=st.just({}),
    far=st.integers(-(2**31), 2**31 - 1),
)


@given(outers, st.binary(max_size=20))
def test_what_thriftpy2_writes(value: Any, after: bytes) -> None:
    content = written(value)
    fields, end = read_struct(content + after)
    assert end == len(content)
    names = {1: "small", 2: "middle", 3: "large", 4: "yes", 5: "no", 300: "far"}
    assert fields == {
        **{
            number: getattr(value, name) for number, name in names.items() if getattr(value, name) is not None
        },
        9: {1: value.inner.number, 2: int(value.inner.yes)},
    }
    assert read_struct(memoryview(b"abc" + content), 3) == (fields, end + 3)


@given(outers, st.data())
def test_a_struct_cut_short_asks_for_more(value: Any, data: st.DataObject) -> None:
    content = written(value)
    with pytest.raises(TruncatedError):
        read_struct(content[: data.draw(st.integers(0, len(content) - 1))])


@given(st.binary(max_size=300))
def test_any_bytes(content: bytes) -> None:
    try:
        _, end = read_struct(content)
    except (MalformedError, TruncatedError):
        return
    assert 0 < end <= len(content)


@pytest.mark.parametrize(
    "content",
    [
        b"\x15" + b"\xff" * 11,  # a varint of more than ten bytes
        b"\x1c" * (MAX_DEPTH + 2),  # structs in structs
        b"\x19\x19" + b"\x19" * (MAX_DEPTH + 2),  # lists in lists
        b"\x1d\x00",  # a type that does not exist
    ],
)
def test_what_no_more_bytes_would_mend(content: bytes) -> None:
    with pytest.raises(MalformedError):
        read_struct(content + bytes(100))


def test_a_list_that_says_it_is_endless() -> None:
    with pytest.raises(TruncatedError):
        read_struct(b"\x19\xfc" + b"\xff\xff\xff\xff\x07" + bytes(50))
