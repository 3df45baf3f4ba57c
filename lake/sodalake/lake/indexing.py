"""Indexing one file: the work that an ingest gives to its worker processes.

The file's stamp columns are walked once for the places of its stamps; its scalar columns become packed rows; both
are written to the `alert` and `object` tables and to the index tables, and the file is committed. Rows of the same
alerts in other files are noted as superseded. Everything here can be done again from the start: the same file under
the same number writes the same rows.
"""

from __future__ import annotations

import hashlib
import io
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .catalogue import FileRecord, FileView
from .chunks import refuse_encrypted
from .coveringrows import GROUP, covering_payloads
from .errors import Damaged, UsageError
from .files import FileStat, OpenFile, SourceFile, open_source, stat
from .flatten import Essentials, essentials, flatten, needed_columns
from .indextables import COVERING, covering_keys, index_tables
from .keys import alert_keys, object_keys
from .lake import Lake
from .places import ABSENT, Place
from .rows.protocol import RowStore
from .stampindex import index_column
from .stamprows import StampRow
from .summarising import OwnDeltas, replace_deltas, stem_of
from .survey import Survey
from .versions import add, versions, wrap
from .writing import write_whole

__all__ = [
    "FileReport",
    "FlatFile",
    "alert_ids",
    "convert_avro",
    "footer_checksum",
    "index_file",
    "opened",
    "read_file",
    "read_flat",
]

_BATCH = 4000
_AVRO_BUFFER = 1 << 20


@dataclass(frozen=True, slots=True)
class FileReport:
    """What was done with one file.

    Attributes
    ----------
    number, url, size
        Of the file.
    rows
        Alerts indexed.
    superseded
        Rows of other files that are now hidden behind this one's.
    skipped
        Rows left out, by reason.
    missing
        Kinds of stamp that the file has no column for.
    places
        Stamps by kind of place (`Kind` names).
    seconds
        Wall time.
    """

    number: int
    url: str
    size: int
    rows: int
    superseded: int
    skipped: Mapping[str, int]
    missing: tuple[str, ...]
    places: Mapping[str, int]
    seconds: float


@dataclass(frozen=True, slots=True)
class FlatFile:
    """The scalar columns of some rows of a file, and the ids in them.

    Attributes
    ----------
    table
        Flat columns (N rows).
    essentials
        Ids, times, and which rows can be indexed (N).
    first
        The first of these rows in the file.
    """

    table: pa.Table
    essentials: Essentials
    first: int


def opened(url: str) -> tuple[OpenFile, pq.ParquetFile]:
    """Return an archive file, open, and as Parquet.

    Raises
    ------
    FileGone, Damaged
        It cannot be read, or is no Parquet file.
    UsageError
        It is encrypted.
    """
    source = open_source(url)
    try:
        file = pq.ParquetFile(SourceFile(source), pre_buffer=True)
        refuse_encrypted(source, file.metadata)  # before pyarrow is asked for a column: it aborts the process
        return source, file
    except (pa.ArrowException, OSError) as error:
        raise Damaged(
            f"{url} is not a readable Parquet file: {error}", "Check how it was written."
        ) from error


