"""A job's parameters: read, and changed while it is PENDING (UWS 1.1, 2.1.11; DALI 1.1, 2.1)."""

from __future__ import annotations

from sodalake.server.dali import Parameters, clip, decoded
from sodalake.server.errors import BadParameter, NoSuchPage
from sodalake.server.jobs.downloads import Download
from sodalake.server.jobs.forms import OURS, PART_NAME, Part, check_text, read_form, run_id_of
from sodalake.server.jobs.resource import TEXT, XML, JobHandler
from sodalake.server.jobs.results import refuse_archived
from sodalake.uws.documents import parameters_document
from sodalake.uws.jobs import Job, Parameter, Result, Segment, Upload

__all__ = ["ParameterHandler", "ParametersHandler"]

_LONGEST_VALUE = 65_536  # bytes of a value that is kept as text; what is longer is a file


class ParametersHandler(JobHandler):
    """``/soda/async/ID/parameters``."""

    methods = ("GET", "HEAD", "POST", "OPTIONS")

    async def get(self, job_id: str) -> None:
        """List the parameters."""
        job = await self.job(job_id)
        self.answer(XML, parameters_document(job, self.job_url(job.id)))

    head = get

    async def post(self, job_id: str) -> None:
        """Add parameters and files to a job that is PENDING; RUNID replaces the one it has."""
        form = read_form(self.request)
        job = await self.job(job_id)
        foreign = sorted(set(form.ours) - {"runid"})
        if foreign:
            raise BadParameter(
                f"{foreign[0].upper()} is no parameter of the job.", f"Send it to {self.job_url(job.id)}."
            )
        run_id = run_id_of(form.ours)
        if not form.parameters and "runid" not in form.ours:
            raise BadParameter("No parameter was sent.", "Send at least one.")
        # RUNID without a value takes the job's away.
        replaced = (run_id or "") if "runid" in form.ours else None
        await self.room.add(job, form.parameters, form.parts, replaced)
        self.see_other(self.job_url(job.id))


class ParameterHandler(Download):
    """``/soda/async/ID/parameters/NAME``: a value, or the content of a file."""

    methods = ("GET", "HEAD", "PUT", "OPTIONS")

    async def get(self, job_id: str, name: str) -> None:
        """Send the file of that name, or answer with the parameter's values, a line each."""
        job = await self.job(job_id)
        upload = _upload(job, name)
        if upload is not None:
            refuse_archived(job)
            segment = Segment(upload.object, 0, upload.size)
            await self.send(
                Result(upload.name, upload.content_type, (segment,), upload.filename or upload.name),
                job.created,
            )
            return
        values = [p.value for p in job.parameters if p.id.lower() == name.lower()]
        if not values:
            raise NoSuchPage(
                f"The job has no parameter {clip(name)!r}.", f"The list is {self.job_url(job.id)}/parameters."
            )
        self.answer(TEXT, "\n".join(values))

    head = get

    async def put(self, job_id: str, name: str) -> None:
        """Set the parameter, of a job that is PENDING, to what the body is: text, or a file where it is not."""
        job = await self.job(job_id)
        body = self.request.body
        if name.lower() == "runid":
            await self.room.add(
                job, (), (), run_id_of(Parameters([(name, check_text(name, decoded(name, body)))])) or ""
            )
            self.see_other(self.job_url(job.id))
            return
        if name.lower() in OURS:
            raise BadParameter(
                f"{name.upper()} is no parameter of the job.", f"Post it to {self.job_url(job.id)}."
            )
        kind = self.request.headers.get("Content-Type", "text/plain").strip()
        is_text = kind.partition(";")[0].strip().lower() in (
            "text/plain",
            "application/x-www-form-urlencoded",
        )
        part = None
        if _upload(job, name) is not None or not is_text or len(body) > _LONGEST_VALUE:
            if PART_NAME.fullmatch(name) is None:
                raise BadParameter(
                    f"A file cannot be called {clip(name)!r}.",
                    "Names are up to 64 letters, digits and _ . - of ASCII.",
                )
            if not kind.isascii() or not kind.isprintable():
                kind = "application/octet-stream"
            part = Part(name, body, kind[:200])
            parameter = Parameter(name, name, by_reference=True)
        else:
            parameter = Parameter(name, check_text(name, decoded(name, body)))
        await self.room.put(job, parameter, part)
        self.see_other(self.job_url(job.id))


def _upload(job: Job, name: str) -> Upload | None:
    """Return the file of that name, or the one that the parameter of that name is."""
    names = [name, *(p.value for p in job.parameters if p.by_reference and p.id.lower() == name.lower())]
    return next((upload for wanted in names for upload in job.uploads if upload.name == wanted), None)
