"""Doing a unit: its stamps read together, a product of each, one part written, all three at the same time.

What goes wrong with one target is that target's line in the report. What goes wrong with the archive as a whole (a
file system or row store that does not answer) is raised, so that the unit is tried again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from sodalake.lake.alerts import AlertStamps
from sodalake.lake.errors import Damaged, LakeError, NotInLake
from sodalake.lake.reader import Reader
from sodalake.lake.results import ResultFolder
from sodalake.lake.survey import Survey
from sodalake.sodacut.jobs.gathering import Gathering
from sodalake.sodacut.jobs.lines import OK
from sodalake.sodacut.jobs.parts import BUGS, FilePart, Told, failed, write_part
from sodalake.sodacut.jobs.reports import Line, UnitReport, report
from sodalake.sodacut.jobs.stamptables import table_message
from sodalake.sodacut.jobs.units import StampUnit
from sodalake.sodacut.products import ArrowStamps, Product, cut_alert
from sodalake.sodacut.tables import stamp_batch

__all__ = ["run_unit"]


def run_unit(
    reader: Reader,
    unit: StampUnit,
    results: ResultFolder,
    part: str,
    cancelled: Callable[[], bool] = lambda: False,
) -> UnitReport:
    """Do a unit: read its stamps, make its products, write them as one object; blocking, for a worker.

    Parameters
    ----------
    part
        The name of the object, ``JOB/…``: another one at each attempt. Nothing is written where nothing was made.
    cancelled
        Says whether the work was called off; looked at between targets.

    Raises
    ------
    Cancelled
        It was called off; nothing was written.
    Unavailable, OSError
        The archive, the index or the results do not answer: try again.
    """
    began = time.perf_counter()
    doing = (_Tables if unit.form == "table" else _Files)(unit, Gathering(reader, unit, cancelled))
    length = write_part(results, part, doing.make())
    lines = doing.told.lines()
    return report(unit, lines, part if length else "", length, time.perf_counter() - began)


class _Files:
    """A file a target."""

    def __init__(self, unit: StampUnit, gathering: Gathering) -> None:
        self.unit = unit
        self.gathering = gathering
        self.told = FilePart(unit)
        self._orders = unit.targets["order"].to_pylist()

    def make(self) -> Iterator[bytes]:
        """Yield the part."""
        for batch in self.gathering.batches():
            for at, answer in zip(batch.members, batch.answers, strict=True):
                self.gathering.look()
                began = time.perf_counter()
                line = self._one(at, answer, batch.survey)
                line.seconds = batch.seconds + time.perf_counter() - began
                self.told.tell(at, line)
            yield from self.told.taken()
        if self.unit.texts:
            self.told.add_texts()
        self.gathering.look()
        yield from self.told.taken()

    def _one(self, at: int, answer: AlertStamps | LakeError, survey: Survey) -> Line:
        if isinstance(answer, LakeError):
            return failed(answer)
        line = Line(OK, object=answer.object_id, archive_file=answer.file)
        order = self.unit.orders[self._orders[at]]
        try:
            self.gathering.check(order, answer)
            product: Product = order.finish([answer], survey)
        except (*BUGS, LakeError) as error:
            wrong = failed(error)
            line.status, line.message = wrong.status, wrong.message
            return line
        self.told.add(at, line, product)
        return line


class _Tables:
    """Rows of a table of stamps: record batch messages."""

    def __init__(self, unit: StampUnit, gathering: Gathering) -> None:
        self.unit = unit
        self.gathering = gathering
        self.told = Told(unit)
        self._orders = unit.targets["order"].to_pylist()

    def make(self) -> Iterator[Any]:
        """Yield the part."""
        for batch in self.gathering.batches():
            began = time.perf_counter()
            kept: list[int] = []
            alerts: list[AlertStamps] = []
            lines: dict[int, Line] = {}
            for at, answer in zip(batch.members, batch.answers, strict=True):
                self.gathering.look()
                cut = answer if isinstance(answer, LakeError) else self._cut(at, answer, batch.kinds)
                if isinstance(cut, Exception):
                    lines[at] = failed(cut)
                else:
                    kept.append(at)
                    alerts.append(cut)
            message = self._message(kept, alerts, batch.kinds, lines) if kept else None
            share = batch.seconds + (time.perf_counter() - began) / len(batch.members)
            for at, line in lines.items():
                line.seconds = share
                self.told.tell(at, line)
            if message is not None:
                yield message
        self.gathering.look()

    def _cut(self, at: int, alert: AlertStamps, kinds: Sequence[str]) -> AlertStamps | Exception:
        order = self.unit.orders[self._orders[at]]
        region = order.finish.region if isinstance(order.finish, ArrowStamps) else None
        if all(alert.stamps.get(kind) is None for kind in kinds):
            return NotInLake(
                f"Alert {alert.alert_id} of survey {alert.survey} has no {' or '.join(kinds)} stamp."
            )
        try:
            self.gathering.check(order, alert)
            return alert if region is None else cut_alert(alert, kinds, region)
        except (*BUGS, LakeError) as error:
            return error

    def _message(
        self, kept: list[int], alerts: list[AlertStamps], kinds: Sequence[str], lines: dict[int, Line]
    ) -> Any:
        """Return the message of these alerts' stamps; those that are damaged are left out. None: all are."""
        try:
            batch = stamp_batch(alerts, kinds, fits=self.unit.fits)
        except (*BUGS, Damaged):
            kept, alerts = self._without_the_damaged(kept, alerts, kinds, lines)
            if not kept:
                return None
            batch = stamp_batch(alerts, kinds, fits=self.unit.fits)
        pixels = batch["pixels"].value_lengths().fill_null(0).to_numpy().reshape(-1, len(kinds)).sum(axis=1)
        for at, alert, count in zip(kept, alerts, pixels.tolist(), strict=True):
            lines[at] = Line(OK, object=alert.object_id, bytes=4 * count, archive_file=alert.file)
        rows, ids = [self.told.rows[at] for at in kept], [self.told.ids[at] for at in kept]
        return table_message(batch, rows, ids, len(kinds))

    def _without_the_damaged(
        self, kept: list[int], alerts: list[AlertStamps], kinds: Sequence[str], lines: dict[int, Line]
    ) -> tuple[list[int], list[AlertStamps]]:
        good: list[tuple[int, AlertStamps]] = []
        for at, alert in zip(kept, alerts, strict=True):
            self.gathering.look()
            try:
                stamp_batch([alert], kinds)
            except (*BUGS, Damaged) as error:
                lines[at] = replace(failed(error), object=alert.object_id, archive_file=alert.file)
            else:
                good.append((at, alert))
        return [at for at, _ in good], [alert for _, alert in good]
