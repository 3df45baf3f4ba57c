"""Rows of the bench of queries that are latencies and rates of ``/tap/sync``: objects, cones, slices, classes.

Two things that are compared are asked for in turn, in rounds: what else the machine does meanwhile touches both. No
query is asked twice in a row, and every answer's rows are counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .alertfiles import column_names
from .load import Outcome, middle, run_phases, run_whole
from .report import Figure
from .tapquestions import Asked, classes_counted, classes_measured, cones, long_objects, objects, slices
from .tapstage import TapStage

__all__ = ["crowd", "grouping", "growth", "naming", "one_object", "sky", "slicing", "wide"]

_CLIENTS = 8
_ARCSEC = 1 / 3600
_WARM = 6


def one_object(stage: TapStage) -> list[Figure]:
    """All rows of one object: one client, then eight."""
    scale, table = stage.scale, stage.table
    rng = np.random.default_rng(1)
    asked = objects(table, scale.rounds * scale.requests, rng)
    single = _rounds(stage, asked)
    place = stage.site.name
    figures = _latency("object", place, "one object, 14 rows × 30 columns", single, stage.at_most(8, 15))
    other = objects(table, 20 * scale.requests, rng)
    phases = [stage.phase(other, clients=_CLIENTS, count=10 * _CLIENTS)]
    for turn in range(scale.rounds):
        some = _turned(other, turn * scale.requests)
        phases.append(stage.phase(some, clients=_CLIENTS, seconds=scale.seconds))
    together = run_whole(phases)[1:]
    rate = float(np.median([one.rate for one in together]))
    note = f"p50 {middle(together):.1f} ms, p95 {middle(together, 0.95):.1f} ms"
    measure = f"one object, requests a second at {_CLIENTS} clients"
    details = {"rates": [one.rate for one in together]}
    return [
        *figures,
        Figure("object", place, measure, rate, "/s", stage.at_least(190), "more", note, details),
    ]


def naming(stage: TapStage) -> list[Figure]:
    """One object by the names of its thirty columns, and by ``*``."""
    scale, table = stage.scale, stage.table
    rng = np.random.default_rng(2)
    names = ", ".join(column_names(table.recipe))
    starred = objects(table, scale.rounds * scale.requests, rng)
    named = objects(table, scale.rounds * scale.requests, rng, names)
    ratio, note = _compared(stage, (starred, "*"), (named, "30 names"))
    return [
        Figure(
            "naming",
            stage.site.name,
            "one object by 30 names against SELECT *",
            ratio,
            "×",
            1.1,
            "less",
            note,
        )
    ]


def wide(stage: TapStage) -> list[Figure]:
    """An object of a table of 130 columns, with 14 rows and with 1 575."""
    scale, table, place = stage.scale, stage.wide_table, stage.site.name
    columns = table.recipe.columns
    few = _rounds(stage, objects(table, scale.rounds * scale.requests, np.random.default_rng(3)))
    many = _rounds(stage, long_objects(table, scale.rounds * scale.few))
    long = f"{table.recipe.long_epochs:,}"
    return [
        *_latency("wide", place, f"one object, 14 rows × {columns} columns", few, stage.at_most(15)),
        *_latency("wide", place, f"one object, {long} rows × {columns} columns", many, stage.at_most(90)),
    ]


def sky(stage: TapStage) -> list[Figure]:
    """Cones of 10″, 1° and 5°."""
    scale, figures = stage.scale, []
    rng = np.random.default_rng(4)
    for radius, name, mark in ((10 * _ARCSEC, "10″", 8.0), (1.0, "1°", 15.0), (5.0, "5°", 60.0)):
        count = scale.requests if radius < 5 else scale.few
        asked = cones(stage.table, radius, scale.rounds * count, rng)
        rows = np.mean([one.rows for one in asked])
        measure = f"cone of {name}, {rows:,.0f} rows × 30 columns"
        figures += _latency("cone", stage.site.name, measure, _rounds(stage, asked), stage.at_most(mark))
    return figures


def slicing(stage: TapStage) -> list[Figure]:
    """A class within a day, TOP 1000."""
    asked = slices(stage.table, stage.scale.rounds * stage.scale.few, np.random.default_rng(5))
    rows = np.mean([one.rows for one in asked])
    measure = f"time range and class, TOP 1000 ({rows:,.0f} rows)"
    return _latency("slice", stage.site.name, measure, _rounds(stage, asked), stage.at_most(30))


def grouping(stage: TapStage) -> list[Figure]:
    """GROUP BY class over the table: counted; and with the mean of another column."""
    scale, place = stage.scale, stage.site.name
    rng = np.random.default_rng(6)
    counted = _rounds(stage, classes_counted(stage.table, scale.rounds * scale.few, rng))
    measured = _rounds(stage, classes_measured(stage.table, scale.rounds * scale.few, rng))
    alerts = f"{len(stage.table):,} rows"
    return [
        *_latency("groups", place, f"COUNT(*) GROUP BY class, {alerts}", counted, stage.at_most(40)),
        *_latency("groups", place, f"COUNT(*), AVG(column) GROUP BY class, {alerts}", measured, None),
    ]


def growth(stage: TapStage) -> list[Figure]:
    """One object and one cone of 10″, in the small table and in the large one."""
    scale, small, large = stage.scale, stage.small_table, stage.table
    times = len(large) / len(small)
    asking: Sequence[tuple[str, Callable[..., list[Asked]]]] = (
        ("one object", objects),
        ("cone of 10″", lambda table, count, rng: cones(table, 10 * _ARCSEC, count, rng)),
    )
    figures = []
    for name, ask in asking:
        rng = np.random.default_rng(7)
        before, after = (ask(table, scale.rounds * scale.requests, rng) for table in (small, large))
        ratio, note = _compared(
            stage,
            (before, f"{len(small):,} rows"),
            (after, f"{len(large):,} rows"),
        )
        measure = f"{name}, latency at {times:g}× the rows"
        figures.append(Figure("growth", stage.site.name, measure, ratio, "×", 1.3, "less", note))
    return figures


def crowd(stage: TapStage) -> list[Figure]:
    """Two hundred clients at once, who wait and ask again where they are told to."""
    scale, place = stage.scale, stage.site.name
    asked = objects(stage.table, 20 * scale.requests, np.random.default_rng(8))
    phases = [
        stage.phase(asked, clients=scale.crowd, count=2 * scale.crowd, patient=True),
        stage.phase(
            _turned(asked, 2 * scale.crowd),
            clients=scale.crowd,
            seconds=scale.crowd_seconds,
            patient=True,
        ),
    ]
    outcome = run_phases(phases)[1]  # errors are what is measured here
    wrong = sum(outcome.errors.values())
    name = f"{scale.crowd} clients, {scale.crowd_seconds:g} s"
    why = "".join(f"; {number} {reason}" for reason, number in outcome.errors.items())
    note = f"of {len(outcome.latencies) + wrong} queries, {outcome.rate:.0f}/s{why}"
    p50, p95 = outcome.quantile(0.5), outcome.quantile(0.95)
    waited = f"p95 {p95:.2f} s; {outcome.waits} answers 503 with Retry-After, waits included"
    return [
        Figure("crowd", place, f"{name}: errors", wrong, "", 0, "less", note, {"errors": outcome.errors}),
        Figure("crowd", place, f"{name}: p50", p50, "s", stage.at_most(1.5), "less", waited),
    ]


def _rounds(stage: TapStage, asked: list[Asked]) -> list[Outcome]:
    """Ask each of these once, one after another, in as many rounds as there are."""
    each = max(1, len(asked) // stage.scale.rounds)
    # Other workers than those that are warm for objects: what these need is imported and compiled first.
    warm = stage.phase(asked[-_WARM:], count=_WARM)
    phases = [stage.phase(asked[turn * each : (turn + 1) * each]) for turn in range(stage.scale.rounds)]
    return run_whole([warm, *phases])[1:]


def _compared(
    stage: TapStage,
    one: tuple[list[Asked], str],
    other: tuple[list[Asked], str],
) -> tuple[float, str]:
    """Return how many times as long the other takes, by the medians of rounds in turn, and what is to be said of it."""
    each = max(1, min(len(one[0]), len(other[0])) // stage.scale.rounds)
    phases = [
        stage.phase(asked[turn * each : (turn + 1) * each])
        for turn in range(stage.scale.rounds)
        for asked, _ in (one, other)
    ]
    outcomes = run_whole([*phases[:2], *phases])[2:]
    before, after = outcomes[::2], outcomes[1::2]
    ratio = float(np.median([b.quantile(0.5) / a.quantile(0.5) for a, b in zip(before, after, strict=True)]))
    return ratio, f"p50 {middle(before):.2f} ms ({one[1]}), {middle(after):.2f} ms ({other[1]})"


def _latency(row: str, place: str, measure: str, rounds: list[Outcome], mark: float | None) -> list[Figure]:
    details = {
        "p50_ms": [1e3 * one.quantile(0.5) for one in rounds],
        "p95_ms": [1e3 * one.quantile(0.95) for one in rounds],
    }
    each = sum(one.bytes for one in rounds) / max(1, sum(len(one.latencies) for one in rounds))
    note = f"p95 {middle(rounds, 0.95):.1f} ms, {each / 1e3:,.1f} kB"
    return [Figure(row, place, f"{measure}, p50", middle(rounds), "ms", mark, "less", note, details)]


def _turned(asked: list[Asked], by: int) -> list[Asked]:
    by %= max(1, len(asked))
    return asked[by:] + asked[:by]
