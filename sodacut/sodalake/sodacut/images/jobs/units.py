"""Which images go into which target, and units of neighbours: what is read of one file stands together.

`resolve` asks the index for a chunk of targets, on a worker, and chooses the images of each. `units` then sorts all
targets by their file, so that a unit touches few of them and what it reads of one lies close together: a compressed
tile that several targets share is decoded once. Targets that hold several images are in units of their own.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final

import numpy as np
import pyarrow as pa

from sodalake.lake.errors import LakeError
from sodalake.lake.images.records import Image
from sodalake.sodacut.images.choosing import Choice, Spot, chosen
from sodalake.sodacut.images.cut import spots_in
from sodalake.sodacut.images.jobs.work import TARGETS, ImageQuestion, ImageWork, renumbered
from sodalake.sodacut.images.requests import AtPosition, ByImage, ImageRequest
from sodalake.sodacut.images.session import ImageSession
from sodalake.sodacut.jobs.framing import framed, unframed
from sodalake.sodacut.jobs.lines import found_for
from sodalake.sodacut.jobs.parts import BUGS, failed
from sodalake.sodacut.jobs.reports import IMAGE_ENTRIES

__all__ = ["ImageUnit", "Resolved", "request_of", "resolve", "units", "whole"]

_ENTRIES: Any = pa.schema(
    [
        pa.field("images", pa.list_(pa.string())),  # ids of those that go into it
        pa.field(
            "spots", pa.list_(pa.float64())
        ),  # where in each the place is: x, y; NaN where nothing is known
        pa.field("file", pa.int64()),  # number of the first one's; null where there is nothing to be made
        pa.field("at", pa.int64()),  # which of its images
        pa.field("several", pa.bool_()),
        pa.field("pixels", pa.float64()),  # about how many are read
        pa.field("status", pa.string()),
        pa.field("message", pa.string()),
    ]
)
_OF_UNITS = ("images", "spots", "pixels")
_UNIT: Any = pa.schema([*TARGETS, *(_ENTRIES.field(name) for name in _OF_UNITS)])
_NOWHERE: Final = (math.nan, math.nan)
_TOGETHER: Final = 100.0  # square degrees of places that are looked up together
_COARSE: Final = 1.0  # arcseconds that a pixel is taken for

MOST_PIXELS: Final = 32 * 1024 * 1024
"""Pixels that a unit reads: bounds the memory of a worker, and what is to be done again when it dies."""

_DEARER: Final = 4
"""By how much longer a pixel takes where images are resampled: such units are smaller."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """What the index has of a chunk's targets.

    Attributes
    ----------
    rows
        Their rows in the list, from 1.
    entries
        pyarrow.RecordBatch: the images of each, and what went wrong with it.
    """

    rows: Any
    entries: Any


def request_of(order: ImageRequest, image: str | None, ra: float | None, dec: float | None) -> ImageRequest:
    """Return what is asked for one target."""
    if isinstance(order, ByImage):
        return replace(order, image_id=image or "")
    return replace(order, ra=ra or 0.0, dec=dec or 0.0)


def resolve(session: ImageSession, question: ImageQuestion) -> Resolved:
    """Ask the index which images a chunk's targets are cut from; blocking, so call this on a worker.

    Raises
    ------
    NotInLake
        No such survey.
    Unavailable
        The row store does not answer.
    """
    targets = question.targets
    requests = [
        request_of(question.orders[order], image, ra, dec)
        for order, image, ra, dec in zip(
            *(targets[name].to_pylist() for name in ("order", "image", "ra", "dec")), strict=True
        )
    ]
    survey = session.lake.image_survey(question.survey)
    answers = [answer for some in _runs(requests) for answer in session.candidates(some)]
    spots = _spots(requests, answers)
    columns: list[list[Any]] = [[] for _ in _ENTRIES]
    for request, answer, places in zip(requests, answers, spots, strict=True):
        entry: tuple[Any, ...]
        try:
            if isinstance(answer, LakeError):
                raise answer
            entry = _entry(chosen(request, survey, answer, places), places)
        except (*BUGS, LakeError) as error:
            line = failed(error)
            entry = (*(None,) * (len(columns) - 2), line.status, line.message)
        for column, value in zip(columns, entry, strict=True):
            column.append(value)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, _ENTRIES, strict=True)]
    return Resolved(targets["row"].to_numpy(), pa.record_batch(arrays, schema=_ENTRIES))


def _runs(requests: Sequence[ImageRequest]) -> Iterator[Sequence[ImageRequest]]:
    """Yield requests that are looked up together: many, but of wide ones few, since each has many images."""
    begin, area = 0, 0.0
    for at, request in enumerate(requests):
        own = math.prod(request.size.degrees(_COARSE)) if isinstance(request, AtPosition) else 0.0
        if at > begin and area + own > _TOGETHER:
            yield requests[begin:at]
            begin, area = at, 0.0
        area += own
    yield requests[begin:]


def _spots(
    requests: Sequence[ImageRequest], answers: Sequence[Sequence[Image] | LakeError]
) -> list[dict[str, Spot]]:
    """Return where each request's place is in each of its images: asked of an image once, for all its places."""
    found: list[dict[str, Spot]] = [{} for _ in requests]
    asked: dict[tuple[str, int], tuple[Image, list[int]]] = {}
    for at, (request, answer) in enumerate(zip(requests, answers, strict=True)):
        if isinstance(request, AtPosition) and not isinstance(answer, LakeError):
            for image in answer:
                asked.setdefault((image.image_id, image.number), (image, []))[1].append(at)
    for image, members in asked.values():
        here = [one for at in members if isinstance(one := requests[at], AtPosition)]
        ra, dec = np.array([one.ra for one in here]), np.array([one.dec for one in here])
        reach = max(math.hypot(*one.size.degrees(image.pixel_scale)) for one in here)
        try:
            places = spots_in(image, ra, dec, reach)
        except LakeError:  # coordinates that cannot be used are told of each target by itself
            continue
        for at, place in zip(members, places.tolist(), strict=True):
            found[at][image.image_id] = (place[0], place[1])
    return found


