"""What a list of targets on images means: which images by their identifiers, or which places.

Columns are known by their names, in any case of letters:

===================== ======================================================================================
column                meaning
===================== ======================================================================================
``id``                the user's own id; the number of the row where there is none
``obs_publisher_did`` an image, by its publisher DID (also ``publisher_did``, ``did``, and ``id`` where what stands
                      there begins with ``ivo://``)
``survey``            of which survey images are taken at the row's place
``ra``, ``dec``       degrees, ICRS (also ``s_ra`` and ``s_dec``, ``RAJ2000`` and ``DEJ2000``): the middle of the cut
``size``              how large the cut is; of a row with an image, the width of a circle around ``ra`` and ``dec``
CIRCLE, BANDS …       parameters of the request; they stand in for the common ones of that row
===================== ======================================================================================

Others are the user's own and are passed over. A row that is wrong stays in the list with what is wrong with it. Which
parameters a row takes is a matter of whether it names an image (SODA's filters) or a place (size, bands, algorithm).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sodalake.lake.errors import LakeError, NotInLake
from sodalake.sodacut.errors import BadTargets
from sodalake.sodacut.jobs.columns import Columns, did_column
from sodalake.sodacut.jobs.lists import TextTable
from sodalake.sodacut.jobs.targets import REGIONS

__all__ = ["ImageDid", "ImageTargets", "image_targets"]


class ImageDid(Protocol):
    """The parts of an image's publisher DID."""

    @property
    def survey(self) -> str:
        """The survey's name."""

    @property
    def image_id(self) -> str:
        """The image's id."""


@dataclass(frozen=True, slots=True)
class ImageTargets:
    """Targets in the user's order, as columns.

    Attributes
    ----------
    ids
        The user's ids.
    surveys, images
        Survey and image id; no image where the position decides, neither where `problems` has the row.
    ra, dec
        Degrees (N float64), NaN where not given.
    parameters
        Name in upper case → the rows' own values of a parameter of the request, None where the common one holds.
    problems
        Row (from 0) → the error that its result is.
    """

    ids: list[str]
    surveys: list[str | None]
    images: list[str | None]
    ra: NDArray[np.float64]
    dec: NDArray[np.float64]
    parameters: dict[str, list[str | None]] = field(default_factory=dict)
    problems: dict[int, LakeError] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)


def image_targets(
    table: TextTable,
    surveys: Collection[str],
    *,
    survey: str | None = None,
    parameters: Collection[str] = (),
    parse_did: Callable[[str], ImageDid],
    parse_size: Callable[[str], float],
) -> ImageTargets:
    """Read what a list's columns mean.

    Parameters
    ----------
    surveys
        Names of the surveys of images.
    survey
        Which survey is meant where a row does not say.
    parameters
        Names of the request's parameters that a column may give row by row.
    parse_did
        Reads a publisher DID, or raises a `LakeError`.
    parse_size
        Reads a size as degrees, or raises a `LakeError`.

    Raises
    ------
    BadTargets
        No column says what the targets are.
    NotInLake
        There is no such survey.
    """
    if survey is not None and survey not in surveys:
        raise NotInLake(
            f"There is no survey of images {survey[:80]!r} here.",
            f"Surveys of images: {', '.join(surveys) or 'none yet'}.",
        )
    return _Reading(table, surveys, survey, parameters).targets(parse_did, parse_size)


class _Reading(Columns):
    """A list of images and places."""

    def targets(
        self, parse_did: Callable[[str], ImageDid], parse_size: Callable[[str], float]
    ) -> ImageTargets:
        did = did_column(self.table)
        ra, dec = self.positions()
        if did is None and ra is None:
            columns = ", ".join(list(self.table.columns)[:20])
            raise BadTargets(
                f"No column says what the targets are; there are: {columns}.",
                "Name two ra and dec (degrees), or one obs_publisher_did (identifiers of images).",
            )
        self.read_surveys()
        images: list[str | None] = [None] * self.count
        if did is not None:
            self._read_dids(did, images, parse_did)
        ids = self.ids(None if did == "id" else self.table.columns.get("id"))
        lon, lat = self.read_positions(ra, dec)
        self._read_sizes(images, lon, lat, parse_size)
        self._complete(images, lon + lat)
        self.forget(self.surveys, images)
        return ImageTargets(ids, self.surveys, images, lon, lat, self.parameters, self.problems)

    def _read_dids(self, column: str, images: list[str | None], parse_did: Callable[[str], ImageDid]) -> None:
        for row, value in enumerate(self.table.columns[column]):
            if value is None or row in self.problems:
                continue
            try:
                did = parse_did(value)
            except LakeError as error:
                self.wrong(row, error.message, error.advice)
                continue
            if did.survey not in self.names:
                self.wrong(row, f"there is no survey of images {did.survey[:80]!r} here.")
                continue
            self.surveys[row], images[row] = did.survey, did.image_id

    def _read_sizes(
        self,
        images: list[str | None],
        lon: NDArray[np.float64],
        lat: NDArray[np.float64],
        parse_size: Callable[[str], float],
    ) -> None:
        """Make the size of a row with an image the CIRCLE around its position; a row without one keeps it."""
        sizes = self.parameters.get("SIZE")
        if sizes is None or not any(images):
            return
        circles = self.parameters.setdefault("CIRCLE", [None] * self.count)
        regions = [self.parameters[name] for name in REGIONS if name in self.parameters]
        for row, text in enumerate(sizes):
            if text is None or images[row] is None or row in self.problems:
                continue
            sizes[row] = None
            if any(column[row] is not None for column in regions):
                self.wrong(row, "it has a size and a region.", "Leave out one of them.")
            elif np.isnan(lon[row] + lat[row]):
                self.wrong(row, "it has a size, but no ra and dec to cut around.")
            else:
                try:
                    circles[row] = f"{float(lon[row])!r} {float(lat[row])!r} {parse_size(text) / 2!r}"
                except LakeError as error:
                    self.wrong(row, error.message, error.advice)

    def _complete(self, images: list[str | None], place: NDArray[np.float64]) -> None:
        """See that every row without an image has a position, and the survey to look in."""
        only = self.only_survey()
        nowhere = np.isnan(place).tolist()
        for row, image in enumerate(images):
            if image is not None or row in self.problems:
                continue
            if nowhere[row]:
                self.wrong(row, "it names no image and no position.")
            elif self.surveys[row] is None:
                if only is None:
                    self.say_which_survey("ra")
                self.surveys[row] = only
