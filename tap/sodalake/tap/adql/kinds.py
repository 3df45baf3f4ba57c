"""Kinds of values: what an expression is, apart from where it comes from.

============== ============================================ ==================== ================
kind           ADQL                                         VOTable              DuckDB
============== ============================================ ==================== ================
boolean        none (uploads)                               boolean              BOOLEAN
byte           none (uploads)                               unsignedByte         UTINYINT
short          SMALLINT                                     short                SMALLINT
int            INTEGER                                      int                  INTEGER
long           BIGINT                                       long                 BIGINT
float          REAL                                         float                FLOAT
double         DOUBLE PRECISION                             double               DOUBLE
text           CHAR, VARCHAR, CLOB                          char ``*``           VARCHAR
timestamp      TIMESTAMP                                    char ``*`` timestamp TIMESTAMP
point          POINT                                        double 2 point       DOUBLE[]
circle         CIRCLE                                       double 3 circle      DOUBLE[]
polygon        POLYGON                                      double ``*`` polygon DOUBLE[]
region         REGION, as STC-S                             char ``*``           VARCHAR
doubles        none: an array without a meaning             double ``*``         DOUBLE[]
longs          none: an array of counts                     long ``*``           BIGINT[]
array          none: any other array (uploads)              as uploaded          as uploaded
null           NULL                                         char ``*``           VARCHAR
============== ============================================ ==================== ================
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ..metadata import Column

__all__ = [
    "ARRAYS",
    "GEOMETRY",
    "INTEGERS",
    "NUMBERS",
    "SQL",
    "WORDS",
    "common",
    "described",
    "kind_of",
    "votable",
]

INTEGERS: Final = ("byte", "short", "int", "long")
NUMBERS: Final = (*INTEGERS, "float", "double")
"""Kinds of numbers, each narrower than the next."""
GEOMETRY: Final = frozenset(["point", "circle", "polygon", "region"])
ARRAYS: Final = frozenset(["doubles", "longs", "array"])

SQL: Final[Mapping[str, str]] = {
    "boolean": "BOOLEAN",
    "byte": "UTINYINT",
    "short": "SMALLINT",
    "int": "INTEGER",
    "long": "BIGINT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "text": "VARCHAR",
    "timestamp": "TIMESTAMP",
    "point": "DOUBLE[]",
    "circle": "DOUBLE[]",
    "polygon": "DOUBLE[]",
    "region": "VARCHAR",
    "doubles": "DOUBLE[]",
    "longs": "BIGINT[]",
    "null": "VARCHAR",
}
"""DuckDB's types; kinds that are missing are never converted."""

WORDS: Final[Mapping[str, str]] = {
    "boolean": "a boolean",
    "text": "text",
    "timestamp": "a timestamp",
    "point": "a POINT",
    "circle": "a CIRCLE",
    "polygon": "a POLYGON",
    "region": "a region",
    "null": "NULL",
    "condition": "a condition",
    "geometry": "a geometry",
    "integer": "an integer",
    "number": "a number",
} | dict.fromkeys(NUMBERS, "a number") | dict.fromkeys(ARRAYS, "an array")  # fmt: skip
"""Kinds, as told to people."""

_VOTABLE: Final[Mapping[str, tuple[str, str, str]]] = {
    "boolean": ("boolean", "", ""),
    "byte": ("unsignedByte", "", ""),
    "short": ("short", "", ""),
    "int": ("int", "", ""),
    "long": ("long", "", ""),
    "float": ("float", "", ""),
    "double": ("double", "", ""),
    "text": ("char", "*", ""),
    "timestamp": ("char", "*", "timestamp"),
    "point": ("double", "2", "point"),
    "circle": ("double", "3", "circle"),
    "polygon": ("double", "*", "polygon"),
    "region": ("char", "*", "adql:region"),
    "doubles": ("double", "*", ""),
    "longs": ("long", "*", ""),
    "null": ("char", "*", ""),
}
_SCALARS: Final = {"unsignedByte": "byte"} | {
    kind: kind for kind in ("boolean", "short", "int", "long", "float", "double")
}


def kind_of(column: Column) -> str:
    """Return the kind of a column's values, by its VOTable type."""
    if column.datatype in ("char", "unicodeChar"):
        xtype = column.xtype.lower()
        return "timestamp" if xtype == "timestamp" else "region" if xtype == "adql:region" else "text"
    if column.arraysize in ("", "1"):
        return _SCALARS[column.datatype]
    if column.datatype == "double":
        return column.xtype if column.xtype in ("point", "circle", "polygon") else "doubles"
    return "longs" if column.datatype == "long" else "array"


def votable(kind: str) -> tuple[str, str, str]:
    """Return datatype, arraysize and xtype of a kind."""
    return _VOTABLE[kind]


def described(kind: str) -> str:
    """Return a kind as words, with an article."""
    return WORDS[kind]


def common(one: str, other: str) -> str | None:
    """Return the kind that values of both have together; None where there is none.

    Integers of more than 24 bits together with REAL are DOUBLE PRECISION, so that none loses digits.
    """
    if one == other:
        return one
    if "null" in (one, other):
        return other if one == "null" else one
    if one in NUMBERS and other in NUMBERS:
        low, high = sorted((NUMBERS.index(one), NUMBERS.index(other)))
        return "double" if NUMBERS[high] == "float" and NUMBERS[low] in ("int", "long") else NUMBERS[high]
    if {one, other} == {"text", "region"}:
        return "text"
    return None
