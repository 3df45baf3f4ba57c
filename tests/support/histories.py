"""Archives that come about file by file, and what must be seen of them by looking at every alert."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from alert_files import Alert
from hypothesis import strategies as st

CLASSES = ("SN candidate", "Star", "a_b", "", None)
# What a column was in three years: (name, type, value of a number).
YEARS: tuple[dict[str, tuple[pa.DataType, Callable[[int], Any]]], ...] = (
    {
        "finkclass": (pa.string(), lambda n: CLASSES[n % 5]),
        "num": (pa.int32(), lambda n: n),
        "label": (pa.string(), lambda n: f"label {n % 3}"),
        "empty": (pa.null(), lambda n: None),
    },
    {
        "finkclass": (pa.string(), lambda n: CLASSES[n % 3]),
        "cdsxmatch": (pa.string(), lambda n: CLASSES[(n + 1) % 5]),
        "num": (pa.float32(), lambda n: math.nan if n % 3 == 0 else n + 0.1),
        "label": (pa.int64(), lambda n: n if n % 2 else None),
        "seen": (pa.bool_(), lambda n: n % 2 == 0 if n % 3 else None),
    },
    {
        "cdsxmatch": (pa.string(), lambda n: CLASSES[n % 5]),
        "num": (pa.float64(), lambda n: math.nan if n % 2 == 0 else n / 7),
        "label": (pa.float32(), lambda n: math.nan if n % 4 == 0 else n + 0.1),
        "when": (pa.timestamp("ms", "UTC"), lambda n: 1_600_000_000_000 + n),
        "empty": (pa.null(), lambda n: None),
    },
)


@dataclass(frozen=True)
class File:
    """One file as it is ingested: where, its alerts, the year whose columns it has."""

    name: str
    alerts: tuple[Alert, ...]
    year: int = 0
    rows_a_group: int = 1000


def alert(number: int, version: int, object_: int, when: int) -> Alert:
    """An alert whose place and time depend on few numbers, so that they come again."""
    ra, dec = (37.0 * number + 11.0 * (version % 2)) % 360, (number * 13) % 170 - 85.0
    return Alert(10**15 + number, f"ZTF21a_{object_}", 2459540.5 + when / 4, version=version, place=(ra, dec))


def numbered(one: Alert) -> int:
    """What the values of an alert's columns are made of."""
    return one.candid % 10**15 * 7 + one.version


def write_file(root: Path, file: File) -> Path:
    """Write a file of an archive."""
    rows = [one.row() for one in file.alerts]
    table = pa.Table.from_pylist(rows)
    for name, (kind, value) in YEARS[file.year].items():
        values = [value(numbered(one)) for one in file.alerts]
        table = table.append_column(name, pa.array(values, pa.int64()).cast(kind) if pa.types.is_timestamp(kind)
                                    else pa.array(values, kind, from_pandas=False))  # fmt: skip
    path = root / "science" / f"{file.name}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=file.rows_a_group)
    return path


def seen(history: Sequence[File]) -> dict[int, tuple[Alert, int]]:
    """What may be seen: of each alert the one that came last, of the files as they are now; with its file's year."""
    now: dict[str, tuple[int, File]] = {}
    for order, file in enumerate(history):
        now[file.name] = order, file
    found: dict[int, tuple[Alert, int]] = {}
    for _, file in sorted(now.values(), key=lambda one: one[0]):
        for one in file.alerts:
            if one.jd is not None and not math.isnan(one.jd):
                found[one.candid] = one, file.year
    return found


@st.composite
def histories(draw: st.DrawFn, most: int = 5, rewritten: bool = True) -> list[File]:
    """Files one after the other, with alerts of others, written anew, alerts twice, or without time."""
    history: list[File] = []
    for order in range(draw(st.integers(1, most))):
        again = rewritten and history and draw(st.booleans())
        name = draw(st.sampled_from([file.name for file in history])) if again else f"part-{order:02d}"
        count = draw(st.integers(1, 8))
        alerts = [
            alert(
                draw(st.integers(0, 9)),
                order,
                draw(st.integers(0, 2)),
                draw(st.integers(0, 5)),
            )
            for _ in range(count)
        ]
        if draw(st.integers(0, 4)) == 0:
            alerts.append(
                replace(alerts[0], candid=10**15 + 50 + order, jd=draw(st.sampled_from([None, math.nan])))
            )
        year, size = draw(st.integers(0, 2)), draw(st.sampled_from([2, 3, 1000]))
        history.append(File(name, tuple(alerts), year, size))
    return history
