"""Rows of table `object`: which of an object's alerts may be seen, and their packed columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .catalogue import FileView
from .coveringrows import chosen
from .errors import Damaged
from .rows import Cells
from .versions import versions, wrap

__all__ = ["EPOCH_GROUPS", "EpochRows", "epoch_rows", "schema_numbers", "version_of"]

EPOCH_GROUPS = ("d", "s")
"""Flat columns, and stamps: the latter say in which row of the file the alert is."""


@dataclass(frozen=True, slots=True)
class EpochRows:
    """Alerts of objects that may be seen (N).

    Attributes
    ----------
    keys
        Of table `object`, in its order.
    cells
        Their flat columns, packed, each a cell of one version.
    files, rows
        File numbers, and rows in the files.
    """

    keys: list[bytes]
    cells: list[bytes]
    files: npt.NDArray[np.uint32]
    rows: npt.NDArray[np.uint32]


def epoch_rows(view: FileView, rows: Iterable[tuple[bytes, Cells]]) -> EpochRows:
    """Return those of some rows (of `EPOCH_GROUPS`) that a view shows.

    Raises
    ------
    Damaged
        A row has stamps but no columns.
    """
    there = [(key, data, stamps) for key, (data, stamps) in rows if data and stamps]
    seen = chosen(view, [stamps for _, _, stamps in there])
    keys, cells = [], []
    for at, number in zip(seen.which.tolist(), seen.files.tolist(), strict=True):
        key, data, _ = there[at]
        cell = version_of(data, number)
        if cell is None:
            raise Damaged(f"The row {key!r} has stamps but no columns.", "Ingest its file again.")
        keys.append(key)
        cells.append(cell)
    return EpochRows(keys, cells, seen.files, seen.rows)


def version_of(cell: bytes, number: int) -> bytes | None:
    """Return a cell with a file's version alone, or None where it has none."""
    if cell[0] == 1:
        return cell if int.from_bytes(cell[1:5], "little") == number else None
    return next((wrap(number, load) for file, load in versions(cell) if file == number), None)


def schema_numbers(cells: Sequence[bytes], skip: int) -> npt.NDArray[np.uint16]:
    """Return the schema numbers of packed rows that begin `skip` bytes into their cells; `Damaged` where one is cut."""
    joined = b"".join([cell[skip : skip + 2] for cell in cells])
    if len(joined) != 2 * len(cells):
        raise Damaged("A packed row is shorter than its schema number.", "Ingest the row's file again.")
    return np.frombuffer(joined, "<u2")
