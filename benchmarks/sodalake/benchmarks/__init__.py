"""`sodalake bench NAME`: speed, measured as ratios in one run against the seeds' way.

============ =======================================================================================
`stamps`     the bench of stamps: what is asked of sodalake, row by row
`archive`    archives like Fink's to measure on (`identities`, `renewal`, `sources`)
`sites`      where a lake lives while it is measured: local files and LMDB, or HDFS and HBase
`serving`    our service, running in processes of its own
`seeds`      the seeds' way, as its users meet it
`load`       the load generator
`report`     figures, marks, and the machine they were measured on
============ =======================================================================================
"""

from __future__ import annotations

from .commands import COMMANDS

__all__ = ["COMMANDS"]
