"""Lists of targets that are VOTables: TABLEDATA, BINARY or BINARY2, read by astropy.

A VOTable may say that its data are elsewhere (``STREAM href``), and astropy would fetch them, from this machine's
files too. Such a table is refused before astropy sees it, and so is one with a document type of its own.
"""

from __future__ import annotations

import io
import re
from typing import Any
from xml.parsers import expat

import numpy as np
from numpy.typing import NDArray

from sodalake.lake.importing import IMPORTS
from sodalake.sodacut.errors import BadTargets

__all__ = ["read_votable"]

_ENCODING = re.compile(rb"""^\s*<\?xml[^>]*\bencoding\s*=\s*["']([^"']*)["']""")
_ENCODINGS = (b"utf-8", b"us-ascii", b"ascii", b"iso-8859-1")
_ADVICE = "Send the table's data inside of it, as TABLEDATA, BINARY or BINARY2."


def read_votable(body: bytes) -> tuple[list[str], list[list[str | None]]]:
    """Return the names and the columns of the first table, every value as text (None where it is null).

    Raises
    ------
    BadTargets
        It is no VOTable, has no table, keeps its data elsewhere, or has ids as floating point numbers.
    """
    with IMPORTS:
        from astropy.io.votable import parse  # 0.3 s that only those who send a VOTable wait for

    body = body.removeprefix(b"\xef\xbb\xbf")
    _check(body)
    try:
        document = parse(io.BytesIO(body), verify="ignore")
        table = document.get_first_table()
    except (ValueError, LookupError, TypeError, OSError, EOFError, NotImplementedError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BadTargets(f"The list is no VOTable that can be read: {reason[:300]}.", _ADVICE) from None
    names, columns = [], []
    for field in table.fields:
        # astropy may rename a field in the array to make it unique; its ID is the array's name of it.
        names.append(str(field.name or field.ID))
        columns.append(_texts(table.array[field.ID]))
    return names, columns


def _check(body: bytes) -> None:
    declared = _ENCODING.match(body)
    if b"\x00" in body[:200] or (declared and declared[1].lower() not in _ENCODINGS):
        raise BadTargets("The VOTable is not UTF-8.", "Save it as UTF-8 and send it again.")
    parser = expat.ParserCreate()

    def start(name: str, attributes: dict[str, str]) -> None:
        if name.rpartition(":")[2] == "STREAM" and "href" in {
            attribute.rpartition(":")[2].lower() for attribute in attributes
        }:
            raise BadTargets("The VOTable keeps its data elsewhere (STREAM href).", _ADVICE)

    def doctype(*_: object) -> None:
        raise BadTargets("The VOTable has a DOCTYPE.", "Leave it out: VOTables have a schema.")

    parser.StartElementHandler = start
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(body, True)
    except expat.ExpatError as error:
        raise BadTargets(
            f"The VOTable is not well-formed XML: {expat.ErrorString(error.code)} "
            f"at line {error.lineno}, column {error.offset + 1}.",
            "Check how it was written.",
        ) from None


def _texts(column: Any) -> list[str | None]:
    """Return a column of a masked array as text."""
    values = np.ma.getdata(column)
    mask: NDArray[np.bool_] = np.asarray(np.ma.getmaskarray(column))
    if mask.ndim > 1:
        mask = np.logical_and.reduce(mask.reshape(len(mask), -1), axis=1)
    texts: list[str | None] = [_text(value) for value in values.tolist()]
    return [None if masked else text for text, masked in zip(texts, mask.tolist(), strict=True)]


def _text(value: Any) -> str | None:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        return value.strip("\0 \t\r\n") or None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple | np.ndarray):
        return " ".join(text for item in value if (text := _text(item)) is not None) or None
    if isinstance(value, float) and value != value:
        return None
    return None if value is None else str(value)
