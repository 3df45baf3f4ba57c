"""Centres of HEALPix cells (NESTED), many at a time.

Gorski et al. 2005 (ApJ 622, 759), section 4.1 and 5.3. cdshealpix has this too, behind units and coordinates that cost
0.3 ms a call whatever is asked; a cone of 1″ asks seven times.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["centres"]

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
