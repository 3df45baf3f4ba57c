"""The worker processes of an ingest."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from typing import ParamSpec, TypeVar

__all__ = ["Pool"]

P = ParamSpec("P")
T = TypeVar("T")


class Pool:
    """Worker processes that can be made anew when one of them dies.

    Parameters
    ----------
    given
        Where to work instead; None: processes of this pool.
    workers
        How many, at most the machine's cores; 1 works in this process.
    """

    def __init__(self, given: Executor | None, workers: int) -> None:
        self._given = given
        self._workers = max(1, min(workers, os.cpu_count() or 1))
        self._own: ProcessPoolExecutor | None = None

    @property
    def width(self) -> int:
        """How many pieces of work to have under way."""
        return 4 * self._workers if self._given else self._workers + 1

    def submit(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Begin a piece of work."""
        if self._given is not None:
            return self._given.submit(work, *args, **kwargs)
        if self._workers == 1:
            done: Future[T] = Future()
            try:
                done.set_result(work(*args, **kwargs))
            except Exception as error:  # noqa: BLE001  # it is the future's, as it would be in a process
                done.set_exception(error)
            return done
        if self._own is None:
            # spawn: a fork would copy LMDB's and the HDFS client's threads in an unknown state.
            context = multiprocessing.get_context("spawn")
            self._own = ProcessPoolExecutor(self._workers, mp_context=context)
        return self._own.submit(work, *args, **kwargs)

    def renew(self) -> None:
        """Forget processes of which one died; the next work gets new ones."""
        self.close()
        self._own = None

    def close(self) -> None:
        """End the processes."""
        if self._own is not None:
            self._own.shutdown(wait=True, cancel_futures=True)
