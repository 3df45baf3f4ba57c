"""The steps of a query that is a job, as they are called on a batch worker with the URL of the lake.

A query that the row store answers is done in the first step, `begin`. One that reads the archive comes back as shares:
each is a unit, which writes what is left of its files as Arrow; the last step, `finish`, brings them together. What is
wrong with the query itself comes back as a value: it would be the same if it were tried again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Protocol

from sodalake.lake.alertrows import TooManyRows
from sodalake.lake.errors import UsageError
from sodalake.lake.lake import Lake
from sodalake.lake.memory import keep_freed_memory
from sodalake.tap.planning.explain import explained
from sodalake.tap.planning.plan import Plan
from sodalake.tap.questions import Elsewhere, Question, Share, Upload
from sodalake.tap.running.guard import Guard
from sodalake.tap.running.run import Run
from sodalake.tap.session import answer, packed, session_of, share_run, unpacked

__all__ = ["Context", "JobQuestion", "Kept", "Refused", "Written", "begin", "finish", "run_share"]

_THREADS = 2
_WITHOUT_END = 10 * 365 * 86_400.0  # seconds: a job is ended from outside


class Objects(Protocol):
    """Where parts and results are kept."""

    def write(self, name: str, content: bytes | Iterable[bytes]) -> int:
        """Write an object, whole or not at all; return its bytes."""

    def open(self, name: str) -> Any:
        """Open an object."""


class Context(Protocol):
    """What a unit is given by whoever runs it."""

    @property
    def part(self) -> str:
        """The name its part is to have."""

    @property
    def results(self) -> Any:
        """Where it is written."""

    @property
    def cancelled(self) -> Callable[[], bool]:
        """Whether the job is over."""

    def record(self, part: str, entries: bytes, *, targets: int, failed: int, bytes: int) -> Any:
        """Make the record that is given back."""


@dataclass(frozen=True, slots=True)
class Kept:
    """An upload that is kept beside the job: its name, its object, and what was said of it."""

    name: str
    object: str
    content_type: str = ""
    filename: str = ""


@dataclass(frozen=True, slots=True)
class JobQuestion:
    """A question whose uploads are objects, and the object that its answer is to be."""

    question: Question
    uploads: tuple[Kept, ...]
    target: str

    def read(self, objects: Objects) -> Question:
        """Return the question with what its uploads hold."""
        uploads = tuple(
            Upload(one.name, _content(objects, one.object), one.content_type, one.filename)
            for one in self.uploads
        )
        return replace(self.question, uploads=self.question.uploads + uploads)


@dataclass(frozen=True, slots=True)
class Written:
    """An answer that is there: bytes of its object, and for people how it came about."""

    size: int
    plan: str


@dataclass(frozen=True, slots=True)
class Refused:
    """What is wrong with the question."""

    message: str
    advice: str


def begin(
    lake_url: str, objects: Objects, cancelled: Callable[[], bool], asked: JobQuestion
) -> Written | Elsewhere | Refused:
    """Plan a question, and answer it; but where it reads much of the archive, return that as shares."""
    session = session_of(_lake(lake_url), _THREADS)
    guard = Guard(_WITHOUT_END, cancelled)
    try:
        question = asked.read(objects)
        understood = session.asked(question)
        if not understood.plan.scans or not question.rows:
            run = session.run(question, understood, guard, most=question.limits.index_rows)
            try:
                return _written(asked, question, run, objects, understood)
            except TooManyRows:
                understood = session.asked(question, "ids")
        shares = session.shares(understood.plan, question.limits.share)
        if shares:
            return Elsewhere(understood.plan, shares)
        run = session.run(question, understood, guard, most=None)
        return _written(asked, question, run, objects, understood)
    except UsageError as error:
        return Refused(error.message, error.advice)


def run_share(lake_url: str, asked: JobQuestion, work: tuple[Plan, Share], context: Context) -> Any:
    """Do a unit: read and reduce some files, and write what is left as an Arrow IPC stream."""
    plan, share = work
    guard = Guard(_WITHOUT_END, context.cancelled)
    session = session_of(_lake(lake_url), _THREADS)
    try:
        content = packed(share_run(session, asked.question, plan, guard).reduced_share(share))
    except UsageError as error:
        return context.record("", str(error).encode(), targets=1, failed=1, bytes=0)
    size = context.results.write(context.part, content)
    return context.record(context.part, share.source.encode(), targets=1, failed=0, bytes=size)


def finish(
    lake_url: str,
    objects: Objects,
    cancelled: Callable[[], bool],
    work: tuple[JobQuestion, Plan, Sequence[tuple[str, str]]],
) -> Written | Refused:
    """Answer a question with the parts (source, object) that its shares came to."""
    asked, plan, found = work
    session = session_of(_lake(lake_url), _THREADS)
    guard = Guard(_WITHOUT_END, cancelled)
    try:
        question = asked.read(objects)
        parts: dict[str, list[Any]] = {}
        for source, name in found:
            parts.setdefault(source, []).append(unpacked(_content(objects, name)))
        understood = replace(session.asked(question), plan=plan)
        run = session.run(question, understood, guard, most=None, parts=parts)
        return _written(asked, question, run, objects, understood)
    except UsageError as error:
        return Refused(error.message, error.advice)


def _written(asked: JobQuestion, question: Question, run: Run, objects: Objects, understood: Any) -> Written:
    stream = answer(question, run, understood)
    size = objects.write(asked.target, iter(stream))
    run.guard.check()  # a stream that was stopped ends early, and is not whole
    counted = {source: (one.path, one.rows) for source, one in run.counted.items()}
    return Written(size, explained(run.plan, counted))


def _content(objects: Objects, name: str) -> bytes:
    stored = objects.open(name)
    try:
        content: bytes = stored.read_at(0, stored.size)
        return content
    finally:
        stored.close()


@lru_cache(maxsize=4)
def _lake(lake_url: str) -> Lake:
    keep_freed_memory()
    return Lake.open(lake_url)
