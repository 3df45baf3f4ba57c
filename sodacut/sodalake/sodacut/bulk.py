"""Thousands of stamps at once: ids in, one Arrow table of decoded pixels out.

The index entries come in one round trip, the stamps in reads that are sorted by file and offset and joined with
their neighbours, the pixels in one buffer. A caller with many ids cuts them into runs of some hundred to some
thousand (a ZTF stamp takes 16 kB decoded) and gives each run to a worker; runs of alerts that stand in the same
files read least: both surveys' ids grow with the night, so sort them before cutting.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sodalake.lake.errors import NotInLake
from sodalake.lake.reader import Reader
from sodalake.sodacut.tables import stamp_batch

__all__ = ["stamp_table"]


def stamp_table(reader: Reader, survey: str, alert_ids: Sequence[str], kinds: Sequence[str]) -> Any:
    """Read and decode the stamps of many alerts.

    Parameters
    ----------
    reader
        Reads the lake; blocking, so call this on a worker.
    survey
        The survey's name.
    alert_ids
        Alerts, in the order their rows shall have. An id may come twice.
    kinds
        Kinds of stamp; of each alert a row a kind.

    Returns
    -------
    pyarrow.RecordBatch of `tables.STAMP_SCHEMA`
        ``len(alert_ids) x len(kinds)`` rows, pixels as float32; null where an alert has no such stamp.

    Raises
    ------
    NotInLake
        No such survey or kind, or alerts that are not there: the message counts them and names the first.
    FileGone, Damaged, Unavailable
        As `Reader.stamps` and `tables.stamp_batch` raise.
    """
    described = reader.lake.survey(survey)
    entries = reader.find_many(described, alert_ids)
    found = [entry for entry in entries if entry is not None]
    if len(found) < len(entries):
        first = next(alert for alert, entry in zip(alert_ids, entries, strict=True) if entry is None)
        raise NotInLake(
            f"{len(entries) - len(found)} of {len(entries)} alerts are not in {survey}; the first is {first[:80]}.",
            "Leave them out, or ingest their files.",
        )
    return stamp_batch(reader.stamps(described, found, kinds), kinds)
