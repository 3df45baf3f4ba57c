"""Compressed tiles to numbers (FITS 4.0, section 10.4), through astropy's compiled codecs.

RICE_1, HCOMPRESS_1 and PLIO_1 are CFITSIO's C code as astropy ships it (`astropy.io.fits.hdu.compressed._compression`,
which only this module knows); astropy's own reading of images goes through the same functions. They trust what they
read, so nothing goes to them that could lead them astray:

- RICE_1 looks behind the end of its bytes before it notices. The bytes of a tile are therefore always given with
  others behind them (`with_slack`), the last of which end every code it may be in.
- PLIO_1 does as many steps as its first words say, wherever that leads: they are compared with the bytes at hand.
- HCOMPRESS_1 writes an image of the size that its bytes say: that is compared with the tile's. It keeps its place in
  variables of the whole process, so one thread at a time may be in it.

A cut rarely needs a row's last pixel, and RICE_1 and PLIO_1 can stop early; but astropy's wrapper of RICE_1 takes bytes
left over for an error and gives nothing. So the C function behind it is called by way of ctypes, which in a row of 4096
pixels saves 13 µs of 28 on average; where a build of astropy hides it, whole tiles are decoded.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sodalake.lake.errors import Damaged
from sodalake.lake.images.records import Tiled
from sodalake.lake.importing import IMPORTS
from sodalake.sodacut.gzipped import gunzip

with IMPORTS:
    from astropy.io.fits.hdu.compressed import _compression

__all__ = ["Bytes", "TileDecoder", "TileError", "with_slack"]

Bytes = npt.NDArray[np.uint8]
Numbers = npt.NDArray[Any]
_Kinds = Mapping[int, np.dtype[Any]]  # bytes: type

_MOST_BLOCK: Final = 4096  # pixels of a block of RICE_1; the standard knows 16 and 32
_SLACK: Final = b"\xff" * (8 * _MOST_BLOCK + 64)
_MOST_PIXELS: Final = (1 << 28) - 1  # of a tile: HCOMPRESS_1 counts its bytes, eight a pixel, in 31 bits
_RAW_GZIP, _RAW_PLAIN = 1, 2
_RICE_WHOLE: Final[_Kinds] = {1: np.dtype(np.uint8), 2: np.dtype(np.int16), 4: np.dtype(np.int32)}
_INTEGERS: Final[_Kinds] = {1: np.dtype(np.uint8), 2: np.dtype(">i2"), 4: np.dtype(">i4"), 8: np.dtype(">i8")}
_FLOATS: Final[_Kinds] = {4: np.dtype(">f4"), 8: np.dtype(">f8")}
_HCOMPRESS_MAGIC: Final = b"\xdd\x99"
_HCOMPRESS_PLANES: Final = 64  # bits of the numbers it makes
_ONE_AT_A_TIME: Final = threading.Lock()

_Rice = Callable[[int, int, int, int, int], int]


def with_slack(data: bytes) -> Bytes:
    """Return bytes as an array that decoders may look behind the end of: where `data` ends, harmless ones follow."""
    return np.frombuffer(data + _SLACK, np.uint8)


def _rice_functions() -> dict[int, _Rice]:
    """Return CFITSIO's decoders by bytes a pixel; none where this build of astropy hides them."""
    try:
        library = ctypes.PyDLL(_compression.__file__)  # raises what the C code reports by way of astropy
        found = {1: library.fits_rdecomp_byte, 2: library.fits_rdecomp_short, 4: library.fits_rdecomp}
    except (OSError, AttributeError):
        return {}
    for function in found.values():
        function.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_int]
        function.restype = ctypes.c_int
    return dict(found)


_RICE: Final = _rice_functions()


class TileError(Damaged):
    """One of several tiles cannot be decoded: which, in the order they were given."""

    def __init__(self, message: str, row: int) -> None:
        super().__init__(message)
        self.row = row


