"""What a worker makes of the stamps it has read: callables that travel there and bytes that come back.

A product is a small frozen value, made where the request is understood and sent with it; called with the
alerts the reader found and the survey they are of, it returns a `Product`. Parameters are checked when the
value is made, so that a wrong one fails before anything is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

import pyarrow as pa

from sodalake.lake.alerts import AlertStamps
from sodalake.lake.errors import Damaged, NotInLake
from sodalake.lake.importing import import_all
from sodalake.lake.survey import Survey
from sodalake.sodacut.bundle import extensions, primary
from sodalake.sodacut.cutting import cut, cut_pixels
from sodalake.sodacut.gzipped import MAGIC, is_one_member
from sodalake.sodacut.picture import Look, montage, render
from sodalake.sodacut.shapes import Region
from sodalake.sodacut.stampfits import Pixels, unpacked, walk
from sodalake.sodacut.tables import json_array, stamp_batch

__all__ = [
    "ARROW_STREAM", "FITS", "JSON", "PNG", "ArrowStamps", "FitsStamp", "JsonArrays", "Picture", "Product", "warm_up",
]  # fmt: skip

FITS = "application/fits"
PNG = "image/png"
JSON = "application/json"
ARROW_STREAM = "application/vnd.apache.arrow.stream"

_UNSAFE = re.compile(r"[^A-Za-z0-9.+-]+")


@dataclass(frozen=True, slots=True)
class Product:
    """Bytes to be sent, and what they are.

    Attributes
    ----------
    content_type, content_encoding
        As HTTP names them; the encoding is ``gzip`` where the archive's own gzip bytes are passed on.
    filename
        A name to save them by: ASCII, no separators.
    """

    body: bytes
    content_type: str
    content_encoding: str | None = None
    filename: str | None = None


@dataclass(frozen=True, slots=True)
class FitsStamp:
    """The archive's FITS, unchanged where nothing was asked to be changed.

    Attributes
    ----------
    kind
        One kind: the stored bytes (gunzipped). None: all kinds as one multi-extension FITS, see `bundle`.
    region
        Cut by this region's bounding box first.
    accept_gzip
        The client takes gzip: bytes stored as gzip are passed on as they are.
    """

    kind: str | None
    region: Region | None = None
    accept_gzip: bool = False

    def __call__(self, alerts: Sequence[AlertStamps], survey: Survey) -> Product:
        """Make the file of the first alert.

        Raises
        ------
        NotInLake
            The alert has no such stamp.
        Damaged, NoOverlap, NoCoordinates
            Its bytes cannot be read, or not be cut.
        """
        alert = one_alert(alerts, survey)
        if self.kind is None:
            return Product(self._all(alert, survey), FITS, filename=file_name(alert, None, "fits"))
        stored = stamp_bytes(alert, self.kind)
        name = file_name(alert, self.kind, "fits")
        with blame(alert, self.kind):
            data = unpacked(stored)
            walk(data)
            if self.region is not None:
                return Product(cut(data, self.region), FITS, filename=name)
        if self.accept_gzip and stored.startswith(MAGIC) and is_one_member(stored):
            return Product(stored, FITS, "gzip", name)
        return Product(data, FITS, filename=name)

    def _all(self, alert: AlertStamps, survey: Survey) -> bytes:
        kinds = present_kinds(alert, tuple(survey.stamps.kinds))
        parts = [primary(provenance(alert), [kind for kind in survey.stamps.kinds if kind not in kinds])]
        for kind in kinds:
            with blame(alert, kind):
                data = unpacked(stamp_bytes(alert, kind))
                parts.append(extensions(data if self.region is None else cut(data, self.region), kind, alert))
        return b"".join(parts)


@dataclass(frozen=True, slots=True)
class Picture:
    """One stamp as PNG (all kinds side by side where `kind` is None); `Look` says what its parameters mean
    and refuse.

    Raises
    ------
    BadPicture
        When it is made, from a parameter that cannot be.
    """

    kind: str | None
    stretch: str = "sigmoid"
    pmin: float = 0.5
    pmax: float = 99.5
    colormap: str = "grayscale"
    scale: float = 1.0
    kernel: str | None = None
    region: Region | None = None

    def __post_init__(self) -> None:
        self.look()

    def look(self) -> Look:
        """The parameters that are about looks."""
        return Look(self.stretch, self.pmin, self.pmax, self.colormap, self.scale, self.kernel)

    def __call__(self, alerts: Sequence[AlertStamps], survey: Survey) -> Product:
        """Draw the stamp of the first alert; raises as `FitsStamp`, and BadPicture."""
        alert = one_alert(alerts, survey)
        name = file_name(alert, self.kind, "png")
        if self.kind is None:
            kinds = tuple(survey.stamps.kinds)
            present_kinds(alert, kinds)
            panels = [image_or_none(alert, kind, self.region) for kind in kinds]
            return Product(montage(panels, self.look()), PNG, filename=name)
        stored = stamp_bytes(alert, self.kind)
        with blame(alert, self.kind):
            pixels = cut_pixels(unpacked(stored), self.region)
        return Product(render(pixels, self.look()), PNG, filename=name)


@dataclass(frozen=True, slots=True)
class JsonArrays:
    """Stamps as JSON arrays, in one of the two shapes Fink's users know.

    Attributes
    ----------
    kinds
        Which, in this order.
    layout
        ``named``: an object, ``{"b:cutoutScience_stampData": [[…]]}``; ``list``: a list of arrays.
    region
        Cut by this region's bounding box first.
    """

    kinds: tuple[str, ...]
    layout: Literal["named", "list"] = "named"
    region: Region | None = None

    def __call__(self, alerts: Sequence[AlertStamps], survey: Survey) -> Product:
        """Write the first alert's stamps; one it lacks is null. NotInLake where it lacks all."""
        alert = one_alert(alerts, survey)
        present_kinds(alert, self.kinds)
        arrays = [array_or_null(alert, kind, self.region) for kind in self.kinds]
        if self.layout == "list":
            body = b"[" + b",".join(arrays) + b"]"
        else:
            body = b"{" + named_arrays(self.kinds, arrays) + b"}"
        return Product(body, JSON, filename=file_name(alert, None, "json"))