def read_flat(file: pq.ParquetFile, survey: Survey, group: int, first: int) -> FlatFile:
    """Return the flat columns of one row group.

    Raises
    ------
    UsageError
        The file lacks a column the survey cannot do without.
    Damaged
        The columns cannot be decoded.
    """
    columns = needed_columns(file.schema_arrow, survey)
    try:
        nested = file.read_row_group(group, columns=columns, use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise Damaged(f"Its columns cannot be decoded: {error}", "Check the file.") from error
    return FlatFile(flatten(nested, survey), essentials(nested, survey), first)


def read_file(url: str, survey: Survey) -> list[FlatFile]:
    """Return the flat columns of a whole file, a `FlatFile` a row group; raises as `read_flat`."""
    source, file = opened(url)
    try:
        flats: list[FlatFile] = []
        for group in range(file.metadata.num_row_groups):
            first = flats[-1].first + flats[-1].table.num_rows if flats else 0
            flats.append(read_flat(file, survey, group, first))
        return flats
    finally:
        source.close()


def alert_ids(url: str, survey: Survey) -> set[str]:
    """Return the alert ids of a file, reading that one column.

    Raises
    ------
    FileGone, Damaged, UsageError, Unavailable
        The file cannot be read, or has no such column.
    """
    source, file = opened(url)
    try:
        path = survey.ids.alert
        column = file.read(columns=[path], use_threads=False).columns
        if not column:
            raise UsageError(f"{url} has no column {path}.", f"Is it a file of {survey.name}?")
        values = column[0]
        for name in path.split(".")[1:]:
            values = pc.struct_field(values, name)
        return set(pc.unique(values).cast(pa.string()).drop_null().to_pylist())
    except (pa.ArrowException, OSError) as error:
        raise Damaged(f"{url}: the column {survey.ids.alert} cannot be decoded: {error}") from error
    finally:
        source.close()


def convert_avro(url: str, target: str) -> FileStat:
    """Turn an Avro file into a Parquet file of the lake, once; return the latter.

    Raises
    ------
    Damaged
        The Avro file cannot be read whole.
    """
    try:
        return stat(target)
    except Damaged:  # not there yet
        pass

    from .avro import avro_to_parquet  # readers share this module, and do without fastavro

    def content(sink: BinaryIO) -> None:
        source = open_source(url)
        try:
            avro_to_parquet(io.BufferedReader(SourceFile(source), _AVRO_BUFFER), sink, name=url)
        finally:
            source.close()

    write_whole(target, content)
    return stat(target)


def index_file(lake_url: str, survey_name: str, record: FileRecord) -> FileReport:
    """Index one file and commit it.

    Parameters
    ----------
    record
        Its pending record, with its number.

    Raises
    ------
    FileGone, Damaged
        The file cannot be read; nothing of it can be seen, and its record stays pending.
    UsageError
        It is not a file of this survey.
    Unavailable
        A back end does not answer.
    """
    began = time.monotonic()
    lake = Lake.open(lake_url)
    try:
        return _Indexing(lake, lake.survey(survey_name), record).run(began)
    finally:
        lake.close()


class _Indexing:
    """One file on its way into the lake."""

    def __init__(self, lake: Lake, survey: Survey, record: FileRecord) -> None:
        self._rows: RowStore = lake.rows
        self._survey, self._record = survey, record
        self._alert, self._object = f"{survey.name}.alert", f"{survey.name}.object"
        self._catalogue = lake.catalogue(survey.name)
        self._lost: dict[int, list[int]] = {}
        self._bereft: dict[int, dict[bytes, set[int]]] = {}  # of `_lost`, by object
        self._superseded = 0
        self._own = OwnDeltas(lake.rows, survey, record.number)
        self._seen: dict[bytes, int] = {}
        self._skipped: Counter[str] = Counter()
        self._first, self._last = np.inf, -np.inf

    @cached_property
    def _view(self) -> FileView:
        """What others see; read when the first alert is met that another file has, which most files have none of."""
        return self._catalogue.view(fresh=True)

    def run(self, began: float) -> FileReport:
        """Do all of it."""
        record = self._record
        source, file = opened(record.url)
        try:
            places, missing = self._places(source, file)
            first = 0
            for group in range(file.metadata.num_row_groups):
                flat = read_flat(file, self._survey, group, first)
                for start in range(0, flat.table.num_rows, _BATCH):
                    self._write(flat, places, start, min(start + _BATCH, flat.table.num_rows))
                first += flat.table.num_rows
            checksum = footer_checksum(source)
        finally:
            source.close()
        self._own.write(self._lost.get(record.number, ()))
        done = replace(
            record,
            state="committed",
            checksum=checksum,
            rows=len(self._seen),
            skipped=sum(self._skipped.values()),
            night=_night(record.url),
            first=float(self._first) if self._seen else None,
            last=float(self._last) if self._seen else None,
            tables=index_tables(self._survey),
        )
        if self._bereft:
            after = self._view.committed(done, self._lost)
            replace_deltas(self._rows, self._catalogue, self._survey, after, record.number, self._bereft)
        self._catalogue.supersede(record.number, self._lost)
        self._catalogue.commit(done, self._lost)
        counts = Counter(place.kind.name for column in places for place in column)
        return FileReport(
            number=record.number,
            url=record.url,
            size=record.size,
            rows=len(self._seen),
            superseded=self._superseded,
            skipped=dict(self._skipped),
            missing=missing,
            places=dict(counts),
            seconds=time.monotonic() - began,
        )

    def _places(
        self, source: OpenFile, file: pq.ParquetFile
    ) -> tuple[list[Sequence[Place]], tuple[str, ...]]:
        """Return the places of each kind of stamp, and the kinds there is no column for."""
        metadata = file.metadata
        there = {metadata.schema.column(i).path for i in range(metadata.num_columns)}
        places: list[Sequence[Place]] = []
        missing = []
        for kind, path in self._survey.stamps.kinds.items():
            if path in there:
                places.append(index_column(source, metadata, path))
            else:
                missing.append(kind)
                places.append([ABSENT] * metadata.num_rows)
        return places, tuple(missing)

    def _write(self, flat: FlatFile, places: Sequence[Sequence[Place]], start: int, stop: int) -> None:
        """Write the rows `[start, stop)` of a row group."""
        about = flat.essentials
        for skipped in about.skipped:
            if start <= skipped.row < stop:
                self._skipped[skipped.reason] += 1
        kept = np.flatnonzero(about.keep[start:stop]) + start
        if not len(kept):
            return
        take = pa.array(kept)
        ids, times = about.alert_ids.take(take), about.times[kept]
        self._first, self._last = min(self._first, times.min()), max(self._last, times.max())
        alerts = alert_keys(ids)
        object_ids = about.object_ids.take(take)
        objects = object_keys(object_ids, times, ids)
        rows = (kept + flat.first).tolist()
        for key, row in zip(alerts, rows, strict=True):
            before = self._seen.get(key)
            if before is not None:  # the same alert twice in one file: the later row counts
                self._lost.setdefault(self._record.number, []).append(before)
            self._seen[key] = row
        table = flat.table.take(take)
        packed = self._catalogue.packing_for(table.schema).pack(table)
        entries = StampRow.pack_many(rows, places)
        rivals = self._rivals(alerts)
        put = partial(self._cell, rivals)
        self._rows.put_many(
            self._object,
            [
                (key, {"d": put(key, "d", load), "s": put(key, "s", entry)})
                for key, load, entry in zip(objects, packed, entries, strict=True)
            ],
        )
        payloads = covering_payloads(self._catalogue, self._survey, table, kept + flat.first)
        self._own.add(object_ids, times, kept + flat.first, payloads)
        places_of = about.ra[kept], about.dec[kept]
        for name, which, keys in covering_keys(self._survey, table, ids, times, places_of, COVERING):
            loads = [payloads[at] for at in which.tolist()]
            self._write_covering(name, keys, loads, [alerts[at] in rivals for at in which.tolist()])
        # The alert's row comes last: who finds it finds its object's row.
        self._rows.put_many(
            self._alert,
            [
                (key, {"p": put(key, "p", entry + epoch)})
                for key, entry, epoch in zip(alerts, entries, objects, strict=True)
            ],
        )

    def _write_covering(
        self, table: str, keys: Sequence[bytes], payloads: Sequence[bytes], rivalled: Sequence[bool]
    ) -> None:
        """Write what a covering table has of some alerts; `rivalled` are those that a committed file has too."""
        name = f"{self._survey.name}.{table}"
        # An alert that has not moved stands under the same key in both files.
        known = [key for key, both in zip(keys, rivalled, strict=True) if both]
        found = self._rows.get_many(name, known, [GROUP]) if known else []
        before = {
            key: {GROUP: cells[0]} for key, cells in zip(known, found, strict=True) if cells and cells[0]
        }
        self._rows.put_many(
            name,
            [
                (key, {GROUP: self._cell(before, key, GROUP, load)})
                for key, load in zip(keys, payloads, strict=True)
            ],
        )

    def _cell(
        self, rivals: Mapping[bytes, Mapping[str, bytes]], key: bytes, group: str, payload: bytes
    ) -> bytes:
        """Return the cell to write: with the version others still see, where there is one."""
        cells = rivals.get(key)
        if cells is None:
            return wrap(self._record.number, payload)
        record = self._record
        return add(cells.get(group), record.number, payload, self._view.visible, record.replaces)

    def _rivals(self, alerts: Sequence[bytes]) -> dict[bytes, dict[str, bytes]]:
        """Return the cells, alerts' and objects', that committed files have under these alerts."""
        rivals: dict[bytes, dict[str, bytes]] = {}
        epochs: list[bytes] = []
        for key, cells in zip(alerts, self._rows.get_many(self._alert, alerts, ["p"]), strict=True):
            if not cells or not cells[0]:
                continue
            rivals[key] = {"p": cells[0]}
            for number, packed in versions(cells[0]):
                entry = StampRow.unpack(packed)
                if number == self._record.number:
                    continue
                # What another file hides already is hidden by this one too: that one may be ingested anew, with less.
                self._superseded += self._view.row_visible(number, entry.row)
                self._lost.setdefault(number, []).append(entry.row)
                bereft = self._bereft.setdefault(number, {})
                bereft.setdefault(stem_of(entry.object_key), set()).add(entry.row)
                epochs.append(entry.object_key)
        if epochs:
            for key, cells in zip(epochs, self._rows.get_many(self._object, epochs, ["d", "s"]), strict=True):
                if cells:
                    rivals[key] = {group: cell for group, cell in zip("ds", cells, strict=True) if cell}
        return rivals


def footer_checksum(source: OpenFile) -> str:
    """Return the SHA-256 of the Parquet footer: it holds every page's offset and size."""
    tail = source.read_at(source.size - 8, 8)
    length = int.from_bytes(tail[:4], "little")
    return hashlib.sha256(source.read_at(source.size - 8 - length, length)).hexdigest()


def _night(url: str) -> str:
    """The civil date in a path: `year=2021/month=11/day=22`, or a folder `20211122`."""
    parts = [re.search(rf"/{name}=(\d+)/", url) for name in ("year", "month", "day")]
    if all(parts):
        year, month, day = (int(part[1]) for part in parts if part)
        return f"{year:04d}{month:02d}{day:02d}"
    found = re.search(r"/((?:19|20)\d\d[01]\d[0-3]\d)/", url)
    return found[1] if found else ""
