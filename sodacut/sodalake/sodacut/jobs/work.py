"""The work of a job: its targets, and what is to be made of each; one form for both ways to ask.

SODA's parameters make *combinations*, an uploaded list makes *rows*. Either becomes a `StampWork`: a table with a line
a target, and the *orders* its lines point to (mostly one for all). The steps from there::

    resolved = [resolve(reader, chunk) for chunk in work.chunks()]        # on workers: where are the stamps?
    for number, unit in enumerate(units(work, resolved, 250)):            # neighbours in the archive together
        reports.append(run_unit(reader, unit, results, f"{job}/part-{number:06d}", cancelled))    # on workers

Tables are Arrow's, so that ten thousand targets are one buffer a column when they travel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from sodalake.lake.errors import LakeError, NotInLake, UsageError
from sodalake.sodacut.jobs.targets import NEAR, TargetList
from sodalake.sodacut.products import ArrowStamps, Product

__all__ = [
    "ERROR", "NOT_FOUND", "NO_OVERLAP", "OK", "Combination", "Form", "Order", "Question", "Refused",
    "StampWork", "status_of",
]  # fmt: skip

OK = "OK"
NO_OVERLAP = "NO_OVERLAP"
NOT_FOUND = "NOT_FOUND"
ERROR = "ERROR"

Form = Literal["files", "table"]
"""What parts are made of: a file a target, or rows of a table of stamps."""

Make = Callable[..., Product]

TARGETS: Any = pa.schema(
    [
        pa.field("row", pa.int64()),
        pa.field("id", pa.string()),
        pa.field("ra", pa.float64()),
        pa.field("dec", pa.float64()),
        pa.field("radius", pa.float64()),
        pa.field("survey", pa.string()),
        pa.field("alert", pa.string()),
        pa.field("order", pa.int32()),
        pa.field("status", pa.string()),
        pa.field("message", pa.string()),
    ]
)
"""A line a target: `row` counts from 1; `order` is -1 and `status` is set where there is nothing to be made."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be made of a target.

    Attributes
    ----------
    kinds
        The stamps to read.
    finish
        Makes the product: `FitsStamp`, `Picture` or `JsonArrays` for a file; `ArrowStamps` for rows of a table.
    """

    kinds: tuple[str, ...]
    finish: Make


@dataclass(frozen=True, slots=True)
class Combination:
    """One of the combinations that SODA's parameters ask for (SODA 1.0, section 6).

    Attributes
    ----------
    label
        Its name among the job's results: the target's id.
    """

    survey: str
    alert_id: str
    order: Order
    label: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A combination that cannot be: its result is the text of `error`."""

    error: LakeError
    label: str


@dataclass(frozen=True, slots=True)
class Question:
    """What one call of `resolve` asks: alerts of one survey, by id or (`near`) by position; see `StampWork.chunks`."""

    survey: str
    near: bool
    targets: Any


