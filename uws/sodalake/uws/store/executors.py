"""Operations of who executes jobs: take one, record its units, change its phase."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    RowMapping,
    bindparam,
    delete,
    func,
    insert,
    literal_column,
    or_,
    select,
)

from sodalake.uws.errors import IllegalTransition, NoSuchJob
from sodalake.uws.events import QUEUE
from sodalake.uws.jobs import ErrorSummary, Job, Progress, Result, Timing, UnitRecord
from sodalake.uws.phases import FINAL, Event, Instruction, Phase, transition

from .clients import get_many, note_sweep, put_results
from .protocol import Moved
from .schema import jobs, plans, results, timings, units
from .transaction import Transaction, known_id, locked, put
from .values import error_json, job_of, results_of, timing_of, unit_of

__all__ = [
    "abort_requests",
    "claim",
    "kept_plan",
    "last_timings",
    "move",
    "orphans",
    "record",
    "recorded_units",
    "request_abort",
    "set_plan",
    "waiting",
]

TIMINGS_KEPT: Final = 10_000
"""How many timings are kept: estimates are fitted to the last ones."""

_EXECUTING: Final[ColumnElement[bool]] = literal_column(
    "phase IN ('PENDING', 'QUEUED', 'EXECUTING') AND phase = 'EXECUTING'"
)
_DROP_UNITS: Final = delete(units).where(units.c.job == bindparam("seq"))
_DROP_PLAN: Final = delete(plans).where(plans.c.job == bindparam("seq"))
_RESULTS: Final = select(results.c.body).where(results.c.job == bindparam("seq"))
_NUMBERS: Final = select(units.c.number).where(
    units.c.job == bindparam("seq"), units.c.number.in_(bindparam("numbers", expanding=True))
)
_INSERT_UNITS: Final = insert(units)
_WAITING: Final = (
    select(jobs)
    .where(literal_column("phase = 'QUEUED'"))
    .order_by(jobs.c.priority.desc(), jobs.c.queued, jobs.c.seq)
    .limit(bindparam("most"))
)


def move(
    tx: Transaction,
    job_id: str,
    event: Event,
    error: ErrorSummary | None,
    new_results: Sequence[Result] | None,
    finished: Sequence[UnitRecord],
    timing: Timing | None,
    note: str | None = None,
) -> Moved:
    """Let an event happen to a job."""
    row = locked(tx, job_id)
    phase = Phase(row["phase"])
    step = transition(phase, event)
    if step.phase is phase and event is not Event.START:
        # It came too late or twice. What is to be done is said again: it may not have been done.
        if Instruction.DELETE_RESULTS in step.instructions:
            note_sweep(tx, job_id)
        return Moved(get_many(tx, [job_id])[job_id], step.instructions)

    values: dict[str, Any] = {"phase": step.phase.value}
    if finished and phase is Phase.EXECUTING:
        _record(tx, row, finished, values)
    if step.phase is Phase.QUEUED:
        values["queued"] = tx.now
    elif step.phase is Phase.EXECUTING:
        values |= {"runner": tx.runner, "started": row["started"] or tx.now}
    elif step.phase in FINAL:
        _end(tx, row, step.phase, Instruction.TELL_OWNER in step.instructions, values)
    if error is not None:
        values["error"] = error_json(error)
    if note is not None:
        values["note"] = note
    if new_results is not None and step.phase is not Phase.ARCHIVED:
        put_results(tx, row["seq"], new_results)
    if timing is not None:
        _keep_timing(tx, timing)
    after = put(tx, row, values)
    tx.changed.append(job_id)
    if step.phase is Phase.QUEUED:
        tx.changed.append(QUEUE)
    return Moved(job_of(after, _results(tx, row, new_results, step.phase)), step.instructions)


def _results(
    tx: Transaction, row: RowMapping, new: Sequence[Result] | None, phase: Phase
) -> tuple[Result, ...]:
    if phase is Phase.ARCHIVED:
        return ()
    if new is not None:
        return tuple(new)
    return results_of(tx.connection.execute(_RESULTS, {"seq": row["seq"]}).scalar())


def _end(tx: Transaction, row: RowMapping, phase: Phase, tell: bool, values: dict[str, Any]) -> None:
    """Note that a job has ended, and forget what only its execution needed."""
    # Clocks of two servers may differ; no job ends before it begins.
    ended = row["ended"] or max(tx.now, row["started"] or tx.now)
    values |= {"ended": ended, "runner": None, "abort_requested": False}
    if tell and row["email"]:
        took = (ended - (row["started"] or ended)).total_seconds()
        values["mail_due"] = took >= row["tell_after"]
    if row["started"] is not None:
        tx.connection.execute(_DROP_UNITS, {"seq": row["seq"]})
        tx.connection.execute(_DROP_PLAN, {"seq": row["seq"]})
    if phase is Phase.ARCHIVED:
        values |= {"archived": tx.now, "mail_due": False}
        tx.connection.execute(delete(results).where(results.c.job == row["seq"]))
        note_sweep(tx, row["id"])


def _keep_timing(tx: Transaction, timing: Timing) -> None:
    tx.connection.execute(
        insert(timings),
        {
            "kind": timing.kind,
            "shape": timing.shape,
            "targets": timing.targets,
            "units": timing.units,
            "bytes": timing.bytes,
            "seconds": timing.seconds,
            "waited": timing.waited,
            "ended": timing.ended,
        },
    )
    newest = select(func.max(timings.c.seq)).scalar_subquery()
    tx.connection.execute(delete(timings).where(timings.c.seq <= newest - TIMINGS_KEPT))


def waiting(tx: Transaction, limit: int, not_of: Collection[str | None]) -> list[Job]:
    """Return QUEUED jobs in the order in which they are due."""
    query = _WAITING
    if None in not_of:
        query = query.where(jobs.c.owner.is_not(None))
    named = sorted(owner for owner in not_of if owner is not None)
    if named:
        query = query.where(or_(jobs.c.owner.is_(None), jobs.c.owner.not_in(named)))
    return [job_of(row) for row in tx.connection.execute(query, {"most": limit}).mappings()]


def claim(tx: Transaction, job_id: str) -> Job | None:
    """Take a job."""
    try:
        row = locked(tx, job_id)
    except NoSuchJob:
        return None
    if row["phase"] == Phase.EXECUTING:
        other = row["runner"]
        if other not in (None, tx.runner) and other not in tx.gone(tx.connection, {other}):
            return None
    elif row["phase"] != Phase.QUEUED:
        return None
    return move(tx, job_id, Event.START, None, None, (), None).job


def orphans(tx: Transaction) -> list[str]:
    """Return the ids of EXECUTING jobs whose runner is gone."""
    query = select(jobs.c.id, jobs.c.runner).where(_EXECUTING).order_by(jobs.c.seq)
    runners: dict[str, str | None] = dict(tx.connection.execute(query).all())
    others = {runner for runner in runners.values() if runner is not None} - {tx.runner}
    gone = tx.gone(tx.connection, others) if others else set()
    return [job_id for job_id, runner in runners.items() if runner is None or runner in gone]


def request_abort(tx: Transaction, job_id: str) -> None:
    """Ask the runner of a job to end it."""
    row = locked(tx, job_id)
    if row["phase"] == Phase.EXECUTING and not row["abort_requested"]:
        put(tx, row, {"abort_requested": True})
        tx.changed.append(row["runner"])  # not the job: its phase is what it was


def abort_requests(tx: Transaction) -> list[str]:
    """Return this runner's jobs that are to be ended."""
    query = select(jobs.c.id).where(_EXECUTING, jobs.c.abort_requested, jobs.c.runner == tx.runner)
    return list(tx.connection.execute(query).scalars())


