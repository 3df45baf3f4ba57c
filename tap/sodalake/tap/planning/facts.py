"""What a planner knows of a lake without reading it: how many rows there are when, and which indices are whole."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sodalake.lake.flatrows import covering_schema, flat_schema
from sodalake.lake.lake import Lake
from sodalake.lake.survey import Survey

__all__ = ["Facts", "ImageFacts", "SurveyFacts"]

_TEXT = 12  # bytes of a text in a column, by and large: ids, names of classes
_OUTLINE = 300  # of an image's outline as text
_ALERT_INDICES = ("sky", "time", "class")


@dataclass(frozen=True, slots=True)
class SurveyFacts:
    """What is known of one survey of alerts at one moment.

    Attributes
    ----------
    survey
        Its description.
    first, last, rows
        Of each file that may be seen: earliest and latest time (days), alerts (N each).
    indices
        Index tables that hold all of its alerts.
    covering
        Names of the columns that index tables have.
    widths
        Bytes a row of each flat column takes.
    """

    survey: Survey
    first: npt.NDArray[np.float64]
    last: npt.NDArray[np.float64]
    rows: npt.NDArray[np.int64]
    indices: frozenset[str]
    covering: frozenset[str]
    widths: dict[str, int]

    @property
    def nobody(self) -> frozenset[str]:
        """Values of the object's id that stand for no object."""
        return frozenset(str(one) for one in self.survey.ids.none)

    @property
    def total(self) -> int:
        """Alerts of all files."""
        return int(self.rows.sum())

    def rows_between(self, first: float, last: float) -> int:
        """Return about how many alerts have times from `first` to `last` (days)."""
        if not len(self.rows):
            return 0
        length = self.last - self.first
        overlap = np.minimum(self.last, last) - np.maximum(self.first, first)
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(length > 0, np.clip(overlap / length, 0, 1), overlap >= 0)
        return int(np.ceil((share * self.rows).sum()))

    def rows_of_files(self, first: float, last: float) -> int:
        """Return how many alerts the files have that may have some in between."""
        return int(self.rows[(self.last >= first) & (self.first <= last)].sum())

    def width(self, columns: Sequence[str]) -> int:
        """Return the bytes a row of these columns takes."""
        return sum(self.widths.get(name, 8) for name in columns)


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What is known of one survey of images at one moment.

    Attributes
    ----------
    total
        Images of all files that may be seen.
    """

    total: int

    def width(self, columns: Sequence[str]) -> int:
        """Return the bytes a row of these columns takes, by and large."""
        return sum(_OUTLINE if name == "s_region" else _TEXT for name in columns)


class Facts:
    """The facts of a lake's surveys, as they are now."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._known: dict[str, tuple[int, SurveyFacts]] = {}
        self._lock = threading.Lock()

    def of(self, survey: str) -> SurveyFacts:
        """Return what is known of a survey of alerts; read again only when its files have changed."""
        view = self._lake.catalogue(survey).view()
        known = self._known.get(survey)
        if known is not None and known[0] == view.generation:
            return known[1]
        with self._lock:
            described = self._lake.survey(survey)
            files = [
                record
                for record in view.records.values()
                if record.state == "committed" and record.rows and record.first is not None
            ]
            facts = SurveyFacts(
                described,
                np.array([record.first for record in files], np.float64),
                np.array([record.last for record in files], np.float64),
                np.array([record.rows for record in files], np.int64),
                frozenset(table for table in _ALERT_INDICES if not view.lacking(table)),
                frozenset(covering_schema(self._lake, described).names),
                {field.name: _width(field.type) for field in flat_schema(self._lake, described)},
            )
            self._known[survey] = view.generation, facts
        return facts

    def of_images(self, survey: str) -> ImageFacts:
        """Return what is known of a survey of images."""
        records = self._lake.catalogue(survey).view().records.values()
        return ImageFacts(sum(record.rows for record in records if record.state == "committed"))


def _width(kind: pa.DataType) -> int:
    return _TEXT if pa.types.is_string(kind) or pa.types.is_null(kind) else max(1, kind.bit_width // 8)
