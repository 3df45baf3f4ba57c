"""What reads a lake in a worker of jobs: opened once, kept from one unit to the next.

Opening connections and files costs more than reading a stamp.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import TYPE_CHECKING

from sodalake.lake.lake import Lake
from sodalake.lake.memory import keep_freed_memory
from sodalake.lake.reader import Reader

if TYPE_CHECKING:
    from sodalake.sodacut.images.session import ImageSession

__all__ = ["Readers", "readers_of"]


class Readers:
    """The readers of a lake, each made when it is first asked for; from any thread.

    Parameters
    ----------
    lake
        An open lake; who opened it closes it.
    """

    def __init__(self, lake: Lake) -> None:
        self.lake = lake
        self._lock = threading.Lock()
        self._stamps: Reader | None = None

    @property
    def stamps(self) -> Reader:
        """Reads alerts."""
        with self._lock:
            if self._stamps is None:
                self._stamps = Reader(self.lake)
            return self._stamps

    @property
    def images(self) -> ImageSession:
        """Reads images."""
        # What mosaics need takes a second to import, which jobs on alerts do not wait for.
        from sodalake.sodacut.images.session import image_session_of

        return image_session_of(self.lake)


@lru_cache(maxsize=4)
def readers_of(lake_url: str) -> Readers:
    """Return this process's readers of a lake."""
    keep_freed_memory()
    return Readers(Lake.open(lake_url))
