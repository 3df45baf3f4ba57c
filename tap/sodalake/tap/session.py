"""Questions answered in one process: what a worker keeps between them, and the ways it is asked.

`begin_fast` is for workers that must stay quick: it answers what the row store can, and says of the rest that it is for
`Elsewhere`. `begin_share` reads and reduces some files; `begin_scan` answers with what the shares came to.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain

import pyarrow as pa

from sodalake.lake import sky
from sodalake.lake.alertrows import TooManyRows
from sodalake.lake.lake import Lake
from sodalake.tap.adql import parse, resolve
from sodalake.tap.answers import Answer, Ending
from sodalake.tap.errors import AdqlError
from sodalake.tap.formats import FORMATS, write
from sodalake.tap.metadata import Column, Published, Table
from sodalake.tap.planning.explain import explained
from sodalake.tap.planning.facts import Facts
from sodalake.tap.planning.plan import Plan
from sodalake.tap.planning.planner import Indices, plan_of
from sodalake.tap.published import (
    AlertsView,
    ImagesView,
    ObscoreView,
    link_descriptors,
    publish,
    tap_schema_tables,
)
from sodalake.tap.questions import Elsewhere, Head, Question, Share
from sodalake.tap.running.engine import Engine
from sodalake.tap.running.guard import Guard, QueryCancelled
from sodalake.tap.running.reading import Rows
from sodalake.tap.running.run import Run
from sodalake.tap.uploads import read_upload

__all__ = [
    "Explained",
    "Session",
    "TapStream",
    "answer",
    "begin_fast",
    "begin_scan",
    "begin_share",
    "packed",
    "session_of",
    "share_run",
    "unpacked",
    "warm_up",
]  # fmt: skip

_FAST_THREADS, _SCAN_THREADS = 1, 2
_WITHOUT_END = 10 * 365 * 86_400.0  # seconds
_BY_NAME = {form.name: form for form in FORMATS}


@dataclass(slots=True)
class _Asked:
    """A question that was understood: its plan, the parts of ``ivoa.obscore``, and the rows that came with it."""

    plan: Plan
    views: Mapping[str, ObscoreView]
    given: dict[str, pa.Table]
    links: Callable[[Sequence[Column]], Sequence[str]] = lambda columns: ()


@dataclass(frozen=True, slots=True)
class Explained:
    """A plan for people, what DuckDB is asked (nothing where rows are answered one by one), and how many rows came."""

    plan: str
    sql: str
    rows: int = 0


class Session:
    """What a process keeps for the queries of one lake. May be used from any thread.

    Parameters
    ----------
    lake
        The open lake.
    threads
        Of one query.
    """

    def __init__(self, lake: Lake, threads: int) -> None:
        self.lake = lake
        self.rows = Rows(lake)
        self.facts = Facts(lake)
        self._threads = threads
        self._engines: dict[int, Engine] = {}
        self._schema: tuple[Published, Mapping[str, pa.Table]] | None = None
        self._lock = threading.Lock()

    def engine(self, memory: int) -> Engine:
        """Return the DuckDB of queries with so much memory."""
        with self._lock:
            if memory not in self._engines:
                self._engines[memory] = Engine(self._threads, memory)
            return self._engines[memory]

    def close(self) -> None:
        """Let go of DuckDB."""
        with self._lock:
            engines, self._engines = self._engines, {}
        for engine in engines.values():
            engine.close()

    def asked(self, question: Question, indices: Indices = "all") -> _Asked:
        """Understand and plan a question.

        Raises
        ------
        AdqlError, UploadError
            What is wrong with it.
        """
        published = publish(self.lake, question.authority)
        uploads = [
            read_upload(
                one.name, one.content, one.content_type, one.filename, rows=question.limits.upload_rows
            )
            for one in question.uploads
        ]
        resolved = resolve(
            parse(question.adql, longest=question.limits.query), published, [table for table, _ in uploads]
        )
        views: Mapping[str, ObscoreView] = {}
        if any(source.table.content == "obscore" for source in resolved.sources):
            views = self.views(question)
        try:
            plan = plan_of(
                resolved,
                self.facts,
                limit=question.rows,
                index_rows=question.limits.index_rows,
                views=views,
                indices=indices,
            )
        except RecursionError as error:
            raise AdqlError(
                "The query is nested too deep.", "Compute fewer things in one expression.", 1, 1
            ) from error
        asked = _Asked(plan, views, self._given(plan, published, uploads))
        if question.links and question.format.startswith("votable"):
            asked.links = partial(link_descriptors, published=published, base_url=question.base_url)
        return asked

    def views(self, question: Question) -> Mapping[str, ObscoreView]:
        """Return the surveys' parts of ``ivoa.obscore``, with links below the question's base URL."""
        lake, found = self.lake, dict[str, ObscoreView]()
        ours = question.authority, question.base_url
        for table in publish(lake, question.authority):
            if table.content == "alerts":
                found[table.survey] = AlertsView(lake.survey(table.survey), table, *ours)
            elif table.content == "images":
                found[table.survey] = ImagesView(lake.image_survey(table.survey), table, *ours)
        return found

    def _given(
        self, plan: Plan, published: Published, uploads: Sequence[tuple[Table, pa.Table]]
    ) -> dict[str, pa.Table]:
        """Return the rows of the sources that do not come from the lake."""
        given: dict[str, pa.Table] = {}
        for read in plan.reads:
            if read.table.content == "upload":
                given[read.source] = next(rows for table, rows in uploads if table.name == read.table.name)
            elif read.table.content == "tap_schema":
                if self._schema is None or self._schema[0] is not published:
                    self._schema = published, tap_schema_tables(published)
                given[read.source] = self._schema[1][read.table.qualified]
        return given

    def run(
        self,
        question: Question,
        asked: _Asked,
        guard: Guard,
        *,
        most: int | None,
        parts: Mapping[str, Sequence[pa.Table]] | None = None,
    ) -> Run:
        """Return the run of a plan."""
        return Run(
            asked.plan,
            self.engine(question.limits.memory),
            self.rows,
            guard,
            asked.views,
            asked.given,
            parts or {},
            most,
            question.limits.memory,
        )

    def explained(self, question: Question, *, run: bool = False, indices: Indices = "all") -> Explained:
        """Return what a question would read, and where; with `run`, read it, and count what is found.

        Raises
        ------
        LakeError
            As `asked` and the run do.
        """
        asked = self.asked(question, indices)
        if not run:
            return Explained(explained(asked.plan), asked.plan.sql)
        for most in (question.limits.index_rows, None):
            if most is None and indices == "all":
                asked = self.asked(question, "ids")
            running = self.run(question, asked, Guard(_WITHOUT_END), most=most)
            try:
                rows = sum(batch.num_rows for batch in running.batches())
            except TooManyRows:
                continue
            counted = {source: (one.path, one.rows) for source, one in running.counted.items()}
            return Explained(explained(asked.plan, counted), asked.plan.sql, rows)
        raise AssertionError("without a limit there are never too many rows")

    def shares(self, plan: Plan, share: int) -> list[Share]:
        """Return the archive's part of a plan as work for several; none where it is little, or goes row by row."""
        if plan.rowwise is not None or plan.bytes <= share:
            return []
        shares: list[Share] = []
        for read in plan.reads:
            if not read.scans or read.joined is not None:
                continue
            for number, leg in enumerate(read.legs):
                if leg.in_files:
                    shares += self._shares_of(read.source, number, plan, share)
        return shares

    def _shares_of(self, source: str, number: int, plan: Plan, share: int) -> Iterator[Share]:
        leg = next(read for read in plan.reads if read.source == source).legs[number]
        survey = self.lake.survey(leg.survey)
        width = max(1, self.facts.of(leg.survey).width(leg.columns))
        view = self.lake.catalogue(leg.survey).view(fresh=True)
        groups: list[list[int]] = []
        size = 0
        for record in self.rows.archive.files(survey, leg.access.first, leg.access.last, view=view):
            if not groups or size + record.rows * width > share:
                groups.append([])
                size = 0
            groups[-1].append(record.number)
            size += record.rows * width
        for files in groups:
            yield Share(source, number, tuple(files), tuple(map(view.hidden_by, files)))


