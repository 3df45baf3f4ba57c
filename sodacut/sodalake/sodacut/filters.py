"""BAND, TIME and POL of stamps: whether anything is left of an alert (SODA 1.0, 3.3).

A stamp is one exposure in one band, so there is nothing to cut along them; but a stamp that is of none of the
wavelengths or times that are asked for is not given. What the archive does not know (an alert without a band, a band
without wavelengths) leaves nothing out. Looked at on a worker, in the alert's row, before a stamp is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from sodalake.lake.alertrows import AlertRows
from sodalake.lake.lake import Lake
from sodalake.sodacut.errors import NoOverlap
from sodalake.sodacut.images.requests import Interval, meets

__all__ = ["StampFilters", "begin_filters"]

# What is added to a survey's time to make it MJD in UTC (TAI is 37 s ahead, and has been since 2017).
_OFFSETS: Final = {"jd_utc": -2_400_000.5, "mjd_tai": -37.0 / 86_400.0}
_EXPOSURE: Final = "time.duration;obs.exposure"


@dataclass(frozen=True, slots=True)
class StampFilters:
    """What is asked of an alert's band, its time, and its polarization."""

    survey: str
    alert_id: str
    band: Interval | None = None
    time: Interval | None = None
    pol: tuple[str, ...] = ()

    def check(self, lake: Lake) -> None:
        """Return where something is left of the alert, or where there is no such alert, which others tell.

        Raises
        ------
        NoOverlap
            Nothing is left.
        """
        if self.pol:
            raise NoOverlap("Stamps have no polarization states.")
        survey = lake.survey(self.survey)
        time = survey.flat_name(survey.time.path)
        band = "" if survey.band is None else survey.flat_name(survey.band.path)
        length = next(
            (column.name for column in survey.columns if column.ucd == _EXPOSURE and column.unit == "s"),
            "",
        )
        names = [name for name in (time, band, length) if name]
        for table in AlertRows(lake).of_alerts(survey, [self.alert_id], names):
            for row in table.to_pylist():
                begin = row[time] + _OFFSETS[survey.time.scale] if row.get(time) is not None else None
                seconds = row.get(length) or 0.0
                end = None if begin is None else begin + seconds / 86_400
                low, high = survey.bands.get(survey.band_name(row.get(band)) or "", (None, None))
                if not meets(self.time, begin, end) or not meets(self.band, low, high):
                    raise NoOverlap("The stamp is of another band, or of another time.")


class _Nothing:
    """A stream without bytes; see `sodalake.lake.streams.Stream`."""

    head: Any = None

    def __iter__(self) -> Iterator[bytes]:
        return iter(())

    def stop(self) -> None:
        """Do nothing: there is nothing under way."""


def begin_filters(lake: Lake, filters: StampFilters, seconds: float) -> _Nothing:
    """Look at an alert, for `sodalake.lake.lanes.Lane.open`; raises as `StampFilters.check`."""
    filters.check(lake)
    return _Nothing()
