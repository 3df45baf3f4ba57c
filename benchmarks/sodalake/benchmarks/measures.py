"""The rows of the bench that go over HTTP: one stamp, an object, a crowd, and ten times the archive.

Two ways are always measured in turn, in rounds, and compared by the medians of the rounds: what else the
machine does meanwhile touches both. The marks for *faster than the seeds' way* are for HDFS, where the seeds'
users are; embedded, the seeds' way reads a local disk, usually from memory, and the ratio is told without a mark.
"""

from __future__ import annotations

from statistics import median
from urllib.parse import quote, urlencode

from .agreement import agree
from .load import Outcome, Phase, middle, run_phases, run_whole
from .report import Figure
from .seeds import KINDS
from .stampstage import StampStage

__all__ = ["crowd", "growth", "one", "whole_object"]

_SERVICE_CLIENTS = 8
_CROWD = 50


def one(stage: StampStage) -> list[Figure]:
    """One stamp over HTTP, kept alive, as JSON and as FITS; then eight clients at once."""
    scale, lake, ours, seeds = stage.scale, stage.large, stage.service, stage.seeds
    place = stage.site.name
    slots = [int(slot) for slot in stage.random_slots(lake, scale.requests, files=scale.files, seed=1)]
    arrays = [lake.question(slot) for slot in slots]
    files = [lake.question(slot, return_type="FITS") for slot in slots]
    soda = [f"/soda/sync?ID={quote(_did(stage, slot), safe='')}" for slot in slots]
    agree(ours, seeds[0], [*arrays[:3], *files[:2]])

    warm = [Phase([ours], paths, count=20) for paths in (arrays, files, soda)]
    warm += [Phase([address], arrays, count=2) for address in seeds]
    phases = []
    for turn in range(scale.rounds):
        theirs = scale.seed_requests
        some = slice(turn * theirs % len(slots), None)
        phases += [
            Phase([ours], arrays, count=scale.requests),
            Phase(seeds[:1], arrays[some], count=theirs),
            Phase([ours], files, count=scale.requests),
            Phase(seeds[:1], files[some], count=theirs),
            Phase([ours], soda, count=scale.requests),
        ]
    outcomes = run_whole([*warm, *phases])[len(warm) :]
    array, seed_array, fits, seed_fits, sync = (outcomes[start::5] for start in range(5))
    figures = []
    for what, mine, theirs_ in (("array", array, seed_array), ("FITS", fits, seed_fits)):
        figures += _latencies(place, f"one stamp as {what}", mine)
        ratio = middle(theirs_) / middle(mine)
        note = f"the seeds' way {middle(theirs_):.0f} ms (p95 {middle(theirs_, 0.95):.0f})"
        measure = f"one stamp as {what}, faster than the seeds' way"
        figures.append(Figure("one", place, measure, ratio, "×", _on_hdfs(stage, 25), note=note))
    figures += _latencies(place, "one stamp by SODA sync", sync)
    return figures + _together(stage, arrays)


def _together(stage: StampStage, paths: list[str]) -> list[Figure]:
    scale, place = stage.scale, stage.site.name
    phases = [Phase([stage.service], paths, clients=_SERVICE_CLIENTS, count=10 * _SERVICE_CLIENTS)]
    for _ in range(scale.rounds):
        phases.append(Phase([stage.service], paths, clients=_SERVICE_CLIENTS, seconds=scale.seconds))
        phases.append(Phase(stage.seeds, paths, clients=_SERVICE_CLIENTS, seconds=scale.seconds))
    outcomes = run_whole(phases)[1:]
    mine, theirs = outcomes[::2], outcomes[1::2]
    rate, seed_rate = median(o.rate for o in mine), median(o.rate for o in theirs)
    note = f"p50 {middle(mine):.1f} ms, p99 {middle(mine, 0.99):.1f} ms; the seeds' way {seed_rate:.1f}/s"
    return [
        Figure(
            "one",
            place,
            f"requests a second at {_SERVICE_CLIENTS} clients (array)",
            rate,
            "/s",
            400,
            note=note,
            details={"rates": [o.rate for o in mine], "seeds": [o.rate for o in theirs]},
        ),
    ]


