"""The columns of a list, while it is found out what they mean: what is common to lists of any kind of target.

A row that is wrong stays in the list with what is wrong with it; what is wrong with the list as a whole is raised.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sodalake.lake.errors import LakeError
from sodalake.sodacut.errors import BadTargets
from sodalake.sodacut.jobs.lists import TextTable

__all__ = ["DIDS", "Columns", "did_column"]

DIDS: Final = ("obs_publisher_did", "publisher_did", "did")
"""Names of a column of publisher DIDs."""

_RA = ("ra", "s_ra", "raj2000")
_DEC = ("dec", "s_dec", "dej2000", "decj2000")
_LONGEST_OWN = 512  # characters of the user's own id


def did_column(table: TextTable) -> str | None:
    """Return the name of the column of publisher DIDs: also ``id``, where what stands there begins with ``ivo://``."""
    for name in DIDS:
        if name in table.columns:
            return name
    first = next((value for value in table.columns.get("id") or () if value), "")
    return "id" if first.lower().startswith("ivo://") else None


class Columns:
    """A table's columns.

    Parameters
    ----------
    known
        Names of the surveys that can be meant.
    survey
        Which is meant where a row does not say.
    parameters
        Names of the request's parameters that a column may give row by row.

    Attributes
    ----------
    surveys
        That of each row, as far as it is known.
    parameters
        Name in upper case → the rows' values.
    problems
        Row → what is wrong with it.
    """

    def __init__(
        self, table: TextTable, known: Collection[str], survey: str | None, parameters: Collection[str]
    ) -> None:
        self.table = table
        self.count = table.rows
        self.survey = survey
        self.names = list(known)
        self.surveys: list[str | None] = [None] * self.count
        self.problems: dict[int, LakeError] = {
            row: self.error(row, message) for row, message in table.problems.items()
        }
        self.parameters: dict[str, list[str | None]] = {
            name.upper(): list(table.columns[name.lower()])
            for name in sorted(parameters)
            if name.lower() in table.columns and name.upper() != "ID"
        }

    def error(self, row: int, message: str, advice: str = "") -> BadTargets:
        """Return an error of a row."""
        return BadTargets(f"Target at {self.table.place(row)}: {message}", advice)

    def wrong(self, row: int, message: str, advice: str = "") -> None:
        """Keep what is wrong with a row; the first counts."""
        self.problems.setdefault(row, self.error(row, message, advice))

    def ids(self, own: list[str | None] | None) -> list[str]:
        """Return the users' ids: of their column, or the numbers of the rows."""
        numbers = [str(number) for number in range(1, self.count + 1)]
        if own is None:
            return numbers
        ids = [value or number for value, number in zip(own, numbers, strict=True)]
        for row, value in enumerate(ids):
            if len(value) > _LONGEST_OWN or not value.isprintable():
                self.wrong(row, f"its id is no line of at most {_LONGEST_OWN} characters.")
                ids[row] = numbers[row]
        return ids

    # ------------------------------------------------------------------ surveys

    def read_surveys(self) -> None:
        """Read the column ``survey``."""
        column = self.table.columns.get("survey")
        if column is None:
            return
        by_name = {name.lower(): name for name in self.names}
        for row, value in enumerate(column):
            if value is None:
                continue
            name = by_name.get(value.lower())
            if name is None:
                self.wrong(
                    row,
                    f"there is no survey {value[:80]!r} here.",
                    f"Surveys: {', '.join(self.names) or 'none yet'}.",
                )
            self.surveys[row] = name

    def only_survey(self) -> str | None:
        """Return the survey of rows that do not say, where there can be but one."""
        if self.survey is not None:
            return self.survey
        return self.names[0] if len(self.names) == 1 else None

    def say_which_survey(self, column: str) -> NoReturn:
        """Refuse the list: nothing says of which survey it is."""
        raise BadTargets(
            f"Nothing says of which survey the targets are (column {column}).",
            f"Give SURVEY, or a column survey: {', '.join(self.names) or 'there is none yet'}.",
        )

    # ------------------------------------------------------------------ positions

    def positions(self) -> tuple[str, str] | tuple[None, None]:
        """Return the names of the columns of longitudes and latitudes."""
        ra = next((name for name in _RA if name in self.table.columns), None)
        dec = next((name for name in _DEC if name in self.table.columns), None)
        if ra is None or dec is None:
            if ra is not None or dec is not None:
                there, missing = (ra, "dec") if ra is not None else (dec, "ra")
                raise BadTargets(
                    f"The list has a column {there}, but no column {missing}.",
                    "Positions need both, in degrees.",
                )
            return None, None
        return ra, dec

    def read_positions(
        self, ra: str | None, dec: str | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return longitudes in [0, 360) and latitudes in degrees, NaN where there are none."""
        if ra is None or dec is None:
            nowhere = np.full(self.count, np.nan)
            return nowhere, nowhere.copy()
        lon, lat = self.numbers(ra, -360.0, 720.0) % 360.0, self.numbers(dec, -90.0, 90.0)
        for row in np.flatnonzero(np.isnan(lon) != np.isnan(lat)).tolist():
            self.wrong(row, f"it has {dec if np.isnan(lon[row]) else ra}, but not both of {ra} and {dec}.")
        return lon, lat

    def numbers(self, name: str, low: float, high: float) -> NDArray[np.float64]:
        """Return a column of degrees, NaN where it is empty; a value that is none makes its row wrong."""
        texts = self.table.columns[name]
        array = pa.array(texts, pa.string())
        try:
            numbers = np.array(pc.cast(array, pa.float64()).to_numpy(zero_copy_only=False), np.float64)
        except pa.ArrowInvalid:
            numbers = np.array([_number(text) for text in texts], np.float64)
        with np.errstate(invalid="ignore"):
            good = np.isfinite(numbers) & (numbers >= low) & (numbers <= high)
        for row in np.flatnonzero(~good).tolist():
            text = texts[row]
            if text is not None:
                self.wrong(row, f"{name} {text[:40]!r} is no number of degrees from {low:g} to {high:g}.")
        return np.where(good, numbers, np.nan)

    def forget(self, *columns: list[str | None]) -> None:
        """Empty these columns where a row is wrong."""
        for row in self.problems:
            for column in columns:
                column[row] = None


def _number(text: Any) -> float:
    try:
        # float() takes underscores and other scripts' digits, which no list means.
        return float(text) if text is not None and text.isascii() and "_" not in text else np.nan
    except ValueError:
        return np.nan