def set_plan(tx: Transaction, job_id: str, plan: bytes, shape: str, progress: Progress) -> None:
    """Keep the plan of an executing job."""
    row = locked(tx, job_id)
    if row["phase"] != Phase.EXECUTING:
        raise IllegalTransition(f"A job that is {row['phase']} has no plan.", "Claim it first.")
    tx.connection.execute(delete(plans).where(plans.c.job == row["seq"]))
    tx.connection.execute(insert(plans), {"job": row["seq"], "body": plan})
    counts = {
        "total": progress.total,
        "done": progress.done,
        "failed": progress.failed,
        "bytes": progress.bytes,
    }
    put(tx, row, {"shape": shape, **counts})


def kept_plan(tx: Transaction, job_id: str) -> bytes | None:
    """Return the plan that was kept."""
    query = select(plans.c.body).join_from(jobs, plans).where(jobs.c.id == known_id(job_id))
    body = tx.connection.execute(query).scalar()
    return None if body is None else bytes(body)


def record(tx: Transaction, job_id: str, finished: Sequence[UnitRecord]) -> list[int]:
    """Record finished units and the job's progress."""
    row = locked(tx, job_id)
    if row["phase"] != Phase.EXECUTING:
        return []  # it has ended, and its units are forgotten
    values: dict[str, Any] = {}
    fresh = _record(tx, row, finished, values)
    if fresh:
        put(tx, row, values)
    return fresh


def _record(
    tx: Transaction, row: RowMapping, finished: Sequence[UnitRecord], values: dict[str, Any]
) -> list[int]:
    """Insert the units that are not there, and put the progress they make into `values`."""
    if not finished:
        return []
    by_number = {unit.number: unit for unit in finished}
    new_rows = [
        {
            "job": row["seq"],
            "number": unit.number,
            "part": unit.part,
            "entries": unit.entries,
            "targets": unit.targets,
            "failed": unit.failed,
            "bytes": unit.bytes,
            "seconds": unit.seconds,
        }
        for unit in by_number.values()
    ]
    # The job's row is locked: nobody inserts between the question and the answer.
    there = set(tx.connection.execute(_NUMBERS, {"seq": row["seq"], "numbers": list(by_number)}).scalars())
    fresh = [new for new in new_rows if new["number"] not in there]
    if fresh:
        tx.connection.execute(_INSERT_UNITS, fresh)
    added = [by_number[new["number"]] for new in fresh]
    done = row["done"] + sum(unit.targets for unit in added)
    values |= {
        "total": max(row["total"], done),  # a job of one unit has no plan that told it
        "done": done,
        "failed": row["failed"] + sum(unit.failed for unit in added),
        "bytes": row["bytes"] + sum(unit.bytes for unit in added),
    }
    return [unit.number for unit in added]


def recorded_units(tx: Transaction, job_id: str) -> list[UnitRecord]:
    """Return the finished units, by number."""
    query = select(units).join_from(jobs, units).where(jobs.c.id == known_id(job_id)).order_by(units.c.number)
    return [unit_of(row) for row in tx.connection.execute(query).mappings()]


def last_timings(tx: Transaction, limit: int) -> list[Timing]:
    """Return the last timings, newest first."""
    query = select(timings).order_by(timings.c.seq.desc()).limit(limit)
    return [timing_of(row) for row in tx.connection.execute(query).mappings()]
