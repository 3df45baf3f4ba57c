"""Queries, from the server's side: asked of the fast lane, and of the scan lane where they read the archive.

A query goes to a reader of the fast lane as it is: parsed, planned, and answered there where the row store can. Where
it cannot, the reader says what work it is: files in shares, read and reduced by the scan lane's readers side by side,
and then brought together by one of them. The scan lane is on the workers of jobs and stands back behind the fast one.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from sodalake.lake.errors import DeadlineExceeded, Unavailable
from sodalake.lake.lake import Lake
from sodalake.lake.lanes import Lane, LaneStream
from sodalake.server.config import Settings
from sodalake.server.turns import TurnStream
from sodalake.tap.answers import Info
from sodalake.tap.errors import QueryTimeout, TooLarge
from sodalake.tap.formats import OutputFormat
from sodalake.tap.metadata import Column, Published
from sodalake.tap.published import publish
from sodalake.tap.questions import Elsewhere, Limits, Question, Share, Upload
from sodalake.tap.session import begin_fast, begin_scan, begin_share

__all__ = ["Query", "Stream", "TapEngine"]

_log = structlog.get_logger("sodalake.tap")

_FRESH = 2.0  # seconds after which what is published is looked at again
_SHARES = 2  # shares that a reader of the scan lane works on at once


@dataclass(frozen=True, slots=True)
class Query:
    """A query, as a protocol has read it.

    Attributes
    ----------
    adql
        In ADQL.
    form, content_type
        How it is to be answered.
    maxrec
        Rows after which the answer is cut; None: the default of the settings.
    uploads, infos, descriptors, columns, description, links
        See `sodalake.tap.questions.Question`.
    base_url
        URL of the service's root as this client sees it.
    """

    adql: str
    form: OutputFormat
    content_type: str
    maxrec: int | None = None
    uploads: tuple[Upload, ...] = ()
    infos: tuple[Info, ...] = ()
    descriptors: tuple[str, ...] = ()
    columns: Mapping[str, Column] = field(default_factory=dict)
    description: str = ""
    base_url: str = ""
    run_id: str | None = None
    links: bool = True


class Stream(TurnStream):
    """An answer under way, of a Content-Type; `plan` says how it came about."""

    def __init__(self, content_type: str, stream: LaneStream, turn: contextlib.AsyncExitStack) -> None:
        super().__init__(stream, turn)
        self.content_type = content_type
        self.plan: str = stream.head.plan


class TapEngine:
    """The queries of one service.

    Parameters
    ----------
    settings
        The service's.
    lake
        What is queried.
    fast, scans
        The lanes.
    width
        Readers of the scan lane.
    """

    def __init__(self, settings: Settings, lake: Lake, fast: Lane, scans: Lane, width: int) -> None:
        self._settings = settings
        self._lake = lake
        self._fast = fast
        self._scans = scans
        self._asked = 0
        # A scan may take all the memory that a query may, so only as many run as there are readers.
        self._scanning = asyncio.Semaphore(width)
        self._sharing = asyncio.Semaphore(width * _SHARES)
        self._published: Published | None = None
        self._looked = 0.0
        self._looking: asyncio.Task[None] | None = None

    @property
    def limits(self) -> Limits:
        """What a question may ask for."""
        tap = self._settings.tap
        return Limits(
            query=tap.query, index_rows=tap.index_rows, memory=tap.memory, upload_rows=tap.upload_rows
        )

    # -- what is published

    async def start(self) -> None:
        """Look at what is published for the first time."""
        await self._look()

    def published(self) -> Published:
        """Return what is published, as it was seconds ago at most; looked at again beside."""
        assert self._published is not None, "start() was awaited"
        if time.monotonic() - self._looked > _FRESH and (self._looking is None or self._looking.done()):
            self._looking = asyncio.create_task(self._look())
        return self._published

    async def _look(self) -> None:
        self._looked = time.monotonic()
        try:
            self._published = await asyncio.to_thread(publish, self._lake, self._settings.authority)
        except Unavailable as error:
            if self._published is None:
                raise
            _log.warning("what is published cannot be looked at", error=str(error))
        self._looked = time.monotonic()

    # -- queries

    def question(self, query: Query, most: int) -> Question:
        """Return what is sent to a worker; `most` rows at most."""
        rows = self._settings.tap.rows if query.maxrec is None else query.maxrec
        return Question(
            adql=query.adql,
            format=query.form.name,
            rows=min(rows, most),
            uploads=query.uploads,
            infos=query.infos,
            descriptors=query.descriptors,
            columns=query.columns,
            description=query.description,
            authority=self._settings.authority,
            base_url=query.base_url,
            links=query.links,
            limits=self.limits,
        )

    async def open(self, query: Query) -> Stream:
        """Begin to answer a query; what is wrong with it is raised before there is a first byte.

        Raises
        ------
        AdqlError, UploadError, FormatError
            The query, a table that came with it, or the format.
        TooLarge
            It would read more of the archive than a synchronous query may.
        QueryTimeout, Unavailable
            It took too long, or too many wait.
        """
        tap = self._settings.tap
        until = time.monotonic() + tap.sync_seconds
        try:
            return await self._opened(query, self.question(query, tap.sync_rows), until)
        except QueryTimeout:
            raise
        except DeadlineExceeded as error:
            # DuckDB may be a while in one step, where it hears no interrupt: the lane does not wait for it.
            if time.monotonic() < until:
                raise
            raise QueryTimeout.after(tap.sync_seconds) from error

    async def _opened(self, query: Query, question: Question, until: float) -> Stream:
        tap = self._settings.tap
        async with contextlib.AsyncExitStack() as turn:
            turn.enter_context(self._counted())
            stream = await self._fast.open(begin_fast, question, deadline=tap.sync_seconds)
            elsewhere = stream.head.elsewhere
            if elsewhere is not None:
                self._check(elsewhere)
                await self._wait(turn, until)
                parts = await self._parts(question, elsewhere, until)
                stream = await self._scans.open(
                    begin_scan, (question, elsewhere.plan, parts), deadline=until - time.monotonic()
                )
            return Stream(query.content_type, stream, turn.pop_all())
        raise AssertionError("the stack swallows nothing")

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        most = self._settings.tap.queries
        if self._asked >= most:
            raise Unavailable(
                f"{most} queries are being answered, which is all at a time.", "Try again soon."
            )
        self._asked += 1
        try:
            yield
        finally:
            self._asked -= 1

    def _check(self, elsewhere: Elsewhere) -> None:
        plan, most = elsewhere.plan, self._settings.tap.sync_bytes
        wanted = plan.bytes
        if plan.rowwise is not None and plan.rows:
            # It ends when the answer is full, which is after as many rows where every row is wanted.
            rows = plan.limit if plan.top is None else min(plan.top, plan.limit)
            if plan.rowwise.sql is None:
                wanted = min(wanted, wanted * rows // plan.rows)
        if wanted > most:
            raise TooLarge(
                f"This query would read about {plan.rows} rows ({wanted / 1e9:.3g} GB of columns) of the archive, and"
                f" {most / 1e9:.3g} GB may be read at once.",
                "Send it as a job to /tap/async; or add a condition on an id, a place (CONTAINS or DISTANCE), a time or"
                " a class, which an index answers.",
            )

    async def _wait(self, turn: contextlib.AsyncExitStack, until: float) -> None:
        """Wait for a turn to scan."""
        try:
            await asyncio.wait_for(self._scanning.acquire(), max(0.0, until - time.monotonic()))
        except TimeoutError:
            raise Unavailable(
                "Other queries that read the archive took all the time there was.",
                "Try again, or send it as a job to /tap/async.",
            ) from None
        turn.callback(self._scanning.release)

    async def _parts(
        self, question: Question, elsewhere: Elsewhere, until: float
    ) -> dict[str, Sequence[bytes]]:
        """Have the shares read, and return what they came to, by source."""

        async def read(share: Share) -> bytes:
            async with self._sharing:
                stream = await self._scans.open(
                    begin_share, (question, elsewhere.plan, share), deadline=until - time.monotonic()
                )
                try:
                    return b"".join([piece async for piece in stream])
                finally:
                    await stream.close()

        parts: dict[str, list[bytes]] = {share.source: [] for share in elsewhere.shares}
        tasks = [asyncio.create_task(read(share)) for share in elsewhere.shares]
        try:
            for share, found in zip(elsewhere.shares, await asyncio.gather(*tasks), strict=True):
                parts[share.source].append(found)
        finally:
            for task in tasks:
                task.cancel()
        return dict(parts)
