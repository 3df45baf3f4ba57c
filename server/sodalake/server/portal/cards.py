"""What the page shows of an alert: plain texts and addresses, from any survey's description.

Nothing here knows ZTF or Rubin: which column is the brightness, the band, the class, is in the survey file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlencode

from sodalake.lake.alerts import NewestAlert
from sodalake.lake.survey import Survey
from sodalake.server.portal.clock import as_utc, in_own_scale, iso
from sodalake.server.urls import Did, publisher_did

__all__ = ["Card", "Link", "Stamp", "card_of"]

_STRETCH: Final = {"science": "asinh", "template": "asinh", "difference": "linear"}
"""Galaxies need their faint parts; in a difference, both signs count alike."""

_LARGE: Final = "8"  # screen pixels a pixel of the large picture
_NO_CLASS: Final = frozenset({"", "unknown", "fail", "nan", "none", "null"})
_THIN_SPACE: Final = "\u2009"


@dataclass(frozen=True, slots=True)
class Link:
    """An address, what it says, and what it is."""

    text: str
    url: str
    title: str


@dataclass(frozen=True, slots=True)
class Stamp:
    """One picture of the triplet.

    Attributes
    ----------
    kind
        ``science``, ``template`` or ``difference``.
    src, large
        Addresses of the PNG, one screen pixel a pixel, and of a large one; empty where the alert has no such
        stamp.
    alt
        What it shows, in words.
    """

    kind: str
    src: str
    large: str
    alt: str


@dataclass(frozen=True, slots=True)
class Card:
    """One alert.

    Attributes
    ----------
    object_id, alert_id
        Ids, with the names the survey gives them in `object_name`, `alert_name`.
    utc, time
        ISO time, empty where the time is no date; and in the survey's own scale.
    brightness, band, klass, position
        Empty where not known.
    stamps, links
        The triplet, and what else there is.
    """

    object_id: str
    object_name: str
    alert_id: str
    alert_name: str
    utc: str
    time: str
    brightness: str
    band: str
    klass: str
    position: str
    stamps: Sequence[Stamp]
    links: Sequence[Link]


def card_of(alert: NewestAlert, survey: Survey, base: str, authority: str) -> Card:
    """Return the card of `alert`.

    Parameters
    ----------
    alert
        With its flat columns.
    base
        The service's root, without a slash at its end (`server.urls.base_url`).
    authority
        Ours, in publisher DIDs.
    """
    columns = alert.columns
    moment = as_utc(alert.time, survey.time.scale)
    band = ""
    if survey.band is not None:
        band = survey.band_name(columns.get(survey.flat_name(survey.band.path))) or ""
    return Card(
        object_id=alert.object_id,
        object_name=survey.ids.object_name,
        alert_id=alert.alert_id,
        alert_name=survey.ids.alert_name,
        utc=iso(moment) if moment is not None else "",
        time=in_own_scale(alert.time, survey.time.scale),
        brightness=_brightness(columns, survey),
        band=band,
        klass=_klass(columns, survey),
        position=_position(columns, survey),
        stamps=[_stamp(alert, survey, kind, base, authority, band) for kind in survey.stamps.kinds],
        links=_links(alert, survey, base, authority),
    )


def _soda(base: str, authority: str, did: Did, **parameters: str) -> str:
    query = urlencode({"ID": publisher_did(authority, did)} | parameters, quote_via=quote)
    return f"{base}/soda/sync?{query}"


def _stamp(alert: NewestAlert, survey: Survey, kind: str, base: str, authority: str, band: str) -> Stamp:
    did = Did(survey.name, alert.alert_id, kind)
    if kind not in alert.kinds:
        return Stamp(kind, "", "", "")
    look = {"RESPONSEFORMAT": "png", "STRETCH": _STRETCH[kind], "PMIN": "0.5", "PMAX": "99.8"}
    in_band = f" in {band}" if band else ""
    return Stamp(
        kind=kind,
        src=_soda(base, authority, did, **look),
        large=_soda(base, authority, did, **look, SCALE=_LARGE),
        alt=f"{kind.capitalize()} stamp of {alert.object_id}{in_band}",
    )


def _links(alert: NewestAlert, survey: Survey, base: str, authority: str) -> list[Link]:
    did = Did(survey.name, alert.alert_id)
    epochs = urlencode({survey.ids.object_name: alert.object_id, "all": "true", "output-format": "zip"})
    return [
        Link("FITS", _soda(base, authority, did), "All stamps of this alert, one multi-extension FITS"),
        Link(
            "PNG",
            _soda(base, authority, did, RESPONSEFORMAT="png", STRETCH="asinh", SCALE="6"),
            "All stamps of this alert side by side, large",
        ),
        Link("JSON", _soda(base, authority, did, RESPONSEFORMAT="json"), "The pixels as arrays"),
        Link(
            "all epochs",
            f"{base}/{quote(survey.name)}/api/v1/cutouts?{epochs}",
            "Every stamp of every alert of this object, zip",
        ),
    ]


def _number(columns: Mapping[str, object], survey: Survey, path: str | None) -> float | None:
    """Return a column's value, None where it is missing or no finite number."""
    value = columns.get(survey.flat_name(path)) if path is not None else None
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _brightness(columns: Mapping[str, object], survey: Survey) -> str:
    if survey.brightness is None:
        return ""
    value = _number(columns, survey, survey.brightness.path)
    error = _number(columns, survey, survey.brightness.error)
    if value is None:
        return ""
    if survey.brightness.kind == "magnitude":
        digits = 3 if error is not None and error < 0.005 else 2
    else:
        digits = 0 if abs(value) >= 100 else 1

    def text(number: float) -> str:
        return f"{number:,.{digits}f}".replace(",", _THIN_SPACE).replace("-", "\u2212")

    spread = f" ± {text(error)}" if error is not None else ""
    return f"{text(value)}{spread} {survey.brightness.unit}".strip()


def _klass(columns: Mapping[str, object], survey: Survey) -> str:
    if survey.klass is None:
        return ""
    for path in (survey.klass.path, *survey.klass.otherwise):
        value = columns.get(survey.flat_name(path))
        if isinstance(value, str) and value.strip().lower() not in _NO_CLASS:
            return value.strip()
    return ""


def _position(columns: Mapping[str, object], survey: Survey) -> str:
    ra, dec = _number(columns, survey, survey.position.ra), _number(columns, survey, survey.position.dec)
    if ra is None or dec is None:
        return ""
    return f"{ra:.5f}° {dec:+.5f}°".replace("-", "\u2212")
