"""The archive: files (HDFS), rows (HBase), their embedded twins, and the ingest that fills them.

::

    from sodalake.lake import ByAlert, Lake, Reader
    from sodalake.lake.ingest import ingest

    ingest("my.lake", "ztf", ["archive/science"])
    reader = Reader(Lake.open("my.lake"))
    alerts = reader.answer(ByAlert("ztf", "1786552611115010002", ("science",)))

A lake is a folder or URL (`Lake`). `ingest` brings archive files in, in place. `Reader` answers questions in this
process; `Lane` does on Dask workers what a `Reader` does here. Everything that can go wrong is a `LakeError`.

Names are loaded when first used: a command that only needs the errors does not wait for pyarrow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .alerts import AlertStamps, ByAlert, EpochsOf, InFile, LatestOf, Newest
    from .errors import LakeError
    from .lake import Lake
    from .lanes import Lane
    from .reader import Reader
    from .survey import Survey, load_survey

__all__ = [
    "AlertStamps",
    "ByAlert",
    "EpochsOf",
    "InFile",
    "Lake",
    "LakeError",
    "Lane",
    "LatestOf",
    "Newest",
    "Reader",
    "Survey",
    "load_survey",
]

_HOMES = {
    "alerts": ("AlertStamps", "ByAlert", "EpochsOf", "InFile", "LatestOf", "Newest"),
    "errors": ("LakeError",),
    "lake": ("Lake",),
    "lanes": ("Lane",),
    "reader": ("Reader",),
    "survey": ("Survey", "load_survey"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
