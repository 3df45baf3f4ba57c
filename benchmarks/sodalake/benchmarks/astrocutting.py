"""Cuts by astrocut, timed: run by the interpreter of its own environment, which knows nothing of this package.

Reads files, places and a side as JSON from standard input, and writes the seconds of each cut and the version.
"""

import io
import json
import sys
import time
import warnings
from contextlib import redirect_stdout


def main() -> None:
    """Cut."""
    import astrocut  # type: ignore[import-not-found]
    from astropy.coordinates import SkyCoord

    warnings.simplefilter("ignore")
    work = json.load(sys.stdin)
    seconds = []
    with redirect_stdout(io.StringIO()):  # it is told what it does
        for path, (ra, dec) in zip(work["files"], work["places"], strict=True):
            began = time.perf_counter()
            astrocut.FITSCutout([path], SkyCoord(ra, dec, unit="deg"), work["side"]).fits_cutouts  # noqa: B018
            seconds.append(time.perf_counter() - began)
    print(json.dumps({"seconds": seconds[1:] or seconds, "version": astrocut.__version__}))  # noqa: T201


if __name__ == "__main__":
    main()
