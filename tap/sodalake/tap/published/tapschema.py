"""TAP_SCHEMA: the tables that describe all tables, themselves too (TAP 1.1, section 4)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pyarrow as pa

from sodalake.tap.metadata import Column, ForeignKey, Published, Schema, Table, arrow_schema

from .names import listed_name

__all__ = ["TAP_SCHEMA", "tap_schema_tables"]

_FIXED = re.compile(r"([0-9]+)\*?")


def _text(name: str, description: str, *, principal: bool = True) -> Column:
    return Column(name, "char", "*", description=description, principal=principal, std=True)


def _number(name: str, description: str, *, principal: bool = True) -> Column:
    return Column(name, "int", description=description, principal=principal, std=True)


def _table(name: str, description: str, columns: tuple[Column, ...], *keys: ForeignKey) -> Table:
    return Table("tap_schema", name, columns, "tap_schema", description=description, keys=keys)


def _key(column: str, target: str, target_column: str) -> ForeignKey:
    return ForeignKey(f"tap_schema.{target}", ((column, target_column),))


TAP_SCHEMA: Final = Schema(
    "tap_schema",
    (
        _table(
            "schemas",
            "Schemas of this service.",
            (
                _text("schema_name", "Name of the schema, as queries write it."),
                _text("utype", "Its utype.", principal=False),
                _text("description", "What it holds."),
                _number("schema_index", "Its place in lists.", principal=False),
            ),
        ),
        _table(
            "tables",
            "Tables of this service.",
            (
                _text("schema_name", "Schema it stands in."),
                _text("table_name", "Name of the table, as queries write it."),
                _text("table_type", "table or view."),
                _text("utype", "Its utype.", principal=False),
                _text("description", "What a row is."),
                _number("table_index", "Its place in lists.", principal=False),
            ),
            _key("schema_name", "schemas", "schema_name"),
        ),
        _table(
            "columns",
            "Columns of all tables.",
            (
                _text("table_name", "Table it is of."),
                _text("column_name", "Name of the column, as queries write it."),
                _text("datatype", "VOTable's datatype."),
                _text("arraysize", "VOTable's arraysize; null for a single number."),
                _text("xtype", "VOTable's xtype."),
                _number("size", "Length of a column of fixed length.", principal=False),
                _text("description", "What its values are."),
                _text("utype", "Its utype.", principal=False),
                _text("unit", "Unit of its values (VOUnits)."),
                _text("ucd", "Kind of its values (UCD1+)."),
                _number("indexed", "1 where a condition on it is served by an index."),
                _number("principal", "1 where it is among those that most want to see."),
                _number("std", "1 where a standard defines it.", principal=False),
                _number("column_index", "Its place in lists.", principal=False),
            ),
            _key("table_name", "tables", "table_name"),
        ),
        _table(
            "keys",
            "Foreign keys: tables that can be joined.",
            (
                _text("key_id", "Id of the key."),
                _text("from_table", "Table whose rows name others."),
                _text("target_table", "Table whose rows are named."),
                _text("description", "What the key means."),
                _text("utype", "Its utype.", principal=False),
            ),
            _key("from_table", "tables", "table_name"),
            _key("target_table", "tables", "table_name"),
        ),
        _table(
            "key_columns",
            "Columns of foreign keys.",
            (
                _text("key_id", "Id of the key."),
                _text("from_column", "Column of the table whose rows name others."),
                _text("target_column", "Column of the table whose rows are named."),
            ),
            _key("key_id", "keys", "key_id"),
        ),
    ),
    "TAP_SCHEMA",
    "What tables and columns there are (TAP 1.1, section 4).",
)
"""The schema, with its five foreign keys (4.4)."""


def tap_schema_tables(published: Published) -> Mapping[str, pa.Table]:
    """Return the rows of TAP_SCHEMA.

    Returns
    -------
    mapping
        Qualified name, as ``tap_schema.columns`` → rows of `metadata.arrow_schema` of that table's columns.
    """
    tables = list(published)
    keys = [(table, key) for table in tables for key in table.keys]
    rows: Mapping[str, Iterator[tuple[Any, ...]]] = {
        "schemas": (
            (schema.name, schema.utype or None, schema.description or None, number)
            for number, schema in enumerate(published.schemas)
        ),
        "tables": (
            (
                table.schema,
                table.qualified,
                table.kind,
                table.utype or None,
                table.description or None,
                number,
            )
            for number, table in enumerate(tables)
        ),
        "columns": (
            _column_row(table, column, number)
            for table in tables
            for number, column in enumerate(table.columns)
        ),
        "keys": (
            (f"key{number}", table.qualified, key.target, key.description or None, key.utype or None)
            for number, (table, key) in enumerate(keys)
        ),
        "key_columns": (
            (f"key{number}", listed_name(source), listed_name(target))
            for number, (_, key) in enumerate(keys)
            for source, target in key.columns
        ),
    }
    return {table.qualified: _arrow(table, rows[table.name]) for table in TAP_SCHEMA.tables}


def _column_row(table: Table, column: Column, number: int) -> tuple[Any, ...]:
    fixed = _FIXED.fullmatch(column.arraysize)
    return (
        table.qualified,
        listed_name(column.name),
        column.datatype,
        column.arraysize or None,
        column.xtype or None,
        int(fixed[1]) if fixed else None,
        column.description or None,
        column.utype or None,
        column.unit or None,
        column.ucd or None,
        int(column.indexed),
        int(column.principal),
        int(column.std),
        number,
    )


def _arrow(table: Table, rows: Iterator[tuple[Any, ...]]) -> pa.Table:
    schema = arrow_schema(table.columns)
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    return pa.Table.from_arrays(
        [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)], schema=schema
    )