_sessions: weakref.WeakKeyDictionary[Lake, dict[int, Session]] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def session_of(lake: Lake, threads: int) -> Session:
    """Return the session that this process keeps for a lake."""
    with _lock:
        known = _sessions.setdefault(lake, {})
        if threads not in known:
            known[threads] = Session(lake, threads)
        return known[threads]


class TapStream:
    """An answer under way; see `sodalake.lake.streams.Stream`."""

    def __init__(self, head: Head, chunks: Iterator[bytes], stop: Callable[[], None]) -> None:
        self.head = head
        self._chunks = chunks
        self._stop = stop

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._chunks
        except QueryCancelled:
            return

    def stop(self) -> None:
        """Let the query end."""
        self._stop()


def begin_fast(lake: Lake, question: Question, seconds: float) -> TapStream:
    """Answer what the row store can answer; for the rest return a head that says what is to be done elsewhere."""
    session = session_of(lake, _FAST_THREADS)
    guard = Guard(seconds)
    asked = session.asked(question)
    if not asked.plan.scans or not question.rows:
        run = session.run(question, asked, guard, most=question.limits.index_rows)
        try:
            return answer(question, run, asked)
        except TooManyRows:
            asked = session.asked(question, "ids")
    shares = session.shares(asked.plan, question.limits.share)
    return TapStream(Head(Elsewhere(asked.plan, shares), explained(asked.plan)), iter(()), guard.give_up)


