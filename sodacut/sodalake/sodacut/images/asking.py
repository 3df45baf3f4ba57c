"""How a worker's session is asked for images: in orders, by a lane (`sodalake.lake.lanes`).

`begin_image` is for workers that must stay quick: it answers what costs little, says of the rest that it is for others,
and refuses what costs too much, each before a pixel is read. `begin_estimate` only says what a request would cost.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from sodalake.lake.importing import import_all
from sodalake.lake.lake import Lake
from sodalake.sodacut.images.costs import Cost, Rates
from sodalake.sodacut.images.requests import ImageRequest, Limits
from sodalake.sodacut.images.session import Estimate, image_session_of

__all__ = ["Head", "ImageStream", "Order", "begin_estimate", "begin_image", "warm_up"]

_NEEDED: Final = ("astropy.io.fits", "astropy.wcs", "astropy.visualization", "scipy.ndimage", "scipy.sparse")
_NEEDED_BY_MOSAICS: Final = ("reproject",)
_PIECE: Final = 1 << 20  # bytes of a large answer that are sent together


@dataclass(frozen=True, slots=True)
class Order:
    """A request as it is sent to a worker.

    Attributes
    ----------
    limits
        What it may cost.
    rates
        How quick the machines are.
    quick
        Seconds beyond which it is for other workers.
    """

    request: ImageRequest
    limits: Limits = field(default_factory=Limits)
    rates: Rates = field(default_factory=Rates)
    quick: float = math.inf


@dataclass(frozen=True, slots=True)
class Head:
    """What an answer is, before its first bytes.

    Attributes
    ----------
    is_elsewhere
        It takes longer than this worker may: ask another one.
    length
        Bytes.
    cost, seconds
        What was expected, and how long it took.
    """

    content_type: str = ""
    filename: str | None = None
    length: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    cost: Cost | None = None
    seconds: float = 0.0
    is_elsewhere: bool = False


class ImageStream:
    """An answer that is there; see `sodalake.lake.streams.Stream`."""

    def __init__(self, head: Head | Estimate, body: bytes = b"") -> None:
        self.head = head
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        body, self._body = self._body, b""
        if len(body) < _PIECE:
            yield body
            return
        view = memoryview(body)
        for start in range(0, len(body), _PIECE):
            yield bytes(view[start : start + _PIECE])

    def stop(self) -> None:
        """Let go of the bytes."""
        self._body = b""


def begin_image(lake: Lake, order: Order, seconds: float) -> ImageStream:
    """Answer a request, for `sodalake.lake.lanes.Lane.open`; raises as `ImageSession.answer`."""
    began = time.perf_counter()
    session = image_session_of(lake)
    ready = session.prepared(order.request)
    cost = session.check(ready, order.limits, order.rates)
    if cost.seconds(order.rates) > order.quick:
        return ImageStream(Head(is_elsewhere=True))
    product = ready.answer(session.files)
    head = Head(
        product.content_type,
        product.filename,
        len(product.body),
        product.headers,
        cost,
        time.perf_counter() - began,
    )
    return ImageStream(head, product.body)


def begin_estimate(lake: Lake, order: Order, seconds: float) -> ImageStream:
    """Say what a request would cost, for `sodalake.lake.lanes.Lane.open`."""
    return ImageStream(image_session_of(lake).estimate(order.request, order.limits, order.rates))


def warm_up(lake: Lake, *, scans: bool = False) -> None:
    """Import what cuts and pictures need, and make what is kept, before a request waits for it.

    Parameters
    ----------
    scans
        Whether this process is to make mosaics.
    """
    if not lake.image_surveys:
        return
    import_all(*_NEEDED, *(_NEEDED_BY_MOSAICS if scans else ()))
    image_session_of(lake)
