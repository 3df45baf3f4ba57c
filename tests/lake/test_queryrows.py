"""Alerts and objects as queries read them: every path shows the same rows, those that looking at all files finds."""

from __future__ import annotations

import contextlib
import math
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from histories import File, alert, histories, seen, write_file
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sodalake.lake.alertrows import AlertRows, TooManyRows, covering_schema, flat_schema
from sodalake.lake.archiverows import ArchiveRows
from sodalake.lake.errors import Damaged, DeadlineExceeded, FileGone, UsageError
from sodalake.lake.files import as_url, join
from sodalake.lake.indexing import _Indexing
from sodalake.lake.ingest import ingest
from sodalake.lake.lake import Lake
from sodalake.lake.objectrows import ObjectRows
from sodalake.lake.reindexing import reindex
from sodalake.lake.rows import EmbeddedRows, within
from sodalake.lake.sky import CELLS
from sodalake.lake.writing import write_whole

ALL = [(0, CELLS)]
EVER = (-math.inf, math.inf)

Place = tuple[str, str, str | None]


@contextmanager
def local_place() -> Iterator[Place]:
    """A new lake and archive in a folder of its own: hypothesis runs many in one test."""
    with tempfile.TemporaryDirectory() as folder:
        yield as_url(f"{folder}/lake"), as_url(f"{folder}/archive"), None


def bring(place: Place, file: File, made: Path) -> None:
    """Write a file into the archive, and ingest it."""
    local = write_file(made, file)
    url = join(place[1], str(local.relative_to(made)))
    write_whole(url, local.read_bytes())
    report = ingest(place[0], "ztf", [url], rows=place[2], workers=1)
    assert report.failed == {}


def whole(tables: Iterable[pa.Table], schema: pa.Schema) -> pa.Table:
    """One table of many, all of one schema, in the order of alerts."""
    parts = list(tables)
    for part in parts:
        assert part.schema.equals(schema, check_metadata=True)
        assert part.num_rows
    return pa.concat_tables([schema.empty_table(), *parts]).sort_by("candid").combine_chunks()


def check(place: Place, history: Sequence[File]) -> None:
    """Every path shows what may be seen of a history."""
    lake = Lake.open(place[0])
    try:
        survey, expected = lake.survey("ztf"), seen(history)
        alerts, archive, objects = AlertRows(lake), ArchiveRows(lake), ObjectRows(lake)
        schema = flat_schema(lake, survey)
        names = schema.names
        found = whole(archive.read(survey, archive.files(survey), names, dictionaries=False), schema)
        rows = {(row["candid"], row["jd"], row["magpsf"], row["objectId"]) for row in found.to_pylist()}
        assert rows == {
            (one.candid, one.jd, 18.0 + one.version, one.objectId) for one, _ in expected.values()
        }
        assert found.num_rows == len(expected)
        ids = sorted({one.objectId for one, _ in expected.values()})
        by_row_store = {
            "sky": alerts.in_sky(survey, ALL, names),
            "time": alerts.in_time(survey, *EVER, names),
            "object": alerts.of_objects(survey, [*ids, "nobody", "", ids[0] if ids else "x"], names),
            "alert": alerts.of_alerts(survey, [*map(str, expected), "5", ""], names),
        }
        for table, tables in by_row_store.items():
            assert whole(tables, schema).equals(found), table
        covering = covering_schema(lake, survey)
        for tables in (
            alerts.in_sky(survey, ALL, covering.names),
            alerts.in_time(survey, *EVER, covering.names),
        ):
            assert whole(tables, covering).equals(found.select(covering.names))
        check_classes(alerts, survey, found)
        check_objects(objects, survey, found, ids)
    finally:
        lake.close()


def check_classes(alerts: AlertRows, survey: Any, found: pa.Table) -> None:
    """The class of an alert is the first that is not null; nobody is found twice or under another."""
    listed: dict[str, set[int]] = {}
    for row in found.to_pylist():
        klass = row.get("finkclass") if row.get("finkclass") is not None else row.get("cdsxmatch")
        if klass is not None:
            listed.setdefault(klass, set()).add(row["candid"])
    for klass in (*listed, "Nothing", "a"):
        (one,) = [alerts.in_class(survey, [klass], *EVER, ["candid", "num"])]
        got = [candid for table in one for candid in table["candid"].to_pylist()]
        assert sorted(got) == sorted(listed.get(klass, set()))
    both = alerts.in_class(survey, [*listed, "a_b", "a_b"], 2459541.0, 2459541.5, ["candid"])
    got = [candid for table in both for candid in table["candid"].to_pylist()]
    times = dict(zip(found["candid"].to_pylist(), found["jd"].to_pylist(), strict=True))
    assert sorted(got) == sorted(
        candid for one in listed.values() for candid in one if 2459541.0 <= times[candid] <= 2459541.5
    )


