"""Random lives of jobs: both stores do what `phases.transition` says, and the same as each other."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    rule,
    run_state_machine_as_test,
)
from postgres_server import PostgresServer

from sodalake.uws.errors import IllegalTransition, NoSuchJob, UwsError
from sodalake.uws.jobs import (
    ErrorSummary,
    Job,
    Load,
    NewJob,
    Parameter,
    Progress,
    Result,
    Segment,
    UnitRecord,
)
from sodalake.uws.phases import FINAL, Event, Phase, Transition, transition
from sodalake.uws.store import JobStore, open_store

OWNERS = st.sampled_from(["ada", "bob", None])
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
UNITS = st.lists(
    st.builds(
        UnitRecord,
        number=st.integers(0, 9),
        part=TEXT,
        entries=st.binary(max_size=20),
        targets=st.integers(0, 5),
        failed=st.integers(0, 5),
        bytes=st.integers(0, 1 << 50),
    ),
    max_size=4,
    unique_by=lambda unit: unit.number,
)
SEGMENTS = st.one_of(
    st.builds(Segment, data=st.binary(max_size=20)),
    st.builds(Segment, st.just("x/part"), st.integers(0, 1 << 50), st.integers(0, 1 << 50)),
)
RESULTS = st.lists(
    st.builds(Result, TEXT, TEXT, st.lists(SEGMENTS, max_size=3).map(tuple), TEXT, TEXT), max_size=3
)


@dataclasses.dataclass
class Model:
    """What is to be known of a job."""

    owner: str | None
    phase: Phase
    progress: Progress = dataclasses.field(default_factory=Progress)
    recorded: set[int] = dataclasses.field(default_factory=set)
    results: tuple[Result, ...] = ()
    version: int = 0


class Lives(RuleBasedStateMachine):
    """The same happens to jobs of the same name in both stores."""

    stores: tuple[JobStore, ...]
    runner: asyncio.Runner
    count = 0
    made = Bundle("made")

    def __init__(self) -> None:
        super().__init__()
        type(self).count += 1
        self.kind = f"life{type(self).count}"
        self.models: dict[str, Model] = {}
        self.touched, self.created = "", 0
        self.before = self.both(lambda store: store.load(everybody=True))

    def model(self, job_id: str) -> Model:
        self.touched = job_id
        return self.models[job_id]

    def both(self, ask: Callable[[JobStore], Awaitable[Any]]) -> list[Any]:
        """Ask both stores; return their answers, where an error is one."""

        async def work() -> list[Any]:
            answers: list[Any] = []
            for store in self.stores:
                try:
                    answers.append(await ask(store))
                except UwsError as error:
                    answers.append(error)
            return answers

        return self.runner.run(work())

    def same(self, ask: Callable[[JobStore], Awaitable[Any]]) -> Any:
        """Ask both; return the answer, which is the same but for times and runners."""
        first, second = (plain(answer) for answer in self.both(ask))
        assert first == second
        return first

    @rule(target=made, owner=OWNERS, run=st.booleans(), run_id=TEXT, value=st.text(max_size=20))
    def create(self, owner: str | None, run: bool, run_id: str, value: str) -> str:
        self.created += 1
        job_id = f"{self.kind}-{self.created}"
        parameters = (Parameter("ID", value),)
        new = NewJob(self.kind, owner, parameters, run_id=run_id, run=run, id=job_id, email="a@b.c")
        job = self.same(lambda store: store.create(new))
        assert (job.parameters, job.run_id) == (parameters, run_id)
        self.touched = job_id
        self.models[job_id] = Model(owner, Phase.QUEUED if run else Phase.PENDING)
        return job_id

    @rule(
        job_id=made,
        event=st.sampled_from(Event),
        results=st.none() | RESULTS,
        units=UNITS,
        error=st.none() | st.builds(ErrorSummary, TEXT, st.booleans(), TEXT),
    )
    def move(
        self,
        job_id: str,
        event: Event,
        results: list[Result] | None,
        units: list[UnitRecord],
        error: ErrorSummary | None,
    ) -> None:
        model = self.model(job_id)
        answer = self.same(lambda store: store.move(job_id, event, results=results, units=units, error=error))
        step = follows(model.phase, event)
        if step is None:
            assert answer[0] is IllegalTransition
            return
        job, instructions = answer
        assert job.phase is step.phase
        assert instructions == step.instructions
        if step.phase is not model.phase or event is Event.START:
            assert job.version == model.version + 1
            if model.phase is Phase.EXECUTING:
                self.count_units(model, units)
            if step.phase in FINAL:
                model.recorded = set()
            if step.phase is Phase.ARCHIVED:
                model.results = ()
            elif results is not None:
                model.results = tuple(results)
            model.phase, model.version = step.phase, job.version

    def count_units(self, model: Model, units: list[UnitRecord]) -> list[int]:
        fresh = [unit for unit in units if unit.number not in model.recorded]
        model.recorded |= {unit.number for unit in fresh}
        was = model.progress
        done = was.done + sum(unit.targets for unit in fresh)
        model.progress = Progress(
            max(was.total, done),
            done,
            was.failed + sum(unit.failed for unit in fresh),
            was.bytes + sum(unit.bytes for unit in fresh),
        )
        return [unit.number for unit in fresh]

    @rule(job_id=made)
    def claim(self, job_id: str) -> None:
        model = self.model(job_id)
        job = self.same(lambda store: store.claim(job_id))
        if model.phase not in (Phase.QUEUED, Phase.EXECUTING):
            assert job is None
            return
        assert job.phase is model.phase or job.phase is Phase.EXECUTING
        model.phase, model.version = Phase.EXECUTING, job.version

    @rule(job_id=made, units=UNITS)
    def record(self, job_id: str, units: list[UnitRecord]) -> None:
        model = self.model(job_id)
        fresh = self.same(lambda store: store.record(job_id, units))
        if model.phase is Phase.EXECUTING:
            assert fresh == self.count_units(model, units)
            model.version += bool(fresh)
        else:
            assert fresh == []

    @rule(
        job_id=made,
        run_id=st.none() | TEXT,
        seconds=st.none() | st.integers(0, 1 << 40),
        pending=st.booleans(),
    )
    def edit(self, job_id: str, run_id: str | None, seconds: int | None, pending: bool) -> None:
        model = self.models[job_id]
        only_in = [Phase.PENDING] if pending else []
        answer = self.same(
            lambda store: store.edit(job_id, run_id=run_id, execution_duration=seconds, only_in=only_in)
        )
        if pending and model.phase is not Phase.PENDING:
            assert answer[0] is IllegalTransition
            return
        assert run_id is None or answer.run_id == run_id
        assert seconds is None or answer.execution_duration == seconds
        model.version = answer.version

    @rule(job_id=consumes(made))
    def delete(self, job_id: str) -> None:
        assert self.same(lambda store: store.delete(job_id)) is None
        del self.models[job_id]
        assert self.same(lambda store: store.get(job_id))[0] is NoSuchJob
        # Its id is not used again, and its objects are to go.
        assert all(job_id in ids for ids in self.both(lambda store: store.unswept()))

    @rule(
        owner=OWNERS,
        phases=st.lists(st.sampled_from(Phase), max_size=4),
        last=st.none() | st.integers(1, 5),
    )
    def find(self, owner: str | None, phases: list[Phase], last: int | None) -> None:
        found = self.same(lambda store: store.find(self.kind, owner, phases=phases, last=last))
        wanted = [
            job_id
            for job_id, model in self.models.items()
            if model.owner == owner
            and (model.phase in phases if phases else model.phase is not Phase.ARCHIVED)
        ]
        assert [ref.id for ref in found] == wanted[::-1][:last]

    @invariant()
    def the_last_job_is_as_it_should_be(self) -> None:
        if self.touched in self.models:
            self.look(self.touched)

    def look(self, job_id: str) -> None:
        model = self.models[job_id]
        job = self.same(lambda store: store.get(job_id))
        assert (job.phase, job.progress, job.results) == (model.phase, model.progress, model.results)
        units = self.same(lambda store: store.units(job_id))
        assert [unit.number for unit in units] == sorted(model.recorded)

    @rule()
    def the_load_is_what_is_active(self) -> None:
        phases = [model.phase for model in self.models.values()]
        for before, now in zip(self.before, self.both(lambda s: s.load(everybody=True)), strict=True):
            assert now == Load(
                before.pending + phases.count(Phase.PENDING),
                before.queued + phases.count(Phase.QUEUED),
                before.executing + phases.count(Phase.EXECUTING),
            )

    def teardown(self) -> None:
        for job_id in self.models:
            self.look(job_id)
            self.both(lambda store, one=job_id: store.delete(one))


def follows(phase: Phase, event: Event) -> Transition | None:
    try:
        return transition(phase, event)
    except IllegalTransition:
        return None


def plain(answer: Any) -> Any:
    """Return an answer without what differs between the stores, having looked whether it makes sense."""
    if isinstance(answer, UwsError):
        return type(answer), str(answer)
    if isinstance(answer, list):
        return [plain(one) for one in answer]
    if isinstance(answer, Job):
        times = [answer.created, answer.queued, answer.started, answer.ended]
        known = [time for time in times if time is not None]
        assert known == sorted(known)
        assert datetime.now(UTC) - known[0] < timedelta(hours=1)
        assert (answer.ended is not None) == (answer.phase in FINAL)
        assert (answer.runner is not None) == (answer.phase is Phase.EXECUTING)
        return dataclasses.replace(answer, created=None, queued=None, started=None, ended=None, runner=None)
    if dataclasses.is_dataclass(answer) and hasattr(answer, "instructions"):
        return plain(answer.job), answer.instructions
    if dataclasses.is_dataclass(answer) and hasattr(answer, "created"):
        return dataclasses.replace(answer, created=None)  # type: ignore[type-var]
    return answer


def test_lives_of_jobs(postgres: PostgresServer, postgres_url: str, tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        runner = stack.enter_context(asyncio.Runner())
        stores = []
        for url in (str(tmp_path / "jobs.db"), postgres_url):
            store = runner.run(open_store(url))
            stack.callback(lambda one=store: runner.run(one.close()))
            stores.append(store)
        machine = type("TheseLives", (Lives,), {"stores": tuple(stores), "runner": runner})
        run_state_machine_as_test(  # type: ignore[no-untyped-call]
            machine, settings=settings(max_examples=40, stateful_step_count=25, deadline=None)
        )
