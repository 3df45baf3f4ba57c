"""Small archives for tests: alerts with stamps that no two share, in files like Fink's, written in any way."""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

KINDS = ("Science", "Template", "Difference")


def stamp(candid: int, kind: str) -> bytes:
    """The gzipped FITS image of just one alert, 7 by 9 pixels."""
    axes = {"BITPIX": -32, "NAXIS": 2, "NAXIS1": 7, "NAXIS2": 9}
    cards = ["SIMPLE  =                    T", *(f"{name:8}= {value:20}" for name, value in axes.items())]
    cards += [f"OBJECT  = '{kind} {candid}'", "END"]
    header = "".join(card.ljust(80) for card in cards).ljust(2880).encode()
    pixels = np.random.default_rng([candid, len(kind)]).normal(100, 5, (9, 7)).astype(">f4").tobytes()
    return gzip.compress(header + pixels.ljust(2880, b"\0"), 1, mtime=0)


@dataclass(frozen=True)
class Alert:
    """One ZTF-like alert; `missing` kinds are null; `place` is right ascension and declination."""

    candid: int
    objectId: str
    jd: float | None = 2459540.5
    version: int = 0
    missing: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    place: tuple[float | None, float | None] | None = None

    def stamp(self, kind: str) -> bytes | None:
        """The stamp of one kind, as stored."""
        return None if kind in self.missing else stamp(self.candid + 10**6 * self.version, kind)

    def row(self) -> dict[str, Any]:
        """The alert as a row of the file."""
        cutouts = {
            f"cutout{kind}": {"fileName": f"{self.candid}.fits", "stampData": self.stamp(kind)}
            for kind in KINDS
        }
        ra, dec = self.place or (10.0 + self.candid % 7, -5.0)
        candidate = {
            "jd": self.jd,
            "ra": ra,
            "dec": dec,
            "magpsf": 18.0 + self.version,
            "fid": 1,
        }
        history = [{"jd": 2459500.5, "magpsf": None}]
        return {"candid": self.candid, "objectId": self.objectId, "candidate": candidate, "prv_candidates": history,
                **cutouts, **self.extra}  # fmt: skip


def write(path: Path, alerts: Sequence[Alert], **options: Any) -> Path:
    """Write alerts as one Parquet file."""
    table = pa.Table.from_pylist([alert.row() for alert in alerts])
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, **{"compression": "snappy", "use_dictionary": False, **options})
    return path


def night(root: Path, day: int, alerts: Sequence[Alert], part: int = 0, **options: Any) -> Path:
    """Write alerts where Fink's archive keeps a night of November 2021."""
    return write(
        root / f"science/year=2021/month=11/day={day:02d}/part-{part:05d}.snappy.parquet", alerts, **options
    )
