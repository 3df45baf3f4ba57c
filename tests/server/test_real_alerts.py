"""Every real alert, from its file through HDFS, HBase, Dask and HTTP, byte for byte."""

from __future__ import annotations

import gzip
import http.client
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fastavro
import pyarrow.parquet as pq
import pytest

from sodalake.lake.cluster import Cluster
from sodalake.lake.files import join
from sodalake.lake.ingest import ingest
from sodalake.lake.writing import write_whole

pytestmark = pytest.mark.cluster

IDS = {"ztf": ("candid", "objectId"), "lsst": ("diaSourceId", "diaObjectId")}
KINDS = ("Science", "Template", "Difference")


def originals(file: Path, survey: str) -> Iterator[tuple[str, dict[str, bytes | None]]]:
    """Alert ids and stamps of a file, as its own library reads them."""
    name = IDS[survey][0]
    if file.suffix == ".avro":
        with file.open("rb") as source:
            rows: list[Mapping[str, Any]] = list(fastavro.reader(source))  # type: ignore[arg-type]
    else:
        rows = pq.read_table(file, columns=[name, *(f"cutout{kind}" for kind in KINDS)]).to_pylist()
    for row in rows:
        cutouts = {kind.lower(): row[f"cutout{kind}"] for kind in KINDS}
        yield str(row[name]), {k: c["stampData"] if isinstance(c, dict) else c for k, c in cutouts.items()}


def test_every_real_alert_comes_out_as_it_went_in(
    real_alerts: Path, cluster: Cluster, hdfs_url: str, hbase_url: str, new_server: Callable[..., Any]
) -> None:
    lake = join(hdfs_url, "lake")
    expected: dict[tuple[str, str], list[dict[str, bytes | None]]] = {}
    for survey in IDS:
        files = sorted(file for folder in real_alerts.glob(f"{survey}_*") for file in folder.iterdir())
        assert files
        for file in files:
            write_whole(join(hdfs_url, "archive", survey, file.parent.name, file.name), file.read_bytes())
            for alert_id, stamps in originals(file, survey):
                expected.setdefault((survey, alert_id), []).append(stamps)
        with ThreadPoolExecutor(4) as pool:  # a file of one alert is mostly waiting
            report = ingest(lake, survey, [join(hdfs_url, "archive", survey)], rows=hbase_url, executor=pool)
        assert (report.failed, report.skipped) == ({}, {})
    assert len(expected) >= 355  # some alerts come in two files

    running = new_server("--lake", lake)
    connection = http.client.HTTPConnection(running.host, timeout=120)

    def get(survey: str, alert_id: str, kind: str, **headers: str) -> tuple[str | None, bytes]:
        connection.request("GET", f"/soda/sync?ID=ivo://sodalake/{survey}?{alert_id}/{kind}", headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == 200, body
        assert answer.headers["Content-Type"] == "application/fits"
        return answer.headers["Content-Encoding"], body

    for (survey, alert_id), versions in expected.items():
        for kind in versions[0]:
            stored = [stamps[kind] for stamps in versions]
            plain = [gzip.decompress(s) if s and s[:2] == b"\x1f\x8b" else s for s in stored]
            encoding, body = get(survey, alert_id, kind)
            assert (encoding, body in plain) == (None, True), (survey, alert_id, kind)
        if survey == "ztf":  # and as they are stored, for those who take gzip
            encoding, body = get(survey, alert_id, "science", **{"Accept-Encoding": "gzip"})
            assert (encoding, body in [stamps["science"] for stamps in versions]) == ("gzip", True)
    connection.close()
