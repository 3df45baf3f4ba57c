"""Times of alerts as people read them: ISO 8601 in UTC, from a survey's own scale.

TAI is ahead of UTC by whole seconds (IERS Bulletin C); the table begins where digital sky surveys do. A new leap
second, should there be one, is a line here.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from typing import Final

__all__ = ["as_utc", "in_own_scale", "iso"]

_LEAPS: Final = (  # MJD (UTC) from which TAI-UTC has the value, seconds
    (51179, 32), (53736, 33), (54832, 34), (56109, 35), (57204, 36), (57754, 37),
)  # fmt: skip
_UNIX_EPOCH_MJD: Final = 40587
_JD_OF_MJD: Final = 2400000.5


def as_utc(time: float, scale: str) -> datetime | None:
    """Return the moment of a survey's `time` (days), or None where it is no date.

    Parameters
    ----------
    time
        JD for the scale ``jd_utc``, MJD for ``mjd_tai``.
    scale
        `survey.time.scale`.
    """
    if not math.isfinite(time):
        return None
    mjd = time - _JD_OF_MJD if scale == "jd_utc" else time
    seconds = (mjd - _UNIX_EPOCH_MJD) * 86400.0
    if scale == "mjd_tai":
        at = bisect_right(_LEAPS, (mjd, 0)) - 1
        seconds -= _LEAPS[max(at, 0)][1]
    try:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    except OverflowError:
        return None


def iso(moment: datetime) -> str:
    """Return ISO 8601 to the second, with Z."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def in_own_scale(time: float, scale: str) -> str:
    """Return `time` with the name of its scale, to a second's precision (five decimals)."""
    return f"JD {time:.5f} UTC" if scale == "jd_utc" else f"MJD {time:.5f} TAI"
