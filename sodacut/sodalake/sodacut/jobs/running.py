"""Doing a unit: its stamps read together, a product of each, one part written.

What goes wrong with one target is that target's line in the report. What goes wrong with the archive as a whole (a
file system or row store that does not answer) is raised, so that the unit is tried again.
"""

from __future__ import annotations

import logging
import re
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any, Protocol

from sodalake.lake.alerts import AlertStamps
from sodalake.lake.errors import Damaged, LakeError, NotInLake, Unavailable
from sodalake.lake.reader import Found, Reader
from sodalake.lake.results import ResultFolder
from sodalake.lake.survey import Survey
from sodalake.sodacut.errors import Cancelled, NoOverlap
from sodalake.sodacut.jobs.reports import Line, UnitReport, report
from sodalake.sodacut.jobs.stamptables import table_message
from sodalake.sodacut.jobs.units import Entries, StampUnit
from sodalake.sodacut.jobs.work import NO_OVERLAP, NOT_FOUND, OK, status_of
from sodalake.sodacut.jobs.zips import local_header
from sodalake.sodacut.products import ArrowStamps, Product, cut_alert
from sodalake.sodacut.tables import stamp_batch

__all__ = ["file_name", "run_unit"]

_AT_ONCE = 128
"""Targets that are read together: bounds what a unit holds, and how soon it sees that it was called off."""

_UNSAFE = re.compile(r"[^A-Za-z0-9.+-]+")
_LONGEST_ID = 64
_BUGS = (ArithmeticError, LookupError, TypeError, ValueError)

log = logging.getLogger(__name__)


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
    doing: _Unit = (_Tables if unit.form == "table" else _Files)(reader, unit, cancelled)
    lines = doing.run()
    pieces = doing.pieces
    length = sum(memoryview(piece).nbytes for piece in pieces)
    if cancelled():
        raise Cancelled
    if length:
        results.write(part, pieces)
    return report(unit, lines, part if length else "", length, time.perf_counter() - began)


def file_name(row: int, target: str, name: str) -> str:
    """Return the name of a target's file in its job: ASCII, unlike any other's, and telling whose it is.

    It begins with the number of the row, then comes the user's id, where there is one, and what the product calls
    itself: ``000012_my-star_ZTF18abcdefg_Science.fits``.
    """
    own = "" if target == str(row) else _UNSAFE.sub("-", target)[:_LONGEST_ID].strip("-")
    return "_".join(part for part in (f"{row:06d}", own, name) if part)


class _Unit(Protocol):
    """One form of parts."""

    pieces: list[Any]

    def run(self) -> list[Line]:
        """Do all targets; return a line for each, in their order."""


