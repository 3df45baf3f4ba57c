"""Lists of what the service has of the sky: a page for browsers, JSON for programs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Final

from sodalake.server.handlers import Handler
from sodalake.server.negotiation import prefers_html
from sodalake.server.portal.look import render

__all__ = ["POLICY", "ListHandler"]

POLICY: Final = (
    "default-src 'none'; img-src 'self'; style-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'"
)


class ListHandler(Handler, ABC):
    """A resource that is a list; `page` is its template, and `of` what it is of, there and in JSON."""

    page: str
    of: str

    async def get(self) -> None:
        """Answer with the list, as the client prefers it."""
        base = self.base_url()
        listed = {self.of: await self.listed(base)}
        self.set_header("Cache-Control", "no-cache")
        self.set_header("Vary", "Accept")
        self.set_header("X-Content-Type-Options", "nosniff")
        if prefers_html(self.request.headers.get("Accept", "")):
            self.set_header("Content-Type", "text/html; charset=utf-8")
            self.set_header("Content-Security-Policy", POLICY)
            self.finish(render(self.page, base, **listed))
        else:
            self.finish(listed)

    head = get

    @abstractmethod
    async def listed(self, base: str) -> list[dict[str, Any]]:
        """Return what there is.

        Parameters
        ----------
        base
            The service's root as the client sees it.
        """
