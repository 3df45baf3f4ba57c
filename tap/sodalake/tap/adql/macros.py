"""What DuckDB must know to run our SQL: functions of ADQL as macros, and those that are no SQL in numpy.

A function beyond its domain is NULL; a latitude beyond a pole, or a radius outside 0 to 180, makes a NULL of a geometry.
Arguments stand once in each macro wherever they can, since RAND() in them is computed as often as they stand.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import duckdb

from . import arrays

__all__ = ["install"]

_NAN: Final = "CAST('NaN' AS DOUBLE)"
_FLAT: Final = "radians(CAST(lat1 AS DOUBLE))", "radians(CAST(lat2 AS DOUBLE))", "radians(lon2 - lon1)"
_ONE, _TWO, _TURN = _FLAT
# Vincenty's formula, as the lake's; DuckDB computes each of the six sines and cosines once: 0.1 µs a row (the
# haversine, 0.13). The last term is there to be NULL: a CASE around it all would keep DuckDB from that.
_SEPARATION: Final = f"""
    degrees(atan2(
        sqrt(
            pow(cos({_TWO}) * sin({_TURN}), 2)
            + pow(cos({_ONE}) * sin({_TWO}) - sin({_ONE}) * cos({_TWO}) * cos({_TURN}), 2)
        ),
        sin({_ONE}) * sin({_TWO}) + cos({_ONE}) * cos({_TWO}) * cos({_TURN})
    )) + CASE WHEN abs(lat1) <= 90 AND abs(lat2) <= 90 THEN 0e0 END