class _Reading:
    """Goes through a unit's targets, with the stamps of a hundred at a time."""

    def __init__(self, reader: Reader, unit: StampUnit, cancelled: Callable[[], bool]) -> None:
        self.reader = reader
        self.unit = unit
        self.cancelled = cancelled
        self.pieces: list[Any] = []
        self._entries = Entries(reader)
        columns = ("row", "id", "survey", "alert", "order", "status", "message", "file", "entry")
        self.targets = list(zip(*(unit.targets[name].to_pylist() for name in columns), strict=True))
        self.lines: list[Line | None] = [None] * len(unit)

    def look(self) -> None:
        """Stop where the work was called off."""
        if self.cancelled():
            raise Cancelled

    def groups(self) -> Iterator[tuple[Survey, tuple[str, ...], list[int]]]:
        """Yield targets that can be read together: survey, kinds, positions in the unit."""
        for start in range(0, len(self.targets), _AT_ONCE):
            groups: dict[tuple[str, tuple[str, ...]], list[int]] = {}
            for at in range(start, min(start + _AT_ONCE, len(self.targets))):
                _, _, survey, _, order, status, message, _, _ = self.targets[at]
                if order < 0:
                    self.lines[at] = Line(status, message)
                    continue
                groups.setdefault((survey, self.unit.orders[order].kinds), []).append(at)
            for (name, kinds), members in groups.items():
                self.look()
                yield self.reader.lake.survey(name), kinds, members

    def read(
        self, survey: Survey, kinds: Sequence[str], members: Sequence[int]
    ) -> Iterator[tuple[int, AlertStamps | LakeError, float]]:
        """Yield position, stamps (or what went wrong) and its share of the seconds, for each of a group's targets."""
        began = time.perf_counter()
        answers: Sequence[AlertStamps | LakeError]
        try:
            answers = self.reader.stamps(survey, [self._found(survey, at, kinds) for at in members], kinds)
        except (Damaged, NotInLake):
            answers = [self._alone(survey, kinds, at) for at in members]
        share = (time.perf_counter() - began) / len(members)
        for at, answer in zip(members, answers, strict=True):
            yield at, answer, share

    def _found(self, survey: Survey, at: int, kinds: Sequence[str]) -> Found:
        _, _, _, alert, _, _, _, number, entry = self.targets[at]
        return self._entries.found(survey, entry, number, alert, kinds)

    def _alone(self, survey: Survey, kinds: Sequence[str], at: int) -> AlertStamps | LakeError:
        """Read one target's stamps, so that a damaged one spoils no other."""
        self.look()
        try:
            return self.reader.stamps(survey, [self._found(survey, at, kinds)], kinds)[0]
        except (Damaged, NotInLake) as error:
            # The file may have been ingested anew since the index was asked.
            entry, number, alert = self.targets[at][8], self.targets[at][7], self.targets[at][3]
            (now,) = self.reader.find_many(survey, [alert])
            if now is None or (now.record.number, now.entry.row) == (number, _row_of(entry)):
                return error
            try:
                return self.reader.stamps(survey, [now], kinds)[0]
            except (Damaged, NotInLake) as again:
                return again


def _row_of(entry: bytes) -> int:
    return int.from_bytes(entry[:4], "little")


class _Files(_Reading):
    """A file a target, each behind its header as in a zip."""

    def __init__(self, reader: Reader, unit: StampUnit, cancelled: Callable[[], bool]) -> None:
        super().__init__(reader, unit, cancelled)
        self._end = 0

    def run(self) -> list[Line]:
        for survey, kinds, members in self.groups():
            for at, answer, share in self.read(survey, kinds, members):
                self.look()
                began = time.perf_counter()
                line = self._one(at, answer, survey)
                line.seconds = share + time.perf_counter() - began
                self.lines[at] = line
        lines = [line for line in self.lines if line is not None]
        assert len(lines) == len(self.unit)
        if self.unit.texts:
            self._add_texts(lines)
        self.pieces = [b"".join(self.pieces)]  # a thousand small writes cost more than one copy
        return lines

    def _one(self, at: int, answer: AlertStamps | LakeError, survey: Survey) -> Line:
        row, target, order = self.targets[at][0], self.targets[at][1], self.targets[at][4]
        if isinstance(answer, LakeError):
            return failed(answer)
        line = Line(OK, object=answer.object_id, archive_file=answer.file)
        try:
            product: Product = self.unit.orders[order].finish([answer], survey)
        except (*_BUGS, LakeError) as error:
            wrong = failed(error)
            line.status, line.message = wrong.status, wrong.message
            return line
        name, content_type = product.filename or "stamp", product.content_type
        if product.content_encoding == "gzip":  # a file is not told its encoding by a header, but by its name
            name, content_type = name + ".gz", "application/gzip"
        self._add(line, file_name(row, target, name), content_type, product.body)
        return line

    def _add_texts(self, lines: Sequence[Line]) -> None:
        """Write, in place of what could not be made, why: it begins with a label of SODA 1.0 (5.2)."""
        for (row, target, *_), line in zip(self.targets, lines, strict=True):
            if line.status != OK:
                label = "UsageError" if line.status == NOT_FOUND else "Error"
                text = f"{label}: {' '.join((line.message or line.status).split())}\n"
                self._add(
                    line, file_name(row, target, "error.txt"), "text/plain; charset=utf-8", text.encode()
                )

    def _add(self, line: Line, name: str, content_type: str, body: bytes) -> None:
        line.file, line.content_type, line.bytes = name, content_type, len(body)
        line.crc32, line.sha256 = zlib.crc32(body), sha256(body).hexdigest()
        header = local_header(name, len(body), line.crc32)
        line.offset = self._end + len(header)
        self.pieces += (header, body)
        self._end = line.offset + len(body)


