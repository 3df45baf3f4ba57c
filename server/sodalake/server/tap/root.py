"""``/tap``: a page for people (TAP 1.1, section 2): what there is, queries to begin with, addresses for clients."""

from __future__ import annotations

from urllib.parse import urlencode

from sodalake.server.handlers import Handler
from sodalake.server.portal.look import POLICY, render
from sodalake.server.tap.examples import examples

__all__ = ["RootHandler"]


class RootHandler(Handler):
    """``/tap``."""

    def get(self) -> None:
        """Show the page."""
        published = self.service.tap.published()
        base = self.base_url()
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_header("Content-Security-Policy", POLICY)
        self.set_header("Cache-Control", "no-cache")
        self.finish(
            render(
                "tap.html",
                base,
                schemas=published.schemas,
                examples=examples(published),
                urlencode=urlencode,
            )
        )

    head = get
