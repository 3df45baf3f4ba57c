"""`sodalake bench NAME`: speed, measured as ratios in one run against the seeds' way.

============ =======================================================================================
`stamps`     the bench of stamps: what is asked of sodalake, row by row
`jobs`       the bench of jobs: `jobmeasures`, `jobwork` and `jobkills` have its rows
`tap`        the bench of queries: `tapmeasures` and `tapwork` have its rows, `tapquestions` its queries
`images`     the bench of images: `imagemeasures`, `imageinside` and `contactsheet` have its rows, `imagepeers` astrocut
`imagetiles` tiles of a made sky in three bands; `footprints`: a hundred thousand images with hardly a pixel
`alerttable` alerts whose numbers are known before they are asked for (`alertfiles`, `rowcounts`)
`archive`    archives like Fink's to measure on (`identities`, `renewal`, `sources`)
`sites`      where a lake lives while it is measured: local files and LMDB, or HDFS and HBase
`serving`    our service, running in processes of its own; `supervised`: in pieces that are killed
`seeds`      the seeds' way, as its users meet it
`load`       the load generator (`answer`, `download`); `uwsclient`: a client of jobs
`running`    going through rows and places; `report`: figures, marks, and the machine
============ =======================================================================================
"""

from __future__ import annotations

from .commands import COMMANDS

__all__ = ["COMMANDS"]
