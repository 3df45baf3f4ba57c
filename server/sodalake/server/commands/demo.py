"""`sodalake demo`: a small lake on this machine, served, with a page to look at.

The lake is made once and kept in the user's cache. A marker beside it says which sodalake made it and of what;
another marker means it is made again, so that the demo never shows what an older index knew.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterator
from importlib import resources
from importlib.metadata import version
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sodalake.lake.errors import ConfigurationError, Unavailable

if TYPE_CHECKING:
    from sodalake.server.config import Settings
    from sodalake.server.service import Service

__all__ = ["demo", "prepared"]

_MARKER = "demo.json"


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    help="Port to listen on; 0 takes a free one.  [default: 8080, or a free one where that is taken]",
)
@click.option("--no-browser", is_flag=True, help="Do not open the page.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the lake is made.  [default: in the user's cache]",
)
@click.option(
    "--objects",
    type=click.IntRange(1),
    default=300,
    show_default=True,
    help="How many things are in the sky.",
)
def demo(port: int | None, no_browser: bool, folder: Path | None, objects: int) -> None:
    """Make a small lake, serve it, and open its page.

    The sky is synthetic and the same every time, alerts and tiles, with a few real alerts in it. The lake is made once
    (some seconds, 0.3 GB) and kept; a newer sodalake makes it again.
    """
    from sodalake.server.running import run

    with prepared(folder or _cache() / "demo", objects) as lake:
        run(_settings(lake, port), None if no_browser else _open_page)


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sodalake"


@contextlib.contextmanager
def prepared(folder: Path, objects: int) -> Iterator[Path]:
    """Give the folder of a demo lake that is ready to be served, made now if need be.

    While it is served nobody makes it anew: a lock beside it is shared by those who serve and exclusive to the
    one who makes.

    Raises
    ------
    ConfigurationError
        The folder holds something that is not a demo lake: nothing of it is touched.
    Unavailable
        Another demo serves or makes it, and it would have to be made anew.
    """
    folder = folder.absolute()
    _refuse_foreign(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    wanted = {"sodalake": version("sodalake"), "code": _code_digest(), "objects": objects}
    with (folder.parent / f".{folder.name}.lock").open("a") as lock:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _marker(folder) != wanted:
                _make(folder, objects, wanted)
        fcntl.flock(lock, fcntl.LOCK_SH)  # waits for one who makes it just now
        if _marker(folder) != wanted:
            raise Unavailable(
                f"The demo lake {folder} has to be made anew, and another demo is using it.",
                "Stop that one, or give --folder.",
            )
        yield folder


def _refuse_foreign(folder: Path) -> None:
    """Refuse a folder that is neither empty nor a demo lake, whole or begun."""
    begun = _begun(folder)
    if folder.is_dir() and any(folder.iterdir()) and not (folder / _MARKER).exists() and not begun.exists():
        raise ConfigurationError(
            f"{folder} is not empty, and not a demo lake.", "Give --folder a new or an empty folder."
        )


def _begun(folder: Path) -> Path:
    """Return the file that stands beside a demo lake while it is being made."""
    return folder.parent / f".{folder.name}.begun"


def _marker(folder: Path) -> object:
    try:
        return json.loads((folder / _MARKER).read_text("utf-8"))
    except (OSError, ValueError):
        return None


def _make(folder: Path, objects: int, marker: dict[str, object]) -> None:
    from sodalake.lake.demo import make_demo_lake

    _begun(folder).touch()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    with _watched(folder) as told:
        reports = make_demo_lake(str(folder), objects=objects, progress=told)
    failed = {url: why for report in reports for url, why in report.failed.items()}
    if failed:
        url, why = next(iter(failed.items()))
        raise Unavailable(f"{len(failed)} files of the demo could not be indexed, {url} among them: {why}")
    (folder / _MARKER).write_text(json.dumps(marker), "utf-8")
    _begun(folder).unlink()


@contextlib.contextmanager
def _watched(folder: Path) -> Iterator[Callable[[str, int, int], None]]:
    """Show progress on standard error; standard output is for the `ready` line."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    console.print(f"Making the demo lake in {folder}", highlight=False)
    columns = (TextColumn("{task.description:<18}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bars:
        tasks: dict[str, TaskID] = {}

        def told(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what)
            bars.update(tasks[what], completed=done, total=total)

        yield told


def _code_digest() -> str:
    """Return a digest of the lake's own code: what the demo's files and index depend on."""
    digest = hashlib.sha256()

    def add(folder: Traversable) -> None:
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
            if entry.is_dir():
                add(entry)
            elif entry.name.endswith((".py", ".toml")):
                digest.update(entry.name.encode() + entry.read_bytes())

    add(resources.files("sodalake.lake"))
    return digest.hexdigest()[:16]


def _settings(lake: Path, port: int | None) -> Settings:
    from sodalake.server.config import load_settings

    settings = load_settings(lake=str(lake), port=port)
    if port is None and _taken(settings.address, settings.port):
        settings = load_settings(lake=str(lake), port=0)
    return settings


def _taken(address: str, port: int) -> bool:
    """Say whether somebody listens at `port`; a demo then takes another, a service would not."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return True
    return False


def _open_page(service: Service) -> None:
    """Open the page where there is a screen; in a text terminal a browser would take the terminal."""
    screen = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))
    if screen or sys.platform in ("darwin", "win32"):
        work: Any = webbrowser.open  # it may wait for the browser to end
        threading.Thread(target=work, args=(service.url,), daemon=True, name="browser").start()
