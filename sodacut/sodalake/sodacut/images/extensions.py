"""Several bands in one FITS file: an extension each behind an empty primary HDU, their headers and pixels as they are.

Nothing is read into arrays and written again: of each header the cards that say what kind of HDU it is are replaced,
which takes 0.1 ms, where astropy takes 15.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sodalake.sodacut.cards import Header, card, padded
from sodalake.sodacut.stampfits import Hdu, header_of, walk

__all__ = ["of_bands"]

_REWRITTEN: Final = (
    "SIMPLE", "XTENSION", "BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "EXTEND", "PCOUNT", "GCOUNT", "EXTNAME",
)  # fmt: skip


def of_bands(about: Sequence[tuple[str, Any, str]], files: Sequence[tuple[str, bytes]]) -> bytes:
    """Return one FITS file of several.

    Parameters
    ----------
    about
        Keyword, value and comment of the cards of the primary header.
    files
        Name of each band, and a FITS file with its pixels in the primary HDU, and planes behind it. The extensions are
        called ``BAND`` and ``BAND_PLANE``.
    """
    head = Header(
        [
            *card("SIMPLE", True, "conforms to FITS standard"),
            *card("BITPIX", 8),
            *card("NAXIS", 0),
            *card("EXTEND", True),
        ]
    )
    for keyword, value, comment in about:
        head.cards += card(keyword, float(value) if isinstance(value, float) else value, comment)
    parts = [head.to_bytes()]
    for band, data in files:
        for number, hdu in enumerate(walk(data)):
            name = band if number == 0 else f"{band}_{hdu.name}"
            parts += [
                _extension(data, hdu, name.upper()).to_bytes(),
                padded(data[hdu.data_start : hdu.data_end]),
            ]
    return b"".join(parts)


def _extension(data: bytes, hdu: Hdu, name: str) -> Header:
    own = header_of(data, hdu)
    own.drop(*_REWRITTEN)
    head = Header(card("XTENSION", "IMAGE", "image extension"))
    structure: tuple[tuple[str, int], ...] = (
        ("BITPIX", hdu.bitpix),
        ("NAXIS", len(hdu.axes)),
        *((f"NAXIS{axis}", length) for axis, length in enumerate(hdu.axes, 1)),
        ("PCOUNT", 0),
        ("GCOUNT", 1),
    )
    for keyword, value in structure:
        head.cards += card(keyword, value)
    head.cards += [*card("EXTNAME", name), *own.cards]
    return head
