"""The sky index of images: which cells an outline is entered in, what stands there, and which outlines a cap meets.

Table ``outline``, keys ``ORDER_CELL_IMAGEID_FILE``: the order of HEALPix (two digits), the first cell of order 29 of
the cell (as in table ``sky``), the image's escaped id, and its file's number.

An image is entered at one order, that of cells about as large as itself, in each that it touches, and in those that
are nearer to it than `REACH` of a cell's side. So a place, and whatever is within `REACH` of it, is looked for in a
single cell of each order that the survey's images have, which are one or two. A finer order would be more rows an
image, a coarser one more images that are looked at in vain: here these are three for each one that is meant.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ..cells import around, cells_of, centres
from ..errors import Damaged
from ..keys import parse_alert_key
from ..sky import ORDER, Ranges, cone_ranges, separations, unit_vectors

__all__ = [
    "REACH",
    "Caps",
    "Outline",
    "Outlines",
    "cell_ranges",
    "entries",
    "heads_of",
    "order_of",
    "pack_outline",
    "read_outlines",
]

REACH: Final = 1 / 16
"""Of a cell's side: how much farther than its outline an image is entered."""

_SIDE: Final = math.degrees(math.sqrt(math.pi / 3))  # of a cell of order 0, as if cells were squares
_CORNER: Final = 1.06  # sides from a cell's centre to its farthest corner, at most
_BLOCK: Final = 0.6  # what is nearer to a place than so many sides is in its cell or those around it
_FINEST: Final = 20  # of orders: a fifth of an arcsecond
_DEEPER: Final = 2  # orders below an image's own at which it is said which cells it touches
_HAIR: Final = 1e-8  # degrees that a cap is widened by, for rounding

# row in file, t_min, middle and radius, lengths of band and collection (texts), number of vertices
_HEAD: Final = struct.Struct("<IddddBBH")

_HEADS: Final = np.dtype(
    [("row", "<u4"), ("t_min", "<f8"), ("ra", "<f8"), ("dec", "<f8"), ("radius", "<f8"), ("lengths", "V4")]
)

_Floats = npt.NDArray[np.float64]
_Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Outline:
    """What the sky index has of an image.

    Attributes
    ----------
    image_id, file, row
        The image's id, its file's number, and which of the file's images it is.
    collection, band, t_min
        As `sodalake.lake.images.records.Image` has them.
    ra, dec, radius
        Its middle, and the distance of the farthest vertex (degrees, ICRS).
    vertices
        V x 2: longitude, latitude (degrees, ICRS).
    """

    image_id: str
    file: int
    row: int
    collection: str
    band: str | None
    t_min: float | None
    ra: float
    dec: float
    radius: float
    vertices: _Floats


def pack_outline(outline: Outline) -> bytes:
    """Return what stands in the index of an image, the row in its file first."""
    band, collection = (outline.band or "").encode()[:255], outline.collection.encode()[:255]
    t_min = math.nan if outline.t_min is None else outline.t_min
    head = _HEAD.pack(
        outline.row, t_min, outline.ra, outline.dec, outline.radius, len(band), len(collection),
        len(outline.vertices),
    )  # fmt: skip
    return b"".join((head, band, collection, outline.vertices.astype("<f8").tobytes()))


@dataclass(frozen=True, slots=True)
class Caps:
    """Caps of the sphere (N).

    Attributes
    ----------
    centres
        Unit vectors (N x 3).
    reach
        Radii, and a hair (radians, N).
    """

    centres: _Floats
    reach: _Floats

    @classmethod
    def of(cls, ra: _Floats, dec: _Floats, radius: _Floats) -> Caps:
        """Return caps of these centres and radii (degrees, N)."""
        return cls(unit_vectors(ra, dec), np.radians(radius + _HAIR))

    def near(self, cap: _Integers, middles: _Floats, radii: _Floats) -> npt.NDArray[np.bool_]:
        """Say of P pairs whether a cap (by index) may meet what is within a radius (degrees) of a middle."""
        apart = _length(self.centres[cap] - middles)
        return 2 * np.arcsin(np.minimum(1.0, apart / 2)) <= np.radians(radii) + self.reach[cap]