class _Tables(_Reading):
    """Rows of a table of stamps: record batch messages."""

    def run(self) -> list[Line]:
        for survey, kinds, members in self.groups():
            began = time.perf_counter()
            alerts: list[AlertStamps] = []
            kept: list[int] = []
            for at, answer, _ in self.read(survey, kinds, members):
                self.look()
                cut = answer if isinstance(answer, LakeError) else self._cut(at, answer, kinds)
                if isinstance(cut, Exception):
                    self.lines[at] = failed(cut)
                    continue
                alerts.append(cut)
                kept.append(at)
            if alerts:
                self._append(kept, alerts, kinds)
            share = (time.perf_counter() - began) / len(members)
            for at in members:
                line = self.lines[at]
                assert line is not None
                line.seconds = share
        lines = [line for line in self.lines if line is not None]
        assert len(lines) == len(self.unit)
        return lines

    def _cut(self, at: int, alert: AlertStamps, kinds: Sequence[str]) -> AlertStamps | Exception:
        finish = self.unit.orders[self.targets[at][4]].finish
        region = finish.region if isinstance(finish, ArrowStamps) else None
        if all(alert.stamps.get(kind) is None for kind in kinds):
            return NotInLake(
                f"Alert {alert.alert_id} of survey {alert.survey} has no {' or '.join(kinds)} stamp."
            )
        if region is None:
            return alert
        try:
            return cut_alert(alert, kinds, region)
        except (*_BUGS, LakeError) as error:
            return error

    def _append(self, kept: list[int], alerts: list[AlertStamps], kinds: Sequence[str]) -> None:
        try:
            batch = stamp_batch(alerts, kinds, fits=self.unit.fits)
        except (*_BUGS, Damaged):
            kept, alerts, batch = self._without_the_damaged(kept, alerts, kinds)
        rows = [self.targets[at][0] for at in kept]
        ids = [self.targets[at][1] for at in kept]
        if kept:
            self.pieces.append(table_message(batch, rows, ids, len(kinds)))
        pixels = batch["pixels"].value_lengths().fill_null(0).to_numpy().reshape(-1, len(kinds)).sum(axis=1)
        for at, alert, count in zip(kept, alerts, pixels.tolist(), strict=True):
            self.lines[at] = Line(OK, object=alert.object_id, bytes=4 * count, archive_file=alert.file)

    def _without_the_damaged(
        self, kept: list[int], alerts: list[AlertStamps], kinds: Sequence[str]
    ) -> tuple[list[int], list[AlertStamps], Any]:
        good: list[tuple[int, AlertStamps]] = []
        for at, alert in zip(kept, alerts, strict=True):
            self.look()
            try:
                stamp_batch([alert], kinds)
            except (*_BUGS, Damaged) as error:
                self.lines[at] = replace(failed(error), object=alert.object_id, archive_file=alert.file)
            else:
                good.append((at, alert))
        alerts = [alert for _, alert in good]
        return [at for at, _ in good], alerts, stamp_batch(alerts, kinds, fits=self.unit.fits)


def failed(error: Exception) -> Line:
    """Return the line of a target that ended with an error; raise what is not the target's own."""
    if isinstance(error, Unavailable):
        raise error
    if isinstance(error, NoOverlap):
        return Line(NO_OVERLAP, str(error))
    if isinstance(error, LakeError):
        return Line(status_of(error), str(error))
    # A bug of ours, or a stamp like no other: it is this target's, and the log has the rest.
    log.error("a stamp could not be processed", exc_info=error)
    return Line("ERROR", f"This stamp could not be processed ({type(error).__name__}: {error}).")
