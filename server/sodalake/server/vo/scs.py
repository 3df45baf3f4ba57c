"""Simple Cone Search 1.03, with MAXREC and RESPONSEFORMAT of 1.1: ``/scs/SCHEMA.TABLE?RA=…&DEC=…&SR=…``.

Columns have the UCDs of 1.03, since validators and clients look for them; the same columns have those of today in TAP.
Errors are told in both ways, by an INFO called Error and by QUERY_STATUS. They come with 200, as 1.03 has it: clients
show the text of a VOTable, and of a status they show the number.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from lxml import etree

from sodalake.server.dali import Parameters, clip
from sodalake.server.errors import BadParameter, Fault, NoSuchPage
from sodalake.server.faultforms import as_cone
from sodalake.server.handlers import Handler
from sodalake.server.tap.engine import Query
from sodalake.server.tap.handling import QueryHandler
from sodalake.server.tap.requests import format_of, maxrec_of
from sodalake.server.vosi import InputParameter, Mode, send_capabilities
from sodalake.tap.answers import Info
from sodalake.tap.formats import output_format
from sodalake.tap.metadata import Column, Published, Table
from sodalake.tap.published import listed_name

__all__ = ["ConeCapabilitiesHandler", "ConeHandler", "cone_query", "cone_table"]

_CS: Final = "http://www.ivoa.net/xml/ConeSearch/v1.0"
_TEXT_XML: Final = "text/xml"
_WITH_PLACES: Final = ("alerts", "objects", "images")
_VERBOSITIES: Final = ("1", "2", "3")
PARAMETERS: Final = (
    InputParameter("RA", "Right ascension of the centre, ICRS, 0 to 360.", "double", "", unit="deg",
                   ucd="pos.eq.ra;meta.main", required=True),
    InputParameter("DEC", "Declination of the centre, ICRS.", "double", "", unit="deg", ucd="pos.eq.dec;meta.main",
                   required=True),
    InputParameter("SR", "Radius, up to 180; 0 asks for the columns alone.", "double", "", unit="deg", required=True),
    InputParameter("VERB", "1: id and place; 2 (default): what most want to see; 3: all columns.", "int", ""),
    InputParameter("MAXREC", "Rows at most.", "int", "", standard=False),
    InputParameter("RESPONSEFORMAT", "As for TAP; VOTable without it.", standard=False),
)  # fmt: skip


def cone_table(published: Published, name: str) -> Table:
    """Return the table that a cone search is of: one with an id and places.

    Raises
    ------
    NoSuchPage
        There is none of that name.
    """
    table = published.table(name)
    if table is None or table.content not in _WITH_PLACES:
        known = ", ".join(one.qualified for one in published if one.content in _WITH_PLACES)
        raise NoSuchPage(f"There is no cone search of {clip(name)!r}.", f"There are: {known or 'none yet'}.")
    return table


def cone_query(parameters: Parameters, table: Table) -> Query:
    """Read a cone search.

    Raises
    ------
    BadParameter, MultiValuedParamNotSupported, FormatError
        What is wrong with it.
    """
    ra = _degrees(parameters, "RA", 0.0, 360.0)
    dec = _degrees(parameters, "DEC", -90.0, 90.0)
    radius = _degrees(parameters, "SR", 0.0, 180.0)
    if parameters.one("RESPONSEFORMAT") is None:
        form, content_type = output_format("votable/td")[0], _TEXT_XML
    else:
        form, content_type = format_of(
            Parameters([("RESPONSEFORMAT", str(parameters.one("RESPONSEFORMAT")))])
        )
    main = next(table.roles[role] for role in ("alert", "object", "image") if role in table.roles)
    places = {table.roles["ra"]: "POS_EQ_RA_MAIN", table.roles["dec"]: "POS_EQ_DEC_MAIN"}
    verbosity = parameters.one("VERB")
    told: dict[str, Column] = {}
    selected = []
    for column in table.columns:
        is_main = column.name == main
        if not (is_main or column.name in places) and not _is_shown(column, verbosity):
            continue
        name = listed_name(column.name)
        if is_main:
            # 1.03 wants an id that is text
            selected.append(name if column.datatype == "char" else f"CAST({name} AS VARCHAR) AS {name}")
            told[column.name] = replace(column, datatype="char", arraysize="*", ucd="ID_MAIN")
            continue
        selected.append(name)
        if column.name in places:
            told[column.name] = replace(column, ucd=places[column.name])
    ra_name, dec_name = (listed_name(name) for name in places)
    return Query(
        f"SELECT {'TOP 0 ' if radius == 0 else ''}{', '.join(selected)} FROM {table.qualified}"  # noqa: S608 - ADQL can only read
        f" WHERE DISTANCE({ra_name}, {dec_name}, {ra!r}, {dec!r}) <= {radius!r}",
        form,
        content_type,
        maxrec_of(parameters),
        columns=told,
        infos=(Info("SERVICE_PROTOCOL", "1.03", "SCS"),),
        description=table.description,
        run_id=parameters.run_id(),
        links=False,  # 1.03 wants one RESOURCE
    )


def _degrees(parameters: Parameters, name: str, low: float, high: float) -> float:
    parameters.required(name, f"It is in decimal degrees, from {low:g} to {high:g}.")
    try:
        return parameters.number(name, 0.0, low, high, unit="degrees")
    except BadParameter as error:
        raise BadParameter(error.message, "Send decimal degrees, as 150.1.") from error


def _is_shown(column: Column, verbosity: str | None) -> bool:
    if verbosity == "3":
        return True
    return verbosity != "1" and column.principal


class ConeHandler(QueryHandler):
    """``/scs/SCHEMA.TABLE``, by GET and POST."""

    async def get(self, name: str) -> None:
        """Answer with the rows."""
        table = cone_table(self.service.tap.published(), name)
        query = cone_query(Parameters.of(self.request), table)
        await self.answer(replace(query, base_url=self.base_url()))

    head = get
    post = get

    def fault_of(self, error: BaseException | None, status: int) -> Fault:
        """Return what is wrong with the parameters as an answer of the service, with 200."""
        fault = super().fault_of(error, status)
        return replace(fault, status=200) if fault.status == 400 else fault

    def write_fault(self, fault: Fault) -> tuple[str, bytes]:
        """Write an error in both ways."""
        return as_cone(fault)


class ConeCapabilitiesHandler(Handler):
    """``/scs/SCHEMA.TABLE/capabilities``."""

    works_while_draining = True

    def get(self, name: str) -> None:
        """Answer with the document."""
        table = cone_table(self.service.tap.published(), name)
        send_capabilities(
            self, (_mode(table, self.service.settings.tap.sync_rows),), f"/scs/{table.qualified}"
        )

    head = get


def _mode(table: Table, most: int) -> Mode:
    def more(capability: etree._Element) -> None:
        for name, value in (("maxSR", "180.0"), ("maxRecords", str(most)), ("verbosity", "true")):
            etree.SubElement(capability, name).text = value
        test: Any = etree.SubElement(capability, "testQuery")
        for name, value in (("ra", "150.1"), ("dec", "2.2"), ("sr", "0.1"), ("verb", "1")):
            etree.SubElement(test, name).text = value

    return Mode(
        "ivo://ivoa.net/std/ConeSearch",
        f"/scs/{table.qualified}?",
        f"Cone search: {table.description}",
        ("GET", "POST"),
        (_TEXT_XML,),
        PARAMETERS,
        use="base",
        version="1.03",
        kind=("cs:ConeSearch", _CS),
        more=more,
    )
