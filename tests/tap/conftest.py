"""A lake with two surveys, some of whose alerts came twice: the later version counts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sodalake.lake.demo import write_demo_archive
from sodalake.lake.files import path_of
from sodalake.lake.ingest import ingest
from sodalake.lake.lake import Lake
from sodalake.tap.session import Session


def again(path: str, target: Path) -> None:
    """Half of a file's alerts, processed again: other magnitudes, some of them not a number."""
    table = pq.read_table(path)
    table = table.slice(0, table.num_rows // 2)
    candidate = table["candidate"].combine_chunks()
    names = [candidate.type.field(at).name for at in range(candidate.type.num_fields)]
    fields = [candidate.field(at) for at in range(candidate.type.num_fields)]
    fainter = np.asarray(fields[names.index("magpsf")].to_numpy(zero_copy_only=False), np.float64) + 0.25
    fainter[::5] = np.nan
    fields[names.index("magpsf")] = pa.array(fainter)
    struct = pa.StructArray.from_arrays(fields, names=names)
    target.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.set_column(table.schema.get_field_index("candidate"), "candidate", struct), target)


@pytest.fixture(scope="session")
def query_lake(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of the lake."""
    folder = tmp_path_factory.mktemp("queries")
    files = write_demo_archive(str(folder / "archive"), objects=120, nights=5)
    for survey in ("ztf", "lsst"):
        urls = [file.url for file in files if file.survey == survey]
        report = ingest(str(folder / "lake"), survey, urls, workers=1)
        assert not report.failed
    ztf = [path_of(file.url) for file in files if file.survey == "ztf"]
    for number, path in enumerate(ztf[1:3]):
        again(path, folder / "archive" / "again" / f"part-{number}.parquet")
    report = ingest(str(folder / "lake"), "ztf", [str(folder / "archive" / "again")], workers=1)
    assert sum(one.superseded for one in report.done) > 20
    return str(folder / "lake")


@pytest.fixture(scope="session")
def session(query_lake: str) -> Iterator[Session]:
    """A session on it."""
    lake = Lake.open(query_lake)
    opened = Session(lake, threads=2)
    yield opened
    opened.close()
    lake.close()
