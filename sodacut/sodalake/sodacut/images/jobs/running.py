"""Doing a unit on images: its pixels read together, a product of each target, one part written, all at the same time.

What goes wrong with one target (no pixel there, a file that is gone or damaged) is that target's line in the report.
What goes wrong with the archive as a whole is raised, so that the unit is tried again.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from sodalake.lake.errors import LakeError, NotInLake, Unavailable
from sodalake.lake.images.records import Image
from sodalake.lake.results import ResultFolder
from sodalake.sodacut.errors import Cancelled
from sodalake.sodacut.images.choosing import Choice, chosen
from sodalake.sodacut.images.costs import Rates, TooExpensive, check
from sodalake.sodacut.images.jobs.units import ImageUnit, request_of
from sodalake.sodacut.images.pixelfiles import PixelFiles
from sodalake.sodacut.images.preparing import Prepared, prepared
from sodalake.sodacut.images.products import ImageProduct
from sodalake.sodacut.images.requests import Limits
from sodalake.sodacut.images.session import ImageSession
from sodalake.sodacut.jobs.ahead import read_ahead
from sodalake.sodacut.jobs.lines import OK
from sodalake.sodacut.jobs.parts import BUGS, FilePart, failed, write_part
from sodalake.sodacut.jobs.reports import Line, UnitReport, report

__all__ = ["run_unit"]

_AT_ONCE: Final = 128
"""Targets that are read together: they share compressed tiles; and how soon a unit sees that it was called off."""

_PIXELS_AT_ONCE: Final = 8 * 1024 * 1024
"""Pixels that are read together: twice as many are held, since the next are read while these are worked on."""

_LITTLE: Final = 1024 * 1024
"""Pixels that no limit forbids."""


def run_unit(
    session: ImageSession,
    unit: ImageUnit,
    results: ResultFolder,
    part: str,
    cancelled: Callable[[], bool] = lambda: False,
    limits: Limits = Limits(),  # noqa: B008 - a value that does not change
) -> UnitReport:
    """Do a unit: read its pixels, make its products, write them as one object; blocking, for a worker.

    Parameters
    ----------
    part
        The name of the object, ``JOB/…``: another one at each attempt. Nothing is written where nothing was made.
    cancelled
        Says whether the work was called off; looked at between targets.
    limits
        What one target may cost.

    Raises
    ------
    Cancelled
        It was called off; nothing was written.
    Unavailable, OSError
        The archive, the index or the results do not answer: try again.
    """
    began = time.perf_counter()
    doing = _Files(session, unit, cancelled, limits)
    length = write_part(results, part, doing.make())
    lines = doing.told.lines()
    return report(unit, lines, part if length else "", length, time.perf_counter() - began)


@dataclass(frozen=True, slots=True)
class _Read:
    """What was read for a target; no `pixels` where it is so large that it is read piece by piece, when it is made."""

    images: Sequence[Image]
    prepared: Prepared
    pixels: Sequence[Any] | None

    def product(self, files: PixelFiles) -> ImageProduct:
        """Make it."""
        return self.prepared.answer(files) if self.pixels is None else self.prepared.finish(self.pixels)


@dataclass(frozen=True, slots=True)
class _Batch:
    """Some targets that were read together; `seconds` is each one's share of the time it took."""

    members: Sequence[int]
    answers: Sequence[_Read | Exception]
    seconds: float


