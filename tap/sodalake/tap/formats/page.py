"""A plain page with a table, for people who look at an answer in a browser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pyarrow as pa

from sodalake.tap.answers import Answer
from sodalake.tap.metadata import Column

from .endings import whole
from .markup import attribute, content
from .shapes import shapes_of
from .slices import rows_at_once, slices
from .tabledata import escaped
from .texts import Words, rows_of, texts_of

__all__ = ["page"]

_WORDS: Final = Words("NaN", ("-Inf", "+Inf"), "true", "false")
_OPEN: Final = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Query result</title>
<style>
body { font: 14px system-ui, sans-serif; margin: 1em }
table { border-collapse: collapse }
th, td { border: 1px solid #ccc; padding: .2em .5em; text-align: left; vertical-align: top }
th { position: sticky; top: 0; background: #eee }
</style></head><body>
"""


def page(answer: Answer) -> Iterator[bytes]:
    """Write an answer as a page of HTML.

    Raises
    ------
    FormatError
        As `texts.text_of`; or the answer ended with an error after its first rows.
    """
    columns = tuple(answer.columns)
    shapes_of(columns)
    told = f"<p>{content(answer.description)}</p>\n" if answer.description else ""
    notes = "".join(
        f"<dt>{content(i.name)}<dd>{content(i.value)} {content(i.content)}\n" for i in answer.infos
    )
    heads = "".join(map(_head, columns))
    before = f"{_OPEN}{told}<dl>{notes}</dl>\n<table><thead><tr>{heads}</tr></thead>\n<tbody>\n".encode()
    for batch in slices(columns, answer.batches, rows_at_once(columns)):
        texts = [
            escaped(text) if pa.types.is_string(kind) else text
            for text, kind in zip(texts_of(columns, batch, _WORDS), batch.schema.types, strict=True)
        ]
        yield before + rows_of(texts, "<tr><td>", "<td>", "\n")
        before = b""
    ending = whole(answer)
    cut = f"<p><strong>{content(ending.message or 'There are more rows.')}</strong></p>\n"
    yield before + f"</tbody></table>\n{cut if ending.status == 'OVERFLOW' else ''}</body></html>\n".encode()


def _head(column: Column) -> str:
    about = "; ".join(filter(None, (column.description, column.ucd)))
    unit = f" <small>[{content(column.unit)}]</small>" if column.unit else ""
    return f"<th{attribute('title', about)}>{content(column.name)}{unit}"
