"""SIA 2.0: ``/sia2/query``, whose parameters become conditions on `ivoa.obscore`.

Values of one parameter are alternatives, different parameters all hold; a null meets no condition (2.1), as in ADQL.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Final

from sodalake.lake.errors import NotInLake
from sodalake.lake.survey import STAMP_KINDS
from sodalake.server.dali import Parameters, clip
from sodalake.server.errors import BadParameter, Fault
from sodalake.server.faultforms import fault_text
from sodalake.server.tap.engine import Query
from sodalake.server.tap.handling import QueryHandler
from sodalake.server.tap.requests import format_of, maxrec_of
from sodalake.server.urls import parse_did, publisher_did
from sodalake.server.vo.cutouts import soda_descriptor, soda_inputs
from sodalake.server.vo.literals import literal
from sodalake.server.vosi import InputParameter, Mode
from sodalake.tap.answers import Info
from sodalake.tap.published import Input, links_of_did, service_descriptor

__all__ = ["SIA2", "ImagesHandler", "conditions"]

_MOST_VALUES: Final = 1000
_WORDS: Final = 64 * 1024  # characters of one value: a polygon may be long
_THIN: Final = 1e-5  # degrees: less is nothing to footprints, whose corners have six decimals

# name → column, what it is
_INTERVALS: Final = {
    "FOV": ("s_fov", "deg", "Field of view."),
    "SPATRES": ("s_resolution", "arcsec", "Resolution on the sky."),
    "SPECRP": ("em_res_power", "", "Resolving power."),
    "EXPTIME": ("t_exptime", "s", "Length of the exposure."),
    "TIMERES": ("t_resolution", "s", "Resolution in time."),
}
_WORDS_OF: Final = {
    "COLLECTION": ("obs_collection", "Survey of alerts, or collection of images."),
    "FACILITY": ("facility_name", "Observatory."),
    "INSTRUMENT": ("instrument_name", "Instrument."),
    "TARGET": ("target_name", "Id of the object of an alert."),
    "FORMAT": ("access_format", "MIME type."),
}
PARAMETERS: Final = (
    InputParameter("POS", "CIRCLE lon lat r, RANGE lon1 lon2 lat1 lat2 or POLYGON lon lat … (ICRS, degrees).",
                   ucd="pos.outline;obs"),
    InputParameter("BAND", "Wavelength, or two.", "double", "2", "interval", "m", "em.wl"),
    InputParameter("TIME", "MJD in UTC, or two.", "double", "2", "interval", "d", "time.interval;obs.exposure"),
    InputParameter("POL", "Polarization state."),
    *(InputParameter(name, text, "double", "2", "interval", unit) for name, (_, unit, text) in _INTERVALS.items()),
    InputParameter("ID", "Publisher DID.", ucd="meta.ref.ivoid"),
    *(InputParameter(name, text) for name, (_, text) in _WORDS_OF.items()),
    InputParameter("DPTYPE", "image or cube."),
    InputParameter("CALIB", "Level of calibration, 0 to 4.", "int", ""),
    InputParameter("MAXREC", "Rows at most.", "int", ""),
    InputParameter("RESPONSEFORMAT", "As for TAP; VOTable without it."),
)  # fmt: skip
SIA2: Final = Mode(
    "ivo://ivoa.net/std/SIA#query-2.0",
    "/sia2/query",
    "Survey images, and the stamps of alerts, by place, band, time and more.",
    ("GET", "POST"),
    ("application/x-votable+xml",),
    PARAMETERS,
    version="2.0",
)


def conditions(parameters: Parameters, authority: str) -> list[str]:
    """Return what a request's parameters ask of `ivoa.obscore`, in ADQL.

    Raises
    ------
    BadParameter
        A value has not the form of its parameter.
    """
    makers: dict[str, Callable[[str], str]] = {
        "POS": _place,
        "BAND": lambda value: _overlap("BAND", value, "em_min", "em_max"),
        "TIME": lambda value: _overlap("TIME", value, "t_min", "t_max"),
        "POL": _polarization,
        "ID": lambda value: _identifier(value, authority),
        "DPTYPE": _product,
        "CALIB": _calibration,
    }
    for name, (column, *_) in _INTERVALS.items():
        makers[name] = functools.partial(_within, name, column)
    for name, (column, _) in _WORDS_OF.items():
        makers[name] = functools.partial(_equal, name, column)
    found = []
    for name, maker in makers.items():
        values = [value.strip() for value in parameters.get(name.lower(), ()) if value.strip()]
        if len(values) > _MOST_VALUES:
            raise BadParameter(f"{name} has {len(values)} values.", f"At most {_MOST_VALUES} are taken.")
        if values:
            made = list(dict.fromkeys(maker(value) for value in values))
            found.append(made[0] if len(made) == 1 else "(" + " OR ".join(f"({one})" for one in made) + ")")
    return found


def _checked(name: str, value: str) -> str:
    if len(value) > _WORDS or not value.isprintable():
        raise BadParameter(f"{name}={clip(value)!r} is no value.", "Send plain text.")
    return value


def _numbers(name: str, words: Sequence[str], *, infinite: bool = False) -> list[float]:
    found = []
    for word in words:
        try:
            number = float(word)
        except ValueError:
            number = math.nan
        if math.isnan(number) or (math.isinf(number) and not infinite):
            raise BadParameter(
                f"{clip(word)!r} in {name} is not a number.", "Numbers are decimal, as 12.5 or 1e-7."
            )
        found.append(number)
    return found


def _interval(name: str, value: str) -> tuple[float, float]:
    numbers = _numbers(name, _checked(name, value).split(), infinite=True)
    if len(numbers) not in (1, 2) or numbers[0] > numbers[-1]:
        raise BadParameter(
            f"{name}={clip(value)!r} is no interval.",
            "Send one number, or two, the lower one first; -Inf and +Inf too.",
        )
    return numbers[0], numbers[-1]


def _overlap(name: str, value: str, low_column: str, high_column: str) -> str:
    low, high = _interval(name, value)
    parts = [f"{low_column} <= {high!r}"] if math.isfinite(high) else []
    parts += [f"{high_column} >= {low!r}"] if math.isfinite(low) else []
    if low == math.inf or high == -math.inf:
        return "1 = 0"
    return " AND ".join(parts) or f"{low_column} IS NOT NULL AND {high_column} IS NOT NULL"


def _within(name: str, column: str, value: str) -> str:
    return _overlap(name, value, column, column)


def _equal(name: str, column: str, value: str) -> str:
    return f"{column} = {literal(_checked(name, value))}"


def _place(value: str) -> str:
    shape, *words = _checked("POS", value).split() or [""]
    form = (
        "Write CIRCLE lon lat radius, RANGE lon1 lon2 lat1 lat2, or POLYGON lon1 lat1 lon2 lat2 lon3 lat3 …"
    )
    kind = shape.upper()
    numbers = _numbers("POS", words, infinite=kind == "RANGE")
    if kind == "RANGE" and len(numbers) == 4:
        return _range(numbers)
    if kind == "CIRCLE" and len(numbers) == 3:
        _check_places(numbers[:2])
        if not 0 <= numbers[2] <= 180:
            raise BadParameter(f"The radius {numbers[2]:g} is not from 0 to 180 degrees.", form)
    elif kind == "POLYGON" and len(numbers) >= 6 and len(numbers) % 2 == 0:
        _check_places(numbers)
    else:
        raise BadParameter(f"POS={clip(value)!r} is no region.", form)
    return _meets(kind, *numbers)


def _check_places(numbers: Sequence[float]) -> None:
    for lon, lat in zip(numbers[::2], numbers[1::2], strict=True):
        if not (0 <= lon <= 360 and -90 <= lat <= 90):
            raise BadParameter(
                f"({lon:g}, {lat:g}) is no place.", "Longitudes are from 0 to 360, latitudes from -90 to 90."
            )


def _range(numbers: Sequence[float]) -> str:
    """A range of coordinates, which an image's footprint meets.

    Its parallels are no great circles, so it is no polygon: it is what two circles around the poles have in common with
    sectors between meridians, which are polygons exactly. A footprint is small and in one piece: where it meets all of
    these it meets the range, but for one that lies aslant at a corner. The circle around the range is for the index.
    """
    west, width, south, north = _checked_range(numbers)
    parts = [
        _meets("CIRCLE", 0.0, pole, 90 - limit)
        for pole, limit in ((90.0, south), (-90.0, -north))
        if limit > -90
    ]
    if width < 360:
        if width <= 180:
            parts.append(_meets("CIRCLE", *_around(west, width, south, north)))
        west, width = (west, width) if width > _THIN else (west - _THIN / 2, _THIN)
        pieces = math.ceil(width / 90)
        edges = [(west + width * piece / pieces) % 360 for piece in range(pieces + 1)]
        poles = [pole for pole, inside in ((90.0, north >= 0), (-90.0, south <= 0)) if inside]
        sectors = [
            _meets("POLYGON", left, 0.0, right, 0.0, 0.0, pole)
            for left, right in itertools.pairwise(edges)
            for pole in poles
        ]
        parts.append(f"({' OR '.join(sectors)})")
    return " AND ".join(parts) or "s_ra IS NOT NULL AND s_dec IS NOT NULL"


def _meets(shape: str, *numbers: float) -> str:
    return f"1 = INTERSECTS(s_region, {shape}({', '.join(map(repr, numbers))}))"


def _checked_range(numbers: Sequence[float]) -> tuple[float, float, float, float]:
    """Return the range's western edge, its width, and its latitudes; it may cross 0, as SODA's may."""
    lon1, lon2, lat1, lat2 = numbers
    if math.inf in (lon1, lat1) or -math.inf in (lon2, lat2):
        raise BadParameter("POS=RANGE begins at +Inf or ends at -Inf.", "Swap them.")
    west, east = max(lon1, 0.0) if math.isinf(lon1) else lon1, min(lon2, 360.0) if math.isinf(lon2) else lon2
    south, north = (
        max(lat1, -90.0) if math.isinf(lat1) else lat1,
        min(lat2, 90.0) if math.isinf(lat2) else lat2,
    )
    _check_places((west, south, east, north))
    if south > north:
        raise BadParameter("POS=RANGE has its southern end north of the other.", "Swap the latitudes.")
    return west, east - west if west <= east else east - west + 360, south, north


def _around(west: float, width: float, south: float, north: float) -> tuple[float, float, float]:
    """Return longitude, latitude and radius of a circle that holds a range of up to 180 degrees' width.

    No place of it is farther from its middle than its corners.
    """
    middle, half = math.radians((south + north) / 2), math.radians(width / 2)
    cosines = (
        math.sin(lat) * math.sin(middle) + math.cos(lat) * math.cos(middle) * math.cos(half)
        for lat in map(math.radians, (south, north))
    )
    # a cosine near 1 says nothing of angles below an arcsecond or so
    radius = min(180.0, math.degrees(math.acos(max(-1.0, min(cosines)))) + _THIN)
    return (west + width / 2) % 360, (south + north) / 2, radius


def _polarization(value: str) -> str:
    if not (value.isascii() and value.isalpha() and len(value) <= 8):
        raise BadParameter(
            f"POL={clip(value)!r} is no polarization state.", "States are I, Q, U, V, RR, LL, XX, …"
        )
    return f"pol_states LIKE '%/{value.upper()}/%'"


def _identifier(value: str, authority: str) -> str:
    try:
        found = publisher_did(authority, parse_did(_checked("ID", value), authority, STAMP_KINDS))
    except (BadParameter, NotInLake):
        found = value  # somebody else's, which no row has; that is no error of the request
    return f"obs_publisher_did = {literal(found)}"


def _product(value: str) -> str:
    if value not in ("image", "cube"):
        raise BadParameter(f"DPTYPE={clip(value)!r} is not known.", "It is image or cube.")
    return f"dataproduct_type = '{value}'"


def _calibration(value: str) -> str:
    if value not in ("0", "1", "2", "3", "4"):
        raise BadParameter(f"CALIB={clip(value)!r} is no level.", "Levels are 0 to 4.")
    return f"calib_level = {value}"


def _this(base_url: str) -> str:
    inputs = [
        Input(one.name, one.description, "", "", one.datatype, one.arraysize, one.xtype, one.unit, one.ucd)
        for one in PARAMETERS
    ]
    return service_descriptor(
        SIA2.description, f"{base_url}{SIA2.path}", inputs, standard=SIA2.standard, name="this", this=True
    )


class ImagesHandler(QueryHandler):
    """``/sia2/query``, by GET and POST."""

    def fault_text(self, fault: Fault) -> str:
        """Return the text of an error as SIA 2.0 (3.2) wants it."""
        text = fault_text(fault)
        return text.replace("NotFoundFault", "UsageFault")

    async def get(self) -> None:
        """Answer with the rows."""
        parameters = Parameters.of(self.request)
        base = self.base_url()
        form, content_type = format_of(
            Parameters(
                [("RESPONSEFORMAT", value) for value in parameters.get("responseformat", ()) if value.strip()]
            )
        )
        where = conditions(parameters, self.service.settings.authority)
        await self.answer(
            Query(
                "SELECT * FROM ivoa.obscore" + (f" WHERE {' AND '.join(where)}" if where else ""),  # noqa: S608 - ADQL can only read
                form,
                content_type,
                maxrec_of(parameters),
                infos=(Info("standardID", SIA2.standard),),
                descriptors=(
                    links_of_did(base, "obs_publisher_did"),
                    soda_descriptor(base, soda_inputs("obs_publisher_did")),
                    _this(base),
                ),
                base_url=base,
                run_id=parameters.run_id(),
                links=False,  # they are among the descriptors
            )
        )

    head = get
    post = get
