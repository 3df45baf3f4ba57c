"""VOSI 1.1: what a service can do, and whether it can do it now.

The elements below `capabilities` are unqualified and their order is the schemas' (VOSI 1.1, 2.1;
VODataService 1.2, `ParamHTTP`: access URL, query types, result type, parameters). Both documents are for
everybody, with or without a name (section 3). They are small, so they are written element by element; the
tests read them back with other people's parsers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Final

from lxml import etree

from sodalake.server.handlers import Handler
from sodalake.server.identity import SECURITY_METHODS
from sodalake.server.service import Service

__all__ = [
    "VOSI",
    "AvailabilityHandler",
    "CapabilitiesHandler",
    "Document",
    "HealthHandler",
    "InputParameter",
    "Mode",
    "availability",
    "capabilities",
    "send_capabilities",
]

_VOSI_C = "http://www.ivoa.net/xml/VOSICapabilities/v1.0"
_VOSI_A = "http://www.ivoa.net/xml/VOSIAvailability/v1.0"
_VR = "http://www.ivoa.net/xml/VOResource/v1.0"
_VS = "http://www.ivoa.net/xml/VODataService/v1.1"
_XSI = "http://www.w3.org/2001/XMLSchema-instance"
_TYPE = f"{{{_XSI}}}type"
_XML = "text/xml; charset=utf-8"


@dataclass(frozen=True, slots=True)
class InputParameter:
    """A parameter that a service declares, the VODataService way.

    Attributes
    ----------
    name, description
        Its name, and what it does.
    datatype, arraysize, xtype
        VOTable's type.
    unit, ucd
        These with the name make the parameter what it is (SODA 1.0, 3.5).
    required
        Whether a request must have it.
    standard
        Whether the standard defines it, or we do.
    """

    name: str
    description: str
    datatype: str = "char"
    arraysize: str = "*"
    xtype: str = ""
    unit: str = ""
    ucd: str = ""
    required: bool = False
    standard: bool = True


@dataclass(frozen=True, slots=True)
class Mode:
    """One way to use the service, as it is declared.

    Attributes
    ----------
    standard
        The standard's identifier.
    path
        Where, below the service's root.
    description
        What it does.
    methods
        The HTTP methods that take the parameters.
    formats
        MIME types it answers with; the first is the default.
    parameters
        What it takes.
    use
        ``full``, or ``base`` where clients ask below the path: their credentials are for all of it then.
    version
        Of the standard.
    kind
        Type of the capability and the namespace of its prefix, where a registry extension describes it.
    more
        Adds what that type has behind the interface.
    """

    standard: str
    path: str
    description: str
    methods: Sequence[str]
    formats: Sequence[str]
    parameters: Sequence[InputParameter]
    use: str = "full"
    version: str = "1.0"
    kind: tuple[str, str] | None = None
    more: Callable[[etree._Element], None] | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """A document beside the capabilities.

    Attributes
    ----------
    standard
        The standard's identifier.
    name
        Where, below the service's path.
    version
        Of the standard.
    page
        Whether it is one for browsers.
    """

    standard: str
    name: str
    version: str = "1.0"
    page: bool = False


VOSI: Final = (
    Document("ivo://ivoa.net/std/VOSI#capabilities", "capabilities"),
    Document("ivo://ivoa.net/std/VOSI#availability", "availability"),
)
"""What every service has."""


def capabilities(
    base: str, modes: Sequence[Mode], path: str = "/soda", documents: Sequence[Document] = VOSI
) -> bytes:
    """Return the document ``capabilities`` of a service.

    Parameters
    ----------
    base
        URL of the server's root, without a slash at its end.
    modes
        What the service does.
    path
        Where the service is, below the root.
    documents
        What it has besides.
    """
    root = etree.Element(
        f"{{{_VOSI_C}}}capabilities", nsmap={"vosi": _VOSI_C, "vr": _VR, "vs": _VS, "xsi": _XSI}
    )
    for document in documents:
        capability = etree.SubElement(root, "capability", standardID=document.standard)
        _interface(
            capability, f"{base}{path}/{document.name}", version=document.version, is_page=document.page
        )
    for mode in modes:
        capability = _capability(root, mode)
        answers = f" Answers with {', '.join(mode.formats)}." if mode.formats else ""
        etree.SubElement(capability, "description").text = f"{mode.description}{answers}"
        interface = _interface(
            capability, f"{base}{mode.path}", standard=True, use=mode.use, version=mode.version
        )
        for method in mode.methods:
            etree.SubElement(interface, "queryType").text = method
        if mode.formats:
            etree.SubElement(interface, "resultType").text = mode.formats[0]
        for parameter in mode.parameters:
            _parameter(interface, parameter)
        if mode.more is not None:
            mode.more(capability)
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")


def _capability(root: etree._Element, mode: Mode) -> etree._Element:
    if mode.kind is None:
        return etree.SubElement(root, "capability", standardID=mode.standard)
    kind, namespace = mode.kind
    capability = etree.SubElement(
        root, "capability", standardID=mode.standard, nsmap={kind.partition(":")[0]: namespace}
    )
    capability.set(_TYPE, kind)
    return capability


def _interface(
    capability: etree._Element,
    url: str,
    *,
    standard: bool = False,
    use: str = "full",
    version: str = "1.0",
    is_page: bool = False,
) -> etree._Element:
    attributes = {_TYPE: "vr:WebBrowser" if is_page else "vs:ParamHTTP", "version": version}
    if standard:
        attributes["role"] = "std"
    interface = etree.SubElement(capability, "interface", attributes)
    etree.SubElement(interface, "accessURL", use=use).text = url
    if standard:  # the VOSI documents are for everybody
        for method in SECURITY_METHODS:
            etree.SubElement(interface, "securityMethod", {"standardID": method} if method else {})
    return interface


def _parameter(interface: etree._Element, parameter: InputParameter) -> None:
    element = etree.SubElement(
        interface,
        "param",
        use="required" if parameter.required else "optional",
        std="true" if parameter.standard else "false",
    )
    etree.SubElement(element, "name").text = parameter.name
    etree.SubElement(element, "description").text = parameter.description
    if parameter.unit:
        etree.SubElement(element, "unit").text = parameter.unit
    if parameter.ucd:
        etree.SubElement(element, "ucd").text = parameter.ucd
    attributes = {_TYPE: "vs:VOTableType"}
    if parameter.arraysize:
        attributes["arraysize"] = parameter.arraysize
    if parameter.xtype:
        attributes["extendedType"] = parameter.xtype
    etree.SubElement(element, "dataType", attributes).text = parameter.datatype


def availability(available: bool, since: datetime, notes: Sequence[str] = ()) -> bytes:
    """Return the document ``availability`` of a service.

    Parameters
    ----------
    available
        Whether requests are answered now.
    since
        When the service came up, UTC.
    notes
        What is wrong, or worth knowing.
    """
    root = etree.Element(f"{{{_VOSI_A}}}availability", nsmap={None: _VOSI_A})
    etree.SubElement(root, f"{{{_VOSI_A}}}available").text = "true" if available else "false"
    if available:
        etree.SubElement(root, f"{{{_VOSI_A}}}upSince").text = since.strftime("%Y-%m-%dT%H:%M:%SZ")
    for note in notes:
        # XML has no control characters, and an exception's text may.
        plain = "".join(c if c.isprintable() else " " for c in note)
        etree.SubElement(root, f"{{{_VOSI_A}}}note").text = plain
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")


def send_capabilities(
    handler: Handler, modes: Sequence[Mode], path: str, documents: Sequence[Document] = VOSI
) -> None:
    """Answer with the document ``capabilities``; see `capabilities`."""
    handler.set_header("Content-Type", _XML)
    handler.set_header("Last-Modified", format_datetime(handler.service.since, usegmt=True))
    handler.set_header("Cache-Control", "no-cache")
    handler.set_header("Vary", "Authorization")  # X-VO-Authenticated: clients see here whether they are known
    handler.challenge()
    handler.finish(capabilities(handler.base_url(), modes, path, documents))


class CapabilitiesHandler(Handler):
    """``capabilities`` of a service."""

    works_while_draining = True

    def initialize(
        self,
        service: Service,
        modes: Sequence[Mode] = (),
        path: str = "/soda",
        documents: Sequence[Document] = VOSI,
    ) -> None:
        """Take what the routes give: what to declare, and where the service is."""
        super().initialize(service)
        self._modes = modes
        self._path = path
        self._documents = documents

    def get(self) -> None:
        """Answer with the document; it changes with the configuration only, so with the start of the service.

        200 with a challenge says that a name is welcome and not needed (SSO 2.0)."""
        send_capabilities(self, self._modes, self._path, self._documents)

    head = get


class AvailabilityHandler(Handler):
    """``availability`` of a service: asks a reader for the row store and the files, in bounded time."""

    works_while_draining = True

    async def get(self) -> None:
        """Answer with the document; 200 whatever it says (VOSI 1.1, 2.2)."""
        if self.service.draining:
            notes = ["The service is shutting down."]
        else:
            seconds = self.service.settings.deadlines.health
            wrong = await self.service.lane.health(seconds)
            notes = [f"{name}: {text}" for name, text in sorted(wrong.items())]
        self.set_header("Content-Type", _XML)
        self.set_header("Cache-Control", "no-store")
        self.finish(availability(not notes, self.service.since, notes))

    head = get


class HealthHandler(Handler):
    """``/healthz``: whether this process answers. Touches no back end, so that a slow archive restarts no
    server."""

    works_while_draining = True

    def get(self) -> None:
        """Answer ok, or 503 where the service is shutting down and should get no more requests."""
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.set_header("Cache-Control", "no-store")
        if self.service.draining:
            self.set_status(503)
            self.finish("draining\n")
        else:
            seconds = int(time.time() - self.service.since.replace(tzinfo=UTC).timestamp())
            self.finish(f"ok, up {seconds} s\n")

    head = get
