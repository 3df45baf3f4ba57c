"""FITS headers by ranged reads, and what they say.

A file is walked from HDU to HDU: the length of a header's data is in the header, so data are stepped over and never
read. A read takes `AHEAD` bytes, which is a header of the longest kind and, behind it, the table of a tile-compressed
image: one read an HDU, and one for several where they are small.

FITS 4.0, sections 3 and 4.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from ..errors import Damaged
from ..files import OpenFile
from ..importing import IMPORTS

with IMPORTS:
    from astropy.io import fits

__all__ = [
    "AHEAD",
    "CARD",
    "Ahead",
    "Hdu",
    "cards_of",
    "joined_header",
    "number_in",
    "read_hdus",
    "scaling_in",
    "text_in",
    "value_in",
]

AHEAD: Final = 128 << 10
"""Bytes of a read."""

CARD: Final = 80
_BLOCK: Final = 2880
_MOST: Final = 64 << 20  # of a header: what is longer is no header
_END: Final = b"END".ljust(CARD)
_SIZE: Final = re.compile(r"^(BITPIX|PCOUNT|GCOUNT|NAXIS\d*)$")
_BITPIX: Final = frozenset({8, 16, 32, 64, -32, -64})
# A header is printable ASCII (FITS 4.0, 4.1.2.1); what is not there, some writers' accents, would be refused later.
_PRINTABLE: Final = bytes(byte if 32 <= byte < 127 else ord("?") for byte in range(256))


class Ahead:
    """A file read from front to back in pieces of `AHEAD` bytes, the last of which is kept."""

    def __init__(self, source: OpenFile, url: str) -> None:
        self.url, self.size = url, source.size
        self._source = source
        self._at, self._bytes = 0, b""

    def read(self, offset: int, length: int) -> bytes:
        """Return the bytes `[offset, offset + length)`.

        Raises
        ------
        Damaged
            The file ends before.
        """
        start = offset - self._at
        if start < 0 or start + length > len(self._bytes):
            self._bytes, self._at = self._source.read_at(offset, max(AHEAD, length)), offset
            start = 0
        if start + length > len(self._bytes):
            raise _short(self.url, offset + length, self.size)
        return self._bytes[start : start + length]


@dataclass(frozen=True)
class Hdu:
    """The header of one HDU, and where its data are.

    Attributes
    ----------
    number
        From 0.
    cards
        Of 80 bytes, without END.
    data, length
        Offset of the data in the file, and their bytes without the padding.
    """

    number: int
    cards: tuple[bytes, ...]
    data: int
    length: int

    @cached_property
    def header(self) -> fits.Header:
        """The cards as astropy has them."""
        return joined_header(self.cards)

    @cached_property
    def name(self) -> str:
        """EXTNAME; empty where the HDU has none."""
        return text_in(self.header, "EXTNAME")

    @property
    def word(self) -> str:
        """Its name, or its number where it has none."""
        return self.name or str(self.number)

    def is_called(self, name: str) -> bool:
        """Say whether `name` is the HDU's: its EXTNAME (cases are alike), its number, or PRIMARY for the first."""
        wanted = name.strip().upper()
        return wanted in (self.name.upper(), str(self.number)) or (wanted == "PRIMARY" and self.number == 0)

    @cached_property
    def is_compressed(self) -> bool:
        """Say whether it is a table that stands for an image (FITS 4.0, 10.1)."""
        return text_in(self.header, "XTENSION") == "BINTABLE" and value_in(self.header, "ZIMAGE") is True

    @cached_property
    def axes(self) -> tuple[int, ...]:
        """Lengths of the axes of its image, NAXIS1 first; empty where it holds none."""
        header, z = self.header, "Z" if self.is_compressed else ""
        if not z and text_in(header, "XTENSION") not in ("", "IMAGE"):
            return ()
        count = value_in(header, f"{z}NAXIS")
        if not isinstance(count, int) or not 0 < count < 1000:
            return ()
        lengths = tuple(value_in(header, f"{z}NAXIS{axis + 1}") for axis in range(count))
        return lengths if all(isinstance(one, int) and one >= 0 for one in lengths) else ()


