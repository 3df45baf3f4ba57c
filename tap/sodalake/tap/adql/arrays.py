"""Functions for DuckDB in numpy: what SQL cannot say, a block of rows at a time (2048, as DuckDB hands them over).

Rows that are NULL in any argument are NULL; so are rows that make no sense (a latitude beyond a pole).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from duckdb.func import FunctionNullHandling, PythonUDFType

from sodalake.lake.importing import IMPORTS

from . import sphere, stcs

__all__ = ["register"]

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
_DOUBLES: Final = pa.list_(pa.float64())


def register(connection: duckdb.DuckDBPyConnection) -> None:
    """Give a connection's database all functions of this module."""
    for name, function, takes, gives in _FUNCTIONS:
        connection.create_function(
            f"adql_{name}",
            function,
            list(takes),
            gives,
            type=PythonUDFType.ARROW,
            null_handling=FunctionNullHandling.SPECIAL,
        )


def _flat(array: Any) -> Any:
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _floats(array: Any) -> Floats:
    """Return numbers, NaN for NULL."""
    made: Floats = pc.fill_null(pc.cast(_flat(array), pa.float64()), float("nan")).to_numpy(
        zero_copy_only=False
    )
    return made


def _groups(*arrays: Any) -> list[tuple[npt.NDArray[np.int64], list[Floats]]]:
    """Return rows of lists of like lengths together: (which rows, for each array its numbers (N, length))."""
    flat = [_flat(array) for array in arrays]
    lengths = [
        pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False).astype(np.int64)
        for array in flat
    ]
    offsets = [array.offsets.to_numpy()[:-1].astype(np.int64) for array in flat]
    values = [_floats(array.values) for array in flat]
    made = []
    for sizes in set(zip(*(length.tolist() for length in lengths), strict=True)):
        if not all(size in (2, 3) or (size >= 6 and size % 2 == 0) for size in sizes):
            continue
        rows = np.flatnonzero(
            np.logical_and.reduce([length == size for length, size in zip(lengths, sizes, strict=True)])
        )
        parts = [
            numbers[offset[rows][:, None] + np.arange(size)]
            for numbers, offset, size in zip(values, offsets, sizes, strict=True)
        ]
        good = np.logical_and.reduce([sphere.valid(part) for part in parts])
        if good.any():
            made.append((rows[good], [part[good] for part in parts]))
    return made


def _relation(test: Callable[[Floats, Floats], Flags]) -> Callable[[Any, Any], pa.Array]:
    def related(one: Any, other: Any) -> pa.Array:
        found, there = np.zeros(len(one), np.int32), np.zeros(len(one), np.bool_)
        for rows, (first, second) in _groups(one, other):
            found[rows], there[rows] = test(first, second), True
        return pa.array(found, mask=~there)

    return related


def _area(shapes: Any) -> pa.Array:
    made, there = np.zeros(len(shapes)), np.zeros(len(shapes), np.bool_)
    for rows, (shape,) in _groups(shapes):
        made[rows], there[rows] = sphere.areas(shape), True
    return pa.array(made, mask=~there)


def _points(made: Floats, there: Flags) -> pa.Array:
    """Return points (N, 2) as lists."""
    offsets = pa.array(np.concatenate([[0], 2 * np.cumsum(there)]).astype(np.int32))
    return pa.ListArray.from_arrays(offsets, pa.array(made[there].ravel()), mask=pa.array(~there))


def _centroid(shapes: Any) -> pa.Array:
    made, there = np.zeros((len(shapes), 2)), np.zeros(len(shapes), np.bool_)
    for rows, (shape,) in _groups(shapes):
        made[rows], there[rows] = sphere.centroids(shape), True
    return _points(made, there)


def _lists(texts: Any, read: Callable[[str], Sequence[float]]) -> pa.Array:
    """Return lists of numbers read from texts, each text once; NULL for what cannot be read."""
    flat = _flat(texts)
    encoded = flat.dictionary_encode()
    known: list[Sequence[float] | None] = []
    for text in encoded.dictionary.to_pylist():
        try:
            known.append(read(text))
        except ValueError:
            known.append(None)
    return pa.array(known, _DOUBLES).take(encoded.indices)


