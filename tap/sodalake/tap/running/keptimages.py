"""All images of a survey as one Arrow table, kept in this process while its files are the same.

Of images the row store has the only rows; there is no archive of columns to scan. But there are few, as rows go:
100 000 of them are some tens of megabytes, and what asks for all of them asks again.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Final

import pyarrow as pa

from sodalake.lake.alertrows import TooManyRows
from sodalake.lake.catalogue import FileView
from sodalake.lake.images.imagerows import ImageRows
from sodalake.lake.images.imagesurvey import ImageSurvey

__all__ = ["KeptImages"]

MOST_BYTES: Final = 64 << 20
_BATCH: Final = 16_384


class KeptImages:
    """Reads all images of surveys, and keeps them. May be used from any thread.

    Parameters
    ----------
    rows
        Where they are read.
    bytes
        How many of tables are kept, of all surveys together; what was asked for longest ago goes first.
    """

    def __init__(self, rows: ImageRows, bytes: int = MOST_BYTES) -> None:
        self._rows = rows
        self._bytes = bytes
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[int, pa.Table]] = OrderedDict()
        self._too_large: dict[str, int] = {}  # survey → generation of its files

    def all(
        self, survey: ImageSurvey, names: Sequence[str], *, most: int | None = None, view: FileView
    ) -> Iterator[pa.Table]:
        """Yield some columns of all of a survey's images that a view shows.

        Raises
        ------
        TooManyRows
            More than `most` were read before who asked had enough.
        """
        left = most
        for table in self._tables(survey, names, view):
            table = table.select(list(names))
            if left is not None and table.num_rows > left:
                yield table.slice(0, left)
                raise TooManyRows(
                    f"More than {most} rows of {survey.name}.images would be read.", "Ask for a smaller part."
                )
            left = None if left is None else left - table.num_rows
            yield table

    def _tables(self, survey: ImageSurvey, names: Sequence[str], view: FileView) -> Iterator[pa.Table]:
        with self._lock:
            generation, table = self._kept.get(survey.name, (-1, None))
            if table is not None and generation == view.generation:
                self._kept.move_to_end(survey.name)
            else:
                table = None
        if table is not None:
            for first in range(0, table.num_rows, _BATCH):
                yield table.slice(first, _BATCH)
            return
        if self._too_large.get(survey.name) == view.generation:
            yield from self._rows.all(survey, names, view=view)
            return
        found: list[pa.Table] | None = []
        size = 0
        for part in self._rows.all(survey, self._rows.schema(survey).names, view=view):
            size += part.nbytes
            if found is not None and size <= self._bytes:
                found.append(part)
            else:
                found = None
                self._too_large[survey.name] = view.generation
            yield part
        if found:
            self._keep(survey.name, view.generation, pa.concat_tables(found).combine_chunks())

    def _keep(self, survey: str, generation: int, table: pa.Table) -> None:
        with self._lock:
            self._kept[survey] = generation, table
            self._kept.move_to_end(survey)
            while sum(one.nbytes for _, one in self._kept.values()) > self._bytes:
                self._kept.popitem(last=False)
