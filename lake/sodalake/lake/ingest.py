"""Ingest: bring an archive's files into the lake, in place, once.

A file is in the lake or it is not. Its record is written as *pending*, its rows are written, and one put makes it
*committed*: only then does any reader see it. So an ingest can be killed at any moment and run again; files that are
committed and unchanged are passed over, pending ones are done anew under the number they had.

Files are indexed by worker processes side by side. Two files that hold the same alert are not written at the same
time, so that the later one (by URL, hence by night) sees the earlier one's rows and supersedes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import PurePosixPath

from .catalogue import FileRecord
from .errors import ConfigurationError
from .files import FileStat, path_of
from .indexing import alert_ids, convert_avro, index_file
from .ingestrun import Files, IngestReport, Progress, bring
from .lake import Lake
from .survey import Survey

__all__ = ["AlertFiles", "IngestReport", "Progress", "ingest"]


class AlertFiles:
    """Parquet files of alerts, and Avro files, which become such."""

    suffixes = (".parquet", ".avro")
    convert = staticmethod(convert_avro)
    index = staticmethod(index_file)

    def __init__(self, survey: Survey) -> None:
        self._survey = survey

    def converted(self, url: str, version: str) -> str | None:
        """Return an Avro file's name as Parquet, with its version."""
        path = PurePosixPath(path_of(url))
        return f"{path.stem}-{version}.parquet" if path.suffix == ".avro" else None

    def ids(self, url: str) -> set[str]:
        """Return a file's alert ids."""
        return alert_ids(url, self._survey)

    def is_current(self, record: FileRecord, listed: Mapping[str, FileStat]) -> bool:
        """Say yes: index tables that are new are filled by `sodalake.lake.reindexing`."""
        return True

    def is_one(self, url: str) -> bool:
        """Say yes: a Parquet file that is none of the survey's fails, and is told."""
        return True


def ingest(
    lake_url: str,
    survey: str,
    paths: Sequence[str],
    *,
    rows: str | None = None,
    workers: int | None = None,
    progress: Callable[[Progress], None] | None = None,
    executor: Executor | None = None,
) -> IngestReport:
    """Index `paths` into a lake, making the lake if there is none.

    Parameters
    ----------
    lake_url
        The lake.
    survey
        A shipped survey's name, or a TOML file.
    paths
        Files, folders and globs, local or not; Parquet and Avro.
    rows
        Row store of a lake that is made now.
    workers
        Processes (default: the machine's cores); 1 works in this process.
    executor
        Where to work instead, for example ``dask_client.get_executor()``.

    Returns
    -------
    IngestReport
        With the files that failed; a damaged file does not stop the others.

    Raises
    ------
    NotInLake
        A path that matches nothing.
    ConfigurationError
        A wrong lake or survey.
    Unavailable
        Another ingest of the same survey is running, or a back end is down.
    """

    def files(lake: Lake) -> tuple[str, Files]:
        described = lake.describe_survey(survey)
        if not isinstance(described, Survey):
            raise ConfigurationError(
                f"{described.name} is a survey of images.",
                f"Say so: `sodalake ingest {survey} --images PATH…`.",
            )
        lake.add_survey(survey)
        return described.name, AlertFiles(described)

    return bring(
        lake_url, AlertFiles.suffixes, files, paths,
        rows=rows, workers=workers, progress=progress, executor=executor,
    )  # fmt: skip
