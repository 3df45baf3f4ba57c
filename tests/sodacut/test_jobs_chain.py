"""The whole way of a job over a small lake: list or combinations in; parts, containers and manifest out."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import pickle
import shutil
import subprocess
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from alert_files import Alert, night
from astropy.io import fits

from sodalake.lake.demo import write_demo_archive
from sodalake.lake.errors import NotInLake, OutsideArchive, Unavailable, UsageError
from sodalake.lake.ingest import ingest
from sodalake.lake.lake import Lake
from sodalake.lake.reader import Reader
from sodalake.lake.results import ResultFolder
from sodalake.sodacut import ArrowStamps, FitsStamp, JsonArrays, Picture, parse_circle, read_image
from sodalake.sodacut.filters import StampFilters
from sodalake.sodacut.jobs import (
    ERROR,
    NO_OVERLAP,
    NOT_FOUND,
    OK,
    Cancelled,
    Combination,
    Order,
    Pieces,
    Range,
    StampUnit,
    StampWork,
    UnitReport,
    allowed_folder,
    arrow_pieces,
    deliver,
    deliver_extras,
    lost,
    manifest_table,
    manifests,
    overridden,
    read_targets,
    resolve,
    run_unit,
    units,
    write_parquet,
    zip_pieces,
)

KINDS = ("science", "template", "difference")
MADE = [Alert(100 + i, f"ZTF21obj{i % 5}", 2459540.5 + i, place=(30.0 + i, -5.0)) for i in range(12)]
LACKING = Alert(200, "ZTF21lacks", missing=("Template",))
BARE = Alert(201, "ZTF21bare", missing=("Science", "Template", "Difference"))
CORRUPT = Alert(300, "ZTF21corrupt")
GONE = Alert(400, "ZTF21gone")


@dataclass
class Archive:
    """A lake, and what is in it."""

    url: str
    lsst: list[dict[str, Any]] = field(default_factory=list)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    root = tmp_path_factory.mktemp("archive")
    made = Archive(str(tmp_path_factory.mktemp("lake")))
    for file in write_demo_archive(str(root / "demo"), objects=30, nights=6, seed=7, surveys=("lsst",)):
        made.lsst += pq.read_table(urlsplit(file.url).path).to_pylist()
    night(root, 1, MADE[:6])
    night(root, 2, [*MADE[6:], LACKING, BARE])
    corrupt, gone = night(root, 3, [CORRUPT], write_statistics=False), night(root, 4, [GONE])
    assert not ingest(made.url, "ztf", [str(root / "science")], workers=1).failed
    assert not ingest(made.url, "lsst", [str(root / "demo")], workers=1).failed
    stored = CORRUPT.stamp("Science")
    assert stored is not None
    content = corrupt.read_bytes()
    at = content.find(stored[100:150])
    assert at > 0, "the stamp's gzip bytes stand in the file as they are"
    corrupt.write_bytes(content[:at] + bytes(50) + content[at + 50 :])
    gone.unlink()
    return made


@pytest.fixture(scope="module")
def reader(archive: Archive) -> Iterator[Reader]:
    reader = Reader(Lake.open(archive.url))
    yield reader
    reader.files.close()
    reader.lake.close()


@pytest.fixture
def results(tmp_path: Path) -> ResultFolder:
    return ResultFolder(str(tmp_path / "results"))


def order_of(common: Mapping[str, str], form: str = "files") -> Callable[[str, Mapping[str, str]], Order]:
    """A little of what the server makes of a request's parameters."""

    def order(survey: str, own: Mapping[str, str]) -> Order:
        given = overridden(common, own)
        kind = given.get("KIND", "science").lower()
        if kind not in KINDS:
            raise UsageError(f"KIND={kind} is not known.")
        region = parse_circle(given["CIRCLE"]) if "CIRCLE" in given else None
        if form == "table":
            return Order((kind,), ArrowStamps((kind,), region=region))
        match given.get("RESPONSEFORMAT", "fits"):
            case "png":
                return Order((kind,), Picture(kind, region=region))
            case "json":
                return Order(KINDS, JsonArrays(KINDS, region=region))
            case _:
                return Order((kind,), FitsStamp(kind, region))

    return order


