"""Which handler answers which path below ``/tap``."""

from __future__ import annotations

import re
from typing import Any

from sodalake.server.jobs import routes as job_routes
from sodalake.server.service import Service
from sodalake.server.tap.capabilities import DOCUMENTS, tap_mode
from sodalake.server.tap.examples import ExamplesHandler
from sodalake.server.tap.root import RootHandler
from sodalake.server.tap.sync import SyncHandler
from sodalake.server.tap.tables import TableDocuments, TableHandler, TablesHandler
from sodalake.server.vosi import AvailabilityHandler, CapabilitiesHandler

__all__ = ["routes"]


def routes(service: Service) -> list[Any]:
    """Return TAP's routes, below the service's prefix."""
    tree = re.escape(f"{service.settings.prefix}/tap")
    given = {"service": service}
    declared = given | {"modes": (tap_mode(service.settings),), "path": "/tap", "documents": DOCUMENTS}
    return [
        (f"{tree}/sync", SyncHandler, given),
        *job_routes(service, service.tap_jobs),
        (f"{tree}/tables/?", TablesHandler, given | {"documents": TableDocuments()}),
        (f"{tree}/tables/([^/]+)", TableHandler, given),
        (f"{tree}/capabilities", CapabilitiesHandler, declared),
        (f"{tree}/availability", AvailabilityHandler, given),
        (f"{tree}/examples", ExamplesHandler, given),
        (f"{tree}/?", RootHandler, given),
    ]
