"""What sends a stamp: asks the fast lane, writes the product with its headers, and nothing on no overlap."""

from __future__ import annotations

from typing import ClassVar

from sodalake.server.handlers import Handler
from sodalake.server.plans import Plan
from sodalake.sodacut import NoOverlap, Product

__all__ = ["StampHandler"]


class StampHandler(Handler):
    """Base of the handlers that answer with one product."""

    run_id: str | None = None
    negotiates: ClassVar[bool] = True
    """Whether the answer depends on Accept-Encoding."""

    def noted(self) -> dict[str, str]:
        """Add RUNID to the line in the log (DALI 1.1, 3.4.6)."""
        return {"runid": self.run_id} if self.run_id else {}

    async def answer(self, plan: Plan) -> None:
        """Do what `plan` says and send it.

        Raises
        ------
        LakeError
            As the reader and the product raise; nothing was sent then.
        """
        service = self.service
        try:
            product: Product = await service.lane.call(
                plan.question, plan.finish, deadline=service.settings.deadlines.request
            )
        except NoOverlap:
            # SODA 1.0, 5.1: no pixel in the region is an empty answer, and not an error.
            self.set_status(204)
            self.clear_header("Content-Type")
            self.finish()
            return
        self.set_header("Content-Type", plan.content_type or product.content_type)
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Cache-Control", plan.cache)
        if self.negotiates:
            self.set_header("Vary", "Accept-Encoding")
        if product.content_encoding is not None:
            self.set_header("Content-Encoding", product.content_encoding)
        if name := plan.filename or product.filename:
            how = "attachment" if plan.attachment else "inline"
            self.set_header("Content-Disposition", f'{how}; filename="{name}"')
        # Tornado adds the length and an ETag, and answers 304 to a client that has these bytes.
        self.finish(product.body)
