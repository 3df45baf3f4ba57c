"""``/soda/estimate``: what a job would cost, before it is one. The request is that which would create the job."""

from __future__ import annotations

from sodalake.server.errors import Fault, as_json
from sodalake.server.handlers import Handler
from sodalake.server.jobs import JobRoom, Order
from sodalake.server.jobs.forms import read_form
from sodalake.server.service import Service

__all__ = ["EstimateHandler"]


class EstimateHandler(Handler):
    """``/soda/estimate``, by POST: JSON."""

    methods = ("POST", "OPTIONS")

    def initialize(self, service: Service, room: JobRoom) -> None:  # type: ignore[override]
        """Take the room, too."""
        super().initialize(service)
        self._room = room

    async def post(self) -> None:
        """Answer with position, expected start and end, seconds and bytes."""
        form = read_form(self.request)
        answer = await self._room.estimate(self.user, Order(form.parameters, form.parts))
        self.set_header("Cache-Control", "no-store")
        self.finish(dict(answer))

    def write_fault(self, fault: Fault) -> tuple[str, bytes]:
        """Write an error as JSON."""
        return as_json(fault)
