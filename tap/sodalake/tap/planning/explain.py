"""A plan, for people: which path each table takes, which ranges, about how many rows."""

from __future__ import annotations

import math
from collections.abc import Mapping

from .plan import ARCHIVE, Joined, Leg, Plan, Read

__all__ = ["explained"]

_PATHS = {
    "alert": "row store, by alert id",
    "object": "row store, by object id",
    "objects": "row store, objects by id",
    "sky": "row store, by place",
    "time": "row store, by time",
    "class": "row store, by class",
    "image": "row store, by image id",
    "images": "row store, all images",
    "given": "given with the query",
    "nothing": "nothing: no row can fulfil the conditions",
}
_ALL = {
    "alerts": "Parquet archive",
    "objects": "row store, all objects",
    "images": "row store, all images",
}
_SHOWN = 4


def explained(plan: Plan, counted: Mapping[str, tuple[str, int]] | None = None) -> str:
    """Return some lines of text.

    Parameters
    ----------
    counted
        Source → path and rows that were read, once it has run.
    """
    lines = []
    for read in plan.reads:
        lines.append(f"{read.source} = {read.table.qualified}: {_columns(read)}")
        for leg in read.legs:
            lines += [f"  {line}" for line in _access(leg)]
        if read.joined is not None:
            lines.append(f"  or, where that is less, by the {_reached(read.joined)}")
        if read.pairs is not None:
            lines.append(f"  matched with {read.pairs.other} by HEALPix cells")
        if read.reduction is not None:
            lines.append(f"  {read.reduction.note}")
        if counted and read.source in counted:
            path, rows = counted[read.source]
            lines.append(f"  read: {rows} rows ({path})")
    lines.append("answered row by row" if plan.rowwise is not None else "answered when all is read")
    lines.append(f"cut after {plan.limit} rows" if plan.top is None else f"at most {plan.top} rows (TOP)")
    return "\n".join(lines)


def _reached(joined: Joined) -> str:
    if joined.kind == "near":
        return f"places near those of {joined.other}"
    if joined.kind == "covers":
        return f"outlines around the places of {joined.other}"
    return f"{joined.column} as in those of {joined.other}"


def _columns(read: Read) -> str:
    names = ", ".join(read.columns[:_SHOWN])
    more = len(read.columns) - _SHOWN
    return f"{len(read.columns)} columns ({names}{f' and {more} more' if more > 0 else ''})"


def _access(leg: Leg) -> list[str]:
    survey, access = leg.survey, leg.access
    path = _ALL[leg.content] if access.path == ARCHIVE else _PATHS[access.path]
    about = "" if access.rows is None else f", about {access.rows} rows"
    size = f", {access.bytes / 1e6:.3g} MB of columns" if access.path == ARCHIVE else ""
    whose = f"{survey}: " if survey else ""
    lines = [f"{whose}{path}{about}{size}"]
    if access.keys:
        shown = ", ".join(access.keys[:_SHOWN])
        lines.append(f"  {len(access.keys)} keys: {shown}{' …' if len(access.keys) > _SHOWN else ''}")
    if access.ranges:
        shown = ", ".join(f"{first:016x}-{after:016x}" for first, after in access.ranges[:_SHOWN])
        lines.append(
            f"  {len(access.ranges)} ranges of cells: {shown}{' …' if len(access.ranges) > _SHOWN else ''}"
        )
    if math.isfinite(access.first) or math.isfinite(access.last):
        lines.append(f"  time from {access.first:.10g} to {access.last:.10g} d")
    return lines
