"""Alerts as Arrow tables of flat columns, by the row store's indices: by id, by object, by place, time and class.

All tables of one call have the same schema: the names asked for, with the types of `flat_schema`. They show what a view
of the catalogue shows, from the first batch to the last: an ingest that commits meanwhile changes nothing.

Index tables answer alone where the names asked for are among the covering columns; else the alerts' rows are fetched
from table `object`, whose key is made of what the index has.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from .catalogue import FileView
from .coveringrows import GROUP, PAYLOAD, CoveringRows, chosen, seen_rows
from .epochrows import EPOCH_GROUPS, epoch_rows, schema_numbers, version_of
from .errors import Unavailable, UsageError
from .flatrows import covering_schema, flat_schema, of_names, unpacked
from .flatten import id_texts, times_of
from .indextables import CLASS, SKY, TIME, index_tables, require_whole
from .keys import alert_keys, class_range, object_keys, object_range, sky_range, time_ranges
from .keys import parse_alert_key as parse_plain_key
from .lake import Lake
from .rows import Cells
from .scanning import FIRST, MOST, Scanner
from .stamprows import object_key_of
from .summarising import stem_of
from .survey import Survey
from .versions import SINGLE

__all__ = ["AlertRows", "TooManyRows", "Wanted", "covering_schema", "flat_schema"]

_TRIES = 5
_LOOKED_AT = 64  # rows that are fetched from LMDB sooner than looked at
_SEVERAL = 3  # alerts of an object, on average, from which they are scanned with those between


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is known of the alerts that are wanted before all of their columns are there.

    Attributes
    ----------
    columns
        Covering columns that `keep` looks at.
    keep
        Returns which of N alerts may be wanted (bool, N), or None where it cannot say.
    """

    columns: tuple[str, ...]
    keep: Callable[[pa.Table], npt.NDArray[np.bool_] | None]


class TooManyRows(UsageError):
    """More rows would be read than the caller allowed."""


