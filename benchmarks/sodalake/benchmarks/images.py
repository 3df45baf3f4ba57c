"""`sodalake bench images`: cuts of survey images, row by row, embedded and on HDFS with HBase."""

from __future__ import annotations

from .contactsheet import sheet
from .imageinside import bulk, bytes_read, cutter
from .imagemeasures import edge, field, filling, find, one
from .imagestage import ImageScale, ImageStage
from .running import Bench

__all__ = ["BENCH", "FULL", "QUICK"]

FULL = ImageScale()
"""The real thing: 108 tiles of 4096 × 4096, plain (7 GB) and compressed (1 GB); a quarter of an hour a place."""

QUICK = ImageScale(
    side=640,
    columns=2,
    rows=2,
    images=300,
    in_a_file=100,
    rounds=1,
    requests=12,
    few=1,
    cuts=40,
    bulk=200,
    field=0.06,
    sheet=2,
    warm=2,
)
"""Everything once, on 24 small tiles: to see that it runs."""

BENCH = Bench(
    "images",
    FULL,
    QUICK,
    {
        "ingest": filling,
        "one": one,
        "cutter": cutter,
        "bytes": bytes_read,
        "bulk": bulk,
        "edge": edge,
        "field": field,
        "find": find,
        "sheet": sheet,
    },
    ImageStage,
)
"""See `running.Bench`."""
