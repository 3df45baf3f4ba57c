"""JSON as the TAP services of ESA write it, and TapPlus reads it: ``{"metadata": […], "data": [[…], …]}``.

Behind the data stands ``"query_status"``, ``OK`` or ``OVERFLOW``, which readers that know it not leave alone. NaN and
the infinities are null: JSON has no word for them (RFC 8259, section 6).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sodalake.tap.answers import Answer
from sodalake.tap.metadata import Column

from .endings import whole
from .shapes import shapes_of
from .slices import rows_at_once, slices
from .texts import Words, bytes_of, rows_of, texts_of

__all__ = ["json_table"]

_WORDS: Final = Words(None, (None, None), "true", "false", ("[", ",", "]"))
_ESCAPED = np.zeros(256, np.bool_)
_ESCAPED[[*range(0x20), *b'"\\']] = True


def json_table(answer: Answer) -> Iterator[bytes]:
    """Write an answer as JSON.

    Raises
    ------
    FormatError
        As `texts.text_of`; or the answer ended with an error, for which there is no place.
    """
    columns = tuple(answer.columns)
    shapes_of(columns)
    metadata = json.dumps([_described(column) for column in columns], ensure_ascii=False)
    infos = json.dumps(
        [{"name": i.name, "value": i.value, "content": i.content or None} for i in answer.infos],
        ensure_ascii=False,
    )
    before = f'{{"metadata":{metadata},\n"infos":{infos},\n"data":[\n'.encode()
    begun = False
    for batch in slices(columns, answer.batches, rows_at_once(columns)):
        texts = [
            pc.fill_null(_quoted(text) if pa.types.is_string(text_type) else text, "null")
            for text, text_type in zip(texts_of(columns, batch, _WORDS), _kinds(batch), strict=True)
        ]
        # A comma stands before each row but the first, which takes back the one of its own
        rows = rows_of(texts, ",\n[", ",", "]")
        yield before + (rows if begun else rows[2:])
        before, begun = b"", True
    ending = whole(answer)
    yield before + f'\n],"query_status":{json.dumps(ending.status)}}}\n'.encode()


def _kinds(batch: pa.RecordBatch) -> list[pa.DataType]:
    """Times are texts too."""
    return [pa.string() if pa.types.is_timestamp(kind) else kind for kind in batch.schema.types]


def _described(column: Column) -> dict[str, str | None]:
    return {
        "name": column.name,
        "datatype": column.datatype,
        "xtype": column.xtype or None,
        "arraysize": column.arraysize or None,
        "description": column.description or None,
        "unit": column.unit or None,
        "ucd": column.ucd or None,
        "utype": column.utype or None,
    }


def _quoted(text: pa.Array) -> pa.Array:
    there = np.unique(bytes_of(text)) if len(text) else np.empty(0, np.uint8)
    special = there[_ESCAPED[there]].tobytes().decode()
    for letter in sorted(special, key=lambda each: each != "\\"):
        text = pc.replace_substring(text, letter, json.dumps(letter)[1:-1])
    return pc.binary_join_element_wise('"', text, '"', "")