def listed(
    reader: Reader, text: str, *, form: Any = "files", common: Mapping[str, str] | None = None, **more: Any
) -> StampWork:
    targets = read_targets(
        text.encode(), reader.lake.surveys, parameters=("CIRCLE", "POS", "KIND", "RESPONSEFORMAT"), **more
    )
    return StampWork.of_list(targets, order_of(common or {}, form), form=form)


def done(reader: Reader, work: StampWork, results: ResultFolder, each: int = 4) -> list[UnitReport]:
    """Do all of a work; everything goes through pickle, as it does to a worker and back."""
    resolved = [travelled(resolve(reader, travelled(question))) for question in work.chunks(3)]
    todo = units(work, resolved[::-1], each)
    assert sum(len(unit) for unit in todo) == len(work)
    return [
        travelled(run_unit(reader, travelled(unit), results, f"job/part-{number:06d}"))
        for number, unit in enumerate(todo)
    ]


def travelled(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value, 5))


def whole(pieces: Pieces, results: ResultFolder) -> bytes:
    out = []
    for piece in pieces.pieces:
        if isinstance(piece, Range):
            source = results.open(piece.object)
            out.append(source.read_at(piece.offset, piece.length))
            source.close()
        else:
            out.append(piece)
    body = b"".join(out)
    assert len(body) == pieces.length
    return body


def lines(reports: Sequence[UnitReport], count: int, **more: Any) -> list[dict[str, Any]]:
    return manifest_table(reports, count, **more).to_pylist()  # type: ignore[no-any-return]


def near(alert: Mapping[str, Any], beside: float = 0.0) -> str:
    source = alert["diaSource"]
    return f"{source['ra']!r},{source['dec'] + beside!r}"


# ---------------------------------------------------------------------- files


