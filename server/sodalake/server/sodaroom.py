"""The jobs at ``/soda/async``: the room their tree stands on, and all that stands behind it, put together.

The store of jobs, the folder of results, the executor on the batch workers, and the postman belong to one
service; `open_room` starts them in that order and has them stopped in reverse.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from sodalake.lake.errors import ConfigurationError, FileGone
from sodalake.lake.files import join, path_of
from sodalake.lake.lake import Lake
from sodalake.lake.results import ResultFolder
from sodalake.lake.survey import Survey
from sodalake.server.config import Settings
from sodalake.server.dali import Parameters
from sodalake.server.errors import BadParameter
from sodalake.server.forecasts import Forecasts, Sketch
from sodalake.server.identity import User
from sodalake.server.jobs import JobLimits, JobRoom, Order
from sodalake.server.mail import MailedJob, Postman, telling
from sodalake.server.sections import Jobs
from sodalake.server.service import Service
from sodalake.server.sodajobs import SodaKind
from sodalake.server.sodaorders import asked, sketch
from sodalake.server.workers import BATCH, Workers
from sodalake.sodacut.jobs.locator import Locator
from sodalake.uws.daskpool import DaskPool
from sodalake.uws.documents import iso
from sodalake.uws.errors import StoreUnavailable
from sodalake.uws.executor import Executor, ExecutorLimits
from sodalake.uws.jobs import Job, NewJob, Result, Segment, Upload
from sodalake.uws.store import open_store

__all__ = ["SodaRoom", "open_room", "store_url"]

_PATH = "/soda/async"
_OPEN_LOCATORS = 32
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(eq=False)
class SodaRoom(JobRoom):
    """The room of SODA's jobs.

    Parameters
    ----------
    settings
        The service's.
    surveys
        Those of the lake, by name.
    forecasts
        What estimates and quotes come from.
    """

    settings: Settings = field(default_factory=Settings)
    surveys: Mapping[str, Survey] = field(default_factory=dict)
    forecasts: Forecasts | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._locators: OrderedDict[str, Locator] = OrderedDict()

    def new_job(self, user: User, order: Order, job_id: str, uploads: Sequence[Upload]) -> NewJob:
        """Add whether its owner is told of its end: NOTIFY, and the setting `mail.after`."""
        new = super().new_job(user, order, job_id, uploads)
        notify = Parameters((one.id, one.value) for one in order.parameters if one.id.lower() == "notify")
        wanted = notify.flag("NOTIFY") if "notify" in notify else None
        email, after = telling(user.email, wanted, self.settings.mail.after)
        return replace(new, email=email if self.settings.mail.host else "", tell_after=after)

    async def quoted(self, job: Job) -> Job:
        """Return the job with the time at which it is expected to end."""
        assert self.forecasts is not None
        expected = await self.forecasts.of_job(job)
        return job if expected is None else replace(job, quote=expected.end)

    async def estimate(self, user: User, order: Order) -> Mapping[str, object]:
        """Return position in the queue, expected start and end, seconds and bytes; reads the list, and refuses it.

        Raises
        ------
        LakeError
            As the job itself would be refused.
        """
        assert self.forecasts is not None
        if len(order.parts) > 1:
            raise BadParameter(f"There are {len(order.parts)} files; a job takes one list.", "Send one.")
        part = next(iter(order.parts), None)
        made = await asyncio.to_thread(
            asked,
            order.parameters,
            None if part is None else (part.content, part.content_type, part.filename),
            self.surveys,
            self.settings.authority,
            self.settings.jobs,
            user.name,
        )
        sketched = Sketch(made.shape, len(made.work))
        expected = await self.forecasts.of_new(user.name, user.priority, sketched)
        prediction = expected.prediction
        return {
            "targets": sketched.targets,
            "position": expected.position,
            "expected_start": iso(expected.start),
            "expected_end": iso(expected.end),
            "seconds": round(prediction.seconds, 3),
            "seconds_low": round(prediction.low, 3),
            "seconds_high": round(prediction.high, 3),
            "bytes": prediction.bytes,
            "based_on": prediction.samples,
        }

    async def file(self, job: Job, name: str) -> Result | None:
        """Return one file of a job, by its name in the manifest."""
        return await asyncio.to_thread(self._located, job, name)

    def _located(self, job: Job, name: str) -> Result | None:
        try:
            locator = self._locators.pop(job.id, None) or Locator(self.results.open(f"{job.id}/locator"))
        except FileGone:
            return None
        self._locators[job.id] = locator
        while len(self._locators) > _OPEN_LOCATORS:
            self._locators.popitem(last=False)
        found = locator.find(name)
        if found is None:
            return None
        segment = Segment(found.object, found.offset, found.length)
        return Result(name, found.content_type, (segment,), name, found.sha256)


def store_url(settings: Settings, lake: Lake) -> str:
    """Return the URL of the store of jobs: the setting, or a file in the lake, or one in the user's state folder."""
    if settings.jobs.store:
        return settings.jobs.store
    if urlsplit(lake.url).scheme == "file":
        return f"sqlite://{path_of(join(lake.url, 'jobs.sqlite'))}"
    # A lake elsewhere has no file system that SQLite can lock.
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state")
    name = hashlib.sha256(lake.url.encode()).hexdigest()[:16]
    return f"sqlite://{state / 'sodalake' / name / 'jobs.sqlite'}"


