"""Which handler answers which path."""

from __future__ import annotations

import re
from typing import Any

from sodalake.server import soda
from sodalake.server.cutouts import CutoutsHandler
from sodalake.server.estimating import EstimateHandler
from sodalake.server.imagecutouts import EstimateHandler as ImageEstimateHandler
from sodalake.server.imagecutouts import PositionHandler
from sodalake.server.jobs import routes as job_routes
from sodalake.server.portal import routes as portal_routes
from sodalake.server.service import Service
from sodalake.server.sky import routes as sky_routes
from sodalake.server.sodaorders import ASYNC
from sodalake.server.tap.resources import routes as tap_routes
from sodalake.server.vo import routes as vo_routes
from sodalake.server.vosi import AvailabilityHandler, CapabilitiesHandler, HealthHandler

__all__ = ["routes"]


def routes(service: Service) -> list[Any]:
    """Return the routes of `service`, below its prefix; the order is that of their use."""
    prefix = re.escape(service.settings.prefix)
    given = {"service": service}
    return [
        (prefix + r"/soda/sync", soda.SyncHandler, given),
        *job_routes(service, service.soda_jobs),
        (prefix + r"/soda/estimate", EstimateHandler, given | {"room": service.soda_jobs}),
        (prefix + r"/api/v1/cutouts", CutoutsHandler, given),
        (prefix + r"/([A-Za-z0-9_.-]+)/api/v1/cutouts", CutoutsHandler, given),
        (prefix + r"/api/v1/images/cutout", PositionHandler, given),
        (prefix + r"/([A-Za-z0-9_.-]+)/api/v1/images/cutout", PositionHandler, given),
        (prefix + r"/api/v1/images/estimate", ImageEstimateHandler, given),
        (prefix + r"/([A-Za-z0-9_.-]+)/api/v1/images/estimate", ImageEstimateHandler, given),
        (prefix + r"/soda/capabilities", CapabilitiesHandler, given | {"modes": (soda.SYNC, ASYNC)}),
        (prefix + r"/soda/availability", AvailabilityHandler, given),
        *tap_routes(service),
        *vo_routes(service),
        *sky_routes(service),
        (prefix + r"/healthz", HealthHandler, given),
        *portal_routes(service),
    ]
