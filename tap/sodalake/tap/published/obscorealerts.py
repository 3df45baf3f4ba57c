"""Alerts in `ivoa.obscore`: a row for the stamps of each.

Times are MJD in UTC. Those of a survey that counts in TAI are 37 s less: the difference since 2017, and alerts that
have TAI began later. An exposure's length is taken from the column that says so (UCD ``time.duration;obs.exposure``),
where the survey's time is its start; values that no exposure has are none.

A survey file does not say how many pixels a stamp has, and they differ in one survey. Regions are those of a nominal
stamp, slightly larger than most: a search finds too much at the edge rather than too little.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sodalake.lake.survey import Survey
from sodalake.tap.metadata import Table

from .obscoreview import Maker, ObscoreView, doubles, repeated, texts, wavelengths

__all__ = ["LONGEST_EXPOSURE", "AlertsView"]

LONGEST_EXPOSURE: Final = 86_400.0
"""Seconds; no alert has an exposure that is longer."""

_OFFSETS: Final = {"jd_utc": -2_400_000.5, "mjd_tai": -37.0 / 86_400.0}
_PIXELS: Final = 63  # of a nominal stamp's side: ZTF's are 63, Rubin's fewer as a rule
_EXPOSURE: Final = "time.duration;obs.exposure"
_OBSERVABLES: Final = {"adu": "phot.count", "nJy": "phot.flux.density"}
# North-East, South-East, South-West, North-West: counter-clockwise, seen from inside (DALI 1.1, 3.3.7)
_CORNERS: Final = ((1, 1), (1, -1), (-1, -1), (-1, 1))


class AlertsView(ObscoreView):
    """What a survey of alerts has in `ivoa.obscore`.

    Parameters
    ----------
    survey
        Its description.
    table
        Its table of alerts, as published.
    authority, base_url
        See `ObscoreView`.
    """

    reach: float

    def __init__(self, survey: Survey, table: Table, authority: str, base_url: str) -> None:
        super().__init__(survey.name, table, "alert", authority, base_url)
        self.survey = survey
        names = {column.name: column for column in table.columns}
        ids = survey.ids
        self._half = survey.stamps.pixel_scale * _PIXELS / 2 / 3600
        self.reach = self._half * math.sqrt(2) * 1.001
        self.longest = LONGEST_EXPOSURE / 86_400.0
        self._time, self._ra, self._dec = (table.roles[role] for role in ("time", "ra", "dec"))
        paths = (ids.object, *(other.path for other in ids.object_otherwise))
        self._objects = tuple(dict.fromkeys(n for n in map(survey.flat_name, paths) if n in names))
        band = survey.flat_name(survey.band.path) if survey.band is not None else ""
        self._band = band if band in names else ""
        starts = names[self._time].ucd.startswith("time.start")
        lengths = (c.name for c in table.columns if c.ucd == _EXPOSURE and c.unit == "s")
        self._length = next(lengths, "") if starts else ""
        offset = _OFFSETS[survey.time.scale]
        linear = {"s_ra": (self._ra, 0.0), "s_dec": (self._dec, 0.0), "t_min": (self._time, offset)}
        if not self._length:
            linear["t_max"] = (self._time, offset)
        self.linear = MappingProxyType(linear)
        self._complete(self._made(), self._few())

    def _few(self) -> dict[str, Sequence[object]]:
        survey = self.survey
        found: dict[str, Sequence[object]] = {
            "dataproduct_subtype": ("stamps",),
            "calib_level": (2,),
            "obs_collection": (survey.name,),
            "facility_name": (survey.facility,),
            "instrument_name": (survey.instrument,),
            "o_ucd": (_OBSERVABLES.get(survey.stamps.unit, "phot.flux"),),
            "o_unit": (survey.stamps.unit or None,),
            **dict.fromkeys(("access_estsize", "s_resolution", "s_xel1", "s_xel2"), (None,)),
        }
        if not self._band:
            found |= {"em_min": (None,), "em_max": (None,)}
        if not self._length:
            found["t_exptime"] = (None,)
        return found

    def _made(self) -> dict[str, tuple[tuple[str, ...], Maker]]:
        """Column → the columns of alerts that it is made of, and how."""
        time, places = (self._time,), (self._ra, self._dec)
        made: dict[str, tuple[tuple[str, ...], Maker]] = {
            "obs_title": self.titles(f"Stamps of {self.survey.name} alert "),
            "target_name": (self._objects, self._targets),
            "s_ra": ((self._ra,), lambda rows: doubles(rows[self._ra])),
            "s_dec": ((self._dec,), lambda rows: doubles(rows[self._dec])),
            "s_fov": ((), lambda rows: repeated(2 * self._half * math.sqrt(2), pa.float64(), rows)),
            "s_pixel_scale": (
                (),
                lambda rows: repeated(self.survey.stamps.pixel_scale, pa.float64(), rows),
            ),
            "s_region": (places, self._regions),
            "t_min": (time, self._begins),
        }
        if self._length:
            made["t_max"] = ((*time, self._length), self._ends)
            made["t_exptime"] = ((self._length,), self._lengths)
        else:
            made["t_max"] = (time, self._begins)
        if self._band:
            made["em_min"] = ((self._band,), lambda rows: self._wavelengths(rows, 0))
            made["em_max"] = ((self._band,), lambda rows: self._wavelengths(rows, 1))
        return made

    # ------------------------------------------------------------------ makers

    def _targets(self, rows: pa.Table) -> pa.ChunkedArray:
        none = pa.array([str(value) for value in self.survey.ids.none], pa.string())
        found = []
        for name in self._objects:
            named = texts(rows[name])
            found.append(pc.if_else(pc.is_in(named, value_set=none), pa.scalar(None, pa.string()), named))
        return pc.coalesce(*found)

    def _begins(self, rows: pa.Table) -> pa.ChunkedArray:
        return pc.add(doubles(rows[self._time]), _OFFSETS[self.survey.time.scale])

    def _lengths(self, rows: pa.Table) -> pa.ChunkedArray:
        seconds = doubles(rows[self._length])
        is_one = pc.and_(pc.greater(seconds, 0.0), pc.less_equal(seconds, LONGEST_EXPOSURE))
        return pc.if_else(is_one, seconds, pa.scalar(None, pa.float64()))

    def _ends(self, rows: pa.Table) -> pa.ChunkedArray:
        days = pc.divide(pc.fill_null(self._lengths(rows), 0.0), 86_400.0)
        return pc.add(self._begins(rows), days)

    def _wavelengths(self, rows: pa.Table, end: int) -> pa.ChunkedArray:
        survey = self.survey
        assert survey.band is not None
        raw = {value: survey.bands[band] for value, band in survey.band.values.items()}
        # a value that has no name is its own (`Survey.band_name`)
        limits = {**{band: ends for band, ends in survey.bands.items() if band not in raw}, **raw}
        column = rows[self._band]
        if pa.types.is_floating(column.type):  # some writers made doubles of small integers
            column = column.cast(pa.int64(), safe=False)
        return wavelengths(column, limits, end)

    def _regions(self, rows: pa.Table) -> pa.ChunkedArray:
        ra, dec = (_numbers(rows[name]) for name in (self._ra, self._dec))
        parts: list[Any] = []
        for x, y in _CORNERS:
            for degrees in _corner(ra, dec, x * math.radians(self._half), y * math.radians(self._half)):
                parts.append(pa.array(degrees, from_pandas=True).cast(pa.string()))
        joined = pc.binary_join_element_wise(*parts, " ")
        return pa.chunked_array([pc.binary_join_element_wise("Polygon ICRS", joined, " ")])


def _corner(
    ra: npt.NDArray[np.float64], dec: npt.NDArray[np.float64], x: float, y: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Where a point of the tangent plane (`x` to the East, `y` to the North, radians) is on the sky, degrees (N).

    Six decimals: 4 milliarcseconds, far below a pixel.
    """
    down = np.radians(dec)
    depth = np.cos(down) - y * np.sin(down)
    lon = np.round(np.degrees(np.radians(ra) + np.arctan2(x, depth)) % 360.0, 6) % 360.0
    lat: npt.NDArray[np.float64] = np.degrees(np.arctan2(np.sin(down) + y * np.cos(down), np.hypot(x, depth)))
    return lon, np.round(lat, 6)


def _numbers(column: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    """Values as an array (N), NaN where there is none."""
    return np.asarray(doubles(column).to_numpy(), np.float64)
