"""TAP_SCHEMA describes everything, itself too, and obeys TAP 1.1, section 4."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pytest

from sodalake.lake.lake import Lake
from sodalake.tap.adql.words import RESERVED
from sodalake.tap.metadata import Column, Published, Schema, Table, arrow_schema
from sodalake.tap.published import listed_name, publish, tap_schema_tables

FIVE = {
    ("tap_schema.tables", "tap_schema.schemas", "schema_name", "schema_name"),
    ("tap_schema.columns", "tap_schema.tables", "table_name", "table_name"),
    ("tap_schema.keys", "tap_schema.tables", "from_table", "table_name"),
    ("tap_schema.keys", "tap_schema.tables", "target_table", "table_name"),
    ("tap_schema.key_columns", "tap_schema.keys", "key_id", "key_id"),
}


@pytest.fixture(scope="module")
def published(demo_lake: Lake) -> Published:
    return publish(demo_lake, "example.org")


@pytest.fixture(scope="module")
def rows(published: Published) -> dict[str, list[dict[str, object]]]:
    return {name: table.to_pylist() for name, table in tap_schema_tables(published).items()}


def test_rows_have_the_published_types(published: Published) -> None:
    for name, table in tap_schema_tables(published).items():
        described = published.table(name)
        assert described is not None
        assert table.schema == arrow_schema(described.columns)


def test_everything_is_listed_once(published: Published, rows: dict[str, list[dict[str, object]]]) -> None:
    assert [row["schema_name"] for row in rows["tap_schema.schemas"]] == [s.name for s in published.schemas]
    assert [row["table_name"] for row in rows["tap_schema.tables"]] == [t.qualified for t in published]
    counts = Counter(row["table_name"] for row in rows["tap_schema.columns"])
    assert counts == {table.qualified: len(table.columns) for table in published}
    names = [(row["table_name"], row["column_name"]) for row in rows["tap_schema.columns"]]
    assert len(set(names)) == len(names)


def test_it_describes_itself_and_says_that_a_standard_does(rows: dict[str, list[dict[str, object]]]) -> None:
    own = [row for row in rows["tap_schema.columns"] if str(row["table_name"]).startswith("tap_schema.")]
    assert len(own) == 4 + 6 + 14 + 5 + 3
    assert all(row["std"] == 1 for row in own)
    types = {row["column_name"]: row["datatype"] for row in own}
    assert types['"size"'] == types["indexed"] == types["column_index"] == "int"


def test_its_five_foreign_keys_are_there(rows: dict[str, list[dict[str, object]]]) -> None:
    columns = {
        row["key_id"]: (row["from_column"], row["target_column"]) for row in rows["tap_schema.key_columns"]
    }
    found = {(r["from_table"], r["target_table"], *columns[r["key_id"]]) for r in rows["tap_schema.keys"]}
    assert found >= FIVE
    assert ("ztf.alerts", "ztf.objects", "objectId", "objectId") in found
    listed = {(row["table_name"], row["column_name"]) for row in rows["tap_schema.columns"]}
    for source, target, one, other in found:
        assert (source, one) in listed
        assert (target, other) in listed


def test_null_rules(rows: dict[str, list[dict[str, object]]]) -> None:
    for row in rows["tap_schema.columns"]:
        is_text = row["datatype"] == "char"
        assert (row["arraysize"] is not None) == is_text
        assert row["size"] is None
        assert {row["indexed"], row["principal"], row["std"]} <= {0, 1}
        assert row["unit"] != ""
        assert row["ucd"] != ""


@pytest.mark.parametrize(
    ("arraysize", "size"), [("", None), ("*", None), ("8", 8), ("8*", 8), ("2x3", None), ("2", 2)]
)
def test_size_is_the_integer_of_arraysize(arraysize: str, size: int | None) -> None:
    table = Table("s", "t", (Column("c", "char", arraysize),), "alerts")
    made = tap_schema_tables(Published((Schema("s", (table,)),)))["tap_schema.columns"]
    assert made["size"].to_pylist() == [size]
    assert made["arraysize"].to_pylist() == [arraysize or None]


def test_names_are_in_the_form_of_queries(rows: dict[str, list[dict[str, object]]]) -> None:
    for row in rows["tap_schema.columns"]:
        name = str(row["column_name"])
        assert name.startswith('"') or name.upper() not in RESERVED
    assert listed_name("timestamp") == '"timestamp"'
    assert listed_name("Size") == '"Size"'
    assert listed_name("objectId") == "objectId"
    assert listed_name("_c") == '"_c"'  # a regular identifier of ADQL begins with a letter
    assert listed_name('a"b') == '"a""b"'


def test_nothing_published_gives_empty_tables() -> None:
    for table in tap_schema_tables(Published(())).values():
        assert isinstance(table, pa.Table)
        assert table.num_rows == 0
