"""What the handlers of queries share: errors are VOTables, answers are streamed."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from sodalake.server.errors import Fault
from sodalake.server.handlers import Handler
from sodalake.server.tap.engine import Query, Stream
from sodalake.tap.formats import error_document

__all__ = ["QueryHandler", "VotableHandler"]


class VotableHandler(Handler):
    """Base of the handlers whose errors are VOTables (DALI 1.1, 4.2; TAP 1.1, 3.3)."""

    error_type: ClassVar[str] = "application/x-votable+xml"

    run_id: str | None = None

    def noted(self) -> dict[str, str]:
        """Add RUNID to the line in the log (DALI 1.1, 3.4.6)."""
        return {"runid": self.run_id} if self.run_id else {}

    def fault_text(self, fault: Fault) -> str:
        """Return the text of an error, the way of this protocol."""
        return fault.sentence

    def write_fault(self, fault: Fault) -> tuple[str, bytes]:
        """Write an error as a VOTable."""
        return self.error_type, error_document(self.fault_text(fault))


class QueryHandler(VotableHandler):
    """Base of the handlers that answer with the rows of a query."""

    methods = ("GET", "HEAD", "POST", "OPTIONS")

    async def answer(self, query: Query) -> None:
        """Run a query and send its rows.

        Raises
        ------
        LakeError
            As the query does before its first bytes; nothing was sent then. Later errors cut the connection, where the
            format cannot tell them itself.
        """
        self.run_id = query.run_id
        stream = await self.service.tap.open(query)
        try:
            await self._send(query, stream)
        finally:
            await stream.close()

    async def _send(self, query: Query, stream: Stream) -> None:
        self.set_header("Content-Type", stream.content_type)
        self.set_header("X-Content-Type-Options", "nosniff")
        # Rows change with the next commit; TAP 1.1, 2.1: answers to POST are not kept at all.
        self.set_header("Cache-Control", "no-store" if self.request.method == "POST" else "no-cache")
        if not query.form.name.startswith(("votable", "html", "json")):
            self.set_header("Content-Disposition", f'attachment; filename="result.{query.form.extension}"')
        if stream.whole is not None:
            self.finish(stream.whole)
            return
        if self.request.method == "HEAD":
            self.finish()
            return
        seconds = self.service.settings.deadlines.write
        with self.whole_or_cut():
            async for chunk in stream:
                self.write(chunk)
                await asyncio.wait_for(self.flush(), seconds)
            self.finish()
