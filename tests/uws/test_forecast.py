"""The queue played forward: against cases that can be counted by hand, and against the dispatcher itself."""

from __future__ import annotations

import heapq
import random
import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sodalake.uws.dispatch import Dispatcher
from sodalake.uws.forecast import Rules, Waiting, forecast

TWO = Rules({"one": 2, "several": 1})
IDLE_END = 10.0


def job(owner: str, seconds: float = IDLE_END, **changes: object) -> Waiting:
    return Waiting(owner, seconds, **({"units": 100, "targets": round(100 * seconds)} | changes))  # type: ignore[arg-type]


def test_alone_a_job_takes_what_it_takes() -> None:
    for units in (1, 2, 100):
        told = forecast([job("anna", units=units)], TWO)
        assert (told.position, told.start, told.end) == (0, 0.0, pytest.approx(IDLE_END))


def test_two_owners_share() -> None:
    jobs = [job("bob", 100.0, executing=True), job("anna")]
    told = forecast(jobs, TWO)
    assert (told.position, told.start, told.end) == (0, 0.0, pytest.approx(20.0))
    assert forecast(jobs, TWO, 0).end == pytest.approx(110.0)  # nothing is left idle


def test_shares_are_owners_not_jobs() -> None:
    jobs = [job("bob", 100.0, executing=True), job("bob", 100.0, executing=True), job("anna")]
    assert forecast(jobs, TWO).end == pytest.approx(20.0)
    assert forecast([*jobs, job("anna")], TWO).end == pytest.approx(40.0)  # with her own other job


def test_priority_goes_first() -> None:
    jobs = [job("bob", 100.0, executing=True), job("anna", priority=1)]
    assert forecast(jobs, TWO).end == pytest.approx(10.0)
    behind = [job("bob", 30.0, executing=True, priority=1), job("anna")]
    told = forecast(behind, TWO)
    assert (told.start, told.end) == (pytest.approx(30.0), pytest.approx(40.0))


def test_what_a_small_job_leaves_goes_to_the_others() -> None:
    jobs = [job("bob", 100.0, units=1, targets=1000, executing=True), job("anna")]
    assert forecast(jobs, Rules({"one": 4})).end == pytest.approx(10.0 * 4 / 3)


def test_an_owner_s_jobs_wait_for_each_other() -> None:
    rules = Rules({"one": 2}, per_owner=1)
    jobs = [job("anna", executing=True), job("anna"), job("anna")]
    told = forecast(jobs, rules)
    assert (told.position, told.start, told.end) == (1, pytest.approx(20.0), pytest.approx(30.0))
    assert forecast([*jobs, job("bob")], rules).position == 0


def test_the_service_has_only_so_many_jobs() -> None:
    rules = Rules({"one": 2}, jobs=2, per_owner=4)
    jobs = [job("a", executing=True), job("b", executing=True), job("c"), job("d")]
    told = forecast(jobs, rules)
    assert (told.position, told.start, told.end) == (1, pytest.approx(20.0), pytest.approx(40.0))
    told = forecast([*jobs[:-1], job("d", priority=1)], rules)
    assert (told.position, told.start) == (0, pytest.approx(20.0))


def test_pools_do_not_wait_for_each_other() -> None:
    jobs = [job("bob", 100.0, executing=True), job("anna", pool="several")]
    assert forecast(jobs, TWO).end == pytest.approx(10.0)
    assert forecast([job("bob", pool="several", executing=True), *jobs], TWO).end == pytest.approx(20.0)


def test_whose_targets_take_longer_has_more_of_the_places() -> None:
    jobs = [job("bob", 90.0, targets=300, executing=True), job("anna", 90.0, targets=900)]
    # Bob's targets take three times as long, so three quarters of the places are his until he is done.
    assert forecast(jobs, TWO, 0).end == pytest.approx(120.0)
    assert forecast(jobs, TWO, 1).end == pytest.approx(180.0)


def test_a_job_that_runs_has_started() -> None:
    told = forecast([job("anna", executing=True), job("bob")], TWO, 0)
    assert (told.position, told.start) == (0, 0.0)


# ---------------------------------------------------------------------- against the dispatcher


