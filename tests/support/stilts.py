"""STILTS, as tests run it: nothing of it leaves the machine, and what taplint tells is read."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

JAR: Final = Path("/usr/share/java/starlink-ttools.jar")
"""Where Debian has its classes, and the schemas that it validates by."""

STAGES: Final = "TMV TME TMS TMC CPV CAP AVV QGE QPO QAS UWS MDQ OBS UPL EXA"
"""All of taplint, but for LOC: that one fails where there is no table ivoa.obsplan, which we do not declare."""

KNOWN: Final = {
    # ADQL 2.1 (4.1) has a kind of features, features-adql-conditional (COALESCE), that STILTS 3.4.7 does not know.
    "W-CAP-CULF": "features-adql-conditional",
}
"""What taplint warns of and is not ours: code → what its line says."""

# A host that is not this one is asked of a proxy that is not there, so that no name is looked up.
_HERE = [f"-D{scheme}.proxy{what}" for scheme in ("http", "https") for what in ("Host=127.0.0.1", "Port=9")]
_FOUND = re.compile(r"([EWF]-[A-Z0-9]{3}-[A-Z0-9]+)-\d+ ")


def stilts(*arguments: str, seconds: float = 300) -> str:
    """Run STILTS, and return what it writes."""
    if shutil.which("stilts") is None:
        pytest.skip("STILTS IS NOT INSTALLED: install Debian's package stilts")
    done = subprocess.run(
        ["stilts", *_HERE, *arguments], capture_output=True, text=True, timeout=seconds, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    return done.stdout


def check_taplint(url: str, stages: str = STAGES, tables: int = 20) -> None:
    """Validate a service of TAP: there are no errors, and no warnings that are ours."""
    told = stilts("taplint", f"tapurl={url}", f"stages={stages}", "report=EWFS", f"maxtable={tables}")
    totals = re.search(r"Totals: Errors: (\d+); Warnings: (\d+)(?:; Failures: (\d+))?", told)
    assert totals is not None, told[-2000:]
    for stage in stages.split():
        assert f"Section {stage}: " in told, f"{stage} was not run"
    found = [(match[1], line) for line in told.split("\n") if (match := _FOUND.match(line))]
    ours = [line for code, line in found if KNOWN.get(code, "\0") not in line]
    assert not ours, "\n".join(ours)
    # what is counted and what is told are the same: no kind of line escapes the pattern
    assert sum(int(number or 0) for number in totals.groups()) == len(found), told[-2000:]
