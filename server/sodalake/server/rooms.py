"""The jobs of a service: one store, one executor on the batch workers, a postman, and a room for each kind of job.

`open_rooms` starts them in that order and has them stopped in reverse.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from sodalake.lake.errors import ConfigurationError
from sodalake.lake.files import join, path_of
from sodalake.lake.lake import Lake
from sodalake.lake.results import ResultFolder
from sodalake.server.config import Settings
from sodalake.server.forecasts import Forecasts
from sodalake.server.jobs import JobLimits
from sodalake.server.mail import MailedJob, Postman
from sodalake.server.sections import Jobs
from sodalake.server.service import Service
from sodalake.server.sodajobs import SodaKind
from sodalake.server.sodaorders import Holdings, sketch
from sodalake.server.sodaroom import SodaRoom
from sodalake.server.tap.jobs import TapKind
from sodalake.server.tellingroom import TellingRoom
from sodalake.server.workers import BATCH, Workers
from sodalake.uws.daskpool import DaskPool
from sodalake.uws.errors import StoreUnavailable
from sodalake.uws.executor import Executor
from sodalake.uws.limits import ExecutorLimits
from sodalake.uws.store import open_store

__all__ = ["open_rooms", "store_url"]

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


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


async def open_rooms(service: Service, workers: Workers, close: contextlib.AsyncExitStack) -> None:
    """Open the store, start the executor and the postman, and give the service its rooms; `close` undoes it.

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
    holdings = Holdings(lake.surveys, lake.image_surveys, settings.authority)
    soda = SodaKind(lake.url, holdings, jobs, settings.images)
    tap = TapKind(lake.url, settings, lambda: _root(service))
    executor = Executor(
        store,
        {soda.name: soda, tap.name: tap},
        results,
        DaskPool(lambda: workers.client, BATCH),
        _executor_limits(jobs),
    )
    limits = _job_limits(settings)
    service.soda_jobs = SodaRoom(
        store,
        results,
        executor,
        soda.name,
        "/soda/async",
        "Cutout jobs",
        limits,
        settings=settings,
        holdings=holdings,
        forecasts=Forecasts(executor, soda.name, partial(sketch, holdings=holdings)),
    )
    service.tap_jobs = TellingRoom(
        store,
        results,
        executor,
        tap.name,
        "/tap/async",
        "Queries",
        replace(limits, execution=settings.tap.async_seconds),
        settings=settings,
    )
    rooms = {room.kind: room for room in (service.soda_jobs, service.tap_jobs)}
    if settings.mail.host:

        def url_of(job: MailedJob) -> str:
            return f"{_root(service)}{rooms[job.kind].path}/{job.id}"

        postman = Postman(store, settings.mail, url_of)
        executor.ended = postman.wake
        posting = asyncio.create_task(postman.run())
        close.push_async_callback(_ended, posting)
    await executor.start()
    close.push_async_callback(executor.stop)
    for room in rooms.values():
        service.on_drain.append(room.waiting.release)
        close.push_async_callback(room.close)


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait((task,))


def _root(service: Service) -> str:
    """Return the service's root as those who are not asking just now reach it."""
    return (service.settings.mail.url or service.url).rstrip("/")


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