def _shape(texts: Any) -> pa.Array:
    return _lists(texts, lambda text: stcs.region(text)[1])


def _text_numbers(texts: Any, counts: Any) -> pa.Array:
    count = next((count for count in _flat(counts).to_pylist() if count is not None), 0)
    kind = {2: "point", 3: "circle"}.get(count, "polygon")
    return _lists(texts, lambda text: stcs.dali(kind, text))


def _cell(orders: Any, lon: Any, lat: Any) -> pa.Array:
    with IMPORTS:
        import astropy.units as u
        from astropy.coordinates import Latitude, Longitude
        from cdshealpix.nested import lonlat_to_healpix

    order, ra, dec = _floats(orders), _floats(lon), _floats(lat)
    with np.errstate(invalid="ignore"):
        there = np.isfinite(ra) & (np.abs(dec) <= 90) & (order >= 0) & (order <= 29)
    made = np.zeros(len(order), np.int64)
    if there.any():
        made[there] = lonlat_to_healpix(
            Longitude(ra[there], u.deg),
            Latitude(dec[there], u.deg),
            order[there].astype(np.uint8),
            num_threads=1,
        ).astype(np.int64)
    return pa.array(made, mask=~there)


def _cell_centre(orders: Any, cells: Any) -> pa.Array:
    with IMPORTS:
        from cdshealpix.nested import healpix_to_lonlat

    order = _floats(orders)
    flat = _flat(cells)
    cell = pc.fill_null(flat, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    there = (order >= 0) & (order <= 29) & (cell >= 0)
    depth = np.where(there, order, 0).astype(np.int64)
    there &= cell < (np.int64(12) << (2 * depth))
    made = np.zeros((len(order), 2))
    if there.any():
        lon, lat = healpix_to_lonlat(
            cell[there].astype(np.uint64), depth[there].astype(np.uint8), num_threads=1
        )
        made[there] = np.stack([lon.deg, lat.deg], axis=1)
    return _points(made, there)


_WORDS: Final = re.compile(r"\w+")


def _has_words(haystacks: Any, needles: Any) -> pa.Array:
    wanted: dict[str, frozenset[str]] = {}
    made: list[int | None] = []
    for haystack, needle in zip(_flat(haystacks).to_pylist(), _flat(needles).to_pylist(), strict=True):
        if haystack is None or needle is None:
            made.append(None)
            continue
        if needle not in wanted:
            wanted[needle] = frozenset(_WORDS.findall(needle.casefold()))
        made.append(int(wanted[needle] <= set(_WORDS.findall(haystack.casefold()))))
    return pa.array(made, pa.int32())


_SEXAGESIMAL: Final = re.compile(
    r"\s*([+-]?)(\d+)(?:[\s:hd°]+(\d+)(?:[\s:m'′]+(\d+(?:\.\d*)?)[\s\"″s]*)?)?[\s:hdm°'′]*"
)


def _sexagesimal(texts: Any) -> pa.Array:
    made: list[float | None] = []
    for text in _flat(texts).to_pylist():
        found = _SEXAGESIMAL.fullmatch(text) if text is not None else None
        if found is None:
            made.append(None)
            continue
        sign, units, minutes, seconds = found.groups()
        value = float(units) + float(minutes or 0) / 60 + float(seconds or 0) / 3600
        made.append(-value if sign == "-" else value)
    return pa.array(made, pa.float64())


_MAS: Final = np.radians(1 / 3.6e6)
_AU_YEAR: Final = 149597870.7 / (365.25 * 86400)  # km/s of one astronomical unit a Julian year


def _moved(ra: Any, dec: Any, parallax: Any, pmra: Any, pmdec: Any, velocity: Any, years: Any) -> pa.Array:
    """Move stars on straight lines at constant speed (ESA SP-1200, volume 1, 1.5.5)."""
    lon, lat, plx, east, north, away, time = (
        _floats(one) for one in (ra, dec, parallax, pmra, pmdec, velocity, years)
    )
    with np.errstate(invalid="ignore"):
        there = np.isfinite(lon + plx + east + north + away + time) & (np.abs(lat) <= 90)
    a, d = np.radians(lon[there]), np.radians(lat[there])
    place = sphere.unit(lon[there], lat[there])
    eastward = np.stack([-np.sin(a), np.cos(a), np.zeros_like(a)], axis=-1)
    northward = np.stack([-np.sin(d) * np.cos(a), -np.sin(d) * np.sin(a), np.cos(d)], axis=-1)
    radial = away[there] * np.maximum(plx[there], 0) * _MAS / _AU_YEAR
    motion = (
        eastward * (east[there] * _MAS)[:, None]
        + northward * (north[there] * _MAS)[:, None]
        + place * radial[:, None]
    )
    moved = place + motion * time[there][:, None]
    made = np.zeros((len(lon), 2))
    made[there] = np.stack(
        [
            np.degrees(np.arctan2(moved[:, 1], moved[:, 0])) % 360,
            np.degrees(np.arctan2(moved[:, 2], np.hypot(moved[:, 0], moved[:, 1]))),
        ],
        axis=1,
    )
    return _points(made, there)


def _transformed(sources: Any, targets: Any, shapes: Any) -> pa.Array:
    """Turn shapes from one system to another; a circle's radius stays."""
    flat = _flat(shapes)
    source, target = (
        next((one for one in _flat(names).to_pylist() if one), "") for names in (sources, targets)
    )
    if not (source and target):
        return pa.nulls(len(flat), _DOUBLES)
    lengths = pc.fill_null(pc.list_value_length(flat), 0).to_numpy(zero_copy_only=False)
    made: list[Any] = [None] * len(flat)
    for rows, (shape,) in _groups(flat):
        count = shape.shape[1] - shape.shape[1] % 2
        turned = shape.copy()
        turned[:, 0:count:2], turned[:, 1:count:2] = _turned(
            source, target, shape[:, 0:count:2], shape[:, 1:count:2]
        )
        for row, values in zip(rows.tolist(), turned.tolist(), strict=True):
            made[row] = values
    assert len(lengths) == len(made)
    return pa.array(made, _DOUBLES)


def _turned(source: str, target: str, lon: Floats, lat: Floats) -> tuple[Floats, Floats]:
    with IMPORTS:
        import astropy.units as u
        from astropy.coordinates import SkyCoord

    frames = {
        "ICRS": "icrs",
        "FK5": "fk5",
        "FK4": "fk4",
        "GALACTIC": "galactic",
        "SUPERGALACTIC": "supergalactic",
        "ECLIPTIC": "barycentrictrueecliptic",
    }
    turned = SkyCoord(lon * u.deg, lat * u.deg, frame=frames[source.upper()]).transform_to(
        frames[target.upper()]
    )
    return turned.spherical.lon.deg % 360, turned.spherical.lat.deg


_FUNCTIONS: Final[Sequence[tuple[str, Callable[..., pa.Array], Sequence[str], str]]] = (
    ("contains", _relation(sphere.contained), ("DOUBLE[]", "DOUBLE[]"), "INTEGER"),
    ("intersects", _relation(sphere.intersecting), ("DOUBLE[]", "DOUBLE[]"), "INTEGER"),
    ("area", _area, ("DOUBLE[]",), "DOUBLE"),
    ("centroid", _centroid, ("DOUBLE[]",), "DOUBLE[]"),
    ("shape", _shape, ("VARCHAR",), "DOUBLE[]"),
    ("text_numbers", _text_numbers, ("VARCHAR", "INTEGER"), "DOUBLE[]"),
    ("cell", _cell, ("BIGINT", "DOUBLE", "DOUBLE"), "BIGINT"),
    ("cell_centre", _cell_centre, ("BIGINT", "BIGINT"), "DOUBLE[]"),
    ("has_words", _has_words, ("VARCHAR", "VARCHAR"), "INTEGER"),
    ("sexagesimal", _sexagesimal, ("VARCHAR",), "DOUBLE"),
    ("moved", _moved, ("DOUBLE",) * 7, "DOUBLE[]"),
    ("ivo_geom_transform", _transformed, ("VARCHAR", "VARCHAR", "DOUBLE[]"), "DOUBLE[]"),
)
"""Name without ``adql_``, function, what it takes, what it gives."""
