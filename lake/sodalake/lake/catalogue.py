"""The `files` table: which files a survey has, and what readers may see of them.

Every ingested file has a number and a state. Both access paths, the index rows and the Parquet files, show committed
files only, so one put of a file's record makes all its rows appear at once. The table's keys:

=========================== ===================================================================================
key                         cell ``f``
=========================== ===================================================================================
``0000000012``              the file's record (JSON)
``0000000012_0000000345``   rows of file 12 that file 345 has superseded (uint32 array); counts once 345 is
                            committed
``change_000000000042``     the 42nd commit: numbers of the files it touched (JSON), so that a running server
                            reads only what is new
``generation``              the number of the last change
``ingest``                  who is writing now (JSON); see `sodalake.lake.lease`
``schema_00003``            columns of the packed rows with schema number 3 (JSON)
=========================== ===================================================================================
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from .errors import Unavailable
from .files import path_of
from .packing import Packing
from .rows.protocol import RowStore

__all__ = ["Catalogue", "FileRecord", "FileView"]

GROUP = "f"
_GENERATION = b"generation"
_RETRIES = 50

State = Literal["pending", "committed", "superseded"]


@dataclass(frozen=True, slots=True)
class FileRecord:
    """One file of a survey's archive.

    Attributes
    ----------
    number
        Its number, given once; stamp places point to it.
    url, size, mtime
        Where it is, bytes, seconds since 1970 when last written.
    checksum
        SHA-256 of its Parquet footer, hex: tells whether an equally named file is the same. Of images, of what the
        survey's file says of them: tells whether they are to be indexed anew.
    state
        pending while its rows are being written; committed; superseded by a newer file of the same URL.
    rows, skipped
        Alerts indexed, and rows that could not be.
    night
        Civil date of its folder, ``YYYYMMDD``, or empty.
    first, last
        Earliest and latest time of its alerts (the survey's own scale), or None without rows.
    origin
        The Avro file it was made from, else empty.
    replaces
        Number of the file of the same URL it was ingested over.
    tables
        Index tables that hold its alerts, besides `alert` and `object`. A file from before a table was thought of
        lacks it, until `sodalake.lake.reindexing` fills it in.
    orders
        Of images: orders of HEALPix that they are entered in the sky index at (`sodalake.lake.images.outlineindex`).
    scales
        Of those of each of these orders, the coarsest pixels, arcseconds; empty where an older sodalake wrote it.
    beside
        Of images: files that planes of theirs were looked for in (name in the folder of the file, or URL), and when
        each was last written, None where there was none.
    """

    number: int
    url: str
    size: int
    mtime: float
    checksum: str = ""
    state: State = "pending"
    rows: int = 0
    skipped: int = 0
    night: str = ""
    first: float | None = None
    last: float | None = None
    origin: str = ""
    replaces: int | None = None
    tables: tuple[str, ...] = ()
    orders: tuple[int, ...] = ()
    scales: tuple[float, ...] = ()
    beside: tuple[tuple[str, float | None], ...] = ()

    @property
    def key(self) -> bytes:
        """The record's row key."""
        return b"%010d" % self.number

    def to_json(self) -> bytes:
        """Return the record as its cell."""
        return json.dumps(asdict(self), separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, cell: bytes) -> FileRecord:
        """Read a record's cell."""
        stored = json.loads(cell)
        return cls(**{
            **stored, "tables": tuple(stored.get("tables", ())), "orders": tuple(stored.get("orders", ())),
            "scales": tuple(stored.get("scales", ())),
            "beside": tuple((name, mtime) for name, mtime in stored.get("beside", ())),
        })  # fmt: skip


@dataclass(slots=True)
class FileView:
    """What one moment's reader knows: records by number and by path, and superseded rows by file."""

    generation: int = -1
    records: dict[int, FileRecord] = field(default_factory=dict)
    by_path: dict[str, int] = field(default_factory=dict)
    superseded: dict[int, dict[int, npt.NDArray[np.uint32]]] = field(default_factory=dict)

    def visible(self, number: int) -> bool:
        """Say whether rows of this file may be seen."""
        record = self.records.get(number)
        return record is not None and record.state == "committed"

    def row_visible(self, number: int, row: int) -> bool:
        """Say whether one row of a file may be seen: its file committed, itself not superseded."""
        if not self.visible(number):
            return False
        for by, rows in self.superseded.get(number, {}).items():
            if self.visible(by):
                at = int(np.searchsorted(rows, row))
                if at < len(rows) and rows[at] == row:
                    return False
        return True

    def hidden_by(self, number: int) -> tuple[int, ...] | None:
        """Return the files that hide some of a file's rows, by number; None where the file itself may not be seen."""
        if not self.visible(number):
            return None
        return tuple(sorted(by for by in self.superseded.get(number, {}) if self.visible(by)))

    def rows_visible(self, number: int, rows: npt.NDArray[np.uint32]) -> npt.NDArray[np.bool_]:
        """Say of each of a file's rows whether it may be seen: `row_visible` for many."""
        if not self.visible(number):
            return np.zeros(len(rows), np.bool_)
        seen = np.ones(len(rows), np.bool_)
        for by, lost in self.superseded.get(number, {}).items():
            if self.visible(by):
                seen &= ~np.isin(rows, lost)
        return seen

    def committed(self, record: FileRecord, lost: Mapping[int, Iterable[int]]) -> FileView:
        """Return the view once a file is committed that supersedes these rows of others."""
        records = {**self.records, record.number: replace(record, state="committed")}
        if record.replaces in records:
            records[record.replaces] = replace(records[record.replaces], state="superseded")
        superseded = dict(self.superseded)
        for number, rows in lost.items():
            mine = np.unique(np.fromiter(rows, np.uint32))
            superseded[number] = {**superseded.get(number, {}), record.number: mine}
        return FileView(self.generation, records, self.by_path, superseded)

    def lacking(self, table: str) -> list[FileRecord]:
        """Return the files that may be seen and have alerts, but none of them in index table `table`."""
        return [
            record
            for record in self.records.values()
            if record.state == "committed" and record.rows and table not in record.tables
        ]


class Catalogue:
    """The `files` table of one survey.

    A reader calls `view`: it asks the store for the generation at most once in `max_age` seconds and then reads
    the changes since. A writer (one at a time a survey, by its lease) calls `begin`, `supersede` and `commit`.
    """

    def __init__(self, rows: RowStore, survey: str, *, max_age: float = 1.0) -> None:
        self._rows = rows
        self.table = f"{survey}.files"
        self._max_age = max_age
        self._lock = threading.Lock()
        self._view = FileView()
        self._checked = -1e9
        self._packings: dict[int, Packing] = {}
        self._last = 0  # the highest number given; of use to the one who writes

    def create(self) -> None:
        """Make the table."""
        self._rows.create(self.table, [GROUP])

    # ------------------------------------------------------------------ reading

    def view(self, *, fresh: bool = False) -> FileView:
        """Return the current view, at most `max_age` seconds old (with `fresh`, of now)."""
        if not fresh and time.monotonic() - self._checked < self._max_age:
            return self._view
        with self._lock:
            asked = time.monotonic()
            if fresh or asked - self._checked >= self._max_age:
                cells = self._rows.get(self.table, _GENERATION, [GROUP])
                generation = int(cells[0]) if cells and cells[0] else 0
                if generation != self._view.generation:
                    self._view = self._advance(self._view, generation)
                self._checked = asked
            return self._view

    def _advance(self, old: FileView, generation: int) -> FileView:
        if old.generation < 0:
            return self._load(generation)
        numbers: set[int] = set()
        start, stop = b"change_%012d" % (old.generation + 1), b"change_%012d" % (generation + 1)
        for _, (cell,) in self._rows.scan(self.table, start, stop, [GROUP]):
            numbers.update(json.loads(cell or b"[]"))
        # The new view shares nothing that changes: a request keeps the view it began with.
        view = FileView(generation, dict(old.records), dict(old.by_path), dict(old.superseded))
        for number in sorted(numbers):
            self._read_into(view, b"%010d" % number, b"%010d`" % number)
        return view

    def _load(self, generation: int) -> FileView:
        view = FileView(generation)
        self._read_into(view, b"0", b":")
        return view

    def _read_into(self, view: FileView, start: bytes, stop: bytes) -> None:
        for key, (cell,) in self._rows.scan(self.table, start, stop, [GROUP]):
            if cell is None:
                continue
            number, _, by = key.partition(b"_")
            if by:
                mine = dict(view.superseded.get(int(number), {}))
                mine[int(by)] = np.frombuffer(cell, "<u4")
                view.superseded[int(number)] = mine
                continue
            record = FileRecord.from_json(cell)
            view.records[record.number] = record
            if record.state == "committed":
                view.by_path[path_of(record.url)] = record.number

    def records(self) -> list[FileRecord]:
        """Return every record, pending ones too, in the order of their numbers: the state of the moment."""
        return [
            FileRecord.from_json(cell)
            for key, (cell,) in self._rows.scan(self.table, b"0", b":", [GROUP])
            if cell is not None and b"_" not in key
        ]

    # ------------------------------------------------------------------ packings

    def packings(self, numbers: Iterable[int] = ()) -> dict[int, Packing]:
        """Return the known packings by schema number, reading the table for any of `numbers` not yet known."""
        if any(number not in self._packings for number in numbers) or not self._packings:
            for key, (cell,) in self._rows.scan(self.table, b"schema_", b"schema`", [GROUP]):
                number = int(key.rpartition(b"_")[2])
                if cell is not None and number not in self._packings:
                    self._packings[number] = Packing.from_json(cell.decode())
        return self._packings

    def packing_for(self, schema: pa.Schema) -> Packing:
        """Return the packing of a flat schema, giving it a number if it is new."""
        for _ in range(_RETRIES):
            known = self.packings()
            same = next((p for p in known.values() if p.packs(schema)), None)
            if same is not None:
                return same
            number = max(known, default=0) + 1
            fresh = Packing(schema, number)
            key = b"schema_%05d" % number
            if self._rows.check_and_put(self.table, key, GROUP, None, fresh.to_json().encode()):
                self._packings[number] = fresh
                return fresh
            self._packings = {}
        raise Unavailable(f"Could not register a schema in {self.table}.", "Try the ingest again.")

    # ------------------------------------------------------------------ writing

    def begin(self, record: FileRecord) -> FileRecord:
        """Write a pending record under the next free number and return it."""
        for _ in range(_RETRIES):
            if not self._last:  # read once: an ingest of n files would read n times n records
                self._last = max((r.number for r in self.records()), default=0)
            numbered = replace(record, number=self._last + 1, state="pending")
            if self._rows.check_and_put(self.table, numbered.key, GROUP, None, numbered.to_json()):
                self._last = numbered.number
                return numbered
            self._last = 0  # another writer was here since
        raise Unavailable(f"Could not number {record.url} in {self.table}.", "Try the ingest again.")

    def supersede(self, by: int, rows: Mapping[int, Sequence[int]]) -> None:
        """Note the rows of other files that file `by` replaces; readers heed it once `by` is committed."""
        self._rows.put_many(
            self.table,
            [
                (b"%010d_%010d" % (number, by), {GROUP: np.unique(np.asarray(lost, "<u4")).tobytes()})
                for number, lost in rows.items()
                if len(lost)
            ],
        )

    def commit(self, record: FileRecord, touched: Iterable[int] = ()) -> None:
        """Make a file's rows visible, and tell running readers which files changed."""
        numbers = {record.number, *touched}
        self._rows.put_many(self.table, [(record.key, {GROUP: record.to_json()})])
        if record.replaces is not None:
            cells = self._rows.get(self.table, b"%010d" % record.replaces, [GROUP])
            if cells and cells[0]:
                old = replace(FileRecord.from_json(cells[0]), state="superseded")
                self._rows.put_many(self.table, [(old.key, {GROUP: old.to_json()})])
                numbers.add(old.number)
        self._announce(sorted(numbers))

    def fill(self, record: FileRecord, tables: Iterable[str]) -> FileRecord:
        """Note that a committed file's alerts are in some index tables now; return its record."""
        filled = replace(record, tables=tuple(sorted({*record.tables, *tables})))
        self._rows.put_many(self.table, [(filled.key, {GROUP: filled.to_json()})])
        self._announce([filled.number])
        return filled

    def _announce(self, numbers: list[int]) -> None:
        for _ in range(_RETRIES):
            cells = self._rows.get(self.table, _GENERATION, [GROUP])
            before = cells[0] if cells else None
            following = int(before or 0) + 1
            # The change is written before the generation that makes readers look for it; one left behind by a
            # writer that died in between is kept.
            key = b"change_%012d" % following
            if not self._rows.check_and_put(self.table, key, GROUP, None, json.dumps(numbers).encode()):
                cells = self._rows.get(self.table, key, [GROUP])
                both = sorted({*numbers, *json.loads((cells and cells[0]) or b"[]")})
                self._rows.put_many(self.table, [(key, {GROUP: json.dumps(both).encode()})])
            if self._rows.check_and_put(self.table, _GENERATION, GROUP, before, b"%d" % following):
                return
        raise Unavailable(f"Could not announce a commit in {self.table}.", "Try the ingest again.")
