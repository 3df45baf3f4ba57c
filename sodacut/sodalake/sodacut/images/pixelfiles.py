"""Pixels of survey images: which bytes a cut needs, read in as few ranges as pays, and decoded.

A *plain* image's cut is a piece of each of its rows. On local disk each piece is a read of its own (63 µs for 100 rows
of 4096 floats; all rows as one range, 1.6 MB of which 98 % are for nothing: 199 µs). Elsewhere a read costs 0.3 to 0.4
ms however small it is, so that rows become one range as long as what lies between them is read faster than that.

A *tiled* image's cut is some tiles, whose bytes mostly follow each other. A tile that several cuts of a request share
is read and decoded once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sodalake.lake.errors import Damaged
from sodalake.lake.files import SAME_TIME, OpenFile, OpenFiles
from sodalake.lake.images.records import Plain, Plane, Tiled
from sodalake.sodacut.coordinates import Box
from sodalake.sodacut.images.scaling import DTYPES, scaled
from sodalake.sodacut.images.tiles import Canvas, Shares, decode

__all__ = ["GAP", "LOCAL_GAP", "PIECE", "SPAN", "PixelFiles", "Wanted"]

GAP: Final = 256 * 1024
"""Bytes that are read for nothing rather than asking again: what HDFS gives in the 0.3 ms that a read costs."""

LOCAL_GAP: Final = 4 * 1024
"""The same on local disk, where a read costs 0.7 µs."""

SPAN: Final = 4 * 1024 * 1024
"""Bytes of the longest read."""

PIECE: Final = 512 * 1024
"""Bytes, at least, of each of several reads that a large one is made of so that others can help: what HDFS gives in 1.3
ms, all of it computing."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One cut to read.

    Attributes
    ----------
    plane
        Where the image's pixels are.
    shape
        (height, width) of the image.
    box
        Of the cut, inside the image.
    integers
        Give integers as such, where the values are integers (masks); else floating point numbers.
    """

    plane: Plane
    shape: tuple[int, int]
    box: Box
    integers: bool = False


@dataclass(slots=True)
class _Rows:
    """One range of a file with rows of plain images: (which cut, its first row, behind its last) of each."""

    plane: Plane
    start: int
    stop: int
    cuts: list[tuple[int, int, int]]
    reads: int = 1

    @property
    def bytes(self) -> int:
        return self.stop - self.start


@dataclass(slots=True)
class _Pieces:
    """A cut of a plain image whose rows are read one by one."""

    plane: Plane
    start: int
    cut: int
    length: int
    step: int
    reads: int

    @property
    def bytes(self) -> int:
        return self.length * self.reads


@dataclass(slots=True)
class _Tiles:
    """One range of a file with tiles, and which cuts have a share in them: see `tiles.decode`."""

    plane: Plane
    start: int
    stop: int
    shares: Shares
    reads: int = 1

    @property
    def bytes(self) -> int:
        return self.stop - self.start


_Range = _Rows | _Pieces | _Tiles
_Out = list[npt.NDArray[Any] | Canvas]


class PixelFiles:
    """Reads pixels from files it holds open. May be called from any thread.

    Parameters
    ----------
    open_files
        How many files to hold open.
    parallel
        How many reads of one request run side by side, where they are not local.

    Attributes
    ----------
    bytes_read, reads
        Since it was made.
    """

    def __init__(self, open_files: int = 512, parallel: int = 8) -> None:
        self._files = OpenFiles(open_files)
        self._parallel = parallel
        self._pool = ThreadPoolExecutor(max(1, parallel - 1), thread_name_prefix="pixel-read")
        self.bytes_read = 0
        self.reads = 0

    def read(self, wanted: Sequence[Wanted]) -> list[npt.NDArray[Any]]:
        """Return the pixels of cuts, in the order asked.

        Returns
        -------
        list of arrays (height, width)
            Native byte order; float32, or float64 of BITPIX 32, 64 and -64; NaN where a pixel has no value. Integers
            where these were asked for and are there.

        Raises
        ------
        FileGone, Damaged
            A file is gone, has changed since its ingest, or its bytes cannot be decoded.
        Unavailable
            The file system does not answer.
        """
        out: _Out = [_empty(one) for one in wanted]
        todo = deque(self._ranges(wanted, out))
        helpers: list[Future[None]] = []
        if len(todo) > 1 and not _is_local(todo[0].plane):
            count = min(self._parallel, len(todo)) - 1
            helpers = [self._pool.submit(self._read_ranges, todo, wanted, out) for _ in range(count)]
        try:
            self._read_ranges(todo, wanted, out)
        finally:
            running = [helper for helper in helpers if not helper.cancel()]
            if running:
                wait(running)
        for helper in running:
            helper.result()
        return [
            one.pixels() if isinstance(one, Canvas) else scaled(one, want.plane.place, integers=want.integers)
            for one, want in zip(out, wanted, strict=True)
        ]

    def cost(self, wanted: Sequence[Wanted]) -> tuple[int, int]:
        """Return how many bytes, in how many reads, `read` would read."""
        ranges = self._ranges(wanted, [_empty(one) for one in wanted])
        return sum(one.bytes for one in ranges), sum(one.reads for one in ranges)

    def close(self) -> None:
        """Let go of files and threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._files.close()

    def _ranges(self, wanted: Sequence[Wanted], out: _Out) -> list[_Range]:
        """Return the reads of cuts; where there are fewer than can run side by side, large ones are several."""
        found = list(_ranges(wanted, out))
        if not 0 < len(found) < self._parallel or _is_local(found[0].plane):
            return found
        piece = max(PIECE, sum(one.bytes for one in found) // self._parallel)
        return [
            part
            for one in found
            for part in (_parts(one, wanted, one.bytes // piece) if isinstance(one, _Rows) else [one])
        ]

    def _read_ranges(self, todo: deque[_Range], wanted: Sequence[Wanted], out: _Out) -> None:
        try:
            while True:
                try:
                    one = todo.popleft()
                except IndexError:
                    return
                source = self._source(one.plane)
                self.bytes_read += one.bytes
                self.reads += one.reads
                if isinstance(one, _Tiles):
                    _take_tiles(one, _read(source, one), out)
                elif isinstance(one, _Rows):
                    _take_rows(one, _read(source, one), wanted, out)
                else:
                    _take_pieces(one, source, out)
        finally:
            todo.clear()  # after an error nobody needs the rest

    def _source(self, plane: Plane) -> OpenFile:
        key = plane.file, plane.url
        source = self._files.get(key, plane.url)
        if source.size != plane.size:
            raise self._changed(key, f"{plane.size} bytes then, {source.size} now")
        # FITS is padded: a file that was made anew is mostly as long as before. A local one that is open is asked again
        # (3 µs), since it may be written over; one that another was renamed onto is still the one that was ingested,
        # as long as it is open, and its pixels are those that the record is of.
        if plane.mtime and (now := source.modified()) and abs(now - plane.mtime) >= SAME_TIME:
            raise self._changed(key, f"written {_moment(plane.mtime)} then, {_moment(now)} now")
        return source

    def _changed(self, key: tuple[int, str], how: str) -> Damaged:
        self._files.discard(key)
        return Damaged(f"The file {key[1]} changed since its ingest ({how}).", "Ingest it again.")


def _moment(seconds: float) -> str:
    return (
        datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
    )


def _is_local(plane: Plane) -> bool:
    return plane.url.startswith("file:")


def _empty(wanted: Wanted) -> npt.NDArray[Any] | Canvas:
    place, box, (height, width) = wanted.plane.place, wanted.box, wanted.shape
    if not (0 <= box.x0 < box.x1 <= width and 0 <= box.y0 < box.y1 <= height):
        raise ValueError(f"{box} is not inside an image of {width} x {height} pixels")
    if isinstance(place, Tiled):
        return Canvas(place, wanted.shape, box, integers=wanted.integers)
    return np.empty(box.shape, DTYPES[place.bitpix])


# ---------------------------------------------------------------------- what to read


def _ranges(wanted: Sequence[Wanted], out: _Out) -> Iterator[_Range]:
    """Yield the reads of cuts, file by file."""
    files: dict[tuple[int, str], list[int]] = {}
    for index, one in enumerate(wanted):
        files.setdefault((one.plane.file, one.plane.url), []).append(index)
    for cuts in files.values():
        plain = [index for index in cuts if isinstance(wanted[index].plane.place, Plain)]
        tiled = [index for index in cuts if isinstance(wanted[index].plane.place, Tiled)]
        if plain:
            yield from _plain_ranges(wanted, plain)
        if tiled:
            yield from _tiled_ranges(wanted, tiled, out)


def _plain_ranges(wanted: Sequence[Wanted], cuts: Iterable[int]) -> Iterator[_Range]:
    whole: list[_Rows] = []
    for cut in cuts:
        one = wanted[cut]
        start, step, length = _layout(one)
        rows = one.box.y1 - one.box.y0
        gap = LOCAL_GAP if _is_local(one.plane) else GAP
        if rows > 1 and step - length > gap:
            yield _Pieces(one.plane, start, cut, length, step, rows)
            continue
        most = max(1, SPAN // step)
        for first in range(0, rows, most):
            last = min(rows, first + most)
            begin = start + first * step
            whole.append(
                _Rows(one.plane, begin, begin + (last - first - 1) * step + length, [(cut, first, last)])
            )
    yield from _joined(whole)


def _joined(rows: list[_Rows]) -> Iterator[_Rows]:
    """Yield ranges, those near each other as one."""
    held: _Rows | None = None
    for one in sorted(rows, key=lambda range_: range_.start):
        gap = LOCAL_GAP if _is_local(one.plane) else GAP
        if (
            held is not None
            and one.start - held.stop <= gap
            and max(one.stop, held.stop) - held.start <= SPAN
        ):
            held.stop = max(held.stop, one.stop)
            held.cuts += one.cuts
            continue
        if held is not None:
            yield held
        held = one
    if held is not None:
        yield held


def _parts(rows: _Rows, wanted: Sequence[Wanted], count: int) -> Sequence[_Rows]:
    """Return the rows of one cut as so many ranges of about the same length."""
    if count < 2 or len(rows.cuts) > 1:
        return [rows]
    ((cut, first, last),) = rows.cuts
    _, step, length = _layout(wanted[cut])
    edges = [first + (last - first) * part // count for part in range(count + 1)]
    starts = [rows.start + (edge - first) * step for edge in edges]
    return [
        _Rows(rows.plane, start, after - step + length, [(cut, one, other)])
        for (start, after), (one, other) in zip(pairwise(starts), pairwise(edges), strict=True)
        if one < other
    ]


def _layout(wanted: Wanted) -> tuple[int, int, int]:
    """Return where a cut of a plain image begins in the file, from row to row, and the length of a row's piece."""
    place, box = wanted.plane.place, wanted.box
    assert isinstance(place, Plain)
    size = abs(place.bitpix) // 8
    step = wanted.shape[1] * size
    return place.offset + box.y0 * step + box.x0 * size, step, (box.x1 - box.x0) * size


def _tiled_ranges(wanted: Sequence[Wanted], cuts: list[int], out: _Out) -> Iterator[_Tiles]:
    offsets, lengths, owners, numbers = [], [], [], []
    for cut in cuts:
        place, canvas = wanted[cut].plane.place, out[cut]
        assert isinstance(place, Tiled)
        assert isinstance(canvas, Canvas)
        offsets.append(place.offsets[canvas.tiles])
        lengths.append(place.lengths[canvas.tiles])
        owners.append(np.full(len(canvas.tiles), cut))
        numbers.append(canvas.tiles)
    at, long = np.concatenate(offsets), np.concatenate(lengths)
    order = np.argsort(at, kind="stable")
    at, long = at[order], long[order]
    owner, number = np.concatenate(owners)[order], np.concatenate(numbers)[order]
    plane = wanted[cuts[0]].plane
    stops = np.maximum.accumulate(at + long)
    gap = LOCAL_GAP if _is_local(plane) else GAP
    breaks = np.flatnonzero(at[1:] - stops[:-1] > gap) + 1
    for first, last in zip([0, *breaks.tolist()], [*breaks.tolist(), len(at)], strict=True):
        while first < last:
            stop = last
            if stops[last - 1] - at[first] > SPAN:
                stop = max(
                    first + 1, first + int(np.searchsorted(stops[first:last], at[first] + SPAN, side="right"))
                )
                while stop < last and at[stop] == at[stop - 1]:  # a tile of several cuts stays one
                    stop += 1
            here = slice(first, stop)
            shares = Shares(at[here], long[here], number[here], owner[here])
            yield _Tiles(plane, int(at[first]), int(stops[stop - 1]), shares)
            first = stop


# ---------------------------------------------------------------------- what was read


def _read(source: OpenFile, wanted: _Rows | _Tiles) -> bytes:
    data = source.read_at(wanted.start, wanted.stop - wanted.start)
    if len(data) != wanted.stop - wanted.start:
        raise _short(wanted.plane)
    return data


def _short(plane: Plane) -> Damaged:
    return Damaged(f"The file {plane.url} ends too early.", "Ingest it again.")


def _take_pieces(pieces: _Pieces, source: OpenFile, out: _Out) -> None:
    length, step = pieces.length, pieces.step
    start, stop = pieces.start, pieces.start + pieces.reads * step
    source.expect(start, (pieces.reads - 1) * step + length)
    data = b"".join([source.read_at(at, length) for at in range(start, stop, step)])
    if len(data) != length * pieces.reads:
        raise _short(pieces.plane)
    pixels = out[pieces.cut]
    assert not isinstance(pixels, Canvas)
    out[pieces.cut] = np.frombuffer(data, pixels.dtype).reshape(pixels.shape)


def _take_rows(rows: _Rows, data: bytes, wanted: Sequence[Wanted], out: _Out) -> None:
    for cut, first, last in rows.cuts:
        pixels = out[cut]
        assert not isinstance(pixels, Canvas)
        start, step, _ = _layout(wanted[cut])
        pixels[first:last] = np.ndarray(
            (last - first, pixels.shape[1]),
            pixels.dtype,
            data,
            start + first * step - rows.start,
            (step, pixels.itemsize),
        )


def _take_tiles(tiles: _Tiles, data: bytes, out: _Out) -> None:
    try:
        decode(data, tiles.start, tiles.shares, out)
    except Damaged as error:
        raise Damaged(
            f"An image in {tiles.plane.url} cannot be read. {error.message}",
            "Check the file, then ingest it again.",
        ) from error
