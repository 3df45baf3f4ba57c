"""Small tables to ask, and how a query is run on them as the service runs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from sodalake.tap.adql import duckdb_sql, install, resolve, told
from sodalake.tap.metadata import Column, Published, Schema, Table, arrow_schema
from sodalake.tap.resolved import Resolved


@dataclass(frozen=True)
class World:
    """Tables that can be queried, and their rows by qualified name."""

    published: Published
    rows: Mapping[str, pa.Table]
    uploads: tuple[Table, ...] = ()


def table(
    schema: str, name: str, columns: list[Column], rows: list[tuple[Any, ...]]
) -> tuple[Table, pa.Table]:
    """Return a table and its rows."""
    made = Table(schema, name, tuple(columns), "alerts")
    arrays = [
        pa.array([row[at] for row in rows], field.type) for at, field in enumerate(arrow_schema(made.columns))
    ]
    return made, pa.table(arrays, schema=arrow_schema(made.columns))


def world(*tables: tuple[Table, pa.Table], uploads: tuple[tuple[Table, pa.Table], ...] = ()) -> World:
    """Return tables as they are published."""
    schemas: dict[str, list[Table]] = {}
    for made, _ in tables:
        schemas.setdefault(made.schema, []).append(made)
    published = Published(tuple(Schema(name, tuple(of)) for name, of in schemas.items()))
    rows = {made.qualified: held for made, held in (*tables, *uploads)}
    return World(published, rows, tuple(made for made, _ in uploads))


@dataclass(frozen=True)
class Answered:
    """A query as it was understood, and its rows."""

    resolved: Resolved
    table: pa.Table

    @property
    def rows(self) -> list[tuple[Any, ...]]:
        """Rows as tuples."""
        return [tuple(row.values()) for row in self.table.to_pylist()]

    @property
    def value(self) -> Any:
        """The only value of the first row."""
        return self.rows[0][0]


@pytest.fixture(scope="session")
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    """A database that knows ADQL's functions."""
    connection = duckdb.connect(config={"threads": "1", "python_enable_replacements": "false"})
    install(connection)
    yield connection
    connection.close()


@pytest.fixture(scope="session")
def ask(database: duckdb.DuckDBPyConnection) -> Callable[[str, World], Answered]:
    """Run a query; what comes out has the types that were promised."""

    def asked(query: str, of: World) -> Answered:
        resolved = resolve(query, of.published, of.uploads)
        cursor = database.cursor()
        for source in resolved.sources:
            held = of.rows[source.table.qualified]
            # Only the columns that it says it needs are there: a wrong list of them fails.
            names = list(source.columns)
            narrow = held.select(names) if names else pa.table({"nothing": pa.nulls(len(held), pa.int8())})
            cursor.register(source.id, narrow)
        try:
            made = cursor.sql(duckdb_sql(resolved.tree)).to_arrow_table()
        except duckdb.Error as error:
            raise told(error) from error
        finally:
            for source in resolved.sources:
                cursor.unregister(source.id)
        assert made.schema.types == arrow_schema(resolved.outputs).types
        assert made.schema.names == [column.name for column in resolved.outputs]
        return Answered(resolved, made)

    return asked


def _letters(of: str) -> list[tuple[Table, pa.Table]]:
    """Return tables a, b, c, t1, t2, t3: id, x, t numbers, name a text."""
    columns = [
        Column("id", "long"),
        Column("x", "double", unit="m"),
        Column("t", "int"),
        Column("name", "char", "*"),
    ]
    rows = [(1, 1.5, 1, "Ab"), (2, -2.5, 2, "b"), (3, None, 3, None), (4, 1.5, None, "ab c")]
    return [table("main", name, columns, rows[: 4 - at % 2]) for at, name in enumerate(of.split())]