@dataclass(frozen=True, slots=True)
class Outlines:
    """Outlines of N images, to be asked many at a time.

    Attributes
    ----------
    members
        The images.
    vertices
        Unit vectors of all vertices, one image's behind the other's (E x 3).
    first, counts
        Where each image's begin, and how many there are (N).
    middles
        Unit vectors of the middles (N x 3).
    """

    members: Sequence[Outline]
    vertices: _Floats
    first: _Integers
    counts: _Integers
    middles: _Floats

    @classmethod
    def of(cls, members: Sequence[Outline]) -> Outlines:
        """Make them ready."""
        counts = np.array([len(one.vertices) for one in members], np.int64)
        places = np.concatenate([np.empty((0, 2)), *(one.vertices for one in members)])
        middles = np.array([(one.ra, one.dec) for one in members]).reshape(-1, 2)
        first = np.cumsum(counts) - counts
        return cls(members, unit_vectors(*places.T), first, counts, unit_vectors(*middles.T))

    def meeting(self, caps: Caps, cap: _Integers, member: _Integers) -> npt.NDArray[np.bool_]:
        """Say of P pairs of a cap and an image whether they meet: the cap is in the image, or its edge within the cap.

        An image that is within `_HAIR` of a cap is taken for one that meets it.
        """
        if not len(cap):
            return np.empty(0, np.bool_)
        counts = self.counts[member]
        starts = np.cumsum(counts) - counts
        along = np.arange(int(counts.sum())) - np.repeat(starts, counts)
        first = np.repeat(self.first[member], counts)
        following = np.where(along + 1 == np.repeat(counts, counts), 0, along + 1)
        centre = np.repeat(caps.centres[cap], counts, axis=0)
        nearest, turns = _arcs(centre, self.vertices[first + along], self.vertices[first + following])
        inside = np.abs(np.add.reduceat(turns, starts)) > math.pi
        # Around the antipode, too, an outline goes once.
        inside &= np.sum(self.middles[member] * caps.centres[cap], axis=1) > 0
        return inside | (np.minimum.reduceat(nearest, starts) <= caps.reach[cap])


def heads_of(payloads: Sequence[bytes]) -> npt.NDArray[np.void]:
    """Return what the payloads of N rows begin with: fields `ra`, `dec` and `radius` (degrees) among them.

    Raises
    ------
    Damaged
        A row is cut short.
    """
    joined = b"".join([one[: _HEAD.size] for one in payloads])
    if len(joined) != _HEAD.size * len(payloads):
        raise _cut_short()
    return np.frombuffer(joined, _HEADS)


def read_outlines(keys: Sequence[bytes], payloads: Sequence[bytes], files: Iterable[int]) -> list[Outline]:
    """Return the outlines of rows of the table (N), one a row: an image that is in several cells comes several times.

    Parameters
    ----------
    keys, payloads, files
        Keys, what `pack_outline` wrote, and file numbers of N rows.

    Raises
    ------
    Damaged
        A row is cut short.
    """
    found: dict[tuple[bytes, int], Outline] = {}
    outlines: list[Outline] = []
    for key, payload, file in zip(keys, payloads, files, strict=True):
        escaped = key.split(b"_")[2]
        if (escaped, file) in found:
            outlines.append(found[escaped, file])
            continue
        try:
            row, t_min, ra, dec, radius, band, collection, count = _HEAD.unpack_from(payload)
            at = _HEAD.size + band + collection
            vertices = np.frombuffer(payload, "<f8", 2 * count, at).reshape(-1, 2)
        except (struct.error, ValueError) as problem:
            raise Damaged(
                "A row of an index of images is cut short.", "Ingest the survey again."
            ) from problem
        found[escaped, file] = Outline(
            image_id=parse_alert_key(b"_" + escaped),
            file=file,
            row=row,
            collection=payload[at - collection : at].decode(),
            band=payload[_HEAD.size : _HEAD.size + band].decode() or None,
            t_min=None if math.isnan(t_min) else t_min,
            ra=ra,
            dec=dec,
            radius=radius,
            vertices=vertices,
        )
        outlines.append(found[escaped, file])
    return outlines


# ---------------------------------------------------------------------- cells


def order_of(radius: float) -> int:
    """Return the order at which an image of this radius (degrees) is entered."""
    side = radius / (_BLOCK - REACH)
    if side <= 0:
        return _FINEST
    return min(max(math.floor(math.log2(_SIDE / side)), 0), _FINEST)


def entries(ra: _Floats, dec: _Floats, radius: _Floats, order: int) -> tuple[_Integers, _Integers]:
    """Return the cells (of an order) that each of N images is entered in, and of which of the N each is one.

    Parameters
    ----------
    ra, dec, radius
        Degrees (N); their `order_of` is `order`.
    """
    return _touched(ra, dec, radius + REACH * _side(order) + _HAIR, order)


