"""A small sky to try everything on: synthetic, deterministic, and written exactly as the real archives are.

`write_demo_archive` makes nights of ZTF-like and Rubin-like alerts out of light curves of ten kinds, stars, galaxies,
seeing and noise, `write_demo_tiles` images of a piece of sky in three bands; `make_demo_lake` makes a lake of both and
of the few real alerts that ship beside this module (see ``real/NOTICE``). `add_noise` makes new stamps out of old ones,
for benchmarks on archives of any size.

From the sky to the file, one module a step::

    lightcurves ─→ population ─→ photometry ─→ scenes, stamps ─→ fitsbytes ─→ ztf, rubin ─→ archive
       how it varies  what is there   what is seen    its pixels       their bytes   their tables
"""

from sodalake.lake.demo.archive import LAST_NIGHT, DemoFile, write_demo_archive
from sodalake.lake.demo.demolake import DEMO_SURVEYS, make_demo_lake, real_alerts
from sodalake.lake.demo.fitsbytes import add_noise
from sodalake.lake.demo.tiles import write_demo_tiles

__all__ = [
    "DEMO_SURVEYS",
    "LAST_NIGHT",
    "DemoFile",
    "add_noise",
    "make_demo_lake",
    "real_alerts",
    "write_demo_archive",
    "write_demo_tiles",
]
