"""A job's phase, as a word that is read and written (UWS 1.1, 2.2.2.2 and 2.2.3.5)."""

from __future__ import annotations

from sodalake.server.dali import Parameters, clip
from sodalake.server.errors import BadParameter
from sodalake.server.jobs.resource import TEXT, JobHandler
from sodalake.server.jobs.room import JobRoom
from sodalake.uws.jobs import Job

__all__ = ["PhaseHandler", "change_phase"]

_ADVICE = "It may be RUN or ABORT."


class PhaseHandler(JobHandler):
    """``/soda/async/ID/phase``."""

    methods = ("GET", "HEAD", "POST", "OPTIONS")

    async def get(self, job_id: str) -> None:
        """Answer with the word."""
        self.answer(TEXT, str((await self.job(job_id)).phase))

    head = get

    async def post(self, job_id: str) -> None:
        """Run or abort the job; answer 303 with its address."""
        parameters = Parameters.of(self.request)
        job = await self.job(job_id)
        await change_phase(self.room, job, parameters)
        self.see_other(self.job_url(job.id))


async def change_phase(room: JobRoom, job: Job, parameters: Parameters) -> None:
    """Do what PHASE says.

    Raises
    ------
    BadParameter
        It says nothing that can be done.
    IllegalTransition
        It cannot be done in the job's phase.
    """
    match parameters.required("PHASE", _ADVICE):
        case "RUN":
            await room.run(job)
        case "ABORT":
            await room.abort(job)
        case other:
            raise BadParameter(f"PHASE={clip(other)!r} is not what a job can be told.", _ADVICE)