class _Files:
    """A file a target."""

    def __init__(
        self, session: ImageSession, unit: ImageUnit, cancelled: Callable[[], bool], limits: Limits
    ) -> None:
        self.session = session
        self.unit = unit
        self.told = FilePart(unit)
        self._cancelled = cancelled
        self._limits = limits
        columns = ("survey", "order", "image", "ra", "dec", "images", "spots")
        self._pixels = unit.targets["pixels"].fill_null(0.0).to_pylist()
        self._targets = list(zip(*(unit.targets[name].to_pylist() for name in columns), strict=True))

    def look(self) -> None:
        """Stop where the work was called off."""
        if self._cancelled():
            raise Cancelled

    def make(self) -> Iterator[bytes]:
        """Yield the part."""
        for batch in read_ahead(self._groups(), self._read, self.look):
            for at, answer in zip(batch.members, batch.answers, strict=True):
                self.look()
                began = time.perf_counter()
                line = self._one(at, answer)
                line.seconds = batch.seconds + time.perf_counter() - began
                self.told.tell(at, line)
            yield from self.told.taken()
        if self.unit.texts:
            self.told.add_texts()
        self.look()
        yield from self.told.taken()

    def _groups(self) -> list[list[int]]:
        """Return what is read together: positions in the unit, of one survey."""
        pixels = self._pixels
        groups: list[list[int]] = []
        name, held = None, 0.0
        for at, (survey, order, *_) in enumerate(self._targets):
            if order < 0:
                continue
            full = groups and (len(groups[-1]) >= _AT_ONCE or held + pixels[at] > _PIXELS_AT_ONCE)
            if not groups or full or survey != name:
                groups.append([])
                name, held = survey, 0.0
            groups[-1].append(at)
            held += pixels[at]
        return groups

    def _read(self, members: Sequence[int]) -> _Batch:
        self.look()
        began = time.perf_counter()
        images = self._images(members)
        answers: list[_Read | Exception] = []
        wanted: list[Any] = []
        ready: list[tuple[Sequence[Image], Prepared] | Exception] = []
        for at in members:
            one = self._prepared(at, images)
            ready.append(one)
            if not isinstance(one, Exception) and not self._is_large(at):
                wanted += one[1].wanted
        try:
            pixels = iter(self.session.files.read(wanted))
        except Unavailable:
            raise
        except (*BUGS, LakeError):
            # One file that is gone or damaged spoils no other target: they are read one by one.
            answers = [
                one if isinstance(one, Exception) else self._alone(at, *one)
                for at, one in zip(members, ready, strict=True)
            ]
        else:
            answers = [
                one
                if isinstance(one, Exception)
                else _Read(*one, None if self._is_large(at) else [next(pixels) for _ in one[1].wanted])
                for at, one in zip(members, ready, strict=True)
            ]
        return _Batch(members, answers, (time.perf_counter() - began) / len(members))

    def _is_large(self, at: int) -> bool:
        """Say whether a target is to be read piece by piece."""
        return float(self._pixels[at]) > _PIXELS_AT_ONCE

    @staticmethod
    def _may_be_much(choice: Choice) -> bool:
        """Say whether it is worth to look what a target costs: of most it is clear."""
        shapes = [layer.grid.shape for layer in choice.layers if layer.grid is not None]
        shapes += [placed.wanted.shape for layer in choice.layers for placed in layer.placed]
        return max(1.0, choice.zoom) ** 2 * sum(map(math.prod, shapes)) > _LITTLE

    def _images(self, members: Sequence[int]) -> dict[str, Image | None]:
        """Return the images that these targets are cut from, by their ids."""
        survey = self.session.lake.image_survey(self._targets[members[0]][0])
        ids = list(dict.fromkeys(one for at in members for one in self._targets[at][5]))
        return dict(zip(ids, self.session.finder.by_ids(survey, ids), strict=True))

    def _prepared(
        self, at: int, images: dict[str, Image | None]
    ) -> tuple[Sequence[Image], Prepared] | Exception:
        name, order, image, ra, dec, ids, places = self._targets[at]
        used = [found for one in ids if (found := images[one]) is not None]
        if len(used) < len(ids):
            return NotInLake(f"An image of {name} is no longer in the lake.", "Send the job again.")
        try:
            request = request_of(self.unit.orders[order], image, ra, dec)
            survey = self.session.lake.image_survey(name)
            spots = {one: (x, y) for one, x, y in zip(ids, places[::2], places[1::2], strict=True) if x == x}
            ready = prepared(survey, chosen(request, survey, used, spots))
            if self._may_be_much(ready.choice):
                beyond = check(ready.cost(self.session.files), self._limits, Rates())
                if beyond:
                    raise TooExpensive(f"This cut would be {' and '.join(beyond)}.", "Ask for it in pieces.")
            return used, ready
        except (*BUGS, LakeError) as error:
            return error

    def _alone(self, at: int, images: Sequence[Image], ready: Prepared) -> _Read | Exception:
        self.look()
        try:
            return _Read(images, ready, None if self._is_large(at) else self.session.files.read(ready.wanted))
        except Unavailable:
            raise
        except (*BUGS, LakeError) as error:
            return error

    def _one(self, at: int, answer: _Read | Exception) -> Line:
        if isinstance(answer, Exception):
            return failed(answer)
        try:
            product = answer.product(self.session.files)
        except (*BUGS, LakeError) as error:
            line = failed(error)
            line.images, line.archive_file = _sources(answer.images)
            return line
        gave = {name for name, share in product.inputs if share > 0}
        line = Line(OK, covered=product.covered)
        line.images, line.archive_file = _sources(
            [image for image in answer.images if image.image_id in gave]
        )
        self.told.add(at, line, product)
        return line


def _sources(images: Sequence[Image]) -> tuple[str, str]:
    """Return the ids of images, and their files, as the manifest has them."""
    ids = (quote(image.image_id, safe="") for image in images)
    return " ".join(ids), " ".join(dict.fromkeys(image.pixels.url for image in images))
