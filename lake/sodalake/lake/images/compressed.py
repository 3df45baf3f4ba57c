"""Tile-compressed images: a table stands for the image, and a row of it for a tile (FITS 4.0, section 10).

The rows are read, which say where in the heap each tile is and what makes values of its integers; the heap is not. And
the header of the image that the table stands for is restored: the keywords of the table go, those that begin with Z
take their place.
"""

from __future__ import annotations

import re
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt

from ..errors import Damaged
from ..importing import IMPORTS
from .headers import CARD, Ahead, Hdu, scaling_in, text_in, value_in
from .records import Codec, Dither, Quantized, Tiled

with IMPORTS:
    from astropy.io import fits

__all__ = ["restored", "tiled"]

_CODECS: Final[dict[str, Codec]] = {
    "RICE_1": "RICE_1",
    "RICE_ONE": "RICE_1",  # of the convention before the standard
    "GZIP_1": "GZIP_1",
    "GZIP_2": "GZIP_2",
    "HCOMPRESS_1": "HCOMPRESS_1",
    "PLIO_1": "PLIO_1",
    "NOCOMPRESS": "NOCOMPRESS",
}
_DITHERS: Final = ("NONE", "NO_DITHER", "SUBTRACTIVE_DITHER_1", "SUBTRACTIVE_DITHER_2")
_LOSSLESS: Final = (
    "GZIP_1",
    "GZIP_2",
    "NOCOMPRESS",
)  # those that can hold floating point numbers as they are
_RAW: Final = {"GZIP_COMPRESSED_DATA": 1, "UNCOMPRESSED_DATA": 2}
_TYPES: Final = {"B": "u1", "I": ">i2", "J": ">i4", "K": ">i8", "E": ">f4", "D": ">f8", "L": "u1", "A": "u1"}
_BYTES: Final = {**{code: np.dtype(text).itemsize for code, text in _TYPES.items()}, "X": 1, "C": 8, "M": 16}
_FORMAT: Final = re.compile(r"^\s*(\d*)([PQ]?)([LXBIJKAEDCM])")

