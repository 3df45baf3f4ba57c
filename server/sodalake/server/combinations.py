"""SODA's combinations: one for each ID, region, and value of each filter; all POL are one (SODA 1.0, 3.1 and 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from sodalake.server.dali import Parameters
from sodalake.server.errors import BadParameter
from sodalake.sodacut.jobs.targets import REGIONS

__all__ = ["Combinations", "combinations"]

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Combinations:
    """What a job asks for.

    Attributes
    ----------
    common
        Parameters of all combinations, by name.
    each
        The ID and the region and filters of each.
    """

    common: tuple[Pair, ...]
    each: tuple[tuple[str, tuple[Pair, ...]], ...]


def combinations(
    parameters: Parameters, ids: Sequence[str], filters: Sequence[str], most: int
) -> Combinations:
    """Read the combinations of a job's parameters.

    Parameters
    ----------
    ids
        The values of ID.
    filters
        Names of those that may come several times, regions left out.
    most
        How many combinations there may be.

    Raises
    ------
    BadParameter
        There are more.
    """

    def values(name: str) -> list[Pair]:
        return [(name, value) for value in parameters.get(name.lower(), ()) if value.strip()]

    regions = [pair for name in REGIONS for pair in values(name)]
    axes: list[list[Pair | None]] = [[*pairs] or [None] for pairs in (regions, *map(values, filters))]
    count = len(ids)
    for axis in axes:
        count *= len(axis)
    if count > most:
        names = ", ".join(("ID", "region", *filters[:-1]))
        raise BadParameter(
            f"The job has {count} combinations of {names} and {filters[-1]}; at most {most} are listed.",
            "Upload a list of targets: it may be longer.",
        )
    multiple = {name.lower() for name in ("ID", "POL", *filters, *REGIONS)}
    common = [(name, value) for name in parameters if name not in multiple if (value := parameters.one(name))]
    common += [("pol", value) for value in parameters.get("pol", ())]
    each = (
        (did, tuple(pair for pair in chosen if pair is not None)) for did in ids for chosen in product(*axes)
    )
    return Combinations(tuple(common), tuple(each))
