"""The web side: Tornado, the protocols (SODA, VOSI, the REST API), identity, the page at `/`, the command
line.

::

    from sodalake.server import load_settings, start

    service = await start(load_settings(lake="my.lake", port=0))
    print(service.url)
    await service.stop()

A request passes the `gate` (sizes), gets its `User` (`identity`), is read by `dali`, and becomes a question
and a product in `soda` or `cutouts`, both without HTTP; a worker of the fast lane does the work. `errors`
gives every failure its status, its label and the protocol's way to write it.

Names are loaded when first used, so that `sodalake --help` does not wait for Dask.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sodalake.server.config import Settings, load_settings
    from sodalake.server.identity import User
    from sodalake.server.service import Service
    from sodalake.server.startup import start

__all__ = ["Service", "Settings", "User", "load_settings", "start"]

_HOME_OF = {
    "Service": "service",
    "Settings": "config",
    "User": "identity",
    "load_settings": "config",
    "start": "startup",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
