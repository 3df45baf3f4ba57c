"""What a collection covers, as a MOC (MOC 2.0): the union of its images' outlines.

A MOC is made of the index alone, no file is read, and kept until the collection changes. How fine its cells are follows
from the images: `_ACROSS` of them along an image's side, so that a map of large tiles is small, and one of a few small
images still shows their shape.
"""

from __future__ import annotations

import io
import math
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from sodalake.lake.errors import NotInLake
from sodalake.lake.images.finding import ImageFinder
from sodalake.lake.importing import IMPORTS
from sodalake.lake.lake import Lake

if TYPE_CHECKING:
    from mocpy import MOC

__all__ = ["MOC_FORMS", "Asked", "MocForm", "begin_coverage", "coverage_of", "moc_bytes"]

MocForm = Literal["fits", "ascii"]
MOC_FORMS: Final[tuple[MocForm, ...]] = ("fits", "ascii")

_COARSEST, _FINEST = 8, 16  # orders: cells of 14′ and of 3″
_ACROSS: Final = 8  # cells along the side of an image
_CELL: Final = 58.632  # degrees along the side of a cell of order 0: the root of 4π/12 steradians
_THREADS: Final = 1  # of mocpy: whoever asks for a map has one of the workers' threads, not all cores
_WHOLE_SKY: Final = 180.0


def coverage_of(outlines: Sequence[NDArray[np.float64]]) -> MOC:
    """Return the union of outlines, as a MOC.

    Parameters
    ----------
    outlines
        V x 2 each: longitude and latitude in degrees, ICRS.
    """
    # Imported when used: with astropy's tables it takes a second.
    with IMPORTS:
        from mocpy import MOC

    # Bands and epochs of one pointing have the same outline, or nearly: a hundredth of an arcsecond is no cell's size.
    shapes = {np.round(outline, 6).tobytes(): outline for outline in outlines if len(outline) > 2}
    if not shapes:
        return MOC.new_empty(_COARSEST)
    order = _order([*shapes.values()])
    each = []
    # mocpy takes polygons as one array: those of a call have the same number of corners.
    for corners in sorted({len(outline) for outline in shapes.values()}):
        some = [outline for outline in shapes.values() if len(outline) == corners]
        flat = [np.ascontiguousarray(axis) for outline in some for axis in outline.T]
        each += MOC.from_polygons(flat, max_depth=order, n_threads=_THREADS)
    return each[0].union(*each[1:]) if len(each) > 1 else each[0]


def moc_bytes(moc: MOC, form: MocForm) -> bytes:
    """Return a MOC as FITS (MOC 2.0, 4.2.1; readers of MOC 1 know it too) or as ASCII (4.2.3)."""
    if form == "ascii":
        return f"{moc.to_string('ascii')}\n".encode()
    out = io.BytesIO()
    moc.serialize("fits", v1_compatible=True).writeto(out)
    return out.getvalue()


def _order(outlines: Sequence[NDArray[np.float64]]) -> int:
    """Return the order whose cells are a fraction of the images' median side."""
    some = outlines[:: max(1, len(outlines) // 1000)]
    heights = [float(np.ptp(outline[:, 1])) for outline in some]
    cell = max(float(np.median(heights)), 1e-6) / _ACROSS
    return min(_FINEST, max(_COARSEST, math.ceil(math.log2(_CELL / cell))))


@dataclass(frozen=True, slots=True)
class Asked:
    """Which map, and how it is to be written.

    Attributes
    ----------
    most
        Images of a survey beyond which a map that is not kept is for other workers; None: it is made here.
    """

    survey: str
    collection: str
    form: MocForm = "fits"
    most: int | None = None


@dataclass(slots=True)
class _Whole:
    """An answer that is there at once; see `sodalake.lake.streams.Stream`.

    Attributes
    ----------
    head
        The generation of the survey's catalogue that the map is of; None: ask another worker, without a `most`.
    """

    head: Any
    body: bytes

    def __iter__(self) -> Iterator[bytes]:
        yield self.body

    def stop(self) -> None:
        """Do nothing: there is nothing under way."""


def begin_coverage(lake: Lake, asked: Any, seconds: float) -> _Whole:
    """Return a collection's map, made now where it is not kept; for `sodalake.lake.lanes.Lane.open`.

    Parameters
    ----------
    asked
        See `Asked`.

    Raises
    ------
    NotInLake
        The lake has no such survey of images, or the survey no such collection.
    """
    found = _maps_of(lake).get(asked.survey, asked.collection, asked.most)
    return _Whole(None, b"") if found is None else _Whole(found[0], moc_bytes(found[1], asked.form))


class _Maps:
    """The maps of a lake, in this process."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._finder = ImageFinder(lake)
        self._kept: dict[tuple[str, str], tuple[int, Any]] = {}
        self._making: dict[tuple[str, str], threading.Lock] = {}
        self._lock = threading.Lock()

    def get(self, name: str, collection: str, most: int | None = None) -> tuple[int, Any] | None:
        """Return a map, and the generation of the catalogue that it is of; None where it is of too many images."""
        survey = self._lake.image_survey(name)
        if collection not in survey.collections:
            known = ", ".join(survey.collections)
            raise NotInLake(f"{name} has no collection {collection[:80]!r}.", f"It has {known}.")
        key = (name, collection)
        with self._lock:
            making = self._making.setdefault(key, threading.Lock())
        with making:  # who asks meanwhile waits, and finds it made
            view = self._lake.catalogue(name).view()
            generation = view.generation
            kept = self._kept.get(key)
            if kept is None or kept[0] != generation:
                if most is not None and sum(record.rows for record in view.records.values()) > most:
                    return None
                found = self._finder.outlines_near(survey, 0.0, 0.0, _WHOLE_SKY, collections=(collection,))
                kept = generation, coverage_of([one.vertices for one in found])
                self._kept[key] = kept
            return kept


_maps: WeakKeyDictionary[Lake, _Maps] = WeakKeyDictionary()
_maps_lock = threading.Lock()


def _maps_of(lake: Lake) -> _Maps:
    with _maps_lock:
        if lake not in _maps:
            _maps[lake] = _Maps(lake)
        return _maps[lake]