@pytest.mark.parametrize("each", [1, 4, 1000])
def test_files_of_a_list_with_all_that_can_happen(
    reader: Reader, archive: Archive, results: ResultFolder, each: int
) -> None:
    one = archive.lsst[0]
    newest = max(archive.lsst, key=lambda alert: alert["diaSource"]["midpointMjdTai"])
    source = one["diaSource"]
    circle = f"{source['ra']!r} {source['dec']!r} 0.001"
    beside = f"{source['ra']!r} {source['dec'] + 1!r} 0.001"
    text = "\r\n".join(
        [
            "ID,alertId,survey,RA,Dec,Circle,kind,RESPONSEFORMAT,mine",
            "plain,100,ztf,,,,,,x",
            "étoile 1/2,101,ztf,,,,template,,",
            f"cut,{one['diaSourceId']},lsst,,,{circle},,,",
            f"beside,{one['diaSourceId']},lsst,,,{beside},,,",
            "picture,102,ztf,,,,,png,",
            "arrays,200,ztf,,,,,json,",
            "no template,200,ztf,,,,template,,",
            "nothing at all,201,ztf,,,,,,",
            "missing,999,ztf,,,,,,",
            "corrupt,300,ztf,,,,,,",
            "gone,400,ztf,,,,,,",
            "no wcs,103,ztf,,,30 -5 1,,,",
            "spreadsheet,1.03E+02,ztf,,,,,,",
            "kind,104,ztf,,,,psf,,",
            "short,105",
            ",106,ztf,,,,,,",
            f"by position,,lsst,{near(newest, 0.5 / 3600)},,,,",
            f"too far,,lsst,{near(newest, 2 / 3600)},,,,",
            "plain,100,ztf,,,,,,again",
        ]
    )
    work = listed(reader, text)
    reports = done(reader, work, results, each)
    found = {line["row"]: line for line in lines(reports, len(work))}
    assert list(found) == list(range(1, 20))
    assert {row: line["status"] for row, line in found.items()} == {
        1: OK, 2: OK, 3: OK, 4: NO_OVERLAP, 5: OK, 6: OK, 7: NOT_FOUND, 8: NOT_FOUND, 9: NOT_FOUND, 10: ERROR,
        11: ERROR, 12: ERROR, 13: ERROR, 14: ERROR, 15: ERROR, 16: OK, 17: OK, 18: NOT_FOUND, 19: OK,
    }  # fmt: skip
    assert all((line["message"] is None) == (line["status"] == OK) for line in found.values())
    assert "999" in found[9]["message"]
    assert "1.03E+02" in found[13]["message"]
    assert "digits" in found[13]["message"]
    assert "psf" in found[14]["message"]
    assert "line 16" in found[15]["message"]
    assert "2 cells" in found[15]["message"]
    assert [found[row]["id"] for row in (1, 2, 16)] == ["plain", "étoile 1/2", "16"]
    assert found[16]["file"] == "000016_ZTF21obj1_Science.fits"
    assert found[2]["file"] == "000002_toile-1-2_ZTF21obj1_Template.fits"
    assert (found[17]["survey"], found[17]["alert"]) == ("lsst", str(newest["diaSourceId"]))
    # Every file is a range of a part, and what it says it is.
    files = [file for report in reports for file in report.files()]
    assert len({file.name.lower() for file in files}) == len(files) == 8
    for file in files:
        part = results.open(file.part)
        body = part.read_at(file.offset, file.length)
        part.close()
        assert hashlib.sha256(body).hexdigest() == file.sha256 == found[file.row]["sha256"]
        if file.row == 5:
            assert (file.content_type, body[:4]) == ("image/png", b"\x89PNG")
        elif file.row == 6:
            assert json.loads(body)["b:cutoutTemplate_stampData"] is None
        else:
            image = fits.open(io.BytesIO(body))[0].data
            assert image is not None
            if file.row == 2:
                assert np.array_equal(image, read_image(MADE[1].stamp("Template") or b""))
    # And all parts one behind the other are a zip.
    table = manifest_table(reports, len(work), urls="https://archive.example/results/")
    body = whole(zip_pieces(reports, manifests(table)), results)
    with zipfile.ZipFile(io.BytesIO(body)) as bundle:
        assert bundle.testzip() is None
        names = [line["file"] for line in found.values() if line["file"]]
        assert bundle.namelist() == [*names, "manifest.csv", "manifest.json", "manifest.vot"]
        rows = list(csv.DictReader(io.StringIO(bundle.read("manifest.csv").decode())))
        for row in rows:
            if row["file"]:
                assert hashlib.sha256(bundle.read(row["file"])).hexdigest() == row["sha256"]
                assert row["url"] == f"https://archive.example/results/{row['file']}"


def test_the_zip_pleases_unzip(reader: Reader, results: ResultFolder, tmp_path: Path) -> None:
    if shutil.which("unzip") is None:
        pytest.skip("UNZIP NOT TESTED: it is not installed")
    reports = done(reader, listed(reader, "candid\n100\n101\n102\n103\n104"), results, 2)
    path = tmp_path / "job.zip"
    path.write_bytes(whole(zip_pieces(reports), results))
    told = subprocess.run(["unzip", "-t", str(path)], capture_output=True, text=True, check=True).stdout
    assert told.count("OK") == 5
    assert "No errors" in told


def test_the_same_job_makes_the_same_bytes(reader: Reader, results: ResultFolder) -> None:
    def once() -> bytes:
        return whole(zip_pieces(done(reader, listed(reader, "candid\n105\n100\n103"), results, 2)), results)

    assert once() == once()


def test_combinations_have_a_result_each(reader: Reader, archive: Archive, results: ResultFolder) -> None:
    one = archive.lsst[0]
    alert, source = str(one["diaSourceId"]), one["diaSource"]
    here = Order(("science",), FitsStamp("science", parse_circle(f"{source['ra']} {source['dec']} 0.0005")))
    there = Order(
        ("science",), FitsStamp("science", parse_circle(f"{source['ra']} {source['dec'] + 1} 0.0005"))
    )
    work = StampWork.of_combinations(
        [
            Combination("lsst", alert, here, "a-1"),
            Combination("lsst", alert, there, "a-2"),
            Combination("lsst", "31", here, "b-1"),
            Combination("ztf", "300", Order(("science",), FitsStamp("science")), "c-1"),
        ]
    )
    reports = done(reader, work, results, 1)
    files = sorted((file for report in reports for file in report.files()), key=lambda file: file.row)
    assert [(file.row, file.id, file.status) for file in files] == [
        (1, "a-1", OK), (2, "a-2", NO_OVERLAP), (3, "b-1", NOT_FOUND), (4, "c-1", ERROR),
    ]  # fmt: skip
    texts = []
    for file in files[1:]:
        part = results.open(file.part)
        texts.append(part.read_at(file.offset, file.length).decode())
        part.close()
        assert file.content_type == "text/plain; charset=utf-8"
    assert [text.partition(":")[0] for text in texts] == ["Error", "UsageError", "Error"]
    assert "31" in texts[1]
    assert sum(report.failed for report in reports) == 3
    with zipfile.ZipFile(io.BytesIO(whole(zip_pieces(reports), results))) as bundle:
        assert bundle.testzip() is None
        assert len(bundle.namelist()) == 4