@pytest.fixture(scope="session")
def sky() -> tuple[Table, pa.Table]:
    """Places in the sky, with shapes of all kinds."""
    columns = [
        Column("id", "long"),
        Column("ra", "double", unit="deg", ucd="pos.eq.ra;meta.main", description="Where it is."),
        Column("dec", "double", unit="deg"),
        Column("mag", "float", unit="mag"),
        Column("fid", "short"),
        Column("good", "boolean"),
        Column("t_obs", "char", "*", "timestamp"),
        Column("pos", "double", "2", "point"),
        Column("s_region", "double", "*", "polygon"),
        Column("stcs", "char", "*", "adql:region"),
    ]
    second = 1_000_000
    square, unit = [9.0, 19, 11, 19, 11, 21, 9, 21], [0.0, 0, 1, 0, 1, 1, 0, 1]
    rows = [
        (1, 10.0, 20.0, 18.5, 1, True, 1_600_000_000 * second, [10.0, 20.0], square, "Circle ICRS 10 20 1"),
        (2, 10.001, 20.0, 19.25, 2, False, 1_600_000_001 * second, [10.5, 20.0], unit, "Polygon 9 19 11 19 11 21"),
        (3, 359.99, -30.0, None, 1, None, None, None, None, "Nonsense"),
        (4, None, None, 21.0, None, True, 1_500_000_000 * second, [200.0, 80.0], [200.0, 80, 201, 80, 200, 81], None),
    ]  # fmt: skip
    return table("sky", "places", columns, rows)


@pytest.fixture(scope="session")
def worlds(sky: tuple[Table, pa.Table]) -> list[World]:
    """Worlds in which queries of the acceptance set make sense: in some `t.a` is a number, in others a text."""
    letters = _letters("a b c")
    odd = table(
        "sky",
        "Odd One",
        [Column("select", "int"), Column("Group", "char", "*"), Column('a"b', "double")],
        [(1, "x", 1.0), (2, "y", -1.0)],
    )
    upload = table(
        "TAP_UPLOAD", "mytable", [Column("ra", "double"), Column("dec", "double")], [(10.0, 20.0), (0.0, 0.0)]
    )
    fink = table(
        "fink",
        "obj",
        [Column(name, "double") for name in ("id", "ra", "dec", "jd")],
        [(1.0, 1.0, 2.0, 5.0), (2.0, 1.1, 2.0, 6.0), (3.0, 99.0, 2.0, 7.0)],
    )

    def t(kind: tuple[str, str], a: list[Any], schema: str = "main") -> tuple[Table, pa.Table]:
        columns = [
            Column("a", *kind),
            *(Column(name, "double") for name in ("b", "x", "ra", "dec", "mag")),
            Column("size", "int"),
            Column("Weird Col", "int"),
            Column("s_region", "double", "*", "polygon"),
        ]
        rest = (2.5, 3.5, 10.6, 41.2, 17.25, 5, 6, [9.0, 19, 11, 19, 11, 21, 9, 21])
        return table(schema, "t", columns, [(one, *rest) for one in a])

    numbers, texts = t(("long", ""), [1, 2, None]), t(("char", "*"), ["1", "xyz", None])
    sets = [
        table("main", name, [Column("a", "long")], [(value,) for value in values])
        for name, values in (("t1", [1, 2]), ("t2", [2, 3]), ("t3", [3, 4]))
    ]
    base = (*letters, sky, odd, fink, *sets)
    simple = table("main", "t", [Column("a", "long"), Column("b", "long")], [(3, 1), (1, 2), (2, 3)])
    return [
        world(*base, numbers, uploads=(upload,)),
        world(*base, texts, uploads=(upload,)),
        world(*base, t(("long", ""), [1], "My Schema"), uploads=(upload,)),
        world(*base, simple, uploads=(upload,)),
    ]


@pytest.fixture(scope="session")
def run(ask: Callable[[str, World], Answered], worlds: list[World]) -> Callable[[str], Answered]:
    """Run a query in the first world."""
    return lambda query: ask(query, worlds[0])
