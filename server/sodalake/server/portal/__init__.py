"""The page a person sees first: the lake's latest alerts, each as science, template and difference, or its images.

Rendered here, of two templates and one style sheet; it needs no script and asks nothing of any other host. The
numbers come from the fast lane (`latest`) and of a query (`tiles`), what is shown of an alert is decided without any
HTML (`cards`), and `pages` has the handlers.
"""

from __future__ import annotations

import re
from typing import Any

from sodalake.server.portal.latest import Latest
from sodalake.server.portal.pages import FrontPage, StaticFile
from sodalake.server.service import Service

__all__ = ["routes"]


def routes(service: Service) -> list[Any]:
    """Return the portal's routes, below the service's prefix."""
    prefix = re.escape(service.settings.prefix)
    given = {"service": service}
    front = {"service": service, "latest": Latest(service)}
    routes_: list[Any] = [
        (prefix + "/", FrontPage, front),
        (prefix + r"/portal/([a-z]+\.[a-z]+)", StaticFile, given),
        (prefix + r"/favicon.ico", StaticFile, given | {"name": "favicon.svg"}),
    ]
    if service.settings.prefix:
        routes_.append((prefix, FrontPage, front))
    return routes_
