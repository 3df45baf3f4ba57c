"""Functions of ADQL in DuckDB's SQL: as text where each argument stands once, as macros where one stands more often.

A function beyond its domain is NULL; a latitude beyond a pole, or a radius outside 0 to 180, makes a geometry NULL.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["FORMULAS", "MACROS"]

_NAN: Final = "CAST('NaN' AS DOUBLE)"
_X: Final = "CAST({0} AS DOUBLE)"
_Y: Final = "CAST({1} AS DOUBLE)"
# No number has digits beyond these, and what rounds takes an INTEGER only.
_DIGITS: Final = "CAST(CASE WHEN ({1}) > 400 THEN 400 WHEN ({1}) < -400 THEN -400 ELSE ({1}) END AS INTEGER)"
_UP: Final = repr(1 + 2**-51)
"""Two steps above 1: 0.29 * 100 is 28.999999999999996, and TRUNCATE(0.29, 2) shall be 0.29."""
_JD: Final = "2440587.5e0"  # of 1970-01-01T00:00:00
_MJD: Final = "40587e0"

FORMULAS: Final[Mapping[tuple[str, int], str]] = {
    ("ABS", 1): "abs({0})",
    ("ACOS", 1): f"nullif(acos({_X}), {_NAN})",
    ("ASIN", 1): f"nullif(asin({_X}), {_NAN})",
    ("ATAN", 1): f"atan({_X})",
    ("ATAN2", 2): f"atan2({_X}, {_Y})",
    ("CEILING", 1): f"ceil({_X})",
    ("COORD1", 1): "({0})[1]",
    ("COORD2", 1): "({0})[2]",
    ("COS", 1): f"cos({_X})",
    ("COT", 1): f"(1e0 / nullif(tan({_X}), 0e0))",
    ("CUT", 2): "left({0}, {1})",
    ("DEGREES", 1): f"degrees({_X})",
    ("EXP", 1): f"exp({_X})",
    ("FLOOR", 1): f"floor({_X})",
    ("IVO_DMS_TO_DEGREES", 1): "adql_sexagesimal({0})",
    ("IVO_HASWORD", 2): "adql_has_words({0}, {1})",
    ("IVO_HEALPIX_CENTER", 2): "adql_cell_centre(CAST({0} AS BIGINT), CAST({1} AS BIGINT))",
    ("IVO_HEALPIX_INDEX", 2): "adql_cell_of_point(CAST({0} AS BIGINT), {1})",
    ("IVO_HEALPIX_INDEX", 3): f"adql_cell(CAST({{0}} AS BIGINT), {_Y}, CAST({{2}} AS DOUBLE))",
    ("IVO_HMS_TO_DEGREES", 1): "(15e0 * adql_sexagesimal({0}))",
    ("IVO_NOCASEMATCH", 2): "CAST(({0}) ILIKE ({1}) AS INTEGER)",
    ("IVO_NORMAL_RANDOM", 2): f"({_X} + {_Y} * sqrt(-2e0 * ln(1e0 - random())) * cos(2 * pi() * random()))",
    ("IVO_TO_JD", 1): f"(epoch_us({{0}}) / 86400e6 + {_JD})",
    ("IVO_TO_MJD", 1): f"(epoch_us({{0}}) / 86400e6 + {_MJD})",
    (
        "LOG",
        1,
    ): f"ln(nullif(greatest({_X}, 0e0), 0e0))",  # greatest leaves NULLs out: they become 0, and NULL again
    ("LOG10", 1): f"log10(nullif(greatest({_X}, 0e0), 0e0))",
    ("LOWER", 1): "lower({0})",
    ("MOD", 2): f"nullif(({{0}}) % nullif({{1}}, 0), {_NAN})",
    ("PI", 0): "pi()",
    ("POWER", 2): f"nullif(pow({_X}, {_Y}), {_NAN})",
    ("RADIANS", 1): f"radians({_X})",
    ("RAND", 0): "random()",
    ("RAND", 1): "random()",  # what the argument means is undefined (2.3)
    ("ROUND", 1): f"round({_X})",
    ("ROUND", 2): f"round({_X}, {_DIGITS})",
    ("SHAPE", 1): "adql_shape({0})",
    ("SIN", 1): f"sin({_X})",
    ("SQRT", 1): f"nullif(sqrt({_X}), {_NAN})",
    ("TAN", 1): f"tan({_X})",
    ("TEXT_CIRCLE", 1): "adql_text_numbers({0}, 3)",
    ("TEXT_POINT", 1): "adql_text_numbers({0}, 2)",
    ("TEXT_POLYGON", 1): "adql_text_numbers({0}, 0)",
    ("TIMESTAMP_TEXT", 1): "strftime({0}, '%Y-%m-%dT%H:%M:%S.%f')",
    ("TRUNCATE", 1): f"trunc({_X})",
    ("TRUNCATE", 2): f"trunc({_X} * {_UP}, {_DIGITS})",
    ("UPPER", 1): "upper({0})",
}
"""Name and number of arguments → SQL, its arguments as {0}, {1}, …"""

_ONE: Final = "radians(CAST(lat1 AS DOUBLE))"
_TWO: Final = "radians(CAST(lat2 AS DOUBLE))"
_TURN: Final = "radians(CAST(lon2 AS DOUBLE) - lon1)"
# Vincenty's formula, as the lake's. DuckDB computes each of the six sines and cosines once: 0.10 µs a row (the
# haversine: 0.13). The last term is there to be NULL: a CASE around it all would keep DuckDB from that.
_SEPARATION: Final = f"""(
    degrees(atan2(
        sqrt(
            pow(cos({_TWO}) * sin({_TURN}), 2)
            + pow(cos({_ONE}) * sin({_TWO}) - sin({_ONE}) * cos({_TWO}) * cos({_TURN}), 2)
        ),
        sin({_ONE}) * sin({_TWO}) + cos({_ONE}) * cos({_TWO}) * cos({_TURN})
    )) + CASE WHEN abs(lat1) <= 90 AND abs(lat2) <= 90 THEN 0e0 END
)"""
_PLACE: Final = "isfinite(CAST(lon AS DOUBLE)) AND abs(lat) <= 90"
_LON: Final = "CAST(lon AS DOUBLE) - CASE WHEN lon BETWEEN 0 AND 360 THEN 0 ELSE 360 * floor(lon / 360) END"
_WITHIN: Final = "BETWEEN 0 AND 180"
_BIN: Final = "1 + least(bins - 1, CAST(floor((x - low) * bins / (CAST(high AS DOUBLE) - low)) AS BIGINT))"
_PROPAGATED: Final = """adql_moved(CAST(ra AS DOUBLE), CAST(dec AS DOUBLE), {}, CAST(pmra AS DOUBLE),
    CAST(pmdec AS DOUBLE), {}, CAST(til AS DOUBLE) - since)"""

MACROS: Final[Mapping[str, str]] = {
    "separation": f"(lon1, lat1, lon2, lat2) AS {_SEPARATION}",
    "within": f"(lon1, lat1, lon2, lat2, r) AS {_SEPARATION} <= CASE WHEN r {_WITHIN} THEN r END",
    "point": f"(lon, lat) AS CASE WHEN {_PLACE} THEN [{_LON}, CAST(lat AS DOUBLE)] END",
    "circle": f"""(lon, lat, r) AS CASE WHEN {_PLACE} AND r {_WITHIN}
        THEN [{_LON}, CAST(lat AS DOUBLE), CAST(r AS DOUBLE)] END,
        (p, r) AS CASE WHEN p IS NOT NULL AND r {_WITHIN} THEN [p[1], p[2], CAST(r AS DOUBLE)] END""",
    "polygon": "(numbers) AS CASE WHEN list_count(numbers) = len(numbers) THEN numbers END",
    "cell_of_point": "(norder, p) AS adql_cell(norder, p[1], p[2])",
    "ivo_epoch_prop_pos": f"""(ra, dec, pmra, pmdec, since, til) AS {_PROPAGATED.format("0e0", "0e0")},
        (ra, dec, parallax, pmra, pmdec, velocity, since, til) AS {
        _PROPAGATED.format(
            "coalesce(CAST(parallax AS DOUBLE), 0e0)", "coalesce(CAST(velocity AS DOUBLE), 0e0)"
        )
    }""",
    "ivo_hashlist_has": """(hashlist, item) AS CAST(NOT contains(item, '#')
        AND contains('#' || lower(hashlist) || '#', '#' || lower(item) || '#') AS INTEGER)""",
    "ivo_histogram": f"""(numbers, low, high, bins) AS list_transform(range(0, bins + 2), lambda bin:
        len(list_filter(numbers, lambda x:
        bin = CASE WHEN x IS NULL THEN -1 WHEN x < low THEN 0 WHEN x >= high THEN bins + 1 ELSE {_BIN} END)))""",
    "ivo_interval_overlaps": "(a1, b1, a2, b2) AS CAST(a1 <= b1 AND a2 <= b2 AND a1 <= b2 AND a2 <= b1 AS INTEGER)",
    "installed": "() AS 1",
}
"""Name without ``adql_`` → what it is: (arguments) AS expression, perhaps several."""
