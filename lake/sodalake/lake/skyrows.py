"""What a row of table `sky` holds, and which of many rows a reader may see.

The cell is a version (`sodalake.lake.versions`) of

    row in the file (uint32) | the covering columns, packed (`sodalake.lake.packing`)

so that a cone is answered from this table alone: the file and the row say whether the alert may be seen, the columns
are what people ask of a cone. Which columns is said by the survey file (`Survey.covering_names`); a file of the
archive that lacks one leaves it out.
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
from .keys import sky_keys
from .packing import unpack
from .sky import sky_cells
from .survey import Survey
from .versions import SINGLE, versions, wrap

__all__ = ["GROUP", "TABLE", "SkyRows", "sky_payloads", "visible_rows"]

TABLE = "sky"
GROUP = "c"
"""The column group of the table."""

_ROW = struct.Struct("<I")
_SKIP = SINGLE + _ROW.size
# The beginning of a cell with one version: how many, file, length, row, number of the packed row's schema.
_HEAD = np.dtype([("count", "u1"), ("file", "<u4"), ("length", "<u4"), ("row", "<u4"), ("schema", "<u2")])


def sky_payloads(
    catalogue: Catalogue,
    survey: Survey,
    table: pa.Table,
    alert_ids: pa.Array,
    places: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]],
    rows: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.int64], list[bytes], list[bytes]]:
    """Return what N alerts have in table `sky`.

    Parameters
    ----------
    table, alert_ids, places, rows
        Flat columns, ids, right ascensions and declinations (degrees), and rows in the file, of N alerts.

    Returns
    -------
    which
        The alerts that have a place in the sky (indices into the N).
    keys, payloads
        Theirs.
    """
    cells, there = sky_cells(*places)
    which = np.flatnonzero(there)
    if not len(which):
        return which, [], []
    take = pa.array(which)
    there_are = set(table.column_names)
    names = [name for name in survey.covering_names if name in there_are]
    covering = table.select(names).take(take)
    packed = catalogue.packing_for(covering.schema).pack(covering)
    heads = rows[which].astype("<u4").tobytes()
    payloads = [heads[4 * at : 4 * at + 4] + load for at, load in enumerate(packed)]
    return which, sky_keys(cells, alert_ids.take(take)), payloads


@dataclass(frozen=True, slots=True)
class SkyRows:
    """Rows of table `sky` that may be seen (N).

    Attributes
    ----------
    keys
        Their keys, in the table's order.
    cells
        Cells of one version each.
    files, rows
        File numbers, and rows in the files.
    schemas
        Numbers of the packed rows' schemas.
    """

    keys: list[bytes]
    cells: list[bytes]
    files: npt.NDArray[np.uint32]
    rows: npt.NDArray[np.uint32]
    schemas: npt.NDArray[np.uint16]

    def columns(self, catalogue: Catalogue, names: Sequence[str]) -> pa.Table:
        """Return covering columns (of type null where the archive has none of a name); N rows."""
        packings = catalogue.packings(np.unique(self.schemas).tolist())
        return unpack(self.cells, packings, names, skip=_SKIP)

    def take(self, which: npt.NDArray[np.intp]) -> SkyRows:
        """Return some of the rows."""
        at = which.tolist()
        keys, cells = [self.keys[one] for one in at], [self.cells[one] for one in at]
        return SkyRows(keys, cells, self.files[which], self.rows[which], self.schemas[which])

    @staticmethod
    def joined(parts: Sequence[SkyRows]) -> SkyRows:
        """Return the rows of several, one after another."""
        return SkyRows(
            [key for part in parts for key in part.keys],
            [cell for part in parts for cell in part.cells],
            np.concatenate([np.empty(0, np.uint32), *(part.files for part in parts)]),
            np.concatenate([np.empty(0, np.uint32), *(part.rows for part in parts)]),
            np.concatenate([np.empty(0, np.uint16), *(part.schemas for part in parts)]),
        )


def visible_rows(catalogue: Catalogue, keys: Sequence[bytes], cells: Sequence[bytes]) -> SkyRows:
    """Return those of many rows that may be seen: of committed files, and superseded by none.

    Raises
    ------
    Damaged
        A cell is too short for what it must hold.
    """
    view = catalogue.view()
    heads = _heads(cells)
    several = {at: list(versions(cells[at])) for at in np.flatnonzero(heads["count"] != 1).tolist()}
    numbers = {number for both in several.values() for number, _ in both}
    numbers.update(np.unique(heads["file"][heads["count"] == 1]).tolist())
    if any(number not in view.records or view.records[number].state == "pending" for number in numbers):
        view = catalogue.view(fresh=True)  # committed a moment ago, perhaps
    if several:
        single = list(cells)
        for at, both in several.items():
            single[at] = _newest(view, both)
        cells, heads = single, _heads(single)
    seen = np.zeros(len(cells), np.bool_)
    for number in np.unique(heads["file"]).tolist():
        members = heads["file"] == number
        seen[members] = view.rows_visible(number, heads["row"][members])
    found = SkyRows(
        list(keys), list(cells), heads["file"].copy(), heads["row"].copy(), heads["schema"].copy()
    )
    return found if seen.all() else found.take(np.flatnonzero(seen))


def _heads(cells: Sequence[bytes]) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    joined = b"".join([cell[: _HEAD.itemsize] for cell in cells])
    if len(joined) != _HEAD.itemsize * len(cells):
        raise Damaged("A row of the sky index is cut short.", "Run `sodalake ingest SURVEY --reindex`.")
    return np.frombuffer(joined, _HEAD)


def _newest(view: FileView, found: Sequence[tuple[int, bytes]]) -> bytes:
    """Return a cell with the newest of several versions that may be seen; with the newest of all where none may."""
    for number, payload in reversed(found):
        if view.row_visible(number, *_ROW.unpack_from(payload)):
            return wrap(number, payload)
    return wrap(*found[-1])
