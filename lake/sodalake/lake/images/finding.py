"""Images by id, and by place: what a cutout begins with.

A place is looked for in the sky index, in a cell of each order that the survey's images have (`outlineindex`); of what
stands there, the outlines say which images are meant, and only their records are read. Nothing is scanned that does
not lie nearby, and records that were read are kept.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ..catalogue import FileView
from ..coveringrows import CoveringRows, refreshed, seen_rows
from ..errors import NotInLake, UsageError
from ..lake import Lake
from ..scanning import Scanner
from ..sky import check_cone, joined, unit_vectors
from ..versions import SINGLE
from .imagepacking import unpack_image
from .imagesurvey import ImageSurvey
from .indexing import image_key, image_range
from .outlineindex import Caps, Outline, Outlines, cell_ranges, heads_of, read_outlines
from .records import Image

__all__ = ["FINE", "ImageFinder", "Radii"]

FINE: Final = 1.0
"""Arcseconds: pixels as fine as this, or of files that do not say, are taken for so large. One look is for all."""

_ROW = 4  # bytes of the row in front of a record
_ALL = 90.0  # degrees: for a cap larger than half the sky all images are looked at
_PAIRS = 1 << 18  # of a cap and an image, looked at together

_Floats = npt.NDArray[np.float64]

Radii = _Floats | Callable[[float], _Floats]
"""Degrees of N caps; or what gives them, of images whose pixels are of so many arcseconds at most."""


class ImageFinder:
    """Finds images of a lake. Blocking; may be used from any thread.

    Parameters
    ----------
    lake
        An open lake; who opened it closes it.
    kept
        Records kept in memory, those used last.

    Notes
    -----
    All methods raise `Unavailable` where the row store does not answer, and `DeadlineExceeded` when the time of
    `sodalake.lake.rows.within` has passed. What an ingest has committed is seen a second later at most.
    """

    def __init__(self, lake: Lake, *, kept: int = 512) -> None:
        self._lake = lake
        self._scanner = Scanner(lake.rows)
        self._most = kept
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, str, int], Image] = OrderedDict()
        self._scales: dict[str, tuple[int, dict[int, float]]] = {}

    # ------------------------------------------------------------------ by id

    def by_id(self, survey: ImageSurvey, image_id: str) -> Image:
        """Return an image.

        Raises
        ------
        NotInLake
            There is none of this id.
        """
        (found,) = self.by_ids(survey, [image_id])
        if found is None:
            raise NotInLake(
                f"There is no image {image_id[:120]!r} in {survey.name}.", "Look for its id by position."
            )
        return found

    def by_ids(self, survey: ImageSurvey, image_ids: Sequence[str]) -> list[Image | None]:
        """Return N images, in the order of their ids; None where there is none, or no image can have such an id."""
        ranges: dict[str, tuple[bytes, bytes]] = {}
        for one in image_ids:
            if one not in ranges:
                try:
                    ranges[one] = image_range(one)
                except (UsageError, UnicodeEncodeError):  # empty, too long, or no text that a key can hold
                    continue
        # Keys are read first, and of the cells the small ones: a record that is kept is not read again.
        rows: list[tuple[bytes, bytes]] = []
        for batch in self._scanner.ranges(f"{survey.name}.image", list(ranges.values()), ["d"]):
            rows += [(key, cell) for key, (cell,) in batch if cell]
        seen = self._seen(survey, rows)
        files: dict[bytes, int] = {}
        for key, file in zip(seen.keys, seen.files.tolist(), strict=True):
            stem = key.rpartition(b"_")[0]
            files[stem] = max(file, files.get(stem, 0))
        wanted = {one: files[start[:-1]] for one, (start, _) in ranges.items() if start[:-1] in files}
        images = self._records(survey, list(wanted.items()))
        found = dict(zip(wanted, images, strict=True))
        return [found.get(one) for one in image_ids]

    # ------------------------------------------------------------------ by place

    def near(
        self,
        survey: ImageSurvey,
        ra: float,
        dec: float,
        radius: float | Callable[[float], _Floats],
        *,
        bands: Collection[str] | None = None,
        collections: Collection[str] | None = None,
        time: tuple[float, float] | None = None,
    ) -> list[Image]:
        """Return the images whose outline meets a cap: it is in the image, or the image's edge is within it.

        Parameters
        ----------
        ra, dec, radius
            Degrees, ICRS; `radius` from 0, or as of `Radii`.
        bands, collections
            Only those of these; None: of any.
        time
            First and last moment (MJD, UTC) that an exposure may begin at; an image of which nothing is known is left
            out. None: whenever.

        Returns
        -------
        list of Image
            Sorted by id. It may have an image that a hair (`STRAY` pixels of a distorted one) parts from the cap; it
            lacks none.

        Raises
        ------
        UsageError
            No cap.
        """
        outlines = self.outlines_near(
            survey, ra, dec, radius, bands=bands, collections=collections, time=time
        )
        return self.of_outlines(survey, outlines)

    def near_many(
        self,
        survey: ImageSurvey,
        ra: _Floats,
        dec: _Floats,
        radius: Radii,
        *,
        bands: Collection[str] | None = None,
        collections: Collection[str] | None = None,
    ) -> list[list[Image]]:
        """Return what `near` does of each of N caps; the index is read once for those that are neighbours."""
        found = self.outlines_near_many(survey, ra, dec, radius, bands=bands, collections=collections)
        distinct = {(one.image_id, one.file): one for several in found for one in several}
        images = dict(zip(distinct, self.of_outlines(survey, list(distinct.values())), strict=True))
        return [[images[one.image_id, one.file] for one in several] for several in found]

    def outlines_near(
        self,
        survey: ImageSurvey,
        ra: float,
        dec: float,
        radius: float | Callable[[float], _Floats],
        *,
        bands: Collection[str] | None = None,
        collections: Collection[str] | None = None,
        time: tuple[float, float] | None = None,
    ) -> list[Outline]:
        """Return what the index has of the images that `near` returns: no record is read."""
        at = np.array([ra], np.float64), np.array([dec], np.float64)
        radii = radius if callable(radius) else np.array([radius], np.float64)
        (found,) = self.outlines_near_many(
            survey, *at, radii, bands=bands, collections=collections, time=time
        )
        return found

    def outlines_near_many(
        self,
        survey: ImageSurvey,
        ra: _Floats,
        dec: _Floats,
        radius: Radii,
        *,
        bands: Collection[str] | None = None,
        collections: Collection[str] | None = None,
        time: tuple[float, float] | None = None,
    ) -> list[list[Outline]]:
        """Return what `outlines_near` does of each of N caps."""
        fixed = None if callable(radius) else _Look.of(ra, dec, radius)
        looks: dict[float, _Look] = {}
        found: list[dict[tuple[str, int], Outline]] = [{} for _ in range(len(ra))]
        view = self._lake.catalogue(survey.name).view()
        for order, scale in self._scales_of(survey, view).items():
            if callable(radius) and scale not in looks:
                looks[scale] = _Look.of(ra, dec, radius(scale))
            look = fixed or looks[scale]
            caps, large, small = look.caps, look.large, look.small
            if len(large):
                rows = self._rows(survey, [(b"%02d_" % order, b"%02d`" % order)])
                pairs = np.repeat(large, len(rows.keys)), np.tile(np.arange(len(rows.keys)), len(large))
                _sort_out(rows, caps, *pairs, found)
            if len(small):
                ranges = cell_ranges(ra[small], dec[small], look.radius[small], order)
                scans = [(_cell_key(order, one), _cell_key(order, two)) for one, two in joined(ranges, 0)]
                rows = self._rows(survey, scans)
                cells = np.array([int(key[3:19], 16) for key in rows.keys], np.int64)
                start, stop = np.searchsorted(cells, ranges.first), np.searchsorted(cells, ranges.after)
                count = stop - start
                row = np.arange(int(count.sum())) + np.repeat(start - np.cumsum(count) + count, count)
                _sort_out(rows, caps, np.repeat(small[ranges.owner], count), row, found)
        return [
            sorted(
                (one for one in each.values() if _is_wanted(one, bands, collections, time)),
                key=lambda one: one.image_id,
            )
            for each in found
        ]

    def of_outlines(self, survey: ImageSurvey, outlines: Sequence[Outline]) -> list[Image]:
        """Return the records of outlines, in their order."""
        images = self._records(survey, [(one.image_id, one.file) for one in outlines])
        return [image for image in images if image is not None]

    def orders(self, survey: ImageSurvey) -> tuple[int, ...]:
        """Return the orders of HEALPix that a survey's images are entered at."""
        return tuple(self.scales(survey))

    def scales(self, survey: ImageSurvey) -> Mapping[int, float]:
        """Return the coarsest pixels (arcseconds, `FINE` at least) of the images of each of these orders."""
        return self._scales_of(survey, self._lake.catalogue(survey.name).view())

    # ------------------------------------------------------------------ the index

    def _rows(self, survey: ImageSurvey, ranges: Sequence[tuple[bytes, bytes]]) -> CoveringRows:
        """Return the rows of some ranges of the index that may be seen, sorted."""
        rows: list[tuple[bytes, bytes]] = []
        for batch in self._scanner.ranges(f"{survey.name}.outline", ranges, ["c"]):
            rows += [(key, cell) for key, (cell,) in batch if cell]
        if len(ranges) > 1:
            rows.sort()
        return self._seen(survey, rows)

    def _seen(self, survey: ImageSurvey, rows: Sequence[tuple[bytes, bytes]]) -> CoveringRows:
        keys, cells = [key for key, _ in rows], [cell for _, cell in rows]
        return seen_rows(refreshed(self._lake.catalogue(survey.name), cells), keys, cells)

    def _scales_of(self, survey: ImageSurvey, view: FileView) -> Mapping[int, float]:
        held = self._scales.get(survey.name)
        if held is None or held[0] != view.generation:
            scales: dict[int, float] = {}
            for record in view.records.values():
                if record.state == "committed":
                    told = record.scales or (FINE,) * len(record.orders)
                    for order, scale in zip(record.orders, told, strict=True):
                        scales[order] = max(scale, scales.get(order, FINE))
            held = view.generation, dict(sorted(scales.items()))
            self._scales[survey.name] = held
        return held[1]

    # ------------------------------------------------------------------ records

    def _records(self, survey: ImageSurvey, wanted: Sequence[tuple[str, int]]) -> list[Image | None]:
        """Return the records of images by id and file, in their order; None where one is gone."""
        with self._lock:
            held: dict[tuple[str, int], Image | None] = {
                one: self._kept.get((survey.name, *one)) for one in wanted
            }
        missing = [one for one, image in held.items() if image is None]
        keys = [image_key(*one) for one in missing]
        read: Mapping[tuple[str, int], Image] = {
            one: unpack_image(memoryview(cells[0])[SINGLE + _ROW :])
            for one, cells in zip(
                missing, self._scanner.keys(f"{survey.name}.image", keys, ["p"]), strict=True
            )
            if cells and cells[0]
        }
        held.update(read)
        with self._lock:
            for one, image in held.items():
                if image is not None:
                    self._kept[survey.name, *one] = image
                    self._kept.move_to_end((survey.name, *one))
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return [held[one] for one in wanted]


