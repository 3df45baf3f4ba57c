"""Columns of our own beside a table's: rows are numbered, and matched, under names that no column of it has.

Users name the columns of uploads, in any letters; so a name is chosen for each table, and by all in the same way.
"""

from __future__ import annotations

from sodalake.tap.metadata import Table

__all__ = ["partner_column", "row_column"]


def row_column(table: Table) -> str:
    """Return the name of the column that numbers a table's rows: ``_row``, or like it."""
    return _unlike("_row", table)


def partner_column(table: Table) -> str:
    """Return the name of the column with the number of the other table's row that one is matched with."""
    return _unlike("_partner", table)


def _unlike(name: str, table: Table) -> str:
    taken = {column.name.lower() for column in table.columns}  # to DuckDB, case makes no difference
    while name in taken:
        name = f"_{name}"
    return name
