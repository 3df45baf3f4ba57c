"""What the rows of the bench of jobs share: a lake with the archive, its service with users, and lists of targets."""

from __future__ import annotations

import asyncio
import math
import secrets
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import numpy as np

from sodalake.server.tokens import Claims, Tokens

from .sites import Site
from .stampstage import MadeLake, StampScale, StampStage
from .uwsclient import JobClient

__all__ = ["ARROW", "JobScale", "JobStage"]

ARROW = (("RESPONSEFORMAT", "arrow"), ("KIND", "SCIENCE"), ("SURVEY", "ztf"))
"""Parameters of a job that makes one table of a list's stamps, one stamp a target."""

_AUTHORITY = "sodalake"
_WARM_LEAST, _WARM_MOST = 2, 8  # jobs
_MANY = "1000000"  # jobs: limits of a public service are not what is measured here

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class JobScale:
    """How much is measured.

    Attributes
    ----------
    archive
        The archive, and the bulk measurement that jobs are compared with.
    trivial
        Jobs of one stamp, one after another.
    waiters, changes
        Requests parked; phases changed while they are.
    submit_clients, submit_seconds
        Who creates jobs, and for how long.
    lists
        Own jobs of the users whose list is asked for.
    list_requests
        Requests for each list.
    targets
        Of a large job.
    rounds
        Times a large job is run beside something else.
    aborts
        Jobs aborted.
    units, kills
        Of the job that processes are killed under.
    learn, foretell
        Jobs before estimates are looked at, and jobs whose estimates are.
    largest
        Targets of the largest of these.
    """

    archive: StampScale = field(default_factory=StampScale)
    trivial: int = 100
    waiters: int = 1000
    changes: int = 300
    submit_clients: int = 8
    submit_seconds: float = 30.0
    lists: tuple[int, ...] = (100, 10_000)
    list_requests: int = 200
    targets: int = 10_000
    rounds: int = 3
    aborts: int = 5
    units: int = 5000
    kills: int = 20
    learn: int = 20
    foretell: int = 10
    largest: int = 8000


class JobStage(StampStage):
    """The lake and the services of one site.

    Parameters
    ----------
    site, cache, say
        As of `Stage`.
    jobs
        How much.
    """

    def __init__(self, site: Site, jobs: JobScale, cache: Path | None, say: Callable[[str], None]) -> None:
        super().__init__(site, jobs.archive, cache, say)
        self.jobs = jobs
        self._key = secrets.token_urlsafe(48)

    def settings(self, name: str, **more: str) -> dict[str, str]:
        """Return the environment of a service with a store of jobs of its own; `more` are settings of ``[jobs]``."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        jobs = {"store": str(folder / "jobs.sqlite"), "active": _MANY, "total": _MANY, **more}
        return {
            "SODALAKE_AUTHORITY": _AUTHORITY,
            "SODALAKE_IDENTITY__KEY": self._key,
            "SODALAKE_LOG__LEVEL": "warning",
            **{f"SODALAKE_JOBS__{key.upper()}": value for key, value in jobs.items()},
        }

    @cached_property
    def service(self) -> tuple[str, int]:
        """Address of a service with default settings, but for limits of jobs a user."""
        return self._jobs_service("service")

    @cached_property
    def local_results(self) -> tuple[str, int]:
        """Address of a service whose results are on local disk, wherever its archive is."""
        return self._jobs_service("local", results=str(self.folder / "results"))

    def _jobs_service(self, name: str, **settings: str) -> tuple[str, int]:
        address = self.serve(self.large.url, self.settings(name, **settings)).address
        with ThreadPoolExecutor(1) as beside:  # who asks for the service may have a loop running
            beside.submit(asyncio.run, self.warm_jobs(address)).result()
        return address

    async def warm_jobs(self, address: tuple[str, int]) -> None:
        """Have large jobs done until they get no faster: batch workers start after the fast lane's, and import."""
        alerts = self.scale.files * self.large.identities.rows
        before, took = math.inf, 0.0
        async with self.client("warm", address) as client:
            for turn in range(_WARM_MOST):
                targets = self.targets(min(alerts, self.jobs.targets), seed=1000 + turn)
                job, made = await client.submit(ARROW, targets)
                took = (await client.completed(job)).received - made.sent
                await client.forget(job)
                if turn >= _WARM_LEAST and took > 0.8 * before:
                    return
                before = min(before, took)

    @cached_property
    def large(self) -> MadeLake:
        """A lake with the whole archive."""
        return self.lake("jobs", self._recipe, ((self.scale.files, 1),))

    def headers(self, user: str) -> dict[str, str]:
        """Return what a user's requests carry."""
        token = Tokens(self._key.encode(), _AUTHORITY).make(Claims(user))
        return {"Authorization": f"Bearer {token}"}

    def client(self, user: str, address: tuple[str, int] | None = None) -> JobClient:
        """Return a client of a user's jobs (default: at `service`)."""
        return JobClient(address or self.service, self.headers(user))

    def one_stamp(self, slot: int) -> list[tuple[str, str]]:
        """Return the parameters of a job of one stamp."""
        return [("ID", self.did(slot))]

    def did(self, slot: int) -> str:
        """Return the identifier of an alert's science stamp."""
        alert = int(self.large.identities.alert_ids(np.array([slot]))[0])
        return f"ivo://{_AUTHORITY}/ztf?{alert}/SCIENCE"

    def stamp_path(self, slot: int) -> str:
        """Return the path of one stamp, by SODA sync."""
        return f"/soda/sync?ID={quote(self.did(slot), safe='')}"

    def targets(self, count: int, seed: int, *, files: int | None = None) -> bytes:
        """Return a list of random alerts, each once, as CSV."""
        slots = self.random_slots(self.large, count, files=files or self.scale.files, seed=seed)
        if len(slots) < count:
            raise ValueError(f"The archive has {len(slots)} alerts, and {count} are asked for.")
        alerts = self.large.identities.alert_ids(slots).tolist()
        return ("candid\n" + "\n".join(map(str, alerts)) + "\n").encode()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a measurement to its end."""
        return asyncio.run(work)
