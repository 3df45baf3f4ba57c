"""A job: its document, waiting for its phase to change (UWS 1.1, 2.2.1.2), and its end (2.2.3.2)."""

from __future__ import annotations

import asyncio
import contextlib

from tornado.httputil import HTTPHeaders
from tornado.iostream import StreamClosedError

from sodalake.server.dali import Parameters, clip
from sodalake.server.errors import BadParameter
from sodalake.server.jobs.forms import duration_of, moment, read_form, whole_number
from sodalake.server.jobs.phase import change_phase
from sodalake.server.jobs.prepared import CROWD
from sodalake.server.jobs.resource import XML, JobHandler
from sodalake.server.jobs.view import JobView
from sodalake.uws.jobs import Job
from sodalake.uws.phases import ACTIVE, Phase

__all__ = ["JobPage"]

_LOG_AFTER = 0.25  # seconds


class JobPage(JobHandler):
    """``/soda/async/ID``."""

    methods = ("GET", "HEAD", "POST", "DELETE", "OPTIONS")
    has_page = True

    async def get(self, job_id: str) -> None:
        """Answer with the job; with WAIT, when its phase has changed or the time is up."""
        parameters = Parameters.of(self.request)
        seconds = whole_number(
            parameters,
            "WAIT",
            -1,
            f"It is in seconds; -1 and what is above {self.room.limits.wait:g} wait so long.",
        )
        phase = _phase(parameters)
        job = await self.job(job_id)
        # Nothing but an active phase changes soon; and a phase that is not the client's idea of it is news (2.2.1.2).
        if seconds and job.phase in ACTIVE and phase in (None, job.phase):
            longest = self.room.limits.wait
            job, together = await self.room.waiting.change(
                job, longest if seconds < 0 else min(seconds, longest)
            )
            if together >= CROWD and self.request.method == "GET" and not self.wants_page:
                self._answer_in_a_crowd(job)
                return
        job = await self.room.quoted(job)
        if self.wants_page:
            self.show("job.html", job=JobView(job, self.job_url(job.id)))
        else:
            self.answer(XML, self.room.prepared.document(job, self.job_url(job.id)))

    head = get

    def _answer_in_a_crowd(self, job: Job) -> None:
        """Answer as many others are answered now; see `prepared`. The log is written when all are told."""
        answer = self.room.prepared.answer(
            job, self.base_url(), self.user.name, lambda: self._head_and_body(job)
        )
        seconds = self.request.request_time()
        stream = self.detach()
        with contextlib.suppress(StreamClosedError):
            stream.write(answer).add_done_callback(lambda sent: stream.close())
        self._count_out()
        asyncio.get_running_loop().call_later(_LOG_AFTER, self._line, 200, seconds)

    def _head_and_body(self, job: Job) -> tuple[HTTPHeaders, bytes]:
        self.as_document(XML)
        return self._headers, self.room.prepared.document(job, self.job_url(job.id))

    async def post(self, job_id: str) -> None:
        """Do what ACTION=DELETE, PHASE, EXECUTIONDURATION or DESTRUCTION says.

        Parameters of the job itself are not taken here (DALI 1.1, 2.1).
        """
        form = read_form(self.request)
        job = await self.job(job_id)
        if form.parameters or form.parts or "RUNID" in form.ours:
            name = form.parameters[0].id if form.parameters else "RUNID"
            raise BadParameter(
                f"{clip(name)} is not taken here.",
                f"Parameters of a job are posted to {self.job_url(job.id)}/parameters.",
            )
        action = form.ours.one("ACTION")
        if action is not None:
            if action != "DELETE":
                raise BadParameter(f"ACTION={clip(action)!r} is not known.", "It may be DELETE.")
            await self._delete(job)
            return
        seconds, when = duration_of(form.ours), moment(form.ours, "DESTRUCTION")
        if seconds is None and when is None and "PHASE" not in form.ours:
            raise BadParameter(
                "Nothing was asked for.", "Send ACTION=DELETE, PHASE, EXECUTIONDURATION or DESTRUCTION."
            )
        if seconds is not None:
            await self.room.set_duration(job, seconds)
        if when is not None:
            await self.room.set_destruction(job, when)
        if "PHASE" in form.ours:
            await change_phase(self.room, job, form.ours)
        self.see_other(self.job_url(job.id))

    async def delete(self, job_id: str) -> None:
        """Delete the job (UWS 1.1, 2.2.3.2)."""
        await self._delete(await self.job(job_id))

    async def _delete(self, job: Job) -> None:
        await self.room.delete(job)
        # Clients follow the redirect, and a list of ten thousand jobs would make a DELETE slow.
        self.see_other(f"{self.list_url}?LAST={self.room.limits.listed}")


def _phase(parameters: Parameters) -> Phase | None:
    value = parameters.one("PHASE")
    if value is None:
        if "PHASE" in parameters:
            raise BadParameter("PHASE has no value.", f"Phases: {', '.join(Phase)}.")
        return None
    try:
        return Phase(value)
    except ValueError:
        raise BadParameter(f"PHASE={clip(value)!r} is no phase.", f"Phases: {', '.join(Phase)}.") from None
