"""A job on images step by step, as the executor does it: checked, planned, run in pools, resumed, finished."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_tiles import CENTRE, STEP, lake_of_tiles

from sodalake.lake.lake import Lake
from sodalake.lake.results import ResultFolder
from sodalake.server.sections import Images, Jobs
from sodalake.server.sodajobs import SodaKind, SodaWork
from sodalake.server.sodaorders import Holdings
from sodalake.sodacut.jobs.onworker import Whole
from sodalake.uws.jobs import Job, Parameter, UnitRecord, Upload
from sodalake.uws.kinds import ONE, SEVERAL, Plan, UnitContext
from sodalake.uws.phases import Phase


@dataclass
class Here:
    """Planning without a scheduler: every call goes through pickle, as to a worker."""

    job: Job
    results: ResultFolder
    width: int = 4

    def over_there(self) -> bool:
        return False

    def cancelled(self) -> bool:
        return False

    def note(self, text: str) -> None:
        """Nobody reads it."""

    def map(self, function: Callable[..., Any], items: Sequence[Any]) -> list[Any]:
        return [travelled(travelled(function)(travelled(item))) for item in items]


@pytest.fixture(scope="module")
def kind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SodaKind]:
    root, url = tmp_path_factory.mktemp("sky"), tmp_path_factory.mktemp("lake")
    lake_of_tiles(root, url)
    lake = Lake.open(str(url))
    holdings = Holdings(lake.surveys, lake.image_surveys, "here")
    yield SodaKind(lake.url, holdings, Jobs(), Images())
    lake.close()


@pytest.fixture
def results(tmp_path: Path) -> ResultFolder:
    return ResultFolder(str(tmp_path / "results"))


def travelled(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value, 5))


def job_of(results: ResultFolder, text: str, **given: str) -> Job:
    results.write("j1/list", text.encode())
    parameters = tuple(Parameter(name.lower(), value) for name, value in given.items())
    upload = Upload("list", "j1/list", len(text), "text/csv", "list.csv")
    return Job("j1", "soda", None, Phase.EXECUTING, datetime(2026, 1, 1, tzinfo=UTC), parameters, (upload,))


def places(count: int, step: float) -> str:
    """Rows along the sky from the middle of one tile to that of the next, and back."""
    rows = []
    for number in range(count):
        column = abs((number * step + 1) % 2 - 1)
        rows.append(
            f"{CENTRE[0] - (column - 0.5) * STEP / np.cos(np.radians(CENTRE[1]))},{CENTRE[1] - STEP / 2}"
        )
    return "\n".join(["ra,dec", *rows])


def run(work: SodaWork, plan: Plan, number: int, results: ResultFolder, attempt: str = "a") -> UnitRecord:
    context = UnitContext("j1", number, f"j1/part-{number}-{attempt}", results, lambda: False)
    return travelled(travelled(work.run)(travelled(plan.units[number].spec), context))  # type: ignore[no-any-return]


def test_a_few_small_targets_are_one_unit_that_looks_up_itself(kind: SodaKind, results: ResultFolder) -> None:
    job = job_of(results, places(20, 0.1), SURVEY="small", SIZE="20px", BANDS="g")
    work = kind.check(job, results)
    planning = Here(job, results)
    plan = travelled(work.plan(planning))
    assert [(type(unit.spec), unit.targets, unit.pool) for unit in plan.units] == [(Whole, 20, ONE)]
    record = run(work, plan, 0, results)
    assert (record.targets, record.failed) == (20, 0)
    found = work.finish(planning, plan, iter([record]), whole=True)
    assert [one.id for one in found] == ["manifest.csv", "manifest.json", "manifest.vot", "cutouts.zip"]


def test_large_targets_are_not_kept_together(kind: SodaKind, results: ResultFolder) -> None:
    job = job_of(results, places(20, 0.1), SURVEY="small", SIZE="1500px", BANDS="g")
    work = kind.check(job, results)
    assert len(work.plan(Here(job, results)).units) > 1


def test_mosaics_are_in_the_pool_of_those(kind: SodaKind, results: ResultFolder) -> None:
    job = job_of(results, places(300, 0.05), SURVEY="small", SIZE="20px", BANDS="g", ALGORITHM="coadd")
    plan = kind.check(job, results).plan(Here(job, results))
    pools = {pool: sum(unit.targets for unit in plan.units if unit.pool == pool) for pool in (ONE, SEVERAL)}
    assert pools[ONE] + pools[SEVERAL] == 300
    assert 30 < pools[SEVERAL] < 150
    few = job_of(results, places(3, 0.05), SURVEY="small", SIZE="20px", BANDS="g", ALGORITHM="median")
    assert kind.check(few, results).plan(Here(few, results)).units[0].pool == SEVERAL


def test_a_job_goes_on_from_what_is_finished(kind: SodaKind, results: ResultFolder) -> None:
    job = job_of(results, places(200, 0.03), SURVEY="small", SIZE="20px", BANDS="gr")
    planning = Here(job, results)
    first = kind.check(job, results)
    plan = travelled(first.plan(planning))
    assert len(plan.units) > 2
    done = {number: run(first, plan, number, results) for number in range(len(plan.units) - 1)}
    run(first, plan, len(plan.units) - 1, results, "lost")  # written, and never recorded
    again = kind.check(job, results)
    assert (again.shape, again.targets) == (first.shape, first.targets)
    last = len(plan.units) - 1
    done[last] = run(again, plan, last, results, "b")
    found = again.finish(planning, plan, iter(done[number] for number in sorted(done)), whole=True)
    table = {one.id: one for one in found}
    objects = {segment.object for segment in table["cutouts.zip"].segments if segment.object}
    assert f"j1/part-{last}-b" in objects
    assert f"j1/part-{last}-lost" not in objects
    assert sum(record.targets for record in done.values()) == 200
    assert not any(record.failed for record in done.values())


def test_what_was_aborted_is_told_of_every_target(kind: SodaKind, results: ResultFolder) -> None:
    job = job_of(results, places(200, 0.03), SURVEY="small", SIZE="20px", BANDS="g")
    planning = Here(job, results)
    work = kind.check(job, results)
    plan = work.plan(planning)
    found = work.finish(planning, plan, iter([run(work, plan, 1, results)]), whole=False)
    manifest = next(one for one in found if one.id == "manifest.csv").segments[0]
    stored = results.open(manifest.object)
    text = stored.read_at(0, stored.size).decode()
    stored.close()
    assert text.count("\r\n") == 201
    assert text.count(",OK,") == plan.units[1].targets
    assert text.count("ended before") == 200 - plan.units[1].targets
