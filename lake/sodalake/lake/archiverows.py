"""Alerts as Arrow tables of flat columns, from the archive's Parquet files: for what no index serves.

Only the leaf columns that are asked for are read. Rows that ingest left out, and those that a newer file has
superseded, are not shown; a file that has none of either, as its record says, is given as it is read. What comes is
what `sodalake.lake.alertrows` gives of the same alerts: the same columns, types and values.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from .catalogue import FileRecord, FileView
from .chunks import refuse_encrypted
from .errors import Damaged
from .files import OpenFile, SourceFile, open_source, path_of
from .flatrows import conformed, flat_schema, of_names
from .flatten import FlatColumn, essentials, flat_columns, flatten, needed_columns
from .indexing import footer_checksum
from .lake import Lake
from .rows import check_time
from .survey import Survey

__all__ = ["ArchiveRows"]

_OPEN = 512  # files held open, with their footers
_ROWS = 100_000  # of a table at most
# Bytes a value, indices and dictionary together, below which a text is read as a dictionary: 3 ms a million rows where
# the texts themselves take 20. Of long dictionaries (ids), the dictionary takes longer: 55 ms against 30.
_CHEAP = 3


@dataclass(slots=True)
class _Held:
    """A file of the archive, open: its footer, its flat columns, and the rows in it that ingest left out."""

    url: str
    source: OpenFile
    metadata: pq.FileMetaData
    columns: dict[str, FlatColumn]
    needed: list[str]
    cheap: frozenset[str]
    starts: list[int]
    left_out: npt.NDArray[np.uint32] | None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def opened(self, dictionaries: Sequence[str] = ()) -> pq.ParquetFile:
        """Return a reader for one thread; some texts as dictionaries."""
        local = urlsplit(self.url).scheme == "file"
        file = pa.OSFile(path_of(self.url)) if local else SourceFile(self.source)
        return pq.ParquetFile(
            file, metadata=self.metadata, read_dictionary=list(dictionaries), pre_buffer=True
        )


class ArchiveRows:
    """Reads alerts of a lake from its archive's files. Blocking; may be used from any thread.

    Parameters
    ----------
    lake
        An open lake.
    """

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._lock = threading.Lock()
        self._held: OrderedDict[tuple[str, int], _Held] = OrderedDict()

    def files(
        self,
        survey: Survey,
        first: float = -math.inf,
        last: float = math.inf,
        *,
        view: FileView | None = None,
    ) -> list[FileRecord]:
        """Return the files that may be seen and may have alerts from `first` to `last` (days, both included).

        Parameters
        ----------
        view
            What may be seen; None: what may be seen now.
        """
        view = view or self._lake.catalogue(survey.name).view(fresh=True)
        return [
            record
            for _, record in sorted(view.records.items())
            if record.state == "committed"
            and record.rows
            and (record.last is None or record.last >= first)
            and (record.first is None or record.first <= last)
        ]

    def read(
        self,
        survey: Survey,
        records: Sequence[FileRecord],
        names: Sequence[str],
        *,
        threads: bool = True,
        dictionaries: bool = True,
        view: FileView | None = None,
    ) -> Iterator[pa.Table]:
        """Yield the alerts of some files, a row group after the other, at most 100 000 a table.

        Parameters
        ----------
        names
            Flat columns; one that the lake has not is of type null.
        threads
            Whether columns are decoded side by side.
        dictionaries
            Whether texts of few values may come as dictionaries of int32 and string, which costs a sixth. They then do
            in every table of this call: which columns, the first file says.
        view
            Who asked `files` with a view gives it here too, so that what is committed in between changes nothing.

        Raises
        ------
        FileGone, Damaged
            A file is gone, or is not what was ingested.
        DeadlineExceeded
            The time that `sodalake.lake.rows.within` gave has passed.
        Unavailable
            The file system does not answer.
        """
        view = view or self._lake.catalogue(survey.name).view(fresh=True)
        schema = of_names(flat_schema(self._lake, survey), names)
        coded: frozenset[str] | None = None if dictionaries else frozenset()
        for record in records:
            check_time()
            held = self._file(survey, record)
            if coded is None:
                texts = {field.name for field in schema if pa.types.is_string(field.type)}
                coded = held.cheap & texts
            for table in self._of_file(survey, held, record, schema, coded, threads, view):
                for start in range(0, table.num_rows, _ROWS):
                    # Arrow believes whatever length is asked for of a table without columns.
                    yield table.slice(start, min(_ROWS, table.num_rows - start))

    def _of_file(
        self,
        survey: Survey,
        held: _Held,
        record: FileRecord,
        schema: pa.Schema,
        coded: frozenset[str],
        threads: bool,
        view: FileView,
    ) -> Iterator[pa.Table]:
        columns = [held.columns[name] for name in schema.names if name in held.columns]
        leaves = list(dict.fromkeys(column.leaf for column in columns))
        file = held.opened([column.leaf for column in columns if column.name in coded & held.cheap])
        hidden = self._hidden(survey, held, record, view)
        for group, (first, after) in enumerate(zip(held.starts, held.starts[1:], strict=False)):
            check_time()
            if leaves:
                try:
                    nested = file.read_row_group(group, columns=leaves, use_threads=threads)
                except (pa.ArrowException, OSError) as error:
                    raise Damaged(
                        f"{record.url}: its columns cannot be decoded: {error}", "Check the file."
                    ) from error
                flat = flatten(nested, survey, columns, dictionaries=True)
            else:
                flat = pa.table({"": pa.nulls(after - first)})
            lost = hidden[np.searchsorted(hidden, first) : np.searchsorted(hidden, after)]
            if len(lost):
                keep = np.ones(after - first, np.bool_)
                keep[lost - first] = False
                flat = flat.filter(pa.array(keep))
            if flat.num_rows:
                yield _coded(conformed(flat, schema, dictionaries=True), schema, coded)

    def _hidden(
        self, survey: Survey, held: _Held, record: FileRecord, view: FileView
    ) -> npt.NDArray[np.int64]:
        """Return the rows of a file that are not shown, sorted."""
        if not view.visible(record.number):
            return np.arange(held.metadata.num_rows)
        with held.lock:
            if held.left_out is None:
                held.left_out = self._left_out(survey, held)
        hidden = [rows for by, rows in view.superseded.get(record.number, {}).items() if view.visible(by)]
        return np.unique(np.concatenate([held.left_out, *hidden])).astype(np.int64)

    @staticmethod
    def _left_out(survey: Survey, held: _Held) -> npt.NDArray[np.uint32]:
        """Return the rows of a file that ingest left out: what their keys are made of is read again, once."""
        file = held.opened()
        parts = []
        for group, first in enumerate(held.starts[:-1]):
            about = essentials(file.read_row_group(group, columns=held.needed), survey)
            parts.append(np.flatnonzero(~about.keep) + first)
        return np.concatenate([np.empty(0, np.uint32), *parts]).astype(np.uint32)

    def _file(self, survey: Survey, record: FileRecord) -> _Held:
        key = survey.name, record.number
        with self._lock:
            held = self._held.get(key)
            if held is not None:
                self._held.move_to_end(key)
                return held
        fresh = _open(survey, record)
        with self._lock:
            held = self._held.setdefault(key, fresh)
            while len(self._held) > _OPEN:
                self._held.popitem(last=False)
        return held


def _open(survey: Survey, record: FileRecord) -> _Held:
    source = open_source(record.url)
    try:
        if source.size != record.size or footer_checksum(source) != record.checksum:
            raise Damaged(f"{record.url} changed since its ingest.", "Ingest it again.")
        file = pq.ParquetFile(SourceFile(source))
        metadata = file.metadata
        refuse_encrypted(source, metadata)
        schema = file.schema_arrow
    except (pa.ArrowException, OSError) as error:
        raise Damaged(f"{record.url} is not a readable Parquet file: {error}") from error
    starts = np.cumsum([0, *(metadata.row_group(at).num_rows for at in range(metadata.num_row_groups))])
    columns = {column.name: column for column in flat_columns(schema, survey)}
    return _Held(
        record.url,
        source,
        metadata,
        columns,
        needed_columns(schema, survey),
        frozenset(name for name, column in columns.items() if _is_cheap(metadata, column)),
        starts.tolist(),
        None if record.skipped else np.empty(0, np.uint32),
    )


def _is_cheap(metadata: pq.FileMetaData, column: FlatColumn) -> bool:
    """Say whether a column is of texts that the file has as short dictionaries."""
    at = next((i for i in range(metadata.num_columns) if metadata.schema.column(i).path == column.path), None)
    if at is None or metadata.schema.column(at).logical_type.type != "STRING":
        return False
    chunks = [metadata.row_group(group).column(at) for group in range(metadata.num_row_groups)]
    return all(
        chunk.has_dictionary_page and chunk.total_uncompressed_size <= _CHEAP * chunk.num_values
        for chunk in chunks
    )


def _coded(table: pa.Table, schema: pa.Schema, coded: frozenset[str]) -> pa.Table:
    """Return a table in which just the `coded` columns are dictionaries."""
    for at, one in enumerate(table.schema):
        is_coded = pa.types.is_dictionary(one.type)
        if is_coded and one.name not in coded:
            table = table.set_column(at, schema.field(at), table.column(at).cast(pa.string()))
        elif not is_coded and one.name in coded:
            column = table.column(at).dictionary_encode()
            table = table.set_column(at, pa.field(one.name, column.type), column)
    return table
