"""`JobStore` over two things that a data base has its own way of: run an operation that reads, and one that writes."""

# ruff: noqa: D102 - the methods are described in `JobStore`

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Concatenate, Final, ParamSpec, TypeVar

from sodalake.uws.errors import StoreUnavailable
from sodalake.uws.events import Events
from sodalake.uws.jobs import (
    ErrorSummary,
    Job,
    JobRef,
    Load,
    NewJob,
    Parameter,
    Progress,
    Result,
    Timing,
    UnitRecord,
    Upload,
)
from sodalake.uws.phases import Event, Phase

from . import clients, executors, housekeeping
from .protocol import Moved
from .transaction import Transaction, known_id, no_such_job

__all__ = ["Store", "runner_name"]

MOST_AT_ONCE: Final = 256
"""Jobs read by one statement, where many are asked for at the same time."""

Answer = TypeVar("Answer")
Arguments = ParamSpec("Arguments")
Operation = Callable[Concatenate[Transaction, Arguments], Answer]


def runner_name(server_name: str) -> str:
    """Return a name for this server process that no other has, and that tells an operator which it is."""
    return f"{server_name or socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


class Store(ABC):
    """A `JobStore`; see there for what the methods promise.

    Attributes
    ----------
    serve
        False: opened only to look.
    """

    def __init__(self, runner: str, *, serve: bool) -> None:
        self.runner, self.serve = runner, serve
        self._closed = False
        self.events = Events()
        self._asked: dict[str, asyncio.Future[Job | None]] = {}
        self._getting: asyncio.Task[None] | None = None

    @abstractmethod
    async def close(self) -> None:
        """Let go of the data base, and of the jobs this runner had."""

    @abstractmethod
    async def _read(
        self, operation: Operation[Arguments, Answer], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Answer:
        """Run an operation that only reads."""

    @abstractmethod
    async def _write(
        self, operation: Operation[Arguments, Answer], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Answer:
        """Run an operation in a transaction, commit it, and wake those who wait for what it changed."""

    def _check_open(self) -> None:
        if self._closed:
            raise StoreUnavailable("The store of jobs is closed.", "The server is ending; try again soon.")

    def _check_serves(self) -> None:
        if not self.serve:
            raise StoreUnavailable(
                "The store of jobs was opened to look only.", "Ask the server to change it."
            )

    # -- clients

    async def create(self, new: NewJob) -> Job:
        return await self._write(clients.create, new)

    async def get(self, job_id: str) -> Job:
        """Return a job.

        Those who ask while a query is under way are answered together by the next one: a change that wakes a
        thousand costs a few statements.
        """
        answer = self._asked.get(known_id(job_id))
        if answer is None:
            answer = self._asked[job_id] = asyncio.get_running_loop().create_future()
        if self._getting is None:
            self._getting = asyncio.create_task(self._get_asked(), name="get-jobs")
        job = await asyncio.shield(answer)
        if job is None:
            raise no_such_job(job_id)
        return job

    async def _get_asked(self) -> None:
        while self._asked:
            asked = {job_id: self._asked.pop(job_id) for job_id in list(self._asked)[:MOST_AT_ONCE]}
            # What went wrong is the askers', not this task's.
            reading = asyncio.ensure_future(self._read(clients.get_many, list(asked)))
            await asyncio.wait([reading])
            error = reading.exception()
            for job_id, answer in asked.items():
                if error is not None:
                    answer.set_exception(error)
                    answer.exception()  # the asker may have gone away
                else:
                    answer.set_result(reading.result().get(job_id))
        self._getting = None

    async def find(
        self,
        kind: str,
        owner: str | None,
        *,
        phases: Collection[Phase] = (),
        after: datetime | None = None,
        last: int | None = None,
    ) -> list[JobRef]:
        return await self._read(clients.find, kind, owner, phases, after, last)

    async def move(
        self,
        job_id: str,
        event: Event,
        *,
        error: ErrorSummary | None = None,
        results: Sequence[Result] | None = None,
        units: Sequence[UnitRecord] = (),
        timing: Timing | None = None,
        note: str | None = None,
    ) -> Moved:
        return await self._write(executors.move, job_id, event, error, results, units, timing, note)

    async def edit(
        self,
        job_id: str,
        *,
        parameters: Sequence[Parameter] | None = None,
        uploads: Sequence[Upload] | None = None,
        run_id: str | None = None,
        execution_duration: int | None = None,
        destruction: datetime | None = None,
        quote: datetime | None = None,
        results: Sequence[Result] | None = None,
        only_in: Collection[Phase] = (),
    ) -> Job:
        return await self._write(
            clients.edit,
            job_id,
            parameters,
            uploads,
            run_id,
            execution_duration,
            destruction,
            quote,
            results,
            only_in,
        )

    async def delete(self, job_id: str) -> None:
        await self._write(clients.forget, job_id)

    async def load(self, owner: str | None = None, *, everybody: bool = False) -> Load:
        return await self._read(clients.load, owner, everybody)

    # -- executors

    async def waiting(self, limit: int = 100, *, not_of: Collection[str | None] = ()) -> list[Job]:
        return await self._read(executors.waiting, limit, not_of)

    async def claim(self, job_id: str) -> Job | None:
        return await self._write(executors.claim, job_id)

    async def orphans(self) -> list[str]:
        return await self._read(executors.orphans)

    async def request_abort(self, job_id: str) -> None:
        await self._write(executors.request_abort, job_id)

    async def abort_requests(self) -> list[str]:
        return await self._read(executors.abort_requests)

    async def set_plan(self, job_id: str, plan: bytes, shape: str, progress: Progress) -> None:
        await self._write(executors.set_plan, job_id, plan, shape, progress)

    async def plan(self, job_id: str) -> bytes | None:
        return await self._read(executors.kept_plan, job_id)

    async def record(self, job_id: str, units: Sequence[UnitRecord]) -> list[int]:
        return await self._write(executors.record, job_id, units)

    async def units(self, job_id: str) -> list[UnitRecord]:
        return await self._read(executors.recorded_units, job_id)

    async def timings(self, limit: int = 500) -> list[Timing]:
        return await self._read(executors.last_timings, limit)

    # -- housekeeping

    async def expired(self, now: datetime, limit: int = 100) -> list[str]:
        return await self._read(housekeeping.expired, now, limit)

    async def next_destruction(self) -> datetime | None:
        return await self._read(housekeeping.next_destruction)

    async def swept(self, job_id: str) -> None:
        await self._write(housekeeping.swept, job_id)

    async def unswept(self) -> list[str]:
        return await self._read(housekeeping.unswept)

    async def forget_archived(self, before: datetime) -> int:
        return await self._write(housekeeping.forget_archived, before)

    async def due_mails(self, limit: int = 50) -> list[Job]:
        return await self._write(housekeeping.due_mails, limit)

    async def mail_done(self, job_id: str, error: str | None = None) -> None:
        await self._write(housekeeping.mail_done, job_id, error)
