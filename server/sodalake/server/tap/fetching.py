"""Tables that are uploaded by their URL: fetched for the client, from hosts that the settings allow, within limits.

A server that fetches what visitors name could be made to ask its neighbours behind the firewall. So it is the address
that is looked at, after the name was resolved and for each redirect anew: a name may lead anywhere, and lead elsewhere
when it is asked a second time.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.netutil import DefaultLoopResolver, Resolver
from tornado.simple_httpclient import HTTPTimeoutError, SimpleAsyncHTTPClient

from sodalake.server.dali import clip
from sodalake.tap.errors import UploadError

__all__ = ["Fetched", "fetch", "is_allowed"]

_REDIRECTS = 5
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_FILENAME = re.compile(r'filename="?([^";]+)', re.I)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a URL gave."""

    content: bytes
    content_type: str
    filename: str


def is_allowed(host: str, address: str, hosts: Sequence[str]) -> bool:
    """Say whether tables may be fetched from a host at an address.

    Parameters
    ----------
    host
        As the URL names it.
    address
        An IP address it has.
    hosts
        The setting `tap.upload_hosts`: names, networks, or ``public``.
    """
    try:
        found = _unwrapped(ipaddress.ip_address(address.partition("%")[0]))
    except ValueError:
        return False
    for allowed in hosts:
        if allowed == "public":
            if found.is_global and not found.is_multicast and not found.is_reserved:
                return True
        elif allowed.lower() == host.lower().rstrip("."):
            return True
        else:
            try:
                network = ipaddress.ip_network(allowed, strict=False)
            except ValueError:
                continue  # a name
            if found.version == network.version and found in network:
                return True
    return False


def _unwrapped(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for, where it stands for one."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1] or address


class _Guarded(Resolver):
    """Resolves names to the addresses that are allowed."""

    def initialize(self, hosts: Sequence[str]) -> None:
        self._hosts = hosts
        self._inner = DefaultLoopResolver()

    async def resolve(
        self, host: str, port: int, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[tuple[int, Any]]:
        found = await self._inner.resolve(host, port, family)
        allowed = [one for one in found if is_allowed(host, one[1][0], self._hosts)]
        if not allowed:
            raise UploadError(
                f"Tables are not fetched from {clip(host)}.",
                "Send the table in the request: UPLOAD=name,param:PART.",
            )
        return allowed


async def fetch(url: str, hosts: Sequence[str], seconds: float, most: int) -> Fetched:
    """Fetch a table.

    Parameters
    ----------
    hosts
        Where from it may come; see `is_allowed`.
    seconds
        How long that may take.
    most
        Bytes it may have.

    Raises
    ------
    UploadError
        It is no URL of http or https, its host is not allowed, it does not answer in time or not with 200, or there is
        too much of it.
    """
    shown = clip(url, 200)
    try:
        parts = urlsplit(url)
        usable = parts.scheme.lower() in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not url.isascii() or not url.isprintable() or " " in url:
        raise UploadError(
            f"{shown} is no URL that tables are fetched from.", "Use http, https, or param:PART."
        )
    if parts.username is not None or parts.password is not None:
        raise UploadError("A URL with a password in it is not fetched.", "Send the table in the request.")
    # A client of our own: its limits are this request's, and no connection is kept.
    client = SimpleAsyncHTTPClient(force_instance=True, resolver=_Guarded(hosts=hosts), max_body_size=most)
    try:
        answer = await client.fetch(
            HTTPRequest(
                url,
                connect_timeout=seconds,
                request_timeout=seconds,
                max_redirects=_REDIRECTS,
                # unpacked with a limit by who reads the table; here a small answer could become a large one
                decompress_response=False,
                headers={"Accept-Encoding": "identity"},
            )
        )
    except UploadError:
        raise
    except HTTPTimeoutError as error:
        raise UploadError(f"{shown} did not answer within {seconds:g} s.", "Try again.") from error
    except HTTPClientError as error:
        # 599: the connection ended in the middle, which is also how a limit on the size shows
        why = f"answers {error.code}" if error.code != 599 else f"ended, or has more than {most} bytes"
        raise UploadError(f"{shown} {why}.", "Look at it with a browser.") from error
    except (OSError, ssl.SSLError, ValueError, UnicodeError) as error:
        raise UploadError(f"{shown} cannot be fetched: {clip(str(error))}.", "Look at the URL.") from error
    finally:
        client.close()
    named = _FILENAME.search(answer.headers.get("Content-Disposition", ""))
    path = urlsplit(answer.effective_url).path
    return Fetched(
        answer.body or b"",
        answer.headers.get("Content-Type", ""),
        named[1] if named else path.rpartition("/")[2],
    )
