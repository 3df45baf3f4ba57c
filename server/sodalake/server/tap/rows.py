"""The rows of a query as texts, for pages and lists of links that are made of a few of them."""

from __future__ import annotations

import csv
import io

from sodalake.server.tap.engine import Query, TapEngine
from sodalake.tap.formats import output_format

__all__ = ["rows_of"]


async def rows_of(tap: TapEngine, adql: str) -> list[dict[str, str]]:
    """Return the rows of a query: column → text, empty where it is null.

    Raises
    ------
    LakeError
        As `TapEngine.open` does.
    """
    form, content_type = output_format("csv")
    stream = await tap.open(Query(adql, form, content_type, links=False))
    try:
        content = stream.whole
        if content is None:
            content = b"".join([piece async for piece in stream])
    finally:
        await stream.close()
    return list(csv.DictReader(io.StringIO(content.decode())))
