"""What the `alert` and `object` rows hold of a stamp: the bytes of an index entry.

An `alert` row answers *where are the stamps of this alert*, an `object` row the same for one epoch of an object:
both carry a `StampRow`, the alert's row as well the key of its `object` row.

    row in the file (uint32) | number of kinds (uint8) | kinds x place (30 bytes) | object key
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from .places import ABSENT, PLACE_BYTES, Place

__all__ = ["StampRow", "object_key_of"]

_HEAD = struct.Struct("<IB")


@dataclass(frozen=True, slots=True)
class StampRow:
    """One alert's index entry.

    Attributes
    ----------
    row
        Its row in its Parquet file, from 0.
    places
        Where its stamps are, in the order of the survey's kinds.
    object_key
        The key of its `object` row (empty in the `object` row itself).
    """

    row: int
    places: tuple[Place, ...]
    object_key: bytes = b""

    @classmethod
    def unpack(cls, packed: bytes, only: Collection[int] | None = None) -> StampRow:
        """Read an entry; with `only`, the places of these kinds, and the others as absent: a third of the time."""
        row, kinds = _HEAD.unpack_from(packed)
        end = _HEAD.size + kinds * PLACE_BYTES
        places = tuple(
            Place.unpack(packed, at) if only is None or kind in only else ABSENT
            for kind, at in enumerate(range(_HEAD.size, end, PLACE_BYTES))
        )
        return cls(row, places, packed[end:])

    def pack(self) -> bytes:
        """Return the entry's bytes."""
        return (
            _HEAD.pack(self.row, len(self.places)) + b"".join(p.pack() for p in self.places) + self.object_key
        )

    @staticmethod
    def pack_many(rows: Sequence[int], places: Sequence[Sequence[Place]]) -> list[bytes]:
        """Return the entries of many rows, without their object keys; `places` holds a sequence a kind."""
        kinds = len(places)
        return [_HEAD.pack(row, kinds) + b"".join(column[row].pack() for column in places) for row in rows]


def object_key_of(packed: bytes) -> bytes:
    """Return the `object_key` of an entry, and nothing else of it."""
    _, kinds = _HEAD.unpack_from(packed)
    return packed[_HEAD.size + kinds * PLACE_BYTES :]