class TileDecoder:
    """Decodes the tiles of one image, into memory that it uses again for the next tile.

    Parameters
    ----------
    place
        The image's record.
    source
        Bytes with the tiles, from `with_slack`.

    Raises
    ------
    Damaged
        Parameters of the codec that cannot be.
    """

    def __init__(self, place: Tiled, source: Bytes) -> None:
        self._codec, self._bitpix = place.codec, place.bitpix
        self._holds_floats = place.bitpix < 0 and place.quantized is None
        self._source = source
        self._address = source.ctypes.data
        self._room = np.empty(0, np.uint8)
        self._room_address = 0
        if place.codec == "RICE_1":
            self._block = int(place.parameters.get("BLOCKSIZE", 32))
            self._bytes = int(place.parameters.get("BYTEPIX", 4))
            if not 1 <= self._block <= _MOST_BLOCK or self._bytes not in _RICE_WHOLE:
                raise Damaged(
                    f"RICE_1 with blocks of {self._block} pixels of {self._bytes} bytes is none of the standard's."
                )
        elif place.codec == "HCOMPRESS_1":
            self._smooth = int(place.parameters.get("SMOOTH", 0))

    def numbers(self, start: int, length: int, shape: tuple[int, int], most: int, raw: int = 0) -> Numbers:
        """Return the first pixels of a tile, as it holds them.

        Parameters
        ----------
        start, length
            Where its bytes are in the source.
        shape
            (height, width) of the tile.
        most
            How many pixels are needed, counted along rows.
        raw
            See `Tiled.raw`.

        Returns
        -------
        array
            `most` numbers or more; integers, or of GZIP, NOCOMPRESS and raw tiles perhaps floating point numbers. Good
            until the next call.

        Raises
        ------
        Damaged
            The bytes cannot be decoded.
        """
        if length <= 0:
            raise Damaged("It has no bytes.")
        if shape[0] * shape[1] > _MOST_PIXELS:
            raise Damaged(f"It has {shape[1]} x {shape[0]} pixels, more than can be decoded at once.")
        if raw or self._codec in ("GZIP_1", "GZIP_2", "NOCOMPRESS"):
            return self._stored(self._source[start : start + length].tobytes(), shape[0] * shape[1], raw)
        if self._codec == "RICE_1":
            return self._rice(start, length, shape[0] * shape[1], most)
        data = self._source[start : start + length]
        return self._plio(data, most) if self._codec == "PLIO_1" else self._hcompress(data, shape)

    def _stored(self, data: bytes, pixels: int, raw: int) -> Numbers:
        """Return numbers that stand as they are, perhaps in gzip."""
        if raw != _RAW_PLAIN and (raw == _RAW_GZIP or self._codec != "NOCOMPRESS"):
            try:
                data = gunzip(data, 8 * pixels)
            except Damaged as error:
                raise Damaged(f"Its bytes are no gzip of {pixels} pixels.") from error
        size, rest = divmod(len(data), pixels)
        kinds = _FLOATS if self._holds_floats or (raw and self._bitpix < 0) else _INTEGERS
        if rest or size not in kinds:
            raise Damaged(f"It has {len(data)} bytes for {pixels} pixels.")
        if (
            self._codec == "GZIP_2" and not raw
        ):  # the first byte of every number, then the second of every one
            data = np.frombuffer(data, np.uint8).reshape(size, -1).T.tobytes()
        return np.frombuffer(data, kinds[size])

    @property
    def takes_rows(self) -> bool:
        """Whether `rows` can be called."""
        return self._codec == "RICE_1" and self._bytes in _RICE

    def rows(self, starts: Sequence[int], lengths: Sequence[int], most: Sequence[int]) -> Numbers:
        """Return the first pixels of several tiles of RICE_1, without a look at each in between.

        Returns
        -------
        array (tiles, width)
            Of each, as many as `most` says are good. Good until the next call.

        Raises
        ------
        TileError
            One cannot be decoded.
        """
        width = max(most)
        address, step = self._space(width * len(most)), width * self._bytes
        decode, block = _RICE[self._bytes], self._block
        for row, (start, length, count) in enumerate(zip(starts, lengths, most, strict=True)):
            if length <= 0:
                raise TileError("It has no bytes.", row)
            try:
                decode(self._address + start, length, address + row * step, count, block)
            except _compression.CfitsioException as error:
                if "unused" not in str(error):
                    raise TileError("Its bytes end too soon.", row) from error
        numbers: Numbers = self._room[: len(most) * step].view(_RICE_WHOLE[self._bytes])
        return numbers.reshape(len(most), width)

    def _rice(self, start: int, length: int, pixels: int, most: int) -> Numbers:
        if self.takes_rows:
            row: Numbers = self.rows([start], [length], [most])[0]
            return row
        # Whole tiles, through astropy's own wrapper.
        data = self._source[start : start + length]
        try:
            whole = _compression.decompress_rice_1_c(data, self._block, self._bytes, pixels)
        except _compression.CfitsioException as error:
            what = "go on behind its last pixel" if "unused" in str(error) else "end too soon"
            raise Damaged(f"Its bytes {what}.") from error
        return np.frombuffer(whole, _RICE_WHOLE[self._bytes])

    def _space(self, pixels: int) -> int:
        """Return the address of room for so many pixels."""
        if len(self._room) < pixels * self._bytes:
            self._room = np.empty(pixels * self._bytes, np.uint8)
            self._room_address = self._room.ctypes.data
        return self._room_address

    def _plio(self, data: Bytes, most: int) -> Numbers:
        words = np.zeros(len(data) // 2 + 8, np.int16)  # it looks one word ahead
        words[:-8] = data[: len(data) // 2 * 2].view(">i2")
        if words[2] > 0:
            stop, first = int(words[2]), 3
        else:
            stop, first = (int(words[4]) << 15) + int(words[3]), int(words[1])
        if first < 0 or stop > len(words) - 8:
            raise Damaged(f"Its first words are none of PLIO_1 with {len(words) - 8} words.")
        return np.frombuffer(_compression.decompress_plio_1_c(words, most), np.int32)

    def _hcompress(self, data: Bytes, shape: tuple[int, int]) -> Numbers:
        head = data[:25].tobytes()
        sides = int.from_bytes(head[2:6], "big", signed=True), int.from_bytes(head[6:10], "big", signed=True)
        if len(head) < 25 or head[:2] != _HCOMPRESS_MAGIC or sides not in (shape, shape[::-1]):
            raise Damaged(f"It is no HCOMPRESS_1 of {shape[1]} x {shape[0]} pixels.")
        planes = max(head[22:25])
        if planes > _HCOMPRESS_PLANES:
            raise Damaged(f"HCOMPRESS_1 with {planes} bits a pixel cannot be.")
        # What damaged bytes can make it read: for each bit plane less than a byte for four pixels, twice; then signs.
        # The zeros cost nothing where nobody looks at them.
        source = np.zeros(len(data) + shape[0] * shape[1] * (planes + 2) + 4096, np.uint8)
        source[: len(data)] = data
        source[len(data) : len(data) + 64] = 0xFF
        try:
            with _ONE_AT_A_TIME:
                whole = _compression.decompress_hcompress_1_c(source, *shape, 0, self._smooth, 8)
        except (_compression.CfitsioException, ValueError) as error:
            raise Damaged(f"HCOMPRESS_1 cannot be undone ({' '.join(str(error).split())}).") from error
        return np.frombuffer(whole, np.int32)
