"""An upload, whatever it is: by its first bytes, else by its content type, else by its file's name."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from typing import Final

import pyarrow as pa

from sodalake.tap.errors import UploadError
from sodalake.tap.metadata import Table

from .arrowtables import read_arrow_file, read_arrow_stream, read_parquet
from .columns import MOST_BYTES, Read, assembled
from .fits import read_fits
from .textfiles import read_csv, read_tsv
from .votable import read_votable

__all__ = ["read_upload"]

_Reader = Callable[[bytes, int], Read]

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_GZIP: Final = b"\x1f\x8b"
_BEGINNINGS: Final[tuple[tuple[bytes, _Reader], ...]] = (
    (b"PAR1", read_parquet),
    (b"ARROW1", read_arrow_file),
    (b"\xff\xff\xff\xff", read_arrow_stream),
    (b"SIMPLE  =", read_fits),
    (b"\xfe\xff", read_votable),
    (b"\xff\xfe", read_votable),
)
_TYPES: Final[tuple[tuple[str, _Reader], ...]] = (
    ("tab-separated", read_tsv),
    ("csv", read_csv),
)


def read_upload(
    name: str, content: bytes, content_type: str = "", filename: str = "", *, rows: int
) -> tuple[Table, pa.Table]:
    """Read an uploaded table: VOTable, FITS, Parquet, Arrow, CSV or TSV, any of them perhaps gzipped.

    Parameters
    ----------
    name
        What the query calls it, after ``TAP_UPLOAD.``.
    content, content_type, filename
        What came. The bytes themselves say what they are, save CSV and TSV.
    rows
        How many rows it may have.

    Returns
    -------
    table, rows
        Of ``metadata.arrow_schema(table.columns)``. NaN is null.

    Raises
    ------
    UploadError
        A name that none may have; content that is no table, is broken, or is larger than may be.
    """
    if not _NAME.fullmatch(name):
        raise UploadError(
            f"An upload cannot be named {name[:40]!r}.", "Use a letter, then letters, digits and underscores."
        )
    try:
        if content.startswith(_GZIP):
            content = _inflated(content)
        return assembled(name, _reader(content, content_type, filename)(content, rows))
    except UploadError as error:
        raise UploadError(f"Upload {name}: {error.message}", error.advice) from error
    except (pa.ArrowException, OSError, MemoryError, OverflowError, UnicodeError) as error:
        reason = str(error).partition("\n")[0][:200]
        raise UploadError(
            f"Upload {name} cannot be read: {reason}.", "Check that it arrived whole."
        ) from error


def _reader(content: bytes, content_type: str, filename: str) -> _Reader:
    if not content.strip():
        raise UploadError("It is empty.", "Send a table.")
    for beginning, reader in _BEGINNINGS:
        if content.startswith(beginning):
            return reader
    if content[:256].removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<"):
        return read_votable
    said = (content_type.lower(), filename.lower().removesuffix(".gz"))
    for word, reader in _TYPES:
        if word in said[0]:
            return reader
    if said[1].endswith((".tsv", ".tab")):
        return read_tsv
    line = content[:65536].partition(b"\n")[0]
    if said[1].endswith(".csv") or b"," in line:
        return read_csv
    return read_tsv if b"\t" in line else read_csv


def _inflated(content: bytes) -> bytes:
    """Return what was gzipped, all members of it."""
    pieces: list[bytes] = []
    room = MOST_BYTES
    while content:
        inflate = zlib.decompressobj(wbits=31)
        try:
            pieces.append(inflate.decompress(content, room + 1))
        except zlib.error as error:
            raise UploadError(
                f"It is gzipped, and broken: {error}.", "Check that it arrived whole."
            ) from error
        room -= len(pieces[-1])
        if room < 0:
            raise UploadError(f"It inflates to more than {MOST_BYTES >> 20} MB.", "Send it in parts.")
        if not inflate.eof:
            raise UploadError("It is gzipped, and ends too early.", "Check that it arrived whole.")
        content = inflate.unused_data.lstrip(b"\0")
    return b"".join(pieces)
