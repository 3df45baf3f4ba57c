"""What names mean, what comes out, and what is told of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlglot import exp

from sodalake.tap.adql import RESERVED, duckdb_sql, parse, resolve
from sodalake.tap.errors import AdqlError
from sodalake.tap.metadata import Column, Published, Schema, Table


def _names(answered: object) -> list[str]:
    return [column.name for column in answered.resolved.outputs]


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("select ID from A where X > 0", [(1,), (4,)]),
        ('SELECT "id" FROM "a" WHERE "main"."a"."x" > 0', [(1,), (4,)]),
        ("SELECT MAIN.A.ID FROM main.a WHERE main.a.x > 0", [(1,), (4,)]),
        ('SELECT z.id FROM a AS Z WHERE "Z".x > 0', [(1,), (4,)]),
        ("SELECT k FROM (SELECT id AS K FROM a WHERE x > 0) AS q", [(1,), (4,)]),
        ("WITH Q AS (SELECT id FROM a WHERE x > 0) SELECT id FROM q", [(1,), (4,)]),
        ("SELECT id FROM a WHERE EXISTS (SELECT 1 FROM c AS a WHERE a.id = t AND a.id > 3)", []),
        ("SELECT id FROM a AS o WHERE EXISTS (SELECT 1 FROM c WHERE c.id = o.id AND c.id < 2)", [(1,)]),
        ("SELECT id FROM a WHERE id = (SELECT MAX(c.id) FROM c WHERE c.x = a.x)", [(2,), (4,)]),
        ("SELECT id FROM a NATURAL JOIN c WHERE id < 3", [(1,), (2,)]),
        ("SELECT id FROM a LEFT JOIN b USING (id) WHERE b.id IS NULL", [(4,)]),
        ("SELECT id FROM b RIGHT JOIN a USING (id) WHERE id > 3", [(4,)]),
        ("SELECT id FROM b FULL JOIN a USING (id) WHERE b.id IS NULL", [(4,)]),
        ("SELECT id FROM a JOIN b USING (id) JOIN c USING (id) WHERE id > 2", [(3,)]),
        ("SELECT a.id FROM t1, a JOIN b ON a.id = b.id WHERE t1.a = a.id", [(1,), (2,)]),
        ("SELECT TOP 1 id FROM a ORDER BY id DESC OFFSET 1", [(3,)]),
        ("SELECT id FROM a ORDER BY x, id", [(2,), (1,), (4,), (3,)]),
        ("SELECT id FROM a ORDER BY x DESC, id", [(1,), (4,), (2,), (3,)]),
        ("SELECT -id AS id FROM a ORDER BY id", [(-4,), (-3,), (-2,), (-1,)]),
        ("SELECT a FROM t1 UNION SELECT a FROM t2 INTERSECT SELECT a FROM t3 ORDER BY a", [(1,), (2,), (3,)]),
        ("(SELECT a FROM t1 UNION SELECT a FROM t2) INTERSECT SELECT a FROM t3", [(3,)]),
        ("SELECT a FROM t1 EXCEPT SELECT a FROM t2 UNION SELECT a FROM t3 ORDER BY 1 DESC", [(4,), (3,), (1,)]),
        ("SELECT a FROM t1 UNION ALL SELECT a FROM t2 UNION SELECT a FROM t1 ORDER BY a", [(1,), (2,), (3,)]),
        ("SELECT a FROM t1 UNION SELECT a FROM t2 UNION ALL SELECT a FROM t3 ORDER BY 1 OFFSET 3", [(3,), (4,)]),
        ("SELECT TOP 1 a FROM t1 UNION ALL (SELECT a FROM t2 ORDER BY a DESC OFFSET 1)", [(1,), (2,)]),
        ("SELECT COUNT(*) FROM a GROUP BY 1+1", [(4,)]),
        ("SELECT COUNT(*) FROM a WHERE x > 99", [(0,)]),
        ("SELECT x, COUNT(*) FROM a GROUP BY x ORDER BY 2 DESC, x", [(1.5, 2), (-2.5, 1), (None, 1)]),
        ("SELECT good FROM sky.places WHERE good = 1", [(True,), (True,)]),
        ("SELECT id FROM sky.places WHERE t_obs > '2020-09-13T12:26:40.5' ORDER BY id", [(2,)]),
    ],
)  # fmt: skip
def test_meanings(query: str, rows: list, run: Callable) -> None:
    assert run(query).rows == rows


@pytest.mark.parametrize(
    ("query", "column", "words"),
    [
        ('SELECT "ID" FROM a', 8, 'There is no column ID. In double quotes case matters: it is "id".'),
        ('SELECT id FROM "A"', 16, 'There is no table A. In double quotes case matters: it is "a".'),
        ("SELECT idd FROM a", 8, "Did you mean id?"),
        ("SELECT a.y FROM a", 8, "There is no column y in a."),
        ("SELECT z.id FROM a", 8, "z is none of the tables in FROM. There is a."),
        ("SELECT id FROM a, b", 8, "id may be a column of a or of b. Write a.id."),
        (
            "SELECT x FROM (SELECT id AS x, t AS x FROM a) AS q", 8,
            "x may be any of 2 columns of q. Give each another name, by AS.",
        ),
        ("SELECT q.x FROM (SELECT id AS x, t AS x FROM a) AS q", 8, "x may be any of 2 columns of q."),
        ("SELECT id FROM plces", 16, "There is no table plces."),
        ("SELECT id FROM sky.plces", 16, "Did you mean sky.places?"),
        ("SELECT id FROM other.a", 16, "Did you mean main.a?"),
        ("SELECT a.id FROM a, a", 8, "Two tables are called a."),
        ("SELECT id FROM x.main.a", 16, "There are no catalogs here."),
        ("SELECT p.id FROM a WHERE EXISTS (SELECT 1 FROM b AS p)", 8, "p is none of the tables"),
        ("WITH q AS (SELECT id FROM a), q AS (SELECT id FROM b) SELECT id FROM q", 31, "q is defined twice."),
        ("SELECT id FROM a NATURAL JOIN sky.\"Odd One\"", 31, "no column in common"),
        ("SELECT id FROM a JOIN b USING (nope)", 32, "nope is a column of none on one side"),
        ("SELECT COS(name) FROM a", 8, "COS does not take (text). It is COS(a number)."),
        ("SELECT SUM(name) FROM a", 12, "What SUM takes must be a number, and is text."),
        ("SELECT name + 1 FROM a", 8, "What is computed with must be a number, and is text."),
        ("SELECT id || 'x' FROM a", 8, "What is joined by || must be text, and is a number. Write CAST(… AS VARCHAR)."),
        ("SELECT id FROM a WHERE name > 5", 24, "A number cannot be compared with text."),
        ("SELECT id FROM a WHERE name IN ('x', 5)", 24, "A number cannot be compared with text."),
        ("SELECT id FROM a WHERE id BETWEEN 'a' AND 'b'", 24, "A number cannot be compared with text."),
        ("SELECT id FROM a WHERE id IN (SELECT name FROM b)", 24, "A number cannot be compared with text."),
        ("SELECT id FROM a WHERE id IN (SELECT id, x FROM b)", 24, "has 2 columns. It must have one."),
        ("SELECT id FROM a WHERE id = (SELECT id, x FROM b)", 37, "has 2 columns. It must have one."),
        ("SELECT id FROM a WHERE id LIKE 'x'", 24, "What LIKE looks at must be text, and is a number."),
        ("SELECT id FROM a WHERE x", 24, "WHERE wants a condition, and this is a number."),
        ("SELECT id FROM a WHERE CONTAINS(POINT(1, 2), CIRCLE(1, 2, 3))", 24, "Write CONTAINS(…) = 1."),
        ("SELECT x = 1 FROM a", 8, "A condition has no value in ADQL."),
        ("SELECT id FROM a WHERE (x = 1) = (t = 2)", 25, "A condition has no value in ADQL."),
        ("SELECT id FROM a WHERE SUM(x) > 1", 24, "SUM cannot stand in WHERE."),
        ("SELECT SUM(AVG(x)) FROM a", 12, "AVG cannot stand in an aggregate (SUM)."),
        ("SELECT name, COUNT(*) FROM a", 8, "name stands beside an aggregate, and nothing is grouped."),
        ("SELECT x FROM a GROUP BY name", 8, "x is neither grouped by nor in an aggregate."),
        ("SELECT name FROM a GROUP BY name HAVING x > 1", 41, "x is neither grouped by nor in an aggregate."),
        ("SELECT name FROM a GROUP BY name ORDER BY x", 43, "x is neither grouped by nor in an aggregate."),
        ("SELECT * FROM a GROUP BY id", 8, "is neither grouped by nor in an aggregate."),
        ("SELECT COUNT(*) AS n FROM a GROUP BY n", 38, "Rows cannot be grouped by an aggregate."),
        ("SELECT DISTINCT id FROM a ORDER BY x", 36, "With DISTINCT, rows are ordered by what is selected."),
        ("SELECT id FROM a ORDER BY 2", 27, "There is no column 2. The query has 1."),
        ("SELECT id FROM a UNION SELECT id, x FROM b", 8, "UNION joins queries of 1 and 2 columns."),
        ("SELECT id FROM a UNION SELECT name FROM b", 8, "Column 1 of UNION is a number on the left and text on"),
        ("SELECT id FROM a UNION SELECT id FROM b ORDER BY x", 50, "is ordered by its columns."),
        ("SELECT COALESCE(id, name) FROM a", 8, "COALESCE mixes a number and text."),
        ("SELECT IN_UNIT(id, 'm') FROM a", 8, "IN_UNIT needs something that has a unit."),
        ("SELECT IN_UNIT(x, 'furlongs') FROM a", 8, "“furlongs” is no unit."),
        ("SELECT IN_UNIT(x, 's') FROM a", 8, "m cannot be made s."),
        ("SELECT IN_UNIT(mag, 'Jy') FROM sky.places", 8, "mag cannot be made Jy."),
        ("SELECT POINT(10, 95) FROM a", 8, "The latitude 95 is not between -90 and 90 degrees."),
        ("SELECT CIRCLE(10, 20, 181) FROM a", 8, "The radius 181 is not between 0 and 180 degrees."),
        ("SELECT POLYGON(1, 2, 3, 4) FROM a", 8, "three corners or more"),
        ("SELECT POLYGON(0, 0, 120, 0, 240, 0) FROM a", 8, "wider than half the sky"),
        ("SELECT BOX(0, 85, 10, 20) FROM a", 8, "The box reaches beyond a pole."),
        ("SELECT CONTAINS(1, 2) FROM a", 17, "CONTAINS takes geometries, and this is a number."),
        ("SELECT DISTANCE(POINT(1, 2), CIRCLE(1, 2, 3)) FROM a", 30, "DISTANCE takes points, and this is a CIRCLE."),
        ("SELECT REGION('Union (Circle 1 2 3)') FROM a", 8, "is no region: it begins with Position"),
        ("SELECT REGION('Circle GALACTIC 1 2 3') FROM a", 8, "Regions are in ICRS, and this is in GALACTIC."),
        ("SELECT CAST('1' AS POINT) FROM a", 13, "has 1 numbers, and a point has 2."),
        ("SELECT id FROM sky.places WHERE t_obs > 'soon'", 33, "“soon” is no time. Write it as 2026-11-21T12:00:00."),
        ("SELECT id FROM sky.places WHERE t_obs > 5", 33, "A number cannot be compared with a timestamp."),
        ("SELECT id FROM sky.places ORDER BY pos", 36, "Rows cannot be ordered by a POINT."),
        ("SELECT MAX(pos) FROM sky.places", 8, "MAX takes no POINT."),
        ("SELECT 1e999 FROM a", 8, "This number is too large."),
        ("SELECT id\nFROM a\nWHERE  nope = 1", 8, "There is no column nope."),
        ("SELECT id FROM a LIMIT 7", 18, "write SELECT TOP 7."),
        ("SELECT CEIL(x) FROM a", 8, "There is no function CEIL. Did you mean CEILING?"),
        ("SELECT DISTNCE(1, 2, 3, 4) FROM a", 8, "Did you mean DISTANCE?"),
    ],
)  # fmt: skip
def test_errors_say_where_and_what(query: str, column: int, words: str, worlds: list) -> None:
    with pytest.raises(AdqlError) as caught:
        resolve(query, worlds[0].published, worlds[0].uploads)
    assert words in f"{caught.value.message} {caught.value.advice}"
    assert (caught.value.line, caught.value.column) == (1 + query.count("\n"), column)


def test_outputs_keep_what_is_known(run: Callable) -> None:
    ra, twice, least, count, point, text = run(
        "SELECT ra, ra * 2 AS twice, MIN(dec), COUNT(*), POINT(ra, ra / 9), CAST(ra AS VARCHAR(4)) AS k "
        "FROM sky.places GROUP BY ra"
    ).resolved.outputs
    assert (ra.ucd, ra.description, ra.unit) == ("pos.eq.ra;meta.main", "Where it is.", "deg")
    assert (twice.datatype, twice.unit, twice.ucd, twice.description) == ("double", "deg", "", "ra * 2")
    assert (least.name, least.unit, least.description) == ("min_1", "deg", "MIN(dec)")
    assert (count.name, count.datatype, count.unit) == ("count_1", "long", "")
    assert (point.datatype, point.arraysize, point.xtype) == ("double", "2", "point")
    assert (text.datatype, text.arraysize) == ("char", "*")


def test_names_of_outputs_are_unique_and_legal(run: Callable) -> None:
    names = _names(
        run(
            'SELECT a.id, a.id, a.id AS "ID", a.*, 1, COUNT(*), COUNT(a.x), a.x + 1, b.id FROM a, b '
            "GROUP BY a.id, a.x, a.t, a.name, b.id"
        )
    )
    assert names[:7] == ["id", "id_2", "ID_3", "id_4", "x", "t", "name"]
    assert names[7:] == ["expression_1", "count_1", "count_2", "expression_2", "id_5"]
    assert not {name.upper() for name in names} & RESERVED


def test_merged_columns_come_first(run: Callable) -> None:
    assert _names(run("SELECT * FROM a JOIN b USING (x)")) == [
        "x",
        "id",
        "t",
        "name",
        "id_2",
        "t_2",
        "name_2",
    ]
    assert _names(run("SELECT * FROM a NATURAL JOIN b")) == ["id", "x", "t", "name"]
    assert _names(run("SELECT b.* FROM a JOIN b USING (x)")) == ["id", "x", "t", "name"]


def test_names_that_differ_in_case_only() -> None:
    table = Table("s", "odd", (Column("ab", "int"), Column("AB", "int"), Column("c", "int")), "upload")
    published = Published((Schema("s", (table,)),))
    for query, used in [
        ('SELECT "AB" FROM odd', ("AB",)),
        ("SELECT AB FROM odd", ("AB",)),
        ("SELECT ab FROM odd", ("ab",)),
    ]:
        assert resolve(query, published).sources[0].columns == used
    with pytest.raises(AdqlError, match="Ab may be any of 2 columns of odd"):
        resolve("SELECT Ab FROM odd", published)
    outputs = resolve('SELECT * FROM (SELECT "ab", "AB" FROM odd) AS q WHERE "AB" = 1', published).outputs
    assert [column.name for column in outputs] == ["ab", "AB_2"]


def test_canonical_form(worlds: list) -> None:
    world = worlds[0]
    resolved = resolve(
        "SELECT p.id, q.ra FROM sky.places AS p JOIN sky.places AS q USING (id) "
        "WHERE 1 = CONTAINS(POINT('ICRS', p.ra, p.dec), CIRCLE('', 1 + 369, 20, 3600 / 3600.)) "
        "AND 5 > q.mag AND INTERSECTS(BOX(10, 0, 2, 2), POINT(q.ra, q.dec)) = 0",
        world.published,
    )
    assert [(source.id, source.alias, source.columns) for source in resolved.sources] == [
        ("s0", "p", ("id", "ra", "dec")),
        ("s1", "q", ("id", "ra", "dec", "mag")),
    ]
    tables = list(resolved.tree.find_all(exp.Table))
    assert [table.meta["source"] for table in tables] == ["s0", "s1"]
    assert all(
        column.table in ("p", "q") and column.meta["name"] == column.name
        for column in resolved.tree.find_all(exp.Column)
    )
    first, second, third = resolved.tree.args["where"].this.flatten()
    assert isinstance(first, exp.EQ)
    contains = first.this
    assert (contains.this, [part.this for part in contains.expressions]) == ("CONTAINS", ["POINT", "CIRCLE"])
    assert [part.this for part in contains.expressions[1].expressions] == ["10.0", "20.0", "1.0"]
    assert isinstance(second, exp.LT)
    assert third.this.this == "CONTAINS"
    assert third.this.expressions[1].this == "POLYGON"
    join = resolved.tree.args["joins"][0]
    assert isinstance(join.args["on"], exp.EQ)
    assert not join.args.get("using")


@pytest.mark.parametrize(
    ("condition", "written"),
    [
        ("t = 1 OR 2 = t OR (t = 3)", '"a"."t" IN (1, 2, 3)'),
        (
            "name = 'b' OR x > 1 OR t = 1 OR name = 'c' OR t = -2",
            '"a"."name" IN (\'b\', \'c\') OR "a"."x" > 1 OR "a"."t" IN (1, -2)',
        ),
        ("(t = 1 OR t = 2) AND (t = 2 OR id = 3)", '("a"."t" IN (1, 2)) AND ("a"."t" = 2 OR "a"."id" = 3)'),
        # Doubles would make doubles of all in the list, and what is no column is computed for each.
        ("id = 1 OR id = 2.5", '"a"."id" = 1 OR "a"."id" = 2.5e0'),
        ("t + 1 = 1 OR t + 1 = 2", 'CAST("a"."t" AS BIGINT) + 1 = 1 OR CAST("a"."t" AS BIGINT) + 1 = 2'),
        ("t = id OR t = 2", '"a"."t" = "a"."id" OR "a"."t" = 2'),
        ("t <> 1 AND t <> 2", '"a"."t" <> 1 AND "a"."t" <> 2'),
    ],
)
def test_values_of_one_column_are_one_list(condition: str, written: str, worlds: list) -> None:
    resolved = resolve(f"SELECT id FROM a WHERE {condition}", worlds[1].published)
    assert duckdb_sql(resolved.tree.args["where"].this) == written


_VALUES = {
    "id": ["1", "-3", "4", "9223372036854775807", "9223372036854775808", "2.0", "1.5"],
    "t": ["1", "2", "3.0", "NULL"],
    "x": ["1.5", "2", "-2.5"],
    "name": ["'Ab'", "'b'", "'ab'", "NULL"],
}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    equalities=st.lists(
        st.sampled_from([(name, value) for name, values in _VALUES.items() for value in values]),
        min_size=1,
        max_size=9,
    )
)
def test_alternatives_are_what_each_says(
    equalities: list[tuple[str, str]], ask: Callable, worlds: list
) -> None:
    """NULL counts: what is not true may be false or unknown, and NOT tells them apart."""
    conditions = [f"{name} = {value}" for name, value in equalities]
    for sign in ("", "NOT "):
        together = ask(f"SELECT id FROM a WHERE {sign}({' OR '.join(conditions)})", worlds[1])
        each = [
            {row[0] for row in ask(f"SELECT id FROM a WHERE {sign}({one})", worlds[1]).rows}
            for one in conditions
        ]
        expected = set.union(*each) if not sign else set.intersection(*each)
        assert {row[0] for row in together.rows} == expected, sign


def test_plain_trees_pass_through() -> None:
    tree = exp.select(exp.column("k", "z"), exp.Sum(this=exp.column("n", "z")).as_("n")).from_(
        exp.to_table("parts").as_("z")
    )
    assert duckdb_sql(tree.group_by(exp.column("k", "z"))) == (
        'SELECT "z"."k", SUM("z"."n") AS "n" FROM "parts" AS "z" GROUP BY "z"."k"'
    )
    assert duckdb_sql(
        exp.And(this=exp.Or(this=exp.column("a"), expression=exp.column("b")), expression=exp.column("c"))
    ) == ('("a" OR "b") AND "c"')


def test_uploads_and_text(worlds: list) -> None:
    world = worlds[0]
    resolved = resolve(parse("SELECT u.ra FROM TAP_UPLOAD.mytable AS u"), world.published, world.uploads)
    assert resolved.text == "SELECT u.ra FROM TAP_UPLOAD.mytable AS u"
    assert resolved.sources[0].table is world.uploads[0]
    with pytest.raises(AdqlError, match="no table TAP_UPLOAD"):
        resolve("SELECT ra FROM TAP_UPLOAD.mytable", world.published)
    assert resolve("SELECT COUNT(*) FROM a", world.published).sources[0].columns == ()
