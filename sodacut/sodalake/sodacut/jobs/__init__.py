"""What a job does with pixels: plain functions that run on workers or in a thread, and know no server and no scheduler.

::

    targets = read_targets(body, surveys, parameters=("CIRCLE", "KIND"))   # an uploaded list, read
    work = StampWork.of_list(targets, order)                               # or .of_combinations(…)
    resolved = [resolve(reader, question) for question in work.chunks()]   # on workers: where the stamps are
    todo = units(work, resolved, 250)                                      # neighbours in the archive together
    reports = [run_unit(reader, unit, results, part, cancelled) for …]     # on workers: one object a unit
    table = manifest_table(reports, len(work))                             # which result is of which target
    whole = zip_pieces(reports, manifests(table))                          # ranges of the parts: nothing is copied

==================== =====================================================================
`lists`, `votables`  an uploaded list (CSV, JSON, VOTable) as columns of text
`columns`, `reading` what its columns mean; `targets` are what they say
`work`               combinations and rows in one form; the questions for the index
`units`              the index's answers, and units of neighbours
`running`            doing a unit; `parts` is what it writes, `reports` what it tells
`steps`              all of it for one kind of target; `onworker` what a worker calls, with its `readers`
`zips`               parts and their directory as one zip
`locator`            where each file of a job is
`stamptables`        parts as one Arrow stream, or as Parquet
`manifest`           CSV, JSON and VOTable of what became of every target
`delivery`           files written to a folder of the user's
==================== =====================================================================
"""

from __future__ import annotations

from sodalake.sodacut.errors import BadTargets, Cancelled
from sodalake.sodacut.jobs.delivery import allowed_folder, deliver, deliver_extras
from sodalake.sodacut.jobs.lines import ERROR, NO_OVERLAP, NOT_FOUND, OK
from sodalake.sodacut.jobs.manifest import (
    MANIFEST_TYPES,
    manifest_csv,
    manifest_json,
    manifest_table,
    manifest_votable,
    manifests,
)
from sodalake.sodacut.jobs.reading import read_targets
from sodalake.sodacut.jobs.reports import FileEntry, UnitReport, lost
from sodalake.sodacut.jobs.running import run_unit
from sodalake.sodacut.jobs.stamptables import PARQUET, arrow_pieces, table_schema, write_parquet
from sodalake.sodacut.jobs.targets import TargetList, overridden
from sodalake.sodacut.jobs.units import Resolved, StampUnit, resolve, units
from sodalake.sodacut.jobs.work import Combination, Order, Question, StampWork
from sodalake.sodacut.jobs.zips import Pieces, Range, zip_pieces

__all__ = [
    "ERROR",
    "MANIFEST_TYPES",
    "NOT_FOUND",
    "NO_OVERLAP",
    "OK",
    "PARQUET",
    "BadTargets",
    "Cancelled",
    "Combination",
    "FileEntry",
    "Order",
    "Pieces",
    "Question",
    "Range",
    "Resolved",
    "StampUnit",
    "StampWork",
    "TargetList",
    "UnitReport",
    "allowed_folder",
    "arrow_pieces",
    "deliver",
    "deliver_extras",
    "lost",
    "manifest_csv",
    "manifest_json",
    "manifest_table",
    "manifest_votable",
    "manifests",
    "overridden",
    "read_targets",
    "resolve",
    "run_unit",
    "table_schema",
    "units",
    "write_parquet",
    "zip_pieces",
]
