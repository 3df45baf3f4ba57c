"""An answer of a lane under way, and the turn that it holds while it is read: one of as many as run at once."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from sodalake.lake.lanes import LaneStream

__all__ = ["TurnStream"]


class TurnStream:
    """Pieces of bytes by ``async for``; closed by whoever opened it, read or not.

    Attributes
    ----------
    head
        What was known before the first bytes.
    """

    def __init__(self, stream: LaneStream, turn: contextlib.AsyncExitStack) -> None:
        self.head: Any = stream.head
        self._stream = stream
        self._turn = turn

    @property
    def whole(self) -> bytes | None:
        """All of the answer, where it is there; else None."""
        return self._stream.body if self._stream.is_whole else None

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._stream.__aiter__()

    async def close(self) -> None:
        """Let go of the answer, and of the turn."""
        try:
            await self._stream.close()
        finally:
            await self._turn.aclose()
