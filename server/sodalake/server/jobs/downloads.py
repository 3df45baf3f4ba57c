"""Sending what a job has stored: whole or a range, as fast as the client reads, and never a part that looks whole.

The first piece is there before a header is sent, so that a result that is gone has its proper status. Reading is in
threads; while one piece is on its way the next is being read, never more. A store that fails in the middle cuts the
connection: Content-Length was promised, and a reset is an error to every client.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Sequence
from datetime import datetime
from email.utils import format_datetime
from typing import Final
from urllib.parse import quote

from sodalake.server.jobs.ranges import Unsatisfiable, wanted
from sodalake.server.jobs.resource import TEXT, JobHandler
from sodalake.server.jobs.segments import SegmentReader
from sodalake.uws.jobs import Result, Segment

__all__ = ["Download"]

_MIME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+(\s*;[\t !-~]*)?")
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._ ()+,=@-]")


class Download(JobHandler):
    """Base of the handlers that send what is stored."""

    async def send(self, result: Result, since: datetime | None) -> None:
        """Answer with a result, or what of it the request wants.

        Parameters
        ----------
        since
            When it was made.
        """
        etag = f'"{result.etag or _tag(result.segments)}"'
        size = result.size
        self.set_header("ETag", etag)
        self.set_header("Accept-Ranges", "bytes")
        # What is at this address never changes, but it goes: ask, and be told 304.
        self.set_header("Cache-Control", "private, no-cache")
        self.set_header("Vary", "Authorization")
        if since is not None:
            self.set_header("Last-Modified", format_datetime(since, usegmt=True))
        try:
            what = wanted(self.request.headers, size, etag)
        except Unsatisfiable:
            self.set_status(416)
            self.set_header("Content-Range", f"bytes */{size}")
            self.set_header("Content-Type", TEXT)
            self.finish(f"UsageError: The file has {size} bytes, and none of those asked for.\n")
            return
        if what.unchanged:
            self.set_status(304)
            self.finish()
            return
        reader = SegmentReader(self.room.results, result.segments, what.start, what.end)
        try:
            first = b"" if self.request.method == "HEAD" else await self._read(reader)
            if what.partial:
                self.set_status(206)
                self.set_header("Content-Range", f"bytes {what.start}-{what.end - 1}/{size}")
            self.set_header("Content-Length", str(what.end - what.start))
            self.set_header(
                "Content-Type", result.mime_type if _MIME.fullmatch(result.mime_type) else _UNKNOWN
            )
            self.set_header("Content-Disposition", disposition(result.filename or result.id))
            # What visitors stored is not a page of ours, whatever it says it is.
            self.set_header("X-Content-Type-Options", "nosniff")
            self.set_header("Content-Security-Policy", "sandbox; default-src 'none'")
            if self.request.method != "HEAD":
                await self._stream(reader, first, what.end - what.start)
        finally:
            await asyncio.shield(asyncio.to_thread(reader.close))

    async def _read(self, reader: SegmentReader) -> bytes:
        # A read that is under way when the client goes away ends before the object is closed.
        reading = asyncio.ensure_future(asyncio.to_thread(reader.next))
        try:
            return await asyncio.shield(reading)
        except asyncio.CancelledError:
            await asyncio.wait({reading})
            if not reading.cancelled():
                reading.exception()
            raise

    async def _stream(self, reader: SegmentReader, piece: bytes, left: int) -> None:
        seconds = self.service.settings.deadlines.write
        reading: asyncio.Task[bytes] | None = None
        try:
            with self.whole_or_cut():
                # The last piece goes with the end of the answer, so that a client that then closes is not one that
                # left.
                while (left := left - len(piece)) > 0:
                    reading = asyncio.create_task(self._read(reader))
                    self.write(piece)
                    await asyncio.wait_for(self.flush(), seconds)
                    piece, reading = await reading, None
                self.write(piece)
        finally:
            if reading is not None:
                reading.cancel()
                await asyncio.wait({reading})


_UNKNOWN: Final = "application/octet-stream"


def disposition(filename: str) -> str:
    """Return Content-Disposition of a file (RFC 6266; what is not ASCII the way of RFC 8187)."""
    plain = _UNSAFE.sub("_", filename)[:200] or "result"
    header = f'attachment; filename="{plain}"'
    if plain != filename:
        header += f"; filename*=UTF-8''{quote(filename[:200], safe='', errors='replace')}"
    return header


def _tag(segments: Sequence[Segment]) -> str:
    # Objects are never changed, so where the bytes are says which they are.
    digest = hashlib.sha256()
    for segment in segments:
        digest.update(f"{segment.object}\0{segment.offset}\0{segment.size}\0".encode())
        digest.update(segment.data)
    return digest.hexdigest()[:32]
