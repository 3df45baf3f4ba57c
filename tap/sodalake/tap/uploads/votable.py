"""VOTable 1.0 to 1.5, as XML: what its first table's columns are, and its cells.

Expat reads it as a stream: a base64 stream of any length is no burden (libxml2 refuses texts above 10 MB unless all its
limits are off), elements nest as deep as we allow, and a DTD ends it at once, and with it all entities but XML's own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Final
from xml.parsers import expat

from sodalake.tap.errors import UploadError
from sodalake.tap.metadata import Column

from .cells import array_of_texts
from .columns import Read, check_rows, shape
from .streams import decoded

__all__ = ["fields_of", "read_votable"]

_DEEPEST: Final = 32  # a VOTable of TABLEs in RESOURCEs in RESOURCEs needs a dozen
_PIECE: Final = 1 << 20


def read_votable(content: bytes, rows: int) -> Read:
    """Read the first table of a VOTable.

    Raises
    ------
    UploadError
        Not well-formed, not a VOTable, without a table, too many rows, or cells that are not what their column says.
    """
    document = _parsed(content, rows)
    columns = [each.column for each in document.fields]
    for column in columns:
        shape(column)
    nulls = [each.null for each in document.fields]
    if document.data in ("BINARY", "BINARY2"):
        bits = {at for at, each in enumerate(document.fields) if each.bit}
        arrays = decoded(columns, nulls, bits, "".join(document.stream), document.data == "BINARY2", rows)
    else:
        count = len(columns)
        arrays = [
            array_of_texts(column, null, document.cells[at::count])
            for at, (column, null) in enumerate(zip(columns, nulls, strict=True))
        ]
    return Read(columns, arrays, document.description)


def fields_of(content: bytes) -> tuple[list[Column], str]:
    """Return the columns of a VOTable's first table, and its description, whatever data it has.

    Raises
    ------
    UploadError
        As `read_votable`.
    """
    document = _parsed(content, 0)
    return [each.column for each in document.fields], document.description


@dataclass(slots=True)
class _Field:
    column: Column
    null: str | None = None
    bit: bool = False


@dataclass(slots=True)
class _Document:
    """What is known of the table while the document is read."""

    rows: int
    fields: list[_Field] = field(default_factory=list)
    description: str = ""
    data: str = ""
    cells: list[str] = field(default_factory=list)
    stream: list[str] = field(default_factory=list)
    count: int = 0
    begun: bool = False
    done: bool = False
    path: list[str] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)

    def start(self, name: str, attributes: dict[str, str]) -> None:
        local = self.names.get(name) or self.names.setdefault(name, name.rpartition(" ")[2])
        path = self.path
        if not path and local != "VOTABLE":
            raise UploadError(f"It is XML, but its root is {local[:40]}, not VOTABLE.")
        if len(path) >= _DEEPEST:
            raise UploadError("Its elements are nested deeper than those of any VOTable.")
        path.append(local)
        self.texts = []
        if self.done or local == "TD" or local == "TR":
            if local == "TD" and attributes.get("encoding"):
                raise UploadError("A TD has an encoding, which is not taken.", "Write its text plainly.")
            return
        if local == "TABLE":
            self.begun = True
        elif self.begun:
            self._inside(local, attributes)

    def _inside(self, local: str, attributes: dict[str, str]) -> None:
        parent = self.path[-2]
        if local == "FIELD" and parent == "TABLE":
            if self.data:
                raise UploadError("A FIELD stands behind the data.", "Put all FIELDs before DATA.")
            self.fields.append(_field(attributes, len(self.fields) + 1))
        elif local == "VALUES" and parent == "FIELD" and attributes.get("type", "legal") == "legal":
            self.fields[-1].null = attributes.get("null", self.fields[-1].null)
        elif parent == "DATA":
            if local not in ("TABLEDATA", "BINARY", "BINARY2"):
                raise UploadError(
                    f"Its data are in the serialization {local[:20]}, which is not taken inside a VOTable.",
                    "Send TABLEDATA, BINARY or BINARY2, or the FITS or Parquet file itself.",
                )
            if self.data:
                raise UploadError("Its table has its data twice.")
            self.data = local
        elif local == "STREAM" and (attributes.get("href") or attributes.get("encoding") != "base64"):
            raise UploadError("Its STREAM is not base64 in the document itself.", "Send it so.")

    def text(self, text: str) -> None:
        self.texts.append(text)

    def end(self, name: str) -> None:
        path = self.path
        local = path.pop()
        if self.done:
            return
        if local == "TD" and self.data == "TABLEDATA":
            self.cells.append("".join(self.texts))
        elif local == "TR" and self.data == "TABLEDATA":
            self._row()
        elif local == "TABLE":
            self.done = True
            self.texts = []
        elif local == "STREAM" and self.begun:
            self.stream = self.texts
        elif local == "DESCRIPTION" and self.begun:
            said = " ".join("".join(self.texts).split())
            if path[-1] == "TABLE":
                self.description = said
            elif path[-1] == "FIELD":
                last = self.fields[-1]
                last.column = replace(last.column, description=said)

    def _row(self) -> None:
        self.count += 1
        check_rows(self.count, self.rows)
        found, wanted = len(self.cells) - (self.count - 1) * len(self.fields), len(self.fields)
        if found != wanted:
            raise UploadError(
                f"Row {self.count} has {found} cells, and there are {wanted} columns.",
                "Each TR needs a TD for each FIELD.",
            )


def _parsed(content: bytes, rows: int) -> _Document:
    document = _Document(rows)
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.buffer_size = 1 << 16
    parser.StartDoctypeDeclHandler = _no_doctype
    parser.StartElementHandler = document.start
    parser.EndElementHandler = document.end
    parser.CharacterDataHandler = document.text
    try:
        for at in range(0, len(content), _PIECE):
            parser.Parse(content[at : at + _PIECE], False)
        parser.Parse(b"", True)
    except (expat.ExpatError, LookupError, ValueError) as error:
        raise UploadError(f"It is not well-formed XML: {error}.", "Check that it arrived whole.") from error
    if not document.begun:
        raise UploadError("It is a VOTable without a TABLE.", "Send one with rows.")
    return document


def _no_doctype(*_: object) -> None:
    raise UploadError("It has a document type declaration, which is not taken.", "Leave out <!DOCTYPE …>.")


def _field(attributes: dict[str, str], number: int) -> _Field:
    name = attributes.get("name") or attributes.get("ID", "")
    datatype = attributes.get("datatype", "")
    if not datatype:
        raise UploadError(f"Column {name or number} has no datatype.", "Give its FIELD one.")
    arraysize = re.sub(r"\s+", "", attributes.get("arraysize", ""))
    # Astropy makes bits of booleans, so that those who upload its tables have them
    bit = datatype == "bit" and arraysize in ("", "1")
    column = Column(
        name,
        "boolean" if bit else datatype,
        arraysize,
        attributes.get("xtype", ""),
        attributes.get("unit", ""),
        attributes.get("ucd", ""),
        attributes.get("utype", ""),
    )
    return _Field(column, bit=bit)