def cell_ranges(ra: _Floats, dec: _Floats, radius: _Floats, order: int) -> Ranges:
    """Return where N caps are looked for at an order: ranges of cells of order 29, whole cells of `order`.

    Sorted by cap, then by cell, those of a cap apart.
    """
    shift, side = 2 * (ORDER - order), _side(order)
    alone = radius + _HAIR <= REACH * side
    if alone.all():
        cells = cells_of(ra, dec, order)
        return Ranges(cells << shift, (cells + 1) << shift, np.arange(len(ra)))
    # From cells around it for a cap that these must hold; a wide one from above, which costs a millisecond.
    close, wide = (
        np.flatnonzero(radius + _HAIR <= _BLOCK * side),
        np.flatnonzero(radius + _HAIR > _BLOCK * side),
    )
    cells, owner = _touched(ra[close], dec[close], radius[close] + _HAIR, order)
    first, after, owner = cells << shift, (cells + 1) << shift, close[owner]
    if len(wide):
        more = cone_ranges(ra[wide], dec[wide], np.minimum(radius[wide] + _HAIR, 180.0), gap=0)
        first = np.concatenate([first, more.first >> shift << shift])
        after = np.concatenate([after, ((more.after - 1 >> shift) + 1) << shift])
        owner = np.concatenate([owner, wide[more.owner]])
        sorted_ = np.lexsort((first, owner))
        first, after, owner = first[sorted_], after[sorted_], owner[sorted_]
    new = np.ones(len(first), np.bool_)
    new[1:] = (owner[1:] != owner[:-1]) | (first[1:] > after[:-1])
    last = np.roll(new, -1)
    return Ranges(first[new], after[last], owner[new])


def _touched(ra: _Floats, dec: _Floats, reach: _Floats, order: int) -> tuple[_Integers, _Integers]:
    """Return the cells (of an order) that may have a place within a reach (degrees) of each of N, and whose each is."""
    side = _side(order)
    if order == 0 and (reach > _BLOCK * side).any():
        cells, owner = np.tile(np.arange(12), len(ra)), np.repeat(np.arange(len(ra)), 12)
    else:
        cells, owner = around(cells_of(ra, dec, order), order)
    fine = ((cells << (2 * _DEEPER))[:, None] + np.arange(1 << (2 * _DEEPER))).ravel()
    owner = np.repeat(owner, 1 << (2 * _DEEPER))
    apart = separations(ra[owner], dec[owner], *centres(fine, order + _DEEPER))
    touched = apart <= reach[owner] + _CORNER * side / (1 << _DEEPER)
    pairs = np.unique(np.stack([owner[touched], fine[touched] >> (2 * _DEEPER)]), axis=1)
    return pairs[1], pairs[0]


def _side(order: int) -> float:
    """Return the side of a cell (degrees), as if cells were squares."""
    return _SIDE / (1 << order)


# ---------------------------------------------------------------------- geometry


def _arcs(centre: _Floats, start: _Floats, stop: _Floats) -> tuple[_Floats, _Floats]:
    """Return for E places and arcs of great circles how far they are apart, and the signed angles under which the
    arcs are seen from the places (radians).

    By differences of unit vectors: products of the vectors themselves lose half the digits of what is small.
    """
    to_start, to_stop, chord = start - centre, stop - centre, stop - start
    near, far, long = _dot(to_start, to_start), _dot(to_stop, to_stop), _dot(chord, chord)
    pole = np.cross(start, chord)
    across = _dot(to_start, pole)
    length = _length(pole)
    beside = (-_dot(chord, to_start) >= near * long / 4) & (_dot(chord, to_stop) >= far * long / 4)
    ends = 2 * np.arcsin(np.minimum(1.0, np.sqrt(np.minimum(near, far)) / 2))
    straight = np.arcsin(np.minimum(1.0, np.abs(across) / np.where(length > 0, length, 1.0)))
    apart = np.where(beside & (length > 0), np.minimum(ends, straight), ends)
    return apart, np.arctan2(-across, _dot(to_start, to_stop) - near * far / 4)


def _dot(one: _Floats, other: _Floats) -> _Floats:
    return np.asarray(np.einsum("ij,ij->i", one, other), np.float64)


def _length(vectors: _Floats) -> _Floats:
    return np.sqrt(_dot(vectors, vectors))


def _cut_short() -> Damaged:
    return Damaged("A row of an index of images is cut short.", "Ingest the survey again.")
