"""A small lake of both shipped surveys, for what is published of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sodalake.lake.demo import write_demo_archive
from sodalake.lake.ingest import ingest
from sodalake.lake.lake import Lake


@pytest.fixture(scope="session")
def demo_lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    root = tmp_path_factory.mktemp("published")
    write_demo_archive(str(root / "archive"), objects=40, nights=8, seed=7)
    url = str(root / "lake")
    for survey in ("ztf", "lsst"):
        assert not ingest(url, survey, [str(root / "archive" / survey)], workers=1).failed
    lake = Lake.open(url)
    yield lake
    lake.close()
