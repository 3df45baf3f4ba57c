"""Zips of parts: what zipfile reads, with many files, and far beyond 4 GiB in the directory's arithmetic."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sodalake.sodacut.jobs import Range, UnitReport, zip_pieces
from sodalake.sodacut.jobs.parts import file_name
from sodalake.sodacut.jobs.reports import ENTRIES
from sodalake.sodacut.jobs.zips import directory, local_header


def part(name: str, files: Sequence[tuple[int, str, bytes]], far: int = 0) -> tuple[UnitReport, bytes]:
    """A part as a unit writes it; with `far`, that many bytes of it are only said to be there."""
    body, rows = bytearray(), []
    for row, file, data in files:
        crc = zlib.crc32(data)
        body += local_header(file, len(data), crc)
        place = {"offset": len(body), "bytes": len(data), "crc32": crc}
        rows.append({"row": row, "id": str(row), "file": file, "status": "OK", **place})
        body += data
    rows.append({"row": 10**9, "id": "x", "status": "ERROR"})
    entries = pa.Table.from_pylist(rows, ENTRIES).combine_chunks().to_batches()[0]
    return UnitReport(name, len(body) + far, entries), bytes(body)


def joined(reports: Sequence[tuple[UnitReport, bytes]], extras: dict[str, bytes]) -> bytes:
    made = zip_pieces([report for report, _ in reports], extras)
    bodies = {report.part: body for report, body in reports}
    out = b"".join(
        bodies[one.object][one.offset : one.offset + one.length] if isinstance(one, Range) else one
        for one in made.pieces
    )
    assert len(out) == made.length
    return out


@given(
    st.lists(st.lists(st.binary(max_size=40), max_size=4), max_size=4),
    st.dictionaries(st.sampled_from(["manifest.csv", "manifest.json"]), st.binary(max_size=20)),
)
def test_any_parts_are_a_zip(parts: list[list[bytes]], extras: dict[str, bytes]) -> None:
    count, reports, expected = 0, [], {}
    for number, files in enumerate(parts):
        listed = []
        for data in files:
            count += 1
            listed.append((count, f"{count:06d}_x.fits", data))
            expected[listed[-1][1]] = data
        reports.append(part(f"job/{number}", listed))
    with zipfile.ZipFile(io.BytesIO(joined(reports, extras))) as bundle:
        assert bundle.testzip() is None
        assert {name: bundle.read(name) for name in bundle.namelist()} == {**expected, **extras}
        for info in bundle.infolist():
            assert (info.date_time, info.compress_type) == ((1980, 1, 1, 0, 0, 0), zipfile.ZIP_STORED)
            assert info.external_attr >> 16 == 0o100644


def test_the_directory_is_in_the_users_order() -> None:
    reports = [part("a", [(3, "c", b"3"), (1, "a", b"1")]), part("b", [(2, "b", b"2")])]
    with zipfile.ZipFile(io.BytesIO(joined(reports, {"m": b"!"}))) as bundle:
        assert bundle.namelist() == ["a", "b", "c", "m"]


@pytest.mark.parametrize("count", [65534, 65535, 65536, 70000])
def test_more_files_than_a_plain_zip_can_count(count: int) -> None:
    made = part("a", [(row, f"{row:06d}", b"") for row in range(1, count + 1)])
    body = joined([made], {})
    with zipfile.ZipFile(io.BytesIO(body)) as bundle:
        assert len(bundle.namelist()) == count
        assert bundle.namelist()[-1] == f"{count:06d}"
        assert bundle.open(f"{count:06d}").read() == b""
    assert (b"PK\6\6" in body[-120:]) == (count >= 65535)


def test_files_behind_four_gigabytes() -> None:
    far = 5 * 2**30
    reports = [
        part("a", [(1, "near", b"1")], far),
        part("b", [(2, "beyond", b"22")]),
        part("c", [(3, "last", b"333")]),
    ]
    made = zip_pieces([report for report, _ in reports], {"manifest.csv": b"m"})
    starts = np.cumsum([0, *(report.length for report, _ in reports)])
    assert made.length == starts[-1] + sum(len(one) for one in made.pieces if isinstance(one, bytes))
    tail = made.pieces[-1]
    assert isinstance(tail, bytes)
    body = _Hollow(made.length, tail)
    with zipfile.ZipFile(body) as bundle:
        found = {info.filename: info.header_offset for info in bundle.infolist()}
        assert found == {"near": 0, "beyond": starts[1], "last": starts[2], "manifest.csv": starts[3]}
        assert {info.filename: info.file_size for info in bundle.infolist()} == {
            "near": 1,
            "beyond": 2,
            "last": 3,
            "manifest.csv": 1,
        }


class _Hollow(io.RawIOBase):
    """A file of which only the end is there."""

    def __init__(self, size: int, tail: bytes) -> None:
        self._size, self._tail, self._at = size, tail, 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + {0: 0, 1: self._at, 2: self._size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1) -> bytes:
        start = self._at - (self._size - len(self._tail))
        assert start >= 0, "only the directory is read"
        data = self._tail[start:] if size < 0 else self._tail[start : start + size]
        self._at += len(data)
        return data


@pytest.mark.parametrize("start", [0xFFFFFFFE, 0xFFFFFFFF, 0x100000000])
def test_at_the_very_limit(start: int) -> None:
    tail = directory(["x"], np.array([start]), np.array([1]), np.array([0]), start + 40)
    assert (struct.pack("<HHQ", 1, 8, start) in tail) == (start >= 0xFFFFFFFF)
    with zipfile.ZipFile(_Hollow(start + 40 + len(tail), tail)) as bundle:
        assert bundle.infolist()[0].header_offset == start


@given(st.integers(1, 10**7), st.text(max_size=80), st.sampled_from(["ZTF21a_Science.fits", "a.png"]))
def test_names_are_plain_and_never_meet(row: int, target: str, name: str) -> None:
    made = file_name(row, target, name)
    assert made.isascii()
    assert made.endswith(name)
    assert made.startswith(f"{row:06d}_")
    assert not set(made) & set('/\\:*?"<>| \0')
    assert len(made) < 120
    assert made.partition("_")[0] != file_name(row + 1, target, name).partition("_")[0]
