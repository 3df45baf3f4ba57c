"""ADQL 2.1 (and 2.0): from text to a query that is understood, and to DuckDB's SQL.

::

    parse(text) ──▶ tree ── resolve(tree, published) ──▶ Resolved ── … duckdb_sql(tree) ──▶ SQL

`screening` looks at words, sqlglot parses, `grammar` refuses what is not ADQL; `queries` and `expressions` find what
names mean, check types, and bring the tree into canonical form (see `tap.resolved`); `writing` writes it for DuckDB,
which `install` has taught ADQL's functions. `told` says what DuckDB's errors mean.
"""

from __future__ import annotations

from .functions import FEATURES, FUNCTIONS, UserFunction
from .macros import install
from .parsing import parse
from .queries import resolve
from .telling import told
from .words import RESERVED
from .writing import duckdb_sql

__all__ = [
    "FEATURES",
    "FUNCTIONS",
    "RESERVED",
    "UserFunction",
    "duckdb_sql",
    "install",
    "parse",
    "resolve",
    "told",
]
