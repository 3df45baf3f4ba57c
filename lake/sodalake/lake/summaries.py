"""Table `objects`: what each file has of each object, so that an object's summary is a few short rows.

A row is a *delta*, of one object and one file: how many of the file's alerts count, the first and last time, and the
covering columns of the latest of them. A reader adds the deltas of the files that may be seen (`merged`).

When file 7 supersedes alerts of file 3, what file 3 has of their objects is other once 7 may be seen. So 7 writes a
*replacement*: the delta of file 3 `by` file 7, under a key of its own, which counts instead while 7 may be seen. It
takes other replacements into account that may be seen at the time, and says so by its *signature*: a sum over them and
itself. Two files without a common alert are written side by side, and one that was taken into account may later be
replaced itself; then no replacement has the signature of those that may be seen, and the reader counts the object's
alerts in table `object` instead. That is exact, and rare.

The cell:

====== ============= ===================================================
4      file          uint32
4      by            uint32; 0: the file's own delta
4      count         uint32
8, 8   first, last   double, days; zero where there is none
8      signature     uint64; 0 of the file's own delta
rest   columns       packed (`sodalake.lake.packing`), none where count is 0
====== ============= ===================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from .catalogue import FileView
from .errors import Damaged

__all__ = ["HEAD_BYTES", "Deltas", "Merged", "deltas", "heads_of", "latest_of", "merged", "mixed"]

_HEAD = np.dtype(
    [
        ("file", "<u4"),
        ("by", "<u4"),
        ("count", "<u4"),
        ("first", "<f8"),
        ("last", "<f8"),
        ("signature", "<u8"),
    ]
)

HEAD_BYTES = _HEAD.itemsize
"""Bytes in front of a delta's packed columns."""

_END = 22  # bytes of a key behind its object: `_file_by`

_Floats = npt.NDArray[np.float64]
_Integers = npt.NDArray[np.int64]
_Signatures = npt.NDArray[np.uint64]
_Heads = np.ndarray[tuple[int], np.dtype[np.void]]


