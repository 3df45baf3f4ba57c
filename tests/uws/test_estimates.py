"""Estimates hold within a factor of two after twenty jobs, whatever machines do; a guess is a guess before."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sodalake.uws.estimates import Model, Prior, fair_level
from sodalake.uws.jobs import Timing

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Machine:
    """A service that is known: what jobs cost on it, and how irregular it is."""

    seconds: float
    per_target: float
    noise: float = 0.0
    accidents: float = 0.0
    bytes_per_target: float = 5_000.0

    def truth(self, targets: float) -> float:
        return self.seconds + self.per_target * targets

    def jobs(
        self,
        rng: np.random.Generator,
        count: int,
        largest: float,
        *,
        shape: str = "arrow",
        begin: datetime = BEGIN,
    ) -> list[Timing]:
        """Jobs of all sizes, one after the other."""
        made = []
        for _ in range(count):
            targets = round(math.exp(rng.uniform(0, math.log(largest))))
            took = self.truth(targets) * math.exp(rng.normal(0, self.noise))
            if rng.random() < self.accidents:
                took *= math.exp(rng.uniform(1, 3))
            begin += timedelta(seconds=took + 1)
            size = round(self.bytes_per_target * targets * math.exp(rng.normal(0, self.noise)))
            made.append(timing(targets, took, begin, size=size, shape=shape))
        return made


def timing(
    targets: int, seconds: float, ended: datetime, *, size: int = 0, units: int | None = None, shape: str = "arrow",
    kind: str = "stamps", waited: float = 0.01,
) -> Timing:  # fmt: skip
    return Timing(kind, shape, targets, units or max(1, targets // 100), size, seconds, waited, ended)


def machines(rng: np.random.Generator, count: int, noise: float, accidents: float) -> list[Machine]:
    """Machines that differ from the prior, and from each other, by factors of hundreds."""
    return [
        Machine(
            math.exp(rng.uniform(math.log(0.02), math.log(20))),
            math.exp(rng.uniform(math.log(1e-5), math.log(0.1))),
            noise,
            accidents,
        )
        for _ in range(count)
    ]


def wrong_by(told: float, truth: float) -> float:
    """The factor between them, at least 1."""
    return math.exp(abs(math.log(told / truth)))


# ---------------------------------------------------------------------- what is promised


@pytest.mark.parametrize(
    ("noise", "accidents", "share"), [(0.1, 0.0, 1.0), (0.3, 0.0, 0.99), (0.3, 0.1, 0.98), (0.5, 0.1, 0.95)]
)
def test_after_twenty_jobs_within_a_factor_of_two(noise: float, accidents: float, share: float) -> None:
    rng = np.random.default_rng(20)
    factors = []
    for machine in machines(rng, 150, noise, accidents):
        largest = 10 ** rng.uniform(2, 5.5)
        model = Model(machine.jobs(rng, 20, largest), 4)
        targets = round(math.exp(rng.uniform(0, math.log(largest))))
        told = model.predict("stamps", "arrow", targets)
        factors.append(wrong_by(told.seconds, machine.truth(targets)))
        assert wrong_by(told.bytes, machine.bytes_per_target * targets) < 1.5
        assert told.samples == 20
    assert np.mean(np.array(factors) <= 2) >= share, sorted(factors)[-10:]


def test_four_in_five_jobs_lie_between_low_and_high() -> None:
    rng = np.random.default_rng(80)
    inside = []
    for machine in machines(rng, 200, 0.4, 0.0):
        model = Model(machine.jobs(rng, 40, 1e4), 4)
        targets = round(math.exp(rng.uniform(0, math.log(1e4))))
        told = model.predict("stamps", "arrow", targets)
        assert told.low < told.seconds < told.high
        inside.append(told.low <= machine.truth(targets) * math.exp(rng.normal(0, 0.4)) <= told.high)
    assert 0.72 <= np.mean(inside) <= 0.95


@pytest.mark.parametrize(("faster", "jobs"), [(4.0, 20), (0.25, 20), (10.0, 40)])
def test_after_a_change_of_machines_the_new_one_is_learned(faster: float, jobs: int) -> None:
    rng = np.random.default_rng(7)
    old, new = Machine(2, 0.02, 0.2), Machine(2 / faster, 0.02 / faster, 0.2)
    before = old.jobs(rng, 100, 1e4)
    model = Model([*new.jobs(rng, jobs, 1e4, begin=before[-1].ended), *before], 4)
    for targets in (1, 100, 10_000):
        assert wrong_by(model.predict("stamps", "arrow", targets).seconds, new.truth(targets)) < 2


def test_few_jobs_move_the_guess() -> None:
    machine = Machine(5.0, 0.02)  # ten times the prior
    rng = np.random.default_rng(1)
    for count in (1, 2, 3):
        model = Model(machine.jobs(rng, count, 1000), 4)
        for targets in (1, 100, 10_000):
            assert wrong_by(model.predict("stamps", "arrow", targets).seconds, machine.truth(targets)) < 1.5
    certain = [
        Model(machine.jobs(rng, count, 1000), 4).predict("stamps", "arrow", 100) for count in (1, 3, 20)
    ]
    widths = [told.high / told.low for told in certain]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < 2.5 < 4 < widths[0]


def test_nothing_is_known_of_a_new_kind() -> None:
    prior = Prior(1.0, 0.01, 1_000.0, 50.0)
    told = Model([], 4, prior=prior).predict("tables", "votable", 200)
    assert (told.seconds, told.bytes, told.units, told.samples) == (pytest.approx(3.0), 200_000, 5, 0)
    assert told.high / told.low > 10
    assert Model([], 4).delay == 0


def test_a_new_shape_begins_where_its_kind_is() -> None:
    rng = np.random.default_rng(3)
    machine = Machine(3.0, 0.05, 0.1)
    jobs = machine.jobs(rng, 30, 1e4, shape="arrow")
    model = Model(jobs, 4)
    told = model.predict("stamps", "zip", 500)
    assert told.samples == 0
    assert wrong_by(told.seconds, machine.truth(500)) < 1.3
    other = Machine(0.3, 0.005, 0.1)  # and then learns its own
    both = Model([*jobs, *other.jobs(rng, 20, 1e4, shape="zip", begin=jobs[-1].ended)], 4)
    assert wrong_by(both.predict("stamps", "zip", 500).seconds, other.truth(500)) < 1.5
    assert wrong_by(both.predict("stamps", "arrow", 500).seconds, machine.truth(500)) < 1.5


def test_a_larger_job_than_ever_is_less_certain() -> None:
    rng = np.random.default_rng(4)
    model = Model(Machine(1.0, 0.01, 0.1).jobs(rng, 30, 1000), 4)
    inside, outside = (model.predict("stamps", "arrow", targets) for targets in (300, 300_000))
    assert wrong_by(outside.seconds, 3001) < 2
    assert outside.high / outside.low > 1.5 * inside.high / inside.low


def test_jobs_that_differ_by_their_bytes() -> None:
    rng = np.random.default_rng(5)
    jobs = []
    for number in range(40):
        targets = int(rng.integers(10, 1000))
        size = round(targets * 10 ** rng.uniform(3, 6))
        jobs.append(timing(targets, 1 + size / 1e7, BEGIN + timedelta(hours=number), size=size))
    model = Model(jobs, 4)
    for size in (10_000, 10_000_000, 500_000_000):
        assert wrong_by(model.predict("stamps", "arrow", 500, size).seconds, 1 + size / 1e7) < 1.5
    assert model.predict("stamps", "arrow", 500, 12_345).bytes == 12_345


def test_units_are_counted() -> None:
    jobs = [timing(100 * at, 1.0 + at, BEGIN + timedelta(hours=at), units=4 * at) for at in range(1, 20)]
    model = Model(jobs, 4)
    assert model.predict("stamps", "arrow", 1000).units == pytest.approx(40, rel=0.1)
    assert model.predict("stamps", "arrow", 1).units == 1


def test_the_delay_is_that_of_an_idle_service() -> None:
    waits = [0.02] * 5 + [60.0] * 15
    jobs = [timing(10, 1.0, BEGIN + timedelta(hours=at), waited=wait) for at, wait in enumerate(waits)]
    assert Model(jobs, 4).delay == pytest.approx(0.02)


# ---------------------------------------------------------------------- alone


def test_company_is_taken_out() -> None:
    """Four equal jobs side by side took four times as long as one alone does."""
    jobs = [timing(1000, 40.0, BEGIN + timedelta(hours=1), units=50) for _ in range(4)]
    assert Model(jobs, 2).predict("stamps", "arrow", 1000).seconds == pytest.approx(10.0, rel=0.1)
    apart = [timing(1000, 40.0, BEGIN + timedelta(hours=at), units=50) for at in range(4)]
    assert Model(apart, 2).predict("stamps", "arrow", 1000).seconds == pytest.approx(40.0, rel=0.1)


def test_jobs_of_one_unit_do_not_disturb_where_there_is_room() -> None:
    jobs = [timing(1000, 40.0, BEGIN + timedelta(hours=1), units=1) for _ in range(4)]
    assert Model(jobs, 4).predict("stamps", "arrow", 1000).seconds == pytest.approx(40.0, rel=0.1)
    assert Model(jobs, 2).predict("stamps", "arrow", 1000).seconds == pytest.approx(20.0, rel=0.1)


def test_a_job_that_still_runs_was_company_too() -> None:
    jobs = [timing(1000, 20.0, BEGIN + timedelta(minutes=at), units=50) for at in range(1, 20)]
    busy = Model(jobs, 2, running=[(BEGIN, 500)])
    assert busy.predict("stamps", "arrow", 1000).seconds == pytest.approx(10.0, rel=0.1)


def test_company_for_half_of_the_time() -> None:
    long = timing(1000, 30.0, BEGIN + timedelta(seconds=30), units=50, shape="long")
    short = timing(10, 10.0, BEGIN + timedelta(seconds=25), units=50, shape="short")
    model = Model([long, short], 2)
    prior = Model([], 2).predict("stamps", "long", 1000).seconds
    told = model.predict("stamps", "long", 1000).seconds
    assert prior < told
    assert told == pytest.approx(25.0, rel=0.15)
    assert model.predict("stamps", "short", 10).seconds == pytest.approx(5.0, rel=0.15)


@given(st.lists(st.floats(0.1, 100), min_size=1, max_size=12), st.floats(0.1, 500))
def test_an_even_share(wants: list[float], capacity: float) -> None:
    level = fair_level(wants, capacity)
    assert sum(min(want, level) for want in wants) == pytest.approx(min(capacity, sum(wants)))
    assert level >= capacity / len(wants) * (1 - 1e-9)
    weights = [1.0 + at for at in range(len(wants))]
    level = fair_level(wants, capacity, weights)
    shares = [min(want, level * weight) for want, weight in zip(wants, weights, strict=True)]
    assert sum(shares) == pytest.approx(min(capacity, sum(wants)))


# ---------------------------------------------------------------------- anything


@st.composite
def any_timings(draw: st.DrawFn) -> Sequence[Timing]:
    return [
        timing(
            draw(st.integers(0, 10**8)),
            draw(st.one_of(st.just(0.0), st.floats(1e-6, 1e6), st.floats(-1, 0))),
            BEGIN + timedelta(seconds=draw(st.floats(0, 1e6))),
            size=draw(st.integers(0, 10**14)),
            units=draw(st.integers(1, 10**6)),
            shape=draw(st.sampled_from(["arrow", "zip"])),
            waited=draw(st.floats(0, 1e5)),
        )
        for _ in range(draw(st.integers(0, 12)))
    ]


@settings(max_examples=60)
@given(any_timings(), st.integers(0, 64), st.lists(st.integers(0, 10**9), min_size=2, max_size=5))
def test_whatever_was_measured_an_estimate_is_a_number_that_grows_with_the_job(
    timings: Sequence[Timing], width: int, sizes: list[int]
) -> None:
    model = Model(timings, width)
    told = [model.predict("stamps", "arrow", targets) for targets in sorted(sizes)]
    for one in told:
        assert all(math.isfinite(value) for value in (one.seconds, one.low, one.high))
        assert 0 < one.low <= one.seconds <= one.high
        assert one.bytes >= 0
        assert one.units >= 1
    seconds = [one.seconds for one in told]
    assert seconds == sorted(seconds)
    by_bytes = [model.predict("stamps", "arrow", 100, size).seconds for size in (0, 10**6, 10**12)]
    assert by_bytes == sorted(by_bytes)
