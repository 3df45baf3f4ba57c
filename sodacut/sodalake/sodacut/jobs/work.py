"""The work of a job: its targets, and what is to be made of each; one form for both ways to ask.

SODA's parameters make *combinations*, an uploaded list makes *rows*. Either becomes a `StampWork`: a table with a line
a target, and the *orders* its lines point to (mostly one for all). The steps from there::

    resolved = [resolve(reader, chunk) for chunk in work.chunks()]        # on workers: where are the stamps?
    for number, unit in enumerate(units(work, resolved, 250)):            # neighbours in the archive together
        reports.append(run_unit(reader, unit, results, f"{job}/part-{number:06d}", cancelled))    # on workers
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from sodalake.lake.errors import LakeError, UsageError
from sodalake.sodacut.filters import StampFilters
from sodalake.sodacut.jobs.lines import lines, ordered, questions, schema_of
from sodalake.sodacut.jobs.targets import NEAR, TargetList
from sodalake.sodacut.products import ArrowStamps, Product

__all__ = [
    "TARGETS", "Combination", "Form", "Order", "Question", "Refused", "StampWork",
]  # fmt: skip

Form = Literal["files", "table"]
"""What parts are made of: a file a target, or rows of a table of stamps."""

Make = Callable[..., Product]

TARGETS: Any = schema_of(pa.field("radius", pa.float64()), pa.field("alert", pa.string()))
"""A line a target: see `sodalake.sodacut.jobs.lines`."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be made of a target.

    Attributes
    ----------
    kinds
        The stamps to read.
    finish
        Makes the product: `FitsStamp`, `Picture` or `JsonArrays` for a file; `ArrowStamps` for rows of a table.
    filters
        What leaves nothing of an alert (BAND, TIME, POL), whichever alert that is; None: nothing does.
    """

    kinds: tuple[str, ...]
    finish: Make
    filters: StampFilters | None = None


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

    @property
    def shape(self) -> str:
        """What it is like, for estimates: what is made."""
        return "+".join(sorted({type(order.finish).__name__ for order in self.orders})) or "nothing"

    @classmethod
    def of_combinations(cls, combinations: Sequence[Combination | Refused]) -> StampWork:
        """Make the work of SODA's combinations: a file each, or a text that says why not."""
        orders: dict[Order, int] = {}
        which = [
            orders.setdefault(one.order, len(orders)) if isinstance(one, Combination) else -1
            for one in combinations
        ]
        asked = [one if isinstance(one, Combination) else None for one in combinations]
        table = lines(
            TARGETS,
            np.array(which, np.int32),
            {row: one.error for row, one in enumerate(combinations) if isinstance(one, Refused)},
            ids=[one.label for one in combinations],
            surveys=[None if one is None else one.survey for one in asked],
            alert=[None if one is None else one.alert_id for one in asked],
            radius=np.full(len(combinations), NEAR),
        )
        return cls(table, tuple(orders), texts=True)

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
        which, orders, problems = ordered(targets, order)
        table = lines(
            TARGETS,
            which,
            problems,
            ids=targets.ids,
            surveys=targets.surveys,
            ra=targets.ra,
            dec=targets.dec,
            alert=targets.alerts,
            radius=targets.radius,
        )
        return cls(table, orders, form, fits=_fits(orders) if form == "table" else False)

    def chunks(self, size: int = 2500) -> list[Question]:
        """Return the questions for the index: alerts or positions of one survey, at most `size` each."""
        return [Question(*asked) for asked in questions(self.targets, "alert", size)]


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
