"""Ingest: in place, once, resumable; and what readers see meanwhile."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from alert_files import KINDS, Alert, night, write

from sodalake.lake.alerts import ByAlert, EpochsOf, InFile, LatestOf, Newest
from sodalake.lake.catalogue import FileRecord
from sodalake.lake.errors import Damaged, FileGone, NotInLake, OutsideArchive, Unavailable, UsageError
from sodalake.lake.files import as_url, join, read_bytes, stat
from sodalake.lake.indexing import index_file
from sodalake.lake.ingest import Progress, ingest
from sodalake.lake.lake import Lake
from sodalake.lake.lease import writer
from sodalake.lake.packing import unpack
from sodalake.lake.reader import Reader
from sodalake.lake.survey import read_survey_text
from sodalake.lake.versions import SINGLE
from sodalake.lake.writing import write_whole

ALL = ("science", "template", "difference")


def some(count: int, start: int = 1_000_000_000_000_000_000, objects: int = 3) -> list[Alert]:
    return [Alert(start + i, f"ZTF21aa{i % objects}", 2459540.5 + i / 100) for i in range(count)]


def check(reader: Reader, alerts: list[Alert]) -> None:
    """Every stamp of every alert comes out as it went in."""
    for alert in alerts:
        (got,) = reader.answer(ByAlert("ztf", str(alert.candid), ALL))
        assert got.object_id == alert.objectId
        assert got.time == alert.jd
        assert got.stamps == {kind.lower(): alert.stamp(kind) for kind in KINDS}


class IngestContract:
    """What an ingest does on every back end; a subclass says where the lake and the archive are."""

    @pytest.fixture
    def lake(self) -> str:
        raise NotImplementedError

    @pytest.fixture
    def archive(self) -> str:
        raise NotImplementedError

    @pytest.fixture
    def rows(self) -> str | None:
        return None

    @pytest.fixture
    def put(self, archive: str, tmp_path: Path) -> Callable[..., str]:
        """Writes a night of alerts into the archive and returns the file's URL."""

        def put(day: int, alerts: list[Alert], part: int = 0, **options: Any) -> str:
            local = night(tmp_path / "made", day, alerts, part, **options)
            url = join(archive, str(local.relative_to(tmp_path / "made")))
            write_whole(url, local.read_bytes())
            return url

        return put

    @pytest.fixture
    def bring(self, lake: str, rows: str | None) -> Callable[..., Any]:
        return lambda *paths, **options: ingest(
            lake, "ztf", list(paths), rows=rows, **{"workers": 1, **options}
        )

    @pytest.fixture
    def reader(self, lake: str) -> Callable[[], Reader]:
        return lambda: Reader(Lake.open(lake))

    def test_what_goes_in_comes_out(self, put: Any, bring: Any, reader: Any, archive: str) -> None:
        first, second = some(40), some(30, start=2_000_000_000_000_000_001)
        put(22, first, compression="zstd")
        put(23, second, row_group_size=7, data_page_version="2.0")
        seen: list[Progress] = []
        report = bring(archive, progress=seen.append)
        assert (report.rows, report.failed, len(report.done)) == (70, {}, 2)
        assert [(p.files, p.total_files, p.rows) for p in seen] == [(1, 2, 40), (2, 2, 70)]
        assert seen[-1].bytes == seen[-1].total_bytes
        check(reader(), first + second)

    def test_a_second_run_adds_nothing(self, put: Any, bring: Any, lake: str, archive: str) -> None:
        put(22, some(10))
        bring(archive)
        report = bring(archive)
        assert (report.rows, len(report.known), report.done) == (0, 1, [])
        assert len(Lake.open(lake).catalogue("ztf").records()) == 1

    def test_a_new_night_is_seen_by_a_running_reader(
        self, put: Any, bring: Any, reader: Any, archive: str
    ) -> None:
        put(22, some(5))
        bring(archive)
        running = reader()
        check(running, some(5))
        put(23, some(5, start=3))
        bring(archive)
        check(running, some(5, start=3))

    def test_the_later_ingest_of_an_alert_wins(self, put: Any, bring: Any, reader: Any, archive: str) -> None:
        alerts = some(6)
        again = [replace(alert, version=1) for alert in alerts[:3]]
        # An alert processed again may have another time: then its old epoch must not show beside the new one.
        moved = replace(alerts[3], version=1, jd=(alerts[3].jd or 0) + 0.25)
        put(22, alerts)
        bring(archive)
        running = reader()
        put(23, [*again, moved])
        report = bring(archive)
        assert report.done[0].superseded == 4
        check(running, [*again, moved, *alerts[4:]])
        for reading in (running, reader()):
            epochs = [
                (one.alert_id, one.time)
                for object_id in {alert.objectId for alert in alerts}
                for one in reading.answer(EpochsOf("ztf", object_id, ("science",))).alerts
            ]
            expected = [(str(a.candid), a.jd) for a in [*again, moved, *alerts[4:]]]
            assert sorted(epochs) == sorted(expected)

    def test_nothing_of_a_pending_file_is_seen(
        self, put: Any, bring: Any, reader: Any, archive: str, lake: str
    ) -> None:
        alerts = some(4)
        put(22, alerts)
        bring(archive)
        fresh = [replace(alert, version=1) for alert in alerts] + some(2, start=7)
        url = put(23, fresh)
        opened = Lake.open(lake)
        catalogue = opened.catalogue("ztf")
        record = catalogue.begin(FileRecord(0, url, len(read_bytes(url)), stat(url).mtime))
        running = reader()

        class Killed(Exception):
            pass

        def die(*_: Any, **__: Any) -> None:
            raise Killed

        with pytest.MonkeyPatch.context() as patch:  # the moment before the commit
            patch.setattr("sodalake.lake.catalogue.Catalogue.commit", die)
            with pytest.raises(Killed):
                index_file(lake, "ztf", record)
        check(running, alerts)
        check(reader(), alerts)
        with pytest.raises(NotInLake):
            reader().answer(ByAlert("ztf", "7", ALL))
        assert [r.state for r in catalogue.records()] == ["committed", "pending"]
        # The next run takes it up under the number it had.
        report = bring(archive)
        assert [done.number for done in report.done] == [record.number]
        check(running, fresh)
        assert {r.state for r in catalogue.records()} == {"committed"}

    def test_a_file_written_anew_replaces_what_it_held(
        self, put: Any, bring: Any, reader: Any, archive: str
    ) -> None:
        put(22, some(6))
        bring(archive)
        running = reader()
        kept = [replace(alert, version=2) for alert in some(6)[:2]]
        put(22, kept)
        report = bring(archive)
        assert report.rows == 2
        check(running, kept)
        check(reader(), kept)
        for alert in some(6)[2:]:
            with pytest.raises(NotInLake):
                reader().answer(ByAlert("ztf", str(alert.candid), ALL))

    def test_flat_columns_stand_in_the_object_rows(
        self, put: Any, bring: Any, archive: str, lake: str
    ) -> None:
        put(22, [Alert(1, "ZTF21a", 2459540.5)])
        put(23, [Alert(2, "ZTF21a", 2459541.5, extra={"rf_score": 0.5, "tns": "SN 2021x"})])
        bring(archive)
        opened = Lake.open(lake)
        scanned = list(opened.rows.scan("ztf.object", b"", None, ["d"]))
        table = unpack([cells[0] for _, cells in scanned], opened.catalogue("ztf").packings(), skip=SINGLE)
        assert table["candid"].to_pylist() == [1, 2]
        assert table.schema.field("candid").type == pa.int64()
        assert table["jd"].to_pylist() == [2459540.5, 2459541.5]
        assert table["magpsf"].to_pylist() == [18.0, 18.0]
        assert table["tns"].to_pylist() == [None, "SN 2021x"]

    def test_epochs_come_newest_first_page_by_page(
        self, put: Any, bring: Any, reader: Any, archive: str
    ) -> None:
        alerts = some(25, objects=1)
        put(22, alerts[::2])
        put(23, alerts[1::2])
        bring(archive)
        running, after, got = reader(), None, []
        for _ in range(10):
            page = running.answer(EpochsOf("ztf", "ZTF21aa0", ("difference",), after, limit=7))
            got += page.alerts
            after = page.next
            if after is None:
                break
        assert [one.alert_id for one in got] == [str(a.candid) for a in reversed(alerts)]
        assert [one.stamps["difference"] for one in got] == [a.stamp("Difference") for a in reversed(alerts)]
        (latest,) = running.answer(LatestOf("ztf", "ZTF21aa0", ("science",)))
        assert latest.alert_id == str(alerts[-1].candid)
        with pytest.raises(NotInLake, match="ZTF99"):
            running.answer(LatestOf("ztf", "ZTF99", ("science",)))
        with pytest.raises(NotInLake, match="objectId"):
            running.answer(EpochsOf("ztf", "ZTF21aa", ("science",)))

    def test_the_newest_alerts_with_their_columns(
        self, put: Any, bring: Any, reader: Any, archive: str
    ) -> None:
        alerts = some(9)
        put(22, alerts[:5])
        put(23, alerts[5:])
        bring(archive)
        newest = reader().answer(Newest("ztf", 6))
        assert [one.alert_id for one in newest] == [str(a.candid) for a in reversed(alerts[3:])]
        assert newest[0].columns["magpsf"] == 18.0

    def test_a_stamp_is_found_in_the_file_that_is_named(
        self, put: Any, bring: Any, reader: Any, archive: str
    ) -> None:
        alerts = some(4, objects=1)
        first = put(22, alerts)
        second = put(23, [replace(alerts[1], version=1)])
        bring(archive)
        running = reader()

        def in_file(url: str, object_id: str | None = None, alert_id: str | None = None) -> str | None:
            (got,) = running.answer(InFile("ztf", url, object_id, alert_id, ("science",)))
            return {
                a.stamp("Science"): f"{a.candid} v{a.version}"
                for a in [*alerts, replace(alerts[1], version=1)]
            }[got.stamps["science"]]

        path = first.partition("://")[2].partition("/")[2]
        assert in_file(f"hdfs://10.0.0.1:8020///{path}", "ZTF21aa0") == f"{alerts[3].candid} v0"
        assert in_file("/" + path, None, str(alerts[0].candid)) == f"{alerts[0].candid} v0"
        assert in_file(second, "ZTF21aa0") == f"{alerts[1].candid} v1"
        with pytest.raises(NotInLake):
            in_file(second, "ZTF21aa0", str(alerts[0].candid))
        with pytest.raises(NotInLake):
            in_file(second, "ZTF21other")
        with pytest.raises(NotInLake, match="not in the lake"):
            in_file(join(archive, "science/other.parquet"), "ZTF21aa0")
        with pytest.raises(OutsideArchive):
            in_file("/etc/passwd", "ZTF21aa0")
        with pytest.raises(UsageError):
            in_file(first)

    def test_rows_without_keys_are_skipped_and_said(
        self, put: Any, bring: Any, reader: Any, archive: str
    ) -> None:
        good = some(3)
        put(22, [*good, Alert(5, "ZTF21x", None), Alert(6, "", 2459541.0), replace(good[0], version=1)])
        report = bring(archive)
        assert report.rows == 3
        assert sum(report.skipped.values()) == 2
        assert any("candidate.jd" in reason for reason in report.skipped)
        # The same alert twice in one file: the later row counts.
        check(reader(), [replace(good[0], version=1), *good[1:]])

    def test_missing_stamps_and_missing_columns(
        self, put: Any, bring: Any, reader: Any, archive: str
    ) -> None:
        alerts = [
            replace(alert, missing=("Template",)) if i % 2 else alert for i, alert in enumerate(some(6))
        ]
        put(22, alerts)
        assert bring(archive).done[0].missing == ()
        check(reader(), alerts)

    def test_a_damaged_file_does_not_stop_the_others(
        self, put: Any, bring: Any, reader: Any, archive: str
    ) -> None:
        good = some(3)
        put(23, good)
        broken = put(24, some(3, start=50))
        data = bytearray(read_bytes(broken))
        data[4:2000] = bytes(1996)
        write_whole(broken, bytes(data))
        write_whole(join(archive, "science/year=2021/month=11/day=25/no.parquet"), b"PAR1 this is none PAR1")
        report = bring(archive)
        assert report.rows == 3
        assert sorted(url.rpartition("/")[2] for url in report.failed) == [
            "no.parquet",
            "part-00000.snappy.parquet",
        ]
        assert all(report.failed.values())
        check(reader(), good)
        with pytest.raises(NotInLake):
            reader().answer(ByAlert("ztf", "50", ALL))

    def test_a_file_gone_or_changed_after_its_ingest(
        self, put: Any, bring: Any, reader: Any, archive: str
    ) -> None:
        url = put(22, some(3))
        bring(archive)
        write_whole(url, read_bytes(url) + b"more")
        with pytest.raises(Damaged, match="changed since its ingest"):
            check(reader(), some(3))
        write_whole(url, bytes(len(read_bytes(url)) - 4))
        with pytest.raises(Damaged, match="Ingest the file again"):
            check(reader(), some(3))
        from sodalake.lake.files import filesystem, path_of

        filesystem(url).rm(path_of(url))
        with pytest.raises(FileGone, match="part-00000"):
            check(reader(), some(3))

    def test_one_writer_at_a_time(self, put: Any, bring: Any, archive: str, lake: str) -> None:
        put(22, some(3))
        bring(archive)
        opened = Lake.open(lake)
        with writer(opened.rows, "ztf.files"), pytest.raises(Unavailable, match="Another ingest"):
            bring(archive)
        assert bring(archive).known
        # A holder on this machine that is no more does not keep others out.
        with subprocess.Popen([sys.executable, "-c", "pass"]) as gone:
            pass
        dead = {"token": "x", "host": os.uname().nodename, "pid": gone.pid, "until": 9e12}
        opened.rows.put_many("ztf.files", [(b"ingest", {"f": json.dumps(dead).encode()})])
        assert bring(archive).known


