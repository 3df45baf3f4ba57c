"""astrocut, beside ours on the same files: in an environment of its own, which pip makes once in the bench's cache.

It is no dependency of the project and wants libraries of its own versions. Where it cannot be installed, that is said.
"""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from sodalake.lake.cluster.jars import cache_folder

__all__ = ["Answer", "astrocut"]

_FOLDER = "astrocut-venv"
_READY = "ready"
_PATIENCE = 900.0  # seconds: pip fetches and unpacks some hundred megabytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of it: seconds of each cut, and its version; or why there are none."""

    seconds: list[float] = field(default_factory=list)
    version: str = ""
    why: str = ""


def astrocut(
    cache: Path | None,
    files: Sequence[str],
    places: Sequence[tuple[float, float]],
    side: int,
    say: Callable[[str], None] = lambda _: None,
) -> Answer:
    """Cut with astrocut, and return how long each cut took.

    Parameters
    ----------
    cache
        Where its environment is kept; the user's cache by default.
    files, places
        A local file, and a place in it (degrees), for each cut; the first is not counted.
    side
        Pixels of a cut.
    """
    if not files:
        return Answer(why="nothing to cut")
    try:
        python = _environment((cache or cache_folder() / "bench") / _FOLDER, say)
        script = (resources.files("sodalake.benchmarks") / "astrocutting.py").read_text(encoding="utf-8")
        work = json.dumps({"files": list(files), "places": list(places), "side": side})
        done = subprocess.run(
            [str(python), "-c", script],
            input=work, capture_output=True, text=True, check=True, timeout=_PATIENCE,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        return Answer(why=f"astrocut took longer than {error.timeout:.0f} s")
    except subprocess.CalledProcessError as error:
        return Answer(why=f"astrocut cannot be run: {_last_line(error.stderr)}")
    except OSError as error:
        return Answer(why=f"astrocut cannot be run: {error}")
    return Answer(**json.loads(done.stdout.splitlines()[-1]))


def _environment(folder: Path, say: Callable[[str], None]) -> Path:
    """Return the interpreter of an environment with astrocut, made where it is not there."""
    python = folder / "bin" / "python"
    if not (folder / _READY).exists():
        say("astrocut, into an environment of its own")
        venv.create(folder, with_pip=True, clear=True)
        # Nothing of this environment reaches into the other.
        subprocess.run(
            [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "astrocut"],
            capture_output=True, text=True, check=True, timeout=_PATIENCE, cwd=folder,
        )  # fmt: skip
        (folder / _READY).touch()
    return python


def _last_line(text: str | None) -> str:
    lines = (text or "").strip().splitlines()
    return (
        lines[-1] if lines else f"it said nothing (Python {sys.version_info.major}.{sys.version_info.minor})"
    )
