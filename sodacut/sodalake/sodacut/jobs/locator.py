"""Where each file of a job is: an object of fixed records, so that one file of a million is found by one small read.

Names begin with the number of the row, which is the record's place; the record says the part, where in it, and what
the bytes are. The head of the object has the parts' names and the content types, which repeat.

::

    8 bytes   length of the head, little endian
    head      JSON: {"parts": […], "types": […]}
    records   one a row, `_RECORD`; length -1 where the row has no file
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow.compute as pc

from sodalake.sodacut.jobs.reports import UnitReport

__all__ = ["Located", "Locator", "locator"]

_RECORD = np.dtype(
    [
        ("part", "<u4"),
        ("type", "<u4"),
        ("offset", "<i8"),
        ("length", "<i8"),
        ("name", "<u4"),
        ("sha256", "S32"),
    ]
)
_HEAD = 8
_ROW = re.compile(r"0*([1-9][0-9]{0,11})(?:_.*)?")


class Source(Protocol):
    """An object that is read by ranges."""

    size: int

    def read_at(self, offset: int, length: int) -> bytes:
        """Return the bytes `[offset, offset+length)`."""


@dataclass(frozen=True, slots=True)
class Located:
    """One file: bytes ``[offset, offset+length)`` of an object, with their digest in hexadecimal."""

    object: str
    offset: int
    length: int
    content_type: str
    sha256: str


def locator(reports: Sequence[UnitReport], targets: int) -> bytes:
    """Return the object that tells where the files of a job are."""
    records = np.zeros(targets, _RECORD)
    records["length"] = -1
    parts: list[str] = []
    types: dict[str, int] = {}
    for report in reports:
        files = report.entries.filter(pc.is_valid(report.entries["offset"]))
        if not files.num_rows:
            continue
        rows = files["row"].to_numpy() - 1
        records["part"][rows] = len(parts)
        parts.append(report.part)
        records["type"][rows] = [
            types.setdefault(one, len(types)) for one in files["content_type"].to_pylist()
        ]
        records["offset"][rows] = files["offset"].to_numpy()
        records["length"][rows] = files["bytes"].to_numpy()
        records["name"][rows] = [zlib.crc32(name.encode()) for name in files["file"].to_pylist()]
        records["sha256"][rows] = [bytes.fromhex(digest) for digest in files["sha256"].to_pylist()]
    head = json.dumps({"parts": parts, "types": list(types)}).encode()
    return len(head).to_bytes(_HEAD, "little") + head + records.tobytes()


class Locator:
    """Reads what `locator` wrote.

    Parameters
    ----------
    source
        The object.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        length = int.from_bytes(source.read_at(0, _HEAD), "little")
        head = json.loads(source.read_at(_HEAD, length))
        self._parts: list[str] = head["parts"]
        self._types: list[str] = head["types"]
        self._begin = _HEAD + length

    def find(self, name: str) -> Located | None:
        """Return where the file of this name is; None where the job has none such."""
        match = _ROW.fullmatch(name)
        if match is None:
            return None
        at = self._begin + (int(match[1]) - 1) * _RECORD.itemsize
        packed = self._source.read_at(at, _RECORD.itemsize)
        if len(packed) < _RECORD.itemsize:
            return None
        record = np.frombuffer(packed, _RECORD)[0]
        if record["length"] < 0 or record["name"] != zlib.crc32(name.encode()):
            return None
        return Located(
            self._parts[record["part"]],
            int(record["offset"]),
            int(record["length"]),
            self._types[record["type"]],
            record["sha256"].ljust(32, b"\0").hex(),
        )
