"""CSV (RFC 4180, with a header line) and TSV, as TAP wants them (TAP 1.1, 3.2). A null is an empty cell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sodalake.tap.answers import Answer

from .endings import whole
from .shapes import shapes_of
from .slices import rows_at_once, slices
from .texts import Words, fractional, has_bytes, rows_of, texts_of

__all__ = ["delimited"]

# STILTS and Python read these; Arrow's own nan and inf make a column of texts in TOPCAT
_WORDS: Final = Words("NaN", ("-Infinity", "Infinity"), "true", "false")

_QUOTED = np.zeros(256, np.bool_)
_QUOTED[[*b'",\r\n']] = True
_BLANKED = np.zeros(256, np.bool_)
_BLANKED[[*b"\t\r\n"]] = True


def delimited(answer: Answer, separator: str) -> Iterator[bytes]:
    """Write an answer as CSV (separator ``,``) or TSV (``\\t``).

    CSV keeps an empty text and a null apart: the text is quoted. TSV has no quotes: a tab or a line's end in a text
    becomes a blank.

    Raises
    ------
    FormatError
        As `texts.text_of`; or the answer ended with an error, for which there is no place.
    """
    columns = tuple(answer.columns)
    shapes_of(columns)
    csv = separator == ","
    clean = _quoted if csv else _blanked
    head = clean(pa.array([column.name for column in columns]))
    line, end = separator.join(head.to_pylist()), "\r\n" if csv else "\n"
    before = (line + end).encode()
    for batch in slices(columns, answer.batches, rows_at_once(columns)):
        texts = []
        for array, text in zip(batch.columns, texts_of(columns, batch, _WORDS), strict=True):
            if pa.types.is_floating(array.type):
                texts.append(fractional(array, text))
            else:
                texts.append(clean(text) if pa.types.is_string(array.type) else text)
        if csv and len(texts) == 1:
            # A line with nothing in it is no row to most readers
            texts = [pc.fill_null(texts[0], '""')]
        rows = rows_of(texts, "", separator, end)
        yield before + rows
        before = b""
    whole(answer)
    if before:
        yield before


def _quoted(text: pa.Array) -> pa.Array:
    empty = pc.equal(text, "")
    special = has_bytes(text, _QUOTED)
    if not special and not pc.any(empty).as_py():
        return text
    wanted = pc.or_(empty, pc.match_substring_regex(text, '[",\r\n]')) if special else empty
    doubled = pc.replace_substring(text, '"', '""') if special else text
    return pc.if_else(wanted, pc.binary_join_element_wise('"', doubled, '"', ""), text)


def _blanked(text: pa.Array) -> pa.Array:
    return pc.replace_substring_regex(text, "[\t\r\n]", " ") if has_bytes(text, _BLANKED) else text
