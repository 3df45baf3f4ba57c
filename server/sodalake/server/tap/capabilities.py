"""What ``/tap/capabilities`` declares: TAPRegExt 1.0, whole.

The schema of 1.0 (erratum 1) is what validators have; 1.1 is a draft, and its `forMode` would be an error to them.
"""

from __future__ import annotations

from typing import Final

from lxml import etree

from sodalake.server.config import Settings
from sodalake.server.vosi import VOSI, Document, Mode
from sodalake.tap.adql import FEATURES, FUNCTIONS
from sodalake.tap.formats import FORMATS
from sodalake.tap.published.obscore import OBSCORE_STANDARD

__all__ = ["DOCUMENTS", "tap_mode"]

_TR: Final = "http://www.ivoa.net/xml/TAPRegExt/v1.0"
_STD: Final = "ivo://ivoa.net/std/TAPRegExt#"
_UDF: Final = f"{_STD}features-udf"
# ADQL 2.1 (4.1) writes these types in small letters. Clients compare them as TAPRegExt has them, and STILTS 3.4.7 takes
# one that it does not know so for an error; as ADQL writes it, it is a warning.
_UNKNOWN: Final = frozenset({"features-adql-conditional"})
_DAY: Final = 86_400

DOCUMENTS: Final = (
    *VOSI,
    Document("ivo://ivoa.net/std/VOSI#tables-1.1", "tables", "1.1"),
    Document("ivo://ivoa.net/std/DALI#examples", "examples", page=True),
)
"""The documents of TAP."""


def tap_mode(settings: Settings) -> Mode:
    """Return what is declared of the queries of a service."""

    def more(capability: etree._Element) -> None:
        _add(capability, settings)

    return Mode(
        "ivo://ivoa.net/std/TAP",
        "/tap",
        "Queries in ADQL over the surveys' alerts, objects and images, and over the list of all images and stamps.",
        (),
        (),
        (),
        use="base",
        version="1.1",
        kind=("tr:TableAccess", _TR),
        more=more,
    )


def _add(capability: etree._Element, settings: Settings) -> None:
    _element(capability, "dataModel", "ObsCore 1.1", {"ivo-id": OBSCORE_STANDARD})
    language = _element(capability, "language")
    _element(language, "name", "ADQL")
    for version in ("2.0", "2.1"):
        _element(language, "version", version, {"ivo-id": f"ivo://ivoa.net/std/ADQL#v{version}"})
    _element(language, "description", "The Astronomical Data Query Language")
    _features(language)
    for form in FORMATS:
        output = _element(
            capability, "outputFormat", attributes={"ivo-id": form.ivo_id} if form.ivo_id else {}
        )
        _element(output, "mime", form.mimes[0])
        for alias in form.shorts:
            _element(output, "alias", alias)
    tap, jobs, limits = settings.tap, settings.jobs, settings.limits
    for method in ("inline", *(("http", "https") if tap.upload_hosts else ())):
        _element(capability, "uploadMethod", attributes={"ivo-id": f"{_STD}upload-{method}"})
    _limits(capability, "retentionPeriod", int(jobs.keep * _DAY), int(jobs.longest_keep * _DAY))
    _limits(capability, "executionDuration", tap.async_seconds, max(tap.async_seconds, jobs.longest_duration))
    _limits(capability, "outputLimit", tap.rows, tap.async_rows, "row")
    _limits(capability, "uploadLimit", limits.upload, limits.upload, "byte")


def _features(language: etree._Element) -> None:
    for kind, forms in FEATURES.items():
        name = kind.rpartition("#")[2]
        group = _element(
            language, "languageFeatures", attributes={"type": kind if name in _UNKNOWN else f"{_STD}{name}"}
        )
        for form in forms:
            _element(_element(group, "feature"), "form", form)
    group = _element(language, "languageFeatures", attributes={"type": _UDF})
    for function in FUNCTIONS:
        feature = _element(group, "feature")
        _element(feature, "form", function.form)
        _element(feature, "description", function.description)


def _limits(parent: etree._Element, name: str, default: int, hard: int, unit: str = "") -> None:
    element = _element(parent, name)
    attributes = {"unit": unit} if unit else {}
    _element(element, "default", str(default), attributes)
    _element(element, "hard", str(hard), attributes)


def _element(
    parent: etree._Element, name: str, text: str = "", attributes: dict[str, str] | None = None
) -> etree._Element:
    element = etree.SubElement(parent, name, attributes or {})
    if text:
        element.text = text
    return element