def check_objects(objects: ObjectRows, survey: Any, found: pa.Table, ids: Sequence[str]) -> None:
    """Objects are what their alerts come to; of equally late ones any may be the latest."""
    rows = found.to_pylist()
    schema = objects.schema(survey)
    for tables in (objects.all(survey, schema.names), objects.of_objects(survey, ["no", *ids], schema.names)):
        parts = list(tables)
        assert all(part.schema.equals(schema, check_metadata=True) for part in parts)
        got = {row["objectId"]: row for part in parts for row in part.to_pylist()}
        assert sum(part.num_rows for part in parts) == len(got)
        assert sorted(got) == list(ids)
        for one, row in got.items():
            mine = [other for other in rows if other["objectId"] == one]
            times = [other["jd"] for other in mine]
            assert (row["n_alerts"], row["first_jd"], row["last_jd"]) == (len(mine), min(times), max(times))
            late = [
                {name: other[name] for name in schema.names if name in found.schema.names}
                for other in mine
                if other["jd"] == max(times)
            ]
            assert {name: row[name] for name in late[0]} in late


def brought(place: Place, history: Sequence[File]) -> None:
    """Bring a whole history."""
    with tempfile.TemporaryDirectory() as made:
        for file in history:
            bring(place, file, Path(made))


def chain(*files: tuple[int, int]) -> list[File]:
    """Files of one alert each: the number of the file's name, and the alert's."""
    return [
        File(f"part-{name:02d}", (alert(number, order, order % 2, order),))
        for order, (name, number) in enumerate(files)
    ]


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(histories())
@example(
    chain((0, 1), (1, 1), (2, 1), (1, 5))
)  # what hid the first alert does no more, but the third file does
@example(chain((0, 1), (1, 1), (1, 1), (1, 5)))  # the first is seen again
def test_every_path_shows_what_may_be_seen(history: list[File]) -> None:
    with local_place() as place:
        brought(place, history)
        check(place, history)


@settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow])
@given(
    histories(rewritten=False), st.sets(st.sampled_from(["time", "class", "objects"]), min_size=1), st.data()
)
def test_a_lake_from_before_some_tables_is_filled(history: list[File], lost: set[str], data: Any) -> None:
    older = data.draw(st.integers(1, len(history)))
    with local_place() as place:
        brought(place, history[:older])
        lake = Lake.open(place[0])
        for table in lost:
            lake.rows.drop(f"ztf.{table}")
        for record in lake.catalogue("ztf").records():
            kept = tuple(name for name in record.tables if name not in lost)
            lake.rows.put_many("ztf.files", [(record.key, {"f": replace(record, tables=kept).to_json()})])
        lake.close()
        brought(place, history[older:])
        lake = Lake.open(place[0])
        survey, alerts, objects = lake.survey("ztf"), AlertRows(lake), ObjectRows(lake)
        reads: dict[str, Callable[[], Any]] = {
            "time": lambda: list(alerts.in_time(survey, *EVER, ["jd"])),
            "class": lambda: list(alerts.in_class(survey, ["Star"], *EVER, ["jd"])),
            "objects": lambda: list(objects.all(survey, ["n_alerts"])),
        }
        for table, read in reads.items():
            assert alerts.has(survey, table) == (table not in lost)
            if table in lost:
                with pytest.raises(UsageError, match=rf"index {table} yet. .* ingest ztf --reindex"):
                    read()
            else:
                read()
        lake.close()
        assert reindex(place[0], "ztf", workers=1).failed == {}
        check(place, history)
        again = [*history, File("part-99", history[0].alerts[:3], 1)]
        brought(place, again[-1:])
        check(place, again)


class Killed(Exception):
    """What ends an ingest at some moment."""


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(histories(most=4), st.integers(1, 9), st.booleans())
def test_an_ingest_killed_at_any_moment_is_done_again(
    history: list[File], moment: int, changed: bool
) -> None:
    left = moment

    def put_many(self: EmbeddedRows, table: str, rows: Any) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise Killed
        real(self, table, rows)

    real = EmbeddedRows.put_many
    with local_place() as place, tempfile.TemporaryDirectory() as made:
        for file in history[:-1]:
            bring(place, file, Path(made))
        last = history[-1]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(EmbeddedRows, "put_many", put_many)
            with contextlib.suppress(Killed, AssertionError):
                bring(place, last, Path(made))
        # It may be another file by now: nothing of the first must be seen.
        again = replace(last, alerts=last.alerts[1:] or last.alerts) if changed else last
        bring(place, again, Path(made))
        check(place, [*history[:-1], again])


