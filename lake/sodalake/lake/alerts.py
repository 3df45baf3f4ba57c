"""What can be asked of the archive for stamps, and what comes back: plain values that travel to a Dask worker.

A question names a survey, an alert or an object, and the kinds of stamp wanted (``science``, ``template``,
``difference``: the keys of the survey's `stamps.kinds`). Ids are text here, whatever they are in the archive:
a 64-bit id that becomes a float is a wrong id.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = [
    "AlertStamps",
    "ByAlert",
    "Epochs",
    "EpochsOf",
    "InFile",
    "LatestOf",
    "Newest",
    "NewestAlert",
    "Question",
]


@dataclass(frozen=True, slots=True)
class AlertStamps:
    """One alert's stamps, as they stand in the archive.

    Attributes
    ----------
    survey, alert_id, object_id
        Names and ids, as text.
    time
        The alert's time in the survey's own scale and unit (`survey.time`: JD UTC or MJD TAI, days).
    file
        URL of the archive file the stamps come from.
    stamps
        For each kind that was asked for, the bytes as stored (ZTF: gzip of FITS; Rubin: FITS), or None where
        this alert has no such stamp.
    """

    survey: str
    alert_id: str
    object_id: str
    time: float
    file: str
    stamps: Mapping[str, bytes | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ByAlert:
    """The stamps of one alert, by its id: one row get, and one ranged read a stamp."""

    survey: str
    alert_id: str
    kinds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LatestOf:
    """The stamps of an object's latest alert."""

    survey: str
    object_id: str
    kinds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class InFile:
    """The stamps of an alert that must be in one named archive file: what the seeds' internal service asks.

    With `alert_id` that alert; else the latest of `object_id` in this file.

    Attributes
    ----------
    path
        The file: its URL, or its path inside the archive, with or without the name node.
    """

    survey: str
    path: str
    object_id: str | None
    alert_id: str | None
    kinds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EpochsOf:
    """Stamps of all epochs of an object, newest first, at most `limit` alerts at a time.

    Attributes
    ----------
    after
        `Epochs.next` of the answer before; None to begin.
    """

    survey: str
    object_id: str
    kinds: tuple[str, ...]
    after: str | None = None
    limit: int = 64


@dataclass(frozen=True, slots=True)
class Newest:
    """The latest alerts of a survey, without their stamps: the newest rows of its newest file."""

    survey: str
    limit: int = 24


@dataclass(frozen=True, slots=True)
class Epochs:
    """One answer to `EpochsOf`: some alerts, and where to go on (None: that was all)."""

    alerts: list[AlertStamps]
    next: str | None


@dataclass(frozen=True, slots=True)
class NewestAlert:
    """One alert of `Newest`.

    Attributes
    ----------
    columns
        Its flat columns (`survey.columns` names; None where null).
    kinds
        The stamps it has.
    """

    alert_id: str
    object_id: str
    time: float
    columns: Mapping[str, object]
    kinds: tuple[str, ...] = ()


Question = ByAlert | LatestOf | InFile | EpochsOf | Newest
