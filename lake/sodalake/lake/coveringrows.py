"""What a row of the index tables `sky`, `time` and `class` holds, and which of many rows a reader may see.

The cell is a version (`sodalake.lake.versions`) of

    row in the file (uint32) | the covering columns, packed (`sodalake.lake.packing`)

so that a question is answered from this table alone: the file and the row say whether the alert may be seen, the
columns are what people ask of a cone or a range of time. Which columns is said by the survey file
(`Survey.covering_names`); a file of the archive that lacks one leaves it out.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from .catalogue import Catalogue, FileView
from .errors import Damaged
from .packing import unpack
from .survey import Survey
from .versions import SINGLE, versions, wrap

__all__ = [
    "GROUP",
    "PAYLOAD",
    "Chosen",
    "CoveringRows",
    "chosen",
    "covering_payloads",
    "refreshed",
    "seen_rows",
    "visible_rows",
]

GROUP = "c"
"""The column group of the tables."""

_ROW = struct.Struct("<I")

PAYLOAD = SINGLE + _ROW.size
"""Bytes in front of the packed columns in a cell of one version."""

# The beginning of a cell with one version: how many, file, length, row, number of the packed row's schema.
_HEAD = np.dtype([("count", "u1"), ("file", "<u4"), ("length", "<u4"), ("row", "<u4"), ("schema", "<u2")])

_Heads = np.ndarray[tuple[int], np.dtype[np.void]]


def covering_payloads(
    catalogue: Catalogue, survey: Survey, table: pa.Table, rows: npt.NDArray[np.int64]
) -> list[bytes]:
    """Return what N alerts have in the covering index tables.

    Parameters
    ----------
    table, rows
        Flat columns, and rows in the file, of N alerts.
    """
    there = set(table.column_names)
    covering = table.select([name for name in survey.covering_names if name in there])
    packed = catalogue.packing_for(covering.schema).pack(covering)
    heads = rows.astype("<u4").tobytes()
    return [heads[4 * at : 4 * at + 4] + load for at, load in enumerate(packed)]


@dataclass(frozen=True, slots=True)
class Chosen:
    """Those of many cells whose alerts may be seen (M of N).

    Attributes
    ----------
    which
        Their indices into the N.
    cells
        Cells of one version each.
    files, rows
        File numbers, and rows in the files.
    schemas
        The two bytes after the row: where packed columns follow it, the number of their schema.
    """

    which: npt.NDArray[np.intp]
    cells: list[bytes]
    files: npt.NDArray[np.uint32]
    rows: npt.NDArray[np.uint32]
    schemas: npt.NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class CoveringRows:
    """Rows of a covering index table that may be seen (N).

    Attributes
    ----------
    keys
        Their keys, in the table's order.
    cells, files, rows, schemas
        As `Chosen` has them.
    """

    keys: list[bytes]
    cells: list[bytes]
    files: npt.NDArray[np.uint32]
    rows: npt.NDArray[np.uint32]
    schemas: npt.NDArray[np.uint16]

    def columns(self, catalogue: Catalogue, names: Sequence[str]) -> pa.Table:
        """Return covering columns (of type null where the archive has none of a name); N rows."""
        packings = catalogue.packings(np.unique(self.schemas).tolist())
        return unpack(self.cells, packings, names, skip=PAYLOAD)

    def take(self, which: npt.NDArray[np.intp]) -> CoveringRows:
        """Return some of the rows."""
        at = which.tolist()
        keys, cells = [self.keys[one] for one in at], [self.cells[one] for one in at]
        return CoveringRows(keys, cells, self.files[which], self.rows[which], self.schemas[which])

    @staticmethod
    def joined(parts: Sequence[CoveringRows]) -> CoveringRows:
        """Return the rows of several, one after another."""
        return CoveringRows(
            [key for part in parts for key in part.keys],
            [cell for part in parts for cell in part.cells],
            np.concatenate([np.empty(0, np.uint32), *(part.files for part in parts)]),
            np.concatenate([np.empty(0, np.uint32), *(part.rows for part in parts)]),
            np.concatenate([np.empty(0, np.uint16), *(part.schemas for part in parts)]),
        )


def visible_rows(catalogue: Catalogue, keys: Sequence[bytes], cells: Sequence[bytes]) -> CoveringRows:
    """Return those of many rows that may be seen now: of committed files, and superseded by none.

    Raises
    ------
    Damaged
        A cell is too short for what it must hold.
    """
    return seen_rows(refreshed(catalogue, cells), keys, cells)


def seen_rows(view: FileView, keys: Sequence[bytes], cells: Sequence[bytes]) -> CoveringRows:
    """Return those of many rows that a view shows; raises as `visible_rows`."""
    found = chosen(view, cells)
    kept = list(keys) if len(found.which) == len(keys) else [keys[at] for at in found.which.tolist()]
    return CoveringRows(kept, found.cells, found.files, found.rows, found.schemas)


def refreshed(catalogue: Catalogue, cells: Sequence[bytes]) -> FileView:
    """Return a view that knows the files of all these cells, which may have been committed a moment ago."""
    view = catalogue.view()
    heads = _heads(cells)
    several = np.flatnonzero(heads["count"] != 1).tolist()
    numbers = {number for at in several for number, _ in versions(cells[at])}
    numbers.update(np.unique(heads["file"][heads["count"] == 1]).tolist())
    if any(number not in view.records or view.records[number].state == "pending" for number in numbers):
        view = catalogue.view(fresh=True)
    return view


def chosen(view: FileView, cells: Sequence[bytes]) -> Chosen:
    """Return those of N cells whose alerts may be seen; each payload begins with the row in the file (uint32).

    Raises
    ------
    Damaged
        A cell is too short for what it must hold.
    """
    heads = _heads(cells)
    several = np.flatnonzero(heads["count"] != 1).tolist()
    single = list(cells)
    if several:
        for at in several:
            single[at] = _newest(view, list(versions(cells[at])))
        heads = _heads(single)
    seen = np.zeros(len(single), np.bool_)
    # File by file, each once: of images every other row may be of a file of its own.
    by_file = np.argsort(heads["file"], kind="stable")
    numbers, starts = np.unique(heads["file"][by_file], return_index=True)
    stops = np.append(starts, len(by_file))[1:]
    for number, start, stop in zip(numbers.tolist(), starts.tolist(), stops.tolist(), strict=True):
        members = by_file[start:stop]
        seen[members] = view.rows_visible(number, heads["row"][members])
    which = np.flatnonzero(seen)
    if len(which) < len(single):
        single, heads = [single[at] for at in which.tolist()], heads[which]
    return Chosen(which, single, heads["file"].copy(), heads["row"].copy(), heads["schema"].copy())


def _heads(cells: Sequence[bytes]) -> _Heads:
    joined = b"".join([cell[: _HEAD.itemsize] for cell in cells])
    if len(joined) != _HEAD.itemsize * len(cells):
        raise Damaged("A row of an index is cut short.", "Run `sodalake ingest SURVEY --reindex`.")
    return np.frombuffer(joined, _HEAD)


def _newest(view: FileView, found: Sequence[tuple[int, bytes]]) -> bytes:
    """Return a cell with the newest of several versions that may be seen; with the newest of all where none may."""
    for number, payload in reversed(found):
        if view.row_visible(number, *_ROW.unpack_from(payload)):
            return wrap(number, payload)
    return wrap(*found[-1])
