from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from sodalake.benchmarks.archive import Archive, Recipe, make_archive
from sodalake.benchmarks.sites import Site, cluster_site, embedded_site
from sodalake.lake.cluster import Cluster
from sodalake.lake.errors import ConfigurationError
from sodalake.lake.files import filesystem, read_bytes, stat
from sodalake.lake.ingest import ingest
from sodalake.lake.lake import Lake
from sodalake.lake.rows import open_rows


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return make_archive(Recipe("ztf", 1, 14), tmp_path_factory.mktemp("archives"))


def a_lake_lives_while_its_site_does(
    opened: Callable[[], AbstractContextManager[Site]], archive: Archive
) -> str:
    """Fill a lake at a site, leave the site, and see the lake gone; return the URL of its row store."""
    with opened() as site:
        (url,) = site.publish(archive)
        assert read_bytes(url) == archive.files[0].read_bytes()
        first, second = site.place("one"), site.place("two")
        assert first.url != second.url
        report = ingest(first.url, "ztf", [url], rows=first.rows, workers=1)
        assert (report.rows, report.failed) == (14, {})
        before = stat(url)
        assert site.publish(archive) == [url]
        assert stat(url) == before
        if first.rows is not None:
            rows = open_rows(first.rows)
            assert "ztf.alert" in rows.tables()
            rows.close()
    with pytest.raises(ConfigurationError, match="There is no lake"):
        Lake.open(first.url)
    return first.rows or ""


def test_an_embedded_site_is_a_folder_that_goes(archive: Archive) -> None:
    assert a_lake_lives_while_its_site_does(embedded_site, archive) == ""
    assert archive.files[0].exists()


@pytest.mark.cluster
def test_a_cluster_keeps_archives_and_loses_lakes_and_tables(archive: Archive, cluster: Cluster) -> None:
    place = a_lake_lives_while_its_site_does(lambda: cluster_site(cluster.folder), archive)
    rows = open_rows(place)
    assert rows.tables() == []
    rows.close()
    assert filesystem(cluster.hdfs_url).exists(f"/bench/{archive.recipe.name}")
    assert all(daemon.listening for daemon in cluster.status())  # it ran before, so it runs on


def test_a_cluster_that_cannot_be_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(ConfigurationError, match=r"[Jj]ava"), cluster_site(tmp_path / "none"):
        pass
