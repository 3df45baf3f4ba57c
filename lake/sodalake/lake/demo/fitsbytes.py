"""FITS written by hand, the two ways alert streams do, because a library takes longer than the sky itself.

Both imitate the real streams to the card: ZTF's header has its SIMPLE card out of column (readers must be told
to overlook it) and no WCS; Rubin's has three HDUs (pixels in nJy, variance, point spread function) and a WCS
without CTYPE.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Sequence
from typing import Final

import cramjam
import numpy as np
import numpy.typing as npt

__all__ = ["add_noise", "rubin_fits", "ztf_gzip"]

_BLOCK: Final = 2880
_LEVEL: Final = 1  # noise hardly compresses: 14.7 KB in 0.13 ms here, the same in 3.2 ms by gzip's level 9


def ztf_gzip(pixels: npt.NDArray[np.float32], written: int) -> bytes:
    """Return a ZTF stamp: gzip (made at `written`, Unix seconds) of one float32 image in DN."""
    rows, columns = pixels.shape
    cards = ["SIMPLE  =  T", _card("BITPIX", -32), _card("NAXIS", 2), _card("NAXIS1", columns),
             _card("NAXIS2", rows), "BUNIT   = 'DN      '", "END"]  # fmt: skip
    return _gzip(_header(cards) + _data(pixels.astype(">f4")), written)


def rubin_fits(
    pixels: npt.NDArray[np.float32],
    variance: npt.NDArray[np.float32],
    spread: npt.NDArray[np.float64],
    *,
    corner: tuple[int, int],
    rotation: float,
    reference: tuple[float, float],
    position: tuple[float, float],
    scale: float,
) -> bytes:
    """Return a Rubin stamp: three HDUs.

    Parameters
    ----------
    pixels, variance
        (rows, columns), nJy and nJy².
    spread
        (41, 41), sums to 1.
    corner
        Detector pixel (x, y) of the stamp's first pixel.
    rotation
        Position angle of +Y, degrees east of north.
    reference
        Pixel (x, y from 1) that `position` (RA, Dec, degrees) falls on.
    scale
        Arcseconds a pixel.
    """
    rows, columns = pixels.shape
    turn, step = np.radians(rotation), scale / 3600.0
    cos, sin = float(step * np.cos(turn)), float(step * np.sin(turn))
    primary = [
        _card("SIMPLE", True, "conforms to FITS standard"), _card("BITPIX", -32, "array data type"),
        _card("NAXIS", 2, "number of array dimensions"), _card("NAXIS1", columns), _card("NAXIS2", rows),
        _card("EXTEND", True), _card("CUTMINX", corner[0]), _card("CUTMINY", corner[1]),
        _card("ROTPA", rotation, "Pos angle in deg of focal plane +Y wrt North"), "BUNIT   = 'nJy     '",
        _card("WCSAXES", 2, "Number of coordinate axes"),
        _card("CRPIX1", reference[0], "Pixel coordinate of reference point"),
        _card("CRPIX2", reference[1], "Pixel coordinate of reference point"),
        _card("PC1_1", -cos, "Coordinate transformation matrix element"),
        _card("PC1_2", sin, "Coordinate transformation matrix element"),
        _card("PC2_1", sin, "Coordinate transformation matrix element"),
        _card("PC2_2", cos, "Coordinate transformation matrix element"),
        _card("CDELT1", 1.0, "Coordinate increment at reference point"),
        _card("CDELT2", 1.0, "Coordinate increment at reference point"),
        _card("CRVAL1", position[0], "Coordinate value at reference point"),
        _card("CRVAL2", position[1], "Coordinate value at reference point"),
        _card("LATPOLE", 90.0, "[deg] Native latitude of celestial pole"),
        _card("MJDREF", 0.0, "[d] MJD of fiducial time"), "END",
    ]  # fmt: skip
    return b"".join(
        [
            _header(primary),
            _data(pixels.astype(">f4")),
            _extension(variance.astype(">f4"), "UNCERT", ["UTYPE   = 'VarianceUncertainty'"]),
            _extension(spread.astype(">f8"), "PSFIMAGE", []),
        ]
    )


def add_noise(stamp: bytes, rng: np.random.Generator, strength: float = 0.05) -> bytes:
    """Return a stamp like `stamp`, in the same format, whose every pixel of the first HDU differs a little.

    For archives larger than the real alerts at hand: copies would compress and cache as no real night does.

    Parameters
    ----------
    stamp
        A FITS file or a gzip of one; its first HDU is a float32 image.
    rng
        Where the noise comes from.
    strength
        Standard deviation of the noise, in units of the stamp's own (robust) scatter. NaN stays NaN.

    Raises
    ------
    ValueError
        The first HDU is no float32 image.
    """
    zipped = stamp[:2] == b"\x1f\x8b"
    plain = zlib.decompress(stamp, wbits=31) if zipped else stamp
    end = re.search(rb"END {77}", plain)
    axes = dict(re.findall(rb"(BITPIX|NAXIS[12]?) *= *(-?\d+)", plain[: end.start()])) if end else {}
    if end is None or axes.get(b"BITPIX") != b"-32" or axes.get(b"NAXIS") != b"2":
        raise ValueError("the stamp's first HDU is no float32 image")
    start = -(-end.end() // _BLOCK) * _BLOCK
    count = int(axes[b"NAXIS1"]) * int(axes[b"NAXIS2"])
    pixels = np.frombuffer(plain, ">f4", count, start).astype(np.float32)
    low, middle, high = np.nanpercentile(pixels, [16, 50, 84]) if not np.isnan(pixels).all() else (0, 0, 0)
    # an image without any scatter still has to change, whatever its level
    scatter = max(float(high - low) / 2.0, 1e-3 * abs(float(middle)), 1e-3)
    pixels += rng.standard_normal(count, dtype=np.float32) * np.float32(strength * scatter)
    changed = plain[:start] + pixels.astype(">f4").tobytes() + plain[start + 4 * count :]
    return _gzip(changed, 0) if zipped else changed


def _gzip(data: bytes, written: int) -> bytes:
    """Return a gzip member made at `written`, Unix seconds (RFC 1952, 2.3: bytes 4 to 7)."""
    zipped = bytearray(cramjam.gzip.compress(data, _LEVEL))
    zipped[4:8] = struct.pack("<I", written)
    return bytes(zipped)


def _card(key: str, value: float | bool, comment: str = "") -> str:
    if isinstance(value, bool):
        text = "T" if value else "F"
    elif isinstance(value, int):
        text = str(value)
    else:
        text = f"{value:.14G}"
        text = text if "." in text or "E" in text else f"{text}.0"
    return f"{key:<8}= {text:>20}" + (f" / {comment}" if comment else "")


def _header(cards: Sequence[str]) -> bytes:
    text = "".join(f"{card:<80}" for card in cards)
    return text.ljust(-(-len(text) // _BLOCK) * _BLOCK).encode("ascii")


def _data(pixels: npt.NDArray[np.floating]) -> bytes:
    raw = pixels.tobytes()
    return raw + bytes(-len(raw) % _BLOCK)


def _extension(pixels: npt.NDArray[np.floating], name: str, extra: Sequence[str]) -> bytes:
    rows, columns = pixels.shape
    cards = [
        "XTENSION= 'IMAGE   '           / Image extension", _card("BITPIX", -8 * pixels.itemsize, "array data type"),
        _card("NAXIS", 2, "number of array dimensions"), _card("NAXIS1", columns), _card("NAXIS2", rows),
        _card("PCOUNT", 0, "number of parameters"), _card("GCOUNT", 1, "number of groups"),
        *extra, f"EXTNAME = '{name:<8}'           / extension name", "END",
    ]  # fmt: skip
    return _header(cards) + _data(pixels)
