"""A lake to try everything on: synthetic alerts and tiles, the real alerts that ship with them, and their index."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import resources
from typing import Final

from sodalake.lake.demo.archive import LAST_NIGHT, put, write_demo_archive
from sodalake.lake.demo.tiles import skytiles_survey, write_demo_tiles
from sodalake.lake.files import as_url, join
from sodalake.lake.images.ingesting import ingest_images
from sodalake.lake.ingest import IngestReport, Progress, ingest

__all__ = ["DEMO_SURVEYS", "make_demo_lake", "real_alerts"]

DEMO_SURVEYS: Final = ("ztf", "lsst")


def real_alerts(survey: str) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the real files of a survey that ship with sodalake (see ``real/NOTICE``)."""
    folder = resources.files(__package__) / "real" / survey
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.name.endswith(".parquet"):
            yield entry.name, entry.read_bytes()


def make_demo_lake(
    folder: str,
    *,
    seed: int = 42,
    objects: int = 300,
    nights: int = 30,
    real: bool = True,
    images: bool = True,
    rows: str | None = None,
    workers: int | None = 1,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[IngestReport]:
    """Make a demo lake: archives below ``folder/demo``, and an index of its surveys.

    Run again with the same arguments it writes the same files and adds nothing.

    Parameters
    ----------
    folder
        Where the lake is made: a folder or a URL.
    seed, objects, nights
        See `write_demo_archive`.
    real
        Whether the real alerts go in, too.
    images
        Whether there are tiles, too (`write_demo_tiles`; the survey ``skytiles``).
    rows
        The row store, as `ingest` takes it.
    workers
        Processes of the ingest; one is this process, which is quicker for files this small.
    progress
        Called with (what is being done, how much is done, of how much).

    Returns
    -------
    list of IngestReport
        One a survey.
    """
    root = join(as_url(folder), "demo")

    def told(what: str) -> Callable[[int, int], None]:
        return lambda done, total: progress(what, done, total) if progress is not None else None

    write_demo_archive(
        join(root, "synthetic"),
        seed=seed, objects=objects, nights=nights, last_night=LAST_NIGHT, progress=told("drawing alerts"),
    )  # fmt: skip
    reports = []
    for survey in DEMO_SURVEYS:
        paths = [join(root, "synthetic", survey)]
        if real:
            paths.append(join(root, "real", survey))
            for name, content in real_alerts(survey):
                put(join(paths[-1], name), content)
        telling = _bytes_of(told(f"indexing {survey}"))
        reports.append(ingest(folder, survey, paths, rows=rows, workers=workers, progress=telling))
    if images:
        tiles, described = join(root, "skytiles"), join(root, "skytiles.toml")
        write_demo_tiles(tiles, seed=seed, progress=told("drawing tiles"))
        put(described, skytiles_survey().encode())
        telling = _bytes_of(told("indexing tiles"))
        reports.append(
            ingest_images(folder, described, [tiles], rows=rows, workers=workers, progress=telling)
        )
    return reports


def _bytes_of(told: Callable[[int, int], None]) -> Callable[[Progress], None]:
    return lambda now: told(now.bytes, now.total_bytes)
