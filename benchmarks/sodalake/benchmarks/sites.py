"""Where a lake lives while it is measured: local files and LMDB, or HDFS and HBase.

A site takes made archives (an archive that is there already is not copied again) and gives lakes that are gone when
the site is left.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sodalake.lake.cluster import Cluster
from sodalake.lake.files import as_url, filesystem, path_of
from sodalake.lake.rows import open_rows
from sodalake.lake.writing import write_whole

__all__ = ["Files", "LakePlace", "Site", "cluster_site", "embedded_site", "open_site"]


@dataclass(frozen=True, slots=True)
class LakePlace:
    """Where a lake is to be: its URL, and its row store's (None: LMDB below the lake)."""

    url: str
    rows: str | None


class Files(Protocol):
    """A made archive, as far as a site is concerned."""

    @property
    def name(self) -> str:
        """What is in the files follows from it."""

    @property
    def folder(self) -> Path:
        """The local folder they are in."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The files, in their order."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """Their bytes."""


class Site(Protocol):
    """A place for archives and lakes."""

    name: str

    def publish(self, archive: Files, *, copies: int | None = None) -> list[str]:
        """Return the URLs of the archive's files at this site, in their order.

        Parameters
        ----------
        copies
            That HDFS keeps of each; None: as many as of any file.
        """

    def place(self, name: str) -> LakePlace:
        """Return a place for a lake that nothing else uses."""


class _Embedded:
    name = "embedded"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def publish(self, archive: Files, *, copies: int | None = None) -> list[str]:
        return [as_url(str(path)) for path in archive.files]

    def place(self, name: str) -> LakePlace:
        folder = self._folder / name
        return LakePlace(as_url(str(folder)), None)


class _OnCluster:
    name = "cluster"

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._mark = f"bench{uuid.uuid4().hex[:8]}"
        self._places: list[LakePlace] = []

    def publish(self, archive: Files, *, copies: int | None = None) -> list[str]:
        urls = []
        for path, size in zip(archive.files, archive.sizes, strict=True):
            url = (
                f"{self._cluster.hdfs_url}/bench/{archive.name}/{path.relative_to(archive.folder).as_posix()}"
            )
            fs = filesystem(url)
            if not fs.exists(url) or fs.info(url)["size"] != size:
                write_whole(url, _copying(path), replication=copies)
            urls.append(url)
        return urls

    def place(self, name: str) -> LakePlace:
        mark = f"{self._mark}-{name}"
        made = LakePlace(f"{self._cluster.hdfs_url}/bench/lakes/{mark}", self._cluster.rows_url(mark))
        self._places.append(made)
        return made

    def remove(self) -> None:
        """Remove the lakes and their tables; archives stay for the next run."""
        for made in self._places:
            assert made.rows is not None
            rows = open_rows(made.rows)
            for table in rows.tables():
                rows.drop(table)
            rows.close()
            fs = filesystem(made.url)
            if fs.exists(made.url):
                fs.rm(path_of(made.url), recursive=True)


def _copying(path: Path) -> Callable[[object], None]:
    def copy(sink: object) -> None:
        with path.open("rb") as source:
            shutil.copyfileobj(source, sink, 4 << 20)  # type: ignore[arg-type]

    return copy


def open_site(
    place: str, cluster_folder: Path | None, say: Callable[[str], object]
) -> contextlib.AbstractContextManager[Site]:
    """Return the site called ``embedded`` or ``cluster``; see `embedded_site` and `cluster_site`."""
    if place == "embedded":
        return embedded_site()

    def notice(what: str) -> None:
        say(f"cluster: waiting for {what}")

    return cluster_site(cluster_folder, notice)


@contextlib.contextmanager
def embedded_site() -> Iterator[Site]:
    """Yield a site in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="sodalake-bench-") as folder:
        yield _Embedded(Path(folder))


@contextlib.contextmanager
def cluster_site(
    folder: Path | None = None, notice: Callable[[str], None] = lambda _: None
) -> Iterator[Site]:
    """Yield a site on real HDFS and HBase; a cluster that was not running is stopped again at the end.

    Parameters
    ----------
    folder
        The cluster's folder; the user's own by default.
    notice
        Is told what is being waited for.

    Raises
    ------
    ConfigurationError
        Java or Maven is missing.
    Unavailable
        The cluster does not come up.
    """
    cluster = Cluster(folder)
    running = cluster.exists and all(daemon.listening for daemon in cluster.status())
    if not running:
        cluster.up(notice=notice)
    site = _OnCluster(cluster)
    try:
        yield site
    finally:
        site.remove()
        if not running:
            cluster.down()
