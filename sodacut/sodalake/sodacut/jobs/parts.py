"""Parts: what a unit writes, made while it is being written, and what is told of every target.

A part of files has a file a target, each behind its header as in a zip (`zips`); units of any kind of target are put
together with a `FilePart`, one by one or a batch at a time.
"""

from __future__ import annotations

import logging
import re
import zlib
from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Any, Final, Protocol

from sodalake.lake.errors import LakeError, Unavailable
from sodalake.lake.results import ResultFolder
from sodalake.sodacut.jobs.lines import NOT_FOUND, OK, status_of
from sodalake.sodacut.jobs.reports import Line
from sodalake.sodacut.jobs.zips import local_header
from sodalake.sodacut.products import Product

__all__ = ["BUGS", "FilePart", "Told", "failed", "file_name", "write_part"]

BUGS: Final = (ArithmeticError, LookupError, TypeError, ValueError)
"""What a target like no other may raise: its own error, and none of the unit."""

_UNSAFE = re.compile(r"[^A-Za-z0-9.+-]+")
_LONGEST_ID = 64
_MUCH = 16 * 1024 * 1024  # bytes that are not copied once more

log = logging.getLogger(__name__)


def file_name(row: int, target: str, name: str) -> str:
    """Return the name of a target's file in its job: ASCII, unlike any other's, and telling whose it is.

    It begins with the number of the row, then comes the user's id, where there is one, and what the product calls
    itself: ``000012_my-star_ZTF18abcdefg_Science.fits``.
    """
    own = "" if target == str(row) else _UNSAFE.sub("-", target)[:_LONGEST_ID].strip("-")
    return "_".join(part for part in (f"{row:06d}", own, name) if part)


def failed(error: Exception) -> Line:
    """Return the line of a target that ended with an error; raise what is not the target's own."""
    if isinstance(error, Unavailable):
        raise error
    if isinstance(error, LakeError):
        return Line(status_of(error), str(error))
    # A bug of ours, or pixels like no others: it is this target's, and the log has the rest.
    log.error("a target could not be processed", exc_info=error)
    return Line("ERROR", f"This target could not be processed ({type(error).__name__}: {error}).")


class Targets(Protocol):
    """A unit, as far as its part is concerned."""

    @property
    def targets(self) -> Any:
        """pyarrow.RecordBatch with row, id, status and message of each."""

    def __len__(self) -> int:
        """How many they are."""


class Told:
    """What became of each target of a unit.

    Parameters
    ----------
    unit
        Those of its targets that have a status have it from before: there is nothing to be made for them.
    """

    def __init__(self, unit: Targets) -> None:
        rows, ids, status, message = (
            unit.targets[name].to_pylist() for name in ("row", "id", "status", "message")
        )
        self.rows: Sequence[int] = rows
        self.ids: Sequence[str] = ids
        self._lines = [
            None if known is None else Line(known, text) for known, text in zip(status, message, strict=True)
        ]

    def tell(self, at: int, line: Line) -> None:
        """Keep what became of the target at this place in the unit."""
        self._lines[at] = line

    def lines(self) -> list[Line]:
        """Return what became of every target."""
        lines = [line for line in self._lines if line is not None]
        assert len(lines) == len(self.rows), "every target has been worked on"
        return lines


class FilePart(Told):
    """A file a target, each behind its header as in a zip."""

    def __init__(self, unit: Targets) -> None:
        super().__init__(unit)
        self._end = 0
        self._held: list[bytes] = []

    def add(self, at: int, line: Line, product: Product) -> None:
        """Put a target's product into the part, and into its line where that is."""
        name, content_type = product.filename or "cutout", product.content_type
        if product.content_encoding == "gzip":  # a file is not told its encoding by a header, but by its name
            name, content_type = name + ".gz", "application/gzip"
        self._add(line, file_name(self.rows[at], self.ids[at], name), content_type, product.body)

    def add_texts(self) -> None:
        """Write, in place of what could not be made, why: it begins with a label of SODA 1.0 (5.2)."""
        for row, target, line in zip(self.rows, self.ids, self.lines(), strict=True):
            if line.status != OK:
                label = "UsageError" if line.status == NOT_FOUND else "Error"
                text = f"{label}: {' '.join((line.message or line.status).split())}\n"
                self._add(
                    line, file_name(row, target, "error.txt"), "text/plain; charset=utf-8", text.encode()
                )

    def taken(self) -> Iterator[bytes]:
        """Yield what has been added as one piece: a hundred small writes cost more than one copy. Not so of much."""
        held, self._held = self._held, []
        if sum(map(len, held)) > _MUCH:
            yield from held
        elif held:
            yield b"".join(held)

    def _add(self, line: Line, name: str, content_type: str, body: bytes) -> None:
        line.file, line.content_type, line.bytes = name, content_type, len(body)
        line.crc32, line.sha256 = zlib.crc32(body), sha256(body).hexdigest()
        header = local_header(name, len(body), line.crc32)
        line.offset = self._end + len(header)
        self._held += (header, body)
        self._end = line.offset + len(body)


def write_part(results: ResultFolder, part: str, made: Iterator[Any]) -> int:
    """Write the pieces of a part as they are made; return its bytes. Nothing is written where there are none.

    Raises
    ------
    Unavailable
        The results cannot be written.
    Exception
        What the making of a piece raises.
    """
    pieces = _Pieces(made)
    if not pieces:
        return 0
    try:
        return results.write(part, pieces)
    except Unavailable:
        pieces.raise_what_went_wrong()
        raise


class _Pieces:
    """Pieces, kept: a write that failed is begun anew with them.

    True where there is anything to write.
    """

    def __init__(self, made: Iterator[Any]) -> None:
        self._made = made
        self._kept: list[Any] = []
        self._wrong: BaseException | None = None
        self._more()

    def _more(self) -> bool:
        # A generator that has raised looks as if it were at its end: a part cut short must not be taken for whole.
        self.raise_what_went_wrong()
        try:
            self._kept.append(next(self._made))
        except StopIteration:
            return False
        except BaseException as error:
            self._wrong = error
            raise
        return True

    def raise_what_went_wrong(self) -> None:
        """Raise what the making of a piece has raised."""
        if self._wrong is not None:
            raise self._wrong

    def __bool__(self) -> bool:
        return bool(self._kept)

    def __iter__(self) -> Iterator[Any]:
        at = 0
        while at < len(self._kept) or self._more():
            yield self._kept[at]
            at += 1
