"""DataLink 1.1: ``/datalink/links?ID=…``, all that belongs to an alert, by its publisher DID.

ID may come many times; with SURVEY it may also be the alert's own id, as results of TAP have it. All alerts of a survey
are looked up by one query. The rows of an ID stand together, and an ID that means nothing has a row that says so.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlencode

import pyarrow as pa

from sodalake.lake.errors import NotInLake
from sodalake.lake.survey import STAMP_KINDS, Survey
from sodalake.server.dali import Parameters, clip
from sodalake.server.errors import BadParameter, Fault, fault_of
from sodalake.server.faultforms import fault_text
from sodalake.server.plans import alert_id
from sodalake.server.tap.engine import Query
from sodalake.server.tap.handling import VotableHandler
from sodalake.server.urls import Did, parse_did, publisher_did
from sodalake.server.vo.cutouts import soda_descriptor, soda_inputs
from sodalake.server.vo.literals import literal
from sodalake.server.vosi import InputParameter, Mode
from sodalake.tap.answers import Answer, Ending, Info
from sodalake.tap.formats import output_format, write
from sodalake.tap.metadata import Column, Table, arrow_schema
from sodalake.tap.published import Input, listed_name, service_descriptor
from sodalake.tap.published.descriptors import LINKS_STANDARD
from sodalake.tap.published.obscoreview import DATALINK_TYPE

__all__ = ["LINKS", "LinksHandler", "Target", "link_rows"]

MOST_IDS: Final = 500
"""IDs that are looked up in one request; clients send fifty, and a form has no more than a thousand fields."""

_LONGEST: Final = 1000  # characters of an ID that is given back
_FITS, _PNG, _VOTABLE = "application/fits", "image/png", "application/x-votable+xml"

PARAMETERS: Final = (
    InputParameter("ID", "Publisher DID of an alert; may come many times.", ucd="meta.id;meta.main"),
    InputParameter("SURVEY", "Survey of IDs that are alerts' own.", standard=False),
    InputParameter("RESPONSEFORMAT", "votable."),
)
LINKS: Final = Mode(
    LINKS_STANDARD,
    "/datalink/links",
    "Links of alerts: stamps as files and pictures, cutouts, light curves.",
    ("GET", "POST"),
    (DATALINK_TYPE,),
    PARAMETERS,
    version="1.1",
)


def _text(name: str, ucd: str, description: str) -> Column:
    return Column(name, "char", "*", ucd=ucd, description=description)


COLUMNS: Final = (
    _text("ID", "meta.id;meta.main", "The ID that was sent."),
    _text("access_url", "meta.ref.url", "Where it is."),
    _text("service_def", "meta.ref", "Service that makes it."),
    _text("error_message", "meta.code.error", "Why there is nothing."),
    _text("description", "meta.note", "What it is."),
    _text("semantics", "meta.code", "How it belongs to the alert."),
    _text("content_type", "meta.code.mime", "MIME type."),
    Column("content_length", "long", unit="byte", ucd="phys.size;meta.file", description="Size; not known in advance."),
    _text("content_qualifier", "meta.code.class", "Kind of data."),
    _text("local_semantics", "meta.id.assoc", "Kind of link, in words of this service."),
    _text("link_auth", "meta.code", "Whether a name is needed."),
    Column("link_authorized", "boolean", ucd="meta.code", description="Whether who asks may have it."),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Target:
    """One ID: what was sent, which alert it is, or what is wrong with it."""

    sent: str
    survey: str = ""
    alert: str = ""
    kind: str | None = None
    error: str = ""


Row = tuple[str | int | bool | None, ...]


def link_rows(
    target: Target, survey: Survey, table: Table, object_id: str, base: str, authority: str, service: str
) -> list[Row]:
    """Return the rows of an alert that is there.

    Parameters
    ----------
    object_id
        Of its object; empty where it has none.
    base
        The service's root as the client sees it.
    service
        XML ID of the descriptor of cutouts.
    """

    def stamp(kind: str | None, **more: str) -> str:
        did = publisher_did(authority, Did(survey.name, target.alert, kind))
        return f"{base}/soda/sync?{urlencode({'ID': did, **more})}"

    def row(
        url: str, text: str, semantics: str, kind: str, qualifier: str, local: str, made_by: str = ""
    ) -> Row:
        return (
            target.sent, url or None, made_by or None, None, text, semantics, kind, None, qualifier, local,
            "false", True,
        )  # fmt: skip

    kinds = (target.kind,) if target.kind else tuple(survey.stamps.kinds)
    what = f"{target.kind} stamp" if target.kind else "stamps"
    rows = [
        row(stamp(target.kind), f"The alert's {what}, as FITS.", "#this", _FITS, "#image", "stamps"),
        row(
            stamp(kinds[0], RESPONSEFORMAT="png"), f"The {kinds[0]} stamp, as a picture.", "#preview", _PNG, "#image",
            "picture",
        ),
        row("", "A part of the stamps, by place.", "#cutout", _FITS, "#image", "cutout", service),
    ]  # fmt: skip
    if target.kind is None:
        rows += [
            row(stamp(kind), f"The {kind} stamp, as FITS.", "#progenitor", _FITS, "#image", kind)
            for kind in kinds
        ]
    if object_id:
        rows.append(
            row(
                light_curve(table, object_id, base), f"Light curve: all alerts of {object_id}.", "#auxiliary",
                _VOTABLE, "#timeseries", "lightcurve",
            )
        )  # fmt: skip
    return rows


def light_curve(table: Table, object_id: str, base: str) -> str:
    """Return the URL of an object's alerts in their order, as a query."""
    roles = table.roles
    shown = [column.name for column in table.columns if column.principal]
    owner, time = listed_name(roles["object"]), listed_name(roles["time"])
    query = (
        f"SELECT {', '.join(map(listed_name, shown))} FROM {table.qualified}"  # noqa: S608 - ADQL can only read
        f" WHERE {owner} = {_value(table, roles['object'], object_id)} ORDER BY {time}"
    )
    return f"{base}/tap/sync?{urlencode({'LANG': 'ADQL', 'QUERY': query}, quote_via=quote)}"