def test_two_files_that_take_from_one_object_side_by_side() -> None:
    """They have no alert in common, so neither waits for the other, nor knows what it takes."""
    first = File("part-00", tuple(alert(number, 0, 0, number) for number in range(4)))
    one, other = (
        File("part-01", (alert(1, 1, 0, 1),)),
        File("part-02", (alert(2, 2, 0, 2), alert(3, 2, 1, 3))),
    )
    with local_place() as place:
        brought(place, [first])
        lake = Lake.open(place[0])
        before = lake.catalogue("ztf").view(fresh=True)
        lake.close()
        brought(place, [one])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_Indexing, "_view", before)
            brought(place, [other])
        check(place, [first, one, other])
        last = File("part-01", (alert(0, 3, 0, 0),))
        brought(place, [last])
        check(place, [first, other, last])


def test_a_column_without_columns_is_counted() -> None:
    history = [File("part-00", tuple(alert(number, 0, 0, number) for number in range(7)), 0, 3)]
    with local_place() as place:
        brought(place, history)
        lake = Lake.open(place[0])
        survey, archive, alerts = lake.survey("ztf"), ArchiveRows(lake), AlertRows(lake)
        for tables in (
            archive.read(survey, archive.files(survey), []),
            alerts.in_sky(survey, ALL, []),
            alerts.of_objects(survey, ["ZTF21a_0"], []),
            ObjectRows(lake).all(survey, []),
        ):
            counts = [(table.num_rows, table.num_columns) for table in tables]
            assert all(columns == 0 for _, columns in counts)
            assert sum(rows for rows, _ in counts) in (7, 1)
        nowhere = whole(alerts.in_time(survey, *EVER, ["candid", "nosuch"]), pa.schema(
            [flat_schema(lake, survey).field("candid"), pa.field("nosuch", pa.null())]
        ))  # fmt: skip
        assert nowhere["nosuch"].null_count == 7
        lake.close()


def many(count: int) -> list[File]:
    """One object an alert, one night."""
    return [File("part-00", tuple(alert(number, 0, number % 700, number % 50) for number in range(count)))]


def test_objects_whose_files_are_read_in_two_batches_are_one() -> None:
    history = [
        File(f"part-{part:02d}", tuple(alert(1000 * part + n, part, n, n % 9) for n in range(300)))
        for part in range(3)
    ]
    with local_place() as place:
        brought(place, history)
        lake = Lake.open(place[0])
        parts = list(ObjectRows(lake).all(lake.survey("ztf"), ["objectId", "n_alerts"]))
        assert len(parts) > 1
        rows = [row for part in parts for row in part.to_pylist()]
        assert sorted((row["objectId"], row["n_alerts"]) for row in rows) == sorted(
            (f"ZTF21a_{n}", 3) for n in range(300)
        )
        lake.close()


