"""Which unit runs next: priority, fair shares, pools. Pure, so every rule is tried on many made-up loads."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from sodalake.uws.dispatch import Dispatcher, Taken
from sodalake.uws.kinds import ONE, SEVERAL


def units(count: int, pool: str = ONE, targets: int = 1) -> list[tuple[int, str, int]]:
    return [(number, pool, targets) for number in range(count)]


def drain(dispatcher: Dispatcher, steps: int = 10_000) -> list[str]:
    """Run one unit at a time, and say whose they were."""
    order = []
    for _ in range(steps):
        taken = dispatcher.next()
        if taken is None:
            break
        order.append(taken.job)
        dispatcher.done(taken.job, taken.number)
    return order


def test_units_of_a_job_come_in_their_order() -> None:
    dispatcher = Dispatcher({ONE: 2})
    dispatcher.add("a", None, 0, units(3))
    assert [dispatcher.next(), dispatcher.next(), dispatcher.next()] == [Taken("a", 0), Taken("a", 1), None]
    dispatcher.done("a", 1)
    assert dispatcher.next() == Taken("a", 2)


def test_priority_goes_before_fairness() -> None:
    dispatcher = Dispatcher({ONE: 1})
    dispatcher.add("slow", "anna", 0, units(5))
    assert dispatcher.next() == Taken("slow", 0)
    dispatcher.add("urgent", "anna", 5, units(2))
    dispatcher.done("slow", 0)
    assert drain(dispatcher) == ["urgent", "urgent", "slow", "slow", "slow", "slow"]


def test_owners_share_alike_whatever_they_bring() -> None:
    dispatcher = Dispatcher({ONE: 1})
    for job in ("a1", "a2", "a3"):
        dispatcher.add(job, "anna", 0, units(100))
    dispatcher.add("b1", "bert", 0, units(100))
    first = Counter(drain(dispatcher, 100))
    assert first["b1"] == 50
    assert max(first[job] for job in ("a1", "a2", "a3")) <= 17


def test_shares_are_counted_in_targets() -> None:
    dispatcher = Dispatcher({ONE: 1})
    dispatcher.add("large", "anna", 0, units(50, targets=10))
    dispatcher.add("small", "bert", 0, units(50, targets=1))
    first = Counter(drain(dispatcher, 22))
    assert first == {"large": 2, "small": 20}


def test_who_comes_late_has_saved_nothing() -> None:
    dispatcher = Dispatcher({ONE: 1})
    dispatcher.add("a", "anna", 0, units(100))
    drain(dispatcher, 50)
    dispatcher.add("b", "bert", 0, units(100))
    assert Counter(drain(dispatcher, 20)) == {"a": 10, "b": 10}


def test_a_pool_that_is_full_holds_nobody_else_up() -> None:
    dispatcher = Dispatcher({ONE: 1, SEVERAL: 1})
    dispatcher.add("mosaic", None, 0, units(3, SEVERAL))
    dispatcher.add("stamps", None, 0, units(3))
    taken = {dispatcher.next(), dispatcher.next()}
    assert taken == {Taken("mosaic", 0), Taken("stamps", 0)}
    assert dispatcher.next() is None
    dispatcher.done("stamps", 0)
    assert dispatcher.next() == Taken("stamps", 1)


def test_the_last_unit_of_a_job_may_fail_and_come_again() -> None:
    dispatcher = Dispatcher({ONE: 1})
    dispatcher.add("a", None, 0, units(1))
    assert dispatcher.next() == Taken("a", 0)
    dispatcher.done("a", 0)
    assert dispatcher.next() is None
    dispatcher.again("a", 0, ONE, 1)
    assert dispatcher.next() == Taken("a", 0)
    dispatcher.remove("a")
    dispatcher.done("a", 0)
    dispatcher.again("a", 0, ONE, 1)
    assert dispatcher.next() is None


def test_a_unit_that_failed_goes_to_the_front() -> None:
    dispatcher = Dispatcher({ONE: 1})
    dispatcher.add("a", None, 0, units(3))
    assert dispatcher.next() == Taken("a", 0)
    dispatcher.done("a", 0)
    dispatcher.again("a", 0, ONE, 1)
    assert dispatcher.next() == Taken("a", 0)


def test_a_job_that_ends_frees_its_places_when_its_units_do() -> None:
    dispatcher = Dispatcher({ONE: 2})
    dispatcher.add("a", None, 0, units(10))
    dispatcher.next()
    dispatcher.next()
    dispatcher.remove("a")
    dispatcher.add("b", None, 0, units(1))
    assert dispatcher.next() is None
    assert dispatcher.running("a") == 2
    dispatcher.done("a", 0)
    assert dispatcher.next() == Taken("b", 0)
    dispatcher.done("a", 1)
    assert dispatcher.running("a") == 0


@given(
    jobs=st.lists(
        st.tuples(
            st.sampled_from(["anna", "bert", None]),
            st.integers(0, 2),
            st.lists(st.tuples(st.sampled_from([ONE, SEVERAL]), st.integers(1, 5)), max_size=8),
        ),
        max_size=6,
    ),
    widths=st.tuples(st.integers(1, 3), st.integers(1, 2)),
    data=st.data(),
)
def test_every_unit_runs_once_and_no_pool_is_overrun(
    jobs: list[tuple[str | None, int, list[tuple[str, int]]]],
    widths: tuple[int, int],
    data: st.DataObject,
) -> None:
    dispatcher = Dispatcher({ONE: widths[0], SEVERAL: widths[1]})
    expected = set()
    for number, (owner, priority, work) in enumerate(jobs):
        dispatcher.add(
            str(number), owner, priority, [(at, pool, targets) for at, (pool, targets) in enumerate(work)]
        )
        expected |= {Taken(str(number), at) for at in range(len(work))}
    ran: list[Taken] = []
    running: list[Taken] = []
    while True:
        taken = dispatcher.next()
        if taken is not None:
            ran.append(taken)
            running.append(taken)
            pools = Counter(jobs[int(one.job)][2][one.number][0] for one in running)
            assert pools[ONE] <= widths[0]
            assert pools[SEVERAL] <= widths[1]
        elif running:
            ended = running.pop(data.draw(st.integers(0, len(running) - 1)))
            dispatcher.done(ended.job, ended.number)
        else:
            break
    assert len(ran) == len(set(ran))
    assert set(ran) == expected