def test_filters_leave_nothing_of_an_alert_of_another_time(reader: Reader, results: ResultFolder) -> None:
    day = 2459540.5 - 2_400_000.5
    asked = [
        StampFilters("", "", time=(day - 0.1, day + 0.1)),
        StampFilters("", "", time=(day + 10, day + 20)),
        StampFilters("", "", pol=("Q",)),
    ]
    orders = [Order(("science",), FitsStamp("science"), filters) for filters in asked]
    work = StampWork.of_combinations(
        [Combination("ztf", "100", order, str(number)) for number, order in enumerate(orders)]
    )
    found = lines(done(reader, work, results), 3)
    assert [line["status"] for line in found] == [OK, NO_OVERLAP, NO_OVERLAP]


def test_stored_gzip_stays_gzip_under_its_name(reader: Reader, results: ResultFolder) -> None:
    order = Order(("science",), FitsStamp("science", None, accept_gzip=True))
    work = StampWork.of_combinations([Combination("ztf", "100", order, "x")])
    (report,) = done(reader, work, results)
    (file,) = report.files()
    assert (file.name, file.content_type) == ("000001_x_ZTF21obj0_Science.fits.gz", "application/gzip")
    assert results.open(file.part).read_at(file.offset, file.length) == MADE[0].stamp("Science")


# ---------------------------------------------------------------------- tables


@pytest.mark.parametrize("each", [1, 3, 1000])
def test_a_table_as_arrow_and_as_parquet(
    reader: Reader, archive: Archive, results: ResultFolder, each: int
) -> None:
    one = archive.lsst[0]
    source = one["diaSource"]
    text = "\n".join(
        [
            "id,alertId,survey,circle,kind",
            "a,100,ztf,,",
            "b,101,ztf,,difference",
            f"c,{one['diaSourceId']},lsst,{source['ra']!r} {source['dec']!r} 0.0005,",
            f"d,{one['diaSourceId']},lsst,{source['ra']!r} {source['dec'] + 1!r} 0.0005,",
            "e,300,ztf,,",
            "f,400,ztf,,",
            "g,999,ztf,,",
            "h,200,ztf,,template",
            "i,105,ztf,,",
        ]
    )
    work = listed(reader, text, form="table")
    reports = done(reader, work, results, each)
    found = lines(reports, len(work), container="stamps.arrows")
    assert [line["status"] for line in found] == [
        OK, OK, OK, NO_OVERLAP, ERROR, ERROR, NOT_FOUND, NOT_FOUND, OK,
    ]  # fmt: skip
    assert [line["file"] for line in found] == [
        "stamps.arrows" if line["status"] == OK else None for line in found
    ]
    stream = whole(arrow_pieces(reports), results)
    table = pa.ipc.open_stream(stream).read_all()
    rows = sorted(table.to_pylist(), key=lambda row: row["row"])
    assert [(row["id"], row["row"], row["kind"]) for row in rows] == [
        ("a", 1, "science"), ("b", 2, "difference"), ("c", 3, "science"), ("i", 9, "science"),
    ]  # fmt: skip
    for row, (alert, kind) in zip(
        (rows[0], rows[1], rows[3]), ((0, "Science"), (1, "Difference"), (5, "Science")), strict=True
    ):
        image = np.array(row["pixels"], np.float32).reshape(row["height"], row["width"])
        assert np.array_equal(image, read_image(MADE[alert].stamp(kind) or b""))
    assert rows[2]["height"] < 30
    assert [line["bytes"] for line in found if line["status"] == OK] == [
        4 * len(row["pixels"]) for row in rows
    ]
    parts = [report.part for report in reports if report.length]
    size = write_parquet(results, parts, "job/stamps.parquet")
    assert size == results.size("job/stamps.parquet")
    with pq.ParquetFile(urlsplit(results.url_of("job/stamps.parquet")).path) as file:
        assert file.read().equals(table)


