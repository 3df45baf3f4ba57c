"""One door for all formats."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Final

from sodalake.tap.answers import Answer

from .columnar import arrow_stream, parquet
from .delimited import delimited
from .fitstable import fits_table
from .jsontable import json_table
from .offered import OutputFormat
from .page import page
from .votable import votable

__all__ = ["write"]

_WRITERS: Final[Mapping[str, Callable[[Answer], Iterator[bytes]]]] = {
    "votable": partial(votable, serialization="BINARY2"),
    "votable/b2": partial(votable, serialization="BINARY2"),
    "votable/td": partial(votable, serialization="TABLEDATA"),
    "votable/b": partial(votable, serialization="BINARY"),
    "csv": partial(delimited, separator=","),
    "tsv": partial(delimited, separator="\t"),
    "fits": fits_table,
    "json": json_table,
    "parquet": parquet,
    "arrow": arrow_stream,
    "html": page,
}


def write(form: OutputFormat, answer: Answer) -> Iterator[bytes]:
    """Write an answer, piece by piece: the first as soon as its first batch is there.

    Raises
    ------
    FormatError
        The format cannot hold the answer. After the first piece a VOTable says so itself, behind the table; any other
        format raises, and who sends it must break the transfer off, lest the part look whole.
    LakeError
        What the batches raise; in a VOTable only before the first piece.
    """
    return _WRITERS[form.name](answer)
