"""The real alerts that archives are made from.

Beside the repository there may be a folder with some hundred real alerts; else the handful that the package
carries for its demo serves. Files of one survey differ from year to year, so the largest set with one
schema is taken.
"""

from __future__ import annotations

from collections import defaultdict
from importlib import resources
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["real_files", "real_rows"]

_BESIDE = {"ztf": "ztf_fink_science_datatest", "lsst": "lsst_fink_tutorials"}


def real_files(survey: str) -> list[Path]:
    """Return Parquet files with real alerts of ``ztf`` or ``lsst``, the most there are."""
    repository = Path(__file__).resolve().parents[3]
    beside = repository.parent / "shared" / "data" / "alerts" / _BESIDE[survey]
    files = sorted(beside.glob("*.parquet"))
    if not files:
        carried = Path(str(resources.files("sodalake.lake"))) / "demo" / "real" / survey
        files = sorted(carried.glob("*.parquet"))
    if not files:
        raise FileNotFoundError(f"There are no real {survey} alerts to make an archive from.")
    return files


def real_rows(survey: str) -> pa.Table:
    """Return the rows of `real_files` that have the commonest schema."""
    alike: dict[str, list[pa.Table]] = defaultdict(list)
    for path in real_files(survey):
        # ParquetFile, not read_table: no partition columns are to be made of folder names.
        table = pq.ParquetFile(path).read().replace_schema_metadata(None)
        alike[str(table.schema)].append(table)
    tables = max(alike.values(), key=lambda some: sum(len(table) for table in some))
    return pa.concat_tables(tables).combine_chunks()
