from collections.abc import Iterator

import numpy as np
import pyarrow.parquet as pq
import pytest

from sodalake.benchmarks.archive import Archive, Recipe, make_archive
from sodalake.lake.errors import NotInLake
from sodalake.lake.ingest import ingest
from sodalake.lake.lake import Lake
from sodalake.lake.reader import Reader
from sodalake.sodacut import read_image
from sodalake.sodacut.bulk import stamp_table

KINDS = ("science", "template", "difference")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return make_archive(Recipe("ztf", 1, 42), tmp_path_factory.mktemp("archives"))


@pytest.fixture(scope="module")
def reader(archive: Archive, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    url = str(tmp_path_factory.mktemp("lake"))
    ingest(url, "ztf", [str(archive.folder)], workers=1)
    reader = Reader(Lake.open(url))
    yield reader
    reader.files.close()
    reader.lake.close()


def ids(archive: Archive, rows: list[int]) -> list[str]:
    return [str(alert) for alert in archive.identities.alert_ids(np.array(rows, np.int64))]


def test_rows_come_in_the_order_asked_with_the_pixels_of_the_archive(
    archive: Archive, reader: Reader
) -> None:
    asked = [40, 3, 17, 3, 0]  # unsorted, and one twice
    batch = stamp_table(reader, "ztf", ids(archive, asked), ("difference", "science"))
    rows = batch.to_pylist()
    assert [row["alert_id"] for row in rows] == [alert for alert in ids(archive, asked) for _ in range(2)]
    assert [row["kind"] for row in rows] == ["difference", "science"] * len(asked)
    table = pq.ParquetFile(archive.files[0]).read()
    for row, got in zip([row for row in asked for _ in range(2)], rows, strict=True):
        stored = table[f"cutout{got['kind'].capitalize()}"][row].as_py()["stampData"]
        image = read_image(stored)
        pixels = np.array(got["pixels"], np.float32).reshape(got["height"], got["width"])
        assert np.array_equal(pixels, image, equal_nan=True)
        assert got["object_id"] == table["objectId"][row].as_py()


def test_neighbours_are_read_together(archive: Archive, reader: Reader) -> None:
    before = reader.files.reads
    batch = stamp_table(reader, "ztf", ids(archive, list(range(42))), KINDS)
    assert batch.num_rows == 42 * 3
    assert reader.files.reads - before <= 3  # 126 stamps; at most a read a column


def test_nothing_asked_is_an_empty_table(reader: Reader) -> None:
    assert stamp_table(reader, "ztf", [], KINDS).num_rows == 0


def test_alerts_that_are_not_there_are_counted_and_named(archive: Archive, reader: Reader) -> None:
    with pytest.raises(NotInLake, match="2 of 3 alerts are not in ztf; the first is 12345"):
        stamp_table(reader, "ztf", ["12345", *ids(archive, [1]), "678"], KINDS)


def test_an_unknown_kind_or_survey_is_not_in_the_lake(archive: Archive, reader: Reader) -> None:
    with pytest.raises(NotInLake, match="no negative stamps"):
        stamp_table(reader, "ztf", ids(archive, [1]), ("negative",))
    with pytest.raises(NotInLake, match="There is no survey"):
        stamp_table(reader, "nosuch", ids(archive, [1]), KINDS)
