"""Queries that are jobs, at ``/tap/async`` (TAP 1.1, 2.2): one result, ``result``, and an error that is a VOTable.

The first step plans the query on a worker, and answers it there where little is to be read; else each share of the
archive is a unit, and the last step brings together what these leave (`sodalake.tap.onworker`).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from sodalake.lake.errors import LakeError
from sodalake.server.config import Settings
from sodalake.server.dali import Parameters
from sodalake.server.tap.fetching import fetch
from sodalake.server.tap.requests import adql_of, format_of, maxrec_of, uploads_named
from sodalake.server.workerrors import told
from sodalake.tap.formats import error_document
from sodalake.tap.onworker import JobQuestion, Kept, Refused, Written, begin, finish, run_share
from sodalake.tap.questions import Elsewhere, Limits, Question, Upload
from sodalake.uws.errors import BadJob, WorkFailed
from sodalake.uws.jobs import Job, Result, Segment, UnitRecord
from sodalake.uws.kinds import Document, Plan, Planning, ResultStore, Unit

__all__ = ["KIND", "TapKind", "TapWork"]

KIND: Final = "tap"

_RESULT: Final = "result"  # TAP 1.1, 2.2
_VOTABLE: Final = "application/x-votable+xml"


class TapKind:
    """Jobs at ``/tap/async``.

    Parameters
    ----------
    lake_url
        What workers open.
    settings
        The service's.
    base_url
        Returns the root that links in answers begin with.
    """

    name = KIND

    def __init__(self, lake_url: str, settings: Settings, base_url: Callable[[], str]) -> None:
        self._lake_url = lake_url
        self._settings = settings
        self._base_url = base_url

    def check(self, job: Job, results: ResultStore) -> TapWork:
        """Read a job's parameters, and fetch the tables that it names by URL; `BadJob` where they are wrong."""
        try:
            return self._checked(job)
        except LakeError as error:
            raise BadQuery(error.message, error.advice) from error

    def _checked(self, job: Job) -> TapWork:
        parameters = Parameters((one.id, one.value) for one in job.parameters if not one.by_reference)
        tap = self._settings.tap
        form, content_type = format_of(parameters)
        maxrec = maxrec_of(parameters)
        kept: list[Kept] = []
        fetched: list[Upload] = []
        stored = {one.name: one for one in job.uploads}
        for one in uploads_named([value for value in parameters.get("upload", ()) if value.strip()]):
            if one.part is not None:
                part = stored[one.part]  # looked at when the job got it
                kept.append(Kept(one.name, part.object, part.content_type, part.filename))
                continue
            found = asyncio.run(
                fetch(one.uri, tap.upload_hosts, tap.upload_seconds, self._settings.limits.upload)
            )
            fetched.append(Upload(one.name, found.content, found.content_type, found.filename))
        question = Question(
            adql=adql_of(parameters),
            format=form.name,
            rows=min(tap.rows if maxrec is None else maxrec, tap.async_rows),
            uploads=tuple(fetched),
            authority=self._settings.authority,
            base_url=self._base_url(),
            limits=Limits(
                query=tap.query, index_rows=tap.index_rows, memory=tap.memory, upload_rows=tap.upload_rows
            ),
        )
        target = f"{job.id}/{_RESULT}"
        filename = f"{_RESULT}.{form.extension}"
        return TapWork(self._lake_url, JobQuestion(question, tuple(kept), target), content_type, filename)

    def error_document(self, error: Exception) -> Document | None:
        """Return the error as a VOTable (TAP 1.1, 3.3)."""
        return Document(_VOTABLE, error_document(str(error) or "The query failed."))


class BadQuery(BadJob):
    """A query, or what came with it, is wrong."""


@dataclass(frozen=True, slots=True)
class TapWork:
    """The work of one job.

    Attributes
    ----------
    content_type, filename
        Of its result.
    """

    lake_url: str
    asked: JobQuestion
    content_type: str
    filename: str

    @property
    def shape(self) -> str:
        """What it is like, for estimates: the same query takes about as long again."""
        return f"{KIND}/{hashlib.sha256(self.asked.question.adql.encode()).hexdigest()[:12]}"

    @property
    def targets(self) -> int:
        """One: the query."""
        return 1

    @property
    def run(self) -> Any:
        """What does a unit on a worker."""
        return partial(run_share, self.lake_url, self.asked)

    def plan(self, planning: Planning) -> Plan:
        """Plan the query on a worker; it may be answered then."""
        with told():
            (outcome,) = planning.map(
                partial(begin, self.lake_url, planning.results, planning.over_there), [self.asked]
            )
        _refuse(outcome)
        if isinstance(outcome, Written):
            return Plan([], note=outcome)
        assert isinstance(outcome, Elsewhere)
        return Plan([Unit((outcome.plan, share)) for share in outcome.shares], note=outcome.plan)

    def lost(self, unit: Unit, number: int, message: str) -> UnitRecord:
        """Let `finish` tell of a share that could not be read."""
        return UnitRecord(number, "", message.encode(), targets=1, failed=1)

    def finish(
        self, planning: Planning, plan: Plan, records: Iterator[UnitRecord], whole: bool
    ) -> Sequence[Result]:
        """Answer the query with what its shares came to. An answer that is not whole is none."""
        if not whole:
            return []
        written = plan.note
        if not isinstance(written, Written):
            parts = []
            for record in records:
                if record.failed:
                    raise WorkFailed(
                        record.entries.decode(), "Send the job again; if it stays so, tell the operator."
                    )
                parts.append((record.entries.decode(), record.part))
            with told():
                (written,) = planning.map(
                    partial(finish, self.lake_url, planning.results, planning.over_there),
                    [(self.asked, plan.note, parts)],
                )
            _refuse(written)
        planning.note(written.plan)
        segment = Segment(self.asked.target, 0, written.size)
        return [Result(_RESULT, self.content_type, (segment,), self.filename)]


def _refuse(outcome: object) -> None:
    if isinstance(outcome, Refused):
        raise BadQuery(outcome.message, outcome.advice)
