"""Objects as Arrow tables: how many alerts each has, from when to when, and what the latest of them says.

From table `objects` (`sodalake.lake.summaries`), where an object is a few short rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from .alertrows import TooManyRows
from .catalogue import FileView
from .coveringrows import GROUP
from .epochrows import EPOCH_GROUPS, epoch_rows, schema_numbers
from .errors import UsageError
from .flatrows import covering_schema, of_names, unpacked
from .flatten import times_of
from .indextables import OBJECTS, require_whole
from .keys import object_range, stem_range, summary_shares
from .lake import Lake
from .packing import unpack
from .scanning import Scanner
from .summaries import HEAD_BYTES, Merged, deltas, merged
from .summarising import stem_of
from .survey import Survey
from .versions import SINGLE

__all__ = ["ObjectRows", "summary_names"]

_END = 22  # bytes of a key behind its object


def summary_names(survey: Survey) -> tuple[str, str, str]:
    """Return the names of an object's number of alerts, and of its first and last time."""
    return "n_alerts", f"first_{survey.time.name}", f"last_{survey.time.name}"


class ObjectRows:
    """Reads summaries of a lake's objects. Blocking; may be used from any thread.

    Parameters
    ----------
    lake
        An open lake.

    Notes
    -----
    `names`, `most`, `view` and errors are as in `sodalake.lake.alertrows.AlertRows`; names are those of `schema`.
    """

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._scanner = Scanner(lake.rows)

    def schema(self, survey: Survey) -> pa.Schema:
        """Return the columns of an object: id, place, number of alerts (int64), first and last time (days), the rest.

        But for those three, they are the covering columns of its latest alert; of equally late ones that of the newer
        file, and in it the later row.
        """
        covering = covering_schema(self._lake, survey)
        first = (
            survey.flat_name(path) for path in (survey.ids.object, survey.position.ra, survey.position.dec)
        )
        leading = [name for name in first if name in covering.names]
        count, begin, end = summary_names(survey)
        own = [pa.field(count, pa.int64()), pa.field(begin, pa.float64()), pa.field(end, pa.float64())]
        rest = [name for name in covering.names if name not in (*leading, count, begin, end)]
        return pa.schema(
            [covering.field(name) for name in leading] + own + [covering.field(name) for name in rest]
        )

    def of_objects(
        self,
        survey: Survey,
        object_ids: Sequence[str],
        names: Sequence[str],
        *,
        most: int | None = None,
        view: FileView | None = None,
    ) -> Iterator[pa.Table]:
        """Yield the summaries of some objects. An id that no object can have has none."""
        ranges = []
        for one in dict.fromkeys(object_ids):
            try:
                ranges.append(object_range(one))
            except (UsageError, UnicodeEncodeError):
                continue
        return self._of_ranges(survey, ranges, names, most, view)

    def all(
        self,
        survey: Survey,
        names: Sequence[str],
        *,
        most: int | None = None,
        view: FileView | None = None,
    ) -> Iterator[pa.Table]:
        """Yield the summaries of all objects."""
        return self._of_ranges(survey, summary_shares(), names, most, view)

    def _of_ranges(
        self,
        survey: Survey,
        ranges: Sequence[tuple[bytes, bytes]],
        names: Sequence[str],
        most: int | None,
        view: FileView | None,
    ) -> Iterator[pa.Table]:
        view = view or self._lake.catalogue(survey.name).view(fresh=True)
        require_whole(survey, OBJECTS, view)
        schema = of_names(self.schema(survey), names)
        table = f"{survey.name}.{OBJECTS}"
        count = 0
        # The last object of a batch may go on in a later one; ranges that are read side by side come mixed.
        open_: dict[bytes, list[tuple[bytes, bytes]]] = {}
        for batch in self._scanner.ranges(table, ranges, [GROUP]):
            rows = [(key, cell) for key, (cell,) in batch if cell]
            last = rows[-1][0][:-_END]
            held = open_.pop(rows[0][0][:-_END], [])
            cut = next((at for at in range(len(rows), 0, -1) if rows[at - 1][0][:-_END] != last), 0)
            if cut:
                for found in self._merged(survey, [*held, *rows[:cut]], schema, view):
                    count = self._counted(survey, count + found.num_rows, most)
                    yield found
                held = []
            open_[last] = [*held, *rows[cut:]]
        for found in self._merged(survey, [row for rows in open_.values() for row in rows], schema, view):
            count = self._counted(survey, count + found.num_rows, most)
            yield found

    @staticmethod
    def _counted(survey: Survey, count: int, most: int | None) -> int:
        if most is not None and count > most:
            raise TooManyRows(
                f"More than {most} objects of {survey.name} would be read.", "Ask for a smaller part."
            )
        return count

    def _merged(
        self, survey: Survey, rows: Sequence[tuple[bytes, bytes]], schema: pa.Schema, view: FileView
    ) -> Iterator[pa.Table]:
        found, unclear = merged(view, [key for key, _ in rows], [cell for _, cell in rows])
        if found.cells:
            yield self._table(survey, found, schema, HEAD_BYTES)
        if unclear:
            again = self._counted_again(survey, unclear, view)
            if again.cells:
                yield self._table(survey, again, schema, SINGLE)

    def _counted_again(self, survey: Survey, stems: Sequence[bytes], view: FileView) -> Merged:
        """Return the summaries of objects from their alerts; cells are of table `object`."""
        ranges = [stem_range(stem) for stem in stems]
        batches = self._scanner.ranges(f"{survey.name}.object", ranges, EPOCH_GROUPS)
        epochs = epoch_rows(view, [row for batch in batches for row in batch])
        codes = np.asarray(
            pa.array([stem_of(key) for key in epochs.keys], pa.binary())
            .dictionary_encode()
            .indices.to_numpy(),
            np.int64,
        )
        numbers = schema_numbers(epochs.cells, SINGLE)
        packings = self._lake.catalogue(survey.name).packings(np.unique(numbers).tolist())
        time = unpack(epochs.cells, packings, [survey.flat_name(survey.time.path)], skip=SINGLE)
        found = deltas(codes, times_of(time, survey), epochs.rows, epochs.files)
        cells = [epochs.cells[at] for at in found.latest.tolist()]
        return Merged(found.count, found.first, found.last, cells)

    def _table(self, survey: Survey, found: Merged, schema: pa.Schema, skip: int) -> pa.Table:
        own = dict(zip(summary_names(survey), (found.count, found.first, found.last), strict=True))
        covering = pa.schema([field for field in schema if field.name not in own])
        packings = self._lake.catalogue(survey.name).packings(
            np.unique(schema_numbers(found.cells, skip)).tolist()
        )
        table = unpacked(found.cells, packings, covering, skip=skip)
        if not len(schema):
            return table
        columns = {name: pa.array(values) for name, values in own.items()}
        columns |= dict(zip(covering.names, table.columns, strict=True))
        return pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)
