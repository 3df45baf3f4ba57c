"""How units and reports travel: a head, and the record batch behind it."""

from __future__ import annotations

import struct
from typing import Any, Final

import pyarrow as pa

__all__ = ["framed", "unframed"]

_LENGTH: Final = struct.Struct("<I")


def framed(head: bytes, batch: Any) -> bytes:
    """Return a head and a pyarrow.RecordBatch as bytes."""
    return _LENGTH.pack(len(head)) + head + batch.serialize().to_pybytes()  # type: ignore[no-any-return]


def unframed(packed: bytes) -> tuple[bytes, Any]:
    """Return the head, and the buffer of the batch: not copied, to be read by its schema."""
    end = _LENGTH.size + _LENGTH.unpack_from(packed)[0]
    return packed[_LENGTH.size : end], pa.py_buffer(packed)[end:]
