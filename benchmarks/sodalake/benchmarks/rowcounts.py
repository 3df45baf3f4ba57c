"""How many rows an answer has, by its bytes: VOTable (TABLEDATA, BINARY2), CSV, Parquet.

An answer that says it is not whole has none: a VOTable whose QUERY_STATUS is ERROR or OVERFLOW, or that does not end.
A client library would take seconds for what is counted here in milliseconds, on the cores of what is measured.
"""

from __future__ import annotations

import base64
import re
import struct
from typing import Final

__all__ = ["WrongAnswer", "rows_of", "told_error", "wrong_rows"]

_FIELD = re.compile(rb"<FIELD\b[^>]*>")
_STATUS = re.compile(rb'<INFO\b[^>]*name="QUERY_STATUS"[^>]*>([^<]{0,200})')
_VALUE = re.compile(rb'\bvalue="(\w+)"')
_ATTRIBUTE: Final = {
    name: re.compile(rb'\b%s="([^"]*)"' % name) for name in (b"datatype", b"arraysize")
}  # fmt: skip
_BYTES: Final = {
    b"boolean": 1, b"unsignedByte": 1, b"char": 1, b"short": 2, b"unicodeChar": 2, b"int": 4, b"long": 8, b"float": 4,
    b"double": 8,
}  # fmt: skip
_LENGTH = struct.Struct(">I")


class WrongAnswer(ValueError):
    """An answer that is no whole table."""


def wrong_rows(content: bytes | bytearray, rows: int) -> str:
    """Return what is wrong with an answer that is to have so many rows; empty where nothing is."""
    try:
        found = rows_of(bytes(content))
    except WrongAnswer as error:
        return str(error)
    return "" if found == rows else f"{found} rows instead of {rows}"


def told_error(content: bytes | bytearray) -> str:
    """Return what a VOTable says is wrong (DALI 1.1, 4.4.1); empty where it is none, or says nothing."""
    found = _STATUS.search(content)
    return found[1].decode(errors="replace") if found else ""


def rows_of(content: bytes) -> int:
    """Return the number of rows of an answer.

    Raises
    ------
    WrongAnswer
        It is cut, or says itself that it is not whole.
    """
    if content.startswith(b"PAR1"):
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return int(pq.read_metadata(pa.BufferReader(content)).num_rows)
        except pa.ArrowException as error:
            raise WrongAnswer("a Parquet file that cannot be read") from error
    if content.startswith((b"<?xml", b"<VOTABLE")):
        return _rows_of_votable(content)
    return content.count(b"\n") - 1


def _rows_of_votable(content: bytes) -> int:
    if not content.rstrip().endswith(b"</VOTABLE>"):
        raise WrongAnswer("a VOTable without an end")
    told = [(_VALUE.search(one[0]), one[1]) for one in _STATUS.finditer(content)]
    if not told or any(value is None or value[1] != b"OK" for value, _ in told):
        why = next((text for value, text in told if value is not None and value[1] != b"OK"), b"")
        raise WrongAnswer(f"a VOTable that is not OK: {why.decode(errors='replace')}")
    if b"<TABLEDATA>" in content:
        return content.count(b"<TR>")
    if b"<BINARY2>" not in content:
        return 0
    begin = content.index(b">", content.index(b"<STREAM")) + 1
    try:
        rows = base64.b64decode(content[begin : content.index(b"</STREAM>", begin)])
    except ValueError as error:
        raise WrongAnswer("a BINARY2 stream that is not base64, or breaks off") from error
    return _rows_of_binary2([field[0] for field in _FIELD.finditer(content[:begin])], rows)


def _rows_of_binary2(fields: list[bytes], rows: bytes) -> int:
    """Walk through rows of BINARY2 (VOTable 1.4, section 5.4): a mask of nulls, then the values."""
    # Steps: bytes to pass over before a length, and the bytes of an element of what has that length.
    steps: list[tuple[int, int]] = []
    passed = -(-len(fields) // 8)
    for field in fields:
        datatype, arraysize = (
            found[1] if (found := _ATTRIBUTE[name].search(field)) else b""
            for name in (b"datatype", b"arraysize")
        )
        size = _BYTES[datatype]
        if arraysize.endswith(b"*"):
            steps.append((passed, size))
            passed = 0
        else:
            passed += size * int(arraysize or 1)
    at = count = 0
    end = len(rows)
    try:
        while at < end:
            for skipped, size in steps:
                at += skipped
                at += 4 + size * _LENGTH.unpack_from(rows, at)[0]
            at += passed
            count += 1
    except struct.error as error:
        raise WrongAnswer("a BINARY2 stream that breaks off") from error
    if at != end:
        raise WrongAnswer("a BINARY2 stream that breaks off")
    return count
