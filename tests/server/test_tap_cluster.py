"""TAP over real HDFS and HBase: all of taplint, and the rows of each path beside those of the embedded lake."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from sky_images import SURVEY, some_plates, write_plates
from stilts import check_taplint

from sodalake.lake.demo import write_demo_archive
from sodalake.lake.files import join
from sodalake.lake.images.ingesting import ingest_images
from sodalake.lake.ingest import ingest
from sodalake.lake.writing import write_whole

if TYPE_CHECKING:
    from conftest import Server

pytestmark = pytest.mark.cluster


@pytest.fixture
def servers(
    server_of: type[Server], tmp_path: Path, hdfs_url: str, hbase_url: str
) -> Iterator[tuple[Server, Server]]:
    """The same alerts and images twice: in HDFS and HBase, and embedded."""
    started = []
    made = write_demo_archive(str(tmp_path / "archive"), objects=40, nights=8, seed=7)
    plates = tmp_path / "archive" / "plates" / "one.fits"
    write_plates(plates, some_plates(20, seed=3))
    (tmp_path / "plates.toml").write_text(SURVEY)
    files = [plates, *(Path(urlsplit(file.url).path) for file in made)]
    for file in files:
        write_whole(join(hdfs_url, str(file.relative_to(tmp_path))), file.read_bytes())
    for root, lake, rows in (
        (hdfs_url, join(hdfs_url, "lake"), hbase_url),
        (str(tmp_path), str(tmp_path / "lake"), None),
    ):
        for survey in ("ztf", "lsst"):
            assert not ingest(lake, survey, [join(root, "archive", survey)], rows=rows, workers=1).failed
        images = [join(root, "archive", "plates")]
        assert not ingest_images(lake, str(tmp_path / "plates.toml"), images, rows=rows, workers=1).failed
        started.append(server_of(["--lake", lake, "--workers", "1"]))
    yield started[0], started[1]
    for one in started:
        assert one.stop() == 0, "\n".join(one.log[-40:])
        assert "Traceback" not in "\n".join(one.log)


def rows_of(server: Server, query: str) -> list[dict[str, str]]:
    answer = server.ask("/tap/sync", {"QUERY": query, "LANG": "ADQL", "FORMAT": "csv"})
    assert answer.status == 200, answer.text
    return list(csv.DictReader(io.StringIO(answer.text)))


def test_validators_and_every_path(servers: tuple[Server, Server]) -> None:
    cluster, embedded = servers
    (one,) = rows_of(embedded, "SELECT TOP 1 objectId, candid, jd, ra, dec, cdsxmatch FROM ztf.alerts")
    (image,) = rows_of(embedded, "SELECT TOP 1 image_id, ra, dec FROM plates.images")
    here = f"{image['ra']}, {image['dec']}"
    jd = float(one["jd"])
    queries = [
        f"SELECT * FROM ztf.alerts WHERE objectId = '{one['objectId']}' ORDER BY candid",
        f"SELECT * FROM ztf.alerts WHERE candid IN ({one['candid']}, 5)",
        f"SELECT candid, ra FROM ztf.alerts WHERE DISTANCE(ra, dec, {one['ra']}, {one['dec']}) < 1 ORDER BY candid",
        f"SELECT candid, jd FROM ztf.alerts WHERE jd BETWEEN {jd - 1} AND {jd + 1} ORDER BY candid",
        f"SELECT candid FROM ztf.alerts WHERE cdsxmatch = '{one['cdsxmatch']}' ORDER BY candid",
        f"SELECT * FROM ztf.objects WHERE objectId = '{one['objectId']}'",
        "SELECT cdsxmatch, COUNT(*) AS n, MAX(magpsf) AS m FROM ztf.alerts GROUP BY cdsxmatch ORDER BY cdsxmatch",
        "SELECT obs_publisher_did, s_region FROM ivoa.obscore WHERE obs_collection = 'lsst' ORDER BY obs_publisher_did",
        f"SELECT * FROM plates.images WHERE image_id IN ('{image['image_id']}', 'x')",
        f"SELECT image_id, seeing FROM plates.images WHERE 1 = CONTAINS(POINT({here}), s_region) ORDER BY image_id",
        f"SELECT obs_id, em_min FROM ivoa.obscore WHERE 1 = INTERSECTS(s_region, CIRCLE({here}, 2)) ORDER BY obs_id",
        "SELECT image_id, s_region, t_max, filesize FROM plates.images ORDER BY image_id",
        "SELECT table_name, column_name FROM tap_schema.columns ORDER BY table_name, column_index",
    ]
    for query in queries:
        expected = rows_of(embedded, query)
        assert expected, query
        assert rows_of(cluster, query) == expected, query
    check_taplint(f"{cluster.url}/tap")
    for collection in ("ztf", "wide"):
        links = f"SELECT TOP 1 access_url FROM ivoa.obscore WHERE obs_collection = '{collection}'"
        path = re.sub(r"^https?://[^/]+", "", rows_of(cluster, links)[0]["access_url"])
        assert "#cutout" in cluster.ask(path).text