def test_a_table_with_the_stored_bytes(reader: Reader, results: ResultFolder) -> None:
    targets = read_targets(b"candid\n100\n200", reader.lake.surveys)
    order = Order(KINDS, ArrowStamps(KINDS, fits=True))
    work = StampWork.of_list(targets, lambda survey, own: order, form="table")
    reports = done(reader, work, results)
    table = pa.ipc.open_stream(whole(arrow_pieces(reports, fits=True), results)).read_all()
    stored = {(row["row"], row["kind"]): row["fits"] for row in table.to_pylist()}
    assert stored == {
        (at, kind): alert.stamp(kind.capitalize())
        for at, alert in ((1, MADE[0]), (2, LACKING))
        for kind in KINDS
    }
    write_parquet(results, [report.part for report in reports], "job/t.parquet", fits=True)
    with pq.ParquetFile(urlsplit(results.url_of("job/t.parquet")).path) as file:
        assert file.read().equals(table)


def test_a_table_without_a_row_is_a_table(reader: Reader, results: ResultFolder) -> None:
    reports = done(reader, listed(reader, "candid\n999\n998", form="table"), results)
    assert [(report.part, report.length) for report in reports] == [("", 0)]
    assert results.names() == []
    assert pa.ipc.open_stream(whole(arrow_pieces(reports), results)).read_all().num_rows == 0
    write_parquet(results, [], "job/t.parquet")
    with pq.ParquetFile(urlsplit(results.url_of("job/t.parquet")).path) as file:
        assert file.metadata.num_rows == 0


def test_a_table_takes_no_pictures(reader: Reader) -> None:
    targets = read_targets(
        b"candid,RESPONSEFORMAT\n100,\n101,png", reader.lake.surveys, parameters=("RESPONSEFORMAT",)
    )
    with pytest.raises(UsageError, match="table"):
        StampWork.of_list(targets, order_of({}), form="table")


# ---------------------------------------------------------------------- units


def test_units_are_of_neighbours(reader: Reader, results: ResultFolder) -> None:
    """Alerts of two files, asked for in any order: each file's are read together, in their order."""
    ids = [alert.candid for alert in MADE]
    text = "candid\n" + "\n".join(str(ids[at]) for at in np.random.default_rng(1).permutation(len(ids)))
    work = listed(reader, text)
    todo = units(work, [resolve(reader, question) for question in work.chunks()], 6)
    assert [unit.targets["alert"].to_pylist() for unit in todo] == [
        [str(i) for i in ids[:6]],
        [str(i) for i in ids[6:]],
    ]
    before = reader.files.reads
    run_unit(reader, todo[0], results, "job/x")
    assert reader.files.reads - before == 1
    assert len(pickle.dumps(todo[0])) < 6000


def test_what_travels_is_small(reader: Reader) -> None:
    text = "candid\n" + "100\n" * 2500
    work = listed(reader, text)
    (question,) = work.chunks(2500)
    answer = resolve(reader, question)
    (unit,) = units(work, [answer], 2500)
    assert len(pickle.dumps(question)) / 2500 < 120
    assert len(pickle.dumps(answer)) / 2500 < 250
    assert len(pickle.dumps(unit)) / 2500 < 350


def test_a_chunk_that_is_answered_twice_is_noticed(reader: Reader) -> None:
    work = listed(reader, "candid\n100")
    (question,) = work.chunks()
    answer = resolve(reader, question)
    with pytest.raises(ValueError, match="twice"):
        units(work, [answer, answer], 1)


