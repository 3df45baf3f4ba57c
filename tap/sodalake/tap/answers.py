"""An answer on its way out: the contract between who runs a query and who writes tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import pyarrow as pa

from .metadata import Column

__all__ = ["Answer", "Ending", "Info"]


@dataclass(frozen=True, slots=True)
class Info:
    """An INFO of a VOTable; other formats keep it as they can (FITS: HISTORY, Parquet: metadata)."""

    name: str
    value: str
    content: str = ""


@dataclass(frozen=True, slots=True)
class Ending:
    """How an answer ended: whole, cut at MAXREC, or by an error after it had begun."""

    status: Literal["OK", "OVERFLOW", "ERROR"] = "OK"
    message: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows, and what is to be told of them.

    Attributes
    ----------
    columns
        Of every batch, in order.
    batches
        Arrow record batches of `metadata.arrow_schema(columns)`; read once.
    ending
        Asked when the batches are at their end (DALI 1.1, 4.4.1: what is known only then stands behind the table).
    infos
        To be told before the rows: the query, the standard, citations.
    descriptors
        XML of RESOURCE elements (service descriptors, DataLink 1.1 section 4) that stand behind the results in a
        VOTable. Where one refers to a column, the reference is the FIELD's ID (`formats.idents`).
    description
        Of the table; may be empty.
    """

    columns: Sequence[Column]
    batches: Iterable[pa.RecordBatch]
    ending: Callable[[], Ending] = Ending
    infos: Sequence[Info] = ()
    descriptors: Sequence[str] = field(default=())
    description: str = ""
