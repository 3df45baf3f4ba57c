"""Rows that fulfil simple conditions (`sodalake.tap.planning.checks`), found by numpy and Arrow."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sodalake.lake.sky import separations
from sodalake.tap.planning.checks import Check, InCone, Listed

__all__ = ["passing"]

_UNSURE = 1e-11  # degrees from a rim: another library's sine may put a place on its other side

_COMPARE: Mapping[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


def passing(table: pa.Table, checks: Sequence[Check]) -> npt.NDArray[np.bool_] | None:
    """Return which rows (N) pass all checks; None where that cannot be said for sure. A null passes none."""
    passes = np.ones(table.num_rows, np.bool_)
    for check in checks:
        if isinstance(check, InCone):
            near = _in_cone(table, check)
            if near is None:
                return None
            passes &= near
        else:
            values = (check.value,) if not isinstance(check, Listed) else check.values
            compare = "=" if isinstance(check, Listed) else check.operator
            passes &= _compared(table.column(check.column), compare, values)
    return passes


def _compared(
    column: pa.ChunkedArray, compare: str, values: Sequence[int | float | str]
) -> npt.NDArray[np.bool_]:
    if pa.types.is_string(column.type) or pa.types.is_dictionary(column.type):
        found = pc.is_in(column, pa.array(values, pa.string()))  # nothing else is asked of a text
        return np.asarray(found.to_numpy(), np.bool_)
    numbers = column.to_numpy()  # of integers with nulls: doubles, which are not exact
    if column.null_count and pa.types.is_integer(column.type):
        numbers = pc.fill_null(column, 0).to_numpy()
    with np.errstate(invalid="ignore"):
        passes = np.zeros(len(numbers), np.bool_)
        for value in values:
            passes |= _COMPARE[compare](numbers, value)
    if column.null_count:
        passes &= np.asarray(column.is_valid().to_numpy(), np.bool_)
    return passes


def _in_cone(table: pa.Table, check: InCone) -> npt.NDArray[np.bool_] | None:
    ra, dec = (np.asarray(table.column(name).to_numpy(), np.float64) for name in (check.ra, check.dec))
    cone = check.cone
    with np.errstate(invalid="ignore"):
        apart = separations(np.array([cone.lon]), np.array([cone.lat]), ra, dec)
        if (np.abs(apart - cone.radius) < _UNSURE).any() or (np.abs(dec) > 90).any():
            return None
        return np.asarray(apart < cone.radius, np.bool_)
