"""Doing a unit: its stamps read together, a product of each, one part written, all three at the same time.

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
from typing import Any

from sodalake.lake.alerts import AlertStamps
from sodalake.lake.errors import Damaged, LakeError, NotInLake, Unavailable
from sodalake.lake.reader import Reader
from sodalake.lake.results import ResultFolder
from sodalake.lake.survey import Survey
from sodalake.sodacut.errors import NoOverlap
from sodalake.sodacut.jobs.gathering import Gathering
from sodalake.sodacut.jobs.reports import Line, UnitReport, report
from sodalake.sodacut.jobs.stamptables import table_message
from sodalake.sodacut.jobs.units import StampUnit
from sodalake.sodacut.jobs.work import NO_OVERLAP, NOT_FOUND, OK, status_of
from sodalake.sodacut.jobs.zips import local_header
from sodalake.sodacut.products import ArrowStamps, Product, cut_alert
from sodalake.sodacut.tables import stamp_batch

__all__ = ["file_name", "run_unit"]

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
    doing = (_Tables if unit.form == "table" else _Files)(unit, Gathering(reader, unit, cancelled))
    pieces = _Pieces(doing.make())
    length = 0
    if pieces:
        try:
            length = results.write(part, pieces)
        except Unavailable:
            pieces.raise_what_went_wrong()
            raise
    return report(unit, doing.lines(), part if length else "", length, time.perf_counter() - began)


def file_name(row: int, target: str, name: str) -> str:
    """Return the name of a target's file in its job: ASCII, unlike any other's, and telling whose it is.

    It begins with the number of the row, then comes the user's id, where there is one, and what the product calls
    itself: ``000012_my-star_ZTF18abcdefg_Science.fits``.
    """
    own = "" if target == str(row) else _UNSAFE.sub("-", target)[:_LONGEST_ID].strip("-")
    return "_".join(part for part in (f"{row:06d}", own, name) if part)


class _Pieces:
    """What a unit writes, made while it is being written, and kept: a write that failed is begun anew with it.

    True where there is anything to write.
    """

    def __init__(self, made: Iterator[Any]) -> None:
        self._made = made
        self._kept: list[Any] = []
        self._wrong: BaseException | None = None
        self._more()

    def _more(self) -> bool:
        # A generator that has raised looks as if it were at its end: a part cut short must not be taken for whole.
        self.raise_what_went_wrong()
        try:
            self._kept.append(next(self._made))
        except StopIteration:
            return False
        except BaseException as error:
            self._wrong = error
            raise
        return True

    def raise_what_went_wrong(self) -> None:
        """Raise what the making of a piece has raised."""
        if self._wrong is not None:
            raise self._wrong

    def __bool__(self) -> bool:
        return bool(self._kept)

    def __iter__(self) -> Iterator[Any]:
        at = 0
        while at < len(self._kept) or self._more():
            yield self._kept[at]
            at += 1


class _Making:
    """A unit's targets and what becomes of each."""

    def __init__(self, unit: StampUnit, gathering: Gathering) -> None:
        self.unit = unit
        self.gathering = gathering
        self.targets = list(
            zip(*(unit.targets[name].to_pylist() for name in ("row", "id", "order")), strict=True)
        )
        status, message = (unit.targets[name].to_pylist() for name in ("status", "message"))
        # Those with a status have it from before: there is nothing to be read for them.
        self._lines = [
            None if known is None else Line(known, text) for known, text in zip(status, message, strict=True)
        ]

    def tell(self, at: int, line: Line) -> None:
        """Keep what became of a target."""
        self._lines[at] = line

    def lines(self) -> list[Line]:
        """Return what became of every target."""
        lines = [line for line in self._lines if line is not None]
        assert len(lines) == len(self.unit), "every target has been worked on"
        return lines


class _Files(_Making):
    """A file a target, each behind its header as in a zip."""

    def __init__(self, unit: StampUnit, gathering: Gathering) -> None:
        super().__init__(unit, gathering)
        self._end = 0
        self._held: list[bytes] = []

    def make(self) -> Iterator[bytes]:
        """Yield the part."""
        for batch in self.gathering.batches():
            for at, answer in zip(batch.members, batch.answers, strict=True):
                self.gathering.look()
                began = time.perf_counter()
                line = self._one(at, answer, batch.survey)
                line.seconds = batch.seconds + time.perf_counter() - began
                self.tell(at, line)
            yield from self._taken()
        if self.unit.texts:
            self._add_texts(self.lines())
        self.gathering.look()
        yield from self._taken()

    def _taken(self) -> Iterator[bytes]:
        """Yield what has been made as one piece: a hundred small writes cost more than one copy."""
        if self._held:
            yield b"".join(self._held)
            self._held.clear()

    def _one(self, at: int, answer: AlertStamps | LakeError, survey: Survey) -> Line:
        row, target, order = self.targets[at]
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
        for (row, target, _), line in zip(self.targets, lines, strict=True):
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
        self._held += (header, body)
        self._end = line.offset + len(body)


class _Tables(_Making):
    """Rows of a table of stamps: record batch messages."""

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
                self.tell(at, line)
            if message is not None:
                yield message
        self.gathering.look()

    def _cut(self, at: int, alert: AlertStamps, kinds: Sequence[str]) -> AlertStamps | Exception:
        finish = self.unit.orders[self.targets[at][2]].finish
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

    def _message(
        self, kept: list[int], alerts: list[AlertStamps], kinds: Sequence[str], lines: dict[int, Line]
    ) -> Any:
        """Return the message of these alerts' stamps; those that are damaged are left out. None: all are."""
        try:
            batch = stamp_batch(alerts, kinds, fits=self.unit.fits)
        except (*_BUGS, Damaged):
            kept, alerts = self._without_the_damaged(kept, alerts, kinds, lines)
            if not kept:
                return None
            batch = stamp_batch(alerts, kinds, fits=self.unit.fits)
        pixels = batch["pixels"].value_lengths().fill_null(0).to_numpy().reshape(-1, len(kinds)).sum(axis=1)
        for at, alert, count in zip(kept, alerts, pixels.tolist(), strict=True):
            lines[at] = Line(OK, object=alert.object_id, bytes=4 * count, archive_file=alert.file)
        rows, ids = ([self.targets[at][column] for at in kept] for column in (0, 1))
        return table_message(batch, rows, ids, len(kinds))

    def _without_the_damaged(
        self, kept: list[int], alerts: list[AlertStamps], kinds: Sequence[str], lines: dict[int, Line]
    ) -> tuple[list[int], list[AlertStamps]]:
        good: list[tuple[int, AlertStamps]] = []
        for at, alert in zip(kept, alerts, strict=True):
            self.gathering.look()
            try:
                stamp_batch([alert], kinds)
            except (*_BUGS, Damaged) as error:
                lines[at] = replace(failed(error), object=alert.object_id, archive_file=alert.file)
            else:
                good.append((at, alert))
        return [at for at, _ in good], [alert for _, alert in good]


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
