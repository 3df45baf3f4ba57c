"""Operations that a request asks for: create, look, change."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from functools import cache
from typing import Any, Final

from sqlalchemy import Select, bindparam, delete, func, insert, literal_column, select, union_all
from sqlalchemy.exc import IntegrityError

from sodalake.uws.errors import BadJob, IllegalTransition
from sodalake.uws.events import DESTRUCTION, QUEUE
from sodalake.uws.jobs import Job, JobRef, Load, NewJob, Parameter, Result, Upload, new_id
from sodalake.uws.phases import Event, Phase, transition

from .schema import jobs, results, sweeps
from .transaction import Transaction, check_text, known_id, locked, put, whole
from .values import job_of, parameters_json, ref_of, results_json, results_of, uploads_json

__all__ = ["create", "edit", "find", "forget", "get_many", "load", "note_sweep", "put_results"]

_MOST: Final = 1 << 53
"""Above any number that is meant; both data bases refuse those above 2⁶³ in ways of their own."""

_INSERT: Final = insert(jobs)
_GET: Final = (
    select(jobs, results.c.body)
    .join_from(jobs, results, results.c.job == jobs.c.seq, isouter=True)
    .where(jobs.c.id.in_(bindparam("ids", expanding=True)))
)
_DROP_RESULTS: Final = delete(results).where(results.c.job == bindparam("seq"))
_LOAD_ALL: Final = (
    select(jobs.c.phase, func.count())
    .where(literal_column("phase IN ('PENDING', 'QUEUED', 'EXECUTING')"))
    .group_by(jobs.c.phase)
)


def create(tx: Transaction, new: NewJob) -> Job:
    """Store a job."""
    for name, text in (("run id", new.run_id), ("owner", new.owner), ("mail address", new.email)):
        check_text(name, text)
    _check_duration(new.execution_duration)
    phase = transition(Phase.PENDING, Event.RUN).phase if new.run else Phase.PENDING
    values: dict[str, Any] = {
        "id": known_id(new.id) if new.id else new_id(),
        "kind": new.kind,
        "owner": new.owner,
        "phase": phase.value,
        "run_id": new.run_id,
        "created": tx.now,
        "quote": None,
        "queued": tx.now if new.run else None,
        "started": None,
        "ended": None,
        "archived": None,
        "destruction": None if new.destruction is None else whole(new.destruction),
        "execution_duration": new.execution_duration,
        "priority": new.priority,
        "parameters": parameters_json(new.parameters),
        "uploads": uploads_json(new.uploads),
        "error": None,
        "total": 0,
        "done": 0,
        "failed": 0,
        "bytes": 0,
        "shape": "",
        "runner": None,
        "abort_requested": False,
        "email": new.email,
        "tell_after": new.tell_after,
        "mail_due": False,
        "mail_runner": None,
        "mail_error": None,
        "version": 0,
        "note": None,
    }
    try:
        tx.connection.execute(_INSERT, values)
    except IntegrityError as error:
        raise BadJob(f"There is a job {values['id']} already.", "Let the store give the id.") from error
    if new.run:
        tx.changed.append(QUEUE)
    if new.destruction is not None:
        tx.changed.append(DESTRUCTION)
    return job_of(values)


def _check_duration(seconds: int) -> None:
    if not 0 <= seconds <= _MOST:
        raise BadJob("The executionDuration is out of range.", "It is in seconds; 0 is unlimited.")


def get_many(tx: Transaction, ids: Sequence[str]) -> dict[str, Job]:
    """Return the jobs that there are of these."""
    # Filled up to a power of two, so that there are ten statements to prepare and not five hundred.
    padded = [*ids, *([ids[-1]] * ((1 << (len(ids) - 1).bit_length()) - len(ids)))]
    rows = tx.connection.execute(_GET, {"ids": padded}).mappings()
    return {row["id"]: job_of(row, results_of(row["body"])) for row in rows}


def find(
    tx: Transaction,
    kind: str,
    owner: str | None,
    phases: Collection[Phase],
    after: datetime | None,
    last: int | None,
) -> list[JobRef]:
    """Return an owner's jobs, newest first."""
    wanted = sorted(set(phases) or set(Phase) - {Phase.ARCHIVED})
    query = _listing(len(wanted), owner is None, after is not None, last is not None)
    values: dict[str, Any] = {f"phase{number}": phase.value for number, phase in enumerate(wanted)}
    values["kind"] = kind
    if owner is not None:
        values["owner"] = owner
    if after is not None:
        values["after"] = after
    if last is not None:
        values["last"] = min(last, _MOST)
    return [ref_of(row) for row in tx.connection.execute(query, values)]


