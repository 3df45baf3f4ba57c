"""All stamps of an object, while they are still being read.

An object's epochs are read some dozens at a time, and each time a worker turns what it read into a *part* of
the answer. A writer is such a callable, and knows what stands before, between and behind the parts::

    yield writer.head()
    for number, part in enumerate(parts):      # part = writer(alerts, survey), made on a worker
        yield (writer.separator if number else b"") + part
    yield writer.tail()

Alerts that make no part (an empty answer of the archive) are left out. The answer is whole only with its
tail: a JSON list without its bracket, an Arrow stream without its end, a zip without its directory cannot be
taken for a short but complete answer. (FITS has no such end: its tail is a last, empty HDU named END.)
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from sodalake.lake.alerts import AlertStamps
from sodalake.lake.survey import Survey
from sodalake.sodacut.bundle import extensions, marker, primary
from sodalake.sodacut.gzipped import MAGIC
from sodalake.sodacut.products import (
    ARROW_STREAM,
    FITS,
    JSON,
    array_or_null,
    blame,
    file_name,
    named_arrays,
    stamp_bytes,
)  # fmt: skip
from sodalake.sodacut.stampfits import unpacked, walk
from sodalake.sodacut.tables import END_OF_STREAM, stamp_batch, stamp_schema

__all__ = [
    "ArrowEpochs", "EpochWriter", "FitsEpochs", "JsonEpochs", "ManifestRow", "ZipEpochs", "ZipPart",
    "manifest",
]  # fmt: skip


class EpochWriter(Protocol):
    """What every writer of many epochs can do."""

    content_type: str
    separator: bytes

    def head(self) -> bytes:
        """What stands before the first part."""
        ...

    def __call__(self, alerts: Sequence[AlertStamps], survey: Survey) -> bytes:
        """The part these alerts make."""
        ...

    def tail(self) -> bytes:
        """What stands behind the last part."""
        ...


@dataclass(frozen=True, slots=True)
class JsonEpochs:
    """A JSON list of objects, one an alert.

    Ids (as text), time, file, and an array a kind (null where there is none).
    """

    kinds: tuple[str, ...]
    content_type: str = JSON
    separator: bytes = b",\n"

    def head(self) -> bytes:
        """The opening bracket."""
        return b"[\n"

    def __call__(self, alerts: Sequence[AlertStamps], survey: Survey) -> bytes:
        """These alerts' objects, with commas between them."""
        return self.separator.join(self._object(alert) for alert in alerts)

    def tail(self) -> bytes:
        """The closing bracket."""
        return b"\n]\n"

    def _object(self, alert: AlertStamps) -> bytes:
        about = {
            "objectId": alert.object_id,
            "alertId": alert.alert_id,
            "time": alert.time,
            "file": alert.file,
        }
        arrays = [array_or_null(alert, kind) for kind in self.kinds]
        return (
            json.dumps(about, allow_nan=False)[:-1].encode() + b", " + named_arrays(self.kinds, arrays) + b"}"
        )


@dataclass(frozen=True, slots=True)
class FitsEpochs:
    """One multi-extension FITS file.

    An empty primary HDU, then each alert's HDUs as `bundle.extensions` makes them.
    """

    kinds: tuple[str, ...]
    content_type: str = FITS
    separator: bytes = b""

    def head(self) -> bytes:
        """The primary HDU."""
        return primary(
            [("KINDS", ",".join(kind.upper() for kind in self.kinds), "kinds of stamps in this file")]
        )

    def __call__(self, alerts: Sequence[AlertStamps], survey: Survey) -> bytes:
        """These alerts' extensions; an empty one tells of a stamp that an alert does not have."""
        parts = []
        for alert in alerts:
            for kind in self.kinds:
                stored = alert.stamps.get(kind)
                if stored is None:
                    parts.append(marker(kind.upper(), alert))
                    continue
                with blame(alert, kind):
                    parts.append(extensions(unpacked(stored), kind, alert))
        return b"".join(parts)

    def tail(self) -> bytes:
        """An empty extension named END."""
        return marker("END")


@dataclass(frozen=True, slots=True)
class ArrowEpochs:
    """An Arrow IPC stream: the schema, a record batch a part, the end-of-stream mark."""

    kinds: tuple[str, ...]
    fits: bool = False
    content_type: str = ARROW_STREAM
    separator: bytes = b""

    def head(self) -> bytes:
        """The schema message."""
        return bytes(stamp_schema(fits=self.fits).serialize())

    def __call__(self, alerts: Sequence[AlertStamps], survey: Survey) -> bytes:
        """One record batch message."""
        return bytes(stamp_batch(alerts, self.kinds, fits=self.fits).serialize())

    def tail(self) -> bytes:
        """The end-of-stream mark."""
        return END_OF_STREAM


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """One stamp in the manifest of a zip.

    Attributes
    ----------
    name
        The entry; empty where the alert has no such stamp.
    length, sha256
        Of the entry's bytes, which are the archive's.
    file
        The archive file they come from.
    """

    name: str
    alert_id: str
    object_id: str
    time: float
    kind: str
    length: int
    sha256: str
    file: str


@dataclass(frozen=True, slots=True)
class ZipPart:
    """What some alerts add to a zip.

    Entries (name, bytes) and the manifest's rows, absent stamps included.
    """

    entries: list[tuple[str, bytes]]
    rows: list[ManifestRow]


@dataclass(frozen=True, slots=True)
class ZipEpochs:
    """Entries of a zip of stamps, byte for byte as the archive stores them (``.fits.gz`` or ``.fits``)."""

    kinds: tuple[str, ...]

    def __call__(self, alerts: Sequence[AlertStamps], survey: Survey) -> ZipPart:
        """These alerts' entries; every one is unpacked and walked once, so that no damaged stamp goes out."""
        entries = []
        rows = []
        for alert in alerts:
            for kind in self.kinds:
                name, stored = "", b""
                if alert.stamps.get(kind) is not None:
                    stored = stamp_bytes(alert, kind)
                    with blame(alert, kind):
                        walk(unpacked(stored))
                    extension = "fits.gz" if stored.startswith(MAGIC) else "fits"
                    name = file_name(alert, None, f"{kind}.{extension}")
                    entries.append((name, stored))
                digest = hashlib.sha256(stored).hexdigest() if name else ""
                rows.append(
                    ManifestRow(
                        name,
                        alert.alert_id,
                        alert.object_id,
                        alert.time,
                        kind,
                        len(stored),
                        digest,
                        alert.file,
                    )
                )
        return ZipPart(entries, rows)


def manifest(rows: Iterable[ManifestRow]) -> bytes:
    """The manifest as CSV (RFC 4180), one line a stamp under a line of names."""
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(ManifestRow.__slots__)
    table.writerows([getattr(row, name) for name in ManifestRow.__slots__] for row in rows)
    return text.getvalue().encode()
