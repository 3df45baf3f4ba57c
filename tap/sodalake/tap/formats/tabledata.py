"""Rows as TABLEDATA: XML elements (VOTable 1.4, 5.1). An empty TD is a null (5.5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sodalake.tap.metadata import Column

from .shapes import Shape, shapes_of
from .texts import Words, has_bytes, rows_of, texts_of

__all__ = ["escaped", "tabledata"]

_WORDS: Final = Words("NaN", ("-Inf", "+Inf"), "T", "F")

# What must be escaped, or cannot be said; EF begins the two noncharacters U+FFFE and U+FFFF
_SPECIAL = np.zeros(256, np.bool_)
_SPECIAL[[*range(0x20), *b"&<>", 0xEF]] = True
_SPECIAL[[0x09, 0x0A]] = False
_NO_XML: Final = "[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]"


def tabledata(columns: Sequence[Column], batch: pa.RecordBatch) -> bytes:
    """Return the TR elements of a batch.

    Raises
    ------
    FormatError
        As `texts.text_of`.
    """
    texts = [
        escaped(text) if pa.types.is_string(kind) else _placed(column, shape, text) if shape.array else text
        for column, text, kind, shape in zip(
            columns,
            texts_of(columns, batch, _WORDS),
            batch.schema.types,
            shapes_of(tuple(columns)),
            strict=True,
        )
    ]
    return rows_of(texts, "<TR><TD>", "</TD><TD>", "</TD></TR>\n")


def _placed(column: Column, shape: Shape, text: pa.Array) -> pa.Array:
    """An array of fixed length has all its numbers, also where it is a null: a place that is not known is NaN NaN."""
    if not shape.length or not text.null_count or column.datatype not in ("float", "double"):
        return text
    return pc.fill_null(text, " ".join(["NaN"] * shape.length))


def escaped(text: pa.Array) -> pa.Array:
    """Return texts as XML content; the characters that XML does not know become U+FFFD."""
    if not has_bytes(text, _SPECIAL):
        return text
    text = pc.replace_substring_regex(text, _NO_XML, "\N{REPLACEMENT CHARACTER}")
    for plain, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\r", "&#13;")):
        text = pc.replace_substring(text, plain, entity)
    return text
