"""What conditions on `ivoa.obscore` say of the rows of a survey, of which it is a view."""

from __future__ import annotations

import math

from sodalake.tap.published import ObscoreView

from .conditions import Circle, Constraints, Interval, Shape, circle_around

__all__ = ["translated"]


def translated(view: ObscoreView, found: Constraints) -> Constraints | None:
    """Return what conditions on ``ivoa.obscore`` say of a survey's rows; None where none of them can fulfil these."""
    for name, values in view.values.items():
        wanted = found.keys.get(name)
        if wanted is not None and not any(_same(value, one) for value in values for one in wanted):
            return None
    roles = view.table.roles
    asked = Constraints()
    dids = found.keys.get("obs_publisher_did")
    if dids is not None:
        ids = {one for did in dids if (one := view.id_of(did)) is not None}
        asked = asked & Constraints(keys={view.same["obs_id"]: frozenset(ids)})
    for name, column in view.same.items():
        if name in found.keys:
            asked = asked & Constraints(keys={column: found.keys[name]})
    intervals = dict(found.intervals)
    if "t_max" in intervals and math.isfinite(view.longest):
        # No row is longer than that, and only its begin has an index.
        begin = Interval(low=intervals["t_max"].low - view.longest)
        intervals["t_min"] = intervals.get("t_min", Interval()) & begin
    for name, (column, offset) in view.linear.items():
        interval = intervals.get(name)
        if interval is not None:
            # An offset is added in doubles: its rounding is let in on both sides.
            slack = 1e-9 * max(1.0, abs(offset))
            shifted = Interval(interval.low - offset - slack, interval.high - offset + slack)
            asked = asked & Constraints(intervals={column: shifted})
    regions, footprints = found.regions, found.footprints
    if view.reach is not None and footprints is not None:
        around = tuple(_grown(shape, view.reach) for shape in footprints)
        regions, footprints = around if regions is None else regions, None
    asked = asked & Constraints(regions=regions, footprints=footprints)
    return asked.boxed(roles.get("ra", ""), roles.get("dec", ""))


def _grown(shape: Shape, reach: float) -> Circle:
    """Return a circle around a shape and all within `reach` degrees of it."""
    if not isinstance(shape, Circle):
        shape = circle_around(list(zip(shape.lon, shape.lat, strict=True)))
    return Circle(shape.lon, shape.lat, min(180.0, shape.radius + reach))


def _same(value: object, text: str) -> bool:
    return str(value) == text
