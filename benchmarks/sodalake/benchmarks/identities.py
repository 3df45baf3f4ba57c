"""Ids and times of a made archive's alerts: arithmetic, so that nobody has to read it to name an alert.

An archive has ``files x rows`` alerts, `EPOCHS` of each object. Alerts stand in the order of their nights,
as they do in an archive that grew by nights: first the first epoch of every object, then the second. An
object's alerts are therefore spread over the whole archive, and so are the reads that fetch them.
"""

from __future__ import annotations

import string

import numpy as np
from numpy.typing import NDArray

__all__ = ["EPOCHS", "Identities"]

EPOCHS = 14
"""Alerts of an object."""

# Odd multipliers, modulo a power of two, permute the numbers below it: the ids of a night come out
# unique and in no order, as real ones.
_SHUFFLE = 0x9E3779B97F4A7C15
_LETTERS = 26**7
_LETTER_SHUFFLE = 2_654_435_761  # coprime to 26


class Identities:
    """Who stands where in an archive of ``files`` files of ``rows`` alerts.

    Parameters
    ----------
    survey
        ``ztf`` or ``lsst``: how ids look.
    files, rows
        Number of files, and of alerts in each; `rows` is a multiple of `EPOCHS`.
    """

    def __init__(self, survey: str, files: int, rows: int) -> None:
        if rows % EPOCHS or rows <= 0 or files <= 0:
            raise ValueError(
                f"{files} files of {rows} alerts: a file has a positive multiple of {EPOCHS} alerts."
            )
        self.survey = survey
        self.files = files
        self.rows = rows
        self.objects = files * rows // EPOCHS

    def __len__(self) -> int:
        return self.files * self.rows

    def file_of(self, slot: int) -> int:
        """Return the number of the file, from 0, that holds the alert of a slot."""
        return slot // self.rows

    def slots(self, file: int) -> NDArray[np.int64]:
        """Return the slots of one file's rows, in their order."""
        return np.arange(file * self.rows, (file + 1) * self.rows, dtype=np.int64)

    def alert_ids(self, slots: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return candid or diaSourceId of each slot: 19 or 18 digits that grow with the night, as real ones."""
        nights = slots // self.objects
        if self.survey == "ztf":
            return (1_246 + nights) * 1_000_000_000_000_000 + _mixed(slots, 49)
        return (170_000 + nights) * 1_000_000_000_000 + _mixed(slots, 39)

    def object_numbers(self, slots: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the objects of slots, numbered from 0."""
        return slots % self.objects

    def object_name(self, number: int) -> str:
        """Return the text of objectId or diaObjectId of an object's number."""
        if self.survey != "ztf":
            return str(int(_mixed(np.array([number]), 53)[0]) + 313_000_000_000_000_000)
        mixed = number * _LETTER_SHUFFLE % _LETTERS
        letters = ""
        for _ in range(7):
            mixed, letter = divmod(mixed, 26)
            letters += string.ascii_lowercase[letter]
        return "ZTF19" + letters

    def object_ids(self, slots: NDArray[np.int64]) -> list[str]:
        """Return objectId or diaObjectId of each slot, as text."""
        return [self.object_name(int(number)) for number in self.object_numbers(slots)]

    def object_slots(self, number: int) -> NDArray[np.int64]:
        """Return the slots of an object's `EPOCHS` alerts, oldest first."""
        return number + self.objects * np.arange(EPOCHS, dtype=np.int64)

    def times(self, slots: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the time of each slot, days (JD or MJD, as the survey has it): an epoch a night."""
        first = 2_459_000.7 if self.survey == "ztf" else 60_900.1
        times: NDArray[np.float64] = (
            first + slots // self.objects + 0.4 * (slots % self.objects) / self.objects
        )
        return times


def _mixed(numbers: NDArray[np.int64], bits: int) -> NDArray[np.int64]:
    """Permute numbers below ``2**bits`` among themselves."""
    mixed = (numbers.astype(np.uint64) * np.uint64(_SHUFFLE)) & np.uint64((1 << bits) - 1)
    return mixed.astype(np.int64)
