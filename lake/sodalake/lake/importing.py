"""Libraries that import themselves in circles are imported by one thread at a time.

CPython gives a thread a module that is half made rather than let two threads wait for each other for ever
(`importlib._bootstrap._ModuleLock`). Of two threads that begin with different parts of matplotlib one finds a part
without its names, and what it leaves behind stays so as long as the process lives: `matplotlib.get_data_path` was
missing from each map of a worker that had three cold requests at once.
"""

from __future__ import annotations

import importlib
import threading
from typing import Final

__all__ = ["IMPORTS", "import_all"]

IMPORTS: Final = threading.RLock()
"""Held by who imports such a library: ``with IMPORTS: from mocpy import MOC``. Nothing of ours is imported within."""


def import_all(*names: str) -> None:
    """Import modules of libraries; others have their turn in between."""
    for name in names:
        with IMPORTS:
            importlib.import_module(name)