def _entry(choice: Choice, spots: Mapping[str, Spot]) -> tuple[Any, ...]:
    images = choice.images
    several = choice.request.is_several and any(len(layer.placed) > 1 for layer in choice.layers)
    pixels = sum(
        placed.factor**2 * math.prod(placed.read.shape) for layer in choice.layers for placed in layer.placed
    )
    ids = [image.image_id for image in images]
    places = [number for one in ids for number in spots.get(one, _NOWHERE)]
    return ids, places, images[0].number, images[0].row, several, float(pixels), None, None


@dataclass(frozen=True, slots=True)
class ImageUnit:
    """Some targets to be done together, on one worker.

    Attributes
    ----------
    targets
        pyarrow.RecordBatch: the work's targets (`work.TARGETS`) with the ids of their images and about how many pixels
        they take.
    orders, texts
        As in `ImageWork`; of the orders those that are needed.
    several
        Whether its targets hold several images at a time.
    """

    targets: Any
    orders: tuple[ImageRequest, ...]
    texts: bool = False
    several: bool = False

    def __len__(self) -> int:
        return int(self.targets.num_rows)

    @property
    def entries(self) -> Any:
        """Schema of its report."""
        return IMAGE_ENTRIES

    def pack(self) -> bytes:
        """Return the unit as bytes, for this version of the program."""
        rest = pickle.dumps((self.orders, self.texts, self.several), 5)
        return framed(rest, self.targets)

    @classmethod
    def unpack(cls, packed: bytes) -> ImageUnit:
        """Read a unit that `pack` wrote: a value of our own, never one that a user sent."""
        rest, targets = unframed(packed)
        orders, texts, several = pickle.loads(rest)  # noqa: S301 - our own bytes
        return cls(pa.ipc.read_record_batch(targets, _UNIT), orders, texts, several)

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpacked, (self.pack(),)


def _unpacked(packed: bytes) -> ImageUnit:
    # A function of the module: cloudpickle would send a class method by value, with all that it names.
    return ImageUnit.unpack(packed)


def units(
    work: ImageWork,
    resolved: Iterable[Resolved],
    targets_per_unit: int,
    most_pixels: float = MOST_PIXELS,
) -> list[ImageUnit]:
    """Cut the work into units of neighbours: every target is in exactly one.

    Targets without an image to read (wrong rows, images that are not there) are in the last units of one image each.

    Parameters
    ----------
    resolved
        The answers to all of ``work.chunks()``, in any order.
    targets_per_unit, most_pixels
        At most; a target that takes more pixels is a unit.
    """
    if targets_per_unit < 1:
        raise ValueError("a unit has at least one target")
    if not len(work):
        return []
    targets, several = _sorted(work, list(resolved))
    pixels = targets["pixels"].fill_null(0.0).to_numpy()
    cuts = [0]
    held = 0.0
    for at in range(len(pixels)):
        begin = cuts[-1]
        most = most_pixels / _DEARER if several[begin] else most_pixels
        full = at - begin >= targets_per_unit or held + pixels[at] > most
        if at > begin and (full or several[at] != several[begin]):
            cuts.append(at)
            held = 0.0
        held += pixels[at]
    cuts.append(len(pixels))
    return [
        _unit(work, targets.slice(begin, end - begin), bool(several[begin])) for begin, end in pairwise(cuts)
    ]


def whole(work: ImageWork, resolved: Iterable[Resolved]) -> ImageUnit:
    """Return all of a work as one unit, whatever its targets hold."""
    targets, several = _sorted(work, list(resolved))
    return _unit(work, targets, bool(several.any()))


def _sorted(work: ImageWork, answers: Sequence[Resolved]) -> tuple[Any, Any]:
    """Return the targets with their images, in the order of the archive, and which of them hold several."""
    entries, asked = found_for(answers, _ENTRIES, len(work))
    targets = work.targets
    lost = asked & entries["status"].is_valid().to_numpy()
    replaced = {
        "order": pa.array(np.where(lost, -1, targets["order"].to_numpy()).astype(np.int32)),
        "status": _first(targets["status"], entries["status"]),
        "message": _first(targets["message"], entries["message"]),
    }
    columns = [replaced.get(name, targets[name]) for name in TARGETS.names]
    joined = pa.Table.from_arrays([*columns, *(entries[name] for name in _OF_UNITS)], schema=_UNIT)
    nowhere = np.iinfo(np.int64).max
    file = entries["file"].fill_null(nowhere).to_numpy()
    several = entries["several"].fill_null(False).to_numpy()
    survey = targets["survey"].dictionary_encode().combine_chunks()
    code = survey.indices.fill_null(0).to_numpy() if len(survey.dictionary) else np.zeros(len(file), np.int32)
    dec = targets["dec"].fill_null(0.0).to_numpy()
    order = np.lexsort((dec, entries["at"].fill_null(0).to_numpy(), file, code, file == nowhere, several))
    return joined.take(pa.array(order)).combine_chunks(), several[order]


def _first(one: Any, other: Any) -> Any:
    return pa.array(
        [
            mine if mine is not None else theirs
            for mine, theirs in zip(one.to_pylist(), other.to_pylist(), strict=True)
        ],
        pa.string(),
    )


def _unit(work: ImageWork, part: Any, several: bool) -> ImageUnit:
    batch, orders = renumbered(part.combine_chunks().to_batches()[0], work.orders)
    return ImageUnit(batch, orders, work.texts, several)
