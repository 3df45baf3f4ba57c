"""What DuckDB must have been taught before it runs SQL of `duckdb_sql`: macros, and functions in numpy."""

from __future__ import annotations

from typing import Final

import duckdb

from . import arrays
from .formulas import MACROS

__all__ = ["install"]

_SQL: Final = ";\n".join(f"CREATE OR REPLACE MACRO adql_{name}{macro}" for name, macro in MACROS.items())


def install(connection: duckdb.DuckDBPyConnection) -> None:
    """Teach a connection's database what SQL of `duckdb_sql` calls; once more does nothing.

    Notes
    -----
    What is taught is the database's: cursors of the connection know it too. 10 ms the first time, 0.4 ms later.
    """
    try:
        connection.execute("SELECT adql_installed()").fetchall()
    except duckdb.CatalogException:
        arrays.register(connection)
        connection.execute(_SQL)
