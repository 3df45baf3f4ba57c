"""What a list of targets means: whose row it is, which alert or position, and what is to be made of it.

Columns are known by their names, in any case of letters:

===================== ======================================================================================
column                meaning
===================== ======================================================================================
``id``                the user's own id; the number of the row where there is none
``obs_publisher_did`` the alert, or one of its stamps, by its publisher DID (also ``publisher_did``, ``did``,
                      and ``id`` where what stands there begins with ``ivo://``)
``candid`` …          the alert's id, named as its survey does (also ``alertId``, ``alert_id``)
``survey``            of which survey the row's alert is
``ra``, ``dec``       degrees, ICRS (also ``s_ra`` and ``s_dec``, ``RAJ2000`` and ``DEJ2000``); without an
                      alert's id they mean the newest alert near there
``radius``            degrees: how near
``size``              degrees: width of the cut around ``ra`` and ``dec``
CIRCLE, KIND …        parameters of the request; they stand in for the common ones of that row
===================== ======================================================================================

Others are the user's own and are passed over. A row that is wrong stays in the list with what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sodalake.lake.errors import LakeError, NotInLake
from sodalake.lake.survey import Survey
from sodalake.sodacut.errors import BadTargets
from sodalake.sodacut.jobs.columns import Columns, did_column
from sodalake.sodacut.jobs.lists import TextTable, read_list
from sodalake.sodacut.jobs.targets import NEAR, REGIONS, TargetList

__all__ = ["DatasetId", "read_targets", "targets_of"]

MOST_NEAR = 1.0
"""Degrees: the largest such distance."""

_ALERTS = ("alertid", "alert_id")
_LONGEST = 128  # characters of an alert's id
_LOST = "Send all its digits: a 64-bit id that went through a floating point number has lost some."


class DatasetId(Protocol):
    """The parts of a publisher DID."""

    @property
    def survey(self) -> str:
        """The survey's name."""

    @property
    def alert_id(self) -> str:
        """The alert's id."""

    @property
    def kind(self) -> str | None:
        """The kind of stamp; None: all."""


def read_targets(
    body: bytes,
    surveys: Mapping[str, Survey],
    *,
    content_type: str = "",
    filename: str = "",
    survey: str | None = None,
    parameters: Collection[str] = (),
    radius: float = NEAR,
    parse_did: Callable[[str], DatasetId] | None = None,
    most: int = 0,
) -> TargetList:
    """Read a list of targets.

    Parameters
    ----------
    surveys
        Those of the lake, by name.
    content_type, filename
        What the list was sent as; see `lists.format_of`.
    survey
        Which survey is meant where a row does not say.
    parameters
        Names of the request's parameters that a column may give row by row.
    radius
        Degrees: how near to its position a row's alert has to be, where the row does not say.
    parse_did
        Reads a publisher DID, or raises a `LakeError`. None: there are none.
    most
        How many targets there may be; 0: any number.

    Raises
    ------
    BadTargets
        It cannot be read, or no column says what the targets are.
    NotInLake
        There is no such survey.
    """
    table = read_list(body, content_type, filename, most=most)
    return targets_of(
        table, surveys, survey=survey, parameters=parameters, radius=radius, parse_did=parse_did
    )


def targets_of(
    table: TextTable,
    surveys: Mapping[str, Survey],
    *,
    survey: str | None = None,
    parameters: Collection[str] = (),
    radius: float = NEAR,
    parse_did: Callable[[str], DatasetId] | None = None,
) -> TargetList:
    """Read what a list's columns mean; see `read_targets`."""
    if survey is not None and survey not in surveys:
        raise NotInLake(
            f"There is no survey {survey[:80]!r} here.", f"Surveys: {', '.join(surveys) or 'none yet'}."
        )
    return _Reading(table, surveys, survey, parameters, radius, parse_did).targets()


