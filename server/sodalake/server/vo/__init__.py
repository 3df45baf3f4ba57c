"""Simple protocols on the same tables: cone searches (SCS), lists of images (SIA 2) and links (DataLink).

Each reads its parameters into a query in ADQL, and `tap` answers it.
"""

from __future__ import annotations

import re
from typing import Any

from sodalake.server.service import Service
from sodalake.server.vo.datalink import LINKS, LinksHandler
from sodalake.server.vo.scs import ConeCapabilitiesHandler, ConeHandler
from sodalake.server.vo.sia2 import SIA2, ImagesHandler
from sodalake.server.vosi import AvailabilityHandler, CapabilitiesHandler

__all__ = ["routes"]


def routes(service: Service) -> list[Any]:
    """Return the routes of these protocols, below the service's prefix."""
    prefix = re.escape(service.settings.prefix)
    given = {"service": service}
    return [
        (prefix + r"/scs/([A-Za-z0-9_.]+)", ConeHandler, given),
        (prefix + r"/scs/([A-Za-z0-9_.]+)/capabilities", ConeCapabilitiesHandler, given),
        (prefix + r"/scs/[A-Za-z0-9_.]+/availability", AvailabilityHandler, given),
        (prefix + r"/sia2/query", ImagesHandler, given),
        (prefix + r"/sia2/capabilities", CapabilitiesHandler, given | {"modes": (SIA2,), "path": "/sia2"}),
        (prefix + r"/sia2/availability", AvailabilityHandler, given),
        (prefix + r"/datalink/links", LinksHandler, given),
        (
            prefix + r"/datalink/capabilities",
            CapabilitiesHandler,
            given | {"modes": (LINKS,), "path": "/datalink"},
        ),
        (prefix + r"/datalink/availability", AvailabilityHandler, given),
    ]
