"""The demo sky, written as Fink writes its archive.

::

    ROOT/ztf/archive/science/year=2026/month=03/day=12/part-00000-….c000.snappy.parquet
    ROOT/lsst/archive/science/year=2026/month=03/day=12/part-00000-….c000.snappy.parquet

One file a night and survey, Snappy, one row group, stamps stored plain. The same arguments give the same bytes.
"""

from __future__ import annotations

import datetime
import io
import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sodalake.lake.demo.photometry import Alert, Instrument, detect, observe
from sodalake.lake.demo.population import FIELDS, SkyObject, populate
from sodalake.lake.demo.rubin import RUBIN, rubin_stamps, rubin_table
from sodalake.lake.demo.stamps import Studio
from sodalake.lake.demo.visits import Visit, rubin_visits, ztf_visits
from sodalake.lake.demo.ztf import ZTF, ztf_stamps, ztf_table
from sodalake.lake.errors import FileGone
from sodalake.lake.files import as_url, join, read_bytes
from sodalake.lake.writing import write_whole

__all__ = ["LAST_NIGHT", "DemoFile", "put", "write_demo_archive"]

LAST_NIGHT: Final = datetime.date(2026, 3, 12)
"""The demo's last night, two days after the real Rubin alerts that go with it."""

Stamps = tuple[bytes | None, bytes | None, bytes | None]


@dataclass(frozen=True, slots=True)
class DemoFile:
    """A file of the demo archive.

    Attributes
    ----------
    survey
        ``ztf`` or ``lsst``.
    url
        Where it is.
    night
        Its alerts' night (UTC).
    rows, size
        Alerts, and bytes.
    """

    survey: str
    url: str
    night: datetime.date
    rows: int
    size: int


@dataclass(frozen=True, slots=True)
class _Plan:
    """One survey: who looks, what it found, and how its files are made."""

    instrument: Instrument
    alerts: Sequence[Alert]
    stamps: Callable[[Studio, Alert], Stamps]
    table: Callable[[Sequence[Alert], Sequence[Stamps]], pa.Table]


def write_demo_archive(
    root: str,
    *,
    seed: int = 42,
    objects: int = 300,
    nights: int = 30,
    last_night: datetime.date = LAST_NIGHT,
    surveys: Sequence[str] = ("ztf", "lsst"),
    progress: Callable[[int, int], None] | None = None,
) -> list[DemoFile]:
    """Write a synthetic archive below `root`.

    Parameters
    ----------
    root
        A folder, or any URL that fsspec can write to (``hdfs://…``).
    seed
        Another seed, another sky.
    objects
        Things in the sky. 300 give some 3 700 ZTF-like and 700 Rubin-like alerts, 0.2 GB.
    nights, last_night
        The nights looked at; some are cloudy. Alerts go with nights: fewer nights, fewer alerts.
    surveys
        Which to write.
    progress
        Called with (alerts done, alerts in all).

    Returns
    -------
    list of DemoFile
        By survey, then by night.

    Raises
    ------
    ValueError
        Fewer than one object or night, or a survey that is not one of the two.
    Unavailable
        The file system refused.
    """
    if objects < 1 or nights < 1 or not set(surveys) <= {"ztf", "lsst"}:
        raise ValueError("a demo archive has at least one object and one night, of the surveys ztf and lsst")
    dates = [last_night - datetime.timedelta(days=nights - 1 - at) for at in range(nights)]
    first = dates[0].toordinal() - datetime.date(1858, 11, 17).toordinal()
    sky = populate(seed, objects, first, first + nights)
    plans = [_plan(seed, sky, dates, survey) for survey in surveys]
    total = sum(len(plan.alerts) for plan in plans)
    done = 0
    files = []
    with ThreadPoolExecutor(os.cpu_count()) as threads:  # zlib and large numpy operations leave the lock
        for plan in plans:
            studio = Studio(seed, plan.instrument)
            for night, alerts in _by_night(plan.alerts):
                take = plan.stamps
                stamps = list(threads.map(lambda alert, t=take, s=studio: t(s, alert), alerts))
                files.append(_write(root, plan, seed, night, plan.table(alerts, stamps)))
                done += len(alerts)
                if progress is not None:
                    progress(done, total)
    return files


def _plan(seed: int, sky: Sequence[SkyObject], dates: Sequence[datetime.date], survey: str) -> _Plan:
    visits: list[Visit]
    if survey == "ztf":
        visits = ztf_visits(np.random.default_rng([seed, 0, 1]), dates, len(FIELDS))
        return _Plan(ZTF, detect(seed, ZTF, observe(seed, ZTF, sky, visits)), ztf_stamps, ztf_table)
    visits = rubin_visits(np.random.default_rng([seed, 0, 2]), dates)
    return _Plan(RUBIN, detect(seed, RUBIN, observe(seed, RUBIN, sky, visits)), rubin_stamps, rubin_table)


def _by_night(alerts: Sequence[Alert]) -> Iterator[tuple[datetime.date, list[Alert]]]:
    nights: dict[datetime.date, list[Alert]] = {}
    for alert in alerts:
        nights.setdefault(alert.visit.night, []).append(alert)
    yield from sorted(nights.items())


def _write(root: str, plan: _Plan, seed: int, night: datetime.date, table: pa.Table) -> DemoFile:
    survey = plan.instrument.name
    name = uuid.uuid5(uuid.NAMESPACE_OID, f"sodalake demo {survey} {seed} {night}")
    folder = f"{survey}/archive/science/year={night:%Y}/month={night:%m}/day={night:%d}"
    url = join(as_url(root), f"{folder}/part-00000-{name}.c000.snappy.parquet")
    sink = io.BytesIO()
    plain = {path for path in _leaves(table.schema) if "cutout" in path}
    pq.write_table(
        table,
        sink,
        row_group_size=max(1, table.num_rows),
        compression="snappy",
        use_dictionary=[path for path in _leaves(table.schema) if path not in plain],
        use_deprecated_int96_timestamps=True,  # as Spark writes them
        store_schema=False,
    )
    content = sink.getvalue()
    put(url, content)
    return DemoFile(survey, url, night, table.num_rows, len(content))


def put(url: str, content: bytes) -> None:
    """Write a file, unless it is there already: a file that is touched would be indexed again."""
    try:
        if read_bytes(url) == content:
            return
    except FileGone:
        pass
    write_whole(url, content)


def _leaves(schema: pa.Schema) -> list[str]:
    """Paths of the Parquet columns of `schema`."""
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, schema):
        pass
    return [
        column.path
        for column in map(pq.ParquetFile(sink).schema.column, range(len(pq.ParquetFile(sink).schema)))
    ]