def _value(table: Table, name: str, text: str) -> str:
    column = table.column(name)
    return literal(text) if column is None or column.datatype == "char" else text


def _wrong(sent: str, error: str) -> Row:
    return sent, None, None, error, "Nothing is known of this ID.", "#this", *(None,) * 6


class LinksHandler(VotableHandler):
    """``/datalink/links``, by GET and POST."""

    methods = ("GET", "HEAD", "POST", "OPTIONS")

    def fault_text(self, fault: Fault) -> str:
        """Return the text of an error as DataLink 1.1 (3.4) wants it."""
        return fault_text(fault)

    async def get(self) -> None:
        """Answer with the links."""
        parameters = Parameters.of(self.request)
        self.run_id = parameters.run_id()
        content_type = _content_type(parameters)
        sent = [value.strip() for value in parameters.get("id", ()) if value.strip()]
        # the same ID twice is one ID: its rows stand together, once
        ids = list(dict.fromkeys(sent))
        targets = [self._target(one, parameters.one("SURVEY")) for one in ids[:MOST_IDS]]
        found = await self._looked_up(targets)
        base, authority = self.base_url(), self.service.settings.authority
        rows: list[Row] = []
        descriptors: dict[str, str] = {}
        for number, target in enumerate(targets):
            key = (target.survey, target.alert)
            if target.error or key not in found:
                rows.append(_wrong(target.sent, target.error or f"NotFoundFault: {_no_alert(target)}"))
                continue
            did = publisher_did(authority, Did(target.survey, target.alert, target.kind))
            # A client takes SODA's ID from the row's; where that is another text it is given one by one.
            service = "cutout" if did == target.sent else f"cutout-{number}"
            if service not in descriptors:
                inputs = soda_inputs(ref="ID") if did == target.sent else soda_inputs(value=did)
                descriptors[service] = soda_descriptor(base, inputs, service)
            table, object_id = found[key]
            survey = self.service.lake.survey(target.survey)
            rows += link_rows(target, survey, table, object_id, base, authority, service)
        ending = Ending("OVERFLOW" if len(ids) > MOST_IDS else "OK")
        self.set_header("Content-Type", content_type)
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Cache-Control", "no-store" if self.request.method == "POST" else "no-cache")
        self.finish(_document(rows, (*descriptors.values(), _this(base)), ending))

    head = get
    post = get

    def _target(self, sent: str, survey_name: str | None) -> Target:
        shown = clip(sent, _LONGEST)
        surveys = self.service.lake.surveys
        try:
            if survey_name is not None and not sent.lower().startswith("ivo:"):
                did = Did(survey_name, sent)
            else:
                did = parse_did(sent, self.service.settings.authority, STAMP_KINDS)
            if did.survey not in surveys:
                raise NotInLake(
                    f"There is no survey {clip(did.survey)!r} here.", f"Surveys: {', '.join(surveys)}."
                )
            survey = surveys[did.survey]
            if did.kind is not None and did.kind not in survey.stamps.kinds:
                raise NotInLake(f"{survey.name} has no {did.kind} stamps.")
            return Target(shown, survey.name, alert_id(survey, did.alert_id), did.kind)
        except (BadParameter, NotInLake) as error:
            return Target(shown, error=fault_text(fault_of(error)))

    async def _looked_up(self, targets: Sequence[Target]) -> Mapping[tuple[str, str], tuple[Table, str]]:
        """Return the alerts that are there: survey and id → their table, and the object's id."""
        wanted: dict[str, list[str]] = {}
        for target in targets:
            if not target.error:
                wanted.setdefault(target.survey, []).append(target.alert)
        found: dict[tuple[str, str], tuple[Table, str]] = {}
        published = self.service.tap.published()
        for name, alerts in wanted.items():
            table = next(t for t in published if t.content == "alerts" and t.survey == name)
            none = {str(value) for value in self.service.lake.survey(name).ids.none}
            for alert, owner in await self._objects_of(table, alerts):
                found[name, alert] = table, "" if owner in none else owner
        return found

    async def _objects_of(self, table: Table, alerts: Sequence[str]) -> list[tuple[str, str]]:
        alert, owner = table.roles["alert"], table.roles["object"]
        listed = ", ".join(_value(table, alert, one) for one in dict.fromkeys(alerts))
        form, content_type = output_format("csv")
        stream = await self.service.tap.open(
            Query(
                f"SELECT {listed_name(alert)}, {listed_name(owner)} FROM {table.qualified}"  # noqa: S608 - ADQL can only read
                f" WHERE {listed_name(alert)} IN ({listed})",
                form,
                content_type,
                links=False,
            )
        )
        try:
            content = stream.whole
            if content is None:
                content = b"".join([piece async for piece in stream])
        finally:
            await stream.close()
        rows = csv.reader(io.StringIO(content.decode()))
        next(rows, None)
        return [(row[0], row[1]) for row in rows if len(row) == 2]


def _no_alert(target: Target) -> str:
    return f"There is no alert {target.alert} in {target.survey}."


def _content_type(parameters: Parameters) -> str:
    """Return what to answer with: VOTable, by any of its names."""
    asked = parameters.one("RESPONSEFORMAT")
    if asked is None:
        return DATALINK_TYPE
    kind = asked.lower().partition(";")[0].strip().replace("x-votable xml", "x-votable+xml")
    if kind in ("votable", _VOTABLE):
        return DATALINK_TYPE
    if kind in ("text/xml", "application/xml"):
        return kind
    raise BadParameter(f"RESPONSEFORMAT={clip(asked)!r} is not offered here.", "Links are VOTables.")


def _this(base: str) -> str:
    inputs = [Input(one.name, one.description, ucd=one.ucd) for one in PARAMETERS]
    return service_descriptor(
        LINKS.description, f"{base}{LINKS.path}", inputs, standard=LINKS_STANDARD, name="this", this=True
    )


def _document(rows: Sequence[Row], descriptors: tuple[str, ...], ending: Ending) -> bytes:
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