@dataclass(frozen=True, slots=True)
class StampWork:
    """Everything a job is to make.

    Attributes
    ----------
    targets
        pyarrow.Table of `TARGETS`, in the user's order.
    orders
        What `targets["order"]` points to.
    form
        What its parts are.
    texts
        Whether a target without a product has a text entry in its place, which begins with a DALI label: SODA
        1.0, section 6, wants a result for every combination.
    fits
        Form ``table``: whether the stored bytes are a column too.
    """

    targets: Any
    orders: tuple[Order, ...]
    form: Form = "files"
    texts: bool = False
    fits: bool = False

    def __len__(self) -> int:
        return int(self.targets.num_rows)

    @classmethod
    def of_combinations(cls, combinations: Sequence[Combination | Refused]) -> StampWork:
        """Make the work of SODA's combinations: a file each, or a text that says why not."""
        orders: dict[Order, int] = {}
        which = [
            orders.setdefault(one.order, len(orders)) if isinstance(one, Combination) else -1
            for one in combinations
        ]
        count = len(combinations)
        nowhere = pa.nulls(count, pa.float64())
        asked = [one if isinstance(one, Combination) else None for one in combinations]
        errors = [one.error if isinstance(one, Refused) else None for one in combinations]
        columns = [
            pa.array(np.arange(1, count + 1)),
            pa.array([one.label for one in combinations], pa.string()),
            nowhere,
            nowhere,
            pa.array(np.full(count, NEAR)),
            pa.array([one and one.survey for one in asked], pa.string()),
            pa.array([one and one.alert_id for one in asked], pa.string()),
            pa.array(which, pa.int32()),
            pa.array([error and status_of(error) for error in errors], pa.string()),
            pa.array([error and str(error) for error in errors], pa.string()),
        ]
        return cls(pa.Table.from_arrays(columns, schema=TARGETS), tuple(orders), texts=True)

    @classmethod
    def of_list(
        cls,
        targets: TargetList,
        order: Callable[[str, Mapping[str, str]], Order],
        *,
        form: Form = "files",
    ) -> StampWork:
        """Make the work of a list.

        Parameters
        ----------
        order
            Makes the order of a row from its survey and the row's own parameters (see `targets.overridden`), or
            raises a `LakeError`, which then is that row's result. It is called once for each different set.

        Raises
        ------
        UsageError
            A table of stamps is asked for, and some row wants something else, or stored bytes where others do not.
        """
        orders: dict[Order, int] = {}
        seen: dict[tuple[str | None, ...], int | LakeError] = {}
        problems = dict(targets.problems)
        which = np.full(len(targets), -1, np.int32)
        names = list(targets.parameters)
        for row, values in enumerate(zip(targets.surveys, *targets.parameters.values(), strict=True)):
            if row in problems:
                continue
            made = seen.get(values)
            if made is None:
                own = {
                    name: value for name, value in zip(names, values[1:], strict=True) if value is not None
                }
                try:
                    made = orders.setdefault(order(values[0] or "", own), len(orders))
                except LakeError as error:
                    made = error
                seen[values] = made
            if isinstance(made, LakeError):
                problems[row] = made
            else:
                which[row] = made
        fits = _fits(list(orders)) if form == "table" else False
        return cls(_table(targets, which, problems), tuple(orders), form, fits=fits)

    def chunks(self, size: int = 2500) -> list[Question]:
        """Return the questions for the index: alerts or positions of one survey, at most `size` each."""
        order = self.targets["order"].to_numpy()
        survey = np.array(self.targets["survey"].to_pylist(), object)
        near = self.targets["alert"].is_null().to_numpy()
        questions = []
        for name in sorted({name for name, one in zip(survey, order, strict=True) if one >= 0}):
            for by_position in (False, True):
                rows = np.flatnonzero((order >= 0) & (survey == name) & (near == by_position))
                for start in range(0, len(rows), size):
                    picked = self.targets.take(pa.array(rows[start : start + size])).combine_chunks()
                    questions.append(Question(name, by_position, picked.to_batches()[0]))
        return questions


def _fits(orders: Sequence[Order]) -> bool:
    wanted = set()
    for order in orders:
        if not isinstance(order.finish, ArrowStamps):
            raise UsageError(
                "The job makes a table of stamps, and some target wants a file.",
                "Leave RESPONSEFORMAT out of the list, or ask for files.",
            )
        wanted.add(order.finish.fits)
    if len(wanted) > 1:
        raise UsageError("Some targets want the stored bytes in the table, and some do not.")
    return wanted == {True}


def _table(targets: TargetList, which: Any, problems: Mapping[int, LakeError]) -> Any:
    count = len(targets)
    status: list[str | None] = [None] * count
    message: list[str | None] = [None] * count
    for row, error in problems.items():
        status[row], message[row] = status_of(error), str(error)
    columns = [
        pa.array(np.arange(1, count + 1)),
        pa.array(targets.ids, pa.string()),
        pa.array(targets.ra, mask=np.isnan(targets.ra)),
        pa.array(targets.dec, mask=np.isnan(targets.dec)),
        pa.array(targets.radius),
        pa.array(targets.surveys, pa.string()),
        pa.array(targets.alerts, pa.string()),
        pa.array(which),
        pa.array(status, pa.string()),
        pa.array(message, pa.string()),
    ]
    return pa.Table.from_arrays(columns, schema=TARGETS)


def status_of(error: LakeError) -> str:
    """Return the status of a target that ends with `error`."""
    return NOT_FOUND if isinstance(error, NotInLake) else ERROR
