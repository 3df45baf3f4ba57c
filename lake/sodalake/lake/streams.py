"""Answers that are made bit by bit on a worker, and fetched piece by piece.

`Streams` is the worker's side, in an actor: it begins a stream in one of the actor's threads and collects its first
piece; while that is on its way the next one is made, and no more than that. A stream that nobody fetches from is ended.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

from .errors import Unavailable
from .lake import Lake

__all__ = ["Begin", "Piece", "Stream", "Streams"]

PIECE = 1 << 20  # bytes that are sent together
_FIRST = 0.05  # seconds after its first bytes that the first piece is sent, whole or not
_IDLE = 60.0  # seconds after which a stream that nobody fetches from is ended


class Stream(Protocol):
    """An answer under way.

    Attributes
    ----------
    head
        What is known before the first bytes; picklable.
    """

    head: Any

    def __iter__(self) -> Iterator[bytes]:
        """Yield the bytes; called once."""

    def stop(self) -> None:
        """Let the iteration end soon; called from another thread."""


Begin = Callable[[Lake, Any, float], Stream]
"""Begins a stream: of a lake, an argument, and the seconds it may take. Picklable."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Some bytes of a stream.

    Attributes
    ----------
    head
        The stream's, with its first piece.
    number
        By which the next piece is fetched; None: this was the last.
    """

    body: bytes
    number: int | None
    head: Any = None


class _Open:
    """A stream with more to come."""

    def __init__(self, stream: Stream, chunks: Iterator[bytes]) -> None:
        self.stream = stream
        self.chunks = chunks
        self.making: asyncio.Future[tuple[bytes, bool]] | None = None
        self.used = time.monotonic()


class Streams:
    """The streams of one actor.

    Parameters
    ----------
    lake
        What they read.
    threads
        Where they are made.
    """

    def __init__(self, lake: Lake, threads: ThreadPoolExecutor) -> None:
        self._lake = lake
        self._threads = threads
        self._open: dict[int, _Open] = {}
        self._numbers = itertools.count(1)
        self._sweeper: asyncio.Task[None] | None = None

    async def begin(self, begin: Begin, argument: Any, seconds: float) -> Piece:
        """Begin a stream, and return its first piece.

        Raises
        ------
        LakeError
            As the stream does before its first piece.
        """
        loop = asyncio.get_running_loop()
        until = time.monotonic() + seconds
        started: list[Stream] = []

        def first() -> tuple[Stream, Iterator[bytes], bytes, bool]:
            stream = begin(self._lake, argument, max(0.001, until - time.monotonic()))
            started.append(stream)
            chunks = iter(stream)
            body, over = _collected(chunks, _FIRST)
            return stream, chunks, body, over

        work = loop.run_in_executor(self._threads, first)
        try:
            stream, chunks, body, over = await work
        except asyncio.CancelledError:
            for stream in started:
                stream.stop()
            raise
        if over:
            return Piece(body, None, stream.head)
        number = next(self._numbers)
        self._open[number] = opened = _Open(stream, chunks)
        self._make(opened)
        if self._sweeper is None:
            self._sweeper = asyncio.create_task(self._sweep())
        return Piece(body, number, stream.head)

    def _make(self, opened: _Open) -> None:
        loop = asyncio.get_running_loop()
        opened.making = loop.run_in_executor(self._threads, _collected, opened.chunks, None)

    async def more(self, number: int) -> Piece:
        """Return the next piece of a stream.

        Raises
        ------
        Unavailable
            The stream is not there any more.
        LakeError
            As the stream does.
        """
        opened = self._open.get(number)
        if opened is None or opened.making is None:
            raise Unavailable("The rest of the answer is not there any more.", "Ask again.")
        opened.used = time.monotonic()
        try:
            body, over = await opened.making
        except BaseException:
            self._open.pop(number, None)
            raise
        opened.used = time.monotonic()
        if over:
            self._open.pop(number, None)
            return Piece(body, None)
        self._make(opened)
        return Piece(body, number)

    async def drop(self, number: int) -> None:
        """End a stream that nobody wants the rest of."""
        opened = self._open.pop(number, None)
        if opened is not None:
            _end(opened)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_IDLE / 4)
            late = time.monotonic() - _IDLE
            for number in [number for number, one in self._open.items() if one.used < late]:
                await self.drop(number)


def _end(opened: _Open) -> None:
    opened.stream.stop()
    if opened.making is not None:
        # What it still raises is of no interest to anybody.
        opened.making.add_done_callback(lambda done: done.cancelled() or done.exception())


def _collected(chunks: Iterator[bytes], patience: float | None) -> tuple[bytes, bool]:
    """Return the next piece, and whether it is the last; with `patience`, not much later than its first bytes."""
    parts: list[bytes] = []
    size = 0
    began = 0.0
    for chunk in chunks:
        if not parts:
            began = time.monotonic()
        parts.append(chunk)
        size += len(chunk)
        if size >= PIECE or (patience is not None and time.monotonic() - began > patience):
            return b"".join(parts), False
    return b"".join(parts), True
