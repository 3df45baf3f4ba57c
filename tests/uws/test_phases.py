"""Every pair of phase and event, against a table that is read by eye."""

from __future__ import annotations

import itertools

import pytest

from sodalake.uws.errors import IllegalTransition
from sodalake.uws.phases import ACTIVE, FINAL, Event, Instruction, Phase, transition

TABLE = """
            RUN        HOLD  START      COMPLETE   FAIL   ABORT      EXPIRE   DESTROY
PENDING     QUEUED     HELD  -          -          -      ABORTED    -        ARCHIVED
QUEUED      QUEUED     HELD  EXECUTING  -          ERROR  ABORTED    -        ARCHIVED
EXECUTING   EXECUTING  -     EXECUTING  COMPLETED  ERROR  ABORTED    ABORTED  ARCHIVED
COMPLETED   -          -     -          -          -      COMPLETED  -        ARCHIVED
ERROR       -          -     -          -          -      ERROR      -        ARCHIVED
ABORTED     -          -     -          -          -      ABORTED    -        ARCHIVED
UNKNOWN     -          -     -          -          -      ABORTED    -        ARCHIVED
HELD        QUEUED     -     -          -          -      ABORTED    -        ARCHIVED
SUSPENDED   QUEUED     -     -          -          -      ABORTED    -        ARCHIVED
ARCHIVED    -          -     -          -          -      ARCHIVED   -        ARCHIVED
"""


def _expected() -> dict[tuple[Phase, Event], Phase | None]:
    heading, *lines = TABLE.strip().splitlines()
    events = [Event(word) for word in heading.split()]
    found: dict[tuple[Phase, Event], Phase | None] = {}
    for line in lines:
        phase, *cells = line.split()
        for event, cell in zip(events, cells, strict=True):
            found[Phase(phase), event] = None if cell == "-" else Phase(cell)
    return found


EXPECTED = _expected()
PAIRS = list(itertools.product(Phase, Event))


def test_the_table_has_every_pair() -> None:
    assert set(EXPECTED) == set(PAIRS)


@pytest.mark.parametrize(("phase", "event"), PAIRS)
def test_pair(phase: Phase, event: Event) -> None:
    after = EXPECTED[phase, event]
    if after is None:
        with pytest.raises(IllegalTransition, match=f"{phase} cannot {event}") as caught:
            transition(phase, event)
        assert caught.value.advice
        return
    step = transition(phase, event)
    assert step.phase is after
    told = set(step.instructions)
    assert len(told) == len(step.instructions)
    # Units may run where the job executed, and stop by themselves only when its work is done.
    ran = phase in (Phase.EXECUTING, Phase.SUSPENDED, Phase.UNKNOWN)
    assert (Instruction.STOP in told) == (ran and after in FINAL and event is not Event.COMPLETE)
    assert (Instruction.ENQUEUE in told) == (after is Phase.QUEUED and phase is not Phase.QUEUED)
    assert (Instruction.DELETE_RESULTS in told) == (event is Event.DESTROY)
    # Who aborts or destroys a job that did not run knows that it is over.
    worth_telling = ran or event is Event.FAIL
    assert (Instruction.TELL_OWNER in told) == (
        worth_telling and after in FINAL and after is not Phase.ARCHIVED
    )


def test_a_final_phase_is_left_by_destroy_only() -> None:
    for phase in FINAL:
        for event in set(Event) - {Event.DESTROY}:
            assert EXPECTED[phase, event] in (phase, None)


def test_every_phase_but_unknown_and_suspended_is_reached() -> None:
    reached, edge = {Phase.PENDING}, {Phase.PENDING}
    while edge:
        edge = {after for phase in edge for event in Event if (after := EXPECTED[phase, event])} - reached
        reached |= edge
    assert set(Phase) - reached == {Phase.UNKNOWN, Phase.SUSPENDED}


def test_a_job_cannot_be_blocked_on_and_final() -> None:
    assert not ACTIVE & FINAL
