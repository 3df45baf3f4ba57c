"""What those mean who write SQL of another kind."""

from __future__ import annotations

from typing import Final

__all__ = ["CHARACTERS", "FOREIGN", "FUNCTIONS", "WORDS"]

CHARACTERS: Final = {
    "%": "The remainder is MOD(x, y).",
    "[": "Names that need quotes stand in double quotes.",
    "]": "Names that need quotes stand in double quotes.",
    "`": "Names that need quotes stand in double quotes.",
    ":": "Types are changed by CAST(x AS type); there are no parameters.",
    "?": "There are no parameters: write the value.",
    "@": "There are no parameters: write the value.",
    "$": "There are no parameters: write the value.",
    "!": "Not equal is written <> or !=.",
    "&": "Conditions are joined by AND and OR; there are no operations on bits.",
    "|": "Texts are joined by ||; there are no operations on bits.",
    "~": "Texts are compared by LIKE and ILIKE.",
    "^": "Powers are POWER(x, y).",
    "#": "A comment begins with two hyphens.",
    "{": "Dates are texts: '2026-11-21T12:00:00'.",
}
"""Characters of other dialects → what to write instead."""

WORDS: Final = {
    "BOOLEAN": "ADQL has no booleans: use 1 and 0.",
    "CASE": "ADQL has no CASE: select rows by WHERE, or replace NULL by COALESCE.",
    "CONVERT": "Types are changed by CAST(x AS type).",
    "CREATE": "Only queries are answered: SELECT.",
    "CROSS": "Write a comma between the tables, or JOIN … ON.",
    "CURRENT_TIMESTAMP": "Write the time as a text: '2026-11-21T12:00:00'.",
    "DELETE": "Only queries are answered: SELECT.",
    "DROP": "Only queries are answered: SELECT.",
    "ESCAPE": "LIKE has no ESCAPE in ADQL.",
    "EXTRACT": "Times are compared as a whole.",
    "FALSE": "ADQL has no booleans: use 1 and 0.",
    "FETCH": "ADQL has no FETCH: write SELECT TOP n.",
    "FLOAT": "Write REAL or DOUBLE PRECISION.",
    "INSERT": "Only queries are answered: SELECT.",
    "INT": "Write INTEGER.",
    "INTO": "Only queries are answered; send tables by UPLOAD.",
    "NUMERIC": "Write DOUBLE PRECISION or INTEGER.",
    "DECIMAL": "Write DOUBLE PRECISION or INTEGER.",
    "SUBSTRING": "ADQL takes texts not apart: use LIKE.",
    "TRUE": "ADQL has no booleans: use 1 and 0.",
    "UPDATE": "Only queries are answered: SELECT.",
    "VALUES": "Rows come from tables: send your own by UPLOAD.",
}
"""Reserved words → what to write instead."""

FOREIGN: Final = {
    "LIMIT": "ADQL has no LIMIT: write SELECT TOP {0}.",
    "OVER": "ADQL has no window functions: use GROUP BY and a join.",
    "LATERAL": "ADQL has no LATERAL: join on a condition.",
    "QUALIFY": "ADQL has no QUALIFY: use a subquery.",
    "RECURSIVE": "WITH is not recursive in ADQL.",
}
"""Keywords of other dialects, names in ADQL → what to write instead; {0} is the word behind."""

FUNCTIONS: Final = {
    "CEIL": "CEILING",
    "IFNULL": "COALESCE",
    "LENGTH": "LIKE",
    "LN": "LOG",
    "NVL": "COALESCE",
    "POW": "POWER",
    "RANDOM": "RAND",
    "Q3C_RADIAL_QUERY": "DISTANCE",
    "Q3C_DIST": "DISTANCE",
    "TRUNC": "TRUNCATE",
}
"""Functions of other dialects → ADQL's."""
