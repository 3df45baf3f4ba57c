"""A lake with two surveys of alerts, some of which came twice (the later version counts), and one of images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sky_images import SURVEY, some_plates, write_plates

from sodalake.lake.demo import write_demo_archive
from sodalake.lake.files import path_of
from sodalake.lake.images.ingesting import ingest_images
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
    add_plates(folder)
    return str(folder / "lake")


def add_plates(folder: Path) -> None:
    """Add a survey of images, some of which came twice too."""
    plates = some_plates(150, seed=5)
    for name, some in (("wide-1", plates[:60]), ("wide-2", plates[60:100]), ("deep-1", plates[100:])):
        write_plates(folder / "plates" / f"{name}.fits", some)
    (folder / "plates.toml").write_text(SURVEY)
    lake, survey = str(folder / "lake"), str(folder / "plates.toml")
    assert not ingest_images(lake, survey, [str(folder / "plates")], workers=1).failed
    (folder / "plates" / "wide-2.fits").unlink()
    write_plates(folder / "plates" / "wide-2.fits", [replace(one, seeing=0.5) for one in plates[60:90]])
    assert not ingest_images(lake, "plates", [str(folder / "plates")], workers=1).failed


@pytest.fixture(scope="session")
def session(query_lake: str) -> Iterator[Session]:
    """A session on it."""
    lake = Lake.open(query_lake)
    opened = Session(lake, threads=2)
    yield opened
    opened.close()
    lake.close()
