"""Rows of links, whatever they are of, and the document that they stand in (DataLink 1.1, section 3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from sodalake.server.tap.engine import TapEngine
from sodalake.server.tap.rows import rows_of
from sodalake.server.vo.literals import literal
from sodalake.tap.answers import Answer, Ending, Info
from sodalake.tap.formats import output_format, write
from sodalake.tap.metadata import Column, Table, arrow_schema
from sodalake.tap.published import listed_name
from sodalake.tap.published.descriptors import LINKS_STANDARD

__all__ = ["COLUMNS", "FITS", "PNG", "VOTABLE", "Row", "Target", "document", "found", "in_adql", "wrong"]

FITS, PNG, VOTABLE = "application/fits", "image/png", "application/x-votable+xml"


def _text(name: str, ucd: str, description: str) -> Column:
    return Column(name, "char", "*", ucd=ucd, description=description)


COLUMNS: Final = (
    _text("ID", "meta.id;meta.main", "The ID that was sent."),
    _text("access_url", "meta.ref.url", "Where it is."),
    _text("service_def", "meta.ref", "Service that makes it."),
    _text("error_message", "meta.code.error", "Why there is nothing."),
    _text("description", "meta.note", "What it is."),
    _text("semantics", "meta.code", "How it belongs to what has the ID."),
    _text("content_type", "meta.code.mime", "MIME type."),
    Column("content_length", "long", unit="byte", ucd="phys.size;meta.file", description="Size; not known in advance."),
    _text("content_qualifier", "meta.code.class", "Kind of data."),
    _text("local_semantics", "meta.id.assoc", "Kind of link, in words of this service."),
    _text("link_auth", "meta.code", "Whether a name is needed."),
    Column("link_authorized", "boolean", ucd="meta.code", description="Whether who asks may have it."),
)  # fmt: skip


Row = tuple[str | int | bool | None, ...]
"""Values of `COLUMNS`."""


@dataclass(frozen=True, slots=True)
class Target:
    """One ID: what was sent, which alert or image it is, or what is wrong with it.

    Attributes
    ----------
    kind
        Of stamp; None: all, or an image.
    """

    sent: str
    survey: str = ""
    id: str = ""
    kind: str | None = None
    error: str = ""

    def link(
        self,
        url: str,
        text: str,
        semantics: str,
        content_type: str,
        qualifier: str,
        local: str,
        service: str = "",
    ) -> Row:
        """Return the row of a link: to a URL, or to the descriptor of a service."""
        return (
            self.sent, url or None, service or None, None, text, semantics, content_type, None, qualifier, local,
            "false", True,
        )  # fmt: skip


def wrong(sent: str, error: str) -> Row:
    """Return the row of an ID that has no links."""
    return sent, None, None, error, "Nothing is known of this ID.", "#this", *(None,) * 6


def in_adql(table: Table, name: str, text: str) -> str:
    """Return a value of a column as ADQL writes it."""
    column = table.column(name)
    return literal(text) if column is None or column.datatype == "char" else text


async def found(
    tap: TapEngine, table: Table, columns: Sequence[str], key: str, keys: Sequence[str]
) -> list[dict[str, str]]:
    """Return the rows of a table whose `key` is one of some: column → text, empty where it is null."""
    listed = ", ".join(in_adql(table, key, one) for one in dict.fromkeys(keys))
    return await rows_of(
        tap,
        f"SELECT {', '.join(map(listed_name, columns))} FROM {table.qualified}"  # noqa: S608 - ADQL can only read
        f" WHERE {listed_name(key)} IN ({listed})",
    )


def document(rows: Sequence[Row], descriptors: tuple[str, ...], ending: Ending) -> bytes:
    """Return the VOTable of links."""
    schema = arrow_schema(COLUMNS)
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    batch = pa.RecordBatch.from_arrays(
        [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)], schema=schema
    )
    answer = Answer(
        COLUMNS,
        _one(batch),
        lambda: ending,
        (Info("standardID", LINKS_STANDARD),),
        descriptors,
    )
    # DataLink 1.1, 2: TABLEDATA
    return b"".join(write(output_format("votable/td")[0], answer))


def _one(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    yield batch
