"""An image's record as the bytes of a cell, and back.

=============== ======================= ====================================================================
bytes           what                    detail
=============== ======================= ====================================================================
1               version                 `VERSION`
4               length                  of the packed words, little-endian, unsigned
…               the words               zstd of JSON: everything but header and arrays
…               the rest                zstd of the header, the outline, and the arrays of the places of pixels
=============== ======================= ====================================================================

Of compressed images, whose tables are a hundred times what else there is, the tiles' offsets are left out where they
follow from the lengths, as in nearly all files; numbers are stored byte by byte (all first bytes, then all second
ones), since of neighbours the first bytes are alike.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final

import cramjam
import numpy as np
import numpy.typing as npt

from ..errors import Damaged
from .records import Image, Plain, Plane, Quantized, Tiled

__all__ = ["VERSION", "pack_image", "unpack_image"]

VERSION: Final = 1
"""Of the form; a cell of another one is refused."""

_HEAD: Final = struct.Struct("<BI")
_LEVEL: Final = 3
_PLAIN_FIELDS: Final = tuple(
    field.name
    for field in fields(Image)
    if field.name not in ("header", "outline", "pixels", "planes", "overview", "shape")
)

_Array = npt.NDArray[Any]


def pack_image(image: Image) -> bytes:
    """Return an image's record as a cell's bytes."""
    arrays = _Written()
    words = {
        **{name: getattr(image, name) for name in _PLAIN_FIELDS},
        "shape": list(image.shape),
        "header": len(image.header),
        "outline": arrays.add(image.outline.ravel(), "<f8"),
        "pixels": _plane(image.pixels, arrays),
        "planes": {name: _plane(plane, arrays) for name, plane in image.planes.items()},
        "overview": None if image.overview is None else _plane(image.overview, arrays),
    }
    packed = bytes(cramjam.zstd.compress(json.dumps(words, separators=(",", ":")).encode(), _LEVEL))
    rest = bytes(cramjam.zstd.compress(image.header + b"".join(arrays.parts), _LEVEL))
    return _HEAD.pack(VERSION, len(packed)) + packed + rest


def unpack_image(cell: bytes | memoryview) -> Image:
    """Return the record that `pack_image` wrote.

    Raises
    ------
    Damaged
        The bytes are no such record, or one of another version.
    """
    try:
        version, length = _HEAD.unpack_from(cell)
        if version != VERSION:
            raise Damaged(
                f"An image's record has version {version}, and this sodalake reads {VERSION}.",
                "Read it with the sodalake that wrote it, or ingest the survey into a new lake.",
            )
        view = memoryview(cell)[_HEAD.size :]
        words = json.loads(bytes(cramjam.zstd.decompress(view[:length])))
        rest = memoryview(bytes(cramjam.zstd.decompress(view[length:])))
        arrays = _Read(rest[words["header"] :])
        return Image(
            **{name: words[name] for name in _PLAIN_FIELDS},
            shape=(words["shape"][0], words["shape"][1]),
            header=bytes(rest[: words["header"]]),
            outline=arrays.take(words["outline"]).reshape(-1, 2),
            pixels=_plane_of(words["pixels"], arrays),
            planes={name: _plane_of(plane, arrays) for name, plane in words["planes"].items()},
            overview=None if words["overview"] is None else _plane_of(words["overview"], arrays),
        )
    except (ValueError, KeyError, TypeError, struct.error, cramjam.DecompressionError) as problem:
        raise Damaged(
            f"An image's record cannot be read: {problem!r}.", "Ingest the image's file again."
        ) from problem


class _Written:
    """Arrays on their way into a record: told by type and length, and by a number where all values are one."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def add(self, values: _Array, kind: str) -> list[Any]:
        values = np.ascontiguousarray(values, kind)
        if len(values) > 1 and (values == values[0]).all():
            return [kind, len(values), values[0].item()]
        self.parts.append(values.view(np.uint8).reshape(len(values), values.itemsize).T.tobytes())
        return [kind, len(values)]


