"""Functions: their names, what they take, what they give, and how they are declared (ADQL 2.1, 2.3 and 4; UDFs).

A signature says what arguments must be: a kind, or ``number``, or ``integer``. What signatures cannot tell (aggregates,
geometry, COALESCE, IN_UNIT) is listed here with the number of arguments only; `calls` and `geometry` check the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["FEATURES", "FUNCTIONS", "NAMES", "Function", "Signature", "UserFunction"]


@dataclass(frozen=True, slots=True)
class Signature:
    """What a function takes, and the kind of what it gives; ``same`` is the kind of its first argument."""

    takes: tuple[str, ...]
    gives: str


@dataclass(frozen=True, slots=True)
class Function:
    """A function of ADQL.

    Attributes
    ----------
    name
        Upper case.
    signatures
        Ways to call it; empty where a module of its own checks the arguments.
    least, most
        Numbers of arguments; `most` is None where there is no end.
    keeps
        Whether the unit of the first argument is the unit of the value.
    aggregate
        Whether it makes one value of many rows.
    """

    name: str
    signatures: tuple[Signature, ...]
    least: int
    most: int | None
    keeps: bool = False
    aggregate: bool = False


@dataclass(frozen=True, slots=True)
class UserFunction:
    """A user defined function as TAPRegExt declares it: `form` is ``name(arg TYPE, …) -> TYPE``."""

    form: str
    description: str


def _function(name: str, *signatures: Signature, keeps: bool = False, aggregate: bool = False) -> Function:
    numbers = [len(signature.takes) for signature in signatures]
    return Function(name, signatures, min(numbers), max(numbers), keeps, aggregate)


def _of(gives: str, *takes: str) -> Signature:
    return Signature(takes, gives)


_N: Final = "number"
_POINT_OF_DOUBLES: Final = _of("point", *(_N,) * 6), _of("point", *(_N,) * 8)

_CHECKED: Final = (
    *(
        _function(name, _of("double", _N))
        for name in [
            "ACOS",
            "ASIN",
            "ATAN",
            "COS",
            "COT",
            "DEGREES",
            "EXP",
            "LOG",
            "LOG10",
            "RADIANS",
            "SIN",
            "SQRT",
            "TAN",
        ]
    ),
    *(_function(name, _of("double", _N), keeps=True) for name in ("CEILING", "FLOOR")),
    *(
        _function(name, _of("double", _N), _of("double", _N, "integer"), keeps=True)
        for name in ("ROUND", "TRUNCATE")
    ),
    *(_function(name, _of("double", _N, _N)) for name in ("ATAN2", "POWER")),
    _function("ABS", _of("same", _N), keeps=True),
    _function("MOD", _of("long", "integer", "integer"), _of("double", _N, _N), keeps=True),
    _function("PI", _of("double")),
    _function("RAND", _of("double"), _of("double", _N)),
    _function("LOWER", _of("text", "text")),
    _function("UPPER", _of("text", "text")),
    _function("IVO_HEALPIX_INDEX", _of("long", "integer", _N, _N), _of("long", "integer", "point")),
    _function("IVO_HEALPIX_CENTER", _of("point", "integer", "integer")),
    _function("IVO_STRING_AGG", _of("text", "text", "text"), aggregate=True),
    _function("IVO_HASWORD", _of("int", "text", "text")),
    _function("IVO_HASHLIST_HAS", _of("int", "text", "text")),
    _function("IVO_NOCASEMATCH", _of("int", "text", "text")),
    _function("IVO_TO_JD", _of("double", "timestamp")),
    _function("IVO_TO_MJD", _of("double", "timestamp")),
    _function("IVO_HISTOGRAM", _of("longs", _N, _N, _N, "integer"), aggregate=True),
    _function("IVO_EPOCH_PROP_POS", *_POINT_OF_DOUBLES),
    _function("IVO_INTERVAL_OVERLAPS", _of("int", _N, _N, _N, _N)),
    _function("IVO_NORMAL_RANDOM", _of("double", _N, _N)),
    _function(
        "IVO_GEOM_TRANSFORM", *(_of(kind, "text", "text", kind) for kind in ("point", "circle", "polygon"))
    ),
    _function("IVO_HMS_TO_DEGREES", _of("double", "text")),
    _function("IVO_DMS_TO_DEGREES", _of("double", "text")),
)
_APART: Final = (
    *(Function(name, (), 1, 1, aggregate=True) for name in ("AVG", "COUNT", "MAX", "MIN", "SUM")),
    Function("COALESCE", (), 1, None),
    Function("IN_UNIT", (), 2, 2),
    Function("AREA", (), 1, 1),
    Function("BOX", (), 3, 5),
    Function("CENTROID", (), 1, 1),
    Function("CIRCLE", (), 2, 4),
    Function("CONTAINS", (), 2, 2),
    Function("COORD1", (), 1, 1),
    Function("COORD2", (), 1, 1),
    Function("COORDSYS", (), 1, 1),
    Function("DISTANCE", (), 2, 4),
    Function("INTERSECTS", (), 2, 2),
    Function("POINT", (), 2, 3),
    Function("POLYGON", (), 3, None),
    Function("REGION", (), 1, 1),
)

NAMES: Final[Mapping[str, Function]] = {function.name: function for function in (*_CHECKED, *_APART)}
"""Every function there is, CAST excepted (it has a syntax of its own), by its name in upper case."""

_GEOMETRY: Final = """
    AREA BOX CENTROID CIRCLE CONTAINS COORD1 COORD2 COORDSYS DISTANCE INTERSECTS POINT POLYGON REGION
