"""Run a service in this process: say when it is ready, drain on SIGTERM, stop in order."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

from sodalake.lake.memory import keep_freed_memory
from sodalake.server.config import Settings
from sodalake.server.logs import configure_logs
from sodalake.server.service import Service
from sodalake.server.startup import start

__all__ = ["run"]


def run(settings: Settings, ready: Callable[[Service], None] | None = None) -> None:
    """Serve until a signal comes.

    Parameters
    ----------
    settings
        See `config.Settings`.
    ready
        Called when requests are answered, after the line was printed.

    Raises
    ------
    LakeError
        The service cannot be started; see `startup.start`.
    """
    # A process of our own: what an answer of some MB took is kept for the next (7 ms against 2.2 for 2.9 MB).
    keep_freed_memory()
    configure_logs(settings.log)
    asyncio.run(_serve(settings, ready))


async def _serve(settings: Settings, ready: Callable[[Service], None] | None) -> None:
    loop = asyncio.get_running_loop()
    asked, again = asyncio.Event(), asyncio.Event()

    def on_signal() -> None:
        (again if asked.is_set() else asked).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    starting = asyncio.create_task(start(settings))
    stop = asyncio.create_task(asked.wait())
    await asyncio.wait((starting, stop), return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        await asyncio.wait((starting,))
        return
    service = await starting
    try:
        print(f"ready {service.url}", flush=True)  # noqa: T201 - the one line scripts wait for
        if ready is not None:
            ready(service)
        await stop
        draining = asyncio.create_task(service.drain())
        hurry = asyncio.create_task(again.wait())
        await asyncio.wait((draining, hurry), return_when=asyncio.FIRST_COMPLETED)
        draining.cancel()
        hurry.cancel()
    finally:
        stop.cancel()
        await service.stop()
