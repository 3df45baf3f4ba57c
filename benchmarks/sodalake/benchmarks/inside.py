"""The rows of the bench that look at the reader itself: ingest, bytes read for a stamp, and stamps in bulk."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from statistics import median
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from distributed import Client, LocalCluster

from sodalake.lake.files import SourceFile, open_source
from sodalake.lake.keys import alert_key
from sodalake.lake.lake import Lake
from sodalake.lake.places import Kind
from sodalake.lake.reader import Reader
from sodalake.sodacut.bulk import stamp_table

from .archive import Recipe
from .report import Figure
from .stampstage import Ingested, MadeLake, StampStage

__all__ = ["bulk", "bulk_workers", "bytes_read", "ingest_speed", "run_bulk"]

_WORKERS = 2
_SAMPLE = 300
_TAGS = (
    16  # a stamp that crosses the fragments of a Snappy page has a literal's tag (at most 5 bytes) inside it
)
_MOST = 132_000
_cluster: Any = LocalCluster  # Dask has no types
_client: Any = Client


@contextmanager
def bulk_workers() -> Iterator[Any]:
    """Yield a Dask client of two worker processes, with nothing between it and them."""
    with (
        _cluster(
            n_workers=_WORKERS,
            threads_per_worker=1,
            processes=True,
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.ERROR,
            memory_limit=0,
        ) as cluster,
        _client(cluster) as client,
    ):
        yield client


def ingest_speed(stage: StampStage) -> list[Figure]:
    """Indexing files in place, and what the index takes."""
    figures = [_speed(stage, one) for one in (*stage.small.ingests, *stage.large.ingests)]
    lake = Lake.open(stage.large.url)
    try:
        survey = lake.survey("ztf")
        identities = stage.large.identities
        slots = stage.random_slots(stage.large, _SAMPLE, files=stage.scale.files, seed=6)
        keys = [alert_key(str(alert)) for alert in identities.alert_ids(slots)]
        rows = lake.rows.get_many("ztf.alert", keys, ["p"])
        kinds = len(survey.stamps.kinds)
        sizes = [
            (len(key) + len(cells[0] or b"")) / kinds for key, cells in zip(keys, rows, strict=True) if cells
        ]
    finally:
        lake.close()
    figures.append(
        Figure(
            "ingest",
            stage.site.name,
            "index of a stamp, largest",
            max(sizes),
            "B",
            64,
            "less",
            note="key and cell of the alert's row, by its three stamps",
            details={"mean": sum(sizes) / len(sizes)},
        )
    )
    return figures


def _speed(stage: StampStage, one: Ingested) -> Figure:
    files = "one file" if one.files == 1 else f"{one.files} files"
    speed = one.bytes / 1e6 / one.seconds
    note = f"{one.bytes / 1e6:.0f} MB, {one.alerts} alerts in {one.seconds:.1f} s"
    if one.workers == 1:
        return Figure(
            "ingest", stage.site.name, f"ingest of {files}, one worker", speed, "MB/s", 60, note=note
        )
    # Not by the worker: starting two processes takes as long as indexing these files.
    measure = f"ingest of {files}, {one.workers} workers together"
    return Figure("ingest", stage.site.name, measure, speed, "MB/s", note=f"{note}, their start included")


def bytes_read(stage: StampStage) -> list[Figure]:
    """Bytes that are read from the archive for one stamp, by the kind of its page."""
    side = stage.scale.side_rows
    figures = []
    for what, lake in (
        ("ZTF, Snappy", stage.large),
        ("ZTF, uncompressed", stage.lake("plain", Recipe("ztf", 1, side, "none"), ((1, 1),))),
        ("Rubin, Snappy", stage.lake("rubin", Recipe("lsst", 1, side), ((1, 1),))),
        ("ZTF, zstd", stage.lake("zstd", Recipe("ztf", 1, side, "zstd"), ((1, 1),))),
    ):
        figures += _bytes_of(stage, what, lake)
    return figures


def _bytes_of(stage: StampStage, what: str, made: MadeLake) -> list[Figure]:
    """Read stamps one by one; a figure for each kind of place that the index has of them."""
    recipe = made.archive.recipe
    read: dict[Kind, list[tuple[int, int]]] = defaultdict(list)
    reader = Reader(Lake.open(made.url))
    try:
        survey = reader.lake.survey(recipe.survey)
        kinds = tuple(survey.stamps.kinds)
        slots = stage.random_slots(made, _SAMPLE, files=recipe.files, seed=7)
        for index, alert in enumerate(made.identities.alert_ids(slots)):
            at = index % len(kinds)
            found = reader.find(survey, str(alert))
            before = reader.files.bytes_read
            (answer,) = reader.stamps(survey, [found], (kinds[at],))
            stamp = answer.stamps[kinds[at]]
            if stamp is not None:
                read[found.entry.places[at].kind].append((reader.files.bytes_read - before, len(stamp)))
    finally:
        reader.files.close()
        reader.lake.close()
    chunk = _chunk(made, survey.stamps.kinds[kinds[0]])
    return [_figure_of(stage, what, kind, read[kind], chunk) for kind in sorted(read)]


def _figure_of(stage: StampStage, what: str, kind: Kind, read: list[tuple[int, int]], chunk: int) -> Figure:
    mean, own = (sum(values) / len(values) for values in zip(*read, strict=True))
    largest = max(got for got, _ in read)
    note = (
        f"{len(read)} stamps of {own / 1e3:.1f} kB, {mean / 1e3:.1f} kB read for one; "
        f"column chunk {chunk / 1e6:.1f} MB, {chunk / mean:,.0f}×"
    )
    details = {"mean": mean, "largest": largest, "own": own, "chunk": chunk, "stamps": len(read)}
    place = stage.site.name
    if kind is Kind.RAW:
        beyond = max(got - size for got, size in read)
        measure = f"{what}: bytes read beyond the stamp's own"
        return Figure("bytes", place, measure, beyond, "B", _TAGS, "less", note, details)
    if kind is Kind.FRAGMENT:
        measure = f"{what}: bytes read for a stamp, largest"
        return Figure("bytes", place, measure, largest, "B", _MOST, "less", note, details)
    return Figure(
        "bytes", place, f"{what}: bytes read for a stamp, largest", largest, "B", None, "less", note, details
    )


def _chunk(made: MadeLake, column: str) -> int:
    """Return the bytes of a column's chunk in the first file: what has to be read to find a stamp without an index."""
    source = open_source(made.urls[0])
    try:
        group = pq.ParquetFile(SourceFile(source)).metadata.row_group(0)
        return next(
            int(group.column(i).total_compressed_size)
            for i in range(group.num_columns)
            if group.column(i).path_in_schema == column
        )
    finally:
        source.close()