"""

FEATURES: Final[Mapping[str, tuple[str, ...]]] = {
    "ivo://ivoa.net/std/tapregext#features-adqlgeo": tuple(_GEOMETRY.split()),
    "ivo://ivoa.net/std/tapregext#features-adql-string": ("LOWER", "UPPER", "ILIKE"),
    "ivo://ivoa.net/std/tapregext#features-adql-common-table": ("WITH",),
    "ivo://ivoa.net/std/tapregext#features-adql-sets": ("UNION", "EXCEPT", "INTERSECT"),
    "ivo://ivoa.net/std/tapregext#features-adql-type": ("CAST",),
    "ivo://ivoa.net/std/tapregext#features-adql-conditional": ("COALESCE",),
    "ivo://ivoa.net/std/tapregext#features-adql-unit": ("IN_UNIT",),
    "ivo://ivoa.net/std/tapregext#features-adql-offset": ("OFFSET",),
}
"""Optional features of ADQL 2.1 that are there: type of the group, in lower case as in 4.1 → forms."""

FUNCTIONS: Final = (
    UserFunction(
        "ivo_healpix_index(hpxOrder INTEGER, long DOUBLE PRECISION, lat DOUBLE PRECISION) -> BIGINT",
        "The number of the HEALPix cell of an order (0 to 29, NESTED) that holds a position given in degrees.",
    ),
    UserFunction(
        "ivo_healpix_index(hpxOrder INTEGER, p POINT) -> BIGINT",
        "The number of the HEALPix cell of an order (0 to 29, NESTED) that holds a point.",
    ),
    UserFunction(
        "ivo_healpix_center(hpxOrder INTEGER, hpxIndex BIGINT) -> POINT",
        "The centre of a HEALPix cell of an order (0 to 29, NESTED).",
    ),
    UserFunction(
        "ivo_string_agg(expression VARCHAR, delimiter VARCHAR) -> VARCHAR",
        "An aggregate: all values that are not NULL, sorted, with the delimiter between them.",
    ),
    UserFunction(
        "ivo_hasword(haystack VARCHAR, needle VARCHAR) -> INTEGER",
        "1 if every word of the needle is a word of the haystack, else 0; case does not matter.",
    ),
    UserFunction(
        "ivo_hashlist_has(hashlist VARCHAR, item VARCHAR) -> INTEGER",
        "1 if the item is in a list of words joined by #, else 0; case does not matter.",
    ),
    UserFunction(
        "ivo_nocasematch(value VARCHAR, pattern VARCHAR) -> INTEGER",
        "1 if value ILIKE pattern, else 0.",
    ),
    UserFunction(
        "ivo_to_jd(d TIMESTAMP) -> DOUBLE PRECISION", "The Julian date of a timestamp, of its own scale."
    ),
    UserFunction(
        "ivo_to_mjd(d TIMESTAMP) -> DOUBLE PRECISION",
        "The modified Julian date (JD - 2400000.5) of a timestamp, of its own scale.",
    ),
    UserFunction(
        "ivo_histogram(val DOUBLE PRECISION, lower DOUBLE PRECISION, upper DOUBLE PRECISION, nbins INTEGER) "
        "-> BIGINT[]",
        "An aggregate: how many values are below lower, in each of nbins equal bins, and at or above upper. "
        "The last three arguments must be literals.",
    ),
    UserFunction(
        "ivo_epoch_prop_pos(ra DOUBLE PRECISION, dec DOUBLE PRECISION, parallax DOUBLE PRECISION, "
        "pmra DOUBLE PRECISION, pmdec DOUBLE PRECISION, radial_velocity DOUBLE PRECISION, "
        "ref_epoch DOUBLE PRECISION, out_epoch DOUBLE PRECISION) -> POINT",
        "Where a star is at another epoch (Julian years), by the standard model of stellar motion: degrees, mas, "
        "mas/yr (pmra with cos dec), km/s. A parallax or velocity of NULL counts as 0.",
    ),
    UserFunction(
        "ivo_epoch_prop_pos(ra DOUBLE PRECISION, dec DOUBLE PRECISION, pmra DOUBLE PRECISION, pmdec DOUBLE PRECISION, "
        "ref_epoch DOUBLE PRECISION, out_epoch DOUBLE PRECISION) -> POINT",
        "The same without parallax and radial velocity.",
    ),
    UserFunction(
        "ivo_interval_overlaps(a1 DOUBLE PRECISION, b1 DOUBLE PRECISION, a2 DOUBLE PRECISION, b2 DOUBLE PRECISION) "
        "-> INTEGER",
        "1 if the intervals a1 to b1 and a2 to b2 have a value in common, else 0.",
    ),
    UserFunction(
        "ivo_normal_random(mu DOUBLE PRECISION, sigma DOUBLE PRECISION) -> DOUBLE PRECISION",
        "A random number, normally distributed.",
    ),
    UserFunction(
        "ivo_geom_transform(from_sys VARCHAR, to_sys VARCHAR, geo POINT) -> POINT",
        "A POINT, CIRCLE or POLYGON in another system: ICRS, FK5, FK4, GALACTIC, SUPERGALACTIC or ECLIPTIC, "
        "as literals.",
    ),
    UserFunction(
        "ivo_hms_to_degrees(hms VARCHAR) -> DOUBLE PRECISION", "Hours, minutes, seconds as degrees."
    ),
    UserFunction(
        "ivo_dms_to_degrees(dms VARCHAR) -> DOUBLE PRECISION", "Degrees, minutes, seconds as degrees."
    ),
)
"""User defined functions, as TAPRegExt declares them (group ``features-udf``)."""
