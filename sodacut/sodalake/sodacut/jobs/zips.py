"""Zip archives that are never put together: parts are written so that, one behind the other, they are one.

A part is a run of files, each with the header that a zip has before it (APPNOTE 6.3.10, 4.3.7), stored and not
compressed: stamps hardly shrink, and stored files are ranges of the part, to be sent alone. All parts in their order
and the directory of all their files make the zip; its length is known before a byte is sent. Where there are
more than 65 535 files or 4 GiB, the directory says so in the Zip64 way (4.3.14, 4.5.3).

Times are those of the beginning of MS-DOS: the same job makes the same bytes.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sodalake.sodacut.jobs.reports import UnitReport

__all__ = ["Pieces", "Range", "local_header", "zip_pieces"]

_LOCAL = struct.Struct("<4s5H3L2H")
_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_VERSION = 20
_VERSION64 = 45
_DATE = (1 << 5) | 1  # the first of January 1980
_UNIX_FILE = 0o100644 << 16
_MAX16 = 0xFFFF
_MAX32 = 0xFFFFFFFF

_CENTRAL = np.dtype(
    [
        ("signature", "S4"),
        ("made_by", "<u2"),
        ("needs", "<u2"),
        ("flags", "<u2"),
        ("method", "<u2"),
        ("time", "<u2"),
        ("date", "<u2"),
        ("crc32", "<u4"),
        ("stored", "<u4"),
        ("size", "<u4"),
        ("name", "<u2"),
        ("extra", "<u2"),
        ("comment", "<u2"),
        ("disk", "<u2"),
        ("internal", "<u2"),
        ("external", "<u4"),
        ("offset", "<u4"),
    ]
)
_EXTRA64 = np.dtype([("id", "<u2"), ("size", "<u2"), ("offset", "<u8")])


@dataclass(frozen=True, slots=True)
class Range:
    """Some bytes of an object of the results."""

    object: str
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Pieces:
    """A container: ranges of objects and bytes of its own, one behind the other.

    Attributes
    ----------
    length
        Bytes of all.
    """

    pieces: Sequence[Range | bytes]
    content_type: str

    @property
    def length(self) -> int:
        """Bytes in all."""
        return sum(one.length if isinstance(one, Range) else len(one) for one in self.pieces)


def local_header(name: str, size: int, crc32: int) -> bytes:
    """Return what stands before a stored file.

    Parameters
    ----------
    name
        ASCII, with ``/`` between folders.
    size
        Below 4 GiB.
    """
    encoded = name.encode("ascii")
    return _LOCAL.pack(b"PK\3\4", _VERSION, 0, 0, 0, _DATE, crc32, size, size, len(encoded), 0) + encoded


def zip_pieces(reports: Iterable[UnitReport], extras: Mapping[str, bytes] | None = None) -> Pieces:
    """Return the zip of all files of a job.

    Parameters
    ----------
    reports
        Of the job's units, in the order of the parts.
    extras
        Files to add, such as the manifest: name (ASCII) → bytes.
    """
    pieces: list[Range | bytes] = []
    tables: list[Any] = []
    begins: list[Any] = []
    start = 0
    for report in reports:
        if not report.length:
            continue
        pieces.append(Range(report.part, 0, report.length))
        files = report.entries.filter(pc.is_valid(report.entries["offset"]))
        tables.append(files.select(["file", "crc32", "bytes", "offset", "row"]))
        begins.append(np.full(files.num_rows, start, np.int64))
        start += report.length
    added = _added(extras or {})
    for header, body in added:
        pieces += [header + body]
    names = [name for table in tables for name in table["file"].to_pylist()]
    starts = _concatenated([table["offset"] for table in tables]) + (
        np.concatenate(begins) if begins else np.empty(0, np.int64)
    )
    starts -= np.array([_LOCAL.size + len(name) for name in names], np.int64)
    sizes = _concatenated([table["bytes"] for table in tables])
    crcs = _concatenated([table["crc32"] for table in tables])
    order = np.argsort(_concatenated([table["row"] for table in tables]), kind="stable")
    names = [names[at] for at in order.tolist()]
    starts, sizes, crcs = starts[order], sizes[order], crcs[order]
    for (header, body), (name, _) in zip(added, (extras or {}).items(), strict=True):
        names.append(name)
        starts = np.append(starts, start)
        sizes = np.append(sizes, len(body))
        crcs = np.append(crcs, zlib.crc32(body))
        start += len(header) + len(body)
    pieces.append(directory(names, starts, sizes, crcs, start))
    return Pieces(pieces, "application/zip")


def _added(extras: Mapping[str, bytes]) -> list[tuple[bytes, bytes]]:
    return [(local_header(name, len(body), zlib.crc32(body)), body) for name, body in extras.items()]


def _concatenated(columns: Sequence[Any]) -> Any:
    return np.concatenate([np.empty(0, np.int64), *(np.asarray(pc.cast(c, pa.int64())) for c in columns)])


def directory(names: Sequence[str], starts: Any, sizes: Any, crcs: Any, end: int) -> bytes:
    """Return the directory of a zip, and what ends it.

    Parameters
    ----------
    names
        ASCII.
    starts, sizes, crcs
        Where the header of each file begins, bytes (below 4 GiB) and CRC-32 (N int64).
    end
        Where the directory begins.
    """
    count = len(names)
    encoded = [name.encode("ascii") for name in names]
    far = np.asarray(starts) >= _MAX32
    lines = np.zeros(count, _CENTRAL)
    lines["signature"] = b"PK\1\2"
    lines["made_by"] = (3 << 8) | _VERSION64
    lines["needs"] = np.where(far, _VERSION64, _VERSION)
    lines["date"] = _DATE
    lines["crc32"] = crcs
    lines["stored"] = lines["size"] = sizes
    lines["name"] = [len(name) for name in encoded]
    lines["extra"] = np.where(far, _EXTRA64.itemsize, 0)
    lines["external"] = _UNIX_FILE
    lines["offset"] = np.where(far, _MAX32, starts)
    extra = np.zeros(count, _EXTRA64)
    extra["id"], extra["size"], extra["offset"] = 1, 8, starts
    fixed, extras = lines.tobytes(), extra.tobytes()
    out = []
    for at, (name, beyond) in enumerate(zip(encoded, far.tolist(), strict=True)):
        out.append(fixed[at * _CENTRAL.itemsize : (at + 1) * _CENTRAL.itemsize])
        out.append(name)
        if beyond:
            out.append(extras[at * _EXTRA64.itemsize : (at + 1) * _EXTRA64.itemsize])
    body = b"".join(out)
    return body + _ending(count, len(body), end)


def _ending(count: int, length: int, start: int) -> bytes:
    """Return the end record; before it the Zip64 one and its locator, where a number does not fit."""
    ending = b""
    if count >= _MAX16 or length >= _MAX32 or start >= _MAX32:
        made_by = (3 << 8) | _VERSION64
        ending = _END64.pack(
            b"PK\6\6", _END64.size - 12, made_by, _VERSION64, 0, 0, count, count, length, start
        ) + _LOCATOR.pack(b"PK\6\7", 0, start + length, 1)
    files = min(count, _MAX16)
    return ending + _END.pack(b"PK\5\6", 0, 0, files, files, min(length, _MAX32), min(start, _MAX32), 0)