@cache
def _listing(phases: int, anonymous: bool, after: bool, last: bool) -> Any:
    """Return the merge of one range of the index for each phase; making it takes longer than running it."""
    ranges = [_range(number, anonymous, after, last) for number in range(phases)]
    merged = union_all(*(select(one.subquery()) for one in ranges)).subquery()
    query = select(merged).order_by(merged.c.created.desc(), merged.c.seq.desc())
    return query.limit(bindparam("last")) if last else query


def _range(number: int, anonymous: bool, after: bool, last: bool) -> Select[Any]:
    one = select(jobs.c.id, jobs.c.phase, jobs.c.run_id, jobs.c.owner, jobs.c.created, jobs.c.seq).where(
        jobs.c.owner.is_(None) if anonymous else jobs.c.owner == bindparam("owner"),
        jobs.c.kind == bindparam("kind"),
        jobs.c.phase == bindparam(f"phase{number}"),
    )
    if after:
        one = one.where(jobs.c.created > bindparam("after"))
    if last:
        one = one.order_by(jobs.c.created.desc(), jobs.c.seq.desc()).limit(bindparam("last"))
    return one


def edit(
    tx: Transaction,
    job_id: str,
    parameters: Sequence[Parameter] | None,
    uploads: Sequence[Upload] | None,
    run_id: str | None,
    execution_duration: int | None,
    destruction: datetime | None,
    quote: datetime | None,
    new_results: Sequence[Result] | None,
    only_in: Collection[Phase],
) -> Job:
    """Change what a client may change."""
    check_text("run id", run_id)
    _check_duration(execution_duration or 0)
    row = locked(tx, job_id)
    phase = Phase(row["phase"])
    if only_in and phase not in only_in:
        raise IllegalTransition(
            f"A job that is {phase} cannot be changed like this.", f"It can while {_alternatives(only_in)}."
        )
    given = {
        "parameters": None if parameters is None else parameters_json(parameters),
        "uploads": None if uploads is None else uploads_json(uploads),
        "run_id": run_id,
        "execution_duration": execution_duration,
        "destruction": destruction,
        "quote": quote,
    }
    values = {name: value for name, value in given.items() if value is not None}
    if new_results is not None and phase is not Phase.ARCHIVED:  # they are gone by then
        put_results(tx, row["seq"], new_results)
    if values or new_results is not None:
        put(tx, row, values)
        if destruction is not None:
            tx.changed.append(DESTRUCTION)
        if execution_duration is not None:
            tx.changed.append(job_id)  # who executes it counts its seconds
    return get_many(tx, [job_id])[job_id]


def _alternatives(phases: Collection[Phase]) -> str:
    *others, last = sorted(phases)
    return f"{', '.join(others)} or {last}" if others else str(last)


def put_results(tx: Transaction, job: int, new: Sequence[Result]) -> None:
    """Replace the results of a job, which is named by its `seq`."""
    tx.connection.execute(_DROP_RESULTS, {"seq": job})
    tx.connection.execute(insert(results), {"job": job, "body": results_json(new)})


def forget(tx: Transaction, job_id: str) -> None:
    """Forget a job; its objects are to be swept."""
    row = locked(tx, job_id)
    tx.connection.execute(delete(jobs).where(jobs.c.seq == row["seq"]))
    note_sweep(tx, job_id)
    tx.changed.append(job_id)


def note_sweep(tx: Transaction, job_id: str) -> None:
    """Note that a job's objects are to be deleted."""
    if tx.connection.execute(select(sweeps.c.id).where(sweeps.c.id == job_id)).first() is None:
        tx.connection.execute(insert(sweeps), {"id": job_id})


def load(tx: Transaction, owner: str | None, everybody: bool) -> Load:
    """Count the active jobs."""
    query = _LOAD_ALL
    if not everybody:
        query = query.where(jobs.c.owner.is_(None) if owner is None else jobs.c.owner == owner)
    counts: dict[str, int] = dict(tx.connection.execute(query).all())
    return Load(counts.get("PENDING", 0), counts.get("QUEUED", 0), counts.get("EXECUTING", 0))
