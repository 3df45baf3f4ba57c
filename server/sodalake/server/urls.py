"""Addresses: every URL the server emits comes from `base_url`, so that hubs, proxies and validators see the
same.

A proxy says how the outside world addressed it by X-Forwarded-Proto, X-Forwarded-Host (with its port) and
X-Forwarded-Prefix. These are believed only when the peer that sent them is a trusted proxy: anybody else
could make the server emit links to a place of their choice.

Publisher dataset identifiers live here too. A stamp's is ``ivo://AUTHORITY/SURVEY?ALERTID/KIND``, an alert's
(all its stamps) leaves out the kind (IVOA Identifiers 2.0, 4.1: registry part, then the dataset in the
query). The registry part is compared without regard to case.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

from tornado.httputil import HTTPServerRequest

from sodalake.lake.errors import NotInLake
from sodalake.server.dali import clip
from sodalake.server.errors import BadParameter

__all__ = ["Did", "Proxies", "base_url", "parse_did", "publisher_did"]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_HOST = re.compile(r"(?:[A-Za-z0-9._~-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~@+-]+)*")
_DID = re.compile(
    r"ivo://(?P<authority>[^/?#]*)/(?P<survey>[^?#]*)\?(?P<alert>[^/?#]*)(?:/(?P<kind>[^/?#]*))?", re.I
)
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


class Proxies:
    """The peers whose X-Forwarded headers are believed.

    Parameters
    ----------
    networks
        IP addresses or networks (``10.0.0.0/8``).
    """

    def __init__(self, networks: Sequence[str] = ()) -> None:
        self._networks: tuple[Network, ...] = tuple(ipaddress.ip_network(n, strict=False) for n in networks)

    def trust(self, peer: str | None) -> bool:
        """Say whether `peer` (an IP address) is one of them."""
        if not self._networks or peer is None:
            return False
        try:
            address = ipaddress.ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in self._networks)


def base_url(request: HTTPServerRequest, prefix: str, proxies: Proxies) -> str:
    """Return the URL of the service's root as this client sees it, without a slash at its end.

    Parameters
    ----------
    request
        The request being answered.
    prefix
        Where the service is mounted: empty, or a path that begins with a slash and does not end with one.
    proxies
        Whose X-Forwarded headers to believe. A header that is malformed is passed over. X-Forwarded-Prefix
        stands *before* the mount prefix: it is what the proxy took away.
    """
    scheme, host, outer = request.protocol, request.host, ""
    if proxies.trust(request.remote_ip):
        # The last entry is the one our own proxy added; those before it are hearsay.
        forwarded = _last(request, "X-Forwarded-Proto").lower()
        if forwarded in ("http", "https"):
            scheme = forwarded
        forwarded = _last(request, "X-Forwarded-Host")
        if _HOST.fullmatch(forwarded):
            host = forwarded
        forwarded = _last(request, "X-Forwarded-Prefix").rstrip("/")
        if _PREFIX.fullmatch(forwarded):
            outer = forwarded
    return f"{scheme}://{host}{outer}{prefix}"


def _last(request: HTTPServerRequest, header: str) -> str:
    return request.headers.get(header, "").rpartition(",")[2].strip()


@dataclass(frozen=True, slots=True)
class Did:
    """The parts of a publisher DID; `kind` is None for the alert as a whole."""

    survey: str
    alert_id: str
    kind: str | None = None


def publisher_did(authority: str, did: Did) -> str:
    """Return the publisher DID of a stamp, or of an alert with all its stamps."""
    kind = "" if did.kind is None else f"/{did.kind}"
    return f"ivo://{authority}/{did.survey}?{quote(did.alert_id, safe='')}{kind}"


def parse_did(text: str, authority: str, kinds: Sequence[str]) -> Did:
    """Read a publisher DID.

    Parameters
    ----------
    text
        The DID, as the value of ID.
    authority
        Ours.
    kinds
        The kinds of stamp there are; none: it is of an image.

    Raises
    ------
    BadParameter
        It does not have the form of a DID, or its kind is not one of `kinds`.
    NotInLake
        It is another publisher's.
    """
    form = f"The form is ivo://{authority}/SURVEY?IMAGEID"
    if kinds:
        form += f", or ivo://{authority}/SURVEY?ALERTID/KIND with KIND one of {', '.join(kinds)} or left out"
    form += "."
    match = _DID.fullmatch(text)
    if match is None or not match["survey"] or not match["alert"] or _BROKEN_ESCAPE.search(text):
        raise BadParameter(f"ID={clip(text, 120)!r} is not a publisher DID.", form)
    try:
        alert_id = unquote_to_bytes(match["alert"]).decode()
    except UnicodeDecodeError:
        raise BadParameter(f"ID={clip(text, 120)!r} is not UTF-8.", form) from None
    if not alert_id.isprintable():
        raise BadParameter(f"ID={clip(text, 120)!r} has characters no id has.", form)
    kind = match["kind"]
    if kind is not None and (kind := kind.lower()) not in kinds:
        raise BadParameter(f"ID={clip(text, 120)!r} has no kind of stamp at its end.", form)
    if match["authority"].lower() != authority.lower():
        raise NotInLake(
            f"ID={clip(text, 120)!r} is published by {clip(match['authority'])!r}, not here.",
            f"Identifiers of this service begin with ivo://{authority}/.",
        )
    return Did(match["survey"].rstrip("/").lower(), alert_id, kind)
