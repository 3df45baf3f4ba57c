"""Rows of `ivoa.obscore`, made of alerts when they are asked for: one view a survey.

Times are MJD in UTC. Those of a survey that counts in TAI are 37 s less: the difference since 2017, and alerts that
have TAI began later. An exposure's length is taken from the column that says so (UCD ``time.duration;obs.exposure``),
where the survey's time is its start; values that no exposure has are none.

A survey file does not say how many pixels a stamp has, and they differ in one survey. Regions are those of a nominal
stamp, slightly larger than most: a search finds too much at the edge rather than too little.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import quote, unquote

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sodalake.lake.survey import Survey
from sodalake.tap.metadata import Table, arrow_type

from .obscore import obscore_table

__all__ = ["DATALINK_TYPE", "LONGEST_EXPOSURE", "ObscoreView"]

DATALINK_TYPE: Final = "application/x-votable+xml;content=datalink"
"""The MIME type of links, without a space: clients compare it as text (DataLink 1.1, 3.1)."""

LONGEST_EXPOSURE: Final = 86_400.0
"""Seconds; no row of the view has an exposure that is longer."""

_OFFSETS: Final = {"jd_utc": -2_400_000.5, "mjd_tai": -37.0 / 86_400.0}
_PIXELS: Final = 63  # of a nominal stamp's side: ZTF's are 63, Rubin's fewer as a rule
_EXPOSURE: Final = "time.duration;obs.exposure"
_PLAIN_ID: Final = r"^[A-Za-z0-9._~-]*$"
_OBSERVABLES: Final = {"adu": "phot.count", "nJy": "phot.flux.density"}
_DID: Final = re.compile(r"(ivo://[^/?#]+/[^?#/]+)\?([^/?#]+)", re.I)
# North-East, South-East, South-West, North-West: counter-clockwise, seen from inside (DALI 1.1, 3.3.7)
_CORNERS: Final = ((1, 1), (1, -1), (-1, -1), (-1, 1))

Maker = Callable[[pa.Table], pa.ChunkedArray]


class ObscoreView:
    """What one survey has in `ivoa.obscore`.

    Parameters
    ----------
    survey
        Its description.
    table
        Its table of alerts, as published.
    authority
        Ours, in identifiers.
    base_url
        The service's root as the client sees it, without a slash at its end: links begin with it.

    Attributes
    ----------
    constants
        Columns that have one value in all rows, text, integer or null.
    linear
        Column → column of alerts, and what is added to it.
    reach
        Degrees from (s_ra, s_dec) beyond which no `s_region` goes.
    """

    def __init__(self, survey: Survey, table: Table, authority: str, base_url: str) -> None:
        self.survey = survey
        self.table = table
        self._root = f"ivo://{authority}/{survey.name}"
        self._links = f"{base_url}/datalink/links?ID={quote(self._root + '?', safe='')}"
        self._types = {column.name: arrow_type(column) for column in obscore_table().columns}
        names = {column.name: column for column in table.columns}
        ids = survey.ids
        self._half = survey.stamps.pixel_scale * _PIXELS / 2 / 3600
        self.reach = self._half * math.sqrt(2) * 1.001
        self._alert = table.roles["alert"]
        self._time, self._ra, self._dec = (table.roles[role] for role in ("time", "ra", "dec"))
        paths = (ids.object, *(other.path for other in ids.object_otherwise))
        self._objects = tuple(dict.fromkeys(n for n in map(survey.flat_name, paths) if n in names))
        band = survey.flat_name(survey.band.path) if survey.band is not None else ""
        self._band = band if band in names else ""
        starts = names[self._time].ucd.startswith("time.start")
        lengths = (c.name for c in table.columns if c.ucd == _EXPOSURE and c.unit == "s")
        self._length = next(lengths, "") if starts else ""
        self.constants: Mapping[str, object] = MappingProxyType(self._constants(authority))
        offset = _OFFSETS[survey.time.scale]
        linear = {"s_ra": (self._ra, 0.0), "s_dec": (self._dec, 0.0), "t_min": (self._time, offset)}
        if not self._length:
            linear["t_max"] = (self._time, offset)
        self.linear: Mapping[str, tuple[str, float]] = MappingProxyType(linear)
        self._makers = self._made()

    def _constants(self, authority: str) -> dict[str, object]:
        survey = self.survey
        nothing = (
            "access_estsize", "s_resolution", "s_xel1", "s_xel2", "t_resolution", "t_xel", "em_res_power", "em_xel",
            "pol_states", "pol_xel",
        )  # fmt: skip
        found: dict[str, object] = {
            "dataproduct_type": "image",
            "dataproduct_subtype": "stamps",
            "calib_level": 2,
            "obs_collection": survey.name,
            "access_format": DATALINK_TYPE,
            "facility_name": survey.facility,
            "instrument_name": survey.instrument,
            "o_ucd": _OBSERVABLES.get(survey.stamps.unit, "phot.flux"),
            "o_unit": survey.stamps.unit or None,
            "publisher_id": f"ivo://{authority}",
            **dict.fromkeys(nothing),
        }
        if not self._band:
            found |= {"em_min": None, "em_max": None}
        if not self._length:
            found["t_exptime"] = None
        return found

    def _made(self) -> Mapping[str, tuple[tuple[str, ...], Maker]]:
        """Column → the columns of alerts that it is made of, and how."""
        alert, time, places = (self._alert,), (self._time,), (self._ra, self._dec)
        made: dict[str, tuple[tuple[str, ...], Maker]] = {
            "obs_id": (alert, self._ids),
            "obs_publisher_did": (alert, lambda rows: self._prefixed(f"{self._root}?", self._escaped(rows))),
            # the id is escaped twice: once in the identifier, once more in the URL's query
            "access_url": (
                alert,
                lambda rows: self._prefixed(
                    self._links, pc.replace_substring(self._escaped(rows), "%", "%25")
                ),
            ),
            "obs_title": (
                alert,
                lambda rows: self._prefixed(f"Stamps of {self.survey.name} alert ", self._ids(rows)),
            ),
            "target_name": (self._objects, self._targets),
            "s_ra": ((self._ra,), lambda rows: _doubles(rows[self._ra])),
            "s_dec": ((self._dec,), lambda rows: _doubles(rows[self._dec])),
            "s_fov": ((), lambda rows: _constant(2 * self._half * math.sqrt(2), pa.float64(), rows)),
            "s_pixel_scale": (
                (),
                lambda rows: _constant(self.survey.stamps.pixel_scale, pa.float64(), rows),
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

    # ------------------------------------------------------------------ what the planner asks

    def needs(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return the columns of alerts of which these columns are made; none for those that are constant."""
        used = (column for name in names if name in self._makers for column in self._makers[name][0])
        return tuple(dict.fromkeys(used))

    def derive(self, alerts: pa.Table, names: Sequence[str]) -> pa.Table:
        """Return these columns for some alerts.

        Parameters
        ----------
        alerts
            N alerts, with at least `needs(names)`.

        Returns
        -------
        pyarrow.Table
            N rows, in the types of `ivoa.obscore`.
        """
        arrays = []
        for name in names:
            kind = self._types[name]
            if name in self._makers:
                made = self._makers[name][1](alerts)
                arrays.append(made if made.type == kind else made.cast(kind))
            else:
                arrays.append(_constant(self.constants[name], kind, alerts))
        if not names:  # Arrow counts rows by columns, so a table without any has lost them
            return alerts.select([])
        return pa.Table.from_arrays(arrays, names=list(names))

    def alert_of(self, did: str) -> str | None:
        """Return the alert's id of a publisher DID in the form that the view writes; None of any other.

        A comparison in a query is one of texts, so another writing of the same identifier is another text.
        """
        match = _DID.fullmatch(did)
        if match is None or match[1] != self._root:
            return None
        alert = unquote(match[2])
        return alert if quote(alert, safe="") == match[2] else None

    # ------------------------------------------------------------------ makers

    def _ids(self, rows: pa.Table) -> pa.ChunkedArray:
        return _texts(rows[self._alert])

    def _escaped(self, rows: pa.Table) -> pa.ChunkedArray:
        texts = self._ids(rows)
        if self.survey.ids.alert_kind == "integer":
            return texts
        odd = pc.invert(pc.match_substring_regex(texts, _PLAIN_ID))
        if not pc.any(odd).as_py():
            return texts
        # ids with signs that a URL gives a meaning to: surveys that have any have few
        escaped = pa.array([quote(text, safe="") for text in texts.filter(odd).to_pylist()], pa.string())
        return pc.replace_with_mask(
            texts.combine_chunks(), pc.fill_null(odd, False).combine_chunks(), escaped
        )

    @staticmethod
    def _prefixed(prefix: str, texts: Any) -> Any:
        return pc.binary_join_element_wise(prefix, texts, "")

    def _targets(self, rows: pa.Table) -> pa.ChunkedArray:
        none = pa.array([str(value) for value in self.survey.ids.none], pa.string())
        found = []
        for name in self._objects:
            texts = _texts(rows[name])
            found.append(pc.if_else(pc.is_in(texts, value_set=none), pa.scalar(None, pa.string()), texts))
        return pc.coalesce(*found)

    def _begins(self, rows: pa.Table) -> pa.ChunkedArray:
        return pc.add(_doubles(rows[self._time]), _OFFSETS[self.survey.time.scale])

    def _lengths(self, rows: pa.Table) -> pa.ChunkedArray:
        seconds = _doubles(rows[self._length])
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
        places = pc.index_in(_texts(column), value_set=pa.array(list(limits), pa.string()))
        return pa.chunked_array([pa.array([ends[end] for ends in limits.values()], pa.float64())]).take(
            places
        )

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


def _texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return column if pa.types.is_string(column.type) else column.cast(pa.string())


def _doubles(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column if pa.types.is_float64(column.type) else column.cast(pa.float64())


def _numbers(column: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    """Values as an array (N), NaN where there is none."""
    return np.asarray(_doubles(column).to_numpy(), np.float64)


def _constant(value: object, kind: pa.DataType, rows: pa.Table) -> pa.ChunkedArray:
    return pa.chunked_array([pa.repeat(pa.scalar(value, kind), rows.num_rows)])
