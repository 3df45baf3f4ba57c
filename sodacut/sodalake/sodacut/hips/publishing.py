"""From the folder a HiPS was made in to the place where it is served.

On local disk a HiPS is made beside its place and renamed. Elsewhere it is made in the user's cache and copied under a
name that nobody asks for, then renamed: who looks at the place finds a whole HiPS or none, the old one until then.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from sodalake.lake.errors import ConfigurationError, Unavailable
from sodalake.lake.files import as_url, filesystem, path_of, translated
from sodalake.lake.writing import write_whole

__all__ = ["check_room", "publish", "workplace"]

_WRITERS: Final = 8  # files on their way at once: each waits for name and data nodes
_TILE: Final = 1.1e6  # bytes of a tile's numbers and its picture
_ABOVE: Final = 4 / 3  # tiles of all orders, for one of the deepest
_LOCK: Final = ".lock"
_MAKING: Final = ".making"
_OLD: Final = ".old"


@contextlib.contextmanager
def workplace(base: str, name: str, mark: str) -> Iterator[Path]:
    """Give the folder to make a HiPS in; nobody else works there meanwhile.

    Parameters
    ----------
    base, name
        It will be at `base`/`name`.
    mark
        What it is made of: work that was begun on the same is found again.

    Raises
    ------
    Unavailable
        Another process makes it just now.
    ConfigurationError
        The folder cannot be made.
    """
    if urlsplit(base).scheme == "file":
        folder = Path(path_of(base)) / f".{name}.{mark}{_MAKING}"
    else:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        folder = cache / "sodalake" / "hips" / f".{name}.{mark}{_MAKING}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / _LOCK).open("a")
    except OSError as error:
        raise ConfigurationError(
            f"{folder} cannot be made: {error.strerror}.", "Give another place by --out."
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Unavailable(
                f"Another process makes the HiPS {name} just now.", "Wait for it, or stop it."
            ) from None
        _forget_others(folder, name)
        yield folder


def _forget_others(folder: Path, name: str) -> None:
    """Remove work that was begun on another state of the archive, and that nobody goes on with."""
    for other in folder.parent.glob(f".{name}.*{_MAKING}"):
        if other == folder:
            continue
        with contextlib.suppress(OSError), (other / _LOCK).open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(other, ignore_errors=True)


def check_room(folder: Path, tiles: int, order: int) -> None:
    """Refuse to begin what the disk has no room for.

    Raises
    ------
    ConfigurationError
        It has not; says how much would be needed.
    """
    needed = tiles * _TILE * _ABOVE
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ConfigurationError(
            f"{tiles} tiles of order {order} take about {needed / 1e9:.1f} GB; {folder} has {free / 1e9:.1f} left.",
            f"Make room, or give --order {order - 1}: a quarter of it.",
        )


def publish(
    folder: Path, base: str, name: str, progress: Callable[[int, int], None] = lambda done, of: None
) -> str:
    """Bring a HiPS that is made to its place, in the stead of one that is there, and return its URL.

    Parameters
    ----------
    folder
        Where it was made; gone afterwards.
    progress
        Is told files copied, of how many.

    Raises
    ------
    Unavailable
        The file system does not do it; what was there is there still.
    """
    url, fs = f"{base}/{name}", filesystem(base)
    with translated(url):
        if urlsplit(base).scheme == "file":
            (folder / _LOCK).unlink(missing_ok=True)
            ready = as_url(str(folder))
        else:
            ready = f"{base}/.{name}.{uuid.uuid4().hex}{_MAKING}"
            try:
                _copy(folder, ready, progress)
            except BaseException:
                with contextlib.suppress(OSError, RuntimeError):
                    fs.rm(path_of(ready), recursive=True)
                raise
        if fs.exists(url):
            _move(url, f"{base}/.{name}.{uuid.uuid4().hex}{_OLD}")
        _move(ready, url)
        # The one before, and what a process left that was killed here.
        for left in fs.ls(base, detail=True):
            last = str(left["name"]).rstrip("/").rpartition("/")[2]
            if re.fullmatch(rf"\.{re.escape(name)}\.[0-9a-f]{{32}}({_MAKING}|{_OLD})", last):
                fs.rm(path_of(f"{base}/{last}"), recursive=True)
    shutil.rmtree(folder, ignore_errors=True)
    return url


def _move(source: str, target: str) -> None:
    """Rename a folder."""
    if urlsplit(target).scheme == "file":
        Path(path_of(source)).rename(path_of(target))
    else:
        filesystem(target).mv(source, target)


def _copy(folder: Path, url: str, progress: Callable[[int, int], None]) -> None:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != _LOCK)
    with ThreadPoolExecutor(_WRITERS) as pool:
        copied = pool.map(
            lambda path: write_whole(f"{url}/{path.relative_to(folder).as_posix()}", path.read_bytes()), files
        )
        for done, _ in enumerate(copied, 1):
            progress(done, len(files))
