"""What archives of images look like on the sky: coverage as MOC, and HiPS for clients that walk over it.

============ =================================================================
`collections` which there are, and the HiPS that were made of them
`mocs`       ``/moc``
`hips`       ``/hips`` and ``/hipslist``
============ =================================================================
"""

from __future__ import annotations

import re
from typing import Any

from sodalake.server.service import Service
from sodalake.server.sky.hips import HipsFileHandler, HipsListHandler, HipsPageHandler
from sodalake.server.sky.mocs import MocHandler, MocListHandler

__all__ = ["routes"]


def routes(service: Service) -> list[Any]:
    """Return the routes of coverage and HiPS, below the service's prefix."""
    prefix = re.escape(service.settings.prefix)
    given = {"service": service}
    return [
        (prefix + r"/moc/?", MocListHandler, given),
        (prefix + r"/moc/([A-Za-z0-9_.-]+)", MocHandler, given),
        (prefix + r"/hipslist", HipsListHandler, given),
        (prefix + r"/hips/?", HipsPageHandler, given),
        (prefix + r"/hips/([A-Za-z0-9_.-]+)/([A-Za-z0-9_+~-]+)(?:/(.*))?", HipsFileHandler, given),
    ]
