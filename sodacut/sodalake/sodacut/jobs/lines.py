"""Lines of a job's work, alike for stamps and for images: one for each target, and the orders that lines point to.

SODA's combinations and the rows of an uploaded list become the same table. Most of a list's rows ask for the same, so
that an order is made once for each different set of parameters. Tables are Arrow's: ten thousand targets are one buffer
a column when they travel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sodalake.lake.errors import LakeError, NotInLake
from sodalake.sodacut.errors import NoOverlap

__all__ = [
    "ERROR", "NOT_FOUND", "NO_OVERLAP", "OK", "Answer", "Targets", "found_for", "lines", "ordered",
    "questions", "schema_of", "status_of",
]  # fmt: skip

OK: Final = "OK"
NO_OVERLAP: Final = "NO_OVERLAP"
NOT_FOUND: Final = "NOT_FOUND"
ERROR: Final = "ERROR"

Order = TypeVar("Order")


class Targets(Protocol):
    """A list of targets as it was read."""

    @property
    def surveys(self) -> Sequence[str | None]:
        """The survey of each."""

    @property
    def parameters(self) -> Mapping[str, Sequence[str | None]]:
        """Name → the rows' own values of a parameter, None where the common one holds."""

    @property
    def problems(self) -> Mapping[int, LakeError]:
        """Row (from 0) → what is wrong with it."""


class Answer(Protocol):
    """What the index said to a question."""

    @property
    def rows(self) -> NDArray[np.int64]:
        """Which lines it is about (`row`)."""

    @property
    def entries(self) -> Any:
        """A row for each of them; pyarrow.RecordBatch."""


def schema_of(*own: Any) -> Any:
    """Return the schema of lines that have these fields besides those that all have.

    `row` counts from 1; `order` is -1 and `status` is set where there is nothing to be made.
    """
    first = [pa.field("row", pa.int64()), pa.field("id", pa.string())]
    place = [pa.field("ra", pa.float64()), pa.field("dec", pa.float64())]
    last = [
        pa.field("order", pa.int32()),
        pa.field("status", pa.string()),
        pa.field("message", pa.string()),
    ]
    return pa.schema([*first, *place, pa.field("survey", pa.string()), *own, *last])


def lines(
    schema: Any,
    which: NDArray[np.int32],
    problems: Mapping[int, LakeError],
    *,
    ids: Sequence[str],
    surveys: Sequence[str | None],
    **own: Any,
) -> Any:
    """Return lines as a pyarrow.Table.

    Parameters
    ----------
    schema
        From `schema_of`.
    which
        The order of each line, -1 where there is none.
    problems
        Line (from 0) → the error that its result is.
    **own
        Values of the schema's other columns; NaN in them is nothing, and so is a column that is left out.
    """
    count = len(which)
    status: list[str | None] = [None] * count
    message: list[str | None] = [None] * count
    for row, error in problems.items():
        status[row], message[row] = status_of(error), str(error)
    columns = {
        "row": np.arange(1, count + 1), "id": ids, "survey": surveys, "order": which, "status": status,
        "message": message, **own,
    }  # fmt: skip
    return pa.Table.from_arrays(
        [
            pa.array(columns[field.name], field.type, from_pandas=True)
            if field.name in columns
            else pa.nulls(count, field.type)
            for field in schema
        ],
        schema=schema,
    )


def ordered(
    targets: Targets, order: Callable[..., Order], *keys: Sequence[Any]
) -> tuple[NDArray[np.int32], tuple[Order, ...], dict[int, LakeError]]:
    """Make the orders of a list's rows.

    Parameters
    ----------
    order
        Called with a row's survey ("" where it has none), its `keys`, and its own parameters, once for each different
        set of these; a `LakeError` that it raises is the result of these rows.
    keys
        What else matters, a value for each row.

    Returns
    -------
    which
        The order of each row, -1 where there is none.
    orders
        No two alike.
    problems
        Row (from 0) → the error that its result is.
    """
    orders: dict[Order, int] = {}
    seen: dict[tuple[Any, ...], int | LakeError] = {}
    problems = dict(targets.problems)
    which = np.full(len(targets.surveys), -1, np.int32)
    names = list(targets.parameters)
    for row, values in enumerate(zip(targets.surveys, *keys, *targets.parameters.values(), strict=True)):
        if row in problems:
            continue
        made = seen.get(values)
        if made is None:
            survey, *rest = values
            own = dict(zip(names, rest[len(keys) :], strict=True))
            given = {name: value for name, value in own.items() if value is not None}
            try:
                made = orders.setdefault(order(survey or "", *rest[: len(keys)], given), len(orders))
            except LakeError as error:
                made = error
            seen[values] = made
        if isinstance(made, LakeError):
            problems[row] = made
        else:
            which[row] = made
    return which, tuple(orders), problems


def questions(table: Any, named: str, size: int) -> Iterator[tuple[str, bool, Any]]:
    """Yield lines that have an order as questions for the index: of one survey, at most `size` lines each.

    Parameters
    ----------
    named
        The column that names what is looked for; where it is null, the line's position says it.

    Yields
    ------
    survey, near, batch
        Survey; whether positions decide; a pyarrow.RecordBatch.
    """
    order = table["order"].to_numpy()
    survey = np.array(table["survey"].to_pylist(), object)
    near = table[named].is_null().to_numpy()
    for name in sorted({name for name, one in zip(survey, order, strict=True) if one >= 0}):
        for by_position in (False, True):
            rows = np.flatnonzero((order >= 0) & (survey == name) & (near == by_position))
            for start in range(0, len(rows), size):
                picked = table.take(pa.array(rows[start : start + size])).combine_chunks()
                yield name, by_position, picked.to_batches()[0]


def found_for(answers: Sequence[Answer], schema: Any, count: int) -> tuple[Any, NDArray[np.bool_]]:
    """Return what was found, in the order of the lines.

    Parameters
    ----------
    answers
        To questions, in any order.
    schema
        Of their entries.
    count
        Of lines.

    Returns
    -------
    entries
        pyarrow.Table, a row for each line; nulls where nothing was asked.
    asked
        For which lines there was a question.

    Raises
    ------
    ValueError
        A line was asked about twice.
    """
    found = pa.Table.from_batches([answer.entries for answer in answers], schema)
    rows = np.concatenate([np.empty(0, np.int64), *(answer.rows for answer in answers)]) - 1
    if len(np.unique(rows)) != len(rows):
        raise ValueError("a target was resolved twice")
    # Where in `found` each line is; -1 takes a null.
    place = np.full(count, -1, np.int64)
    place[rows] = np.arange(len(rows))
    return found.take(pa.array(place, mask=place < 0)), place >= 0


def status_of(error: LakeError) -> str:
    """Return the status of a target that ends with `error`."""
    if isinstance(error, NoOverlap):
        return NO_OVERLAP
    return NOT_FOUND if isinstance(error, NotInLake) else ERROR
