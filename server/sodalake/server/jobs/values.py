"""What a job says in one word each: executionduration, destruction, quote, owner; and its error.

What is not known is an empty text, as UWS 1.1 (2.1.5, 2.1.6) wants it for destruction and quote; a job without owner
or error is told the same way, so that a client that asks for every resource of a job always gets an answer.
"""

from __future__ import annotations

import asyncio

from sodalake.server.dali import Parameters
from sodalake.server.errors import BadParameter
from sodalake.server.jobs.forms import duration_of, moment
from sodalake.server.jobs.resource import TEXT, JobHandler
from sodalake.uws.documents import iso
from sodalake.uws.kinds import ResultStore
from sodalake.uws.phases import Phase

__all__ = ["DestructionHandler", "DurationHandler", "ErrorHandler", "OwnerHandler", "QuoteHandler"]


class DurationHandler(JobHandler):
    """``/soda/async/ID/executionduration``: seconds, 0 for no limit (UWS 1.1, 2.1.4)."""

    methods = ("GET", "HEAD", "POST", "OPTIONS")

    async def get(self, job_id: str) -> None:
        """Answer with the seconds."""
        self.answer(TEXT, str((await self.job(job_id)).execution_duration))

    head = get

    async def post(self, job_id: str) -> None:
        """Change it, to no more than the service allows; the job tells what it is now."""
        seconds = duration_of(Parameters.of(self.request))
        job = await self.job(job_id)
        if seconds is None:
            raise BadParameter("A value for EXECUTIONDURATION is required.", "It is in seconds.")
        await self.room.set_duration(job, seconds)
        self.see_other(self.job_url(job.id))


class DestructionHandler(JobHandler):
    """``/soda/async/ID/destruction``: when the job and its results go (UWS 1.1, 2.1.5)."""

    methods = ("GET", "HEAD", "POST", "OPTIONS")

    async def get(self, job_id: str) -> None:
        """Answer with the time."""
        job = await self.job(job_id)
        self.answer(TEXT, "" if job.destruction is None else iso(job.destruction))

    head = get

    async def post(self, job_id: str) -> None:
        """Change it, to no later than the service allows; the job tells what it is now."""
        when = moment(Parameters.of(self.request), "DESTRUCTION")
        job = await self.job(job_id)
        if when is None:
            raise BadParameter("A value for DESTRUCTION is required.", "Write it as 2026-05-17T20:00:00Z.")
        await self.room.set_destruction(job, when)
        self.see_other(self.job_url(job.id))


class QuoteHandler(JobHandler):
    """``/soda/async/ID/quote``: when the job is likely to be done (UWS 1.1, 2.1.6)."""

    async def get(self, job_id: str) -> None:
        """Answer with the time; empty where nobody knows."""
        job = await self.room.quoted(await self.job(job_id))
        self.answer(TEXT, "" if job.quote is None else iso(job.quote))

    head = get


class OwnerHandler(JobHandler):
    """``/soda/async/ID/owner``: empty where the job was made without a name."""

    async def get(self, job_id: str) -> None:
        """Answer with the name."""
        self.answer(TEXT, (await self.job(job_id)).owner or "")

    head = get


class ErrorHandler(JobHandler):
    """``/soda/async/ID/error``: with 200, whatever went wrong with the job (DALI 1.1, 4.2)."""

    async def get(self, job_id: str) -> None:
        """Answer with the document that the kind wrote, or the message; empty where there is no error."""
        job = await self.job(job_id)
        if job.error is None:
            self.answer(TEXT, "")
        elif job.error.has_detail and job.phase is not Phase.ARCHIVED:
            body = await asyncio.to_thread(_read, self.room.results, f"{job.id}/error")
            self.set_header("Content-Security-Policy", "sandbox; default-src 'none'")
            self.answer(job.error.detail_type, body)
        else:
            self.answer(TEXT, f"{job.error.message}\n")

    head = get


def _read(results: ResultStore, name: str) -> bytes:
    stored = results.open(name)
    try:
        return stored.read_at(0, stored.size)
    finally:
        stored.close()
