"""Links of alerts: stamps as files and pictures, cutouts, light curves. All alerts of a survey are one query."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote, urlencode

from sodalake.lake.errors import NotInLake
from sodalake.lake.lake import Lake
from sodalake.lake.survey import Survey
from sodalake.server.plans import alert_id
from sodalake.server.tap.engine import TapEngine
from sodalake.server.urls import Did, publisher_did
from sodalake.server.vo.cutouts import soda_descriptor, soda_inputs
from sodalake.server.vo.linkrows import FITS, PNG, VOTABLE, Row, Target, found, in_adql
from sodalake.server.vo.links import Links
from sodalake.tap.metadata import Table
from sodalake.tap.published import listed_name

__all__ = ["AlertLinks"]


class AlertLinks(Links):
    """The alerts among the IDs of one request, and their links."""

    content = "alerts"

    def __init__(self, lake: Lake, tap: TapEngine, base: str, authority: str) -> None:
        super().__init__(lake, tap, base, authority)
        self._found: dict[tuple[str, str], tuple[Table, str]] = {}

    def target(self, sent: str, did: Did) -> Target:
        """Return what an identifier of an alert means."""
        survey = self._lake.survey(did.survey)
        if did.kind is not None and did.kind not in survey.stamps.kinds:
            raise NotInLake(f"{survey.name} has no {did.kind} stamps.")
        return Target(sent, survey.name, alert_id(survey, did.alert_id), did.kind)

    async def _look_up(self, table: Table, ids: Sequence[str]) -> None:
        """Look up some alerts, and their objects."""
        none = {str(value) for value in self._lake.survey(table.survey).ids.none}
        alert, owner = table.roles["alert"], table.roles["object"]
        for row in await found(self._tap, table, (alert, owner), alert, ids):
            self._found[table.survey, row[alert]] = table, "" if row[owner] in none else row[owner]

    def rows(self, target: Target, number: int, descriptors: dict[str, str]) -> Sequence[Row]:
        """Return the rows of an alert; none where there is no such alert."""
        known = self._found.get((target.survey, target.id))
        if known is None:
            return ()
        did = publisher_did(self._authority, Did(target.survey, target.id, target.kind))
        # A client takes SODA's ID from the row's; where that is another text it is given one by one.
        service = "cutout" if did == target.sent else f"cutout-{number}"
        if service not in descriptors:
            inputs = soda_inputs(ref="ID") if did == target.sent else soda_inputs(value=did)
            descriptors[service] = soda_descriptor(self._base, inputs, service)
        return _rows(target, self._lake.survey(target.survey), *known, self._base, self._authority, service)

    def missing(self, target: Target) -> str:
        """Return what is told of an alert that is not there."""
        return f"There is no alert {target.id} in {target.survey}."


def _rows(
    target: Target, survey: Survey, table: Table, object_id: str, base: str, authority: str, service: str
) -> list[Row]:
    def stamp(kind: str | None, **more: str) -> str:
        did = publisher_did(authority, Did(survey.name, target.id, kind))
        return f"{base}/soda/sync?{urlencode({'ID': did, **more})}"

    kinds = (target.kind,) if target.kind else tuple(survey.stamps.kinds)
    what = f"{target.kind} stamp" if target.kind else "stamps"
    rows = [
        target.link(stamp(target.kind), f"The alert's {what}, as FITS.", "#this", FITS, "#image", "stamps"),
        target.link(
            stamp(kinds[0], RESPONSEFORMAT="png"), f"The {kinds[0]} stamp, as a picture.", "#preview", PNG, "#image",
            "picture",
        ),
        target.link("", "A part of the stamps, by place.", "#cutout", FITS, "#image", "cutout", service),
    ]  # fmt: skip
    if target.kind is None:
        rows += [
            target.link(stamp(kind), f"The {kind} stamp, as FITS.", "#progenitor", FITS, "#image", kind)
            for kind in kinds
        ]
    if object_id:
        rows.append(
            target.link(
                light_curve(table, object_id, base), f"Light curve: all alerts of {object_id}.", "#auxiliary",
                VOTABLE, "#timeseries", "lightcurve",
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
        f" WHERE {owner} = {in_adql(table, roles['object'], object_id)} ORDER BY {time}"
    )
    return f"{base}/tap/sync?{urlencode({'LANG': 'ADQL', 'QUERY': query}, quote_via=quote)}"