class TestEmbedded(IngestContract):
    @pytest.fixture
    def lake(self, tmp_path: Path) -> str:
        return as_url(str(tmp_path / "lake"))

    @pytest.fixture
    def archive(self, tmp_path: Path) -> str:
        return as_url(str(tmp_path / "archive"))

    def test_a_killed_ingest_goes_on(
        self, put: Any, bring: Any, reader: Any, archive: str, lake: str
    ) -> None:
        nights = {day: some(300, start=day * 10**6) for day in range(1, 13)}
        for day, alerts in nights.items():
            put(day, alerts)
        code = (
            "import sys; from sodalake.lake.ingest import ingest\n"
            "if __name__ == '__main__':\n"
            "    ingest(sys.argv[1], 'ztf', [sys.argv[2]], workers=1, progress=lambda p: print(p.files, flush=True))"
        )
        for stop_after in (1, 3, 2):
            with subprocess.Popen(
                [sys.executable, "-c", code, lake, archive], stdout=subprocess.PIPE, text=True
            ) as run:
                assert run.stdout is not None
                for line in run.stdout:
                    if int(line) >= stop_after:
                        run.send_signal(signal.SIGKILL)
                        break
        report = bring(archive)
        assert not report.failed
        assert report.known  # what was done before the kill is not done again
        assert len(report.known) + len(report.done) == 12
        running = reader()
        check(running, [alert for alerts in nights.values() for alert in alerts[::29]])
        records = running.lake.catalogue("ztf").records()
        assert sorted(r.number for r in records) == list(range(1, 13))
        assert {r.state for r in records} == {"committed"}
        assert sum(r.rows for r in records) == 3600

    def test_several_workers_heed_the_order_of_files(
        self, put: Any, bring: Any, reader: Any, archive: str
    ) -> None:
        shared = some(5)
        for day in range(1, 9):  # each night holds the same five alerts, processed again
            put(day, [replace(alert, version=day) for alert in shared] + some(20, start=day * 1000))
        report = bring(archive, workers=2)
        assert (report.failed, report.rows) == ({}, 8 * 25)
        check(reader(), [replace(alert, version=8) for alert in shared])
        assert sum(done.superseded for done in report.done) == 7 * 5

    def test_the_newest_of_two_surveys_are_each_its_own(
        self, put: Any, bring: Any, reader: Any, archive: str, lake: str, tmp_path: Path
    ) -> None:
        put(22, some(3))
        bring(archive)
        text = read_survey_text("ztf").replace('name = "ztf"', 'name = "other"', 1)
        (tmp_path / "other.toml").write_text(text)
        file = write(tmp_path / "elsewhere" / "p.parquet", some(2, start=77))
        ingest(lake, str(tmp_path / "other.toml"), [str(file)], workers=1)
        running = reader()
        assert {r.number for name in ("ztf", "other") for r in running.lake.catalogue(name).records()} == {1}
        assert [one.alert_id for one in running.answer(Newest("ztf", 1))] == [str(some(3)[-1].candid)]
        assert [one.alert_id for one in running.answer(Newest("other", 1))] == ["78"]

    def test_the_newest_alerts_are_found_behind_superseded_ones(
        self, put: Any, bring: Any, reader: Any, archive: str
    ) -> None:
        alerts = some(9)
        put(22, alerts)
        # The latest five are processed again, and turn out to be older.
        put(23, [replace(alert, version=1, jd=(alert.jd or 0) - 50) for alert in alerts[4:]])
        bring(archive)
        newest = reader().answer(Newest("ztf", 3))
        assert [one.alert_id for one in newest] == [str(a.candid) for a in (alerts[3], alerts[2], alerts[1])]
        # A night that is wholly processed again shows nothing of its first file.
        put(24, [replace(alert, version=2, jd=(alert.jd or 0) - 100) for alert in alerts])
        bring(archive)
        newest = reader().answer(Newest("ztf", 3))
        assert [one.alert_id for one in newest] == [str(a.candid) for a in (alerts[8], alerts[7], alerts[6])]

    def test_a_column_of_another_survey_is_said(self, bring: Any, archive: str, tmp_path: Path) -> None:
        pq.write_table(pa.table({"x": [1, 2]}), tmp_path / "other.parquet")
        report = bring(str(tmp_path / "other.parquet"))
        assert "candid" in next(iter(report.failed.values()))

    def test_an_archive_of_one_file_by_a_relative_path(
        self, bring: Any, reader: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(tmp_path / "here" / "one.parquet", some(3))
        monkeypatch.chdir(tmp_path / "here")
        assert bring("one.parquet").rows == 3
        check(reader(), some(3))


@pytest.mark.cluster
class TestHadoop(IngestContract):
    @pytest.fixture
    def lake(self, hdfs_url: str) -> str:
        return join(hdfs_url, "lake")

    @pytest.fixture
    def archive(self, hdfs_url: str) -> str:
        return join(hdfs_url, "archive")

    @pytest.fixture
    def rows(self, hbase_url: str) -> str | None:
        return hbase_url
