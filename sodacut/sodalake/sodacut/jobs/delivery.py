"""Results brought to a folder that the user names: their home, where a notebook reads them.

Each file is written on its own, whole or not at all, and the manifests beside them. The folder must lie below one of
the roots that the operator allows; whatever is made of ``..``, of links or of odd characters to get elsewhere is
refused before anything is written.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import urlsplit

from sodalake.lake.errors import OutsideArchive
from sodalake.lake.files import as_url, path_of
from sodalake.lake.results import ResultFolder, checked_name
from sodalake.sodacut.errors import Cancelled
from sodalake.sodacut.jobs.reports import UnitReport

__all__ = ["allowed_folder", "deliver", "deliver_extras"]


def allowed_folder(folder: str, roots: Sequence[str]) -> ResultFolder:
    """Return the folder that a user names, if it is below one of the roots.

    Parameters
    ----------
    folder
        Relative to the first root, or a URL or absolute path below one of them.
    roots
        URLs or paths that are allowed.

    Raises
    ------
    OutsideArchive
        There is no such root, or the folder is not below one.
    """
    if not roots:
        raise OutsideArchive("This service delivers to no folder.", "Fetch the results by their URLs.")
    for root in map(as_url, roots):
        name = folder
        if "://" in folder or folder.startswith("/"):
            given = as_url(folder) if "://" in folder else f"{_site(root)}{folder}"
            below = root.rstrip("/") + "/"
            if not given.startswith(below):
                continue
            name = given.removeprefix(below)
        target = ResultFolder(root).url_of(checked_name(name.rstrip("/")))
        if urlsplit(target).scheme == "file" and not _really_below(path_of(target), path_of(root)):
            raise OutsideArchive(f"The folder {folder[:200]!r} leads out of {root} by a link.")
        return ResultFolder(target)
    raise OutsideArchive(
        f"The folder {folder[:200]!r} is none that results may be delivered to.",
        f"Name one below {' or '.join(roots)}.",
    )


def _site(url: str) -> str:
    """Return scheme and host of a URL."""
    return url[: len(url) - len(path_of(url))]


def _really_below(path: str, root: str) -> bool:
    """Say whether a path is below a root once all links are followed; what does not exist yet is no link."""
    real = os.path.realpath(path)
    return real.startswith(os.path.realpath(root).rstrip("/") + "/")


def deliver(
    results: ResultFolder,
    report: UnitReport,
    folder: ResultFolder,
    cancelled: Callable[[], bool] = lambda: False,
) -> int:
    """Write the files of one part to a folder; blocking, for a worker. Return their bytes.

    Done again, it writes the same files anew.

    Raises
    ------
    Cancelled
        The work was called off; the files written until then stay.
    FileGone, Unavailable
        The part is not there, or a file system does not answer.
    """
    if not report.length:
        return 0
    written = 0
    source = results.open(report.part)
    try:
        for file in report.files():
            if cancelled():
                raise Cancelled
            written += folder.write(file.name, source.read_at(file.offset, file.length))
    finally:
        source.close()
    return written


def deliver_extras(folder: ResultFolder, extras: Mapping[str, bytes]) -> int:
    """Write files such as the manifests to a folder, last of all: they tell that all is there. Return their bytes."""
    return sum(folder.write(name, body) for name, body in extras.items())