def played(jobs: Sequence[Waiting], rules: Rules) -> list[tuple[float, float]]:
    """When each job began and ended if units are given out one by one, as the executor does."""
    dispatcher = Dispatcher(rules.widths)
    began, ended = [-1.0] * len(jobs), [-1.0] * len(jobs)
    left = [job.units for job in jobs]
    unit = [job.seconds * min(job.units, rules.widths[job.pool]) / job.units for job in jobs]
    queue = sorted(
        (at for at in range(len(jobs)) if not jobs[at].executing), key=lambda at: (-jobs[at].priority, at)
    )
    executing: set[int] = set()

    def enter(at: int) -> None:
        executing.add(at)
        units = [(number, jobs[at].pool, 10) for number in range(jobs[at].units)]
        dispatcher.add(str(at), jobs[at].owner, jobs[at].priority, units)

    for at, one in enumerate(jobs):
        if one.executing:
            enter(at)
    ends: list[tuple[float, int, int]] = []
    now = 0.0
    while True:
        for at in list(queue):
            mine = sum(jobs[other].owner == jobs[at].owner for other in executing)
            if len(executing) < rules.jobs and mine < rules.per_owner:
                queue.remove(at)
                enter(at)
        while (taken := dispatcher.next()) is not None:
            at = int(taken.job)
            began[at] = now if began[at] < 0 else began[at]
            heapq.heappush(ends, (now + unit[at], at, taken.number))
        if not ends:
            return list(zip(began, ended, strict=True))
        now, at, number = heapq.heappop(ends)
        dispatcher.done(str(at), number)
        left[at] -= 1
        if not left[at]:
            ended[at] = now
            executing.discard(at)
            dispatcher.remove(str(at))


@pytest.mark.parametrize(("urgent", "share"), [(0, 0.995), (1, 0.98)])
def test_the_forecast_is_what_the_dispatcher_does(urgent: int, share: float) -> None:
    """Nearly always within a quarter: what is missing is that real units are not a fluid."""
    dice = random.Random(4711)
    held, starts = [], []
    for _ in range(300):
        rules = Rules({"one": dice.randint(1, 6)}, jobs=dice.randint(2, 6), per_owner=dice.randint(1, 3))
        jobs = []
        for _ in range(dice.randint(1, 12)):
            units = dice.choice([20, 60, 200])
            seconds = units * dice.choice([0.2, 0.5, 1.0])
            jobs.append(
                Waiting(dice.choice("abc"), seconds, units, 10 * units, dice.choice([0, 0, 0, urgent]))
            )
        for at, (began, ended) in enumerate(played(jobs, rules)):
            told = forecast(jobs, rules, at)
            held.append(abs(told.end - ended) <= max(10.0, 0.25 * ended))
            starts.append(abs(told.start - began) <= max(10.0, 0.25 * began))
    assert sum(held) >= share * len(held)
    assert sum(starts) >= share * len(starts)


@given(
    st.lists(
        st.builds(
            Waiting,
            st.sampled_from(["anna", "bob", None]),
            st.floats(0, 1e6),
            st.integers(0, 10_000),
            st.integers(0, 10**7),
            st.integers(-1, 2),
            st.sampled_from(["one", "several", "unheard"]),
            st.booleans(),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_every_queue_comes_to_an_end(jobs: list[Waiting]) -> None:
    work = sum(job.seconds for job in jobs)
    for at, one in enumerate(jobs):
        told = forecast(jobs, TWO, at)
        assert 0 <= told.start <= told.end
        assert told.end >= one.seconds * (1 - 1e-6)
        assert told.end <= (work + 1) * 3  # three pools, the narrowest after the other at worst
        assert 0 <= told.position < len(jobs)


def test_a_queue_of_a_thousand_jobs_is_played_in_no_time() -> None:
    jobs = [job(f"user{at % 300}", 100.0, executing=at < 16) for at in range(1000)]
    began = time.process_time()
    told = forecast(jobs, Rules({"one": 8}))
    assert time.process_time() - began < 5
    assert told.end == pytest.approx(1000 * 100.0, rel=0.05)
    assert told.position == 983
