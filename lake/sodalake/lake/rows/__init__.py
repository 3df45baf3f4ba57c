"""Row stores: HBase, and its embedded twin in an LMDB file.

::

    rows = open_rows("hbase://127.0.0.1:9090/fink")     # or "lmdb:///data/lake/rows"
    rows.create("ztf.alert", ["p"])
    rows.put_many("ztf.alert", [(b"3f_123", {"p": places})])
    rows.get("ztf.alert", b"3f_123", ["p"])              # (places,)
    with within(2.5):                                    # seconds, for all the calls below
        list(rows.scan("ztf.object", b"07_", b"07`", ["p"], reverse=True, limit=14))
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote, urlsplit

from ..errors import ConfigurationError
from .embedded import EmbeddedRows
from .gateway import check_time, within
from .hbase import HBaseRows
from .protocol import MAX_CELL, MAX_KEY, Cells, RowStore

__all__ = [
    "MAX_CELL",
    "MAX_KEY",
    "Cells",
    "EmbeddedRows",
    "HBaseRows",
    "RowStore",
    "check_time",
    "open_rows",
    "within",
]

_PREFIX = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")


def open_rows(url: str, **settings: Any) -> RowStore:
    """Open the row store at `url`.

    Parameters
    ----------
    url
        ``lmdb:///absolute/folder`` or ``hbase://host:port/PREFIX`` (host and port of a Thrift2 gateway; the
        names of this lake's tables begin with ``PREFIX.``).
    settings
        Of `EmbeddedRows` (map_size) or `HBaseRows` (patience, timeout, compression).

    Raises
    ------
    ConfigurationError
        The URL or a setting is wrong.
    Unavailable
        The LMDB file cannot be opened. (HBase is first asked by the first call.)
    """
    parts = urlsplit(url)
    try:
        if parts.scheme == "lmdb":
            if parts.netloc or not parts.path.startswith("/") or parts.query or parts.fragment:
                raise ConfigurationError(f"{url!r} is no row store.", "Write lmdb:///absolute/folder.")
            return EmbeddedRows(unquote(parts.path), **settings)
        if parts.scheme == "hbase":
            prefix = parts.path.removeprefix("/")
            if not parts.hostname or parts.port is None or not _PREFIX.fullmatch(prefix):
                raise ConfigurationError(
                    f"{url!r} is no row store.",
                    "Write hbase://HOST:PORT/PREFIX, the prefix of letters, digits, '_' and '-'.",
                )
            return HBaseRows(parts.hostname, parts.port, prefix, **settings)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{url!r} cannot be opened: {error}.") from error
    raise ConfigurationError(f"{url!r} is no row store.", "It begins with lmdb:// or hbase://.")
