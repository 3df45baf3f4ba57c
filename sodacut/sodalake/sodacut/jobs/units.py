"""Where the stamps are, and units of neighbours: what is read together stands together.

`resolve` asks the index for a chunk of targets, on a worker. `units` then sorts all targets by file and row, so that
a unit's stamps are neighbours in the archive and its reads are few and long. What travels either way are Arrow
buffers: the entry of a target has some 150 bytes.
"""

from __future__ import annotations

import pickle
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from sodalake.lake.catalogue import FileRecord
from sodalake.lake.errors import Damaged
from sodalake.lake.keys import parse_object_key
from sodalake.lake.reader import Found, Reader
from sodalake.lake.stamprows import StampRow
from sodalake.lake.survey import Survey
from sodalake.sodacut.jobs.framing import framed, unframed
from sodalake.sodacut.jobs.lines import NOT_FOUND, found_for
from sodalake.sodacut.jobs.reports import ENTRIES
from sodalake.sodacut.jobs.work import TARGETS, Form, Order, Question, StampWork

__all__ = ["Resolved", "StampUnit", "resolve", "units"]

_ENTRIES: Any = pa.schema(
    [
        pa.field("file", pa.int64()),  # number; null where nothing was found
        pa.field("at", pa.int64()),  # row in the file
        pa.field("size", pa.int64()),  # bytes of its stamps, as stored
        pa.field("entry", pa.binary()),  # StampRow
        pa.field("alert", pa.string()),
    ]
)
_UNIT: Any = TARGETS.append(_ENTRIES.field("file")).append(_ENTRIES.field("entry"))


@dataclass(frozen=True, slots=True)
class Resolved:
    """What the index has of a chunk's targets.

    Attributes
    ----------
    rows
        Their rows in the list, from 1.
    entries
        pyarrow.RecordBatch: file number, row in it, stored bytes of its stamps, index entry, alert id; null where
        there is no such alert.
    """

    rows: Any
    entries: Any


def resolve(reader: Reader, question: Question) -> Resolved:
    """Ask the index where the stamps of a chunk's targets are; blocking, so call this on a worker.

    Raises
    ------
    NotInLake
        No such survey.
    Unavailable
        The row store does not answer.
    """
    survey = reader.lake.survey(question.survey)
    targets = question.targets
    if question.near:
        ra, dec, radius = (targets[name].to_numpy(zero_copy_only=False) for name in ("ra", "dec", "radius"))
        found = reader.near_many(survey, ra, dec, radius)
    else:
        found = reader.find_many(survey, targets["alert"].to_pylist())
    columns: list[list[Any]] = [[], [], [], [], []]
    for one in found:
        entry = None if one is None else _entry(one)
        for column, value in zip(columns, entry or (None,) * 5, strict=True):
            column.append(value)
    arrays = [pa.array(column, kept.type) for column, kept in zip(columns, _ENTRIES, strict=True)]
    return Resolved(targets["row"].to_numpy(), pa.record_batch(arrays, schema=_ENTRIES))


def _entry(one: Found) -> tuple[int, int, int, bytes, str]:
    entry = one.entry
    packed = StampRow(entry.row, entry.places, one.key).pack()
    return one.record.number, entry.row, sum(place.size for place in entry.places), packed, one.alert_id


@dataclass(frozen=True, slots=True)
class StampUnit:
    """Some targets to be done together, on one worker.

    Attributes
    ----------
    targets
        pyarrow.RecordBatch: the work's targets (`work.TARGETS`) with their file's number and index entry.
    orders, form, texts, fits
        As in `StampWork`; of the orders those that are needed.
    """

    targets: Any
    orders: tuple[Order, ...]
    form: Form = "files"
    texts: bool = False
    fits: bool = False

    def __len__(self) -> int:
        return int(self.targets.num_rows)

    @property
    def entries(self) -> Any:
        """Schema of its report."""
        return ENTRIES

    def pack(self) -> bytes:
        """Return the unit as bytes, for this version of the program."""
        rest = pickle.dumps((self.orders, self.form, self.texts, self.fits), 5)
        return framed(rest, self.targets)

    @classmethod
    def unpack(cls, packed: bytes) -> StampUnit:
        """Read a unit that `pack` wrote: a value of our own, never one that a user sent."""
        rest, targets = unframed(packed)
        orders, form, texts, fits = pickle.loads(rest)  # noqa: S301 - our own bytes
        return cls(pa.ipc.read_record_batch(targets, _UNIT), orders, form, texts, fits)

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpacked, (self.pack(),)


def _unpacked(packed: bytes) -> StampUnit:
    # A function of the module: cloudpickle would send a class method by value, with all that it names.
    return StampUnit.unpack(packed)


