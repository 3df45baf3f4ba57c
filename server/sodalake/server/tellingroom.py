"""Rooms whose jobs' owners are told by mail when these end: NOTIFY, and the setting `mail.after`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from sodalake.server.config import Settings
from sodalake.server.dali import Parameters
from sodalake.server.identity import User
from sodalake.server.jobs import JobRoom, Order
from sodalake.server.mail import telling
from sodalake.uws.jobs import NewJob, Upload

__all__ = ["TellingRoom"]


@dataclass(eq=False)
class TellingRoom(JobRoom):
    """A room of jobs that may end in a mail.

    Parameters
    ----------
    settings
        The service's.
    """

    settings: Settings = field(default_factory=Settings)

    def new_job(self, user: User, order: Order, job_id: str, uploads: Sequence[Upload]) -> NewJob:
        """Add whether its owner is told of its end."""
        new = super().new_job(user, order, job_id, uploads)
        notify = Parameters((one.id, one.value) for one in order.parameters if one.id.lower() == "notify")
        wanted = notify.flag("NOTIFY") if "notify" in notify else None
        email, after = telling(user.email, wanted, self.settings.mail.after)
        return replace(new, email=email if self.settings.mail.host else "", tell_after=after)
