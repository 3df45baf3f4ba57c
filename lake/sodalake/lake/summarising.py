"""Writing table `objects`: a file's own deltas, and the replacements for what other files had before it.

See `sodalake.lake.summaries` for what these are.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from .catalogue import Catalogue, FileView
from .coveringrows import GROUP, covering_payloads
from .epochrows import EPOCH_GROUPS, EpochRows, epoch_rows, schema_numbers
from .flatten import times_of
from .indextables import OBJECTS
from .keys import object_stems, stem_range, summary_keys
from .packing import unpack
from .rows import RowStore
from .scanning import Scanner
from .summaries import deltas, heads_of, mixed
from .survey import Survey
from .versions import SINGLE

__all__ = ["OwnDeltas", "replace_deltas", "stem_of"]

_HEAD = struct.Struct("<IIIddQ")
_WHOLE = 1 << 64  # signatures are counted modulo this
_ROW_BYTES = 4  # of a covering payload, before the packed columns
_OBJECTS = 1000  # read together


def stem_of(object_key: bytes) -> bytes:
    """Return what a key of table `object` has of its object."""
    return object_key.rsplit(b"_", 2)[0]


class OwnDeltas:
    """Gathers a file's alerts, and writes what they come to.

    Parameters
    ----------
    rows, survey
        Where to write.
    number
        The file's.
    """

    def __init__(self, rows: RowStore, survey: Survey, number: int) -> None:
        self._rows, self._number = rows, number
        self._table = f"{survey.name}.{OBJECTS}"
        self._ids: list[pa.Array] = []
        self._times: list[npt.NDArray[np.float64]] = []
        self._at: list[npt.NDArray[np.int64]] = []
        self._payloads: list[bytes] = []

    def add(
        self,
        object_ids: pa.Array,
        times: npt.NDArray[np.float64],
        rows: npt.NDArray[np.int64],
        payloads: Sequence[bytes],
    ) -> None:
        """Take N alerts: ids of their objects, times (days), rows in the file, and `covering_payloads`."""
        self._ids.append(object_ids)
        self._times.append(times)
        self._at.append(rows)
        self._payloads += payloads

    def write(self, twice: Collection[int]) -> None:
        """Write the file's own deltas; `twice` are rows whose alert is in the file again, later."""
        if self._ids:
            for keys, cells in self._deltas(np.array(sorted(twice), np.int64), None):
                self._put(keys, cells)

    def write_replaced(self, view: FileView) -> None:
        """Write the replacements of this file by those that supersede rows of it in a view."""
        others = {
            by: rows.astype(np.int64)
            for by, rows in view.superseded.get(self._number, {}).items()
            if by != self._number and view.visible(by)
        }
        if self._ids and others:
            twice = view.superseded[self._number].get(self._number, np.empty(0, np.uint32))
            hidden = np.concatenate([twice.astype(np.int64), *others.values()])
            for keys, cells in self._deltas(hidden, others):
                self._put(keys, cells)

    def _deltas(
        self, hidden: npt.NDArray[np.int64], others: Mapping[int, npt.NDArray[np.int64]] | None
    ) -> Iterator[tuple[list[bytes], list[bytes]]]:
        coded = pa.chunked_array(self._ids).combine_chunks().dictionary_encode()
        codes = np.asarray(coded.indices.to_numpy(), np.int64)
        rows, times = np.concatenate(self._at), np.concatenate(self._times)
        stems = object_stems(coded.dictionary)
        left = np.flatnonzero(~np.isin(rows, hidden))
        of_left = deltas(codes[left], times[left], rows[left])
        columns = [self._payloads[at][_ROW_BYTES:] for at in left[of_left.latest].tolist()]
        if others is None:
            keys = summary_keys([stems[code] for code in of_left.objects.tolist()], self._number)
            yield keys, of_left.cells(self._number, 0, np.zeros(len(keys), np.uint64), columns)
            return
        touched = {by: np.unique(codes[np.isin(rows, lost)]) for by, lost in others.items()}
        signatures = np.zeros(len(stems), np.uint64)
        for by, objects in touched.items():
            signatures[objects] += mixed([by])
        at_of = {code: at for at, code in enumerate(of_left.objects.tolist())}
        for by, objects in touched.items():
            cells = []
            for code in objects.tolist():
                at, signature = at_of.get(code), int(signatures[code])
                if at is None:
                    cells.append(_HEAD.pack(self._number, by, 0, 0.0, 0.0, signature))
                    continue
                found = int(of_left.count[at]), float(of_left.first[at]), float(of_left.last[at])
                cells.append(_HEAD.pack(self._number, by, *found, signature) + columns[at])
            yield summary_keys([stems[code] for code in objects.tolist()], self._number, by), cells

    def _put(self, keys: Sequence[bytes], cells: Sequence[bytes]) -> None:
        self._rows.put_many(
            self._table, ((key, {GROUP: cell}) for key, cell in zip(keys, cells, strict=True))
        )


@dataclass(frozen=True, slots=True)
class _Bereft:
    """Objects of which one file loses alerts to another: their key stems, and the signatures to write."""

    number: int
    by: int
    stems: list[bytes]
    signatures: list[int]

    def __len__(self) -> int:
        return len(self.stems)


