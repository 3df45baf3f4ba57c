"""Answers questions about stamps, in one process: row get, then ranged read.

`Reader` is what every worker of the fast lane holds (see `lanes`), and what bulk work uses. It is blocking and may be
called from any thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from .alerts import AlertStamps, ByAlert, Epochs, EpochsOf, InFile, LatestOf, Newest, NewestAlert, Question
from .catalogue import FileRecord, FileView
from .errors import NotInLake, Unavailable, UsageError
from .files import inside, path_of
from .indexing import FlatFile, read_file
from .keys import alert_key, object_range, parse_object_key, parse_sky_key
from .lake import Lake
from .places import Kind
from .reading import StampFiles, Wanted
from .skysearch import Nearest, SkySearch
from .stamprows import StampRow
from .survey import Survey
from .versions import versions

__all__ = ["Found", "Reader"]

_PAGE = 64
_FEW = 4
_TRIES = 5


@dataclass(frozen=True, slots=True)
class Found:
    """An index entry that may be seen, with its ids and its file."""

    alert_id: str
    object_id: str
    time: float
    entry: StampRow
    record: FileRecord
    key: bytes


class Reader:
    """Reads a lake's stamps.

    Parameters
    ----------
    lake
        An open lake; who opened it closes it.
    open_files, parallel
        See `StampFiles`.
    """

    def __init__(self, lake: Lake, *, open_files: int = 512, parallel: int = 8) -> None:
        self.lake = lake
        self.files = StampFiles(open_files, parallel)
        self._sky = SkySearch(lake)
        self._flats: dict[tuple[str, int], list[FlatFile]] = {}

    def answer(self, question: Question) -> Any:
        """Return the answer to a question: a list of `AlertStamps`, `Epochs`, or a list of `NewestAlert`.

        Raises
        ------
        NotInLake
            No such survey, alert, object or kind.
        OutsideArchive
            `InFile` with a path that leaves the archive.
        FileGone, Damaged, Unavailable
            See `StampFiles.read`.
        """
        survey = self.lake.survey(question.survey)
        if isinstance(question, ByAlert):
            return self.stamps(survey, [self.find(survey, question.alert_id)], question.kinds)
        if isinstance(question, LatestOf):
            return self.stamps(survey, [self.latest(survey, question.object_id)], question.kinds)
        if isinstance(question, InFile):
            return self.stamps(survey, [self._in_file(survey, question)], question.kinds)
        if isinstance(question, EpochsOf):
            return self._epochs(survey, question)
        return self._newest(survey, question)

    # ------------------------------------------------------------------ finding

    def find(self, survey: Survey, alert_id: str) -> Found:
        """Return one alert's index entry; `NotInLake` where there is none."""
        found = self.find_many(survey, [alert_id])[0]
        if found is None:
            raise NotInLake(
                f"There is no alert {alert_id[:80]} in {survey.name}.",
                f"Check the {survey.ids.alert_name}; a new alert is here once its file is ingested.",
            )
        return found

    def find_many(self, survey: Survey, alert_ids: Sequence[str]) -> list[Found | None]:
        """Return the index entries of many alerts in one round trip, None for those that are not there."""
        keys = [alert_key(alert_id) for alert_id in alert_ids]
        table = f"{survey.name}.alert"
        if len(keys) == 1:
            cells = [self.lake.rows.get(table, keys[0], ["p"])]
        else:
            cells = self.lake.rows.get_many(table, keys, ["p"])
        return [
            self._visible(survey, key, cell[0], alert_id) if cell and cell[0] else None
            for key, cell, alert_id in zip(keys, cells, alert_ids, strict=True)
        ]

    def _visible(
        self, survey: Survey, key: bytes, cell: bytes, alert_id: str | None = None, only: int | None = None
    ) -> Found | None:
        """Return the newest version of an entry that may be seen (with `only`: of that file)."""
        catalogue = self.lake.catalogue(survey.name)
        view = catalogue.view()
        candidates = list(versions(cell))
        if any(
            number not in view.records or view.records[number].state == "pending" for number, _ in candidates
        ):
            view = catalogue.view(fresh=True)
        for number, packed in reversed(candidates):
            if only is not None and number != only:
                continue
            entry = StampRow.unpack(packed)
            if view.row_visible(number, entry.row) or (only is not None and view.visible(number)):
                object_id, time, alert = parse_object_key(entry.object_key or key)
                return Found(
                    alert_id or alert, object_id, time, entry, view.records[number], entry.object_key or key
                )
        return None

    def scan(
        self,
        survey: Survey,
        object_id: str,
        before: bytes | None = None,
        only: int | None = None,
        batch: int = _PAGE,
    ) -> Iterator[Found]:
        """Yield an object's visible epochs, newest first; with `before`, those older than that key.

        Rows are asked for `batch` at a time, so that the latest epoch of an object with thousands costs one small
        scan.
        """
        start, stop = object_range(object_id)
        if before is not None:
            stop = min(stop, before)
        while True:
            rows = list(
                self.lake.rows.scan(f"{survey.name}.object", start, stop, ["s"], reverse=True, limit=batch)
            )
            for key, (cell,) in rows:
                found = self._visible(survey, key, cell, only=only) if cell else None
                if found is not None:
                    yield found
            if len(rows) < batch:
                return
            stop = rows[-1][0]

    def latest(self, survey: Survey, object_id: str, only: int | None = None) -> Found:
        """Return an object's latest epoch; `NotInLake` where there is none."""
        found = next(self.scan(survey, object_id, only=only, batch=_FEW), None)
        if found is None:
            where = "that file" if only is not None else survey.name
            raise NotInLake(
                f"There is no object {object_id[:80]!r} in {where}.", f"Check the {survey.ids.object_name}."
            )
        return found

    def _in_file(self, survey: Survey, question: InFile) -> Found:
        url = inside(question.path, self.lake.roots)
        catalogue = self.lake.catalogue(survey.name)
        number = catalogue.view().by_path.get(path_of(url))
        if number is None:
            number = catalogue.view(fresh=True).by_path.get(path_of(url))
        if number is None:
            raise NotInLake(
                f"The file {path_of(url)} is not in the lake.", "Ingest it, or leave the path out."
            )
        if question.alert_id is None:
            if question.object_id is None:
                raise UsageError("Neither an object nor an alert is named.")
            return self.latest(survey, question.object_id, only=number)
        key = alert_key(question.alert_id)
        cells = self.lake.rows.get(f"{survey.name}.alert", key, ["p"])
        found = (
            self._visible(survey, key, cells[0], question.alert_id, number) if cells and cells[0] else None
        )
        if found is None or (question.object_id is not None and found.object_id != question.object_id):
            raise NotInLake(f"There is no alert {question.alert_id[:80]} of that object in {path_of(url)}.")
        return found

    # ------------------------------------------------------------------ by position

    def cone(
        self, survey: Survey, ra: float, dec: float, radius_deg: float, limit: int | None = None
    ) -> pa.Table:
        """Return the visible alerts within `radius_deg` of a centre, nearest first; see `SkySearch.cone`.

        Raises
        ------
        UsageError
            No cone; or the survey's files are not all in the index of the sky.
        """
        return self._sky.cone(survey, ra, dec, radius_deg, limit)

    def near_many(
        self,
        survey: Survey,
        ra: npt.NDArray[np.float64],
        dec: npt.NDArray[np.float64],
        radius_deg: npt.NDArray[np.float64],
    ) -> list[Found | None]:
        """Return for each position the newest visible alert within its radius; of equally new ones the nearest.

        Parameters
        ----------
        ra, dec, radius_deg
            Degrees, ICRS (N each).

        Returns
        -------
        list of Found or None
            N, None where there is no alert.

        Raises
        ------
        UsageError
            A position that is none (its number is named); or the survey's files are not all in the index of the sky.
        """
        answer: list[Found | None] = [None] * len(ra)
        todo = np.arange(len(ra))
        for _ in range(_TRIES):
            nearest = self._sky.newest(survey, ra[todo], dec[todo], radius_deg[todo])
            met = [(at, one) for at, one in zip(todo.tolist(), nearest, strict=True) if one is not None]
            entries = self.find_many(survey, [parse_sky_key(one.key)[1] for _, one in met])
            moved = []
            for (at, one), found in zip(met, entries, strict=True):
                if found is not None and _is(found, one):
                    answer[at] = found
                else:
                    moved.append(at)
            if not moved:
                return answer
            # An ingest that committed in between has superseded what was found: those are looked for again.
            self.lake.catalogue(survey.name).view(fresh=True)
            todo = np.array(moved)
        raise Unavailable(
            f"Alerts of {survey.name} were superseded faster than they could be found.", "Ask again."
        )

    # ------------------------------------------------------------------ reading

    def stamps(self, survey: Survey, found: Sequence[Found], kinds: Sequence[str]) -> list[AlertStamps]:
        """Return the stamps of index entries, read together."""
        paths: dict[str, str] = {str(kind): path for kind, path in survey.stamps.kinds.items()}
        order = list(paths)
        unknown = [kind for kind in kinds if kind not in order]
        if unknown:
            raise NotInLake(f"{survey.name} has no {unknown[0]} stamps.", f"Kinds: {', '.join(order)}.")
        wanted: list[Wanted] = []
        for one in found:
            for kind in kinds:
                place = one.entry.places[order.index(kind)]
                if place.kind is not Kind.ABSENT:
                    wanted.append(
                        Wanted(one.record.number, one.record.url, one.record.size, paths[kind], place)
                    )
        data = iter(self.files.read(wanted))
        answers = []
        for one in found:
            stamps: dict[str, bytes | None] = {}
            for kind in kinds:
                absent = one.entry.places[order.index(kind)].kind is Kind.ABSENT
                stamps[kind] = None if absent else next(data)
            answers.append(
                AlertStamps(survey.name, one.alert_id, one.object_id, one.time, one.record.url, stamps)
            )
        return answers

    def _epochs(self, survey: Survey, question: EpochsOf) -> Epochs:
        before = bytes.fromhex(question.after) if question.after else None
        found: list[Found] = []
        for one in self.scan(survey, question.object_id, before, batch=question.limit + 1):
            found.append(one)
            if len(found) > question.limit:
                break
        if not found and before is None:
            raise NotInLake(
                f"There is no object {question.object_id[:80]!r} in {survey.name}.",
                f"Check the {survey.ids.object_name}.",
            )
        more = len(found) > question.limit
        found = found[: question.limit]
        return Epochs(self.stamps(survey, found, question.kinds), found[-1].key.hex() if more else None)

    # ------------------------------------------------------------------ newest

    def _newest(self, survey: Survey, question: Newest) -> list[NewestAlert]:
        view = self.lake.catalogue(survey.name).view()
        newest: list[NewestAlert] = []
        records = [r for r in view.records.values() if r.state == "committed" and r.last is not None]
        for record in sorted(records, key=lambda r: r.last or 0.0, reverse=True):
            if len(newest) >= question.limit and (record.last or 0.0) <= newest[-1].time:
                break
            newest += self._newest_of(survey, view, record, question.limit)
            newest = sorted(newest, key=lambda alert: alert.time, reverse=True)[: question.limit]
        entries = self.find_many(survey, [alert.alert_id for alert in newest])
        return [
            replace(alert, kinds=_present(survey, one)) for alert, one in zip(newest, entries, strict=True)
        ]

    def _newest_of(self, survey: Survey, view: FileView, record: FileRecord, limit: int) -> list[NewestAlert]:
        alerts: list[NewestAlert] = []
        for flat in self._flat(survey, record):
            about = flat.essentials
            latest = np.argsort(np.where(about.keep, -about.times, np.inf), kind="stable")
            seen = (
                row
                for row in latest.tolist()
                if about.keep[row] and view.row_visible(record.number, flat.first + row)
            )
            rows = list(islice(seen, limit))
            taken = flat.table.take(pa.array(rows, pa.int64()))  # typed: there may be none
            for row, columns in zip(rows, taken.to_pylist(), strict=True):
                alert_id, object_id = about.alert_ids[row].as_py(), about.object_ids[row].as_py()
                alerts.append(NewestAlert(alert_id, object_id, float(about.times[row]), columns))
        return sorted(alerts, key=lambda alert: alert.time, reverse=True)[:limit]

    def _flat(self, survey: Survey, record: FileRecord) -> list[FlatFile]:
        """Return the flat columns of a file, kept for the next page view: its newest file is asked again and again."""
        key = (record.url, record.number)  # two surveys number alike
        held = self._flats.get(key)
        if held is None:
            held = read_file(record.url, survey)
            self._flats = {key: held, **dict(list(self._flats.items())[:3])}
        return held


def _is(found: Found, near: Nearest) -> bool:
    """Say whether an index entry is the one that was found by its place."""
    return found.record.number == near.file and found.entry.row == near.row


def _present(survey: Survey, found: Found | None) -> tuple[str, ...]:
    """Return the kinds of stamp an alert has."""
    places = found.entry.places if found is not None else ()
    return tuple(
        kind
        for kind, place in zip(survey.stamps.kinds, places, strict=False)
        if place.kind is not Kind.ABSENT
    )
