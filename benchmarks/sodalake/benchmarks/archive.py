"""Archives like Fink's, made for the bench: Parquet as Spark writes it, full of alerts that never were.

A file has about 100 MB, one row group, Snappy, pages of about 1 MB (data page v1), stamps without a
dictionary, and lies in ``year=/month=/day=`` folders. Its rows are real alerts with new ids, times and
noise (`renewal`), so that no two stamps are the same bytes. Files are the same every time they are made,
and are kept in the user's cache.
"""

from __future__ import annotations

import multiprocessing
import os
import uuid
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sodalake.lake.survey import load_survey

from .identities import Identities
from .kept import kept_folder, listed_files
from .renewal import renewed_table
from .sources import real_files, real_rows

__all__ = ["Archive", "Recipe", "make_archive"]

_VERSION = 2  # of what the files are: another one makes them anew
_PAGE = 1 << 20
_BATCH = 16  # values between two looks at the page's size; pyarrow's own 1024 makes pages of 13 MB of stamps
_PARALLEL = 2


@dataclass(frozen=True, slots=True)
class Recipe:
    """What makes an archive.

    Attributes
    ----------
    survey
        ``ztf`` or ``lsst``.
    files, rows
        Number of files, and of alerts a file (a multiple of 14); 2 520 ZTF alerts are about 100 MB.
    codec
        Of the pages: ``snappy``, ``zstd`` or ``none``.
    seed
        Of the noise.
    """

    survey: str = "ztf"
    files: int = 10
    rows: int = 2520
    codec: str = "snappy"
    seed: int = 1

    @property
    def name(self) -> str:
        """The archive's folder: every parameter is in it."""
        source = f"r{len(real_files(self.survey))}"  # made of the few that are shipped, it is another archive
        return f"v{_VERSION}-{self.survey}-{self.files}x{self.rows}-{self.codec}-s{self.seed}-{source}"

    @property
    def identities(self) -> Identities:
        """Who stands where."""
        return Identities(self.survey, self.files, self.rows)


@dataclass(frozen=True, slots=True)
class Archive:
    """A made archive: its recipe and folder, its files in the order of their nights, and their bytes."""

    recipe: Recipe
    folder: Path
    files: tuple[Path, ...]
    sizes: tuple[int, ...]

    @property
    def name(self) -> str:
        """The recipe's."""
        return self.recipe.name

    @property
    def identities(self) -> Identities:
        """Who stands where."""
        return self.recipe.identities


def make_archive(
    recipe: Recipe,
    cache: Path | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Archive:
    """Return the archive of a recipe, making it where the cache does not hold it.

    Parameters
    ----------
    cache
        Folder of archives; the user's cache (``$XDG_CACHE_HOME/sodalake/bench``) by default.
    progress
        Is told files made and files in all.
    """
    recipe.identities  # noqa: B018  # a recipe that cannot be is refused before anything is written
    folder = kept_folder(recipe.name, cache, lambda making: _make(recipe, making, progress))
    files, sizes = listed_files(folder)
    return Archive(recipe, folder, files, sizes)


def _make(recipe: Recipe, folder: Path, progress: Callable[[int, int], None] | None) -> dict[str, Any]:
    names = [_name(recipe, number) for number in range(recipe.files)]
    work = [(recipe, number, str(folder / names[number])) for number in range(recipe.files)]
    done = 0
    if recipe.files == 1:
        _write_file(*work[0])
    else:
        context = multiprocessing.get_context("spawn")
        processes = min(_PARALLEL, recipe.files, os.cpu_count() or 1)
        with ProcessPoolExecutor(processes, mp_context=context) as pool:
            for future in as_completed([pool.submit(_write_file, *one) for one in work]):
                future.result()
                done += 1
                if progress is not None:
                    progress(done, recipe.files)
    return {"recipe": asdict(recipe), "files": names}


def _name(recipe: Recipe, number: int) -> str:
    night = date(2020, 5, 31) + timedelta(days=number)
    mark = uuid.uuid5(uuid.NAMESPACE_URL, f"{recipe} {number}")
    folder = f"year={night:%Y}/month={night:%m}/day={night:%d}"
    return f"{folder}/part-{number:05d}-{mark}.c000.{recipe.codec}.parquet"


def _write_file(recipe: Recipe, number: int, path: str) -> None:
    survey = load_survey(recipe.survey)
    identities = recipe.identities
    rng = np.random.default_rng([recipe.seed, number])
    real = real_rows(recipe.survey)
    slots = identities.slots(number)
    rows = real.take(pa.array(rng.integers(0, len(real), len(slots)))).combine_chunks()
    stamps = tuple(path for path in survey.stamps.kinds.values())
    alert_ids = pa.array(identities.alert_ids(slots))
    columns = {
        survey.ids.alert: alert_ids,
        f"candidate.{survey.ids.alert}": alert_ids,  # ZTF repeats it in the struct
        survey.ids.object: pa.array(identities.object_ids(slots)),
        survey.time.path: pa.array(identities.times(slots)),
    }
    table = renewed_table(rows, stamps, columns, rng)
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    big = {survey.ids.alert, *stamps}
    pq.write_table(
        table,
        target,
        row_group_size=len(table),
        compression=recipe.codec,
        use_dictionary=[leaf for leaf in _leaves(table.schema) if leaf not in big],
        data_page_version="1.0",
        data_page_size=_PAGE,
        write_batch_size=_BATCH,
        use_deprecated_int96_timestamps=True,
        store_schema=False,
    )


def _leaves(schema: pa.Schema) -> list[str]:
    """Return the paths of all leaf columns, as Parquet writes them."""
    empty = pa.BufferOutputStream()
    pq.write_table(schema.empty_table(), empty, use_deprecated_int96_timestamps=True)
    metadata = pq.ParquetFile(pa.BufferReader(empty.getvalue()))
    return [metadata.schema.column(i).path for i in range(len(metadata.schema))]
