"""Ingest of images: files of a survey of images into a lake, in place, once.

As alerts are brought in (`sodalake.lake.ingest`), by the same run: pending files and committed ones, side by side,
killed at any moment and run again. Two things are different. A file is indexed anew when what the survey's file says
has changed, though the file itself has not: the index holds what it said. And a file that is gzip as a whole
(``.fits.gz``), in which no range can be read, is unpacked into the lake first, with the files of its planes.
"""

from __future__ import annotations

import functools
import gzip
import io
import re
import shutil
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import BinaryIO

from ..catalogue import FileRecord
from ..errors import ConfigurationError, Damaged, FileGone
from ..files import SAME_TIME, FileStat, SourceFile, join, open_source, path_of, stat
from ..ingestrun import Files, IngestReport, Progress, bring
from ..lake import Lake
from ..writing import write_whole
from .describing import file_words, image_ids
from .imagesurvey import ImageSurvey
from .indexing import digest_of, index_images
from .overviews import Strips

__all__ = ["SUFFIXES", "FitsFiles", "ingest_images", "unpack_gzip"]

_PLAIN = (".fits", ".fits.fz", ".fit", ".fit.fz", ".fts", ".fts.fz")

SUFFIXES = (*_PLAIN, *(f"{ending}.gz" for ending in _PLAIN))
"""Endings of files that may hold images."""

_COPY = 1 << 20
_WORD = re.compile(r"\{([^{}]*)\}")


class FitsFiles:
    """FITS files of a survey of images."""

    def __init__(self, survey: ImageSurvey, strips: Strips | None = None) -> None:
        self._survey = survey
        self.index = functools.partial(index_images, strips=strips)
        self._digest = digest_of(survey)
        self.convert: Callable[[str, str], FileStat] = functools.partial(unpack_gzip, survey)

    def converted(self, url: str, version: str) -> str | None:
        """Return the path of an unpacked file, in a folder of its version: the path says what the image is."""
        return f"{version}{path_of(url).removesuffix('.gz')}" if url.endswith(".gz") else None

    def ids(self, url: str) -> set[str]:
        """Return what no two files can have in common: ids of images, or of those that the file's name begins."""
        return image_ids(url, self._survey)

    def is_current(self, record: FileRecord, listed: Mapping[str, FileStat]) -> bool:
        """Say whether a file was indexed by the survey's file as it is, and no listed file of its planes is another."""
        folder = record.url.rpartition("/")[0]
        for name, mtime in record.beside:
            there = listed.get(join(folder, name))
            if there is not None and (mtime is None or abs(there.mtime - mtime) >= SAME_TIME):
                return False
        return record.checksum == self._digest

    def is_one(self, url: str) -> bool:
        """Say whether a file's name is one of an image."""
        return file_words(url.removesuffix(".gz"), self._survey) is not None


def ingest_images(
    lake_url: str,
    survey: str,
    paths: Sequence[str],
    *,
    rows: str | None = None,
    workers: int | None = None,
    progress: Callable[[Progress], None] | None = None,
    executor: Executor | None = None,
    strips: Strips | None = None,
) -> IngestReport:
    """Index images into a lake, making the lake if there is none.

    Parameters
    ----------
    survey
        A shipped survey's name, or a TOML file; of images.
    paths
        Files, folders and globs, local or not: FITS, plain, tile-compressed (``.fz``) or gzip (``.gz``). Files whose
        names are none of the survey's images, such as those of masks, are passed over.
    lake_url, rows, workers, progress, executor
        As `sodalake.lake.ingest.ingest` has them.
    strips
        Reads pixels for overviews, a function that workers can be given; None: astropy does.

    Raises
    ------
    NotInLake, ConfigurationError, Unavailable
        As there.
    """

    def files(lake: Lake) -> tuple[str, Files]:
        described = lake.describe_survey(survey)
        if not isinstance(described, ImageSurvey):
            raise ConfigurationError(
                f"{described.name} is a survey of alerts.",
                f"Leave --images out: `sodalake ingest {survey} PATH…`.",
            )
        lake.add_survey(survey)
        return described.name, FitsFiles(described, strips)

    return bring(
        lake_url, SUFFIXES, files, paths, rows=rows, workers=workers, progress=progress, executor=executor
    )


def unpack_gzip(survey: ImageSurvey, url: str, target: str) -> FileStat:
    """Unpack a file into the lake, once, and the files of its images' planes beside it; return the former.

    Raises
    ------
    Damaged
        The file, or that of a plane, is no whole gzip file.
    """
    words = file_words(target, survey) or {}
    source, folder = url.rpartition("/")[0], target.rpartition("/")[0]
    for plane in survey.images.planes.values():
        if not plane.file or any(word not in words for word in _WORD.findall(plane.file)):
            continue
        name = _WORD.sub(lambda found: words[found[1]], plane.file)
        for there in (join(source, f"{name}.gz"), join(source, name)):
            try:
                stat(there)
            except FileGone:
                continue
            _written(there, join(folder, name))
            break
    return _written(url, target)  # last: once it is there, all is


def _written(url: str, target: str) -> FileStat:
    try:
        return stat(target)
    except FileGone:
        pass

    def content(sink: BinaryIO) -> None:
        source = open_source(url)
        try:
            plain = io.BufferedReader(SourceFile(source), _COPY)
            shutil.copyfileobj(gzip.GzipFile(fileobj=plain) if url.endswith(".gz") else plain, sink, _COPY)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise Damaged(f"{url} is no whole gzip file: {error}", "Copy it again.") from error
        finally:
            source.close()

    write_whole(target, content)
    return stat(target)