class AlertRows:
    """Reads alerts of a lake by its indices. Blocking; may be used from any thread.

    Parameters
    ----------
    lake
        An open lake; who opened it closes it.

    Notes
    -----
    In all methods `names` are flat columns (one that the lake has not is of type null), `most` is the number of rows
    beyond which `TooManyRows` is raised, and `view` says what may be seen (None: what may be seen now). Batches are of
    `batch` rows at first and up to 8192 later, so that who stops early has read little. `wanted` spares the row store
    what an index's own columns rule out; it is no promise: where nothing more is fetched, nothing is left out. All
    raise `DeadlineExceeded` when the time of `sodalake.lake.rows.within` has passed, and `Unavailable` where the store
    does not answer.
    """

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._scanner = Scanner(lake.rows)
        self._far = lake.rows.parallel > 1  # a row costs a call, or its part of one

    def has(self, survey: Survey, table: str) -> bool:
        """Say whether all files that may be seen are in an index table (``sky``, ``time``, ``class``, ``objects``)."""
        if table not in index_tables(survey):
            return table in ("alert", "object")
        return not self._lake.catalogue(survey.name).view().lacking(table)

    # ------------------------------------------------------------------ by id

    def of_objects(
        self,
        survey: Survey,
        object_ids: Sequence[str],
        names: Sequence[str],
        *,
        most: int | None = None,
        view: FileView | None = None,
        batch: int = FIRST,
    ) -> Iterator[pa.Table]:
        """Yield the alerts of some objects. An id that no object can have has none."""
        ranges = [object_range(one) for one in dict.fromkeys(object_ids) if _is_id(one)]
        schema, view = self._begin(survey, names, view)
        count = 0
        for rows in self._scanner.ranges(f"{survey.name}.object", ranges, EPOCH_GROUPS, batch):
            cells = epoch_rows(view, rows).cells
            count = _counted(survey, "object", count + len(cells), most)
            yield from self._unpacked(survey, cells, schema, SINGLE)

    def of_alerts(
        self,
        survey: Survey,
        alert_ids: Sequence[str],
        names: Sequence[str],
        *,
        view: FileView | None = None,
    ) -> Iterator[pa.Table]:
        """Yield the alerts of some ids. An id that no alert can have has none."""
        ids = [one for one in dict.fromkeys(alert_ids) if _is_id(one)]
        schema, view = self._begin(survey, names, view)
        for first, after in _growing(len(ids)):
            cells = self._by_id(survey, ids[first:after], view)
            yield from self._unpacked(survey, cells, schema, SINGLE)

    def _by_id(self, survey: Survey, alert_ids: Sequence[str], view: FileView) -> list[bytes]:
        """Return the `object` cells of some alerts, of those that may be seen."""
        found: list[bytes] = []
        todo = alert_keys(alert_ids)
        for _ in range(_TRIES):
            there = [
                (key, cells[0])
                for key, cells in zip(
                    todo, self._scanner.keys(f"{survey.name}.alert", todo, ["p"]), strict=True
                )
                if cells and cells[0]
            ]
            seen = chosen(view, [cell for _, cell in there])
            keys = [object_key_of(cell[SINGLE:]) for cell in seen.cells]
            cells, gone = self._versions(survey, keys, seen.files)
            found += cells
            if not len(gone):
                return found
            # Superseded, and that twice, since the view was taken.
            todo = [there[at][0] for at in seen.which[gone].tolist()]
            view = self._lake.catalogue(survey.name).view(fresh=True)
        raise Unavailable(
            f"Alerts of {survey.name} were superseded faster than they could be read.", "Ask again."
        )

    def _versions(
        self, survey: Survey, keys: Sequence[bytes], files: npt.NDArray[np.uint32]
    ) -> tuple[list[bytes], npt.NDArray[np.intp]]:
        """Return some files' versions of some `object` cells, each alone; and which of the keys have none."""
        rows = self._epochs(f"{survey.name}.object", keys)
        cells = [
            version_of(row[0], number) if row and row[0] else None
            for row, number in zip(rows, files.tolist(), strict=True)
        ]
        gone = np.flatnonzero([cell is None for cell in cells])
        return [cell for cell in cells if cell is not None], gone

    def _epochs(self, table: str, keys: Sequence[bytes]) -> list[Cells | None]:
        """Return the rows of some keys of table `object`, in their order.

        HBase goes from one range of a scan to the next sooner than it begins a get: so all are read by ranges, and
        where several are of one object, as in a cone, from the first of them to the last. (LMDB: 4 µs for a get.)
        """
        if not self._far:
            return self._scanner.keys(table, keys, ["d"])
        ends: dict[bytes, list[bytes]] = {}
        for key in keys:
            known = ends.setdefault(stem_of(key), [key, key])
            known[:] = min(known[0], key), max(known[1], key)
        several = len(keys) >= _SEVERAL * len(ends)
        ranges = ends.values() if several else [(key, key) for key in set(keys)]
        every = self._scanner.ranges(table, [(first, last + b"\0") for first, last in ranges], ["d"], MOST)
        found = dict(itertools.chain.from_iterable(every))
        return [found.get(key) for key in keys]

    # ------------------------------------------------------------------ by index

    def in_sky(
        self,
        survey: Survey,
        ranges: Iterable[tuple[int, int]],
        names: Sequence[str],
        *,
        most: int | None = None,
        times: tuple[float, float] | None = None,
        view: FileView | None = None,
        wanted: Wanted | None = None,
        batch: int = FIRST,
    ) -> Iterator[pa.Table]:
        """Yield the alerts in some ranges of cells of order 29 (first, and first after), as `cone_ranges` makes them.

        Parameters
        ----------
        times
            Days, both included: alerts taken before or after are left out. None: of any time.

        Raises
        ------
        UsageError
            Files of the survey are not in the index.
        """
        scans = [sky_range(*one) for one in ranges]
        return self._by_index(survey, SKY, scans, names, most, times, view, wanted, batch)

    def in_time(
        self,
        survey: Survey,
        first: float,
        last: float,
        names: Sequence[str],
        *,
        most: int | None = None,
        view: FileView | None = None,
        wanted: Wanted | None = None,
        batch: int = FIRST,
    ) -> Iterator[pa.Table]:
        """Yield the alerts taken from `first` to `last` (days, both included; ±inf: no limit); raises as `in_sky`."""
        return self._by_index(
            survey, TIME, time_ranges(first, last), names, most, (first, last), view, wanted, batch
        )

    def in_class(
        self,
        survey: Survey,
        classes: Sequence[str],
        first: float,
        last: float,
        names: Sequence[str],
        *,
        most: int | None = None,
        view: FileView | None = None,
        wanted: Wanted | None = None,
        batch: int = FIRST,
    ) -> Iterator[pa.Table]:
        """Yield the alerts of some classes taken from `first` to `last`; raises as `in_sky`.

        An alert's class is the first of the survey's class columns that is not null. So those are found, among others
        perhaps, whose first class column is one of `classes`.
        """
        asked = (class_range(one, first, last) for one in classes)
        scans = sorted({scan for scan in asked if scan is not None})
        return self._by_index(survey, CLASS, scans, names, most, (first, last), view, wanted, batch)

    def _by_index(
        self,
        survey: Survey,
        table: str,
        scans: Sequence[tuple[bytes, bytes]],
        names: Sequence[str],
        most: int | None,
        times: tuple[float, float] | None,
        view: FileView | None,
        wanted: Wanted | None,
        batch: int,
    ) -> Iterator[pa.Table]:
        schema, view = self._begin(survey, names, view)
        require_whole(survey, table, view)
        alone = set(names) <= set(survey.covering_names)
        count = 0
        for found in self._scanner.ranges(f"{survey.name}.{table}", scans, [GROUP], batch):
            there = [(key, cell) for key, (cell,) in found if cell]
            rows = seen_rows(view, [key for key, _ in there], [cell for _, cell in there])
            rows = self._between(survey, rows, times)
            if wanted is not None and not alone and (len(rows.keys) > _LOOKED_AT or self._far):
                rows = self._wanted(survey, rows, wanted)
            count = _counted(survey, table, count + len(rows.keys), most)
            if alone:
                yield from self._unpacked(survey, rows.cells, schema, PAYLOAD)
            else:
                yield from self._unpacked(survey, self._fetched(survey, rows, view), schema, SINGLE)

    def _between(self, survey: Survey, rows: CoveringRows, times: tuple[float, float] | None) -> CoveringRows:
        if times is None or times == (-math.inf, math.inf) or not rows.keys:
            return rows
        days = times_of(
            rows.columns(self._lake.catalogue(survey.name), [survey.flat_name(survey.time.path)]), survey
        )
        inside = (days >= times[0]) & (days <= times[1])
        return rows if inside.all() else rows.take(np.flatnonzero(inside))

    def _wanted(self, survey: Survey, rows: CoveringRows, wanted: Wanted) -> CoveringRows:
        """Leave out what is not wanted, before the rest of its columns is fetched."""
        schema = of_names(flat_schema(self._lake, survey), wanted.columns)
        if not rows.keys:
            return rows
        tables = list(self._unpacked(survey, rows.cells, schema, PAYLOAD))
        keep = wanted.keep(pa.concat_tables(tables))
        return rows if keep is None or keep.all() else rows.take(np.flatnonzero(keep))

    def _fetched(self, survey: Survey, rows: CoveringRows, view: FileView) -> list[bytes]:
        """Return the `object` cells of alerts that an index has.

        By the key that ids and time make; those without an object id where the survey has it first, and those that have
        been superseded twice since the view was taken, by way of table `alert`.
        """
        if not rows.keys:
            return []
        ids = survey.ids
        alert, object_, time = (survey.flat_name(path) for path in (ids.alert, ids.object, survey.time.path))
        table = rows.columns(self._lake.catalogue(survey.name), [alert, object_, time])
        alerts, _ = id_texts(table.column(0), ids.none)
        objects, _ = id_texts(table.column(1), ids.none)
        whole = np.flatnonzero(pc.and_(alerts.is_valid(), objects.is_valid()).to_numpy(zero_copy_only=False))
        take = pa.array(whole)
        keys = object_keys(objects.take(take), times_of(table, survey)[whole], alerts.take(take))
        cells, gone = self._versions(survey, keys, rows.files[whole])
        others = np.ones(len(rows.keys), np.bool_)
        others[whole] = False
        others[whole[gone]] = True
        if others.any():
            left = [
                parse_plain_key(b"_" + rows.keys[at].rpartition(b"_")[2]) for at in np.flatnonzero(others)
            ]
            cells += self._by_id(survey, left, view)
        return cells

    # ------------------------------------------------------------------ common to all

    def _begin(
        self, survey: Survey, names: Sequence[str], view: FileView | None
    ) -> tuple[pa.Schema, FileView]:
        view = view or self._lake.catalogue(survey.name).view(fresh=True)
        return of_names(flat_schema(self._lake, survey), names), view

    def _unpacked(
        self, survey: Survey, cells: Sequence[bytes], schema: pa.Schema, skip: int
    ) -> Iterator[pa.Table]:
        if cells:
            packings = self._lake.catalogue(survey.name).packings(
                np.unique(schema_numbers(cells, skip)).tolist()
            )
            yield unpacked(cells, packings, schema, skip=skip)


def _counted(survey: Survey, table: str, count: int, most: int | None) -> int:
    if most is not None and count > most:
        raise TooManyRows(
            f"More than {most} rows of {survey.name}.{table} would be read.", "Ask for a smaller part."
        )
    return count


def _growing(count: int) -> Iterator[tuple[int, int]]:
    """Yield first and last of batches of N, that grow from `FIRST` to `MOST`."""
    first, size = 0, FIRST
    while first < count:
        yield first, first + size
        first, size = first + size, min(MOST, 4 * size)


def _is_id(identifier: str) -> bool:
    try:
        object_range(identifier)
    except (UsageError, UnicodeEncodeError):  # empty, too long, or no text that a file can hold
        return False
    return True