"""
_JD: Final = 2440587.5  # of 1970-01-01T00:00:00
_MJD: Final = 40587

_MACROS: Final[Mapping[str, str]] = {
    "abs": "(x) AS abs(x)",
    "pi": "() AS pi()",
    "rand": "() AS random(), (seed) AS random() + 0 * (CAST(seed IS NULL AS INTEGER))",
    "degrees": "(x) AS degrees(CAST(x AS DOUBLE))",
    "radians": "(x) AS radians(CAST(x AS DOUBLE))",
    "exp": "(x) AS exp(CAST(x AS DOUBLE))",
    "log": "(x) AS ln(nullif(greatest(CAST(x AS DOUBLE), 0e0), 0e0))",
    "log10": "(x) AS log10(nullif(greatest(CAST(x AS DOUBLE), 0e0), 0e0))",
    "sqrt": f"(x) AS nullif(sqrt(CAST(x AS DOUBLE)), {_NAN})",
    "power": f"(x, y) AS nullif(pow(CAST(x AS DOUBLE), CAST(y AS DOUBLE)), {_NAN})",
    "acos": f"(x) AS nullif(acos(CAST(x AS DOUBLE)), {_NAN})",
    "asin": f"(x) AS nullif(asin(CAST(x AS DOUBLE)), {_NAN})",
    "atan": "(x) AS atan(CAST(x AS DOUBLE))",
    "atan2": "(y, x) AS atan2(CAST(y AS DOUBLE), CAST(x AS DOUBLE))",
    "sin": "(x) AS sin(CAST(x AS DOUBLE))",
    "cos": "(x) AS cos(CAST(x AS DOUBLE))",
    "tan": "(x) AS tan(CAST(x AS DOUBLE))",
    "cot": "(x) AS 1e0 / nullif(tan(CAST(x AS DOUBLE)), 0e0)",
    "ceiling": "(x) AS ceil(CAST(x AS DOUBLE))",
    "floor": "(x) AS floor(CAST(x AS DOUBLE))",
    "round": "(x) AS round(CAST(x AS DOUBLE)), (x, n) AS round(CAST(x AS DOUBLE), CAST(n AS INTEGER))",
    "truncate": "(x) AS trunc(CAST(x AS DOUBLE)), (x, n) AS trunc(CAST(x AS DOUBLE), CAST(n AS INTEGER))",
    "mod": f"(x, y) AS nullif(x % nullif(y, 0), {_NAN})",
    "lower": "(x) AS lower(x)",
    "upper": "(x) AS upper(x)",
    "cut": "(x, n) AS left(x, n)",
    "timestamp_text": "(x) AS strftime(x, '%Y-%m-%dT%H:%M:%S.%f')",
    "separation": f"(lon1, lat1, lon2, lat2) AS {_SEPARATION}",
    "within": f"(lon1, lat1, lon2, lat2, r) AS ({_SEPARATION}) <= CASE WHEN r BETWEEN 0 AND 180 THEN r END",
    "turned": "(lon) AS lon - CASE WHEN lon BETWEEN 0 AND 360 THEN 0 ELSE 360 * floor(lon / 360) END",
    "point": """(lon, lat) AS CASE WHEN isfinite(CAST(lon AS DOUBLE)) AND abs(lat) <= 90
        THEN [adql_turned(CAST(lon AS DOUBLE)), CAST(lat AS DOUBLE)] END""",
    "circle": """(lon, lat, r) AS CASE WHEN isfinite(CAST(lon AS DOUBLE)) AND abs(lat) <= 90 AND r BETWEEN 0 AND 180
        THEN [adql_turned(CAST(lon AS DOUBLE)), CAST(lat AS DOUBLE), CAST(r AS DOUBLE)] END,
        (p, r) AS CASE WHEN p IS NOT NULL AND r BETWEEN 0 AND 180 THEN [p[1], p[2], CAST(r AS DOUBLE)] END""",
    "polygon": "(numbers) AS CASE WHEN list_count(numbers) = len(numbers) THEN numbers END",
    "coord1": "(p) AS (p)[1]",
    "coord2": "(p) AS (p)[2]",
    "text_point": "(x) AS adql_text_numbers(x, 2)",
    "text_circle": "(x) AS adql_text_numbers(x, 3)",
    "text_polygon": "(x) AS adql_text_numbers(x, 0)",
    "ivo_healpix_index": """(norder, lon, lat) AS adql_cell(CAST(norder AS BIGINT), CAST(lon AS DOUBLE), CAST(lat AS DOUBLE)),
        (norder, p) AS adql_cell(CAST(norder AS BIGINT), (p)[1], (p)[2])""",
    "ivo_healpix_center": "(norder, cell) AS adql_cell_centre(CAST(norder AS BIGINT), CAST(cell AS BIGINT))",
    "ivo_hasword": "(haystack, needle) AS adql_has_words(haystack, needle)",
    "ivo_hashlist_has": """(hashlist, item) AS CAST(NOT contains(item, '#')
        AND contains('#' || lower(hashlist) || '#', '#' || lower(item) || '#') AS INTEGER)""",
    "ivo_nocasematch": "(x, pattern) AS CAST(x ILIKE pattern AS INTEGER)",
    "ivo_to_jd": f"(x) AS epoch_us(x) / 86400e6 + {_JD}e0",
    "ivo_to_mjd": f"(x) AS epoch_us(x) / 86400e6 + {_MJD}e0",
    "ivo_interval_overlaps": "(a1, b1, a2, b2) AS CAST(a1 <= b1 AND a2 <= b2 AND a1 <= b2 AND a2 <= b1 AS INTEGER)",
    "ivo_normal_random": """(mu, sigma) AS CAST(mu AS DOUBLE)
        + sigma * sqrt(-2 * ln(1e0 - random())) * cos(2 * pi() * random())""",
    "ivo_epoch_prop_pos": """(ra, dec, pmra, pmdec, since, til) AS adql_moved(CAST(ra AS DOUBLE), CAST(dec AS DOUBLE), 0e0,
        CAST(pmra AS DOUBLE), CAST(pmdec AS DOUBLE), 0e0, CAST(til AS DOUBLE) - since),
        (ra, dec, parallax, pmra, pmdec, velocity, since, til) AS adql_moved(CAST(ra AS DOUBLE), CAST(dec AS DOUBLE),
        coalesce(CAST(parallax AS DOUBLE), 0e0), CAST(pmra AS DOUBLE), CAST(pmdec AS DOUBLE),
        coalesce(CAST(velocity AS DOUBLE), 0e0), CAST(til AS DOUBLE) - since)""",
    "ivo_histogram": """(numbers, low, high, bins) AS list_transform(range(0, bins + 2), lambda bin: len(list_filter(numbers,
        lambda x: bin = CASE WHEN x < low THEN 0 WHEN x >= high THEN bins + 1
        ELSE 1 + least(bins - 1, CAST(floor((x - low) * bins / (high - low)) AS BIGINT)) END)))""",
    "ivo_hms_to_degrees": "(x) AS 15e0 * adql_sexagesimal(x)",
    "ivo_dms_to_degrees": "(x) AS adql_sexagesimal(x)",
    "installed": "() AS 1",
}
"""Names without ``adql_`` → macros: (arguments) AS expression, perhaps several. Order matters: some use those before."""

_SQL: Final = ";\n".join(f"CREATE OR REPLACE MACRO adql_{name}{macro}" for name, macro in _MACROS.items())


def install(connection: duckdb.DuckDBPyConnection) -> None:
    """Teach a connection's database what SQL of `duckdb_sql` calls; once more does nothing.

    Notes
    -----
    What is taught is the database's: cursors of the connection know it too.
    """
    try:
        connection.execute("SELECT adql_installed()").fetchall()
    except duckdb.CatalogException:
        arrays.register(connection)
        connection.execute(_SQL)