def test_limits_times_and_deadlines() -> None:
    with local_place() as place:
        brought(place, many(2500))
        lake = Lake.open(place[0])
        survey, alerts, archive = lake.survey("ztf"), AlertRows(lake), ArchiveRows(lake)
        names = ["candid", "jd", "num"]

        def readers(most: int | None) -> list[Iterator[pa.Table]]:
            return [
                alerts.in_sky(survey, ALL, names, most=most),
                alerts.in_time(survey, *EVER, names, most=most),
                alerts.of_objects(survey, [f"ZTF21a_{n}" for n in range(700)], names, most=most),
                ObjectRows(lake).all(survey, ["objectId"], most=most and most * 700 // 2500),
            ]

        for reader in readers(2500):
            assert sum(table.num_rows for table in reader) in (2500, 700)
        for reader in readers(2499):
            with pytest.raises(TooManyRows, match="More than"):
                list(reader)
        for reader in readers(None):
            assert next(reader).num_rows <= 256
            reader.close()
        for reader in readers(None):
            with within(-1), pytest.raises(DeadlineExceeded):
                list(reader)
        with within(-1), pytest.raises(DeadlineExceeded):
            list(archive.read(survey, archive.files(survey), names))
        between = alerts.in_sky(survey, ALL, names, times=(2459541.0, 2459542.0))
        days = [day for table in between for day in table["jd"].to_pylist()]
        assert (min(days), max(days), len(days)) == (2459541.0, 2459542.0, 5 * 50)
        for first, last, count in (
            (2459541.0, 2459541.0, 50),
            (3, 2, 0),
            (1e9, math.inf, 0),
            (-math.inf, 2459540.5, 50),
        ):
            found = alerts.in_time(survey, first, last, ["jd"])
            assert sum(table.num_rows for table in found) == count
        with pytest.raises(UsageError, match="not a number"):
            list(alerts.in_time(survey, math.nan, 1, ["jd"]))
        assert archive.files(survey, 2459560.0) == []
        assert archive.files(survey, last=2459540.4) == []
        assert len(archive.files(survey, 2459541.0, 2459541.0)) == 1
        lake.close()


def test_a_view_shows_the_same_from_the_first_batch_to_the_last() -> None:
    history = many(600)
    with local_place() as place:
        brought(place, history)
        lake = Lake.open(place[0])
        survey, alerts, archive = lake.survey("ztf"), AlertRows(lake), ArchiveRows(lake)
        names = ["candid", "magpsf"]
        view = lake.catalogue("ztf").view(fresh=True)
        started = alerts.in_sky(survey, ALL, names)
        first = next(started)
        moved = tuple(alert(number, 1, 0, 3) for number in range(300, 610))
        brought(place, [File("part-01", moved)])
        records = archive.files(survey, view=view)
        for tables in (
            [first, *started],
            alerts.in_time(survey, *EVER, names, view=view),
            archive.read(survey, records, names, view=view),
        ):
            rows = [row for table in tables for row in table.to_pylist()]
            assert {row["candid"] for row in rows} == {10**15 + number for number in range(600)}
            assert len(rows) == 600
            assert {row["magpsf"] for row in rows} == {18.0}
        check(place, [*history, File("part-01", moved)])
        lake.close()


def test_texts_of_few_values_may_stay_dictionaries() -> None:
    history = [*many(3000), File("part-01", tuple(alert(n, 1, n, n) for n in range(2)), 1)]
    with local_place() as place:
        brought(place, history)
        lake = Lake.open(place[0])
        survey, archive = lake.survey("ztf"), ArchiveRows(lake)
        names = ["objectId", "finkclass", "label", "candid"]
        coded = list(archive.read(survey, archive.files(survey), names))
        plain = list(archive.read(survey, archive.files(survey), names, dictionaries=False))
        assert len({str(table.schema) for table in coded}) == 1
        assert str(coded[0].schema.field("finkclass").type).startswith("dictionary<values=string")
        assert coded[0].schema.field("objectId").type == pa.string()
        assert pa.concat_tables(coded).cast(plain[0].schema).equals(pa.concat_tables(plain))
        lake.close()


def test_a_file_that_changed_since_its_ingest_is_not_read(tmp_path: Path) -> None:
    with local_place() as place:
        brought(place, many(20))
        lake = Lake.open(place[0])
        survey, archive = lake.survey("ztf"), ArchiveRows(lake)
        (record,) = archive.files(survey)
        path = Path(record.url.removeprefix("file://"))
        content = path.read_bytes()
        for wrong in (content + b"x", content[:-40] + bytes(32) + content[-8:]):
            path.write_bytes(wrong)
            with pytest.raises(Damaged, match="changed since its ingest"):
                list(archive.read(survey, [record], ["jd"]))
        path.unlink()
        with pytest.raises(FileGone):
            list(archive.read(survey, [record], ["jd"]))
        lake.close()


@pytest.mark.cluster
def test_every_path_shows_the_same_on_hbase_and_hdfs(hdfs_url: str, hbase_url: str) -> None:
    place = join(hdfs_url, "lake"), join(hdfs_url, "archive"), hbase_url
    history = [
        File("part-00", tuple(alert(n, 0, n % 40, n % 9) for n in range(1200)), 0, 500),
        File("part-01", tuple(alert(n, 1, n % 7, n % 5) for n in range(1000, 1300)), 1, 200),
        File("part-02", tuple(alert(n, 2, n % 3, n % 5) for n in range(1100, 1110)), 2),
        File("part-01", tuple(alert(n, 3, n % 3, n % 5) for n in range(1050, 1120)), 2),
    ]
    for number in range(len(history)):
        brought(place, history[number : number + 1])
        check(place, history[: number + 1])