class _Reading(Columns):
    """A list of alerts."""

    def __init__(
        self,
        table: TextTable,
        surveys: Mapping[str, Survey],
        survey: str | None,
        parameters: Collection[str],
        radius: float,
        parse_did: Callable[[str], DatasetId] | None,
    ) -> None:
        super().__init__(table, surveys, survey, parameters)
        self.known = surveys
        self.parse_did = parse_did
        self.default_radius = radius
        self.alerts: list[str | None] = [None] * self.count

    def targets(self) -> TargetList:
        own = self.table.columns.get("id")
        did = None if self.parse_did is None else did_column(self.table)
        named = self._alert_columns()
        ra, dec = self.positions()
        if did is None and not named and ra is None:
            self._say_what_is_missing()
        self.read_surveys()
        if did is not None:
            self._read_dids(did)
        for column, meant in named:
            self._read_alerts(column, meant)
        ids = self.ids(None if did == "id" else own)
        lon, lat = self.read_positions(ra, dec)
        radius = self._read_radius()
        self._read_sizes(lon, lat)
        self._complete(lon, lat)
        self.forget(self.surveys, self.alerts)
        return TargetList(ids, self.surveys, self.alerts, lon, lat, radius, self.parameters, self.problems)

    # ------------------------------------------------------------------ which columns

    def _alert_columns(self) -> list[tuple[str, str | None]]:
        """Return the columns with ids of alerts, and of which survey each is (None: the row's)."""
        found: list[tuple[str, str | None]] = []
        for name in self.table.columns:
            owners = [one.name for one in self.known.values() if one.ids.alert_name.lower() == name]
            if owners:
                meant = owners[0] if len(owners) == 1 else None
                if self.survey is None or self.survey in owners:
                    found.append((name, self.survey or meant))
            elif name in _ALERTS:
                found.append((name, None))
        return found

    def _say_what_is_missing(self) -> None:
        names = sorted({one.ids.alert_name for one in self.known.values()})
        columns = ", ".join(list(self.table.columns)[:20])
        raise BadTargets(
            f"No column says what the targets are; there are: {columns}.",
            f"Name one {' or '.join(names) or 'alertId'} (ids of alerts), or obs_publisher_did, or two ra and dec "
            "(degrees).",
        )

    # ------------------------------------------------------------------ what they say

    def _read_dids(self, column: str) -> None:
        assert self.parse_did is not None
        kinds: list[str | None] = [None] * self.count
        for row, value in enumerate(self.table.columns[column]):
            if value is None or row in self.problems:
                continue
            try:
                did = self.parse_did(value)
            except LakeError as error:
                self.wrong(row, error.message, error.advice)
                continue
            if did.survey not in self.known:
                self.wrong(row, f"there is no survey {did.survey[:80]!r} here.")
                continue
            self.surveys[row], self.alerts[row], kinds[row] = did.survey, did.alert_id, did.kind
            self._check_id(row, did.alert_id, self.known[did.survey])
        self._give_kinds(kinds)

    def _give_kinds(self, kinds: Sequence[str | None]) -> None:
        """Let the kind that a DID names be that row's KIND."""
        if not any(kinds):
            return
        given = self.parameters.setdefault("KIND", [None] * self.count)
        for row, kind in enumerate(kinds):
            if kind is None:
                continue
            if given[row] is not None and str(given[row]).lower() != kind:
                self.wrong(row, f"its identifier names the {kind} stamp and its KIND the {given[row]} one.")
            given[row] = kind

    def _read_alerts(self, column: str, meant: str | None) -> None:
        values = self.table.columns[column]
        whole = self._whole_numbers(values)
        for row, value in enumerate(values):
            if value is None or row in self.problems:
                continue
            if self.alerts[row] is not None:
                if self.alerts[row] != value:
                    self.wrong(row, f"it names two alerts, {self.alerts[row]} and {value[:80]}.")
                continue
            name = self.surveys[row] or meant or self.only_survey()
            if name is None:
                self.say_which_survey(column)
            if self.surveys[row] not in (None, name):
                continue
            self.surveys[row], self.alerts[row] = name, value
            if not (whole[row] and self.known[name].ids.alert_kind == "integer"):
                self._check_id(row, value, self.known[name])

    @staticmethod
    def _whole_numbers(values: Sequence[str | None]) -> list[bool]:
        """Say which are integers without leading zeros: almost all are, and need no further look."""
        found = pc.match_substring_regex(pa.array(values, pa.string()), r"^[1-9][0-9]{0,19}$")
        return pc.fill_null(found, False).to_pylist()  # type: ignore[no-any-return]

    def _check_id(self, row: int, value: str, survey: Survey) -> None:
        if survey.ids.alert_kind == "integer":
            if not (value.isascii() and value.isdigit() and len(value) <= 20):
                self.wrong(row, f"{survey.ids.alert_name} {value[:40]!r} is not an integer.", _LOST)
            else:
                self.alerts[row] = str(int(value))
        elif len(value) > _LONGEST or not value.isprintable():
            self.wrong(row, f"{survey.ids.alert_name} has more than {_LONGEST} characters, or odd ones.")

    # ------------------------------------------------------------------ numbers

    def _read_radius(self) -> NDArray[np.float64]:
        if "radius" not in self.table.columns:
            return np.full(self.count, self.default_radius)
        radius = self.numbers("radius", 0.0, MOST_NEAR)
        return np.where(np.isnan(radius), self.default_radius, radius)

    def _read_sizes(self, lon: NDArray[np.float64], lat: NDArray[np.float64]) -> None:
        """Make a row's `size` the CIRCLE around its position."""
        if "size" not in self.table.columns:
            return
        sizes = self.numbers("size", 0.0, 360.0)
        circles = self.parameters.setdefault("CIRCLE", [None] * self.count)
        regions = [self.parameters[name] for name in REGIONS if name in self.parameters]
        for row in np.flatnonzero(~np.isnan(sizes)).tolist():
            if row in self.problems:
                continue
            if any(column[row] is not None for column in regions):
                self.wrong(row, "it has a size and a region.", "Leave out one of them.")
            elif np.isnan(lon[row]):
                self.wrong(row, "it has a size, but no ra and dec to cut around.")
            elif sizes[row] <= 0:
                self.wrong(row, "its size is zero.")
            else:
                circles[row] = f"{float(lon[row])!r} {float(lat[row])!r} {float(sizes[row]) / 2!r}"

    def _complete(self, lon: NDArray[np.float64], lat: NDArray[np.float64]) -> None:
        """See that every row without an alert has a position, and the survey to look in."""
        only = self.only_survey()
        nowhere = np.isnan(lon + lat).tolist()
        for row, alert in enumerate(self.alerts):
            if alert is not None or row in self.problems:
                continue
            if nowhere[row]:
                self.wrong(row, "it names no alert and no position.")
                continue
            if self.surveys[row] is None:
                if only is None:
                    self.say_which_survey("ra")
                self.surveys[row] = only
