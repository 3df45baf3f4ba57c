"""What is known of tables and their columns: names as queried, VOTable types, units, UCDs.

A type is VOTable's triple of datatype, arraysize and xtype (TAP 1.1, section 4.3; ADQL 2.1, section 3). In Arrow, and
so in DuckDB, it is:

============================== =============== ==========================================================
VOTable                        Arrow           ADQL
============================== =============== ==========================================================
short, int, long               int16, 32, 64   SMALLINT, INTEGER, BIGINT
float, double                  float32, 64     REAL, DOUBLE PRECISION
boolean                        bool            none: only uploads have it
char ``*``                     string          VARCHAR, CLOB (xtype ``adql:clob``)
char ``*`` timestamp           timestamp[us]   TIMESTAMP
double 2, 3, ``*``             list<double>    POINT, CIRCLE, POLYGON (xtypes of DALI 1.1, 3.3)
char ``*`` adql:region         string          REGION, as STC-S
============================== =============== ==========================================================

In the archive, types that ADQL lacks become the next one that it has: booleans are 0 and 1 (short), unsigned integers
the next wider signed one (64 bits: text), dates timestamps. A NaN is a null.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pyarrow as pa

__all__ = ["Column", "ForeignKey", "Published", "Schema", "Table", "arrow_schema", "arrow_type"]

_ARROW: Mapping[str, pa.DataType] = {
    "boolean": pa.bool_(),
    "unsignedByte": pa.uint8(),
    "short": pa.int16(),
    "int": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "char": pa.string(),
    "unicodeChar": pa.string(),
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column, of a table or of an answer.

    Attributes
    ----------
    name
        As queried, without quotes.
    datatype, arraysize, xtype
        VOTable's; `arraysize` is empty for a scalar.
    unit, ucd, utype, description
        VOUnits, UCD1+, utype, a sentence; empty where there is none.
    indexed
        Whether a condition on it alone is served by an index.
    principal
        Whether it is among those that most want to see.
    std
        Whether a standard defines it.
    """

    name: str
    datatype: str
    arraysize: str = ""
    xtype: str = ""
    unit: str = ""
    ucd: str = ""
    utype: str = ""
    description: str = ""
    indexed: bool = False
    principal: bool = False
    std: bool = False


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """Columns of a table that name rows of another: pairs of (from, target)."""

    target: str
    columns: tuple[tuple[str, str], ...]
    description: str = ""
    utype: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """One table that can be queried.

    Attributes
    ----------
    schema, name
        ``ztf`` and ``alerts``: the table is queried as ``ztf.alerts``.
    content
        What it is made of: ``alerts``, ``objects`` or ``images`` of a survey, ``obscore``, ``tap_schema``, or
        ``upload``.
    survey
        The survey's name; empty where it is not one's.
    roles
        Which columns mean what to the indices: ``alert``, ``object``, ``image``, ``time``, ``ra``, ``dec``, ``class``,
        ``region`` (an outline around the place), ``fov`` (the diameter of a circle around that) → name. A role that no
        column has is missing.
    kind
        ``table`` or ``view`` (VODataService's words).
    rows
        About how many there are; None where unknown.
    """

    schema: str
    name: str
    columns: tuple[Column, ...]
    content: str
    survey: str = ""
    roles: Mapping[str, str] = field(default_factory=dict)
    kind: str = "table"
    description: str = ""
    utype: str = ""
    keys: tuple[ForeignKey, ...] = ()
    rows: int | None = None

    @property
    def qualified(self) -> str:
        """The name in queries: schema and table."""
        return f"{self.schema}.{self.name}"

    def column(self, name: str) -> Column | None:
        """Return a column by its name, exactly as written here."""
        return next((column for column in self.columns if column.name == name), None)


@dataclass(frozen=True, slots=True)
class Schema:
    """A schema and its tables."""

    name: str
    tables: tuple[Table, ...]
    title: str = ""
    description: str = ""
    utype: str = ""


@dataclass(frozen=True, slots=True)
class Published:
    """All that can be queried, at one moment.

    Attributes
    ----------
    schemas
        In the order they are listed; ``tap_schema`` is among them.
    generation
        Changes when anything else does.
    """

    schemas: tuple[Schema, ...]
    generation: str = ""

    def __iter__(self) -> Iterator[Table]:
        """All tables, schema by schema."""
        return (table for schema in self.schemas for table in schema.tables)

    def table(self, qualified: str) -> Table | None:
        """Return a table by schema and name, without regard to case."""
        wanted = qualified.lower()
        return next((table for table in self if table.qualified.lower() == wanted), None)


def arrow_type(column: Column) -> pa.DataType:
    """Return the Arrow type of a column's values, by this module's table."""
    if column.datatype in ("char", "unicodeChar"):
        return pa.timestamp("us") if column.xtype == "timestamp" else pa.string()
    kind = _ARROW[column.datatype]
    return pa.list_(kind) if column.arraysize not in ("", "1") else kind


def arrow_schema(columns: tuple[Column, ...] | list[Column]) -> pa.Schema:
    """Return the Arrow schema of rows of these columns."""
    return pa.schema([pa.field(column.name, arrow_type(column)) for column in columns])