@dataclass(frozen=True, slots=True)
class ArrowStamps:
    """Stamps of any number of alerts as one Arrow IPC stream of one batch, decoded; see `tables`.

    Attributes
    ----------
    kinds
        Which, in this order.
    fits
        Add the bytes as stored.
    region
        Cut every stamp by this region's bounding box first; `fits` then holds the cut.
    """

    kinds: tuple[str, ...]
    fits: bool = False
    region: Region | None = None

    def __call__(self, alerts: Sequence[AlertStamps], survey: Survey) -> Product:
        """Decode and write; a table with no row where there is no alert."""
        if self.region is not None:
            alerts = [cut_alert(alert, self.kinds, self.region) for alert in alerts]
        batch = stamp_batch(alerts, self.kinds, fits=self.fits)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as stream:
            stream.write_batch(batch)
        return Product(sink.getvalue().to_pybytes(), ARROW_STREAM, filename=f"{survey.name}_stamps.arrows")


def warm_up(lake: object = None) -> None:
    """Import what only some products need, before a request waits for it.

    astropy.wcs, astropy.convolution and matplotlib's colour maps take one to two seconds together. A server runs this
    once on every worker. No `lake` is needed; readers give theirs to whatever warms them.
    """
    import_all("astropy.wcs", "astropy.convolution", "matplotlib")


def cut_alert(alert: AlertStamps, kinds: Sequence[str], region: Region) -> AlertStamps:
    """The alert with each of these stamps cut by the region's bounding box; raises as `FitsStamp`."""
    stamps: dict[str, bytes | None] = {}
    for kind in kinds:
        stored = alert.stamps.get(kind)
        with blame(alert, kind):
            stamps[kind] = None if stored is None else cut(unpacked(stored), region)
    return replace(alert, stamps=stamps)


def one_alert(alerts: Sequence[AlertStamps], survey: Survey) -> AlertStamps:
    """The first alert, or NotInLake."""
    if not alerts:
        raise NotInLake(f"No such alert in survey {survey.name}.")
    return alerts[0]


def stamp_bytes(alert: AlertStamps, kind: str) -> bytes:
    """The stored bytes of one stamp, or NotInLake."""
    stored = alert.stamps.get(kind)
    if stored is None:
        there = [kind for kind, stamp in alert.stamps.items() if stamp is not None]
        advice = f"It has {' and '.join(there)}." if there else "It has none at all."
        raise NotInLake(f"Alert {alert.alert_id} of survey {alert.survey} has no {kind} stamp.", advice)
    return stored


def present_kinds(alert: AlertStamps, kinds: Sequence[str]) -> list[str]:
    """Those of the kinds that the alert has, or NotInLake if it has none of them."""
    present = [kind for kind in kinds if alert.stamps.get(kind) is not None]
    if not present:
        raise NotInLake(f"Alert {alert.alert_id} of survey {alert.survey} has no {' or '.join(kinds)} stamp.")
    return present


@contextmanager
def blame(alert: AlertStamps, kind: str) -> Iterator[None]:
    """Let a `Damaged` raised inside say whose stamp is damaged."""
    try:
        yield
    except Damaged as error:
        raise Damaged(
            f"The {kind} stamp of alert {alert.alert_id} cannot be read: {error.message}",
            f"File {alert.file}.",
        ) from error


def image_or_none(alert: AlertStamps, kind: str, region: Region | None) -> Pixels | None:
    """The pixels of a stamp (of the part a region covers), None where the alert has no such stamp."""
    stored = alert.stamps.get(kind)
    if stored is None:
        return None
    with blame(alert, kind):
        return cut_pixels(unpacked(stored), region)


def array_or_null(alert: AlertStamps, kind: str, region: Region | None = None) -> bytes:
    """The pixels of a stamp as JSON, null where the alert has no such stamp."""
    pixels = image_or_none(alert, kind, region)
    return b"null" if pixels is None else json_array(pixels)


def named_arrays(kinds: Sequence[str], arrays: Sequence[bytes]) -> bytes:
    """Members of a JSON object, named as Fink's users know them."""
    return b",".join(
        f'"b:cutout{kind.capitalize()}_stampData":'.encode() + array
        for kind, array in zip(kinds, arrays, strict=True)
    )


def provenance(alert: AlertStamps) -> list[tuple[str, str, str]]:
    """Cards that say what a file of one alert's stamps is of."""
    return [
        ("SURVEY", alert.survey, ""),
        ("OBJECTID", alert.object_id, ""),
        ("ALERTID", alert.alert_id, ""),
    ]


def file_name(alert: AlertStamps, kind: str | None, extension: str) -> str:
    """``OBJECT_Kind.ext``, the name Fink gives; with the alert's id where the file holds all kinds."""
    parts = (alert.object_id, alert.alert_id if kind is None else kind.capitalize())
    return "_".join(_UNSAFE.sub("-", part) for part in parts) + f".{extension}"
