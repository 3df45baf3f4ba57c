"""Rows of two tables that are near each other: by HEALPix cells, then by their distance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sodalake.lake.sky import cone_ranges, separations, sky_cells
from sodalake.tap.errors import TooLarge
from sodalake.tap.planning.plan import Joined

__all__ = ["cones_of", "pairs_of"]

_Floats = npt.NDArray[np.float64]

_AT_ONCE = 1 << 20  # pairs looked at together
_MARGIN = 1e-9  # degrees: the query measures again, and may round otherwise


def cones_of(table: pa.Table, joined: Joined) -> tuple[npt.NDArray[np.int64], _Floats, _Floats, _Floats]:
    """Return the cones around the rows of the other table: which rows, longitude, latitude and radius (degrees).

    Rows without a place, or with a radius that is none, have no cone.
    """
    lon, lat = (_doubles(table, name) for name in joined.other_place)
    radius = joined.scale * (
        _doubles(table, joined.radius)
        if isinstance(joined.radius, str)
        else np.full(table.num_rows, float(joined.radius))
    )
    with np.errstate(invalid="ignore"):
        there = np.isfinite(lon) & (np.abs(lat) <= 90) & (radius >= 0) & (radius <= 180)
    which = np.flatnonzero(there)
    return which, lon[which], lat[which], np.minimum(radius[which] + _MARGIN, 180.0)


def pairs_of(other: pa.Table, table: pa.Table, joined: Joined, most: int) -> pa.Table:
    """Return the pairs of a join by place: row numbers `l` of `other` and `r` of `table` (int64).

    Raises
    ------
    TooLarge
        There are more than `most`.
    """
    if joined.own:
        turned = replace(joined, place=joined.other_place, other_place=joined.place, own=False)
        found = pairs_of(table, other, turned, most)
        return pa.table({"l": found.column("r"), "r": found.column("l")})
    owner, lon, lat, radius = cones_of(other, joined)
    ra, dec = (_doubles(table, name) for name in joined.place)
    cells, there = sky_cells(ra, dec)
    rows = np.flatnonzero(there)
    order = np.argsort(cells, kind="stable")
    cells, rows = cells[order].astype(np.int64), rows[order]
    left: list[npt.NDArray[np.int64]] = [np.empty(0, np.int64)]
    right: list[npt.NDArray[np.int64]] = [np.empty(0, np.int64)]
    if len(lon) and len(rows):
        ranges = cone_ranges(lon, lat, radius, gap=0)
        start, stop = np.searchsorted(cells, ranges.first), np.searchsorted(cells, ranges.after)
        full = np.flatnonzero(stop > start)
        share = np.cumsum((stop - start)[full]) // _AT_ONCE
        found = 0
        for one in np.unique(share).tolist():
            several = full[share == one]
            count = (stop - start)[several]
            cone = np.repeat(ranges.owner[several], count)
            at = np.arange(count.sum()) + np.repeat(start[several] - np.cumsum(count) + count, count)
            row = rows[at]
            near = separations(lon[cone], lat[cone], ra[row], dec[row]) <= radius[cone]
            left.append(owner[cone[near]])
            right.append(row[near])
            found += int(near.sum())
            if found > most:
                raise TooLarge(
                    f"More than {most} pairs of rows are within that distance.",
                    "Take a smaller radius, or fewer rows.",
                )
    return pa.table({"l": np.concatenate(left), "r": np.concatenate(right)})


def _doubles(table: pa.Table, name: str) -> _Floats:
    values = table.column(name).cast(pa.float64()).to_numpy()  # nulls are NaN
    return np.asarray(values, np.float64)
