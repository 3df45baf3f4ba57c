"""A job's results: the list, each of them, and single files of a result that has many (UWS 1.1, 2.2.2.6)."""

from __future__ import annotations

from sodalake.server.dali import clip
from sodalake.server.errors import BadRequest, NoSuchPage
from sodalake.server.jobs.downloads import Download
from sodalake.server.jobs.resource import XML, JobHandler
from sodalake.uws.documents import results_document
from sodalake.uws.jobs import Job
from sodalake.uws.phases import Phase

__all__ = ["FileHandler", "ResultHandler", "ResultsHandler"]


class Gone(BadRequest):
    """What was here is deleted."""

    status = 410


class ResultsHandler(JobHandler):
    """``/soda/async/ID/results``."""

    async def get(self, job_id: str) -> None:
        """List the results."""
        job = await self.job(job_id)
        self.answer(XML, results_document(job, self.job_url(job.id)))

    head = get


class ResultHandler(Download):
    """``/soda/async/ID/results/NAME``."""

    async def get(self, job_id: str, name: str) -> None:
        """Send the result."""
        job = await self.job(job_id)
        refuse_archived(job)
        for result in job.results:
            if result.id == name:
                await self.send(result, job.ended)
                return
        raise NoSuchPage(
            f"The job has no result {clip(name)!r}.",
            f"The list is {self.job_url(job.id)}/results."
            if job.results
            else f"It is {job.phase}, and has no results.",
        )

    head = get


class FileHandler(Download):
    """``/soda/async/ID/files/NAME``: one file of the many in a result."""

    async def get(self, job_id: str, name: str) -> None:
        """Send the file."""
        job = await self.job(job_id)
        refuse_archived(job)
        found = await self.room.file(job, name)
        if found is None:
            raise NoSuchPage(
                f"The job has no file {clip(name)!r}.",
                f"Its results are listed in {self.job_url(job.id)}/results.",
            )
        await self.send(found, job.ended)

    head = get


def refuse_archived(job: Job) -> None:
    """Raise where a job's files were deleted at its destruction."""
    if job.phase is Phase.ARCHIVED:
        raise Gone(
            "The job is archived: its files were deleted at its destruction.", "Run it again as a new job."
        )
