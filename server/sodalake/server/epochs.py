"""All stamps of an object, streamed: chunk by chunk from the workers, as fast as the client reads.

The first chunk is there before a byte is sent, so that whatever is wrong from the start has its proper
status. An error later cuts the connection: HTTP has no way to take a 200 back, and a chunked answer without
its end is an error to every client. While one chunk is on its way to the client the next is being read, never
more.
"""

from __future__ import annotations

import asyncio
import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from sodalake.lake.alerts import EpochsOf
from sodalake.lake.errors import LakeError
from sodalake.lake.lanes import Finish
from sodalake.server.handlers import Handler
from sodalake.server.plans import PASSING
from sodalake.sodacut import ArrowEpochs, FitsEpochs, JsonEpochs, ZipEpochs, manifest

__all__ = ["EpochStream", "EpochsPlan", "epoch_writer"]


class Framing(Protocol):
    """What makes one file of the parts that come from the workers."""

    finish: Finish
    content_type: str
    suffix: str

    def add(self, part: Any) -> bytes:
        """Return the next bytes of the file, which hold this part."""
        ...

    def end(self) -> bytes:
        """Return the last bytes of the file."""
        ...


class _Plain:
    """Head, parts with separators, tail."""

    def __init__(self, writer: JsonEpochs | FitsEpochs | ArrowEpochs, suffix: str) -> None:
        self.finish: Finish = writer
        self._writer = writer
        self.content_type = writer.content_type
        self.suffix = suffix
        self._begun = False

    def add(self, part: bytes) -> bytes:
        if self._begun and not part:
            return b""  # all epochs of this page were hidden by an ingest since the page before
        before = self._writer.separator if self._begun else self._writer.head()
        self._begun = True
        return before + part

    def end(self) -> bytes:
        return self._writer.tail()


class _Sink(io.RawIOBase):
    """A file that is only written to, and whose bytes are taken away as they come."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._bytes += data
        return len(data)

    def taken(self) -> bytes:
        data = bytes(self._bytes)
        self._bytes.clear()
        return data


class _Zip:
    """Entries stored as they are, the manifest last, then the directory."""

    content_type = "application/zip"
    suffix = "zip"

    def __init__(self, kinds: tuple[str, ...]) -> None:
        self.finish: Finish = ZipEpochs(kinds)
        self._sink = _Sink()
        self._zip = zipfile.ZipFile(self._sink, "w", zipfile.ZIP_STORED)
        self._rows: list[Any] = []

    def add(self, part: Any) -> bytes:
        for name, data in part.entries:
            # The same stamps make the same zip, so entries carry no time of day.
            self._zip.writestr(zipfile.ZipInfo(name), data)
        self._rows += part.rows
        return self._sink.taken()

    def end(self) -> bytes:
        self._zip.writestr(zipfile.ZipInfo("manifest.csv"), manifest(self._rows))
        self._zip.close()
        return self._sink.taken()


_FRAMINGS: Final[dict[str, Callable[[tuple[str, ...]], Framing]]] = {
    "json": lambda kinds: _Plain(JsonEpochs(kinds), "json"),
    "fits": lambda kinds: _Plain(FitsEpochs(kinds), "fits"),
    "arrow": lambda kinds: _Plain(ArrowEpochs(kinds), "arrows"),
    "zip": _Zip,
}


def epoch_writer(form: str, kinds: tuple[str, ...]) -> Framing:
    """Return what writes epochs as json, fits, arrow or zip."""
    return _FRAMINGS[form](kinds)


@dataclass(frozen=True, slots=True)
class EpochsPlan:
    """A stream to be made.

    Attributes
    ----------
    survey, object_id, kinds
        Whose stamps.
    framing
        Makes one file of them; used once.
    """

    survey: str
    object_id: str
    kinds: tuple[str, ...]
    framing: Framing = field(compare=False)

    @property
    def filename(self) -> str:
        """A name to save the stream by."""
        plain = "".join(c if c.isascii() and (c.isalnum() or c in "+.-") else "-" for c in self.object_id)
        return f"{plain}_stamps.{self.framing.suffix}"


class EpochStream(Handler):
    """Base of the handlers that stream epochs."""

    async def stream(self, plan: EpochsPlan) -> None:
        """Send all epochs.

        Raises
        ------
        LakeError
            From the first chunk; nothing was sent then. Later errors cut the connection.
        """
        framing = plan.framing
        page = await self._page(plan, None)
        self.set_header("Content-Type", framing.content_type)
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Cache-Control", PASSING)
        self.set_header("Content-Disposition", f'attachment; filename="{plan.filename}"')
        if self.request.method == "HEAD":
            await self.flush()
            return
        limits, seconds = self.service.settings.limits, self.service.settings.deadlines.write
        reading: asyncio.Task[Any] | None = None
        sent = 0
        try:
            with self.whole_or_cut(object=plan.object_id):
                while True:
                    sent += limits.chunk
                    if page.next is not None:
                        if sent >= limits.epochs:
                            raise LakeError(
                                f"The object has more than {limits.epochs} epochs (limits.epochs)."
                            )
                        reading = asyncio.create_task(self._page(plan, page.next))
                    self.write(framing.add(page.made))
                    await asyncio.wait_for(self.flush(), seconds)
                    if reading is None:
                        break
                    page, reading = await reading, None
                self.write(framing.end())
                await asyncio.wait_for(self.flush(), seconds)
        finally:
            if reading is not None:
                reading.cancel()

    async def _page(self, plan: EpochsPlan, after: str | None) -> Any:
        settings = self.service.settings
        return await self.service.lane.call(
            EpochsOf(plan.survey, plan.object_id, plan.kinds, after, settings.limits.chunk),
            plan.framing.finish,
            deadline=settings.deadlines.chunk,
        )
