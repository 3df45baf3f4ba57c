"""``/tap/sync``: a query, answered at once (TAP 1.1, 2.1)."""

from __future__ import annotations

from sodalake.server.tap.handling import QueryHandler
from sodalake.server.tap.requests import query_of

__all__ = ["SyncHandler"]


class SyncHandler(QueryHandler):
    """``/tap/sync``, by GET and POST."""

    async def get(self) -> None:
        """Answer with the rows."""
        settings = self.service.settings
        await self.answer(await query_of(self.request, self.base_url(), settings.tap, settings.limits))

    head = get
    post = get
