"""Stamps as numbers: JSON arrays for people and scripts, Arrow for bulk.

**JSON.** A stamp is a list of rows, row 0 first as in FITS. Numbers are written so that a parser gets the
pixel's very value back, as a double or as float32; NaN and infinities, which JSON does not have, are
``null``. pydantic's serialiser prints 63 × 63 in 0.23 ms, `json.dumps` in 2.0. (Arrow's kernels print the
shortest text of a float32: half the bytes, but 0.40 ms, and read as doubles the numbers are not quite the
pixels.)

**Arrow.** One row a stamp, pixels flattened row by row in one float32 buffer that all stamps of a batch
share: they are byte-swapped straight into it, and no Python object is made for a pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic_core import to_json

from sodalake.lake.alerts import AlertStamps
from sodalake.lake.errors import Damaged
from sodalake.sodacut.gzipped import MAGIC, gunzip_into
from sodalake.sodacut.stampfits import Pixels, plain_image, read_image

__all__ = ["END_OF_STREAM", "STAMP_SCHEMA", "json_array", "stamp_batch", "stamp_schema"]

STAMP_SCHEMA: Any = pa.schema(
    [
        pa.field("alert_id", pa.string(), nullable=False),
        pa.field("object_id", pa.string(), nullable=False),
        pa.field(
            "time", pa.float64(), nullable=False, metadata={"description": "days, in the survey's own scale"}
        ),
        pa.field("kind", pa.string(), nullable=False),
        pa.field(
            "height", pa.int32(), metadata={"description": "pixels; null where the alert has no such stamp"}
        ),
        pa.field("width", pa.int32()),
        pa.field(
            "pixels",
            pa.list_(pa.field("item", pa.float32(), nullable=False)),
            metadata={"description": "row by row"},
        ),
    ]
)
"""The columns of a table of stamps."""

END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"
"""What ends an Arrow IPC stream."""

_SCRATCH = 1 << 20
"""Bytes of the buffer stamps are unpacked into: a ZTF stamp takes 20 kB. Larger ones go the slow road."""

_FIRST_GUESS = 64 * 64


def stamp_schema(*, fits: bool = False) -> Any:
    """`STAMP_SCHEMA`, with a last column of the stored bytes where `fits` is true."""
    if not fits:
        return STAMP_SCHEMA
    stored = pa.field(
        "fits", pa.binary(), metadata={"description": "the bytes as stored: FITS, or gzip of FITS"}
    )
    return STAMP_SCHEMA.append(stored)


def json_array(pixels: Pixels) -> bytes:
    """An image as a JSON list of lists.

    Returns
    -------
    bytes
        ASCII, without blanks; ``null`` for NaN and infinities.
    """
    return to_json(pixels.tolist(), inf_nan_mode="null")


def stamp_batch(alerts: Sequence[AlertStamps], kinds: Sequence[str], *, fits: bool = False) -> Any:
    """Decode stamps into one Arrow record batch: alerts in their order, of each alert the kinds in theirs.

    A stamp the alert does not have is a row with null height, width and pixels.

    Parameters
    ----------
    fits
        Add the bytes as stored.

    Returns
    -------
    pyarrow.RecordBatch of `stamp_schema`

    Raises
    ------
    Damaged
        A stamp cannot be read; the sentence says which.
    """
    return _Batch(alerts, kinds).record_batch(fits=fits)


class _Batch:
    """The columns of a batch, while they grow."""

    def __init__(self, alerts: Sequence[AlertStamps], kinds: Sequence[str]) -> None:
        self.alerts = alerts
        self.kinds = kinds
        count = len(alerts) * len(kinds)
        self.pixels = np.empty(max(1, count) * _FIRST_GUESS, np.float32)
        self.offsets = np.zeros(count + 1, np.int32)
        self.heights = np.zeros(count, np.int32)
        self.widths = np.zeros(count, np.int32)
        self.stored = [alert.stamps.get(kind) for alert in alerts for kind in kinds]
        self._scratch = np.empty(_SCRATCH, np.uint8)
        end = 0
        for row, stored in enumerate(self.stored):
            if stored is not None:
                try:
                    end = self._append(row, stored, end)
                except Damaged as error:
                    alert, kind = alerts[row // len(kinds)], kinds[row % len(kinds)]
                    raise Damaged(
                        f"The {kind} stamp of alert {alert.alert_id} cannot be read: {error.message}",
                        f"File {alert.file}.",
                    ) from error
            self.offsets[row + 1] = end

    def _append(self, row: int, stored: bytes, end: int) -> int:
        plain: Pixels | None = None
        if stored.startswith(MAGIC):
            length = gunzip_into(stored, self._scratch)
            if length >= 0:
                plain = plain_image(self._scratch, length)
        if plain is None:
            plain = read_image(stored)
        size = end + plain.size
        if size > len(self.pixels):
            grown = np.empty(max(size, 2 * len(self.pixels)), np.float32)
            grown[:end] = self.pixels[:end]
            self.pixels = grown
        with np.errstate(all="ignore"):  # float64 stamps may hold what float32 does not
            self.pixels[end:size] = plain.ravel()
        self.heights[row], self.widths[row] = plain.shape
        return size

    def record_batch(self, *, fits: bool) -> Any:
        """The columns as Arrow arrays, without copying the pixels."""
        each = len(self.kinds)
        absent = np.fromiter((stored is None for stored in self.stored), np.bool_, len(self.stored))
        values = pa.array(self.pixels[: self.offsets[-1]])
        lists = pa.ListArray.from_arrays(
            pa.array(self.offsets), values, type=STAMP_SCHEMA.field("pixels").type, mask=pa.array(absent)
        )
        columns = [
            pa.array([alert.alert_id for alert in self.alerts for _ in range(each)], pa.string()),
            pa.array([alert.object_id for alert in self.alerts for _ in range(each)], pa.string()),
            pa.array(np.repeat(np.array([alert.time for alert in self.alerts], np.float64), each)),
            pa.array(list(self.kinds) * len(self.alerts), pa.string()),
            pa.array(self.heights, mask=absent),
            pa.array(self.widths, mask=absent),
            lists,
        ]
        if fits:
            columns.append(pa.array(self.stored, pa.binary()))
        return pa.record_batch(columns, schema=stamp_schema(fits=fits))
