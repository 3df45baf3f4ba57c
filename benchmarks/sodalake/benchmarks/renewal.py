"""Real alerts made into new ones: new ids and times, and stamps with new noise.

A file made of the same 124 stamps over and over would be read from caches and would compress as no archive
does. So every stamp is unpacked, gets noise of its own and is packed again. ZTF's pixels come from
quantised images: their lowest bits hold little, so these bits are cleared again, which keeps the gzip at
its real size (13 kB).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import cramjam
import numpy as np
import pyarrow as pa

from sodalake.sodacut.gzipped import MAGIC
from sodalake.sodacut.stampfits import unpacked, walk

__all__ = ["renewed_stamp", "renewed_table", "replaced"]

_NOISE = 0.05  # of the stamp's own spread: nothing a person would see, and different in every pixel
_GZIP_LEVEL = 1  # noise does not compress: level 9 saves 0.6 % and takes four times as long
_QUANTISED = np.uint32(0xFFFFFFF8)


def renewed_stamp(stored: bytes, rng: np.random.Generator) -> bytes:
    """Return a stored stamp with new noise in every float32 image, packed as it was.

    Raises
    ------
    sodalake.lake.errors.Damaged
        The bytes are no stamp.
    """
    packed = stored.startswith(MAGIC)
    data = bytearray(unpacked(stored))
    for hdu in walk(bytes(data)):
        if hdu.bitpix != -32 or hdu.shape is None:
            continue
        raw = np.frombuffer(data, ">f4", (hdu.data_end - hdu.data_start) // 4, hdu.data_start)
        pixels = raw.astype(np.float32)
        seen = pixels[np.isfinite(pixels)]
        if len(seen):
            spread = float(np.percentile(seen, 84) - np.percentile(seen, 16)) / 2
            pixels += rng.standard_normal(pixels.size, np.float32) * np.float32(_NOISE * spread or _NOISE)
        if packed:
            pixels = np.where(
                np.isfinite(pixels), (pixels.view(np.uint32) & _QUANTISED).view(np.float32), pixels
            )
        raw[:] = pixels
    return bytes(cramjam.gzip.compress(data, level=_GZIP_LEVEL)) if packed else bytes(data)


def renewed_table(
    rows: pa.Table,
    stamps: tuple[str, ...],
    columns: Mapping[str, pa.Array],
    rng: np.random.Generator,
) -> pa.Table:
    """Return `rows` with other ids and times and with new noise in the stamps.

    Parameters
    ----------
    rows
        Real alerts, in one chunk.
    stamps
        Paths of the stamp columns (``cutoutScience.stampData``).
    columns
        Path → the new values of a column; paths that the table does not have are passed over.
    rng
        Where noise comes from.
    """

    def renew(old: pa.Array) -> pa.Array:
        new = [None if value is None else renewed_stamp(value, rng) for value in old.to_pylist()]
        return pa.array(new, old.type)

    changes: dict[str, Callable[[pa.Array], pa.Array]] = {}
    for path, new in columns.items():
        changes[path] = _given(new)
    for path in stamps:
        changes[path] = renew
    for path, change in changes.items():
        name, _, rest = path.partition(".")
        at = rows.schema.get_field_index(name)
        if at < 0:
            continue
        column = rows.column(at).combine_chunks()
        rows = rows.set_column(at, rows.schema.field(at), replaced(column, rest, change))
    return rows


def _given(new: pa.Array) -> Callable[[pa.Array], pa.Array]:
    return lambda old: new.cast(old.type)


def replaced(column: pa.Array, path: str, change: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """Return `column` with the field at `path` (empty: itself) changed; a missing field changes nothing."""
    if not path:
        return change(column)
    name, _, rest = path.partition(".")
    kind: Any = column.type
    if not pa.types.is_struct(kind) or kind.get_field_index(name) < 0:
        return column
    fields = [kind.field(i) for i in range(kind.num_fields)]
    values = [column.field(i) for i in range(kind.num_fields)]
    at = kind.get_field_index(name)
    values[at] = replaced(values[at], rest, change)
    return pa.StructArray.from_arrays(values, fields=fields, mask=column.is_null())