async def open_room(service: Service, workers: Workers, close: contextlib.AsyncExitStack) -> SodaRoom:
    """Open the store, start the executor and the postman, and return the room; `close` undoes it.

    Raises
    ------
    ConfigurationError
        The store cannot be opened: another server has it, or it does not answer.
    """
    settings, lake = service.settings, service.lake
    jobs = settings.jobs
    try:
        store = await open_store(store_url(settings, lake))
    except StoreUnavailable as error:
        raise ConfigurationError(error.message, error.advice) from error
    close.push_async_callback(store.close)
    results = ResultFolder(jobs.results or join(lake.url, lake.content.results), jobs.copies)
    kind = SodaKind(lake.url, lake.surveys, settings.authority, jobs)
    executor = Executor(
        store, {kind.name: kind}, results, DaskPool(lambda: workers.client, BATCH), _executor_limits(jobs)
    )
    room = SodaRoom(
        store,
        results,
        executor,
        kind.name,
        _PATH,
        "Cutout jobs",
        _job_limits(settings),
        settings=settings,
        surveys=lake.surveys,
        forecasts=Forecasts(executor, kind.name, sketch),
    )
    if settings.mail.host:
        postman = Postman(store, settings.mail, lambda job: _url_of(service, job))
        executor.ended = postman.wake
        posting = asyncio.create_task(postman.run())
        close.push_async_callback(_ended, posting)
    await executor.start()
    close.push_async_callback(executor.stop)
    service.on_drain.append(room.waiting.release)
    close.push_async_callback(room.close)
    return room


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait((task,))


def _url_of(service: Service, job: MailedJob) -> str:
    root = service.settings.mail.url or service.url
    return f"{root.rstrip('/')}{_PATH}/{job.id}"


def _executor_limits(jobs: Jobs) -> ExecutorLimits:
    return ExecutorLimits(
        jobs=jobs.executing,
        per_owner=jobs.per_owner,
        several=jobs.several,
        attempts=jobs.attempts,
        bytes=jobs.bytes,
        niceness=jobs.niceness,
        archive=timedelta(days=jobs.archive),
    )


def _job_limits(settings: Settings) -> JobLimits:
    jobs = settings.jobs
    listed = settings.address in _LOOPBACK if jobs.anonymous_list == "auto" else jobs.anonymous_list == "yes"
    return JobLimits(
        wait=jobs.wait,
        active=jobs.total,
        active_of_owner=jobs.active,
        execution=jobs.duration,
        longest_execution=jobs.longest_duration,
        lifetime=timedelta(days=jobs.keep),
        longest_lifetime=timedelta(days=jobs.longest_keep),
        anonymous_list=listed,
    )