@dataclass(frozen=True, slots=True)
class _Look:
    """Caps as one order of the index is looked through for them: which are larger than half the sky, and the rest."""

    caps: Caps
    radius: _Floats
    large: npt.NDArray[np.int64]
    small: npt.NDArray[np.int64]

    @classmethod
    def of(cls, ra: _Floats, dec: _Floats, radius: _Floats) -> _Look:
        for one in zip(ra.tolist(), dec.tolist(), radius.tolist(), strict=True):
            check_cone(*one)
        large, small = np.flatnonzero(radius >= _ALL), np.flatnonzero(radius < _ALL)
        return cls(Caps.of(ra, dec, radius), radius, large, small)


def _cell_key(order: int, cell: int) -> bytes:
    return b"%02d_%016x" % (order, cell)


def _sort_out(
    rows: CoveringRows,
    caps: Caps,
    cap: npt.NDArray[np.int64],
    row: npt.NDArray[np.int64],
    found: Sequence[dict[tuple[str, int], Outline]],
) -> None:
    """Add to caps the outlines that they meet, of P pairs of a cap and a row of the index."""
    payloads = [cell[SINGLE:] for cell in rows.cells]
    heads = heads_of(payloads)
    middles = unit_vectors(heads["ra"], heads["dec"])
    for share in range(0, len(cap), _PAIRS):
        some_caps, some_rows = cap[share : share + _PAIRS], row[share : share + _PAIRS]
        near = caps.near(some_caps, middles[some_rows], heads["radius"][some_rows])
        some_caps, (which, at) = some_caps[near], np.unique(some_rows[near], return_inverse=True)
        chosen = which.tolist()
        read = read_outlines(
            [rows.keys[one] for one in chosen],
            [payloads[one] for one in chosen],
            rows.files[which].tolist(),
        )
        # An image is in several cells: each of its rows stands for the same outline.
        members = list({(one.image_id, one.file): one for one in read}.values())
        number = {(one.image_id, one.file): at for at, one in enumerate(members)}
        member_of = np.array([number[one.image_id, one.file] for one in read], np.int64)
        pairs = (
            np.unique(np.stack([some_caps, member_of[at]]), axis=1)
            if len(read)
            else np.empty((2, 0), np.int64)
        )
        meeting = Outlines.of(members).meeting(caps, pairs[0], pairs[1])
        for one_cap, one in zip(pairs[0][meeting].tolist(), pairs[1][meeting].tolist(), strict=True):
            found[one_cap][members[one].image_id, members[one].file] = members[one]


def _is_wanted(
    one: Outline,
    bands: Collection[str] | None,
    collections: Collection[str] | None,
    time: tuple[float, float] | None,
) -> bool:
    return (
        (bands is None or one.band in bands)
        and (collections is None or one.collection in collections)
        and (time is None or (one.t_min is not None and time[0] <= one.t_min <= time[1]))
    )
