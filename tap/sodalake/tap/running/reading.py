"""Rows of one source, from wherever its plan says, as its published table has them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sodalake.lake.alertrows import AlertRows, Wanted
from sodalake.lake.archiverows import ArchiveRows
from sodalake.lake.catalogue import FileView
from sodalake.lake.images.imagerows import ImageRows
from sodalake.lake.lake import Lake
from sodalake.lake.objectrows import ObjectRows
from sodalake.lake.rows import within
from sodalake.lake.scanning import FIRST
from sodalake.lake.sky import cone_ranges, joined
from sodalake.lake.survey import Survey
from sodalake.tap.errors import TooLarge
from sodalake.tap.planning.checks import columns_of as checked
from sodalake.tap.planning.plan import ARCHIVE, Access, Joined, Leg, Read
from sodalake.tap.planning.planner import MOST_KEYS
from sodalake.tap.published import ObscoreView

from .checking import passing
from .conforming import columns_of, conformed
from .guard import Guard
from .keptimages import KeptImages
from .pairs import cones_of

__all__ = ["Counted", "Rows", "Seen", "too_much_memory"]

Seen = Callable[[str], FileView]
"""Survey → which of its files may be seen: the same for all of a query, whatever is committed meanwhile."""


@dataclass(slots=True)
class Counted:
    """What was read for a source: by which path, how many rows."""

    path: str = ""
    rows: int = 0


@dataclass
class Rows:
    """Reads a lake's rows for queries. May be used from any thread.

    Attributes
    ----------
    views
        Survey → its part of ``ivoa.obscore``.
    """

    lake: Lake
    alerts: AlertRows = field(init=False)
    objects: ObjectRows = field(init=False)
    archive: ArchiveRows = field(init=False)
    images: ImageRows = field(init=False)
    kept: KeptImages = field(init=False)

    def __post_init__(self) -> None:
        self.alerts = AlertRows(self.lake)
        self.objects = ObjectRows(self.lake)
        self.archive = ArchiveRows(self.lake)
        self.images = ImageRows(self.lake)
        self.kept = KeptImages(self.images)

    def of_leg(
        self,
        read: Read,
        leg: Leg,
        guard: Guard,
        views: Mapping[str, ObscoreView],
        *,
        most: int | None,
        seen: Seen,
        files: Sequence[int] | None = None,
        batch: int = FIRST,
    ) -> Iterator[pa.Table]:
        """Yield the rows of one leg.

        Parameters
        ----------
        most
            Rows to read of the row store, at most.
        seen
            Which files may be seen, by survey.
        files
            Numbers of the archive's files to read; None: all that may be of use.
        batch
            Rows of the row store to read at first; more later.

        Raises
        ------
        TooManyRows
            The row store has more.
        """
        columns = columns_of(read.table, read.columns)
        tables = self._flat(read, leg, most, seen, files, batch)
        while True:
            # Around each step, not around all: between two, the reading may go on in another thread, and whoever
            # takes the tables must not be under its deadline.
            with within(guard.left):
                table = next(tables, None)
            if table is None:
                return
            guard.check()
            if read.table.content == "obscore":
                table = views[leg.survey].derive(table, read.columns)
            yield conformed(table, columns)

    def _flat(
        self,
        read: Read,
        leg: Leg,
        most: int | None,
        seen: Seen,
        files: Sequence[int] | None,
        batch: int,
    ) -> Iterator[pa.Table]:
        access, columns = leg.access, leg.columns
        if access.path == "nothing":
            return
        view = seen(leg.survey)
        if leg.content == "images":
            yield from self._images(leg, access, most, view)
            return
        if leg.content == "objects":
            yield from self._objects(leg, access, most, view)
            return
        survey = self.lake.survey(leg.survey)
        if access.path == ARCHIVE:
            records = self.archive.files(survey, access.first, access.last, view=view)
            if files is not None:
                wanted = set(files)
                records = [record for record in records if record.number in wanted]
            yield from self.archive.read(survey, records, columns, view=view)
        elif access.path == "alert":
            yield from self.alerts.of_alerts(survey, access.keys, columns, view=view)
        elif access.path == "object":
            yield from self.alerts.of_objects(survey, access.keys, columns, most=most, view=view, batch=batch)
        else:
            yield from self._by_range(survey, read, leg, most, view, batch)

    def _by_range(
        self, survey: Survey, read: Read, leg: Leg, most: int | None, view: FileView, batch: int
    ) -> Iterator[pa.Table]:
        access, rows, early = leg.access, self.alerts, _wanted(read, leg)
        if access.path == "sky":
            yield from rows.in_sky(
                survey, access.ranges, leg.columns, most=most, view=view, wanted=early, batch=batch
            )
        elif access.path == "class":
            yield from rows.in_class(
                survey, access.keys, access.first, access.last, leg.columns,
                most=most, view=view, wanted=early, batch=batch,
            )  # fmt: skip
        else:
            yield from rows.in_time(
                survey, access.first, access.last, leg.columns,
                most=most, view=view, wanted=early, batch=batch,
            )  # fmt: skip

    def _images(self, leg: Leg, access: Access, most: int | None, view: FileView) -> Iterator[pa.Table]:
        survey = self.lake.image_survey(leg.survey)
        if access.path == "image":
            yield from self.images.of_ids(survey, access.keys, leg.columns, view=view)
        elif access.path == "sky":
            yield from self.images.in_sky(survey, access.ranges, leg.columns, most=most, view=view)
        else:
            yield from self.kept.all(survey, leg.columns, most=most, view=view)

    def _objects(self, leg: Leg, access: Access, most: int | None, view: FileView) -> Iterator[pa.Table]:
        survey = self.lake.survey(leg.survey)
        if access.path == ARCHIVE:
            yield from self.objects.all(survey, leg.columns, view=view)
            return
        keys = access.keys
        if access.path == "sky":
            # An object's place is its latest alert's, so it is among the objects of the alerts there.
            name = survey.flat_name(survey.ids.object)
            found = [
                table.column(name)
                for table in self.alerts.in_sky(survey, access.ranges, (name,), most=most, view=view)
            ]
            ids = pc.unique(pa.chunked_array([part for one in found for part in one.chunks], pa.string()))
            keys = tuple(ids.drop_null().to_pylist())
        yield from self.objects.of_objects(survey, keys, leg.columns, view=view)

    def reached(self, read: Read, other: pa.Table) -> Read | None:
        """Return a read whose rows are found by those of another table, which are there; None where these are too many.

        The same columns of the same legs, but by index.
        """
        assert read.joined is not None
        access = (
            self._by_keys(read.joined, other, read)
            if read.joined.kind == "equal"
            else _by_places(read.joined, other)
        )
        if access is None:
            return None
        (leg,) = read.legs
        return Read(
            read.source,
            read.table,
            read.columns,
            (Leg(leg.survey, access, leg.columns, leg.content),),
            pairs=read.pairs,
            numbered=read.numbered,
        )

    def _by_keys(self, join: Joined, other: pa.Table, read: Read) -> Access | None:
        keys = pc.unique(other.column(join.other_column)).drop_null()
        if len(keys) > MOST_KEYS:
            return None
        if pa.types.is_dictionary(keys.type):
            keys = keys.dictionary_decode()
        if pa.types.is_floating(keys.type):
            keys = keys.filter(pc.and_(pc.is_finite(keys), pc.equal(pc.floor(keys), keys)))
            if pc.any(pc.greater_equal(pc.abs(keys), 2.0**53)).as_py():
                return None  # a double that several integers equal is no key
            keys = keys.cast(pa.int64())
        texts = tuple(keys.cast(pa.string()).to_pylist())
        (leg,) = read.legs
        if leg.content == "images":
            return Access("image", texts)
        ids = self.lake.survey(leg.survey).ids
        if join.role == "object" and not {str(one) for one in ids.none}.isdisjoint(texts):
            return None  # what stands for no object is no key of the row store, and has rows in the archive
        if leg.content == "objects":
            return Access("objects", texts)
        return Access("alert" if join.role == "alert" else "object", texts)


def _wanted(read: Read, leg: Leg) -> Wanted | None:
    """Return what an index may leave out."""
    if not leg.checks:
        return None
    names = tuple(dict.fromkeys(name for check in leg.checks for name in checked(check)))
    columns = columns_of(read.table, names)
    return Wanted(names, lambda table: passing(conformed(table, columns), leg.checks))


def _by_places(join: Joined, other: pa.Table) -> Access | None:
    _, lon, lat, radius = cones_of(other, join)
    if len(lon) > MOST_KEYS or (len(lon) and float(np.sum(radius**2)) > 3000.0):
        return None
    if not len(lon):
        return Access("nothing", rows=0)
    return Access("sky", ranges=tuple(joined(cone_ranges(lon, lat, radius))))


def too_much_memory(held: int, memory: int) -> TooLarge:
    """Return the error of a query whose tables do not fit."""
    return TooLarge(
        f"The query brings more than {memory / 1e9:.2g} GB of rows together ({held / 1e9:.2g} GB so far).",
        "Select fewer columns, add conditions on each table, or count and group instead of listing.",
    )