# Keywords that describe the table (and are not the image's), and what those of the image are called in it.
_TABLE: Final = re.compile(
    r"^(XTENSION|BITPIX|NAXIS\d*|PCOUNT|GCOUNT|TFIELDS|THEAP|(TTYPE|TFORM|TUNIT|TSCAL|TZERO|TNULL|TDISP|TDIM)\d+"
    r"|ZIMAGE|ZCMPTYPE|ZTILE\d+|ZNAME\d+|ZVAL\d+|ZMASKCMP|ZQUANTIZ|ZDITHER0|ZSCALE|ZZERO|ZBLANK|CHECKSUM|DATASUM)$"
)
_IMAGE: Final = {
    "ZSIMPLE": "SIMPLE", "ZTENSION": "XTENSION", "ZBITPIX": "BITPIX", "ZNAXIS": "NAXIS", "ZEXTEND": "EXTEND",
    "ZBLOCKED": "BLOCKED", "ZPCOUNT": "PCOUNT", "ZGCOUNT": "GCOUNT", "ZHECKSUM": "CHECKSUM", "ZDATASUM": "DATASUM",
}  # fmt: skip
_FIRST: Final = ("SIMPLE", "XTENSION", "BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "PCOUNT", "GCOUNT")


def restored(hdu: Hdu) -> tuple[bytes, ...]:
    """Return the cards of the image that a compressed HDU stands for; of another HDU its own."""
    if not hdu.is_compressed:
        return hdu.cards
    structure: dict[str, bytes] = {}
    others: list[bytes] = []
    for card in hdu.cards:
        name = card[:8].decode().rstrip()
        plain = _IMAGE.get(name) or (name[1:] if re.fullmatch(r"ZNAXIS\d+", name) else None)
        if plain is not None:
            card = plain.ljust(8).encode() + card[8:]
        elif _TABLE.match(name) or (name == "EXTNAME" and hdu.name == "COMPRESSED_IMAGE"):
            continue
        if plain in _FIRST:
            structure[plain] = card
        else:
            others.append(card)
    if "SIMPLE" not in structure and "XTENSION" not in structure:
        structure["XTENSION"] = b"XTENSION= 'IMAGE   '".ljust(CARD)
    return (*(structure[name] for name in _FIRST if name in structure), *others)


def tiled(ahead: Ahead, hdu: Hdu) -> Tiled:
    """Return where the tiles of a compressed image are.

    Raises
    ------
    Damaged
        The table does not fit the image it stands for, or tiles are not in the file: the message has the HDU.
    """
    return _Table(ahead, hdu).tiled()


class _Table:
    """The table of one compressed image: its header, and its rows."""

    def __init__(self, ahead: Ahead, hdu: Hdu) -> None:
        self._where = f"{ahead.url}: HDU {hdu.number}"
        self._header: fits.Header = hdu.header
        self._size = ahead.size
        width, rows = self._integer("NAXIS1"), self._integer("NAXIS2")
        self._rows = rows
        self._heap = hdu.data + self._integer("THEAP", width * rows)
        self._columns: dict[str, tuple[int, str, bool, bool]] = {}
        at = 0
        for number in range(1, self._integer("TFIELDS") + 1):
            found = _FORMAT.match(text_in(self._header, f"TFORM{number}"))
            if found is None:
                raise self._wrong(f"TFORM{number} is {text_in(self._header, f'TFORM{number}')!r}")
            count, pointer, code = int(found[1] or 1), found[2], found[3]
            name = text_in(self._header, f"TTYPE{number}").upper()
            if count:
                self._columns[name] = at, code, pointer != "", pointer == "Q"
            size = {"P": 8, "Q": 16}.get(pointer) or _BYTES[code]
            at += -(-count // 8) if code == "X" and not pointer else count * size
        if at > width:
            raise self._wrong(f"its columns have {at} bytes a row, and NAXIS1 says {width}")
        content = ahead.read(hdu.data, width * rows)
        self._table = np.frombuffer(content, np.uint8).reshape(rows, width)

    def tiled(self) -> Tiled:
        header = self._header
        name = text_in(header, "ZCMPTYPE").upper()
        codec = _CODECS.get(name)
        if codec is None:
            raise self._wrong(
                f"ZCMPTYPE is {name!r}", f"Known are {', '.join(sorted(set(_CODECS.values())))}."
            )
        width, height = self._integer("ZNAXIS1"), self._integer("ZNAXIS2")
        tile = self._integer("ZTILE2", 1), self._integer("ZTILE1", width)
        if tile[0] < 1 or tile[1] < 1:
            raise self._wrong(f"its tiles are {tile[1]} x {tile[0]} pixels")
        count = -(-height // tile[0]) * -(-width // tile[1])
        if count != self._rows:
            raise self._wrong(f"its image has {count} tiles, and the table {self._rows} rows")
        bitpix = self._integer("ZBITPIX")
        if bitpix not in (8, 16, 32, 64, -32, -64):
            raise self._wrong(f"ZBITPIX is {bitpix}")
        offsets, lengths, raw = self._places()
        quantized = self._quantized(bitpix, codec)
        blank = value_in(header, "BLANK") if bitpix > 0 else None
        if bitpix > 0 and blank is None:
            blank = value_in(header, "ZBLANK")
        return Tiled(
            codec=codec,
            bitpix=bitpix,
            tile=tile,
            offsets=offsets,
            lengths=lengths,
            raw=raw if raw.any() else None,
            quantized=quantized,
            parameters=self._parameters(),
            scale=scaling_in(header, "BSCALE", 1.0),
            zero=scaling_in(header, "BZERO", 0.0),
            blank=blank if isinstance(blank, int) else None,
        )

    def _places(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
        """Return offset and length of each tile's bytes in the file, and of which kind they are."""
        if not {"COMPRESSED_DATA", *_RAW} & set(self._columns):
            raise self._wrong("it has no column COMPRESSED_DATA")
        offsets, lengths = np.zeros((2, self._rows), np.int64)
        raw = np.zeros(self._rows, np.uint8)
        for column, kind in (("COMPRESSED_DATA", 0), *_RAW.items()):
            if column not in self._columns:
                continue
            at, code, is_pointer, is_long = self._columns[column]
            if not is_pointer:
                raise self._wrong(f"{column} is no array of variable length")
            wide = 16 if is_long else 8
            pairs = np.ascontiguousarray(self._table[:, at : at + wide]).view(">i8" if is_long else ">i4")
            pairs = pairs.astype(np.int64)
            mine = (pairs[:, 0] > 0) & (lengths == 0)
            lengths[mine] = pairs[mine, 0] * _BYTES[code]
            offsets[mine] = self._heap + pairs[mine, 1]
            raw[mine] = kind
        if (lengths < 0).any() or (offsets < 0).any() or (offsets + lengths > self._size).any():
            bad = int(np.flatnonzero((offsets < 0) | (offsets + lengths > self._size))[0])
            raise self._wrong(
                f"tile {bad + 1} is not in the file, which has {self._size} bytes", "Copy it again."
            )
        return offsets, lengths, raw

    def _quantized(self, bitpix: int, codec: Codec) -> Quantized | None:
        if bitpix > 0:
            return None
        scale, zero = self._values("ZSCALE", 1.0), self._values("ZZERO", 0.0)
        name = text_in(self._header, "ZQUANTIZ").upper() or "NO_DITHER"
        if name not in _DITHERS:
            raise self._wrong(f"ZQUANTIZ is {name!r}", f"Known are {', '.join(_DITHERS)}.")
        if scale is None:
            if codec not in _LOSSLESS:
                raise self._wrong(f"{codec} holds floating point numbers, and there is no ZSCALE")
            return None
        if name == "NONE":
            return None
        seed = value_in(self._header, "ZDITHER0")
        blank: int | npt.NDArray[np.int64] | None = None
        if "ZBLANK" in self._columns:
            blank = np.asarray(self._column("ZBLANK"), np.int64)
        elif isinstance(value_in(self._header, "ZBLANK"), int):
            blank = value_in(self._header, "ZBLANK")
        everywhere = np.zeros(self._rows) if zero is None else zero
        return Quantized(cast(Dither, name), seed if isinstance(seed, int) else 0, scale, everywhere, blank)

    def _values(self, name: str, default: float) -> npt.NDArray[np.float64] | None:
        """Return a value for each tile, from the column or the keyword of this name; None where neither is there."""
        if name in self._columns:
            return np.asarray(self._column(name), np.float64)
        if name in self._header:
            return np.full(self._rows, scaling_in(self._header, name, default))
        return None

    def _column(self, name: str) -> npt.NDArray[Any]:
        at, code, is_pointer, _ = self._columns[name]
        if is_pointer or code not in _TYPES:
            raise self._wrong(f"the column {name} holds no numbers")
        kind = np.dtype(_TYPES[code])
        return np.ascontiguousarray(self._table[:, at : at + kind.itemsize]).view(kind)[:, 0]

    def _parameters(self) -> dict[str, float]:
        parameters: dict[str, float] = {}
        for keyword in self._header:
            if re.fullmatch(r"ZNAME\d+", keyword):
                value = value_in(self._header, f"ZVAL{keyword[5:]}")
                if isinstance(value, int | float):
                    parameters[text_in(self._header, keyword).upper()] = value
        return parameters

    def _integer(self, keyword: str, default: int | None = None) -> int:
        value = value_in(self._header, keyword)
        value = default if value is None else value
        if not isinstance(value, int) or isinstance(value, bool) or (value < 0 and keyword != "ZBITPIX"):
            raise self._wrong(f"{keyword} is {value!r}" if value is not None else f"it has no {keyword}")
        return value

    def _wrong(self, what: str, advice: str = "Check how the file was written.") -> Damaged:
        return Damaged(f"{self._where} is no image in compressed tiles: {what}.", advice)
