"""HEALPix cells (NESTED) of places, their centres and their neighbours, many at a time.

Gorski et al. 2005 (ApJ 622, 759), section 4.1 and 5.3. cdshealpix has this too, behind units and coordinates that cost
0.3 ms a call whatever is asked; a cone of 1″ asks seven times.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from .importing import IMPORTS

__all__ = ["around", "cells_of", "centres"]

_Floats = npt.NDArray[np.float64]
_Integers = npt.NDArray[np.int64]

# Of the twelve faces: ring and quarter turns of their southern corners, in sides of a face.
_RING: Final = np.array([2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4])
_TURN: Final = np.array([1, 3, 5, 7, 0, 2, 4, 6, 1, 3, 5, 7])
# Every other bit of a number, drawn together: mask, and how far the next step moves.
_STEPS: Final = tuple(
    (np.int64(mask), shift)
    for mask, shift in (
        (0x3333333333333333, 1),
        (0x0F0F0F0F0F0F0F0F, 2),
        (0x00FF00FF00FF00FF, 4),
        (0x0000FFFF0000FFFF, 8),
        (0x00000000FFFFFFFF, 16),
    )
)

_SPREAD: Final = tuple(
    (np.int64(mask), shift)
    for mask, shift in (
        (0x0000FFFF0000FFFF, 16),
        (0x00FF00FF00FF00FF, 8),
        (0x0F0F0F0F0F0F0F0F, 4),
        (0x3333333333333333, 2),
        (0x5555555555555555, 1),
    )
)
_AROUND: Final = np.array([(x, y) for x in (-1, 0, 1) for y in (-1, 0, 1)]).T


def _every_other(bits: _Integers) -> _Integers:
    bits = bits & 0x5555555555555555
    for mask, shift in _STEPS:
        bits = (bits | (bits >> shift)) & mask
    return bits


def centres(cells: _Integers, order: int) -> tuple[_Floats, _Floats]:
    """Return longitude and latitude (degrees) of the centres of N cells of an order, 0 to 29."""
    side = 1 << order
    face, inside = cells >> (2 * order), cells & ((1 << (2 * order)) - 1)
    x, y = _every_other(inside), _every_other(inside >> 1)
    ring = _RING[face] * side - x - y - 1
    from_pole = np.minimum(ring, 4 * side - ring)
    polar = from_pole < side
    length = np.where(polar, from_pole, side)  # quarter of the cells of the ring
    shift = np.where(polar, 0, (ring - side) & 1)
    # Near a pole sine and cosine both come from the distance to it: the arc sine alone would lose half the digits.
    gap = (from_pole / side) ** 2 / 3
    sine = np.where(polar, np.where(ring < 2 * side, 1 - gap, gap - 1), (2 * side - ring) * (2 / (3 * side)))
    cosine = np.sqrt(np.where(polar, gap * (2 - gap), (1 - sine) * (1 + sine)))
    at = (_TURN[face] * length + x - y + 1 + shift) / 2
    at = at + np.where(at < 1, 4 * length, 0) - np.where(at > 4 * length, 4 * length, 0)
    return (at - (shift + 1) / 2) * (90 / length), np.degrees(np.arctan2(sine, cosine))


def cells_of(lon: _Floats, lat: _Floats, order: int) -> _Integers:
    """Return the cells of N places (degrees; any number of turns), of an order from 0 to 29."""
    side = 1 << order
    turn = np.mod(lon / 90, 4)  # quarter turns
    sine = np.sin(np.radians(lat))
    polar = np.abs(sine) > 2 / 3
    # Within the tropics the edges of faces are straight in (turn, sine): x and y are sums of the two.
    up, across = side * (0.5 + turn), side * (0.75 * sine)
    rising, falling = (up - across).astype(np.int64), (up + across).astype(np.int64)
    one, two = rising >> order, falling >> order
    face = np.where(one == two, (one & 3) | 4, np.where(one < two, one & 3, (two & 3) + 8))
    x, y = falling & (side - 1), side - 1 - (rising & (side - 1))
    if polar.any():
        quarter = np.minimum(turn.astype(np.int64), 3)
        within = turn - quarter
        # The distance to the pole, by half the angle: one minus the sine has lost half the digits there.
        far = side * math.sqrt(6) * np.sin(np.radians(90 - np.abs(lat)) / 2)
        along = np.minimum((within * far).astype(np.int64), side - 1)
        other = np.minimum(((1 - within) * far).astype(np.int64), side - 1)
        north = lat > 0
        face = np.where(polar, np.where(north, quarter, quarter + 8), face)
        x = np.where(polar, np.where(north, side - 1 - other, along), x)
        y = np.where(polar, np.where(north, side - 1 - along, other), y)
    return _nested(face, x, y, order)


def _nested(face: _Integers, x: _Integers, y: _Integers, order: int) -> _Integers:
    return (face << (2 * order)) | _apart(x) | (_apart(y) << 1)


def _apart(bits: _Integers) -> _Integers:
    """Put a zero before every bit: what `_every_other` undoes."""
    for mask, shift in _SPREAD:
        bits = (bits | (bits << shift)) & mask
    return bits


def around(cells: _Integers, order: int) -> tuple[_Integers, _Integers]:
    """Return N cells and those that touch them, and of which of the N each is one (it or a neighbour)."""
    side = 1 << order
    face, inside = cells >> (2 * order), cells & ((1 << (2 * order)) - 1)
    x, y = _every_other(inside), _every_other(inside >> 1)
    inner = (np.minimum(x, y) > 0) & (np.maximum(x, y) < side - 1)
    at = np.flatnonzero(inner)
    block = _nested(face[at, None], x[at, None] + _AROUND[0], y[at, None] + _AROUND[1], order)
    found, owner = [block.ravel()], [np.repeat(at, 9)]
    if not inner.all():
        # At the edge of a face: few cells are, and how faces meet is cdshealpix's to know.
        with IMPORTS:
            from cdshealpix import nested

        at = np.flatnonzero(~inner)
        edge = nested.neighbours(cells[at].astype(np.uint64), order, num_threads=1).ravel()
        found.append(edge[edge >= 0])
        owner.append(np.repeat(at, 9)[edge >= 0])
    return np.concatenate(found), np.concatenate(owner)