def test_called_off_between_targets(reader: Reader, results: ResultFolder) -> None:
    for form in ("files", "table"):
        work = listed(reader, "candid\n" + "\n".join(str(a.candid) for a in MADE), form=form)
        (unit,) = units(work, [resolve(reader, question) for question in work.chunks()], 100)
        looks = 0

        def cancelled() -> bool:
            nonlocal looks
            looks += 1
            return looks > 5

        with pytest.raises(Cancelled):
            run_unit(reader, unit, results, "job/x", cancelled)
        assert looks == 6
    assert results.names() == []


def test_an_archive_that_does_not_answer_fails_the_unit(
    reader: Reader, results: ResultFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise Unavailable("The file system does not answer.")

    work = listed(reader, "candid\n100\n999")
    (unit,) = units(work, [resolve(reader, question) for question in work.chunks()], 100)
    monkeypatch.setattr(reader.files, "read", refuse)
    with pytest.raises(Unavailable):
        run_unit(reader, unit, results, "job/x")
    assert results.names() == []
    # What the job then tells of it: everybody is there, and those that were lost anyway keep their reason.
    report = lost(unit, "The file system does not answer.")
    found = lines([UnitReport.unpack(report.pack())], 2)
    assert [(line["status"], line["message"]) for line in found] == [
        (ERROR, "The file system does not answer."),
        (NOT_FOUND, "There is no alert 999 in ztf."),
    ]


@pytest.mark.parametrize("form", ["files", "table"])
def test_a_write_that_fails_is_begun_anew_with_what_was_made(
    reader: Reader, results: ResultFolder, form: str
) -> None:
    class Failing(ResultFolder):
        """Its first write breaks off, as when a DataNode dies."""

        def write(self, name: str, content: Any) -> int:
            broken = iter(content)
            next(broken)
            return super().write(name, content)

    work = listed(reader, "candid\n" + "100\n101\n" * 150, form=form)
    (unit,) = units(work, [resolve(reader, question) for question in work.chunks()], 300)
    run_unit(reader, unit, results, "job/whole")
    report = run_unit(reader, unit, Failing(results.url), "job/again")
    whole_part, again = (results.open(f"job/{name}") for name in ("whole", "again"))
    assert report.length == whole_part.size == again.size > 300 * 100
    assert whole_part.read_at(0, whole_part.size) == again.read_at(0, again.size)


@pytest.mark.parametrize("wrong", [Unavailable("The file system does not answer."), OSError("a disk died")])
def test_an_archive_that_fails_half_way_leaves_no_part(
    reader: Reader, results: ResultFolder, monkeypatch: pytest.MonkeyPatch, wrong: Exception
) -> None:
    work = listed(reader, "candid\n" + "100\n101\n" * 150)
    (unit,) = units(work, [resolve(reader, question) for question in work.chunks()], 300)
    read, calls = reader.files.read, 0

    def once(wanted: Any) -> list[bytes]:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise wrong
        return read(wanted)

    monkeypatch.setattr(reader.files, "read", once)
    with pytest.raises(type(wrong)):
        run_unit(reader, unit, results, "job/x")
    assert calls > 1
    assert results.names() == []
    assert not list(Path(urlsplit(results.url).path).rglob("*.tmp"))


def test_a_file_ingested_anew_since_the_index_was_asked(tmp_path: Path, results: ResultFolder) -> None:
    lake, root = str(tmp_path / "lake"), tmp_path / "archive"
    night(root, 1, MADE[:3])
    ingest(lake, "ztf", [str(root / "science")], workers=1)
    reader = Reader(Lake.open(lake))
    work = listed(reader, "candid\n100\n101")
    (unit,) = units(work, [resolve(reader, question) for question in work.chunks()], 100)
    assert run_unit(reader, unit, results, "job/1").failed == 0
    night(root, 1, [Alert(101, "ZTF21obj1", version=7), *MADE[2:9]])
    ingest(lake, "ztf", [str(root / "science")], workers=1)
    report = run_unit(reader, unit, results, "job/2")
    by_id = {file.row: file for file in report.files()}
    assert [line["status"] for line in lines([report], 2)] == [ERROR, OK]
    stored = results.open("job/2").read_at(by_id[2].offset, by_id[2].length)
    assert np.array_equal(read_image(stored), read_image(Alert(101, "", version=7).stamp("Science") or b""))
    reader.files.close()
    reader.lake.close()


def test_packed_and_unpacked(reader: Reader, results: ResultFolder) -> None:
    work = listed(reader, "candid,kind\n100,\n101,template\n999,")
    for unit in units(work, [resolve(reader, question) for question in work.chunks()], 2):
        again = StampUnit.unpack(unit.pack())
        assert (again.targets.to_pylist(), again.orders, again.form, again.texts, again.fits) == (
            unit.targets.to_pylist(), unit.orders, unit.form, unit.texts, unit.fits,
        )  # fmt: skip
        report = run_unit(reader, again, results, "job/x")
        assert UnitReport.unpack(report.pack()).entries.equals(report.entries)
        assert UnitReport.unpack(report.pack()).part == report.part


def test_nothing_to_do(reader: Reader) -> None:
    assert units(StampWork.of_combinations([]), [], 10) == []
    with pytest.raises(ValueError, match="at least one"):
        units(StampWork.of_combinations([]), [], 0)


def test_no_such_survey(reader: Reader) -> None:
    order = Order(("science",), FitsStamp("science"))
    work = StampWork.of_combinations([Combination("des", "1", order, "x")])
    with pytest.raises(NotInLake, match="des"):
        resolve(reader, work.chunks()[0])


# ---------------------------------------------------------------------- folders


def test_delivered_to_a_folder(reader: Reader, results: ResultFolder, tmp_path: Path) -> None:
    home = tmp_path / "homes"
    reports = done(reader, listed(reader, "id,candid\nx,100\ny,999\nz,105"), results, 1)
    folder = allowed_folder("alice/stamps", [str(home)])
    written = sum(deliver(results, report, folder) for report in reports)
    table = manifest_table(reports, 3)
    deliver_extras(folder, manifests(table))
    there = sorted(path.name for path in (home / "alice/stamps").iterdir())
    assert there == ["000001_x_ZTF21obj0_Science.fits", "000003_z_ZTF21obj0_Science.fits",
                     "manifest.csv", "manifest.json", "manifest.vot"]  # fmt: skip
    for line in table.to_pylist():
        if line["file"]:
            body = (home / "alice/stamps" / line["file"]).read_bytes()
            assert hashlib.sha256(body).hexdigest() == line["sha256"]
            written -= len(body)
    assert written == 0
    with pytest.raises(Cancelled):
        deliver(results, reports[0], folder, lambda: True)


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../x", "alice/../../x", "/etc", "file:///etc/x", "hdfs://elsewhere:1/homes/x", ".ssh",
     "alice/.ssh", "alice/$HOME", "~bob", "a\x00b", "a b", "{homes}", "{homes}x/y", "{homes}/../y", "link/out"],
)  # fmt: skip
def test_no_folder_leads_out_of_the_roots(name: str, tmp_path: Path) -> None:
    homes = tmp_path / "homes"
    homes.mkdir()
    (homes / "link").symlink_to("/etc")
    with pytest.raises(OutsideArchive):
        allowed_folder(name.replace("{homes}", str(homes)), [str(homes)])


def test_folders_below_the_roots_in_every_writing(tmp_path: Path) -> None:
    roots = [str(tmp_path / "a"), "hdfs://nn:8020/user"]
    (tmp_path / "b").mkdir()
    (tmp_path / "a").mkdir()
    (tmp_path / "a/here").symlink_to(tmp_path / "a")
    assert allowed_folder("x/y/", roots).url == f"file://{tmp_path}/a/x/y"
    assert allowed_folder(f"{tmp_path}/a/x", roots).url == f"file://{tmp_path}/a/x"
    assert allowed_folder("here/x", roots).url == f"file://{tmp_path}/a/here/x"
    assert allowed_folder("hdfs://nn:8020/user/alice", roots).url == "hdfs://nn:8020/user/alice"
    assert allowed_folder("/user/alice", roots).url == "hdfs://nn:8020/user/alice"
    with pytest.raises(OutsideArchive, match="no folder"):
        allowed_folder("x", [])