def begin_share(lake: Lake, work: tuple[Question, Plan, Share], seconds: float) -> TapStream:
    """Read and reduce a share of the archive; the bytes are an Arrow IPC stream."""
    question, plan, share = work
    guard = Guard(seconds)
    run = share_run(session_of(lake, _SCAN_THREADS), question, plan, guard)
    return TapStream(Head(), iter((packed(run.reduced_share(share)),)), guard.give_up)


def share_run(session: Session, question: Question, plan: Plan, guard: Guard) -> Run:
    """Return the run of a plan of which only shares of the archive are read."""
    asked = _Asked(plan, session.views(question), {})
    return session.run(question, asked, guard, most=None)


def begin_scan(
    lake: Lake, work: tuple[Question, Plan, Mapping[str, Sequence[bytes]]], seconds: float
) -> TapStream:
    """Answer a question that reads the archive, with the shares that were read already (source → Arrow IPC)."""
    question, plan, parts = work
    session = session_of(lake, _SCAN_THREADS)
    guard = Guard(seconds)
    asked = replace(session.asked(question), plan=plan)
    tables = {source: [unpacked(part) for part in found] for source, found in parts.items()}
    run = session.run(question, asked, guard, most=None, parts=tables)
    return answer(question, run, asked)


def warm_up(lake: Lake, *, scans: bool = False) -> None:
    """Answer a query that reads nothing, so that the first one does not wait for imports, a connection, and metadata.

    Parameters
    ----------
    scans
        Whether this process is to read the archive.
    """
    sky.warm_up()
    question = Question("SELECT TOP 1 table_name FROM tap_schema.tables")
    session = session_of(lake, _SCAN_THREADS if scans else _FAST_THREADS)
    asked = session.asked(question)
    run = session.run(question, asked, Guard(_WITHOUT_END), most=None)
    b"".join(answer(question, run, asked))


def answer(question: Question, run: Run, asked: _Asked) -> TapStream:
    """Begin to run, and return what is written of it.

    Raises
    ------
    TooManyRows, LakeError
        As the run does before its first rows.
    """
    columns = [question.columns.get(column.name, column) for column in run.plan.outputs]
    if question.rows:
        batches = run.batches()
        first = next(batches, None)
        every = batches if first is None else chain([first], batches)
        ending: Callable[[], Ending] = lambda: run.ending  # noqa: E731
    else:
        every, ending = iter(()), _nothing_asked
    told = Answer(
        columns,
        every,
        ending,
        question.infos,
        (*question.descriptors, *asked.links(columns)),
        question.description,
    )
    counted = {source: (one.path, one.rows) for source, one in run.counted.items()}
    return TapStream(
        Head(plan=explained(run.plan, counted)), write(_BY_NAME[question.format], told), run.guard.give_up
    )


def _nothing_asked() -> Ending:
    # MAXREC=0 (DALI 1.1, 3.4.4.1): the metadata, and that there is more.
    return Ending("OVERFLOW")


def packed(table: pa.Table) -> bytes:
    """Return a table as an Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def unpacked(content: bytes) -> pa.Table:
    """Return the table of an Arrow IPC stream."""
    return pa.ipc.open_stream(content).read_all()
