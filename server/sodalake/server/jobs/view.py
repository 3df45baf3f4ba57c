"""What the page of a job shows: plain texts, made without any HTML."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sodalake.uws.documents import href, iso, percent
from sodalake.uws.jobs import Job
from sodalake.uws.phases import ACTIVE, FINAL, Phase

__all__ = ["JobView", "Row", "size_text", "span_text"]

_UNITS: Final = ("bytes", "kB", "MB", "GB", "TB", "PB")
_SHOWN: Final = 200  # results and parameters of one page; a job may have ten thousand


def size_text(size: int) -> str:
    """Return a number of bytes for people: three digits and a unit of powers of 1000."""
    value = float(size)
    for unit in _UNITS:
        if value < 999.5 or unit == _UNITS[-1]:
            digits = 0 if unit == "bytes" or value >= 99.95 else 1
            return f"{value:.{digits}f} {unit if size != 1 else 'byte'}"
        value /= 1000
    raise AssertionError("the last unit returns")


def span_text(seconds: float) -> str:
    """Return a span of time for people."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, unit, below in ((86400, "d", "h"), (3600, "h", "min"), (60, "min", "s")):
        if whole >= size:
            rest = whole % size // {"h": 3600, "min": 60, "s": 1}[below]
            return f"{whole // size} {unit}" + (f" {rest} {below}" if rest else "")
    return f"{whole} s"


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a table: what it is, its address where it has one, and what is beside it."""

    name: str
    text: str
    url: str = ""
    detail: str = ""


class JobView:
    """A job as the page shows it."""

    def __init__(self, job: Job, url: str) -> None:
        self.job = job
        self.url = url
        self.id = job.id
        self.phase = str(job.phase)
        self.name = job.run_id or f"Job {job.id[:8]}"
        self.can_run = job.phase in (Phase.PENDING, Phase.HELD, Phase.SUSPENDED)
        self.can_abort = job.phase not in FINAL
        self.is_active = job.phase in ACTIVE
        self.runs = job.phase in (Phase.QUEUED, Phase.EXECUTING)
        self.error = job.error.message if job.error else ""
        self.has_detail = job.error is not None and job.error.has_detail and job.phase is not Phase.ARCHIVED
        self.percent = percent(job.progress)
        self.results = [
            Row(result.id, result.mime_type, href(url, "results", result.id), size_text(result.size))
            for result in job.results[:_SHOWN]
        ]
        self.more_results = len(job.results) - len(self.results)
        self.size = size_text(sum(result.size for result in job.results)) if job.results else ""
        uploads = {upload.name: upload for upload in job.uploads}
        self.parameters = [
            Row(
                parameter.id,
                uploads[parameter.value].filename or parameter.value,
                href(url, "parameters", parameter.value),
                size_text(uploads[parameter.value].size),
            )
            if parameter.by_reference and parameter.value in uploads
            else Row(parameter.id, parameter.value[:500])
            for parameter in job.parameters[:_SHOWN]
        ]
        self.more_parameters = len(job.parameters) - len(self.parameters)

    @property
    def done(self) -> str:
        """How far the job is, in words."""
        progress = self.job.progress
        total = max(progress.total, progress.done)
        if not total:
            return ""
        failed = f", {progress.failed:,} failed" if progress.failed else ""
        made = f", {size_text(progress.bytes)}" if progress.bytes else ""
        return f"{progress.done:,} of {total:,}{failed}{made}"

    @property
    def times(self) -> list[Row]:
        """The moments of the job's life; the text is a time of ISO 8601, the detail how long it took to get there."""
        job = self.job
        rows = [Row("created", iso(job.created))]
        if job.started is not None:
            waited = (job.started - (job.queued or job.created)).total_seconds()
            rows.append(Row("started", iso(job.started), detail=f"after {span_text(waited)} in the queue"))
        if job.ended is not None:
            began = job.started or job.created
            rows.append(
                Row("ended", iso(job.ended), detail=f"after {span_text((job.ended - began).total_seconds())}")
            )
        elif job.quote is not None:
            rows.append(Row("expected end", iso(job.quote)))
        if job.destruction is not None:
            left = (job.destruction - datetime.now(UTC)).total_seconds()
            gone = job.phase is Phase.ARCHIVED
            detail = f"in {span_text(left)}" if left > 0 and not gone else ""
            rows.append(Row("destroyed" if gone else "kept until", iso(job.destruction), detail=detail))
        return rows

    @property
    def limit(self) -> str:
        """How long it may execute."""
        return span_text(self.job.execution_duration) if self.job.execution_duration else "no limit"
