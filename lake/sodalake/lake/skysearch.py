"""Alerts by position: those in a cone, and the newest near each of many places.

Both read ranges of the table `sky` (`sodalake.lake.sky`), leave out what may not be seen, and then measure the distance
of every row that is left: cells only say where to look.
"""

from __future__ import annotations

import contextvars
import itertools
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from .coveringrows import GROUP, CoveringRows, visible_rows
from .errors import UsageError
from .indextables import SKY
from .keys import sky_range
from .lake import Lake
from .sky import check_cone, cone_ranges, joined, separations
from .survey import Survey

__all__ = ["DISTANCE", "Nearest", "SkySearch"]

DISTANCE = "distance"
"""Name of the column that a cone adds: degrees from its centre."""

_BATCH = 4096  # rows looked at together: enough that Python costs nothing a row, and bounded memory
_PARALLEL = 8  # scans side by side: what the gateway of one HBase answers well
_RUN = 128  # ranges a thread takes at a time: one call of HBase

_Floats = npt.NDArray[np.float64]
_Scans = list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Nearest:
    """The newest alert near a place.

    Attributes
    ----------
    key
        Its key in table `sky`.
    file, row
        Where it stands in the archive: number of the file, row.
    time
        Days, in the survey's scale.
    distance
        Degrees.
    """

    key: bytes
    file: int
    row: int
    time: float
    distance: float


class SkySearch:
    """Searches the `sky` tables of a lake. May be used from any thread.

    Parameters
    ----------
    lake
        An open lake.
    """

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._whole: dict[
            str, int
        ] = {}  # survey → generation of its files for which the index was found whole

    def cone(
        self, survey: Survey, ra: float, dec: float, radius: float, limit: int | None = None
    ) -> pa.Table:
        """Return the covering columns of the alerts within `radius` of a centre, nearest first.

        Parameters
        ----------
        ra, dec, radius
            Degrees, ICRS; `radius` from 0 to 180, itself included.
        limit
            At most so many alerts: those that are met first, not the nearest of all; None: all.

        Returns
        -------
        pyarrow.Table
            `Survey.covering_names` as far as the archive has them, and `DISTANCE` (degrees).

        Raises
        ------
        UsageError
            No cone; or files of the survey are not in the index.
        """
        check_cone(ra, dec, radius)
        self._check(survey)
        catalogue = self._lake.catalogue(survey.name)
        inside: list[CoveringRows] = []
        distances = [np.empty(0)]
        left = limit
        at = np.array([ra]), np.array([dec])
        for rows in self._batches(survey, list(cone_ranges(*at, np.array([radius])))):
            _, alert_ra, alert_dec = _places(rows.columns(catalogue, _place_names(survey)), survey)
            distance = separations(*at, alert_ra, alert_dec)
            which = np.flatnonzero(distance <= radius)[:left]
            inside.append(rows.take(which))
            distances.append(distance[which])
            if left is not None:
                left -= len(which)
                if left <= 0:
                    break
        # Unpacked together at the end: years with other columns are made one table by the rules of packed rows.
        found, apart = CoveringRows.joined(inside), np.concatenate(distances)
        order = np.argsort(apart, kind="stable")
        table = found.take(order).columns(catalogue, survey.covering_names)
        return table.append_column(DISTANCE, pa.array(apart[order]))

    def newest(self, survey: Survey, ra: _Floats, dec: _Floats, radius: _Floats) -> list[Nearest | None]:
        """Return the newest alert within each of N cones (of equally new ones the nearest), None where there is none.

        Raises
        ------
        UsageError
            As `cone`; the message has the number of the place that is wrong.
        """
        self._check(survey)
        wanted = _Wanted(ra, dec, radius)
        for rows in self._side_by_side(survey, joined(wanted.ranges)):
            table = rows.columns(self._lake.catalogue(survey.name), _place_names(survey))
            wanted.meet(rows, *_places(table, survey))
        return wanted.found

    # ------------------------------------------------------------------ reading

    def _check(self, survey: Survey) -> None:
        """Refuse to search an index that lacks files: what it does not show would look as if it were not there."""
        view = self._lake.catalogue(survey.name).view()
        if self._whole.get(survey.name) == view.generation:
            return
        lacking = view.lacking(SKY)
        if lacking:
            raise UsageError(
                f"{len(lacking)} files of {survey.name} cannot be searched by position yet.",
                f"The archive's operator has to run `sodalake ingest {survey.name} --reindex`.",
            )
        self._whole[survey.name] = view.generation

    def _batches(self, survey: Survey, ranges: _Scans) -> Iterator[CoveringRows]:
        """Yield the rows of some ranges that may be seen, in order, `_BATCH` rows read at a time."""
        name, catalogue = f"{survey.name}.{SKY}", self._lake.catalogue(survey.name)
        scanned = self._lake.rows.scan_many(name, [sky_range(*one) for one in ranges], [GROUP])
        while batch := list(itertools.islice(scanned, _BATCH)):
            there = [(key, cell) for key, (cell,) in batch if cell]
            rows = visible_rows(catalogue, [key for key, _ in there], [cell for _, cell in there])
            if rows.keys:
                yield rows

    def _side_by_side(self, survey: Survey, ranges: _Scans) -> Iterable[CoveringRows]:
        """Yield what `_batches` does, of many short ranges: on HBase a scan is mostly waiting."""
        runs = [ranges[start : start + _RUN] for start in range(0, len(ranges), _RUN)]
        if len(runs) < 2:
            yield from self._batches(survey, ranges)
            return
        with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="sky-scan") as pool:

            def begin(run: _Scans) -> Future[list[CoveringRows]]:
                context = contextvars.copy_context()  # with the caller's deadline
                return pool.submit(context.run, lambda: list(self._batches(survey, run)))

            waiting = [begin(run) for run in runs]
            try:
                for future in waiting:
                    yield from future.result()
            finally:
                for future in waiting:
                    future.cancel()


