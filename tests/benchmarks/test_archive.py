import gzip
import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from sodalake.benchmarks.archive import Archive, Recipe, make_archive
from sodalake.benchmarks.sources import real_rows
from sodalake.lake.files import as_url, open_source
from sodalake.lake.stampindex import extract, index_column
from sodalake.sodacut import read_image

KINDS = ("cutoutScience", "cutoutTemplate", "cutoutDifference")


def rows_of(path: Path) -> list[dict[str, object]]:
    return pq.ParquetFile(path).read().to_pylist()  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def ztf(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return make_archive(Recipe("ztf", 1, 42), tmp_path_factory.mktemp("archives"))


@pytest.fixture(scope="module")
def lsst(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return make_archive(Recipe("lsst", 1, 28), tmp_path_factory.mktemp("archives"))


def test_a_recipe_makes_the_same_bytes_each_time(ztf: Archive, tmp_path: Path) -> None:
    again = make_archive(ztf.recipe, tmp_path)
    assert [hashlib.sha256(p.read_bytes()).hexdigest() for p in again.files] == [
        hashlib.sha256(p.read_bytes()).hexdigest() for p in ztf.files
    ]
    other = make_archive(Recipe("ztf", 1, 42, seed=2), tmp_path)
    assert other.files[0].read_bytes() != ztf.files[0].read_bytes()


def test_what_is_in_the_cache_is_not_made_again(ztf: Archive) -> None:
    before = ztf.files[0].stat().st_mtime_ns
    assert make_archive(ztf.recipe, ztf.folder.parent) == ztf
    assert ztf.files[0].stat().st_mtime_ns == before


def test_a_half_made_archive_is_not_taken_for_one(ztf: Archive, tmp_path: Path) -> None:
    # What a bench leaves that was killed: a folder under a passing name, with a file that was not finished.
    (tmp_path / f".{ztf.recipe.name}.0123" / "year=2020").mkdir(parents=True)
    made = make_archive(ztf.recipe, tmp_path)
    assert made.sizes == ztf.sizes
    assert json.loads((made.folder / "manifest.json").read_text())["recipe"]["rows"] == 42


def test_two_files_made_side_by_side_share_no_alert_and_no_stamp(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    made = make_archive(Recipe("ztf", 2, 14), tmp_path, progress=lambda done, of: told.append((done, of)))
    assert told == [(1, 2), (2, 2)]
    rows = [row for path in made.files for row in rows_of(path)]
    assert len({row["candid"] for row in rows}) == 28
    stamps = [row[kind]["stampData"] for row in rows for kind in KINDS]  # type: ignore[index]
    assert len(set(stamps)) == 28 * 3


def test_ids_and_times_are_those_that_the_recipe_says(ztf: Archive, lsst: Archive) -> None:
    for archive in (ztf, lsst):
        identities = archive.identities
        slots = identities.slots(0)
        rows = rows_of(archive.files[0])
        if archive.recipe.survey == "ztf":
            alerts = [row["candid"] for row in rows]
            assert alerts == [row["candidate"]["candid"] for row in rows]  # type: ignore[index]
            objects = [row["objectId"] for row in rows]
            times = [row["candidate"]["jd"] for row in rows]  # type: ignore[index]
        else:
            alerts = [row["diaSourceId"] for row in rows]
            objects = [str(row["diaSource"]["diaObjectId"]) for row in rows]  # type: ignore[index]
            times = [row["diaSource"]["midpointMjdTai"] for row in rows]  # type: ignore[index]
        assert alerts == identities.alert_ids(slots).tolist()
        assert objects == identities.object_ids(slots)
        assert times == identities.times(slots).tolist()


def test_stamps_are_as_large_as_real_ones(ztf: Archive) -> None:
    made = pq.ParquetFile(ztf.files[0]).read()
    real = real_rows("ztf")
    for kind in KINDS:
        new = np.mean([len(stamp["stampData"]) for stamp in made[kind].to_pylist()])
        old = np.mean([len(stamp["stampData"]) for stamp in real[kind].to_pylist()])
        assert new == pytest.approx(old, rel=0.15)


def test_stamps_are_images(ztf: Archive, lsst: Archive) -> None:
    for row in rows_of(ztf.files[0]):
        for kind in KINDS:
            assert read_image(row[kind]["stampData"]).ndim == 2  # type: ignore[index]
    for row in rows_of(lsst.files[0]):
        for kind in KINDS:
            assert read_image(row[kind]).ndim == 2  # type: ignore[arg-type]


def test_files_are_written_as_spark_writes_them(ztf: Archive) -> None:
    (path,) = ztf.files
    assert path.relative_to(ztf.folder).parts[:3] == ("year=2020", "month=05", "day=31")
    metadata = pq.ParquetFile(path).metadata
    assert metadata.num_row_groups == 1
    group = metadata.row_group(0)
    columns = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
    for kind in KINDS:
        column = columns[f"{kind}.stampData"]
        assert column.compression == "SNAPPY"
        assert set(column.encodings) == {"PLAIN", "RLE"}  # no dictionary; RLE is of the definition levels
    assert any("DICTIONARY" in encoding for encoding in columns["objectId"].encodings)


@pytest.mark.parametrize("codec", ["none", "zstd"])
def test_other_codecs_hold_the_same_stamps(codec: str, ztf: Archive, tmp_path: Path) -> None:
    other = make_archive(Recipe("ztf", 1, 42, codec), tmp_path)
    group = pq.ParquetFile(other.files[0]).metadata.row_group(0)
    assert group.column(0).compression == {"none": "UNCOMPRESSED", "zstd": "ZSTD"}[codec]
    source = open_source(as_url(str(other.files[0])))
    metadata = pq.ParquetFile(other.files[0]).metadata
    places = index_column(source, metadata, "cutoutScience.stampData")
    row = rows_of(ztf.files[0])[5]
    stored = extract(places[5], source.read_at(places[5].offset, places[5].length))
    assert gzip.decompress(stored) == gzip.decompress(row["cutoutScience"]["stampData"])  # type: ignore[index]
    source.close()