def mixed(numbers: npt.ArrayLike) -> _Signatures:
    """Return file numbers so mixed that sums of few of them differ (splitmix64); 0 of 0."""
    x = np.asarray(numbers, np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@dataclass(frozen=True, slots=True)
class Deltas:
    """What some alerts come to, by object (N objects).

    Attributes
    ----------
    objects
        Which objects these are: the codes they were told by.
    count, first, last
        Alerts, and their first and last time (days).
    latest
        Index of each one's latest alert among those that were given.
    """

    objects: _Integers
    count: _Integers
    first: _Floats
    last: _Floats
    latest: npt.NDArray[np.intp]

    def cells(self, file: int, by: int, signatures: _Signatures, columns: Sequence[bytes]) -> list[bytes]:
        """Return the deltas' cells; `columns` are the latest alerts', packed."""
        heads = np.zeros(len(self.objects), _HEAD)
        heads["file"], heads["by"], heads["signature"] = file, by, signatures
        heads["count"], heads["first"], heads["last"] = self.count, self.first, self.last
        joined = heads.tobytes()
        return [
            joined[at : at + HEAD_BYTES] + load
            for at, load in zip(range(0, len(joined), HEAD_BYTES), columns, strict=True)
        ]


def deltas(objects: _Integers, times: _Floats, *ties: npt.NDArray[np.integer]) -> Deltas:
    """Return what M alerts come to.

    Parameters
    ----------
    objects
        Of which object each is: any codes.
    times
        Days.
    ties
        What tells the latest of equal times, the last of these first: the highest is the latest.
    """
    order = np.lexsort((*ties, times, objects))
    codes, moments = objects[order], times[order]
    begin = np.flatnonzero(np.diff(codes, prepend=-1) != 0) if len(codes) else np.empty(0, np.intp)
    end = np.append(begin[1:], len(codes)) if len(codes) else begin
    return Deltas(codes[begin], end - begin, moments[begin], moments[end - 1], order[end - 1])


def heads_of(cells: Sequence[bytes]) -> _Heads:
    """Return the heads of N cells; `Damaged` where one is cut short."""
    joined = b"".join([cell[:HEAD_BYTES] for cell in cells])
    if len(joined) != HEAD_BYTES * len(cells):
        raise Damaged(
            "A row of the index of objects is cut short.", "Run `sodalake ingest SURVEY --reindex`."
        )
    return np.frombuffer(joined, _HEAD) if cells else np.empty(0, _HEAD)


def latest_of(view: FileView, codes: _Integers, heads: _Heads) -> tuple[npt.NDArray[np.intp], _Integers]:
    """Return which of N deltas count, and the objects of which this cannot be said.

    Parameters
    ----------
    codes
        Of which object each delta is.
    """
    seen = _visible(view, heads["file"]) & ((heads["by"] == 0) | _visible(view, heads["by"]))
    at = np.flatnonzero(seen)
    pairs, pair_of = np.unique(
        codes[at].astype(np.uint64) << np.uint64(32) | heads["file"][at], return_inverse=True
    )
    own = heads["by"][at] == 0
    due = np.zeros(len(pairs), np.uint64)
    np.add.at(due, pair_of, np.where(own, np.uint64(0), mixed(heads["by"][at])))
    fits = heads["signature"][at] == due[pair_of]
    # Several may fit, which then say the same: what `reindex` writes of a file that several have superseded.
    settled, first = np.unique(pair_of[fits], return_index=True)
    open_ = np.ones(len(pairs), np.bool_)
    open_[settled] = False
    return at[fits][first], np.unique(pairs[open_] >> np.uint64(32)).astype(np.int64)


def _visible(view: FileView, numbers: npt.NDArray[np.uint32]) -> npt.NDArray[np.bool_]:
    there, which = np.unique(numbers, return_inverse=True)
    return np.array([view.visible(number) for number in there.tolist()], np.bool_)[which]


@dataclass(frozen=True, slots=True)
class Merged:
    """Summaries of N objects.

    Attributes
    ----------
    count, first, last
        Alerts, and their first and last time (days).
    cells
        Of the latest alert: `HEAD_BYTES` bytes, then its covering columns, packed.
    """

    count: _Integers
    first: _Floats
    last: _Floats
    cells: list[bytes]


def merged(view: FileView, keys: Sequence[bytes], cells: Sequence[bytes]) -> tuple[Merged, list[bytes]]:
    """Return the summaries of the objects that some rows of the table are of, all of whose rows are given.

    Returns
    -------
    Merged
        Of objects with alerts that a view shows.
    list of bytes
        Key stems of the objects that must be counted in table `object` instead.
    """
    heads = heads_of(cells)
    coded = pa.array([key[:-_END] for key in keys], pa.binary()).dictionary_encode()
    codes = np.asarray(coded.indices.to_numpy(), np.int64)
    which, unclear = latest_of(view, codes, heads)
    which = which[(heads["count"][which] > 0) & ~np.isin(codes[which], unclear)]
    used, mine = heads[which], codes[which]
    order = np.lexsort((used["file"], used["last"], mine))
    begin = np.flatnonzero(np.diff(mine[order], prepend=-1) != 0)
    if not len(begin):
        return Merged(np.empty(0, np.int64), np.empty(0), np.empty(0), []), [
            coded.dictionary[code].as_py() for code in unclear.tolist()
        ]
    end = np.append(begin[1:], len(order)) - 1
    latest = which[order[end]]
    return Merged(
        np.add.reduceat(used["count"][order].astype(np.int64), begin),
        np.minimum.reduceat(used["first"][order], begin),
        used["last"][order][end],
        [cells[at] for at in latest.tolist()],
    ), [coded.dictionary[code].as_py() for code in unclear.tolist()]