class _Read:
    """Arrays taken out of a record, in the order they were put in."""

    def __init__(self, content: memoryview) -> None:
        self._content, self._at = content, 0

    def take(self, told: list[Any]) -> _Array:
        kind, count = np.dtype(told[0]), told[1]
        if len(told) > 2:
            return np.full(count, told[2], kind)
        size = kind.itemsize * count
        if self._at + size > len(self._content):
            raise ValueError("it is cut short")
        part = np.frombuffer(self._content, np.uint8, size, self._at).reshape(kind.itemsize, count)
        self._at += size
        values: _Array = np.ascontiguousarray(part.T).view(kind).reshape(count)
        return values


def _plane(plane: Plane, arrays: _Written) -> dict[str, Any]:
    place = plane.place
    told: dict[str, Any] = {"file": plane.file, "url": plane.url, "size": plane.size, "mtime": plane.mtime}
    told |= {"scale": place.scale, "zero": place.zero, "blank": place.blank, "bitpix": place.bitpix}
    if isinstance(place, Plain):
        return {**told, "offset": place.offset}
    told |= {"codec": place.codec, "tile": list(place.tile), "parameters": dict(place.parameters)}
    first = int(place.offsets[0]) if len(place.offsets) else 0
    if np.array_equal(place.offsets, _following(first, place.lengths)):
        told["first"] = first
    else:
        told["offsets"] = arrays.add(place.offsets, "<i8")
    told["lengths"] = arrays.add(place.lengths, "<u4" if place.lengths.max(initial=0) < 1 << 32 else "<i8")
    told["raw"] = None if place.raw is None else arrays.add(place.raw, "u1")
    quantized = place.quantized
    if quantized is not None:
        blank = quantized.blank
        told["quantized"] = {
            "dither": quantized.dither,
            "seed": quantized.seed,
            "scale": arrays.add(quantized.scale, "<f8"),
            "zero": arrays.add(quantized.zero, "<f8"),
            "blank": arrays.add(blank, "<i8") if isinstance(blank, np.ndarray) else blank,
        }
    return told


def _plane_of(told: Mapping[str, Any], arrays: _Read) -> Plane:
    place: Plain | Tiled
    if "codec" not in told:
        place = Plain(told["offset"], told["bitpix"], told["scale"], told["zero"], told["blank"])
        return _at(told, place)
    offsets = arrays.take(told["offsets"]) if "offsets" in told else None
    lengths = arrays.take(told["lengths"]).astype(np.int64)
    raw = None if told["raw"] is None else arrays.take(told["raw"])
    quantized = None
    if "quantized" in told:
        inner = told["quantized"]
        scale, zero = arrays.take(inner["scale"]), arrays.take(inner["zero"])
        blank = arrays.take(inner["blank"]) if isinstance(inner["blank"], list) else inner["blank"]
        quantized = Quantized(inner["dither"], inner["seed"], scale, zero, blank)
    place = Tiled(
        codec=told["codec"],
        bitpix=told["bitpix"],
        tile=(told["tile"][0], told["tile"][1]),
        offsets=_following(told["first"], lengths) if offsets is None else offsets,
        lengths=lengths,
        raw=raw,
        quantized=quantized,
        parameters=told["parameters"],
        scale=told["scale"],
        zero=told["zero"],
        blank=told["blank"],
    )
    return _at(told, place)


def _at(told: Mapping[str, Any], place: Plain | Tiled) -> Plane:
    # Records from before times were kept are read until their files are indexed anew.
    return Plane(told["file"], told["url"], told["size"], place, told.get("mtime", 0.0))


def _following(first: int, lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the offsets of pieces of some lengths, each behind the one before."""
    ends = np.cumsum(lengths, dtype=np.int64) + first
    return ends - lengths
