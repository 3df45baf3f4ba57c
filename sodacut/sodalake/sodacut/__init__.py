"""Pixels: from stored bytes to what was asked for. No HTTP, no jobs, no archive.

The lake finds a stamp's bytes; this room reads, cuts, draws and writes them. It runs on workers: a *product*
is a small value that is made where a request is understood, travels to the worker that has read the stamps,
and returns bytes from there.

====================== =========================================================================
`stampfits`, `gzipped` bytes to pixels, quickly and without trusting them
`cards`, `bundle`      FITS headers byte for byte; many stamps in one file
`regions`, `shapes`    CIRCLE, POLYGON and POS of SODA, read strictly; what they are on the sphere
`coordinates`          which pixels a region covers
`cutting`              the stamp again, smaller
`stretch`, `picture`   brightness, colour, PNG
`tables`, `bulk`       JSON arrays, Arrow batches; thousands of stamps by id
`products`, `epochs`   the callables: one alert's stamps, and all of an object's as a stream
`errors`               what can go wrong
====================== =========================================================================
"""

from __future__ import annotations

from sodalake.sodacut.epochs import ArrowEpochs, EpochWriter, FitsEpochs, JsonEpochs, ZipEpochs, manifest
from sodalake.sodacut.errors import BadPicture, BadRegion, NoCoordinates, NoOverlap
from sodalake.sodacut.products import ArrowStamps, FitsStamp, JsonArrays, Picture, Product, warm_up
from sodalake.sodacut.regions import parse_circle, parse_polygon, parse_pos
from sodalake.sodacut.shapes import Region
from sodalake.sodacut.stampfits import read_image
from sodalake.sodacut.tables import stamp_batch

__all__ = [
    "ArrowEpochs",
    "ArrowStamps",
    "BadPicture",
    "BadRegion",
    "EpochWriter",
    "FitsEpochs",
    "FitsStamp",
    "JsonArrays",
    "JsonEpochs",
    "NoCoordinates",
    "NoOverlap",
    "Picture",
    "Product",
    "Region",
    "ZipEpochs",
    "manifest",
    "parse_circle",
    "parse_polygon",
    "parse_pos",
    "read_image",
    "stamp_batch",
    "warm_up",
]
