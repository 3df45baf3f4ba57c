"""What the resources of a tree of jobs have in common: the room, the job and whose it is, addresses, pages.

XML is what everybody gets who does not ask for HTML (UWS 1.1, 2.2.2); a browser does, and gets a page. No stylesheet
is named in the XML: Chromium no longer transforms XSLT.
"""

from __future__ import annotations

import re
from typing import Any, Final

from sodalake.server.errors import AuthenticationError, Fault
from sodalake.server.handlers import Handler
from sodalake.server.identity import User
from sodalake.server.jobs.room import JobRoom
from sodalake.server.negotiation import prefers_html
from sodalake.server.portal.look import render
from sodalake.server.service import Service
from sodalake.uws.documents import href
from sodalake.uws.errors import NoSuchJob
from sodalake.uws.jobs import Job

__all__ = ["POLICY", "TEXT", "XML", "JobHandler"]

XML: Final = "text/xml; charset=utf-8"
TEXT: Final = "text/plain; charset=utf-8"

POLICY: Final = (
    "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
)
"""What a page of jobs may load: the style sheet and the script of this host, which asks this host."""

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


class JobHandler(Handler):
    """Base of the handlers of a tree."""

    has_page = False
    """Whether a browser gets HTML here."""

    room: JobRoom
    user: User

    def initialize(self, service: Service, room: JobRoom) -> None:  # type: ignore[override]
        """Take the room, too."""
        super().initialize(service)
        self.room = room

    def prepare(self) -> None:
        """Decide what the answer is written as."""
        super().prepare()
        if self.has_page:
            self.set_header("Vary", "Accept, Authorization")

    @property
    def wants_page(self) -> bool:
        """Whether the answer is a page."""
        return self.has_page and prefers_html(self.request.headers.get("Accept", ""))

    @property
    def list_url(self) -> str:
        """Address of the list of jobs."""
        return f"{self.base_url()}{self.room.path}"

    def job_url(self, job_id: str) -> str:
        """Return the address of a job."""
        return href(self.list_url, job_id)

    async def job(self, job_id: str) -> Job:
        """Return a job of the user; see `JobRoom.get`."""
        if _ID.fullmatch(job_id) is None:
            raise NoSuchJob("There is no such job here.", f"The list of your jobs is {self.list_url}.")
        return await self.room.get(self.user, job_id)

    def see_other(self, url: str) -> None:
        """Redirect to what came of the request (UWS 1.1, 2.2.3)."""
        self.set_status(303)
        self.set_header("Location", url)
        self.set_header("Cache-Control", "no-store")
        self.finish()

    def answer(self, content_type: str, body: bytes | str) -> None:
        """Answer with a document that is as it is now."""
        self.as_document(content_type)
        self.finish(body)

    def as_document(self, content_type: str) -> None:
        """Set the headers of a document that is as it is now."""
        self.set_header("Content-Type", content_type)
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")

    def show(self, template: str, **values: object) -> None:
        """Answer with a page."""
        self.set_header("Content-Security-Policy", POLICY)
        self.set_header("Referrer-Policy", "same-origin")
        self.answer(
            "text/html; charset=utf-8",
            render(
                template, self.base_url(), room=self.room, list_url=self.list_url, user=self.user, **values
            ),
        )

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Write an error: a page where one was asked for, else the label and a sentence."""
        if not self.wants_page:
            super().write_error(status_code, **kwargs)
            return
        error = kwargs.get("exc_info", (None, None, None))[1]
        fault: Fault = self.fault_of(error, status_code)
        self.set_status(fault.status)
        if fault.retry_after is not None:
            self.set_header("Retry-After", str(fault.retry_after))
        if fault.status == 401:
            self.challenge(error if isinstance(error, AuthenticationError) else None)
        if fault.status == 405:
            self.set_header("Allow", ", ".join(self.methods))
        self.show("jobfault.html", fault=fault)
