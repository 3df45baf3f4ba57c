"""Phases of a job as a pure state machine (UWS 1.1, 2.1.3): a phase and an event give a phase and instructions.

Nothing here reads a clock, a store or a network, so every pair of phase and event is tested. Who applies a
transition writes the new phase first and carries out the instructions then; each of them may be carried out
again after a crash.

::

    PENDING ──RUN──▶ QUEUED ──START──▶ EXECUTING ──COMPLETE──▶ COMPLETED
       │               │                  ├──────FAIL───────▶ ERROR
       └─────ABORT─────┴──────ABORT───────┴──EXPIRE, ABORT──▶ ABORTED
    any phase ──DESTROY──▶ ARCHIVED
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from .errors import IllegalTransition

__all__ = ["ACTIVE", "FINAL", "Event", "Instruction", "Phase", "Transition", "transition"]


class Phase(StrEnum):
    """The phases of UWS 1.1, 2.1.3."""

    PENDING = "PENDING"
    QUEUED = "QUEUED"
    EXECUTING = "EXECUTING"
    COMPLETED = "COMPLETED"
    ERROR = "ERROR"
    ABORTED = "ABORTED"
    UNKNOWN = "UNKNOWN"
    HELD = "HELD"
    SUSPENDED = "SUSPENDED"
    ARCHIVED = "ARCHIVED"


ACTIVE: Final = frozenset({Phase.PENDING, Phase.QUEUED, Phase.EXECUTING})
"""Phases in which WAIT may block (UWS 1.1, 2.2.1.2)."""

FINAL: Final = frozenset({Phase.COMPLETED, Phase.ERROR, Phase.ABORTED, Phase.ARCHIVED})
"""Phases that only DESTROY leaves."""


class Event(StrEnum):
    """What happens to a job."""

    RUN = "RUN"
    """The client asks for it to run."""
    HOLD = "HOLD"
    """It cannot be queued now; the client must ask again."""
    START = "START"
    """An executor has taken it."""
    COMPLETE = "COMPLETE"
    """Its work is done."""
    FAIL = "FAIL"
    """Its work cannot be done."""
    ABORT = "ABORT"
    """The client asks for it to end."""
    EXPIRE = "EXPIRE"
    """Its executionDuration has passed: the same as ABORT (UWS 1.1, 2.1.4)."""
    DESTROY = "DESTROY"
    """Its destruction time has come: results go, what is known of it stays."""


class Instruction(StrEnum):
    """What is to be done once the new phase is written."""

    ENQUEUE = "ENQUEUE"
    """Offer the job to the executors."""
    STOP = "STOP"
    """Stop its units."""
    TELL_OWNER = "TELL_OWNER"
    """Mail the owner, where that is asked for."""
    DELETE_RESULTS = "DELETE_RESULTS"
    """Delete what it has in the result store."""


@dataclass(frozen=True, slots=True)
class Transition:
    """The phase that follows, and what to do then."""

    phase: Phase
    instructions: tuple[Instruction, ...] = ()


_ENDED = (Instruction.TELL_OWNER,)
_GONE = (Instruction.DELETE_RESULTS,)
_STOPPED = (Instruction.STOP, Instruction.TELL_OWNER)

_TABLE: Final[dict[tuple[Phase, Event], Transition]] = {
    (Phase.PENDING, Event.RUN): Transition(Phase.QUEUED, (Instruction.ENQUEUE,)),
    (Phase.PENDING, Event.HOLD): Transition(Phase.HELD),
    (Phase.HELD, Event.RUN): Transition(Phase.QUEUED, (Instruction.ENQUEUE,)),
    (Phase.SUSPENDED, Event.RUN): Transition(Phase.QUEUED, (Instruction.ENQUEUE,)),
    (Phase.QUEUED, Event.START): Transition(Phase.EXECUTING),
    (Phase.QUEUED, Event.HOLD): Transition(Phase.HELD),
    (Phase.QUEUED, Event.FAIL): Transition(Phase.ERROR, _ENDED),
    (Phase.EXECUTING, Event.COMPLETE): Transition(Phase.COMPLETED, _ENDED),
    (Phase.EXECUTING, Event.FAIL): Transition(Phase.ERROR, _STOPPED),
    (Phase.EXECUTING, Event.EXPIRE): Transition(Phase.ABORTED, _STOPPED),
    (Phase.EXECUTING, Event.ABORT): Transition(Phase.ABORTED, _STOPPED),
    # A second RUN of the same request, sent again by a client that lost the answer, changes nothing.
    (Phase.QUEUED, Event.RUN): Transition(Phase.QUEUED),
    (Phase.EXECUTING, Event.RUN): Transition(Phase.EXECUTING),
    # An executor takes over the job of one that died.
    (Phase.EXECUTING, Event.START): Transition(Phase.EXECUTING),
    **{
        (phase, Event.ABORT): Transition(Phase.ABORTED) for phase in (Phase.PENDING, Phase.HELD, Phase.QUEUED)
    },
    **{
        (phase, Event.ABORT): Transition(Phase.ABORTED, _STOPPED)
        for phase in (Phase.SUSPENDED, Phase.UNKNOWN)
    },
    # An ABORT that comes too late is no error: the client cannot know.
    **{(phase, Event.ABORT): Transition(phase) for phase in FINAL},
    **{
        (phase, Event.DESTROY): Transition(Phase.ARCHIVED, _GONE)
        for phase in Phase
        if phase not in (Phase.EXECUTING, Phase.SUSPENDED, Phase.UNKNOWN)
    },
    **{
        (phase, Event.DESTROY): Transition(Phase.ARCHIVED, (Instruction.STOP, *_GONE))
        for phase in (Phase.EXECUTING, Phase.SUSPENDED, Phase.UNKNOWN)
    },
}


def transition(phase: Phase, event: Event) -> Transition:
    """Return what `event` makes of a job in `phase`.

    Raises
    ------
    IllegalTransition
        The event cannot happen in this phase (UWS 1.1, 2.2: answered 403).
    """
    try:
        return _TABLE[phase, event]
    except KeyError:
        raise IllegalTransition(
            f"A job that is {phase} cannot {event}.", "Look at its phase first."
        ) from None