def units(work: StampWork, resolved: Iterable[Resolved], targets_per_unit: int) -> list[StampUnit]:
    """Cut the work into units of neighbours: every target is in exactly one.

    Targets without a stamp to read (wrong rows, alerts that are not there) are in the last units.

    Parameters
    ----------
    resolved
        The answers to all of ``work.chunks()``, in any order.
    targets_per_unit
        At most; some hundred is good: enough for long reads, little to do again.
    """
    if targets_per_unit < 1:
        raise ValueError("a unit has at least one target")
    if not len(work):
        return []
    answers = list(resolved)
    entries, asked = found_for(answers, _ENTRIES, len(work))
    targets = _joined(work, entries, asked)
    order = _order(targets, entries)
    targets = targets.take(pa.array(order)).combine_chunks()
    cut = [targets.slice(start, targets_per_unit) for start in range(0, targets.num_rows, targets_per_unit)]
    return [_unit(work, part) for part in cut]


def _joined(work: StampWork, entries: Any, asked: Any) -> Any:
    """Return the targets with their entries; those that were looked for in vain get their status."""
    targets = work.targets
    missing = asked & entries["file"].is_null().to_numpy()
    status = targets["status"].to_pylist()
    message = targets["message"].to_pylist()
    alerts = targets["alert"].to_pylist()
    if missing.any():
        surveys, radius = targets["survey"].to_pylist(), targets["radius"].to_numpy()
        for row in np.flatnonzero(missing).tolist():
            status[row] = NOT_FOUND
            what = (
                f"alert {alerts[row]}"
                if alerts[row] is not None
                else f"alert within {radius[row] * 3600:.3g}″"
            )
            message[row] = f"There is no {what} in {surveys[row]}."
    known = [
        there if there is not None else mine
        for there, mine in zip(entries["alert"].to_pylist(), alerts, strict=True)
    ]
    which = np.where(missing, -1, targets["order"].to_numpy())
    replaced = {
        "alert": pa.array(known, pa.string()),
        "order": pa.array(which, pa.int32()),
        "status": pa.array(status, pa.string()),
        "message": pa.array(message, pa.string()),
    }
    columns = [replaced.get(name, targets[name]) for name in TARGETS.names]
    return pa.Table.from_arrays([*columns, entries["file"], entries["entry"]], schema=_UNIT)


def _order(targets: Any, entries: Any) -> Any:
    """Return the targets' positions in the order of the archive: survey, file, row; what is in none comes last."""
    nowhere = np.iinfo(np.int64).max
    file = entries["file"].fill_null(nowhere).to_numpy()
    at = entries["at"].fill_null(0).to_numpy()
    survey = targets["survey"].dictionary_encode().combine_chunks()
    code = survey.indices.fill_null(0).to_numpy() if len(survey.dictionary) else np.zeros(len(file), np.int32)
    return np.lexsort((at, file, code, file == nowhere))


def _unit(work: StampWork, part: Any) -> StampUnit:
    which = part["order"].to_numpy()
    used = np.unique(which[which >= 0])
    renumbered = np.where(which < 0, -1, np.searchsorted(used, which)).astype(np.int32)
    part = part.set_column(part.schema.get_field_index("order"), _UNIT.field("order"), pa.array(renumbered))
    batch = part.combine_chunks().to_batches()[0]
    orders = tuple(work.orders[number] for number in used.tolist())
    return StampUnit(batch, orders, work.form, work.texts, work.fits)


class Entries:
    """Makes the reader's own index entries of a unit's packed ones, on a worker."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._records: dict[tuple[str, int], FileRecord] = {}

    def found(self, survey: Survey, packed: bytes, number: int, alert: str, kinds: Collection[str]) -> Found:
        """Return an entry as the reader gave it, with the places of these kinds.

        Raises
        ------
        Damaged
            Its file is no longer known.
        """
        order = list(survey.stamps.kinds)
        entry = StampRow.unpack(packed, {order.index(kind) for kind in kinds if kind in order})
        object_id, time, _ = parse_object_key(entry.object_key)
        return Found(alert, object_id, time, entry, self._record(survey, number), entry.object_key)

    def _record(self, survey: Survey, number: int) -> FileRecord:
        record = self._records.get((survey.name, number))
        if record is None:
            catalogue = self._reader.lake.catalogue(survey.name)
            record = catalogue.view().records.get(number) or catalogue.view(fresh=True).records.get(number)
            if record is None:
                raise Damaged(
                    f"File {number} of {survey.name} is no longer in the lake.", "Send the job again."
                )
            self._records[survey.name, number] = record
        return record