def whole_object(stage: StampStage) -> list[Figure]:
    """An object's 14 alerts with 3 stamps each, in one request, and one by one in the seeds' way."""
    scale, lake, ours, place = stage.scale, stage.large, stage.service, stage.site.name
    identities = lake.identities
    numbers = stage.complete_objects(scale.rounds * scale.objects, seed=2)
    formats = ("array", "FITS", "Arrow", "zip")
    phases = [Phase([ours], [_all_of(stage, numbers[0], form)], count=3) for form in formats]
    warm = len(phases)
    for turn in range(scale.rounds):
        mine = numbers[turn * scale.objects : (turn + 1) * scale.objects]
        phases += [
            Phase([ours], [_all_of(stage, n, form) for n in mine], count=scale.objects) for form in formats
        ]
        one_by_one = [
            lake.question(int(slot), kind) for slot in identities.object_slots(mine[0]) for kind in KINDS
        ]
        phases.append(Phase(stage.seeds[:1], one_by_one, count=len(one_by_one)))
    outcomes = run_whole(phases)[warm:]
    theirs = [sum(o.latencies) for o in outcomes[len(formats) :: len(formats) + 1]]
    seeds_seconds = median(theirs)
    figures = []
    for index, form in enumerate(formats):
        mine_ = outcomes[index :: len(formats) + 1]
        seconds = middle(mine_) / 1e3
        figures.append(
            Figure(
                "object",
                place,
                f"an object's 42 stamps in one request ({form}), faster than the seeds' way",
                seeds_seconds / seconds,
                "×",
                _on_hdfs(stage, 100),
                note=f"{1e3 * seconds:.0f} ms, {_size(mine_):.2f} MB; the seeds' way {seeds_seconds:.1f} s, one by one",
                details={"ms": [1e3 * o.quantile(0.5) for o in mine_], "seeds_s": theirs},
            )
        )
    return figures


def crowd(stage: StampStage) -> list[Figure]:
    """Fifty clients at once."""
    scale, lake, place = stage.scale, stage.large, stage.site.name
    slots = stage.random_slots(lake, min(2000, len(lake.identities)), files=scale.files, seed=3)
    paths = [lake.question(int(slot), return_type="array" if slot % 2 else "FITS") for slot in slots]
    (_, outcome) = run_phases(
        [
            Phase([stage.service], paths, clients=_CROWD, count=4 * _CROWD),
            Phase([stage.service], paths, clients=_CROWD, seconds=scale.crowd_seconds),
        ]
    )
    p50, p99 = outcome.quantile(0.5), outcome.quantile(0.99)
    asked = len(outcome.latencies) + sum(outcome.errors.values())
    name = f"{_CROWD} clients, {scale.crowd_seconds:g} s"
    details = {"errors": outcome.errors, "rate": outcome.rate, "p95_ms": 1e3 * outcome.quantile(0.95)}
    return [
        Figure(
            "crowd",
            place,
            f"{name}: errors",
            sum(outcome.errors.values()),
            "",
            0,
            "less",
            note=f"of {asked} requests" + "".join(f"; {n} {why}" for why, n in outcome.errors.items()),
            details=details,
        ),
        Figure(
            "crowd",
            place,
            f"{name}: p99 / p50",
            p99 / p50,
            "×",
            20,
            "less",
            note=f"p50 {1e3 * p50:.0f} ms, p99 {1e3 * p99:.0f} ms, {outcome.rate:.0f}/s",
            details=details,
        ),
    ]


def growth(stage: StampStage) -> list[Figure]:
    """One stamp in a lake with one file, and in the lake with all of them."""
    scale, place = stage.scale, stage.site.name
    few, many = stage.small, stage.large
    small = [few.question(int(s)) for s in stage.random_slots(few, scale.requests, files=1, seed=4)]
    large = [
        many.question(int(s)) for s in stage.random_slots(many, scale.requests, files=scale.files, seed=5)
    ]
    turn = [
        Phase([stage.small_service], small, count=scale.requests),
        Phase([stage.service], large, count=scale.requests),
    ]
    outcomes = run_whole(turn * (2 * scale.rounds + 1))[2:]
    before, after = outcomes[::2], outcomes[1::2]
    ratio = median(b.quantile(0.5) / a.quantile(0.5) for a, b in zip(before, after, strict=True))
    note = f"p50 {middle(before):.2f} ms with 1 file, {middle(after):.2f} ms with {scale.files}"
    return [
        Figure(
            "growth",
            place,
            f"a stamp's latency with {scale.files}× the archive",
            ratio,
            "×",
            1.3,
            "less",
            note=note,
        )
    ]


def _on_hdfs(stage: StampStage, mark: float) -> float | None:
    return None if stage.is_embedded else mark


def _all_of(stage: StampStage, number: int, form: str) -> str:
    asked = {
        "objectId": stage.large.identities.object_name(number),
        "kind": "All",
        "all": "true",
        "output-format": form,
    }
    return "/api/v1/cutouts?" + urlencode(asked)


def _did(stage: StampStage, slot: int) -> str:
    identities = stage.large.identities
    alert = int(identities.alert_ids(identities.slots(0)[:1] + slot)[0])
    return f"ivo://sodalake/ztf?{alert}/SCIENCE"


def _latencies(place: str, what: str, rounds: list[Outcome]) -> list[Figure]:
    details = {
        "p50_ms": [1e3 * o.quantile(0.5) for o in rounds],
        "p95_ms": [1e3 * o.quantile(0.95) for o in rounds],
    }
    return [
        Figure("one", place, f"{what}, p50", middle(rounds), "ms", 5, "less", details=details),
        Figure("one", place, f"{what}, p95", middle(rounds, 0.95), "ms", 10, "less"),
    ]


def _size(rounds: list[Outcome]) -> float:
    return sum(o.bytes for o in rounds) / max(1, sum(len(o.latencies) for o in rounds)) / 1e6