def read_hdus(ahead: Ahead) -> Iterator[Hdu]:
    """Yield the HDUs of a file, without their data.

    Raises
    ------
    Damaged
        The file is no FITS file, a header has no end or no sizes, or the file ends within data. An HDU is yielded
        before what follows it is looked at.
    """
    offset = number = 0
    while offset < ahead.size:
        if number and not ahead.read(offset, min(CARD, ahead.size - offset)).startswith(b"XTENSION="):
            return  # behind the last HDU anything may stand (FITS 4.0, 3.5)
        block = ahead.read(offset, min(_BLOCK, ahead.size - offset))
        if not number and not block.startswith(b"SIMPLE  ="):
            advice = (
                "It is gzip: let its name end in .gz." if block.startswith(b"\x1f\x8b") else "Check the file."
            )
            raise Damaged(f"{ahead.url} is not a FITS file: it does not begin with SIMPLE.", advice)
        cards, data = _header(ahead, offset, number)
        length = _length(cards, ahead.url, number)
        if data + length > ahead.size:
            raise _short(ahead.url, data + length, ahead.size)
        yield Hdu(number, cards, data, length)
        offset = data + -(-length // _BLOCK) * _BLOCK
        number += 1
    if not number:
        raise Damaged(f"{ahead.url} is empty.", "Copy the file again.")


def cards_of(header: bytes) -> list[bytes]:
    """Return the cards of header bytes, up to END."""
    cards = [header[start : start + CARD] for start in range(0, len(header) - CARD + 1, CARD)]
    return cards[: cards.index(_END)] if _END in cards else cards


def joined_header(cards: Iterable[bytes]) -> fits.Header:
    """Return cards as astropy has them; those that break a rule are left to who asks for them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fits.Header.fromstring(b"".join(cards) + _END)


def value_in(header: fits.Header, keyword: str) -> Any:
    """Return the value of a keyword, None where it is not there, has none, or cannot be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = header.get(keyword)
    except (fits.VerifyError, ValueError):
        return None
    return None if isinstance(value, fits.card.Undefined) else value


def text_in(header: fits.Header, keyword: str) -> str:
    """Return a keyword's value as text, without blanks around it; empty where it has none."""
    value = value_in(header, keyword)
    return "" if value is None else str(value).strip()


def scaling_in(header: fits.Header, keyword: str, default: float) -> float:
    """Return BSCALE, BZERO or the like; what it means where it is not there, or is no number."""
    value = value_in(header, keyword)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return default
    return float(value)


def number_in(header: fits.Header, keyword: str, where: str) -> float | None:
    """Return a keyword's value as a number; None where it has none, or one that says so (``NaN``, empty text).

    Parameters
    ----------
    where
        What the header belongs to, for the message.

    Raises
    ------
    Damaged
        The value is something else.
    """
    value = value_in(header, keyword)
    if value is None or value == "" or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise Damaged(
            f"{where}: {keyword} is {value!r}, which is no number.",
            "Mend the header, or name another keyword in the survey's file.",
        ) from None
    return number if math.isfinite(number) else None


def _header(ahead: Ahead, offset: int, number: int) -> tuple[tuple[bytes, ...], int]:
    """Return the cards of the header at `offset`, and where it ends."""
    parts: list[bytes] = []
    at = offset
    while True:
        if at + _BLOCK > ahead.size or at - offset > _MOST:
            raise Damaged(f"{ahead.url}: the header of HDU {number} has no END.", "Copy the file again.")
        block = ahead.read(at, _BLOCK)
        at += _BLOCK
        cards = [block[start : start + CARD] for start in range(0, _BLOCK, CARD)]
        if _END in cards:
            parts += cards[: cards.index(_END)]
            return tuple(card.translate(_PRINTABLE) for card in parts), at
        parts += cards


def _length(cards: tuple[bytes, ...], url: str, number: int) -> int:
    """Return the bytes of an HDU's data (FITS 4.0, 4.4.1.1 and 4.4.1.2; random groups too)."""
    sizes: dict[str, int] = {}
    groups = False
    for card in cards:
        name, value = card[:8].decode().rstrip(), card[9:].partition(b"/")[0].strip()
        if name == "GROUPS":
            groups = value == b"T"
        if _SIZE.match(name):
            try:
                sizes.setdefault(name, int(value))
            except ValueError:
                raise _no_sizes(url, number, name, value.decode()) from None
    for name in ("BITPIX", "NAXIS", *(f"NAXIS{axis + 1}" for axis in range(min(sizes.get("NAXIS", 0), 999)))):
        value_there = sizes.get(name)
        if value_there is None or (name != "BITPIX" and value_there < 0):
            raise _no_sizes(url, number, name, "missing" if value_there is None else str(value_there))
    for name in ("PCOUNT", "GCOUNT"):
        if sizes.get(name, 0) < 0:
            raise _no_sizes(url, number, name, str(sizes[name]))
    if sizes["BITPIX"] not in _BITPIX:
        raise _no_sizes(url, number, "BITPIX", str(sizes["BITPIX"]))
    axes = [sizes[f"NAXIS{axis + 1}"] for axis in range(sizes["NAXIS"])]
    if groups and axes and axes[0] == 0:
        axes = axes[1:]
    if not axes:
        return 0
    pixels = math.prod(axes) + sizes.get("PCOUNT", 0)
    return abs(sizes["BITPIX"]) // 8 * sizes.get("GCOUNT", 1) * pixels


def _no_sizes(url: str, number: int, name: str, value: str) -> Damaged:
    return Damaged(f"{url}: {name} of HDU {number} is {value}.", "Check how the file was written.")


def _short(url: str, wanted: int, size: int) -> Damaged:
    return Damaged(
        f"{url} is truncated: it has {size} bytes, and its headers say {wanted}.", "Copy it again."
    )
