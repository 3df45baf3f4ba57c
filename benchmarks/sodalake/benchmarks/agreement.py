"""Do both ways answer the same? Asked before anything is timed: a fast wrong answer is worth nothing."""

from __future__ import annotations

import http.client
import io
import json
from collections.abc import Sequence

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

__all__ = ["Disagreement", "agree"]


class Disagreement(Exception):
    """The two services gave different pixels."""


def agree(ours: tuple[str, int], seeds: tuple[str, int], paths: Sequence[str]) -> None:
    """Ask both services for the same, as JSON or FITS, and compare the pixels as float32, bit for bit but for NaN.

    Raises
    ------
    Disagreement
        They differ, or one did not answer.
    """
    for path in paths:
        mine, theirs = _images(ours, path), _images(seeds, path)
        same = len(mine) == len(theirs) and all(
            np.array_equal(one, other, equal_nan=True) for one, other in zip(mine, theirs, strict=True)
        )
        if not same:
            raise Disagreement(f"{path} gives other pixels here than by the seeds' way.")


def _images(address: tuple[str, int], path: str) -> list[NDArray[np.float32]]:
    connection = http.client.HTTPConnection(*address, timeout=60)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        raise Disagreement(f"{path} was answered {answer.status}: {body[:300].decode(errors='replace')}")
    if answer.headers.get_content_type() == "application/json":
        # Not a number is null here and NaN there.
        return [np.array(image, dtype=float).astype(np.float32) for image in json.loads(body)]
    with fits.open(io.BytesIO(body), ignore_missing_simple=True) as hdus:
        return [np.asarray(hdus[0].data, np.float32)]
