"""DataLink 1.1: ``/datalink/links?ID=…``, all that belongs to an alert or an image, by its publisher DID.

ID may come many times; with SURVEY it may also be the alert's or image's own id, as results of TAP have it. All of a
survey are looked up by one query. The rows of an ID stand together; one that means nothing has a row that says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sodalake.lake.errors import NotInLake
from sodalake.lake.survey import STAMP_KINDS
from sodalake.server.dali import Parameters, clip
from sodalake.server.errors import BadParameter, Fault, fault_of
from sodalake.server.faultforms import fault_text
from sodalake.server.tap.handling import VotableHandler
from sodalake.server.urls import Did, parse_did
from sodalake.server.vo.alertlinks import AlertLinks
from sodalake.server.vo.imagelinks import ImageLinks
from sodalake.server.vo.linkrows import VOTABLE, Row, Target, document, wrong
from sodalake.server.vo.links import Links
from sodalake.server.vosi import InputParameter, Mode
from sodalake.tap.answers import Ending
from sodalake.tap.published import Input, service_descriptor
from sodalake.tap.published.descriptors import LINKS_STANDARD
from sodalake.tap.published.obscoreview import DATALINK_TYPE

__all__ = ["LINKS", "LinksHandler"]

MOST_IDS: Final = 500
"""IDs that are looked up in one request; clients send fifty, and a form has no more than a thousand fields."""

_LONGEST: Final = 1000  # characters of an ID that is given back

PARAMETERS: Final = (
    InputParameter(
        "ID", "Publisher DID of an alert or an image; may come many times.", ucd="meta.id;meta.main"
    ),
    InputParameter("SURVEY", "Survey of IDs that are alerts' or images' own.", standard=False),
    InputParameter("RESPONSEFORMAT", "votable."),
)
LINKS: Final = Mode(
    LINKS_STANDARD,
    "/datalink/links",
    "Links of alerts and images: files and pictures, cutouts, light curves, what stands beside an image.",
    ("GET", "POST"),
    (DATALINK_TYPE,),
    PARAMETERS,
    version="1.1",
)


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
        base = self.base_url()
        lake, given = (
            self.service.lake,
            (self.service.lake, self.service.tap, base, self.service.settings.authority),
        )
        links: dict[str, Links] = dict.fromkeys(lake.surveys, AlertLinks(*given))
        links |= dict.fromkeys(lake.image_surveys, ImageLinks(*given))
        targets = [self._target(one, parameters.one("SURVEY"), links) for one in ids[:MOST_IDS]]
        for kind in dict.fromkeys(links.values()):
            await kind.look_up([one for one in targets if not one.error and links[one.survey] is kind])
        rows: list[Row] = []
        descriptors: dict[str, str] = {}
        for number, target in enumerate(targets):
            error = target.error
            if not error:
                made = links[target.survey].rows(target, number, descriptors)
                rows += made
                error = "" if made else f"NotFoundFault: {links[target.survey].missing(target)}"
            if error:
                rows.append(wrong(target.sent, error))
        ending = Ending("OVERFLOW" if len(ids) > MOST_IDS else "OK")
        self.set_header("Content-Type", content_type)
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Cache-Control", "no-store" if self.request.method == "POST" else "no-cache")
        self.finish(document(rows, (*descriptors.values(), _this(base)), ending))

    head = get
    post = get

    def _target(self, sent: str, survey: str | None, links: Mapping[str, Links]) -> Target:
        shown = clip(sent, _LONGEST)
        try:
            if survey is not None and not sent.lower().startswith("ivo:"):
                did = Did(survey, sent)
            else:
                did = parse_did(sent, self.service.settings.authority, STAMP_KINDS)
            if did.survey not in links:
                raise NotInLake(
                    f"There is no survey {clip(did.survey)!r} here.", f"Surveys: {', '.join(links)}."
                )
            return links[did.survey].target(shown, did)
        except (BadParameter, NotInLake) as error:
            return Target(shown, error=fault_text(fault_of(error)))


def _content_type(parameters: Parameters) -> str:
    """Return what to answer with: VOTable, by any of its names."""
    asked = parameters.one("RESPONSEFORMAT")
    if asked is None:
        return DATALINK_TYPE
    kind = asked.lower().partition(";")[0].strip().replace("x-votable xml", "x-votable+xml")
    if kind in ("votable", VOTABLE):
        return DATALINK_TYPE
    if kind in ("text/xml", "application/xml"):
        return kind
    raise BadParameter(f"RESPONSEFORMAT={clip(asked)!r} is not offered here.", "Links are VOTables.")


def _this(base: str) -> str:
    inputs = [Input(one.name, one.description, ucd=one.ucd) for one in PARAMETERS]
    return service_descriptor(
        LINKS.description, f"{base}{LINKS.path}", inputs, standard=LINKS_STANDARD, name="this", this=True
    )