def replace_deltas(
    store: RowStore,
    catalogue: Catalogue,
    survey: Survey,
    after: FileView,
    by: int,
    lost: Mapping[int, Mapping[bytes, Set[int]]],
) -> None:
    """Write the replacements of other files' deltas by a file whose rows are all written.

    Parameters
    ----------
    after
        What may be seen once the file is committed.
    by
        The file's number.
    lost
        File number → key stem of an object → rows of the file that may not be seen any more.
    """
    table = f"{survey.name}.{OBJECTS}"
    for number, stems in lost.items():
        record = after.records.get(number)
        # What `reindex` has yet to fill in takes this file into account.
        if number == by or record is None or OBJECTS not in record.tables or not after.visible(number):
            continue
        names = list(stems)
        for start in range(0, len(names), _OBJECTS):
            some = names[start : start + _OBJECTS]
            none, open_ = _sorted_out(store, table, after, number, by, {stem: stems[stem] for stem in some})
            cells = [_HEAD.pack(number, by, 0, 0.0, 0.0, signature) for signature in none.signatures]
            store.put_many(
                table,
                (
                    (key, {GROUP: cell})
                    for key, cell in zip(summary_keys(none.stems, number, by), cells, strict=True)
                ),
            )
            if len(open_):
                store.put_many(table, _counted_again(store, catalogue, survey, after, open_))


def _sorted_out(
    store: RowStore, table: str, after: FileView, number: int, by: int, stems: Mapping[bytes, Set[int]]
) -> tuple[_Bereft, _Bereft]:
    """Return the objects that lose all they have in a file, and the others, which must be counted again."""
    lists = {other: rows for other, rows in after.superseded[number].items() if other != by}
    others = sorted(other for other in lists if other != number and after.visible(other))
    hidden = {row for other in (*others, number) for row in lists.get(other, np.empty(0)).tolist()}
    keys = [key for one in (0, *others) for key in summary_keys(stems, number, one)]
    found = [row[0] if row else None for row in store.get_many(table, keys, [GROUP])]
    mixtures = dict(zip((*others, by), mixed([*others, by]).tolist(), strict=True))
    none, open_ = _Bereft(number, by, [], []), _Bereft(number, by, [], [])
    for at, (stem, rows) in enumerate(stems.items()):
        own, *replaced = found[at :: len(stems)]
        there = [(other, cell) for other, cell in zip(others, replaced, strict=True) if cell]
        due = sum(mixtures[other] for other, _ in there) % _WHOLE
        heads = heads_of([cell for _, cell in there] or [own] if own else [])
        fitting = heads["count"][heads["signature"] == np.uint64(due)]
        gone = sum(row not in hidden for row in rows)
        bereft = none if len(fitting) and int(fitting[0]) == gone else open_
        bereft.stems.append(stem)
        bereft.signatures.append((due + mixtures[by]) % _WHOLE)
    return none, open_


def _counted_again(
    store: RowStore, catalogue: Catalogue, survey: Survey, after: FileView, bereft: _Bereft
) -> Iterator[tuple[bytes, dict[str, bytes]]]:
    """Yield the rows to write of objects, from those of their alerts that stay in the file."""
    ranges = [stem_range(stem) for stem in bereft.stems]
    left: dict[bytes, bytes] = {}
    batches = Scanner(store).ranges(f"{survey.name}.object", ranges, EPOCH_GROUPS)
    epochs = epoch_rows(after, [row for batch in batches for row in batch])
    at_of = {stem: at for at, stem in enumerate(bereft.stems)}
    which = np.flatnonzero(epochs.files == bereft.number)
    if len(which):
        codes = np.array([at_of[stem_of(epochs.keys[at])] for at in which.tolist()], np.int64)
        times, columns = _covering(catalogue, survey, epochs, which)
        stay = deltas(codes, times, epochs.rows[which])
        signatures = np.array(bereft.signatures, np.uint64)[stay.objects]
        cells = stay.cells(bereft.number, bereft.by, signatures, [columns[at] for at in stay.latest.tolist()])
        left = {bereft.stems[code]: cell for code, cell in zip(stay.objects.tolist(), cells, strict=True)}
    keys = summary_keys(bereft.stems, bereft.number, bereft.by)
    for key, stem, signature in zip(keys, bereft.stems, bereft.signatures, strict=True):
        none = _HEAD.pack(bereft.number, bereft.by, 0, 0.0, 0.0, signature)
        yield key, {GROUP: left.get(stem, none)}


def _covering(
    catalogue: Catalogue, survey: Survey, epochs: EpochRows, which: npt.NDArray[np.intp]
) -> tuple[npt.NDArray[np.float64], list[bytes]]:
    """Return times (days) and packed covering columns of some rows of table `object`."""
    cells = [epochs.cells[at] for at in which.tolist()]
    numbers = schema_numbers(cells, SINGLE)
    times, columns = np.empty(len(cells)), [b""] * len(cells)
    for number in np.unique(numbers).tolist():
        members = np.flatnonzero(numbers == number)
        packings = catalogue.packings([number])
        names = [name for name in survey.covering_names if name in packings[number].index]
        some = unpack([cells[at] for at in members.tolist()], packings, names, skip=SINGLE)
        times[members] = times_of(some, survey)
        for at, load in zip(
            members.tolist(), covering_payloads(catalogue, survey, some, members), strict=True
        ):
            columns[at] = load[_ROW_BYTES:]
    return times, columns
