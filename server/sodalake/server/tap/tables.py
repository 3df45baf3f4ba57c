"""``/tap/tables`` and ``/tap/tables/NAME``: what TAP_SCHEMA tells, as VOSI 1.1 (2.3) wants it.

Astroquery's TapPlus asks for some tables by ``tables=``, for none of their columns by ``only_tables=true``, and fails
where a column has no attribute ``esatapplus:flags``. The schema of VODataService lets columns have no attribute of
others, so only TapPlus gets it; it is known by these parameters, and by naming no User-Agent, which nobody else does.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from typing import Final

from lxml import etree

from sodalake.server.dali import Parameters, clip
from sodalake.server.errors import NoSuchPage
from sodalake.server.service import Service
from sodalake.server.tap.handling import VotableHandler
from sodalake.tap.metadata import Column, Published, Table
from sodalake.tap.published import listed_name

__all__ = ["TableDocuments", "TableHandler", "TablesHandler", "table_document", "tableset"]

_VTM: Final = "http://www.ivoa.net/xml/VOSITables/v1.0"
_VS: Final = "http://www.ivoa.net/xml/VODataService/v1.1"
_XSI: Final = "http://www.w3.org/2001/XMLSchema-instance"
_ESA: Final = "http://esa.int/xml/EsaTapPlus"
_NAMES: Final = {"vtm": _VTM, "vs": _VS, "xsi": _XSI, "esatapplus": _ESA}
_XML: Final = "text/xml; charset=utf-8"
_ESA_PARAMETERS: Final = frozenset({"only_tables", "tables", "share_accessible"})
_KEPT: Final = 16


def tableset(
    published: Published, *, columns: bool = True, only: Collection[str] | None = None, flags: bool = False
) -> bytes:
    """Return the document of all tables.

    Parameters
    ----------
    columns
        Whether columns and foreign keys are told (``detail=max``).
    only
        Qualified names, in small letters, of the tables that are told; None: all.
    flags
        Whether columns have the attribute that TapPlus needs.
    """
    root = etree.Element(f"{{{_VTM}}}tableset", nsmap=_NAMES)
    root.set(f"{{{_XSI}}}type", "vs:TableSet")
    for schema in published.schemas:
        tables = [one for one in schema.tables if only is None or one.qualified.lower() in only]
        if only is not None and not tables:
            continue
        element = etree.SubElement(root, "schema")
        _texts(
            element, name=schema.name, title=schema.title, description=schema.description, utype=schema.utype
        )
        for table in tables:
            _table(etree.SubElement(element, "table"), table, columns, flags)
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")


def table_document(table: Table) -> bytes:
    """Return the document of one table, with its columns."""
    root = etree.Element(f"{{{_VTM}}}table", nsmap=_NAMES)
    root.set(f"{{{_XSI}}}type", "vs:Table")
    _table(root, table, True)
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")


def _table(element: etree._Element, table: Table, columns: bool, flags: bool = False) -> None:
    element.set("type", table.kind)
    _texts(element, name=table.qualified, description=table.description, utype=table.utype)
    if table.rows is not None:
        etree.SubElement(element, "nrows").text = str(table.rows)
    if not columns:
        return
    for column in table.columns:
        _column(etree.SubElement(element, "column"), column, flags)
    for key in table.keys:
        foreign = etree.SubElement(element, "foreignKey")
        _texts(foreign, targetTable=key.target)
        for source, target in key.columns:
            pair = etree.SubElement(foreign, "fkColumn")
            _texts(pair, fromColumn=listed_name(source), targetColumn=listed_name(target))
        _texts(foreign, description=key.description, utype=key.utype)


def _column(element: etree._Element, column: Column, flags: bool) -> None:
    element.set("std", "true" if column.std else "false")
    if flags:
        element.set(f"{{{_ESA}}}flags", "1" if column.indexed else "0")
    _texts(
        element,
        name=listed_name(column.name),
        description=column.description,
        unit=column.unit,
        ucd=column.ucd,
        utype=column.utype,
    )
    kind = etree.SubElement(element, "dataType", {f"{{{_XSI}}}type": "vs:VOTableType"})
    if column.arraysize:
        kind.set("arraysize", column.arraysize)
    if column.xtype:
        kind.set("extendedType", column.xtype)
    kind.text = column.datatype
    if column.indexed:
        etree.SubElement(element, "flag").text = "indexed"


def _texts(parent: etree._Element, **texts: str) -> None:
    for name, text in texts.items():
        if text:
            etree.SubElement(parent, name).text = text


class TableDocuments:
    """The documents, kept until something else is published: all tables take 15 ms to write."""

    def __init__(self) -> None:
        self._made: OrderedDict[tuple[str, bool, tuple[str, ...] | None, bool], bytes] = OrderedDict()

    def of(self, published: Published, columns: bool, only: Collection[str] | None, flags: bool) -> bytes:
        """Return a document; see `tableset`."""
        key = (published.generation, columns, None if only is None else tuple(sorted(only)), flags)
        made = self._made.get(key)
        if made is None:
            made = self._made[key] = tableset(published, columns=columns, only=only, flags=flags)
            while len(self._made) > _KEPT:
                self._made.popitem(last=False)
        return made


class TablesHandler(VotableHandler):
    """``/tap/tables``: ``detail=min`` leaves out columns."""

    documents: TableDocuments

    def initialize(self, service: Service, documents: TableDocuments) -> None:  # type: ignore[override]
        """Take the documents that are kept, too."""
        super().initialize(service)
        self.documents = documents

    def get(self) -> None:
        """Answer with the document."""
        parameters = Parameters.of(self.request)
        detail = parameters.choice("detail", ("min", "max"), "max")
        columns = detail == "max" and not parameters.flag("only_tables")
        named = parameters.one("tables")
        flags = "User-Agent" not in self.request.headers or not _ESA_PARAMETERS.isdisjoint(parameters)
        self.set_header("Vary", "User-Agent")
        published = self.service.tap.published()
        only = (
            None
            if named is None
            else {_found(published, name.strip()).qualified.lower() for name in named.split(",")}
        )
        _send(self, self.documents.of(published, columns, only, flags))

    head = get


class TableHandler(VotableHandler):
    """``/tap/tables/NAME``."""

    def get(self, name: str) -> None:
        """Answer with the document."""
        _send(self, table_document(_found(self.service.tap.published(), name)))

    head = get


def _found(published: Published, name: str) -> Table:
    table = published.table(name)
    if table is None:
        raise NoSuchPage(
            f"There is no table {clip(name)!r}.", "All of them are listed at /tap/tables?detail=min."
        )
    return table


def _send(handler: VotableHandler, document: bytes) -> None:
    handler.set_header("Content-Type", _XML)
    handler.set_header("Cache-Control", "no-cache")
    handler.finish(document)
