"""What sends a cut of an image: asks for it, and writes it with what it is of; nothing where nothing is left."""

from __future__ import annotations

import asyncio

from sodalake.server.handlers import Handler
from sodalake.server.plans import LASTING
from sodalake.sodacut import NoOverlap
from sodalake.sodacut.images.requests import ImageRequest

__all__ = ["ImageHandler"]


class ImageHandler(Handler):
    """Base of the handlers that answer with a cut of an image."""

    run_id: str | None = None

    def noted(self) -> dict[str, str]:
        """Add RUNID to the line in the log (DALI 1.1, 3.4.6)."""
        return {"runid": self.run_id} if self.run_id else {}

    def send_nothing(self) -> None:
        """Answer that nothing is left: empty, and no error (SODA 1.0, 5.1)."""
        self.set_status(204)
        self.clear_header("Content-Type")
        self.finish()

    async def send(
        self, request: ImageRequest, content_type: str | None = None, cache: str = LASTING
    ) -> None:
        """Answer a request.

        Raises
        ------
        LakeError
            As `ImageEngine.open`; nothing was sent then.
        """
        try:
            answer = await self.service.images.open(request)
        except NoOverlap:
            self.send_nothing()
            return
        try:
            head = answer.head
            self.set_header("Content-Type", content_type or head.content_type)
            self.set_header("X-Content-Type-Options", "nosniff")
            self.set_header("Cache-Control", cache)
            for name, value in head.headers:
                self.set_header(name, value)
            if head.filename is not None:
                self.set_header("Content-Disposition", f'inline; filename="{head.filename}"')
            if answer.whole is not None:
                # Tornado adds the length and an ETag, and answers 304 to a client that has these bytes.
                self.finish(answer.whole)
                return
            self.set_header("Content-Length", str(head.length))
            if self.request.method == "HEAD":
                self.finish()
                return
            with self.whole_or_cut(request=str(request)[:200]):
                async for piece in answer:
                    self.write(piece)
                    await asyncio.wait_for(self.flush(), self.service.settings.deadlines.write)
                self.finish()
        finally:
            await answer.close()
