"""The work of a job on images: a line a target, and what is asked for each.

Combinations of SODA's parameters and the rows of a list become the same: a table with a line a target, and the
*orders* its lines point to. An order is a request (`sodalake.sodacut.images.requests`) that lacks nothing but the
image's id, or the place: these stand in the table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pyarrow as pa

from sodalake.lake.errors import LakeError
from sodalake.sodacut.images.costs import work_of
from sodalake.sodacut.images.jobs.reading import ImageTargets
from sodalake.sodacut.images.requests import AtPosition, ByImage, Form, ImageRequest
from sodalake.sodacut.jobs.lines import lines, ordered, questions, schema_of

__all__ = ["TARGETS", "ImageQuestion", "ImageWork", "OrderOf", "pixels_of", "renumbered"]

OrderOf = Callable[[str, bool, Mapping[str, str]], ImageRequest]
"""Makes an order from a survey's name, whether the row names an image, and the row's own parameters."""

TARGETS: Any = schema_of(pa.field("image", pa.string()))
"""A line a target: see `sodalake.sodacut.jobs.lines`."""

_USUAL_SCALE: Final = 0.25
"""Arcseconds a pixel, as cameras of surveys have about it: what degrees are taken for before images are known."""

_BYTES: Final[Mapping[Form, float]] = {"fits": 4.0, "png": 1.5, "jpeg": 0.4, "json": 9.0}
"""Of a pixel in a product."""

_HEADER: Final = 3 * 2880
"""Bytes of a product besides its pixels."""

_WHOLE: Final = 4096.0 * 4096.0
"""Pixels of an image, before it is known."""


@dataclass(frozen=True, slots=True)
class ImageQuestion:
    """What one call of `units.resolve` asks: images of one survey, by id or (`near`) by position.

    Attributes
    ----------
    targets
        pyarrow.RecordBatch of `TARGETS`.
    orders
        What `targets["order"]` points to.
    """

    survey: str
    near: bool
    targets: Any
    orders: tuple[ImageRequest, ...]


@dataclass(frozen=True, slots=True)
class ImageWork:
    """Everything a job is to make.

    Attributes
    ----------
    targets
        pyarrow.Table of `TARGETS`, in the user's order.
    orders
        What `targets["order"]` points to.
    texts
        Whether a target without a product has a text entry in its place, which begins with a DALI label: SODA
        1.0, section 6, wants a result for every combination.
    """

    targets: Any
    orders: tuple[ImageRequest, ...]
    texts: bool = False

    def __len__(self) -> int:
        return int(self.targets.num_rows)

    @classmethod
    def of_combinations(cls, combinations: Sequence[tuple[str, ByImage | LakeError]]) -> ImageWork:
        """Make the work of SODA's combinations, each with its label: a file each, or a text that says why not."""
        asked = [one if isinstance(one, ByImage) else None for _, one in combinations]
        orders: dict[ImageRequest, int] = {}
        which = [
            -1 if one is None else orders.setdefault(replace(one, image_id=""), len(orders)) for one in asked
        ]
        table = lines(
            TARGETS,
            np.array(which, np.int32),
            {row: one for row, (_, one) in enumerate(combinations) if isinstance(one, LakeError)},
            ids=[label for label, _ in combinations],
            surveys=[None if one is None else one.survey for one in asked],
            image=[None if one is None else one.image_id for one in asked],
        )
        return cls(table, tuple(orders), texts=True)

    @classmethod
    def of_list(cls, targets: ImageTargets, order: OrderOf) -> ImageWork:
        """Make the work of a list.

        Parameters
        ----------
        order
            See `OrderOf`; it raises a `LakeError`, which then is that row's result. It is called once for each
            different set of parameters.
        """
        which, orders, problems = ordered(targets, order, [image is not None for image in targets.images])
        table = lines(
            TARGETS,
            which,
            problems,
            ids=targets.ids,
            surveys=targets.surveys,
            ra=targets.ra,
            dec=targets.dec,
            image=targets.images,
        )
        return cls(table, orders)

    @property
    def shape(self) -> str:
        """What it is like, for estimates: how images become a product, of what form, and about how large."""
        ways = {
            f"{one.algorithm if isinstance(one, AtPosition) else 'image'}-{one.output.form}"
            for one in self.orders
        }
        size = f"{self.side}px" if self.orders else "nothing"
        return f"{'+'.join(sorted(ways)) or 'nothing'}/{size}"

    @property
    def side(self) -> int:
        """About how many pixels a target has along a side, as a power of two; of the most demanding order."""
        pixels = max((pixels_of(one) for one in self.orders), default=1.0)
        return int(2 ** round(math.log2(max(1.0, math.sqrt(pixels)))))

    def guess(self) -> tuple[int, float]:
        """Return bytes of all results, and seconds of one core: for who has never seen work of this shape."""
        order = self.targets["order"].to_numpy()
        counts = np.bincount(order[order >= 0], minlength=len(self.orders)).tolist()
        size, seconds = 0.0, 0.0
        for one, count in zip(self.orders, counts, strict=True):
            bands = max(1, len(one.bands)) if isinstance(one, AtPosition) else 1
            whole = pixels_of(one) * bands
            longer = max(1, round(math.sqrt(pixels_of(one))))
            given = whole * one.output.factor(longer) ** 2
            size += count * (given * _BYTES[one.output.form] + _HEADER * bands)
            seconds += count * work_of(
                images=bands * (2 if one.is_several else 1),
                reads=bands,
                bytes_read=int(4 * whole),
                plain=int(whole),
                tiled=0,
                resampled=int(given) if one.is_several else 0,
                method=one.method if isinstance(one, AtPosition) else "interp",
                given=int(given),
                form=one.output.form,
            )
        return round(size), seconds

    def chunks(self, size: int = 2500) -> list[ImageQuestion]:
        """Return the questions for the index: images or positions of one survey, at most `size` each."""
        return [
            ImageQuestion(survey, near, *renumbered(batch, self.orders))
            for survey, near, batch in questions(self.targets, "image", size)
        ]


def renumbered(batch: Any, orders: Sequence[ImageRequest]) -> tuple[Any, tuple[ImageRequest, ...]]:
    """Return some targets with those orders that they use, and no others: most travel far."""
    which = batch["order"].to_numpy()
    used = np.unique(which[which >= 0])
    new = np.where(which < 0, -1, np.searchsorted(used, which)).astype(np.int32)
    at = batch.schema.get_field_index("order")
    return batch.set_column(at, batch.schema.field(at), pa.array(new)), tuple(
        orders[number] for number in used.tolist()
    )


def pixels_of(order: ImageRequest, pixel_scale: float = _USUAL_SCALE) -> float:
    """Return about how many pixels of one image an order takes, of pixels of so many arcseconds."""
    if isinstance(order, AtPosition):
        width, height = order.size.pixels(pixel_scale)
        return float(width) * height
    if order.region is None:
        return _WHOLE
    radius = order.region.cap()[1]
    return min(_WHOLE, max(1.0, (2 * radius * 3600 / pixel_scale) ** 2))
