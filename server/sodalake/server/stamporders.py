"""SODA, asynchronous: what a job asks of alerts.

Each combination of ID, region and KIND, and each row of a list, is what `/soda/sync` would be asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

from sodalake.lake.alerts import ByAlert
from sodalake.lake.errors import LakeError
from sodalake.lake.survey import STAMP_KINDS, Survey
from sodalake.server.combinations import combinations
from sodalake.server.dali import Parameters, clip
from sodalake.server.errors import BadParameter
from sodalake.server.soda import PARAMETERS, plan, product, stamp_filters
from sodalake.server.urls import parse_did
from sodalake.sodacut import ArrowStamps
from sodalake.sodacut.filters import StampFilters
from sodalake.sodacut.jobs import Combination, Order, StampWork, TargetList
from sodalake.sodacut.jobs.lists import TextTable
from sodalake.sodacut.jobs.reading import targets_of
from sodalake.sodacut.jobs.targets import NEAR, overridden
from sodalake.sodacut.jobs.work import Refused

__all__ = ["OF_ROWS", "stamp_combinations", "stamp_rows"]

OF_ROWS: Final = tuple(
    one.name for one in PARAMETERS if one.name not in ("ID", "BAND", "TIME", "POL", "PLANES")
)
"""Parameters that a row of a list may have of its own: lists of alerts have bands and times that are no filters."""


def stamp_combinations(
    parameters: Parameters,
    ids: Sequence[str],
    surveys: Mapping[str, Survey],
    authority: str,
    most: int,
) -> StampWork:
    """Read every combination of SODA's parameters.

    Parameters
    ----------
    ids
        The values of ID.
    most
        How many combinations there may be.

    Raises
    ------
    LakeError
        What is wrong with all of them.
    """
    asked = combinations(parameters, ids, ("BAND", "TIME", "KIND"), most)
    for survey in surveys.values():  # what is wrong with every combination is the job's error
        product(Parameters(asked.common), survey, None)
        _filters(Parameters(asked.common))
        break
    made = []
    for did, given in asked.each:
        label = " ".join([did, *(value if name == "KIND" else f"{name} {value}" for name, value in given)])
        made.append(_combination(label, Parameters([*asked.common, *given, ("id", did)]), surveys, authority))
    return StampWork.of_combinations(made)


def _combination(
    label: str, parameters: Parameters, surveys: Mapping[str, Survey], authority: str
) -> Combination | Refused:
    try:
        wanted = plan(parameters, surveys, authority)
        filters = _filters(parameters)
    except LakeError as error:
        return Refused(error, clip(label, 200))
    question = wanted.question
    assert isinstance(question, ByAlert)
    return Combination(
        question.survey, question.alert_id, Order(question.kinds, wanted.finish, filters), label
    )


def _filters(parameters: Parameters) -> StampFilters | None:
    """Read BAND, TIME and POL, of whichever alert."""
    return stamp_filters(parameters, ByAlert("", "", ()))


def stamp_rows(
    table: TextTable,
    parameters: Parameters,
    common: Mapping[str, str],
    surveys: Mapping[str, Survey],
    authority: str,
    form: Literal["files", "table"],
) -> StampWork:
    """Read a list of alerts.

    Parameters
    ----------
    common
        The parameters of all rows.
    form
        Whether each target gets a file, or rows of a table.

    Raises
    ------
    LakeError
        What is wrong with all of it.
    """
    read = targets_of(
        table,
        surveys,
        survey=parameters.one("SURVEY"),
        parameters=OF_ROWS,
        radius=parameters.number("RADIUS", NEAR, 0.0, 1.0, unit="degrees"),
        parse_did=lambda text: parse_did(text, authority, STAMP_KINDS),
    )
    return _rows(read, {name: value for name, value in common.items() if name != "radius"}, surveys, form)


def _rows(
    read: TargetList,
    common: Mapping[str, str],
    surveys: Mapping[str, Survey],
    form: Literal["files", "table"],
) -> StampWork:
    upper = {name.upper(): value for name, value in common.items()}

    def order(survey: str, own: Mapping[str, str]) -> Order:
        together = Parameters(overridden(upper, own).items())
        described = surveys[survey]
        kind = together.choice("KIND", STAMP_KINDS)
        made = product(together, described, kind)
        if form == "table" and not isinstance(made.finish, ArrowStamps):
            raise BadParameter(
                "A row asks for a file, and the job makes a table.", "Leave RESPONSEFORMAT out of the list."
            )
        return Order(made.kinds, made.finish, _filters(together))

    for survey in surveys:  # what is wrong with every row is the job's error
        order(survey, {})
        break
    return StampWork.of_list(read, order, form=form)