class _Wanted:
    """N cones, and the newest alert met in each so far."""

    def __init__(self, ra: _Floats, dec: _Floats, radius: _Floats) -> None:
        self._ra, self._dec, self._radius = ra, dec, radius
        self.ranges = cone_ranges(ra, dec, radius)
        self.found: list[Nearest | None] = [None] * len(ra)

    def meet(self, rows: CoveringRows, times: _Floats, ra: _Floats, dec: _Floats) -> None:
        """Take rows of the table, in its order, with their times and places."""
        cells = _cells_of(rows.keys)
        start = np.searchsorted(cells, self.ranges.first)
        stop = np.searchsorted(cells, self.ranges.after)
        for several in _shares(start, stop):
            count = (stop - start)[several]
            cone = np.repeat(self.ranges.owner[several], count)
            row = np.arange(count.sum()) + np.repeat(start[several] - np.cumsum(count) + count, count)
            distance = separations(self._ra[cone], self._dec[cone], ra[row], dec[row])
            inside = np.flatnonzero(distance <= self._radius[cone])
            order = inside[np.lexsort((distance[inside], -times[row[inside]], cone[inside]))]
            _, best = np.unique(cone[order], return_index=True)
            for at in order[best].tolist():
                self._take(rows, int(cone[at]), int(row[at]), float(times[row[at]]), float(distance[at]))

    def _take(self, rows: CoveringRows, cone: int, row: int, time: float, distance: float) -> None:
        before = self.found[cone]
        if before is None or (time, -distance) > (before.time, -before.distance):
            found = Nearest(rows.keys[row], int(rows.files[row]), int(rows.rows[row]), time, distance)
            self.found[cone] = found


def _shares(start: npt.NDArray[np.intp], stop: npt.NDArray[np.intp]) -> Iterator[npt.NDArray[np.intp]]:
    """Yield the ranges that hold rows, in shares of about a million pairs of a cone and a row."""
    full = np.flatnonzero(stop > start)
    share = np.cumsum((stop - start)[full]) >> 20
    yield from (full[share == one] for one in np.unique(share).tolist())


def _cells_of(keys: Sequence[bytes]) -> npt.NDArray[np.int64]:
    """Return the cells of keys of table `sky`."""
    texts = bytes.fromhex(b"".join([key[:16] for key in keys]).decode("ascii"))
    return np.frombuffer(texts, ">i8").astype(np.int64)


def _place_names(survey: Survey) -> list[str]:
    paths = (survey.time.path, survey.position.ra, survey.position.dec)
    return [survey.flat_name(path) for path in paths]


def _places(table: pa.Table, survey: Survey) -> tuple[_Floats, _Floats, _Floats]:
    """Return time (days), right ascension and declination (degrees) of rows."""
    time, ra, dec = (
        np.asarray(table.column(name).cast(pa.float64()).to_numpy(), np.float64)
        for name in _place_names(survey)
    )
    return time, ra, dec
