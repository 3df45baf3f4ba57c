"""The actor of a lane: a reader kept open on a Dask worker, and what it sends back.

Methods of an actor run one at a time unless they are `async`; these hand the work to the actor's own threads.
"""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from distributed import get_worker
from distributed.protocol.pickle import loads

from .alerts import AlertStamps, Epochs, Question
from .errors import DeadlineExceeded, LakeError
from .lake import Lake
from .memory import keep_freed_memory
from .reader import Reader
from .rows import within
from .streams import Streams
from .survey import Survey

__all__ = ["Failed", "Finish", "Page", "ReaderActor", "Warm", "late"]

Finish = Callable[[list[AlertStamps], Survey], Any]
"""What is done with the stamps on the worker, in a thread, before anything travels back."""

Warm = Callable[[Lake], object]
"""What a reader does before it is asked, beside its first requests. Picklable."""

_log = logging.getLogger(__name__)

_FRAMES = 20  # of an error on a worker that are told


@dataclass(frozen=True, slots=True)
class Failed:
    """An error of the work itself: an `OSError` or `RuntimeError` that is raised would look like a lost worker."""

    error: Exception


@dataclass(frozen=True, slots=True)
class Page:
    """What `finish` made of one page of epochs, and where to go on."""

    made: Any
    next: str | None


class ReaderActor:
    """A `Reader` on a Dask worker.

    Parameters
    ----------
    lake_url
        The lake it opens.
    threads
        Requests it works on at the same time.
    warm
        Called once, aside, with the lake: imports and caches that a first request should not wait for.
    niceness
        How far its threads stand back.
    """

    def __init__(self, lake_url: str, threads: int = 4, warm: Sequence[Warm] = (), niceness: int = 0) -> None:
        keep_freed_memory()
        self._reader = Reader(Lake.open(lake_url))
        self._address: str = get_worker().address
        # On Linux nice is a thread's own, and of those that it starts.
        self._threads = ThreadPoolExecutor(
            threads, thread_name_prefix="reader", initializer=os.nice, initargs=(niceness,)
        )
        self._streams = Streams(self._reader.lake, self._threads)
        for one in warm:
            self._threads.submit(_warmed, one, self._reader.lake)

    async def call(self, request: bytes) -> Any:
        """Answer a question; with `finish`, what it makes of the alerts instead of the alerts.

        Parameters
        ----------
        request
            Question, `finish` (or None) and the seconds it may take, pickled as one: Dask wraps every argument by
            itself, which takes 0.2 ms of 3 for these three.

        Raises
        ------
        DeadlineExceeded
            `seconds` passed.
        LakeError
            As `Reader.answer` and `finish` raise.
        """
        question, finish, seconds = loads(request)  # type: ignore[no-untyped-call]
        until = time.monotonic() + seconds
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(self._threads, self._work, question, finish, until)
        try:
            return await asyncio.wait_for(work, seconds)
        except TimeoutError:
            return _failed(late(seconds))
        except Exception as error:  # noqa: BLE001 - told to whoever waits
            return _failed(error)

    def _work(self, question: Question, finish: Finish | None, until: float) -> Any:
        if time.monotonic() > until:
            raise late(0.0)
        with within(until - time.monotonic()):
            answer = self._reader.answer(question)
        if finish is None:
            return answer
        survey = self._reader.lake.survey(question.survey)
        if isinstance(answer, Epochs):
            return Page(finish(answer.alerts, survey), answer.next)
        return finish(answer, survey)

    async def begin(self, request: bytes) -> Any:
        """Begin a stream and return its first piece; see `Streams.begin`.

        Parameters
        ----------
        request
            What begins it, its argument, and the seconds it may take, pickled as one.
        """
        try:
            return await self._streams.begin(*loads(request))  # type: ignore[no-untyped-call]
        except Exception as error:  # noqa: BLE001 - told to whoever waits
            return _failed(error)

    async def more(self, number: int) -> Any:
        """Return the next piece of a stream."""
        try:
            return await self._streams.more(number)
        except Exception as error:  # noqa: BLE001 - told to whoever waits
            return _failed(error)

    async def drop(self, number: int) -> None:
        """End a stream."""
        await self._streams.drop(number)

    async def address(self) -> str:
        """Return the address of the worker this actor is on."""
        return self._address

    async def health(self) -> dict[str, str]:
        """Ask the row store and the lake's file system; return what is wrong with each, by name (empty: well)."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._health)

    def _health(self) -> dict[str, str]:
        wrong: dict[str, str] = {}
        lake = self._reader.lake
        try:
            lake.rows.tables()
        except LakeError as error:
            wrong["rows"] = str(error)
        try:
            Lake.open(lake.url)
        except LakeError as error:
            wrong["files"] = str(error)
        return wrong

    async def counters(self) -> dict[str, int]:
        """Return bytes and ranged reads since the actor was made."""
        files = self._reader.files
        return {"bytes_read": files.bytes_read, "reads": files.reads}


def _warmed(warm: Warm, lake: Lake) -> None:
    try:
        warm(lake)
    except LakeError:
        pass  # requests tell what is wrong
    except Exception:  # noqa: BLE001 - requests get it themselves
        _log.exception("a reader could not get warm")


def _failed(error: Exception) -> Failed:
    """Return an error of the work so that it can be sent, whatever it is: else the caller would never be told.

    Dask sends its causes and the frames of all of them along, which may be too deep for that. Of what is not ours the
    last frames are told as text.
    """
    frames = "".join(traceback.format_exception(error, limit=-_FRAMES))
    bare = error.with_traceback(None)
    bare.__cause__ = bare.__context__ = None
    try:
        pickle.loads(pickle.dumps(bare))  # noqa: S301 - our own bytes
    except Exception:  # noqa: BLE001 - its class may raise anything
        bare = RuntimeError(f"{type(error).__name__}: {error}")
    if not isinstance(bare, LakeError):
        bare.add_note(f"On the worker:\n{frames}")
    return Failed(bare)


def late(seconds: float) -> DeadlineExceeded:
    """Return the error of an answer that was not there in time."""
    return DeadlineExceeded(
        f"The answer was not there within {seconds:.3g} s.",
        "Try again; if it stays so, the archive is overloaded.",
    )
