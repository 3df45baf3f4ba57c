"""Reading for a unit: a hundred targets' stamps at a time, the next ones while these are being worked on.

A damaged stamp spoils no other: where a hundred cannot be read together, they are read one by one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from sodalake.lake.alerts import AlertStamps
from sodalake.lake.errors import Damaged, LakeError, NotInLake
from sodalake.lake.reader import Found, Reader
from sodalake.lake.survey import Survey
from sodalake.sodacut.errors import Cancelled
from sodalake.sodacut.jobs.ahead import read_ahead
from sodalake.sodacut.jobs.units import Entries, StampUnit
from sodalake.sodacut.jobs.work import Order

__all__ = ["Batch", "Gathering"]

_AT_ONCE = 128
"""Targets that are read together: bounds what a unit holds, and how soon it sees that it was called off."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Some targets of one survey of which the same kinds were read.

    Attributes
    ----------
    members
        Their positions in the unit.
    answers
        The stamps of each, or what went wrong with it.
    seconds
        Each one's share of the time it took to read them.
    """

    survey: Survey
    kinds: tuple[str, ...]
    members: Sequence[int]
    answers: Sequence[AlertStamps | LakeError]
    seconds: float


class Gathering:
    """Reads the stamps of a unit's targets.

    Parameters
    ----------
    cancelled
        Says whether the work was called off.
    """

    def __init__(self, reader: Reader, unit: StampUnit, cancelled: Callable[[], bool]) -> None:
        self._reader = reader
        self._unit = unit
        self._cancelled = cancelled
        self._entries = Entries(reader)
        columns = ("survey", "alert", "order", "file", "entry")
        self._targets = list(zip(*(unit.targets[name].to_pylist() for name in columns), strict=True))

    def look(self) -> None:
        """Stop where the work was called off."""
        if self._cancelled():
            raise Cancelled

    def check(self, order: Order, alert: AlertStamps) -> None:
        """Return where an order's filters leave something of an alert; else NoOverlap."""
        if order.filters is not None:
            replace(order.filters, survey=alert.survey, alert_id=alert.alert_id).check(self._reader.lake)

    def batches(self) -> Iterator[Batch]:
        """Return all targets that have stamps to be read.

        Raises
        ------
        Cancelled
            The work was called off.
        Unavailable
            The archive does not answer.
        """
        return read_ahead(self._groups(), lambda group: self._read(*group), self.look)

    def _groups(self) -> list[tuple[str, tuple[str, ...], list[int]]]:
        """Return what can be read together: survey, kinds, positions in the unit."""
        listed: list[tuple[str, tuple[str, ...], list[int]]] = []
        for start in range(0, len(self._targets), _AT_ONCE):
            groups: dict[tuple[str, tuple[str, ...]], list[int]] = {}
            for at in range(start, min(start + _AT_ONCE, len(self._targets))):
                survey, _, order, _, _ = self._targets[at]
                if order >= 0:
                    groups.setdefault((survey, self._unit.orders[order].kinds), []).append(at)
            listed += [(survey, kinds, members) for (survey, kinds), members in groups.items()]
        return listed

    def _read(self, name: str, kinds: tuple[str, ...], members: Sequence[int]) -> Batch:
        self.look()
        began = time.perf_counter()
        survey = self._reader.lake.survey(name)
        answers: Sequence[AlertStamps | LakeError]
        try:
            answers = self._reader.stamps(survey, [self._found(survey, at, kinds) for at in members], kinds)
        except (Damaged, NotInLake):
            answers = [self._alone(survey, kinds, at) for at in members]
        return Batch(survey, kinds, members, answers, (time.perf_counter() - began) / len(members))

    def _found(self, survey: Survey, at: int, kinds: Sequence[str]) -> Found:
        _, alert, _, number, entry = self._targets[at]
        return self._entries.found(survey, entry, number, alert, kinds)

    def _alone(self, survey: Survey, kinds: Sequence[str], at: int) -> AlertStamps | LakeError:
        self.look()
        try:
            return self._reader.stamps(survey, [self._found(survey, at, kinds)], kinds)[0]
        except (Damaged, NotInLake) as error:
            # The file may have been ingested anew since the index was asked.
            _, alert, _, number, entry = self._targets[at]
            (now,) = self._reader.find_many(survey, [alert])
            if now is None or (now.record.number, now.entry.row) == (number, _row_of(entry)):
                return error
            try:
                return self._reader.stamps(survey, [now], kinds)[0]
            except (Damaged, NotInLake) as again:
                return again


def _row_of(entry: bytes) -> int:
    return int.from_bytes(entry[:4], "little")