@lru_cache(maxsize=4)
def _reader(lake_url: str) -> Reader:
    """Return this worker process's reader of a lake."""
    return Reader(Lake.open(lake_url))


def _decoded(lake_url: str, alert_ids: list[str], kinds: tuple[str, ...]) -> Any:
    return stamp_table(_reader(lake_url), "ztf", alert_ids, kinds)


def _size_of(batch: Any) -> tuple[int, int]:
    """Return the decoded stamps of a batch, and its bytes."""
    return batch.num_rows - batch["pixels"].null_count, batch.nbytes


def bulk(stage: StampStage) -> list[Figure]:
    """Random stamps to Arrow on two Dask workers: one stamp of each alert, then all three of a third as many alerts."""
    lake, scale = stage.large, stage.scale
    files = min(scale.bulk_files, scale.files)
    megabytes = sum(lake.archive.sizes[:files]) / 1e6
    kinds = ("science", "template", "difference")
    figures = []
    with bulk_workers() as client:
        for wanted, name in ((kinds[:1], "one of each alert"), (kinds, "three of each alert")):
            alerts = min(scale.bulk_stamps // len(wanted), files * lake.identities.rows)
            runs = [run_bulk(stage, client, wanted, alerts, files, turn) for turn in range(scale.rounds + 1)][
                1:
            ]
            rates = [stamps / seconds for stamps, seconds, _ in runs]
            gathered = [stamps / (seconds + gathering) for stamps, seconds, gathering in runs]
            figures.append(
                Figure(
                    "bulk",
                    stage.site.name,
                    f"{alerts * len(wanted):,} random stamps of {megabytes:.0f} MB to Arrow, 2 workers, {name}",
                    median(rates),
                    "stamps/s",
                    4000,
                    note=f"{median(gathered):,.0f}/s with the tables brought to one process",
                    details={"rates": rates, "gathered": gathered},
                )
            )
    return figures


def run_bulk(
    stage: StampStage, client: Any, kinds: tuple[str, ...], alerts: int, files: int, turn: int
) -> tuple[int, float, float]:
    """Return decoded stamps, seconds until they are on the workers, and seconds to gather them here."""
    lake = stage.large
    slots = stage.random_slots(lake, alerts, files=files, seed=100 + turn)
    # Sorted: ids grow with the night, so a run of neighbours stands in few files.
    ids = [str(alert) for alert in np.sort(lake.identities.alert_ids(slots))]
    each = -(-len(ids) // (2 * _WORKERS))
    runs = [ids[start : start + each] for start in range(0, len(ids), each)]
    began = time.perf_counter()
    tables = [client.submit(_decoded, lake.url, run, kinds, pure=False) for run in runs]
    sizes = client.gather([client.submit(_size_of, table, pure=False) for table in tables])
    seconds = time.perf_counter() - began
    client.gather(tables)
    gathering = time.perf_counter() - began - seconds
    stamps = sum(stamps for stamps, _ in sizes)
    if stamps != len(ids) * len(kinds):
        raise RuntimeError(f"{stamps} stamps came of {len(ids) * len(kinds)}.")
    return stamps, seconds, gathering
