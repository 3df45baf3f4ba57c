"""Images as Arrow tables of flat columns (`imagecolumns`), by id, by place, and all of them.

As `sodalake.lake.alertrows` has alerts: all tables of one call have the same schema, and show what a view of the
catalogue shows from the first batch to the last.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa

from ..alertrows import TooManyRows
from ..catalogue import FileView
from ..coveringrows import PAYLOAD, CoveringRows, seen_rows
from ..epochrows import schema_numbers
from ..errors import UsageError
from ..flatrows import of_names, unpacked
from ..lake import Lake
from ..scanning import FIRST, MOST, Scanner
from ..sky import ORDER
from .imagecolumns import IMAGE_COLUMNS
from .imagesurvey import ImageSurvey
from .indexing import image_range

__all__ = ["ImageRows"]


class ImageRows:
    """Reads the flat columns of a lake's images. Blocking; may be used from any thread.

    Parameters
    ----------
    lake
        An open lake; who opened it closes it.

    Notes
    -----
    In all methods `names` are flat columns (of type null where there is none of a name), `most` is the number of rows
    beyond which `TooManyRows` is raised, and `view` says what may be seen (None: what may be seen now). All raise
    `DeadlineExceeded` when the time of `sodalake.lake.rows.within` has passed, and `Unavailable` where the store does
    not answer.
    """

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._scanner = Scanner(lake.rows)

    @staticmethod
    def schema(survey: ImageSurvey) -> pa.Schema:
        """Return the columns: the same for every survey, whatever its files have."""
        return IMAGE_COLUMNS

    def of_ids(
        self,
        survey: ImageSurvey,
        image_ids: Sequence[str],
        names: Sequence[str],
        *,
        view: FileView | None = None,
    ) -> Iterator[pa.Table]:
        """Yield the images of some ids. An id that no image can have has none."""
        ranges = []
        for one in dict.fromkeys(image_ids):
            try:
                ranges.append(image_range(one))
            except (UsageError, UnicodeEncodeError):  # empty, too long, or no text that a key can hold
                continue
        view = view or self._lake.catalogue(survey.name).view(fresh=True)
        yield from self._tables(survey, ranges, names, view, None)

    def in_sky(
        self,
        survey: ImageSurvey,
        ranges: Iterable[tuple[int, int]],
        names: Sequence[str],
        *,
        most: int | None = None,
        view: FileView | None = None,
    ) -> Iterator[pa.Table]:
        """Yield the images that may meet a part of the sky, each once.

        Parameters
        ----------
        ranges
            Of cells of order 29 (first, and the first after it), sorted and apart. An image is given if a cell that it
            is entered in meets one of them: so are all whose outlines do, and some that are nearby.
        """
        view = view or self._lake.catalogue(survey.name).view(fresh=True)
        orders = {
            order
            for record in view.records.values()
            if record.state == "committed"
            for order in record.orders
        }
        wanted = list(ranges)
        scans = [scan for order in sorted(orders) for scan in _scans(wanted, order)]
        keys: dict[bytes, None] = {}
        for batch in self._scanner.ranges(f"{survey.name}.outline", scans, ["c"]):
            seen = _seen(view, [(key, cell) for key, (cell,) in batch if cell])
            keys.update((key.split(b"_", 2)[2], None) for key in seen.keys)
            if most is not None and len(keys) > most:
                raise _too_many(survey, most)
        yield from self._of_keys(survey, list(keys), names, view)

    def all(
        self,
        survey: ImageSurvey,
        names: Sequence[str],
        *,
        most: int | None = None,
        view: FileView | None = None,
    ) -> Iterator[pa.Table]:
        """Yield all images, in the order of their ids: few at first, more later."""
        view = view or self._lake.catalogue(survey.name).view(fresh=True)
        yield from self._tables(survey, [(b"", b"\x7f")], names, view, most)

    # ------------------------------------------------------------------ common to all

    def _tables(
        self,
        survey: ImageSurvey,
        ranges: Sequence[tuple[bytes, bytes]],
        names: Sequence[str],
        view: FileView,
        most: int | None,
    ) -> Iterator[pa.Table]:
        count = 0
        for batch in self._scanner.ranges(f"{survey.name}.image", ranges, ["d"]):
            seen = _seen(view, [(key, cell) for key, (cell,) in batch if cell])
            count += len(seen.keys)
            if most is not None and count > most:
                raise _too_many(survey, most)
            yield from self._unpacked(survey, seen, names)

    def _of_keys(
        self, survey: ImageSurvey, keys: Sequence[bytes], names: Sequence[str], view: FileView
    ) -> Iterator[pa.Table]:
        first, size = 0, FIRST
        while first < len(keys):
            some = keys[first : first + size]
            cells = self._scanner.keys(f"{survey.name}.image", some, ["d"])
            there = [(key, row[0]) for key, row in zip(some, cells, strict=True) if row and row[0]]
            yield from self._unpacked(survey, _seen(view, there), names)
            first, size = first + size, min(MOST, 4 * size)

    def _unpacked(self, survey: ImageSurvey, seen: CoveringRows, names: Sequence[str]) -> Iterator[pa.Table]:
        if seen.keys:
            numbers = np.unique(schema_numbers(seen.cells, PAYLOAD)).tolist()
            packings = self._lake.catalogue(survey.name).packings(numbers)
            yield unpacked(seen.cells, packings, of_names(IMAGE_COLUMNS, names), skip=PAYLOAD)


def _seen(view: FileView, rows: Sequence[tuple[bytes, bytes]]) -> CoveringRows:
    return seen_rows(view, [key for key, _ in rows], [cell for _, cell in rows])


def _scans(ranges: Sequence[tuple[int, int]], order: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield ranges of keys of the cells of an order that meet some ranges of cells of order 29."""
    shift = 2 * (ORDER - order)
    held: tuple[int, int] | None = None
    for first, after in ranges:
        start, stop = first >> shift << shift, ((after - 1 >> shift) + 1) << shift
        if held is not None and start <= held[1]:
            held = held[0], max(held[1], stop)
            continue
        if held is not None:
            yield _keys(order, *held)
        held = start, stop
    if held is not None:
        yield _keys(order, *held)


def _keys(order: int, first: int, after: int) -> tuple[bytes, bytes]:
    return b"%02d_%016x" % (order, first), b"%02d_%016x" % (order, after)


def _too_many(survey: ImageSurvey, most: int) -> TooManyRows:
    return TooManyRows(f"More than {most} images of {survey.name} would be read.", "Ask for a smaller part.")
