"""The manifest: every target once, in the user's order, the same in every format, whatever ids and messages hold."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pytest
from astropy.io.votable import parse, validate
from hypothesis import given
from hypothesis import strategies as st

from sodalake.sodacut.jobs import (
    MANIFEST_TYPES,
    UnitReport,
    manifest_csv,
    manifest_json,
    manifest_table,
    manifest_votable,
    manifests,
)
from sodalake.sodacut.jobs.manifest import COLUMNS
from sodalake.sodacut.jobs.reports import ENTRIES

BIG = "9007199254740993"


def report(rows: Sequence[Mapping[str, Any]]) -> UnitReport:
    table = pa.Table.from_pylist([{"status": "OK", "id": str(row["row"]), **row} for row in rows], ENTRIES)
    batches = table.combine_chunks().to_batches()
    batch = batches[0] if batches else pa.RecordBatch.from_pylist([], schema=ENTRIES)
    return UnitReport("job/part", 1, batch)


ROWS = [
    {
        "row": 2, "id": BIG, "ra": 0.1, "dec": -5e-324, "survey": "ztf", "alert": BIG, "object": "ZTF21a",
        "file": "000002_x.fits", "bytes": 2**40, "sha256": "00ff", "seconds": 0.25,
        "archive_file": "hdfs://nn/a b.parquet", "crc32": 1, "offset": 40,
    },
    {"row": 1, "id": 'é, "x" <&>', "status": "ERROR", "message": "Two\nlines, a \t tab & <tags> ]]> é."},
    {"row": 3, "id": "\x01od\uffffd", "status": "NOT_FOUND", "message": "", "ra": math.nan, "seconds": math.inf},
]  # fmt: skip


@pytest.fixture
def table() -> Any:
    return manifest_table([report(ROWS[:1]), report(ROWS[1:])], 3, urls="https://x/y/")


def test_one_line_a_target_in_the_users_order(table: Any) -> None:
    assert table.column_names == [
        "row", "id", "ra", "dec", "survey", "alert", "object", "file", "url", "bytes", "sha256", "status", "message",
        "seconds", "archive_file",
    ]  # fmt: skip
    assert table["row"].to_pylist() == [1, 2, 3]
    assert table["url"].to_pylist() == [None, "https://x/y/000002_x.fits", None]
    assert set(manifests(table)) == set(MANIFEST_TYPES)


@pytest.mark.parametrize("rows", [[1, 1, 3], [1, 2], [1, 2, 3, 4], [0, 1, 2], []])
def test_a_manifest_that_does_not_add_up_is_not_made(rows: list[int]) -> None:
    with pytest.raises(ValueError, match="3 targets"):
        manifest_table([report([{"row": row} for row in rows])], 3)


def test_csv(table: Any) -> None:
    body = manifest_csv(table)
    assert body.endswith(b"\r\n")
    rows = list(csv.DictReader(io.StringIO(body.decode(), newline="")))
    assert [row["id"] for row in rows] == [ROWS[1]["id"], BIG, "\x01od\uffffd"]
    assert rows[0]["message"] == ROWS[1]["message"]
    assert (rows[0]["ra"], rows[0]["bytes"]) == ("", "")
    assert (float(rows[1]["ra"]), float(rows[1]["dec"]), rows[1]["bytes"]) == (0.1, -5e-324, str(2**40))
    text = pacsv.ConvertOptions(
        column_types={"id": pa.string(), "alert": pa.string()}, strings_can_be_null=True
    )
    read = pacsv.read_csv(
        io.BytesIO(body), convert_options=text, parse_options=pacsv.ParseOptions(newlines_in_values=True)
    )
    assert read["alert"].to_pylist() == [None, BIG, None]


def test_json(table: Any) -> None:
    rows = json.loads(manifest_json(table), parse_constant=lambda word: pytest.fail(word))
    assert [row["id"] for row in rows] == [ROWS[1]["id"], BIG, "\x01od\uffffd"]
    assert (rows[1]["alert"], rows[1]["bytes"], rows[1]["ra"]) == (BIG, 2**40, 0.1)
    assert (rows[2]["ra"], rows[2]["seconds"], rows[2]["survey"]) == (None, None, None)
    assert list(rows[0]) == table.column_names


def test_votable(table: Any) -> None:
    body = manifest_votable(table)
    read = parse(io.BytesIO(body), verify="exception")
    assert (read.version, read.resources[0].type) == ("1.4", "results")
    assert [(info.name, info.value) for info in read.resources[0].infos] == [("QUERY_STATUS", "OK")]
    found = read.get_first_table()
    assert [(one.ID, one.name, one.ucd, str(one.unit or "")) for one in found.fields] == [
        (one.name, one.name, one.ucd, one.unit) for one in COLUMNS
    ]
    rows = found.array
    assert [str(value) for value in rows["id"]] == [ROWS[1]["id"], BIG, "\ufffdod\ufffdd"]
    assert str(rows["message"][0]) == ROWS[1]["message"]
    assert (str(rows["alert"][1]), rows["bytes"][1], rows["ra"][1]) == (BIG, 2**40, 0.1)
    assert rows.mask["bytes"].tolist() == [True, False, True]
    assert rows.mask["ra"].tolist() == [True, False, True] or math.isnan(rows["ra"][2])


def test_votable_is_valid(table: Any, tmp_path: Any) -> None:
    path = tmp_path / "manifest.vot"
    path.write_bytes(manifest_votable(table))
    told = io.StringIO()
    assert validate(str(path), output=told, filename=None), told.getvalue()


def test_an_empty_manifest() -> None:
    table = manifest_table([], 0)
    assert manifest_csv(table).count(b"\r\n") == 1
    assert json.loads(manifest_json(table)) == []
    assert len(parse(io.BytesIO(manifest_votable(table)), verify="exception").get_first_table().array) == 0


texts = st.text(st.characters(codec="utf-8"), max_size=20)


@given(st.lists(st.tuples(texts, texts | st.none(), st.floats()), max_size=6))
def test_whatever_ids_hold_every_format_says_the_same(rows: list[tuple[str, str | None, float]]) -> None:
    made = [{"row": at, "id": name, "message": note, "ra": ra} for at, (name, note, ra) in enumerate(rows, 1)]
    table = manifest_table([report(made)], len(made))
    from_csv = [row["id"] for row in csv.DictReader(io.StringIO(manifest_csv(table).decode(), newline=""))]
    from_json = json.loads(manifest_json(table))
    assert from_csv == [row["id"] for row in from_json] == [row["id"] for row in made]
    for row, asked in zip(from_json, made, strict=True):
        assert row["ra"] == (asked["ra"] if math.isfinite(asked["ra"]) else None)
    read = parse(io.BytesIO(manifest_votable(table)), verify="exception").get_first_table().array
    assert [int(row) for row in read["row"]] == [row["row"] for row in made]
