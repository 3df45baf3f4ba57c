"""Put a service together, part by part: sockets, lake, workers, readers, HTTP server; taken apart in reverse."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from datetime import UTC, datetime
from functools import partial
from typing import Any

import structlog
from distributed import Client
from tornado.netutil import bind_sockets
from tornado.web import Application

from sodalake.lake.errors import ConfigurationError
from sodalake.lake.lake import Lake
from sodalake.lake.lanes import LANE, Lane
from sodalake.server.config import Settings
from sodalake.server.gate import GateServer
from sodalake.server.handlers import Handler, NotFound
from sodalake.server.identity import Identities
from sodalake.server.imageengine import ImageEngine
from sodalake.server.rooms import open_rooms
from sodalake.server.routes import routes
from sodalake.server.service import Service
from sodalake.server.tap.engine import TapEngine
from sodalake.server.workers import BATCH, Workers
from sodalake.sodacut import warm_up as warm_stamps
from sodalake.sodacut.images.asking import warm_up as warm_images
from sodalake.tap.session import warm_up as warm_queries

__all__ = ["make_app", "start"]

_SCAN_THREADS = 4  # shares and answers that a reader of the scan lane works on at once
_WORKERS_SECONDS = 90  # that workers may take to start, or come later than the service

_log = structlog.get_logger("sodalake.service")


async def start(settings: Settings) -> Service:
    """Open the lake, start the workers, listen, and return when requests are answered.

    Raises
    ------
    ConfigurationError
        No such lake or survey, a port that is taken, a scheduler that does not answer.
    Unavailable
        The readers cannot be started.
    """
    if not settings.lake:
        raise ConfigurationError("No lake is named.", "Say --lake URL, or `lake` in the configuration.")
    sockets = _bind(settings)
    async with contextlib.AsyncExitStack() as close:
        for listener in sockets:
            close.callback(listener.close)
        lake = await asyncio.to_thread(Lake.open, settings.lake)
        close.callback(lake.close)
        service = Service(settings, lake)
        service.identities = await asyncio.to_thread(Identities.open, settings)
        if settings.survey and settings.survey not in lake.surveys:
            raise ConfigurationError(
                f"The default survey {settings.survey!r} is not in the lake.",
                f"Surveys: {', '.join(lake.surveys) or 'none yet'}.",
            )
        workers = await close.enter_async_context(Workers(settings))
        client = workers.client
        slots = settings.workers or (
            await _lane_size(client) if settings.scheduler else settings.worker_count
        )
        service.lane = await Lane.start(
            client,
            lake.url,
            slots=slots,
            threads=settings.threads,
            # Every call has its own; this one bounds the start, and a busy machine starts slowly.
            deadline=max(settings.deadlines.request, _WORKERS_SECONDS),
            warm=(warm_stamps, warm_queries, warm_images),
        )
        close.push_async_callback(service.lane.close)
        # On the workers of jobs, which come later than those of the fast lane: nobody waits for it here.
        scans = await Lane.start(
            client,
            lake.url,
            slots=settings.batch_count,
            threads=_SCAN_THREADS,
            deadline=max(settings.tap.sync_seconds, _WORKERS_SECONDS),
            resource=BATCH,
            niceness=settings.jobs.niceness,
            warm=(partial(warm_queries, scans=True), partial(warm_images, scans=True)),
            wait=False,
        )
        close.push_async_callback(scans.close)
        service.scans = scans

        def use(client: Client) -> None:
            service.lane.use(client)
            scans.use(client)

        workers.on_new_client = use
        service.tap = TapEngine(settings, lake, service.lane, scans, settings.batch_count)
        service.images = ImageEngine(settings, service.lane, scans, settings.batch_count)
        await service.tap.start()
        await open_rooms(service, workers, close)
        server = GateServer(
            make_app(service),
            limits=settings.limits,
            idle=settings.deadlines.idle,
            uploads=[
                f"{settings.prefix}{path}"
                for path in (
                    service.soda_jobs.path,
                    "/soda/estimate",
                    service.tap_jobs.path,
                    "/tap/sync",
                )
            ],
        )
        server.add_sockets(sockets)
        close.push_async_callback(server.close_all_connections)
        close.callback(server.stop)
        service.port = sockets[0].getsockname()[1]
        service.since = datetime.now(UTC)
        service.closing = close.pop_all()
    _log.info("started", url=service.url, lake=lake.url, readers=slots)
    return service


def make_app(service: Service) -> Application:
    """Return the Tornado application of `service`, mounted at its prefix."""
    return Application(
        routes(service),
        default_handler_class=NotFound,
        default_handler_args={"service": service},
        log_function=_log_finished,
    )


def _log_finished(handler: Any) -> None:
    if isinstance(handler, Handler):
        handler.log_finished()


def _bind(settings: Settings) -> list[socket.socket]:
    try:
        return bind_sockets(settings.port, settings.address or None)
    except OSError as error:
        where = f"Port {settings.port} of {settings.address}"
        if error.errno == errno.EADDRINUSE:
            raise ConfigurationError(
                f"{where} is taken.", "Choose another with --port; 0 takes a free one."
            ) from error
        raise ConfigurationError(
            f"{where} cannot be listened on: {error.strerror}.", "Check the settings `address` and `port`."
        ) from error


async def _lane_size(client: Any) -> int:
    with contextlib.suppress(TimeoutError):
        await client.wait_for_workers(1, timeout=_WORKERS_SECONDS)
    identity = await client.scheduler.identity(n_workers=-1)
    size = sum(LANE in worker.get("resources", {}) for worker in identity["workers"].values())
    if not size:
        raise ConfigurationError(
            f"The scheduler {client.scheduler.address} has no worker of the fast lane.",
            f'Start some: dask worker {client.scheduler.address} --nthreads 1 --resources "{LANE}=1".',
        )
    return size
