"""Reading ahead: the next pixels are read while the last ones are being worked on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["read_ahead"]

Group = TypeVar("Group")
Batch = TypeVar("Batch")


def read_ahead(
    groups: Sequence[Group], read: Callable[[Group], Batch], look: Callable[[], None]
) -> Iterator[Batch]:
    """Yield what `read` makes of each group, in their order; one is read while the last is in the caller's hands.

    Parameters
    ----------
    look
        Called before each is read; what it raises ends it.

    Raises
    ------
    Exception
        What `read` and `look` raise.
    """
    if len(groups) == 1:
        look()
        yield read(groups[0])
        return
    with ThreadPoolExecutor(1, thread_name_prefix="reading-ahead") as pool:
        ahead: Future[Batch] | None = None
        for group in groups:
            look()
            ready, ahead = ahead, pool.submit(read, group)
            if ready is not None:
                yield ready.result()
        if ahead is not None:
            yield ahead.result()
